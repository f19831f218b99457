"""Clients that send rides, and correct some, while the server is being killed; they remember what was acknowledged."""

import http.client
import threading
import time
from collections import deque
from random import Random
from typing import Any
from urllib.parse import urlencode

import msgspec
from rides import DUPLICATE, ride

REQUEST_TIMEOUT_S = 30
RETRY_PAUSE_S = 0.1
BATCH_SIZES = (1, 2, 7, 20, 60, 300, 1000)
BATCH_WEIGHTS = (8, 8, 12, 12, 6, 2, 1)
CORRECTIONS = 0.06  # so many of the requests undo or redo an event that is known to be accepted
CORRECTION_TIMEOUT_S = 120
IN_PROGRESS, REVERTED = "INGESTION_IN_PROGRESS", "REVERTED"
MALFORMED = {"schemaName": "ride", "id": "never accepted", "timestamp": "yesterday"}


class RideClient(threading.Thread):
    """Sends its share of the numbers, singly and in batches; what was not acknowledged it sends again, same ids.

    Only an answer is an acknowledgement: after a broken connection the outcome is unknown, whatever the server did.
    """

    def __init__(self, port: int, key: str, *, first: int, step: int, seed: int, pause_s: float) -> None:
        super().__init__(daemon=True, name=f"rides-{first}")
        self.acknowledged: set[int] = set()
        self.undone: set[int] = set()
        self.redone: set[int] = set()
        self.unexpected: list[str] = []
        self.unknown_outcomes = 0
        self._port = port
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._random = Random(f"{seed}/{first}")
        self._next_number = first
        self._step = step
        self._pause_s = pause_s
        self._unsettled: deque[int] = deque()
        self._answer = b""
        self._connection: http.client.HTTPConnection | None = None
        self._running = threading.Event()
        self._running.set()
        self._idle = threading.Event()
        self._ended = False

    @property
    def acknowledged_count(self) -> int:
        return len(self.acknowledged)

    def run(self) -> None:
        while not self._ended:
            if not self._running.is_set() and not self._unsettled:
                self._idle.set()
                self._running.wait()
                continue
            self._send(self._chosen())
            if self._running.is_set() and self._random.random() < CORRECTIONS:
                self._correct()
            time.sleep(self._pause_s)

    def settle(self) -> None:
        """Send nothing new, and return when everything sent so far is acknowledged."""
        self._idle.clear()
        self._running.clear()
        assert self._idle.wait(timeout=120), f"{len(self._unsettled)} events are not acknowledged; {self.unexpected}"

    def resume(self) -> None:
        self._running.set()

    def end(self) -> None:
        self._ended = True
        self._running.set()

    def _chosen(self) -> list[int]:
        """Numbers for the next request: those with an unknown outcome first, in other company than before."""
        size = self._random.choices(BATCH_SIZES, BATCH_WEIGHTS)[0]
        numbers = [self._unsettled.popleft() for _ in range(min(size, len(self._unsettled)))]
        if self._running.is_set():
            for _ in range(size - len(numbers)):
                numbers.append(self._next_number)
                self._next_number += self._step
        self._random.shuffle(numbers)
        return numbers

    def _send(self, numbers: list[int]) -> None:
        chance = self._random.random()
        if len(numbers) == 1 and chance < 0.8:
            status = self._post("/ingest", {"event": ride(numbers[0])})
        elif chance < 0.1 and len(numbers) < 1000:
            status = self._post("/ingestBatch", {"events": [*map(ride, numbers), MALFORMED]}, partly=True)
        elif chance < 0.2 and len(numbers) < 1000:  # a repeat, in the same batch
            status = self._post("/ingestBatch", {"events": [*map(ride, numbers), ride(numbers[0])]})
        else:
            status = self._post("/ingestBatch", {"events": list(map(ride, numbers))})
        if status in (202, 207):
            self.acknowledged.update(numbers)
            if self._random.random() < 0.03:  # a repeat of what is known to be accepted
                self._unsettled.extend(numbers[:3])
            return
        self.unknown_outcomes += 1
        self._unsettled.extend(numbers)
        time.sleep(RETRY_PAUSE_S)

    def _correct(self) -> None:
        """Undo or redo an event, and repeat that until an answer says that it is done."""
        settled = sorted(self.acknowledged - self.undone - set(self._unsettled))
        if not settled:
            return
        number = self._random.choice(settled)
        action, done = ("UNDO", self.undone) if self._random.random() < 0.5 else ("REDO", self.redone)
        event = ride(number)
        query = urlencode({"action": action, "account_id": event["accountId"], "event_id": event["id"]})
        deadline = time.monotonic() + CORRECTION_TIMEOUT_S
        while not self._is_corrected(f"/events/correction?{query}", action):
            if self._ended or time.monotonic() > deadline:
                self.unexpected.append(f"{action} of {event['id']} is not answered")
                return
            time.sleep(RETRY_PAUSE_S)
        done.add(number)

    def _is_corrected(self, path: str, action: str) -> bool:
        if self._post(path, None, expected=(200, 503)) != 200:
            return False
        events = msgspec.json.decode(self._answer)["data"]
        statuses = {each["ingestionStatus"]["status"] for each in events}
        if action == "UNDO":
            return statuses <= {REVERTED, DUPLICATE}
        return IN_PROGRESS not in statuses

    def _post(self, path: str, body: Any, *, partly: bool = False, expected: tuple[int, ...] = (202, 503)) -> int:
        """Send and return the status; 0 when there was no answer."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT_S)
            encoded = None if body is None else msgspec.json.encode(body)
            self._connection.request("POST", path, encoded, self._headers)
            answer = self._connection.getresponse()
            self._answer = text = answer.read()
        except (OSError, http.client.HTTPException):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return 0
        if answer.status not in ((207, 503) if partly else expected):
            self.unexpected.append(f"{path}: {answer.status} {text[:300]!r}")
        return answer.status
