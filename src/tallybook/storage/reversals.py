"""Which events were taken back, by which correction. A row here is what makes a correction count once.

Whoever inserts the row of an event's place has reverted it; whoever comes second is refused. What is inserted here is
part of the transaction that commits the correction's micro-batch.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date

import msgspec
from sqlalchemy import Connection, RowMapping, and_, or_, select, tuple_

from tallybook.core.correction import CorrectionAction, EventPlace
from tallybook.storage.definition_rows import in_pieces
from tallybook.storage.event_keys import give_up
from tallybook.storage.late_usage import LateDay, note_late_usage
from tallybook.storage.tables import reversal

Day = tuple[str, date]
"""An account, and a day of its usage."""


class Reversal(msgspec.Struct, frozen=True, kw_only=True):
    """An event to be taken back, as the commit needs it.

    `key` is that of its id; `replacement_key` that of the event to be ingested in its place, which gets the index
    `replaced_by` at the position `reverted_by`. `days` are those whose usage the two change.
    """

    place: EventPlace
    organisation_id: str
    correction_id: str
    action: CorrectionAction
    reverted_by: int
    received_hour: int  # of the correction
    key: bytes | None
    is_counted: bool
    replaced_by: int | None = None
    replacement_key: bytes | None = None
    days: list[Day] = []


class Reverted(msgspec.Struct, frozen=True, kw_only=True):
    """That an event was taken back: by which correction, at which log position, and which event came in its place."""

    place: EventPlace
    reverted_by: int
    correction_id: str
    action: CorrectionAction
    replaced_by: EventPlace | None
    reverted_at: int


def revert(connection: Connection, reversals: Sequence[Reversal], *, at: int) -> dict[EventPlace, str]:
    """Mark the events as taken back and free their ids; return those refused, with the reason.

    Refused is what was taken back before. What changes a cycle whose invoice is issued is noted for the next one.
    """
    refused = dict.fromkeys(reverted(connection, (each.place for each in reversals)), "it was reverted before")
    for each in reversals:
        if each.place not in refused:
            _mark(connection, each, at)
            if each.key is not None:
                place = each.place
                give_up(connection, each.key, place.partition, place.position, received_hour=each.received_hour)
            note_late_usage(connection, [LateDay(each.organisation_id, *day) for day in each.days])
    return refused


def heirs(reversals: Iterable[Reversal], refused: Collection[EventPlace]) -> set[bytes]:
    """Keys that an event ingested again may have though another event holds them.

    It takes the place of one that counted beside that other, because one of the two came when the id was forgotten.
    """
    return {
        each.key
        for each in reversals
        if each.place not in refused and each.is_counted and each.key is not None and each.key == each.replacement_key
    }


def reverted(connection: Connection, places: Iterable[EventPlace]) -> dict[EventPlace, Reverted]:
    """Those of the places whose events were taken back."""
    found: dict[EventPlace, Reverted] = {}
    columns = tuple_(reversal.c.partition, reversal.c.position, reversal.c.event_index)
    for some in in_pieces(list(places)):
        for row in connection.execute(select(reversal).where(columns.in_(some))).mappings():
            each = _reverted(row)
            found[each.place] = each
    return found


def newest_reverted(
    connection: Connection, organisation_id: str, *, before: tuple[int, int], limit: int
) -> list[Reverted]:
    """The organisation's events that were taken back, newest received first, those before a position and index."""
    position, index = before
    column = reversal.c
    query = (
        select(reversal)
        .where(
            column.organisation_id == organisation_id,
            or_(column.position < position, and_(column.position == position, column.event_index < index)),
        )
        .order_by(column.position.desc(), column.event_index.desc())
        .limit(limit)
    )
    return [_reverted(row) for row in connection.execute(query).mappings()]


def _mark(connection: Connection, each: Reversal, at: int) -> None:
    connection.execute(
        reversal.insert().values(
            partition=each.place.partition,
            position=each.place.position,
            event_index=each.place.event_index,
            organisation_id=each.organisation_id,
            correction_id=each.correction_id,
            action=each.action.value,
            reverted_by=each.reverted_by,
            replaced_by=each.replaced_by,
            reverted_at=at,
        )
    )


def _reverted(row: RowMapping) -> Reverted:
    index = row["replaced_by"]
    return Reverted(
        reverted_by=row["reverted_by"],
        place=EventPlace(row["partition"], row["position"], row["event_index"]),
        correction_id=row["correction_id"],
        action=CorrectionAction(row["action"]),
        replaced_by=None if index is None else EventPlace(row["partition"], row["reverted_by"], index),
        reverted_at=row["reverted_at"],
    )
