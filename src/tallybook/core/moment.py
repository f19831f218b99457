"""Dates and durations as rules have them: wall clocks with an offset from UTC, and ISO 8601 text; to the nanosecond.

Instants of events are elsewhere, in `instant`: they are UTC and end at the microsecond. What operators make of these
values is in `expression_dates` and `expression_togai_dates`.
"""

import re
from calendar import monthrange
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from tallybook.core.instant import EPOCH_NAIVE

NANOSECONDS_PER_SECOND = 1_000_000_000
SECONDS_PER_DAY = 86_400
OFFSET_SECONDS_MAX = 18 * 3_600  # what ISO 8601's readers take; no place on Earth is further away

NANOSECONDS_OF_UNIT: Mapping[str, int] = {
    "NANOS": 1,
    "MICROS": 1_000,
    "MILLIS": 1_000_000,
    "SECONDS": NANOSECONDS_PER_SECOND,
    "MINUTES": 60 * NANOSECONDS_PER_SECOND,
    "HOURS": 3_600 * NANOSECONDS_PER_SECOND,
    "HALF_DAYS": 43_200 * NANOSECONDS_PER_SECOND,
    "DAYS": SECONDS_PER_DAY * NANOSECONDS_PER_SECOND,
    "WEEKS": 7 * SECONDS_PER_DAY * NANOSECONDS_PER_SECOND,
}
"""Units of a fixed length. A day is 24 hours: an offset has no summer time."""

_DATE_TEXT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-5][0-9])(?::([0-9]{2})(?:\.([0-9]{0,9}))?)?"
    r"(?:[Zz]|([+-])([0-9]{2})(?::([0-9]{2})(?::([0-9]{2}))?|([0-9]{2}))?)"
)


class Moment(Struct, frozen=True, kw_only=True):
    """A wall clock and its offset. Equal moments have both alike; `instant_ns` tells whether they are one instant.

    `local` has whole seconds and no time zone.
    """

    local: datetime
    nanosecond: int
    offset_s: int

    @property
    def instant_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        elapsed = self.local - EPOCH_NAIVE
        seconds = elapsed.days * SECONDS_PER_DAY + elapsed.seconds - self.offset_s
        return seconds * NANOSECONDS_PER_SECOND + self.nanosecond

    def moved(self, *, years: int, months: int, nanoseconds: int) -> "Moment | None":
        """Move by years, then months (to the month's last day if it has no such day), then the rest; the offset stays.

        None beyond the years 1 to 9999.
        """
        seconds, nanosecond = divmod(self.nanosecond + nanoseconds, NANOSECONDS_PER_SECOND)
        try:
            local = _later_by_months(_later_by_months(self.local, 12 * years), months)
            local += timedelta(seconds=seconds)
        except (OverflowError, ValueError):
            return None
        return Moment(local=local, nanosecond=nanosecond, offset_s=self.offset_s)

    def __str__(self) -> str:
        clock = self.local.isoformat(timespec="seconds" if self.local.second or self.nanosecond else "minutes")
        return f"{clock}{_fraction(self.nanosecond)}{_offset(self.offset_s)}"


def moment_from_text(text: str, *, colonless_offset: bool) -> Moment | None:
    """Read `2024-05-28T00:00:00Z`: seconds may be missing, the offset may not; None for what is no date.

    `colonless_offset` says whether `-0800` is an offset, as `-08:00` is.
    """
    found = _DATE_TEXT.fullmatch(text)
    if found is None:
        return None
    day, clock, second, fraction, sign, hours, minutes, seconds, colonless = found.groups()
    if colonless and not colonless_offset:
        return None
    offset_s = int(hours or 0) * 3_600 + int(minutes or colonless or 0) * 60 + int(seconds or 0)
    if offset_s > OFFSET_SECONDS_MAX or int(minutes or colonless or 0) > 59 or int(seconds or 0) > 59:
        return None
    try:
        local = datetime.fromisoformat(f"{day}T{clock}:{second or '00'}")
    except ValueError:
        return None
    nanosecond = int((fraction or "").ljust(9, "0"))
    return Moment(local=local, nanosecond=nanosecond, offset_s=-offset_s if sign == "-" else offset_s)


def duration_text(nanoseconds: int) -> str:
    """Write a length of time as hours, minutes and seconds, each with the sign: `PT744H`, `PT-1M-30.25S`, `PT0S`."""
    sign = "-" if nanoseconds < 0 else ""
    whole, fraction = divmod(abs(nanoseconds), NANOSECONDS_PER_SECOND)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = "".join(f"{sign}{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M")) if count)
    if seconds or fraction or not text:
        digits = f".{fraction:09d}".rstrip("0") if fraction else ""
        text += f"{sign}{seconds}{digits}S"
    return f"PT{text}"


def _later_by_months(local: datetime, months: int) -> datetime:
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError(f"the year {year} is in no calendar")
    return local.replace(year=year, month=month + 1, day=min(local.day, monthrange(year, month + 1)[1]))


def _fraction(nanosecond: int) -> str:
    """Three, six or nine digits, as many as it takes; none for a whole second."""
    digits = f"{nanosecond:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""


def _offset(offset_s: int) -> str:
    if offset_s == 0:
        return "Z"
    hours, rest = divmod(abs(offset_s), 3_600)
    minutes, seconds = divmod(rest, 60)
    text = f"{'-' if offset_s < 0 else '+'}{hours:02d}:{minutes:02d}"
    return f"{text}:{seconds:02d}" if seconds else text
