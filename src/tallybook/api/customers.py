"""Customers on the wire (generation 2024-12) and their routes."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

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
from tallybook.api.handling import (
    Caller,
    Connected,
    NextToken,
    PageSize,
    Search,
    Sort,
    Success,
    changing,
    reading,
    removing,
    writing,
)
from tallybook.api.paging import PageContext, table_listing
from tallybook.api.settings import EntitySettings, settings_of_entity
from tallybook.api.texts import ContactEmail, ContactName, Email, EntityName, Id, Phone, PreferredUsername
from tallybook.core.customer import Contact, Customer, CustomerChanges, CustomerStatus, address_text
from tallybook.core.setting import EntityType
from tallybook.flows import define_accounts
from tallybook.flows.authenticate import now_utc
from tallybook.flows.new_ids import new_id
from tallybook.storage import customers
from tallybook.storage.definition_rows import Stored

TAG = "Customers"
LISTING = table_listing("customers", customers.LISTED)
CONTACTS = table_listing("customer_contacts", customers.CONTACTS_LISTED)


class CreateCustomerRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new customer; without `account` it gets one with its own id and name."""

    id: Id
    name: EntityName
    primary_email: Email
    address: AddressShape
    settings: EntitySettings | None = None
    account: NewAccountShape | None = None


class UpdateCustomerRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to change of a customer; what is left out stays, and the address is replaced as a whole."""

    name: EntityName | None = None
    primary_email: Email | None = None
    address: AddressShape | None = None


class CreateContactRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Somebody at the customer."""

    name: ContactName
    email: ContactEmail
    preferred_username: PreferredUsername | None = None
    phone: Phone | None = None
    verified: bool = False
    password: Annotated[str | None, msgspec.Meta(description="Not supported.")] = None
    login_access: Annotated[bool, msgspec.Meta(description="Only false is supported.")] = False


class ContactShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A contact of a customer, as read; `username` is an id of ours."""

    username: str
    preferred_username: str | None = None
    name: str
    email: str
    phone: str | None = None
    login_access: bool
    created_by: str
    created_at: datetime
    verified: bool


class ContactPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of the contacts of a customer, the newest first."""

    data: list[ContactShape]
    next_token: str | None = None


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
    context: PageContext | None = None


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
    now = now_utc()
    customer = Customer(
        customer_id=data.id,
        generated_id=new_id("customer"),
        name=data.name,
        primary_email=data.primary_email,
        address=address_from(data.address),
        status=CustomerStatus.ACTIVE,
    )
    asked = data.account or NewAccountShape(id=data.id, name=data.name)
    account = account_from(
        asked,
        customer_id=data.id,
        generated_id=new_id("account"),
        base_currency=define_accounts.base_currency(dependencies.database, identity.organisation_id),
    )
    account = define_accounts.create_customer(
        dependencies.database,
        identity.organisation_id,
        customer,
        account,
        customer_settings=settings_of_entity(data.settings or (), EntityType.CUSTOMER, data.id),
        account_settings=settings_of_entity(asked.settings or (), EntityType.ACCOUNT, asked.id),
        now=now,
    )
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
        return _to_shape(define_accounts.found_customer(connection, identity.organisation_id, customer_id))


@changing(
    "/customers/{customer_id:str}",
    operation_id="updateCustomer",
    summary="Change a customer's name, e-mail address or address",
    tag=TAG,
)
def update_customer(
    customer_id: FromPath[str], data: JSONBody[UpdateCustomerRequest], identity: Caller, dependencies: Connected
) -> CustomerShape:
    changes = CustomerChanges(
        name=data.name,
        primary_email=data.primary_email,
        address=None if data.address is None else address_from(data.address),
    )
    return _to_shape(
        define_accounts.update_customer(
            dependencies.database, identity.organisation_id, customer_id, changes, now=now_utc()
        )
    )


@removing(
    "/customers/{customer_id:str}",
    operation_id="deleteCustomer",
    summary="Archive a customer with its accounts, for good",
    tag=TAG,
)
def delete_customer(customer_id: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    define_accounts.archive_customer(dependencies.database, identity.organisation_id, customer_id, now=now_utc())
    return Success()


@reading("/customers", operation_id="getCustomers", summary="List customers", tag=TAG)
def list_customers(
    identity: Caller,
    dependencies: Connected,
    status: Annotated[CustomerStatus | None, QueryParameter(name="status")] = None,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> CustomerPage:
    page = LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"status": status and status.value},
        search=search,
        sort=sort,
    )
    with dependencies.database.read() as connection:
        found = customers.list_customers(connection, identity.organisation_id, page)
    return CustomerPage(
        data=[_to_shape(stored) for stored in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
        context=PageContext.of(page),
    )


# ---- contacts ----------------------------------------------------------------------------------------------------


@writing(
    "/customers/{customer_id:str}/contacts",
    status=HTTPStatus.CREATED,
    operation_id="createCustomerContact",
    summary="Add a contact to a customer",
    tag=TAG,
)
def create_contact(
    customer_id: FromPath[str], data: JSONBody[CreateContactRequest], identity: Caller, dependencies: Connected
) -> ContactShape:
    refuse_unsupported(data, "password", "login_access")
    contact = Contact(
        username=new_id("contact"),
        customer_id=customer_id,
        preferred_username=data.preferred_username,
        name=data.name,
        email=data.email,
        phone=data.phone,
        verified=data.verified,
        created_by=identity.key_id,
        created_at=now_utc(),
    )
    define_accounts.add_contact(dependencies.database, identity.organisation_id, contact)
    return _contact_to(contact)


@reading(
    "/customers/{customer_id:str}/contacts",
    operation_id="listCustomerContacts",
    summary="List the contacts of a customer",
    tag=TAG,
)
def list_contacts(
    customer_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> ContactPage:
    page = CONTACTS.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        within=customer_id,
        search=search,
        sort=sort,
    )
    with dependencies.database.read() as connection:
        define_accounts.found_customer(connection, identity.organisation_id, customer_id)
        found = customers.list_contacts(connection, identity.organisation_id, customer_id, page)
    return ContactPage(
        data=[_contact_to(contact) for contact in found.items],
        next_token=CONTACTS.token(dependencies, identity, page, found.next),
    )


# ---- shapes ------------------------------------------------------------------------------------------------------


def _contact_to(contact: Contact) -> ContactShape:
    return ContactShape(
        username=contact.username,
        preferred_username=contact.preferred_username,
        name=contact.name,
        email=contact.email,
        phone=contact.phone,
        login_access=False,
        created_by=contact.created_by,
        created_at=contact.created_at,
        verified=contact.verified,
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


ROUTES = (
    create_customer,
    get_customer,
    update_customer,
    delete_customer,
    list_customers,
    create_contact,
    list_contacts,
)
