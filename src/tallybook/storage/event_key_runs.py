"""Writing runs of event keys, and finding among thousands of keys those that may be in one.

For every run there is a filter, of some 20 bits for each key, that tells nearly every key that is not in the run.
A pair of 64-bit words holds what some keys have in common: the pair is chosen by the first half of the key, and in each
word four bits by the second half. So filters are in key order as the runs are, and are made piece by piece like them.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, select

from tallybook.storage.event_keys import ENTRY_FORMAT, EventKey, RunState, holders
from tallybook.storage.tables import event_key_filter, event_key_page, event_key_run

ENTRY = np.dtype(
    [
        ("high", ">u8"),  # the key's halves, in the order of its bytes
        ("low", ">u8"),
        ("position", "<i8"),
        ("content", "<u4"),
        ("received_hour", "<i4"),
        ("partition", "<i4"),
    ]
)
assert ENTRY.itemsize == ENTRY_FORMAT.size

PAGE_ENTRIES = 109  # with the rest of the row these fill one page of 4 KiB, where two more entries would fit
PIECE_ENTRIES_MAX = 65_536  # to add a piece takes some 10 ms of the write lock
PAIR_BITS = 128
FILTER_BITS_PER_ENTRY = 20  # a thousandth of the keys that are not in a run are looked for in vain
BITS_PER_WORD = 4

Entries = NDArray[Any]
"""Of dtype `ENTRY`, ordered by key."""

Words = NDArray[np.uint64]


def pack_entries(
    keys: Sequence[bytes],
    contents: Sequence[int],
    *,
    partition: int,
    positions: Sequence[int],
    received_hours: Sequence[int],
) -> bytes:
    """Entries of events' keys (16 bytes each), ordered by key, as `unpacked` and the database take them."""
    halves = np.frombuffer(b"".join(keys), ">u8").reshape(len(keys), 2)
    entries = np.empty(len(keys), ENTRY)
    entries["high"], entries["low"] = halves[:, 0], halves[:, 1]
    entries["position"] = positions
    entries["content"] = contents
    entries["received_hour"] = received_hours
    entries["partition"] = partition
    return in_key_order(entries).tobytes()


def unpacked(packed: bytes) -> Entries:
    return np.frombuffer(packed, ENTRY)


def in_key_order(entries: Entries) -> Entries:
    """The same entries, ordered by key."""
    high = _native(entries["high"])
    order = np.argsort(high)
    ordered = high[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((_native(entries["low"]), high))
    in_order: Entries = entries[order]
    return in_order


class KnownRuns:
    """Finds the events that hold ids already, among all that were committed.

    In memory are the filters of the live runs. A committed run never changes, and its number is never given again, so
    whatever others did meanwhile, they are right once the list of runs has been read anew.
    """

    def __init__(self) -> None:
        self._filters: dict[int, Words] = {}

    def take_ids(
        self, connection: Connection, entries: Entries, *, hours_kept: int, left_out: Collection[bytes | None]
    ) -> tuple[dict[bytes, int], list[EventKey]]:
        """Give these events their ids, but for the keys to be left out, and those that another event holds.

        Return the content checksums of these others by key, and the events that did not get their id. An id is free
        again when it was received more than `hours_kept` before; 0 is never. Inside a write transaction.
        """
        assert _are_distinct(entries), "a batch names each id once, in order"
        looks = self._looks(connection, entries)
        sent = {number: _event_key(entries, number) for _, number in looks}
        holding = holders(connection, [(run, sent[number].key) for run, number in looks])
        known: dict[bytes, int] = {}
        without: dict[int, EventKey] = {}
        for number, key in sent.items():
            holder = holding.get(key.key)
            if holder is None or (hours_kept and holder.received_hour < key.received_hour - hours_kept):
                continue
            if key.key not in left_out:
                known[key.key] = holder.content
                without[number] = key
        if left_out:
            every = (_event_key(entries, number) for number in range(len(entries)))
            without |= {number: key for number, key in enumerate(every) if key.key in left_out}
        added = np.delete(entries, list(without)) if without else entries
        _add_run(connection, _with_small_run(connection, added) if 0 < len(added) < PAGE_ENTRIES else added)
        return known, list(without.values())

    def _looks(self, connection: Connection, entries: Entries) -> list[tuple[int, int]]:
        """The runs that are to be looked into, each with the number of the entry whose key may be there."""
        self._refresh(connection)
        first_half = _first_half(entries)
        masks = _masks(_native(entries["low"]))
        return [
            (run, number)
            for run, words in self._filters.items()
            for number in _passing(words, first_half, masks).tolist()
        ]

    def _refresh(self, connection: Connection) -> None:
        is_live = event_key_run.c.state == RunState.LIVE.value
        live = set(connection.execute(select(event_key_run.c.run).where(is_live)).scalars())
        for run in self._filters.keys() - live:
            del self._filters[run]
        for run in sorted(live - self._filters.keys()):
            self._filters[run] = _read_filter(connection, run)


class Shape(NamedTuple):
    """How a run is divided into pieces, which are ranges of keys of the same width, and how large its filter is."""

    piece_count: int  # a power of two
    pairs_per_piece: int

    @property
    def pair_count(self) -> int:
        return self.piece_count * self.pairs_per_piece


def shape_of(entry_count: int) -> Shape:
    """The shape of a run for so many entries."""
    piece_count = 1 << (entry_count // PIECE_ENTRIES_MAX).bit_length()
    return Shape(piece_count, entry_count * FILTER_BITS_PER_ENTRY // (PAIR_BITS * piece_count) + 1)


def keys_between(shape: Shape, piece: int) -> tuple[bytes, bytes]:
    """The first and the last key that belong in a piece."""
    width = (1 << 128) // shape.piece_count
    return (piece * width).to_bytes(16, "big"), ((piece + 1) * width - 1).to_bytes(16, "big")


def piece_of(entries: Entries, piece: int, shape: Shape) -> Entries:
    """Those of the entries that belong in a piece."""
    pieces = _pair_of(_first_half(entries), shape.pair_count) // shape.pairs_per_piece
    chosen: Entries = entries[pieces == piece]
    return chosen


def insert_run(connection: Connection, state: RunState, *, entry_count: int, oldest_hour: int, newest_hour: int) -> int:
    """Make a run that has no pieces yet; return its number."""
    result = connection.execute(
        event_key_run.insert().values(
            state=state.value, entry_count=entry_count, oldest_hour=oldest_hour, newest_hour=newest_hour
        )
    )
    assert result.inserted_primary_key is not None, "the database numbers runs"
    return int(result.inserted_primary_key[0])


def add_piece(connection: Connection, run: int, piece: int, entries: Entries, shape: Shape) -> None:
    """Add the pages of a piece of a run, and its part of the filter."""
    if len(entries):
        connection.exec_driver_sql(_INSERT_PAGE, [(run, *page) for page in _pages(entries)])
    connection.exec_driver_sql(_INSERT_FILTER, (run, piece, _filter_of(entries, piece, shape).tobytes()))


def _add_run(connection: Connection, entries: Entries) -> None:
    """Make a run of these entries, if there are any."""
    if len(entries):
        hours = entries["received_hour"]
        hours_between = {"oldest_hour": int(hours.min()), "newest_hour": int(hours.max())}
        run = insert_run(connection, RunState.LIVE, entry_count=len(entries), **hours_between)
        shape = shape_of(len(entries))
        for piece in range(shape.piece_count):
            add_piece(connection, run, piece, piece_of(entries, piece, shape), shape)


def _with_small_run(connection: Connection, entries: Entries) -> Entries:
    """These entries with those of a small run, which goes: else every lone event would leave a run behind."""
    run = event_key_run.c
    is_free = (run.state == RunState.LIVE.value, run.merged_into.is_(None))
    fits = run.entry_count <= PAGE_ENTRIES - len(entries)
    small = connection.execute(select(run.run).where(*is_free, fits).order_by(run.run.desc()).limit(1)).scalar()
    if small is None:
        return entries
    page = event_key_page.c
    pages = connection.execute(select(page.entries).where(page.run == small)).scalars()
    joined = unpacked(b"".join([entries.tobytes(), *pages]))
    for table in (event_key_page, event_key_filter, event_key_run):
        connection.execute(delete(table).where(table.c.run == small))
    return in_key_order(joined)


def _native(halves: NDArray[Any]) -> Words:
    return halves.astype(np.uint64)


def _are_distinct(entries: Entries) -> bool:
    """Whether the entries are ordered by key, and no two have the same."""
    high, low = _native(entries["high"]), _native(entries["low"])
    is_next = (high[:-1] < high[1:]) | ((high[:-1] == high[1:]) & (low[:-1] < low[1:]))
    return bool(is_next.all())


def _event_key(entries: Entries, number: int) -> EventKey:
    key, position, content, received_hour, partition = ENTRY_FORMAT.unpack(entries[number].tobytes())
    return EventKey(key, content, partition, position, received_hour)


def _first_half(entries: Entries) -> Words:
    return _native(entries["high"]) >> np.uint64(32)


def _pages(entries: Entries) -> Iterator[tuple[bytes, bytes]]:
    """Pages with their first keys. The entries of one key stay together, so that one page answers for a key."""
    packed = entries.tobytes()
    start, size = 0, ENTRY.itemsize
    while start < len(entries):
        end = min(start + PAGE_ENTRIES, len(entries))
        while end < len(entries) and packed[end * size : end * size + 16] == packed[(end - 1) * size : end * size - 20]:
            end += 1
        yield packed[start * size : start * size + 16], packed[start * size : end * size]
        start = end


def _pair_of(first_half: Words, pair_count: int) -> NDArray[np.int64]:
    """Which pair of a filter's words a key's first 32 bits choose; it grows with the key."""
    pairs: NDArray[np.int64] = ((first_half * np.uint64(pair_count)) >> np.uint64(32)).astype(np.int64)
    return pairs


def _masks(low: Words) -> tuple[Words, Words]:
    """The bits of a key in the two words of its pair."""
    one, places = np.uint64(1), np.uint64(63)
    words = []
    for word in range(2):
        mask = np.zeros(len(low), np.uint64)
        for number in range(BITS_PER_WORD):
            mask |= one << ((low >> np.uint64(6 * (word * BITS_PER_WORD + number))) & places)
        words.append(mask)
    return words[0], words[1]


def _filter_of(entries: Entries, piece: int, shape: Shape) -> Words:
    """The piece of a filter that has the bits of these entries."""
    words = np.zeros(2 * shape.pairs_per_piece, np.uint64)
    if len(entries):
        pairs = _pair_of(_first_half(entries), shape.pair_count) - piece * shape.pairs_per_piece
        starts = np.flatnonzero(np.diff(pairs, prepend=-1))
        for word, mask in enumerate(_masks(_native(entries["low"]))):
            words[2 * pairs[starts] + word] = np.bitwise_or.reduceat(mask, starts)
    return words


def _passing(words: Words, first_half: Words, masks: tuple[Words, Words]) -> NDArray[np.int64]:
    """The numbers of the keys that may be in the filter's run."""
    firsts = 2 * _pair_of(first_half, len(words) // 2)
    may_be: NDArray[np.int64] = np.flatnonzero((words.take(firsts) & masks[0]) == masks[0])
    seconds = masks[1][may_be]
    passing: NDArray[np.int64] = may_be[(words.take(firsts[may_be] + 1) & seconds) == seconds]
    return passing


def _read_filter(connection: Connection, run: int) -> Words:
    column = event_key_filter.c
    pieces = connection.execute(select(column.words).where(column.run == run).order_by(column.piece)).scalars()
    return np.frombuffer(b"".join(pieces), np.uint64)


_INSERT_PAGE = "INSERT INTO event_key_page (run, first_key, entries) VALUES (?, ?, ?)"
_INSERT_FILTER = "INSERT INTO event_key_filter (run, piece, words) VALUES (?, ?, ?)"
