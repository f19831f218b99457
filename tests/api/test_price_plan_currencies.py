"""One currency more of a plan, with its rates, or one less, over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


@pytest.fixture
def meter_id(client: Caller) -> str:
    return samples.active_meter(client)


@pytest.fixture
def plan_id(client: Caller, meter_id: str) -> str:
    """A plan that is active in USD and supports EUR."""
    return samples.active_plan(client)


def pounds(meter_id: str, **changes: Any) -> dict[str, Any]:
    rates = [{"usageMeterId": meter_id, "slabRates": [{"order": 1, "rate": 0.2}]}]
    return {"currency": "GBP", "usageRates": rates, **changes}


def add(client: Caller, plan_id: str, body: dict[str, Any], status: int = 200) -> Any:
    return client.post(f"/price_plans/{plan_id}/currencies", body, status=status)


def currencies(plan: Any) -> tuple[list[str], list[str]]:
    details = plan["pricingSchedule"][0]["pricePlanDetails"]
    return details["supportedCurrencies"], details["activeCurrencies"]


def test_a_currency_is_a_draft_until_it_is_activated(client: Caller, plan_id: str, meter_id: str) -> None:
    """It is added to the version that is there, as nobody is billed in it."""
    added = add(client, plan_id, pounds(meter_id))
    assert currencies(added) == (["USD", "EUR", "GBP"], ["USD"])
    schedule = added["pricingSchedule"][0]
    assert schedule["version"] == 1
    rates = {value["currency"]: value["slabRates"][0]["rate"] for value in rates_of(added)}
    assert rates == {"USD": 0.1, "EUR": 0.1, "GBP": 0.2}
    activated = client.post(f"/price_plans/{plan_id}/activate", {"currencies": ["GBP"]}, status=200)
    assert currencies(activated)[1] == ["USD", "GBP"]


def rates_of(plan: Any) -> Any:
    return plan["pricingSchedule"][0]["pricePlanDetails"]["usageRateCards"][0]["rateValues"]


def test_a_draft_currency_may_be_removed_and_an_active_one_may_not(client: Caller, plan_id: str, meter_id: str) -> None:
    """Contract 3.6."""
    removed = client.send("DELETE", f"/price_plans/{plan_id}/currencies/EUR", 200)
    assert currencies(removed) == (["USD"], ["USD"])
    assert [value["currency"] for value in rates_of(removed)] == ["USD"]
    client.send("DELETE", f"/price_plans/{plan_id}/currencies/EUR", 404)
    refused = client.send("DELETE", f"/price_plans/{plan_id}/currencies/USD", 400)
    assert "USD is active" in refused["message"]


def test_every_card_needs_its_rate(client: Caller, meter_id: str) -> None:
    """Of fees and of the commitment too; nothing may be named that the plan does not charge."""
    fee_id = client.post("/addons", {"name": "Support", "type": "FIXED_FEE"})["id"]
    both = ("USD", "EUR")
    fee = {
        "id": fee_id,
        "enableProration": False,
        "rateValues": [{"currency": currency, "rate": 90} for currency in both],
    }
    floor = {"displayName": "At least", "rateValues": [{"currency": currency, "rate": 500} for currency in both]}
    details = {"fixedFeeRateCards": [fee], "minimumCommitment": floor}
    plan_id = client.post("/price_plans", samples.plan(meter_id, details=details))["id"]
    whole = pounds(meter_id, fixedFeeRates=[{"id": fee_id, "rate": 80}], minimumCommitmentRate=400)
    for changes, message in (
        ({"usageRates": []}, "no rate in GBP"),
        ({"fixedFeeRates": []}, "no rate in GBP"),
        ({"minimumCommitmentRate": None}, "no rate in GBP"),
        ({"fixedFeeRates": [{"id": "addon.x", "rate": 1}]}, "no rate card for the add-on 'addon.x'"),
        ({"usageRates": pounds("um.x")["usageRates"]}, "no rate card for the meter 'um.x'"),
        ({"fixedFeeRates": whole["fixedFeeRates"] * 2}, "is there twice"),
        ({"currency": "EUR"}, "the plan supports EUR already"),
        ({"currency": "GBX"}, "GBX"),
    ):
        assert message in add(client, plan_id, {**whole, **changes}, status=400)["message"]
    read = add(client, plan_id, whole)["pricingSchedule"][0]["pricePlanDetails"]
    assert read["fixedFeeRateCards"][0]["rateValues"][-1] == {"currency": "GBP", "rate": 80}
    assert read["minimumCommitment"]["rateValues"][-1] == {"currency": "GBP", "rate": 400}


def test_organisations_do_not_change_each_others_currencies(
    client: Caller, plan_id: str, meter_id: str, stranger: Caller
) -> None:
    add(stranger, plan_id, pounds(meter_id), status=404)
    stranger.send("DELETE", f"/price_plans/{plan_id}/currencies/EUR", 404)


def test_the_older_generation_gets_its_own_shape(client: Caller, plan_id: str, meter_id: str) -> None:
    """Generation 2023-05 knows no `type` of a plan."""
    headers = {"X-Tallybook-Profile": "togai-2023-05"}
    path = f"/price_plans/{plan_id}/currencies"
    added = client.send("POST", path, 200, json=pounds(meter_id), headers=headers)
    assert "type" not in added
    assert currencies(added)[0] == ["USD", "EUR", "GBP"]
