"""Adding everything up again: the rows of all events against usage and counts, and those against what was accepted.

Usage, and the values that some aggregations keep, must be the fold of the rows, to the last digit; and for every hour
of receipt, what was accepted must equal what has a verdict and what is in progress. It may run beside a working server.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec
from arro3.core import Table

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import MICROSECONDS_PER_HOUR, hour_at
from tallybook.storage.blocks import all_blocks
from tallybook.storage.database import Database
from tallybook.storage.event_rows import EventRow, decode_blocks, rows_of
from tallybook.storage.interfaces import EventLog, Lake
from tallybook.storage.usage import UsagePlace, every_usage_row, every_value, judged_by_receipt, read_position
from tallybook.storage.verdict_counts import every_verdict_count

DIFFERENCES_SHOWN = 20
RECORDS_PER_READ = 1000
BYTES_PER_READ = 32 * 1024 * 1024

Receipt = tuple[str, int]
"""Organisation, and hour of receipt."""

Place = TypeVar("Place", UsagePlace, tuple[UsagePlace, str], tuple[str, int, str])
Value = TypeVar("Value", int, tuple[Decimal, int])


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What adding up found; no differences means that all is well."""

    accepted: int
    in_progress: int
    by_status: dict[str, int]
    usage_rows: int
    differences: list[str]


def verify_usage(
    database: Database,
    log: EventLog,
    lake: Lake,
    *,
    partition: int,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Read every event row once and compare; `on_rows` is told how many were read, for showing progress."""
    with database.read() as connection:
        position = read_position(connection, partition)
        usage = every_usage_row(connection)
        values = every_value(connection)
        judged = judged_by_receipt(connection)
        verdicts = every_verdict_count(connection)
        blocks = all_blocks(connection, partition)
    accepted = log.accepted()
    in_progress = _in_progress(log, after=position, through=accepted.last_position)
    snapshot = lake.snapshot(partition)
    tables = (Table.from_batches([batch]) for batch in snapshot.query("SELECT * FROM event"))
    fold = _Fold()
    fold.add_all((row for table in tables for row in rows_of(table) if row.position <= position), on_rows)
    for block in blocks:
        if block.last_position > snapshot.position:
            fold.add_all(iter(rows_of(decode_blocks([block.rows]))), on_rows)
    differences = [
        *fold.repeated_places(),
        *fold.wrong_reversals(),
        *_differences("usage", _some(fold.usage), usage),
        *_differences("value", _some(fold.values), values),
        *_differences("count", _some(fold.judged), _flat(judged)),
        *_differences("count by receipt", _some(fold.judged), verdicts),
        *_imbalances(accepted.by_receipt, judged, in_progress),
    ]
    return Verification(
        accepted=sum(accepted.by_receipt.values()),
        in_progress=sum(in_progress.values()),
        by_status=fold.by_status(),
        usage_rows=len(usage),
        differences=differences[:DIFFERENCES_SHOWN],
    )


class _Fold:
    """Usage, values and counts, added up from rows; a row that takes an event back counts with its sign turned."""

    def __init__(self) -> None:
        self.usage: dict[UsagePlace, tuple[Decimal, int]] = {}
        self.values: Counter[tuple[UsagePlace, str]] = Counter()
        self.judged: Counter[tuple[str, int, str]] = Counter()
        self._rows_at: Counter[int] = Counter()
        self._last_index: dict[int, int] = {}
        self._reversals: Counter[tuple[int, int]] = Counter()

    def add_all(self, rows: Iterator[EventRow], on_rows: Callable[[int], None]) -> None:
        for number, row in enumerate(rows, start=1):
            self._add(row)
            if number % 10_000 == 0:
                on_rows(10_000)

    def by_status(self) -> dict[str, int]:
        totals: Counter[str] = Counter()
        for (_, _, status), count in self.judged.items():
            totals[status] += count
        return {status: count for status, count in sorted(totals.items()) if count}

    def repeated_places(self) -> list[str]:
        """A record of n events must have n rows, numbered from 0: more of them is a row that stands twice."""
        return [
            f"log position {position}: {count} rows, numbered up to {self._last_index[position]}"
            for position, count in self._rows_at.items()
            if count != self._last_index[position] + 1
        ]

    def wrong_reversals(self) -> list[str]:
        """No event is taken back twice."""
        return [
            f"the event at log position {position}, index {index}: taken back {count} times"
            for (position, index), count in self._reversals.items()
            if count > 1
        ]

    def _add(self, row: EventRow) -> None:
        if row.index < 0:
            self._add_reversal(row)
            return
        self._rows_at[row.position] += 1
        self._last_index[row.position] = max(row.index, self._last_index.get(row.position, 0))
        self._count(row, row.status, 1)
        self._add_usage(row, 1)

    def _add_reversal(self, row: EventRow) -> None:
        assert row.reverts_position is not None, "a row without an event takes one back"
        assert row.reverts_index is not None, "the same"
        self._reversals[row.reverts_position, row.reverts_index] += 1
        self._count(row, row.status, -1)
        self._count(row, IngestionStatus.REVERTED.value, 1)
        self._add_usage(row, -1)

    def _count(self, row: EventRow, status: str, sign: int) -> None:
        self.judged[row.organisation_id, row.received_at // MICROSECONDS_PER_HOUR, status] += sign

    def _add_usage(self, row: EventRow, sign: int) -> None:
        if row.status != IngestionStatus.METERED:
            return
        assert row.account_id is not None, "a metered event has an account"
        for meter in row.meters:
            if meter.units is None:
                continue
            hour = row.event_time // MICROSECONDS_PER_HOUR
            place = (row.organisation_id, row.account_id, meter.meter_id, hour)
            units, count = self.usage.get(place, (ZERO, 0))
            self.usage[place] = (EXACT.add(units, EXACT.multiply(sign, Decimal(meter.units))), count + sign)
            if meter.value is not None:
                self.values[place, meter.value] += sign


def _in_progress(log: EventLog, *, after: int, through: int) -> Counter[Receipt]:
    """Events in the log records behind `after` up to `through`, by organisation and hour of receipt."""
    found: Counter[Receipt] = Counter()
    while after < through:
        records = log.read(after=after, records_max=RECORDS_PER_READ, bytes_max=BYTES_PER_READ)
        if not records:
            break
        for record in records:
            if record.position <= through:
                found[record.organisation_id, record.received_at // MICROSECONDS_PER_HOUR] += record.event_count
        after = records[-1].position
    return found


def _differences(what: str, found: Mapping[Place, Value], stored: Mapping[Place, Value]) -> Iterator[str]:
    for place in sorted(found.keys() | stored.keys()):
        if found.get(place) != stored.get(place):
            yield f"{what} {place}: the rows add up to {found.get(place)}, stored is {stored.get(place)}"


def _some(sums: Mapping[Place, Value]) -> dict[Place, Value]:
    """Without the places where everything was taken back: the database has no row for them."""
    return {place: total for place, total in sums.items() if total not in (0, (ZERO, 0))}


def _flat(judged: Mapping[Receipt, Mapping[str, int]]) -> dict[tuple[str, int, str], int]:
    return {(*place, status): count for place, counts in judged.items() for status, count in counts.items()}


def _imbalances(
    accepted: Mapping[Receipt, int], judged: dict[Receipt, dict[str, int]], in_progress: Counter[Receipt]
) -> Iterator[str]:
    for place in sorted(accepted.keys() | judged.keys()):
        verdicts = sum(judged.get(place, {}).values())
        if accepted.get(place, 0) != verdicts + in_progress[place]:
            organisation_id, hour = place
            yield (
                f"{organisation_id}, received in the hour of {hour_at(hour).isoformat()}: accepted "
                f"{accepted.get(place, 0)}, with a verdict {verdicts}, in progress {in_progress[place]}"
            )
