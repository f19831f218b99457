"""Drawing up one invoice: gathering its inputs from what is stored, and computing it from them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import groupby

import msgspec

from tallybook.core.account import Account
from tallybook.core.advance_lines import advance_lines
from tallybook.core.billed_cycle import BilledCycle, billed_cycle, cycle_after
from tallybook.core.credit import UsableCredit, credits_after, is_effective_in
from tallybook.core.errors import Conflict
from tallybook.core.invoice import AdvanceCharge, BilledAccount, Invoice, InvoiceType, invoice_id_for
from tallybook.core.invoice_inputs import (
    Adjustments,
    BilledMeter,
    CycleInputs,
    HourOfUsage,
    InvoiceInputs,
    LateCycle,
    cycle_inputs,
)
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.late_usage import said_lines
from tallybook.core.licence import held_runs
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.core.period import Window, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_rule import rules_of
from tallybook.core.pricing_schedule import PricingSchedule, plan_as_billed
from tallybook.core.rate_card import InvoiceTiming, LicenceRateCard
from tallybook.core.tax import TaxInputs
from tallybook.core.usage_meter import UsageMeter
from tallybook.flows.books import Books, ChargedByDay
from tallybook.flows.find_cycles import Cycle, begun_cycles, open_cycles, opens_series
from tallybook.storage import late_usage, ledger
from tallybook.storage.usage import UsageRow

DrawnUp = tuple[Invoice, InvoiceInputs]


def draw_up(books: Books, account: Account, cycle: Cycle, computed_at: datetime) -> DrawnUp | None:
    """The cycle's invoice as of now, with what it was computed from; None when there is nothing to charge in advance.

    Raises `NotFound` or `Conflict` when a definition it needs is not there.
    """
    if not _may_charge(books, account, cycle):
        return None
    return _drawn_up(books, account, cycle, computed_at, _credits_left(books, account, cycle, computed_at))


def drafts_in_order(
    books: Books, account: Account, cycles: Iterable[Cycle], computed_at: datetime
) -> Iterator[tuple[Cycle, Invoice]]:
    """The drafts of cycles that are issued one after the other: each finds what those before it leave of the credits.

    Those that find none, being for other days, are left out. Raises `NotFound` or `Conflict`.
    """
    credits = books.credits(account.account_id)
    for cycle in cycles:
        finds_some = any(is_effective_in(credit, cycle.window) for credit in credits)
        may_charge = finds_some and _may_charge(books, account, cycle)
        drawn_up = _drawn_up(books, account, cycle, computed_at, credits) if may_charge else None
        if drawn_up is not None:
            yield cycle, drawn_up[0]
            credits = credits_after(credits, drawn_up[0].credits_used)


def _drawn_up(
    books: Books, account: Account, cycle: Cycle, computed_at: datetime, credits: Sequence[UsableCredit]
) -> DrawnUp | None:
    inputs = _gathered(books, account, cycle, computed_at, credits)
    invoice = invoice_of(inputs, books.plans, computed_at=computed_at)
    return None if invoice is None else (invoice, inputs)


def gathered(books: Books, account: Account, cycle: Cycle, computed_at: datetime) -> InvoiceInputs:
    """All that the cycle's invoice is computed from."""
    return _gathered(books, account, cycle, computed_at, _credits_left(books, account, cycle, computed_at))


def _credits_left(books: Books, account: Account, cycle: Cycle, computed_at: datetime) -> Sequence[UsableCredit]:
    """What finalised invoices, and drafts that are issued before the cycle's, leave of the account's credits."""
    credits = books.credits(account.account_id)
    if not credits:
        return ()
    open_ones = open_cycles(account, computed_at, books.invoiced_starts(account.account_id))
    earlier = [each for each in open_ones if each.issue_order < cycle.issue_order]
    for _, draft in drafts_in_order(books, account, earlier, computed_at):
        credits = credits_after(credits, draft.credits_used)
    return credits


def _gathered(
    books: Books, account: Account, cycle: Cycle, computed_at: datetime, credits: Sequence[UsableCredit]
) -> InvoiceInputs:
    billed = _billed(books, account, cycle.schedule, cycle.window, computed_at)
    inputs = InvoiceInputs(
        organisation_id=books.organisation_id,
        invoice_type=cycle.invoice_type,
        account=billed_account(books, account),
        cycle=cycle_inputs(billed, cycle.schedule.override),
        charged=_charges(_charged_for(books, account, cycle, billed)),
        first_day=computed_at.date() if cycle.invoice_type is InvoiceType.ADHOC_ADVANCED else None,
        adjustments=_adjustments(books, account, cycle, computed_at, credits),
        dialect=books.choices.expression_dialect.value,
        number_prefix=books.choices.invoice_number_prefix,
    )
    if cycle.invoice_type is not InvoiceType.STANDARD:
        return inputs
    meters = books.meters([card.meter_id for card in billed.plan.usage_cards])
    return msgspec.structs.replace(
        inputs,
        following=_following(books, account, cycle, computed_at),
        meters=tuple(_billed_meter(meter) for meter in meters),
        usage=hours_of(books.usage(account.account_id, cycle.window), meters),
        positions=books.positions,
    )


def _may_charge(books: Books, account: Account, cycle: Cycle) -> bool:
    """Whether the invoice is worth computing; one that charges in advance seldom is."""
    if cycle.invoice_type is InvoiceType.STANDARD:
        return True
    plan = schedule_plan(books, cycle.schedule)
    if cycle.invoice_type is InvoiceType.ADHOC_ADVANCED:
        in_advance = any(isinstance(card, LicenceRateCard) for card in plan.advance_cards)
        return in_advance and books.has_licences(account.account_id)
    charged = books.charged_in_advance(account.account_id, cycle.window)
    may_be_due = plan.advance_cards or rules_of(plan.pricing_rules, InvoiceTiming.IN_ADVANCE)
    return bool(may_be_due) and cycle.window.start not in charged


# ---- cycles ------------------------------------------------------------------------------------------------------


def _billed(
    books: Books, account: Account, schedule: PricingSchedule, window: Window, known_at: datetime
) -> BilledCycle:
    """The cycle, with what is held on its days as far as it has taken effect then; at least when the window begins."""
    plan = schedule_plan(books, schedule)
    if account.currency not in plan.supported_currencies:
        raise Conflict(f"price plan {plan.plan_id} has no rates in {account.currency}, the account's currency")
    until = max(known_at, midnight(window.start))
    held = {
        card.add_on_id: held_runs(books.licence_updates(account.account_id, card.add_on_id, until=until), window)
        for card in plan.licence_cards
    }
    return billed_cycle(plan, schedule, window, schedules=account.schedules, held=held)


def _following(books: Books, account: Account, cycle: Cycle, known_at: datetime) -> CycleInputs | None:
    """The cycle after this one."""
    found = cycle_after(account.schedules, cycle.window)
    if found is None:
        return None
    schedule, window = found
    return cycle_inputs(_billed(books, account, schedule, window, known_at), schedule.override)


def _charged_for(books: Books, account: Account, cycle: Cycle, billed: BilledCycle) -> ChargedByDay:
    """What was charged in advance for the cycle and the following one.

    While the invoice that opens a series is a draft itself, what it is going to charge counts as charged, so that
    the two drafts do not both show it. A bill run issues that one first.
    """
    charged = books.charged_in_advance(account.account_id, cycle.window)
    start = billed.window.start
    is_settled = start in charged or cycle.invoice_type is not InvoiceType.STANDARD
    if is_settled or start != cycle.schedule.start_date or not opens_series(account, cycle.schedule):
        return charged
    due = advance_lines(billed, {}, account.currency, books.choices.expression_dialect.value)
    return {**charged, start: {each.charge.add_on_id: each.charge.amount for each in due}}


def _charges(charged: ChargedByDay) -> tuple[AdvanceCharge, ...]:
    return tuple(
        AdvanceCharge(start_date=start, add_on_id=add_on_id, amount=amount)
        for start, amounts in sorted(charged.items())
        for add_on_id, amount in sorted(amounts.items())
    )


def schedule_plan(books: Books, schedule: PricingSchedule) -> PricePlan:
    """The plan that the schedule names, with what the account has different. Raises `NotFound`."""
    return plan_as_billed(books.plan(schedule.plan_id, schedule.plan_version), schedule)


# ---- besides the plan --------------------------------------------------------------------------------------------


def _adjustments(
    books: Books, account: Account, cycle: Cycle, computed_at: datetime, credits: Sequence[UsableCredit]
) -> Adjustments:
    """What the account's next invoice carries besides its plan is only on that of its oldest open cycle."""
    account_id = account.account_id
    comes_next = cycle.invoice_type is InvoiceType.STANDARD and cycle.window.start == _oldest_open(
        books, account, computed_at
    )
    return Adjustments(
        late=tuple(late_cycles(books, account_id)) if comes_next else (),
        credits=tuple(credit for credit in credits if is_effective_in(credit, cycle.window)),
        charges=_charges_put_on(books, account_id, cycle, comes_next=comes_next),
        tax=TaxInputs(rates=books.tax_rates(account_id)),
    )


def _oldest_open(books: Books, account: Account, now: datetime) -> date | None:
    invoiced = books.invoiced_starts(account.account_id)
    starts = (cycle.window.start for cycle in begun_cycles(account, now))
    return next((start for start in starts if start not in invoiced), None)


def _charges_put_on(
    books: Books, account_id: str, cycle: Cycle, *, comes_next: bool
) -> tuple[MiscellaneousCharge, ...]:
    pending = books.pending_charges(account_id)
    if not pending.by_invoice and not pending.next_invoice:
        return ()
    invoice_id = invoice_id_for(books.organisation_id, account_id, cycle.window.start, cycle.invoice_type)
    return (*pending.by_invoice.get(invoice_id, ()), *(pending.next_invoice if comes_next else ()))


def late_cycles(books: Books, account_id: str) -> Iterable[LateCycle]:
    """The invoiced cycles whose usage has changed since, with what has been said of them."""
    invoice_ids = books.late_invoices(account_id)
    if not invoice_ids:
        return
    posted = late_usage.posted_lines(books.connection, books.organisation_id, invoice_ids)
    for invoice_id in invoice_ids:
        invoice = ledger.invoice(books.connection, books.organisation_id, invoice_id)
        inputs = ledger.inputs(books.connection, books.organisation_id, invoice_id)
        assert invoice is not None, "only issued invoices are noted"
        assert inputs is not None, "an invoice has its inputs"
        yield LateCycle(
            invoice_id=invoice_id,
            inputs=_with_usage_of_now(books, inputs),
            invoiced=said_lines(invoice.gross),
            posted=posted.get(invoice_id, ()),
        )


def _with_usage_of_now(books: Books, inputs: InvoiceInputs) -> InvoiceInputs:
    """The inputs of then with the usage as it is now, and the plans that they need."""
    assert inputs.cycle is not None, "only invoices of cycles bill usage"
    for cycle in (inputs.cycle, inputs.following):
        if cycle is not None:
            books.plan(cycle.plan_id, cycle.plan_version)
    rows = books.usage(inputs.account.account_id, inputs.cycle.window)
    return msgspec.structs.replace(
        inputs, usage=hours_of(rows, inputs.meters), positions=books.positions, adjustments=Adjustments()
    )


# ---- who and what ------------------------------------------------------------------------------------------------


def billed_account(books: Books, account: Account) -> BilledAccount:
    """The account as it stands on an invoice."""
    customer = books.customer(account)
    return BilledAccount(
        account_id=account.account_id,
        account_name=account.name,
        customer_id=customer.customer_id,
        customer_name=customer.name,
        customer_email=customer.primary_email,
        email=account.primary_email or customer.primary_email,
        address=account.address or customer.address,
        currency=account.currency,
        net_term_days=account.net_term_days or 0,
    )


def _billed_meter(meter: UsageMeter) -> BilledMeter:
    return BilledMeter(
        meter_id=meter.meter_id,
        version=meter.version,
        name=meter.billable_name or meter.name,
        aggregation=meter.aggregation,
    )


def hours_of(
    rows: Iterable[UsageRow], meters: Sequence[UsageMeter] | Sequence[BilledMeter]
) -> dict[str, tuple[HourOfUsage, ...]]:
    """The usage of those meters as inputs hold it; `rows` are in the order of meter and hour."""
    wanted = {meter.meter_id for meter in meters}
    return {
        meter_id: tuple(
            HourOfUsage(row.event_hour, row.units, row.event_count, tuple(sorted(row.values)) if row.values else ())
            for row in of_meter
        )
        for meter_id, of_meter in groupby(rows, key=lambda row: row.meter_id)
        if meter_id in wanted
    }
