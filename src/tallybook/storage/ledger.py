"""Finalised invoices: written once, never changed by a second bill run, read in pages.

One invoice per account, cycle and type is promised by the table's unique index, so nothing here locks. Drafts are not
stored. Every function works in a transaction of the caller's.
"""

import hashlib
from collections.abc import Collection
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, bindparam, insert, or_, select

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Conflict, Corrupt
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.invoice import INVOICE_FORMAT, Invoice, InvoiceStatus, InvoiceType
from tallybook.core.invoice_inputs import INPUTS_FORMAT, InvoiceInputs
from tallybook.storage.definition_rows import in_pieces
from tallybook.storage.tables import advance_charge
from tallybook.storage.tables import invoice as invoice_table


class _Format(msgspec.Struct, frozen=True):
    """What says how inputs are to be read."""

    format: int = INPUTS_FORMAT


_document = msgspec.json.Decoder(Invoice)
_inputs = msgspec.json.Decoder(InvoiceInputs)
_format = msgspec.json.Decoder(_Format)
_encoder = msgspec.json.Encoder(order="deterministic")

# Made once: every invoice that is issued runs them.
_INSERT = insert(invoice_table)
_IS_ISSUED = select(invoice_table.c.invoice_id).where(
    invoice_table.c.organisation_id == bindparam("organisation"), invoice_table.c.invoice_id == bindparam("invoice")
)


IssuedPlace = tuple[int, str]
"""The place of a finalised invoice in a list: when it was issued, in microseconds since 1970, and its id."""


class InvoiceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which invoices are wanted; None wants all. `started_from` (inclusive) and `started_before` bound `start_date`."""

    status: InvoiceStatus | None = None
    account_id: str | None = None
    customer_id: str | None = None
    plan_id: str | None = None
    invoice_date: date | None = None
    start_date: date | None = None
    end_date: date | None = None
    started_from: date | None = None
    started_before: date | None = None

    def takes_days(self, start: date, end: date) -> bool:
        """Whether an invoice for the days `[start, end)` is wanted, as far as that goes."""
        return (
            self.start_date in (None, start)
            and self.end_date in (None, end)
            and (self.started_from is None or start >= self.started_from)
            and (self.started_before is None or start < self.started_before)
        )


ALL_INVOICES = InvoiceFilter()


def invoice(connection: Connection, organisation_id: str, invoice_id: str) -> Invoice | None:
    """The finalised invoice of that id, if there is one. Raises `Corrupt` when its bytes cannot be read."""
    row = connection.execute(_selected_by_id(organisation_id, invoice_id)).one_or_none()
    return None if row is None else read_invoice(row)


def inputs(connection: Connection, organisation_id: str, invoice_id: str) -> InvoiceInputs | None:
    """What the invoice was computed from; None when there is no such invoice.

    Raises `Corrupt` when it no longer has the hash it was stored with, `Conflict` when an earlier version stored less.
    """
    row = connection.execute(_selected_by_id(organisation_id, invoice_id)).one_or_none()
    if row is None:
        return None
    if inputs_hash(row.inputs) != row.inputs_hash:
        raise Corrupt(f"invoice {invoice_id}: its stored inputs do not have the hash they were stored with")
    if _format.decode(row.inputs).format != INPUTS_FORMAT:
        raise Conflict(f"invoice {invoice_id} was issued by a version that did not keep all it was computed from")
    return _inputs.decode(row.inputs)


def is_issued(connection: Connection, organisation_id: str, invoice_id: str) -> bool:
    """Whether the invoice is finalised."""
    named = {"organisation": organisation_id, "invoice": invoice_id}
    return connection.execute(_IS_ISSUED, named).first() is not None


def invoices(
    connection: Connection,
    organisation_id: str,
    wanted: InvoiceFilter = ALL_INVOICES,
    *,
    after: IssuedPlace | None = None,
    limit: int | None = None,
) -> list[Invoice]:
    """The finalised invoices behind that place, issued last first, those of one instant by id."""
    return [read_invoice(row) for row in connection.execute(_selected(organisation_id, wanted, after).limit(limit))]


def issued_place(found: Invoice) -> IssuedPlace:
    """The place of a finalised invoice in a list."""
    assert found.issued_at is not None, "drafts have no place among what is issued"
    return microseconds_since_1970(found.issued_at), found.invoice_id


def add_invoice(
    connection: Connection, issued: Invoice, computed_from: InvoiceInputs, *, group_id: str | None = None
) -> None:
    """Store a finalised invoice, which must not be there; `group_id` is the group that is going to merge it.

    The unique index refuses a second one for the same account, cycle and type, so that its transaction fails.
    """
    assert issued.issued_at is not None, "a draft is never stored"
    inputs_text = _encoder.encode(computed_from).decode()
    connection.execute(
        _INSERT,
        {
            "organisation_id": computed_from.organisation_id,
            "invoice_id": issued.invoice_id,
            "account_id": issued.account.account_id,
            "customer_id": issued.account.customer_id,
            "invoice_type": issued.invoice_type.value,
            "start_date": issued.start_date.isoformat(),
            "end_date": issued.end_date.isoformat(),
            "invoice_date": issued.invoice_date.isoformat(),
            "plan_id": issued.plan_id,
            "currency": issued.account.currency,
            "status": issued.status.value,
            "total": issued.total,
            "sequence_number": issued.sequence_number,
            "group_id": group_id,
            "format": INVOICE_FORMAT,
            "document": _encoder.encode(issued).decode(),
            "inputs": inputs_text,
            "inputs_hash": inputs_hash(inputs_text),
            "issued_at": microseconds_since_1970(issued.issued_at),
            "updated_at": microseconds_since_1970(issued.issued_at),
        },
    )
    _add_charges(connection, computed_from.organisation_id, issued)


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
    connection: Connection, organisation_id: str, account_ids: Collection[str], window: tuple[date, date]
) -> dict[str, dict[date, dict[str, Decimal]]]:
    """What invoices charged in advance for the cycles that begin in the window or on the day it ends.

    By account id, the cycle's first day and add-on id, corrections added up.
    """
    table = advance_charge
    charged: dict[str, dict[date, dict[str, Decimal]]] = {}
    for some in in_pieces(sorted(account_ids)):
        query = select(table.c.account_id, table.c.start_date, table.c.add_on_id, table.c.amount).where(
            table.c.organisation_id == organisation_id,
            table.c.account_id.in_(some),
            table.c.start_date >= window[0].isoformat(),
            table.c.start_date <= window[1].isoformat(),
        )
        for account_id, start, add_on_id, amount in connection.execute(query):
            of_cycle = charged.setdefault(account_id, {}).setdefault(date.fromisoformat(start), {})
            of_cycle[add_on_id] = EXACT.add(of_cycle.get(add_on_id, ZERO), amount)
    return charged


def invoiced_starts(connection: Connection, organisation_id: str, account_ids: Collection[str]) -> dict[str, set[date]]:
    """The first days of the accounts' finalised cycles, by account id."""
    found: dict[str, set[date]] = {}
    for some in in_pieces(sorted(account_ids)):
        query = select(invoice_table.c.account_id, invoice_table.c.start_date).where(
            invoice_table.c.organisation_id == organisation_id,
            invoice_table.c.account_id.in_(some),
            invoice_table.c.invoice_type == InvoiceType.STANDARD.value,
        )
        for account_id, start in connection.execute(query):
            found.setdefault(account_id, set()).add(date.fromisoformat(start))
    return found


def inputs_hash(inputs_text: str) -> bytes:
    """SHA-256 of the inputs as stored."""
    return hashlib.sha256(inputs_text.encode()).digest()


def _selected_by_id(organisation_id: str, invoice_id: str) -> Select[Any]:
    return select(invoice_table).where(
        invoice_table.c.organisation_id == organisation_id, invoice_table.c.invoice_id == invoice_id
    )


def _selected(organisation_id: str, wanted: InvoiceFilter, after: IssuedPlace | None) -> Select[Any]:
    column = invoice_table.c
    query = select(invoice_table).where(column.organisation_id == organisation_id, *_conditions(wanted))
    if after is not None:
        issued_at, invoice_id = after
        behind = or_(column.issued_at < issued_at, column.invoice_id > invoice_id)
        query = query.where(column.issued_at <= issued_at, behind)
    return query.order_by(column.issued_at.desc(), column.invoice_id)


def _conditions(wanted: InvoiceFilter) -> list[ColumnElement[bool]]:
    column = invoice_table.c
    conditions = [
        (wanted.status and wanted.status.value, column.status.__eq__),
        (wanted.account_id, column.account_id.__eq__),
        (wanted.customer_id, column.customer_id.__eq__),
        (wanted.plan_id, column.plan_id.__eq__),
        (_text(wanted.invoice_date), column.invoice_date.__eq__),
        (_text(wanted.start_date), column.start_date.__eq__),
        (_text(wanted.end_date), column.end_date.__eq__),
        (_text(wanted.started_from), column.start_date.__ge__),
        (_text(wanted.started_before), column.start_date.__lt__),
    ]
    return [condition(value) for value, condition in conditions if value is not None]


def _text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def read_invoice(row: Any) -> Invoice:
    """The invoice as issued, with what has changed since from the columns beside it."""
    if not 1 <= row.format <= INVOICE_FORMAT:
        raise Corrupt(f"an invoice is stored in format {row.format}; this version reads 1 to {INVOICE_FORMAT}")
    try:
        issued = _document.decode(row.document)
    except msgspec.ValidationError as error:
        raise Corrupt(f"a stored invoice cannot be read: {error}") from error
    return msgspec.structs.replace(
        issued,
        status=InvoiceStatus(row.status),
        sequence_number=row.sequence_number,
        paid_amount=row.paid_amount,
        merged_into=row.merged_into,
    )
