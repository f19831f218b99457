"""Wallets: money of an account that is kept for its invoices, and every movement of it.

An account has one wallet, in its currency. The balance is what was credited less what was debited, entry by entry;
it is never below zero. Drafts hold nothing: the wallet pays invoices when they are due.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import assert_never

import msgspec

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.invoice import account_mark
from tallybook.core.payment import check_amount
from tallybook.core.receivable import NETTED, Receivable

IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
_MARK_CHARACTERS = 5
_ID_PREFIX = "wallet"


class WalletStatus(Enum):
    """An INACTIVE wallet pays nothing and is not topped up; what is due to the account still goes into it."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class EntryType(Enum):
    """Which way the money went."""

    CREDITED = "CREDITED"
    DEBITED = "DEBITED"


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """An account's wallet; before its first entry or change it is as `new_wallet` says. It pays from an instant on."""

    wallet_id: str
    account_id: str
    currency: str
    status: WalletStatus = WalletStatus.ACTIVE
    balance: Decimal = ZERO
    effective_from: datetime
    created_at: datetime
    updated_at: datetime

    def pays(self, now: datetime) -> bool:
        """Whether it pays invoices then."""
        return self.status is WalletStatus.ACTIVE and self.effective_from <= now


class WalletChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a wallet; None leaves it as it is."""

    status: WalletStatus | None = None
    effective_from: datetime | None = None


class WalletEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One movement: what came or went, because of what (`entity_id`), and the balance afterwards."""

    entry_id: str
    entry_type: EntryType
    amount: Decimal
    entity_id: str | None = None
    description: str
    closing_balance: Decimal
    idempotency_key: str | None = None
    created_at: datetime


def new_wallet(organisation_id: str, account_id: str, *, currency: str, created_at: datetime) -> Wallet:
    """The wallet that an account has from its beginning on, empty."""
    return Wallet(
        wallet_id=wallet_id_for(organisation_id, account_id),
        account_id=account_id,
        currency=currency,
        effective_from=created_at,
        created_at=created_at,
        updated_at=created_at,
    )


def wallet_id_for(organisation_id: str, account_id: str) -> str:
    """The id of the account's wallet: `wallet.<account>.<mark>`, in base 62."""
    mark = account_mark(organisation_id, f"{account_id}\0{_ID_PREFIX}")[:_MARK_CHARACTERS]
    return f"{_ID_PREFIX}.{account_mark(organisation_id, account_id)}.{mark}"


def changed_wallet(wallet: Wallet, changes: WalletChanges, *, now: datetime) -> Wallet:
    """The wallet with these changes."""
    return msgspec.structs.replace(
        wallet,
        status=changes.status or wallet.status,
        effective_from=changes.effective_from or wallet.effective_from,
        updated_at=now,
    )


def check_top_up(wallet: Wallet, amount: Decimal, idempotency_key: str | None) -> None:
    """Refuse to top up by what cannot be paid, or a wallet that is not in use. Raises `Invalid` or `Conflict`."""
    check_amount(amount, currency=wallet.currency, field="topupAmount")
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX:
        raise Invalid(f"idempotencyKey: must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters")
    if wallet.status is WalletStatus.INACTIVE:
        raise Conflict("the wallet is inactive; set its status to ACTIVE before you top it up", code="WALLET_INACTIVE")


def posted(
    wallet: Wallet,
    entry_type: EntryType,
    amount: Decimal,
    *,
    entry_id: str,
    entity_id: str | None,
    description: str,
    now: datetime,
    idempotency_key: str | None = None,
) -> WalletEntry:
    """The entry that moves that amount; a wallet is never debited by more than it has."""
    assert amount > 0, "an entry moves something"
    return WalletEntry(
        entry_id=entry_id,
        entry_type=entry_type,
        amount=amount,
        entity_id=entity_id,
        description=description,
        closing_balance=_closing_balance(wallet.balance, entry_type, amount),
        idempotency_key=idempotency_key,
        created_at=now,
    )


def netted(balance: Decimal, receivables: Iterable[Receivable]) -> list[tuple[Receivable, Decimal]]:
    """What of the balance pays which invoices, the earliest due first, as far as it goes."""
    due = [each for each in receivables if each.wallet_applies and each.status in NETTED and each.outstanding > 0]
    shares = []
    for receivable in sorted(due, key=lambda each: (each.due_date, each.invoice_id)):
        share = min(balance, receivable.outstanding)
        if share == 0:
            break
        balance = EXACT.subtract(balance, share)
        shares.append((receivable, share))
    return shares


def _closing_balance(balance: Decimal, entry_type: EntryType, amount: Decimal) -> Decimal:
    match entry_type:
        case EntryType.CREDITED:
            return EXACT.add(balance, amount)
        case EntryType.DEBITED:
            assert amount <= balance, "a wallet is never debited by more than it has"
            return EXACT.subtract(balance, amount)
        case _:
            assert_never(entry_type)
