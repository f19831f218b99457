"""One cycle of an account under the plan that bills it, with its place among the cycles of the association."""

from collections.abc import Mapping, Sequence

import msgspec

from tallybook.core.licence import HeldRun
from tallybook.core.period import Window, cycle_containing, cycle_number, full_cycle_containing
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, schedule_on


class BilledCycle(msgspec.Struct, frozen=True, kw_only=True):
    """`window` is billed; `full` is the cycle from boundary to boundary, of which a stub or a cut leaves a part.

    `number` counts the cycles since the association, 0 is its first. `opens` is false where the same association has
    billed an earlier part of this cycle already. `held` says, by add-on id, what licences are held on its days.
    """

    plan: PricePlan
    window: Window
    full: Window
    number: int
    opens: bool = True
    held: Mapping[str, tuple[HeldRun, ...]] = msgspec.field(default_factory=dict)

    @property
    def days(self) -> tuple[int, int, int]:
        """The first day of the window and the one behind its last, counted in the full cycle, and the cycle's days."""
        start, end = self.full
        return (self.window.start - start).days, (self.window.end - start).days, (end - start).days


def billed_cycle(
    plan: PricePlan,
    schedule: PricingSchedule,
    window: Window,
    *,
    schedules: Sequence[PricingSchedule],
    held: Mapping[str, tuple[HeldRun, ...]] | None = None,
) -> BilledCycle:
    """The cycle `window` of `schedule`, which is one of the account's `schedules`."""
    full = full_cycle_containing(schedule.cycle, window.start)
    return BilledCycle(
        plan=plan,
        window=window,
        full=full,
        number=cycle_number(schedule.cycle, window.start, since=schedule.association_date),
        opens=not any(
            _same_association(part, schedule) and _is_billed_before(part, window, full) for part in schedules
        ),
        held=held or {},
    )


def cycle_after(schedules: Sequence[PricingSchedule], window: Window) -> tuple[PricingSchedule, Window] | None:
    """The cycle that begins where `window` ends, if any plan bills that day."""
    schedule = schedule_on(schedules, window.end)
    if schedule is None:
        return None
    return schedule, cycle_containing(schedule.cycle, window.end, within=schedule.window)


def _same_association(left: PricingSchedule, right: PricingSchedule) -> bool:
    return (left.plan_id, left.association_date) == (right.plan_id, right.association_date)


def _is_billed_before(part: PricingSchedule, window: Window, full: Window) -> bool:
    return max(part.start_date, full.start) < min(part.end_date, window.start)
