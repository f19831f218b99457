"""From a checked body to a durable record: group commit.

A group is whatever has come since the last commit. A body is acknowledged only by the commit that holds it; nothing is
acknowledged on a timer. Large bodies are written by a thread of their own, so that the next ones are checked meanwhile.
A group of small ones is written at once where they were submitted: handing them over would take longer than writing.
"""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from tallybook.core.errors import Busy, TallybookError
from tallybook.storage.interfaces import EventLog, Record

GROUP_BYTES_MAX = 16 * 1024 * 1024  # a commit stays a fraction of a second on a slow disk
SMALL_BYTES_MAX = 16 * 1024  # of a record; a group of such is checked and written in a millisecond or two
PENDING_BYTES_MAX = 128 * 1024 * 1024  # what may wait in memory before clients are told to wait themselves
BACKLOG_LOOK_INTERVAL_COMMITS = 64  # the backlog's size is read from the file, so not at every commit

Ticket = TypeVar("Ticket")


class Intake(Generic[Ticket]):
    """Appends records to the log in groups and says, per ticket, when they are durable."""

    def __init__(
        self,
        log: EventLog,
        *,
        backlog_bytes_max: int,
        settle: Callable[[Sequence[Ticket], TallybookError | None], None],
        soon: Callable[[Callable[[int], None], int], object],
    ) -> None:
        """`settle` is called, from either thread, with the tickets of a group: durable, or the error.

        `soon` calls a function in the submitting thread when it has done what is due now.
        """
        self._log = log
        self._settle = settle
        self._soon = soon
        self._small: list[tuple[Record, Ticket]] = []
        self._queue: SimpleQueue[tuple[Record, Ticket] | None] = SimpleQueue()
        self._closing = False
        # Two counters with one writer each need no lock; what is pending is their difference.
        self._submitted_bytes = 0
        self._settled_bytes = 0
        self._backlog = _Backlog(log, backlog_bytes_max)
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    def submit(self, record: Record, ticket: Ticket) -> None:
        """Take a record, from one thread; its ticket is settled when it is durable.

        Raises `Busy` when too much is waiting.
        """
        if self._closing:
            raise Busy("the server is stopping; resend in a moment", retry_after_s=5)
        size = len(record.body)
        pending = self._submitted_bytes - self._settled_bytes
        if not pending and size <= SMALL_BYTES_MAX:
            if not self._small:
                self._soon(self._append_small, 1)
            self._small.append((record, ticket))
            return
        if pending + size > PENDING_BYTES_MAX:
            raise Busy("too many events are waiting to be written; resend in a moment")
        self._submitted_bytes += size
        self._queue.put((record, ticket))

    def _append_small(self, count: int) -> None:
        """Append the small ones, unless there are more of them than at the last look: then more may be on their way."""
        if len(self._small) > count:
            self._soon(self._append_small, len(self._small))
            return
        group, self._small = self._small, []
        records = [record for record, _ in group]
        is_over, error = self._written(records, self._log.append_at_once)
        if is_over:
            self._settle([ticket for _, ticket in group], error)
        else:  # somebody else is writing, and the thread may wait for that
            self._submitted_bytes += sum(len(record.body) for record in records)
            for each in group:
                self._queue.put(each)

    def close(self) -> None:
        """Write what is queued, then stop."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            records = [record for record, _ in group]
            _, error = self._written(records, self._log.append)
            self._settled_bytes += sum(len(record.body) for record in records)
            self._settle([ticket for _, ticket in group], error)

    def _next_group(self) -> list[tuple[Record, Ticket]]:
        """What has queued up, at least one; nothing when the end was reached."""
        group: list[tuple[Record, Ticket]] = []
        size = 0
        while size < GROUP_BYTES_MAX:
            try:
                queued = self._queue.get(block=not group)
            except Empty:
                break
            if queued is None:
                self._queue.put(None)  # the end again, for when the group is written
                break
            group.append(queued)
            size += len(queued[0].body)
        return group

    def _written(
        self, records: Sequence[Record], append: Callable[[Sequence[Record]], int | None]
    ) -> tuple[bool, TallybookError | None]:
        """Whether that is over, and the error if it failed."""
        if self._backlog.is_full():
            return True, Busy(
                "events arrive faster than they are metered and the backlog is full",
                retry_after_s=5,
                code="BACKLOG_FULL",
            )
        try:
            return append(records) is not None, None
        except TallybookError as error:
            return True, error


class _Backlog:
    """Whether too much waits to be metered; looked at once in some commits, and at each while it is so."""

    def __init__(self, log: EventLog, bytes_max: int) -> None:
        self._log = log
        self._bytes_max = bytes_max
        self._commits = 0
        self._is_full = False

    def is_full(self) -> bool:
        if self._commits % BACKLOG_LOOK_INTERVAL_COMMITS == 0 or self._is_full:
            self._is_full = self._look()
        self._commits += 1
        return self._is_full

    def _look(self) -> bool:
        try:
            return self._log.used_bytes() > self._bytes_max
        except TallybookError:
            return False  # the append that follows says what is wrong
