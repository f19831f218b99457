"""Finalised invoices: written once, never changed by a second bill run, read in pages.

One invoice per account, cycle and type is promised by the table's unique index, so nothing here locks. Drafts are not
stored. Every function works in a transaction of the caller's.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, and_, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Corrupt
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.invoice import (
    INVOICE_FORMAT,
    Invoice,
    InvoiceInputs,
    InvoiceStatus,
    InvoiceType,
)
from tallybook.storage.tables import advance_charge
from tallybook.storage.tables import invoice as invoice_table

PAGE_ROWS = 50  # read from the table at once while streaming: the interface's longest page, some 5 kB each

_INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_document = msgspec.json.Decoder(Invoice)
_inputs = msgspec.json.Decoder(InvoiceInputs)
_encoder = msgspec.json.Encoder(order="deterministic")


Place = tuple[str, int, str]


class InvoiceKey(msgspec.Struct, frozen=True, kw_only=True):
    """The place of an invoice in a listing: accounts in the order of their ids, the newest cycle of each first."""

    account_id: str
    start_date: date
    invoice_type: InvoiceType = InvoiceType.STANDARD

    def place(self) -> Place:
        """Sorts as the listing does."""
        return self.account_id, -self.start_date.toordinal(), self.invoice_type.value


class InvoiceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which invoices are wanted; None wants all. `started_from` (inclusive) and `started_before` bound `start_date`."""

    status: InvoiceStatus | None = None
    account_id: str | None = None
    customer_id: str | None = None
    started_from: date | None = None
    started_before: date | None = None


ALL_INVOICES = InvoiceFilter()


def invoice(connection: Connection, organisation_id: str, invoice_id: str) -> Invoice | None:
    """The finalised invoice of that id, if there is one. Raises `Corrupt` when its bytes cannot be read."""
    row = connection.execute(_selected_by_id(organisation_id, invoice_id)).one_or_none()
    return None if row is None else _read(row.format, row.document)


def inputs(connection: Connection, organisation_id: str, invoice_id: str) -> InvoiceInputs | None:
    """What the invoice was computed from. Raises `Corrupt` when it no longer has the hash it was stored with."""
    row = connection.execute(_selected_by_id(organisation_id, invoice_id)).one_or_none()
    if row is None:
        return None
    if inputs_hash(row.inputs) != row.inputs_hash:
        raise Corrupt(f"invoice {invoice_id}: its stored inputs do not have the hash they were stored with")
    return _inputs.decode(row.inputs)


def invoices(
    connection: Connection,
    organisation_id: str,
    wanted: InvoiceFilter = ALL_INVOICES,
    *,
    after: InvoiceKey | None = None,
) -> Iterator[Invoice]:
    """Stream the invoices after that key, in the order of `InvoiceKey`, reading only as far as the caller goes."""
    while True:
        rows = connection.execute(_selected(organisation_id, wanted, after).limit(PAGE_ROWS)).all()
        page = [_read(row.format, row.document) for row in rows]
        yield from page
        if len(page) < PAGE_ROWS:
            return
        after = key_of(page[-1])


def add_invoice(connection: Connection, issued: Invoice, computed_from: InvoiceInputs) -> bool:
    """Store a finalised invoice; return False, and change nothing, when the account's cycle has one already."""
    assert issued.issued_at is not None, "a draft is never stored"
    inputs_text = _encoder.encode(computed_from).decode()
    statement = (
        _INSERT[connection.dialect.name](invoice_table)
        .values(
            organisation_id=computed_from.organisation_id,
            invoice_id=issued.invoice_id,
            account_id=issued.account.account_id,
            customer_id=issued.account.customer_id,
            invoice_type=issued.invoice_type.value,
            start_date=issued.start_date.isoformat(),
            end_date=issued.end_date.isoformat(),
            currency=issued.account.currency,
            status=issued.status.value,
            total=issued.total,
            format=INVOICE_FORMAT,
            document=_encoder.encode(issued).decode(),
            inputs=inputs_text,
            inputs_hash=inputs_hash(inputs_text),
            issued_at=microseconds_since_1970(issued.issued_at),
        )
        .on_conflict_do_nothing(index_elements=["organisation_id", "account_id", "start_date", "invoice_type"])
    )
    if connection.execute(statement).rowcount == 0:
        return False
    _add_charges(connection, computed_from.organisation_id, issued)
    return True


def _add_charges(connection: Connection, organisation_id: str, issued: Invoice) -> None:
    rows = [
        {
            "organisation_id": organisation_id,
            "account_id": issued.account.account_id,
            "start_date": charge.start_date.isoformat(),
            "add_on_id": charge.add_on_id,
            "invoice_id": issued.invoice_id,
            "amount": charge.amount,
        }
        for charge in issued.advance
    ]
    if rows:
        connection.execute(insert(advance_charge), rows)


def charged_in_advance(
    connection: Connection, organisation_id: str, account_id: str, window: tuple[date, date]
) -> dict[date, dict[str, Decimal]]:
    """What invoices charged in advance for the cycles that begin in the window or on the day it ends.

    By the cycle's first day, then by add-on id, corrections added up.
    """
    table = advance_charge
    query = select(table.c.start_date, table.c.add_on_id, table.c.amount).where(
        table.c.organisation_id == organisation_id,
        table.c.account_id == account_id,
        table.c.start_date >= window[0].isoformat(),
        table.c.start_date <= window[1].isoformat(),
    )
    charged: dict[date, dict[str, Decimal]] = {}
    for start, add_on_id, amount in connection.execute(query):
        of_cycle = charged.setdefault(date.fromisoformat(start), {})
        of_cycle[add_on_id] = EXACT.add(of_cycle.get(add_on_id, ZERO), amount)
    return charged


def invoiced_starts(connection: Connection, organisation_id: str, account_id: str) -> set[date]:
    """The first days of the account's finalised cycles."""
    query = select(invoice_table.c.start_date).where(
        invoice_table.c.organisation_id == organisation_id,
        invoice_table.c.account_id == account_id,
        invoice_table.c.invoice_type == InvoiceType.STANDARD.value,
    )
    return {date.fromisoformat(start) for start in connection.execute(query).scalars()}


def key_of(found: Invoice) -> InvoiceKey:
    """The invoice's place in a listing."""
    return InvoiceKey(account_id=found.account.account_id, start_date=found.start_date, invoice_type=found.invoice_type)


def inputs_hash(inputs_text: str) -> bytes:
    """SHA-256 of the inputs as stored."""
    return hashlib.sha256(inputs_text.encode()).digest()


def _selected_by_id(organisation_id: str, invoice_id: str) -> Select[Any]:
    return select(invoice_table).where(
        invoice_table.c.organisation_id == organisation_id, invoice_table.c.invoice_id == invoice_id
    )


def _selected(organisation_id: str, wanted: InvoiceFilter, after: InvoiceKey | None) -> Select[tuple[int, str]]:
    column = invoice_table.c
    query = select(column.format, column.document).where(column.organisation_id == organisation_id)
    if wanted.status is not None:
        query = query.where(column.status == wanted.status.value)
    if wanted.account_id is not None:
        query = query.where(column.account_id == wanted.account_id)
    if wanted.customer_id is not None:
        query = query.where(column.customer_id == wanted.customer_id)
    if wanted.started_from is not None:
        query = query.where(column.start_date >= wanted.started_from.isoformat())
    if wanted.started_before is not None:
        query = query.where(column.start_date < wanted.started_before.isoformat())
    if after is not None:
        later_account = column.account_id > after.account_id
        older_cycle = and_(column.account_id == after.account_id, column.start_date < after.start_date.isoformat())
        same_cycle = and_(
            column.account_id == after.account_id,
            column.start_date == after.start_date.isoformat(),
            column.invoice_type > after.invoice_type.value,
        )
        query = query.where(or_(later_account, older_cycle, same_cycle))
    return query.order_by(column.account_id, column.start_date.desc(), column.invoice_type)


def _read(stored_format: int, document: str) -> Invoice:
    if not 1 <= stored_format <= INVOICE_FORMAT:
        raise Corrupt(f"an invoice is stored in format {stored_format}; this version reads 1 to {INVOICE_FORMAT}")
    try:
        return _document.decode(document)
    except msgspec.ValidationError as error:
        raise Corrupt(f"a stored invoice cannot be read: {error}") from error
