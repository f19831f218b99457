"""From logged bodies to committed usage, exactly once.

A micro-batch is what is waiting, up to a bound. It is judged outside the database transaction with the definitions of
one version; the commit refuses it when a definition has changed meanwhile or another worker was faster, and then it is
judged again. So a crash, a second worker or a worker that slept changes nothing.
"""

from collections.abc import Callable
from datetime import datetime

from tallybook.core.instant import instant_at
from tallybook.flows.definitions import Definitions
from tallybook.flows.judge import JudgedBatch
from tallybook.storage.interfaces import EventLog
from tallybook.storage.usage import Outcome, UsageStore


class Metering:
    """The metering of one partition of the log."""

    def __init__(
        self,
        log: EventLog,
        usage_store: UsageStore,
        definitions: Definitions,
        *,
        partition: int,
        batch_records_max: int,
        batch_bytes_max: int,
        plan_required: bool,
        clock: Callable[[], int],
    ) -> None:
        self._log = log
        self._usage_store = usage_store
        self._definitions = definitions
        self._partition = partition
        self._batch_records_max = batch_records_max
        self._batch_bytes_max = batch_bytes_max
        self._plan_required = plan_required
        self._clock = clock
        self._position: int | None = None

    def meter_waiting(self) -> int:
        """Judge and commit what is waiting, up to one micro-batch; return how many events that were.

        0 means that nothing was waiting, or that another worker has just metered it.
        """
        after = self._usage_store.position(self._partition) if self._position is None else self._position
        self._position = None  # until the commit is known to have succeeded
        records = self._log.read(after=after, records_max=self._batch_records_max, bytes_max=self._batch_bytes_max)
        if not records:
            self._position = after
            return 0
        outcome = Outcome.STALE
        while outcome is Outcome.STALE:
            version = self._definitions.refresh()
            metered_at = self._clock()
            batch = JudgedBatch(
                records,
                self._definitions,
                partition=self._partition,
                plan_required=self._plan_required,
                metered_at=metered_at,
            )
            outcome = self._usage_store.commit_batch(
                batch, after=after, definitions_version=version, metered_at=metered_at
            )
        if outcome is Outcome.OVERTAKEN:
            return 0
        self._position = batch.through
        return batch.contents.row_count


class MeteredThrough:
    """Says through which instant of receipt everything accepted has its verdict; billing waits for it."""

    def __init__(self, log: EventLog, usage_store: UsageStore, *, partition: int) -> None:
        self._log = log
        self._usage_store = usage_store
        self._partition = partition

    def instant(self) -> datetime:
        """Every event received up to this instant is metered. It may say a moment too little, never too much."""
        position = self._usage_store.position(self._partition)
        return instant_at(self._log.received_through(position) - 1)
