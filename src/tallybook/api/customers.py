"""Customers on the wire (generation 2024-12) and their routes."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar.params import FromPath, JSONBody

from tallybook.api.account_shapes import (
    AccountShape,
    AddressShape,
    NewAccountShape,
    account_from,
    account_to,
    address_from,
    address_to,
)
from tallybook.api.exact_json import refuse_unsupported
from tallybook.api.handling import Caller, Connected, NextToken, PageSize, reading, writing
from tallybook.api.paging import Listing
from tallybook.api.texts import Email, EntityName, Id
from tallybook.core.customer import Customer, CustomerStatus, address_text
from tallybook.core.errors import NotFound
from tallybook.flows import define
from tallybook.flows.authenticate import now_utc
from tallybook.flows.new_ids import new_id
from tallybook.storage import accounts
from tallybook.storage.definition_rows import PagePosition, Stored

TAG = "Customers"
LISTING = Listing("customers", PagePosition)


class CreateCustomerRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new customer; without `account` it gets one with its own id and name."""

    id: Id
    name: EntityName
    primary_email: Email
    address: AddressShape
    settings: Annotated[list[Any] | None, msgspec.Meta(description="Not supported.")] = None
    account: NewAccountShape | None = None


class CustomerShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A customer, as read."""

    id: str
    togai_customer_id: str
    name: str
    primary_email: str
    billing_address: str
    address: AddressShape
    status: CustomerStatus
    created_at: datetime
    updated_at: datetime


class CreateCustomerResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The customer just made, and its first account."""

    id: str
    togai_customer_id: str
    name: str
    primary_email: str
    billing_address: str
    address: AddressShape
    account: AccountShape


class CustomerPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of customers, those changed last first."""

    data: list[CustomerShape]
    next_token: str | None = None


@writing(
    "/customers",
    status=HTTPStatus.CREATED,
    operation_id="createCustomer",
    summary="Create a customer with its first account",
    tag=TAG,
)
def create_customer(
    data: JSONBody[CreateCustomerRequest], identity: Caller, dependencies: Connected
) -> CreateCustomerResponse:
    refuse_unsupported(data, "settings")
    now = now_utc()
    customer = Customer(
        customer_id=data.id,
        generated_id=new_id("customer"),
        name=data.name,
        primary_email=data.primary_email,
        address=address_from(data.address),
        status=CustomerStatus.ACTIVE,
    )
    account = account_from(
        data.account or NewAccountShape(id=data.id, name=data.name),
        customer_id=data.id,
        generated_id=new_id("account"),
        base_currency=define.base_currency(dependencies.database, identity.organisation_id),
    )
    define.create_customer(dependencies.database, identity.organisation_id, customer, account, now=now)
    return CreateCustomerResponse(
        id=customer.customer_id,
        togai_customer_id=customer.generated_id,
        name=customer.name,
        primary_email=customer.primary_email,
        billing_address=address_text(customer.address),
        address=address_to(customer.address),
        account=account_to(account, togai_customer_id=customer.generated_id, on=now),
    )


@reading("/customers/{customer_id:str}", operation_id="getCustomer", summary="Read a customer", tag=TAG)
def get_customer(customer_id: FromPath[str], identity: Caller, dependencies: Connected) -> CustomerShape:
    with dependencies.database.read() as connection:
        stored = accounts.find_customer(connection, identity.organisation_id, customer_id)
    if stored is None:
        raise NotFound(f"no customer {customer_id!r}")
    return _to_shape(stored)


@reading("/customers", operation_id="getCustomers", summary="List customers", tag=TAG)
def list_customers(
    identity: Caller, dependencies: Connected, next_token: NextToken = None, page_size: PageSize = None
) -> CustomerPage:
    page = LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size)
    with dependencies.database.read() as connection:
        found = accounts.list_customers(connection, identity.organisation_id, after=page.after, limit=page.size)
    return CustomerPage(
        data=[_to_shape(stored) for stored in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


def _to_shape(stored: Stored[Customer]) -> CustomerShape:
    customer = stored.definition
    return CustomerShape(
        id=customer.customer_id,
        togai_customer_id=customer.generated_id,
        name=customer.name,
        primary_email=customer.primary_email,
        billing_address=address_text(customer.address),
        address=address_to(customer.address),
        status=customer.status,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


ROUTES = (create_customer, get_customer, list_customers)
