"""Figures over time for `POST /metrics`: events, usage and revenue, in buckets of time or by billing cycle.

Everything is answered from the hourly rows that invoices are computed from, so a dashboard cannot disagree with an
invoice. A meter's quantity is made for each account by itself, as it is billed, and only then added up.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.aggregation import Aggregation, quantity_of
from tallybook.core.decimals import ZERO
from tallybook.core.errors import Invalid
from tallybook.core.ingestion_status import EventStatusGroup, IngestionStatus, group_of
from tallybook.core.instant import MICROSECONDS_PER_HOUR, hours_since_1970
from tallybook.core.metric import (
    CYCLE_METRICS,
    REVENUE_METRICS,
    Buckets,
    Field,
    Figure,
    MetricName,
    Query,
    Series,
    bucket_edges,
    bucket_series,
    check_query,
    cycle_series,
)
from tallybook.core.period import Window, midnight
from tallybook.flows.bill import Billing
from tallybook.flows.find_cycles import begun_cycles
from tallybook.flows.query import Events
from tallybook.storage import add_ons, schemas
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database
from tallybook.storage.event_rows import EventRow
from tallybook.storage.usage import UsageRow, read_position
from tallybook.storage.verdict_counts import CountRow, counts_by_hour

ACCOUNTS_PER_READ = 500
BILLED_ACCOUNTS_MAX = 1000  # each account's cycles are found and priced for the answer
_INSTANT = timedelta(microseconds=1)


class Metrics:
    """Answers metric queries of every organisation."""

    def __init__(self, database: Database, events: Events, billing: Billing) -> None:
        self._database = database
        self._catalog = Catalog(database)
        self._usage_store = events.usage_store
        self._events = events
        self._billing = billing

    def answer(self, organisation_id: str, query: Query, *, now: datetime) -> list[Series]:
        """The series of a query; without `group_by` exactly one. Raises `Invalid`, naming what to change.

        `now` decides which cycles have begun: those that have not are not in an answer by cycle. Licences bring in
        nothing before their cycle has begun, or an update of them has taken effect.
        """
        check_query(query, organisation_id=organisation_id)
        grouped = query.group_by is not None
        if query.name in CYCLE_METRICS:
            figures = self._cycle_figures(organisation_id, query, now)
            return cycle_series(figures, grouped=grouped, points_max=query.points_max)
        edges = bucket_edges(query)
        match query.name:
            case MetricName.EVENTS:
                figures = self._event_figures(organisation_id, query, edges)
            case MetricName.REVENUE:
                figures = self._revenue_figures(organisation_id, query, edges, now)
            case _:
                figures = self._usage_figures(organisation_id, query, edges)
        return bucket_series(figures, edges, grouped=grouped)

    # ---- events --------------------------------------------------------------------------------------------------

    def _event_figures(self, organisation_id: str, query: Query, edges: Sequence[datetime]) -> Iterator[Figure]:
        wanted = query.filters.get(Field.EVENT_STATUS) or (EventStatusGroup.PROCESSED, EventStatusGroup.UNPROCESSED)
        buckets = Buckets(edges)
        customers = self._customers(organisation_id, query)
        for row in self._counted(organisation_id, query, edges, wanted):
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
                yield Figure(groups[query.group_by], buckets.start_of(row.event_hour), Decimal(row.event_count))

    def _counted(
        self, organisation_id: str, query: Query, edges: Sequence[datetime], wanted: Collection[str]
    ) -> Iterator[CountRow]:
        """Events with a verdict, and those in progress if they are wanted: both as of one position of the log."""
        accounts = self._accounts(organisation_id, query)
        schema_names = query.filters.get(Field.SCHEMA_NAME, ())
        with self._database.read() as connection:
            position = read_position(connection, self._events.partition)
            judged = counts_by_hour(
                connection,
                organisation_id,
                account_ids=None if accounts is None else sorted(accounts),
                schema_names=schema_names,
                start=edges[0],
                end=edges[-1],
            )
        yield from judged
        if {EventStatusGroup.IN_PROGRESS, IngestionStatus.IN_PROGRESS}.isdisjoint(wanted):
            return
        for row in self._events.in_progress(organisation_id, behind=position):
            counted = _as_count(row)
            if (
                (accounts is None or counted.account_id in accounts)
                and (not schema_names or counted.schema_name in schema_names)
                and hours_since_1970(edges[0]) <= counted.event_hour < hours_since_1970(edges[-1])
            ):
                yield counted

    # ---- usage ---------------------------------------------------------------------------------------------------

    def _usage_figures(self, organisation_id: str, query: Query, edges: Sequence[datetime]) -> Iterator[Figure]:
        accounts = self._accounts(organisation_id, query)
        customers = self._customers(organisation_id, query)
        meter_ids = self._billable_ids(organisation_id, query)
        if meter_ids is not None and not meter_ids:
            return
        rows = self._usage_store.usage_by_hour(
            organisation_id,
            account_ids=None if accounts is None else sorted(accounts),
            meter_ids=sorted(meter_ids or ()),
            start=edges[0],
            end=edges[-1],
        )
        buckets = Buckets(edges)
        places = ((row.account_id, row.meter_id, buckets.start_of(row.event_hour)) for row in rows)
        for (account_id, meter_id, hour), quantity in self._quantities(organisation_id, places, rows).items():
            group = _group(query, account_id, customers.get(account_id, ""), meter_id)
            yield Figure(group, hour, quantity)

    def _quantities(
        self, organisation_id: str, places: Iterable[tuple[str, str, int]], rows: Sequence[UsageRow]
    ) -> dict[tuple[str, str, int], Decimal]:
        """What the rows of each place (account, meter, hour at which a bucket or cycle starts) come to together."""
        gathered: dict[tuple[str, str, int], list[UsageRow]] = {}
        for place, row in zip(places, rows, strict=True):
            gathered.setdefault(place, []).append(row)
        with self._database.read() as connection:
            meters = schemas.meters_with_ids(connection, organisation_id, {meter_id for _, meter_id, _ in gathered})
        return {
            place: quantity_of(meters[place[1]].aggregation if place[1] in meters else Aggregation.SUM, usages)
            for place, usages in gathered.items()
        }

    # ---- revenue -------------------------------------------------------------------------------------------------

    def _revenue_figures(
        self, organisation_id: str, query: Query, edges: Sequence[datetime], now: datetime
    ) -> Iterator[Figure]:
        billable_ids = self._billable_ids(organisation_id, query)
        for account in self._billed_accounts(organisation_id, query):
            for billable_id, amounts in self._billing.revenue(organisation_id, account, edges, now=now).items():
                if billable_ids is None or billable_id in billable_ids:
                    group = _group(query, account.account_id, account.customer_id, billable_id)
                    for edge, amount in zip(edges, amounts, strict=False):
                        yield Figure(group, hours_since_1970(edge), amount)

    # ---- by cycle ------------------------------------------------------------------------------------------------

    def _cycle_figures(self, organisation_id: str, query: Query, now: datetime) -> Iterator[Figure]:
        """A figure for each account, item and cycle that begins in the window; an item without usage has zero."""
        billable_ids = self._billable_ids(organisation_id, query)
        for account in self._billed_accounts(organisation_id, query):
            cycles = _cycles_beginning_in(account, query, now)
            if not cycles:
                continue
            if query.name is MetricName.REVENUE_FOR_CYCLE:
                found = self._revenue_by_cycle(organisation_id, account, cycles, now)
            else:
                found = self._usage_by_cycle(organisation_id, account, cycles)
            if query.group_by is None:  # a cycle without usage has its point all the same
                yield from (Figure("", hours_since_1970(midnight(cycle.start)), ZERO) for cycle in cycles)
            for (billable_id, hour), value in found.items():
                if billable_ids is None or billable_id in billable_ids:
                    yield Figure(_group(query, account.account_id, account.customer_id, billable_id), hour, value)

    def _usage_by_cycle(
        self, organisation_id: str, account: Account, cycles: Sequence[Window]
    ) -> dict[tuple[str, int], Decimal]:
        rows: list[UsageRow] = []
        places: list[tuple[str, str, int]] = []
        for cycle in cycles:
            start, end = midnight(cycle.start), midnight(cycle.end)
            found = self._usage_store.rows(organisation_id, account.account_id, start=start, end=end)
            rows += found
            places += [(row.account_id, row.meter_id, hours_since_1970(start)) for row in found]
        quantities = self._quantities(organisation_id, places, rows)
        return {(meter_id, hour): quantity for (_, meter_id, hour), quantity in quantities.items()}

    def _revenue_by_cycle(
        self, organisation_id: str, account: Account, cycles: Sequence[Window], now: datetime
    ) -> dict[tuple[str, int], Decimal]:
        edges = sorted({midnight(day) for cycle in cycles for day in cycle})
        starts = {midnight(cycle.start) for cycle in cycles}
        return {
            (billable_id, hours_since_1970(edge)): amount
            for billable_id, amounts in self._billing.revenue(organisation_id, account, edges, now=now).items()
            for edge, amount in zip(edges, amounts, strict=False)
            if edge in starts
        }

    # ---- what the filters let through ----------------------------------------------------------------------------

    def _billed_accounts(self, organisation_id: str, query: Query) -> list[Account]:
        """The accounts that have or had a price plan, of those that the filters let through. Raises `Invalid`."""
        accounts = list(self._accounts_with_schedules(organisation_id, self._accounts(organisation_id, query)))
        if query.name in REVENUE_METRICS:
            self._check_currency(organisation_id, query, accounts)
        return accounts

    def _accounts_with_schedules(self, organisation_id: str, wanted: frozenset[str] | None) -> Iterator[Account]:
        if wanted is not None:
            _check_account_count(len(wanted))
            found = (self._catalog.account(organisation_id, account_id) for account_id in sorted(wanted))
            yield from (account for account in found if account is not None and account.schedules)
            return
        count, after = 0, None
        while page := self._catalog.accounts_with_schedules(organisation_id, after=after, limit=ACCOUNTS_PER_READ):
            count += len(page)
            _check_account_count(count)
            yield from page
            after = page[-1].account_id

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

    def _billable_ids(self, organisation_id: str, query: Query) -> frozenset[str] | None:
        """The meters and add-ons that both filters by item let through, named by id or by name; None is all."""
        wanted = [query.filters[field] for field in (Field.USAGE_METER_ID, Field.BILLABLE_ID) if field in query.filters]
        if not wanted:
            return None
        with self._database.read() as connection:
            return frozenset.intersection(
                *(_ids_called(connection, organisation_id, references) for references in wanted)
            )


def _ids_called(connection: Connection, organisation_id: str, references: Sequence[str]) -> frozenset[str]:
    return schemas.meter_ids_called(connection, organisation_id, references) | add_ons.add_on_ids_called(
        connection, organisation_id, references
    )


def _group(query: Query, account_id: str, customer_id: str, billable_id: str) -> str:
    """What the figure of a meter or add-on is grouped by; empty when nothing is grouped."""
    match query.group_by:
        case Field.ACCOUNT_ID:
            return account_id
        case Field.CUSTOMER_ID:
            return customer_id
        case None:
            return ""
        case _:
            return billable_id


def _as_count(row: EventRow) -> CountRow:
    """An event in progress, counted under the account as it was sent."""
    return CountRow(
        account_id=row.account_reference,
        event_hour=row.event_time // MICROSECONDS_PER_HOUR,
        schema_name=row.schema_name,
        status=row.status,
        event_count=1,
    )


def _cycles_beginning_in(account: Account, query: Query, now: datetime) -> list[Window]:
    """The account's cycles that begin in the window and have begun by `now`, oldest first."""
    begun = begun_cycles(account, min(now, query.end - _INSTANT))
    return [cycle.window for cycle in begun if midnight(cycle.window.start) >= query.start]


def _check_account_count(count: int) -> None:
    if count > BILLED_ACCOUNTS_MAX:
        raise Invalid(f"filters: more than {BILLED_ACCOUNTS_MAX} accounts; name fewer accounts or customers")
