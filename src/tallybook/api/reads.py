"""How long a client may take to send a body: the reads that are under way, and when each is over."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tallybook.core.errors import Invalid

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

LOOK_INTERVAL_S = 0.5  # how much later than its time a read may end


class Reads:
    """The reads of bodies in one event loop; one timer looks after them all, as one for each would cost too much."""

    def __init__(self) -> None:
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._is_watched = False

    def within(self, seconds: float) -> "_Read":
        """A context that raises `Invalid` where its task waits for a body that takes too long."""
        return _Read(self, seconds)

    def in_time(self, receive: Receive, timeout_s: int) -> Receive:
        """The same, for an application that reads bodies itself: all of a body must arrive within the time.

        It counts from when the application begins to read. What follows the body, the end of the connection, may take
        as long as it likes. Raises `Invalid`.
        """
        end: float | None = None
        is_complete = False

        async def receive_in_time() -> MutableMapping[str, Any]:
            nonlocal end, is_complete
            if is_complete:
                return await receive()
            now = asyncio.get_running_loop().time()
            if end is None:
                end = now + timeout_s
            with self.within(end - now):
                message = await receive()
            is_complete = not message.get("more_body")
            return message

        return receive_in_time

    def begin(self, seconds: float) -> asyncio.Task[Any]:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None, "a body is read by a task"
        self._ends[task] = loop.time() + seconds
        if not self._is_watched:
            self._is_watched = True
            loop.call_later(LOOK_INTERVAL_S, self._look, loop)
        return task

    def end(self, task: asyncio.Task[Any]) -> bool:
        """Say whether the time was up first, and the task has therefore been cancelled."""
        return self._ends.pop(task, None) is None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task in [task for task, end in self._ends.items() if end <= now]:
            del self._ends[task]
            task.cancel()
        self._is_watched = bool(self._ends)
        if self._is_watched:
            loop.call_later(LOOK_INTERVAL_S, self._look, loop)


class _Read:
    """One read, as a context."""

    def __init__(self, reads: Reads, seconds: float) -> None:
        self._reads = reads
        self._seconds = seconds

    def __enter__(self) -> None:
        self._task = self._reads.begin(self._seconds)

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if self._reads.end(self._task) and not self._task.uncancel() and isinstance(error, asyncio.CancelledError):
            raise Invalid("the request body did not arrive in time", code="BODY_TIMEOUT") from None
