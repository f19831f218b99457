"""Which events a correction is about: found in the blocks and the lake by what identifies them, in an order that stays.

That order is the latest event time first, then event ids; the place in the log tells apart what is left.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from tallybook.core.correction import EventPlace
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.flows.query import Events, among_positions, lake_rows, of_organisation, rows_in
from tallybook.flows.verdict import event_key_of
from tallybook.storage.event_rows import EventRow, sql_literal

ROWS_PER_LOOK = 500  # read at once; those that were corrected before are passed over


class TargetFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the events have in common; None is anything. Instants are microseconds since 1970 UTC.

    `account_id` also matches the reference as sent. `received_from`, of the first receipt, and `event_from` are
    inclusive, `event_before` is not.
    """

    account_id: str | None = None
    schema_name: str | None = None
    status: IngestionStatus | None = None
    event_id: str | None = None
    place: EventPlace | None = None
    event_time: int | None = None
    received_at: int | None = None
    received_from: int | None = None
    event_from: int | None = None
    event_before: int | None = None

    @property
    def names_events(self) -> bool:
        """Whether it is about events that the caller knows, and not about all of a kind."""
        return any(each is not None for each in (self.event_id, self.place, self.event_time, self.received_at))

    def matches(self, row: EventRow) -> bool:
        """Whether the row may be wanted; whether it was taken back is not in the row."""
        return (
            (self.account_id is None or self.account_id in (row.account_id, row.account_reference))
            and self.schema_name in (None, row.schema_name)
            and self.status in (None, row.status)
            and self.event_id in (None, row.event_id)
            and self.place in (None, (row.partition, row.position, row.index))
            and self.event_time in (None, row.event_time)
            and self.received_at in (None, row.received_at)
            and (self.received_from is None or (row.first_received_at or row.received_at) >= self.received_from)
            and (self.event_from is None or row.event_time >= self.event_from)
            and (self.event_before is None or row.event_time < self.event_before)
        )

    def is_about(self, row: EventRow) -> bool:
        """Whether a matching event is one to correct: of all of a kind, those that count for nothing are not."""
        return self.names_events or row.status not in (IngestionStatus.REVERTED, IngestionStatus.DUPLICATE)


class SourceOrder(NamedTuple):
    """The place of an event in the order of targets; sorts as they do."""

    time_before_end: int  # the event time, its sign turned
    event_id: str
    position: int
    event_index: int


class Targets:
    """Finds the events of one partition that are to be corrected."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def page(
        self, organisation_id: str, wanted: TargetFilter, *, after: SourceOrder | None, through: int, limit: int
    ) -> tuple[list[EventRow], SourceOrder | None]:
        """Up to so many metered events accepted up to a position; and where to go on from, None at the end."""
        found: list[EventRow] = []
        while len(found) <= limit:
            some = self._resting(organisation_id, wanted, after, through)
            found += filter(wanted.is_about, self._events.marked(some))
            if len(some) < ROWS_PER_LOOK:
                break
            after = _order(some[-1])
        if len(found) <= limit:
            return found, None
        return found[:limit], _order(found[limit - 1])

    def in_progress(self, organisation_id: str, wanted: TargetFilter) -> list[EventRow]:
        """The events that match and have no verdict yet, newest received first."""
        behind = self._events.usage_store.position(self._events.partition)
        return [row for row in self._events.in_progress(organisation_id, behind=behind) if wanted.matches(row)]

    def _resting(
        self, organisation_id: str, wanted: TargetFilter, after: SourceOrder | None, through: int
    ) -> list[EventRow]:
        """The first rows behind that place, as they are stored."""
        positions = self._positions(organisation_id, wanted)
        blocks, snapshot = self._events.blocks_and_lake()
        rows = [
            row
            for block in blocks
            if not positions or any(block.first_position <= each <= block.last_position for each in positions)
            for row in rows_in(block, organisation_id)
            if wanted.matches(row) and row.position <= through and (after is None or _order(row) > after)
        ]
        conditions = [*of_organisation(organisation_id), *_conditions(wanted), f"position <= {through}"]
        if positions:
            conditions.append(among_positions(positions))
        if after is not None:
            conditions.append(_behind(after))
        rows += lake_rows(snapshot, conditions, order=_SQL_ORDER, limit=ROWS_PER_LOOK)
        return sorted(rows, key=_order)[:ROWS_PER_LOOK]

    def _positions(self, organisation_id: str, wanted: TargetFilter) -> set[int]:
        """Where the events must lie, if something says so; empty: anywhere."""
        if wanted.place is not None:
            return {wanted.place.position}
        if wanted.event_id is None or wanted.event_time is not None or wanted.received_at is not None:
            return set()  # with an instant beside the id it may be an event whose id was forgotten and used again
        key = event_key_of(organisation_id, wanted.event_id)
        return {position for _, position in self._events.usage_store.places_of(key)}


def _order(row: EventRow) -> SourceOrder:
    return SourceOrder(-row.event_time, row.event_id or "", row.position, row.index)


def _conditions(wanted: TargetFilter) -> Iterator[str]:
    if wanted.account_id is not None:
        account = sql_literal(wanted.account_id)
        yield f"(account_id = {account} OR account_reference = {account})"
    for column, text in (
        ("schema_name", wanted.schema_name),
        ("status", wanted.status),
        ("event_id", wanted.event_id),
    ):
        if text is not None:
            yield f"{column} = {sql_literal(text)}"
    if wanted.place is not None:
        yield f"position = {wanted.place.position} AND index = {wanted.place.event_index}"
    for column, relation, instant in (
        ("event_time", "=", wanted.event_time),
        ("received_at", "=", wanted.received_at),
        ("coalesce(first_received_at, received_at)", ">=", wanted.received_from),
        ("event_time", ">=", wanted.event_from),
        ("event_time", "<", wanted.event_before),
    ):
        if instant is not None:
            yield f"{column} {relation} {sql_instant(instant)}"


def _behind(after: SourceOrder) -> str:
    time, event_id = sql_instant(-after.time_before_end), sql_literal(after.event_id)
    later = f"(position > {after.position} OR (position = {after.position} AND index > {after.event_index}))"
    same_time = f"({_EVENT_ID} > {event_id} OR ({_EVENT_ID} = {event_id} AND {later}))"
    return f"(event_time < {time} OR (event_time = {time} AND {same_time}))"


def sql_instant(microseconds: int) -> str:
    return f"arrow_cast({microseconds}, 'Timestamp(Microsecond, Some(\"UTC\"))')"


_EVENT_ID = "coalesce(event_id, '')"
_SQL_ORDER = f"event_time DESC, {_EVENT_ID}, position, index"
