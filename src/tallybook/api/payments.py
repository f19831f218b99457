"""Payments on the wire (generation 2024-12): reported, read, listed."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import Caller, Connected, NextToken, reading, writing
from tallybook.api.paging import table_listing
from tallybook.api.rate_card_shapes import json_number
from tallybook.core import payment as limits
from tallybook.core.errors import NotFound
from tallybook.core.payment import (
    ExternalReference,
    Payment,
    PaymentLine,
    PaymentLineType,
    PaymentRequest,
    PaymentSource,
)
from tallybook.flows.authenticate import now_utc
from tallybook.flows.record_payment import record_payment
from tallybook.storage import payments

TAG = "Payments"
PAYMENTS_PER_PAGE_MAX = 50  # the interface's limit
_LISTING = table_listing("payments", payments.LISTED, size_default=PAYMENTS_PER_PAGE_MAX)

_Text = Annotated[str, msgspec.Meta(max_length=limits.PAYMENT_TEXT_CHARACTERS_MAX)]
_Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.REFERENCE_CHARACTERS_MAX)]
_EntityId = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.ENTITY_CHARACTERS_MAX)]
_Order = Annotated[int, msgspec.Meta(ge=0, le=limits.LINE_ORDER_MAX)]

_Size = Annotated[
    int | None,
    QueryParameter(name="pageSize", description="Items on a page, normally 50.", ge=1, le=PAYMENTS_PER_PAGE_MAX),
]


class ExternalPaymentReference(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """What names the payment outside; by type, name and number of its source it is recognised when it is sent again."""

    source_name: _Reference
    source_type: PaymentSource
    transaction_number: _Reference
    description: _Text | None = None
    metadata: dict[str, str] | None = None


class PaymentLineItemRecord(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """What some of the money is for. Without `amount` a line of a request takes what is needed and left."""

    type: PaymentLineType
    togai_id: _EntityId | None = None
    amount: Decimal | None = None
    order: _Order


class CreatePaymentRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Money that came in, in the account's currency, and what it is for."""

    account_id: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.PAYMENT_TEXT_CHARACTERS_MAX)]
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    total_amount: Decimal
    external_payment_reference: ExternalPaymentReference
    line_item_records: Annotated[
        list[PaymentLineItemRecord], msgspec.Meta(min_length=1, max_length=limits.PAYMENT_LINES_MAX)
    ]
    description: _Text | None = None
    notes: _Text | None = None


class PaymentShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A payment as recorded: its lines say what became of the money, and add up to `totalAmount`."""

    id: str
    description: str | None = None
    notes: str | None = None
    account_id: str
    currency: str
    external_payment_references: ExternalPaymentReference
    line_item_records: Sequence[PaymentLineItemRecord]
    total_amount: Decimal
    version: int
    created_by: str
    created_at: datetime


class PaymentPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of payments, the newest first."""

    data: Sequence[PaymentShape]
    next_token: str | None = None


@writing(
    "/payments",
    status=HTTPStatus.CREATED,
    operation_id="createPayments",
    summary="Record a payment and settle what it is for",
    tag=TAG,
)
def create_payment(data: JSONBody[CreatePaymentRequest], identity: Caller, dependencies: Connected) -> PaymentShape:
    recorded = record_payment(
        dependencies.database,
        identity.organisation_id,
        _request_of(data),
        created_by=identity.key_id,
        now=now_utc(),
    )
    return _to_shape(recorded)


@reading("/payments", operation_id="listPayments", summary="List payments, the newest first", tag=TAG)
def list_payments(
    identity: Caller, dependencies: Connected, next_token: NextToken = None, page_size: _Size = None
) -> PaymentPage:
    page = _LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size)
    with dependencies.database.read() as connection:
        found = payments.list_payments(connection, identity.organisation_id, page)
    return PaymentPage(
        data=[_to_shape(each) for each in found.items],
        next_token=_LISTING.token(dependencies, identity, page, found.next),
    )


@reading("/payments/{payment_id:str}", operation_id="getPayment", summary="Read a payment", tag=TAG)
def get_payment(
    payment_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    version: Annotated[
        int | None,
        QueryParameter(name="version", description="A payment never changes, so there is version 1 alone.", ge=1),
    ] = None,
) -> PaymentShape:
    with dependencies.database.read() as connection:
        found = payments.find_payment(connection, identity.organisation_id, payment_id)
    if found is None or version not in (None, found.version):
        raise NotFound(f"no payment {payment_id[:100]!r}" + ("" if version is None else f" in version {version}"))
    return _to_shape(found)


def _request_of(data: CreatePaymentRequest) -> PaymentRequest:
    return PaymentRequest(
        account_id=data.account_id,
        currency=data.currency,
        total=data.total_amount,
        reference=ExternalReference(**msgspec.structs.asdict(data.external_payment_reference)),
        lines=tuple(
            PaymentLine(
                order=line.order,
                line_type=line.type,
                entity_id=line.togai_id,
                amount=line.amount,
            )
            for line in data.line_item_records
        ),
        description=data.description,
        notes=data.notes,
    )


def _to_shape(payment: Payment) -> PaymentShape:
    request = payment.request
    return PaymentShape(
        id=payment.payment_id,
        description=request.description,
        notes=request.notes,
        account_id=request.account_id,
        currency=request.currency,
        external_payment_references=ExternalPaymentReference(**msgspec.structs.asdict(request.reference)),
        line_item_records=[
            PaymentLineItemRecord(
                type=line.line_type,
                togai_id=line.entity_id,
                amount=None if line.amount is None else json_number(line.amount),
                order=line.order,
            )
            for line in payment.lines
        ],
        total_amount=json_number(request.total),
        version=payment.version,
        created_by=payment.created_by,
        created_at=payment.created_at,
    )


ROUTES = (create_payment, list_payments, get_payment)
