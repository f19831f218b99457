"""Reading events back, with their verdicts: from the log, the database's blocks and the lake as if they were one.

The order of reading makes it so. The metered position is read first: what lies behind it is in progress. Then the
blocks, then the lake, whose position says which of the blocks it holds already. An event that moves on meanwhile is
seen once.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, timedelta

import msgspec
from arro3.core import Table

from tallybook.core.account import Account
from tallybook.core.correction import EventPlace
from tallybook.core.event import decode_event, logged_parts
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import EPOCH, microseconds_since_1970
from tallybook.core.period import cycle_containing
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, plan_as_billed, schedule_on
from tallybook.flows.enrich import EnrichmentTrace, read_trace
from tallybook.flows.verdict import DESCRIPTION_CHARACTERS_MAX, event_key_of
from tallybook.storage.blocks import Block, BlockStore
from tallybook.storage.catalog import Catalog
from tallybook.storage.event_rows import SCHEMA, EventRow, decode_blocks, rows_of, sql_literal
from tallybook.storage.interfaces import EventLog, Lake, LakeSnapshot, LoggedRecord
from tallybook.storage.reversals import Reverted
from tallybook.storage.usage import UsageStore

PAGE_EVENTS_MAX = 50  # the interface's limit
LOG_RECORDS_PER_LOOK = 200  # records decoded at once while looking for events in progress

Place = tuple[int, int]  # position in the log, index in its record


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to list; None is any. `account_id` also matches the reference as sent."""

    status: IngestionStatus | None = None
    account_id: str | None = None
    schema_name: str | None = None

    def matches(self, row: EventRow) -> bool:
        """Whether the row may be wanted; whether it was taken back is not in the row."""
        return (
            (self.status in (None, IngestionStatus.REVERTED) or row.status == self.status.value)
            and (self.account_id is None or self.account_id in (row.account_id, row.account_reference))
            and (self.schema_name is None or row.schema_name == self.schema_name)
        )


class BilledBy(msgspec.Struct, frozen=True, kw_only=True):
    """The plan, schedule and cycle that an event's usage is billed by."""

    plan: PricePlan
    schedule: PricingSchedule
    cycle_start: date
    cycle_end: date


class EventTrace(msgspec.Struct, frozen=True, kw_only=True):
    """An event with everything that was made of it."""

    row: EventRow
    account: Account | None
    customer_name: str
    meter_names: dict[str, str]
    billed_by: BilledBy | None
    enrichment: EnrichmentTrace | None
    base_currency: str | None


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How far metering is behind the log, in positions; and the bytes of all log records that are not trimmed yet."""

    metered_position: int
    last_position: int
    log_bytes: int

    @property
    def waiting_records(self) -> int:
        return max(0, self.last_position - self.metered_position)


class Events:
    """Every accepted event of one partition, wherever it rests."""

    def __init__(
        self,
        log: EventLog,
        blocks: BlockStore,
        lake: Lake,
        usage_store: UsageStore,
        catalog: Catalog,
        *,
        partition: int,
    ) -> None:
        self._log = log
        self._blocks = blocks
        self._lake = lake
        self.usage_store = usage_store
        self._catalog = catalog
        self._partition = partition

    @property
    def partition(self) -> int:
        return self._partition

    @property
    def log(self) -> EventLog:
        return self._log

    def page(
        self, organisation_id: str, wanted: EventFilter, *, before: Place | None, limit: int
    ) -> tuple[list[EventRow], Place | None]:
        """The newest events before a place, newest received first; and the place to go on from, None at the end."""
        metered = self.usage_store.position(self._partition)
        rows: list[EventRow] = []
        if wanted.status in (None, IngestionStatus.IN_PROGRESS):
            rows = _first(self._in_progress(organisation_id, metered, before), wanted.matches, limit + 1)
        if len(rows) <= limit and wanted.status is not IngestionStatus.IN_PROGRESS:
            rows += self._metered(organisation_id, wanted, metered, before, limit + 1 - len(rows))
        if len(rows) <= limit:
            return rows, None
        return rows[:limit], (rows[limit - 1].position, rows[limit - 1].index)

    def at(self, organisation_id: str, places: Collection[EventPlace]) -> dict[EventPlace, EventRow]:
        """The organisation's metered events at these places; those that are not there are left out."""
        if not places:
            return {}
        blocks, snapshot = self.blocks_and_lake()
        positions = {place.position for place in places}
        rows = [
            row
            for block in blocks
            if any(block.first_position <= position <= block.last_position for position in positions)
            for row in rows_in(block, organisation_id)
        ]
        listed = ", ".join(f"({place.position}, {place.event_index})" for place in places)
        conditions = [*of_organisation(organisation_id), among_positions(positions), f"(position, index) IN ({listed})"]
        rows += lake_rows(snapshot, conditions, limit=len(places))
        found = {_place(row): row for row in self.marked(rows)}
        return {place: found[place] for place in places if place in found}

    def marked(self, rows: Sequence[EventRow]) -> list[EventRow]:
        """The rows with the status REVERTED where a correction took the event back."""
        taken_back = self.usage_store.reverted([_place(row) for row in rows])
        return [_as_reverted(row, taken_back.get(_place(row))) for row in rows]

    def find(self, organisation_id: str, event_id: str) -> list[EventRow]:
        """All accepted events with that id, newest received first; repeats share it. Empty when there is none."""
        metered = self.usage_store.position(self._partition)
        rows = [row for row in self._in_progress(organisation_id, metered, None) if row.event_id == event_id]
        positions = {position for _, position in self.usage_store.places_of(event_key_of(organisation_id, event_id))}
        blocks, snapshot = self.blocks_and_lake()
        by_id = [*of_organisation(organisation_id), f"event_id = {sql_literal(event_id)}"]
        if positions:
            by_id.append(among_positions(positions))
        for block in reversed(blocks):
            # Without positions its key is forgotten: look through everything.
            if not positions or any(block.first_position <= each <= block.last_position for each in positions):
                rows += [row for row in rows_in(block, organisation_id) if row.event_id == event_id]
        rows += lake_rows(snapshot, by_id, limit=PAGE_EVENTS_MAX)
        unique = {_place(row): row for row in self.marked(rows)}  # one may have been metered while we looked
        return [unique[place] for place in sorted(unique, reverse=True)]

    def trace(self, row: EventRow) -> EventTrace:
        """An event with the account, meters, plan and cycle behind it."""
        account = self._catalog.account(row.organisation_id, row.account_id) if row.account_id else None
        names = {}
        for meter in row.meters:
            found = self._catalog.usage_meter(row.organisation_id, meter.meter_id)
            names[meter.meter_id] = found.name if found else meter.meter_id
        customer = self._catalog.customer(row.organisation_id, account.customer_id) if account else None
        return EventTrace(
            row=row,
            account=account,
            customer_name=customer.name if customer else "",
            meter_names=names,
            billed_by=self._billed_by(row, account),
            enrichment=read_trace(row.enrichment) if row.enrichment else None,
            base_currency=self._catalog.base_currency(row.organisation_id),
        )

    def backlog(self) -> Backlog:
        """How far metering is behind the log."""
        metered, last = self.usage_store.position(self._partition), self._log.last_position()
        return Backlog(metered_position=metered, last_position=last, log_bytes=self._log.used_bytes())

    def in_progress(self, organisation_id: str, *, behind: int) -> Iterator[EventRow]:
        """The organisation's accepted events behind that position of the log, newest received first.

        Those that are trimmed already, because they were metered and archived meanwhile, are left out.
        """
        return self._in_progress(organisation_id, behind, None)

    def _in_progress(self, organisation_id: str, metered: int, before: Place | None) -> Iterator[EventRow]:
        end = None if before is None else before[0] + 1
        while records := self._log.read_back(before=end, after=metered, records_max=LOG_RECORDS_PER_LOOK):
            for record in records:
                if record.organisation_id == organisation_id:
                    rows = reversed(_rows_in_progress(record, self._partition))
                    yield from (row for row in rows if before is None or (row.position, row.index) < before)
            end = records[-1].position

    def blocks_and_lake(self) -> tuple[list[Block], LakeSnapshot]:
        """The blocks first, then the lake: a block that was archived meanwhile is in the lake for certain."""
        blocks = self._blocks.all(self._partition)
        snapshot = self._lake.snapshot(self._partition)
        return [block for block in blocks if block.last_position > snapshot.position], snapshot

    def _metered(
        self, organisation_id: str, wanted: EventFilter, metered: int, before: Place | None, limit: int
    ) -> list[EventRow]:
        bound = min(before, (metered + 1, 0)) if before else (metered + 1, 0)
        look = self._taken_back if wanted.status is IngestionStatus.REVERTED else self._resting
        rows: list[EventRow] = []
        while len(rows) < limit:
            some, end = look(organisation_id, wanted, bound, limit)
            rows += [row for row in self.marked(some) if wanted.status in (None, row.status)]
            if end is None:
                break
            bound = end
        return rows[:limit]

    def _resting(
        self, organisation_id: str, wanted: EventFilter, bound: Place, limit: int
    ) -> tuple[list[EventRow], Place | None]:
        """Up to so many metered events before a place, as their rows say; and where more may be, None at the end."""
        blocks, snapshot = self.blocks_and_lake()
        rows: list[EventRow] = []
        for block in reversed(blocks):
            if block.first_position > bound[0] or len(rows) >= limit:
                continue
            before = (row for row in rows_in(block, organisation_id) if (row.position, row.index) < bound)
            rows += _first(before, wanted.matches, limit - len(rows))
        if len(rows) < limit:
            conditions = _conditions(organisation_id, wanted, bound)
            rows += lake_rows(snapshot, conditions, limit=limit - len(rows))
        return rows, (rows[-1].position, rows[-1].index) if len(rows) == limit else None

    def _taken_back(
        self, organisation_id: str, wanted: EventFilter, bound: Place, limit: int
    ) -> tuple[list[EventRow], Place | None]:
        """The same for events that were taken back; their rows say what they were before."""
        some = self.usage_store.newest_reverted(organisation_id, before=bound, limit=limit)
        rows = self.at(organisation_id, [each.place for each in some])
        matching = [row for row in rows.values() if wanted.matches(row)]
        return matching, some[-1].place[1:] if len(some) == limit else None

    def _billed_by(self, row: EventRow, account: Account | None) -> BilledBy | None:
        day = (EPOCH + timedelta(microseconds=row.event_time)).date()
        schedule = schedule_on(account.schedules, day) if account else None
        if schedule is None:
            return None
        plan = self._catalog.price_plan(row.organisation_id, schedule.plan_id, schedule.plan_version)
        start, end = cycle_containing(schedule.cycle, day, within=(schedule.start_date, schedule.end_date))
        if plan is None:
            return None
        return BilledBy(plan=plan_as_billed(plan, schedule), schedule=schedule, cycle_start=start, cycle_end=end)


def _rows_in_progress(record: LoggedRecord, partition: int) -> list[EventRow]:
    rows = []
    for index, part in enumerate(logged_parts(record.body, record.format)):
        event = decode_event(part)
        rows.append(
            EventRow(
                partition=partition,
                position=record.position,
                index=index,
                organisation_id=record.organisation_id,
                event_id=event.id,
                schema_name=event.schema_name,
                schema_version=None,
                account_reference=event.account_id,
                account_id=None,
                event_time=microseconds_since_1970(event.timestamp),
                received_at=record.received_at,
                metered_at=0,
                status=IngestionStatus.IN_PROGRESS.value,
                status_description="accepted; its verdict is on the way",
                event=str(part, "utf-8"),
                meters=[],
            )
        )
    return rows


def _first(rows: Iterator[EventRow], matches: Callable[[EventRow], bool], limit: int) -> list[EventRow]:
    found: list[EventRow] = []
    for row in rows:
        if matches(row):
            found.append(row)
            if len(found) == limit:
                break
    return found


def _conditions(organisation_id: str, wanted: EventFilter, bound: Place) -> list[str]:
    position, index = bound
    conditions = [
        *of_organisation(organisation_id),
        f"position <= {position}",  # alone, so that files can be left out by it
        f"(position < {position} OR index < {index})",
    ]
    if wanted.status not in (None, IngestionStatus.REVERTED):
        conditions.append(f"status = {sql_literal(wanted.status.value)}")
    if wanted.account_id is not None:
        account = sql_literal(wanted.account_id)
        conditions.append(f"(account_id = {account} OR account_reference = {account})")
    if wanted.schema_name is not None:
        conditions.append(f"schema_name = {sql_literal(wanted.schema_name)}")
    return conditions


def of_organisation(organisation_id: str) -> list[str]:
    """The conditions for an organisation's events: a row with an index below 0 is none."""
    return [f"organisation_id = {sql_literal(organisation_id)}", "index >= 0"]


def among_positions(positions: Collection[int]) -> str:
    """The condition for some positions; stated alone, so that files can be left out by it."""
    return f"position IN ({', '.join(map(str, sorted(positions)))})"


def lake_rows(
    snapshot: LakeSnapshot, conditions: Sequence[str], *, limit: int, order: str = "position DESC, index DESC"
) -> list[EventRow]:
    """The rows of the lake that meet all conditions, in that order."""
    statement = (
        f"SELECT {_COLUMNS} FROM event WHERE {' AND '.join(conditions)} "  # noqa: S608  # quoted by `sql_literal`
        f"ORDER BY {order} LIMIT {limit}"
    )
    return [row for batch in snapshot.query(statement) for row in rows_of(Table.from_batches([batch]))]


def rows_in(block: Block, organisation_id: str) -> Iterator[EventRow]:
    """The organisation's events in a block, newest received first."""
    rows = [row for row in rows_of(decode_blocks([block.rows])) if row.organisation_id == organisation_id]
    # In the rows of a correction, what is taken back comes last, with an index below 0.
    return (row for row in reversed(rows) if row.index >= 0)


def _place(row: EventRow) -> EventPlace:
    return EventPlace(row.partition, row.position, row.index)


def _as_reverted(row: EventRow, taken_back: Reverted | None) -> EventRow:
    if taken_back is None:
        return row
    description = f"taken back by {taken_back.action} of {taken_back.correction_id}; it was {row.status}"
    if taken_back.replaced_by is not None:
        description += f"; ingested again as {taken_back.replaced_by.reference_id}"
    return msgspec.structs.replace(
        row,
        status=IngestionStatus.REVERTED.value,
        status_description=description[:DESCRIPTION_CHARACTERS_MAX],
        status_before_reverting=row.status,
    )


_COLUMNS = ", ".join(f'"{name}"' for name in SCHEMA.names)
