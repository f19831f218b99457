"""The usual shape: one row for each event with a unique index on its id, in PostgreSQL 15, 1000 rows a transaction.

It gets the same events as Tallybook, already in memory, with no HTTP in front and no metering behind. Rows are inserted
in two ways: one statement after the other, as most code and every object mapper does, and with the statements of a
transaction sent in a pipeline, without waiting for the answer to each.
"""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.load import EVENTS_PER_BATCH, batches

BINARIES = Path("/usr/lib/postgresql/15/bin")
_TABLE = """
CREATE TABLE event (
    id text NOT NULL,
    account_id text NOT NULL,
    schema_name text NOT NULL,
    event_time timestamptz NOT NULL,
    payload jsonb NOT NULL
);
CREATE UNIQUE INDEX event_id ON event (id);
"""
_INSERT = "INSERT INTO event VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"


Insert = Callable[[psycopg.Cursor, Sequence[tuple[str, ...]]], object]


def one_by_one(cursor: psycopg.Cursor, rows: Sequence[tuple[str, ...]]) -> None:
    for row in rows:
        cursor.execute(_INSERT, row)


def in_a_pipeline(cursor: psycopg.Cursor, rows: Sequence[tuple[str, ...]]) -> None:
    cursor.executemany(_INSERT, rows)


def events_per_s(count: int, insert: Insert) -> float:
    """Insert `count` events in transactions of 1000; return the rate, building the bodies not counted."""
    with _server() as address, psycopg.connect(address) as connection:
        connection.execute(_TABLE)
        connection.commit()
        bodies = batches("rival")
        busy = 0.0
        for _ in range(count // EVENTS_PER_BATCH):
            body = next(bodies)
            started = time.monotonic()
            rows = [
                (each["id"], each["accountId"], each["schemaName"], each["timestamp"], json.dumps(each))
                for each in json.loads(body)["events"]
            ]
            insert(connection.cursor(), rows)
            connection.commit()
            busy += time.monotonic() - started
        return count / busy


@contextmanager
def _server() -> Iterator[str]:
    """A PostgreSQL server with its defaults on a temporary folder, reached through a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="tallybook-rival-"))
    user = _as_postgres(folder)
    try:
        run = {"check": True, "stdout": subprocess.DEVNULL, **user}
        subprocess.run([BINARIES / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres"], **run)
        options = f"-k {folder} -c listen_addresses="
        start = [BINARIES / "pg_ctl", "-D", folder / "data", "-w", "-o", options, "-l", folder / "log", "start"]
        subprocess.run(start, **run)
        try:
            yield f"host={folder} user=postgres dbname=postgres"
        finally:
            subprocess.run([BINARIES / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(folder: Path) -> dict[str, int]:
    """PostgreSQL refuses to run as root; then it runs as the user its package made."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid}
