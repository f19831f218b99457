"""The ids that were accepted: which event holds each, in sorted runs of fixed-size entries.

A run is written once and never changed. Its entries stand in key order in pages, so that a key is found by one look
into an index, and writing thousands of random keys costs no more than writing their bytes. How runs are written and
tested is in `event_key_runs`, how they are joined in `event_key_merging`. What is here needs no numpy, because most
processes only read.

An event gives its id up when a correction takes it back. Its entry stays, and its place is noted with the repeats.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from sqlalchemy import Connection, and_, func, or_, select

from tallybook.storage.definition_rows import in_pieces
from tallybook.storage.tables import event_key_page, event_key_run, event_repeat

ENTRY_FORMAT = struct.Struct("<16sqIii")  # key, position, content, hour of receipt, partition
LOOKUPS_PER_QUERY = 500  # three bound parameters each; SQLite's default limit is far above


class RunState(Enum):
    """What becomes of a run: GROWING → LIVE → DEAD, and a run of a micro-batch is LIVE at once."""

    GROWING = "GROWING"  # other runs are being joined into it; they are looked into, it is not
    LIVE = "LIVE"
    DEAD = "DEAD"  # waits to be deleted


class EventKey(NamedTuple):
    """An accepted event's key, a checksum of its text, its place, and when it was received in hours since 1970."""

    key: bytes
    content: int
    partition: int
    position: int
    received_hour: int


def packed(keys: Iterable[EventKey]) -> bytes:
    """Entries as a run has them, in key order; of many, `event_key_runs.pack_entries` makes them faster."""
    return b"".join(
        ENTRY_FORMAT.pack(key, position, content, received_hour, partition)
        for key, content, partition, position, received_hour in sorted(keys)
    )


def entries_of(connection: Connection, key: bytes) -> list[EventKey]:
    """Every entry with this key, in whichever run."""
    page = event_key_page.c
    in_run = (page.run == event_key_run.c.run, page.first_key <= key)
    newest = select(page.entries).where(*in_run).order_by(page.first_key.desc()).limit(1).correlate(event_key_run)
    query = select(newest.scalar_subquery()).where(event_key_run.c.state == RunState.LIVE.value)
    return [entry for entries in connection.execute(query).scalars() for entry in _entries_in(entries, key)]


def holders(connection: Connection, looks: Sequence[tuple[int, bytes]]) -> dict[bytes, EventKey]:
    """The entry that holds each key, among those of the runs where it is looked for; `looks` are runs and keys.

    Of several the newest holds it: the others were too old to matter when it came.
    """
    found = [
        entry
        for start in range(0, len(looks), LOOKUPS_PER_QUERY)
        for entry in _look(connection, looks[start : start + LOOKUPS_PER_QUERY])
    ]
    given_up = _given_up(connection, {entry.key for entry in found})
    holding: dict[bytes, EventKey] = {}
    for entry in found:
        if (entry.key, entry.partition, entry.position) not in given_up:
            other = holding.get(entry.key)
            if other is None or entry.received_hour > other.received_hour:
                holding[entry.key] = entry
    return holding


def give_up(connection: Connection, key: bytes, partition: int, position: int, *, received_hour: int) -> None:
    """Free an id, if the event at this place holds it; the place is remembered from `received_hour` on."""
    connection.exec_driver_sql(_GIVE_UP, (key, partition, position, received_hour))


def insert_repeats(connection: Connection, repeats: Iterable[EventKey]) -> None:
    """Remember where the repeats lie, so that reading an event by its id finds them too."""
    rows = [(key.key, key.partition, key.position, key.received_hour) for key in repeats]
    if rows:
        connection.exec_driver_sql(_INSERT_REPEAT, rows)


def forget_runs(connection: Connection, *, received_before_hour: int) -> None:
    """Forget whole runs of expired keys; single keys are forgotten when runs are joined."""
    run = event_key_run.c
    expired = (run.state == RunState.LIVE.value, run.merged_into.is_(None), run.newest_hour < received_before_hour)
    connection.execute(event_key_run.update().where(*expired).values(state=RunState.DEAD.value))


def forget_repeats(connection: Connection, *, received_before_hour: int, after: bytes, limit: int) -> bytes | None:
    """Delete expired repeats among the `limit` behind `after`; return where to go on, None at the end.

    An id that was given up stays so for as long as a run may hold its entry.
    """
    repeat = event_repeat.c
    slice_end: bytes | None = connection.execute(
        select(repeat.key).where(repeat.key > after).order_by(repeat.key).offset(limit - 1).limit(1)
    ).scalar()
    within = repeat.key > after if slice_end is None else repeat.key.between(after, slice_end)
    is_live = event_key_run.c.state == RunState.LIVE.value
    oldest_hour = connection.execute(select(func.min(event_key_run.c.oldest_hour)).where(is_live)).scalar()
    gone = or_(
        repeat.is_given_up == 0,
        repeat.received_hour < (received_before_hour if oldest_hour is None else oldest_hour),
    )
    connection.execute(event_repeat.delete().where(within, and_(repeat.received_hour < received_before_hour, gone)))
    return slice_end


def _look(connection: Connection, looks: Sequence[tuple[int, bytes]]) -> Iterator[EventKey]:
    marks = ", ".join(["(?, ?)"] * len(looks))
    query = f"WITH wanted (run, key) AS (VALUES {marks}) {_PAGE_OF_EACH}"  # marks only
    parameters = tuple(value for look in looks for value in look)
    for key, entries in connection.exec_driver_sql(query, parameters):
        yield from _entries_in(entries, key)


def _entries_in(entries: bytes | None, key: bytes) -> Iterator[EventKey]:
    """The entries of a page that have this key; they follow one another."""
    at = -1
    while entries is not None and (at := entries.find(key, at + 1)) >= 0:
        if at % ENTRY_FORMAT.size == 0:  # else it is part of other fields
            found, position, content, received_hour, partition = ENTRY_FORMAT.unpack_from(entries, at)
            yield EventKey(found, content, partition, position, received_hour)


def _given_up(connection: Connection, keys: Iterable[bytes]) -> set[tuple[bytes, int, int]]:
    """The keys, partitions and positions of events that gave their ids up."""
    repeat = event_repeat.c
    columns = select(repeat.key, repeat.partition, repeat.position).where(repeat.is_given_up == 1)
    return {
        (key, partition, position)
        for some in in_pieces(sorted(keys))
        for key, partition, position in connection.execute(columns.where(repeat.key.in_(some)))
    }


_PAGE_OF_EACH = (
    "SELECT key, (SELECT entries FROM event_key_page WHERE event_key_page.run = wanted.run AND first_key <= wanted.key "
    "ORDER BY first_key DESC LIMIT 1) FROM wanted"
)
_INSERT_REPEAT = (
    "INSERT INTO event_repeat (key, partition, position, received_hour, is_given_up) VALUES (?, ?, ?, ?, 0) "
    "ON CONFLICT DO NOTHING"
)
_GIVE_UP = (
    "INSERT INTO event_repeat (key, partition, position, received_hour, is_given_up) VALUES (?, ?, ?, ?, 1) "
    "ON CONFLICT DO UPDATE SET received_hour = max(event_repeat.received_hour, excluded.received_hour), is_given_up = 1"
)
