from datetime import date
from decimal import Decimal

import msgspec
import pytest
from price_plan_samples import FLAT, NOW, SlabSample, bounds, monthly, price_plan, usage_card

from tallybook.core.errors import Conflict, Invalid
from tallybook.core.period import FOREVER
from tallybook.core.price_plan import (
    MinimumCommitment,
    PricedItems,
    PricePlan,
    PricePlanStatus,
    activated,
    check_associable,
    check_price_plan,
)
from tallybook.core.pricing_schedule import PricingSchedule, associate, disassociate, new_schedule, schedule_on
from tallybook.core.rate_card import RateValue, SlabRate, UsageRateCard

METERS = {"um.1", "um.2"}
CARD = usage_card(SlabSample("0", "2"), SlabSample("100", "1"))


def test_a_sound_plan_passes() -> None:
    check_price_plan(
        price_plan(
            usage_card(SlabSample("0", "2"), SlabSample("100", "1", package="10"), currencies=("USD", "JPY")),
            usage_card(SlabSample("0", "5", FLAT), meter_id="um.2", currencies=("USD", "JPY")),
            commitment="1000",
            currencies=("USD", "JPY"),
        ),
        items=PricedItems(meter_ids=METERS),
    )


def card_with_rates(*rate_values: RateValue) -> UsageRateCard:
    return msgspec.structs.replace(CARD, rate_values=rate_values)


def rates(currency: str, *orders: int) -> RateValue:
    return RateValue(currency=currency, slab_rates=tuple(SlabRate(order=order, rate=Decimal(1)) for order in orders))


def card_with_orders(*orders: int) -> UsageRateCard:
    slabs = tuple(
        msgspec.structs.replace(slab, order=order) for slab, order in zip(CARD.rate_plan.slabs, orders, strict=True)
    )
    return msgspec.structs.replace(CARD, rate_plan=msgspec.structs.replace(CARD.rate_plan, slabs=slabs))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (price_plan(usage_card(SlabSample("0", "1"), meter_id="um.9")), r"\[0\].usageMeterId: no usage meter 'um.9'"),
        (price_plan(CARD, msgspec.structs.replace(CARD, name="again")), "the meter 'um.1' has two cards"),
        (price_plan(CARD, msgspec.structs.replace(CARD, meter_id="um.2")), "the name 'usage.um.1' is used twice"),
        (price_plan(usage_card()), "1 to 10 slabs, got 0"),
        (price_plan(usage_card(*(SlabSample(str(n), "1") for n in range(11)))), "1 to 10 slabs, got 11"),
        (price_plan(card_with_orders(2, 3)), r"slabs\[0\].order: must be 1"),
        (price_plan(card_with_orders(1, 1)), r"slabs\[1\].order: must be 2"),
        (price_plan(usage_card(SlabSample("0", "1"), SlabSample("0", "1"))), r"slabs\[1\].startAfter: must be above"),
        (price_plan(usage_card(SlabSample("-1", "1"))), r"slabs\[0\].startAfter: must not be negative"),
        (price_plan(usage_card(SlabSample("NaN", "1"))), r"slabs\[0\].startAfter: must be a number"),
        (price_plan(usage_card(SlabSample("0", "1E+600"))), "order 1: rate: must be a number of at most 512 digits"),
        (price_plan(usage_card(SlabSample("0", "1", package="0"))), r"packageSize: must be above 0"),
        (price_plan(card_with_rates(rates("USD", 1))), "exactly one rate for each of the 2 slabs"),
        (price_plan(card_with_rates(rates("USD", 1, 2, 2))), "exactly one rate for each of the 2 slabs"),
        (price_plan(card_with_rates(rates("USD", 1, 2), rates("USD", 1, 2))), "'USD' has two sets of rates"),
        (price_plan(card_with_rates(rates("EUR", 1, 2))), "no rate in USD"),
        (price_plan(card_with_rates(rates("USD", 1, 2), rates("EUR", 1, 2))), "EUR is not among"),
        (price_plan(CARD, currencies=("USD", "JPY")), "no rate in JPY"),
        (price_plan(CARD, currencies=()), "supportedCurrencies: name at least one"),
        (price_plan(CARD, currencies=("USD", "USD")), "'USD' is listed twice"),
        (price_plan(CARD, currencies=("USD", "DOLLAR")), "'DOLLAR' is not an ISO 4217"),
        (price_plan(CARD, cycle=monthly("32")), "dayOffset"),
        (price_plan(CARD, commitment="-1"), r"minimumCommitment.rateValues\[0\].rate: must not be negative"),
        (price_plan(CARD, name=""), "name: must be 1 to 50"),
        (price_plan(CARD, name="x" * 51), "name: must be 1 to 50"),
        (
            price_plan(usage_card(SlabSample("0", "1", minimum="2", maximum="1"))),
            "slabRateConfig: minimumRate is above maximumRate",
        ),
        (
            price_plan(usage_card(SlabSample("0", "1"), card_bounds=bounds("2", "1"))),
            "rateConfig: minimumRate is above",
        ),
    ],
)
def test_an_unsound_plan_is_refused_by_field(plan: PricePlan, message: str) -> None:
    """What cannot price some usage in some currency is refused when it is defined, not when it is billed."""
    with pytest.raises(Invalid, match=message):
        check_price_plan(plan, items=PricedItems(meter_ids=METERS))


def test_package_size_belongs_to_packages_only() -> None:
    slab = msgspec.structs.replace(CARD.rate_plan.slabs[0], package_size=Decimal(5))
    card = msgspec.structs.replace(CARD, rate_plan=msgspec.structs.replace(CARD.rate_plan, slabs=(slab,)))
    with pytest.raises(Invalid, match="packageSize: only for price type PACKAGE"):
        check_price_plan(price_plan(card), items=PricedItems(meter_ids=METERS))


def test_a_commitment_needs_every_currency() -> None:
    plan = price_plan(CARD, commitment="10")
    plan = msgspec.structs.replace(plan, minimum_commitment=MinimumCommitment(display_name="Minimum", rates=()))
    with pytest.raises(Invalid, match=r"minimumCommitment\.rateValues: no rate in USD"):
        check_price_plan(plan, items=PricedItems(meter_ids=METERS))


def test_a_plan_reads_back_to_the_same_digits() -> None:
    """Stored as JSON text, no rate loses a digit or a trailing zero."""
    plan = price_plan(usage_card(SlabSample("0.10", "0.1234567890123456789012345678901234567890", package="3")))
    assert msgspec.json.decode(msgspec.json.encode(plan), type=PricePlan) == plan


# ---- activating --------------------------------------------------------------------------------------------------


def draft(*currencies: str) -> PricePlan:
    return price_plan(currencies=currencies, status=PricePlanStatus.DRAFT)


def test_activating_opens_the_named_currencies() -> None:
    plan = activated(draft("USD", "EUR", "JPY"), currencies=["JPY"], now=NOW)
    assert (plan.status, plan.active_currencies) == (PricePlanStatus.ACTIVE, ("JPY",))
    assert activated(plan, currencies=["USD"], now=NOW).active_currencies == ("USD", "JPY")


def test_activating_an_unsupported_currency_is_refused() -> None:
    with pytest.raises(Invalid, match="EUR is not among"):
        activated(draft("USD"), currencies=["EUR"], now=NOW)
    with pytest.raises(Invalid, match="at least one"):
        activated(draft("USD"), currencies=[], now=NOW)


def test_an_archived_plan_stays_archived() -> None:
    with pytest.raises(Conflict):
        activated(price_plan(status=PricePlanStatus.ARCHIVED), currencies=["USD"], now=NOW)


def test_an_account_is_billed_only_by_a_plan_active_in_its_currency() -> None:
    check_associable(price_plan(CARD), currency="USD")
    with pytest.raises(Invalid, match="is DRAFT; activate it first"):
        check_associable(draft("USD"), currency="USD")
    with pytest.raises(Invalid, match="not active in EUR"):
        check_associable(price_plan(CARD), currency="EUR")


# ---- schedules ---------------------------------------------------------------------------------------------------


def schedule(plan_id: str, start: str, end: str | None = None) -> PricingSchedule:
    end_date = FOREVER if end is None else date.fromisoformat(end)
    return new_schedule(
        price_plan(plan_id=plan_id),
        schedule_id=f"sch.{plan_id}",
        start_date=date.fromisoformat(start),
        end_date=end_date,
    )


def shown(schedules: tuple[PricingSchedule, ...]) -> list[tuple[str, str, str]]:
    return [(item.plan_id, str(item.start_date), str(item.end_date)) for item in schedules]


def test_a_window_in_the_middle_splits_the_schedule() -> None:
    """Contract 3.7: A for ever, then B for three months, gives A, B, A."""
    schedules = associate((schedule("A", "2022-01-01"),), schedule("B", "2022-07-04", "2022-10-04"))
    assert shown(schedules) == [
        ("A", "2022-01-01", "2022-07-04"),
        ("B", "2022-07-04", "2022-10-04"),
        ("A", "2022-10-04", "9999-01-01"),
    ]


def test_a_new_association_takes_what_it_covers() -> None:
    schedules = associate((), schedule("A", "2022-01-01", "2022-03-01"))
    schedules = associate(schedules, schedule("B", "2022-03-01", "2022-05-01"))
    assert shown(associate(schedules, schedule("C", "2022-02-01"))) == [
        ("A", "2022-01-01", "2022-02-01"),
        ("C", "2022-02-01", "9999-01-01"),
    ]


def test_a_past_association_lands_before_what_is_there() -> None:
    schedules = associate((schedule("A", "2022-06-01"),), schedule("B", "2022-01-01", "2022-03-01"))
    assert shown(schedules) == [("B", "2022-01-01", "2022-03-01"), ("A", "2022-06-01", "9999-01-01")]


def test_disassociating_cuts_a_hole() -> None:
    schedules = disassociate((schedule("A", "2022-01-01"),), start_date=date(2022, 2, 1), end_date=date(2022, 3, 1))
    assert shown(schedules) == [("A", "2022-01-01", "2022-02-01"), ("A", "2022-03-01", "9999-01-01")]
    assert schedule_on(schedules, date(2022, 2, 1)) is None
    assert schedule_on(schedules, date(2022, 3, 1)) is schedules[1]


def test_a_cut_schedule_keeps_its_anniversary() -> None:
    """The tail after a hole is still counted from the day of association."""
    plan = price_plan(cycle=monthly(None, anniversary=True))
    schedules = (new_schedule(plan, schedule_id="sch.1", start_date=date(2022, 1, 12)),)
    _, tail = disassociate(schedules, start_date=date(2022, 2, 1), end_date=date(2022, 3, 1))
    assert (tail.cycle.day_offset, tail.association_date) == ("12", date(2022, 1, 12))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2022-01-01", "2022-01-01"),
        ("2022-01-02", "2022-01-01"),
        ("1969-12-31", "2022-01-01"),
        ("2022-01-01", "9999-01-02"),
    ],
)
def test_impossible_windows_are_refused(start: str, end: str) -> None:
    with pytest.raises(Invalid, match="effective"):
        schedule("A", start, end)
