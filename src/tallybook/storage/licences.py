"""Licences as stored: every update of what an account holds, in the order of their effect."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.core.licence import LicenceUpdate
from tallybook.storage import tables
from tallybook.storage.definition_rows import definition_text, in_pieces, read_definition
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, equals

_TABLE = tables.licence_update

LISTED = ListedTable(
    filters={
        "account_id": equals(_TABLE.c.account_id),
        "licenseId": equals(_TABLE.c.add_on_id),
        "effectiveFrom": lambda instant: _TABLE.c.effective_from == int(instant),
    },
    sorts={"effective_from": _TABLE.c.effective_from, "id": _TABLE.c.update_id},
    order=(SortKey("effective_from", descending=True), SortKey("id", descending=True)),
    searched=(),
)


class LicenceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An update with its number and with what is held after it."""

    update_id: int
    update: LicenceUpdate
    held: Decimal


def add_update(connection: Connection, organisation_id: str, new: LicenceUpdate, *, held: Decimal) -> int:
    """Add the update; return its number."""
    added = connection.execute(
        insert(_TABLE).values(
            organisation_id=organisation_id,
            account_id=new.account_id,
            add_on_id=new.add_on_id,
            effective_from=microseconds_since_1970(new.effective_from),
            idempotency_key=new.idempotency_key,
            held=held,
            definition=definition_text(new),
        )
    )
    key = added.inserted_primary_key
    assert key is not None, "the table numbers its rows"
    return int(key[0])


def set_held(connection: Connection, update_id: int, held: Decimal) -> None:
    """Note what is held after an update, when an earlier one has been added."""
    connection.execute(update(_TABLE).where(_TABLE.c.update_id == update_id).values(held=held))


def set_metadata(connection: Connection, entry: LicenceEntry, metadata: Mapping[str, str]) -> LicenceEntry:
    """Write other metadata to an update."""
    changed = msgspec.structs.replace(entry.update, metadata=metadata)
    connection.execute(
        update(_TABLE).where(_TABLE.c.update_id == entry.update_id).values(definition=definition_text(changed))
    )
    return msgspec.structs.replace(entry, update=changed)


def updates_of(
    connection: Connection, organisation_id: str, account_id: str, add_on_id: str, *, until: datetime | None = None
) -> list[LicenceEntry]:
    """The account's updates of one licence in the order of their effect, those at `until` or before."""
    query = _of_account(organisation_id, account_id).where(_TABLE.c.add_on_id == add_on_id)
    if until is not None:
        query = query.where(_TABLE.c.effective_from <= microseconds_since_1970(until))
    rows = connection.execute(query.order_by(_TABLE.c.effective_from, _TABLE.c.update_id)).mappings()
    return [_entry(row) for row in rows]


def updates_of_accounts(
    connection: Connection, organisation_id: str, account_ids: Collection[str]
) -> dict[tuple[str, str], list[LicenceUpdate]]:
    """The updates of those accounts, by account id and add-on id, in the order of their effect."""
    found: dict[tuple[str, str], list[LicenceUpdate]] = {}
    for some in in_pieces(sorted(account_ids)):
        query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.account_id.in_(some))
        for row in connection.execute(query.order_by(_TABLE.c.effective_from, _TABLE.c.update_id)).mappings():
            found.setdefault((row["account_id"], row["add_on_id"]), []).append(_entry(row).update)
    return found


def update_with_key(connection: Connection, organisation_id: str, idempotency_key: str) -> LicenceEntry | None:
    """The update that was sent with that key."""
    query = select(_TABLE).where(
        _TABLE.c.organisation_id == organisation_id, _TABLE.c.idempotency_key == idempotency_key
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _entry(row)


def count_updates(connection: Connection, organisation_id: str, account_id: str, add_on_id: str) -> int:
    """How many updates of the licence the account has."""
    query = select(func.count()).where(
        _TABLE.c.organisation_id == organisation_id,
        _TABLE.c.account_id == account_id,
        _TABLE.c.add_on_id == add_on_id,
    )
    return connection.scalar(query) or 0


def list_updates(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[LicenceEntry]:
    """A page of the updates, those that take effect last first."""
    rows = LISTED.page(connection, select(_TABLE).where(_TABLE.c.organisation_id == organisation_id), page)
    return Page(items=[_entry(row) for row in rows.items], next=rows.next)


def as_filter(instant: datetime) -> str:
    """The instant as the filter of the list takes it."""
    return str(microseconds_since_1970(instant))


def updates_in(entries: Sequence[LicenceEntry]) -> list[LicenceUpdate]:
    """The updates alone."""
    return [entry.update for entry in entries]


def _of_account(organisation_id: str, account_id: str) -> Select[Any]:
    return select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.account_id == account_id)


def _entry(row: RowMapping) -> LicenceEntry:
    found = read_definition(row["definition"], LicenceUpdate)
    assert instant_at(row["effective_from"]) == found.effective_from, "the column repeats the definition"
    return LicenceEntry(update_id=row["update_id"], update=found, held=row["held"])
