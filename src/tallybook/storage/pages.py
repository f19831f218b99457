"""Pages of lists that are tables: which rows, in which order, and where the next page starts.

A page starts behind the last row of the one before, by the values that the list is sorted by: rows that are added or
taken away meanwhile move nothing else. What may be asked for, and how it looks on the wire, is up to `api.paging`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Select, and_, func, or_

SORTED_CHARACTERS = 40  # of a name: a place in the list stands in a token, and that has room for little more

T = TypeVar("T")
P = TypeVar("P")

Place = tuple[int | str, ...]
"""The place of a row in a list: its values of what the list is sorted by, in that order."""

Condition = Callable[[str], ColumnElement[bool]]


class SortKey(msgspec.Struct, frozen=True, array_like=True):
    """One of the things that a list is sorted by."""

    field: str
    descending: bool = False


class PageRequest(msgspec.Struct, Generic[P], frozen=True, kw_only=True):
    """What page is asked for: `after` is the place of the last item seen, None for the first page.

    `order` is empty for lists that have but one, `search` is what the items must contain, and `within` is the id of
    whatever the list belongs to, if it does not belong to the organisation.
    """

    size: int
    filters: Mapping[str, str]
    order: tuple[SortKey, ...] = ()
    search: str | None = None
    within: str = ""
    after: P | None


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list; `next` is None on the last."""

    items: list[T]
    next: Place | None


class ListedTable:
    """How the rows of a table are filtered, searched and sorted.

    `sorts` are the expressions that the list can be sorted by, none of them ever null, by the names that requests use;
    `order`, the default, tells any two rows apart. `searched` are the columns that a search looks through.
    """

    def __init__(
        self,
        *,
        sorts: Mapping[str, ColumnElement[Any]],
        order: Sequence[SortKey],
        filters: Mapping[str, Condition] | None = None,
        searched: Sequence[Column[Any]] = (),
    ) -> None:
        assert all(key.field in sorts for key in order), "the default order is made of what can be sorted by"
        self.sorts = sorts
        self.order = tuple(order)
        self.searched = tuple(searched)
        self._filters = filters or {}

    def page(self, connection: Connection, query: Select[Any], page: PageRequest[Place]) -> Page[RowMapping]:
        """The page of the rows of `query`. Filters that the list does not have are the caller's mistake."""
        order = page.order or self.order
        for name, value in page.filters.items():
            query = query.where(self._filters[name](value))
        if page.search is not None:
            query = query.where(or_(*(column.icontains(page.search, autoescape=True) for column in self.searched)))
        if page.after is not None:
            query = query.where(self._behind(order, page.after))
        query = query.order_by(*(self._sorted(key) for key in order))
        query = query.add_columns(*(self.sorts[key.field].label(_label(index)) for index, key in enumerate(order)))
        rows = list(connection.execute(query.limit(page.size + 1)).mappings())  # one more tells whether a page follows
        if len(rows) <= page.size:
            return Page(items=rows, next=None)
        last = rows[page.size - 1]
        return Page(items=rows[: page.size], next=tuple(last[_label(index)] for index in range(len(order))))

    def _sorted(self, key: SortKey) -> ColumnElement[Any]:
        expression = self.sorts[key.field]
        return expression.desc() if key.descending else expression.asc()

    def _behind(self, order: Sequence[SortKey], place: Place) -> ColumnElement[bool]:
        """The condition that a row comes after that place."""
        assert len(place) == len(order), "a place has a value for each sort key"
        return or_(*(self._first_apart(order[: index + 1], place[: index + 1]) for index in range(len(order))))

    def _first_apart(self, keys: Sequence[SortKey], place: Place) -> ColumnElement[bool]:
        """The condition that a row is like the place but for the last of these keys, by which it comes after."""
        *same, apart = zip(keys, place, strict=True)
        key, value = apart
        expression = self.sorts[key.field]
        later = expression < value if key.descending else expression > value
        return and_(*(self.sorts[equal.field] == its for equal, its in same), later)


def equals(column: ColumnElement[Any]) -> Condition:
    """The filter that takes the rows that have the value in the column."""
    return lambda value: column == value


def sorted_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """What a list is sorted by when it is sorted by a text that may be long: its beginning."""
    return func.substr(column, 1, SORTED_CHARACTERS)


def _label(index: int) -> str:
    return f"sorted_by_{index}"
