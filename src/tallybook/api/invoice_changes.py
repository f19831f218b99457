"""`PATCH /invoices/{invoice_id}`: the status of an invoice, and what moves because of it (generation 2024-12)."""

from datetime import datetime
from enum import Enum

import msgspec
from litestar.params import FromPath, JSONBody

from tallybook.api.custom_invoices import LineItems, custom_lines
from tallybook.api.file_links import Links
from tallybook.api.handling import Caller, Connected, Dependencies, changing
from tallybook.api.invoices import InvoiceResponse, response_of
from tallybook.core.credential import Identity
from tallybook.core.custom_invoice import CustomInvoiceChanges, end_day, first_day
from tallybook.core.errors import Invalid
from tallybook.core.event import utc
from tallybook.core.invoice import InvoiceStatus
from tallybook.flows.authenticate import now_utc
from tallybook.flows.bill import Billing
from tallybook.flows.change_invoice_status import change_status
from tallybook.flows.issue_draft import issue_if_draft
from tallybook.flows.meter import MeteredThrough
from tallybook.flows.write_custom_invoices import edit_custom_invoice

TAG = "Invoices"


class SettableStatus(Enum):
    """What a request may set; REFUND_COMPLETED is ours, for the interface names no way to it."""

    DUE = "DUE"
    PAID = "PAID"
    VOID = "VOID"
    UN_COLLECTIBLE = "UN_COLLECTIBLE"
    REFUND_INITIATED = "REFUND_INITIATED"
    REFUND_COMPLETED = "REFUND_COMPLETED"


class UpdateInvoiceRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to change of an invoice: its status, and everything else while it is a custom draft."""

    start_date: datetime | None = None
    end_date: datetime | None = None
    status: SettableStatus | None = None
    line_items: LineItems | None = None
    auto_advance: bool | None = None


@changing(
    "/invoices/{invoice_id:str}",
    operation_id="updateInvoice",
    summary="Change the status of an invoice, or a custom draft",
    tag=TAG,
)
def update_invoice(
    invoice_id: FromPath[str],
    data: JSONBody[UpdateInvoiceRequest],
    identity: Caller,
    dependencies: Connected,
    file_links: Links,
) -> InvoiceResponse:
    now = now_utc()
    changes = _changes(data)
    status = None if data.status is None else InvoiceStatus(data.status.value)
    if status is None and changes.is_empty:
        raise Invalid("status: say what the invoice is to become")
    was_draft = edit_custom_invoice(
        dependencies.database,
        identity.organisation_id,
        invoice_id,
        changes,
        status=status,
        changed_by=identity.key_id,
        now=now,
        tax_function=dependencies.tax_function,
    )
    if not was_draft and status is not None:
        _change_status(dependencies, identity, invoice_id, status, now)
    billing = Billing(dependencies.database)
    return response_of(billing.invoice(identity.organisation_id, invoice_id, now=now), file_links)


ROUTES = (update_invoice,)


def _change_status(
    dependencies: Dependencies, identity: Identity, invoice_id: str, status: InvoiceStatus, now: datetime
) -> None:
    was_draft = issue_if_draft(
        dependencies.database,
        Billing(dependencies.database, tax_function=dependencies.tax_function),
        identity.organisation_id,
        invoice_id,
        status,
        metered_through=lambda: _metered_through(dependencies),
    )
    if was_draft and status is InvoiceStatus.DUE:
        return
    change_status(
        dependencies.database, identity.organisation_id, invoice_id, status, changed_by=identity.key_id, now=now
    )


def _metered_through(dependencies: Dependencies) -> datetime:
    """Through which instant of receipt everything is metered."""
    events = dependencies.events
    return MeteredThrough(events.log, events.usage_store, partition=events.partition).instant()


def _changes(data: UpdateInvoiceRequest) -> CustomInvoiceChanges:
    return CustomInvoiceChanges(
        start_date=None if data.start_date is None else first_day(utc(data.start_date)),
        end_date=None if data.end_date is None else end_day(utc(data.end_date)),
        lines=None if data.line_items is None else custom_lines(data.line_items),
        auto_advance=data.auto_advance,
    )
