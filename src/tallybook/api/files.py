"""Files: invoices as PDF, read with a key or by a link that needs none.

A finalised invoice has one file. It is made when it is read, and always the same as long as the paper is.
"""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from tallybook.api.file_links import LINK_SECONDS_DEFAULT, Links
from tallybook.api.handling import ERRORS, Caller, Connected, Dependencies, reading
from tallybook.api.parameters import refuse_strange_parameters
from tallybook.core.errors import NotFound
from tallybook.core.invoice import Invoice
from tallybook.core.invoice_file import TOKEN_CHARACTERS_MAX, invoice_id_of, opened
from tallybook.flows.bill import Billing

LINK_SECONDS_MAX = 7 * 86_400
_PDF = "application/pdf"
_A_PDF = {
    HTTPStatus.OK.value: ResponseSpec(
        data_container=bytes, media_type=_PDF, description="The invoice.", generate_examples=False
    )
}
_ELSEWHERE = {
    HTTPStatus.FOUND.value: ResponseSpec(
        data_container=None, description="It is where the header `Location` says.", generate_examples=False
    )
}


class FileDownloadUrlResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An address that gives the file to whoever has it, until it expires."""

    download_url: str


@reading(
    "/invoices/{invoice_id:str}/pdf",
    operation_id="getInvoicePdf",
    summary="An invoice, or a draft, as PDF",
    tag="Invoices",
    also=_A_PDF,
)
def get_invoice_pdf(
    invoice_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    working: Annotated[
        bool | None, QueryParameter(name="working", description="true: with every slab, and the usage billed.")
    ] = None,
) -> Response[bytes]:
    invoice = Billing(dependencies.database).invoice(identity.organisation_id, invoice_id, now=datetime.now(UTC))
    return _printed(dependencies, identity.organisation_id, invoice, working=bool(working))


@reading(
    "/files/{file_id:str}",
    operation_id="getFile",
    summary="Go to a file",
    tag="File Storage",
    status=HTTPStatus.FOUND,
    also=_ELSEWHERE,
)
def get_file(file_id: FromPath[str], identity: Caller, dependencies: Connected, file_links: Links) -> Response[bytes]:
    _invoice_of(dependencies, identity.organisation_id, file_id)
    url = file_links.url(file_id, seconds=LINK_SECONDS_DEFAULT)
    return Response(b"", status_code=HTTPStatus.FOUND, headers={"Location": url})


@reading(
    "/files/{file_id:str}/download_url",
    operation_id="getDownloadUrl",
    summary="A link to a file that needs no key",
    tag="File Storage",
)
def get_download_url(
    file_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    file_links: Links,
    expiry: Annotated[
        int | None,
        QueryParameter(
            name="expiry",
            description=f"Seconds until it expires, normally {LINK_SECONDS_DEFAULT}.",
            ge=1,
            le=LINK_SECONDS_MAX,
        ),
    ] = None,
) -> FileDownloadUrlResponse:
    _invoice_of(dependencies, identity.organisation_id, file_id)
    return FileDownloadUrlResponse(download_url=file_links.url(file_id, seconds=expiry or LINK_SECONDS_DEFAULT))


@get(
    "/files/{file_id:str}/content",
    sync_to_thread=True,
    guards=[refuse_strange_parameters],
    operation_id="getFileContent",
    summary="A file, for whoever has a link to it",
    tags=["File Storage"],
    responses={**ERRORS, **_A_PDF},
    security=[{}],
)
def get_file_content(
    file_id: FromPath[str],
    dependencies: Connected,
    token: Annotated[
        str, QueryParameter(name="token", description="As it stands in the link.", max_length=TOKEN_CHARACTERS_MAX)
    ],
) -> Response[bytes]:
    secret = dependencies.authenticator.signing_secret()
    link = opened(token, file_id=file_id, secret=secret, now=datetime.now(UTC))
    invoice = _invoice_of(dependencies, link.organisation_id, file_id)
    return _printed(dependencies, link.organisation_id, invoice, working=False)


ROUTES = (get_invoice_pdf, get_file, get_download_url, get_file_content)


def _invoice_of(dependencies: Dependencies, organisation_id: str, file_id: str) -> Invoice:
    """The finalised invoice whose file that is. Raises `NotFound`."""
    missing = NotFound(f"no file {file_id!r}")
    invoice_id = invoice_id_of(file_id)
    if invoice_id is None:
        raise missing
    try:
        invoice = Billing(dependencies.database).invoice(organisation_id, invoice_id, now=datetime.now(UTC))
    except NotFound:
        raise missing from None
    if invoice.issued_at is None:
        raise missing
    return invoice


def _printed(dependencies: Dependencies, organisation_id: str, invoice: Invoice, *, working: bool) -> Response[bytes]:
    pdf = dependencies.press.invoice_pdf(dependencies.database, organisation_id, invoice, working=working)
    return Response(
        pdf,
        media_type=_PDF,
        headers={
            "Content-Disposition": f'inline; filename="{invoice.invoice_id}.pdf"',
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
        },
    )
