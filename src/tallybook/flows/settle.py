"""Moving money to finalised invoices and back: from payments, from the wallet, into the wallet.

Each function works in a writing transaction of the caller's and moves every amount out of one place and into another,
so that nothing is lost or made. What an invoice is paid never exceeds its total, whoever pays at the same time.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from tallybook.core.decimals import EXACT
from tallybook.core.invoice import InvoiceStatus
from tallybook.core.receivable import (
    FOLLOWED,
    Receivable,
    Settlement,
    SettlementSource,
    emptied,
    given_back,
    settled,
)
from tallybook.core.wallet import EntryType, Wallet, netted, posted, wallet_id_for
from tallybook.flows.new_ids import new_id
from tallybook.storage import credits, merged_invoices, settlements, wallets

PAID_FROM_WALLET = "Paid an invoice"


def pay(
    connection: Connection, organisation_id: str, receivable: Receivable, settlement: Settlement, *, now: datetime
) -> Receivable:
    """Put the money onto the invoice, at most what is outstanding; return how it stands then."""
    after = settled(receivable, settlement.amount)
    if settlement.amount:
        note(connection, organisation_id, after, [settlement], now=now)
    return after


def note(
    connection: Connection, organisation_id: str, after: Receivable, moves: Sequence[Settlement], *, now: datetime
) -> None:
    """Write down what moved and how the invoice stands then; the members of a composite follow it."""
    settlements.settle(connection, organisation_id, after, moves, now=now)
    if after.members and after.status in FOLLOWED:
        merged_invoices.follow(connection, organisation_id, after.invoice_id, after.status, now=now)


def credit_wallet(
    connection: Connection,
    organisation_id: str,
    wallet: Wallet,
    amount: Decimal,
    *,
    entity_id: str | None,
    description: str,
    now: datetime,
    idempotency_key: str | None = None,
) -> Wallet:
    """Put money into the wallet, and pay from it what is outstanding; return the wallet as it is then."""
    entry = posted(
        wallet,
        EntryType.CREDITED,
        amount,
        entry_id=new_id("wallet_entry"),
        entity_id=entity_id,
        description=description,
        now=now,
        idempotency_key=idempotency_key,
    )
    credited = wallets.add_entry(connection, organisation_id, wallet, entry)
    return net_outstanding(connection, organisation_id, credited, now=now)


def net_outstanding(connection: Connection, organisation_id: str, wallet: Wallet, *, now: datetime) -> Wallet:
    """Pay the account's outstanding invoices from its wallet, the earliest due first, as far as it goes."""
    if wallet.pays(now) and wallet.balance:
        for receivable, share in netted(
            wallet.balance, settlements.outstanding_of(connection, organisation_id, wallet.account_id)
        ):
            wallet = _pay_from(connection, organisation_id, wallet, receivable, share, now)
    return wallet


def net_issued(connection: Connection, organisation_id: str, receivable: Receivable, *, now: datetime) -> Receivable:
    """Pay an account's invoice that has just become due from its wallet, as far as it goes; return how it stands."""
    wallet = wallets.wallet_of(connection, organisation_id, receivable.owner_id, currency=receivable.currency)
    if not wallet.pays(now):
        return receivable
    for due, share in netted(wallet.balance, [receivable]):
        _pay_from(connection, organisation_id, wallet, due, share, now)
        return settled(due, share)
    return receivable


def take_back(
    connection: Connection, organisation_id: str, receivable: Receivable, to: InvoiceStatus, *, now: datetime
) -> None:
    """Make the invoice void or refunded, and give back all that was given for it. Raises `Conflict`.

    Credits it used are left again, credits it sold are gone, and what wallets paid is in them again. Other money goes
    into the wallets of those who paid it, unless it has gone outside as a refund.
    """
    moves = settlements.settlements_of(connection, organisation_id, receivable.invoice_id)
    back = [
        Settlement(
            account_id=account_id,
            source=source,
            entity_id=receivable.invoice_id
            if source is SettlementSource.REFUND
            else wallet_id_for(organisation_id, account_id),
            amount=EXACT.minus(amount),
        )
        for (account_id, source), amount in given_back(moves, refunded=to is InvoiceStatus.REFUND_COMPLETED).items()
    ]
    note(connection, organisation_id, emptied(receivable, to), back, now=now)
    for invoice_id in (receivable.invoice_id, *receivable.members):
        credits.give_back(connection, organisation_id, invoice_id, at=now)
    for each in back:
        if each.source is SettlementSource.WALLET:
            _return_to_wallet(connection, organisation_id, receivable, each, to, now)


def _return_to_wallet(
    connection: Connection,
    organisation_id: str,
    receivable: Receivable,
    settlement: Settlement,
    to: InvoiceStatus,
    now: datetime,
) -> None:
    wallet = wallets.wallet_of(connection, organisation_id, settlement.account_id, currency=receivable.currency)
    credit_wallet(
        connection,
        organisation_id,
        wallet,
        EXACT.minus(settlement.amount),
        entity_id=receivable.invoice_id,
        description=f"Back from an invoice: {to.value}",
        now=now,
    )


def _pay_from(
    connection: Connection,
    organisation_id: str,
    wallet: Wallet,
    receivable: Receivable,
    amount: Decimal,
    now: datetime,
) -> Wallet:
    entry = posted(
        wallet,
        EntryType.DEBITED,
        amount,
        entry_id=new_id("wallet_entry"),
        entity_id=receivable.invoice_id,
        description=PAID_FROM_WALLET,
        now=now,
    )
    settlement = Settlement(
        account_id=wallet.account_id, source=SettlementSource.WALLET, entity_id=wallet.wallet_id, amount=amount
    )
    pay(connection, organisation_id, receivable, settlement, now=now)
    return wallets.add_entry(connection, organisation_id, wallet, entry)
