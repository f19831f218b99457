"""The date and duration operators of the `exact` dialect.

A date is a `Moment`, or text that spells one; a duration is ISO 8601 text. What cannot be read as either yields null,
as Togai documents it; a unit that does not exist is an error, for the rule's author wrote it.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from tallybook.core.decimals import EXACT
from tallybook.core.expression_functions import ExpressionError, Place, date_or_none, described, number_or_none
from tallybook.core.moment import NANOSECONDS_OF_UNIT, NANOSECONDS_PER_SECOND, Moment, duration_text

AMOUNT_DIGITS_MAX = 18  # of a number in a duration; a calendar of 9999 years has as many nanoseconds and a few more

_CALENDAR_UNITS: Mapping[str, str] = {"DAYS": "P{}D", "WEEKS": "P{}W", "MONTHS": "P{}M", "YEARS": "P{}Y"}
_CLOCK_UNITS = ("MILLIS", "SECONDS", "MINUTES", "HOURS")
UNITS = (*_CLOCK_UNITS, *_CALENDAR_UNITS)

_COUNT = rf"([-+]?[0-9]{{1,{AMOUNT_DIGITS_MAX}}})"
_DURATION_TEXT = re.compile(
    rf"([-+]?)P(?=[-+0-9T])(?:{_COUNT}Y)?(?:{_COUNT}M)?(?:{_COUNT}W)?(?:{_COUNT}D)?"
    rf"(?:T(?=[-+0-9])(?:{_COUNT}H)?(?:{_COUNT}M)?(?:([-+]?)([0-9]{{1,{AMOUNT_DIGITS_MAX}}})(?:[.,]([0-9]{{1,9}}))?S)?)?"
)


class Span(Struct, frozen=True, kw_only=True):
    """A duration that was read: what has no fixed length, and the rest of it in nanoseconds."""

    years: int
    months: int
    nanoseconds: int


def span_or_none(value: object) -> Span | None:
    """Read `P1Y2M3DT4H5M6.7S`, weeks and signs too; None for anything else."""
    found = _DURATION_TEXT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    sign, *counts, second_sign, seconds, fraction = found.groups()
    years, months, weeks, days, hours, minutes = (int(count or 0) for count in counts)
    rest = int(seconds or 0) * NANOSECONDS_PER_SECOND + int((fraction or "").ljust(9, "0"))
    nanoseconds = -rest if second_sign == "-" else rest
    for count, unit in ((weeks, "WEEKS"), (days, "DAYS"), (hours, "HOURS"), (minutes, "MINUTES")):
        nanoseconds += count * NANOSECONDS_OF_UNIT[unit]
    factor = -1 if sign == "-" else 1
    return Span(years=factor * years, months=factor * months, nanoseconds=factor * nanoseconds)


def date(_place: Place, value: object) -> Moment | None:
    """Read a date, its offset with or without a colon; null for what is none."""
    return date_or_none(value)


def date_add(_place: Place, start: object, duration: object) -> str | None:
    """Move a date by a duration, sign and fraction included; a date's text, in the offset it had."""
    return _moved(start, duration, 1)


def date_subtract(_place: Place, start: object, duration: object) -> str | None:
    """Move a date back by a duration."""
    return _moved(start, duration, -1)


def _moved(start: object, duration: object, factor: int) -> str | None:
    moment, span = date_or_none(start), span_or_none(duration)
    if moment is None or span is None:
        return None
    moved = moment.moved(years=factor * span.years, months=factor * span.months, nanoseconds=factor * span.nanoseconds)
    return None if moved is None else str(moved)


def duration_between(_place: Place, start: object, end: object) -> str | None:
    """The time from one date to another in hours, minutes and seconds; negative if the second is earlier."""
    first, last = date_or_none(start), date_or_none(end)
    return None if first is None or last is None else duration_text(last.instant_ns - first.instant_ns)


def duration_of(place: Place, amount: object, unit: object) -> str | None:
    """So many of a unit: `P100D`, `PT1M40S`. A fraction is for units of fixed length; a fraction of a day is hours."""
    name = _unit(place, unit)
    count = number_or_none(amount)
    if count is None or count.adjusted() >= AMOUNT_DIGITS_MAX:
        return None
    whole = count == count.to_integral_value()
    if whole and name in _CALENDAR_UNITS:
        return _CALENDAR_UNITS[name].format(int(count))
    if name not in NANOSECONDS_OF_UNIT:
        return None
    nanoseconds = EXACT.multiply(count, Decimal(NANOSECONDS_OF_UNIT[name]))
    return duration_text(int(nanoseconds)) if nanoseconds == nanoseconds.to_integral_value() else None


def duration_as(place: Place, duration: object, unit: object) -> Decimal | None:
    """How many whole units a duration has, cut toward zero; null for one with months or years, which have no length."""
    name = _unit(place, unit)
    if name not in NANOSECONDS_OF_UNIT:
        raise ExpressionError(place, f"a duration has no fixed number of {name}")
    span = span_or_none(duration)
    if span is None or span.years or span.months:
        return None
    count = abs(span.nanoseconds) // NANOSECONDS_OF_UNIT[name]
    return Decimal(-count if span.nanoseconds < 0 else count)


def _unit(place: Place, unit: object) -> str:
    if isinstance(unit, str) and unit.upper() in UNITS:
        return unit.upper()
    raise ExpressionError(place, f"needs a unit, one of {', '.join(UNITS)}, not {described(unit)}")
