"""API keys over HTTP: made, listed, switched off and on, by administrators only; and what roles open."""

from typing import Any

import pytest
from api_caller import Caller
from catalogue_samples import customer

from tallybook.api.permissions import area_of
from tallybook.core.credential import Scope
from tallybook.core.role import Area, Role


def with_key(client: Caller, **wanted: Any) -> Caller:
    """A caller with a key made over HTTP."""
    made = client.post("/api_keys", {"name": "made", **wanted}, status=201)
    caller = client.of("unused", Scope.READ)
    caller.key = made["secret"]
    return caller


# ---- keys --------------------------------------------------------------------------------------------------------


def test_secret_is_shown_once(client: Caller) -> None:
    """The answer to making a key has its secret, which opens doors at once; no other answer has it."""
    made = client.post("/api_keys", {"name": "reader", "scopes": ["read"]}, status=201)
    assert (made["name"], made["scopes"], made["status"]) == ("reader", ["read"], "ACTIVE")
    assert made["secret"].startswith("tb_")
    for text in (str(client.get("/api_keys")), str(client.get(f"/api_keys/{made['id']}"))):
        assert made["id"] in text
        assert made["secret"] not in text
        assert "secret" not in text
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert client.client.get("/customers", headers=headers).status_code == 200
    assert client.client.post("/customers", headers=headers, json=customer()).status_code == 403


def test_key_is_switched_off_and_on_again(client: Caller) -> None:
    """Off, it opens nothing, nor does a token made with it before; on, both do again."""
    made = client.post("/api_keys", {"name": "reader", "scopes": ["read"]}, status=201)
    key = {"Authorization": f"Bearer {made['secret']}"}
    token = {"Authorization": f"Bearer {client.client.post('/authenticate', headers=key).json()['token']}"}
    for action, status, answer in (("deactivate", "OFF", 401), ("activate", "ACTIVE", 200), ("deactivate", "OFF", 401)):
        assert client.post(f"/api_keys/{made['id']}/{action}")["status"] == status
        assert client.get(f"/api_keys/{made['id']}")["status"] == status
        for headers in (key, token):
            assert client.client.get("/customers", headers=headers).status_code == answer
    assert client.post(f"/api_keys/{made['id']}/deactivate")["status"] == "OFF"


def test_no_key_locks_itself_out(client: Caller) -> None:
    """The key that sends the request cannot be the one that is switched off."""
    [own] = client.get("/api_keys")["data"]
    refused = client.post(f"/api_keys/{own['id']}/deactivate", status=400)
    assert refused["code"] == "CONFLICT"
    assert client.get("/api_keys")["data"] == [own]


def test_revoked_key_stays_revoked(client: Caller) -> None:
    """What is revoked for good cannot be switched on."""
    made = client.post("/api_keys", {"name": "old", "scopes": ["read"]}, status=201)
    client.authenticator.revoke_key(made["id"])
    assert client.get(f"/api_keys/{made['id']}")["status"] == "REVOKED"
    assert client.post(f"/api_keys/{made['id']}/activate", status=400)["code"] == "CONFLICT"


def test_keys_are_listed_oldest_first_page_by_page(client: Caller) -> None:
    """The caller's own key, then the others as they were made; every one once."""
    names = [f"key {number}" for number in range(5)]
    for name in names:
        client.post("/api_keys", {"name": name, "scopes": ["read"]}, status=201)
    page = client.get("/api_keys", pageSize=2)
    found = page["data"]
    while token := page.get("nextToken"):
        page = client.get("/api_keys", nextToken=token)
        found += page["data"]
    assert [key["name"] for key in found] == ["test", *names]
    assert [key["name"] for key in client.get("/api_keys", _search="KEY 3")["data"]] == ["key 3"]


def test_keys_are_for_administrators(client: Caller) -> None:
    """Every route of keys needs the scope `admin`, which no role but the administrator's brings."""
    [own] = client.get("/api_keys")["data"]
    others = [client.of("acme", Scope.WRITE, Scope.INGEST)]
    others += [with_key(client, role=role) for role in Role if role is not Role.ADMINISTRATOR]
    for other in others:
        for method, path in (
            ("GET", "/api_keys"),
            ("POST", "/api_keys"),
            ("GET", f"/api_keys/{own['id']}"),
            ("POST", f"/api_keys/{own['id']}/deactivate"),
            ("POST", f"/api_keys/{own['id']}/activate"),
        ):
            assert other.send(method, path, 403)["code"] == "FORBIDDEN"
    assert with_key(client, role="ADMINISTRATOR").get("/api_keys")["data"]


def test_other_organisations_keys_are_not_there(client: Caller, stranger: Caller) -> None:
    """An administrator of another organisation neither sees nor switches them."""
    [own] = client.get("/api_keys")["data"]
    assert own["id"] not in str(stranger.get("/api_keys"))
    assert stranger.get(f"/api_keys/{own['id']}", status=404)["code"] == "NOT_FOUND"
    for action in ("activate", "deactivate"):
        assert stranger.post(f"/api_keys/{own['id']}/{action}", status=404)["code"] == "NOT_FOUND"
    assert client.get(f"/api_keys/{own['id']}")["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "n" * 256, "scopes": ["read"]}, "name"),
        ({"name": "n"}, "scopes"),
        ({"name": "n", "scopes": []}, "scopes"),
        ({"name": "n", "scopes": ["everything"]}, "scopes"),
        ({"name": "n", "scopes": ["read"] * 5}, "scopes"),
        ({"name": "n", "role": "OWNER"}, "role"),
        ({"name": "n", "scopes": ["read"], "organisation": "umbrella"}, "organisation"),
        ({"name": "n", "scopes": ["read"], "expiresAt": "2020-01-01T00:00:00Z"}, "expires"),
        ({"name": "n", "scopes": ["read"], "expiresAt": "0001-01-01T00:00:00+23:59"}, "expiresAt"),
        ({"name": "n", "scopes": ["read"], "expiresAt": "9999-12-31T23:59:59-23:59"}, "expiresAt"),
    ],
)
def test_keys_that_cannot_be_made(client: Caller, body: dict[str, Any], place: str) -> None:
    """Bad names, nothing that it may do, unknown fields and an end in the past are 400 and name the field."""
    assert place in client.post("/api_keys", body, status=400)["message"]
    assert len(client.get("/api_keys")["data"]) == 1


def test_expiry_is_shown_in_utc(client: Caller) -> None:
    """The instant until which the key may be used; after it, its status says so."""
    body = {"name": "n", "scopes": ["read"], "expiresAt": "2999-01-01T02:00:00+02:00"}
    assert client.post("/api_keys", body, status=201)["expiresAt"] == "2999-01-01T00:00:00Z"


# ---- roles -------------------------------------------------------------------------------------------------------

READING = ("/customers", "/accounts", "/event_schema", "/usage_meters", "/price_plans", "/invoices")
WRITING = ("/customers", "/accounts", "/event_schema", "/usage_meters", "/price_plans")


@pytest.mark.parametrize(
    ("role", "readable", "writable"),
    [
        (Role.ADMINISTRATOR, READING, WRITING),
        (Role.ANALYST, READING, ()),
        (Role.DEVELOPER, WRITING[:4], WRITING[:4]),
        (Role.PRODUCT_MANAGER, READING, ("/price_plans",)),
    ],
)
def test_roles_open_their_areas(
    client: Caller, role: Role, readable: tuple[str, ...], writable: tuple[str, ...]
) -> None:
    """Administrators all; analysts read all; developers define; product managers price, and read the rest.

    An empty body is refused with 400 behind the door, and with 403 before it.
    """
    caller = with_key(client, role=role.value)
    assert {path for path in READING if status(caller, "GET", path) == 200} == set(readable)
    assert {path for path in READING if status(caller, "GET", path) == 403} == set(READING) - set(readable)
    assert {path for path in WRITING if status(caller, "POST", path) == 400} == set(writable)
    assert {path for path in WRITING if status(caller, "POST", path) == 403} == set(WRITING) - set(writable)


def status(caller: Caller, method: str, path: str) -> int:
    headers = {"Authorization": f"Bearer {caller.key}"}
    code: int = caller.client.request(method, path, headers=headers).status_code
    return code


def test_role_and_scopes_add_up(client: Caller) -> None:
    """A developer's key with the scope `read` reads price plans, too, and still cannot write them."""
    caller = with_key(client, role="DEVELOPER", scopes=["read"])
    assert status(caller, "GET", "/price_plans") == 200
    refused = caller.post("/price_plans", {}, status=403)
    assert "price plans" in refused["message"]
    assert "DEVELOPER" in refused["message"]


def test_accounts_pricing_is_not_the_developers(client: Caller) -> None:
    """A developer makes accounts, and a product manager gives them a plan; not the other way round."""
    path = "/accounts/a1/price_plans"
    assert status(with_key(client, role="DEVELOPER"), "POST", path) == 403
    assert status(with_key(client, role="PRODUCT_MANAGER"), "POST", path) == 400


def test_every_operation_with_a_credential_has_an_area(client: Caller) -> None:
    """No route was forgotten in the table of areas, so that every role is defined for all of them."""
    document = client.get("/openapi.json")
    paths = {
        path
        for path, operations in document["paths"].items()
        if any(operation.get("security") != [{}] for operation in operations.values() if isinstance(operation, dict))
    }
    assert len(paths) >= 20
    for path in paths - {"/authenticate", "/ingest", "/ingestBatch"}:
        assert area_of(path) is not None, path


@pytest.mark.parametrize(
    ("path", "area"),
    [
        ("/accounts/{account_id}/add_aliases", Area.ACCOUNTS),
        ("/accounts/{account_id}/wallet/entries", Area.CREDITS),
        ("/v2/accounts/{account_id}/edit_schedules", Area.PRICING_SCHEDULES),
        ("/v2/price_plans/{price_plan_id}", Area.PRICE_PLANS),
        ("/nothing", None),
    ],
)
def test_areas_of_paths(path: str, area: Area | None) -> None:
    """What belongs to an account and is money or pricing is not the area of accounts; versions do not matter."""
    assert area_of(path) is area
