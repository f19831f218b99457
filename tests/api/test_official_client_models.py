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
    """What the client sends when an application hands it that content: instants as `isoformat` spells them."""
    content = getattr(togai_client, model).from_dict(body).to_dict()
    return json.loads(json.dumps(content, default=lambda instant: instant.isoformat()))


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


def test_changed_customers_and_accounts(client: Caller) -> None:
    """Change them, give and take aliases, add a contact, archive."""
    client.post("/customers", samples.customer(), status=201)
    request = sent("UpdateCustomerRequest", {"name": "New name", "address": {"city": "Oslo"}})
    assert read("Customer", client.send("PATCH", "/customers/c1", 200, json=request)).address.city == "Oslo"
    request = sent("UpdateAccountRequest", {"netTermDays": 7, "metadata": {"VATN": "1"}, "tags": ["gold"]})
    assert read("Account", client.send("PATCH", "/accounts/c1", 200, json=request)).metadata == {"VATN": "1"}
    window = {"value": "dated", "effectiveFrom": "2024-01-01T00:00:00", "effectiveUntil": "2099-01-01T00:00:00Z"}
    request = sent("AddAccountAliasesRequest", {"aliases": ["plain"], "accountAliases": [window]})
    assert len(read("Account", client.post("/accounts/c1/add_aliases", request, status=200)).aliases) == 2
    listed = read("AccountAliasesPaginatedResponse", client.get("/accounts/c1/account_aliases"))
    assert {each.value: each.effective_from.year for each in listed.data} == {"dated": 2024, "plain": 1}
    request = sent("RemoveAccountAliasesRequest", {"aliases": ["plain"], "accountAliases": [{"id": listed.data[0].id}]})
    assert read("Account", client.post("/accounts/c1/remove_aliases", request, status=200)).aliases == []
    contact = {"name": "Ann", "email": "ann@b.example", "preferredUsername": "ann1", "phone": "555"}
    request = sent("CreateCustomerContactRequest", contact)
    made = read("CreateCustomerContactResponse", client.post("/customers/c1/contacts", request, status=201))
    assert made.email == "ann@b.example"
    for path in ("/accounts/c1", "/customers/c1"):
        assert read("BaseSuccessResponse", client.send("DELETE", path, 200)).success


def test_aliases_and_add_ons(client: Caller) -> None:
    """Create, read, change, list, delete."""
    request = sent("CreateBulkAliasRequest", {"aliases": [{"value": "free"}]})
    assert read("AliasPaginatedResponse", client.post("/aliases", request, status=201)).data[0].value == "free"
    read("Alias", client.get("/aliases/free"))
    read("AliasPaginatedResponse", client.get("/aliases"))
    assert read("BaseSuccessResponse", client.send("DELETE", "/aliases/free", 200)).success
    request = sent("CreateAddOnRequest", {"name": "Seat", "type": "LICENSE", "billableName": "Seats"})
    add_on = read("AddOn", client.post("/addons", request, status=200))
    assert add_on.display_name == "Seats"
    path = f"/addons/{add_on.id}"
    request = sent("UpdateAddOnRequest", {"name": "Licence"})
    assert read("AddOn", client.send("PATCH", path, 200, json=request)).name == "Licence"
    assert read("AddOnPaginatedResponse", client.get("/addons")).data[0].id == add_on.id
    assert read("BaseSuccessResponse", client.send("DELETE", path, 200)).success


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


def test_settings_and_enrichments(client: Caller) -> None:
    """Create, read, change and list settings; a schema whose rules read one; changing and archiving."""
    setting = {
        "id": "metres_per_km",
        "value": "1000",
        "entityType": "ORGANIZATION",
        "entityId": "acme",
        "namespace": "USER",
        "name": "Metres per kilometre",
        "dataType": "NUMERIC",
    }
    path = "/settings/setting.USER.metres_per_km.ORGANIZATION.acme"
    assert read("Setting", client.post("/settings", sent("Setting", setting), status=201)).value == "1000"
    request = sent("UpdateSettingRequest", {"value": "1609.344"})
    assert read("Setting", client.send("PATCH", path, 201, json=request)).value == "1609.344"
    read("Setting", client.get(path))
    assert len(read("SettingPaginatedResponse", client.get("/settings")).data) == 1
    field = {"name": "km", "type": "ATTRIBUTE", "enrichmentType": "JSON_LOGIC", "value": "1", "order": 1}
    dependency = {"type": "SETTING", "key": "setting.user.metres_per_km", "name": "metres_per_km"}
    enriched = samples.schema(enrichments={"dependencies": [dependency], "fields": [field]})
    schema = client.post("/event_schema", sent("CreateEventSchemaRequest", enriched), status=201)
    assert read("EventSchema", schema).enrichments.fields[0].name == "km"
    request = sent("UpdateEventSchemaRequest", {"description": "new"})
    assert read("EventSchema", client.send("PATCH", "/event_schema/rides", 200, json=request)).description == "new"
    meter = client.post("/usage_meters", sent("CreateUsageMeterRequest", samples.meter()), status=201)
    request = sent("UpdateUsageMeterRequest", {"name": "kilometres driven"})
    changed = client.send("PATCH", f"/usage_meters/{meter['id']}", 200, json=request)
    assert read("UsageMeter", changed).name == "kilometres driven"
    assert read("BaseSuccessResponse", client.send("DELETE", f"/usage_meters/{meter['id']}", 200)).success
    assert read("BaseSuccessResponse", client.send("DELETE", "/event_schema/rides", 200)).success


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


def test_plans_with_fees_and_licences(client: Caller) -> None:
    """Create, change, attach with an override, edit, hold licences."""
    client.post("/customers", samples.customer(), status=201)
    meter_id = samples.active_meter(client)
    fee = client.post("/addons", {"name": "Platform", "type": "FIXED_FEE"}, status=200)["id"]
    seat = client.post("/addons", {"name": "Seat", "type": "LICENSE"}, status=200)["id"]
    rates = [{"currency": currency, "rate": 49.5} for currency in ("USD", "EUR")]
    slab_rates = [{"order": 1, "rate": 30, "slabRateConfig": {}}]
    cards = {
        "fixedFeeRateCards": [{"id": fee, "rateValues": rates, "enableProration": True, "type": "RECURRING"}],
        "licenseRateCards": [
            {
                "id": seat,
                "enableProration": False,
                "ratePlan": {
                    "pricingModel": "TIERED",
                    "slabs": [{"order": 1, "startAfter": 0, "priceType": "PER_UNIT", "slabConfig": {}}],
                },
                "rateValues": [
                    {"currency": currency, "slabRates": slab_rates, "rateConfig": {}} for currency in ("USD", "EUR")
                ],
            }
        ],
    }
    plan = read("PricePlan", client.post("/price_plans", samples.plan(meter_id, details=cards), status=200))
    details = plan.pricing_schedule[0].price_plan_details
    assert details.fixed_fee_rate_cards[0].display_name == "Platform"
    assert details.license_rate_cards[0].id == seat
    client.post(f"/price_plans/{plan.id}/activate", {"currencies": ["USD"]})
    override = {"fixedFeeRateCards": [{"id": fee, "rateValues": rates, "enableProration": False}]}
    request = sent("UpdatePricingScheduleRequestWithActions", {"mode": "ASSOCIATE", "pricePlanId": plan.id, **YEAR})
    request["pricePlanDetailsOverride"] = override
    read("UpdatePricingScheduleResponse", client.post("/accounts/c1/price_plans", request, status=200))
    edits = {"edits": [{"mode": "DISASSOCIATE", "effectiveFrom": "2024-02-01", "effectiveUntil": "2024-03-01"}]}
    request = sent("EditPricingScheduleRequest", edits)
    edited = read("UpdatePricingScheduleResponse", client.post("/accounts/c1/edit_schedules", request, status=200))
    assert len(edited.pricing_schedules) == 2
    read("PricingSchedulePaginatedResponse", client.get("/accounts/c1/pricing_schedules"))
    request = sent("UpdatePricePlanRequest", {"description": "new", "migrationMode": "NONE"})
    assert read("PricePlan", client.send("PATCH", f"/price_plans/{plan.id}", 200, json=request)).description == "new"
    update = {"licenseId": seat, "accountId": "c1", "updateType": "RELATIVE", "quantity": 2}
    request = sent("LicenseUpdateRequest", update)
    assert read("LicenseUpdateResponse", client.post("/license_updates", request, status=200)).quantity == 2
    assert len(read("GetLicenseUpdatesResponse", client.get("/license_updates")).data) == 1
