"""Instants as stored: integer microseconds, and integer hours, since 1970 UTC."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_NAIVE = EPOCH.replace(tzinfo=None)  # to subtract from timestamps without an offset, which are UTC
MICROSECONDS_PER_HOUR = 3_600_000_000
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


def microseconds_since_1970(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an aware instant; of one without an offset, read as UTC."""
    return (instant - (EPOCH_NAIVE if instant.tzinfo is None else EPOCH)) // MICROSECOND


def instant_at(microseconds: int) -> datetime:
    """The UTC instant that many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def hours_since_1970(instant: datetime) -> int:
    """Whole hours since 1970 UTC, cut down."""
    return microseconds_since_1970(instant) // MICROSECONDS_PER_HOUR


def hour_at(hours: int) -> datetime:
    """The UTC instant that many hours after 1970."""
    return EPOCH + hours * HOUR
