"""The two hot routes, as plain ASGI in front of the framework: `POST /ingest` and `POST /ingestBatch`.

Order of work: who is it, how large is it, read it, expand it, check it, log it, answer. Nothing is answered before the
commit that holds the body.
"""

import asyncio
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from litestar.exceptions import MethodNotAllowedException
from prometheus_client import Counter

from tallybook import telemetry
from tallybook.api.errors import error_reply
from tallybook.api.reads import Reads, Receive
from tallybook.config import Settings
from tallybook.core.credential import Identity
from tallybook.core.errors import Invalid, TallybookError, Throttled, TooLarge
from tallybook.core.event import CheckedBody, check_batch, check_single
from tallybook.flows.authenticate import Authenticator
from tallybook.flows.ingest import Intake
from tallybook.storage.interfaces import EventLog, Record

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_Ticket = tuple[asyncio.Future[None], int]
"""Who waits for a body to be durable, and how many events are in it."""

_JSON = (b"content-type", b"application/json")
_CHECKS: dict[str, Callable[[bytes], CheckedBody]] = {"/ingest": check_single, "/ingestBatch": check_batch}
_BATCH_STATUS_NAMES = {207: "MultiStatus", 400: "BadRequest", 422: "UnprocessableEntity"}


class _Disconnected(Exception):
    """The client went away before it had sent its body; nothing was accepted."""


class _Reply(NamedTuple):
    """The two messages of an answer."""

    start: dict[str, Any]
    body: dict[str, Any]


def _reply(status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> _Reply:
    return _Reply(
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


_ACCEPTED = _reply(202, b'{"success":true}', [_JSON])


class Edge:
    """An ASGI application: the ingest routes here, everything else in `application`."""

    def __init__(
        self, settings: Settings, log: EventLog, authenticator: Authenticator, application: Application
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._application = application
        self._limiter = _rate_limiter(settings)
        self._reads = Reads()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._intake: Intake[_Ticket] = Intake(
            log, backlog_bytes_max=settings.backlog_bytes_max, settle=self._settle, soon=self._call_soon
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check = _CHECKS.get(scope["path"]) if scope["type"] == "http" else None
        if check is None:
            if scope["type"] == "http":
                receive = self._reads.in_time(receive, self._settings.body_read_timeout_s)
            await self._application(scope, receive, send)
            return
        try:
            reply = await self._ingest(scope, receive, check)
        except TallybookError as error:
            reply = _reply(*error_reply(error))
        except _Disconnected:
            return
        except Exception:  # whatever it is, the client gets a 500 that says nothing of the inside, and the log says all
            telemetry.log.exception("a request with events failed")
            telemetry.internal_errors.inc()
            reply = _reply(*error_reply(None))
        _counter(scope["path"], reply.start["status"]).inc()
        await send(reply.start)
        await send(reply.body)

    def close(self) -> None:
        """Write what was taken, then take no more."""
        self._intake.close()

    async def _ingest(self, scope: Scope, receive: Receive, check: Callable[[bytes], CheckedBody]) -> "_Reply":
        # One coroutine with few steps: at thousands of requests a second, each further `await` is felt.
        if scope["method"] != "POST":
            return _reply(*error_reply(MethodNotAllowedException(headers={"Allow": "POST"})))
        headers = dict(scope["headers"])
        credentials = headers.get(b"authorization"), headers.get(b"x-api-key")
        identity = self._authenticator.cached(*credentials)
        if identity is None:
            identity = await asyncio.to_thread(self._authenticator.identify, *credentials)
        identity.require("ingest")
        self._throttle(identity)
        announced, is_gzip = self._announced(headers)
        body = await self._read(receive, announced)
        checked = check(_expanded(body, self._settings.body_bytes_max) if is_gzip else body)
        if checked.event_count:
            await self._durable(identity, checked)
        if not checked.rejections:
            return _ACCEPTED
        telemetry.events_refused.inc(len(checked.rejections))
        return _reply(*_refusal(checked))

    def _throttle(self, identity: Identity) -> None:
        if self._limiter is None:
            return
        strategy, rate = self._limiter
        if not strategy.hit(rate, identity.organisation_id):
            raise Throttled(f"more than {rate.amount} requests with events in a second; wait, then resend")

    def _announced(self, headers: Mapping[bytes, bytes]) -> tuple[bytes, bool]:
        """The body's length as announced, if it is, and whether it is gzip."""
        announced = headers.get(b"content-length", b"")
        maximum = self._settings.body_bytes_max
        if announced.isdigit() and int(announced[:20]) > maximum:
            raise _too_large(maximum)
        encoding = headers.get(b"content-encoding")
        if encoding is None:
            return announced, False
        encoding = encoding.strip().lower()
        if encoding not in (b"identity", b"gzip"):
            raise Invalid("Content-Encoding: send the body as it is, or as gzip", code="UNSUPPORTED_ENCODING")
        return announced, encoding == b"gzip"

    async def _read(self, receive: Receive, announced: bytes) -> bytes:
        """The body, which a client may send in pieces. Raises `TooLarge` as soon as it is too large."""
        pieces: list[bytes] = []
        size = 0
        with self._reads.within(self._settings.body_read_timeout_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Disconnected
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > self._settings.body_bytes_max:
                    raise _too_large(self._settings.body_bytes_max)
                # Most bodies come whole; waiting to hear that nothing follows would cost a turn of the loop.
                if not message.get("more_body") or b"%d" % size == announced:
                    return b"".join(pieces) if len(pieces) > 1 else pieces[0]

    def _durable(self, identity: Identity, checked: CheckedBody) -> "asyncio.Future[None]":
        """Log the body; done when it is durable."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop_thread = threading.get_ident()
        durable: asyncio.Future[None] = self._loop.create_future()
        record = Record(
            organisation_id=identity.organisation_id,
            event_count=checked.event_count,
            format=checked.format,
            body=checked.body,
        )
        self._intake.submit(record, (durable, checked.event_count))
        return durable

    def _call_soon(self, function: Callable[[int], None], count: int) -> None:
        assert self._loop is not None, "a record was submitted from the loop"
        self._loop.call_soon(function, count)

    def _settle(self, tickets: Sequence[_Ticket], error: TallybookError | None) -> None:
        assert self._loop is not None, "a ticket was made on the loop before it can be settled"
        if error is None:
            telemetry.events_accepted.inc(sum(event_count for _, event_count in tickets))
        if threading.get_ident() == self._loop_thread:
            _resolve(tickets, error)
        else:
            self._loop.call_soon_threadsafe(_resolve, tickets, error)


@cache  # finding a counter by its labels takes as long as counting
def _counter(path: str, status: int) -> Counter:
    return telemetry.requests.labels(path, status)


def _resolve(tickets: Iterable[_Ticket], error: TallybookError | None) -> None:
    for durable, _ in tickets:
        if durable.done():  # the client went away while it waited
            continue
        if error is None:
            durable.set_result(None)
        else:
            durable.set_exception(error)


def _rate_limiter(settings: Settings) -> tuple[FixedWindowRateLimiter, RateLimitItemPerSecond] | None:
    if not settings.ingest_requests_per_s:
        return None
    return FixedWindowRateLimiter(MemoryStorage()), RateLimitItemPerSecond(settings.ingest_requests_per_s)


def _expanded(body: bytes, maximum: int) -> bytes:
    expander = zlib.decompressobj(wbits=31)
    try:
        expanded = expander.decompress(body, maximum + 1)
    except zlib.error:
        raise Invalid("the body is not gzip as Content-Encoding says", code="MALFORMED_GZIP") from None
    if len(expanded) > maximum:
        raise _too_large(maximum)
    if not expander.eof or expander.unused_data:
        raise Invalid("the gzip body is cut off or has something behind its end", code="MALFORMED_GZIP")
    return expanded


def _too_large(maximum: int) -> TooLarge:
    return TooLarge(f"the body is larger than {maximum} bytes; send fewer events at once", code="BODY_TOO_LARGE")


def _refusal(checked: CheckedBody) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """The answer when some or all events were refused: exactly the six keys that every client generation knows."""
    count = len(checked.rejections)
    if checked.event_count:
        status, message = 207, f"{count} of {count + checked.event_count} events were refused; the others are accepted"
    else:
        status = 422 if all(refusal.is_size for refusal in checked.rejections) else 400
        message = checked.rejections[0].message
        if count > 1:
            message = f"all {count} events were refused; the first because {message}"
    return (
        status,
        msgspec.json.encode(
            {
                "success": False,
                "statusCode": status,
                "name": _BATCH_STATUS_NAMES[status],
                "message": message[:500],
                "code": "EVENTS_REFUSED" if checked.event_count or count > 1 else checked.rejections[0].code,
                "details": {"errors": checked.rejections},
            }
        ),
        [_JSON],
    )
