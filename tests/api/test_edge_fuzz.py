"""Anything at all, sent to the ingest routes: an answer from the list, and whatever was accepted can be metered.

`FUZZ_EXAMPLES=100000` in the environment makes the long run.
"""

import gzip
import os
from collections.abc import Iterator
from typing import Any

import catalogue_samples as samples
import msgspec
import pytest
from api_caller import Caller
from edge_caller import Answer, EdgeCaller
from embedded import ORGANISATION, Embedded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallybook import assembly
from tallybook.core.credential import Scope

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1000"))
STATUSES = {202, 207, 400, 422}
CHARACTERS = st.characters(codec="utf-8") | st.sampled_from('\0\n\\"{}[]:,.-+eE0159é٥５🚲\u2028\u202e')
TEXTS = st.text(CHARACTERS, max_size=60) | st.sampled_from(("", "x" * 51, "x" * 201, "x" * 513, "rides", "a1", "city"))
TOKENS = st.sampled_from(
    [
        *(b"1e5", b"1E-5", b"NaN", b"5.", b"-0", b"01", b"-", b"1.10", b"9" * 513, b"1" * 512, b'"5\\n"', b'"5."'),
        *(b"null", b"true", b'"\\ud800"', b'"\\u0000"', b'"\xff"', b"1e999999", b"0." + b"1" * 600, b"-12.75", b"{}"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str) | st.integers().map(str)
INSTANTS = st.datetimes().map(str) | st.sampled_from(
    ("2024-01-15T07:30:00", "2024-01-15T07:30:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2024")
)


@st.composite
def events(draw: st.DrawFn) -> Any:
    """Mostly right events, with none or some of their parts replaced, left out or added."""
    event: dict[str, Any] = {
        "schemaName": draw(st.sampled_from(("rides", "rides", "other"))),
        "id": draw(st.integers(0, 500).map("id-{}".format)),
        "timestamp": draw(INSTANTS) if draw(st.booleans()) else "2024-01-15T07:30:00",
        "accountId": "a1",
        "attributes": [{"name": "distance", "value": draw(NUMBERS)}],
        "dimensions": {"city": "Oslo"},
    }
    for _ in range(draw(st.integers(0, 2))):
        match draw(st.integers(0, 5)):
            case 0:
                event[draw(st.sampled_from(sorted(event)) | TEXTS)] = draw(JSON)
            case 1:
                event.pop(draw(st.sampled_from(sorted(event))))
            case 2:
                event["attributes"] = draw(
                    st.lists(st.fixed_dictionaries({"name": TEXTS, "value": NUMBERS | JSON}), max_size=55)
                )
            case 3:
                event["dimensions"] = draw(st.dictionaries(TEXTS, TEXTS, max_size=5))
            case 4:
                event["attributes"] = [{"name": "distance", "value": msgspec.Raw(draw(TOKENS))}]
            case 5:
                event["createdAt"] = draw(JSON | TOKENS.map(msgspec.Raw))
        if not event:
            break
    return event


@st.composite
def damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """A body with a few bytes cut out, put in or doubled."""
    body = draw(bodies)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 8)))
        body = body[:start] + draw(st.binary(max_size=4) | TOKENS | st.just(body[start:end] * 2)) + body[end:]
    return body


def written(event: Any) -> bytes:
    return msgspec.json.encode(event)


WHOLE = st.one_of(
    events().map(lambda event: written({"event": event})),
    st.lists(events(), max_size=6).map(lambda some: written({"events": some})),
)
BODIES = st.one_of(WHOLE, WHOLE, damaged(WHOLE), JSON.map(written), st.binary(max_size=200))


class Fuzzed:
    """A server in this process, and how many events its answers say were accepted."""

    def __init__(self, embedded: Embedded) -> None:
        self.embedded = embedded
        key = embedded.authenticator.create_key(ORGANISATION, "test", [Scope.INGEST])
        self.caller = EdgeCaller(assembly.edge(embedded.settings), key)
        self.requests = 0


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    embedded = Embedded(tmp_path_factory.mktemp("fuzzed"), body_bytes_max=256 * 1024)
    with embedded.caller() as client:
        caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        samples.active_meter(caller)
        caller.post("/customers", samples.customer())
        caller.post("/accounts", samples.account())
    made = Fuzzed(embedded)
    yield made
    made.caller.close()
    embedded.close()


def accepted(embedded: Embedded) -> int:
    return sum(embedded.log.accepted().by_receipt.values())


def assert_as_documented(answer: Answer) -> None:
    assert answer.status in STATUSES, answer
    body = answer.json()
    if answer.status == 202:
        assert body == {"success": True}
        return
    assert 1 <= len(body["message"]) <= 500
    assert body["code"]
    for error in body.get("details", {}).get("errors", ()):
        assert 1 <= len(error["message"]) <= 500


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(("/ingest", "/ingestBatch")), body=BODIES, packed=st.integers(0, 9).map(lambda n: n == 0))
def test_any_body_gets_an_answer_from_the_list(fuzzed: Fuzzed, path: str, body: bytes, packed: bool) -> None:
    """202, 207, 400 or 422, in the documented shape; something is logged exactly when the answer says so."""
    before = accepted(fuzzed.embedded)
    if packed:
        headers = fuzzed.caller.with_key(("content-encoding", "gzip"))
        answer = fuzzed.caller.send(path, gzip.compress(body, mtime=0), headers=headers)
    else:
        answer = fuzzed.caller.send(path, body)
    assert_as_documented(answer)
    assert (accepted(fuzzed.embedded) > before) == (answer.status in (202, 207))
    fuzzed.requests += 1


def test_whatever_was_accepted_can_be_metered_read_and_verified(fuzzed: Fuzzed) -> None:
    """No accepted event is one that a later step cannot take. This goes over what the test above has sent."""
    embedded = fuzzed.embedded
    assert fuzzed.requests == 0 or accepted(embedded) > fuzzed.requests // 100, "hardly any example was accepted"
    embedded.meter()
    assert embedded.verified().in_progress == 0
    embedded.archive_everything()
    assert embedded.verified().differences == []
    with embedded.caller() as client:
        answer = client.get("/events", params={"pageSize": 50})
        while token := answer.json().get("nextToken"):
            answer = client.get("/events", params={"nextToken": token})
        assert answer.status_code == 200
