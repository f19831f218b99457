"""Calls to the server's HTTP interface. Numbers come back as `Decimal`, with every digit that was sent."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx

from tallybook.demo import DemoFailed

CONNECTIONS = 4
TIMEOUT_S = 60.0
RETRY_PAUSE_S = 1.0  # where the server does not say how long to wait


class Caller:
    """A client of one server with one API key; it may be used by several threads."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_S,
            limits=httpx.Limits(max_connections=CONNECTIONS + 1),
            trust_env=False,  # a proxy from the environment would not find this machine
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **parameters: str) -> Any:
        return _decoded(self._answer("GET", path, params=parameters))

    def content(self, path: str, **parameters: str) -> bytes:
        """What is answered, as it is."""
        return self._answer("GET", path, params=parameters).content

    def post(self, path: str, body: object = None) -> Any:
        return _decoded(self._answer("POST", path, json=body))

    def items(self, path: str, field: str, **parameters: str) -> Iterator[Any]:
        """What stands under `field` on the pages of a list, one after the other."""
        page = self.get(path, **parameters)
        yield from page[field]
        while token := page.get("nextToken"):
            page = self.get(path, nextToken=token)
            yield from page[field]

    def figure(self, name: str) -> int:
        """A figure of the server's Prometheus text; 0 while nothing was counted."""
        text = self._answer("GET", "/metrics").text
        found = [line.split()[1] for line in text.splitlines() if line.partition(" ")[0] == name]
        return int(Decimal(found[0])) if found else 0

    def send(self, body: bytes) -> float | None:
        """Send a batch of events; return None when it was accepted, else after how many seconds to try again.

        429 and 503 ask for a pause, and after a broken connection nobody knows whether the batch arrived. In each case
        the same ids go again: those that had arrived are then counted as duplicates, and only once as usage.
        """
        try:
            response = self._client.post("/ingestBatch", content=body, headers={"Content-Type": "application/json"})
        except httpx.TransportError:
            return RETRY_PAUSE_S
        if response.status_code == httpx.codes.ACCEPTED:
            return None
        if response.status_code not in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
            raise DemoFailed(f"a batch was answered with {response.status_code}: {response.text}")
        return _pause_asked(response)

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise DemoFailed(f"{method} {path} was not answered: {error!r}") from error
        if not response.is_success:
            raise DemoFailed(f"{method} {path} was answered with {response.status_code}: {response.text}")
        return response


def _decoded(response: httpx.Response) -> Any:
    return json.loads(response.content, parse_float=Decimal) if response.content else None


def _pause_asked(response: httpx.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else RETRY_PAUSE_S
