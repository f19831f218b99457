"""What metering leaves behind: event keys, usage, counts by status, and the position they are true for.

`commit_batch` is where "exactly once" is made: one transaction that inserts the keys, adds the usage, stores the rows
and moves the position only if nobody else has moved it. Reading is by whole hours of event time.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, func, select

from tallybook.core.aggregation import DISTINCT_MARK, Usage
from tallybook.core.correction import EventPlace
from tallybook.core.instant import hours_since_1970
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import in_pieces
from tallybook.storage.event_keys import EventKey as EventKey  # also for those who make batches
from tallybook.storage.event_keys import entries_of, forget_repeats, forget_runs, insert_repeats
from tallybook.storage.late_usage import LateDay, note_late_usage
from tallybook.storage.reversals import Reversal, Reverted, heirs, newest_reverted, revert, reverted
from tallybook.storage.tables import (
    definition_change,
    event_block,
    event_count,
    event_repeat,
    metering_position,
    usage,
    usage_value,
)

if TYPE_CHECKING:
    from tallybook.storage.event_key_runs import KnownRuns

BLOCK_FORMAT = 1
NO_VALUES: frozenset[str] = frozenset()


UsagePlace = tuple[str, str, str, int]
"""Organisation, account, meter, and hour of event time."""

CountPlace = tuple[str, str, int, int, str, str]
"""Organisation, account (as sent where unknown), hour of event, hour of receipt, schema name, status."""


class UsageDelta(NamedTuple):
    """Units and events to add to one account, meter and hour; to take away, when they are negative."""

    organisation_id: str
    account_id: str
    meter_id: str
    event_hour: int
    units: str
    event_count: int


class ValueDelta(NamedTuple):
    """Events that left one value (see `core.aggregation`) to add to one account, meter and hour; or to take away."""

    organisation_id: str
    account_id: str
    meter_id: str
    event_hour: int
    value: str
    event_count: int


class CountDelta(NamedTuple):
    """Events to add to one account, hours, schema and status; to take away, when they are negative."""

    organisation_id: str
    account_id: str
    event_hour: int
    received_hour: int
    schema_name: str
    status: str
    event_count: int


class VerdictDelta(NamedTuple):
    """Events to add to one hour of receipt and status; to take away, when they are negative."""

    organisation_id: str
    received_hour: int
    status: str
    event_count: int


class BatchContents(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a micro-batch adds, once it is known which of its events are duplicates.

    Each place is in a list once, so that no order of additions can matter. `late` are the days to which events add that
    came after their grace.
    """

    usage: list[UsageDelta]
    values: list[ValueDelta]
    counts: list[CountDelta]
    rows: bytes
    row_count: int
    late: list[LateDay] = []


class MeteredBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The judged events of the log records of a partition behind `after`, up to and including `through`."""

    partition: int
    after: int
    through: int
    definitions_version: int
    metered_at: int
    keys: bytes  # one entry for each distinct id, from `event_key_runs.pack_entries`
    repeats: list[EventKey]  # ids that came again within the batch
    contents: BatchContents  # what it adds if no id was seen before and no reversal is refused
    reversals: list[Reversal] = []


class Outcome(Enum):
    """What a commit did."""

    COMMITTED = "committed"
    OVERTAKEN = "overtaken"  # another worker moved the position: nothing changed, read the position again
    STALE = "stale"  # a definition changed meanwhile: nothing changed, meter the same records again


class UsageRow(Usage, frozen=True, kw_only=True):
    """Usage of one account on one meter in one hour (hours since 1970, UTC) of event time."""

    account_id: str
    meter_id: str
    event_hour: int


class UsageStore:
    """Usage and counts of every organisation, and the commit protocol that writes them."""

    def __init__(self, database: Database, *, event_key_hours: int) -> None:
        """`event_key_hours`: how long an event id is remembered, counted from receipt; 0 is for ever."""
        self._database = database
        self._event_key_hours = event_key_hours
        self._known_runs: KnownRuns | None = None

    def position(self, partition: int) -> int:
        """The log position through which everything is in these tables; 0 before the first."""
        with self._database.read() as connection:
            return read_position(connection, partition)

    def commit_batch(
        self,
        batch: MeteredBatch,
        *,
        judge_again: Callable[[Mapping[bytes, int], Mapping[EventPlace, str]], BatchContents],
    ) -> Outcome:
        """Add the batch, all or nothing; durable on return.

        It was judged before, so that the transaction is short; `judge_again` is called inside only when some ids were
        seen before, with their keys and the first events' content checksums, or when some reversals are refused, with
        their places and the reasons.
        An exception leaves the outcome unknown: read the position.
        """
        contents = batch.contents
        with self._database.write() as connection:
            if _definitions_version(connection) != batch.definitions_version:
                return Outcome.STALE
            if not _moved(connection, batch.partition, after=batch.after, through=batch.through):
                return Outcome.OVERTAKEN
            refused = revert(connection, batch.reversals, at=batch.metered_at) if batch.reversals else {}
            known, without_id = self._take_ids(connection, batch, refused)
            inherited = heirs(batch.reversals, refused)
            duplicates = {key: content for key, content in known.items() if key not in inherited}
            if duplicates or refused:
                contents = judge_again(duplicates, refused)
            insert_repeats(connection, [*batch.repeats, *without_id])
            _add(connection, contents)
            note_late_usage(connection, contents.late)
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

    def reverted(self, places: Sequence[EventPlace]) -> dict[EventPlace, Reverted]:
        """Those of the places whose events were taken back."""
        with self._database.read() as connection:
            return reverted(connection, places)

    def newest_reverted(self, organisation_id: str, *, before: tuple[int, int], limit: int) -> list[Reverted]:
        """The organisation's events that were taken back, newest received first, those before a position and index."""
        with self._database.read() as connection:
            return newest_reverted(connection, organisation_id, before=before, limit=limit)

    def rows(self, organisation_id: str, account_id: str, *, start: datetime, end: datetime) -> list[UsageRow]:
        """Usage rows over `[start, end)`, both on whole hours, ordered by meter and hour."""
        with self._database.read() as connection:
            return usage_rows(connection, organisation_id, account_id, start=start, end=end)

    def places_of(self, key: bytes) -> list[tuple[int, int]]:
        """Where the events with this key lie, as (partition, position): the first one and its repeats."""
        repeat = event_repeat.c
        with self._database.read() as connection:
            firsts = {(entry.partition, entry.position) for entry in entries_of(connection, key)}
            repeats = connection.execute(select(repeat.partition, repeat.position).where(repeat.key == key))
            return sorted(firsts.union((partition, position) for partition, position in repeats))

    def forget_keys(self, *, received_before_hour: int, after: bytes, limit: int) -> bytes | None:
        """Forget expired runs of keys, and expired repeats among the `limit` behind `after`.

        Return where to go on, None at the end. In slices of key order, because one large deletion would hold the
        database for minutes. A run of which some keys are not expired stays; those that are count as new all the same.
        """
        with self._database.write() as connection:
            forget_runs(connection, received_before_hour=received_before_hour)
            return forget_repeats(connection, received_before_hour=received_before_hour, after=after, limit=limit)

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

        def is_wanted(table: Table) -> list[ColumnElement[bool]]:
            wanted = [table.c.organisation_id == organisation_id, *_hours(table.c.event_hour, start, end)]
            if account_ids is not None:
                wanted.append(table.c.account_id.in_(account_ids))
            if meter_ids:
                wanted.append(table.c.meter_id.in_(meter_ids))
            return wanted

        with self._database.read() as connection:
            return _usage_rows(connection, is_wanted)

    def _take_ids(
        self, connection: Connection, batch: MeteredBatch, refused: Collection[EventPlace]
    ) -> tuple[dict[bytes, int], list[EventKey]]:
        """The contents of events that hold ids of the batch already, and the batch's events that did not get theirs.

        An event that is not ingested, because its reversal is refused, takes no id.
        """
        if not batch.keys:
            return {}, []
        # Imported by the process that meters alone: numpy takes a quarter of a second and 16 MiB.
        from tallybook.storage.event_key_runs import KnownRuns, unpacked

        if self._known_runs is None:
            self._known_runs = KnownRuns()
        return self._known_runs.take_ids(
            connection,
            unpacked(batch.keys),
            hours_kept=self._event_key_hours,
            left_out={
                each.replacement_key for each in batch.reversals if each.replacement_key and each.place in refused
            },
        )


def _hours(column: ColumnElement[int], start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    return column >= hours_since_1970(start), column < hours_since_1970(end)


def usage_rows(
    connection: Connection, organisation_id: str, account_id: str, *, start: datetime, end: datetime
) -> list[UsageRow]:
    """The same as `UsageStore.rows`, inside a transaction of the caller's."""
    return usage_of_accounts(connection, organisation_id, [account_id], start=start, end=end).get(account_id, [])


def usage_of_accounts(
    connection: Connection, organisation_id: str, account_ids: Collection[str], *, start: datetime, end: datetime
) -> dict[str, list[UsageRow]]:
    """The same for several accounts, by account id."""
    found: dict[str, list[UsageRow]] = {}
    for some in in_pieces(sorted(account_ids)):

        def is_wanted(table: Table, some: Sequence[str] = some) -> list[ColumnElement[bool]]:
            of_accounts = (table.c.organisation_id == organisation_id, table.c.account_id.in_(some))
            return [*of_accounts, *_hours(table.c.event_hour, start, end)]

        for row in _usage_rows(connection, is_wanted):
            found.setdefault(row.account_id, []).append(row)
    return found


def _usage_rows(connection: Connection, is_wanted: Callable[[Table], list[ColumnElement[bool]]]) -> list[UsageRow]:
    """Usage with its values, by account, meter and hour; `is_wanted` makes conditions on columns both tables have."""
    places = (usage.c.account_id, usage.c.meter_id, usage.c.event_hour)
    query = select(*places, usage.c.units, usage.c.event_count).where(*is_wanted(usage)).order_by(*places)
    values = _values(connection, is_wanted(usage_value))
    return [
        UsageRow(
            account_id=account_id,
            meter_id=meter_id,
            event_hour=hour,
            units=units,
            event_count=event_count,
            values=frozenset(values.get((account_id, meter_id, hour), ())) if values else NO_VALUES,
        )
        for account_id, meter_id, hour, units, event_count in connection.execute(query).all()
    ]


def _values(connection: Connection, is_wanted: list[ColumnElement[bool]]) -> dict[tuple[str, str, int], set[str]]:
    """Values by account, meter and hour: all that are to be counted, and the least and the greatest of the others."""
    kept = usage_value.c
    places = (kept.account_id, kept.meter_id, kept.event_hour)
    extremes = select(*places, func.min(kept.value), func.max(kept.value)).where(kept.value < DISTINCT_MARK)
    counted = select(*places, kept.value).where(kept.value >= DISTINCT_MARK)
    found: dict[tuple[str, str, int], set[str]] = {}
    for query in (extremes.group_by(*places), counted):
        for account_id, meter_id, hour, *values in connection.execute(query.where(*is_wanted)):
            found.setdefault((account_id, meter_id, hour), set()).update(values)
    return found


def every_usage_row(connection: Connection) -> dict[UsagePlace, tuple[Decimal, int]]:
    """All usage: units and events by place. For checking; it is as large as it is."""
    places = (usage.c.organisation_id, usage.c.account_id, usage.c.meter_id, usage.c.event_hour)
    rows = connection.execute(select(*places, usage.c.units, usage.c.event_count))
    return {(row[0], row[1], row[2], row[3]): (row.units, row.event_count) for row in rows}


def every_value(connection: Connection) -> dict[tuple[UsagePlace, str], int]:
    """All values that events left: how many left each, by place and value. For checking."""
    kept = usage_value.c
    places = (kept.organisation_id, kept.account_id, kept.meter_id, kept.event_hour)
    rows = connection.execute(select(*places, kept.value, kept.event_count))
    return {((row[0], row[1], row[2], row[3]), row.value): row.event_count for row in rows}


def judged_by_receipt(connection: Connection) -> dict[tuple[str, int], dict[str, int]]:
    """Events with a verdict: by organisation and hour of receipt (hours since 1970), then by status."""
    counted = event_count.c
    query = select(counted.organisation_id, counted.received_hour, counted.status, func.sum(counted.event_count))
    found: dict[tuple[str, int], dict[str, int]] = {}
    grouped = query.group_by(counted.organisation_id, counted.received_hour, counted.status)
    for organisation_id, hour, status, count in connection.execute(grouped):
        found.setdefault((organisation_id, hour), {})[status] = int(count)
    return found


def rows_by_meter(rows: Sequence[UsageRow]) -> dict[str, list[UsageRow]]:
    """Usage rows by meter id."""
    found: dict[str, list[UsageRow]] = {}
    for row in rows:
        found.setdefault(row.meter_id, []).append(row)
    return found


def has_events(connection: Connection, organisation_id: str, account_id: str, status: str) -> bool:
    """Whether events with that status are counted for an account; as sent, where it could not be resolved."""
    counted = event_count.c
    query = select(counted.event_count).where(
        counted.organisation_id == organisation_id, counted.account_id == account_id, counted.status == status
    )
    return connection.execute(query.limit(1)).first() is not None


def read_position(connection: Connection, partition: int) -> int:
    """The same as `UsageStore.position`, inside a transaction of the caller's."""
    query = select(metering_position.c.position).where(metering_position.c.partition == partition)
    return connection.execute(query).scalar() or 0


def read_positions(connection: Connection) -> tuple[tuple[int, int], ...]:
    """Every partition with its position."""
    column = metering_position.c
    query = select(column.partition, column.position).order_by(column.partition)
    return tuple((partition, position) for partition, position in connection.execute(query))


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


class _Sums(NamedTuple):
    """The statements that add to a table of sums, and that delete a place which is left without events."""

    add: str
    delete: str
    key_columns: int


def _sums(table: str, keys: Sequence[str], sums: Mapping[str, str]) -> _Sums:
    columns = [*keys, *sums]
    marks = ", ".join("?" for _ in columns)
    changes = ", ".join(f"{column} = {total}" for column, total in sums.items())
    place = " AND ".join(f"{key} = ?" for key in keys)
    return _Sums(
        add=f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "  # noqa: S608  # names from this file only
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}",
        delete=f"DELETE FROM {table} WHERE {place} AND event_count = 0",  # noqa: S608
        key_columns=len(keys),
    )


def _add(connection: Connection, contents: BatchContents) -> None:
    for sums, deltas in (
        (_USAGE, contents.usage),
        (_VALUE, contents.values),
        (_COUNT, contents.counts),
        (_VERDICT, _verdicts(contents.counts)),
    ):
        if deltas:
            connection.exec_driver_sql(sums.add, list(deltas))
        lessened = [delta[: sums.key_columns] for delta in deltas if delta.event_count < 0]
        if lessened:
            connection.exec_driver_sql(sums.delete, lessened)


def _verdicts(counts: Sequence[CountDelta]) -> list[VerdictDelta]:
    """The same counts by organisation, hour of receipt and status alone."""
    sums: dict[tuple[str, int, str], int] = {}
    for organisation_id, _, _, received_hour, _, status, count in counts:
        place = (organisation_id, received_hour, status)
        sums[place] = sums.get(place, 0) + count
    return [VerdictDelta(*place, count) for place, count in sums.items() if count]


_SUM_OF_COUNTS: Callable[[str], str] = "{0}.event_count + excluded.event_count".format
_USAGE = _sums(
    "usage",
    ("organisation_id", "account_id", "meter_id", "event_hour"),
    {"units": "exact_add(usage.units, excluded.units)", "event_count": _SUM_OF_COUNTS("usage")},
)
_VALUE = _sums(
    "usage_value",
    ("organisation_id", "account_id", "meter_id", "event_hour", "value"),
    {"event_count": _SUM_OF_COUNTS("usage_value")},
)
_COUNT = _sums(
    "event_count",
    ("organisation_id", "account_id", "event_hour", "received_hour", "schema_name", "status"),
    {"event_count": _SUM_OF_COUNTS("event_count")},
)
_VERDICT = _sums(
    "verdict_count",
    ("organisation_id", "received_hour", "status"),
    {"event_count": _SUM_OF_COUNTS("verdict_count")},
)
