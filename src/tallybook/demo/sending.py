"""Events on their way to the server: batches over a few connections, each sent until it is accepted."""

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Self

import msgspec

from tallybook.demo import DemoFailed
from tallybook.demo.caller import CONNECTIONS, Caller

BATCH_EVENTS = 1000  # the interface allows no more
TRIES_MAX = 60  # of one batch; a server that is busy asks for a second between them


class Sending:
    """Sends all `events` in threads of its own, in the background; leaving it stops and waits for them."""

    def __init__(self, caller: Caller, events: Iterable[dict[str, Any]]) -> None:
        self.accepted = 0
        self.batches = 0
        self.resent = 0
        self._caller = caller
        self._bodies = _bodies(events)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(CONNECTIONS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def is_done(self) -> bool:
        """Whether every event is accepted. Raises what went wrong in sending."""
        is_done = not any(thread.is_alive() for thread in self._threads)  # before the error, which comes first
        if self._error is not None:
            raise self._error
        return is_done

    def _send(self) -> None:
        try:
            while not self._stop.is_set():
                with self._lock:
                    count, body = next(self._bodies, (0, b""))
                if not count:
                    return
                self._send_until_accepted(body)
                with self._lock:
                    self.accepted += count
                    self.batches += 1
        except Exception as error:  # whatever it is, `is_done` raises it where the demo runs
            self._error = self._error or error
            self._stop.set()

    def _send_until_accepted(self, body: bytes) -> None:
        for _ in range(TRIES_MAX):
            pause_s = self._caller.send(body)
            if pause_s is None:
                return
            with self._lock:
                self.resent += 1
            if self._stop.wait(pause_s):
                raise DemoFailed("sending was stopped")
        raise DemoFailed(f"a batch was not accepted in {TRIES_MAX} tries")


def _bodies(events: Iterable[dict[str, Any]]) -> Iterator[tuple[int, bytes]]:
    """Request bodies, each with its number of events."""
    remaining = iter(events)
    while batch := list(islice(remaining, BATCH_EVENTS)):
        yield len(batch), msgspec.json.encode({"events": batch})
