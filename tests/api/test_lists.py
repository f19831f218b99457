"""What every list has in common: filters in legal combinations, search, sorting, and tokens that carry the query."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


@pytest.fixture
def listed(client: Caller) -> Caller:
    """Three customers with one account each; `b` and `C` belong to `c2`, in euros the one, in dollars the other."""
    client.post("/customers", samples.customer("c1", account={"id": "a1", "name": "Alpha"}), status=201)
    client.post("/customers", samples.customer("c2", account=_account("b1", "bravo", "EUR")), status=201)
    client.post("/accounts", samples.account("d1", name="Charlie 100%", customerId="c2"), status=201)
    return client


def _account(account_id: str, name: str, currency: str) -> dict[str, Any]:
    return {"id": account_id, "name": name, "invoiceCurrency": currency}


def names(page: Any) -> list[str]:
    return [each["name"] for each in page["data"]]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["Charlie 100%", "bravo", "Alpha"]),
        ({"account_id": "a1"}, ["Alpha"]),
        ({"customer_id": "c2"}, ["Charlie 100%", "bravo"]),
        ({"status": "ACTIVE"}, ["Charlie 100%", "bravo", "Alpha"]),
        ({"status": "ARCHIVED"}, []),
        ({"invoice_currency": "EUR"}, ["bravo"]),
        ({"customer_id": "c2", "status": "ACTIVE"}, ["Charlie 100%", "bravo"]),
        ({"customer_id": "nobody"}, []),
    ],
)
def test_accounts_are_found_by_the_legal_filters(listed: Caller, filters: dict[str, str], expected: list[str]) -> None:
    """The five combinations of the interface, with the accounts changed last first."""
    assert names(listed.send("GET", "/accounts", 200, params=filters)) == expected


@pytest.mark.parametrize(
    "filters",
    [
        {"account_id": "a1", "customer_id": "c1"},
        {"account_id": "a1", "status": "ACTIVE"},
        {"customer_id": "c1", "invoice_currency": "USD"},
        {"status": "ACTIVE", "invoice_currency": "USD"},
    ],
)
def test_other_combinations_are_refused(listed: Caller, filters: dict[str, str]) -> None:
    """Only declared combinations are legal; the refusal lists them."""
    refused = listed.send("GET", "/accounts", 400, params=filters)
    assert refused["code"] == "FILTER_COMBINATION"
    assert "account_id | customer_id | status | invoice_currency | customer_id+status" in refused["message"]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("a", ["Charlie 100%", "bravo", "Alpha"]),
        ("BRA", ["bravo"]),
        ("d1", ["Charlie 100%"]),
        ("%", ["Charlie 100%"]),
        ("_", []),
        ("", ["Charlie 100%", "bravo", "Alpha"]),
    ],
)
def test_search_finds_parts_of_ids_and_names(listed: Caller, search: str, expected: list[str]) -> None:
    """In upper or lower case, and `%` and `_` mean themselves."""
    assert names(listed.get("/accounts", _search=search)) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name", ["Alpha", "Charlie 100%", "bravo"]),
        ("name:desc", ["bravo", "Charlie 100%", "Alpha"]),
        ("account_id", ["Alpha", "bravo", "Charlie 100%"]),
        ("created_at:ASC", ["Alpha", "bravo", "Charlie 100%"]),
        ("updated_at:desc,account_id", ["Charlie 100%", "bravo", "Alpha"]),
    ],
)
def test_sorting_by_what_is_asked_for(listed: Caller, sort: str, expected: list[str]) -> None:
    """Ascending unless said otherwise; capitals come before small letters."""
    assert names(listed.get("/accounts", _sort=sort)) == expected
    seen, parameters = [], {"_sort": sort}
    while parameters:
        page = listed.get("/accounts", pageSize=1, **parameters)
        seen += names(page)
        parameters = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
    assert seen == expected


@pytest.mark.parametrize(
    "sort", ["", "colour", "name:up", "name,name", "account_id,name,created_at,updated_at", "name,"]
)
def test_sorting_by_anything_else_is_refused(client: Caller, sort: str) -> None:
    """The refusal names the parameter."""
    assert client.send("GET", "/accounts", 400, params={"_sort": sort})["message"].startswith("_sort: ")


def test_items_that_sort_alike_are_all_shown(client: Caller) -> None:
    """Five customers of one name, two on a page: they are in the list's own order, and each is there once."""
    for number in (3, 1, 5, 2, 4):
        client.post("/customers", samples.customer(f"c{number}"), status=201)
    seen, parameters = [], {"_sort": "name:desc"}
    while parameters:
        page = client.get("/customers", pageSize=2, **parameters)
        seen += [each["id"] for each in page["data"]]
        parameters = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
    assert seen == ["c4", "c2", "c5", "c1", "c3"]


def test_long_names_still_fit_into_a_token(client: Caller) -> None:
    """A token has at most 500 characters, also when the list is sorted by names of 255 letters of several bytes."""
    for number in range(2):
        client.post("/customers", samples.customer(f"{number}", name="計" * 254 + str(number)), status=201)
    page = client.get("/customers", pageSize=1, _sort="name", _search="計" * 10)
    assert len(page["nextToken"]) <= 500
    assert [each["id"] for each in client.get("/customers", nextToken=page["nextToken"])["data"]] == ["0"]


def test_a_token_carries_filters_search_and_order(listed: Caller) -> None:
    """Nothing need be repeated, what is repeated must be the same, and something else is refused."""
    query = {"customer_id": "c2", "_search": "a", "_sort": "name:desc"}
    token = listed.get("/accounts", pageSize=1, **query)["nextToken"]
    assert names(listed.get("/accounts", nextToken=token)) == ["Charlie 100%"]
    assert names(listed.get("/accounts", nextToken=token, **query)) == ["Charlie 100%"]
    for other in ({"customer_id": "c1"}, {"_search": "b"}, {"_sort": "name"}):
        listed.send("GET", "/accounts", 400, params={"nextToken": token, **other})


@pytest.mark.parametrize(
    ("path", "sort"),
    [
        ("/customers", "updated_at:desc,name"),
        ("/accounts", "updated_at:desc,name"),
        ("/aliases", "value:desc"),
        ("/addons", "created_at,name"),
        ("/settings", "setting_id:desc,updated_at"),
        ("/event_schema", "updated_at:desc,name"),
        ("/usage_meters", "updated_at:desc,name"),
        ("/price_plans", "updated_at:desc,name"),
    ],
)
def test_every_catalogue_list_can_be_searched_and_sorted(client: Caller, path: str, sort: str) -> None:
    """One mechanism for all of them, with bounds on what it takes."""
    assert client.get(path, _search="x", _sort=sort)["data"] == []
    client.send("GET", path, 400, params={"_search": "x" * 51})
    client.send("GET", path, 400, params={"_sort": "name" + "," * 100})
    client.send("GET", path, 400, params={"_offset": "1"})


def test_settings_that_sort_alike_are_all_shown(client: Caller) -> None:
    """Settings have no id of one part; sorted by a part that they share, each is still there once."""
    for entity in ("c1", "c2"):
        settings = [{**samples.SETTING, "id": each} for each in ("first", "second")]
        client.post("/customers", samples.customer(entity, settings=settings), status=201)
    seen, parameters = [], {"_sort": "namespace"}
    while parameters:
        page = client.get("/settings", pageSize=1, **parameters)
        seen += [(each["id"], each["entityId"]) for each in page["data"]]
        parameters = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
    assert seen == [("first", "c1"), ("first", "c2"), ("second", "c1"), ("second", "c2")]
