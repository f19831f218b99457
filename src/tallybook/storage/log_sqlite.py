"""The event log in one SQLite file: one record for each accepted request body.

Appending is synchronous and takes the file's write lock for one group of records at a time. Any number of processes may
append; SQLite puts them in order, so a reader never sees a position appear behind one it has read.
"""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tallybook.core.errors import Busy, Corrupt, TallybookError
from tallybook.core.instant import MICROSECONDS_PER_HOUR
from tallybook.storage.database import BUSY_TIMEOUT_S, translated
from tallybook.storage.interfaces import Accepted, LoggedRecord, Receipts, Record

PAGE_BYTES = 16_384  # bodies of 300 KB: 535 a second with this, 350 with 4 KiB pages; small ones do not mind
WAL_PAGES = 4_096  # 64 MiB: large enough that copying home is rare, small enough that it is short
POSITION_MAX = 2**63 - 1
TRIM_RECORDS = 64  # a trim holds the write lock, so it is done in short pieces between appends

_LAYOUT = """
CREATE TABLE IF NOT EXISTS record (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation_id TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    format INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS latest (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    received_at INTEGER NOT NULL
);
INSERT INTO latest VALUES (1, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS accepted (
    organisation_id TEXT NOT NULL,
    received_hour INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    PRIMARY KEY (organisation_id, received_hour)
) WITHOUT ROWID;
"""
LAYOUT_VERSION = 1


def now_microseconds() -> int:
    """The wall clock, in microseconds since 1970."""
    return time.time_ns() // 1000


class SqliteEventLog:
    """`EventLog` over one SQLite file. A connection per thread; safe to share between threads."""

    def __init__(self, path: Path, *, clock: Callable[[], int] = now_microseconds) -> None:
        self._path = path
        self._clock = clock
        self._threads = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > LAYOUT_VERSION:
                raise Corrupt(f"{path} was written by a newer Tallybook (layout {version}); use that one")
            connection.executescript(f"{_LAYOUT} PRAGMA user_version = {LAYOUT_VERSION};")

    def append(self, records: Sequence[Record]) -> int:
        with self._transaction() as connection:
            return self._append(connection, records)

    def append_at_once(self, records: Sequence[Record]) -> int | None:
        try:
            with self._transaction(busy_timeout_s=0) as connection:
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
            return _last_position(connection)

    def received_through(self, position: int) -> int:
        with self._transaction() as connection:  # under the write lock: nobody is about to commit an earlier receipt
            first_behind = connection.execute(
                "SELECT received_at FROM record WHERE position > ? ORDER BY position LIMIT 1", (position,)
            ).fetchone()
            return first_behind[0] if first_behind else self._now(connection)

    def trim(self, *, through: int) -> int:
        with self._transaction() as connection:
            return connection.execute(
                "DELETE FROM record WHERE position IN "
                "(SELECT position FROM record WHERE position <= ? ORDER BY position LIMIT ?)",
                (through, TRIM_RECORDS),
            ).rowcount

    def used_bytes(self) -> int:
        with self._connection() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            return int(pages - free) * PAGE_BYTES

    def accepted(self) -> Accepted:
        with self._connection() as connection:
            connection.execute("BEGIN")  # both from one snapshot
            try:
                rows = connection.execute("SELECT organisation_id, received_hour, event_count FROM accepted").fetchall()
                last_position = _last_position(connection)
            finally:
                connection.execute("COMMIT")
        by_receipt = {(organisation_id, hour): count for organisation_id, hour, count in rows}
        return Accepted(last_position=last_position, by_receipt=by_receipt)

    def receipts(self, organisation_id: str, *, start_hour: int, end_hour: int, behind: int) -> Receipts:
        hours = (start_hour, end_hour - 1)
        with self._connection() as connection:
            connection.execute("BEGIN")  # both from one snapshot
            try:
                accepted = connection.execute(_ACCEPTED, (organisation_id, *hours)).fetchall()
                waiting = connection.execute(_WAITING, (behind, organisation_id, *hours)).fetchall()
            finally:
                connection.execute("COMMIT")
        return Receipts(accepted=dict(accepted), waiting=dict(waiting))

    def changes_seen(self) -> int:
        """A number that differs after another connection has committed; cheap enough to ask often."""
        with self._connection() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def _append(self, connection: sqlite3.Connection, records: Sequence[Record]) -> int:
        received_at = self._now(connection)
        connection.executemany(
            "INSERT INTO record (organisation_id, received_at, event_count, format, body) VALUES (?, ?, ?, ?, ?)",
            [(each.organisation_id, received_at, each.event_count, each.format, each.body) for each in records],
        )
        accepted: Counter[str] = Counter()
        for each in records:
            accepted[each.organisation_id] += each.event_count
        hour = received_at // MICROSECONDS_PER_HOUR
        connection.executemany(_ADD_ACCEPTED, [(name, hour, count) for name, count in accepted.items()])
        return _last_position(connection)

    def _now(self, connection: sqlite3.Connection) -> int:
        """The clock, but never earlier than it was said to be before, by any process.

        Asked under the write lock, so that receipt and position grow together across all writers.
        """
        statement = "UPDATE latest SET received_at = max(received_at, ?) RETURNING received_at"
        row: tuple[int] = connection.execute(statement, (self._clock(),)).fetchone()
        return row[0]

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
    def _transaction(self, busy_timeout_s: int = BUSY_TIMEOUT_S) -> Iterator[sqlite3.Connection]:
        with self._connection(busy_timeout_s) as connection:
            _begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except (sqlite3.Error, TallybookError):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _open(path: Path, busy_timeout_s: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=busy_timeout_s)
    for pragma in (
        f"page_size = {PAGE_BYTES}",
        "journal_mode = WAL",
        "synchronous = FULL",
        f"wal_autocheckpoint = {WAL_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class _Occupied(Busy):
    """Somebody else is writing, and nothing of ours is written."""


def _begin(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise _Occupied(f"the event log is being written: {error}") from error
        raise


def _last_position(connection: sqlite3.Connection) -> int:
    # Not max(position): trimming may have emptied the table, and a position must never come again.
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
    return row[0] if row else 0


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


_ADD_ACCEPTED = (
    "INSERT INTO accepted (organisation_id, received_hour, event_count) VALUES (?, ?, ?) "
    "ON CONFLICT DO UPDATE SET event_count = accepted.event_count + excluded.event_count"
)
_ACCEPTED = (
    "SELECT received_hour, event_count FROM accepted WHERE organisation_id = ? AND received_hour BETWEEN ? AND ?"
)
_WAITING = (
    f"SELECT received_at / {MICROSECONDS_PER_HOUR} AS hour, sum(event_count) FROM record "  # noqa: S608  # a constant
    "WHERE position > ? AND organisation_id = ? AND hour BETWEEN ? AND ? GROUP BY hour"
)
