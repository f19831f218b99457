"""Price plans over the wire: what is asked for is what is stored and shown, and what is not supported is refused."""

import json
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from togai_client.models.price_plan import PricePlan as ClientPricePlan

from tallybook.api.price_plan_shapes import CreatePricePlanRequest, plan_from_request, plan_to_response
from tallybook.core.errors import Invalid
from tallybook.core.period import PricingInterval
from tallybook.core.price_plan import PricedItems, PricePlan, PricePlanStatus, check_price_plan
from tallybook.core.rate_card import PriceType, PricingModel

NOW = datetime(2024, 1, 1, tzinfo=UTC)
PLAN_ID = "pp.1zYnCiM9Bpg.lv25y"

REQUEST: dict[str, Any] = {
    "name": "Growth",
    "type": "BILLING",
    "description": "For growing teams",
    "pricePlanDetails": {
        "supportedCurrencies": ["USD"],
        "pricingCycleConfig": {
            "interval": "MONTHLY",
            "startOffset": {"dayOffset": "LAST", "monthOffset": "NIL"},
            "gracePeriod": 2,
            "anniversaryCycle": False,
        },
        "usageRateCards": [
            {
                "displayName": "API calls",
                "tag": "Platform",
                "usageMeterId": "um.20Ms65CtgMy.nwFP0",
                "ratePlan": {
                    "pricingModel": "TIERED",
                    "slabs": [
                        {"order": 1, "startAfter": 0, "priceType": "PER_UNIT", "slabConfig": {}},
                        {
                            "order": 2,
                            "startAfter": 1000.5,
                            "priceType": "PACKAGE",
                            "slabConfig": {"packageSize": "100"},
                        },
                    ],
                },
                "rateValues": [
                    {
                        "currency": "USD",
                        "slabRates": [
                            {"order": 1, "rate": 0.1, "slabRateConfig": {"minimumRate": "1", "maximumRate": "10.50"}},
                            {"order": 2, "rate": 25},
                        ],
                        "rateConfig": {"maximumRate": "500"},
                    }
                ],
            }
        ],
        "fixedFeeRateCards": [],
        "minimumCommitment": {"displayName": "Minimum", "rateValues": [{"currency": "USD", "rate": 99.99}]},
        "deferredRevenue": False,
    },
    "pricingRules": [],
}


def plan_of(body: str) -> PricePlan:
    request = msgspec.json.decode(body, type=CreatePricePlanRequest)
    return plan_from_request(request, plan_id=PLAN_ID, now=NOW)


def changed(path: str, value: Any) -> str:
    """The request as JSON, with `value` at a dotted path."""
    request = deepcopy(REQUEST)
    *parents, last = path.split(".")
    node: Any = request
    for key in parents:
        node = node[int(key)] if key.isdigit() else node[key]
    node[last] = value
    return json.dumps(request)


def shown(plan: PricePlan) -> Any:
    """The response, as a client reads it."""
    return json.loads(msgspec.json.Encoder(decimal_format="number").encode(plan_to_response(plan)))


def test_a_request_becomes_a_draft() -> None:
    plan = plan_of(json.dumps(REQUEST))
    check_price_plan(plan, items=PricedItems(meter_ids={"um.20Ms65CtgMy.nwFP0"}))
    (card,) = plan.rate_cards
    assert (plan.status, plan.version, plan.active_currencies) == (PricePlanStatus.DRAFT, 1, ())
    assert (plan.cycle.interval, plan.cycle.day_offset, plan.cycle.grace_days) == (PricingInterval.MONTHLY, "LAST", 2)
    assert (card.name, card.rate_plan.pricing_model) == ("usage.um.20Ms65CtgMy.nwFP0", PricingModel.TIERED)
    assert card.rate_plan.slabs[1].price_type is PriceType.PACKAGE
    assert card.rate_plan.slabs[1].package_size == 100
    assert card.rate_values[0].bounds.maximum == 500


def test_numbers_are_taken_to_the_last_digit() -> None:
    """No binary number stands between the body and the rate."""
    digits = "0.1000000000000000055511151231257827021181583404541015625001"
    plan = plan_of(json.dumps(REQUEST).replace('"rate": 0.1,', f'"rate": {digits},'))
    assert plan.rate_cards[0].rate_values[0].slab_rates[0].rate == Decimal(digits)
    assert digits in msgspec.json.Encoder(decimal_format="number").encode(plan_to_response(plan)).decode()


def test_the_response_shows_what_was_asked_for() -> None:
    """Field by field, with what the server adds: id, status, schedule, active currencies, card name."""
    answer = shown(plan_of(json.dumps(REQUEST)))
    (schedule,) = answer.pop("pricingSchedule")
    details = schedule.pop("pricePlanDetails")
    assert answer == {
        "id": PLAN_ID,
        "name": "Growth",
        "type": "BILLING",
        "description": "For growing teams",
        "status": "DRAFT",
    }
    assert schedule == {
        "id": "sch.1zYnCiM9Bpg.lv25y",
        "startDate": "1970-01-01T00:00:00Z",
        "endDate": "9999-01-01T00:00:00Z",
        "version": 1,
        "isOverriden": False,
    }
    asked = deepcopy(REQUEST["pricePlanDetails"])
    del asked["fixedFeeRateCards"], asked["deferredRevenue"]
    asked["usageRateCards"][0]["name"] = "usage.um.20Ms65CtgMy.nwFP0"
    slab_rates = asked["usageRateCards"][0]["rateValues"][0]["slabRates"]
    slab_rates[0]["slabRateConfig"]["maximumRate"] = "10.5"
    slab_rates[1]["slabRateConfig"] = {}
    assert details == {**asked, "activeCurrencies": [], "type": "BILLING"}


def test_what_a_plan_allows_is_kept_and_shown() -> None:
    """Deferred revenue, and changes from the beginning of the ongoing cycle."""
    body = changed("pricePlanDetails.deferredRevenue", True)
    allowed = changed("pricePlanDetails.allow_ongoing_cycle_updates", True)
    for plan, name in ((plan_of(body), "deferredRevenue"), (plan_of(allowed), "allow_ongoing_cycle_updates")):
        assert shown(plan)["pricingSchedule"][0]["pricePlanDetails"][name] is True
        assert plan.changes_today


def test_the_official_client_reads_the_response() -> None:
    plan = ClientPricePlan.from_json(json.dumps(shown(plan_of(json.dumps(REQUEST)))))
    assert plan is not None
    details = plan.pricing_schedule[0].price_plan_details
    assert details is not None
    assert details.usage_rate_cards is not None
    assert details.usage_rate_cards[0].rate_values[0].slab_rates[0].rate == 0.1


def test_an_anniversary_plan_needs_no_offset() -> None:
    body = changed(
        "pricePlanDetails.pricingCycleConfig", {"interval": "MONTHLY", "gracePeriod": 1, "anniversaryCycle": True}
    )
    plan = plan_of(body)
    assert (plan.cycle.anniversary, plan.cycle.day_offset) == (True, None)
    config = shown(plan)["pricingSchedule"][0]["pricePlanDetails"]["pricingCycleConfig"]
    assert config == {"interval": "MONTHLY", "gracePeriod": 1, "anniversaryCycle": True}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("type", "PURCHASE", "type: PURCHASE"),
        ("pricePlanDetails.billingEntitlementRateCards", [{}], r"pricePlanDetails\.billingEntitlementRateCards"),
        ("pricePlanDetails.entitlementOverageRateCards", [{}], r"pricePlanDetails\.entitlementOverageRateCards"),
        ("pricePlanDetails.pricingCycleConfig", None, "pricingCycleConfig: a plan of type BILLING needs it"),
        ("pricePlanDetails.pricingCycleConfig.startOffset", None, "startOffset: needed unless anniversaryCycle"),
        (
            "pricePlanDetails.usageRateCards.0.ratePlan.slabs",
            [{"order": 1, "startAfter": 0, "priceType": "PACKAGE", "slabConfig": {"packageSize": "1e3"}}],
            r"slabs\[0\]\.slabConfig\.packageSize: must be a decimal number as text",
        ),
        (
            "pricePlanDetails.usageRateCards.0.ratePlan.slabs",
            [{"order": 1, "startAfter": 0, "priceType": "FLAT", "slabConfig": {"colour": "red"}}],
            r"slabs\[0\]\.slabConfig\.colour: unknown; known are packageSize",
        ),
        (
            "pricePlanDetails.usageRateCards.0.rateValues",
            [{"currency": "USD", "slabRates": [], "rateConfig": {"maximum": "1"}}],
            r"rateValues\[0\]\.rateConfig\.maximum: unknown; known are maximumRate, minimumRate",
        ),
    ],
)
def test_what_cannot_be_billed_is_refused_by_name(path: str, value: Any, message: str) -> None:
    """Nothing that the interface knows is dropped in silence."""
    with pytest.raises(Invalid, match=message):
        plan_of(changed(path, value))


@pytest.mark.parametrize(
    "path",
    ["colour", "pricePlanDetails.colour", "pricePlanDetails.usageRateCards.0.colour",
     "pricePlanDetails.usageRateCards.0.ratePlan.colour", "pricePlanDetails.pricingCycleConfig.startOffset.colour"],
)  # fmt: skip
def test_unknown_fields_are_refused(path: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        plan_of(changed(path, "red"))


@pytest.mark.parametrize("number", ["1e999999999", '"NaN"', '"Infinity"', "1" * 600])
def test_endless_numbers_are_refused(number: str) -> None:
    plan = plan_of(json.dumps(REQUEST).replace('"rate": 25', f'"rate": {number}'))
    with pytest.raises(Invalid, match=r"order 2: rate: must be a number"):
        check_price_plan(plan, items=PricedItems(meter_ids={"um.20Ms65CtgMy.nwFP0"}))
