"""What the demo defines: an event schema, four meters, sixteen airlines with their accounts, and a price plan.

The prices stand here as the interface wants them; `independent.py` has them a second time as arithmetic.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from tallybook.demo.caller import Caller
from tallybook.demo.flights import ATTRIBUTE_UNITS, DIMENSIONS, SCHEMA_NAME

CURRENCY = "USD"
PLAN_NAME = "New York 2013"
PLAN_FROM, PLAN_UNTIL = "2013-01-01", "2014-01-01"
GRACE_DAYS = 3
MINIMUM_COMMITMENT = 4000
LETTERHEAD = ("Departures of New York", "A demo of Tallybook", "The flights are real, the prices are not")


class Meter(Struct, frozen=True, kw_only=True):
    """A meter, what its units cost, and both in words. `name` is what the comparison calls it."""

    name: str
    billable_name: str
    rule: str
    price: str
    aggregation: str
    computation: object
    matcher: object = None
    card: Mapping[str, Any]


def _var(field: str) -> dict[str, str]:
    return {"var": field}


def _card(model: str, *slabs: tuple[int, str], package_size: int | None = None, **rate_config: str) -> dict[str, Any]:
    """Rates by slab, each with the quantity after which it starts. Rates become JSON numbers, digit by digit."""
    config = {} if package_size is None else {"slabConfig": {"packageSize": str(package_size)}}
    price_type = "PER_UNIT" if package_size is None else "PACKAGE"
    return {
        "ratePlan": {
            "pricingModel": model,
            "slabs": [
                {"order": order, "startAfter": start, "priceType": price_type, **config}
                for order, (start, _) in enumerate(slabs, start=1)
            ],
        },
        "rateValues": [
            {
                "currency": CURRENCY,
                "slabRates": [
                    {"order": order, "rate": json.loads(rate)} for order, (_, rate) in enumerate(slabs, start=1)
                ],
                **({"rateConfig": rate_config} if rate_config else {}),
            }
        ],
    }


METERS = (
    Meter(
        name="departures",
        billable_name="Departures",
        rule="COUNT of flights",
        price="1,250.00 for each begun book of 50",
        aggregation="COUNT",
        computation=1,
        card=_card("TIERED", (0, "1250"), package_size=50),
    ),
    Meter(
        name="miles",
        billable_name="Miles flown",
        rule="SUM of distance",
        price="TIERED: 0.0125, over 100,000 0.01, over 1,000,000 0.0075",
        aggregation="SUM",
        computation=_var("attributes.distance"),
        card=_card("TIERED", (0, "0.0125"), (100_000, "0.01"), (1_000_000, "0.0075")),
    ),
    Meter(
        name="JFK minutes",
        billable_name="Minutes in the air from JFK",
        rule="SUM of air_time where origin is JFK",
        price="VOLUME: 0.085, over 50,000 0.0725, over 250,000 0.06",
        aggregation="SUM",
        matcher={"==": [_var("dimensions.origin"), "JFK"]},
        computation=_var("attributes.air_time"),
        card=_card("VOLUME", (0, "0.085"), (50_000, "0.0725"), (250_000, "0.06")),
    ),
    Meter(
        name="lateness",
        billable_name="Lateness, 1,000 mile-minutes",
        rule="SUM of max(0, dep_delay - 15) × distance × 0.001",
        price="1,000 are free, then 0.35; 15,000.00 at the most",
        aggregation="SUM",
        computation={
            "*": [{"max": [0, {"-": [_var("attributes.dep_delay"), 15]}]}, _var("attributes.distance"), 0.001]
        },
        card=_card("TIERED", (1000, "0.35"), maximumRate="15000"),
    ),
)


def define_schema_and_meters(caller: Caller) -> dict[str, str]:
    """Make and activate them; return each meter's name by its id."""
    caller.post(
        "/event_schema",
        {
            "name": SCHEMA_NAME,
            "attributes": [{"name": name, "defaultUnit": unit} for name, unit in ATTRIBUTE_UNITS.items()],
            "dimensions": [{"name": name} for name in DIMENSIONS],
        },
    )
    caller.post(f"/event_schema/{SCHEMA_NAME}/activate")
    names = {}
    for meter in METERS:
        meter_id = caller.post("/usage_meters", _meter_request(meter))["id"]
        caller.post(f"/usage_meters/{meter_id}/activate")
        names[meter_id] = meter.name
    return names


def define_airlines(caller: Caller, names: Mapping[str, str]) -> None:
    """A customer for each carrier code, with an account of the same id."""
    for code, name in names.items():
        caller.post(
            "/customers",
            {
                "id": code,
                "name": name,
                "primaryEmail": f"accounts@{code.lower()}.example",
                "address": {"city": "New York", "state": "NY", "country": "US"},
                "account": {"id": code, "name": name, "invoiceCurrency": CURRENCY},
            },
        )


def define_plan(caller: Caller, meter_names: Mapping[str, str]) -> str:
    """Make and activate the price plan; return its id."""
    meter_ids = {name: meter_id for meter_id, name in meter_names.items()}
    plan_id: str = caller.post(
        "/price_plans",
        {
            "name": PLAN_NAME,
            "type": "BILLING",
            "pricePlanDetails": {
                "pricingCycleConfig": {
                    "interval": "MONTHLY",
                    "startOffset": {"dayOffset": "1", "monthOffset": "NIL"},
                    "gracePeriod": GRACE_DAYS,
                },
                "supportedCurrencies": [CURRENCY],
                "usageRateCards": [
                    {"usageMeterId": meter_ids[meter.name], "displayName": meter.billable_name, **meter.card}
                    for meter in METERS
                ],
                "minimumCommitment": {
                    "displayName": "Minimum of a month",
                    "rateValues": [{"currency": CURRENCY, "rate": MINIMUM_COMMITMENT}],
                },
            },
        },
    )["id"]
    caller.post(f"/price_plans/{plan_id}/activate", {"currencies": [CURRENCY]})
    return plan_id


def choose_letterhead(caller: Caller, organisation_id: str) -> None:
    """What stands at the head of the printed invoices."""
    caller.post(
        "/settings",
        {
            "namespace": "TOGAI",
            "id": "invoice_letterhead",
            "name": "Letterhead",
            "dataType": "STRING",
            "value": "\n".join(LETTERHEAD),
            "entityType": "ORGANIZATION",
            "entityId": organisation_id,
        },
    )


def attach_plan(caller: Caller, plan_id: str, account_ids: Iterable[str]) -> None:
    """Bill those accounts by the plan, for its year."""
    for account_id in account_ids:
        caller.post(
            f"/accounts/{account_id}/price_plans",
            {
                "mode": "ASSOCIATE",
                "pricePlanId": plan_id,
                "effectiveFrom": PLAN_FROM,
                "effectiveUntil": PLAN_UNTIL,
            },
        )


def _meter_request(meter: Meter) -> dict[str, Any]:
    matcher = {} if meter.matcher is None else {"matcher": json.dumps(meter.matcher)}
    return {
        "name": meter.name.replace(" ", "_"),
        "billableName": meter.billable_name,
        "type": "COUNTER",
        "aggregation": meter.aggregation,
        "eventSchemaName": SCHEMA_NAME,
        "computations": [{**matcher, "computation": json.dumps(meter.computation), "order": 1}],
    }
