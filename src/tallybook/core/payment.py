"""Payments: money that came from outside, what it is for, and how it is allotted to that.

A payment's lines are paid in their order. What an invoice does not need, and what no line asks for, goes to the wallet,
so that the lines of a recorded payment always add up to its total.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.decimals import EXACT, within_quantity_bounds
from tallybook.core.errors import Invalid
from tallybook.core.money import Money, cut_to_minor_unit
from tallybook.core.pricing import sum_exactly
from tallybook.core.receivable import Receivable

PAYMENT_LINES_MAX = 100  # the invoices of two years of weeks
LINE_ORDER_MAX = 1_000_000
PAYMENT_TEXT_CHARACTERS_MAX = 512  # the interface's limit
REFERENCE_CHARACTERS_MAX = 255
ENTITY_CHARACTERS_MAX = 50
METADATA_ENTRIES_MAX = 50
METADATA_CHARACTERS_MAX = 500

MARKED_BY = "Tallybook"
"""The name of the source of payments that are recorded because somebody set an invoice to PAID."""


class PaymentSource(Enum):
    """How the money came."""

    GATEWAY = "GATEWAY"
    CASH = "CASH"
    CHEQUE = "CHEQUE"
    BANK_TRANSFER = "BANK_TRANSFER"
    CARD = "CARD"


class PaymentLineType(Enum):
    """What money is for: an invoice, a credit that was granted already, or the wallet."""

    INVOICE = "INVOICE"
    CREDIT = "CREDIT"
    WALLET_CREDIT = "WALLET_CREDIT"


class ExternalReference(msgspec.Struct, frozen=True, kw_only=True):
    """What names the payment outside: no account has two with the same type, name and number."""

    source_type: PaymentSource
    source_name: str
    transaction_number: str
    description: str | None = None
    metadata: Mapping[str, str] | None = None


class PaymentLine(msgspec.Struct, frozen=True, kw_only=True):
    """What some of a payment is for. In a request, no amount is as much as is needed and left."""

    order: int
    line_type: PaymentLineType
    entity_id: str | None = None
    amount: Decimal | None = None


class PaymentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as somebody reports it. `total` is what came in."""

    account_id: str
    currency: str
    total: Decimal
    reference: ExternalReference
    lines: tuple[PaymentLine, ...]
    description: str | None = None
    notes: str | None = None


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as recorded: `request` is what was reported, `lines` what became of it, with what is left over."""

    payment_id: str
    request: PaymentRequest
    lines: tuple[PaymentLine, ...]
    created_by: str
    created_at: datetime
    version: int = 1


def check_payment(request: PaymentRequest) -> None:
    """Refuse a payment that cannot be right by itself. Raises `Invalid`, naming the field."""
    check_amount(request.total, currency=request.currency, field="totalAmount")
    _check_reference(request.reference)
    _check_text(request.description, PAYMENT_TEXT_CHARACTERS_MAX, "description")
    _check_text(request.notes, PAYMENT_TEXT_CHARACTERS_MAX, "notes")
    if not 1 <= len(request.lines) <= PAYMENT_LINES_MAX:
        raise Invalid(f"lineItemRecords: 1 to {PAYMENT_LINES_MAX} of them, got {len(request.lines)}")
    for index, line in enumerate(request.lines):
        _check_line(line, request.currency, f"lineItemRecords[{index}]")
    asked = sum_exactly([line.amount for line in request.lines if line.amount is not None])
    if asked > request.total:
        raise Invalid(f"lineItemRecords: they take {asked}, more than the totalAmount of {request.total}")


def check_amount(amount: Decimal, *, currency: str, field: str) -> None:
    """Refuse what nobody can pay: nothing, less, or parts of a minor unit. Raises `Invalid`, naming the field."""
    if not within_quantity_bounds(amount) or amount <= 0:
        raise Invalid(f"{field}: must be a number above 0 with at most 512 digits before the point")
    if cut_to_minor_unit(Money(amount=amount, currency=currency)) != amount:
        raise Invalid(f"{field}: {amount} is not a whole number of {currency}'s smallest unit")


def payment_in_full(receivable: Receivable, *, account_id: str) -> PaymentRequest:
    """The account's payment of all that is outstanding, which somebody reports by setting the invoice to PAID."""
    return PaymentRequest(
        account_id=account_id,
        currency=receivable.currency,
        total=receivable.outstanding,
        reference=ExternalReference(
            source_type=PaymentSource.GATEWAY, source_name=MARKED_BY, transaction_number=receivable.invoice_id
        ),
        lines=(PaymentLine(order=1, line_type=PaymentLineType.INVOICE, entity_id=receivable.invoice_id),),
        description="The invoice was set to PAID",
    )


def allotted(
    request: PaymentRequest, receivables: Mapping[str, Receivable], *, wallet_id: str
) -> tuple[PaymentLine, ...]:
    """The payment's lines in their order, each with what it gets, and one more for the wallet if something is left.

    `receivables` are all invoices that lines name, by id. No invoice gets more than is outstanding.
    """
    left = request.total
    outstanding = {invoice_id: receivable.outstanding for invoice_id, receivable in receivables.items()}
    lines = []
    for line in sorted(request.lines, key=lambda line: line.order):
        amount = left if line.amount is None else line.amount
        if line.line_type is PaymentLineType.INVOICE:
            assert line.entity_id is not None, "a line without an invoice is refused"
            amount = min(amount, left, outstanding[line.entity_id])
            outstanding[line.entity_id] = EXACT.subtract(outstanding[line.entity_id], amount)
        amount = min(amount, left)
        left = EXACT.subtract(left, amount)
        lines.append(msgspec.structs.replace(line, amount=amount, entity_id=line.entity_id or wallet_id))
    if left:
        last = lines[-1].order
        lines.append(_for_the_wallet(left, order=last + 1, wallet_id=wallet_id))
    return tuple(lines)


def amount_for(lines: Iterable[PaymentLine], line_type: PaymentLineType) -> Decimal:
    """What the lines of that type get together."""
    return sum_exactly([line.amount for line in lines if line.line_type is line_type and line.amount is not None])


def _for_the_wallet(amount: Decimal, *, order: int, wallet_id: str) -> PaymentLine:
    return PaymentLine(order=order, line_type=PaymentLineType.WALLET_CREDIT, entity_id=wallet_id, amount=amount)


def _check_reference(reference: ExternalReference) -> None:
    place = "externalPaymentReference"
    for name, text in (("sourceName", reference.source_name), ("transactionNumber", reference.transaction_number)):
        if not text:
            raise Invalid(f"{place}.{name}: must not be empty; a payment is recognised by it when it is sent again")
        _check_text(text, REFERENCE_CHARACTERS_MAX, f"{place}.{name}")
    if reference.source_name == MARKED_BY:
        raise Invalid(f"{place}.sourceName: {MARKED_BY!r} is kept for invoices that are set to PAID")
    _check_text(reference.description, PAYMENT_TEXT_CHARACTERS_MAX, f"{place}.description")
    metadata = reference.metadata or {}
    if len(metadata) > METADATA_ENTRIES_MAX:
        raise Invalid(f"{place}.metadata: at most {METADATA_ENTRIES_MAX} entries, got {len(metadata)}")
    if any(max(len(key), len(value)) > METADATA_CHARACTERS_MAX for key, value in metadata.items()):
        raise Invalid(f"{place}.metadata: keys and values have at most {METADATA_CHARACTERS_MAX} characters")


def _check_line(line: PaymentLine, currency: str, place: str) -> None:
    if not 0 <= line.order <= LINE_ORDER_MAX:
        raise Invalid(f"{place}.order: must be 0 to {LINE_ORDER_MAX}")
    if line.entity_id is None and line.line_type is not PaymentLineType.WALLET_CREDIT:
        raise Invalid(f"{place}.togaiId: name the {line.line_type.value.lower()} that the money is for")
    _check_text(line.entity_id, ENTITY_CHARACTERS_MAX, f"{place}.togaiId")
    if line.amount is not None:
        check_amount(line.amount, currency=currency, field=f"{place}.amount")
    elif line.line_type is PaymentLineType.CREDIT:
        raise Invalid(f"{place}.amount: say how much of the payment is for the credit")


def _check_text(text: str | None, characters_max: int, field: str) -> None:
    if text is not None and len(text) > characters_max:
        raise Invalid(f"{field}: at most {characters_max} characters, got {len(text)}")
