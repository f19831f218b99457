"""Bodies as no well-behaved client sends them, over a real connection."""

import json
import socket
from collections.abc import Iterable

import httpx
import pytest
from rides import ride
from running_server import RunningServer

MEBIBYTE = 1024 * 1024
PATHS = ("/ingest", "/ingestBatch")


def exchange(server: RunningServer, key: str, path: str, header: str, pieces: Iterable[bytes]) -> tuple[int, str]:
    """Send a head with one more header line, then the pieces as far as they are taken; return status and code."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\n{header}\r\n\r\n"
        connection.sendall(head.encode())
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass  # it has answered and hung up
        return read_answer(connection)


def read_answer(connection: socket.socket) -> tuple[int, str]:
    """Status and code of the first answer."""
    received = b""
    while b"}" not in received and (more := connection.recv(65_536)):
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body.partition(b"}")[0] + b"}")["code"]


@pytest.mark.parametrize("path", PATHS)
def test_body_in_chunks_over_the_limit_is_422(server: RunningServer, key: str, path: str) -> None:
    """It says nothing about its length and is refused as soon as it is over it."""
    chunk = b"%x\r\n" % MEBIBYTE + b" " * MEBIBYTE + b"\r\n"
    found = exchange(server, key, path, "Transfer-Encoding: chunked", (chunk for _ in range(100)))
    assert found == (422, "BODY_TOO_LARGE")


@pytest.mark.parametrize("path", PATHS)
def test_announced_length_over_the_limit_is_422_before_anything_is_sent(
    server: RunningServer, key: str, path: str
) -> None:
    """The announcement is enough."""
    assert exchange(server, key, path, f"Content-Length: {10**11}", []) == (422, "BODY_TOO_LARGE")


def test_body_longer_than_announced_is_cut_where_it_was_announced(server: RunningServer, key: str) -> None:
    """What is behind is no part of the event."""
    body = json.dumps({"event": ride(1)}).encode()
    status, _ = exchange(server, key, "/ingest", f"Content-Length: {len(body) - 1}", [body])
    assert status == 400


@pytest.mark.parametrize("header", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_body_that_never_comes_is_400(server: RunningServer, key: str, header: str) -> None:
    """After the time that a client has for it, not for ever."""
    assert exchange(server, key, "/ingest", header, []) == (400, "BODY_TIMEOUT")


def test_half_a_body_of_a_client_that_went_away_is_not_logged(
    rides: httpx.Client, server: RunningServer, key: str
) -> None:
    """Though the half would be a body by itself."""
    body = json.dumps({"event": {**ride(2), "id": "half a body"}}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        head = f"POST /ingest HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body) + 9}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
    server.wait_until_metered()
    assert rides.get("/events/half a body").status_code == 404
