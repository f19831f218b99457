"""Who follows the list of definition changes, and how far; for flows that act on a change once, and not on a cache."""

import msgspec
from sqlalchemy import Connection, select

from tallybook.storage.tables import change_reader, definition_change


class DatedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A definition was added or changed; `changed_at` is microseconds since 1970 UTC."""

    version: int
    organisation_id: str
    kind: str
    name: str
    changed_at: int


def changes_to_deal_with(connection: Connection, reader: str, *, limit: int) -> list[DatedChange]:
    """The first changes that this reader has not dealt with, in order."""
    dealt_with = select(change_reader.c.version).where(change_reader.c.name == reader).scalar_subquery()
    query = select(definition_change).where(definition_change.c.version > dealt_with)
    return [
        DatedChange(**row)
        for row in connection.execute(query.order_by(definition_change.c.version).limit(limit)).mappings()
    ]


def dealt_with(connection: Connection, reader: str, version: int) -> None:
    """Note that this reader has dealt with all changes up to a version, which the migration has begun."""
    written = connection.execute(change_reader.update().where(change_reader.c.name == reader).values(version=version))
    assert written.rowcount == 1, f"the migrations make the row of {reader}"
