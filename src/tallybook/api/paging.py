"""Pages of lists: how many items, which of them, in which order, and a token that says where the next page starts.

A token holds the size of the page, the query and the place of the last item, and is signed for one list of one
organisation, or of something in it: it is opaque to clients, and a changed one is refused. It never expires.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Generic, TypeVar

import msgspec

from tallybook.api.handling import PAGE_SIZE_DEFAULT, Dependencies
from tallybook.core.credential import Identity
from tallybook.core.errors import Invalid
from tallybook.storage.pages import ListedTable, PageRequest, Place, SortKey

TOKEN_CHARACTERS_MAX = 500  # the interface's limit
SORT_KEYS_MAX = 3  # each has its value in the token
_TOKEN_FORMAT = 2  # goes into the signature, so tokens of another format are refused like changed ones
_SIGNATURE_BYTES = 16
_DESCENDING = {"asc": False, "desc": True}

P = TypeVar("P")


class SortOrder(Enum):
    """Which way a list goes by what it is sorted by first."""

    ASC = "ASC"
    DESC = "DESC"


class PageContext(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What page was given: up to how many items, and which way they are sorted."""

    page_size: int
    sort_order: SortOrder

    @classmethod
    def of(cls, page: PageRequest[Place]) -> "PageContext":
        """The context of that page of a table's rows."""
        return cls(page_size=page.size, sort_order=SortOrder.DESC if page.order[0].descending else SortOrder.ASC)


class Listing(Generic[P]):
    """A list that can be paged through; `position` is the type of a place in it, a struct or a tuple.

    `combinations` are the sets of filters that may be given together, any at all if it is None; a filter that alone is
    no combination needs another beside it.
    """

    def __init__(
        self,
        name: str,
        position: type[P],
        *,
        size_default: int = PAGE_SIZE_DEFAULT,
        combinations: Collection[Collection[str]] | None = None,
        sorts: Collection[str] = (),
        order: Sequence[SortKey] = (),
    ) -> None:
        self._name = name
        self._size_default = size_default
        self._combinations = None if combinations is None else [frozenset(each) for each in combinations]
        self._sorts = tuple(sorts)
        self._order = tuple(order)
        contents = tuple[
            int,
            dict[str, str],
            tuple[SortKey, ...],
            str | None,
            position,  # type: ignore[valid-type]  # a type that arrives as a value is beyond the checker; msgspec takes it
        ]
        self._contents = msgspec.json.Decoder(contents)

    def asked(
        self,
        dependencies: Dependencies,
        identity: Identity,
        *,
        next_token: str | None,
        page_size: int | None,
        filters: Mapping[str, str | None] | None = None,
        sort: str | None = None,
        search: str | None = None,
        within: str = "",
    ) -> PageRequest[P]:
        """The page that a request asks for. With a token, size and query need not be repeated. Raises `Invalid`."""
        given = {name: value for name, value in (filters or {}).items() if value is not None}
        self._check_combination(given)
        order = self._order if sort is None else self._order_of(sort)
        if next_token is None:
            size = page_size or self._size_default
            return PageRequest(size=size, filters=given, order=order, search=search or None, within=within, after=None)
        page = self._continued(dependencies, identity, next_token, page_size, within)
        if (
            any(page.filters.get(name) != value for name, value in given.items())
            or (sort is not None and page.order != order)
            or (search is not None and (page.search or "") != search)
        ):
            raise Invalid("nextToken: belongs to a list with other filters; leave the filters out, or the token")
        return page

    def token(self, dependencies: Dependencies, identity: Identity, page: PageRequest[P], last: P | None) -> str | None:
        """The token for the page behind the one that ends at `last`; None when that was the last page."""
        if last is None:
            return None
        contents = msgspec.json.encode((page.size, page.filters, page.order, page.search, last))
        sealed = self._signature(dependencies, identity, page.within, contents) + contents
        token = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise Invalid("the filters are too long to page through the list; use fewer or shorter ones")
        return token

    def _check_combination(self, given: Mapping[str, str]) -> None:
        if not given or self._combinations is None or frozenset(given) in self._combinations:
            return
        legal = " | ".join("+".join(sorted(each)) for each in self._combinations)
        raise Invalid(
            f"the filters {', '.join(sorted(given))} cannot be given together; legal combinations: {legal}",
            code="FILTER_COMBINATION",
        )

    def _order_of(self, text: str) -> tuple[SortKey, ...]:
        """The order that a request asks for; what is equal in it is in the default order, in which nothing is equal."""
        keys = [self._sort_key(part.strip()) for part in text.split(",")]
        fields = [key.field for key in keys]
        if len(keys) > SORT_KEYS_MAX or len(set(fields)) < len(fields):
            raise Invalid(f"_sort: at most {SORT_KEYS_MAX} different fields")
        return (*keys, *(key for key in self._order if key.field not in fields))

    def _sort_key(self, text: str) -> SortKey:
        field, _, direction = text.partition(":")
        descending = _DESCENDING.get(direction.lower() or "asc")
        if field not in self._sorts or descending is None:
            raise Invalid(
                f"_sort: {text[:60]!r} is not one of {', '.join(self._sorts)}, with :asc or :desc behind it or without"
            )
        return SortKey(field, descending)

    def _continued(
        self, dependencies: Dependencies, identity: Identity, token: str, page_size: int | None, within: str
    ) -> PageRequest[P]:
        contents = self._opened(dependencies, identity, within, token)
        try:
            size, filters, order, search, after = self._contents.decode(contents)
        except msgspec.ValidationError:  # a list that changed since
            raise _bad_token() from None
        if any(key.field not in self._sorts for key in order):
            raise _bad_token()
        return PageRequest(
            size=page_size or size, filters=filters, order=order, search=search, within=within, after=after
        )

    def _opened(self, dependencies: Dependencies, identity: Identity, within: str, token: str) -> bytes:
        try:
            sealed = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _bad_token() from None
        signature, contents = sealed[:_SIGNATURE_BYTES], sealed[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(dependencies, identity, within, contents)):
            raise _bad_token()
        return contents

    def _signature(self, dependencies: Dependencies, identity: Identity, within: str, contents: bytes) -> bytes:
        place = msgspec.json.encode(["page", _TOKEN_FORMAT, self._name, identity.organisation_id, within])
        secret = dependencies.authenticator.signing_secret()
        return hmac.digest(secret, place + b"\0" + contents, hashlib.sha256)[:_SIGNATURE_BYTES]


def table_listing(
    name: str,
    table: ListedTable,
    *,
    size_default: int = PAGE_SIZE_DEFAULT,
    combinations: Collection[Collection[str]] | None = None,
) -> Listing[Place]:
    """The list of a table's rows, sorted by what the table can be sorted by."""
    return Listing(
        name, Place, size_default=size_default, combinations=combinations, sorts=tuple(table.sorts), order=table.order
    )


def _bad_token() -> Invalid:
    return Invalid("nextToken: not one that this list gave out; start again without it", code="INVALID_TOKEN")
