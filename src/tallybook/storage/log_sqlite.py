"""The event log in one SQLite file: one record for each accepted request body.

Appending is synchronous and takes the file's write lock for one group of records at a time. Any number of processes may
append; SQLite puts them in order, so a reader never sees a position appear behind one it has read.
"""

import contextlib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tallybook.core.errors import Busy, Corrupt, TallybookError
from tallybook.core.instant import MICROSECONDS_PER_HOUR
from tallybook.storage.database import BUSY_TIMEOUT_S, translated
from tallybook.storage.interfaces import Accepted, LoggedRecord, Receipts, Record

PAGE_BYTES = 16_384  # bodies of 300 KB: 535 a second with this, 350 with 4 KiB pages; small ones do not mind
WAL_PAGES = 512  # 8 MiB: soon written over; while the file grows, a flush takes twice as long
POSITION_MAX = 2**63 - 1
ROWS_PER_STATEMENT = 128  # times the columns, within what any SQLite takes as parameters
STATEMENTS_KEPT = 2 * ROWS_PER_STATEMENT  # an insertion for each number of rows, and the others
TRIM_RECORDS = 64  # a trim holds the write lock, so it is done in short pieces between appends

_RECORD = """
CREATE TABLE record (
    position INTEGER PRIMARY KEY,
    organisation_id TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    format INTEGER NOT NULL,
    body BLOB NOT NULL
)
"""
_BOUND = """
CREATE TABLE bound (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    position INTEGER NOT NULL,
    received_at INTEGER NOT NULL
)
"""
_ACCEPTED = """
CREATE TABLE accepted (
    organisation_id TEXT NOT NULL,
    received_hour INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    PRIMARY KEY (organisation_id, received_hour)
) WITHOUT ROWID
"""
LAYOUT_VERSION = 2


def now_microseconds() -> int:
    """The wall clock, in microseconds since 1970."""
    return time.time_ns() // 1000


class SqliteEventLog:
    """`EventLog` over one SQLite file. A connection per thread; safe to share between threads.

    The file holds the records; in `bound` the position and the instant that every record to come lies behind, for what
    the records themselves cannot say any more; and in `accepted` the events of the records that were trimmed.
    """

    def __init__(self, path: Path, *, clock: Callable[[], int] = now_microseconds) -> None:
        self._path = path
        self._clock = clock
        self._threads = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            if _layout(connection) != LAYOUT_VERSION:
                self._bring_to_layout()
            self._newest = _newest(connection)

    def append(self, records: Sequence[Record]) -> int:
        with self._connection() as connection:
            return self._append(connection, records)

    def append_at_once(self, records: Sequence[Record]) -> int | None:
        try:
            with self._connection(busy_timeout_s=0) as connection:
                return self._append(connection, records)
        except _Occupied:
            return None

    def read(self, *, after: int, records_max: int, bytes_max: int) -> list[LoggedRecord]:
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT position, organisation_id, received_at, event_count, format, body FROM record "
                "WHERE position > ? ORDER BY position LIMIT ?",
                (after, records_max),
            )
            return list(_within(rows, bytes_max))

    def read_back(self, *, before: int | None, after: int, records_max: int) -> list[LoggedRecord]:
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT position, organisation_id, received_at, event_count, format, body FROM record "
                "WHERE position > ? AND position < ? ORDER BY position DESC LIMIT ?",
                (after, POSITION_MAX if before is None else before, records_max),
            )
            return [_logged(row) for row in rows]

    def last_position(self) -> int:
        with self._connection() as connection:
            return _newest(connection).position

    def received_through(self, position: int) -> int:
        with self._transaction() as connection:  # under the write lock: nobody is about to commit an earlier receipt
            first_behind = connection.execute(
                "SELECT received_at FROM record WHERE position > ? ORDER BY position LIMIT 1", (position,)
            ).fetchone()
            if first_behind:
                return int(first_behind[0])
            now = max(self._clock(), _newest(connection).received_at)
            connection.execute("UPDATE bound SET received_at = ?", (now,))
            return now

    def trim(self, *, through: int) -> int:
        with self._transaction() as connection:
            oldest = connection.execute(
                "SELECT position, received_at FROM record WHERE position <= ? ORDER BY position LIMIT ?",
                (through, TRIM_RECORDS),
            ).fetchall()
            if not oldest:
                return 0
            position, received_at = oldest[-1]
            _count(connection, through=position, sign=1)
            connection.execute(
                "UPDATE bound SET position = max(position, ?), received_at = max(received_at, ?)",
                (position, received_at),
            )
            return connection.execute("DELETE FROM record WHERE position <= ?", (position,)).rowcount

    def used_bytes(self) -> int:
        with self._connection() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            return int(pages - free) * PAGE_BYTES

    def accepted(self) -> Accepted:
        with self._snapshot() as connection:
            rows = connection.execute(_ACCEPTED_EVER).fetchall()
            last_position = _newest(connection).position
        by_receipt = {(organisation_id, hour): count for organisation_id, hour, count in rows}
        return Accepted(last_position=last_position, by_receipt=by_receipt)

    def receipts(self, organisation_id: str, *, start_hour: int, end_hour: int, behind: int) -> Receipts:
        hours = (organisation_id, start_hour, end_hour - 1)
        with self._snapshot() as connection:
            trimmed = connection.execute(_TRIMMED_IN_HOURS, hours).fetchall()
            standing = connection.execute(_STANDING_IN_HOURS, (behind, *hours)).fetchall()
        accepted: Counter[int] = Counter(dict(trimmed))
        waiting: Counter[int] = Counter()
        for hour, is_waiting, count in standing:
            accepted[hour] += count
            if is_waiting:
                waiting[hour] += count
        return Receipts(accepted=accepted, waiting=waiting)

    def changes_seen(self) -> int:
        """A number that differs after another connection has committed; cheap enough to ask often."""
        with self._connection() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def _append(self, connection: sqlite3.Connection, records: Sequence[Record]) -> int:
        pieces = [records[start : start + ROWS_PER_STATEMENT] for start in range(0, len(records), ROWS_PER_STATEMENT)]
        if len(pieces) == 1:
            # One statement is a transaction by itself, and the interpreter's lock is given up and taken back once.
            with contextlib.suppress(sqlite3.IntegrityError), _unless_occupied():
                self._newest = self._insert(connection, records, behind=self._newest)
                return self._newest.position
        with _transaction(connection):
            newest = _newest(connection)
            for piece in pieces:
                newest = self._insert(connection, piece, behind=newest)
        self._newest = newest
        return newest.position

    def _insert(self, connection: sqlite3.Connection, records: Sequence[Record], *, behind: "_Place") -> "_Place":
        """Insert at the next positions; fails with `IntegrityError` if `behind` is not the newest record any more."""
        received_at = max(self._clock(), behind.received_at)
        values: list[object] = [received_at, behind.position]
        for position, each in enumerate(records, start=behind.position + 1):
            values += (position, each.organisation_id, each.event_count, each.format, each.body)
        connection.execute(_insertion(len(records)), values)
        return _Place(behind.position + len(records), received_at)

    def _bring_to_layout(self) -> None:
        with self._transaction() as connection:
            version = _layout(connection)  # again: another process may have been here first
            if version > LAYOUT_VERSION:
                raise Corrupt(f"{self._path} was written by a newer Tallybook (layout {version}); use that one")
            if version == 0:
                for statement in (_RECORD, _BOUND, "INSERT INTO bound VALUES (1, 0, 0)", _ACCEPTED):
                    connection.execute(statement)
            if version == 1:
                _upgrade_from_1(connection)
            connection.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")

    @contextmanager
    def _connection(self, busy_timeout_s: int = BUSY_TIMEOUT_S) -> Iterator[sqlite3.Connection]:
        try:
            connections: dict[int, sqlite3.Connection] = self._threads.__dict__.setdefault("connections", {})
            if busy_timeout_s not in connections:
                connections[busy_timeout_s] = _open(self._path, busy_timeout_s)
            yield connections[busy_timeout_s]
        except sqlite3.Error as error:
            raise translated(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection, _transaction(connection):
            yield connection

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """All that is read is of one moment."""
        with self._connection() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")


def _open(path: Path, busy_timeout_s: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=busy_timeout_s, cached_statements=STATEMENTS_KEPT)
    for pragma in (
        f"page_size = {PAGE_BYTES}",
        "journal_mode = WAL",
        "synchronous = FULL",
        f"wal_autocheckpoint = {WAL_PAGES}",
        "secure_delete = OFF",  # some builds write zeros over all that is deleted, as many bytes as were logged
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _layout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _upgrade_from_1(connection: sqlite3.Connection) -> None:
    """Layout 1 counted events as they came, and kept the last position in SQLite's own table of sequences."""
    _count(connection, through=POSITION_MAX, sign=-1)
    connection.execute(_BOUND)
    connection.execute(
        "INSERT INTO bound SELECT 1, ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'record'), 0), received_at "
        "FROM latest"
    )
    connection.execute("ALTER TABLE record RENAME TO record_1")
    connection.execute(_RECORD)
    connection.execute("INSERT INTO record SELECT * FROM record_1")
    connection.execute("DROP TABLE record_1")
    connection.execute("DROP TABLE latest")


class _Occupied(Busy):
    """Somebody else is writing, and nothing of ours is written."""


@contextmanager
def _unless_occupied() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise _Occupied(f"the event log is being written: {error}") from error
        raise


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    with _unless_occupied():
        connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except (sqlite3.Error, TallybookError):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class _Place(NamedTuple):
    """Where a record lies in the log, and when it was received."""

    position: int
    received_at: int


def _newest(connection: sqlite3.Connection) -> _Place:
    """The place that the next record lies behind."""
    return _Place(*connection.execute(_NEWEST).fetchone())


@cache
def _insertion(count: int) -> str:
    """The statement that inserts so many records, if and only if those are the next ones.

    Whoever has inserted others meanwhile has taken the first one's position. Whoever has trimmed those as well, or has
    promised a later receipt, has written it into `bound`: then the receipt is NULL, which the table does not take.
    """
    receipts = ["(SELECT ?1 FROM bound WHERE position <= ?2 AND received_at <= ?1)", *["?1"] * (count - 1)]
    rows = (
        f"(?{at}, ?{at + 1}, {receipt}, ?{at + 2}, ?{at + 3}, ?{at + 4})"
        for at, receipt in zip(range(3, 3 + 5 * count, 5), receipts, strict=True)
    )
    columns = "position, organisation_id, received_at, event_count, format, body"
    return f"INSERT INTO record ({columns}) VALUES {', '.join(rows)}"  # noqa: S608  # constants


def _count(connection: sqlite3.Connection, *, through: int, sign: int) -> None:
    """Add the events of the records up to `through` to what was accepted, or take them out of it."""
    connection.execute(_COUNT, (sign, through))


def _within(rows: Iterator[tuple[int, str, int, int, int, bytes]], bytes_max: int) -> Iterator[LoggedRecord]:
    size = 0
    for row in rows:
        record = _logged(row)
        size += len(record.body)
        yield record
        if size >= bytes_max:
            return


def _logged(row: tuple[int, str, int, int, int, bytes]) -> LoggedRecord:
    position, organisation_id, received_at, event_count, body_format, body = row
    return LoggedRecord(
        position=position,
        organisation_id=organisation_id,
        received_at=received_at,
        event_count=event_count,
        format=body_format,
        body=body,
    )


_HOUR = f"received_at / {MICROSECONDS_PER_HOUR}"
_COUNT = (
    f"INSERT INTO accepted SELECT organisation_id, {_HOUR}, ? * sum(event_count) FROM record "  # noqa: S608  # constants
    f"WHERE position <= ? GROUP BY organisation_id, {_HOUR} "
    "ON CONFLICT DO UPDATE SET event_count = accepted.event_count + excluded.event_count"
)
_NEWEST = (
    "SELECT max(position), max(received_at) FROM (SELECT position, received_at FROM bound UNION ALL "
    "SELECT * FROM (SELECT position, received_at FROM record ORDER BY position DESC LIMIT 1))"
)
_ACCEPTED_EVER = (
    "SELECT organisation_id, received_hour, sum(event_count) FROM (SELECT * FROM accepted UNION ALL "  # noqa: S608  # the same
    f"SELECT organisation_id, {_HOUR}, event_count FROM record) "
    "GROUP BY organisation_id, received_hour"
)
_TRIMMED_IN_HOURS = (
    "SELECT received_hour, event_count FROM accepted WHERE organisation_id = ? AND received_hour BETWEEN ? AND ?"
)
_STANDING_IN_HOURS = (
    f"SELECT {_HOUR} AS hour, position > ? AS is_waiting, sum(event_count) FROM record "  # noqa: S608  # a constant
    "WHERE organisation_id = ? AND hour BETWEEN ? AND ? GROUP BY hour, is_waiting"
)
