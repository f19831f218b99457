"""Usage of many accounts, added up over spans of hours: one row for each account, meter and span.

The database joins the units of a span as text, which are then added up here, exactly. What an aggregation keeps of
single events (see `core.aggregation`) is read beside that.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from functools import reduce
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, String, Table, func, select, type_coerce

from tallybook.core.aggregation import DISTINCT_MARK, Usage
from tallybook.core.decimals import EXACT
from tallybook.storage.tables import usage, usage_value

SPANS_MAX = 800  # a day each over two years, or the cycles of two plans over one
_SEPARATOR = ","

SummedUsage = dict[str, dict[str, dict[int, Usage]]]
"""By account id, meter id, and number of the span; what has no usage is not there."""


def usage_sums(
    connection: Connection,
    organisation_id: str,
    *,
    account_ids: Collection[str],
    meter_ids: Collection[str],
    valued_meter_ids: Collection[str],
    edges: Sequence[int],
) -> SummedUsage:
    """Usage of the accounts and meters in each span between two `edges`, ascending hours since 1970.

    Values are read for `valued_meter_ids` alone. A few statements for each span, however many accounts there are.
    """
    assert len(edges) <= SPANS_MAX + 1, "a caller takes a bounded time"
    found: SummedUsage = {}
    for number, (start, end) in enumerate(pairwise(edges)):
        wanted = _Wanted(organisation_id, account_ids, meter_ids, start, end)
        valued = _Wanted(organisation_id, account_ids, valued_meter_ids, start, end)
        values = _values(connection, valued) if valued_meter_ids else {}
        for account_id, meter_id, units, event_count in connection.execute(_joined(wanted)):
            found.setdefault(account_id, {}).setdefault(meter_id, {})[number] = Usage(
                units=_added(units),
                event_count=int(event_count),
                values=frozenset(values.get((account_id, meter_id), ())),
            )
    return found


class _Wanted:
    """Which rows of a table are added up."""

    def __init__(
        self, organisation_id: str, account_ids: Iterable[str], meter_ids: Iterable[str], start: int, end: int
    ) -> None:
        self._organisation_id = organisation_id
        self._account_ids = sorted(account_ids)
        self._meter_ids = sorted(meter_ids)
        self._start, self._end = start, end

    def of(self, table: Table) -> tuple[ColumnElement[bool], ...]:
        return (
            table.c.organisation_id == self._organisation_id,
            table.c.account_id.in_(self._account_ids),
            table.c.meter_id.in_(self._meter_ids),
            table.c.event_hour >= self._start,
            table.c.event_hour < self._end,
        )


def _joined(wanted: _Wanted) -> Select[Any]:
    """By account and meter: the units of all rows in one text, and the events."""
    places = (usage.c.account_id, usage.c.meter_id)
    units = func.aggregate_strings(type_coerce(usage.c.units, String), _SEPARATOR)
    return select(*places, units, func.sum(usage.c.event_count)).where(*wanted.of(usage)).group_by(*places)


def _added(units: str) -> Decimal:
    parts = units.split(_SEPARATOR)
    if "." in units:
        return reduce(EXACT.add, map(Decimal, parts))
    return Decimal(sum(map(int, parts)))  # twice as fast, and whole numbers are the usual case


def _values(connection: Connection, wanted: _Wanted) -> dict[tuple[str, str], set[str]]:
    """Values by account and meter: all that are to be counted, each once, and the least and the greatest of others."""
    kept = usage_value.c
    places = (kept.account_id, kept.meter_id)
    extremes = select(*places, func.min(kept.value), func.max(kept.value)).where(kept.value < DISTINCT_MARK)
    counted = select(*places, kept.value).where(kept.value >= DISTINCT_MARK).distinct()
    found: dict[tuple[str, str], set[str]] = {}
    for query in (extremes.group_by(*places), counted):
        for account_id, meter_id, *values in connection.execute(query.where(*wanted.of(usage_value))):
            found.setdefault((account_id, meter_id), set()).update(values)
    return found
