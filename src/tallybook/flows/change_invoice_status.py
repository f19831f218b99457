"""Changing the status of a finalised invoice, with the money that has to move because of it, in one transaction."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.errors import Conflict, NotFound
from tallybook.core.invoice import InvoiceStatus, moved
from tallybook.core.payment import payment_in_full
from tallybook.core.receivable import Receivable
from tallybook.flows.record_payment import group_payers, put_payment
from tallybook.flows.settle import note, take_back
from tallybook.storage import accounts, settlements
from tallybook.storage.database import Database


def change_status(
    database: Database, organisation_id: str, invoice_id: str, to: InvoiceStatus, *, changed_by: str, now: datetime
) -> None:
    """Move the invoice along `TRANSITIONS`; does nothing where it is there already. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        move_status(connection, organisation_id, invoice_id, to, changed_by=changed_by, now=now)


def move_status(
    connection: Connection,
    organisation_id: str,
    invoice_id: str,
    to: InvoiceStatus,
    *,
    changed_by: str,
    now: datetime,
) -> None:
    """The same, in a transaction of the caller's."""
    found = settlements.receivables(connection, organisation_id, [invoice_id]).get(invoice_id)
    if found is None:
        raise NotFound(f"no finalised invoice {invoice_id!r}")
    if found.merged_into is not None:
        raise Conflict(f"the invoice follows {found.merged_into!r}, which it was merged into; change that one")
    if found.status is not to:
        moved(found.status, to)
        _move(connection, organisation_id, found, to, changed_by=changed_by, now=now)


def _move(
    connection: Connection,
    organisation_id: str,
    found: Receivable,
    to: InvoiceStatus,
    *,
    changed_by: str,
    now: datetime,
) -> None:
    match to:
        case InvoiceStatus.PAID:
            payer = _payer(connection, organisation_id, found)
            put_payment(
                connection, organisation_id, payment_in_full(found, account_id=payer), created_by=changed_by, now=now
            )
        case InvoiceStatus.VOID | InvoiceStatus.REFUND_COMPLETED:
            take_back(connection, organisation_id, found, to, now=now)
        case InvoiceStatus.UN_COLLECTIBLE | InvoiceStatus.REFUND_INITIATED:
            after = msgspec.structs.replace(found, status=to)
            note(connection, organisation_id, after, [], now=now)
        case _:
            raise Conflict(f"nobody sets an invoice to {to.value}; it becomes that by itself", code="STATUS_TRANSITION")


def _payer(connection: Connection, organisation_id: str, found: Receivable) -> str:
    """The account that is taken to have paid when nobody says which did; of a group, the first."""
    if accounts.account(connection, organisation_id, found.owner_id) is not None:
        return found.owner_id
    payers = group_payers(connection, organisation_id, found)
    if not payers:
        raise Conflict(f"no account is left in group {found.owner_id!r}; record a payment by the account that paid")
    return payers[0]
