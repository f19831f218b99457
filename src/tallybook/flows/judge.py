"""Micro-batches: the verdicts on the events of some log records, and everything that they add together.

What a batch adds is worked out once it is assumed, or known, which ids were seen before.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from functools import partial
from typing import NamedTuple, Protocol

from tallybook.core.correction import EventPlace
from tallybook.core.decimals import EXACT, ZERO, plain_text
from tallybook.flows.definitions import Definitions
from tallybook.flows.judged_events import Group, JudgedEvents, Receipt, TakenIds, Units
from tallybook.flows.revert import (
    correction_in,
    move_counts,
    not_refused,
    reversal_rows,
    reversals,
    subtract_usage,
    up_to_a_correction,
)
from tallybook.flows.verdict import METERED, event_key_of
from tallybook.storage.event_rows import encode_block
from tallybook.storage.interfaces import EventLog, LoggedRecord
from tallybook.storage.late_usage import LateDay
from tallybook.storage.reversals import Reversal
from tallybook.storage.usage import (
    BatchContents,
    CountDelta,
    CountPlace,
    MeteredBatch,
    UsageDelta,
    UsagePlace,
    ValueDelta,
)

PIECE_EVENTS = 4000  # at 40,000 the same work took half as long again


class Judging(Protocol):
    """Judges the next micro-batch, perhaps while the caller commits the one before."""

    def start(self, after: int) -> None:
        """Begin with the records behind a position. What was begun before and not asked for is dropped."""

    def result(self) -> MeteredBatch | None:
        """What was begun last, once; None when nothing was behind the position. Raises `Corrupt`, `Busy`."""


class Judge:
    """Judges micro-batches of one partition of the log; a `Judging` that works when it is asked for the result."""

    def __init__(
        self,
        log: EventLog,
        definitions: Definitions,
        *,
        partition: int,
        batch_records_max: int,
        batch_bytes_max: int,
        plan_required: bool,
        clock: Callable[[], int],
    ) -> None:
        self._log = log
        self._definitions = definitions
        self.partition = partition
        self._batch_records_max = batch_records_max
        self._batch_bytes_max = batch_bytes_max
        self._plan_required = plan_required
        self._clock = clock
        self._after = 0

    def start(self, after: int) -> None:
        self._after = after

    def result(self) -> MeteredBatch | None:
        records = up_to_a_correction(self._records(self._after))
        if not records:
            return None
        version = self._definitions.refresh()
        metered_at = self._clock()
        judged = self._judged(records, {}, {}, metered_at)
        return MeteredBatch(
            partition=self.partition,
            after=self._after,
            through=records[-1].position,
            definitions_version=version,
            metered_at=metered_at,
            keys=judged.taken.packed(),
            repeats=judged.taken.repeats,
            contents=judged.contents,
            reversals=judged.reversals,
        )

    def judge_again(
        self, batch: MeteredBatch, seen_before: Mapping[bytes, int], refused: Mapping[EventPlace, str]
    ) -> BatchContents:
        """What the batch adds, given the keys that were there before, each with its first event's content checksum.

        And given the reversals that are refused: their events stay, and no others are ingested in their place.
        Only while no definition can change, that is, inside the transaction that commits the batch.
        """
        version = self._definitions.refresh()
        assert version == batch.definitions_version, "the commit has compared the versions"
        records = [record for record in self._records(batch.after) if record.position <= batch.through]
        return self._judged(records, seen_before, refused, batch.metered_at).contents

    def _records(self, after: int) -> Sequence[LoggedRecord]:
        return self._log.read(after=after, records_max=self._batch_records_max, bytes_max=self._batch_bytes_max)

    def _judged(
        self,
        records: Sequence[LoggedRecord],
        seen_before: Mapping[bytes, int],
        refused: Mapping[EventPlace, str],
        metered_at: int,
    ) -> "_Judged":
        correction = correction_in(records)
        taken = TakenIds(self.partition)
        usage: dict[UsagePlace, tuple[Decimal, int]] = {}
        values: dict[tuple[UsagePlace, str], int] = {}
        counts: dict[CountPlace, int] = {}
        late: set[LateDay] = set()
        groups: dict[Receipt, dict[Group, list[Units]]] = defaultdict(partial(defaultdict, list))
        tables = []
        for some in _pieces(records):
            piece = JudgedEvents(some, self._definitions, correction, plan_required=self._plan_required)
            if correction is not None:
                piece.take_places(correction, refused)
            piece.take_ids(taken, seen_before)
            late |= piece.late_days()
            piece.take_values(values)
            piece.group(groups)
            tables.append(piece.table(self.partition, metered_at))
        _add_usage(usage, groups)
        _add_counts(counts, groups)
        reverting: list[Reversal] = []
        if correction is not None:
            [record] = records
            targets = not_refused(correction, refused)
            subtract_usage(targets, record.organisation_id, usage=usage, values=values)
            move_counts(targets, record.organisation_id, counts)
            tables.append(reversal_rows(record, correction, targets, partition=self.partition, metered_at=metered_at))
            reverting = reversals(
                record,
                correction,
                keys=piece.event_keys,
                key_of=partial(event_key_of, record.organisation_id),
                replacement_days=piece.metered_days(),
            )
        contents = BatchContents(
            usage=[UsageDelta(*place, plain_text(total), count) for place, (total, count) in usage.items()],
            values=[ValueDelta(*place, value, count) for (place, value), count in values.items() if count],
            counts=[CountDelta(*place, count) for place, count in counts.items()],
            rows=encode_block(tables),
            row_count=sum(table.num_rows for table in tables),
            late=sorted(late),
        )
        return _Judged(taken, contents, reverting)


class _Judged(NamedTuple):
    taken: TakenIds
    contents: BatchContents
    reversals: list[Reversal]


def _pieces(records: Sequence[LoggedRecord]) -> Iterator[list[LoggedRecord]]:
    piece: list[LoggedRecord] = []
    size = 0
    for record in records:
        piece.append(record)
        size += record.event_count
        if size >= PIECE_EVENTS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _add_usage(
    usage: dict[UsagePlace, tuple[Decimal, int]], groups: Mapping[Receipt, Mapping[Group, Sequence[Units]]]
) -> None:
    """Add units by organisation, account, meter and hour of event time."""
    with localcontext(EXACT):  # for `sum`, which takes no context; it raises where a digit would be lost
        for (organisation_id, _), of_receipt in groups.items():
            for (account_id, event_hour, _, schema, status), rows in of_receipt.items():
                if status != METERED:
                    continue
                assert schema is not None, "a metered event has a schema"
                for meter_id, column in zip(schema.meter_ids, zip(*rows, strict=True), strict=True):
                    matched = [units for units in column if units is not None]
                    if matched:
                        place = (organisation_id, account_id, meter_id, event_hour)
                        total, count = usage.get(place, (ZERO, 0))
                        usage[place] = (sum(matched, total), count + len(matched))


def _add_counts(counts: dict[CountPlace, int], groups: Mapping[Receipt, Mapping[Group, Sequence[Units]]]) -> None:
    """Count events by organisation, account, hour of event time, hour of receipt, schema and status."""
    for (organisation_id, received_hour), of_receipt in groups.items():
        for (account_id, event_hour, schema_name, _, status), rows in of_receipt.items():
            place = (organisation_id, account_id, event_hour, received_hour, schema_name, status)
            counts[place] = counts.get(place, 0) + len(rows)
