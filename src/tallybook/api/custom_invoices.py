"""Custom invoices on the wire (generation 2024-12): written, and deleted while they are drafts.

Editing is in `invoice_changes`, with the status of any invoice.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody

from tallybook.api.file_links import Links
from tallybook.api.handling import Caller, Connected, Success, removing, writing
from tallybook.api.invoices import InvoiceResponse, response_of
from tallybook.core.custom_invoice import (
    CUSTOM_LINES_MAX,
    DESCRIPTION_CHARACTERS_MAX,
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    LINE_ID_CHARACTERS_MAX,
    CustomInvoice,
    CustomLine,
    OwnerType,
    end_day,
    first_day,
)
from tallybook.core.event import utc
from tallybook.core.invoice import InvoiceStatus
from tallybook.flows.authenticate import now_utc
from tallybook.flows.bill import Billing
from tallybook.flows.new_ids import new_id
from tallybook.flows.write_custom_invoices import create_custom_invoice, delete_custom_invoice

TAG = "Invoices"


class CreateInvoiceStatus(Enum):
    """What a custom invoice may be from the start."""

    DRAFT = "DRAFT"
    DUE = "DUE"
    PAID = "PAID"


class CustomInvoiceLineItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A line: `value`, or `valuePerQuantity` for each of `quantity`. Credits find it by `billableId`."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=LINE_ID_CHARACTERS_MAX)] | None = None
    description: Annotated[str, msgspec.Meta(min_length=1, max_length=DESCRIPTION_CHARACTERS_MAX)] | None = None
    value_per_quantity: Decimal | None = None
    quantity: Decimal | None = None
    value: Decimal | None = None
    billable_id: Annotated[str, msgspec.Meta(min_length=1, max_length=LINE_ID_CHARACTERS_MAX)] | None = None


LineItems = Annotated[list[CustomInvoiceLineItem], msgspec.Meta(min_length=1, max_length=CUSTOM_LINES_MAX)]


class CreateCustomInvoiceRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A custom invoice. `accountId` names a group where `ownerType` says so; the days are those of UTC."""

    account_id: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    owner_type: OwnerType | None = None
    start_date: datetime
    end_date: datetime
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=IDEMPOTENCY_KEY_CHARACTERS_MAX)] | None = None
    status: CreateInvoiceStatus
    line_items: LineItems
    auto_advance: bool | None = None
    apply_credits: bool | None = None
    apply_wallet_balance: bool | None = None


@writing(
    "/invoices",
    status=HTTPStatus.CREATED,
    operation_id="createCustomInvoice",
    summary="Write a custom invoice",
    tag=TAG,
)
def create_invoice(
    data: JSONBody[CreateCustomInvoiceRequest], identity: Caller, dependencies: Connected, file_links: Links
) -> InvoiceResponse:
    now = now_utc()
    invoice_id = create_custom_invoice(
        dependencies.database,
        identity.organisation_id,
        _custom_invoice(data),
        status=InvoiceStatus(data.status.value),
        idempotency_key=data.idempotency_key,
        created_by=identity.key_id,
        now=now,
        tax_function=dependencies.tax_function,
    )
    billing = Billing(dependencies.database)
    return response_of(billing.invoice(identity.organisation_id, invoice_id, now=now), file_links)


@removing(
    "/invoices/{invoice_id:str}",
    operation_id="deleteCustomInvoice",
    summary="Delete a custom invoice that is a draft",
    tag=TAG,
)
def delete_invoice(invoice_id: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    delete_custom_invoice(dependencies.database, identity.organisation_id, invoice_id, now=now_utc())
    return Success()


ROUTES = (create_invoice, delete_invoice)


def custom_lines(items: LineItems) -> tuple[CustomLine, ...]:
    """The lines as the core has them."""
    return tuple(
        CustomLine(
            line_id=item.id,
            description=item.description or "",
            value=item.value,
            rate=item.value_per_quantity,
            quantity=item.quantity,
            billable_id=item.billable_id,
        )
        for item in items
    )


def _custom_invoice(data: CreateCustomInvoiceRequest) -> CustomInvoice:
    return CustomInvoice(
        invoice_id=new_id("inv"),
        owner_type=data.owner_type or OwnerType.ACCOUNT,
        owner_id=data.account_id,
        start_date=first_day(utc(data.start_date)),
        end_date=end_day(utc(data.end_date)),
        lines=custom_lines(data.line_items),
        auto_advance=bool(data.auto_advance),
        apply_credits=data.apply_credits is not False,
        apply_wallet_balance=data.apply_wallet_balance is not False,
    )
