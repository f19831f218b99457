"""Requests to the whole ASGI application in this process, byte for byte as a test wants them."""

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

import msgspec

from tallybook.api.edge import Edge

STALL_S = 30  # far longer than the limit that a test sets

Headers = Sequence[tuple[str, str]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class EdgeCaller:
    """Sends requests with one key, on an event loop of its own."""

    def __init__(self, edge: Edge, key: str) -> None:
        self._edge = edge
        self._key = key
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._edge.close()
        self._runner.close()

    def ingest(self, event: object, **options: Any) -> Answer:
        return self.send("/ingest", msgspec.json.encode({"event": event}), **options)

    def ingest_batch(self, *events: object, **options: Any) -> Answer:
        return self.send("/ingestBatch", msgspec.json.encode({"events": events}), **options)

    def send(
        self,
        path: str,
        body: bytes = b"",
        *,
        method: str = "POST",
        headers: Headers | None = None,
        pieces: Sequence[bytes] | None = None,
        stalls: bool = False,
    ) -> Answer:
        """Send a body, whole or in `pieces`; without `headers` with the key and nothing else.

        A client that `stalls` says that more will follow, and sends nothing.
        """
        if headers is None:
            headers = [("authorization", f"Bearer {self._key}")]
        sent = [body] if pieces is None else list(pieces)
        return self._runner.run(self._send(method, path, headers, sent, stalls))

    def with_key(self, *more: tuple[str, str]) -> Headers:
        """Headers with the key and some more."""
        return [("authorization", f"Bearer {self._key}"), *more]

    async def _send(self, method: str, path: str, headers: Headers, pieces: list[bytes], stalls: bool) -> Answer:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
            "state": {},
        }
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            if not pieces and stalls:
                await asyncio.sleep(STALL_S)
            if not pieces:
                return {"type": "http.disconnect"}
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces) or stalls}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self._edge(scope, receive, send)
        start, *rest = sent
        return Answer(
            status=start["status"],
            headers={name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]},
            body=b"".join(message.get("body", b"") for message in rest),
        )
