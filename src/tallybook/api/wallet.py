"""An account's wallet on the wire (generation 2024-12): balance, entries, top-up, switch."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import Caller, Connected, NextToken, changing, reading, writing
from tallybook.api.paging import table_listing
from tallybook.api.parameters import utc_instant
from tallybook.api.rate_card_shapes import json_number
from tallybook.core.account import Account
from tallybook.core.decimals import ZERO
from tallybook.core.wallet import (
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    EntryType,
    Wallet,
    WalletChanges,
    WalletEntry,
    WalletStatus,
)
from tallybook.flows import fund_wallet
from tallybook.flows.authenticate import now_utc
from tallybook.storage import wallets

TAG = "Wallet"
ENTRIES_PER_PAGE_MAX = 50  # the interface's limit
_LISTING = table_listing("wallet entries", wallets.LISTED, size_default=ENTRIES_PER_PAGE_MAX)

_Size = Annotated[
    int | None,
    QueryParameter(name="pageSize", description="Items on a page, normally 50.", ge=1, le=ENTRIES_PER_PAGE_MAX),
]


class WalletEntryStatus(Enum):
    """Nothing is on hold: a wallet pays what is due, and drafts are not."""

    COMPLETED = "COMPLETED"


class TopupWalletRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How much is put in, in the account's currency; sent again with its key, it is put in once."""

    topup_amount: Decimal
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=IDEMPOTENCY_KEY_CHARACTERS_MAX)] | None = None


class UpdateWalletRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Whether the wallet pays invoices, and from when on; what is left out stays."""

    status: WalletStatus | None = None
    effective_from: datetime | None = None


class WalletBalanceResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The wallet; `balance` is what was credited less what was debited, and nothing of it is on hold."""

    id: str
    account_id: str
    customer_id: str
    balance: Decimal
    credit_unit: str
    status: WalletStatus
    hold_amount: Decimal
    effective_from: datetime
    created_at: datetime
    updated_at: datetime


class WalletEntryShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A movement; `entityId` is the payment or the invoice that it is because of."""

    id: str
    description: str
    wallet_id: str
    transaction_type: EntryType
    status: WalletEntryStatus
    entity_id: str | None = None
    amount: Decimal
    created_at: datetime
    closing_balance: Decimal


class WalletEntryPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of movements, the newest first."""

    data: Sequence[WalletEntryShape]
    next_token: str | None = None


@writing(
    "/accounts/{account_id:str}/wallet_topup",
    status=HTTPStatus.OK,
    operation_id="topUpWalletForAccount",
    summary="Put money into an account's wallet",
    tag=TAG,
)
def top_up_wallet(
    account_id: FromPath[str], data: JSONBody[TopupWalletRequest], identity: Caller, dependencies: Connected
) -> WalletBalanceResponse:
    account, wallet = fund_wallet.top_up(
        dependencies.database,
        identity.organisation_id,
        account_id,
        data.topup_amount,
        idempotency_key=data.idempotency_key,
        now=now_utc(),
    )
    return _to_shape(account, wallet)


@reading(
    "/accounts/{account_id:str}/wallet",
    operation_id="WalletBalanceForAccount",
    summary="Read an account's wallet",
    tag=TAG,
)
def get_wallet(account_id: FromPath[str], identity: Caller, dependencies: Connected) -> WalletBalanceResponse:
    return _to_shape(*fund_wallet.wallet_of(dependencies.database, identity.organisation_id, account_id))


@changing(
    "/accounts/{account_id:str}/wallet",
    operation_id="updateWalletForAccount",
    summary="Say whether, and from when on, an account's wallet pays invoices",
    tag=TAG,
)
def update_wallet(
    account_id: FromPath[str], data: JSONBody[UpdateWalletRequest], identity: Caller, dependencies: Connected
) -> WalletBalanceResponse:
    since = None if data.effective_from is None else utc_instant(data.effective_from, "effectiveFrom")
    account, wallet = fund_wallet.change_wallet(
        dependencies.database,
        identity.organisation_id,
        account_id,
        WalletChanges(status=data.status, effective_from=since),
        now=now_utc(),
    )
    return _to_shape(account, wallet)


@reading(
    "/accounts/{account_id:str}/wallet/entries",
    operation_id="WalletEntriesForAccount",
    summary="List what came into an account's wallet and left it, the newest first",
    tag=TAG,
)
def list_wallet_entries(
    account_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: _Size = None,
) -> WalletEntryPage:
    _, wallet = fund_wallet.wallet_of(dependencies.database, identity.organisation_id, account_id)
    page = _LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size, within=account_id)
    with dependencies.database.read() as connection:
        found = wallets.list_entries(connection, identity.organisation_id, page)
    return WalletEntryPage(
        data=[_entry(wallet, each) for each in found.items],
        next_token=_LISTING.token(dependencies, identity, page, found.next),
    )


def _to_shape(account: Account, wallet: Wallet) -> WalletBalanceResponse:
    return WalletBalanceResponse(
        id=wallet.wallet_id,
        account_id=wallet.account_id,
        customer_id=account.customer_id,
        balance=json_number(wallet.balance),
        credit_unit=wallet.currency,
        status=wallet.status,
        hold_amount=ZERO,
        effective_from=wallet.effective_from,
        created_at=wallet.created_at,
        updated_at=wallet.updated_at,
    )


def _entry(wallet: Wallet, entry: WalletEntry) -> WalletEntryShape:
    return WalletEntryShape(
        id=entry.entry_id,
        description=entry.description,
        wallet_id=wallet.wallet_id,
        transaction_type=entry.entry_type,
        status=WalletEntryStatus.COMPLETED,
        entity_id=entry.entity_id,
        amount=json_number(entry.amount),
        created_at=entry.created_at,
        closing_balance=json_number(entry.closing_balance),
    )


ROUTES = (top_up_wallet, get_wallet, update_wallet, list_wallet_entries)
