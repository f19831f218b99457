"""Pages of lists: how many items, and a token that says where the next page starts.

A token holds the size of the page, the filters and the position of the last item, and is signed for one list of one
organisation: it is opaque to clients, and a changed one is refused. It never expires.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

from tallybook.api.handling import PAGE_SIZE_DEFAULT, Dependencies
from tallybook.core.credential import Identity
from tallybook.core.errors import Invalid

TOKEN_CHARACTERS_MAX = 500  # the interface's limit
_SIGNATURE_BYTES = 16

P = TypeVar("P")


class PageRequest(msgspec.Struct, Generic[P], frozen=True, kw_only=True):
    """What page is asked for: `after` is the position of the last item seen, None for the first page."""

    size: int
    filters: Mapping[str, str]
    after: P | None


class Listing(Generic[P]):
    """A list that can be paged through; `position` is the type of a place in it, a struct or a tuple."""

    def __init__(self, name: str, position: type[P], *, size_default: int = PAGE_SIZE_DEFAULT) -> None:
        self._name = name
        self._size_default = size_default
        # A type that arrives as a value is beyond the checker; msgspec takes it.
        self._contents = msgspec.json.Decoder(tuple[int, dict[str, str], position])  # type: ignore[valid-type]

    def asked(
        self,
        dependencies: Dependencies,
        identity: Identity,
        *,
        next_token: str | None,
        page_size: int | None,
        filters: Mapping[str, str | None] | None = None,
    ) -> PageRequest[P]:
        """The page that a request asks for. With a token, size and filters need not be repeated. Raises `Invalid`."""
        given = {name: value for name, value in (filters or {}).items() if value is not None}
        if next_token is None:
            return PageRequest(size=page_size or self._size_default, filters=given, after=None)
        size, kept, after = self._contents.decode(self._opened(dependencies, identity, next_token))
        if any(kept.get(name) != value for name, value in given.items()):
            raise Invalid("nextToken: belongs to a list with other filters; leave the filters out, or the token")
        return PageRequest(size=page_size or size, filters=kept, after=after)

    def token(self, dependencies: Dependencies, identity: Identity, page: PageRequest[P], last: P | None) -> str | None:
        """The token for the page behind the one that ends at `last`; None when that was the last page."""
        if last is None:
            return None
        contents = msgspec.json.encode((page.size, page.filters, last))
        sealed = self._signature(dependencies, identity, contents) + contents
        token = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise Invalid("the filters are too long to page through the list; use fewer or shorter ones")
        return token

    def _opened(self, dependencies: Dependencies, identity: Identity, token: str) -> bytes:
        try:
            sealed = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _bad_token() from None
        signature, contents = sealed[:_SIGNATURE_BYTES], sealed[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(dependencies, identity, contents)):
            raise _bad_token()
        return contents

    def _signature(self, dependencies: Dependencies, identity: Identity, contents: bytes) -> bytes:
        place = msgspec.json.encode(["page", self._name, identity.organisation_id])
        secret = dependencies.authenticator.signing_secret()
        return hmac.digest(secret, place + b"\0" + contents, hashlib.sha256)[:_SIGNATURE_BYTES]


def _bad_token() -> Invalid:
    return Invalid("nextToken: not one that this list gave out; start again without it", code="INVALID_TOKEN")
