"""What the definition tables have in common: JSON definitions, versions, and the numbered list of changes.

Whatever changes how events are metered or usage is billed adds a row to `definition_change` in the same transaction:
whoever caches definitions reads those rows to know what to forget.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Connection, RowMapping, Select, Table, func, insert, select, update

from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.storage import tables

NAMES_PER_QUERY = 500  # bound parameters in one statement; SQLite's default limit is far above

T = TypeVar("T")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A definition was added or changed. `kind` and `name` are as the table's comments say; versions only grow."""

    version: int
    organisation_id: str
    kind: str
    name: str


class Stored(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A definition with the instants of its first and its latest write."""

    definition: T
    created_at: datetime
    updated_at: datetime


def version(connection: Connection) -> int:
    """The number of the latest change; 0 before the first."""
    return connection.scalar(select(func.coalesce(func.max(tables.definition_change.c.version), 0))) or 0


def changes_since(connection: Connection, known: int) -> list[Change]:
    """The changes after version `known`, in order."""
    change = tables.definition_change
    query = select(change).where(change.c.version > known).order_by(change.c.version)
    return [
        Change(version=row.version, organisation_id=row.organisation_id, kind=row.kind, name=row.name)
        for row in connection.execute(query)
    ]


def note_change(connection: Connection, organisation_id: str, kind: str, name: str, now: datetime) -> None:
    connection.execute(
        insert(tables.definition_change).values(
            organisation_id=organisation_id, kind=kind, name=name, changed_at=microseconds_since_1970(now)
        )
    )


def definition_text(definition: object) -> str:
    return msgspec.json.encode(definition).decode()


def read_definition(text: str, kind: type[T]) -> T:
    return msgspec.json.decode(text, type=kind)


def written_at(now: datetime) -> dict[str, int]:
    instant = microseconds_since_1970(now)
    return {"created_at": instant, "updated_at": instant}


def stored(row: RowMapping, kind: type[T]) -> Stored[T]:
    return Stored(
        definition=read_definition(row["definition"], kind),
        created_at=instant_at(row["created_at"]),
        updated_at=instant_at(row["updated_at"]),
    )


def find_one(connection: Connection, query: Select[Any], kind: type[T]) -> Stored[T] | None:
    row = connection.execute(query).mappings().first()
    return stored(row, kind) if row else None


def write_over(
    connection: Connection, table: Table, key: Sequence[Any], definition: object, status: str, now: datetime
) -> None:
    written = connection.execute(
        update(table)
        .where(*key)
        .values(status=status, definition=definition_text(definition), updated_at=microseconds_since_1970(now))
    )
    assert written.rowcount == 1, f"{table.name}: the version to write over is not there"


def version_or_latest(query: Select[Any], table: Table, version: int | None) -> Select[Any]:
    if version is not None:
        return query.where(table.c.version == version)
    return query.order_by(table.c.version.desc()).limit(1)


def is_latest(table: Table, id_column: str) -> Any:
    """The condition that no later version of the row is there."""
    later = table.alias()
    latest = (
        select(func.max(later.c.version))
        .where(later.c.organisation_id == table.c.organisation_id, later.c[id_column] == table.c[id_column])
        .scalar_subquery()
    )
    return table.c.version == latest


def in_pieces(names: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(names), NAMES_PER_QUERY):
        yield names[start : start + NAMES_PER_QUERY]
