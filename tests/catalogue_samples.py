"""Requests that are right, for tests to send as they are or with one thing changed."""

from typing import Any

ADDRESS = {"line1": "1 Main Road", "postalCode": "600001", "city": "Chennai", "country": "IN"}

SETTING = {"id": "tier", "value": "gold", "namespace": "USER", "name": "Tier", "dataType": "STRING"}


def customer(customer_id: str = "c1", **changes: Any) -> dict[str, Any]:
    return {"id": customer_id, "name": "Customer One", "primaryEmail": "a@b.example", "address": ADDRESS, **changes}


def account(account_id: str = "a1", **changes: Any) -> dict[str, Any]:
    return {"id": account_id, "name": "Account One", "customerId": "c1", **changes}


def schema(name: str = "rides", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "attributes": [{"name": "distance", "defaultUnit": "km"}],
        "dimensions": [{"name": "city"}],
        **changes,
    }


def meter(name: str = "kilometres", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": "COUNTER",
        "aggregation": "SUM",
        "eventSchemaName": "rides",
        "computations": [{"computation": '{"var":"attributes.distance"}', "order": 1}],
        **changes,
    }


def plan(meter_id: str, name: str = "standard", **changes: Any) -> dict[str, Any]:
    details = {
        "pricingCycleConfig": {
            "interval": "MONTHLY",
            "startOffset": {"dayOffset": "1", "monthOffset": "NIL"},
            "gracePeriod": 3,
        },
        "supportedCurrencies": ["USD", "EUR"],
        "usageRateCards": [
            {
                "usageMeterId": meter_id,
                "ratePlan": {
                    "pricingModel": "TIERED",
                    "slabs": [{"order": 1, "startAfter": 0, "priceType": "PER_UNIT"}],
                },
                "rateValues": [
                    {"currency": currency, "slabRates": [{"order": 1, "rate": 0.1}]} for currency in ("USD", "EUR")
                ],
            }
        ],
        **changes.pop("details", {}),
    }
    return {"name": name, "pricePlanDetails": details, **changes}


def active_meter(client: Any) -> str:
    """Define and activate a schema and a meter; return the meter's id."""
    client.post("/event_schema", schema())
    client.post("/event_schema/rides/activate")
    meter_id: str = client.post("/usage_meters", meter())["id"]
    client.post(f"/usage_meters/{meter_id}/activate")
    return meter_id


def active_plan(client: Any, name: str = "standard") -> str:
    """Define and activate a plan over an active meter that is there; return the plan's id."""
    meter_id = client.get("/usage_meters")["data"][0]["id"]
    plan_id: str = client.post("/price_plans", plan(meter_id, name))["id"]
    client.post(f"/price_plans/{plan_id}/activate", {"currencies": ["USD"]})
    return plan_id
