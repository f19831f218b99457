"""From a checked body to a durable record: group commit.

One thread appends whatever has queued up since its last commit. A body is acknowledged only by the commit that holds
it; nothing is acknowledged on a timer.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
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
        self._queue: deque[tuple[Record, Ticket]] = deque()
        self._pending_bytes = 0
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    def submit(self, record: Record, ticket: Ticket) -> None:
        """Queue a record; its ticket is settled when it is durable. Raises `Busy` when too much is waiting."""
        with self._wake:
            if self._closing:
                raise Busy("the server is stopping; resend in a moment", retry_after_s=5)
            if self._pending_bytes + len(record.body) > PENDING_BYTES_MAX:
                raise Busy("too many events are waiting to be written; resend in a moment")
            self._pending_bytes += len(record.body)
            self._queue.append((record, ticket))
            self._wake.notify()

    def close(self) -> None:
        """Write what is queued, then stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        commits = 0
        backlog_full = False
        while group := self._next_group():
            tickets = [ticket for _, ticket in group]
            if commits % BACKLOG_LOOK_INTERVAL_COMMITS == 0 or backlog_full:
                backlog_full = self._backlog_is_full()
            commits += 1
            self._settle(tickets, _backlog_full() if backlog_full else self._append([record for record, _ in group]))

    def _next_group(self) -> list[tuple[Record, Ticket]]:
        with self._wake:
            while not self._queue and not self._closing:
                self._wake.wait()
            group: list[tuple[Record, Ticket]] = []
            size = 0
            while self._queue and (not group or size + len(self._queue[0][0].body) <= GROUP_BYTES_MAX):
                group.append(self._queue.popleft())
                size += len(group[-1][0].body)
            self._pending_bytes -= size
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
