"""Moving accounts to another version of their price plan or to another plan: from which day, with which overrides."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from enum import Enum
from typing import assert_never

import msgspec

from tallybook.core.period import anchored, cycle_containing, retained
from tallybook.core.plan_changes import NO_CHANGES, PlanChanges
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, joined


class MigrationMode(Enum):
    """From when an account is billed by the new version, and whether its own changes to the plan stay."""

    IMMEDIATE = "IMMEDIATE"
    IMMEDIATE_IGNORE_OVERRIDE = "IMMEDIATE_IGNORE_OVERRIDE"
    NEXT_CYCLE = "NEXT_CYCLE"
    NEXT_CYCLE_IGNORE_OVERRIDE = "NEXT_CYCLE_IGNORE_OVERRIDE"
    NONE = "NONE"
    START_OF_CURRENT_CYCLE = "START_OF_CURRENT_CYCLE"


class VersionsToMigrate(Enum):
    """Accounts of the version before, or of every version."""

    LATEST_VERSION = "LATEST_VERSION"
    ALL_VERSION = "ALL_VERSION"


IGNORES_OVERRIDES = frozenset({MigrationMode.IMMEDIATE_IGNORE_OVERRIDE, MigrationMode.NEXT_CYCLE_IGNORE_OVERRIDE})


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Accounts that those `versions` of the source plan bill are billed by `target` instead; None is by no plan.

    With another plan a new association begins, under `schedule_id`; another version of the same goes on with the old.
    With `retain_offsets` the boundaries of an account's present cycle stay.
    """

    source_id: str
    versions: Collection[int]
    target: PricePlan | None
    mode: MigrationMode
    retain_offsets: bool = False
    schedule_id: str = ""


def migrated(schedules: Sequence[PricingSchedule], move: Move, *, today: date) -> tuple[PricingSchedule, ...]:
    """The schedules, in date order, after the move, from the day that its mode says.

    What lies before that day, and other plans, stay. Raises `Invalid` when a cycle cannot go on.
    """
    moved: list[PricingSchedule] = []
    begun: date | None = None  # where the new association begins: all that is moved is one
    for schedule in schedules:
        first = _first_day(schedule, move, today)
        if first is None or first >= schedule.end_date:
            moved.append(schedule)
            continue
        begun = begun or first
        before = msgspec.structs.replace(schedule, end_date=first)
        moved += [part for part in (before, _moved(schedule, move, first, begun)) if part and _has_days(part)]
    return joined(moved)


def _moved(schedule: PricingSchedule, move: Move, first: date, begun: date) -> PricingSchedule | None:
    """The part of the schedule from its `first` moved day on, as it is billed after the move."""
    if move.target is None:
        return None
    goes_on = move.target.plan_id == schedule.plan_id
    association_date = schedule.association_date if goes_on else begun
    override = _override(schedule, move, move.target)
    cycle = move.target.cycle if override.cycle is None else override.cycle
    return PricingSchedule(
        schedule_id=schedule.schedule_id if goes_on else move.schedule_id,
        plan_id=move.target.plan_id,
        plan_version=move.target.version,
        start_date=first,
        end_date=schedule.end_date,
        association_date=association_date,
        cycle=anchored(cycle, association_date),
        override=None if override == NO_CHANGES else override,
    )


def _override(schedule: PricingSchedule, move: Move, target: PricePlan) -> PlanChanges:
    """What the account has different from then on: an override goes before what is retained."""
    kept = NO_CHANGES if move.mode in IGNORES_OVERRIDES else schedule.override or NO_CHANGES
    if kept.cycle is not None or not move.retain_offsets:
        return kept
    return msgspec.structs.replace(kept, cycle=retained(target.cycle, schedule.cycle))


def _has_days(schedule: PricingSchedule) -> bool:
    return schedule.start_date < schedule.end_date


def _first_day(schedule: PricingSchedule, move: Move, today: date) -> date | None:
    """The first day of the schedule that is moved; None when none is."""
    if schedule.plan_id != move.source_id or schedule.plan_version not in move.versions:
        return None
    if move.mode is MigrationMode.NONE or schedule.end_date <= today:
        return None
    if schedule.start_date > today:
        return schedule.start_date
    start, end = cycle_containing(schedule.cycle, today, within=schedule.window)
    match move.mode:
        case MigrationMode.IMMEDIATE | MigrationMode.IMMEDIATE_IGNORE_OVERRIDE:
            at_once = move.target is not None and move.target.changes_today
            return today if at_once else today + timedelta(days=1)
        case MigrationMode.NEXT_CYCLE | MigrationMode.NEXT_CYCLE_IGNORE_OVERRIDE:
            return end
        case MigrationMode.START_OF_CURRENT_CYCLE:
            return start
        case _:
            assert_never(move.mode)
