"""Drafts of accounts' pricing schedules: edited step by step beside what bills, then made final together, or dropped.

What a draft bills by may lack something until it is made final; what bills already is never changed by a draft.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account, check_billable
from tallybook.core.errors import Conflict, Invalid, NotFound, TooLarge
from tallybook.core.licence import LicenceUpdate
from tallybook.core.period import PricingCycle, check_cycle, midnight
from tallybook.core.plan_changes import NO_CHANGES, PlanChanges, changes_between
from tallybook.core.price_plan import PricePlan, check_associable
from tallybook.core.pricing_schedule import PricingSchedule, check_window, new_schedule, plan_as_billed
from tallybook.core.schedule_draft import (
    DraftAmendment,
    DraftAssociation,
    DraftRemoval,
    DraftStep,
    drafted_parts,
    merged_with_steps,
    part_in_force,
    with_steps,
)
from tallybook.flows.define import check_room
from tallybook.flows.define_accounts import found_account
from tallybook.flows.define_price_plans import found_plan
from tallybook.flows.define_schedules import Removal, store_schedules, with_retained_cycle
from tallybook.flows.draft_price_plans import DRAFT_CHARACTERS_MAX, PlanError, check_faultless, plan_errors
from tallybook.flows.update_licences import put_update
from tallybook.storage import accounts, plans, schedule_drafts
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import definition_text

STEPS_MAX = 100  # drafted for one account: ten requests of ten edits


class DraftedAssociation(msgspec.Struct, frozen=True, kw_only=True):
    """Bill by the plan on the days `[start_date, end_date)`, with cards and rules like those of another schedule.

    Without a plan, by that of the other schedule. `schedule_id` is the new one's.
    """

    plan_id: str | None
    like_schedule_id: str | None
    start_date: date
    end_date: date
    schedule_id: str
    cycle: PricingCycle | None = None
    retain_offsets: bool = False
    merge: bool = False


class DraftedRemoval(msgspec.Struct, frozen=True, kw_only=True):
    """A removal, with the id of the step that it becomes."""

    removal: Removal
    step_id: str


class ScheduleSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule of an account, in force or drafted, and the plan as it bills the account by it."""

    account: Account
    schedule: PricingSchedule
    plan: PricePlan
    billed: PricePlan


# ---- drafting ----------------------------------------------------------------------------------------------------


def draft_edits(
    database: Database,
    organisation_id: str,
    account_id: str,
    edits: Sequence[DraftedAssociation | DraftedRemoval],
    *,
    discard: bool,
    now: datetime,
) -> Account:
    """Add steps to the account's draft, or with `discard` put them in its place; return the account as it would be.

    Raises `NotFound`, `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        account = found_account(connection, organisation_id, account_id)
        if discard:
            schedule_drafts.drop_steps(connection, organisation_id, account_id)
        steps = schedule_drafts.steps_of(connection, organisation_id, account_id)
        added: list[DraftStep] = []
        for index, edit in enumerate(edits):
            before = with_steps(account.schedules, [*steps, *added], today=now.date())
            added.append(_step(connection, organisation_id, account, before, edit, f"edits[{index}].associationConfig"))
        check_room(len(steps) + len(added) - 1, STEPS_MAX, f"drafted steps of account {account_id!r}")
        schedule_drafts.add_steps(connection, organisation_id, account_id, added, now=now)
        return _as_drafted(account, [*steps, *added], now)


def discard_draft(database: Database, organisation_id: str, account_id: str) -> None:
    """Drop what is drafted for the account; does nothing when nothing is. Raises `NotFound`."""
    with database.write() as connection:
        found_account(connection, organisation_id, account_id)
        schedule_drafts.drop_steps(connection, organisation_id, account_id)


def finalise_draft(
    database: Database,
    organisation_id: str,
    account_id: str,
    *,
    merge: bool,
    grants: Sequence[LicenceUpdate],
    now: datetime,
) -> Account:
    """Let the account be billed as drafted, after the `grants` of licences, all or nothing.

    Raises `NotFound`, `Invalid` when something lacks what it needs to bill, and `Conflict` when there is no draft.
    """
    with database.write() as connection:
        account = found_account(connection, organisation_id, account_id)
        steps = schedule_drafts.steps_of(connection, organisation_id, account_id)
        if not steps:
            raise Conflict(f"account {account_id!r} has no draft; edit its schedules first", code="NO_DRAFT")
        _check_amends(account, steps, now)
        for grant in grants:
            put_update(connection, organisation_id, grant)
        for part in drafted_parts(account.schedules, steps, today=now.date()):
            check_billable(account)
            check_faultless(_errors_of(connection, organisation_id, account, part))
        schedules = merged_with_steps(account.schedules, steps, merge=merge, today=now.date())
        changed = store_schedules(connection, organisation_id, account, schedules, now=now)
        schedule_drafts.drop_steps(connection, organisation_id, account_id)
        return changed


def change_schedule(
    database: Database,
    organisation_id: str,
    schedule_id: str,
    change: Callable[[Connection, PricePlan], PricePlan],
    *,
    now: datetime,
) -> ScheduleSeen:
    """Change what a drafted schedule bills by; for one that bills already, a draft of that is begun.

    Raises `NotFound`, `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        seen = find_drafted(connection, organisation_id, schedule_id, now=now)
        begun = seen is None
        if seen is None:
            seen = find_active(connection, organisation_id, schedule_id, now=now)
            steps = schedule_drafts.steps_of(connection, organisation_id, seen.account.account_id)
            check_room(len(steps), STEPS_MAX, f"drafted steps of account {seen.account.account_id!r}")
        changed = _overridden(seen, change(connection, seen.billed))
        if begun:
            amended = DraftAmendment(
                step_id=schedule_id, override=changed.schedule.override, at_once=seen.plan.changes_today
            )
            _check_amends(seen.account, [amended], now)
            schedule_drafts.add_steps(connection, organisation_id, seen.account.account_id, [amended], now=now)
        else:
            _rewrite(connection, organisation_id, schedule_id, changed.schedule.override)
        return changed


# ---- finding -----------------------------------------------------------------------------------------------------


def find_active(connection: Connection, organisation_id: str, schedule_id: str, *, now: datetime) -> ScheduleSeen:
    """The schedule of that id that bills an account, now or soon. Raises `NotFound`."""
    account = accounts.account_of_schedule(connection, organisation_id, schedule_id)
    if account is None:
        raise NotFound(f"no schedule {schedule_id!r} bills an account")
    parts = [schedule for schedule in account.schedules if schedule.schedule_id == schedule_id]
    return _seen(connection, organisation_id, account, part_in_force(parts, now.date()))


def find_drafted(
    connection: Connection, organisation_id: str, schedule_id: str, *, now: datetime
) -> ScheduleSeen | None:
    """The schedule of that id as it is drafted; None when no draft has it."""
    found = schedule_drafts.find_step(connection, organisation_id, schedule_id)
    if found is None:
        return None
    account_id, step = found
    account = found_account(connection, organisation_id, account_id)
    match step:
        case DraftAssociation():
            return _seen(connection, organisation_id, account, step.schedule)
        case DraftAmendment():
            active = find_active(connection, organisation_id, schedule_id, now=now)
            amended = msgspec.structs.replace(active.schedule, override=step.override)
            return _seen(connection, organisation_id, account, amended)
        case DraftRemoval():
            return None


def drafted_schedules(
    connection: Connection, organisation_id: str, account: Account, *, now: datetime
) -> list[PricingSchedule]:
    """What would bill the account that does not yet, in date order."""
    steps = schedule_drafts.steps_of(connection, organisation_id, account.account_id)
    return drafted_parts(account.schedules, steps, today=now.date())


def schedule_errors(
    connection: Connection, organisation_id: str, schedule_id: str, *, now: datetime
) -> tuple[ScheduleSeen, list[PlanError]]:
    """Everything that keeps the draft of the schedule from billing; nothing does without a draft. Raises `NotFound`."""
    seen = find_drafted(connection, organisation_id, schedule_id, now=now)
    if seen is None:
        return find_active(connection, organisation_id, schedule_id, now=now), []
    return seen, _errors_of(connection, organisation_id, seen.account, seen.schedule)


def _seen(connection: Connection, organisation_id: str, account: Account, schedule: PricingSchedule) -> ScheduleSeen:
    plan = found_plan(connection, organisation_id, schedule.plan_id, schedule.plan_version)
    return ScheduleSeen(account=account, schedule=schedule, plan=plan, billed=plan_as_billed(plan, schedule))


def _errors_of(
    connection: Connection, organisation_id: str, account: Account, schedule: PricingSchedule
) -> list[PlanError]:
    seen = _seen(connection, organisation_id, account, schedule)
    try:
        check_associable(found_plan(connection, organisation_id, schedule.plan_id), currency=account.currency)
        check_associable(seen.plan, currency=account.currency)
    except Invalid as error:
        return [PlanError(name=None, message=error.message, code=error.code)]
    return plan_errors(connection, organisation_id, seen.billed)


def _as_drafted(account: Account, steps: Sequence[DraftStep], now: datetime) -> Account:
    schedules = with_steps(account.schedules, steps, today=now.date())
    return msgspec.structs.replace(account, schedules=schedules)


# ---- steps -------------------------------------------------------------------------------------------------------


def _step(
    connection: Connection,
    organisation_id: str,
    account: Account,
    schedules: Sequence[PricingSchedule],
    edit: DraftedAssociation | DraftedRemoval,
    where: str,
) -> DraftStep:
    if isinstance(edit, DraftedRemoval):
        cut = edit.removal
        check_window(cut.start_date, cut.end_date)
        return DraftRemoval(step_id=edit.step_id, plan_id=cut.plan_id, start_date=cut.start_date, end_date=cut.end_date)
    check_billable(account)
    plan, override = _plan_and_override(connection, organisation_id, edit, where)
    check_associable(plan, currency=account.currency)
    if edit.cycle is not None:
        check_cycle(edit.cycle)
        override = msgspec.structs.replace(override, cycle=edit.cycle)
    if edit.retain_offsets:
        override = with_retained_cycle(override, plan, schedules, edit.start_date)
    new = new_schedule(
        plan,
        schedule_id=edit.schedule_id,
        start_date=edit.start_date,
        end_date=edit.end_date,
        override=None if override == NO_CHANGES else override,
    )
    return DraftAssociation(schedule=new, merge=edit.merge)


def _plan_and_override(
    connection: Connection, organisation_id: str, edit: DraftedAssociation, where: str
) -> tuple[PricePlan, PlanChanges]:
    """The plan to bill by, and what is to be different from it for cards and rules to be like the other schedule's."""
    like = None
    if edit.like_schedule_id is not None:
        like = _find_either(connection, organisation_id, edit.like_schedule_id, edit.start_date, where)
    plan = None if like is None else like.plan
    if edit.plan_id is not None:
        plan = plans.price_plan(connection, organisation_id, edit.plan_id)
        if plan is None:
            raise Invalid(f"{where}.pricePlanId: no price plan {edit.plan_id!r}", code="UNKNOWN_PRICE_PLAN")
    if plan is None:
        raise Invalid(f"{where}: name a pricePlanId, or a scheduleId to copy from")
    if like is None:
        return plan, NO_CHANGES
    wanted = msgspec.structs.replace(
        plan,
        rate_cards=like.billed.rate_cards,
        minimum_commitment=like.billed.minimum_commitment,
        pricing_rules=like.billed.pricing_rules,
    )
    return plan, changes_between(plan, wanted)


def _find_either(connection: Connection, organisation_id: str, schedule_id: str, day: date, where: str) -> ScheduleSeen:
    """The schedule of that id, in force or else drafted. Raises `Invalid`."""
    now = midnight(day)
    try:
        return find_active(connection, organisation_id, schedule_id, now=now)
    except NotFound:
        drafted = find_drafted(connection, organisation_id, schedule_id, now=now)
    if drafted is None:
        raise Invalid(f"{where}.scheduleId: no schedule {schedule_id!r}")
    return drafted


def _check_amends(account: Account, steps: Sequence[DraftStep], now: datetime) -> None:
    """Refuse to amend what bills no day that could change. Raises `Conflict`."""
    for step in steps:
        if isinstance(step, DraftAmendment) and not drafted_parts(account.schedules, [step], today=now.date()):
            raise Conflict(
                f"schedule {step.step_id} bills account {account.account_id!r} on no day that could change; edit the"
                " account's schedules instead"
            )


def _overridden(seen: ScheduleSeen, wanted: PricePlan) -> ScheduleSeen:
    """The schedule with what makes `wanted` of its plan. Raises `TooLarge`."""
    override = changes_between(seen.plan, wanted)
    if len(definition_text(override)) > DRAFT_CHARACTERS_MAX:
        raise TooLarge(f"the draft would have more than {DRAFT_CHARACTERS_MAX} characters as JSON; make it smaller")
    schedule = msgspec.structs.replace(seen.schedule, override=None if override == NO_CHANGES else override)
    return msgspec.structs.replace(seen, schedule=schedule, billed=wanted)


def _rewrite(connection: Connection, organisation_id: str, step_id: str, override: PlanChanges | None) -> None:
    found = schedule_drafts.find_step(connection, organisation_id, step_id)
    assert found is not None, "it was there a moment ago, in this transaction"
    match found[1]:
        case DraftAssociation() as step:
            schedule = msgspec.structs.replace(step.schedule, override=override)
            schedule_drafts.replace_step(connection, organisation_id, msgspec.structs.replace(step, schedule=schedule))
        case DraftAmendment() as step:
            schedule_drafts.replace_step(connection, organisation_id, msgspec.structs.replace(step, override=override))
        case DraftRemoval():
            raise AssertionError("a removal bills by nothing")
