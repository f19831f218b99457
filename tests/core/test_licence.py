from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from invoice_samples import draft_increase_invoice_of
from price_plan_samples import VOLUME, SlabSample, cycle_in, fixed_fee, licence_card, monthly, price_plan

from tallybook.core.advance_lines import advance_lines
from tallybook.core.customer import Address
from tallybook.core.errors import Invalid
from tallybook.core.invoice import BilledAccount, InvoiceLine
from tallybook.core.licence import (
    HeldRun,
    LicenceUpdate,
    LicenceUpdateType,
    check_licence_update,
    held_runs,
    quantities_after,
)
from tallybook.core.licence_pricing import licences_amount
from tallybook.core.period import PricingCycle, PricingInterval, Window
from tallybook.core.price_plan import PricedItems, check_price_plan
from tallybook.core.rate_card import LicenceRateCard, RefundMode

NOVEMBER = Window(date(2023, 11, 1), date(2023, 12, 1))
SEAT = SlabSample("0", "30")
ACCOUNT = BilledAccount(
    account_id="A",
    account_name="A",
    customer_id="C",
    customer_name="C",
    customer_email="c@example.com",
    email="c@example.com",
    address=Address(),
    currency="USD",
)


def update(effective_from: str, quantity: str, *, absolute: bool = False) -> LicenceUpdate:
    return LicenceUpdate(
        add_on_id="add_on.1",
        account_id="A",
        update_type=LicenceUpdateType.ABSOLUTE if absolute else LicenceUpdateType.RELATIVE,
        quantity=Decimal(quantity),
        effective_from=datetime.fromisoformat(effective_from).replace(tzinfo=UTC),
        created_at=datetime(2023, 11, 30, tzinfo=UTC),
    )


SEATS = [
    update("2023-10-01", "10", absolute=True),
    update("2023-11-16", "2"),
    update("2023-11-26", "-2"),
]
"""Contract 3.6: ten seats from day 1, two more from day 16 (15 days left), two fewer on day 26 (5 days left)."""


def amount(card: LicenceRateCard, updates: list[LicenceUpdate], window: Window = NOVEMBER) -> Decimal:
    held = {"add_on.1": held_runs(updates, window)}
    return licences_amount(card, cycle_in(price_plan(card), window, held=held), currency="USD")


def test_holdings_are_runs_of_days() -> None:
    assert held_runs(SEATS, NOVEMBER) == (
        HeldRun(date(2023, 11, 1), date(2023, 11, 16), Decimal(10)),
        HeldRun(date(2023, 11, 16), date(2023, 11, 26), Decimal(12)),
        HeldRun(date(2023, 11, 26), date(2023, 12, 1), Decimal(10)),
    )


def test_a_day_counts_with_the_most_held_during_it() -> None:
    """Contract 3.6: more at noon counts on that day, less at noon on the next; a peak within a day is a peak."""
    updates = [
        update("2023-11-01", "10", absolute=True),
        update("2023-11-10T12:00", "5"),
        update("2023-11-20T12:00", "-5"),
        update("2023-11-25T09:00", "90"),
        update("2023-11-25T10:00", "-90"),
    ]
    assert held_runs(updates, NOVEMBER) == (
        HeldRun(date(2023, 11, 1), date(2023, 11, 10), Decimal(10)),
        HeldRun(date(2023, 11, 10), date(2023, 11, 21), Decimal(15)),
        HeldRun(date(2023, 11, 21), date(2023, 11, 25), Decimal(10)),
        HeldRun(date(2023, 11, 25), date(2023, 11, 26), Decimal(100)),
        HeldRun(date(2023, 11, 26), date(2023, 12, 1), Decimal(10)),
    )


def test_updates_of_the_same_instant_are_one_change() -> None:
    updates = [update("2023-11-10", "50"), update("2023-11-10", "7", absolute=True)]
    assert [run.quantity for run in held_runs(updates, NOVEMBER)] == [0, 7]


def test_nothing_is_held_below_zero() -> None:
    """Nor at any later time, when an update is backdated."""
    assert quantities_after(SEATS) == [10, 12, 10]
    with pytest.raises(Invalid, match="less than 0 from 2023-11-26"):
        quantities_after([update("2023-11-01", "1"), update("2023-11-26", "-2")])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (update("2023-11-01", "NaN"), "quantity"),
        (update("2023-11-01", "-1", absolute=True), "quantity: an account cannot hold less than 0"),
        (update("1969-12-31", "1"), "effectiveFrom"),
        (update("9999-01-01", "1"), "effectiveFrom"),
    ],
)
def test_impossible_updates_are_refused(changed: LicenceUpdate, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_licence_update(changed)


# ---- the four behaviours -----------------------------------------------------------------------------------------


def test_in_arrears_without_proration_the_peak_is_charged() -> None:
    """Contract 3.6: 12 seats at 30."""
    assert amount(licence_card(SEAT), SEATS) == 360


def test_in_arrears_with_proration_every_day_is_charged() -> None:
    """Contract 3.6: 15 days of 10, 10 of 12, 5 of 10 seats: 30 × (150 + 120 + 50) ÷ 30 = 320."""
    assert amount(licence_card(SEAT, prorated=True), SEATS) == 320


def test_bought_on_the_fifteenth_costs_about_half() -> None:
    """Contract 3.6: 16 of 30 days."""
    assert amount(licence_card(SEAT, prorated=True), [update("2023-11-15", "1")]) == 16


def test_in_advance_without_proration_nothing_comes_back() -> None:
    """Contract 3.6: the full cycle for each increase; the decrease changes nothing."""
    assert [amount(licence_card(SEAT, advance=True), SEATS[:count]) for count in (1, 2, 3)] == [300, 360, 360]


def test_in_advance_with_proration_each_change_is_charged_by_days() -> None:
    """Contract 3.6: 300, then 2 × 30 × 15 ÷ 30 = 30 more, then 2 × 30 × 5 ÷ 30 = 10 back."""
    card = licence_card(SEAT, advance=True, prorated=True)
    assert [amount(card, SEATS[:count]) for count in (1, 2, 3)] == [300, 330, 320]


def test_without_refund_nothing_comes_back() -> None:
    card = licence_card(SEAT, advance=True, prorated=True, refund=RefundMode.NONE)
    assert [amount(card, SEATS[:count]) for count in (1, 2, 3)] == [300, 330, 330]


def test_seats_above_a_free_ten() -> None:
    """Contract 3.6: 0 to 10 flat 0, above 10 at 100; 13 seats cost 3 × 100."""
    card = licence_card(SlabSample("0", "0"), SlabSample("10", "100"))
    assert amount(card, [update("2023-11-01", "13")]) == 300


def test_a_usage_cycle_is_priced_by_itself() -> None:
    """Contract 3.6: one licence at 1 for a week; February 2023 has four weeks: 4."""
    february = Window(date(2023, 2, 1), date(2023, 3, 1))
    card = licence_card(SlabSample("0", "1"), usage_cycle=PricingInterval.WEEKLY)
    assert amount(card, [update("2023-01-01", "1")], february) == 4
    assert amount(card, [update("2023-02-16", "1")], february) == 2


def test_a_quarter_has_three_monthly_usage_cycles() -> None:
    """Each by its own peak: 1, 5 and 2 licences at 10 are 80."""
    quarter = Window(date(2024, 1, 1), date(2024, 4, 1))
    card = licence_card(SlabSample("0", "10"), usage_cycle=PricingInterval.MONTHLY)
    cycle = PricingCycle(interval=PricingInterval.QUARTERLY, day_offset="1", month_offset="1", grace_days=0)
    updates = [update("2024-01-01", "1"), update("2024-02-10", "4"), update("2024-03-01", "-3")]
    held = {"add_on.1": held_runs(updates, quarter)}
    billed = cycle_in(price_plan(card, cycle=cycle), quarter, held=held)
    assert licences_amount(card, billed, currency="USD") == 80


def test_the_price_of_all_seats_is_prorated_not_their_number() -> None:
    """Volume: 10 seats at 10 for 15 days, then 20 at 5 for 15 days: 100 ÷ 2 + 100 ÷ 2 = 100."""
    card = licence_card(SlabSample("0", "10"), SlabSample("10", "5"), model=VOLUME, prorated=True)
    assert amount(card, [update("2023-11-01", "10"), update("2023-11-16", "10")]) == 100


def test_licences_in_advance_settle_what_was_charged() -> None:
    """330 are due and 300 were charged: 30 more, with the working under it."""
    card = licence_card(SEAT, advance=True, prorated=True)
    cycle = cycle_in(price_plan(card), NOVEMBER, held={"add_on.1": held_runs(SEATS[:2], NOVEMBER)})
    [(charge, line, _)] = advance_lines(cycle, {"add_on.1": Decimal(300)}, "USD", "exact")
    assert charge.amount == 30
    due, before = line.lines
    assert [part.amount.amount for part in due.lines] == [150, 180]
    assert before.amount.amount == -300
    assert len(set(ids_of(line))) == len(ids_of(line))


def test_only_licences_that_were_added_are_invoiced_at_once() -> None:
    """Two more seats are; a fee that became dearer, or seats that were given up, wait for the cycle's invoice."""
    plan = price_plan(licence_card(SEAT, advance=True, prorated=True), fixed_fee("90", add_on_id="fee", advance=True))
    cycle = cycle_in(plan, NOVEMBER, held={"add_on.1": held_runs(SEATS[:2], NOVEMBER)})

    def charges(charged: dict[str, Decimal]) -> list[tuple[str, Decimal]]:
        invoice = draft_increase_invoice_of(
            ACCOUNT,
            organisation_id="org",
            cycle=cycle,
            charged=charged,
            computed_at=datetime(2023, 11, 17, 9, tzinfo=UTC),
        )
        if invoice is None:
            return []
        assert (invoice.start_date, invoice.end_date) == (date(2023, 11, 17), NOVEMBER.end)
        return [(charge.add_on_id, charge.amount) for charge in invoice.advance]

    assert charges({"add_on.1": Decimal(300), "fee": Decimal(50)}) == [("add_on.1", Decimal(30))]
    assert charges({"add_on.1": Decimal(330), "fee": Decimal(50)}) == []
    assert charges({"add_on.1": Decimal(400), "fee": Decimal(90)}) == []


def ids_of(line: InvoiceLine) -> list[str]:
    return [line.line_id, *(line_id for child in line.lines for line_id in ids_of(child))]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (licence_card(SEAT, add_on_id="add_on.9"), r"licenseRateCards\[0\].id: no add-on 'add_on.9' of type LICENSE"),
        (licence_card(SEAT, usage_cycle=PricingInterval.QUARTERLY), "usageCycle: QUARTERLY is longer than"),
        (licence_card(SlabSample("0", "1", minimum="2", maximum="1")), "minimumRate is above maximumRate"),
    ],
)
def test_cards_that_could_not_be_charged_are_refused(card: LicenceRateCard, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_price_plan(price_plan(card, cycle=monthly("1")), items=PricedItems(licence_ids={"add_on.1"}))


def test_bounds_hold_for_licences_too() -> None:
    """Contract 3.6: at least 1, at most 10."""
    card = licence_card(SlabSample("0", "0.4", minimum="1", maximum="10"))
    assert [amount(card, [update("2023-11-01", number)]) for number in ("1", "20", "100")] == [1, 8, 10]
