"""What `EventLog` promises, for every backend there is."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from embedded import Clock

from tallybook.core.errors import TallybookError
from tallybook.core.instant import MICROSECONDS_PER_HOUR
from tallybook.storage.interfaces import EventLog, Record
from tallybook.storage.log_sqlite import SqliteEventLog

HOUR_ONE = MICROSECONDS_PER_HOUR
ALL = {"records_max": 1_000_000, "bytes_max": 2**40}

OpenLog = Callable[[], EventLog]


@pytest.fixture
def clock() -> Clock:
    return Clock(HOUR_ONE)


@pytest.fixture(params=["sqlite"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> OpenLog:
    """Opens the same log again and again, as processes that follow one another do."""
    return {"sqlite": lambda: SqliteEventLog(tmp_path / "log" / "0.sqlite", clock=clock)}[request.param]


@pytest.fixture
def log(open_log: OpenLog) -> EventLog:
    return open_log()


def record(body: bytes = b"{}", *, organisation_id: str = "org", event_count: int = 1) -> Record:
    return Record(organisation_id=organisation_id, event_count=event_count, format=2, body=body)


def bodies(log: EventLog, *, after: int = 0) -> list[bytes]:
    return [each.body for each in log.read(after=after, **ALL)]


def trim(log: EventLog, through: int) -> int:
    """Trim until nothing is left to trim; return how many records that were."""
    count = 0
    while trimmed := log.trim(through=through):
        count += trimmed
    return count


def test_records_come_back_as_they_were_appended(log: EventLog, open_log: OpenLog, clock: Clock) -> None:
    """In order, whole, and by another process too; the position returned is the last one's."""
    first = log.append([record(b"a", organisation_id="one", event_count=3), record(b"b" * 100_000)])
    last = log.append([record(b"c")])
    assert 0 < first < last
    for reader in (log, open_log()):
        found = reader.read(after=0, **ALL)
        assert [each.body for each in found] == [b"a", b"b" * 100_000, b"c"]
        assert [each.position for each in found][1:] == [first, last]
        assert (found[0].organisation_id, found[0].event_count, found[0].format) == ("one", 3, 2)
        assert found[0].received_at == clock.now
        assert reader.last_position() == last


def test_an_empty_log(log: EventLog) -> None:
    """Nothing to read, nothing to trim, and positions start above 0."""
    assert log.last_position() == 0
    assert bodies(log) == []
    assert log.read_back(before=None, after=0, records_max=10) == []
    assert log.trim(through=10) == 0
    assert log.accepted().last_position == 0
    assert log.accepted().by_receipt == {}


def test_append_is_all_or_none(log: EventLog) -> None:
    """When one record cannot be written, none of its group is, and none of them is counted."""
    log.append([record(b"before")])
    with pytest.raises((TallybookError, TypeError)):
        log.append([record(b"good"), record(b"bad", organisation_id=None)])  # type: ignore[arg-type]
    assert bodies(log) == [b"before"]
    assert sum(log.accepted().by_receipt.values()) == 1
    log.append([record(b"after")])
    assert bodies(log) == [b"before", b"after"]


def test_positions_are_never_reused(log: EventLog, open_log: OpenLog) -> None:
    """Not after everything is trimmed, nor by a process that finds the log empty."""
    last = log.append([record(), record()])
    assert trim(log, last) == 2
    assert log.last_position() == last
    reopened = open_log()
    assert reopened.last_position() == last
    again = reopened.append([record(b"new")])
    assert again > last
    assert [each.position for each in reopened.read(after=last, **ALL)] == [again]


def test_receipt_never_goes_back(log: EventLog, open_log: OpenLog, clock: Clock) -> None:
    """Though the clock does: not between two records, nor across a restart, nor after a trim to empty."""
    log.append([record()])
    clock.now -= 10 * MICROSECONDS_PER_HOUR
    last = log.append([record()])
    times = [each.received_at for each in log.read(after=0, **ALL)]
    assert times == [HOUR_ONE, HOUR_ONE]
    trim(log, last)
    position = open_log().append([record()])
    [found] = open_log().read(after=last, **ALL)
    assert (found.position, found.received_at) == (position, HOUR_ONE)


def test_reading_is_bounded_by_records_and_bytes(log: EventLog) -> None:
    """At least one record if there is one, however large it is."""
    positions = [log.append([record(b"x" * 1000)]) for _ in range(10)]
    assert len(log.read(after=0, records_max=3, bytes_max=2**40)) == 3
    assert len(log.read(after=0, records_max=100, bytes_max=2500)) == 3
    assert len(log.read(after=0, records_max=100, bytes_max=1)) == 1
    assert [each.position for each in log.read(after=positions[6], **ALL)] == positions[7:]
    assert log.read(after=positions[-1], **ALL) == []


def test_reading_back_is_newest_first_between_bounds(log: EventLog) -> None:
    """Both bounds are exclusive."""
    positions = [log.append([record()]) for _ in range(6)]

    def found(before: int | None, after: int, records_max: int = 100) -> list[int]:
        return [each.position for each in log.read_back(before=before, after=after, records_max=records_max)]

    assert found(None, 0) == positions[::-1]
    assert found(None, 0, 2) == positions[:-3:-1]
    assert found(positions[4], positions[1]) == [positions[3], positions[2]]
    assert found(positions[1], positions[1]) == []


def test_trim_forgets_the_oldest_and_keeps_the_counts(log: EventLog) -> None:
    """Only up to the position asked for, however often it is asked; accepted events stay counted."""
    positions = [log.append([record(bytes(20_000), event_count=2)]) for _ in range(200)]
    used = log.used_bytes()
    assert trim(log, positions[149]) == 150
    assert [each.position for each in log.read(after=0, **ALL)] == positions[150:]
    assert log.used_bytes() < used / 2
    assert trim(log, positions[149]) == 0
    assert sum(log.accepted().by_receipt.values()) == 400
    assert log.accepted().last_position == positions[-1]


def test_accepted_counts_events_by_organisation_and_hour(log: EventLog, clock: Clock) -> None:
    """Of receipt; every record of a group counts."""
    log.append([record(event_count=3), record(event_count=4), record(organisation_id="other", event_count=5)])
    clock.now += MICROSECONDS_PER_HOUR
    last = log.append([record(event_count=7)])
    assert log.accepted().by_receipt == {("org", 1): 7, ("other", 1): 5, ("org", 2): 7}
    assert log.accepted().last_position == last


def test_receipts_are_one_organisations_hours(log: EventLog, clock: Clock) -> None:
    """Accepted stays when a record is trimmed; waiting is what lies behind the position, within the hours."""
    first = log.append([record(event_count=3), record(organisation_id="other", event_count=5)])
    log.append([record(event_count=4)])
    clock.now += MICROSECONDS_PER_HOUR
    log.append([record(event_count=7)])
    found = log.receipts("org", start_hour=1, end_hour=3, behind=first)
    assert (found.accepted, found.waiting) == ({1: 7, 2: 7}, {1: 4, 2: 7})
    while log.trim(through=first):
        pass
    found = log.receipts("org", start_hour=1, end_hour=2, behind=0)
    assert (found.accepted, found.waiting) == ({1: 7}, {1: 4})
    assert log.receipts("third", start_hour=0, end_hour=9, behind=0).accepted == {}


def test_received_through_never_promises_too_much(log: EventLog, clock: Clock) -> None:
    """Everything received before the instant has a position up to the given one, now and in all future."""
    assert log.received_through(0) == clock.now
    first = log.append([record()])
    clock.now += 5_000_000
    second = log.append([record()])
    assert log.received_through(0) == HOUR_ONE
    assert log.received_through(first) == HOUR_ONE + 5_000_000
    clock.now += 1_000_000
    promised = log.received_through(second)
    assert promised == clock.now
    clock.now -= 3_000_000
    late = log.append([record()])
    [found] = log.read(after=second, **ALL)
    assert found.position == late
    assert found.received_at >= promised


def test_many_threads_append_and_one_reads_without_a_gap(log: EventLog, open_log: OpenLog) -> None:
    """A position never appears behind one that was read already."""
    writers = [
        threading.Thread(target=lambda name=name: [open_log().append([record(name)]) for _ in range(25)])
        for name in (b"a", b"b", b"c", b"d")
    ]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while any(writer.is_alive() for writer in writers) or len(seen) < log.last_position():
        seen += [each.position for each in log.read(after=seen[-1] if seen else 0, records_max=7, bytes_max=10_000)]
    assert seen == [each.position for each in log.read(after=0, **ALL)]
    assert len(seen) == 100


def test_a_writer_that_fell_behind_takes_nobodys_place(log: EventLog, open_log: OpenLog, clock: Clock) -> None:
    """Whether the others' records still stand, are trimmed in part, or all; and its receipts are not earlier."""
    other = open_log()
    log.append([record(b"1")])
    clock.now += 1000
    assert other.append([record(b"2"), record(b"3")]) == 3
    clock.now -= 1000
    assert log.append([record(b"4")]) == 4, "the others' records stand"
    clock.now += 2000
    assert other.append([record(b"5"), record(b"6")]) == 6
    clock.now -= 2000
    assert trim(other, 5) == 5
    assert log.append([record(b"7")]) == 7, "one of the others' records stands"
    clock.now += 3000
    assert other.append([record(b"8")]) == 8
    clock.now -= 3000
    assert trim(other, 8) == 3
    assert log.append_at_once([record(b"9")]) == 9, "none stands"
    [left] = log.read(after=0, **ALL)
    assert (left.body, left.received_at) == (b"9", HOUR_ONE + 3000)
    assert sum(log.accepted().by_receipt.values()) == 9


def test_a_promise_binds_a_writer_that_did_not_make_it(log: EventLog, open_log: OpenLog, clock: Clock) -> None:
    """What another process was told of receipts holds for those that come from here."""
    log.append([record(b"1")])
    clock.now += 1000
    through = open_log().received_through(1)
    clock.now -= 1000
    log.append([record(b"2")])
    [_, second] = log.read(after=0, **ALL)
    assert second.received_at >= through


def test_hundreds_of_records_are_one_group(log: EventLog) -> None:
    """More than a statement takes: in order, and none of them when one cannot be written."""
    assert log.append([record(b"%d" % number) for number in range(300)]) == 300
    assert bodies(log) == [b"%d" % number for number in range(300)]
    broken = record(organisation_id=None)  # type: ignore[arg-type]  # what the table refuses
    with pytest.raises(TallybookError):
        log.append([*[record()] * 299, broken])
    assert (log.last_position(), len(bodies(log))) == (300, 300)


def test_a_log_of_layout_1_goes_on(tmp_path: Path, clock: Clock) -> None:
    """Positions and receipts go on where they were, the waiting records stay, and so do the sums."""
    path = tmp_path / "0.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(LAYOUT_1)
        waiting = [(6, "org", HOUR_ONE + 5, 20, 2, b"six"), (7, "org", HOUR_ONE + 9, 30, 2, b"seven")]
        connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)", waiting)
        connection.execute("UPDATE latest SET received_at = ?", (HOUR_ONE + 9,))
        connection.execute("INSERT INTO accepted VALUES ('org', 1, 150)")  # 100 of them are trimmed
    log = SqliteEventLog(path, clock=clock)
    assert bodies(log) == [b"six", b"seven"]
    assert log.accepted().by_receipt == {("org", 1): 150}
    assert log.append([record(b"eight", event_count=4)]) == 8
    assert log.read(after=7, **ALL)[0].received_at == HOUR_ONE + 9
    trim(log, 7)
    assert log.accepted().by_receipt == {("org", 1): 154}
    assert SqliteEventLog(path, clock=clock).last_position() == 8


def test_a_log_of_layout_1_that_was_trimmed_whole_goes_on(tmp_path: Path, clock: Clock) -> None:
    """The last position stood in SQLite's table of sequences."""
    path = tmp_path / "0.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(LAYOUT_1)
        connection.execute("INSERT INTO record VALUES (41, 'org', 1, 1, 2, '')")
        connection.execute("DELETE FROM record")
    assert SqliteEventLog(path, clock=clock).append([record()]) == 42


LAYOUT_1 = """
CREATE TABLE record (
    position INTEGER PRIMARY KEY AUTOINCREMENT, organisation_id TEXT NOT NULL, received_at INTEGER NOT NULL,
    event_count INTEGER NOT NULL, format INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE latest (only INTEGER PRIMARY KEY CHECK (only = 1), received_at INTEGER NOT NULL);
INSERT INTO latest VALUES (1, 0);
CREATE TABLE accepted (
    organisation_id TEXT NOT NULL, received_hour INTEGER NOT NULL, event_count INTEGER NOT NULL,
    PRIMARY KEY (organisation_id, received_hour)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
