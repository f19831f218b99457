"""Merging the invoices of a group's accounts into composites, each with its members in one transaction.

It can be repeated, interrupted and done by several at once: an invoice is part of one composite, or waits for it.
"""

from datetime import date, datetime

from sqlalchemy import Connection

from tallybook.core.composite_invoice import composite_of, merged_by_day
from tallybook.core.invoice import Invoice, InvoiceType
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.core.invoice_inputs import InvoiceInputs
from tallybook.flows.books import Books
from tallybook.flows.issue import issue
from tallybook.storage import invoice_groups, merged_invoices
from tallybook.storage.database import Database


def merge_due(database: Database, organisation_id: str, *, as_of: datetime) -> int:
    """Issue the composites of every group for which invoices wait; say how many are new."""
    with database.read() as connection:
        group_ids = merged_invoices.waiting_groups(connection, organisation_id)
    merged = 0
    for group_id in group_ids:
        with database.write() as connection:
            merged += _merge(connection, organisation_id, group_id, as_of)
    return merged


def _merge(connection: Connection, organisation_id: str, group_id: str, as_of: datetime) -> int:
    stored = invoice_groups.find_group(connection, organisation_id, group_id)
    if stored is None:
        merged_invoices.leave_alone(connection, organisation_id, group_id)
        return 0
    # Read in the transaction that merges, so no invoice is found by two.
    waiting = merged_invoices.waiting_invoices(connection, organisation_id, group_id)
    taken = merged_invoices.composite_days(connection, organisation_id, group_id)
    days = merged_by_day(waiting, taken=taken, today=as_of.date())
    for day, members in days.items():
        _issue_composite(connection, organisation_id, stored.definition, day, members, as_of)
    return len(days)


def _issue_composite(
    connection: Connection,
    organisation_id: str,
    group: InvoiceGroup,
    day: date,
    members: tuple[Invoice, ...],
    as_of: datetime,
) -> None:
    books = Books(connection, organisation_id, [])
    draft = composite_of(
        group,
        members,
        organisation_id=organisation_id,
        day=day,
        number_prefix=books.choices.invoice_number_prefix,
        computed_at=as_of,
    )
    inputs = InvoiceInputs(
        organisation_id=organisation_id,
        invoice_type=InvoiceType.COMPOSITE,
        account=draft.account,
        first_day=day,
        members=draft.members,
        number_prefix=draft.number_prefix,
    )
    is_new = issue(books, draft, inputs, issued_at=as_of)
    assert is_new, "only a day without a composite gets one"
    merged_invoices.merge(connection, organisation_id, draft.invoice_id, draft.members, now=as_of)
