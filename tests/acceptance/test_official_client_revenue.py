"""The official Python client, unchanged, against a real server: the revenue calculator in both its versions."""

from typing import Any

import catalogue_samples as samples
import pytest
import togai_client
from togai_client.api.add_ons_api import AddOnsApi
from togai_client.api.event_schemas_api import EventSchemasApi
from togai_client.api.price_experimentation_api import PriceExperimentationApi
from togai_client.api.usage_meters_api import UsageMetersApi


def asked(model: str, **content: Any) -> Any:
    """A request as the client's own type."""
    return getattr(togai_client, model).from_dict(content)


@pytest.fixture
def meter_id(official: togai_client.ApiClient) -> str:
    """An active meter, the same for all of these tests."""
    known = {meter.name: meter.id for meter in UsageMetersApi(official).get_usage_meters_for_event_schema().data}
    if "official tried" in known:
        return str(known["official tried"])
    EventSchemasApi(official).create_event_schema(asked("CreateEventSchemaRequest", **samples.schema("official tried")))
    EventSchemasApi(official).activate_event_schema("official tried")
    meter = samples.meter("official tried", eventSchemaName="official tried")
    made = UsageMetersApi(official).create_usage_meter(asked("CreateUsageMeterRequest", **meter))
    return str(UsageMetersApi(official).activate_usage_meter(made.id).id)


def question(meter_id: str, **details: Any) -> Any:
    """12 units in packages of 10 at 4 dollars, never more than 5 in all."""
    card = {
        "usageMeterId": meter_id,
        "ratePlan": {
            "pricingModel": "TIERED",
            "slabs": [{"order": 1, "startAfter": 0, "priceType": "PACKAGE", "slabConfig": {"packageSize": "10"}}],
        },
        "rateValues": [
            {"currency": "USD", "slabRates": [{"order": 1, "rate": 4, "slabRateConfig": {"maximumRate": "5"}}]}
        ],
    }
    plan = {"supportedCurrencies": ["USD"], "usageRateCards": [card], **details}
    return asked(
        "CalculateRevenueRequest",
        currencyConfig={"mode": "CUSTOM", "currency": "USD"},
        pricePlanDetailsConfig={"mode": "CUSTOM", "pricePlanDetails": plan, "pricingCycleOrdinal": 1},
        usageConfig={"mode": "CUSTOM", "usageMap": {meter_id: 12}},
        licenseEntriesConfig={"mode": "CUSTOM", "custom": []},
    )


def test_the_calculator(official: togai_client.ApiClient, meter_id: str) -> None:
    """Two packages are 8, bounded to 5, and the client reads how that came about."""
    answer = PriceExperimentationApi(official).calculate_revenue(question(meter_id))
    assert answer.currency == "USD"
    [info] = answer.revenue_info
    [slab] = info.slab_revenue_summaries
    assert (info.usages, slab.usage, slab.revenue) == ({meter_id: 12}, 12, 5)
    assert (slab.metadata.package_quantity, slab.metadata.maximum_rate_applied) == (2, True)
    assert answer.price_plan_details.usage_rate_cards[0].usage_meter_id == meter_id


def test_the_calculators_second_version(official: togai_client.ApiClient, meter_id: str) -> None:
    """A fee and a licence beside the usage, each as a card of the later operations."""
    add_ons = AddOnsApi(official)
    fee_id = add_ons.create_add_on(asked("CreateAddOnRequest", name="tried platform", type="FIXED_FEE")).id
    seat_id = add_ons.create_add_on(asked("CreateAddOnRequest", name="tried seat", type="LICENSE")).id
    fee = {"id": fee_id, "enableProration": False, "rateValues": [{"currency": "USD", "rate": 49.5}]}
    seats = {
        "id": seat_id,
        "enableProration": False,
        "ratePlan": {"pricingModel": "VOLUME", "slabs": [{"order": 1, "startAfter": 0, "priceType": "PER_UNIT"}]},
        "rateValues": [{"currency": "USD", "slabRates": [{"order": 1, "rate": 30}]}],
    }
    request = question(meter_id, fixedFeeRateCards=[fee], licenseRateCards=[seats])
    answer = PriceExperimentationApi(official).calculate_revenue_v2(request)
    usage, of_fee, of_seats = answer.revenue_info
    assert (usage.rate_card.type, usage.rate_card.billable_id) == ("USAGE", meter_id)
    assert usage.slab_revenue_summaries[0].revenue == 5
    assert (of_fee.rate_card.billable_id, of_fee.fixed_fee_revenue_summary.revenue) == (fee_id, 49.5)
    assert of_seats.license_revenue_summary[0].revenue == 0
