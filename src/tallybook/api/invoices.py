"""`GET /invoices` and `GET /invoices/{invoice_id}`: drafts and finalised invoices alike, with the line tree.

Amounts are JSON numbers, each line cut to the currency's minor unit by itself; quantities and rates are exact.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import msgspec
from litestar.params import FromPath, QueryParameter

from tallybook.api.file_links import FileLinks, Links
from tallybook.api.handling import Caller, Connected, Dependencies, NextToken, reading
from tallybook.api.paging import Listing
from tallybook.core.credential import Identity
from tallybook.core.customer import Address
from tallybook.core.decimals import plain_text
from tallybook.core.errors import Invalid
from tallybook.core.instant import EPOCH
from tallybook.core.invoice import (
    BilledAccount,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    InvoiceType,
    LineType,
    UsageLine,
    shown_amount,
)
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.core.period import FOREVER, midnight
from tallybook.core.pricing import Clamp, PricedSlab
from tallybook.flows.bill import Billing
from tallybook.flows.list_invoices import InvoicePlace, place_of
from tallybook.storage.ledger import InvoiceFilter
from tallybook.storage.pages import PageRequest

INVOICES_PER_PAGE_MAX = 50  # the interface's limit
_MILLISECONDS_MAX = (midnight(FOREVER) - EPOCH) // timedelta(milliseconds=1)
_USAGE_UNITS = "USAGE_UNITS"
_LISTING = Listing("invoices", InvoicePlace, size_default=INVOICES_PER_PAGE_MAX)

InvoicePageSize = Annotated[
    int | None,
    QueryParameter(name="pageSize", description="Items on a page, normally 50.", ge=1, le=INVOICES_PER_PAGE_MAX),
]
StartTime = Annotated[
    int | None,
    QueryParameter(
        name="start_time",
        description="Cycles that start then or later; milliseconds since 1970.",
        ge=0,
        le=_MILLISECONDS_MAX,
    ),
]
EndTime = Annotated[
    int | None,
    QueryParameter(
        name="end_time",
        description="Cycles that start earlier; milliseconds since 1970.",
        ge=0,
        le=_MILLISECONDS_MAX,
    ),
]


class InvoiceClass(Enum):
    """What kind of paper it is."""

    INVOICE = "INVOICE"


class WantedClass(Enum):
    """What kinds of paper may be asked for; there is none but invoices."""

    INVOICE = "INVOICE"
    ORDER = "ORDER"
    BILLABLE = "BILLABLE"


class FinalizingStatus(Enum):
    """Whether it can still change; a draft has none."""

    FINALIZED = "FINALIZED"


class InvoiceLineItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A line and the lines it is the sum of. `value` is money, or units in a line of usage."""

    id: str
    type: LineType
    description: str
    value_per_quantity: Decimal | None = None
    quantity: Decimal | None = None
    units: str
    value: Decimal
    metadata: dict[str, Any] | None = None
    line_items: "tuple[InvoiceLineItem, ...]"


class BillingAddress(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where the bill goes."""

    phone_number: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None


class InvoiceDetailsCustomer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The customer, as known when the invoice was computed."""

    name: str
    primary_email: str


class InvoiceDetailsAccount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The account, as known when the invoice was computed."""

    name: str
    invoice_currency: str
    address: BillingAddress
    primary_email: str


class InvoiceDetailsGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The invoice group, as known when the invoice was computed."""

    id: str
    name: str
    email: str
    daily_invoice_consolidation: bool
    invoice_currency: str
    address: BillingAddress


class InvoiceDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who is billed, and by which plan, if by one.

    Where a group is billed, it stands in the account's place too; a customer, if all its accounts have the same.
    """

    customer: InvoiceDetailsCustomer | None = None
    account: InvoiceDetailsAccount
    price_plan_name: str | None = None
    invoice_group: InvoiceDetailsGroup | None = None


class InvoiceSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An invoice without its lines. `endDate` is exclusive; a draft has no `generatedAt`."""

    id: str
    customer_id: str | None = None
    owner_id: str
    sequence_id: str | None = None
    price_plan_id: str | None = None
    status: InvoiceStatus
    finalizing_status: FinalizingStatus | None = None
    invoice_class: InvoiceClass
    invoice_type: InvoiceType
    start_date: datetime
    end_date: datetime
    end_date_inclusive: datetime
    invoice_date: datetime
    due_date: datetime
    generated_at: datetime | None = None
    updated_at: datetime
    pdf_url: str | None = None
    total_amount: Decimal
    paid_amount: Decimal
    net_term_days: int
    invoice_details: InvoiceDetails


class InvoiceResponse(InvoiceSummary, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An invoice with its lines."""

    auto_advance: bool
    usage_info: tuple[InvoiceLineItem, ...]
    revenue_info: InvoiceLineItem


class ListInvoicesResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of invoices; `nextToken` is null on the last one."""

    data: list[InvoiceSummary]
    next_token: str | None


@reading(
    "/invoices",
    operation_id="listInvoices",
    summary="List drafts by account, then invoices, issued last first",
    tag="Invoices",
)
def list_invoices(
    identity: Caller,
    dependencies: Connected,
    file_links: Links,
    next_token: NextToken = None,
    status: Annotated[InvoiceStatus | None, QueryParameter(name="status")] = None,
    owner_id: Annotated[str | None, QueryParameter(name="owner_id", description="Account id.")] = None,
    account_id: Annotated[str | None, QueryParameter(name="account_id", description="The same.")] = None,
    customer_id: Annotated[str | None, QueryParameter(name="customer_id")] = None,
    price_plan_id: Annotated[str | None, QueryParameter(name="price_plan_id")] = None,
    invoice_class: Annotated[WantedClass | None, QueryParameter(name="class")] = None,
    invoice_date: Annotated[date | None, QueryParameter(name="invoice_date")] = None,
    start_date: Annotated[date | None, QueryParameter(name="start_date", description="Its first day.")] = None,
    end_date: Annotated[
        date | None, QueryParameter(name="end_date", description="The day behind its last, as `endDate` has it.")
    ] = None,
    page_size: InvoicePageSize = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
) -> ListInvoicesResponse:
    page = _LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={
            "status": None if status is None else status.value,
            "owner_id": _owner(owner_id, account_id),
            "customer_id": customer_id,
            "price_plan_id": price_plan_id,
            "class": None if invoice_class is None else invoice_class.value,
            "invoice_date": _text(invoice_date),
            "start_date": _text(start_date),
            "end_date": _text(end_date),
            "start_time": _text(start_time),
            "end_time": _text(end_time),
        },
    )
    if page.filters.get("class", WantedClass.INVOICE.value) != WantedClass.INVOICE.value:
        return ListInvoicesResponse(data=[], next_token=None)
    found = Billing(dependencies.database).invoices_of(
        identity.organisation_id,
        filter_of(page.filters),
        after=page.after,
        limit=page.size + 1,
        now=datetime.now(UTC),
    )
    return page_of(found, page, _LISTING, dependencies, identity, file_links)


@reading("/invoices/{invoice_id:str}", operation_id="getInvoice", summary="Read an invoice", tag="Invoices")
def get_invoice(
    invoice_id: FromPath[str], identity: Caller, dependencies: Connected, file_links: Links
) -> InvoiceResponse:
    billing = Billing(dependencies.database)
    return response_of(billing.invoice(identity.organisation_id, invoice_id, now=datetime.now(UTC)), file_links)


ROUTES = (list_invoices, get_invoice)


# ---- shapes ------------------------------------------------------------------------------------------------------


def page_of(
    found: list[Invoice],
    page: PageRequest[InvoicePlace],
    listing: Listing[InvoicePlace],
    dependencies: Dependencies,
    identity: Identity,
    links: FileLinks,
) -> ListInvoicesResponse:
    """A page of what was found, which may be one more than it takes."""
    last = place_of(found[page.size - 1]) if len(found) > page.size else None
    return ListInvoicesResponse(
        data=[summary_of(invoice, links) for invoice in found[: page.size]],
        next_token=listing.token(dependencies, identity, page, last),
    )


def summary_of(invoice: Invoice, links: FileLinks) -> InvoiceSummary:
    """The invoice as the list shows it."""
    return InvoiceSummary(**_summary_fields(invoice, links))


def response_of(invoice: Invoice, links: FileLinks) -> InvoiceResponse:
    """The invoice with its usage and its line tree."""
    return InvoiceResponse(
        **_summary_fields(invoice, links),
        auto_advance=invoice.auto_advance,
        usage_info=tuple(_usage_item(line) for line in invoice.usage),
        revenue_info=_line_item(invoice.revenue),
    )


def _summary_fields(invoice: Invoice, links: FileLinks) -> dict[str, Any]:
    return {
        "id": invoice.invoice_id,
        "customer_id": invoice.account.customer_id or None,
        "owner_id": invoice.account.account_id,
        "sequence_id": invoice.sequence_id,
        "price_plan_id": invoice.plan_id or None,
        "status": invoice.status,
        "finalizing_status": None if invoice.issued_at is None else FinalizingStatus.FINALIZED,
        "invoice_class": InvoiceClass.INVOICE,
        "invoice_type": invoice.invoice_type,
        "start_date": midnight(invoice.start_date),
        "end_date": midnight(invoice.end_date),
        "end_date_inclusive": midnight(invoice.end_date) - timedelta(days=1),
        "invoice_date": midnight(invoice.invoice_date),
        "due_date": midnight(invoice.due_date),
        "generated_at": invoice.issued_at,
        "updated_at": invoice.computed_at,
        "pdf_url": links.pdf_url(invoice),
        "total_amount": invoice.total,
        "paid_amount": _plain(invoice.paid_amount),
        "net_term_days": invoice.account.net_term_days,
        "invoice_details": _details_of(invoice),
    }


def _details_of(invoice: Invoice) -> InvoiceDetails:
    account = invoice.account
    return InvoiceDetails(
        customer=_customer_of(account),
        account=InvoiceDetailsAccount(
            name=account.account_name,
            invoice_currency=account.currency,
            address=_address_of(account.address),
            primary_email=account.email,
        ),
        price_plan_name=invoice.plan_name or None,
        invoice_group=None if invoice.group is None else _group_of(invoice.group),
    )


def _customer_of(account: BilledAccount) -> InvoiceDetailsCustomer | None:
    if not account.customer_id:
        return None
    return InvoiceDetailsCustomer(name=account.customer_name, primary_email=account.customer_email)


def _group_of(group: InvoiceGroup) -> InvoiceDetailsGroup:
    return InvoiceDetailsGroup(
        id=group.group_id,
        name=group.name,
        email=group.email,
        daily_invoice_consolidation=group.daily_consolidation,
        invoice_currency=group.currency,
        address=_address_of(group.address),
    )


def _address_of(address: Address) -> BillingAddress:
    return BillingAddress(**msgspec.structs.asdict(address))


def _usage_item(line: UsageLine) -> InvoiceLineItem:
    return InvoiceLineItem(
        id=f"{LineType.USAGE_METER_USAGE.value}.{line.meter_id}",
        type=LineType.USAGE_METER_USAGE,
        description=line.name,
        units=_USAGE_UNITS,
        value=_plain(line.units),
        line_items=(),
    )


_SENT_AS = {LineType.LATE_USAGE_AMOUNT: LineType.CUSTOM_AMOUNT}
"""Lines that the interface has no word for, and the nearest one that it has."""


def _line_item(line: InvoiceLine) -> InvoiceLineItem:
    return InvoiceLineItem(
        id=line.line_id,
        type=_SENT_AS.get(line.line_type, line.line_type),
        description=line.description,
        value_per_quantity=_rate_of(line),
        quantity=None if line.quantity is None else _plain(line.quantity),
        units=line.amount.currency,
        value=shown_amount(line),
        metadata=_metadata_of(line),
        line_items=tuple(_line_item(child) for child in line.lines),
    )


def _rate_of(line: InvoiceLine) -> Decimal | None:
    working = line.working or line.fee
    rate = line.rate if working is None else working.rate
    return None if rate is None else _plain(rate)


def _metadata_of(line: InvoiceLine) -> dict[str, Any] | None:
    if line.working is not None:
        return _working_of(line.working)
    if line.fee is not None and line.fee.days is not None:
        return {"days": line.fee.days, "daysInCycle": line.fee.days_in_cycle}
    return None


def _working_of(slab: PricedSlab) -> dict[str, Any]:
    """How the slab's amount came about, besides quantity and rate."""
    working: dict[str, Any] = {
        "order": slab.order,
        "startAfter": _plain(slab.start_after),
        "priceType": slab.price_type.value,
    }
    if slab.package_size is not None and slab.packages is not None:
        working |= {"packageSize": _plain(slab.package_size), "packageQuantity": _plain(slab.packages)}
    if slab.clamp is not None:
        working["minimumRateApplied" if slab.clamp is Clamp.MINIMUM else "maximumRateApplied"] = True
    return working


def _plain(value: Decimal) -> Decimal:
    """The same number, without an exponent and without zeros at its end."""
    return Decimal(plain_text(value))


def _owner(owner_id: str | None, account_id: str | None) -> str | None:
    """The account asked for; generation 2023-05 calls it `account_id`. Raises `Invalid` when both differ."""
    if None not in (owner_id, account_id) and owner_id != account_id:
        raise Invalid("owner_id and account_id are the same filter; send one of them")
    return account_id if owner_id is None else owner_id


def filter_of(filters: Mapping[str, str]) -> InvoiceFilter:
    """What the filters of a list ask for."""
    return InvoiceFilter(
        status=InvoiceStatus(filters["status"]) if "status" in filters else None,
        account_id=filters.get("owner_id"),
        customer_id=filters.get("customer_id"),
        plan_id=filters.get("price_plan_id"),
        invoice_date=_day(filters.get("invoice_date")),
        start_date=_day(filters.get("start_date")),
        end_date=_day(filters.get("end_date")),
        started_from=_first_day_from(filters.get("start_time")),
        started_before=_first_day_from(filters.get("end_time")),
    )


def _text(value: date | int | None) -> str | None:
    return None if value is None else str(value)


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _first_day_from(milliseconds: str | None) -> date | None:
    """The first day that begins at that instant or after it."""
    if milliseconds is None:
        return None
    instant = EPOCH + timedelta(milliseconds=int(milliseconds))
    return (instant + timedelta(days=1) - timedelta(microseconds=1)).date()
