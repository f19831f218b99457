"""Pricing cycles: which half-open range of days (UTC) an account is billed for at once, and when it is closed.

A cycle runs from one boundary to the next. The first one of a schedule is a stub from its start to the next boundary,
the last one ends with the schedule. Quarters and half-years are counted from January.
"""

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from tallybook.core.errors import Invalid

FOREVER = date(9999, 1, 1)
GRACE_DAYS_MAX = 364  # less than a year, so that the deadline of a cycle ending on 9999-01-01 is a date too
CYCLES_REMEMBERED = 10_000  # a bill run asks for the same few again with each account
DAY_OFFSET_LAST = "LAST"
MONTH_OFFSET_NONE = "NIL"
MONTH_OFFSET_FIRST = "FIRST"
MONTH_OFFSET_LAST = "LAST"
_DAYS_IN_WEEK = 7
_DAY_OFFSETS = frozenset([DAY_OFFSET_LAST, *map(str, range(1, 32))])
_WEEKDAY_OFFSETS = frozenset(map(str, range(1, _DAYS_IN_WEEK + 1)))


class PricingInterval(Enum):
    """How long a full cycle is."""

    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    QUARTERLY = "QUARTERLY"
    HALF_YEARLY = "HALF_YEARLY"
    ANNUALLY = "ANNUALLY"


_MONTHS = {
    PricingInterval.MONTHLY: 1,
    PricingInterval.QUARTERLY: 3,
    PricingInterval.HALF_YEARLY: 6,
    PricingInterval.ANNUALLY: 12,
}


class PricingCycle(msgspec.Struct, frozen=True, kw_only=True):
    """When cycles start and how long late usage still counts.

    `day_offset` is "1" to "31" or "LAST"; a day that a month lacks is the closest earlier one. In a week it is "1"
    (Monday) to "7". `month_offset` is the month of the quarter, half-year or year: "1" to "12", "FIRST" or "LAST";
    "NIL" in a week or month. `day_offset` is None only in the definition of an anniversary cycle: `anchored` fills both
    in for the account that is billed by it.
    """

    interval: PricingInterval
    day_offset: str | None
    month_offset: str = MONTH_OFFSET_NONE
    grace_days: int
    anniversary: bool = False


class Window(NamedTuple):
    """A half-open range of days."""

    start: date
    end: date


def check_cycle(cycle: PricingCycle) -> None:
    """Refuse a definition that cannot be billed by. Raises `Invalid`, naming the field."""
    if not 0 <= cycle.grace_days <= GRACE_DAYS_MAX:
        raise Invalid(f"pricingCycleConfig.gracePeriod: must be 0 to {GRACE_DAYS_MAX} days")
    if cycle.anniversary:
        return
    weekly = cycle.interval is PricingInterval.WEEKLY
    if cycle.day_offset not in (_WEEKDAY_OFFSETS if weekly else _DAY_OFFSETS):
        days = '"1" (Monday) to "7" (Sunday) for a WEEKLY cycle' if weekly else '"1" to "31", or "LAST"'
        raise Invalid(f"pricingCycleConfig.startOffset.dayOffset: must be {days}")
    _check_month_offset(cycle)


def _check_month_offset(cycle: PricingCycle) -> None:
    where, months = "pricingCycleConfig.startOffset.monthOffset", _MONTHS.get(cycle.interval, 1)
    if months == 1:
        if cycle.month_offset != MONTH_OFFSET_NONE:
            raise Invalid(f'{where}: must be "{MONTH_OFFSET_NONE}" for a {cycle.interval.value} cycle')
        return
    numbers = map(str, range(1, months + 1))
    if cycle.month_offset not in (MONTH_OFFSET_FIRST, MONTH_OFFSET_LAST, *numbers):
        raise Invalid(f'{where}: must be "1" to "{months}", "FIRST" or "LAST" for a {cycle.interval.value} cycle')


def is_longer(interval: PricingInterval, other: PricingInterval) -> bool:
    """Whether a cycle of the one interval lasts longer than one of the other."""
    return _MONTHS.get(interval, 0) > _MONTHS.get(other, 0)


def anchored(cycle: PricingCycle, association_date: date) -> PricingCycle:
    """Fix an anniversary cycle's offsets to the day the plan was associated: 12 October is "12", 31 October "LAST"."""
    if not cycle.anniversary:
        return cycle
    if cycle.interval is PricingInterval.WEEKLY:
        return msgspec.structs.replace(cycle, day_offset=str(association_date.isoweekday()))
    months = _MONTHS[cycle.interval]
    last = association_date.day == _days_in_month(association_date.year, association_date.month)
    return msgspec.structs.replace(
        cycle,
        day_offset=DAY_OFFSET_LAST if last else str(association_date.day),
        month_offset=MONTH_OFFSET_NONE if months == 1 else str((association_date.month - 1) % months + 1),
    )


def retained(cycle: PricingCycle, current: PricingCycle) -> PricingCycle:
    """The cycle with the boundaries of `current`, so that an account changes its plan and not its days.

    Raises `Invalid` when one is longer than the other.
    """
    if cycle.interval is not current.interval:
        raise Invalid(
            f"retainStartOffsets: the account's cycle is {current.interval.value}, the plan's {cycle.interval.value};"
            " only the same interval can go on"
        )
    return msgspec.structs.replace(
        cycle, day_offset=current.day_offset, month_offset=current.month_offset, anniversary=False
    )


@lru_cache(maxsize=CYCLES_REMEMBERED)
def full_cycle_containing(cycle: PricingCycle, day: date) -> Window:
    """The cycle that `day` belongs to, from boundary to boundary."""
    if cycle.interval is PricingInterval.WEEKLY:
        start = day - timedelta(days=(day.isoweekday() - int(_offset_of(cycle))) % _DAYS_IN_WEEK)
        return Window(start, start + timedelta(days=_DAYS_IN_WEEK))
    months = _MONTHS[cycle.interval]
    month = _month_number(day) - (_month_number(day) - _first_month(cycle)) % months
    if _boundary(cycle, month) > day:
        month -= months
    return Window(_boundary(cycle, month), _boundary(cycle, month + months))


def cycle_containing(cycle: PricingCycle, day: date, *, within: tuple[date, date]) -> Window:
    """The cycle that `day` belongs to, cut to the schedule window `within`, which must contain `day`."""
    assert within[0] <= day < within[1], f"{day} is outside the schedule {within[0]} to {within[1]}"
    start, end = full_cycle_containing(cycle, day)
    return Window(max(start, within[0]), min(end, within[1]))


def cycle_number(cycle: PricingCycle, day: date, *, since: date) -> int:
    """How many cycles after the one of `since` that of `day` is; 0 is the same one."""
    first, later = full_cycle_containing(cycle, since).start, full_cycle_containing(cycle, day).start
    if cycle.interval is PricingInterval.WEEKLY:
        return (later - first).days // _DAYS_IN_WEEK
    return (_month_number(later) - _month_number(first)) // _MONTHS[cycle.interval]


def cycles_from(cycle: PricingCycle, *, within: tuple[date, date]) -> Iterator[Window]:
    """Every cycle of the schedule window `within`, oldest first; they meet without gap or overlap."""
    day = within[0]
    while day < within[1]:
        window = cycle_containing(cycle, day, within=within)
        yield window
        day = window.end


def cycles_ending_by(cycle: PricingCycle, as_of: datetime, *, within: tuple[date, date]) -> Iterator[Window]:
    """The cycles whose grace is over at `as_of`, oldest first."""
    for window in cycles_from(cycle, within=within):
        if grace_deadline(window.end, cycle.grace_days) > as_of:
            return
        yield window


def cycles_started_by(cycle: PricingCycle, as_of: datetime, *, within: tuple[date, date]) -> Iterator[Window]:
    """The cycles that have begun at `as_of`, oldest first."""
    for window in cycles_from(cycle, within=within):
        if midnight(window.start) > as_of:
            return
        yield window


def grace_deadline(end: date, grace_days: int) -> datetime:
    """The last instant of receipt at which an event of the cycle that ends before `end` still counts.

    An event is late if and only if it is received after this. The invoice is due from this instant on.
    """
    return midnight(end) + timedelta(days=grace_days)


def midnight(day: date) -> datetime:
    """The UTC instant at which `day` begins."""
    return datetime.combine(day, time(), tzinfo=UTC)


def spelled_days(window: Window) -> str:
    """The days of the window in words, the last one included: 1 March 2024 to 31 March 2024."""
    return f"{spelled_day(window.start)} to {spelled_day(window.end - timedelta(days=1))}"


def spelled_day(day: date) -> str:
    """The day in words: 1 March 2024."""
    return f"{day.day} {day:%B %Y}"


def _boundary(cycle: PricingCycle, month: int) -> date:
    """The day on which a cycle starts in the month of that number."""
    year, month_in_year = divmod(month, 12)
    days = _days_in_month(year, month_in_year + 1)
    offset = _offset_of(cycle)
    return date(year, month_in_year + 1, days if offset == DAY_OFFSET_LAST else min(int(offset), days))


def _offset_of(cycle: PricingCycle) -> str:
    assert cycle.day_offset is not None, "an anniversary cycle is anchored before it is used"
    return cycle.day_offset


def _first_month(cycle: PricingCycle) -> int:
    """The month, counted from 0, of the quarter, half-year or year in which a cycle starts."""
    if cycle.month_offset == MONTH_OFFSET_LAST:
        return _MONTHS[cycle.interval] - 1
    return 0 if cycle.month_offset in (MONTH_OFFSET_NONE, MONTH_OFFSET_FIRST) else int(cycle.month_offset) - 1


def _month_number(day: date) -> int:
    """Months since the year 0, so that neighbours differ by one."""
    return 12 * day.year + day.month - 1


def _days_in_month(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]
