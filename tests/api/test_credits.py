"""Credits over HTTP: granted, listed, read with what happened to them, voided, and the balance."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

BEFORE = {"X-Tallybook-Profile": "togai-2023-05"}


@pytest.fixture(autouse=True)
def account(client: Caller) -> None:
    client.post("/customers", samples.customer(), status=201)


def request(**changes: Any) -> dict[str, Any]:
    return {
        "accountId": "c1",
        "purpose": "Prepaid credit",
        "effectiveFrom": "2024-02-04",
        "creditAmount": 1000,
        "priority": 1,
        **changes,
    }


def granted(client: Caller, **changes: Any) -> dict[str, Any]:
    [credit] = client.post("/credits", {"creditRequests": [request(**changes)]}, status=200)["credits"]
    assert isinstance(credit, dict)
    return credit


def test_a_granted_credit_reads_back(client: Caller) -> None:
    """In the account's currency, active, with nothing used, and with the entry of the grant."""
    credit = granted(client, effectiveUntil="9999-01-01", applicableEntityIds=["ALL_USAGE_METER_RATE_CARDS"])
    assert credit == {
        "id": credit["id"],
        "accountId": "c1",
        "customerId": "c1",
        "purpose": "Prepaid credit",
        "applicableEntityIds": ["ALL_USAGE_METER_RATE_CARDS"],
        "effectiveFrom": "2024-02-04",
        "effectiveUntil": "9999-01-01",
        "status": "ACTIVE",
        "creditAmount": 1000,
        "creditUnit": "USD",
        "holdAmount": 0,
        "consumedAmount": 0,
        "priority": 1,
        "createdAt": credit["createdAt"],
        "updatedAt": credit["createdAt"],
    }
    read = client.get(f"/credits/{credit['id']}")
    [entry] = read.pop("transactions")
    assert read == credit
    assert entry == {
        "id": f"{credit['id']}.1",
        "creditId": credit["id"],
        "transactionType": "CREDITED",
        "amount": 1000,
        "createdAt": credit["createdAt"],
    }


def test_credits_are_granted_all_or_none(client: Caller) -> None:
    """The second of three is wrong: none is there."""
    body = {"creditRequests": [request(), request(accountId="c9"), request()]}
    refused = client.post("/credits", body, status=400)
    assert refused["message"] == "creditRequests[1].accountId: no account 'c9'"
    assert refused["code"] == "UNKNOWN_ACCOUNT"
    assert client.get("/credits") == {"data": []}


def test_a_request_that_is_repeated_grants_once(client: Caller) -> None:
    """By its key; the same key for another credit is refused."""
    first = granted(client, idempotencyKey="k")
    assert granted(client, idempotencyKey="k") == first
    body = {"creditRequests": [request(idempotencyKey="k", creditAmount=1000.01)]}
    assert client.post("/credits", body, status=400)["code"] == "ALREADY_EXISTS"
    assert len(client.get("/credits")["data"]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"creditAmount": 0}, "creditRequests[0].creditAmount: must be a number above 0"),
        ({"creditAmount": None}, "creditRequests[0].creditAmount"),
        ({"priority": 101}, "creditRequests[0].priority: must be 1 to 100"),
        ({"purpose": ""}, "creditRequests[0].purpose"),
        ({"effectiveUntil": "2024-02-04"}, "creditRequests[0].effectiveUntil: must be after"),
        ({"effectiveFrom": "2024-02-30"}, "creditRequests[0].effectiveFrom"),
        ({"applicableEntityIds": ["um.none"]}, "applicableEntityIds: no usage meter or add-on 'um.none'"),
        ({"idempotencyKey": ""}, "creditRequests[0].idempotencyKey"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_bad_credits_are_refused(client: Caller, changes: dict[str, Any], message: str) -> None:
    """Every refusal names the field, and nothing is granted."""
    refused = client.post("/credits", {"creditRequests": [request(**changes)]}, status=400)
    assert message in refused["message"]
    assert client.get("/credits") == {"data": []}


def test_too_many_credits_at_once_are_refused(client: Caller) -> None:
    """As are none."""
    client.post("/credits", {"creditRequests": [request()] * 101}, status=400)
    client.post("/credits", {"creditRequests": []}, status=400)


def test_an_archived_account_gets_no_credit(client: Caller) -> None:
    client.send("DELETE", "/customers/c1", 200)
    assert client.post("/credits", {"creditRequests": [request()]}, status=400)["code"] == "ACCOUNT_ARCHIVED"


def test_meters_and_add_ons_may_be_named(client: Caller) -> None:
    """Of this organisation."""
    meter_id = samples.active_meter(client)
    add_on_id = client.post("/addons", {"name": "Seat", "type": "LICENSE"}, status=200)["id"]
    assert granted(client, applicableEntityIds=[meter_id, add_on_id])["applicableEntityIds"] == [meter_id, add_on_id]


def test_voiding_is_for_good_and_can_be_repeated(client: Caller) -> None:
    """What is left is taken away, with an entry that says so."""
    credit = granted(client)
    voided = client.post(f"/credits/{credit['id']}/void", status=200)
    assert voided["status"] == "VOIDED"
    assert client.post(f"/credits/{credit['id']}/void", status=200) == voided
    entries = client.get(f"/credits/{credit['id']}")["transactions"]
    assert [(entry["transactionType"], entry["amount"]) for entry in entries] == [("CREDITED", 1000), ("VOIDED", 1000)]
    assert client.get("/accounts/c1/credit_balance")["activeCredits"] == 0


def with_status(client: Caller, status: str) -> list[str]:
    return [each["id"] for each in client.send("GET", "/credits", 200, params={"status": status})["data"]]


def test_a_credit_whose_days_are_over_is_expired(client: Caller) -> None:
    """On the day of `effectiveUntil`, with an entry for what is left."""
    credit = granted(client, effectiveUntil="2024-03-01")
    assert credit["status"] == "EXPIRED"
    entries = client.get(f"/credits/{credit['id']}")["transactions"]
    assert [(entry["transactionType"], entry["amount"]) for entry in entries] == [("CREDITED", 1000), ("EXPIRED", 1000)]
    assert with_status(client, "EXPIRED") == [credit["id"]]
    assert with_status(client, "ACTIVE") == []


def test_credits_are_listed_in_pages(client: Caller) -> None:
    """The newest first; a page ends with a token; filters go with it."""
    first, second, third = (granted(client, purpose=purpose)["id"] for purpose in ("a", "b", "c"))
    page = client.get("/credits", pageSize=2, account_id="c1")
    assert [credit["id"] for credit in page["data"]] == [third, second]
    assert [credit["id"] for credit in client.get("/credits", nextToken=page["nextToken"])["data"]] == [first]
    assert [credit["id"] for credit in client.get("/credits", id=second)["data"]] == [second]
    assert client.get("/credits", account_id="c2")["data"] == []
    client.get("/credits", 400, pageSize=51)
    client.send("GET", "/credits", 400, params={"status": "SPENT"})
    client.get("/credits", 400, colour="red")


def test_the_balance_of_an_account_without_a_plan(client: Caller) -> None:
    """No draft holds anything, and none can use anything."""
    granted(client)
    granted(client, creditAmount=0.5)
    balance = client.get("/accounts/c1/credit_balance")
    del balance["lastUpdatedAt"]
    assert balance == {
        "activeCredits": 1000.5,
        "availableBalance": 1000.5,
        "runningBalance": 1000.5,
        "inapplicableCredits": 1000.5,
        "unit": "USD",
    }
    client.get("/accounts/c9/credit_balance", 404)


def test_what_is_not_there_is_not_found(client: Caller) -> None:
    client.get("/credits/cred.none", 404)
    client.post("/credits/cred.none/void", status=404)


def test_organisations_do_not_see_each_others_credits(client: Caller, stranger: Caller) -> None:
    """Neither reading, voiding, keys, accounts nor meters reach over."""
    credit = granted(client, idempotencyKey="k")
    assert stranger.get("/credits") == {"data": []}
    assert stranger.get("/credits", id=credit["id"]) == {"data": []}
    stranger.get(f"/credits/{credit['id']}", 404)
    stranger.post(f"/credits/{credit['id']}/void", status=404)
    stranger.get("/accounts/c1/credit_balance", 404)
    body = {"creditRequests": [request()]}
    assert stranger.post("/credits", body, status=400)["code"] == "UNKNOWN_ACCOUNT"
    stranger.post("/customers", samples.customer(), status=201)
    assert granted(stranger, idempotencyKey="k", creditAmount=1)["id"] != credit["id"]
    meter_id = samples.active_meter(client)
    body = {"creditRequests": [request(applicableEntityIds=[meter_id])]}
    assert stranger.post("/credits", body, status=400)["code"] == "UNKNOWN_ENTITY"


def test_generation_2023_05_grants_one_credit_at_a_time(client: Caller) -> None:
    """The request is the credit, and so is the answer; there are no keys and no grantors."""
    body = {**request(), "effectiveUntil": "9999-01-01"}
    credit = client.send("POST", "/credits", 200, json=body, headers=BEFORE)
    assert (credit["creditAmount"], credit["status"], credit["creditUnit"]) == (1000, "ACTIVE", "USD")
    client.send("POST", "/credits", 400, json={**body, "idempotencyKey": "k"}, headers=BEFORE)
    client.send("POST", "/credits", 400, json={"creditRequests": [body]}, headers=BEFORE)
    granted(client, idempotencyKey="k")
    for listed in client.send("GET", "/credits", 200, headers=BEFORE)["data"]:
        assert "idempotencyKey" not in listed
    balance = client.send("GET", "/accounts/c1/credit_balance", 200, headers=BEFORE)
    assert (balance["activeCredits"], "lastUpdatedAt" in balance) == (2000, False)
    read = client.send("GET", f"/credits/{credit['id']}", 200, headers=BEFORE)
    assert [entry["transactionType"] for entry in read["transactions"]] == ["CREDITED"]
