"""The load: event bodies with ids that never repeat, and connections that send them as fast as they are answered."""

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator

ACCOUNTS = 200
EVENTS_PER_BATCH = 1000
_MARK = b"00000000"  # stands in every id; replacing it makes new ids without building a body again

SCHEMA = {
    "name": "ride",
    "attributes": [{"name": "distance"}, {"name": "duration"}],
    "dimensions": [{"name": "city"}, {"name": "vehicle"}],
}


def meters() -> list[dict[str, object]]:
    """Five meters of the kinds people have: a count, sums, a matcher, arithmetic, a comparison."""
    distance, duration = {"var": "attributes.distance"}, {"var": "attributes.duration"}
    rules = [
        ("rides", "COUNT", None, 1),
        ("distance", "SUM", None, distance),
        ("city time", "SUM", {"==": [{"var": "dimensions.city"}, "oslo"]}, duration),
        ("emission", "SUM", None, {"*": [distance, 0.4]}),
        ("long rides", "SUM", {">": [distance, 500]}, {"+": [distance, duration]}),
    ]
    return [
        {
            "name": name,
            "type": "COUNTER",
            "aggregation": aggregation,
            "eventSchemaName": "ride",
            "computations": [
                {"order": 1, "computation": json.dumps(rule), **({"matcher": json.dumps(matcher)} if matcher else {})}
            ],
        }
        for name, aggregation, matcher, rule in rules
    ]


def event(number: int, event_id: str, timestamp: str) -> dict[str, object]:
    return {
        "schemaName": "ride",
        "id": event_id,
        "timestamp": timestamp,
        "accountId": f"account-{number % ACCOUNTS}",
        "attributes": [
            {"name": "distance", "value": str(number % 1000) + ".5", "unit": "km"},
            {"name": "duration", "value": str(number % 90), "unit": "minutes"},
        ],
        "dimensions": {"city": ("oslo", "lima", "pune")[number % 3], "vehicle": f"vehicle-{number % 500}"},
    }


def batches(run: str) -> Iterator[bytes]:
    """Bodies of `POST /ingestBatch` with 1000 events each, without end; every id is new."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    ids = [f"{run}-{_MARK.decode()}-{index:04}-8f3b2c1d" for index in range(EVENTS_PER_BATCH)]
    body = json.dumps(
        {"events": [event(index, event_id, now) for index, event_id in enumerate(ids)]}, separators=(",", ":")
    ).encode()
    for number in itertools.count(1):
        yield body.replace(_MARK, b"%08x" % number)


def singles(run: str) -> Iterator[bytes]:
    """Bodies of `POST /ingest`, without end; every id is new."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    body = json.dumps({"event": event(1, f"{run}-{_MARK.decode()}", now)}, separators=(",", ":")).encode()
    for number in itertools.count(1):
        yield body.replace(_MARK, b"%08x" % number)


class Load:
    """Sends bodies over some connections, each waiting for its answer before it sends the next."""

    def __init__(self, port: int, path: str, key: str, bodies: Iterator[bytes], *, connections: int) -> None:
        self._port = port
        self._head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\nContent-Length: ".encode()
        self._bodies = bodies
        self._connections = connections
        self._lock = threading.Lock()
        self._left = 0
        self.refused = 0

    def send(self, count: int, *, per_s: int | None = None) -> float:
        """Send `count` bodies, at most `per_s` a second; return the seconds until the last was answered."""
        self._left = count
        self._started = time.monotonic()
        self._sent = 0
        self._per_s = per_s
        threads = [threading.Thread(target=self._run) for _ in range(self._connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - self._started

    def _run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (body := self._next()) is not None:
                connection.sendall(self._head + str(len(body)).encode() + b"\r\n\r\n" + body)
                answer = connection.recv(65_536)
                if not answer.startswith(b"HTTP/1.1 202"):
                    self.refused += 1

    def _next(self) -> bytes | None:
        with self._lock:
            if self._left == 0:
                return None
            self._left -= 1
            due = self._sent / self._per_s if self._per_s else 0.0
            self._sent += 1
            body = next(self._bodies)
        time.sleep(max(0.0, self._started + due - time.monotonic()))
        return body
