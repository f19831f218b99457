"""Issuing the draft of a cycle because somebody says so, where bill runs do not do it by themselves."""

from collections.abc import Callable
from datetime import datetime

from tallybook.core.errors import Conflict, NotFound
from tallybook.core.invoice import InvoiceStatus, parse_invoice_id
from tallybook.core.period import spelled_day
from tallybook.flows.bill import Billing
from tallybook.flows.merge_invoices import merge_due
from tallybook.storage import accounts, ledger
from tallybook.storage.database import Database


def issue_if_draft(
    database: Database,
    billing: Billing,
    organisation_id: str,
    invoice_id: str,
    to: InvoiceStatus,
    *,
    metered_through: Callable[[], datetime],
) -> bool:
    """Issue the draft of a cycle that is to be DUE or PAID; False, and nothing done, when it is finalised.

    Raises `NotFound`, or `Conflict` while the cycle's grace is not over or what was received in it is not metered.
    """
    with database.read() as connection:
        if ledger.is_issued(connection, organisation_id, invoice_id):
            return False
        parsed = parse_invoice_id(invoice_id)
        account = None if parsed is None else accounts.account_by_mark(connection, organisation_id, parsed[0])
    if account is None:
        raise NotFound(f"no invoice {invoice_id!r}")
    as_of = metered_through()
    draft = billing.invoice(organisation_id, invoice_id, now=as_of)
    if to not in (InvoiceStatus.DUE, InvoiceStatus.PAID):
        raise Conflict(f"the invoice is a draft, and cannot become {to.value}", code="STATUS_TRANSITION")
    report = billing.close_accounts(
        organisation_id, [account.account_id], as_of=as_of, metered_through=as_of, only=[invoice_id]
    )
    if report.refused:
        raise Conflict(report.refused[0].message)
    with database.read() as connection:
        if not ledger.is_issued(connection, organisation_id, invoice_id):
            day = spelled_day(draft.invoice_date)
            raise Conflict(f"the invoice is a draft, and can be issued from {day} on", code="STATUS_TRANSITION")
    merge_due(database, organisation_id, as_of=as_of)
    return True
