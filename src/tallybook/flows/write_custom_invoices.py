"""Custom invoices: written, edited and deleted while they are drafts, and issued, each in one transaction."""

from collections.abc import Iterator
from datetime import datetime
from typing import assert_never

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import check_not_archived
from tallybook.core.custom_invoice import (
    CustomInvoice,
    CustomInvoiceChanges,
    OwnerType,
    changed_custom_invoice,
    check_custom_invoice,
    check_not_ahead,
)
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.invoice import InvoiceStatus
from tallybook.flows.ask_tax import TaxFunction
from tallybook.flows.change_invoice_status import move_status
from tallybook.flows.draw_up_custom import books_for, draw_up_custom
from tallybook.flows.issue import issue
from tallybook.storage import accounts, custom_invoices, invoice_groups, ledger, miscellaneous_charges
from tallybook.storage.custom_invoices import CustomInvoiceState, StoredCustomInvoice
from tallybook.storage.database import Database

DRAFTS_PER_READ = 100  # of up to 50 lines, some 10 kB each
_FROM_DRAFT = frozenset({InvoiceStatus.DUE, InvoiceStatus.PAID, InvoiceStatus.VOID})


def create_custom_invoice(
    database: Database,
    organisation_id: str,
    custom: CustomInvoice,
    *,
    status: InvoiceStatus,
    idempotency_key: str | None,
    created_by: str,
    now: datetime,
    tax_function: TaxFunction | None = None,
) -> str:
    """Write the invoice, and issue it unless it is to be a draft; return its id. Raises `Invalid` or `Conflict`.

    Sent again with its idempotency key, it is the invoice that was written, and nothing changes.
    """
    check_custom_invoice(custom)
    nameless = msgspec.structs.replace(custom, invoice_id="")
    request_hash = custom_invoices.request_hash([nameless, status.value])
    with database.write() as connection:
        if idempotency_key is not None:
            before = custom_invoices.custom_invoice_with_key(connection, organisation_id, idempotency_key)
            if before is not None:
                return _repeated(before, request_hash, idempotency_key)
        _check_owner(connection, organisation_id, custom)
        custom_invoices.add_custom_invoice(
            connection,
            organisation_id,
            custom,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            now=now,
        )
        if status is not InvoiceStatus.DRAFT:
            _issue_as(
                connection, organisation_id, custom, status, changed_by=created_by, now=now, tax_function=tax_function
            )
    return custom.invoice_id


def edit_custom_invoice(
    database: Database,
    organisation_id: str,
    invoice_id: str,
    changes: CustomInvoiceChanges,
    *,
    status: InvoiceStatus | None,
    changed_by: str,
    now: datetime,
    tax_function: TaxFunction | None = None,
) -> bool:
    """Change a draft, and issue it if a status is given. False, and nothing done, when it is no draft written by hand.

    Raises `Invalid`, or `Conflict` when there is something to change on an invoice that cannot be edited.
    """
    with database.write() as connection:
        stored = custom_invoices.find_custom_invoice(connection, organisation_id, invoice_id)
        if stored is None or stored.state is not CustomInvoiceState.DRAFT:
            if not changes.is_empty:
                raise Conflict(
                    "only drafts of custom invoices can be edited; of others, send the status alone", code="FINALISED"
                )
            return False
        custom = changed_custom_invoice(stored.custom, changes)
        custom_invoices.put_custom_invoice(connection, organisation_id, custom, CustomInvoiceState.DRAFT, now=now)
        if status is not None:
            _issue_as(
                connection, organisation_id, custom, status, changed_by=changed_by, now=now, tax_function=tax_function
            )
    return True


def delete_custom_invoice(database: Database, organisation_id: str, invoice_id: str, *, now: datetime) -> None:
    """Delete a draft; deleted already, it stays so. Raises `NotFound`, or `Conflict` when it is no such draft."""
    with database.write() as connection:
        stored = custom_invoices.find_custom_invoice(connection, organisation_id, invoice_id)
        if stored is None and ledger.invoice(connection, organisation_id, invoice_id) is None:
            raise NotFound(f"no custom invoice {invoice_id!r}")
        if stored is None or stored.state is CustomInvoiceState.ISSUED:
            raise Conflict(
                "only drafts of custom invoices can be deleted; set the status VOID instead", code="FINALISED"
            )
        if stored.state is CustomInvoiceState.DRAFT:
            custom = stored.custom
            custom_invoices.put_custom_invoice(connection, organisation_id, custom, CustomInvoiceState.DELETED, now=now)
            miscellaneous_charges.forget_charges(connection, organisation_id, custom.owner_id, [invoice_id])


def drafts_that_go_on(database: Database, organisation_id: str, *, as_of: datetime) -> Iterator[CustomInvoice]:
    """The drafts that go on by themselves and whose days are over, some in memory at a time."""
    after = ""
    while True:
        with database.read() as connection:
            page = custom_invoices.drafts_to_issue(
                connection, organisation_id, on=as_of.date(), after=after, limit=DRAFTS_PER_READ
            )
        yield from page
        if len(page) < DRAFTS_PER_READ:
            return
        after = page[-1].invoice_id


def issue_custom_draft(
    database: Database,
    organisation_id: str,
    invoice_id: str,
    *,
    as_of: datetime,
    tax_function: TaxFunction | None,
) -> bool:
    """Issue a draft whose days are over; False when it is none any more. Raises `Conflict` or `NotFound`."""
    with database.write() as connection:
        stored = custom_invoices.find_custom_invoice(connection, organisation_id, invoice_id)
        if stored is None or stored.state is not CustomInvoiceState.DRAFT:
            return False
        custom = stored.custom
        if not custom.auto_advance or custom.end_date > as_of.date():
            return False
        _issue(connection, organisation_id, custom, now=as_of, tax_function=tax_function)
        return True


def _repeated(before: StoredCustomInvoice, request_hash: bytes, idempotency_key: str) -> str:
    if before.request_hash != request_hash:
        raise Conflict(f"idempotencyKey: {idempotency_key!r} was sent with another invoice", code="ALREADY_EXISTS")
    if before.state is CustomInvoiceState.DELETED:
        raise Conflict(f"idempotencyKey: the invoice written with {idempotency_key!r} was deleted", code="DELETED")
    return before.custom.invoice_id


def _check_owner(connection: Connection, organisation_id: str, custom: CustomInvoice) -> None:
    """Refuse an invoice for somebody who is not there or has gone. Raises `Invalid` or `Conflict`."""
    match custom.owner_type:
        case OwnerType.ACCOUNT:
            account = accounts.account(connection, organisation_id, custom.owner_id)
            if account is None:
                raise Invalid(f"accountId: no account {custom.owner_id!r}", code="UNKNOWN_ACCOUNT")
            check_not_archived(account)
        case OwnerType.INVOICE_GROUP:
            if invoice_groups.find_group(connection, organisation_id, custom.owner_id) is None:
                raise Invalid(f"accountId: no invoice group {custom.owner_id!r}", code="UNKNOWN_ENTITY")
        case _:
            assert_never(custom.owner_type)


def _issue_as(
    connection: Connection,
    organisation_id: str,
    custom: CustomInvoice,
    status: InvoiceStatus,
    *,
    changed_by: str,
    now: datetime,
    tax_function: TaxFunction | None,
) -> None:
    """Issue the draft, and take it on to the status, unless what it comes to has settled it. Raises `Conflict`."""
    if status not in _FROM_DRAFT:
        raise Conflict(
            f"an invoice that is DRAFT cannot become {status.value}; issue it with DUE first", code="STATUS_TRANSITION"
        )
    check_not_ahead(custom.end_date, now=now)
    _issue(connection, organisation_id, custom, now=now, tax_function=tax_function)
    issued = ledger.invoice(connection, organisation_id, custom.invoice_id)
    assert issued is not None, "it was issued in this transaction"
    is_settled = issued.status in (InvoiceStatus.PAID, InvoiceStatus.REFUND_COMPLETED)
    if status is InvoiceStatus.DUE or (status is InvoiceStatus.PAID and is_settled):
        return
    move_status(connection, organisation_id, custom.invoice_id, status, changed_by=changed_by, now=now)


def _issue(
    connection: Connection,
    organisation_id: str,
    custom: CustomInvoice,
    *,
    now: datetime,
    tax_function: TaxFunction | None,
) -> None:
    books = books_for(connection, organisation_id, custom)
    draft, inputs = draw_up_custom(books, custom, now)
    is_new = issue(books, draft, inputs, issued_at=now, tax_function=tax_function)
    assert is_new, "what is a draft here is not in the ledger"
    custom_invoices.put_custom_invoice(connection, organisation_id, custom, CustomInvoiceState.ISSUED, now=now)
