"""Drawing up one invoice from what is stored: usage, definitions, and what was charged in advance."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import assert_never

from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.aggregation import mark_of, quantity_of
from tallybook.core.billed_cycle import BilledCycle, billed_cycle, cycle_after
from tallybook.core.errors import Conflict, NotFound
from tallybook.core.invoice import (
    AdvanceCharge,
    BilledAccount,
    FollowingCycle,
    Invoice,
    InvoiceInputs,
    InvoiceType,
    UsageLine,
)
from tallybook.core.invoice_lines import (
    advance_lines,
    draft_advance_invoice_of,
    draft_increase_invoice_of,
    draft_invoice_of,
)
from tallybook.core.licence import HeldRun, held_runs
from tallybook.core.period import Window, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, plan_as_billed
from tallybook.core.rate_card import LicenceRateCard
from tallybook.core.usage_meter import UsageMeter
from tallybook.flows.find_cycles import Cycle, opens_series
from tallybook.storage import customers, ledger, licences, plans, schemas
from tallybook.storage.licences import updates_in
from tallybook.storage.usage import UsageRow, rows_by_meter, usage_rows

DrawnUp = tuple[Invoice, InvoiceInputs]


def draw_up(
    connection: Connection, organisation_id: str, account: Account, cycle: Cycle, computed_at: datetime
) -> DrawnUp | None:
    """The cycle's invoice as of now, with what it was computed from; None when there is nothing to charge in advance.

    Raises `NotFound` or `Conflict` when a definition it needs is not there.
    """
    match cycle.invoice_type:
        case InvoiceType.STANDARD:
            return _standard_invoice(connection, organisation_id, account, cycle, computed_at)
        case InvoiceType.STANDARD_ADVANCED:
            return _advance_invoice(connection, organisation_id, account, cycle, computed_at)
        case InvoiceType.ADHOC_ADVANCED:
            return _increase_invoice(connection, organisation_id, account, cycle, computed_at)
        case _:
            assert_never(cycle.invoice_type)


def _standard_invoice(
    connection: Connection, organisation_id: str, account: Account, cycle: Cycle, computed_at: datetime
) -> DrawnUp:
    billed = _billed(connection, organisation_id, account, cycle.schedule, cycle.window, computed_at)
    following = _following(connection, organisation_id, account, cycle, billed.plan, computed_at)
    charged = ledger.charged_in_advance(connection, organisation_id, account.account_id, cycle.window)
    for_this = _charged_for(billed, charged, account, cycle.schedule)
    meters = [plan_meter(connection, organisation_id, card.meter_id) for card in billed.plan.usage_cards]
    priced_ids = {meter.meter_id for meter in meters}
    rows = rows_of(connection, organisation_id, account.account_id, cycle.window)
    rows = [row for row in rows if row.meter_id in priced_ids]
    draft = draft_invoice_of(
        _billed_account(connection, organisation_id, account),
        organisation_id=organisation_id,
        cycle=billed,
        usage=_usage_lines(meters, rows),
        computed_at=computed_at,
        charged=for_this,
        following=following,
        charged_for_following=charged.get(cycle.window.end, {}),
    )
    return draft, _inputs_of(organisation_id, draft, billed, rows=rows, following=following, charged=charged)


def _advance_invoice(
    connection: Connection, organisation_id: str, account: Account, cycle: Cycle, computed_at: datetime
) -> DrawnUp | None:
    billed = _billed(connection, organisation_id, account, cycle.schedule, cycle.window, computed_at)
    if not billed.plan.advance_cards:
        return None
    charged = ledger.charged_in_advance(connection, organisation_id, account.account_id, cycle.window)
    if cycle.window.start in charged:
        return None
    draft = draft_advance_invoice_of(
        _billed_account(connection, organisation_id, account),
        organisation_id=organisation_id,
        cycle=billed,
        charged={},
        computed_at=computed_at,
    )
    if draft is None:
        return None
    return draft, _inputs_of(organisation_id, draft, billed, rows=(), following=None, charged={})


def _increase_invoice(
    connection: Connection, organisation_id: str, account: Account, cycle: Cycle, computed_at: datetime
) -> DrawnUp | None:
    """What licences that were added during the cycle are charged at once, dated with the day on which that is done."""
    if not licences.has_updates(connection, organisation_id, account.account_id):
        return None
    billed = _billed(connection, organisation_id, account, cycle.schedule, cycle.window, computed_at)
    if not any(isinstance(card, LicenceRateCard) for card in billed.plan.advance_cards):
        return None
    charged = ledger.charged_in_advance(connection, organisation_id, account.account_id, cycle.window)
    draft = draft_increase_invoice_of(
        _billed_account(connection, organisation_id, account),
        organisation_id=organisation_id,
        cycle=billed,
        charged=charged.get(cycle.window.start, {}),
        computed_at=computed_at,
    )
    if draft is None:
        return None
    return draft, _inputs_of(organisation_id, draft, billed, rows=(), following=None, charged=charged)


# ---- cycles ------------------------------------------------------------------------------------------------------


def _billed(
    connection: Connection,
    organisation_id: str,
    account: Account,
    schedule: PricingSchedule,
    window: Window,
    known_at: datetime,
    plan: PricePlan | None = None,
) -> BilledCycle:
    plan = schedule_plan(connection, organisation_id, schedule) if plan is None else plan
    if account.currency not in plan.supported_currencies:
        raise Conflict(f"price plan {plan.plan_id} has no rates in {account.currency}, the account's currency")
    held = {
        card.add_on_id: _held(connection, organisation_id, account.account_id, card.add_on_id, window, known_at)
        for card in plan.licence_cards
    }
    return billed_cycle(plan, schedule, window, schedules=account.schedules, held=held)


def _held(
    connection: Connection, organisation_id: str, account_id: str, add_on_id: str, window: Window, known_at: datetime
) -> tuple[HeldRun, ...]:
    """What is held on the days of the window, as far as it has taken effect then; at least when the window begins."""
    until = max(known_at, midnight(window.start))
    return held_runs(
        updates_in(licences.updates_of(connection, organisation_id, account_id, add_on_id, until=until)), window
    )


def _following(
    connection: Connection, organisation_id: str, account: Account, cycle: Cycle, plan: PricePlan, known_at: datetime
) -> BilledCycle | None:
    """The cycle after this one, which `plan` bills; its own plan is read only where it is another."""
    found = cycle_after(account.schedules, cycle.window)
    if found is None:
        return None
    same_plan = plan if found[0] is cycle.schedule else None
    return _billed(connection, organisation_id, account, *found, known_at, same_plan)


def _charged_for(
    billed: BilledCycle,
    charged: Mapping[date, Mapping[str, Decimal]],
    account: Account,
    schedule: PricingSchedule,
) -> Mapping[str, Decimal]:
    """What was charged in advance for the cycle.

    While the invoice that opens a series is a draft itself, what it is going to charge counts as charged, so that
    the two drafts do not both show it. A bill run issues that one first.
    """
    start = billed.window.start
    if start in charged or start != schedule.start_date or not opens_series(account, schedule):
        return charged.get(start, {})
    return {charge.add_on_id: charge.amount for charge, _ in advance_lines(billed, {}, account.currency)}


def schedule_plan(connection: Connection, organisation_id: str, schedule: PricingSchedule) -> PricePlan:
    """The plan that the schedule names, with what the account has different. Raises `NotFound`."""
    plan = plans.price_plan(connection, organisation_id, schedule.plan_id, schedule.plan_version)
    if plan is None:
        raise NotFound(f"no price plan {schedule.plan_id!r} version {schedule.plan_version}, which a schedule names")
    return plan_as_billed(plan, schedule)


def plan_meter(connection: Connection, organisation_id: str, meter_id: str) -> UsageMeter:
    """The meter that a plan's card names. Raises `NotFound`."""
    meter = schemas.usage_meter(connection, organisation_id, meter_id)
    if meter is None:
        raise NotFound(f"no usage meter {meter_id!r}, which a price plan names")
    return meter.definition


def _billed_account(connection: Connection, organisation_id: str, account: Account) -> BilledAccount:
    found = customers.find_customer(connection, organisation_id, account.customer_id)
    if found is None:
        raise NotFound(f"no customer {account.customer_id!r}, whose account {account.account_id!r} is")
    customer = found.definition
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


def rows_of(connection: Connection, organisation_id: str, account_id: str, window: Window) -> list[UsageRow]:
    """The account's usage on the days of the window."""
    start, end = window
    return usage_rows(connection, organisation_id, account_id, start=midnight(start), end=midnight(end))


def _usage_lines(meters: Sequence[UsageMeter], rows: Sequence[UsageRow]) -> list[UsageLine]:
    by_meter = rows_by_meter(rows)
    return [
        UsageLine(
            meter_id=meter.meter_id,
            meter_version=meter.version,
            name=meter.billable_name or meter.name,
            units=quantity_of(meter.aggregation, by_meter.get(meter.meter_id, ())),
            event_count=sum(row.event_count for row in by_meter.get(meter.meter_id, ())),
        )
        for meter in meters
    ]


def _inputs_of(
    organisation_id: str,
    invoice: Invoice,
    billed: BilledCycle,
    *,
    rows: Sequence[UsageRow],
    following: BilledCycle | None,
    charged: Mapping[date, Mapping[str, Decimal]],
) -> InvoiceInputs:
    return InvoiceInputs(
        organisation_id=organisation_id,
        account_id=invoice.account.account_id,
        currency=invoice.account.currency,
        start_date=invoice.start_date,
        end_date=invoice.end_date,
        plan_id=invoice.plan_id,
        plan_version=invoice.plan_version,
        meter_versions={line.meter_id: line.meter_version for line in invoice.usage},
        usage=tuple((row.meter_id, row.event_hour, row.units, row.event_count) for row in rows),
        values={meter_id: mark for meter_id, of_meter in rows_by_meter(rows).items() if (mark := mark_of(of_meter))},
        invoice_type=invoice.invoice_type,
        cycle_number=billed.number,
        cycle_opens=billed.opens,
        following=None if following is None else _following_input(following),
        held=_held_in(billed, following),
        charged=tuple(
            AdvanceCharge(start_date=start, add_on_id=add_on_id, amount=amount)
            for start, amounts in sorted(charged.items())
            for add_on_id, amount in sorted(amounts.items())
        ),
    )


def _following_input(following: BilledCycle) -> FollowingCycle:
    return FollowingCycle(
        plan_id=following.plan.plan_id,
        plan_version=following.plan.version,
        start_date=following.window.start,
        end_date=following.window.end,
        cycle_number=following.number,
        cycle_opens=following.opens,
    )


def _held_in(billed: BilledCycle, following: BilledCycle | None) -> dict[str, tuple[HeldRun, ...]]:
    held = dict(billed.held)
    for add_on_id, runs in following.held.items() if following is not None else ():
        held[add_on_id] = (*held.get(add_on_id, ()), *runs)
    return held
