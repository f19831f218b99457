"""The date and duration operators of the `togai` dialect: those of Togai's own engine, its oddities included.

A bad date is an error for `date` and null for the others; arithmetic takes text only, loses the sign and the fraction
of a duration, and has no weeks. There are the years 1 to 9999 here; the engine has more.
"""

import re
from decimal import Decimal

from tallybook.core.expression_functions import ExpressionError, Place, described
from tallybook.core.expression_togai import int_of_32_bits, number_or_none
from tallybook.core.moment import (
    NANOSECONDS_OF_UNIT,
    NANOSECONDS_PER_SECOND,
    Moment,
    duration_text,
    moment_from_text,
)

DIGITS_MAX = 30  # of a number in a duration; what Java cuts to 32 bits, or refuses, is shorter
LONG_MAX = 2**63 - 1  # of seconds, and of the number that `duration.of` takes

_DURATION_TO_ADD = re.compile(
    rf"-?P(?=[0-9T])(?:([0-9]{{1,{DIGITS_MAX}}})Y)?(?:([0-9]{{1,{DIGITS_MAX}}})M)?(?:([0-9]{{1,{DIGITS_MAX}}})D)?"
    rf"(?:T(?=[0-9.])(?:([0-9]{{1,{DIGITS_MAX}}})H)?(?:([0-9]{{1,{DIGITS_MAX}}})M)?"
    rf"(?:(?:([0-9]{{1,{DIGITS_MAX}}})(?:\.[0-9]{{0,{DIGITS_MAX}}})?|\.[0-9]{{1,{DIGITS_MAX}}})S)?)?"
)
_COUNT = rf"([-+]?[0-9]{{1,{DIGITS_MAX}}})"
_DURATION = re.compile(
    rf"([-+]?)P(?=[-+0-9T])(?:{_COUNT}D)?"
    rf"(?:T(?=[-+0-9])(?:{_COUNT}H)?(?:{_COUNT}M)?(?:([-+]?)([0-9]{{1,{DIGITS_MAX}}})(?:[.,]([0-9]{{0,9}}))?S)?)?",
    re.IGNORECASE | re.ASCII,
)
_UNITS_OF = frozenset(NANOSECONDS_OF_UNIT) - {"WEEKS"}
_UNITS_AS = frozenset({"MILLIS", "SECONDS", "MINUTES", "HOURS", "DAYS"})


def date(place: Place, *operands: object) -> Moment | bool | None:
    """Read a date; null without an operand, false for what is no text, and an error for text that is no date."""
    if len(operands) > 1:
        raise ExpressionError(place, f"takes 1 operand, found {len(operands)}")
    if not operands:
        return None
    if not isinstance(operands[0], str):
        return False
    found = _date_or_none(operands[0])
    if found is None:
        raise ExpressionError(place, f"needs a date such as 2024-05-28T00:00:00Z, not {described(operands[0])}")
    return found


def date_add(place: Place, *operands: object) -> str | None:
    """Move a date by a duration's whole numbers, without its sign; a date's text, in the offset it had."""
    return _moved(place, operands, 1)


def date_subtract(place: Place, *operands: object) -> str | None:
    """Move a date back by a duration's whole numbers, without its sign."""
    return _moved(place, operands, -1)


def _moved(place: Place, operands: tuple[object, ...], factor: int) -> str | None:
    start, duration = _two(place, operands)
    moment = _date_or_none(start)
    found = _DURATION_TO_ADD.fullmatch(duration) if isinstance(duration, str) else None
    if moment is None or found is None:
        return None
    years, months, days, hours, minutes, seconds = (int_of_32_bits(int(count or 0)) for count in found.groups())
    moved = moment.moved(
        years=factor * years,
        months=factor * months,
        nanoseconds=factor * (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * NANOSECONDS_PER_SECOND,
    )
    return None if moved is None else str(moved)


def duration_between(place: Place, *operands: object) -> str | None:
    """The time from one text that is a date to another, in hours, minutes and seconds."""
    first, last = (_date_or_none(operand) for operand in _two(place, operands))
    return None if first is None or last is None else duration_text(last.instant_ns - first.instant_ns)


def duration_of(place: Place, *operands: object) -> str | None:
    """So many of a unit of up to a day, in hours, minutes and seconds; null unless the number is written whole."""
    amount, unit = _two(place, operands)
    count = Decimal(0) if isinstance(amount, str) and not amount.strip() else number_or_none(place, amount)
    if count is None or count.as_tuple().exponent != 0 or not isinstance(unit, str) or unit not in _UNITS_OF:
        return None
    nanoseconds = int(count) * NANOSECONDS_OF_UNIT[unit]
    if not _is_long(int(count)) or not _is_long(nanoseconds // NANOSECONDS_PER_SECOND):
        return None
    return duration_text(nanoseconds)


def duration_as(place: Place, *operands: object) -> Decimal | None:
    """How many whole units of MILLIS to DAYS a duration has, cut toward zero; a fraction of a second is cut down."""
    duration, unit = _two(place, operands)
    nanoseconds = _nanoseconds_or_none(duration)
    if nanoseconds is None or not isinstance(unit, str) or unit not in _UNITS_AS:
        return None
    if unit == "MILLIS":
        return Decimal(_toward_zero(nanoseconds, NANOSECONDS_OF_UNIT[unit]))
    seconds = nanoseconds // NANOSECONDS_PER_SECOND
    return Decimal(_toward_zero(seconds, NANOSECONDS_OF_UNIT[unit] // NANOSECONDS_PER_SECOND))


def _two(place: Place, operands: tuple[object, ...]) -> tuple[object, object]:
    if not operands:
        return None, None  # an empty list spread into none; the engine yields null
    if len(operands) != 2:
        raise ExpressionError(place, f"takes 2 operands, found {len(operands)}")
    return operands[0], operands[1]


def _date_or_none(value: object) -> Moment | None:
    return moment_from_text(value, colonless_offset=False) if isinstance(value, str) else None


def _nanoseconds_or_none(value: object) -> int | None:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    sign, days, hours, minutes, second_sign, seconds, fraction = found.groups()
    clock = int(seconds or 0) * NANOSECONDS_PER_SECOND + int((fraction or "").ljust(9, "0"))
    total = -clock if second_sign == "-" else clock
    for count, unit in ((days, "DAYS"), (hours, "HOURS"), (minutes, "MINUTES")):
        total += int(count or 0) * NANOSECONDS_OF_UNIT[unit]
    total = -total if sign == "-" else total
    return total if _is_long(total // NANOSECONDS_PER_SECOND) else None


def _is_long(value: int) -> bool:
    return -LONG_MAX - 1 <= value <= LONG_MAX


def _toward_zero(value: int, divisor: int) -> int:
    return -(-value // divisor) if value < 0 else value // divisor
