"""What metering leaves behind: event keys, usage, counts by status, and the position they are true for.

`commit_batch` is where "exactly once" is made: one transaction that inserts the keys, adds the usage, stores the rows
and moves the position only if nobody else has moved it. Reading is by whole hours of event time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.instant import hours_since_1970
from tallybook.storage.database import Database
from tallybook.storage.tables import (
    definition_change,
    event_block,
    event_count,
    event_key,
    event_repeat,
    metering_position,
    usage,
)

BLOCK_FORMAT = 1
KEYS_PER_QUERY = 500  # bound parameters in one statement; SQLite's default limit is far above


UsagePlace = tuple[str, str, str, int]
"""Organisation, account, meter, and hour of event time."""


class EventKey(NamedTuple):
    """The row of an accepted event in the table of keys, as the driver takes it: in the table's column order."""

    key: bytes
    content: int
    partition: int
    position: int
    received_hour: int


class UsageDelta(NamedTuple):
    """Units to add to one account, meter and hour."""

    organisation_id: str
    account_id: str
    meter_id: str
    event_hour: int
    units: str
    event_count: int


class CountDelta(NamedTuple):
    """Events to add to one account, hours, schema and status."""

    organisation_id: str
    account_id: str
    event_hour: int
    received_hour: int
    schema_name: str
    status: str
    event_count: int


class BatchContents(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a micro-batch adds, once it is known which of its events are duplicates."""

    usage: list[UsageDelta]
    counts: list[CountDelta]
    rows: bytes
    row_count: int


class MeteredBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The judged events of the log records of a partition behind `after`, up to and including `through`."""

    partition: int
    after: int
    through: int
    definitions_version: int
    metered_at: int
    keys: list[EventKey]  # one for each distinct id
    repeats: list[EventKey]  # ids that came again within the batch
    contents: BatchContents  # what it adds if no id was seen before


class Outcome(Enum):
    """What a commit did."""

    COMMITTED = "committed"
    OVERTAKEN = "overtaken"  # another worker moved the position: nothing changed, read the position again
    STALE = "stale"  # a definition changed meanwhile: nothing changed, meter the same records again


class MeterUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of one meter over some hours."""

    units: Decimal
    event_count: int


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of one account on one meter in one hour (hours since 1970, UTC) of event time."""

    account_id: str
    meter_id: str
    event_hour: int
    units: Decimal
    event_count: int


class CountRow(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one account, schema and status in one hour (hours since 1970, UTC) of event time."""

    account_id: str
    event_hour: int
    schema_name: str
    status: str
    event_count: int


class UsageStore:
    """Usage and counts of every organisation, and the commit protocol that writes them."""

    def __init__(self, database: Database, *, event_key_hours: int) -> None:
        """`event_key_hours`: how long an event id is remembered, counted from receipt; 0 is for ever."""
        self._database = database
        self._event_key_hours = event_key_hours

    def position(self, partition: int) -> int:
        """The log position through which everything is in these tables; 0 before the first."""
        with self._database.read() as connection:
            return read_position(connection, partition)

    def commit_batch(
        self, batch: MeteredBatch, *, judge_again: Callable[[Mapping[bytes, int]], BatchContents]
    ) -> Outcome:
        """Add the batch, all or nothing; durable on return.

        It was judged before, so that the transaction is short; `judge_again` is called inside only when some ids were
        seen before, with their keys and the first events' content checksums.
        An exception leaves the outcome unknown: read the position.
        """
        contents = batch.contents
        keys = sorted(batch.keys)
        with self._database.write() as connection:
            if _definitions_version(connection) != batch.definitions_version:
                return Outcome.STALE
            if not _moved(connection, batch.partition, after=batch.after, through=batch.through):
                return Outcome.OVERTAKEN
            duplicates = self._insert_keys(connection, keys, batch.partition, batch.after)
            if duplicates:
                contents = judge_again(duplicates)
            _insert_repeats(connection, [*batch.repeats, *(key for key in keys if key.key in duplicates)])
            _add(connection, contents)
            connection.execute(
                event_block.insert().values(
                    partition=batch.partition,
                    last_position=batch.through,
                    first_position=batch.after + 1,
                    row_count=contents.row_count,
                    format=BLOCK_FORMAT,
                    metered_at=batch.metered_at,
                    rows=contents.rows,
                )
            )
        return Outcome.COMMITTED

    def units(self, organisation_id: str, account_id: str, *, start: datetime, end: datetime) -> dict[str, MeterUsage]:
        """Usage per meter id over `[start, end)`, both on whole hours."""
        rows = self.rows(organisation_id, account_id, start=start, end=end)
        return total_by_meter(rows)

    def rows(self, organisation_id: str, account_id: str, *, start: datetime, end: datetime) -> list[UsageRow]:
        """Usage rows over `[start, end)`, both on whole hours, ordered by meter and hour."""
        with self._database.read() as connection:
            return usage_rows(connection, organisation_id, account_id, start=start, end=end)

    def places_of(self, key: bytes) -> list[tuple[int, int]]:
        """Where the events with this key lie, as (partition, position): the first one and its repeats."""
        with self._database.read() as connection:
            return [
                (row.partition, row.position)
                for table in (event_key, event_repeat)
                for row in connection.execute(select(table.c.partition, table.c.position).where(table.c.key == key))
            ]

    def forget_keys(self, *, received_before_hour: int, after: bytes, limit: int) -> bytes | None:
        """Delete expired keys among the `limit` keys behind `after`; return where to go on, None at the end.

        In slices of key order, because one large deletion would hold the database for minutes.
        """
        with self._database.write() as connection:
            slice_end = connection.execute(
                select(event_key.c.key)
                .where(event_key.c.key > after)
                .order_by(event_key.c.key)
                .offset(limit - 1)
                .limit(1)
            ).scalar()
            for table in (event_key, event_repeat):
                within = table.c.key > after if slice_end is None else table.c.key.between(after, slice_end)
                connection.execute(table.delete().where(within, table.c.received_hour < received_before_hour))
        return slice_end

    def usage_by_hour(
        self,
        organisation_id: str,
        *,
        account_ids: Sequence[str] | None,
        meter_ids: Sequence[str],
        start: datetime,
        end: datetime,
    ) -> list[UsageRow]:
        """Usage rows over `[start, end)` of these accounts (None: all) and meters (none: all)."""
        query = select(
            usage.c.account_id, usage.c.meter_id, usage.c.event_hour, usage.c.units, usage.c.event_count
        ).where(usage.c.organisation_id == organisation_id, *_hours(usage.c.event_hour, start, end))
        if account_ids is not None:
            query = query.where(usage.c.account_id.in_(account_ids))
        if meter_ids:
            query = query.where(usage.c.meter_id.in_(meter_ids))
        with self._database.read() as connection:
            return [UsageRow(**row._mapping) for row in connection.execute(query)]

    def counts_by_hour(
        self,
        organisation_id: str,
        *,
        account_ids: Sequence[str] | None,
        schema_names: Sequence[str],
        start: datetime,
        end: datetime,
    ) -> list[CountRow]:
        """Events over `[start, end)` by hour of event time, account, schema and status.

        Only of these accounts (None: all) and of these schemas (none: all).
        """
        counted = event_count.c
        query = (
            select(
                counted.account_id,
                counted.event_hour,
                counted.schema_name,
                counted.status,
                func.sum(counted.event_count).label("event_count"),
            )
            .where(counted.organisation_id == organisation_id, *_hours(counted.event_hour, start, end))
            .group_by(counted.account_id, counted.event_hour, counted.schema_name, counted.status)
        )
        if account_ids is not None:
            query = query.where(counted.account_id.in_(account_ids))
        if schema_names:
            query = query.where(counted.schema_name.in_(schema_names))
        with self._database.read() as connection:
            return [CountRow(**row._mapping) for row in connection.execute(query)]

    def _insert_keys(
        self, connection: Connection, keys: list[EventKey], partition: int, after: int
    ) -> dict[bytes, int]:
        """Insert keys, in key order so that neighbours share a page; return those there before with their content."""
        if not keys or connection.exec_driver_sql(_INSERT_KEY, keys).rowcount == len(keys):
            return {}
        duplicates: dict[bytes, int] = {}
        for sent, stored in _stored_before(connection, keys, partition, after):
            if self._event_key_hours and stored.received_hour < sent.received_hour - self._event_key_hours:
                _replace_key(connection, sent)
            else:
                duplicates[sent.key] = stored.content
        return duplicates


def _hours(column: ColumnElement[int], start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    return column >= hours_since_1970(start), column < hours_since_1970(end)


def usage_rows(
    connection: Connection, organisation_id: str, account_id: str, *, start: datetime, end: datetime
) -> list[UsageRow]:
    """The same as `UsageStore.rows`, inside a transaction of the caller's."""
    query = (
        select(usage.c.account_id, usage.c.meter_id, usage.c.event_hour, usage.c.units, usage.c.event_count)
        .where(
            usage.c.organisation_id == organisation_id,
            usage.c.account_id == account_id,
            usage.c.event_hour >= hours_since_1970(start),
            usage.c.event_hour < hours_since_1970(end),
        )
        .order_by(usage.c.meter_id, usage.c.event_hour)
    )
    return [UsageRow(**row._mapping) for row in connection.execute(query)]


def every_usage_row(connection: Connection) -> dict[UsagePlace, tuple[Decimal, int]]:
    """All usage: units and events by place. For checking; it is as large as it is."""
    places = (usage.c.organisation_id, usage.c.account_id, usage.c.meter_id, usage.c.event_hour)
    rows = connection.execute(select(*places, usage.c.units, usage.c.event_count))
    return {(row[0], row[1], row[2], row[3]): (row.units, row.event_count) for row in rows}


def judged_by_receipt(connection: Connection) -> dict[tuple[str, int], dict[str, int]]:
    """Events with a verdict: by organisation and hour of receipt (hours since 1970), then by status."""
    counted = event_count.c
    query = select(counted.organisation_id, counted.received_hour, counted.status, func.sum(counted.event_count))
    found: dict[tuple[str, int], dict[str, int]] = {}
    grouped = query.group_by(counted.organisation_id, counted.received_hour, counted.status)
    for organisation_id, hour, status, count in connection.execute(grouped):
        found.setdefault((organisation_id, hour), {})[status] = int(count)
    return found


def total_by_meter(rows: Sequence[UsageRow]) -> dict[str, MeterUsage]:
    """Add usage rows up by meter id."""
    totals: dict[str, MeterUsage] = {}
    for row in rows:
        sum_so_far = totals.get(row.meter_id, MeterUsage(units=ZERO, event_count=0))
        totals[row.meter_id] = MeterUsage(
            units=EXACT.add(sum_so_far.units, row.units), event_count=sum_so_far.event_count + row.event_count
        )
    return totals


def read_position(connection: Connection, partition: int) -> int:
    """The same as `UsageStore.position`, inside a transaction of the caller's."""
    query = select(metering_position.c.position).where(metering_position.c.partition == partition)
    return connection.execute(query).scalar() or 0


def _definitions_version(connection: Connection) -> int:
    return connection.execute(select(func.max(definition_change.c.version))).scalar() or 0


def _moved(connection: Connection, partition: int, *, after: int, through: int) -> bool:
    """Move the position from `after` to `through`, only if it still is at `after`."""
    if after == 0:
        connection.exec_driver_sql(
            "INSERT INTO metering_position (partition, position) VALUES (?, 0) ON CONFLICT DO NOTHING", (partition,)
        )
    is_there = (metering_position.c.partition == partition, metering_position.c.position == after)
    return connection.execute(metering_position.update().where(*is_there).values(position=through)).rowcount == 1


def _stored_before(
    connection: Connection, keys: Sequence[EventKey], partition: int, after: int
) -> Iterator[tuple[EventKey, EventKey]]:
    """Pairs (as sent, as stored) of the keys that an earlier batch or another partition had inserted."""
    for start in range(0, len(keys), KEYS_PER_QUERY):
        sent = {key.key: key for key in keys[start : start + KEYS_PER_QUERY]}
        for row in connection.execute(select(event_key).where(event_key.c.key.in_(sent))):
            stored = EventKey(*row)
            if stored.partition != partition or stored.position <= after:
                yield sent[stored.key], stored


def _replace_key(connection: Connection, key: EventKey) -> None:
    connection.execute(event_key.update().where(event_key.c.key == key.key).values(key._asdict()))


def _insert_repeats(connection: Connection, repeats: Sequence[EventKey]) -> None:
    """Remember where the repeats lie, so that reading an event by its id finds them too."""
    if repeats:
        rows = [(key.key, key.partition, key.position, key.received_hour) for key in repeats]
        connection.exec_driver_sql(_INSERT_REPEAT, rows)


def _add(connection: Connection, contents: BatchContents) -> None:
    if contents.usage:
        connection.exec_driver_sql(_ADD_USAGE, contents.usage)
    if contents.counts:
        connection.exec_driver_sql(_ADD_COUNT, contents.counts)


def _upsert(table: str, keys: Sequence[str], sums: Mapping[str, str]) -> str:
    columns = [*keys, *sums]
    marks = ", ".join("?" for _ in columns)
    changes = ", ".join(f"{column} = {total}" for column, total in sums.items())
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "  # noqa: S608  # names from this file only
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
    )


_SUM_OF_COUNTS: Callable[[str], str] = "{0}.event_count + excluded.event_count".format
_INSERT_KEY = (
    "INSERT INTO event_key (key, content, partition, position, received_hour) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_INSERT_REPEAT = (
    "INSERT INTO event_repeat (key, partition, position, received_hour) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_ADD_USAGE = _upsert(
    "usage",
    ("organisation_id", "account_id", "meter_id", "event_hour"),
    {"units": "exact_add(usage.units, excluded.units)", "event_count": _SUM_OF_COUNTS("usage")},
)
_ADD_COUNT = _upsert(
    "event_count",
    ("organisation_id", "account_id", "event_hour", "received_hour", "schema_name", "status"),
    {"event_count": _SUM_OF_COUNTS("event_count")},
)
