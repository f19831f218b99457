"""Wallets as stored: the balance of each, and every entry that made it.

Every function works in a transaction of the caller's; what changes a wallet needs one that writes.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, Table, and_, func, insert, select, update

from tallybook.core.decimals import ZERO
from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.core.wallet import EntryType, Wallet, WalletEntry, WalletStatus, new_wallet
from tallybook.storage import tables
from tallybook.storage.definition_rows import in_pieces
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey

_TABLE = tables.wallet
_ENTRIES = tables.wallet_entry

LISTED = ListedTable(sorts={"number": _ENTRIES.c.number}, order=(SortKey("number", descending=True),))


def wallet_of(connection: Connection, organisation_id: str, account_id: str, *, currency: str) -> Wallet:
    """The wallet of an account that is there, as stored or as it is from the account's beginning on."""
    account = tables.account
    query = (
        select(account.c.created_at.label("account_created_at"), _TABLE)
        .join_from(account, _TABLE, _same_account(account, _TABLE), isouter=True)
        .where(account.c.organisation_id == organisation_id, account.c.account_id == account_id)
    )
    row = connection.execute(query).mappings().one()
    created_at = instant_at(row["account_created_at"])
    new = new_wallet(organisation_id, account_id, currency=currency, created_at=created_at)
    return new if row["status"] is None else _stored(new, row)


def funded_accounts(connection: Connection, organisation_id: str, account_ids: Collection[str]) -> set[str]:
    """Those of the accounts whose wallet is active and has something in it."""
    found: set[str] = set()
    for some in in_pieces(sorted(account_ids)):
        query = select(_TABLE.c.account_id).where(
            _TABLE.c.organisation_id == organisation_id,
            _TABLE.c.account_id.in_(some),
            _TABLE.c.status == WalletStatus.ACTIVE.value,
            _TABLE.c.balance != ZERO,
        )
        found.update(connection.execute(query).scalars())
    return found


def put_wallet(connection: Connection, organisation_id: str, wallet: Wallet) -> None:
    """Write the wallet, over what is stored if it is."""
    values = {
        "currency": wallet.currency,
        "status": wallet.status.value,
        "balance": wallet.balance,
        "effective_from": microseconds_since_1970(wallet.effective_from),
        "created_at": microseconds_since_1970(wallet.created_at),
        "updated_at": microseconds_since_1970(wallet.updated_at),
    }
    place = {"organisation_id": organisation_id, "account_id": wallet.account_id}
    written = connection.execute(
        update(_TABLE)
        .where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.account_id == wallet.account_id)
        .values(**values)
    )
    if written.rowcount == 0:
        connection.execute(insert(_TABLE).values(**place, **values))


def add_entry(connection: Connection, organisation_id: str, wallet: Wallet, entry: WalletEntry) -> Wallet:
    """Post the entry behind the wallet's last one; return the wallet with its new balance."""
    last = select(func.coalesce(func.max(_ENTRIES.c.number), 0)).where(
        _ENTRIES.c.organisation_id == organisation_id, _ENTRIES.c.account_id == wallet.account_id
    )
    connection.execute(
        insert(_ENTRIES).values(
            organisation_id=organisation_id,
            account_id=wallet.account_id,
            number=(connection.scalar(last) or 0) + 1,
            entry_id=entry.entry_id,
            entry_type=entry.entry_type.value,
            amount=entry.amount,
            entity_id=entry.entity_id,
            description=entry.description,
            closing_balance=entry.closing_balance,
            idempotency_key=entry.idempotency_key,
            created_at=microseconds_since_1970(entry.created_at),
        )
    )
    changed = msgspec.structs.replace(wallet, balance=entry.closing_balance, updated_at=entry.created_at)
    put_wallet(connection, organisation_id, changed)
    return changed


def entry_with_key(
    connection: Connection, organisation_id: str, account_id: str, idempotency_key: str
) -> WalletEntry | None:
    """The entry that was made with that key."""
    query = select(_ENTRIES).where(
        _ENTRIES.c.organisation_id == organisation_id,
        _ENTRIES.c.account_id == account_id,
        _ENTRIES.c.idempotency_key == idempotency_key,
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _entry(row)


def list_entries(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[WalletEntry]:
    """A page of the entries of the account's wallet that the page is within, the newest first."""
    query = select(_ENTRIES).where(_ENTRIES.c.organisation_id == organisation_id, _ENTRIES.c.account_id == page.within)
    rows = LISTED.page(connection, query, page)
    return Page(items=[_entry(row) for row in rows.items], next=rows.next)


def _same_account(left: Table, right: Table) -> ColumnElement[bool]:
    return and_(left.c.organisation_id == right.c.organisation_id, left.c.account_id == right.c.account_id)


def _stored(new: Wallet, row: RowMapping) -> Wallet:
    assert row["currency"] == new.currency, "an account with a wallet keeps its currency"
    changes: dict[str, Any] = {
        "status": WalletStatus(row["status"]),
        "balance": row["balance"],
        "effective_from": instant_at(row["effective_from"]),
        "created_at": instant_at(row["created_at"]),
        "updated_at": instant_at(row["updated_at"]),
    }
    return msgspec.structs.replace(new, **changes)


def _entry(row: RowMapping) -> WalletEntry:
    return WalletEntry(
        entry_id=row["entry_id"],
        entry_type=EntryType(row["entry_type"]),
        amount=row["amount"],
        entity_id=row["entity_id"],
        description=row["description"],
        closing_balance=row["closing_balance"],
        idempotency_key=row["idempotency_key"],
        created_at=instant_at(row["created_at"]),
    )
