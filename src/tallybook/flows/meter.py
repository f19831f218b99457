"""From logged bodies to committed usage, exactly once.

A micro-batch is what is waiting, up to a bound. It is judged outside the database transaction with the definitions of
one version; the commit refuses it when a definition has changed meanwhile or another worker was faster, and then it is
judged again. So a crash, a second worker or a worker that slept changes nothing.
"""

from datetime import datetime
from functools import partial

from tallybook.core.instant import instant_at
from tallybook.flows.judge import Judge, Judging
from tallybook.storage.interfaces import EventLog
from tallybook.storage.usage import MeteredBatch, Outcome, UsageStore


class Metering:
    """The metering of one partition of the log."""

    def __init__(self, usage_store: UsageStore, judge: Judge, *, ahead: Judging | None = None) -> None:
        """`ahead` judges the next micro-batch while one is committed; without it, `judge` does so in between."""
        self._usage_store = usage_store
        self._judge = judge
        self._ahead: Judging = ahead or judge
        self._after: int | None = None  # where `_ahead` was started

    def meter_waiting(self) -> int:
        """Judge and commit what is waiting, up to one micro-batch; return how many rows that made, at least 1.

        0 means that nothing was waiting, or that another worker has just metered it.
        """
        while True:
            batch = self._next_batch()
            if batch is None:
                return 0
            self._ahead.start(batch.through)
            outcome = self._usage_store.commit_batch(batch, judge_again=partial(self._judge.judge_again, batch))
            if outcome is Outcome.COMMITTED:
                self._after = batch.through
                return max(1, batch.contents.row_count)
            if outcome is Outcome.OVERTAKEN:
                return 0

    def _next_batch(self) -> MeteredBatch | None:
        after, self._after = self._after, None  # not known again before the commit has succeeded
        if after is not None and (batch := self._ahead.result()):
            return batch
        # Nothing was begun, or there was nothing yet when it looked.
        self._ahead.start(self._usage_store.position(self._judge.partition))
        return self._ahead.result()


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
