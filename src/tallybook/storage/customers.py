"""Whom accounts belong to, as stored: customers, and the people there."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from tallybook.core.customer import Contact, Customer
from tallybook.core.errors import Conflict
from tallybook.core.instant import microseconds_since_1970
from tallybook.storage import tables
from tallybook.storage.definition_rows import (
    Stored,
    definition_text,
    find_one,
    in_pieces,
    read_definition,
    stored,
    written_at,
)
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, equals, sorted_text

LISTED = ListedTable(
    filters={"status": equals(tables.customer.c.status)},
    sorts={
        "id": tables.customer.c.customer_id,
        "name": sorted_text(tables.customer.c.name),
        "created_at": tables.customer.c.created_at,
        "updated_at": tables.customer.c.updated_at,
    },
    order=(SortKey("updated_at", descending=True), SortKey("id")),
    searched=(tables.customer.c.customer_id, tables.customer.c.name),
)

CONTACTS_LISTED = ListedTable(
    sorts={
        "name": tables.customer_contact.c.name,
        "username": tables.customer_contact.c.username,
        "created_at": tables.customer_contact.c.created_at,
    },
    order=(SortKey("created_at", descending=True), SortKey("username")),
    searched=(tables.customer_contact.c.name,),
)


def add_customer(connection: Connection, organisation_id: str, customer: Customer, *, now: datetime) -> None:
    """Add the customer. Raises `Conflict` when its id is taken."""
    if find_customer(connection, organisation_id, customer.customer_id):
        raise Conflict(f"id: a customer {customer.customer_id!r} exists already", code="ALREADY_EXISTS")
    connection.execute(
        insert(tables.customer).values(
            organisation_id=organisation_id,
            customer_id=customer.customer_id,
            generated_id=customer.generated_id,
            status=customer.status.value,
            name=customer.name,
            definition=definition_text(customer),
            **written_at(now),
        )
    )


def find_customer(connection: Connection, organisation_id: str, customer_id: str) -> Stored[Customer] | None:
    """The customer with that id."""
    table = tables.customer
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.customer_id == customer_id)
    return find_one(connection, query, Customer)


def customers_with_ids(
    connection: Connection, organisation_id: str, customer_ids: Collection[str]
) -> dict[str, Customer]:
    """The customers with those ids, by id; those that are not there are left out."""
    table = tables.customer
    found: dict[str, Customer] = {}
    for some in in_pieces(sorted(customer_ids)):
        query = select(table.c.customer_id, table.c.definition).where(
            table.c.organisation_id == organisation_id, table.c.customer_id.in_(some)
        )
        for customer_id, definition in connection.execute(query):
            found[customer_id] = read_definition(definition, Customer)
    return found


def replace_customer(connection: Connection, organisation_id: str, customer: Customer, *, now: datetime) -> None:
    """Write over the stored customer, which must be there."""
    table = tables.customer
    written = connection.execute(
        update(table)
        .where(table.c.organisation_id == organisation_id, table.c.customer_id == customer.customer_id)
        .values(
            status=customer.status.value,
            name=customer.name,
            definition=definition_text(customer),
            updated_at=microseconds_since_1970(now),
        )
    )
    assert written.rowcount == 1, "the customer to write over is not there"


def list_customers(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[Stored[Customer]]:
    """A page of the customers, normally those changed last first."""
    query = select(tables.customer).where(tables.customer.c.organisation_id == organisation_id)
    rows = LISTED.page(connection, query, page)
    return Page(items=[stored(row, Customer) for row in rows.items], next=rows.next)


def generated_ids_of_customers(
    connection: Connection, organisation_id: str, customer_ids: Collection[str]
) -> dict[str, str]:
    """The ids that Tallybook gave those customers, by the ids that the caller gave them."""
    table = tables.customer
    found: dict[str, str] = {}
    for some in in_pieces(sorted(set(customer_ids))):
        query = select(table.c.customer_id, table.c.generated_id).where(
            table.c.organisation_id == organisation_id, table.c.customer_id.in_(some)
        )
        found.update((row[0], row[1]) for row in connection.execute(query))
    return found


# ---- contacts ----------------------------------------------------------------------------------------------------


def add_contact(connection: Connection, organisation_id: str, contact: Contact) -> None:
    """Add the contact. Raises `Conflict` when its preferred name is taken in the organisation."""
    table = tables.customer_contact
    preferred = contact.preferred_username
    if preferred is not None:
        same = select(table.c.username).where(
            table.c.organisation_id == organisation_id, table.c.preferred_username == preferred
        )
        if connection.execute(same).first():
            raise Conflict(f"preferredUsername: a contact {preferred!r} exists already", code="ALREADY_EXISTS")
    connection.execute(
        insert(table).values(
            organisation_id=organisation_id,
            username=contact.username,
            customer_id=contact.customer_id,
            preferred_username=preferred,
            name=contact.name,
            definition=definition_text(contact),
            created_at=microseconds_since_1970(contact.created_at),
        )
    )


def count_contacts(connection: Connection, organisation_id: str, customer_id: str) -> int:
    """How many contacts the customer has."""
    table = tables.customer_contact
    query = (
        select(func.count())
        .select_from(table)
        .where(table.c.organisation_id == organisation_id, table.c.customer_id == customer_id)
    )
    return connection.scalar(query) or 0


def list_contacts(
    connection: Connection, organisation_id: str, customer_id: str, page: PageRequest[Place]
) -> Page[Contact]:
    """A page of the customer's contacts, normally the newest first."""
    table = tables.customer_contact
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.customer_id == customer_id)
    found = CONTACTS_LISTED.page(connection, query, page)
    return Page(items=[read_definition(row["definition"], Contact) for row in found.items], next=found.next)
