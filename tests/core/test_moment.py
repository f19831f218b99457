"""Dates and durations as text: what is read, and what is written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallybook.core.instant import EPOCH
from tallybook.core.moment import Moment, duration_text, moment_from_text


def read(text: str, *, colonless_offset: bool = False) -> Moment | None:
    return moment_from_text(text, colonless_offset=colonless_offset)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2024-05-28T00:00:00Z", "2024-05-28T00:00Z"),
        ("2024-05-28T00:00Z", "2024-05-28T00:00Z"),
        ("2024-05-28t00:00z", "2024-05-28T00:00Z"),
        ("2024-05-28T00:00:00.123456789Z", "2024-05-28T00:00:00.123456789Z"),
        ("2024-05-28T00:00:00.Z", "2024-05-28T00:00Z"),
        ("2024-05-28T00:00:00.100Z", "2024-05-28T00:00:00.100Z"),
        ("2024-05-28T00:00:00.1234Z", "2024-05-28T00:00:00.123400Z"),
        ("2024-05-28T01:02:00.5+05:30", "2024-05-28T01:02:00.500+05:30"),
        ("2024-05-28T00:00:00+05", "2024-05-28T00:00+05:00"),
        ("2024-05-28T00:00:00+05:30:15", "2024-05-28T00:00+05:30:15"),
        ("2024-05-28T00:00:00-00:00", "2024-05-28T00:00Z"),
        ("2024-05-28T00:00:00+18:00", "2024-05-28T00:00+18:00"),
    ],
)
def test_dates_are_read_and_written_as_java_does(text: str, written: str):
    """As `OffsetDateTime.parse` and `toString` have it on JDK 17: no seconds when they are zero, 3, 6 or 9 digits."""
    assert str(read(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-28",
        "2024-05-28T00:00:00",
        "2024-05-28T00Z",
        "2024-05-28T00:00:00.1234567891Z",
        "2024-05-28T24:00:00Z",
        "2024-05-28T23:59:60Z",
        "2024-05-28T00:00:00-0800",
        "2024-05-28T00:00:00+18:01",
        "2024-05-28T00:00:00+05:60",
        "2024-05-28T00:00:00,5Z",
        "2024-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2024-05-28 00:00:00Z",
        " 2024-05-28T00:00:00Z",
        "٢٠٢٤-05-28T00:00:00Z",
        "",
    ],
)
def test_what_is_no_date_is_none(text: str):
    """The same that Java refuses, and the year 0, which the calendar here does not have."""
    assert read(text) is None


def test_offset_without_a_colon_is_read_only_on_request():
    """`-0800` is an offset for those who are lenient."""
    assert str(read("2024-05-27T16:00:00-0800", colonless_offset=True)) == "2024-05-27T16:00-08:00"
    assert read("2024-05-27T16:00:00-0860", colonless_offset=True) is None


@given(
    local=st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001
    offset=st.integers(-18 * 60, 18 * 60),
)
def test_instant_is_that_of_the_calendar(local: datetime, offset: int):
    """Nanoseconds since 1970 agree with the standard library's own aware datetimes."""
    aware = local.replace(tzinfo=timezone(timedelta(minutes=offset)))
    found = read(aware.isoformat())
    assert found is not None
    assert found.instant_ns == (aware.astimezone(UTC) - EPOCH) // timedelta(microseconds=1) * 1_000


@pytest.mark.parametrize(
    ("start", "years", "months", "end"),
    [
        ("2024-01-31T00:00Z", 0, 1, "2024-02-29T00:00Z"),
        ("2024-02-29T00:00Z", 1, 1, "2025-03-28T00:00Z"),
        ("2024-03-31T00:00Z", 0, -1, "2024-02-29T00:00Z"),
        ("2024-11-30T00:00Z", 0, 3, "2025-02-28T00:00Z"),
    ],
)
def test_months_end_on_the_last_day_there_is(start: str, years: int, months: int, end: str):
    """Years go first, and each step stays within its month."""
    moment = read(start)
    assert moment is not None
    assert str(moment.moved(years=years, months=months, nanoseconds=0)) == end


def test_moving_out_of_the_calendar_yields_none():
    """There are the years 1 to 9999."""
    moment = read("2024-05-28T00:00:00Z")
    assert moment is not None
    assert moment.moved(years=7976, months=0, nanoseconds=0) is None
    assert moment.moved(years=-2024, months=0, nanoseconds=0) is None
    assert moment.moved(years=0, months=0, nanoseconds=10**30) is None


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "PT0S"),
        (744 * 3_600 * 10**9, "PT744H"),
        (-744 * 3_600 * 10**9, "PT-744H"),
        (100 * 10**9, "PT1M40S"),
        (-90_250_000_000, "PT-1M-30.25S"),
        (-500_000_000, "PT-0.5S"),
        (1, "PT0.000000001S"),
        (3_600 * 10**9 + 1_500_000_000, "PT1H1.5S"),
    ],
)
def test_duration_is_written_as_java_does(nanoseconds: int, text: str):
    """As `Duration.toString`: hours, minutes and seconds, each with the sign."""
    assert duration_text(nanoseconds) == text
