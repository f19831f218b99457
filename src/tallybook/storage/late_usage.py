"""Usage that changed after its cycle was invoiced: which invoices it belongs to, and what later ones posted for it.

A note is written in the transaction that changes the usage, and cleared in the one that posts the difference; so what
is not posted yet has a note, whatever crashes in between. A note says where to look, never how much.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, delete, insert, select

from tallybook.core.invoice import InvoiceType
from tallybook.core.late_usage import LatePosting, SaidLine
from tallybook.storage.definition_rows import in_pieces
from tallybook.storage.tables import invoice, late_note, late_posting

_lines = msgspec.json.Decoder(tuple[SaidLine, ...])
_encoder = msgspec.json.Encoder(order="deterministic")


class LateDay(NamedTuple):
    """A day of an account's usage."""

    organisation_id: str
    account_id: str
    day: date


def note_late_usage(connection: Connection, days: Iterable[LateDay]) -> None:
    """Note the invoices that billed the usage of these days, where they are issued; noting twice is noting once.

    A day whose invoice is not issued needs no note: that invoice will hold the usage.
    """
    rows = [(each.organisation_id, each.account_id, *[each.day.isoformat()] * 2) for each in days]
    if rows:
        connection.exec_driver_sql(_NOTE, rows)


def billed_by(connection: Connection, late: LateDay) -> str | None:
    """The id of the invoice that billed the usage of the day, if it is issued."""
    column = invoice.c
    of_account = (column.organisation_id == late.organisation_id, column.account_id == late.account_id)
    covers = (column.start_date <= late.day.isoformat(), column.end_date > late.day.isoformat())
    bills_usage = column.invoice_type == InvoiceType.STANDARD.value
    return connection.scalar(select(column.invoice_id).where(*of_account, *covers, bills_usage).limit(1))


def noted_invoices(
    connection: Connection, organisation_id: str, account_ids: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The ids of the invoices whose usage has changed since, by account id, the oldest cycle first."""
    note = late_note.c
    found: dict[str, tuple[str, ...]] = {}
    for some in in_pieces(sorted(account_ids)):
        query = select(note.account_id, note.invoice_id).where(
            note.organisation_id == organisation_id, note.account_id.in_(some)
        )
        for account_id, invoice_id in connection.execute(query.order_by(note.account_id, note.start_date)):
            found[account_id] = (*found.get(account_id, ()), invoice_id)
    return found


def posted_lines(
    connection: Connection, organisation_id: str, invoice_ids: Collection[str]
) -> dict[str, tuple[SaidLine, ...]]:
    """What later invoices posted for the cycles that these invoices billed, by the ids of these."""
    posting = late_posting.c
    found: dict[str, tuple[SaidLine, ...]] = {}
    for some in in_pieces(sorted(invoice_ids)):
        query = select(posting.invoice_id, posting.lines).where(
            posting.organisation_id == organisation_id, posting.invoice_id.in_(some)
        )
        for invoice_id, lines in connection.execute(query.order_by(posting.invoice_id, posting.posted_by)):
            found[invoice_id] = (*found.get(invoice_id, ()), *_lines.decode(lines))
    return found


def post_late_usage(
    connection: Connection, organisation_id: str, postings: Sequence[LatePosting], *, posted_by: str
) -> None:
    """Store what the invoice `posted_by` posts, in the transaction that stores that invoice."""
    rows = [
        {
            "organisation_id": organisation_id,
            "invoice_id": posting.invoice_id,
            "posted_by": posted_by,
            "amount": posting.amount,
            "lines": _encoder.encode(posting.lines).decode(),
        }
        for posting in postings
    ]
    if rows:
        connection.execute(insert(late_posting), rows)


def clear_notes(connection: Connection, organisation_id: str, account_id: str, invoice_ids: Collection[str]) -> None:
    """Forget that the usage of these invoices has changed: it is posted, in this transaction."""
    note = late_note.c
    for some in in_pieces(sorted(invoice_ids)):
        of_account = (note.organisation_id == organisation_id, note.account_id == account_id)
        connection.execute(delete(late_note).where(*of_account, note.invoice_id.in_(some)))


# The other types of invoices bill no usage.
_NOTE = (
    "INSERT INTO late_note (organisation_id, account_id, start_date, invoice_id) "  # noqa: S608  # our own value
    "SELECT organisation_id, account_id, start_date, invoice_id FROM invoice WHERE organisation_id = ? "
    "AND account_id = ? AND start_date <= ? AND end_date > ? "
    f"AND invoice_type = '{InvoiceType.STANDARD.value}' ON CONFLICT DO NOTHING"
)
