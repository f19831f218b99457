"""Moving accounts from one version of a price plan to another: from which day, and with which overrides."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from enum import Enum
from typing import assert_never

import msgspec

from tallybook.core.period import anchored, cycle_containing
from tallybook.core.plan_changes import PlanChanges
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


def migrated(
    schedules: Sequence[PricingSchedule],
    plan: PricePlan,
    *,
    versions: Collection[int],
    mode: MigrationMode,
    today: date,
) -> tuple[PricingSchedule, ...]:
    """The schedules with those `versions` of the plan replaced by this one from the day that the mode says.

    What lies before that day, and other plans, stay. An association goes on: its cycles are counted from its first day.
    """
    moved: list[PricingSchedule] = []
    for schedule in schedules:
        first = None
        if schedule.plan_id == plan.plan_id and schedule.plan_version in versions:
            first = _first_day(schedule, mode, today)
        if first is None or first >= schedule.end_date:
            moved.append(schedule)
            continue
        new = _on_version(schedule, plan, keep_override=mode not in IGNORES_OVERRIDES)
        before = msgspec.structs.replace(schedule, end_date=first)
        after = msgspec.structs.replace(new, start_date=first)
        moved += [part for part in (before, after) if part.start_date < part.end_date]
    return joined(moved)


def _on_version(schedule: PricingSchedule, plan: PricePlan, *, keep_override: bool) -> PricingSchedule:
    override: PlanChanges | None = schedule.override if keep_override else None
    cycle = plan.cycle if override is None or override.cycle is None else override.cycle
    return msgspec.structs.replace(
        schedule,
        plan_version=plan.version,
        override=override,
        cycle=anchored(cycle, schedule.association_date),
    )


def _first_day(schedule: PricingSchedule, mode: MigrationMode, today: date) -> date | None:
    """The first day of the schedule that the new version bills; None when it bills none."""
    if mode is MigrationMode.NONE:
        return None
    if schedule.start_date > today or schedule.end_date <= today:
        return schedule.start_date if schedule.start_date > today else None
    start, end = cycle_containing(schedule.cycle, today, within=schedule.window)
    match mode:
        case MigrationMode.IMMEDIATE | MigrationMode.IMMEDIATE_IGNORE_OVERRIDE:
            return today + timedelta(days=1)
        case MigrationMode.NEXT_CYCLE | MigrationMode.NEXT_CYCLE_IGNORE_OVERRIDE:
            return end
        case MigrationMode.START_OF_CURRENT_CYCLE:
            return start
        case _:
            assert_never(mode)
