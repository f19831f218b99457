"""Invoice groups as stored, and which accounts are in them. An account is in one group at most, by its primary key."""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from tallybook.core.instant import microseconds_since_1970
from tallybook.core.invoice_group import InvoiceGroup
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
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, sorted_text

_TABLE = tables.invoice_group
_MEMBER = tables.invoice_group_account

LISTED = ListedTable(
    sorts={
        "id": _TABLE.c.group_id,
        "name": sorted_text(_TABLE.c.name),
        "created_at": _TABLE.c.created_at,
        "updated_at": _TABLE.c.updated_at,
    },
    order=(SortKey("updated_at", descending=True), SortKey("id")),
    searched=(_TABLE.c.name,),
)


class CountedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group with the number of its accounts."""

    group: Stored[InvoiceGroup]
    accounts_count: int


def add_group(connection: Connection, organisation_id: str, group: InvoiceGroup, *, now: datetime) -> None:
    """Add a group without accounts; its id is new."""
    connection.execute(
        insert(_TABLE).values(
            organisation_id=organisation_id,
            group_id=group.group_id,
            name=group.name,
            definition=definition_text(group),
            **written_at(now),
        )
    )


def find_group(connection: Connection, organisation_id: str, group_id: str) -> Stored[InvoiceGroup] | None:
    """The group with that id."""
    query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.group_id == group_id)
    return find_one(connection, query, InvoiceGroup)


def delete_group(connection: Connection, organisation_id: str, group_id: str) -> None:
    """Take away a group that has no accounts any more; invoices that were made for it stay."""
    assert not accounts_in(connection, organisation_id, group_id), "a group with accounts is not deleted"
    connection.execute(delete(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.group_id == group_id))


def accounts_in(connection: Connection, organisation_id: str, group_id: str) -> list[str]:
    """The ids of the group's accounts, sorted."""
    query = select(_MEMBER.c.account_id).where(
        _MEMBER.c.organisation_id == organisation_id, _MEMBER.c.group_id == group_id
    )
    return list(connection.execute(query.order_by(_MEMBER.c.account_id)).scalars())


def groups_by_account(
    connection: Connection, organisation_id: str, account_ids: Collection[str]
) -> dict[str, InvoiceGroup]:
    """The group of each of these accounts that is in one."""
    found: dict[str, InvoiceGroup] = {}
    joined = _MEMBER.join(
        _TABLE,
        (_TABLE.c.organisation_id == _MEMBER.c.organisation_id) & (_TABLE.c.group_id == _MEMBER.c.group_id),
    )
    for some in in_pieces(sorted(set(account_ids))):
        query = (
            select(_MEMBER.c.account_id, _TABLE.c.definition)
            .select_from(joined)
            .where(_MEMBER.c.organisation_id == organisation_id, _MEMBER.c.account_id.in_(some))
        )
        for account_id, definition in connection.execute(query):
            found[account_id] = read_definition(definition, InvoiceGroup)
    return found


def add_accounts(
    connection: Connection, organisation_id: str, group_id: str, account_ids: Sequence[str], *, now: datetime
) -> None:
    """Put accounts that are in no group into this one."""
    if account_ids:
        instant = microseconds_since_1970(now)
        connection.execute(
            insert(_MEMBER),
            [
                {
                    "organisation_id": organisation_id,
                    "account_id": account_id,
                    "group_id": group_id,
                    "added_at": instant,
                }
                for account_id in account_ids
            ],
        )
    _note_changed(connection, organisation_id, group_id, now)


def remove_accounts(
    connection: Connection, organisation_id: str, group_id: str, account_ids: Collection[str], *, now: datetime
) -> None:
    """Take these accounts out of the group, as far as they are in it."""
    connection.execute(
        delete(_MEMBER).where(
            _MEMBER.c.organisation_id == organisation_id,
            _MEMBER.c.group_id == group_id,
            _MEMBER.c.account_id.in_(sorted(account_ids)),
        )
    )
    _note_changed(connection, organisation_id, group_id, now)


def count_groups(connection: Connection, organisation_id: str) -> int:
    """How many groups there are."""
    query = select(func.count()).select_from(_TABLE).where(_TABLE.c.organisation_id == organisation_id)
    return connection.scalar(query) or 0


def list_groups(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[CountedGroup]:
    """A page of the groups, normally those changed last first."""
    rows = LISTED.page(connection, select(_TABLE).where(_TABLE.c.organisation_id == organisation_id), page)
    counts = _counts(connection, organisation_id, [row["group_id"] for row in rows.items])
    return Page(
        items=[
            CountedGroup(group=stored(row, InvoiceGroup), accounts_count=counts.get(row["group_id"], 0))
            for row in rows.items
        ],
        next=rows.next,
    )


def _counts(connection: Connection, organisation_id: str, group_ids: Sequence[str]) -> dict[str, int]:
    query = (
        select(_MEMBER.c.group_id, func.count().label("accounts"))
        .where(_MEMBER.c.organisation_id == organisation_id, _MEMBER.c.group_id.in_(group_ids))
        .group_by(_MEMBER.c.group_id)
    )
    return {row.group_id: row.accounts for row in connection.execute(query)}


def _note_changed(connection: Connection, organisation_id: str, group_id: str, now: datetime) -> None:
    connection.execute(
        update(_TABLE)
        .where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.group_id == group_id)
        .values(updated_at=microseconds_since_1970(now))
    )
