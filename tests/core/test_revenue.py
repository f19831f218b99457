"""Revenue of licences over time; that of usage is in the laws of pricing and in the figures."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from price_plan_samples import SlabSample, licence_card

from tallybook.core.instant import hours_since_1970
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.core.period import PricingInterval, Window, midnight
from tallybook.core.rate_card import LicenceRateCard, RefundMode
from tallybook.core.revenue import licence_revenue_by_bucket

NOVEMBER = Window(date(2023, 11, 1), date(2023, 12, 1))
DECEMBER = datetime(2023, 12, 1, tzinfo=UTC)
SEAT = SlabSample("0", "30")


def update(effective_from: str, quantity: str, *, absolute: bool = False) -> LicenceUpdate:
    return LicenceUpdate(
        add_on_id="add_on.1",
        account_id="A",
        update_type=LicenceUpdateType.ABSOLUTE if absolute else LicenceUpdateType.RELATIVE,
        quantity=Decimal(quantity),
        effective_from=datetime.fromisoformat(effective_from).replace(tzinfo=UTC),
        created_at=DECEMBER,
    )


SEATS = [update("2023-11-01", "10", absolute=True), update("2023-11-16", "2"), update("2023-11-26", "-2")]
"""Contract 3.6: ten seats on day 1, two more on day 16, two fewer on day 26."""


def booked(
    card: LicenceRateCard,
    updates: list[LicenceUpdate],
    *,
    window: Window = NOVEMBER,
    full: Window = NOVEMBER,
    begun_by: datetime = DECEMBER,
) -> dict[str, Decimal]:
    """What is booked on each day from 20 October to 9 December, where anything is."""
    days = [date(2023, 10, 20) + timedelta(days=count) for count in range(52)]
    amounts = licence_revenue_by_bucket(
        card,
        updates,
        currency="USD",
        window=window,
        full=full,
        begun_by=begun_by,
        edges=[hours_since_1970(midnight(day)) for day in days],
    )
    return {f"{day:%m-%d}": amount for day, amount in zip(days, amounts, strict=False) if amount}


@pytest.mark.parametrize("refund", [RefundMode.CREDITS, RefundMode.NONE])
@pytest.mark.parametrize("prorated", [False, True])
@pytest.mark.parametrize("advance", [False, True])
def test_licences_are_booked_whole_on_the_day_of_the_change(advance: bool, prorated: bool, refund: RefundMode) -> None:
    """Contract 3.6, 30 a seat: 10 × 30 on day 1, 2 × 30 on day 16, −2 × 30 on day 26, whatever is charged when."""
    card = licence_card(SEAT, advance=advance, prorated=prorated, refund=refund)
    assert booked(card, SEATS) == {"11-01": 300, "11-16": 60, "11-26": -60}


def test_what_was_held_before_is_booked_when_the_cycle_begins() -> None:
    """Seats since October, 7 then 9, are 9 × 30 on 1 November, and nothing in October, which is not this cycle."""
    updates = [update("2023-10-25", "7"), update("2023-10-28", "2")]
    assert booked(licence_card(SEAT), updates) == {"11-01": 270}


def test_changes_within_a_day_are_booked_on_it() -> None:
    """More or less at noon counts on that day; 90 more and back within the 20th leave nothing; all by whole days."""
    updates = [
        update("2023-11-01T00:30", "10"),
        update("2023-11-10T12:00", "-4"),
        update("2023-11-20T09:00", "90"),
        update("2023-11-20T10:00", "-90"),
        update("2023-11-30T23:59", "1"),
        update("2023-12-01", "5"),
    ]
    assert booked(licence_card(SEAT), updates) == {"11-01": 300, "11-10": -120, "11-30": 30}


def test_a_change_is_the_difference_of_two_prices() -> None:
    """Up to 10 seats 30 each, then 20: from 8 to 13 is 2 × 30 + 3 × 20 = 120, from 13 to 9 is −(3 × 20 + 30)."""
    card = licence_card(SEAT, SlabSample("10", "20"))
    updates = [update("2023-11-01", "8"), update("2023-11-07", "13", absolute=True), update("2023-11-09", "-4")]
    assert booked(card, updates) == {"11-01": 240, "11-07": 120, "11-09": -90}


def test_a_cycle_cut_short_is_booked_whole() -> None:
    """From the 11th on, two thirds of November: 10 × 30 all the same, for what was held since the 1st."""
    card = licence_card(SEAT, prorated=True)
    window = Window(date(2023, 11, 11), date(2023, 12, 1))
    assert booked(card, SEATS, window=window) == {"11-11": 300, "11-16": 60, "11-26": -60}


def test_each_usage_cycle_is_booked_by_itself() -> None:
    """1 a week from the 1st: 10 on the 1st, 8th and 15th, 2 more on the 16th, 12 on the 22nd, −2 on the 26th, 10."""
    card = licence_card(SlabSample("0", "1"), usage_cycle=PricingInterval.WEEKLY)
    expected = {"11-01": 10, "11-08": 10, "11-15": 10, "11-16": 2, "11-22": 12, "11-26": -2, "11-29": 10}
    assert booked(card, SEATS) == expected
    begun_by = datetime(2023, 11, 15, tzinfo=UTC)
    assert booked(card, SEATS[:1], begun_by=begun_by) == {"11-01": 10, "11-08": 10, "11-15": 10}


def test_nothing_is_booked_before_the_cycle_begins() -> None:
    assert booked(licence_card(SEAT), SEATS[:1], begun_by=datetime(2023, 10, 31, tzinfo=UTC)) == {}
