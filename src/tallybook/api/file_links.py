"""Links to files that need no key: made for the organisation that asks, at the address by which it reached us."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from litestar import Request
from litestar.di import NamedDependency

from tallybook.api.handling import Dependencies
from tallybook.core.errors import Invalid
from tallybook.core.invoice import Invoice
from tallybook.core.invoice_file import DownloadLink, file_id_of, sealed

LINK_SECONDS_DEFAULT = 3600  # the interface's
_LINK_SECONDS_STEP = 600  # so that an invoice that is read twice has the same link, mostly
_HOST = re.compile(r"[A-Za-z0-9._\-]{1,255}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?", re.ASCII)


class FileLinks:
    """Makes the links of one organisation's files."""

    def __init__(self, organisation_id: str, *, address: Callable[[], str], secret: Callable[[], bytes]) -> None:
        self._organisation_id = organisation_id
        self._address = address
        self._secret = secret

    def pdf_url(self, invoice: Invoice) -> str | None:
        """A link to the invoice's file, good for an hour or a little more; a draft has no file."""
        if invoice.issued_at is None:
            return None
        expires = int(datetime.now(UTC).timestamp()) + LINK_SECONDS_DEFAULT
        return self._url(file_id_of(invoice.invoice_id), expires + -expires % _LINK_SECONDS_STEP)

    def url(self, file_id: str, *, seconds: int) -> str:
        """A link to the file that is good for so long from now."""
        return self._url(file_id, int(datetime.now(UTC).timestamp()) + seconds)

    def _url(self, file_id: str, expires: int) -> str:
        link = DownloadLink(organisation_id=self._organisation_id, expires=expires)
        token = sealed(link, file_id=file_id, secret=self._secret())
        return f"{self._address()}/files/{file_id}/content?token={token}"


Links = NamedDependency[FileLinks]


def provide_file_links(request: Request[Any, Any, Any]) -> FileLinks:
    """Links for the organisation that calls."""
    dependencies: Dependencies = request.app.state.dependencies
    return FileLinks(
        request.scope["user"].organisation_id,
        address=lambda: dependencies.settings.public_url.rstrip("/") or _address_of(request),
        secret=dependencies.authenticator.signing_secret,
    )


def _address_of(request: Request[Any, Any, Any]) -> str:
    """Scheme and host as the request names them. Raises `Invalid` when that is no host."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise Invalid(f"the header Host names no host that a link could lead to; found {host[:60]!r}")
    return f"{request.scope['scheme']}://{host}"
