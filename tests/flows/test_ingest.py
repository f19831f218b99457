"""Group commit: what is written where, and who is told what."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue

import pytest

from tallybook.core.errors import TallybookError
from tallybook.flows.ingest import SMALL_BYTES_MAX, Intake
from tallybook.storage.interfaces import Record
from tallybook.storage.log_sqlite import SqliteEventLog

Settled = tuple[Sequence[str], TallybookError | None]
SETTLED_WITHIN_S = 10


class Desk:
    """An intake with a loop of its own: `turn` does what was put off."""

    def __init__(self, log: SqliteEventLog) -> None:
        self.settled: SimpleQueue[Settled] = SimpleQueue()
        self._due: list[tuple[Callable[[int], None], int]] = []
        self.intake: Intake[str] = Intake(
            log,
            backlog_bytes_max=2**30,
            settle=lambda tickets, error: self.settled.put((tickets, error)),
            soon=lambda function, count: self._due.append((function, count)),
        )

    def submit(self, *tickets: str, size: int = 2) -> None:
        for ticket in tickets:
            self.intake.submit(Record(organisation_id="org", event_count=1, format=1, body=b"x" * size), ticket)

    def turn(self) -> None:
        due, self._due = self._due, []
        for function, count in due:
            function(count)

    def answer(self) -> Settled:
        return self.settled.get(timeout=SETTLED_WITHIN_S)


@pytest.fixture
def log(tmp_path: Path) -> SqliteEventLog:
    return SqliteEventLog(tmp_path / "0.sqlite")


@pytest.fixture
def desk(log: SqliteEventLog) -> Iterator[Desk]:
    desk = Desk(log)
    yield desk
    desk.intake.close()


def written(log: SqliteEventLog) -> int:
    return len(log.read(after=0, records_max=1000, bytes_max=2**30))


def test_small_records_that_come_together_are_one_commit(desk: Desk, log: SqliteEventLog) -> None:
    """While more come than at the last look, it waits one more turn; then all of them are durable before any answer."""
    desk.submit("a")
    desk.submit("b", "c")
    desk.turn()
    assert desk.settled.empty()
    assert written(log) == 0
    desk.turn()
    assert desk.answer() == (["a", "b", "c"], None)
    assert written(log) == 3


def test_a_lone_record_is_written_in_the_next_turn(desk: Desk, log: SqliteEventLog) -> None:
    """Nothing is held back to fill a group."""
    desk.submit("a")
    desk.turn()
    assert desk.answer() == (["a"], None)
    assert written(log) == 1


def test_the_loop_does_not_wait_for_another_writer(desk: Desk, log: SqliteEventLog, tmp_path: Path) -> None:
    """The turn ends at once, the ticket is settled when the other has finished, and the record is there once."""
    other = sqlite3.connect(tmp_path / "0.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    desk.submit("a")
    desk.turn()
    assert desk.settled.empty()
    assert written(log) == 0
    other.execute("COMMIT")
    other.close()
    assert desk.answer() == (["a"], None)
    assert written(log) == 1


def test_large_records_need_no_turn(desk: Desk, log: SqliteEventLog) -> None:
    """They go to the thread; so the loop can check the next body meanwhile."""
    desk.submit("a", size=SMALL_BYTES_MAX + 1)
    assert desk.answer() == (["a"], None)
    assert written(log) == 1
