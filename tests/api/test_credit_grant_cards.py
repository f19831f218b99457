"""Rate cards that sell credit, over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

SLABS = [{"startAfter": 0, "priceType": "PER_UNIT", "rate": 0.9}]


def grant(add_on_id: str, **changes: Any) -> dict[str, Any]:
    details = [{"currency": currency, "creditAmount": 1000, "slabDetails": SLABS} for currency in ("USD", "EUR")]
    return {
        "id": add_on_id,
        "grantDetails": {"priority": 1, "expiryType": "PRICING_CYCLE"},
        "rateDetails": {"pricingModel": "TIERED", "currencySlabRateDetails": details},
        **changes,
    }


@pytest.fixture
def meter_id(client: Caller) -> str:
    return samples.active_meter(client)


@pytest.fixture
def add_on_id(client: Caller) -> str:
    made: str = client.post("/addons", {"name": "Credit pack", "type": "CREDIT_GRANT"}, status=200)["id"]
    return made


def test_a_plan_that_sells_credit_reads_back(client: Caller, meter_id: str, add_on_id: str) -> None:
    """With what was left out: the add-on's name, timing, type and recurrence."""
    prices = [
        {
            "currency": currency,
            "creditAmount": 1500,
            "slabDetails": [
                {"startAfter": 0, "priceType": "PACKAGE", "rate": 90, "slabConfig": {"packageSize": "100"}},
                {"startAfter": 1000, "priceType": "PER_UNIT", "rate": 0.8, "slabRateConfig": {"minimumRate": "10"}},
            ],
            "rateConfig": {"maximumRate": "1200"},
        }
        for currency in ("USD", "EUR")
    ]
    card = grant(
        add_on_id,
        tag="Credits",
        invoiceTiming="IN_ADVANCE",
        grantDetails={
            "priority": 0,
            "expiryType": "CUSTOM",
            "expiryDuration": "P3M",
            "applicableEntityIds": [meter_id, "ALL_FIXED_FEE_RATE_CARDS"],
        },
        rateDetails={"pricingModel": "VOLUME", "currencySlabRateDetails": prices},
    )
    body = samples.plan(meter_id, details={"creditGrantRateCards": [card]})
    created = client.post("/price_plans", body, status=200)
    [read] = client.get(f"/price_plans/{created['id']}")["pricingSchedule"][0]["pricePlanDetails"][
        "creditGrantRateCards"
    ]
    for price in prices:
        for slab in price["slabDetails"]:
            slab.setdefault("slabConfig", {})
            slab.setdefault("slabRateConfig", {})
    assert read == {
        **card,
        "displayName": "Credit pack",
        "name": f"credits.{add_on_id}",
        "type": "RECURRING",
        "recurrenceConfig": {"interval": 1, "offset": 0},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "addon.none"}, "creditGrantRateCards[0].id: no add-on 'addon.none' of type CREDIT_GRANT"),
        ({"invoiceTiming": "PREPAID"}, "creditGrantRateCards[0].invoiceTiming: use IN_ADVANCE or IN_ARREARS"),
        ({"recurrenceConfig": {"offset": -1}}, "creditGrantRateCards[0].recurrenceConfig.offset"),
        ({"grantDetails": {"priority": -1, "expiryType": "NO_EXPIRY"}}, "grantDetails.priority: must be 0 to 100"),
        ({"grantDetails": {"priority": 1, "expiryType": "CUSTOM"}}, "grantDetails.expiryDuration: expiryType CUSTOM"),
        ({"grantDetails": {"priority": 1, "expiryType": "SOMEDAY"}}, "grantDetails.expiryType"),
        (
            {"grantDetails": {"priority": 1, "expiryType": "NO_EXPIRY", "applicableEntityIds": ["um.none"]}},
            "creditGrantRateCards[0].grantDetails.applicableEntityIds: no usage meter or add-on 'um.none'",
        ),
        (
            {"rateDetails": {"pricingModel": "TIERED", "currencySlabRateDetails": []}},
            "creditGrantRateCards[0].rateDetails.currencySlabRateDetails: no rate in EUR",
        ),
        ({"colour": "red"}, "creditGrantRateCards[0]: Object contains unknown field `colour`"),
    ],
)
def test_cards_that_cannot_be_charged_are_refused(
    client: Caller, meter_id: str, add_on_id: str, changes: dict[str, Any], message: str
) -> None:
    """Every refusal names the field."""
    body = samples.plan(meter_id, details={"creditGrantRateCards": [{**grant(add_on_id), **changes}]})
    assert message in client.post("/price_plans", body, status=400)["message"]


def test_slabs_are_checked(client: Caller, meter_id: str, add_on_id: str) -> None:
    """As those of other cards, by currency."""
    card = grant(add_on_id)
    card["rateDetails"]["currencySlabRateDetails"][1] = {
        "currency": "EUR",
        "creditAmount": 1000,
        "slabDetails": [*SLABS, *SLABS],
    }
    refused = client.post("/price_plans", samples.plan(meter_id, details={"creditGrantRateCards": [card]}), status=400)
    assert "currencySlabRateDetails[1].slabDetails[1].startAfter: must be above" in refused["message"]


def test_cards_are_replaced_all_together(client: Caller, meter_id: str, add_on_id: str) -> None:
    """By a change of the plan; an empty list changes nothing."""
    body = samples.plan(meter_id, details={"creditGrantRateCards": [grant(add_on_id)]})
    plan_id = client.post("/price_plans", body, status=200)["id"]
    other = grant(add_on_id, displayName="Bundle")
    for sent, names in (([], ["Credit pack"]), ([other], ["Bundle"])):
        changes = {"pricePlanDetails": {"creditGrantRateCards": sent}}
        changed = client.send("PATCH", f"/price_plans/{plan_id}", 200, json=changes)
        details = changed["pricingSchedule"][0]["pricePlanDetails"]
        assert [card["displayName"] for card in details["creditGrantRateCards"]] == names


def test_a_deferred_plan_sells_no_credit(client: Caller, meter_id: str, add_on_id: str) -> None:
    """Contract 3.6."""
    details = {"creditGrantRateCards": [grant(add_on_id)], "deferredRevenue": True}
    refused = client.post("/price_plans", samples.plan(meter_id, details=details), status=400)
    assert "deferredRevenue" in refused["message"]


def test_the_older_generation_has_no_such_cards(client: Caller, meter_id: str, add_on_id: str) -> None:
    """They are left out of what its clients read."""
    body = samples.plan(meter_id, details={"creditGrantRateCards": [grant(add_on_id)]})
    plan_id = client.post("/price_plans", body, status=200)["id"]
    read = client.send("GET", f"/price_plans/{plan_id}", 200, headers={"X-Tallybook-Profile": "togai-2023-05"})
    assert "creditGrantRateCards" not in read["pricingSchedule"][0]["pricePlanDetails"]


def test_the_second_door_takes_the_card(client: Caller, meter_id: str, add_on_id: str) -> None:
    """Added to a draft by its name, listed, and gone again."""
    cycle = {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3}
    plan = {"name": "second", "type": "BILLING", "supportedCurrencies": ["USD", "EUR"], "pricingCycleConfig": cycle}
    plan_id = client.post("/v2/price_plans", plan)["id"]
    item = {
        "billableId": add_on_id,
        "type": "CREDIT_GRANT",
        "invoiceTiming": "IN_ARREARS",
        "rateCardDetails": {"creditGrantRateCard": grant(add_on_id)},
    }
    operation = {"actionType": "CREATE", "rateCardName": "pack", "rateCard": item}
    path = f"/v2/price_plans/{plan_id}/rate_cards"
    client.post(path, {"operations": [operation]})
    [listed] = client.get(path)["data"]
    assert (listed["name"], listed["type"], listed["currencies"]) == ("pack", "CREDIT_GRANT", ["USD", "EUR"])
    assert listed["rateCardDetails"]["creditGrantRateCard"]["rateDetails"]["pricingModel"] == "TIERED"
    client.post(path, {"operations": [{"actionType": "DELETE", "rateCardName": "pack"}]})
    assert client.get(path)["data"] == []
