"""What-if over history: what a plan would have charged an account for days on which it was billed by others.

Both sides are priced in the same way: the account's own plans, and the other plan as if it had billed the account all
along, from the first day of each unbroken time under plans. Credits, charges and tax do not come from a plan and are
left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import assert_never

import msgspec

from tallybook.core.aggregation import Aggregation
from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.credit_grant import sale_in
from tallybook.core.customer import Address
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Invalid
from tallybook.core.expression_dialects import EXACT_DIALECT
from tallybook.core.fixed_fee import fee_in
from tallybook.core.instant import hours_since_1970
from tallybook.core.invoice import BilledAccount
from tallybook.core.invoice_inputs import BilledMeter, HourOfUsage, InvoiceInputs, cycle_inputs
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.licence_pricing import licences_amount
from tallybook.core.period import FOREVER, Window, cycles_from, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing import amount_of, commitment_of, sum_exactly
from tallybook.core.pricing_schedule import SCHEDULE_START_MIN, PricingSchedule, new_schedule
from tallybook.core.rate_card import (
    CreditGrantRateCard,
    FixedFeeRateCard,
    InvoiceTiming,
    LicenceRateCard,
    RateCard,
    UsageRateCard,
)

PERIOD_DAYS_MAX = 366  # twelve months; every account's cycles in it are priced twice


class SimulatedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What the account's own plans and the simulated one come to, each cycle cut to the minor unit as invoices are."""

    account_id: str
    currency: str
    old_amount: Decimal
    new_amount: Decimal
    old_cycles: int
    new_cycles: int

    @property
    def difference(self) -> Decimal:
        """How much more the simulated plan comes to."""
        return EXACT.subtract(self.new_amount, self.old_amount)


class SimulatedTotal(msgspec.Struct, frozen=True, kw_only=True):
    """The sums over the accounts of one currency."""

    currency: str
    accounts: int
    old_amount: Decimal
    new_amount: Decimal

    @property
    def difference(self) -> Decimal:
        """How much more the simulated plan comes to."""
        return EXACT.subtract(self.new_amount, self.old_amount)


def totals_of(accounts: Iterable[SimulatedAccount]) -> list[SimulatedTotal]:
    """A total for each currency, by its code."""
    by_currency: dict[str, list[SimulatedAccount]] = {}
    for account in accounts:
        by_currency.setdefault(account.currency, []).append(account)
    return [
        SimulatedTotal(
            currency=currency,
            accounts=len(found),
            old_amount=sum_exactly([account.old_amount for account in found]),
            new_amount=sum_exactly([account.new_amount for account in found]),
        )
        for currency, found in sorted(by_currency.items())
    ]


def check_period(period: Window) -> None:
    """Refuse a period that is empty or too long. Raises `Invalid`."""
    if not SCHEDULE_START_MIN <= period.start < period.end:
        raise Invalid(f"startDate: must be from {SCHEDULE_START_MIN} on and before endDate")
    if period.end > FOREVER:
        raise Invalid(f"endDate: {FOREVER} is for ever; nothing is later")
    if (period.end - period.start).days > PERIOD_DAYS_MAX:
        raise Invalid(f"endDate: at most {PERIOD_DAYS_MAX} days after startDate")


# ---- cycles ------------------------------------------------------------------------------------------------------


def simulated_schedules(
    schedules: Sequence[PricingSchedule], plan: PricePlan, period: Window
) -> tuple[PricingSchedule, ...]:
    """The schedules that the account would have if `plan` had billed it on the same days, all along.

    An account that never had a plan is billed on the whole period.
    """
    return tuple(
        new_schedule(plan, schedule_id="", start_date=start, end_date=end)
        for start, end in _unbroken(schedules) or [period]
    )


def _unbroken(schedules: Iterable[PricingSchedule]) -> list[Window]:
    """The times under plans, without the borders between one plan and the next; in date order."""
    times: list[Window] = []
    for schedule in sorted(schedules, key=lambda schedule: schedule.start_date):
        if times and times[-1].end == schedule.start_date:
            times[-1] = times[-1]._replace(end=schedule.end_date)
        else:
            times.append(Window(schedule.start_date, schedule.end_date))
    return times


def cycles_within(schedules: Sequence[PricingSchedule], period: Window) -> Iterator[tuple[PricingSchedule, Window]]:
    """The cycles of the schedules, cut to the period, each with its schedule; oldest first."""
    for schedule in schedules:
        within = Window(max(schedule.start_date, period.start), min(schedule.end_date, period.end))
        for window in cycles_from(schedule.cycle, within=within):
            yield schedule, window


# ---- the price of a cycle ----------------------------------------------------------------------------------------


def cycle_amount(
    cycle: BilledCycle, quantities: Mapping[str, Decimal], currency: str, *, dialect: str = EXACT_DIALECT.name
) -> Decimal:
    """What the cycle comes to by its plan, exact: cards, pricing rules in the dialect, and the true-up.

    What is due in advance for the cycle counts in it. `quantities` are by meter id. The gross amount of an invoice that
    charges the cycle alone; a plan without rules is added up without the lines, which take most of the time.
    """
    if cycle.plan.pricing_rules:
        return _invoiced_amount(cycle, quantities, currency, dialect)
    in_arrears: list[Decimal] = []
    in_advance: list[Decimal] = []
    for card in cycle.plan.rate_cards:
        amount = _card_amount(card, cycle, quantities, currency)
        (in_advance if _is_in_advance(card) else in_arrears).append(amount)
    of_plan = sum_exactly(in_arrears)
    if cycle.plan.minimum_commitment is not None:
        of_plan = max(of_plan, commitment_of(cycle.plan, currency))
    return sum_exactly([of_plan, *in_advance])


def _is_in_advance(card: RateCard) -> bool:
    return not isinstance(card, UsageRateCard) and card.timing is InvoiceTiming.IN_ADVANCE


def _card_amount(card: RateCard, cycle: BilledCycle, quantities: Mapping[str, Decimal], currency: str) -> Decimal:
    match card:
        case UsageRateCard():
            return amount_of(quantities[card.meter_id], card.rate_plan, card.rate_values, currency=currency)
        case FixedFeeRateCard():
            fee = fee_in(card, cycle, currency=currency)
            return ZERO if fee is None else fee.amount
        case LicenceRateCard():
            return licences_amount(card, cycle, currency=currency)
        case CreditGrantRateCard():
            sale = sale_in(card, cycle, currency=currency)
            return ZERO if sale is None else sale.amount
        case _:
            assert_never(card)


def _invoiced_amount(cycle: BilledCycle, quantities: Mapping[str, Decimal], currency: str, dialect: str) -> Decimal:
    """The total of an invoice for the cycle and nothing else, addressed to nobody."""
    start = hours_since_1970(midnight(cycle.window.start))
    inputs = InvoiceInputs(
        organisation_id="",
        account=_nobody(currency),
        cycle=cycle_inputs(cycle, None),
        meters=tuple(
            BilledMeter(meter_id=card.meter_id, version=1, name=card.name, aggregation=Aggregation.SUM)
            for card in cycle.plan.usage_cards
        ),
        usage={
            card.meter_id: (HourOfUsage(hour=start, units=quantities[card.meter_id], event_count=1),)
            for card in cycle.plan.usage_cards
        },
        dialect=dialect,
    )
    plans = {(cycle.plan.plan_id, cycle.plan.version): cycle.plan}
    invoice = invoice_of(inputs, plans, computed_at=midnight(cycle.window.end))
    assert invoice is not None, "an invoice of a cycle is always there"
    return invoice.revenue.amount.amount


def _nobody(currency: str) -> BilledAccount:
    return BilledAccount(
        account_id="",
        account_name="",
        customer_id="",
        customer_name="",
        customer_email="",
        email="",
        address=Address(),
        currency=currency,
    )
