"""From the database's blocks to the lake: every row once, in large pieces, for ever.

The lake's commit carries the position it reaches. After a crash between that commit and the deletion of the blocks, the
position says which blocks the lake already holds: they are deleted, and nothing is appended.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tallybook.core.instant import MICROSECONDS_PER_HOUR
from tallybook.storage.blocks import BlockStore
from tallybook.storage.interfaces import EventLog, Lake
from tallybook.storage.usage import UsageStore

if TYPE_CHECKING:
    from tallybook.storage.event_key_merging import EventKeyMerging

KEYS_PER_SLICE = 20_000  # of repeats; some milliseconds of the write lock, at every archiving
PIECE_ROWS_MAX = 1_000_000  # one file of the lake; they pass through memory block by block


class Archive:
    """The archive flow of one partition."""

    def __init__(
        self,
        blocks: BlockStore,
        lake: Lake,
        log: EventLog,
        *,
        partition: int,
        crash_point: Callable[[], None] = lambda: None,
    ) -> None:
        """`crash_point` is called between the append and the deletion, where a crash test may kill the process."""
        self._blocks = blocks
        self._lake = lake
        self._log = log
        self._partition = partition
        self._crash_point = crash_point

    def waiting_rows(self) -> int:
        """How many rows the database holds for the lake."""
        return self._blocks.row_count(self._partition)

    def archive_waiting(self) -> int:
        """Move the oldest blocks, up to a bound, to the lake; return how many rows that were, at least 1.

        0 means that no block was there.
        """
        self._release(self._lake.position(self._partition))
        row_count, through = self._blocks.oldest(self._partition, rows_max=PIECE_ROWS_MAX)
        if not through:
            return 0
        rows = self._blocks.rows(self._partition, through=through)
        self._lake.append(rows, partition=self._partition, through=through)
        self._crash_point()
        self._release(through)
        return max(1, row_count)

    def compact(self) -> None:
        """Join the lake's small files when there are many."""
        self._lake.compact()

    def _release(self, through: int) -> None:
        """Delete the blocks and the log records whose rows the lake holds for good."""
        self._blocks.delete(self._partition, through=through)
        while self._log.trim(through=through):
            pass


class KeyUpkeep:
    """Keeps the remembered event ids few and quick to look through."""

    def __init__(
        self, usage_store: UsageStore, merging: "EventKeyMerging", *, event_key_hours: int, clock: Callable[[], int]
    ) -> None:
        """`event_key_hours` is how long a key is kept; 0 is for ever. `clock` gives microseconds since 1970."""
        self._usage_store = usage_store
        self._merging = merging
        self._event_key_hours = event_key_hours
        self._clock = clock
        self._after = b""

    def forget_some(self) -> None:
        """Forget keys of events that were received too long ago to be repeated: a slice, and then start again."""
        before = self._expired_before()
        if before is not None:
            end = self._usage_store.forget_keys(received_before_hour=before, after=self._after, limit=KEYS_PER_SLICE)
            self._after = end or b""

    def merge_some(self) -> bool:
        """Join small runs of keys, a short step of it; False when there was nothing to do."""
        return self._merging.take_step(received_before_hour=self._expired_before())

    def _expired_before(self) -> int | None:
        return self._clock() // MICROSECONDS_PER_HOUR - self._event_key_hours if self._event_key_hours else None
