"""The schedule by which an account is billed: which version of which plan on which days.

No two schedules of an account overlap; days that none of them covers are not billed.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise

import msgspec

from tallybook.core.errors import Invalid
from tallybook.core.period import FOREVER, PricingCycle, anchored
from tallybook.core.plan_changes import PlanChanges, changed_plan
from tallybook.core.price_plan import PricePlan

SCHEDULE_START_MIN = date(1970, 1, 1)


class PricingSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """An account is billed by a plan's version from `start_date` until before `end_date`; `FOREVER` is no end.

    `cycle` is the plan's or the override's, anchored to `association_date`, which stays the same when a schedule is cut
    in two. `override` is what the account has different from the plan.
    """

    schedule_id: str
    plan_id: str
    plan_version: int
    start_date: date
    end_date: date
    association_date: date
    cycle: PricingCycle
    override: PlanChanges | None = None

    @property
    def window(self) -> tuple[date, date]:
        """The half-open range of days it covers."""
        return self.start_date, self.end_date


def new_schedule(
    plan: PricePlan,
    *,
    schedule_id: str,
    start_date: date,
    end_date: date = FOREVER,
    override: PlanChanges | None = None,
) -> PricingSchedule:
    """A schedule that bills by `plan` over `[start_date, end_date)`, changed by the override."""
    check_window(start_date, end_date)
    cycle = plan.cycle if override is None or override.cycle is None else override.cycle
    return PricingSchedule(
        schedule_id=schedule_id,
        plan_id=plan.plan_id,
        plan_version=plan.version,
        start_date=start_date,
        end_date=end_date,
        association_date=start_date,
        cycle=anchored(cycle, start_date),
        override=override,
    )


def plan_as_billed(plan: PricePlan, schedule: PricingSchedule) -> PricePlan:
    """The plan that the schedule names, with what the account has different."""
    return plan if schedule.override is None else changed_plan(plan, schedule.override)


def check_window(start_date: date, end_date: date) -> None:
    """Refuse a window that is empty or outside 1970 to 9999. Raises `Invalid`."""
    if not SCHEDULE_START_MIN <= start_date < end_date:
        raise Invalid(f"effectiveFrom: must be from {SCHEDULE_START_MIN} on and before effectiveUntil")
    if end_date > FOREVER:
        raise Invalid(f"effectiveUntil: {FOREVER} is for ever; nothing is later")


def associate(schedules: Sequence[PricingSchedule], new: PricingSchedule) -> tuple[PricingSchedule, ...]:
    """Put `new` over whatever its window covers; what lies before and after it stays, in date order."""
    kept = disassociate(schedules, start_date=new.start_date, end_date=new.end_date)
    return tuple(sorted((*kept, new), key=lambda schedule: schedule.start_date))


def disassociate(
    schedules: Sequence[PricingSchedule], *, start_date: date, end_date: date
) -> tuple[PricingSchedule, ...]:
    """Cut `[start_date, end_date)` out: no day in it is billed. A schedule around the hole goes on after it."""
    check_window(start_date, end_date)
    kept = []
    for schedule in schedules:
        before = msgspec.structs.replace(schedule, end_date=min(schedule.end_date, start_date))
        after = msgspec.structs.replace(schedule, start_date=max(schedule.start_date, end_date))
        kept += [part for part in (before, after) if part.start_date < part.end_date]
    return tuple(kept)


def removed(
    schedules: Sequence[PricingSchedule], *, plan_id: str | None, start_date: date, end_date: date
) -> tuple[PricingSchedule, ...]:
    """Cut the days out of the schedules, or with `plan_id` of those by that plan."""
    stay = [schedule for schedule in schedules if plan_id is not None and schedule.plan_id != plan_id]
    cut = [schedule for schedule in schedules if schedule not in stay]
    remaining = [*stay, *disassociate(cut, start_date=start_date, end_date=end_date)]
    return tuple(sorted(remaining, key=lambda schedule: schedule.start_date))


def schedule_on(schedules: Iterable[PricingSchedule], day: date) -> PricingSchedule | None:
    """The schedule that bills `day`, if any does."""
    for schedule in schedules:
        if schedule.start_date <= day < schedule.end_date:
            return schedule
    return None


def changed_days(before: Sequence[PricingSchedule], after: Sequence[PricingSchedule]) -> tuple[date, date] | None:
    """From the first day that is billed differently until behind the last; None when every day is as it was."""
    edges = sorted({edge for schedule in (*before, *after) for edge in schedule.window})
    different = [
        (start, end)
        for start, end in pairwise(edges)
        if not _bill_alike(schedule_on(before, start), schedule_on(after, start))
    ]
    return (different[0][0], different[-1][1]) if different else None


def _bill_alike(left: PricingSchedule | None, right: PricingSchedule | None) -> bool:
    if left is None or right is None:
        return left is right
    return _differ_in_days_alone(left, right)


def joined(schedules: Iterable[PricingSchedule]) -> tuple[PricingSchedule, ...]:
    """The same days billed in the same way, neighbours that differ in nothing else as one; in date order."""
    whole: list[PricingSchedule] = []
    for schedule in sorted(schedules, key=lambda schedule: schedule.start_date):
        if whole and whole[-1].end_date == schedule.start_date and _differ_in_days_alone(whole[-1], schedule):
            whole[-1] = msgspec.structs.replace(whole[-1], end_date=schedule.end_date)
        else:
            whole.append(schedule)
    return tuple(whole)


def _differ_in_days_alone(left: PricingSchedule, right: PricingSchedule) -> bool:
    return left == msgspec.structs.replace(right, start_date=left.start_date, end_date=left.end_date)
