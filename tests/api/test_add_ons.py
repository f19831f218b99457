"""Add-ons over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


def made(client: Caller, name: str = "Seat", **changes: Any) -> Any:
    return client.post("/addons", {"name": name, "type": "LICENSE", **changes}, status=200)


def test_add_on_is_read_as_it_was_made(client: Caller) -> None:
    """What is sent comes back; without a billable name the name is shown."""
    created = made(client)
    assert created["id"].startswith("addon.")
    assert {**created, "id": "", "createdAt": ""} == {
        "id": "",
        "name": "Seat",
        "type": "LICENSE",
        "displayName": "Seat",
        "status": "ACTIVE",
        "createdAt": "",
    }
    assert client.get(f"/addons/{created['id']}") == created
    billed = made(client, "Setup", type="FIXED_FEE", billableName="Setup fee")
    assert (billed["billableName"], billed["displayName"]) == ("Setup fee", "Setup fee")


def test_add_on_is_renamed(client: Caller) -> None:
    """What is not sent stays; an empty billable name takes it away."""
    path = f"/addons/{made(client, billableName='Seats')['id']}"
    renamed = client.send("PATCH", path, 200, json={"name": "Licence"})
    assert (renamed["name"], renamed["displayName"]) == ("Licence", "Seats")
    plain = client.send("PATCH", path, 200, json={"billableName": ""})
    assert plain["displayName"] == "Licence"
    assert "billableName" not in plain
    assert client.get(path) == plain


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": " ", "type": "LICENSE"}, "name: must be 1 to 255 characters, and not blank"),
        ({"name": "x" * 256, "type": "LICENSE"}, "name: "),
        ({"name": "x", "type": "SEAT"}, "type: "),
        ({"name": "x"}, "type"),
        ({"name": "x", "type": "LICENSE", "billableName": "x" * 256}, "billableName: "),
        ({"name": "x", "type": "LICENSE", "price": 1}, "unknown field `price`"),
        ({"name": "Taken", "type": "FIXED_FEE"}, "name: an add-on 'Taken' exists already"),
    ],
)
def test_bad_add_on_is_refused(client: Caller, body: dict[str, Any], message: str) -> None:
    """The refusal names the field; a name is there once."""
    made(client, "Taken")
    assert message in client.post("/addons", body, status=400)["message"]
    assert [each["name"] for each in client.get("/addons")["data"]] == ["Taken"]


def test_archived_add_on_stays_readable_and_frees_its_name(client: Caller) -> None:
    """It changes no more, and archiving it again does nothing."""
    path = f"/addons/{made(client)['id']}"
    assert client.send("DELETE", path, 200) == {"success": True}
    assert client.get(path)["status"] == "ARCHIVED"
    assert client.send("PATCH", path, 400, json={"name": "New"})["code"] == "ADD_ON_ARCHIVED"
    assert client.send("DELETE", path, 200) == {"success": True}
    again = made(client)
    refused = client.send("PATCH", f"/addons/{made(client, 'Other')['id']}", 400, json={"name": "Seat"})
    assert refused["code"] == "ALREADY_EXISTS"
    assert client.get(f"/addons/{again['id']}")["name"] == "Seat"


def test_add_ons_are_listed_by_name(client: Caller) -> None:
    """Narrowed by status, searched, and page by page."""
    ids = {name: made(client, name)["id"] for name in ("Cc", "Aa", "Bb")}
    client.send("DELETE", f"/addons/{ids['Bb']}", 200)
    page = client.get("/addons", pageSize=2)
    assert page["context"] == {"pageSize": 2, "sortOrder": "ASC"}
    assert [each["name"] for each in page["data"]] == ["Aa", "Bb"]
    assert [each["name"] for each in client.get("/addons", nextToken=page["nextToken"])["data"]] == ["Cc"]
    active = client.send("GET", "/addons", 200, params={"status": "ACTIVE", "_sort": "name:desc"})
    assert [each["name"] for each in active["data"]] == ["Cc", "Aa"]
    assert [each["name"] for each in client.get("/addons", _search="b")["data"]] == ["Bb"]


def test_organisations_have_their_own_add_ons(client: Caller, stranger: Caller) -> None:
    """The same name is free there, and nothing of the other's is found."""
    path = f"/addons/{made(client)['id']}"
    made(stranger)
    stranger.get(path, status=404)
    stranger.send("PATCH", path, 404, json={"name": "Theirs"})
    stranger.send("DELETE", path, 404)
    assert len(stranger.get("/addons")["data"]) == 1
    assert client.get(path)["status"] == "ACTIVE"


def test_add_on_that_a_plan_charges_for_is_not_archived(client: Caller) -> None:
    """As long as the plan is a draft it may go; once the plan is active it stays."""
    meter_id = samples.active_meter(client)
    add_on = made(client, "Platform", type="FIXED_FEE")
    rates = [{"currency": currency, "rate": 49.5} for currency in ("USD", "EUR")]
    fee = {"id": add_on["id"], "rateValues": rates, "enableProration": False}
    plan = client.post("/price_plans", samples.plan(meter_id, details={"fixedFeeRateCards": [fee]}), status=200)
    client.post(f"/price_plans/{plan['id']}/activate", {"currencies": ["USD"]})
    refused = client.send("DELETE", f"/addons/{add_on['id']}", 400)
    assert (refused["code"], refused["message"]) == (
        "ADD_ON_PRICED",
        "price plan 'standard' charges for add-on 'Platform'",
    )
    assert client.get(f"/addons/{add_on['id']}")["status"] == "ACTIVE"
