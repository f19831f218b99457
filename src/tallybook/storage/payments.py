"""Payments as stored: what was reported and what became of it, one for each external reference of an account."""

from sqlalchemy import Connection, RowMapping, insert, select

from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.core.payment import ExternalReference, Payment
from tallybook.storage import tables
from tallybook.storage.definition_rows import definition_text, read_definition
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey

_TABLE = tables.payment

LISTED = ListedTable(
    sorts={"created_at": _TABLE.c.created_at, "id": _TABLE.c.payment_id},
    order=(SortKey("created_at", descending=True), SortKey("id")),
)


def add_payment(connection: Connection, organisation_id: str, payment: Payment) -> None:
    """Store the payment; the unique index on its reference keeps out a second one."""
    reference = payment.request.reference
    connection.execute(
        insert(_TABLE).values(
            organisation_id=organisation_id,
            payment_id=payment.payment_id,
            account_id=payment.request.account_id,
            source_type=reference.source_type.value,
            source_name=reference.source_name,
            transaction_number=reference.transaction_number,
            definition=definition_text(payment),
            created_at=microseconds_since_1970(payment.created_at),
        )
    )


def find_payment(connection: Connection, organisation_id: str, payment_id: str) -> Payment | None:
    """The payment with that id."""
    query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.payment_id == payment_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else _payment(row)


def payment_with_reference(
    connection: Connection, organisation_id: str, account_id: str, reference: ExternalReference
) -> Payment | None:
    """The account's payment that is named so outside."""
    query = select(_TABLE).where(
        _TABLE.c.organisation_id == organisation_id,
        _TABLE.c.account_id == account_id,
        _TABLE.c.source_type == reference.source_type.value,
        _TABLE.c.source_name == reference.source_name,
        _TABLE.c.transaction_number == reference.transaction_number,
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _payment(row)


def list_payments(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[Payment]:
    """A page of the payments, the newest first."""
    rows = LISTED.page(connection, select(_TABLE).where(_TABLE.c.organisation_id == organisation_id), page)
    return Page(items=[_payment(row) for row in rows.items], next=rows.next)


def _payment(row: RowMapping) -> Payment:
    found = read_definition(row["definition"], Payment)
    assert instant_at(row["created_at"]) == found.created_at, "the column repeats the definition"
    return found
