"""The one database file: connections, transactions, and drivers' errors turned into ours.

A write takes the database's single write lock at once, so that what it read stays true until it commits.
Commits are synchronous: after `write()` returns, the change survives loss of power.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from tallybook.core.decimals import EXACT, plain_text
from tallybook.core.errors import Busy, Corrupt

BUSY_TIMEOUT_S = 10  # longer than any transaction here takes; a waiter past it is told to come back
WAL_PAGES = 65_536  # 256 MiB of 4 KiB pages: a random key's page is then copied home once for many batches
CACHE_KIB_DEFAULT = 16_384
LAYOUT = "0003"  # the newest of `migrations/versions`


class Database:
    """Short transactions over SQLite; safe to share between threads, one connection each."""

    def __init__(self, engine: Engine) -> None:
        self._reader = engine.execution_options(tallybook_begin="BEGIN")
        self._writer = engine.execution_options(tallybook_begin="BEGIN IMMEDIATE")
        self.engine = engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot. Raises `Busy` or `Corrupt`."""
        with _translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """All of it or nothing, durable on return. An error on exit leaves the outcome unknown. Raises `Busy`."""
        with _translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def open_database(path: Path, *, cache_kib: int = CACHE_KIB_DEFAULT) -> Database:
    """Open the database file, which `migrate` has made."""
    return Database(_engine(path, cache_kib))


def migrate(path: Path) -> None:
    """Create the database, or bring it to the present layout; does nothing when it is there already."""
    if _layout(path) == LAYOUT:
        return
    # Imported here, because nearly every start finds the layout present, and Alembic takes a quarter of a second.
    from alembic import command
    from alembic.config import Config

    path.parent.mkdir(parents=True, exist_ok=True)
    engine = _engine(path, CACHE_KIB_DEFAULT)
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with _translated(), engine.execution_options(tallybook_begin="BEGIN IMMEDIATE").begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
    engine.dispose()


def _layout(path: Path) -> str | None:
    """The layout of the database file; None when there is none yet."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise translated(error) from error
    return row[0] if row else None


def _engine(path: Path, cache_kib: int) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=8, max_overflow=32)

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"cache_size = -{cache_kib}",
            f"wal_autocheckpoint = {WAL_PAGES}",
            "secure_delete = OFF",  # some builds write zeros over all that is deleted; the lake holds it anyway
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function("exact_add", 2, _exact_add, deterministic=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("tallybook_begin", "BEGIN"))

    return engine


def _exact_add(augend: str, addend: str) -> str:
    """Add decimal text inside the transaction: SQLite's own `+` would make binary floats of it."""
    return plain_text(EXACT.add(Decimal(augend), Decimal(addend)))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise  # the storage function that made it knows which conflict it means
    except DBAPIError as error:
        raise translated(error.orig) from error


def translated(error: BaseException | None) -> Busy | Corrupt:
    """Say what a caller should do about an error of the sqlite3 driver."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Corrupt(f"the database cannot be read: {error}; restore it from a backup")
    if code == sqlite3.SQLITE_FULL:
        return Busy("the disk is full; free some space, then resend", retry_after_s=10, code="DISK_FULL")
    return Busy(f"the database does not answer: {error}", retry_after_s=1)
