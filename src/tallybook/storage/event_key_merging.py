"""Joining runs of event keys, so that there are few of them however small the micro-batches were.

Sixteen runs or more of about one size become one. That is done in short steps, each a transaction that adds one piece
to the growing run; the last of them puts the run in the place of the others. Where a merge stands is in the tables
alone: any process may do the next step, a killed one leaves nothing undone, and of two that do the same step one
changes nothing. Expired keys are left out.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select

from tallybook.storage.database import Database
from tallybook.storage.event_key_runs import (
    Entries,
    Shape,
    add_piece,
    in_key_order,
    insert_run,
    keys_between,
    piece_of,
    shape_of,
    unpacked,
)
from tallybook.storage.event_keys import RunState
from tallybook.storage.tables import event_key_filter, event_key_page, event_key_run

RUNS_PER_MERGE = 16
SIZE_BITS = 4  # runs are of one size when their entry counts have the same number of hexadecimal digits
MERGED_ENTRIES_MAX = 16**5  # a run as large is joined no more; it goes as a whole when its last key has expired
PAGES_DELETED_PER_STEP = 2_000


class _Run(NamedTuple):
    run: int
    state: str
    entry_count: int
    oldest_hour: int
    newest_hour: int
    merged_into: int | None


class _Growth(NamedTuple):
    """A growing run, the runs that are joined into it, and the number of pieces that it has."""

    into: _Run
    inputs: list[_Run]
    done: int

    @property
    def entry_count(self) -> int:
        """At most; some will have expired."""
        return sum(each.entry_count for each in self.inputs)

    @property
    def shape(self) -> Shape:
        """It stays the same while the run grows."""
        return shape_of(self.entry_count)


class EventKeyMerging:
    """The merging of runs, a step at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take_step(self, *, received_before_hour: int | None) -> bool:
        """Do one piece of what is to be done, if anything; False when there is nothing to do.

        `received_before_hour` is the hour before which keys have expired; None for those that never do.
        """
        return self._begin() or self._clear() or self._grow(received_before_hour)

    def _begin(self) -> bool:
        """Choose runs that are to be joined."""
        with self._database.read() as connection:
            if not _mergeable(_runs(connection)):
                return False
        with self._database.write() as connection:
            inputs = _mergeable(_runs(connection))  # as it is now: another process may have begun
            if not inputs:
                return True
            growing = insert_run(
                connection,
                RunState.GROWING,
                entry_count=0,
                oldest_hour=max(each.newest_hour for each in inputs),
                newest_hour=min(each.oldest_hour for each in inputs),
            )
            chosen = event_key_run.c.run.in_([each.run for each in inputs])
            connection.execute(event_key_run.update().where(chosen).values(merged_into=growing))
        return True

    def _clear(self) -> bool:
        """Delete some of the pages of dead runs, and the runs that have none left."""
        with self._database.read() as connection:
            if not _dead(connection):
                return False
        with self._database.write() as connection:
            left = PAGES_DELETED_PER_STEP
            for run in _dead(connection):
                page = event_key_page.c
                some = select(page.page).where(page.run == run).order_by(page.first_key).limit(left)
                left -= connection.execute(delete(event_key_page).where(page.page.in_(some))).rowcount
                if not left:
                    break
                connection.execute(delete(event_key_filter).where(event_key_filter.c.run == run))
                connection.execute(delete(event_key_run).where(event_key_run.c.run == run))
        return True

    def _grow(self, received_before_hour: int | None) -> bool:
        """Add the next piece to the run that will be the smallest."""
        with self._database.read() as connection:
            growth = min(_growths(connection), key=lambda each: each.entry_count, default=None)
            if growth is None:
                return False
            entries = _piece(connection, growth)
        if received_before_hour is not None:
            entries = entries[entries["received_hour"] >= received_before_hour]
        entries = in_key_order(entries)
        with self._database.write() as connection:
            if growth in _growths(connection):  # else another process has added the piece
                _add(connection, growth, entries)
        return True


def _add(connection: Connection, growth: _Growth, entries: Entries) -> None:
    into = growth.into
    hours = entries["received_hour"]
    into = into._replace(
        entry_count=into.entry_count + len(entries),
        oldest_hour=int(hours.min(initial=into.oldest_hour)),
        newest_hour=int(hours.max(initial=into.newest_hour)),
    )
    add_piece(connection, into.run, growth.done, entries, growth.shape)
    run = event_key_run.c
    if growth.done + 1 == growth.shape.piece_count:
        into = into._replace(state=(RunState.LIVE if into.entry_count else RunState.DEAD).value)
        inputs = event_key_run.update().where(run.merged_into == into.run)
        connection.execute(inputs.values(state=RunState.DEAD.value, merged_into=None))
    connection.execute(event_key_run.update().where(run.run == into.run).values(into._asdict()))


def _runs(connection: Connection) -> list[_Run]:
    return [_Run(*row) for row in connection.execute(select(event_key_run).order_by(event_key_run.c.run))]


def _size(run: _Run) -> int:
    return (run.entry_count.bit_length() - 1) // SIZE_BITS


def _mergeable(runs: Sequence[_Run]) -> list[_Run]:
    """Live runs of one size, the smallest of which there are enough; none when there are not."""
    free = [
        each
        for each in runs
        if each.state == RunState.LIVE.value and each.merged_into is None and each.entry_count < MERGED_ENTRIES_MAX
    ]
    for _, same in groupby(sorted(free, key=_size), key=_size):
        of_one_size = list(same)
        if len(of_one_size) >= RUNS_PER_MERGE:
            return of_one_size
    return []


def _growths(connection: Connection) -> list[_Growth]:
    runs = _runs(connection)
    column = event_key_filter.c
    return [
        _Growth(
            growing,
            [each for each in runs if each.merged_into == growing.run],
            connection.execute(select(func.count()).where(column.run == growing.run)).scalar_one(),
        )
        for growing in runs
        if growing.state == RunState.GROWING.value
    ]


def _dead(connection: Connection) -> list[int]:
    run = event_key_run.c
    return list(connection.execute(select(run.run).where(run.state == RunState.DEAD.value)).scalars())


def _piece(connection: Connection, growth: _Growth) -> Entries:
    """The entries of all inputs that belong in the next piece, in no order."""
    lower, upper = keys_between(growth.shape, growth.done)
    page = event_key_page.c
    found: list[bytes] = []
    for each in growth.inputs:
        before = select(func.max(page.first_key)).where(page.run == each.run, page.first_key <= lower)
        within = (
            page.run == each.run,
            page.first_key >= func.coalesce(before.scalar_subquery(), b""),
            page.first_key <= upper,
        )
        found.extend(connection.execute(select(page.entries).where(*within)).scalars())
    return piece_of(unpacked(b"".join(found)), growth.done, growth.shape)
