"""Putting miscellaneous charges on an invoice that is a draft, or on whichever an account gets next."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from tallybook.core.account import check_not_archived
from tallybook.core.errors import Conflict, NotFound
from tallybook.core.invoice import Invoice, InvoiceStatus
from tallybook.core.miscellaneous_charge import MiscellaneousCharge, check_charges, variables_of
from tallybook.flows.bill import Billing
from tallybook.flows.define_schemas import dialect_of
from tallybook.storage import accounts, ledger, miscellaneous_charges
from tallybook.storage.database import Database


def put_on_next_invoice(
    database: Database, organisation_id: str, account_id: str, charges: Sequence[MiscellaneousCharge], *, now: datetime
) -> None:
    """Replace what waits for the invoice of the account's next cycle that is issued.

    Raises `NotFound`, `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        account = accounts.account(connection, organisation_id, account_id)
        if account is None:
            raise NotFound(f"no account {account_id!r}")
        check_not_archived(account)
        check_charges(charges, dialect=dialect_of(connection, organisation_id))
        miscellaneous_charges.put_charges(
            connection, organisation_id, account_id, miscellaneous_charges.NEXT_INVOICE, charges, now=now
        )


def put_on_invoice(
    database: Database, organisation_id: str, invoice_id: str, charges: Sequence[MiscellaneousCharge], *, now: datetime
) -> None:
    """Replace the charges of a draft. A rule may name only lines that it has. Raises `NotFound`, `Invalid`, `Conflict`.

    The draft is drawn up before the lock is taken, and only its lines' names are taken from it.
    """
    draft = Billing(database).invoice(organisation_id, invoice_id, now=now)
    with database.write() as connection:
        _check_is_draft(connection, organisation_id, draft)
        lines = variables_of(draft.revenue, draft.usage)
        check_charges(charges, dialect=dialect_of(connection, organisation_id), lines=lines)
        miscellaneous_charges.put_charges(
            connection, organisation_id, draft.account.account_id, invoice_id, charges, now=now
        )


def _check_is_draft(connection: Connection, organisation_id: str, found: Invoice) -> None:
    """Refuse an invoice that is issued, or has been since it was read. Raises `Conflict`."""
    if found.status is InvoiceStatus.DRAFT and ledger.invoice(connection, organisation_id, found.invoice_id) is None:
        return
    raise Conflict(
        f"invoice {found.invoice_id} is finalised; put the charges on the account's next invoice", code="FINALISED"
    )
