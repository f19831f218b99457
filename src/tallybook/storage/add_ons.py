"""What is sold besides usage, as stored: add-ons."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from tallybook.core.add_on import AddOn, AddOnStatus
from tallybook.core.errors import Conflict
from tallybook.core.instant import microseconds_since_1970
from tallybook.storage import tables
from tallybook.storage.definition_rows import (
    Stored,
    definition_text,
    find_one,
    in_pieces,
    read_definition,
    stored,
    written_at,
)
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, equals, sorted_text

_TABLE = tables.add_on

LISTED = ListedTable(
    filters={"status": equals(_TABLE.c.status)},
    sorts={
        "id": _TABLE.c.add_on_id,
        "name": sorted_text(_TABLE.c.name),
        "created_at": _TABLE.c.created_at,
        "updated_at": _TABLE.c.updated_at,
    },
    order=(SortKey("name"), SortKey("id")),
    searched=(_TABLE.c.name,),
)


def add_add_on(connection: Connection, organisation_id: str, add_on: AddOn, *, now: datetime) -> None:
    """Add the add-on. Raises `Conflict` when its name is taken."""
    _check_name_is_free(connection, organisation_id, add_on)
    connection.execute(
        insert(_TABLE).values(
            organisation_id=organisation_id,
            add_on_id=add_on.add_on_id,
            name=add_on.name,
            status=add_on.status.value,
            definition=definition_text(add_on),
            **written_at(now),
        )
    )


def replace_add_on(connection: Connection, organisation_id: str, add_on: AddOn, *, now: datetime) -> None:
    """Write over the stored add-on, which must be there. Raises `Conflict` when its name is taken."""
    _check_name_is_free(connection, organisation_id, add_on)
    written = connection.execute(
        update(_TABLE)
        .where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.add_on_id == add_on.add_on_id)
        .values(
            name=add_on.name,
            status=add_on.status.value,
            definition=definition_text(add_on),
            updated_at=microseconds_since_1970(now),
        )
    )
    assert written.rowcount == 1, "the add-on to write over is not there"


def find_add_on(connection: Connection, organisation_id: str, add_on_id: str) -> Stored[AddOn] | None:
    """The add-on with that id."""
    query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.add_on_id == add_on_id)
    return find_one(connection, query, AddOn)


def add_ons_with_ids(connection: Connection, organisation_id: str, add_on_ids: Collection[str]) -> dict[str, AddOn]:
    """Those add-ons, by id; add-ons that are not there are left out."""
    found: dict[str, AddOn] = {}
    for some in in_pieces(sorted(set(add_on_ids))):
        query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.add_on_id.in_(some))
        for row in connection.execute(query).mappings():
            found[row["add_on_id"]] = read_definition(row["definition"], AddOn)
    return found


def add_on_ids_called(connection: Connection, organisation_id: str, references: Collection[str]) -> frozenset[str]:
    """The ids of the add-ons that have one of the references as their id or their name."""
    found: set[str] = set()
    for some in in_pieces(sorted(set(references))):
        is_called = _TABLE.c.add_on_id.in_(some) | _TABLE.c.name.in_(some)
        query = select(_TABLE.c.add_on_id).where(_TABLE.c.organisation_id == organisation_id, is_called)
        found.update(connection.scalars(query))
    return frozenset(found)


def count_add_ons(connection: Connection, organisation_id: str) -> int:
    """How many add-ons there are, archived ones included."""
    query = select(func.count()).select_from(_TABLE).where(_TABLE.c.organisation_id == organisation_id)
    return connection.scalar(query) or 0


def list_add_ons(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[Stored[AddOn]]:
    """A page of the add-ons, normally by name."""
    rows = LISTED.page(connection, select(_TABLE).where(_TABLE.c.organisation_id == organisation_id), page)
    return Page(items=[stored(row, AddOn) for row in rows.items], next=rows.next)


def _check_name_is_free(connection: Connection, organisation_id: str, add_on: AddOn) -> None:
    same_name = select(_TABLE.c.add_on_id).where(
        _TABLE.c.organisation_id == organisation_id,
        _TABLE.c.name == add_on.name,
        _TABLE.c.status == AddOnStatus.ACTIVE.value,
        _TABLE.c.add_on_id != add_on.add_on_id,
    )
    if add_on.status is AddOnStatus.ACTIVE and connection.execute(same_name.limit(1)).first():
        raise Conflict(f"name: an add-on {add_on.name!r} exists already", code="ALREADY_EXISTS")
