"""What holds for every route: credentials, scopes, errors, bodies, parameters, pages, the OpenAPI document."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

from tallybook.core.credential import Scope
from tallybook.core.errors import MESSAGE_CHARACTERS_MAX

LISTS = ("/customers", "/accounts", "/event_schema", "/usage_meters", "/price_plans")


def operations(client: Caller) -> list[tuple[str, str]]:
    """Every documented operation, with something in place of path parameters."""
    paths = client.client.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), "/".join("x" if part.startswith("{") else part for part in path.split("/")))
        for path, methods in paths.items()
        for method in methods
        if path not in ("/ingest", "/ingestBatch", "/healthz", "/readyz", "/metrics-text")
    ]


# ---- credentials and scopes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer tb_" + "x" * 49},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"X-API-Key": "unknown"},
    ],
)
def test_catalogue_is_closed_without_a_valid_credential(client: Caller, headers: dict[Any, Any]) -> None:
    """Missing, malformed and unknown credentials are 401 on every catalogue route, before all other checks."""
    for method, path in [("GET", path) for path in LISTS] + [("POST", path) for path in LISTS]:
        answer = client.client.request(method, path, headers=headers, content=b"not json")
        assert answer.status_code == 401, path
        assert answer.json()["code"] == "UNAUTHENTICATED"


def test_every_documented_operation_of_the_catalogue_asks_for_a_credential(client: Caller) -> None:
    """No route was forgotten."""
    prefixes = (*LISTS, "/authenticate", "/invoices", "/events")
    asked = [(method, path) for method, path in operations(client) if path.startswith(prefixes)]
    assert len(asked) >= 23
    for method, path in asked:
        assert client.client.request(method, path).status_code == 401, f"{method} {path}"


def test_key_and_token_open_the_same_doors(client: Caller) -> None:
    """Bearer key, X-API-Key and a token made from the key act for the same organisation."""
    client.post("/event_schema", samples.schema(), status=201)
    token = client.post("/authenticate")["token"]
    for headers in (
        {"X-API-Key": client.key},
        {"Authorization": f"bearer {client.key}"},
        {"Authorization": f"Bearer {token}"},
    ):
        answer = client.client.get("/event_schema/rides", headers=headers)
        assert answer.status_code == 200
    again = client.client.post("/authenticate", headers={"Authorization": f"Bearer {token}"})
    assert again.json() == {"token": token}


def test_scopes_are_kept_apart(client: Caller) -> None:
    """`read` reads, `write` reads and writes, `ingest` does neither; each may be exchanged for a token."""
    reader, writer, producer = (client.of("acme", scope) for scope in (Scope.READ, Scope.WRITE, Scope.INGEST))
    writer.post("/event_schema", samples.schema(), status=201)
    for caller, get_status, post_status in ((reader, 200, 403), (writer, 200, 201), (producer, 403, 403)):
        caller.get("/event_schema", status=get_status)
        caller.post("/event_schema", samples.schema(f"other {get_status} {post_status}"), status=post_status)
        token = caller.post("/authenticate", status=200)["token"]
        assert (
            client.client.get("/event_schema", headers={"Authorization": f"Bearer {token}"}).status_code == get_status
        )


def test_missing_scope_is_said_before_the_body_is_looked_at(client: Caller) -> None:
    """403 names the scope that is needed."""
    refused = client.of("acme", Scope.READ).send("POST", "/customers", 403, content=b"{")
    assert "'write'" in refused["message"]


# ---- errors ------------------------------------------------------------------------------------------------------


def test_unknown_routes_and_methods_answer_in_the_same_shape(client: Caller) -> None:
    """404 and 405 have a message and a code; 405 says what is allowed."""
    assert client.get("/nowhere", status=404)["code"] == "UNKNOWN_ROUTE"
    assert client.send("DELETE", "/customers", 405)["code"] == "METHOD_NOT_ALLOWED"
    assert client.send("PUT", "/customers/c1", 405)["code"] == "METHOD_NOT_ALLOWED"


def test_a_fault_of_ours_is_a_500_that_tells_nothing(client: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """No text of the exception and no trace leaves the server."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("tallybook.flows.define_accounts.found_account", broken)
    answer = client.client.get("/accounts/a1", headers={"X-API-Key": client.key})
    assert answer.status_code == 500
    assert answer.json()["code"] == "INTERNAL_ERROR"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"42",
        b'"text"',
        b"\xff\xfe",
        b'{"id":"\xed\xa0\x80"}',
        b'{"id":"\\ud800","name":"abc","primaryEmail":"e","address":{}}',
        b'{"id":"\\udc00x","name":"abc","primaryEmail":"e","address":{}}',
        b'{"id":"a\\u0000b","name":"abc","primaryEmail":"e","address":{}}',
        b"[" * 200_000,
        b'{"id":' + b"[" * 200_000,
        b'{"settings":' + b'{"a":' * 100_000,
        b'{"id":"a\x01b"}',
        b'{"id":NaN}',
        b'{"id":"c1","id":"c2"} trailing',
    ],
)
def test_bodies_that_are_not_requests_are_400(client: Caller, body: bytes) -> None:
    """Malformed, mistyped, half-encoded and absurdly nested bodies never get further than the decoder."""
    for path in ("/customers", "/accounts", "/event_schema", "/usage_meters", "/price_plans"):
        client.send("POST", path, 400, content=body)
    assert client.get("/customers")["data"] == []


def test_body_over_the_limit_is_422(client: Caller) -> None:
    """A definition has no use for a megabyte; size problems are 422 throughout the interface."""
    refused = client.send("POST", "/customers", 422, content=b" " * (1024 * 1024 + 1))
    assert refused["code"] == "BODY_TOO_LARGE"


def test_messages_are_cut_to_what_clients_can_read(client: Caller) -> None:
    """A name of any length in the request does not make the message longer than 500 characters."""
    refused = client.get("/event_schema/" + "x" * 500, status=404)
    assert len(refused["message"]) <= MESSAGE_CHARACTERS_MAX


@pytest.mark.parametrize(
    "path",
    ["/customers/a%00b", "/accounts/%00", "/event_schema/a%00", "/usage_meters/" + "x" * 513, "/price_plans/a%00"],
)
def test_ids_that_cannot_be_are_400(client: Caller, path: str) -> None:
    """U+0000 and endless ids do not reach the database."""
    client.get(path, status=400)


@pytest.mark.parametrize("path", ["/customers/a%ff", "/accounts/%ed%a0%80", "/event_schema/%c0%80"])
def test_ids_that_are_no_text_are_not_found_or_refused(client: Caller, path: str) -> None:
    """Broken UTF-8 in a path never is a fault of ours."""
    answer = client.client.get(path, headers={"X-API-Key": client.key})
    assert answer.status_code in (400, 404)
    assert answer.json()["message"]


# ---- parameters and pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "pageSize=0",
        "pageSize=101",
        "pageSize=ten",
        "pageSize=1&pageSize=2",
        "nextToken=made-up",
        "nextToken=",
        "nextToken=%00",
        "pageSize=-1",
        "pageSize=99999999999999999999",
    ],
)
def test_strange_parameters_are_400(client: Caller, path: str, query: str) -> None:
    """Unknown, repeated, mistyped and out-of-range parameters are refused, not ignored."""
    refused = client.send("GET", f"{path}?{query}", 400)
    assert query.split("=")[0] in refused["message"]


def test_pages_show_everything_once_in_order(client: Caller) -> None:
    """Following the tokens shows each customer once, those made last first; the last page has no token."""
    for number in range(7):
        client.post("/customers", samples.customer(f"c{number}"), status=201)
    page = client.get("/customers", pageSize=3)
    seen = [each["id"] for each in page["data"]]
    sizes = [len(page["data"])]
    while "nextToken" in page:
        assert len(page["nextToken"]) <= 500
        page = client.get("/customers", nextToken=page["nextToken"])
        seen += [each["id"] for each in page["data"]]
        sizes.append(len(page["data"]))
    assert seen == ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]
    assert sizes == [3, 3, 1]


def test_a_full_last_page_has_no_token(client: Caller) -> None:
    """It is known to be the last, so no empty page follows it."""
    for number in range(4):
        client.post("/customers", samples.customer(f"c{number}"), status=201)
    page = client.get("/customers", pageSize=2)
    assert "nextToken" not in client.get("/customers", nextToken=page["nextToken"])


def test_page_size_is_20_unless_said_otherwise(client: Caller) -> None:
    """The interface's default."""
    for number in range(21):
        client.post("/customers", samples.customer(f"c{number}"), status=201)
    assert len(client.get("/customers")["data"]) == 20


def test_tokens_work_only_where_they_were_given_out(client: Caller, stranger: Caller) -> None:
    """A changed token, one of another list, of another organisation or with other filters is refused."""
    for number in range(3):
        client.post("/event_schema", samples.schema(f"s{number}"), status=201)
        client.post(f"/event_schema/s{number}/activate")
        client.post("/customers", samples.customer(f"c{number}"), status=201)
    token = client.send("GET", "/event_schema", 200, params={"pageSize": 1, "status": "ACTIVE"})["nextToken"]
    assert [each["name"] for each in client.get("/event_schema", nextToken=token)["data"]] == ["s1"]
    for index in range(0, len(token), 7):
        changed = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
        client.get("/event_schema", nextToken=changed, status=400)
    client.get("/customers", nextToken=token, status=400)
    stranger.get("/event_schema", nextToken=token, status=400)
    client.send("GET", "/event_schema", 400, params={"nextToken": token, "status": "INACTIVE"})


# ---- the document ------------------------------------------------------------------------------------------------


def test_document_describes_requests_answers_and_errors(client: Caller) -> None:
    """OpenAPI 3.1 with the wire's names, the security schemes, and the errors of every operation."""
    document = client.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["components"]["securitySchemes"]) == {"bearerAuth", "apiKeyAuth"}
    create = document["paths"]["/customers"]["post"]
    assert create["operationId"] == "createCustomer"
    assert set(create["responses"]) >= {"201", "400", "401", "403", "404", "422", "429", "500", "503"}
    shape = create["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
    assert set(document["components"]["schemas"][shape]["required"]) == {"id", "name", "primaryEmail", "address"}
    parameters = {each["name"] for each in document["paths"]["/accounts"]["get"]["parameters"]}
    filters = {"account_id", "customer_id", "status", "invoice_currency"}
    assert parameters == {"nextToken", "pageSize", "_search", "_sort"} | filters
    error = create["responses"]["400"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
    assert document["components"]["schemas"][error]["properties"]["message"]["maxLength"] == 500


def test_document_is_there_to_read(client: Caller) -> None:
    """A page without scripts names every operation and links every shape to its description."""
    page = client.client.get("/docs")
    assert page.status_code == 200
    assert "<script" not in page.text
    assert "<code>/customers/{customer_id}</code>" in page.text
    assert 'href="#CustomerShape"' in page.text
    assert 'id="CustomerShape"' in page.text
