"""Price plans over HTTP, and attaching them to accounts."""

from decimal import Decimal
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

from tallybook.core.account import Account
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database
from tallybook.storage.tables import invoice

YEAR = {"effectiveFrom": "2024-01-01", "effectiveUntil": "2025-01-01"}


@pytest.fixture
def plan_id(client: Caller) -> str:
    """An active plan, and the customer and account `c1` to attach it to."""
    samples.active_meter(client)
    client.post("/customers", samples.customer(), status=201)
    return samples.active_plan(client)


def attach(client: Caller, plan_id: str, status: int = 200, **window: Any) -> Any:
    body = {"mode": "ASSOCIATE", "pricePlanId": plan_id, **(window or YEAR)}
    return client.post("/accounts/c1/price_plans", body, status=status)


def stored_account(database: Database) -> Account:
    found = Catalog(database).account("acme", "c1")
    assert found is not None
    return found


def test_plan_is_a_draft_until_a_currency_is_activated(client: Caller) -> None:
    """POST answers 200; the plan shows its one version for all time; activation opens the listed currencies."""
    meter_id = samples.active_meter(client)
    created = client.post("/price_plans", samples.plan(meter_id), status=200)
    assert created["status"] == "DRAFT"
    assert created["type"] == "BILLING"
    [schedule] = created["pricingSchedule"]
    assert schedule["version"] == 1
    assert schedule["startDate"] == "1970-01-01T00:00:00Z"
    assert schedule["endDate"] == "9999-01-01T00:00:00Z"
    assert schedule["pricePlanDetails"]["activeCurrencies"] == []
    active = client.post(f"/price_plans/{created['id']}/activate", {"currencies": ["EUR"]}, status=200)
    assert active["status"] == "ACTIVE"
    assert active["pricingSchedule"][0]["pricePlanDetails"]["activeCurrencies"] == ["EUR"]
    assert client.get(f"/price_plans/{created['id']}") == active
    assert client.get(f"/price_plans/{created['id']}", version=1) == active
    client.get(f"/price_plans/{created['id']}", version=2, status=404)
    [listed] = client.get("/price_plans")["data"]
    assert listed["usageMeters"] == [meter_id]
    assert listed["pricePlanDetails"] == active["pricingSchedule"][0]["pricePlanDetails"]


def test_rates_keep_every_digit(client: Caller) -> None:
    """A rate is a JSON number, and no binary number comes between it and the invoice."""
    meter_id = samples.active_meter(client)
    text = "0.1000000000000000000000000000000000001"
    request = client.client.build_request("POST", "http://x/price_plans", json=samples.plan(meter_id))
    body = request.content.replace(b'"rate":0.1', f'"rate":{text}'.encode())
    assert text.encode() in body
    answer = client.client.post("/price_plans", content=body, headers={"Authorization": f"Bearer {client.key}"})
    assert f'"rate":{text}' in answer.text


def test_dry_run_checks_and_keeps_nothing(client: Caller) -> None:
    """The answer is that of a plan made; none is there afterwards."""
    meter_id = samples.active_meter(client)
    assert client.post("/price_plans", samples.plan(meter_id), status=200, dry_run=True)["status"] == "DRAFT"
    assert client.get("/price_plans")["data"] == []
    client.post("/price_plans", samples.plan("um.unknown"), status=400, dry_run=True)


def test_plan_needs_meters_that_are_there_and_active_ones_to_be_activated(client: Caller) -> None:
    """A draft plan may price a draft meter; activating the plan waits for the meter."""
    refused = client.post("/price_plans", samples.plan("um.unknown"), status=400)
    assert refused["code"] == "UNKNOWN_USAGE_METER"
    assert "usageRateCards[0].usageMeterId" in refused["message"]
    client.post("/event_schema", samples.schema(), status=201)
    meter_id = client.post("/usage_meters", samples.meter(), status=201)["id"]
    plan_id = client.post("/price_plans", samples.plan(meter_id), status=200)["id"]
    refused = client.post(f"/price_plans/{plan_id}/activate", {"currencies": ["USD"]}, status=400)
    assert refused["code"] == "USAGE_METER_NOT_ACTIVE"
    client.post("/event_schema/rides/activate")
    client.post(f"/usage_meters/{meter_id}/activate")
    client.post(f"/price_plans/{plan_id}/activate", {"currencies": ["USD"]}, status=200)


@pytest.mark.parametrize(
    ("currencies", "message"),
    [([], "currencies: name at least one"), (["GBP"], "currencies: GBP is not among"), ("USD", "currencies: Expected")],
)
def test_only_supported_currencies_are_activated(client: Caller, currencies: object, message: str) -> None:
    """A currency without rates cannot be opened."""
    plan_id = client.post("/price_plans", samples.plan(samples.active_meter(client)), status=200)["id"]
    refused = client.post(f"/price_plans/{plan_id}/activate", {"currencies": currencies}, status=400)
    assert message in refused["message"]


def test_plan_name_is_taken_once(client: Caller) -> None:
    """A second plan by the name is refused."""
    meter_id = samples.active_meter(client)
    client.post("/price_plans", samples.plan(meter_id), status=200)
    assert client.post("/price_plans", samples.plan(meter_id), status=400)["code"] == "ALREADY_EXISTS"


def test_attached_plan_is_listed_with_its_window(client: Caller, plan_id: str) -> None:
    """The answer to an association shows the account's schedules, the end exclusive."""
    answer = attach(client, plan_id)
    [schedule] = answer["pricingSchedules"]
    assert (answer["accountId"], answer["accountName"]) == ("c1", "Customer One")
    assert schedule["pricePlanId"] == plan_id
    assert schedule["pricePlanName"] == "standard"
    assert schedule["startDate"] == "2024-01-01T00:00:00Z"
    assert schedule["endDate"] == "2025-01-01T00:00:00Z"
    [listed] = client.get("/accounts/c1/pricing_schedules")["data"]
    assert {key: listed[key] for key in schedule} == schedule
    assert listed["version"] == 1
    assert listed["isOverriden"] is False
    plan = client.get(f"/price_plans/{plan_id}")
    assert listed["pricePlanDetails"] == plan["pricingSchedule"][0]["pricePlanDetails"]
    [compact] = client.get("/accounts/c1/pricing_schedules", compact=True, include_price_plan_info=True)["data"]
    assert "pricePlanDetails" not in compact
    assert compact["pricePlanInfo"] == {"name": "standard"}


def test_later_plan_owns_the_day_it_starts_on(client: Caller, plan_id: str) -> None:
    """Associating over a schedule cuts it; the earlier plan goes on after the window."""
    attach(client, plan_id)
    other = samples.active_plan(client, "other")
    answer = attach(client, other, effectiveFrom="2024-03-10", effectiveUntil="2024-05-01")
    windows = [
        (each["pricePlanId"], each["startDate"][:10], each["endDate"][:10]) for each in answer["pricingSchedules"]
    ]
    assert windows == [
        (plan_id, "2024-01-01", "2024-03-10"),
        (other, "2024-03-10", "2024-05-01"),
        (plan_id, "2024-05-01", "2025-01-01"),
    ]


def test_detaching_leaves_a_gap(client: Caller, plan_id: str, database: Database) -> None:
    """No day of the window is billed any more; with a plan named, only that plan goes."""
    attach(client, plan_id)
    window = {"mode": "DISASSOCIATE", "effectiveFrom": "2024-02-01", "effectiveUntil": "9999-01-01"}
    other = {**window, "pricePlanId": "pp.other"}
    assert len(client.post("/accounts/c1/price_plans", other, status=200)["pricingSchedules"]) == 1
    assert stored_account(database).schedules[0].end_date.isoformat() == "2025-01-01"
    [left] = client.post("/accounts/c1/price_plans", window, status=200)["pricingSchedules"]
    assert left["endDate"] == "2024-02-01T00:00:00Z"
    assert stored_account(database).schedules[0].end_date.isoformat() == "2024-02-01"


def test_schedules_are_narrowed_by_dates_and_paged(client: Caller, plan_id: str) -> None:
    """start_date and end_date are a half-open range; pages follow the dates."""
    for month in range(1, 6):
        window: dict[str, Any] = {"effectiveFrom": f"2024-0{month}-01", "effectiveUntil": f"2024-0{month + 1}-01"}
        attach(client, plan_id, **window)
    narrowed = client.get("/accounts/c1/pricing_schedules", start_date="2024-02-01", end_date="2024-04-01")["data"]
    assert [each["startDate"][:7] for each in narrowed] == ["2024-02", "2024-03"]
    page = client.get("/accounts/c1/pricing_schedules", pageSize=2)
    seen = [each["startDate"][:7] for each in page["data"]]
    while "nextToken" in page:
        page = client.get("/accounts/c1/pricing_schedules", nextToken=page["nextToken"])
        seen += [each["startDate"][:7] for each in page["data"]]
    assert seen == ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pricePlanId": "pp.unknown"}, "pricePlanId: no price plan 'pp.unknown'"),
        ({"pricePlanId": None}, "pricePlanId: say which"),
        ({"effectiveFrom": "2025-01-01"}, "effectiveFrom"),
        ({"effectiveFrom": "1969-12-31"}, "effectiveFrom"),
        ({"effectiveUntil": "9999-01-02"}, "effectiveUntil"),
        ({"effectiveFrom": "2024-02-30"}, "effectiveFrom"),
        ({"effectiveFrom": "yesterday"}, "effectiveFrom"),
        ({"mode": "MERGE"}, "mode"),
        ({"retainStartOffsets": True}, "retainStartOffsets: no plan bills 2024-01-01"),
        (
            {"pricePlanDetailsOverride": {"usageRateCards": [{}]}},
            "usageRateCards[0]: Object missing required field",
        ),
        ({"pricingRulesOverride": [{}]}, "pricingRulesOverride[0]: Object missing required field"),
        ({"preActions": [{"type": "GRANT_LICENSE"}]}, "preActions[0].config: needs licenseId, updateType, quantity"),
    ],
)
def test_bad_association_is_refused_and_changes_nothing(
    client: Caller, plan_id: str, changes: dict[str, Any], message: str
) -> None:
    """Every refusal names the field."""
    body = {"mode": "ASSOCIATE", "pricePlanId": plan_id, **YEAR, **changes}
    assert message in client.post("/accounts/c1/price_plans", body, status=400)["message"]
    assert client.get("/accounts/c1/pricing_schedules")["data"] == []


def test_plan_must_be_active_in_the_accounts_currency(client: Caller, plan_id: str) -> None:
    """A draft plan, and a plan without the account's currency, are refused with what to do."""
    meter_id = client.get("/usage_meters")["data"][0]["id"]
    draft = client.post("/price_plans", samples.plan(meter_id, "drafted"), status=200)["id"]
    assert "activate it first" in str(attach(client, draft, status=400)["message"])
    client.post(f"/price_plans/{draft}/activate", {"currencies": ["EUR"]})
    assert "is not active in USD" in str(attach(client, draft, status=400)["message"])


def test_invoiced_days_stay_as_they_were_billed(client: Caller, plan_id: str, database: Database) -> None:
    """The past may be changed, but not under an invoice that was issued; the refusal says from when on."""
    attach(client, plan_id)
    with database.write() as connection:
        connection.execute(
            invoice.insert().values(
                organisation_id="acme", invoice_id="inv.1", account_id="c1", customer_id="c1", currency="USD",
                start_date="2024-01-01", end_date="2024-02-01", status="DUE", total=Decimal(1),
                format=1, document="{}", inputs="{}", inputs_hash=b"", issued_at=0,
            )
        )  # fmt: skip
    other = samples.active_plan(client, "other")
    refused = attach(client, other, status=400, effectiveFrom="2024-01-31", effectiveUntil="2024-06-01")
    assert refused["code"] == "ALREADY_INVOICED"
    assert "start from then on" in str(refused["message"])
    assert "2024-02-01" in str(refused["message"])
    detach = {"mode": "DISASSOCIATE", "effectiveFrom": "2023-01-01", "effectiveUntil": "2024-01-02"}
    assert client.post("/accounts/c1/price_plans", detach, status=400)["code"] == "ALREADY_INVOICED"
    attach(client, other, effectiveFrom="2024-02-01", effectiveUntil="2024-06-01")


def test_organisations_do_not_see_each_others_plans(client: Caller, plan_id: str, stranger: Caller) -> None:
    """Neither reading, activating nor attaching reaches over."""
    stranger.get(f"/price_plans/{plan_id}", status=404)
    stranger.post(f"/price_plans/{plan_id}/activate", {"currencies": ["USD"]}, status=404)
    assert stranger.get("/price_plans")["data"] == []
    meter_id = client.get("/usage_meters")["data"][0]["id"]
    assert stranger.post("/price_plans", samples.plan(meter_id), status=400)["code"] == "UNKNOWN_USAGE_METER"
    stranger.post("/accounts/c1/price_plans", {"pricePlanId": plan_id, **YEAR}, status=404)
    stranger.post("/customers", samples.customer(), status=201)
    refused = stranger.post("/accounts/c1/price_plans", {"pricePlanId": plan_id, **YEAR}, status=400)
    assert refused["code"] == "UNKNOWN_PRICE_PLAN"
