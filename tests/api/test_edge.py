"""The two ingest routes over the whole application: statuses, bodies, limits, credentials."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge_caller import Answer, EdgeCaller
from embedded import Embedded, event

from tallybook import assembly
from tallybook.core.credential import Scope

BODY_BYTES_MAX = 64 * 1024
ROUTES = ("/ingest", "/ingestBatch")
SIX_KEYS = {"success", "statusCode", "name", "message", "code", "details"}


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path, body_bytes_max=BODY_BYTES_MAX)
    yield made
    made.close()


@pytest.fixture
def caller(embedded: Embedded) -> Iterator[EdgeCaller]:
    made = calling(embedded, Scope.INGEST)
    yield made
    made.close()


def calling(embedded: Embedded, *scopes: Scope) -> EdgeCaller:
    return EdgeCaller(assembly.edge(embedded.settings), embedded.authenticator.create_key("org", "test", list(scopes)))


def assert_refused(answer: Answer, status: int, *, code: str | None = None) -> Any:
    """An error as every client can read it; return its body."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert 1 <= len(body["message"]) <= 500
    assert body["code"].isupper()
    if code:
        assert body["code"] == code
    return body


def logged(embedded: Embedded) -> list[str | None]:
    """The ids of every event in the log."""
    return [row.event_id for row in embedded.rows()]


# ---- accepted ----------------------------------------------------------------------------------------------------


def test_accepted_is_202_success(caller: EdgeCaller, embedded: Embedded) -> None:
    """One event or several: the same short answer, and they are in the log."""
    for answer in (caller.ingest(event("e1")), caller.ingest_batch(event("e2"), event("e3"))):
        assert (answer.status, answer.json()) == (202, {"success": True})
        assert answer.headers["content-type"] == "application/json"
    assert logged(embedded) == ["e1", "e2", "e3"]


def test_repeats_and_unknown_names_are_accepted(caller: EdgeCaller, embedded: Embedded) -> None:
    """Their fate is recorded, not refused."""
    assert caller.ingest(event("e1")).status == 202
    assert caller.ingest(event("e1")).status == 202
    assert caller.ingest(event("e2", accountId="ghost", schemaName="nothing")).status == 202
    assert caller.ingest_batch(event("e1"), event("e1"), event(None)).status == 202
    assert len(logged(embedded)) == 6


def test_partly_refused_batch_is_207_with_exactly_six_keys(caller: EdgeCaller, embedded: Embedded) -> None:
    """The refused ones are named by index, id, code and message; the others are in the log."""
    answer = caller.ingest_batch(event("e1"), event("bad", timestamp="x"), event("e2"), {"id": "worse"})
    assert answer.status == 207
    body = answer.json()
    assert set(body) == SIX_KEYS
    assert (body["success"], body["statusCode"], body["name"]) == (False, 207, "MultiStatus")
    assert 1 <= len(body["message"]) <= 500
    assert [set(error) for error in body["details"]["errors"]] == [{"index", "id", "code", "message"}] * 2
    assert [(error["index"], error["id"]) for error in body["details"]["errors"]] == [(1, "bad"), (3, "worse")]
    assert body["details"]["errors"][0]["message"].startswith("events[1].timestamp: ")
    assert logged(embedded) == ["e1", "e2"]


# ---- refused -----------------------------------------------------------------------------------------------------


def test_batch_without_an_acceptable_event_is_400_and_costs_nothing(caller: EdgeCaller, embedded: Embedded) -> None:
    """Nothing is logged; the answer names every event still."""
    body = assert_refused(caller.ingest_batch({"id": "a"}, event("b", timestamp="x")), 400)
    assert set(body) == SIX_KEYS
    assert [error["id"] for error in body["details"]["errors"]] == ["a", "b"]
    assert "events[0]" in body["message"]
    assert logged(embedded) == []


def test_bad_single_event_is_400_and_says_where(caller: EdgeCaller, embedded: Embedded) -> None:
    """The message starts with the place."""
    body = assert_refused(caller.ingest(event(attributes=[{"name": "a", "value": "5."}])), 400)
    assert set(body) == SIX_KEYS
    assert body["message"].startswith("event.attributes[0].value: ")
    assert logged(embedded) == []


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"{}", b'{"events":[]}', b"\xff\xfe", b"[" * 5000])
def test_malformed_bodies_are_400(caller: EdgeCaller, path: str, body: bytes) -> None:
    """Whatever is sent instead of events."""
    assert_refused(caller.send(path, body), 400)


def test_no_message_is_longer_than_its_limit(caller: EdgeCaller) -> None:
    """Not even about texts that are."""
    long = "é" * 3000
    for broken in ({long: 1}, event(timestamp=long), event(attributes=[{"name": long, "value": long}])):
        for answer in (
            caller.ingest(broken),
            caller.ingest_batch(broken, broken),
            caller.ingest_batch(event(), broken),
        ):
            body = answer.json()
            assert len(body["message"]) <= 500
            assert all(len(error["message"]) <= 500 for error in body["details"]["errors"])


def test_size_is_422(caller: EdgeCaller, embedded: Embedded) -> None:
    """Too many events, too long a text, too many attributes: a matter of size, and nothing is logged."""
    small = {"id": "e"}
    assert_refused(caller.ingest_batch(*([small] * 1001)), 422, code="TOO_LARGE")
    assert_refused(caller.ingest(event(accountId="x" * 513)), 422)
    assert_refused(caller.ingest_batch(event(dimensions={"d": "v" * 201})), 422)
    many = [{"name": f"a{number}", "value": "1"} for number in range(51)]
    assert_refused(caller.ingest(event(attributes=many)), 422)
    assert logged(embedded) == []


@pytest.mark.parametrize("path", ROUTES)
def test_body_over_its_byte_limit_is_422_however_it_is_announced(caller: EdgeCaller, path: str) -> None:
    """Said in Content-Length, not said, said wrongly, in pieces: nothing over the limit is held or logged."""
    large = b" " * (BODY_BYTES_MAX + 1)
    for headers in ([("content-length", str(len(large)))], [], [("content-length", "10")], [("content-length", "x")]):
        assert_refused(caller.send(path, large, headers=caller.with_key(*headers)), 422, code="BODY_TOO_LARGE")
        pieces = [large[:1000]] * 100
        assert_refused(caller.send(path, headers=caller.with_key(*headers), pieces=pieces), 422, code="BODY_TOO_LARGE")
    announced = caller.with_key(("content-length", "9" * 30))
    assert_refused(caller.send(path, b"{}", headers=announced), 422, code="BODY_TOO_LARGE")


def test_body_at_its_limit_and_in_pieces_is_accepted(caller: EdgeCaller) -> None:
    """The limit itself is allowed; pieces are joined."""
    body = msgspec.json.encode({"event": event()})
    assert caller.send("/ingest", body + b" " * (BODY_BYTES_MAX - len(body))).status == 202
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    assert caller.send("/ingest", pieces=pieces).status == 202


def test_a_client_that_goes_away_leaves_nothing(caller: EdgeCaller, embedded: Embedded) -> None:
    """Half a body is no body, though it would be one."""
    with pytest.raises(ValueError, match="unpack"):  # there is nobody to answer
        caller.send("/ingest", pieces=[])
    assert logged(embedded) == []


# ---- gzip --------------------------------------------------------------------------------------------------------


def test_gzip_is_expanded(caller: EdgeCaller, embedded: Embedded) -> None:
    """The body is checked as if it had come plain."""
    headers = caller.with_key(("content-encoding", "gzip"))
    body = msgspec.json.encode({"events": [event("e1"), event("e2", timestamp="x")]})
    assert caller.send("/ingestBatch", gzip.compress(body), headers=headers).status == 207
    assert logged(embedded) == ["e1"]


def test_gzip_bomb_is_422(caller: EdgeCaller) -> None:
    """A hundred mebibytes in a hundred kilobytes are not expanded."""
    bomb = zlib.compressobj(9, wbits=31)
    packed = b"".join(bomb.compress(bytes(1024 * 1024)) for _ in range(50)) + bomb.flush()
    assert len(packed) < BODY_BYTES_MAX
    headers = caller.with_key(("content-encoding", "gzip"))
    assert_refused(caller.send("/ingest", packed, headers=headers), 422, code="BODY_TOO_LARGE")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "gzip, gzip"])
def test_broken_or_unknown_encoding_is_400(caller: EdgeCaller, encoding: str) -> None:
    """Not gzip, cut off, with something behind it, or an encoding nobody offered."""
    packed = gzip.compress(msgspec.json.encode({"event": event()}))
    headers = caller.with_key(("content-encoding", encoding))
    for body in (b"", b"{}", packed[:-4], packed + b"x", packed[:20]):
        assert_refused(caller.send("/ingest", body, headers=headers), 400)


# ---- who, where, how often ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer tb_unknown")],
        [("authorization", "Bearer " + "x" * 100_000)],
        [("authorization", "Basic dXNlcjpwYXNz")],
        [("x-api-key", "")],
        [("x-api-key", "tb_unknown")],
        [("authorization", "Bearer \xff")],
    ],
)
def test_missing_and_unknown_credentials_are_401_before_the_body_is_read(
    caller: EdgeCaller, path: str, headers: list[tuple[str, str]]
) -> None:
    """The body is not looked at: there is none to receive."""
    answer = caller.send(path, headers=headers, pieces=[])
    assert_refused(answer, 401, code="UNAUTHENTICATED")


def test_revoked_key_is_401(embedded: Embedded) -> None:
    """Once it is known to be revoked."""
    key = embedded.authenticator.create_key("org", "test", [Scope.INGEST])
    [stored] = embedded.authenticator.keys("org")
    embedded.authenticator.revoke_key(stored.key_id)
    caller = EdgeCaller(assembly.edge(embedded.settings), key)
    assert_refused(caller.ingest(event()), 401)
    caller.close()


def test_key_without_the_scope_is_403(embedded: Embedded) -> None:
    """A good key for something else; the message says which scope is missing."""
    caller = calling(embedded, Scope.READ, Scope.WRITE)
    assert "ingest" in assert_refused(caller.ingest(event()), 403, code="FORBIDDEN")["message"]
    assert_refused(caller.send("/ingestBatch", pieces=[]), 403)
    caller.close()


def test_all_three_credentials_are_taken(caller: EdgeCaller, embedded: Embedded) -> None:
    """Bearer key, X-API-Key, and a token made from the key."""
    key = embedded.authenticator.create_key("org", "test", [Scope.INGEST])
    answer = caller.send("/authenticate", headers=[("authorization", f"Bearer {key}")])
    assert answer.status == 200
    token = answer.json()["token"]
    body = msgspec.json.encode({"event": event()})
    for header in (("authorization", f"Bearer {key}"), ("x-api-key", key), ("authorization", f"Bearer {token}")):
        assert caller.send("/ingest", body, headers=[header]).status == 202


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(caller: EdgeCaller, path: str, method: str) -> None:
    """The routes exist, and say which method they take."""
    answer = caller.send(path, method=method)
    assert_refused(answer, 405, code="METHOD_NOT_ALLOWED")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/ingest/", "/ingestbatch", "/ingest/x", "//ingest", "/nothing"])
def test_other_paths_are_404(caller: EdgeCaller, path: str) -> None:
    """With a message, as everything."""
    assert_refused(caller.send(path), 404, code="UNKNOWN_ROUTE")


def test_too_many_requests_are_429_with_retry_after(tmp_path: Path) -> None:
    """Per organisation; the refused ones are not logged, and another organisation is not held up."""
    embedded = Embedded(tmp_path, ingest_requests_per_s=5)
    caller = calling(embedded, Scope.INGEST)
    answers = [caller.ingest(event(f"e{number}")) for number in range(40)]
    throttled = [answer for answer in answers if answer.status != 202]
    assert throttled
    for answer in throttled:
        assert_refused(answer, 429, code="THROTTLED")
        assert int(answer.headers["retry-after"]) >= 1
    assert len(logged(embedded)) == len(answers) - len(throttled)
    other = embedded.authenticator.create_key("umbrella", "test", [Scope.INGEST])
    body = msgspec.json.encode({"event": event()})
    assert caller.send("/ingest", body, headers=[("x-api-key", other)]).status == 202
    caller.close()


def test_full_backlog_is_503_with_retry_after(tmp_path: Path) -> None:
    """More than may wait for metering: nothing more is taken until there is room."""
    embedded = Embedded(tmp_path, backlog_bytes_max=1024 * 1024)
    caller = calling(embedded, Scope.INGEST)
    accepted = 0
    answer = caller.ingest(event())
    while answer.status == 202:
        accepted += 1
        assert accepted < 100
        answer = caller.ingest_batch(*(event(f"{accepted}-{number}", accountId="x" * 500) for number in range(50)))
        for number in range(70):  # the size is looked at once in so many commits
            if answer.status == 202:
                answer = caller.ingest(event(f"{accepted}-{number}-single", accountId="x" * 500))
    assert_refused(answer, 503, code="BACKLOG_FULL")
    assert int(answer.headers["retry-after"]) >= 1
    caller.close()


def test_stopping_server_is_503(caller: EdgeCaller, embedded: Embedded) -> None:
    """What comes after the end of the intake is told to come again."""
    edge = assembly.edge(embedded.settings)
    stopping = EdgeCaller(edge, embedded.authenticator.create_key("org", "test", [Scope.INGEST]))
    edge.close()
    assert_refused(stopping.ingest(event()), 503)
    stopping.close()


# ---- bodies that do not arrive -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ingest", "/customers", "/metrics"])
def test_body_that_does_not_arrive_is_given_up(tmp_path: Path, path: str) -> None:
    """After the time that a body may take the answer is 400, on the routes of the catalogue as on those of events."""
    embedded = Embedded(tmp_path, body_read_timeout_s=1)
    caller = calling(embedded, Scope.ADMIN)
    try:
        assert_refused(caller.send(path, b'{"id":', stalls=True), 400, code="BODY_TIMEOUT")
        answer = caller.send("/customers", pieces=[b'{"id":', b"7}"])
        assert "id" in assert_refused(answer, 400, code="INVALID_REQUEST")["message"]
    finally:
        caller.close()
        embedded.close()
