"""Drafts of an account's pricing schedules: steps that are laid over what bills it when they are made final.

A step may come from a request that names its days, or from changed rate cards of a schedule that bills already.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import msgspec

from tallybook.core.period import cycle_containing
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.pricing_schedule import PricingSchedule, associate, joined, removed


class DraftAssociation(msgspec.Struct, frozen=True, kw_only=True, tag="ASSOCIATE"):
    """Bill by the schedule on its days. With `merge`, it goes on with a neighbour that bills alike."""

    schedule: PricingSchedule
    merge: bool = False

    @property
    def step_id(self) -> str:
        """What the step is named by: the id of its schedule."""
        return self.schedule.schedule_id


class DraftRemoval(msgspec.Struct, frozen=True, kw_only=True, tag="DISASSOCIATE"):
    """Bill by no plan on those days; with `plan_id`, just not by that one."""

    step_id: str
    plan_id: str | None
    start_date: date
    end_date: date


class DraftAmendment(msgspec.Struct, frozen=True, kw_only=True, tag="AMEND"):
    """From tomorrow on, or `at_once` from the current cycle's first day, a schedule that bills has this override."""

    step_id: str
    override: PlanChanges | None
    at_once: bool = False


DraftStep = DraftAssociation | DraftRemoval | DraftAmendment


def with_steps(
    schedules: Sequence[PricingSchedule], steps: Iterable[DraftStep], *, today: date
) -> tuple[PricingSchedule, ...]:
    """The schedules after the steps, in their order; nothing is merged."""
    after = tuple(schedules)
    for step in steps:
        match step:
            case DraftAssociation():
                after = associate(after, step.schedule)
            case DraftRemoval():
                after = removed(after, plan_id=step.plan_id, start_date=step.start_date, end_date=step.end_date)
            case DraftAmendment():
                after = _amended(after, step, today)
    return after


def merged_with_steps(
    schedules: Sequence[PricingSchedule], steps: Sequence[DraftStep], *, merge: bool, today: date
) -> tuple[PricingSchedule, ...]:
    """The same, with the associations that say so, or with `merge` all of them, merged with their neighbours."""
    after = tuple(schedules)
    for step in steps:
        if isinstance(step, DraftAssociation) and (step.merge or merge):
            after = joined(associate(after, _going_on(step.schedule, after)))
        else:
            after = with_steps(after, [step], today=today)
    return after


def drafted_parts(
    schedules: Sequence[PricingSchedule], steps: Sequence[DraftStep], *, today: date
) -> list[PricingSchedule]:
    """What of the schedules after the steps was made by them, in date order."""
    made: dict[str, date] = {}
    for step in steps:
        if isinstance(step, DraftAssociation):
            made[step.step_id] = step.schedule.start_date
        elif isinstance(step, DraftAmendment):
            made[step.step_id] = min(_first_days(schedules, step, today), default=date.max)
    after = with_steps(schedules, steps, today=today)
    return [part for part in after if part.schedule_id in made and part.start_date >= made[part.schedule_id]]


def part_in_force(parts: Sequence[PricingSchedule], today: date) -> PricingSchedule:
    """Of the parts of a schedule, in date order: the one that bills today, else the next, else the last."""
    return next((part for part in parts if part.end_date > today), parts[-1])


def _amended(schedules: Sequence[PricingSchedule], step: DraftAmendment, today: date) -> tuple[PricingSchedule, ...]:
    after: list[PricingSchedule] = []
    for schedule in schedules:
        first = _first_day(schedule, step, today)
        if first is None:
            after.append(schedule)
            continue
        before = msgspec.structs.replace(schedule, end_date=first)
        changed = msgspec.structs.replace(schedule, start_date=first, override=step.override)
        after += [part for part in (before, changed) if part.start_date < part.end_date]
    return tuple(after)


def _first_days(schedules: Sequence[PricingSchedule], step: DraftAmendment, today: date) -> list[date]:
    days = (_first_day(schedule, step, today) for schedule in schedules)
    return [day for day in days if day is not None]


def _first_day(schedule: PricingSchedule, step: DraftAmendment, today: date) -> date | None:
    """The first day of the schedule that the amendment changes; None when there is none."""
    if schedule.schedule_id != step.step_id or schedule.end_date <= today:
        return None
    if schedule.start_date > today:
        return schedule.start_date
    if step.at_once:
        return cycle_containing(schedule.cycle, today, within=schedule.window).start
    return today + timedelta(days=1)


def _going_on(new: PricingSchedule, schedules: Sequence[PricingSchedule]) -> PricingSchedule:
    """The new schedule as a part of the association that bills alike before or after it, if there is one."""
    for other in schedules:
        touches = other.start_date <= new.end_date and new.start_date <= other.end_date
        if touches and _bills_alike(new, other):
            return msgspec.structs.replace(
                new, schedule_id=other.schedule_id, association_date=other.association_date, cycle=other.cycle
            )
    return new


def _bills_alike(left: PricingSchedule, right: PricingSchedule) -> bool:
    if (left.plan_id, left.plan_version, left.override) != (right.plan_id, right.plan_version, right.override):
        return False
    both_anniversaries = left.cycle.anniversary and right.cycle.anniversary
    return both_anniversaries or left.cycle == right.cycle
