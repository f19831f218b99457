"""Pricing cycles: which half-open range of days (UTC) an account is billed for at once, and when it is closed.

A cycle runs from one boundary to the next. The first one of a schedule is a stub from its start to the next boundary,
the last one ends with the schedule. Monthly cycles are known here; the other intervals have their names already.
"""

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import NamedTuple

import msgspec

from tallybook.core.errors import Invalid

FOREVER = date(9999, 1, 1)
GRACE_DAYS_MAX = 364  # less than a year, so that the deadline of a cycle ending on 9999-01-01 is a date too
DAY_OFFSET_LAST = "LAST"
MONTH_OFFSET_NONE = "NIL"
_DAY_OFFSETS = frozenset([DAY_OFFSET_LAST, *map(str, range(1, 32))])


class PricingInterval(Enum):
    """How long a full cycle is."""

    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    QUARTERLY = "QUARTERLY"
    HALF_YEARLY = "HALF_YEARLY"
    ANNUALLY = "ANNUALLY"


class PricingCycle(msgspec.Struct, frozen=True, kw_only=True):
    """When cycles start and how long late usage still counts.

    `day_offset` is "1" to "31" or "LAST"; a day that a month lacks is the closest earlier one. It is None only in
    the definition of an anniversary cycle: `anchored` fills it in for the account that is billed by it.
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
    if cycle.interval is not PricingInterval.MONTHLY:
        raise Invalid(
            f"pricingCycleConfig.interval: {cycle.interval.value} is not supported; use MONTHLY",
            code="UNSUPPORTED",
        )
    if not 0 <= cycle.grace_days <= GRACE_DAYS_MAX:
        raise Invalid(f"pricingCycleConfig.gracePeriod: must be 0 to {GRACE_DAYS_MAX} days")
    if cycle.anniversary:
        return
    if cycle.day_offset not in _DAY_OFFSETS:
        raise Invalid('pricingCycleConfig.startOffset.dayOffset: must be "1" to "31", or "LAST"')
    if cycle.month_offset != MONTH_OFFSET_NONE:
        raise Invalid('pricingCycleConfig.startOffset.monthOffset: must be "NIL" for a MONTHLY cycle')


def anchored(cycle: PricingCycle, association_date: date) -> PricingCycle:
    """Fix an anniversary cycle's offset to the day the plan was associated: 12 October is "12", 31 October "LAST"."""
    if not cycle.anniversary:
        return cycle
    last = association_date.day == _days_in_month(association_date.year, association_date.month)
    return msgspec.structs.replace(cycle, day_offset=DAY_OFFSET_LAST if last else str(association_date.day))


def cycle_containing(cycle: PricingCycle, day: date, *, within: tuple[date, date]) -> Window:
    """The cycle that `day` belongs to, cut to the schedule window `within`, which must contain `day`."""
    assert within[0] <= day < within[1], f"{day} is outside the schedule {within[0]} to {within[1]}"
    start = _boundary(cycle, day.year, day.month)
    if start > day:
        start = _boundary(cycle, *_month_before(day.year, day.month))
    end = _boundary(cycle, *_month_after(start.year, start.month))
    return Window(max(start, within[0]), min(end, within[1]))


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


def _boundary(cycle: PricingCycle, year: int, month: int) -> date:
    """The day in that month on which a cycle starts."""
    assert cycle.interval is PricingInterval.MONTHLY, "check_cycle lets no other interval in"
    assert cycle.day_offset is not None, "an anniversary cycle is anchored before it is used"
    days = _days_in_month(year, month)
    return date(year, month, days if cycle.day_offset == DAY_OFFSET_LAST else min(int(cycle.day_offset), days))


def _days_in_month(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _month_before(year: int, month: int) -> tuple[int, int]:
    return (year - 1, 12) if month == 1 else (year, month - 1)


def _month_after(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)
