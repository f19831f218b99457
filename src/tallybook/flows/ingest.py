"""From a checked body to a durable record: group commit.

One thread appends whatever has queued up since its last commit. A body is acknowledged only by the commit that holds
it; nothing is acknowledged on a timer.
"""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from tallybook.core.errors import Busy, TallybookError
from tallybook.storage.interfaces import EventLog, Record

GROUP_BYTES_MAX = 16 * 1024 * 1024  # a commit stays a fraction of a second on a slow disk
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
    ) -> None:
        """`settle` is called from the writing thread with the tickets of a group: durable, or the error."""
        self._log = log
        self._backlog_bytes_max = backlog_bytes_max
        self._settle = settle
        self._queue: SimpleQueue[tuple[Record, Ticket] | None] = SimpleQueue()
        self._closing = False
        # Two counters with one writer each need no lock; what is pending is their difference.
        self._submitted_bytes = 0
        self._settled_bytes = 0
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    def submit(self, record: Record, ticket: Ticket) -> None:
        """Queue a record, from one thread; its ticket is settled when it is durable.

        Raises `Busy` when too much is waiting.
        """
        if self._closing:
            raise Busy("the server is stopping; resend in a moment", retry_after_s=5)
        size = len(record.body)
        if self._submitted_bytes - self._settled_bytes + size > PENDING_BYTES_MAX:
            raise Busy("too many events are waiting to be written; resend in a moment")
        self._submitted_bytes += size
        self._queue.put((record, ticket))

    def close(self) -> None:
        """Write what is queued, then stop."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        commits = 0
        backlog_full = False
        while group := self._next_group():
            if commits % BACKLOG_LOOK_INTERVAL_COMMITS == 0 or backlog_full:
                backlog_full = self._backlog_is_full()
            commits += 1
            records = [record for record, _ in group]
            error = _backlog_full() if backlog_full else self._append(records)
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

    def _append(self, records: Sequence[Record]) -> TallybookError | None:
        try:
            self._log.append(records)
        except TallybookError as error:
            return error
        return None

    def _backlog_is_full(self) -> bool:
        try:
            return self._log.used_bytes() > self._backlog_bytes_max
        except TallybookError:
            return False  # the append that follows says what is wrong


def _backlog_full() -> Busy:
    return Busy(
        "events arrive faster than they are metered and the backlog is full", retry_after_s=5, code="BACKLOG_FULL"
    )
