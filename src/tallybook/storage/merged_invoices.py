"""Which finalised invoices wait to be merged for their group, and which composite they are part of.

Every function works in a transaction of the caller's.
"""

from collections.abc import Collection
from datetime import date, datetime

from sqlalchemy import ColumnElement, Connection, and_, select, update

from tallybook.core.instant import microseconds_since_1970
from tallybook.core.invoice import Invoice, InvoiceStatus, InvoiceType
from tallybook.storage.ledger import read_invoice
from tallybook.storage.tables import invoice


def waiting_groups(connection: Connection, organisation_id: str) -> list[str]:
    """The ids of groups for which an invoice waits, sorted."""
    query = select(invoice.c.group_id).where(_waits(organisation_id)).distinct().order_by(invoice.c.group_id)
    return list(connection.execute(query).scalars())


def waiting_invoices(connection: Connection, organisation_id: str, group_id: str) -> list[Invoice]:
    """The invoices that wait to be merged for the group."""
    query = select(invoice).where(_waits(organisation_id), invoice.c.group_id == group_id)
    return [read_invoice(row) for row in connection.execute(query)]


def composite_days(connection: Connection, organisation_id: str, group_id: str) -> set[date]:
    """The days of which the group has a composite."""
    query = select(invoice.c.start_date).where(
        invoice.c.organisation_id == organisation_id,
        invoice.c.account_id == group_id,
        invoice.c.invoice_type == InvoiceType.COMPOSITE.value,
    )
    return {date.fromisoformat(start) for start in connection.execute(query).scalars()}


def merge(
    connection: Connection, organisation_id: str, composite_id: str, invoice_ids: Collection[str], *, now: datetime
) -> None:
    """Make these waiting invoices members of the composite."""
    merged = connection.execute(
        update(invoice)
        .where(_waits(organisation_id), invoice.c.invoice_id.in_(sorted(invoice_ids)))
        .values(status=InvoiceStatus.MERGED.value, merged_into=composite_id, updated_at=microseconds_since_1970(now))
    )
    assert merged.rowcount == len(invoice_ids), "only invoices that wait are merged, in the transaction that found them"


def leave_alone(connection: Connection, organisation_id: str, group_id: str) -> None:
    """Let nothing wait for a group that is gone: these invoices stay their accounts' own."""
    connection.execute(
        update(invoice).where(_waits(organisation_id), invoice.c.group_id == group_id).values(group_id=None)
    )


def follow(
    connection: Connection, organisation_id: str, composite_id: str, status: InvoiceStatus, *, now: datetime
) -> None:
    """Give the members of a composite the status that it has got."""
    connection.execute(
        update(invoice)
        .where(invoice.c.organisation_id == organisation_id, invoice.c.merged_into == composite_id)
        .values(status=status.value, updated_at=microseconds_since_1970(now))
    )


def _waits(organisation_id: str) -> ColumnElement[bool]:
    """The condition that an invoice is due and is going to be merged."""
    return and_(
        invoice.c.organisation_id == organisation_id,
        invoice.c.group_id.is_not(None),
        invoice.c.status == InvoiceStatus.DUE.value,
        invoice.c.merged_into.is_(None),
    )
