"""Customers, accounts and their aliases over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


def test_customer_without_account_gets_one_with_its_own_id_and_name(client: Caller) -> None:
    """A customer always has at least one account; its currency is the organisation's."""
    created = client.post("/customers", samples.customer(), status=201)
    assert created["account"]["id"] == "c1"
    assert created["account"]["name"] == "Customer One"
    assert created["account"]["customerId"] == "c1"
    assert created["account"]["invoiceCurrency"] == "USD"
    assert client.get("/accounts/c1") == created["account"]


def test_customer_is_read_as_it_was_made(client: Caller) -> None:
    """What was sent comes back, with the address also as one line of text."""
    client.post("/customers", samples.customer(), status=201)
    read = client.get("/customers/c1")
    assert read["address"] == samples.ADDRESS
    assert read["billingAddress"] == "1 Main Road, 600001, Chennai, IN"
    assert read["status"] == "ACTIVE"
    assert read["createdAt"] == read["updatedAt"]
    assert read["createdAt"].endswith("Z")


def test_customer_with_its_own_first_account(client: Caller) -> None:
    """The account of the request is made instead of the automatic one."""
    account = {"id": "a9", "name": "Nine", "invoiceCurrency": "EUR", "aliases": ["nine-alias"], "tags": ["Big"]}
    created = client.post("/customers", samples.customer(account=account), status=201)
    assert created["account"]["invoiceCurrency"] == "EUR"
    assert created["account"]["aliases"] == [{"alias": "nine-alias"}]
    assert created["account"]["tags"] == ["big"]
    client.get("/accounts/c1", status=404)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "ab"}, "name: Expected `str` of length >= 3"),
        ({"id": ""}, "id: Expected `str` of length >= 1"),
        ({"id": "x" * 51}, "id: Expected `str` of length <= 50"),
        ({"id": "a/b"}, "id: must not have a slash"),
        ({"id": 5}, "id: Expected `str`, got `int`"),
        ({"primaryEmail": "x" * 321}, "primaryEmail: Expected `str` of length <= 320"),
        ({"address": {"country": "India"}}, "address.country: "),
        ({"address": {"line3": "x"}}, "address: Object contains unknown field `line3`"),
        ({"settings": [{"id": "x"}]}, "settings[0]: Object missing required field"),
        ({"settings": [{**samples.SETTING, "dataType": "NUMERIC"}]}, "settings[0].value: "),
        ({"settings": [samples.SETTING] * 2}, "settings[1].id: a setting setting.USER.tier.CUSTOMER.c1 exists already"),
        ({"settings": [{**samples.SETTING, "id": f"s{n}"} for n in range(11)]}, "settings: Expected `array`"),
        (
            {"account": {"id": "a", "name": "abc", "settings": [{**samples.SETTING, "dataType": "NUMERIC"}]}},
            "account.settings[0].value: ",
        ),
        ({"account": {"id": "a", "name": "x"}}, "account.name: Expected `str` of length >= 3"),
        ({"account": {"id": "a", "name": "abc", "invoiceCurrency": "XXZ"}}, "account.currency"),
        ({"account": {"id": "a", "name": "abc", "status": "ARCHIVED"}}, "account.status: Invalid enum value"),
    ],
)
def test_bad_customer_is_refused_with_the_place(client: Caller, changes: dict[str, Any], message: str) -> None:
    """Every refusal names the field, and nothing is stored."""
    assert message in client.post("/customers", samples.customer(**changes), status=400)["message"]
    assert client.get("/customers")["data"] == []
    assert client.get("/accounts")["data"] == []


def test_customer_and_account_are_made_with_their_settings(client: Caller) -> None:
    """Each setting hangs on what it was sent with; an empty list is none."""
    account = {"id": "a1", "name": "Alpha", "settings": [{**samples.SETTING, "value": "silver"}]}
    client.post("/customers", samples.customer(settings=[samples.SETTING], account=account), status=201)
    client.post("/accounts", samples.account("a2", settings=[{**samples.SETTING, "value": "bronze"}]), status=201)
    client.post("/accounts", samples.account("a3", settings=[]), status=201)
    found = [(each["entityType"], each["entityId"], each["value"]) for each in client.get("/settings")["data"]]
    assert found == [("ACCOUNT", "a1", "silver"), ("ACCOUNT", "a2", "bronze"), ("CUSTOMER", "c1", "gold")]


def test_taken_ids_are_refused_and_nothing_is_changed(client: Caller) -> None:
    """A second customer or account by the same id is a conflict; the first stays as it is."""
    client.post("/customers", samples.customer(), status=201)
    refused = client.post("/customers", samples.customer(name="Another"), status=400)
    assert refused["code"] == "ALREADY_EXISTS"
    assert client.get("/customers/c1")["name"] == "Customer One"
    client.post("/accounts", samples.account("a1"), status=201)
    assert client.post("/accounts", samples.account("a1"), status=400)["code"] == "ALREADY_EXISTS"


def test_customer_is_not_made_when_its_account_cannot_be(client: Caller) -> None:
    """Customer and first account are one transaction."""
    client.post("/customers", samples.customer("c1"), status=201)
    taken = samples.customer("c2", account={"id": "c1", "name": "Taken"})
    assert "account.id" in client.post("/customers", taken, status=400)["message"]
    client.get("/customers/c2", status=404)


def test_account_needs_a_customer_that_is_there(client: Caller) -> None:
    """The refusal says what to do."""
    refused = client.post("/accounts", samples.account(), status=400)
    assert refused["message"] == "customerId: no customer 'c1'; create it first"
    assert refused["code"] == "UNKNOWN_CUSTOMER"


def test_alias_may_move_from_one_account_to_another(client: Caller) -> None:
    """An alias names one account at any instant; windows that meet do not overlap."""
    client.post("/customers", samples.customer(), status=201)
    until = {"value": "shared", "effectiveUntil": "2024-01-01T00:00:00Z"}
    since = {"value": "shared", "effectiveFrom": "2024-01-01T00:00:00Z"}
    client.post("/accounts", samples.account("a1", accountAliases=[until]), status=201)
    created = client.post("/accounts", samples.account("a2", accountAliases=[since]), status=201)
    assert created["aliases"] == [{"alias": "shared"}]
    assert client.get("/accounts/a1")["aliases"] == []
    assert client.get("/accounts/a1", effectiveOn="2023-12-31T23:59:59Z")["aliases"] == [{"alias": "shared"}]
    refused = client.post("/accounts", samples.account("a3", aliases=["shared"]), status=400)
    assert refused["code"] == "ALIAS_TAKEN"
    client.get("/accounts/a3", status=404)


def test_the_same_alias_twice_in_one_request_is_refused(client: Caller) -> None:
    """Also within one account its windows may not overlap."""
    client.post("/customers", samples.customer(), status=201)
    refused = client.post("/accounts", samples.account(aliases=["twice", "twice"]), status=400)
    assert refused["code"] == "ALIAS_TAKEN"


def test_account_is_read_with_everything_it_was_made_with(client: Caller) -> None:
    """Contact fields come back; fields not given are left out."""
    client.post("/customers", samples.customer(), status=201)
    sent = samples.account(
        address=samples.ADDRESS,
        primaryEmail="billing@b.example",
        billingInformation={"emailRecipients": ["x@b.example"], "additionalEmailRecipients": []},
        netTermDays=30,
        metadata={"GSTN": "29ABCDE"},
        tags=["Gold", "South"],
    )
    created = client.post("/accounts", sent, status=201)
    expected = {**sent, "tags": ["gold", "south"], "aliases": [], "status": "ACTIVE", "invoiceCurrency": "USD"}
    assert {key: created[key] for key in expected} == expected
    assert set(created) - set(expected) == {"togaiAccountId", "togaiCustomerId"}
    assert client.get("/accounts/a1") == created
    assert created["togaiCustomerId"] == client.get("/customers/c1")["togaiCustomerId"]


def test_organisations_do_not_see_each_others_customers_and_accounts(client: Caller, stranger: Caller) -> None:
    """The same ids may exist in both, and neither is found by the other."""
    client.post("/customers", samples.customer(account={"id": "a1", "name": "Mine", "aliases": ["alias"]}), status=201)
    stranger.get("/customers/c1", status=404)
    stranger.get("/accounts/a1", status=404)
    stranger.get("/accounts/a1/pricing_schedules", status=404)
    assert stranger.get("/customers")["data"] == []
    assert stranger.get("/accounts")["data"] == []
    assert stranger.post("/accounts", samples.account("a2"), status=400)["code"] == "UNKNOWN_CUSTOMER"
    theirs = samples.customer(name="Theirs", account={"id": "a1", "name": "Theirs", "aliases": ["alias"]})
    stranger.post("/customers", theirs, status=201)
    assert client.get("/customers/c1")["name"] == "Customer One"
    assert client.get("/accounts/a1")["name"] == "Mine"
