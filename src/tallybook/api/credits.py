"""Credits on the wire (generation 2024-12) and their routes."""

from datetime import date, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import Caller, Connected, NextToken, reading, writing
from tallybook.api.paging import table_listing
from tallybook.api.rate_card_shapes import json_number
from tallybook.core.credit import (
    ENTITY_ID_CHARACTERS_MAX,
    ENTITY_IDS_MAX,
    IDEMPOTENCY_KEY_CHARACTERS_MAX,
    PURPOSE_CHARACTERS_MAX,
    CreditEntry,
    CreditEntryType,
    CreditStatus,
    CreditTerms,
    HeldCredit,
    with_expiry,
)
from tallybook.core.decimals import ZERO
from tallybook.flows import define_credits, hold_credits
from tallybook.flows.authenticate import now_utc
from tallybook.flows.define_credits import REQUESTS_MAX, CreditRequest
from tallybook.storage import credits

TAG = "Credits"
CREDITS_PER_PAGE_MAX = 50  # the interface's limit
LISTING = table_listing("credits", credits.LISTED, size_default=CREDITS_PER_PAGE_MAX)

_Size = Annotated[
    int | None,
    QueryParameter(name="pageSize", description="Items on a page, normally 50.", ge=1, le=CREDITS_PER_PAGE_MAX),
]
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ENTITY_ID_CHARACTERS_MAX)]


class CreditRequestShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A credit for an account, from one day until before another; without the other, for ever.

    `applicableEntityIds` are meters and add-ons, `ALL_USAGE_METER_RATE_CARDS` or `ALL_FIXED_FEE_RATE_CARDS`.
    """

    account_id: _Id
    purpose: Annotated[str, msgspec.Meta(min_length=1, max_length=PURPOSE_CHARACTERS_MAX)]
    applicable_entity_ids: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=ENTITY_IDS_MAX)] | None = None
    effective_from: date
    effective_until: date | None = None
    credit_amount: Decimal
    priority: int
    grantor_id: _Id | None = None
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=IDEMPOTENCY_KEY_CHARACTERS_MAX)] | None = None


class CreateCreditRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Credits to grant, all of them or none."""

    credit_requests: Annotated[tuple[CreditRequestShape, ...], msgspec.Meta(min_length=1, max_length=REQUESTS_MAX)]


class CreditShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A credit, as read: `holdAmount` is what its account's drafts use of it, `consumedAmount` what invoices used."""

    id: str
    account_id: str
    customer_id: str
    purpose: str
    applicable_entity_ids: tuple[str, ...] = ()
    effective_from: date
    effective_until: date | None = None
    status: CreditStatus
    credit_amount: Decimal
    credit_unit: str
    hold_amount: Decimal
    consumed_amount: Decimal
    priority: int
    grantor_id: str | None = None
    idempotency_key: str | None = None
    created_at: datetime
    updated_at: datetime


class CreditEntryShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What happened to a credit: with `invoiceId`, an invoice used it, gave it back, or granted it."""

    id: str
    credit_id: str
    transaction_type: CreditEntryType
    invoice_id: str | None = None
    amount: Decimal
    created_at: datetime


class CreditDetailsShape(CreditShape, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A credit with everything that happened to it."""

    transactions: list[CreditEntryShape]


class CreateCreditResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The credits in the order in which they were asked for."""

    credits: list[CreditShape]


class CreditPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of credits, those granted last first."""

    data: list[CreditShape]
    next_token: str | None = None


class CreditBalanceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An account's active credits: as granted; less what invoices used; less what drafts use; not usable by the draft
    of the running cycle. All as of `lastUpdatedAt`.
    """

    active_credits: Decimal
    available_balance: Decimal
    running_balance: Decimal
    inapplicable_credits: Decimal
    unit: str
    last_updated_at: datetime


@writing("/credits", status=HTTPStatus.OK, operation_id="createCredit", summary="Grant credits", tag=TAG)
def create_credits(
    data: JSONBody[CreateCreditRequest], identity: Caller, dependencies: Connected
) -> CreateCreditResponse:
    now = now_utc()
    requests = [_request_from(shape) for shape in data.credit_requests]
    granted = define_credits.grant_credits(dependencies.database, identity.organisation_id, requests, now=now)
    return CreateCreditResponse(credits=_shapes(identity, dependencies, granted, now))


@reading("/credits", operation_id="listCredits", summary="List credits", tag=TAG)
def list_credits(
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    status: Annotated[CreditStatus | None, QueryParameter(name="status")] = None,
    account_id: Annotated[str | None, QueryParameter(name="account_id", max_length=50)] = None,
    credit_id: Annotated[str | None, QueryParameter(name="id", max_length=50)] = None,
    page_size: _Size = None,
) -> CreditPage:
    page = LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"status": status and status.value, "account_id": account_id, "id": credit_id},
    )
    with dependencies.database.read() as connection:
        found = credits.list_credits(connection, identity.organisation_id, page)
    return CreditPage(
        data=_shapes(identity, dependencies, found.items, now_utc()),
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


@reading(
    "/credits/{credit_id:str}",
    operation_id="getCreditDetails",
    summary="Read a credit and what happened to it",
    tag=TAG,
)
def get_credit(credit_id: FromPath[str], identity: Caller, dependencies: Connected) -> CreditDetailsShape:
    now = now_utc()
    with dependencies.database.read() as connection:
        held = define_credits.found_credit(connection, identity.organisation_id, credit_id)
        entries = credits.entries_of(connection, identity.organisation_id, credit_id)
    [shape] = _shapes(identity, dependencies, [held], now)
    happened = [_entry_to(entry) for entry in with_expiry(entries, held, on=now.date())]
    return CreditDetailsShape(**msgspec.structs.asdict(shape), transactions=happened)


@writing(
    "/credits/{credit_id:str}/void",
    status=HTTPStatus.OK,
    operation_id="voidCredit",
    summary="Void a credit, for good",
    tag=TAG,
)
def void_credit(credit_id: FromPath[str], identity: Caller, dependencies: Connected) -> CreditShape:
    now = now_utc()
    held = define_credits.void_credit(dependencies.database, identity.organisation_id, credit_id, now=now)
    return _shapes(identity, dependencies, [held], now)[0]


@reading(
    "/accounts/{account_id:str}/credit_balance",
    operation_id="CreditBalanceForAccount",
    summary="Read what an account has in credits",
    tag=TAG,
)
def get_credit_balance(account_id: FromPath[str], identity: Caller, dependencies: Connected) -> CreditBalanceShape:
    now = now_utc()
    with dependencies.database.read() as connection:
        unit, balance = hold_credits.balance(connection, identity.organisation_id, account_id, now=now)
    return CreditBalanceShape(
        active_credits=json_number(balance.active),
        available_balance=json_number(balance.available),
        running_balance=json_number(balance.running),
        inapplicable_credits=json_number(balance.inapplicable),
        unit=unit,
        last_updated_at=now,
    )


def _request_from(shape: CreditRequestShape) -> CreditRequest:
    return CreditRequest(
        account_id=shape.account_id,
        terms=CreditTerms(
            purpose=shape.purpose,
            amount=shape.credit_amount,
            priority=shape.priority,
            effective_from=shape.effective_from,
            effective_until=shape.effective_until,
            applicable_entity_ids=shape.applicable_entity_ids or (),
            grantor_id=shape.grantor_id,
        ),
        idempotency_key=shape.idempotency_key,
    )


def _shapes(identity: Caller, dependencies: Connected, found: list[HeldCredit], now: datetime) -> list[CreditShape]:
    """The credits with what drafts use of them."""
    account_ids = {held.credit.account_id for held in found if held.status_on(now.date()) is CreditStatus.ACTIVE}
    with dependencies.database.read() as connection:
        holds = hold_credits.holds_of(connection, identity.organisation_id, account_ids, now=now)
    return [_to_shape(held, holds.get(held.credit.credit_id, ZERO), now) for held in found]


def _to_shape(held: HeldCredit, hold: Decimal, now: datetime) -> CreditShape:
    credit, terms = held.credit, held.credit.terms
    return CreditShape(
        id=credit.credit_id,
        account_id=credit.account_id,
        customer_id=credit.customer_id,
        purpose=terms.purpose,
        applicable_entity_ids=terms.applicable_entity_ids,
        effective_from=terms.effective_from,
        effective_until=terms.effective_until,
        status=held.status_on(now.date()),
        credit_amount=json_number(terms.amount),
        credit_unit=credit.currency,
        hold_amount=json_number(hold),
        consumed_amount=json_number(held.consumed),
        priority=terms.priority,
        grantor_id=terms.grantor_id,
        idempotency_key=credit.idempotency_key,
        created_at=credit.created_at,
        updated_at=held.updated_at,
    )


def _entry_to(entry: CreditEntry) -> CreditEntryShape:
    return CreditEntryShape(
        id=entry.entry_id,
        credit_id=entry.credit_id,
        transaction_type=entry.entry_type,
        invoice_id=entry.invoice_id,
        amount=json_number(entry.amount),
        created_at=entry.created_at,
    )


ROUTES = (create_credits, list_credits, get_credit, void_credit, get_credit_balance)
