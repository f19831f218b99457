"""Other names of accounts, as stored: the windows of time in which one names an account, and the list of all of them.

A name may be known before it names anybody; one that has ever named an account is known as well, until it is deleted.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, RowMapping, Select, delete, insert, select, update

from tallybook.core.account import AccountAlias, AliasWindow
from tallybook.core.errors import Conflict
from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.storage import tables
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey

_ALIAS = tables.alias
_WINDOW = tables.account_alias

LISTED = ListedTable(
    sorts={"value": _ALIAS.c.value, "created_at": _ALIAS.c.created_at},
    order=(SortKey("created_at", descending=True), SortKey("value")),
    searched=(_ALIAS.c.value,),
)

WINDOWS_LISTED = ListedTable(
    sorts={"value": _WINDOW.c.alias, "effective_from": _WINDOW.c.effective_from},
    order=(SortKey("value"), SortKey("effective_from")),
)


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A name that accounts may have."""

    value: str
    created_at: datetime


# ---- names -------------------------------------------------------------------------------------------------------


def add_alias(connection: Connection, organisation_id: str, value: str, *, now: datetime) -> Alias:
    """Make the name known. Raises `Conflict` when it is."""
    if find_alias(connection, organisation_id, value):
        raise Conflict(f"an alias {value!r} exists already", code="ALREADY_EXISTS")
    created_at = microseconds_since_1970(now)
    connection.execute(insert(_ALIAS).values(organisation_id=organisation_id, value=value, created_at=created_at))
    return Alias(value=value, created_at=now)


def find_alias(connection: Connection, organisation_id: str, value: str) -> Alias | None:
    """The name, if it is known."""
    query = select(_ALIAS).where(_ALIAS.c.organisation_id == organisation_id, _ALIAS.c.value == value)
    row = connection.execute(query).mappings().first()
    return _alias(row) if row else None


def list_aliases(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[Alias]:
    """A page of the names, normally the newest first."""
    found = LISTED.page(connection, select(_ALIAS).where(_ALIAS.c.organisation_id == organisation_id), page)
    return Page(items=[_alias(row) for row in found.items], next=found.next)


def delete_alias(connection: Connection, organisation_id: str, value: str) -> None:
    """Forget the name. What it meant in windows that are over, it goes on to mean there."""
    connection.execute(delete(_ALIAS).where(_ALIAS.c.organisation_id == organisation_id, _ALIAS.c.value == value))


# ---- windows -----------------------------------------------------------------------------------------------------


def add_window(
    connection: Connection, organisation_id: str, account_id: str, window: AliasWindow, *, now: datetime
) -> None:
    """Let the alias name the account in that window. Raises `Conflict` when it names one in a part of it already."""
    start, end = microseconds_since_1970(window.effective_from), microseconds_since_1970(window.effective_until)
    overlapping = select(_WINDOW.c.account_id).where(
        _WINDOW.c.organisation_id == organisation_id,
        _WINDOW.c.alias == window.alias,
        _WINDOW.c.effective_from < end,
        _WINDOW.c.effective_until > start,
    )
    holder = connection.scalar(overlapping.limit(1))
    if holder is not None:
        raise Conflict(f"aliases: {window.alias!r} names account {holder!r} in that time already", code="ALIAS_TAKEN")
    if not find_alias(connection, organisation_id, window.alias):
        add_alias(connection, organisation_id, window.alias, now=now)
    connection.execute(
        insert(_WINDOW).values(
            organisation_id=organisation_id,
            alias=window.alias,
            effective_from=start,
            effective_until=end,
            account_id=account_id,
            alias_id=str(uuid4()),
            created_at=microseconds_since_1970(now),
            updated_at=microseconds_since_1970(now),
        )
    )


def replace_window(
    connection: Connection, organisation_id: str, alias_id: str, window: AliasWindow | None, *, now: datetime
) -> None:
    """Let the window, which must be there, end as this one does; None takes it away."""
    row = (_WINDOW.c.organisation_id == organisation_id, _WINDOW.c.alias_id == alias_id)
    if window is None:
        changed = connection.execute(delete(_WINDOW).where(*row))
    else:
        end = microseconds_since_1970(window.effective_until)
        ended = update(_WINDOW).where(*row).values(effective_until=end, updated_at=microseconds_since_1970(now))
        changed = connection.execute(ended)
    assert changed.rowcount == 1, "the window to change is not there"


def windows_of_alias(connection: Connection, organisation_id: str, value: str) -> list[AccountAlias]:
    """The windows in which the alias names an account, whichever, in the order of time."""
    query = _windows(organisation_id).where(_WINDOW.c.alias == value).order_by(_WINDOW.c.effective_from)
    return _read(connection, query)


def windows_of_account(connection: Connection, organisation_id: str, account_id: str) -> list[AccountAlias]:
    """The windows in which an alias names the account, by alias and time."""
    query = _windows(organisation_id).where(_WINDOW.c.account_id == account_id)
    return _read(connection, query.order_by(_WINDOW.c.alias, _WINDOW.c.effective_from))


def list_windows_of_account(
    connection: Connection, organisation_id: str, account_id: str, page: PageRequest[Place]
) -> Page[AccountAlias]:
    """A page of the windows in which an alias names the account, by alias and time."""
    query = _windows(organisation_id).where(_WINDOW.c.account_id == account_id)
    found = WINDOWS_LISTED.page(connection, query, page)
    return Page(items=[_account_alias(row) for row in found.items], next=found.next)


def windows_by_account(
    connection: Connection, organisation_id: str, account_ids: Sequence[str]
) -> Iterator[tuple[str, AliasWindow]]:
    """The windows of a few accounts, each with its account's id, by alias and time."""
    query = _windows(organisation_id).where(_WINDOW.c.account_id.in_(account_ids))
    for each in _read(connection, query.order_by(_WINDOW.c.alias, _WINDOW.c.effective_from)):
        yield each.account_id, each.window


def names_of(windows: Iterable[AliasWindow]) -> list[str]:
    """The aliases of the windows, each once, in order."""
    return sorted({window.alias for window in windows})


def _windows(organisation_id: str) -> Select[Any]:
    return select(_WINDOW).where(_WINDOW.c.organisation_id == organisation_id)


def _read(connection: Connection, query: Select[Any]) -> list[AccountAlias]:
    return [_account_alias(row) for row in connection.execute(query).mappings()]


def _alias(row: RowMapping) -> Alias:
    return Alias(value=row["value"], created_at=instant_at(row["created_at"]))


def _account_alias(row: RowMapping) -> AccountAlias:
    return AccountAlias(
        alias_id=row["alias_id"],
        account_id=row["account_id"],
        window=AliasWindow(
            alias=row["alias"],
            effective_from=instant_at(row["effective_from"]),
            effective_until=instant_at(row["effective_until"]),
        ),
        created_at=instant_at(row["created_at"]),
        updated_at=instant_at(row["updated_at"]),
    )
