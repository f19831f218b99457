"""Rate cards of fees and licences over HTTP, and what accounts hold of licences."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


def add_on(client: Caller, add_on_type: str, name: str) -> str:
    created: str = client.post("/addons", {"name": name, "type": add_on_type}, status=200)["id"]
    return created


def fee(add_on_id: str, **changes: Any) -> dict[str, Any]:
    rates = [{"currency": currency, "rate": 49.5} for currency in ("USD", "EUR")]
    return {"id": add_on_id, "rateValues": rates, "enableProration": False, **changes}


def licence(add_on_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": add_on_id,
        "enableProration": True,
        "ratePlan": {"pricingModel": "VOLUME", "slabs": [{"order": 1, "startAfter": 0, "priceType": "PER_UNIT"}]},
        "rateValues": [{"currency": currency, "slabRates": [{"order": 1, "rate": 30}]} for currency in ("USD", "EUR")],
        **changes,
    }


@pytest.fixture
def meter_id(client: Caller) -> str:
    return samples.active_meter(client)


def test_a_plan_with_fees_and_licences_reads_back(client: Caller, meter_id: str) -> None:
    """Cards come back with what was left out: the add-on's name, timing, type, recurrence, refund."""
    fee_id, seat_id = add_on(client, "FIXED_FEE", "Platform"), add_on(client, "LICENSE", "Seat")
    details = {
        "fixedFeeRateCards": [
            fee(fee_id, invoiceTiming="IN_ADVANCE", type="RECURRING", recurrenceConfig={"interval": 3, "offset": 1})
        ],
        "licenseRateCards": [licence(seat_id, usageCycle="WEEKLY", config={"maxQuantity": 100})],
    }
    created = client.post("/price_plans", samples.plan(meter_id, details=details), status=200)
    read = client.get(f"/price_plans/{created['id']}")["pricingSchedule"][0]["pricePlanDetails"]
    assert read == created["pricingSchedule"][0]["pricePlanDetails"]
    assert read["fixedFeeRateCards"] == [
        {
            "id": fee_id,
            "displayName": "Platform",
            "name": f"fee.{fee_id}",
            "invoiceTiming": "IN_ADVANCE",
            "type": "RECURRING",
            "rateValues": [{"currency": "USD", "rate": 49.5}, {"currency": "EUR", "rate": 49.5}],
            "enableProration": False,
            "recurrenceConfig": {"interval": 3, "offset": 1},
        }
    ]
    [seat] = read["licenseRateCards"]
    assert (seat["displayName"], seat["invoiceTiming"], seat["usageCycle"]) == ("Seat", "IN_ARREARS", "WEEKLY")
    assert (seat["proratedRefundMode"], seat["config"]["maxQuantity"]) == ("CREDITS", 100)
    assert read["usageRateCards"]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("fixedFeeRateCards", {"id": "addon.none"}, "fixedFeeRateCards[0].id: no add-on 'addon.none'"),
        ("fixedFeeRateCards", {"invoiceTiming": "PREPAID"}, "fixedFeeRateCards[0].invoiceTiming: PREPAID is for"),
        ("fixedFeeRateCards", {"recurrenceConfig": {"interval": 0}}, "recurrenceConfig.interval"),
        ("fixedFeeRateCards", {"rateValues": []}, "rateValues: no rate in EUR"),
        ("fixedFeeRateCards", {"colour": "red"}, "fixedFeeRateCards[0]: Object contains unknown field `colour`"),
        ("licenseRateCards", {"type": "NAMED_LICENSE"}, "licenseRateCards[0].type: only LICENSE"),
        ("licenseRateCards", {"proratedRefundMode": "WALLET"}, "proratedRefundMode: use NONE or CREDITS"),
        ("licenseRateCards", {"usageCycle": "ANNUALLY"}, "usageCycle: ANNUALLY is longer"),
        ("licenseRateCards", {"config": {"maxQuantity": -1}}, "config.maxQuantity"),
    ],
)
def test_cards_that_cannot_be_charged_are_refused(
    client: Caller, meter_id: str, kind: str, changes: dict[str, Any], message: str
) -> None:
    """Every refusal names the field."""
    good = (
        fee(add_on(client, "FIXED_FEE", "P")) if kind.startswith("fixed") else licence(add_on(client, "LICENSE", "S"))
    )
    body = samples.plan(meter_id, details={kind: [{**good, **changes}]})
    assert message in client.post("/price_plans", body, status=400)["message"]


def test_a_fee_needs_an_add_on_of_its_type(client: Caller, meter_id: str) -> None:
    """A licence's add-on is none, nor is an archived one, nor another organisation's."""
    seat_id = add_on(client, "LICENSE", "Seat")
    body = samples.plan(meter_id, details={"fixedFeeRateCards": [fee(seat_id)]})
    assert client.post("/price_plans", body, status=400)["code"] == "UNKNOWN_ADD_ON"
    gone = add_on(client, "FIXED_FEE", "Platform")
    client.send("DELETE", f"/addons/{gone}", 200)
    body = samples.plan(meter_id, details={"fixedFeeRateCards": [fee(gone)]})
    assert client.post("/price_plans", body, status=400)["code"] == "UNKNOWN_ADD_ON"


# ---- licences ----------------------------------------------------------------------------------------------------


@pytest.fixture
def seat_id(client: Caller) -> str:
    client.post("/customers", samples.customer(), status=201)
    return add_on(client, "LICENSE", "Seat")


def change(seat_id: str, **changes: Any) -> dict[str, Any]:
    return {"licenseId": seat_id, "accountId": "c1", "updateType": "RELATIVE", "quantity": 2, **changes}


def test_updates_say_what_is_held_after_them(client: Caller, seat_id: str) -> None:
    """Those that take effect last come first; a page ends with a token."""
    client.post(
        "/license_updates",
        change(seat_id, quantity=10, updateType="ABSOLUTE", effectiveFrom="2024-01-01T00:00:00Z"),
        status=200,
    )
    client.post(
        "/license_updates",
        change(seat_id, quantity=0.5, effectiveFrom="2024-01-16T00:00:00Z", metadata={"a": "b"}),
        status=200,
    )
    page = client.get("/license_updates", account_id="c1", pageSize=1)
    [latest] = page["data"]
    assert (latest["quantity"], latest["effectiveFrom"], latest["metadata"]) == (
        10.5,
        "2024-01-16T00:00:00Z",
        {"a": "b"},
    )
    [first] = client.get("/license_updates", nextToken=page["nextToken"])["data"]
    assert first["quantity"] == 10
    [found] = client.get("/license_updates", licenseId=seat_id, effectiveFrom="2024-01-01T00:00:00Z")["data"]
    assert found == first
    assert client.get("/license_updates", account_id="c2")["data"] == []


def test_an_archived_account_takes_no_update(client: Caller, seat_id: str) -> None:
    """Nobody would ever be billed for it."""
    client.send("DELETE", "/customers/c1", 200)
    refused = client.post("/license_updates", change(seat_id), status=400)
    assert refused["code"] == "ACCOUNT_ARCHIVED"
    assert client.get("/license_updates")["data"] == []


def test_metadata_can_be_replaced(client: Caller, seat_id: str) -> None:
    client.post("/license_updates", change(seat_id, effectiveFrom="2024-01-16T00:00:00Z"), status=200)
    body = {"accountId": "c1", "effectiveFrom": "2024-01-16T00:00:00Z", "metadata": {"order": "17"}}
    assert client.send("PATCH", f"/license_updates/{seat_id}", 200, json=body)["metadata"] == {"order": "17"}
    assert client.get("/license_updates")["data"][0]["metadata"] == {"order": "17"}
    client.send("PATCH", "/license_updates/addon.none", 404, json=body)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantity": -1}, "quantity: the account would hold less than 0"),
        ({"quantity": "1e999999"}, "quantity"),
        ({"updateType": "DOUBLE"}, "updateType"),
        ({"accountId": "c9"}, "accountId: no account 'c9'"),
        ({"licenseId": "addon.none"}, "licenseId: no add-on 'addon.none'"),
        ({"effectiveFrom": "9999-06-01T00:00:00Z"}, "effectiveFrom"),
        ({"idempotencyKey": ""}, "idempotencyKey"),
        ({"metadata": {"k": "v" * 501}}, "metadata"),
    ],
)
def test_bad_updates_are_refused(client: Caller, seat_id: str, changes: dict[str, Any], message: str) -> None:
    """Every refusal names the field, and nothing is kept."""
    assert message in client.post("/license_updates", change(seat_id, **changes), status=400)["message"]
    assert client.get("/license_updates")["data"] == []


def test_organisations_do_not_see_each_others_licences(client: Caller, seat_id: str, stranger: Caller) -> None:
    """Neither reading, changing nor the keys of updates reach over."""
    client.post(
        "/license_updates", change(seat_id, idempotencyKey="k", effectiveFrom="2024-01-16T00:00:00Z"), status=200
    )
    assert stranger.get("/license_updates")["data"] == []
    assert stranger.post("/license_updates", change(seat_id), status=400)["code"] == "UNKNOWN_ACCOUNT"
    stranger.post("/customers", samples.customer(), status=201)
    assert stranger.post("/license_updates", change(seat_id), status=400)["code"] == "UNKNOWN_ADD_ON"
    own = add_on(stranger, "LICENSE", "Seat")
    stranger.post("/license_updates", change(own, idempotencyKey="k"), status=200)
    body = {"accountId": "c1", "effectiveFrom": "2024-01-16T00:00:00Z", "metadata": {}}
    stranger.send("PATCH", f"/license_updates/{seat_id}", 404, json=body)
