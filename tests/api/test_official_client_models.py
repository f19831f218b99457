"""The official Python client's own models read what the catalogue answers, and write what it accepts."""

import json
from typing import Any

import catalogue_samples as samples
import togai_client
from api_caller import Caller
from togai_client.models.error_response import ErrorResponse

YEAR = {"effectiveFrom": "2024-01-01", "effectiveUntil": "2025-01-01"}


def read(model: str, body: Any) -> Any:
    """Read a body as the client does, and see that no key of it is unknown to the model."""
    kind = getattr(togai_client, model)
    loaded = kind.from_json(json.dumps(body))
    assert loaded is not None
    assert set(body) <= {field.alias or name for name, field in kind.model_fields.items()}
    return loaded


def sent(model: str, body: Any) -> Any:
    """What the client sends when an application hands it that content."""
    return getattr(togai_client, model).from_dict(body).to_dict()


def test_customers_and_accounts(client: Caller) -> None:
    """Create, read and list."""
    request = sent("CreateCustomerRequest", samples.customer(account={"id": "a0", "name": "Zero", "aliases": ["zero"]}))
    created = read("CreateCustomerResponse", client.post("/customers", request, status=201))
    assert created.account.aliases[0].alias == "zero"
    assert read("Customer", client.get("/customers/c1")).primary_email == "a@b.example"
    assert len(read("CustomerPaginatedResponse", client.get("/customers")).data) == 1
    account = client.post("/accounts", sent("CreateAccountRequest", samples.account(netTermDays=15)), status=201)
    assert read("Account", account).net_term_days == 15
    read("Account", client.get("/accounts/a1"))
    assert len(read("AccountPaginatedResponse", client.get("/accounts")).data) == 2


def test_schemas_and_meters(client: Caller) -> None:
    """Create, activate, read and list."""
    schema = client.post("/event_schema", sent("CreateEventSchemaRequest", samples.schema()), status=201)
    assert read("EventSchema", schema).version == 1
    read("EventSchema", client.post("/event_schema/rides/activate"))
    read("EventSchemaVersionsResponse", client.get("/event_schema/rides/versions"))
    read("EventSchemaListPaginatedResponse", client.get("/event_schema"))
    meter = client.post("/usage_meters", sent("CreateUsageMeterRequest", samples.meter()), status=201)
    assert read("UsageMeter", meter).display_name == "kilometres"
    read("UsageMeter", client.get(f"/usage_meters/{meter['id']}", includeSchema=True))
    read("UsageMeterPaginatedResponse", client.get("/usage_meters"))


def test_plans_and_schedules(client: Caller) -> None:
    """Create, activate, read, list, attach and read the schedules."""
    meter_id = samples.active_meter(client)
    client.post("/customers", samples.customer(), status=201)
    plan = client.post("/price_plans", sent("CreatePricePlanRequest", samples.plan(meter_id)), status=200)
    plan_id = read("PricePlan", plan).id
    activation = sent("ActivatePricePlanRequest", {"currencies": ["USD"]})
    read("PricePlan", client.post(f"/price_plans/{plan_id}/activate", activation))
    read("PricePlan", client.get(f"/price_plans/{plan_id}"))
    assert read("PricePlanPaginatedResponse", client.get("/price_plans")).data[0].usage_meters == [meter_id]
    request = {"mode": "ASSOCIATE", "pricePlanId": plan_id, **YEAR}
    answer = read("UpdatePricingScheduleResponse", client.post("/accounts/c1/price_plans", request))
    assert answer.pricing_schedules[0].price_plan_id == plan_id
    schedules = client.get("/accounts/c1/pricing_schedules", include_price_plan_info=True)
    assert read("PricingSchedulePaginatedResponse", schedules).data[0].price_plan_info.name == "standard"


def test_tokens_and_errors(client: Caller) -> None:
    """A token, and the error body that every refusal has."""
    assert read("TokenResponse", client.post("/authenticate")).token.count(".") == 2
    error = ErrorResponse.from_dict(client.get("/customers/none", status=404))
    assert error is not None
    assert error.message
