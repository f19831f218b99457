from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from price_plan_samples import monthly

from tallybook.core.errors import Invalid
from tallybook.core.period import (
    FOREVER,
    GRACE_DAYS_MAX,
    PricingCycle,
    PricingInterval,
    Window,
    anchored,
    check_cycle,
    cycle_containing,
    cycle_number,
    cycles_ending_by,
    cycles_from,
    cycles_started_by,
    full_cycle_containing,
    grace_deadline,
    retained,
)

EVER = (date(1970, 1, 1), FOREVER)


def day(text: str) -> date:
    return date.fromisoformat(text)


def starts(day_offset: str, year: int, months: int) -> list[str]:
    cycles = cycles_from(monthly(day_offset), within=(date(year - 1, 12, 31), FOREVER))
    found = [str(window.start) for window, _ in zip(cycles, range(months + 2), strict=False)]
    return [start for start in found if start.startswith(str(year))][:months]


@pytest.mark.parametrize(
    ("day_offset", "year", "expected"),
    [
        ("1", 2023, ["2023-01-01", "2023-02-01", "2023-03-01"]),
        ("28", 2023, ["2023-01-28", "2023-02-28", "2023-03-28"]),
        ("30", 2023, ["2023-01-30", "2023-02-28", "2023-03-30"]),
        ("30", 2024, ["2024-01-30", "2024-02-29", "2024-03-30"]),
        ("31", 2023, ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"]),
        ("LAST", 2024, ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]),
    ],
)
def test_monthly_cycles_start_on_the_offset(day_offset: str, year: int, expected: list[str]) -> None:
    """Contract 3.6: a day that a month lacks is the closest earlier one, in leap years too."""
    assert starts(day_offset, year, len(expected)) == expected


@pytest.mark.parametrize(
    ("associated", "offset"),
    [
        ("2023-10-01", "1"),
        ("2023-10-12", "12"),
        ("2023-10-28", "28"),
        ("2023-10-30", "30"),
        ("2023-10-31", "LAST"),
        ("2023-04-30", "LAST"),
        ("2023-02-28", "LAST"),
        ("2024-02-28", "28"),
        ("2024-02-29", "LAST"),
    ],
)
def test_anniversary_cycles_start_on_the_day_of_association(associated: str, offset: str) -> None:
    """Contract 3.6: the last day of a month stays the last day of every month."""
    assert anchored(monthly(None, anniversary=True), day(associated)).day_offset == offset


def test_a_fixed_offset_does_not_move_with_the_association() -> None:
    assert anchored(monthly("5"), day("2023-10-12")) == monthly("5")


def test_the_first_cycle_is_a_stub() -> None:
    """From the association to the next boundary: joined 15 January, monthly from the 3rd."""
    windows = cycles_from(monthly("3"), within=(day("2024-01-15"), FOREVER))
    assert [next(windows), next(windows)] == [
        Window(day("2024-01-15"), day("2024-02-03")),
        Window(day("2024-02-03"), day("2024-03-03")),
    ]


def test_the_last_cycle_ends_with_the_schedule() -> None:
    windows = list(cycles_from(monthly("1"), within=(day("2024-01-01"), day("2024-02-10"))))
    assert windows == [Window(day("2024-01-01"), day("2024-02-01")), Window(day("2024-02-01"), day("2024-02-10"))]


def test_cycle_of_a_day_before_the_boundary_of_its_month() -> None:
    assert cycle_containing(monthly("15"), day("2024-01-14"), within=EVER) == Window(
        day("2023-12-15"), day("2024-01-15")
    )
    assert cycle_containing(monthly("15"), day("2024-01-15"), within=EVER) == Window(
        day("2024-01-15"), day("2024-02-15")
    )


def test_grace_ends_days_after_the_cycle() -> None:
    """Contract 3.6: monthly from the 5th ends on the 4th and with two days of grace is due on the 7th."""
    window = cycle_containing(monthly("5", grace_days=2), day("2024-03-10"), within=EVER)
    assert window.end - timedelta(days=1) == day("2024-04-04")
    assert grace_deadline(window.end, 2) == datetime(2024, 4, 7, tzinfo=UTC)


def test_cycles_are_due_at_their_deadline_and_not_before() -> None:
    cycle = monthly("1", grace_days=2)
    within = (day("2024-01-01"), FOREVER)
    deadline = datetime(2024, 2, 3, tzinfo=UTC)
    assert list(cycles_ending_by(cycle, deadline - timedelta(microseconds=1), within=within)) == []
    assert list(cycles_ending_by(cycle, deadline, within=within)) == [Window(day("2024-01-01"), day("2024-02-01"))]


def test_a_cycle_has_begun_from_its_first_instant_on() -> None:
    within = (day("2024-01-01"), FOREVER)
    begun = list(cycles_started_by(monthly("1"), datetime(2024, 2, 1, tzinfo=UTC), within=within))
    assert [window.start for window in begun] == [day("2024-01-01"), day("2024-02-01")]


def test_the_end_of_time_has_a_deadline_too() -> None:
    assert grace_deadline(FOREVER, GRACE_DAYS_MAX).year == 9999


@pytest.mark.parametrize("day_offset", ["0", "32", "01", "last", "", "FIRST", None])
def test_impossible_offsets_are_refused(day_offset: str | None) -> None:
    with pytest.raises(Invalid, match="dayOffset"):
        check_cycle(monthly(day_offset))


@pytest.mark.parametrize("grace_days", [-1, GRACE_DAYS_MAX + 1])
def test_impossible_grace_is_refused(grace_days: int) -> None:
    with pytest.raises(Invalid, match="gracePeriod"):
        check_cycle(monthly("1", grace_days=grace_days))


def test_a_month_offset_means_nothing_in_a_monthly_cycle() -> None:
    with pytest.raises(Invalid, match="monthOffset"):
        check_cycle(PricingCycle(interval=PricingInterval.MONTHLY, day_offset="1", month_offset="2", grace_days=0))


def cycle_of(
    interval: str, day_offset: str | None, month_offset: str = "NIL", *, grace_days: int = 0, anniversary: bool = False
) -> PricingCycle:
    return PricingCycle(
        interval=PricingInterval(interval),
        day_offset=day_offset,
        month_offset=month_offset,
        grace_days=grace_days,
        anniversary=anniversary,
    )


@pytest.mark.parametrize(
    ("cycle", "year", "expected"),
    [
        (cycle_of("QUARTERLY", "15", "2"), 2023, ["02-15", "05-15", "08-15", "11-15"]),
        (cycle_of("QUARTERLY", "LAST", "FIRST"), 2023, ["01-31", "04-30", "07-31", "10-31"]),
        (cycle_of("QUARTERLY", "31", "LAST"), 2023, ["03-31", "06-30", "09-30", "12-31"]),
        (cycle_of("HALF_YEARLY", "15", "4"), 2023, ["04-15", "10-15"]),
        (cycle_of("HALF_YEARLY", "1", "LAST"), 2023, ["06-01", "12-01"]),
        (cycle_of("ANNUALLY", "LAST", "2"), 2023, ["02-28"]),
        (cycle_of("ANNUALLY", "LAST", "2"), 2024, ["02-29"]),
        (cycle_of("ANNUALLY", "1", "FIRST"), 2023, ["01-01"]),
        (cycle_of("ANNUALLY", "31", "12"), 2023, ["12-31"]),
        (cycle_of("WEEKLY", "1"), 2023, ["01-02", "01-09", "01-16"]),
        (cycle_of("WEEKLY", "7"), 2023, ["01-01", "01-08", "01-15"]),
    ],
)
def test_longer_and_shorter_cycles_start_on_their_offsets(cycle: PricingCycle, year: int, expected: list[str]) -> None:
    """Contract 3.6: quarters and half-years are counted from January; Monday is the first day of a week."""
    check_cycle(cycle)
    windows = cycles_from(cycle, within=(date(year, 1, 1) - timedelta(days=1), FOREVER))
    starts_found = [window.start for window, _ in zip(windows, range(8), strict=False)][1:]
    assert [f"{start:%m-%d}" for start in starts_found if start.year == year][: len(expected)] == expected


@pytest.mark.parametrize(
    ("interval", "associated", "expected"),
    [
        ("WEEKLY", "2023-10-23", ("1", "NIL")),
        ("WEEKLY", "2023-10-25", ("3", "NIL")),
        ("WEEKLY", "2023-10-29", ("7", "NIL")),
        ("QUARTERLY", "2023-01-15", ("15", "1")),
        ("QUARTERLY", "2023-11-15", ("15", "2")),
        ("QUARTERLY", "2023-09-15", ("15", "3")),
        ("HALF_YEARLY", "2023-07-15", ("15", "1")),
        ("HALF_YEARLY", "2023-04-15", ("15", "4")),
        ("HALF_YEARLY", "2023-12-15", ("15", "6")),
        ("ANNUALLY", "2023-01-15", ("15", "1")),
        ("ANNUALLY", "2023-02-28", ("LAST", "2")),
        ("ANNUALLY", "2024-02-29", ("LAST", "2")),
        ("ANNUALLY", "2023-12-15", ("15", "12")),
    ],
)
def test_anniversary_offsets_of_every_interval(interval: str, associated: str, expected: tuple[str, str]) -> None:
    """Contract 3.6: weekday, day and month come from the day of association."""
    cycle = anchored(cycle_of(interval, None, anniversary=True), day(associated))
    assert (cycle.day_offset, cycle.month_offset) == expected


def test_the_guides_quarter_has_three_months() -> None:
    """Contract 3.6: day 3 of the second month, joined 15 January, grace 2; due 5 February, then 5 May."""
    cycle = cycle_of("QUARTERLY", "3", "2", grace_days=2)
    windows = cycles_from(cycle, within=(day("2024-01-15"), FOREVER))
    first, second = next(windows), next(windows)
    assert (first, second) == (
        Window(day("2024-01-15"), day("2024-02-03")),
        Window(day("2024-02-03"), day("2024-05-03")),
    )
    assert grace_deadline(first.end, 2) == datetime(2024, 2, 5, tzinfo=UTC)
    assert grace_deadline(second.end, 2) == datetime(2024, 5, 5, tzinfo=UTC)


def test_the_guides_anniversary_quarter_has_three_months() -> None:
    """Contract 3.6: joined 10 March, the first cycle ends on 9 June, the second on 9 September."""
    cycle = anchored(cycle_of("QUARTERLY", None, anniversary=True), day("2024-03-10"))
    windows = cycles_from(cycle, within=(day("2024-03-10"), FOREVER))
    assert [next(windows), next(windows)] == [
        Window(day("2024-03-10"), day("2024-06-10")),
        Window(day("2024-06-10"), day("2024-09-10")),
    ]


@pytest.mark.parametrize(
    "cycle",
    [
        cycle_of("WEEKLY", "8"),
        cycle_of("WEEKLY", "LAST"),
        cycle_of("WEEKLY", "1", "1"),
        cycle_of("QUARTERLY", "1"),
        cycle_of("QUARTERLY", "1", "4"),
        cycle_of("HALF_YEARLY", "1", "7"),
        cycle_of("ANNUALLY", "1", "13"),
        cycle_of("ANNUALLY", "1", "0"),
        cycle_of("ANNUALLY", "1", "02"),
    ],
)
def test_offsets_outside_the_interval_are_refused(cycle: PricingCycle) -> None:
    """A week has seven days, a quarter three months, a half-year six."""
    with pytest.raises(Invalid, match=r"startOffset\.(day|month)Offset: must be"):
        check_cycle(cycle)


def test_cycles_are_numbered_from_the_association() -> None:
    """The stub is number 0, the first full cycle after it number 1."""
    assert cycle_number(monthly("3"), day("2024-02-02"), since=day("2024-01-15")) == 0
    assert cycle_number(monthly("3"), day("2024-02-03"), since=day("2024-01-15")) == 1
    assert cycle_number(cycle_of("QUARTERLY", "1", "1"), day("2025-01-01"), since=day("2024-01-15")) == 4
    assert cycle_number(cycle_of("WEEKLY", "1"), day("2024-01-22"), since=day("2024-01-03")) == 3


def test_a_retained_cycle_keeps_its_boundaries_and_takes_the_new_grace() -> None:
    """Contract 3.7: the account changes its plan and not its days; a plan of another interval is refused."""
    new = retained(monthly("1", grace_days=4), monthly("17", grace_days=2))
    assert (new.day_offset, new.grace_days) == ("17", 4)
    with pytest.raises(Invalid, match="retainStartOffsets: the account's cycle is MONTHLY, the plan's WEEKLY"):
        retained(cycle_of("WEEKLY", "1"), monthly("17"))


CYCLES = st.one_of(
    st.builds(cycle_of, st.just("WEEKLY"), st.sampled_from([str(number) for number in range(1, 8)])),
    *(
        st.builds(
            cycle_of,
            st.just(interval),
            st.sampled_from([*map(str, range(1, 32)), "LAST"]),
            st.sampled_from(["FIRST", "LAST", *map(str, range(1, months + 1))]),
        )
        for interval, months in (("QUARTERLY", 3), ("HALF_YEARLY", 6), ("ANNUALLY", 12))
    ),
)


@given(cycle=CYCLES, start=st.dates(date(1970, 1, 1), date(2200, 1, 1)), days=st.integers(1, 1500))
def test_cycles_of_every_interval_tile_the_schedule(cycle: PricingCycle, start: date, days: int) -> None:
    """Every day of a schedule is in exactly one cycle, and the cycle of a day does not depend on where one starts."""
    check_cycle(cycle)
    within = (start, start + timedelta(days=days))
    windows = list(cycles_from(cycle, within=within))
    assert (windows[0].start, windows[-1].end) == within
    assert all(earlier.end == later.start for earlier, later in pairwise(windows))
    for number, window in enumerate(windows):
        assert cycle_containing(cycle, window.end - timedelta(days=1), within=within) == window
        assert cycle_number(cycle, window.start, since=start) == number
        assert full_cycle_containing(cycle, window.start).end >= window.end


@given(
    day_offset=st.sampled_from([*map(str, range(1, 32)), "LAST"]),
    start=st.dates(date(1970, 1, 1), date(2200, 1, 1)),
    days=st.integers(1, 1000),
)
def test_cycles_tile_the_schedule(day_offset: str, start: date, days: int) -> None:
    """Every day of a schedule is in exactly one cycle, and no cycle is longer than a month."""
    within = (start, start + timedelta(days=days))
    windows = list(cycles_from(monthly(day_offset), within=within))
    assert windows[0].start == within[0]
    assert windows[-1].end == within[1]
    assert all(earlier.end == later.start for earlier, later in pairwise(windows))
    assert all(0 < (window.end - window.start).days <= 31 for window in windows)
    for window in windows:
        assert cycle_containing(monthly(day_offset), window.start, within=within) == window
        assert cycle_containing(monthly(day_offset), window.end - timedelta(days=1), within=within) == window
