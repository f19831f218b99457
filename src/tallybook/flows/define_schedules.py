"""Changing by which plans accounts are billed, each change in one transaction, all of its edits or none."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account, check_billable
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.licence import LicenceUpdate
from tallybook.core.period import cycle_containing, retained
from tallybook.core.plan_changes import NO_CHANGES, PlanChanges, changed_plan
from tallybook.core.price_plan import PricePlan, check_associable
from tallybook.core.pricing_schedule import (
    PricingSchedule,
    associate,
    changed_days,
    check_window,
    new_schedule,
    removed,
    schedule_on,
)
from tallybook.flows.define import check_room
from tallybook.flows.define_accounts import found_account
from tallybook.flows.define_price_plans import check_plan
from tallybook.flows.update_licences import put_update
from tallybook.storage import accounts, ledger, plans
from tallybook.storage.database import Database

SCHEDULES_MAX = 1_000  # of one account: eighty years of monthly changes


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """Bill by the plan on the days `[start_date, end_date)`, in place of what billed them before.

    `override` is what the account has different from the plan. With `retain_offsets` the boundaries of the account's
    present cycle stay; a cycle in the override goes before that.
    """

    plan_id: str
    start_date: date
    end_date: date
    schedule_id: str
    override: PlanChanges | None = None
    retain_offsets: bool = False


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """Bill by no plan on the days `[start_date, end_date)`; with `plan_id`, just not by that one."""

    plan_id: str | None
    start_date: date
    end_date: date


ScheduleEdit = Association | Removal


def edit_schedules(
    database: Database,
    organisation_id: str,
    account_id: str,
    edits: Sequence[ScheduleEdit],
    *,
    now: datetime,
    grants: Sequence[LicenceUpdate] = (),
    dry_run: bool = False,
) -> Account:
    """Apply the edits in their order, after the `grants` of licences; with `dry_run`, only say what would come of it.

    The days may be past ones, as long as no invoice was issued for any that changes. Raises `NotFound`, `Invalid` or
    `Conflict`.
    """
    with database.write() as connection:
        savepoint = connection.begin_nested()
        account = found_account(connection, organisation_id, account_id)
        for grant in grants:
            put_update(connection, organisation_id, grant)
        schedules = account.schedules
        for edit in edits:
            schedules = _edited(connection, organisation_id, account, schedules, edit)
        changed = store_schedules(connection, organisation_id, account, schedules, now=now)
        if dry_run:
            savepoint.rollback()
        return changed


def store_schedules(
    connection: Connection,
    organisation_id: str,
    account: Account,
    schedules: tuple[PricingSchedule, ...],
    *,
    now: datetime,
) -> Account:
    """Store other schedules of the account, unless an invoice was issued for a day that changes. Raises `Conflict`."""
    days = changed_days(account.schedules, schedules)
    if days is None:
        return account
    until = accounts.invoiced_until(connection, organisation_id, account.account_id, start=days[0], end=days[1])
    if until is not None:
        raise Conflict(
            f"effectiveFrom: account {account.account_id!r} has invoices for days before {until}; start from then on",
            code="ALREADY_INVOICED",
        )
    _check_settled(connection, organisation_id, account.account_id, schedules, days)
    check_room(len(schedules) - 1, SCHEDULES_MAX, f"pricing schedules of account {account.account_id!r}")
    accounts.set_schedules(connection, organisation_id, account.account_id, schedules, now=now)
    return msgspec.structs.replace(account, schedules=schedules)


# ---- edits -------------------------------------------------------------------------------------------------------


def _edited(
    connection: Connection,
    organisation_id: str,
    account: Account,
    schedules: tuple[PricingSchedule, ...],
    edit: ScheduleEdit,
) -> tuple[PricingSchedule, ...]:
    if isinstance(edit, Removal):
        check_window(edit.start_date, edit.end_date)
        return removed(schedules, plan_id=edit.plan_id, start_date=edit.start_date, end_date=edit.end_date)
    check_billable(account)
    plan = plans.price_plan(connection, organisation_id, edit.plan_id)
    if plan is None:
        raise Invalid(f"pricePlanId: no price plan {edit.plan_id!r}", code="UNKNOWN_PRICE_PLAN")
    check_associable(plan, currency=account.currency)
    override = _override_of(connection, organisation_id, plan, schedules, edit)
    new = new_schedule(
        plan, schedule_id=edit.schedule_id, start_date=edit.start_date, end_date=edit.end_date, override=override
    )
    return associate(schedules, new)


def _override_of(
    connection: Connection,
    organisation_id: str,
    plan: PricePlan,
    schedules: Sequence[PricingSchedule],
    edit: Association,
) -> PlanChanges | None:
    override = edit.override or NO_CHANGES
    if edit.retain_offsets:
        override = with_retained_cycle(override, plan, schedules, edit.start_date)
    if override == NO_CHANGES:
        return None
    check_plan(connection, organisation_id, changed_plan(plan, override))
    return override


def with_retained_cycle(
    override: PlanChanges, plan: PricePlan, schedules: Sequence[PricingSchedule], start_date: date
) -> PlanChanges:
    """The override with the boundaries of the cycle that bills the day, unless it has a cycle. Raises `Invalid`."""
    current = schedule_on(schedules, start_date)
    if current is None:
        raise Invalid(f"retainStartOffsets: no plan bills {start_date}, so there is no cycle to go on")
    if override.cycle is not None:
        return override
    return msgspec.structs.replace(override, cycle=retained(plan.cycle, current.cycle))


def _check_settled(
    connection: Connection,
    organisation_id: str,
    account_id: str,
    schedules: Sequence[PricingSchedule],
    days: tuple[date, date],
) -> None:
    """A cycle that was charged in advance keeps its first day, so that its invoice can settle what was charged."""
    for start in sorted(ledger.charged_in_advance(connection, organisation_id, [account_id], days).get(account_id, {})):
        schedule = schedule_on(schedules, start)
        if schedule is None or cycle_containing(schedule.cycle, start, within=schedule.window).start != start:
            raise Conflict(
                f"effectiveFrom: account {account_id!r} was charged in advance for the cycle that begins on {start};"
                " start after it",
                code="ALREADY_INVOICED",
            )
