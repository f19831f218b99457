"""What is owed on a finalised invoice, and how its status follows the money that comes to it and leaves it.

Whatever moves money moves the same amount out of one place and into another: from outside or the wallet to an
invoice, and back. Paid is what came less what left, never below zero and never above the invoice's total.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.custom_invoice import CustomInvoice
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.invoice import Invoice, InvoiceStatus, moved

PAYABLE = frozenset({InvoiceStatus.DUE, InvoiceStatus.PARTIALLY_PAID, InvoiceStatus.UN_COLLECTIBLE})
"""What somebody may pay. The wallet pays by itself what is due, not what was given up."""

NETTED = PAYABLE - {InvoiceStatus.UN_COLLECTIBLE}


FOLLOWED = frozenset(
    {
        InvoiceStatus.PAID,
        InvoiceStatus.UN_COLLECTIBLE,
        InvoiceStatus.VOID,
        InvoiceStatus.REFUND_INITIATED,
        InvoiceStatus.REFUND_COMPLETED,
    }
)
"""The statuses of a composite that its members get, too; while it is due or paid in part, they stay MERGED."""


class SettlementSource(Enum):
    """Where money of an invoice came from, or went to: a payment, the wallet, or outside as a refund."""

    PAYMENT = "PAYMENT"
    WALLET = "WALLET"
    REFUND = "REFUND"


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """Money of an account that came to an invoice, or left it if `amount` is below zero.

    `entity_id` is the payment, the wallet, or the invoice that is refunded.
    """

    account_id: str
    source: SettlementSource
    entity_id: str
    amount: Decimal


class Receivable(msgspec.Struct, frozen=True, kw_only=True):
    """A finalised invoice as far as it is paid; an account owns it, or an invoice group.

    Amounts are whole minor units; `total` may be below zero. A composite has `members`, and its members follow its
    status. `wallet_applies` is whether a wallet pays it by itself.
    """

    invoice_id: str
    owner_id: str
    currency: str
    status: InvoiceStatus
    total: Decimal
    paid: Decimal
    due_date: date
    members: tuple[str, ...] = ()
    merged_into: str | None = None
    wallet_applies: bool = True

    @property
    def outstanding(self) -> Decimal:
        """What can still be paid; nothing of a member of a composite, or unless the status is one of `PAYABLE`."""
        if self.status not in PAYABLE or self.merged_into is not None:
            return ZERO
        return EXACT.subtract(self.total, self.paid)


def receivable_of(invoice: Invoice, *, custom: CustomInvoice | None) -> Receivable:
    """How a finalised invoice stands; `custom` is what it was computed from, if it was written by hand."""
    return Receivable(
        invoice_id=invoice.invoice_id,
        owner_id=invoice.account.account_id,
        currency=invoice.account.currency,
        status=invoice.status,
        total=invoice.total,
        paid=invoice.paid_amount,
        due_date=invoice.due_date,
        members=invoice.members,
        merged_into=invoice.merged_into,
        wallet_applies=custom is None or custom.apply_wallet_balance,
    )


def settled(receivable: Receivable, amount: Decimal) -> Receivable:
    """The receivable with that much more paid, at most what is outstanding."""
    assert 0 <= amount <= receivable.outstanding, "an invoice is never paid twice"
    if amount == 0:
        return receivable
    paid = EXACT.add(receivable.paid, amount)
    return msgspec.structs.replace(receivable, paid=paid, status=_status_when_paid(receivable, paid))


def emptied(receivable: Receivable, to: InvoiceStatus) -> Receivable:
    """The receivable in that status, with nothing paid. Raises `Conflict` when there is no way to the status."""
    return msgspec.structs.replace(receivable, status=moved(receivable.status, to), paid=ZERO)


def given_back(settlements: Iterable[Settlement], *, refunded: bool) -> dict[tuple[str, SettlementSource], Decimal]:
    """What goes back where when an invoice is taken back: by account, and to its wallet or outside (REFUND).

    What a wallet paid goes into it; what came from outside goes there if it is `refunded`, and else into the wallet.
    """
    back: dict[tuple[str, SettlementSource], Decimal] = {}
    for each in settlements:
        outside = refunded and each.source is not SettlementSource.WALLET
        place = each.account_id, SettlementSource.REFUND if outside else SettlementSource.WALLET
        back[place] = EXACT.add(back.get(place, ZERO), each.amount)
    return {place: amount for place, amount in back.items() if amount}


def _status_when_paid(receivable: Receivable, paid: Decimal) -> InvoiceStatus:
    """Given up, an invoice stays so until all of it is paid."""
    if paid == receivable.total:
        return moved(receivable.status, InvoiceStatus.PAID)
    if receivable.status is InvoiceStatus.DUE:
        return moved(receivable.status, InvoiceStatus.PARTIALLY_PAID)
    return receivable.status
