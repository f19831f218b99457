from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from invoice_samples import draft_advance_invoice_of, draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, fixed_fee, monthly, price_plan, usage_card

from tallybook.core.advance_lines import advance_lines
from tallybook.core.billed_cycle import billed_cycle, cycle_after
from tallybook.core.customer import Address
from tallybook.core.errors import Invalid
from tallybook.core.fixed_fee import fee_in
from tallybook.core.invoice import (
    AdvanceCharge,
    BilledAccount,
    Invoice,
    InvoiceLine,
    InvoiceType,
    UsageLine,
    shown_amount,
)
from tallybook.core.period import Window, cycles_from
from tallybook.core.price_plan import PricedItems, PricePlan, check_price_plan
from tallybook.core.pricing_schedule import PricingSchedule, associate, disassociate, new_schedule
from tallybook.core.rate_card import FixedFeeRateCard

NOVEMBER = Window(date(2023, 11, 1), date(2023, 12, 1))
DECEMBER = Window(date(2023, 12, 1), date(2024, 1, 1))
FROM_THE_ELEVENTH = Window(date(2023, 11, 11), date(2023, 12, 1))
COMPUTED_AT = datetime(2023, 11, 20, tzinfo=UTC)
ACCOUNT = BilledAccount(
    account_id="ACC-1",
    account_name="First customer",
    customer_id="CUS-1",
    customer_name="First customer",
    customer_email="hello@example.com",
    email="bills@example.com",
    address=Address(),
    currency="USD",
)


def day(text: str) -> date:
    return date.fromisoformat(text)


def amount(card: FixedFeeRateCard, window: Window, *, number: int = 0, opens: bool = True) -> Decimal | None:
    fee = fee_in(card, cycle_in(price_plan(card), window, number=number, opens=opens), currency="USD")
    return None if fee is None else fee.amount


def test_a_prorated_fee_is_charged_by_days() -> None:
    """Contract 3.6: 90 a month, joined on day 11 of 30: 20 days are 60."""
    assert amount(fixed_fee("90", prorated=True), FROM_THE_ELEVENTH) == 60
    assert amount(fixed_fee("90", prorated=True), NOVEMBER) == 90


def test_another_fee_is_charged_whole_in_a_stub() -> None:
    assert amount(fixed_fee("90"), FROM_THE_ELEVENTH) == 90


def test_a_fee_is_shared_by_the_days_of_the_full_cycle() -> None:
    """Contract 3.6: the denominator is the full cycle's days, here January's 31, for a stub too."""
    plan = price_plan(fixed_fee("920", prorated=True), cycle=monthly("1"))
    fee = fee_in(plan.fee_cards[0], cycle_in(plan, (day("2024-01-31"), day("2024-02-01"))), currency="USD")
    assert fee is not None
    assert (fee.days, fee.days_in_cycle) == (1, 31)
    assert fee.amount.quantize(Decimal("0.0001")) == Decimal("29.6774")  # 920 ÷ 31


@pytest.mark.parametrize(
    ("interval", "offset", "charged"),
    [
        (1, 0, [0, 1, 2, 3, 4, 5, 6]),
        (2, 0, [0, 2, 4, 6]),
        (3, 0, [0, 3, 6]),
        (1, 2, [2, 3, 4, 5, 6]),
        (3, 1, [1, 4]),
    ],
)
def test_a_fee_recurs_after_its_offset(interval: int, offset: int, charged: list[int]) -> None:
    """Contract 3.6: every second month, every quarter; an offset is a free trial."""
    card = fixed_fee("10", interval=interval, offset=offset)
    assert [number for number in range(7) if amount(card, NOVEMBER, number=number) == 10] == charged


def test_a_one_time_fee_is_charged_once() -> None:
    """In the cycle of the offset, and in its first part alone where another plan cuts the cycle in two."""
    card = fixed_fee("10", one_time=True, offset=1)
    assert [amount(card, NOVEMBER, number=number) for number in range(4)] == [None, 10, None, None]
    assert amount(card, FROM_THE_ELEVENTH, number=1, opens=False) is None


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (fixed_fee("10", interval=0), r"fixedFeeRateCards\[0\].recurrenceConfig.interval: must be 1 to 1000"),
        (fixed_fee("10", offset=-1), r"recurrenceConfig.offset: must be 0 to 1000"),
        (fixed_fee("10", one_time=True, interval=2), "a ONE_TIME fee does not recur"),
        (fixed_fee("10", add_on_id="add_on.9"), r"fixedFeeRateCards\[0\].id: no add-on 'add_on.9' of type FIXED_FEE"),
        (fixed_fee("10", currencies=("EUR",)), r"rateValues: no rate in USD"),
        (fixed_fee("NaN"), r"rateValues\[0\].rate: must be a number"),
        (fixed_fee("10", tag="x" * 256), "names and tags have at most 255 characters"),
        (fixed_fee("10", display_name="x" * 256), "names and tags have at most 255 characters"),
    ],
)
def test_fees_that_could_not_be_charged_are_refused(card: FixedFeeRateCard, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_price_plan(price_plan(card), items=PricedItems(fixed_fee_ids={"add_on.1"}))


def test_an_add_on_has_one_card() -> None:
    """Contract 3.6: one rate card for each billable item of a plan."""
    cards = (fixed_fee("10"), fixed_fee("20"))
    with pytest.raises(Invalid, match="is used twice"):
        check_price_plan(price_plan(*cards), items=PricedItems(fixed_fee_ids={"add_on.1"}))


# ---- cycles of an association ------------------------------------------------------------------------------------


def cycles_of(schedules: tuple[PricingSchedule, ...], plan: PricePlan) -> list[tuple[str, int, bool]]:
    found = []
    for schedule in schedules:
        for window, _ in zip(cycles_from(schedule.cycle, within=schedule.window), range(3), strict=False):
            billed = billed_cycle(plan, schedule, window, schedules=schedules)
            found.append((str(window.start), billed.number, billed.opens))
    return found


def test_cycles_are_numbered_over_a_hole() -> None:
    """The association goes on after the hole: the second part of a cycle has the number of the first."""
    plan = price_plan(fixed_fee("10"))
    whole = (new_schedule(plan, schedule_id="sch.1", start_date=day("2024-01-15"), end_date=day("2024-04-01")),)
    cut = disassociate(whole, start_date=day("2024-02-10"), end_date=day("2024-02-20"))
    assert cycles_of(cut, plan) == [
        ("2024-01-15", 0, True),
        ("2024-02-01", 1, True),
        ("2024-02-20", 1, False),
        ("2024-03-01", 2, True),
    ]


def test_a_new_association_of_the_same_plan_counts_anew() -> None:
    plan = price_plan(fixed_fee("10"))
    first = new_schedule(plan, schedule_id="sch.1", start_date=day("2024-01-15"), end_date=day("2024-02-10"))
    second = new_schedule(plan, schedule_id="sch.2", start_date=day("2024-02-10"), end_date=day("2024-03-01"))
    assert cycles_of(associate([first], second), plan)[-1] == ("2024-02-10", 0, True)


def test_the_cycle_after_a_hole_follows_nothing() -> None:
    plan = price_plan(fixed_fee("10"))
    whole = (new_schedule(plan, schedule_id="sch.1", start_date=day("2024-01-01"), end_date=day("2024-04-01")),)
    cut = disassociate(whole, start_date=day("2024-02-01"), end_date=day("2024-02-20"))
    assert cycle_after(cut, Window(day("2024-01-01"), day("2024-02-01"))) is None
    following = cycle_after(cut, Window(day("2024-02-20"), day("2024-03-01")))
    assert following is not None
    assert following[1] == Window(day("2024-03-01"), day("2024-04-01"))


# ---- on the invoice ----------------------------------------------------------------------------------------------


def draft(plan: PricePlan, *, following: bool = False, charged: dict[str, Decimal] | None = None) -> Invoice:
    return draft_invoice_of(
        ACCOUNT,
        organisation_id="org",
        cycle=cycle_in(plan, NOVEMBER),
        usage=[
            UsageLine(meter_id=card.meter_id, meter_version=1, name="m", units=Decimal(250), event_count=1)
            for card in plan.usage_cards
        ],
        computed_at=COMPUTED_AT,
        charged=charged,
        following=cycle_in(plan, DECEMBER, number=1) if following else None,
    )


def amounts(line: InvoiceLine) -> dict[str, Decimal]:
    found = {line.line_id: line.amount.amount}
    for child in line.lines:
        found |= amounts(child)
    return found


def test_fees_in_arrears_count_towards_the_commitment() -> None:
    """Contract 3.9: usage 250 and fee 100 are 350; commitment 500 leaves a true-up of 150."""
    found = amounts(draft(price_plan(usage_card(SlabSample("0", "1")), fixed_fee("100"), commitment="500")).revenue)
    assert found["FIXED_FEE_RATE_CARD_AMOUNT.add_on.1"] == 100
    assert found["SUB_TOTAL_AMOUNT"] == 350
    assert found["TRUE_UP_AMOUNT"] == 150
    assert found["GRAND_TOTAL_AMOUNT"] == 500


def test_fees_in_advance_stand_on_the_invoice_of_the_cycle_before() -> None:
    """Contract 3.6 and 3.9: outside the plan's amount, so the commitment is trued up without them."""
    plan = price_plan(usage_card(SlabSample("0", "1")), fixed_fee("100", advance=True), commitment="300")
    invoice = draft(plan, following=True, charged={"add_on.1": Decimal(100)})
    found = amounts(invoice.revenue)
    assert found["TOTAL_ADVANCED_FEES"] == found["ADVANCED_FIXED_FEE.add_on.1.2023-12-01"] == 100
    assert found["PRICE_PLAN_AMOUNT"] == 300
    assert found["GROSS_AMOUNT"] == 400
    assert invoice.advance == (AdvanceCharge(start_date=date(2023, 12, 1), add_on_id="add_on.1", amount=Decimal(100)),)


def test_what_was_not_charged_in_advance_is_charged_with_the_cycle() -> None:
    found = amounts(draft(price_plan(fixed_fee("100", advance=True))).revenue)
    assert found["ADVANCED_FIXED_FEE.add_on.1.2023-11-01"] == found["GRAND_TOTAL_AMOUNT"] == 100


def test_what_was_charged_for_days_that_are_no_longer_billed_comes_back() -> None:
    """90 were charged for November; the plan ended on the 20th, so 20 of 30 days are due, 60: 30 come back."""
    plan = price_plan(fixed_fee("90", advance=True, prorated=True))
    cycle = cycle_in(plan, (date(2023, 11, 1), date(2023, 11, 21)))
    [(charge, line, _)] = advance_lines(cycle, {"add_on.1": Decimal(90)}, "USD", "exact")
    assert (charge.amount, charge.start_date) == (-30, date(2023, 11, 1))
    assert [shown_amount(part) for part in line.lines] == [60, -90]


def test_the_first_cycle_has_an_invoice_for_what_is_due_in_advance() -> None:
    """Nothing else is on it, and without fees in advance there is none."""
    plan = price_plan(fixed_fee("100", advance=True), fixed_fee("7", add_on_id="add_on.2"), commitment="1000")
    invoice = draft_advance_invoice_of(
        ACCOUNT, organisation_id="org", cycle=cycle_in(plan, NOVEMBER), charged={}, computed_at=COMPUTED_AT
    )
    assert invoice is not None
    assert invoice.invoice_type is InvoiceType.STANDARD_ADVANCED
    assert (invoice.total, invoice.invoice_date) == (100, date(2023, 11, 1))
    assert "PRICE_PLAN_AMOUNT" not in amounts(invoice.revenue)
    trial = price_plan(fixed_fee("100", advance=True, offset=1))
    assert (
        draft_advance_invoice_of(
            ACCOUNT, organisation_id="org", cycle=cycle_in(trial, NOVEMBER), charged={}, computed_at=COMPUTED_AT
        )
        is None
    )
