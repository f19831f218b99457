"""Topping up wallets and switching them, each in one transaction."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from tallybook.core.account import Account, AccountStatus, check_not_archived
from tallybook.core.errors import Conflict, NotFound
from tallybook.core.wallet import Wallet, WalletChanges, WalletEntry, changed_wallet, check_top_up
from tallybook.flows.settle import credit_wallet, net_outstanding
from tallybook.storage import accounts, wallets
from tallybook.storage.database import Database


def wallet_of(database: Database, organisation_id: str, account_id: str) -> tuple[Account, Wallet]:
    """The account with its wallet. Raises `NotFound`."""
    with database.read() as connection:
        return _wallet(connection, organisation_id, account_id)


def top_up(
    database: Database,
    organisation_id: str,
    account_id: str,
    amount: Decimal,
    *,
    idempotency_key: str | None = None,
    now: datetime,
) -> tuple[Account, Wallet]:
    """Put money into the wallet and pay from it what is outstanding. Raises `NotFound`, `Invalid` or `Conflict`.

    Sent again with its key it changes nothing; without a key, every call is a top-up of its own.
    """
    with database.write() as connection:
        account, wallet = _wallet_in_use(connection, organisation_id, account_id)
        if idempotency_key is not None:
            before = wallets.entry_with_key(connection, organisation_id, account_id, idempotency_key)
            if before is not None:
                _check_same(before, amount)
                return account, wallet
        check_top_up(wallet, amount, idempotency_key)
        return account, credit_wallet(
            connection,
            organisation_id,
            wallet,
            amount,
            entity_id=None,
            description="Top-up",
            now=now,
            idempotency_key=idempotency_key,
        )


def change_wallet(
    database: Database, organisation_id: str, account_id: str, changes: WalletChanges, *, now: datetime
) -> tuple[Account, Wallet]:
    """Switch the wallet, or say when it begins to pay; if it pays now, so what is outstanding. Raises `NotFound`."""
    with database.write() as connection:
        account, wallet = _wallet_in_use(connection, organisation_id, account_id)
        changed = changed_wallet(wallet, changes, now=now)
        wallets.put_wallet(connection, organisation_id, changed)
        return account, net_outstanding(connection, organisation_id, changed, now=now)


def _wallet_in_use(connection: Connection, organisation_id: str, account_id: str) -> tuple[Account, Wallet]:
    account, wallet = _wallet(connection, organisation_id, account_id)
    check_not_archived(account)
    if account.status is AccountStatus.DRAFT:  # its currency may still change
        raise Conflict(f"account {account_id!r} is a draft; activate it first", code="ACCOUNT_NOT_ACTIVE")
    return account, wallet


def _wallet(connection: Connection, organisation_id: str, account_id: str) -> tuple[Account, Wallet]:
    account = accounts.account(connection, organisation_id, account_id)
    if account is None:
        raise NotFound(f"no account {account_id!r}")
    return account, wallets.wallet_of(connection, organisation_id, account_id, currency=account.currency)


def _check_same(before: WalletEntry, amount: Decimal) -> None:
    if before.amount != amount:
        raise Conflict(
            f"idempotencyKey: a top-up of {before.amount} was sent with this key already", code="ALREADY_EXISTS"
        )
