"""What may be asked of `POST /metrics`, and how figures become series: in buckets of time, or by billing cycle.

Buckets begin on UTC boundaries, weeks on Monday; a window is widened to whole hours. Figures of cycles stand at the
start of their cycle, whatever the length of a bucket. Nothing here reads: the figures arrive as values.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Invalid
from tallybook.core.ingestion_status import EventStatusGroup, IngestionStatus
from tallybook.core.instant import HOUR, MICROSECONDS_PER_HOUR, hour_at, hours_since_1970, microseconds_since_1970

POINTS_MAX = 300  # the interface's limit for one series
SERIES_MAX = 1000  # a group by account of a large organisation would be a download, not a chart


class MetricName(StrEnum):
    """What is asked for. METER_USAGE is the later name of USAGE; named licences are not there yet."""

    EVENTS = "EVENTS"
    USAGE = "USAGE"
    METER_USAGE = "METER_USAGE"
    REVENUE = "REVENUE"
    USAGE_FOR_CYCLE = "USAGE_FOR_CYCLE"
    REVENUE_FOR_CYCLE = "REVENUE_FOR_CYCLE"
    NAMED_LICENSE_USAGE = "NAMED_LICENSE_USAGE"


CYCLE_METRICS = frozenset({MetricName.USAGE_FOR_CYCLE, MetricName.REVENUE_FOR_CYCLE})
REVENUE_METRICS = frozenset({MetricName.REVENUE, MetricName.REVENUE_FOR_CYCLE})


class Period(StrEnum):
    """The length of a bucket."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


class Field(StrEnum):
    """What a query filters and groups by. BILLABLE_ID is the later name of USAGE_METER_ID."""

    ACCOUNT_ID = "ACCOUNT_ID"
    CUSTOMER_ID = "CUSTOMER_ID"
    USAGE_METER_ID = "USAGE_METER_ID"
    BILLABLE_ID = "BILLABLE_ID"
    SCHEMA_NAME = "SCHEMA_NAME"
    EVENT_STATUS = "EVENT_STATUS"
    RAW_EVENT_STATUS = "RAW_EVENT_STATUS"
    ORGANIZATION_ID = "ORGANIZATION_ID"


_ACCOUNTS = frozenset({Field.ACCOUNT_ID, Field.CUSTOMER_ID})
_EVENT_GROUPS = _ACCOUNTS | {Field.SCHEMA_NAME, Field.EVENT_STATUS, Field.RAW_EVENT_STATUS}
_EVENT_FILTERS = _ACCOUNTS | {Field.SCHEMA_NAME, Field.EVENT_STATUS, Field.ORGANIZATION_ID}
_METER_GROUPS = _ACCOUNTS | {Field.USAGE_METER_ID, Field.BILLABLE_ID}
_METER_FILTERS = _METER_GROUPS | {Field.ORGANIZATION_ID}


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: over `[start, end)`, in buckets of `period`, of what the filters let through."""

    name: MetricName
    start: datetime
    end: datetime
    period: Period
    group_by: Field | None = None
    filters: Mapping[Field, Sequence[str]] = {}
    in_invoice_currency: bool = False
    points_max: int = POINTS_MAX


class Figure(msgspec.Struct, frozen=True):
    """A value at an hour (hours since 1970) that belongs to a group; the group is empty when nothing is grouped."""

    group: str
    hour: int
    value: Decimal


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one group (None: of everything), one for each bucket or cycle start."""

    group: str | None
    starts: Sequence[datetime]
    values: Sequence[Decimal]


def check_query(query: Query, *, organisation_id: str) -> None:
    """Refuse what cannot be answered. Raises `Invalid`, naming what to change."""
    if query.name is MetricName.NAMED_LICENSE_USAGE:
        raise Invalid("name: NAMED_LICENSE_USAGE is not supported; leave the query out", code="UNSUPPORTED")
    of_events = query.name is MetricName.EVENTS
    _check_fields(query.name, query.filters, _EVENT_FILTERS if of_events else _METER_FILTERS, "filtered")
    if query.group_by is not None:
        _check_fields(query.name, [query.group_by], _EVENT_GROUPS if of_events else _METER_GROUPS, "grouped")
    if len(query.filters.get(Field.SCHEMA_NAME, ())) > 1:
        raise Invalid("filters: one SCHEMA_NAME at the most")
    if set(query.filters.get(Field.ORGANIZATION_ID, ())) - {organisation_id}:
        raise Invalid("filters: ORGANIZATION_ID can only be the organisation of the credential; leave it out")
    known = {*EventStatusGroup, *IngestionStatus}
    for status in query.filters.get(Field.EVENT_STATUS, ()):
        if status not in known:
            raise Invalid(f"filters: {status[:60]!r} is not an event status")
    if query.start >= query.end:
        raise Invalid("endTime: must be later than startTime")


def _check_fields(name: MetricName, fields: Iterable[Field], allowed: frozenset[Field], how: str) -> None:
    for field in fields:
        if field not in allowed:
            choices = ", ".join(sorted(allowed))
            raise Invalid(f"{name.value} cannot be {how} by {field.value}; choose among {choices}")


# ---- buckets of time ---------------------------------------------------------------------------------------------


def bucket_edges(query: Query) -> list[datetime]:
    """The boundaries of the buckets: the first and the last are the window's, on whole hours. Raises `Invalid`."""
    start = hour_at(hours_since_1970(query.start))
    end = hour_at(-(-microseconds_since_1970(query.end) // MICROSECONDS_PER_HOUR))
    edges = [start]
    while edges[-1] < end:
        if len(edges) > query.points_max:
            raise Invalid(f"more than {query.points_max} points; choose a longer aggregationPeriod or a shorter time")
        edges.append(min(_next_boundary(edges[-1], query.period), end))
    return edges


def _next_boundary(instant: datetime, period: Period) -> datetime:
    midnight = instant.replace(hour=0)
    match period:
        case Period.HOUR:
            return instant + HOUR
        case Period.DAY:
            return midnight + timedelta(days=1)
        case Period.WEEK:
            return midnight + timedelta(days=7 - midnight.weekday())
        case Period.MONTH:
            return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


class Buckets:
    """Which bucket an hour is in."""

    def __init__(self, edges: Sequence[datetime]) -> None:
        self._starts = [hours_since_1970(edge) for edge in edges[:-1]]

    def start_of(self, hour: int) -> int:
        """The hour at which the bucket that holds `hour` starts; `hour` must not be before the first."""
        return self._starts[bisect_right(self._starts, hour) - 1]


# ---- series ------------------------------------------------------------------------------------------------------


def bucket_series(figures: Iterable[Figure], edges: Sequence[datetime], *, grouped: bool) -> list[Series]:
    """A value for every bucket, zero where there is no figure; figures stand at the starts of their buckets."""
    starts = [hours_since_1970(edge) for edge in edges[:-1]]
    sums = _sums(figures, grouped=grouped)
    return [
        Series(group=_shown(group, grouped), starts=edges[:-1], values=[at.get(start, ZERO) for start in starts])
        for group, at in sorted(sums.items())
    ]


def cycle_series(figures: Iterable[Figure], *, grouped: bool, points_max: int) -> list[Series]:
    """A value for every cycle start that has a figure. Raises `Invalid` when there are too many."""
    series = []
    for group, at in sorted(_sums(figures, grouped=grouped).items()):
        if len(at) > points_max:
            raise Invalid(f"more than {points_max} cycles begin in that time; choose a shorter one")
        hours = sorted(at)
        series.append(
            Series(
                group=_shown(group, grouped),
                starts=[hour_at(hour) for hour in hours],
                values=[at[hour] for hour in hours],
            )
        )
    return series


def _sums(figures: Iterable[Figure], *, grouped: bool) -> dict[str, dict[int, Decimal]]:
    """The figures by group and hour, added up; without grouping there is one group, also when it is empty."""
    sums: dict[str, dict[int, Decimal]] = {} if grouped else {"": {}}
    for figure in figures:
        at = sums.setdefault(figure.group, {})
        if len(sums) > SERIES_MAX:
            raise Invalid(f"groupBy: more than {SERIES_MAX} groups; filter them")
        at[figure.hour] = EXACT.add(at.get(figure.hour, ZERO), figure.value)
    return sums


def _shown(group: str, grouped: bool) -> str | None:
    return group if grouped else None
