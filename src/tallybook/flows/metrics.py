"""Figures over time for `POST /metrics`: events, usage and revenue in buckets of an hour, a day, a week or a month.

Everything is answered from the hourly rows that invoices are computed from, so a dashboard cannot disagree with an
invoice. Buckets begin on UTC boundaries, weeks on Monday; a window is widened to whole hours.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from tallybook.core.account import Account
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Invalid
from tallybook.core.ingestion_status import EventStatusGroup, IngestionStatus, group_of
from tallybook.core.instant import HOUR, MICROSECONDS_PER_HOUR, hour_at, hours_since_1970, microseconds_since_1970
from tallybook.flows.bill import Billing
from tallybook.flows.query import Events
from tallybook.storage.catalog import Catalog
from tallybook.storage.usage import CountRow, UsageStore

POINTS_MAX = 300  # the interface's limit for one series
SERIES_MAX = 1000  # a group by account of a large organisation would be a download, not a chart
ACCOUNTS_PER_READ = 500
REVENUE_ACCOUNTS_MAX = 1000  # each account's cycles are priced for the answer


class MetricName(StrEnum):
    """What is asked for. METER_USAGE is the later name of USAGE."""

    EVENTS = "EVENTS"
    USAGE = "USAGE"
    METER_USAGE = "METER_USAGE"
    REVENUE = "REVENUE"


class Period(StrEnum):
    """The length of a bucket."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


class Field(StrEnum):
    """What a query filters and groups by."""

    ACCOUNT_ID = "ACCOUNT_ID"
    CUSTOMER_ID = "CUSTOMER_ID"
    USAGE_METER_ID = "USAGE_METER_ID"
    SCHEMA_NAME = "SCHEMA_NAME"
    EVENT_STATUS = "EVENT_STATUS"
    RAW_EVENT_STATUS = "RAW_EVENT_STATUS"


_EVENT_FIELDS = frozenset(Field) - {Field.USAGE_METER_ID}
_USAGE_FIELDS = frozenset({Field.ACCOUNT_ID, Field.CUSTOMER_ID, Field.USAGE_METER_ID})


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One figure: over `[start, end)`, in buckets of `period`, of what the filters let through."""

    name: MetricName
    start: datetime
    end: datetime
    period: Period
    group_by: Field | None = None
    filters: Mapping[Field, Sequence[str]] = {}
    in_invoice_currency: bool = False


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one group (None: of everything), one for each bucket."""

    group: str | None
    buckets: Sequence[datetime]
    values: Sequence[Decimal]


class Figure(msgspec.Struct, frozen=True):
    """A value at an hour (hours since 1970) that belongs to a group."""

    group: str
    hour: int
    value: Decimal


class Metrics:
    """Answers metric queries of every organisation."""

    def __init__(self, catalog: Catalog, usage_store: UsageStore, events: Events, billing: Billing) -> None:
        self._catalog = catalog
        self._usage_store = usage_store
        self._events = events
        self._billing = billing

    def answer(self, organisation_id: str, query: Query) -> list[Series]:
        """The series of a query; without `group_by` exactly one. Raises `Invalid`, naming what to change."""
        _check(query)
        edges = _edges(query)
        match query.name:
            case MetricName.EVENTS:
                figures = self._event_figures(organisation_id, query, edges)
            case MetricName.USAGE | MetricName.METER_USAGE:
                figures = self._usage_figures(organisation_id, query, edges)
            case MetricName.REVENUE:
                figures = self._revenue_figures(organisation_id, query, edges)
        return _series(figures, edges, grouped=query.group_by is not None)

    def _event_figures(self, organisation_id: str, query: Query, edges: Sequence[datetime]) -> Iterable[Figure]:
        wanted = query.filters.get(Field.EVENT_STATUS) or (EventStatusGroup.PROCESSED, EventStatusGroup.UNPROCESSED)
        accounts = self._accounts(organisation_id, query)
        rows = self._usage_store.counts_by_hour(
            organisation_id,
            account_ids=None if accounts is None else list(accounts),
            schema_names=query.filters.get(Field.SCHEMA_NAME, ()),
            start=edges[0],
            end=edges[-1],
        )
        if {EventStatusGroup.IN_PROGRESS, IngestionStatus.IN_PROGRESS} & set(wanted):
            rows += self._in_progress(organisation_id, query, edges, accounts)
        customers = self._customers(organisation_id, query)
        for row in rows:
            status = IngestionStatus(row.status)
            group = group_of(status)
            if status in wanted or group in wanted:
                groups = {
                    None: "",
                    Field.ACCOUNT_ID: row.account_id,
                    Field.CUSTOMER_ID: customers.get(row.account_id, ""),
                    Field.SCHEMA_NAME: row.schema_name,
                    Field.EVENT_STATUS: group.value,
                    Field.RAW_EVENT_STATUS: status.value,
                }
                yield Figure(groups[query.group_by], row.event_hour, Decimal(row.event_count))

    def _in_progress(
        self, organisation_id: str, query: Query, edges: Sequence[datetime], accounts: Collection[str] | None
    ) -> list[CountRow]:
        schemas = query.filters.get(Field.SCHEMA_NAME)
        return [
            CountRow(
                account_id=row.account_reference,
                event_hour=row.event_time // MICROSECONDS_PER_HOUR,
                schema_name=row.schema_name,
                status=row.status,
                event_count=1,
            )
            for row in self._events.in_progress(organisation_id)
            if (accounts is None or row.account_reference in accounts)
            and (not schemas or row.schema_name in schemas)
            and hours_since_1970(edges[0]) <= row.event_time // MICROSECONDS_PER_HOUR < hours_since_1970(edges[-1])
        ]

    def _usage_figures(self, organisation_id: str, query: Query, edges: Sequence[datetime]) -> Iterable[Figure]:
        accounts = self._accounts(organisation_id, query)
        customers = self._customers(organisation_id, query)
        rows = self._usage_store.usage_by_hour(
            organisation_id,
            account_ids=None if accounts is None else list(accounts),
            meter_ids=query.filters.get(Field.USAGE_METER_ID, ()),
            start=edges[0],
            end=edges[-1],
        )
        for row in rows:
            groups = {
                None: "",
                Field.ACCOUNT_ID: row.account_id,
                Field.CUSTOMER_ID: customers.get(row.account_id, ""),
                Field.USAGE_METER_ID: row.meter_id,
            }
            yield Figure(groups[query.group_by], row.event_hour, row.units)

    def _revenue_figures(self, organisation_id: str, query: Query, edges: Sequence[datetime]) -> Iterable[Figure]:
        wanted = self._accounts(organisation_id, query)
        meters = query.filters.get(Field.USAGE_METER_ID)
        accounts = [
            account
            for account in self._billed_accounts(organisation_id)
            if wanted is None or account.account_id in wanted
        ]
        if len(accounts) > REVENUE_ACCOUNTS_MAX:
            raise Invalid(f"filters: {len(accounts)} accounts; ask for the revenue of at most {REVENUE_ACCOUNTS_MAX}")
        self._check_currency(organisation_id, query, accounts)
        for account in accounts:
            for meter_id, amounts in self._billing.revenue(organisation_id, account, edges).items():
                groups = {
                    None: "",
                    Field.ACCOUNT_ID: account.account_id,
                    Field.CUSTOMER_ID: account.customer_id,
                    Field.USAGE_METER_ID: meter_id,
                }
                if not meters or meter_id in meters:
                    for edge, amount in zip(edges, amounts, strict=False):
                        yield Figure(groups[query.group_by], hours_since_1970(edge), amount)

    def _check_currency(self, organisation_id: str, query: Query, accounts: Sequence[Account]) -> None:
        """Amounts in different currencies are not added up, and there is no rate to convert them by."""
        currencies = {account.currency for account in accounts}
        if query.in_invoice_currency:
            if len(currencies) > 1 and query.group_by is not Field.ACCOUNT_ID:
                raise Invalid("groupBy: the accounts are billed in several currencies; group by ACCOUNT_ID, or filter")
            return
        base = self._catalog.base_currency(organisation_id)
        if currencies - {base}:
            raise Invalid(f"configs: some accounts are not billed in {base}; set CURRENCY to INVOICE")

    def _billed_accounts(self, organisation_id: str) -> list[Account]:
        found: list[Account] = []
        while page := self._catalog.accounts_with_schedules(
            organisation_id, after=found[-1].account_id if found else None, limit=ACCOUNTS_PER_READ
        ):
            found += page
        return found

    def _accounts(self, organisation_id: str, query: Query) -> frozenset[str] | None:
        """The accounts that the filters let through; None is all."""
        accounts = query.filters.get(Field.ACCOUNT_ID)
        customers = query.filters.get(Field.CUSTOMER_ID)
        if not customers:
            return frozenset(accounts) if accounts else None
        owners = self._catalog.customers_by_account(organisation_id)
        theirs = frozenset(account_id for account_id, customer_id in owners.items() if customer_id in customers)
        return theirs & frozenset(accounts) if accounts else theirs

    def _customers(self, organisation_id: str, query: Query) -> Mapping[str, str]:
        """The customer of each account, when the answer is grouped by it."""
        return self._catalog.customers_by_account(organisation_id) if query.group_by is Field.CUSTOMER_ID else {}


def _check(query: Query) -> None:
    allowed = _EVENT_FIELDS if query.name is MetricName.EVENTS else _USAGE_FIELDS
    for field in [*query.filters, *([query.group_by] if query.group_by else [])]:
        if field not in allowed:
            raise Invalid(f"{query.name.value} cannot be filtered or grouped by {field.value}")
    if Field.RAW_EVENT_STATUS in query.filters:
        raise Invalid("filters: put raw statuses into EVENT_STATUS")
    if len(query.filters.get(Field.SCHEMA_NAME, ())) > 1:
        raise Invalid("filters: one SCHEMA_NAME at the most")
    known = {*EventStatusGroup, *IngestionStatus}
    for status in query.filters.get(Field.EVENT_STATUS, ()):
        if status not in known:
            raise Invalid(f"filters: {status[:60]!r} is not an event status")
    if query.start >= query.end:
        raise Invalid("endTime: must be later than startTime")


def _edges(query: Query) -> list[datetime]:
    """The boundaries of the buckets: the first and the last are the window's, on whole hours."""
    start = hour_at(hours_since_1970(query.start))
    end = hour_at(-(-microseconds_since_1970(query.end) // MICROSECONDS_PER_HOUR))
    edges = [start]
    while edges[-1] < end:
        if len(edges) > POINTS_MAX:
            raise Invalid(f"more than {POINTS_MAX} points; choose a longer aggregationPeriod or a shorter time")
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


def _series(figures: Iterable[Figure], edges: Sequence[datetime], *, grouped: bool) -> list[Series]:
    buckets = edges[:-1]
    starts = [hours_since_1970(edge) for edge in buckets]
    values: dict[str, list[Decimal]] = {} if grouped else {"": [ZERO] * len(buckets)}
    for figure in figures:
        row = values.setdefault(figure.group, [ZERO] * len(buckets))
        if len(values) > SERIES_MAX:
            raise Invalid(f"groupBy: more than {SERIES_MAX} groups; filter them")
        bucket = bisect_right(starts, figure.hour) - 1
        row[bucket] = EXACT.add(row[bucket], figure.value)
    return [
        Series(group=group if grouped else None, buckets=buckets, values=row) for group, row in sorted(values.items())
    ]
