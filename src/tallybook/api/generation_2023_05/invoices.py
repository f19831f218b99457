"""Invoices as generation 2023-05 has them."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from tallybook.api import invoices, miscellaneous_charges
from tallybook.api.generation_2023_05.shape import Shape, fewer_fields, fitted
from tallybook.api.generations import Answer
from tallybook.core.customer import Address, address_text
from tallybook.core.invoice import InvoiceStatus, LineType


class KnownInvoiceStatus(Enum):
    """A draft is ONGOING until its cycle ends, then GRACE_PERIOD; whatever is finalised is GENERATED."""

    ONGOING = "ONGOING"
    GRACE_PERIOD = "GRACE_PERIOD"
    GENERATED = "GENERATED"
    PUBLISHED = "PUBLISHED"


class InvoiceLine(Shape, frozen=True, kw_only=True):
    """A line and the lines it is the sum of."""

    id: str
    type: str
    description: str
    value_per_quantity: Decimal | None = None
    quantity: Decimal | None = None
    units: str
    value: Decimal
    metadata: dict[str, Any] | None = None
    line_items: "Sequence[InvoiceLine]"


class InvoiceCustomer(Shape, frozen=True, kw_only=True):
    """Who is billed; the address is the account's."""

    name: str
    primary_email: str
    billing_address: str


class InvoiceAccount(Shape, frozen=True, kw_only=True):
    """The account."""

    name: str
    invoice_currency: str


class InvoiceDetails(Shape, frozen=True, kw_only=True):
    """Who is billed, and by which plan."""

    customer: InvoiceCustomer
    account: InvoiceAccount
    price_plan_name: str


class Invoice(Shape, frozen=True, kw_only=True):
    """An invoice; in a list it has no lines."""

    id: str
    customer_id: str
    account_id: str
    price_plan_id: str
    usage_info: Sequence[InvoiceLine] | None = None
    revenue_info: InvoiceLine | None = None
    invoice_details: InvoiceDetails
    status: KnownInvoiceStatus
    start_date: datetime
    end_date: datetime
    invoice_date: datetime
    generated_at: datetime | None = None
    updated_at: datetime


class InvoicePage(Shape, frozen=True, kw_only=True):
    """A page of invoices."""

    data: Sequence[Invoice]
    next_token: str | None = None


class MiscellaneousCharge(Shape, frozen=True, kw_only=True):
    """A charge; one of a rate for each of a quantity is shown as what that comes to."""

    name: str
    value: str


class MiscellaneousCharges(Shape, frozen=True, kw_only=True):
    """The charges of an invoice."""

    data: Sequence[MiscellaneousCharge]


_LINE_TYPE = {
    LineType.NET_AMOUNT: "NET_REVENUE",
    LineType.GROSS_AMOUNT: "GROSS_REVENUE",
    LineType.USAGE_RATE_CARD_AMOUNT: "USAGE_RATE_CARD_REVENUE",
    LineType.USAGE_RATE_CARD_SLAB_AMOUNT: "USAGE_RATE_CARD_SLAB_REVENUE",
}
"""Lines that this generation calls otherwise; it has no list of all, so the others keep their names."""


def _invoices(page: invoices.ListInvoicesResponse) -> InvoicePage:
    return InvoicePage(data=[_invoice(each) for each in page.data], next_token=page.next_token)


def _invoice(found: invoices.InvoiceSummary) -> Invoice:
    details = found.invoice_details
    whole = found if isinstance(found, invoices.InvoiceResponse) else None
    return Invoice(
        id=found.id,
        customer_id=found.customer_id or "",
        account_id=found.owner_id,
        price_plan_id=found.price_plan_id or "",
        usage_info=None if whole is None else [_line(line) for line in whole.usage_info],
        revenue_info=None if whole is None else _line(whole.revenue_info),
        invoice_details=InvoiceDetails(
            customer=_customer(details),
            account=fitted(InvoiceAccount)(details.account),
            price_plan_name=details.price_plan_name or "",
        ),
        status=_invoice_status(found),
        start_date=found.start_date,
        end_date=found.end_date,
        invoice_date=found.invoice_date,
        generated_at=found.generated_at,
        updated_at=found.updated_at,
    )


def _customer(details: invoices.InvoiceDetails) -> InvoiceCustomer:
    """Whose the account is; a group of accounts that are of several customers stands for them."""
    shown = details.customer or details.account
    return InvoiceCustomer(
        name=shown.name,
        primary_email=shown.primary_email,
        billing_address=address_text(Address(**msgspec.structs.asdict(details.account.address))),
    )


def _invoice_status(found: invoices.InvoiceSummary) -> KnownInvoiceStatus:
    if found.status is not InvoiceStatus.DRAFT:
        return KnownInvoiceStatus.GENERATED
    is_over = found.updated_at >= found.end_date  # a draft is computed when it is asked for
    return KnownInvoiceStatus.GRACE_PERIOD if is_over else KnownInvoiceStatus.ONGOING


def _line(line: invoices.InvoiceLineItem) -> InvoiceLine:
    fields = msgspec.structs.asdict(line)
    return InvoiceLine(
        **{
            **fields,
            "type": _LINE_TYPE.get(line.type, line.type.value),
            "line_items": tuple(_line(each) for each in line.line_items),
        }
    )


ANSWERS = {
    invoices.ListInvoicesResponse: Answer(shape=InvoicePage, written=_invoices),
    invoices.InvoiceResponse: Answer(shape=Invoice, written=_invoice),
    miscellaneous_charges.MiscellaneousChargesResponse: fewer_fields(MiscellaneousCharges),
}
