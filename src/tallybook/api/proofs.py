"""Proofs: everything an issued invoice was computed from, as one file, and the events behind its lines.

Tallybook's own; `tallybook verify invoice` reads the file.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from tallybook.api.events import EventWithStatus, with_status
from tallybook.api.handling import Caller, Connected, NextToken, reading
from tallybook.api.paging import Listing
from tallybook.core.proof import proof_file
from tallybook.flows.bill import Billing
from tallybook.flows.prove_invoice import events_of_line, prove
from tallybook.flows.query import PAGE_EVENTS_MAX

_JSON = "application/json"
_EVENTS = Listing("line_events", tuple[int, int], size_default=PAGE_EVENTS_MAX)
_PageSize = Annotated[
    int | None, QueryParameter(name="pageSize", description="Events on a page, normally 50.", ge=1, le=PAGE_EVENTS_MAX)
]


class LineEventsResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the events that a line is made of, newest received first; `nextToken` is null on the last one."""

    events: Sequence[EventWithStatus]
    next_token: str | None


@reading(
    "/invoices/{invoice_id:str}/proof",
    operation_id="getInvoiceProof",
    summary="What an issued invoice was computed from, as a file to compute it again from",
    tag="Invoices",
    also={
        HTTPStatus.OK.value: ResponseSpec(
            data_container=bytes, media_type=_JSON, description="The file.", generate_examples=False
        )
    },
)
def get_invoice_proof(invoice_id: FromPath[str], identity: Caller, dependencies: Connected) -> Response[bytes]:
    proof = prove(dependencies.database, dependencies.events, identity.organisation_id, invoice_id)
    name = f'attachment; filename="{proof.invoice.invoice_id}.proof.json"'
    return Response(proof_file(proof), media_type=_JSON, headers={"Content-Disposition": name})


@reading(
    "/invoices/{invoice_id:str}/lines/{line_id:str}/events",
    operation_id="listInvoiceLineEvents",
    summary="List the events that a line of usage is made of, newest received first",
    tag="Invoices",
)
def list_invoice_line_events(
    invoice_id: FromPath[str],
    line_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: _PageSize = None,
) -> LineEventsResponse:
    page = _EVENTS.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"invoice_id": invoice_id, "line_id": line_id},
    )
    invoice = Billing(dependencies.database).invoice(identity.organisation_id, invoice_id, now=datetime.now(UTC))
    rows, last = events_of_line(
        dependencies.database,
        dependencies.events,
        identity.organisation_id,
        invoice,
        line_id,
        before=page.after,
        limit=page.size,
    )
    return LineEventsResponse(
        events=[with_status(row) for row in rows], next_token=_EVENTS.token(dependencies, identity, page, last)
    )


ROUTES = (get_invoice_proof, list_invoice_line_events)
