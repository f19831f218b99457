"""Charges that wait for an invoice: those of one that is a draft, and those of an account's next one.

A list is deleted when its invoice is issued, whose inputs hold it from then on. Every function works in a transaction
of the caller's.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, insert, select

from tallybook.core.instant import microseconds_since_1970
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.storage.definition_rows import definition_text, in_pieces, read_definition
from tallybook.storage.tables import miscellaneous_charges

NEXT_INVOICE = ""  # in place of an invoice id: the next one that the account gets for a cycle

_TABLE = miscellaneous_charges


class PendingCharges(msgspec.Struct, frozen=True, kw_only=True):
    """The charges that wait for invoices of an account: by invoice id, and for whichever comes next."""

    by_invoice: dict[str, tuple[MiscellaneousCharge, ...]] = {}
    next_invoice: tuple[MiscellaneousCharge, ...] = ()


NO_CHARGES = PendingCharges()


def put_charges(
    connection: Connection,
    organisation_id: str,
    account_id: str,
    invoice_id: str,
    charges: Sequence[MiscellaneousCharge],
    *,
    now: datetime,
) -> None:
    """Replace the list of the invoice, or of `NEXT_INVOICE`; an empty one is none."""
    forget_charges(connection, organisation_id, account_id, [invoice_id])
    if charges:
        connection.execute(
            insert(_TABLE).values(
                organisation_id=organisation_id,
                account_id=account_id,
                invoice_id=invoice_id,
                definition=definition_text(charges),
                updated_at=microseconds_since_1970(now),
            )
        )


def pending_charges(
    connection: Connection, organisation_id: str, account_ids: Collection[str]
) -> dict[str, PendingCharges]:
    """What waits for the accounts' invoices; accounts for which nothing does are left out."""
    found: dict[str, dict[str, tuple[MiscellaneousCharge, ...]]] = {}
    for some in in_pieces(sorted(account_ids)):
        query = select(_TABLE.c.account_id, _TABLE.c.invoice_id, _TABLE.c.definition).where(
            _TABLE.c.organisation_id == organisation_id, _TABLE.c.account_id.in_(some)
        )
        for account_id, invoice_id, definition in connection.execute(query):
            charges = read_definition(definition, tuple[MiscellaneousCharge, ...])
            found.setdefault(account_id, {})[invoice_id] = charges
    return {
        account_id: PendingCharges(next_invoice=lists.pop(NEXT_INVOICE, ()), by_invoice=lists)
        for account_id, lists in found.items()
    }


def forget_charges(connection: Connection, organisation_id: str, account_id: str, invoice_ids: Collection[str]) -> None:
    """Delete those lists: an invoice that was issued has used them up, or one that was deleted does not need them."""
    connection.execute(
        delete(_TABLE).where(
            _TABLE.c.organisation_id == organisation_id,
            _TABLE.c.account_id == account_id,
            _TABLE.c.invoice_id.in_(invoice_ids),
        )
    )
