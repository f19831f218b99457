"""Bill runs (generation 2024-12): which drafts one would issue, and starting one."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from litestar.params import QueryParameter

from tallybook.api.file_links import Links
from tallybook.api.handling import Caller, Connected, NextToken, Success, reading, writing
from tallybook.api.invoices import EndTime, InvoicePageSize, ListInvoicesResponse, StartTime, filter_of, page_of
from tallybook.api.paging import Listing
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.invoice import InvoiceStatus
from tallybook.flows.authenticate import now_utc
from tallybook.flows.bill import Billing
from tallybook.flows.bill_in_jobs import BillRunJob, bill_run_job
from tallybook.flows.list_invoices import InvoicePlace
from tallybook.flows.run_jobs import start_job

TAG = "Invoices"
_LISTING = Listing("invoices due", InvoicePlace, size_default=50)


@reading(
    "/invoices/bill_runs",
    operation_id="listInvoicesForBillRun",
    summary="List the drafts that a bill run would issue, by account",
    tag=TAG,
)
def list_invoices_due(
    identity: Caller,
    dependencies: Connected,
    file_links: Links,
    next_token: NextToken = None,
    status: Annotated[InvoiceStatus | None, QueryParameter(name="status", description="All of them are DRAFT.")] = None,
    owner_id: Annotated[str | None, QueryParameter(name="owner_id", description="Account id.")] = None,
    customer_id: Annotated[str | None, QueryParameter(name="customer_id")] = None,
    page_size: InvoicePageSize = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
) -> ListInvoicesResponse:
    page = _LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={
            "status": None if status is None else status.value,
            "owner_id": owner_id,
            "customer_id": customer_id,
            "start_time": None if start_time is None else str(start_time),
            "end_time": None if end_time is None else str(end_time),
        },
    )
    found = Billing(dependencies.database).invoices_due(
        identity.organisation_id,
        filter_of(page.filters),
        after=page.after,
        limit=page.size + 1,
        now=datetime.now(UTC),
    )
    return page_of(found, page, _LISTING, dependencies, identity, file_links)


@writing(
    "/invoices/bill_runs",
    status=HTTPStatus.OK,
    operation_id="createInvoiceBillRun",
    summary="Start a job that issues what is due",
    tag=TAG,
)
def create_bill_run(
    identity: Caller,
    dependencies: Connected,
    require_confirmation: Annotated[
        bool | None, QueryParameter(name="require_confirmation", description="The job waits until it is confirmed.")
    ] = None,
) -> Success:
    job = bill_run_job(
        identity.organisation_id,
        BillRunJob(require_confirmation=bool(require_confirmation)),
        now=microseconds_since_1970(now_utc()),
    )
    start_job(dependencies.database, job)
    return Success()


ROUTES = (list_invoices_due, create_bill_run)
