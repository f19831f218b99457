"""The file of an invoice: its id, and links that open it for a while without a key.

A finalised invoice has one file. A link holds whose it is and when it expires, under a seal that nobody else can make.
"""

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

import msgspec

from tallybook.core.errors import Forbidden

TOKEN_CHARACTERS_MAX = 500  # the longest organisation's id, a number and a seal have a third of it
_INVOICE_PREFIX, _FILE_PREFIX = "inv.", "file."
_FORMAT = 1  # goes into the seal, so links of another format are refused like forged ones
_SEAL_BYTES = 32


class DownloadLink(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Whose file it opens, and until when (seconds since 1970). Which file stands in the address, and in the seal."""

    organisation_id: str
    expires: int


_link = msgspec.json.Decoder(DownloadLink)


def file_id_of(invoice_id: str) -> str:
    """The id of the invoice's file: the same under another prefix."""
    return _FILE_PREFIX + invoice_id.removeprefix(_INVOICE_PREFIX)


def invoice_id_of(file_id: str) -> str | None:
    """The id of the invoice whose file that would be; None when no file has such an id."""
    return _INVOICE_PREFIX + file_id.removeprefix(_FILE_PREFIX) if file_id.startswith(_FILE_PREFIX) else None


def sealed(link: DownloadLink, *, file_id: str, secret: bytes) -> str:
    """The link as text for an address, for that file alone."""
    contents = msgspec.json.encode(link)
    return base64.urlsafe_b64encode(_seal(contents, file_id, secret) + contents).rstrip(b"=").decode()


def opened(token: str, *, file_id: str, secret: bytes, now: datetime) -> DownloadLink:
    """The link that was sealed as `token` for that file. Raises `Forbidden` when it was not, or has expired."""
    try:
        both = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _not_ours() from None
    seal, contents = both[:_SEAL_BYTES], both[_SEAL_BYTES:]
    if not hmac.compare_digest(seal, _seal(contents, file_id, secret)):
        raise _not_ours()
    link = _link.decode(contents)
    if link.expires <= now.timestamp():
        raise Forbidden("this link has expired; ask whoever sent it for a new one", code="LINK_EXPIRED")
    return link


def _seal(contents: bytes, file_id: str, secret: bytes) -> bytes:
    place = msgspec.json.encode(["file", _FORMAT, file_id])
    return hmac.digest(secret, place + b"\0" + contents, hashlib.sha256)


def _not_ours() -> Forbidden:
    return Forbidden("this link was not made here, or was changed; ask whoever sent it for a new one", code="BAD_LINK")
