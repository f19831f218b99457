"""Versions of price plans, and what accounts have different from them, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

from tallybook.storage.database import Database
from tallybook.storage.plans import price_plan

ATTACHED = {"mode": "ASSOCIATE", "effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}


@pytest.fixture
def plan_id(client: Caller) -> str:
    """An active plan, and the account c1."""
    client.post("/customers", samples.customer(), status=201)
    samples.active_meter(client)
    return samples.active_plan(client)


def attach(client: Caller, plan_id: str, status: int = 200, **changes: Any) -> Any:
    return client.post("/accounts/c1/price_plans", {**ATTACHED, "pricePlanId": plan_id, **changes}, status=status)


def patch(client: Caller, plan_id: str, body: dict[str, Any], status: int = 200) -> Any:
    return client.send("PATCH", f"/price_plans/{plan_id}", status, json=body)


def details_of(plan: Any) -> Any:
    return plan["pricingSchedule"][0]["pricePlanDetails"]


def schedules(client: Caller) -> list[tuple[str, int, bool]]:
    return [
        (each["startDate"][:10], each["version"], each["isOverriden"])
        for each in client.get("/accounts/c1/pricing_schedules")["data"]
    ]


COMMITMENT = {
    "minimumCommitment": {
        "displayName": "At least",
        "rateValues": [{"currency": currency, "rate": 500} for currency in ("USD", "EUR")],
    }
}


def test_a_draft_is_changed_in_place(client: Caller, plan_id: str) -> None:
    meter_id = client.get("/usage_meters")["data"][0]["id"]
    draft = client.post("/price_plans", samples.plan(meter_id, "drafted"), status=200)["id"]
    changed = patch(client, draft, {"description": "new", "pricePlanDetails": COMMITMENT})
    assert (changed["description"], changed["status"], changed["pricingSchedule"][0]["version"]) == ("new", "DRAFT", 1)
    assert details_of(changed)["minimumCommitment"]["displayName"] == "At least"
    assert details_of(changed)["usageRateCards"]


def test_an_active_plan_gets_a_new_version(client: Caller, plan_id: str) -> None:
    """Accounts stay with theirs; both versions can be read, and the latest is listed."""
    attach(client, plan_id)
    changed = patch(client, plan_id, {"pricePlanDetails": COMMITMENT})
    assert (changed["status"], changed["pricingSchedule"][0]["version"]) == ("ACTIVE", 2)
    assert "minimumCommitment" not in details_of(client.get(f"/price_plans/{plan_id}", version=1))
    assert "minimumCommitment" in details_of(client.get(f"/price_plans/{plan_id}", version=2))
    [listed] = client.get("/price_plans")["data"]
    assert listed["version"] == 2
    assert schedules(client) == [("2024-01-01", 1, False)]


def test_a_description_alone_makes_no_version(client: Caller, plan_id: str) -> None:
    assert patch(client, plan_id, {"description": "x"})["pricingSchedule"][0]["version"] == 1


def test_accounts_are_moved_to_the_new_version(client: Caller, plan_id: str) -> None:
    """From tomorrow on with IMMEDIATE; overrides stay, unless they are to be ignored."""
    tomorrow = str((datetime.now(UTC) + timedelta(days=1)).date())
    attach(client, plan_id, pricePlanDetailsOverride=COMMITMENT)
    patch(client, plan_id, {"pricePlanDetails": COMMITMENT, "migrationMode": "IMMEDIATE"})
    assert schedules(client) == [("2024-01-01", 1, True), (tomorrow, 2, True)]
    body = {
        "pricePlanDetails": COMMITMENT,
        "migrationMode": "IMMEDIATE_IGNORE_OVERRIDE",
        "versionsToMigrate": "ALL_VERSION",
    }
    patch(client, plan_id, body)
    assert schedules(client) == [("2024-01-01", 1, True), (tomorrow, 3, False)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"pricePlanDetails": {"supportedCurrencies": ["EUR"]}}, "supportedCurrencies: USD is active"),
        ({"pricePlanDetails": {"supportedCurrencies": ["USD", "EUR", "GBP"]}}, "no rate in GBP"),
        ({"pricePlanDetails": {"creditGrantRateCards": [{}]}}, "creditGrantRateCards[0]: Object missing"),
        ({"pricingRules": [{}]}, "pricingRules[0]: Object missing required field"),
        ({"migrationMode": "LATER"}, "migrationMode"),
        ({"description": "x" * 256}, "description"),
        ({"name": "other"}, "unknown field `name`"),
    ],
)
def test_bad_changes_are_refused(client: Caller, plan_id: str, body: dict[str, Any], message: str) -> None:
    """Every refusal names the field, and no version is made."""
    assert message in patch(client, plan_id, body, status=400)["message"]
    assert client.get(f"/price_plans/{plan_id}")["pricingSchedule"][0]["version"] == 1


def test_an_archived_plan_bills_nobody(client: Caller, plan_id: str, database: Database) -> None:
    """It is archived when it bills no account, and cannot be attached or changed afterwards."""
    attach(client, plan_id)
    assert client.send("DELETE", f"/price_plans/{plan_id}", 400)["code"] == "PRICE_PLAN_ATTACHED"
    client.post("/accounts/c1/price_plans", {**ATTACHED, "mode": "DISASSOCIATE"}, status=200)
    assert client.send("DELETE", f"/price_plans/{plan_id}", 200) == {"success": True}
    assert client.send("DELETE", f"/price_plans/{plan_id}", 200) == {"success": True}
    assert "is ARCHIVED" in attach(client, plan_id, status=400)["message"]
    assert patch(client, plan_id, {"description": "x"}, status=400)["code"] == "PRICE_PLAN_ARCHIVED"
    with database.read() as connection:
        stored = price_plan(connection, "acme", plan_id)
    assert stored is not None
    assert stored.status.value == "ARCHIVED"


def test_organisations_do_not_change_each_others_plans(client: Caller, plan_id: str, stranger: Caller) -> None:
    patch(stranger, plan_id, {"description": "x"}, status=404)
    stranger.send("DELETE", f"/price_plans/{plan_id}", 404)


# ---- overrides and edits -----------------------------------------------------------------------------------------


def test_an_account_may_differ_from_its_plan(client: Caller, plan_id: str) -> None:
    """What the override names is the account's own, the rest is the plan's."""
    cycle = {"interval": "WEEKLY", "startOffset": {"dayOffset": "3", "monthOffset": "NIL"}, "gracePeriod": 1}
    attach(client, plan_id, pricePlanDetailsOverride={"pricingCycleConfig": cycle, "usageRateCards": []})
    [listed] = client.get("/accounts/c1/pricing_schedules")["data"]
    assert listed["isOverriden"] is True
    assert listed["pricePlanDetails"]["pricingCycleConfig"]["interval"] == "WEEKLY"
    assert listed["pricePlanDetails"]["usageRateCards"]
    assert details_of(client.get(f"/price_plans/{plan_id}"))["pricingCycleConfig"]["interval"] == "MONTHLY"


def test_an_override_is_checked_like_a_plan(client: Caller, plan_id: str) -> None:
    cycle = {"interval": "WEEKLY", "startOffset": {"dayOffset": "8", "monthOffset": "NIL"}, "gracePeriod": 1}
    refused = attach(client, plan_id, status=400, pricePlanDetailsOverride={"pricingCycleConfig": cycle})
    assert "dayOffset" in refused["message"]
    assert schedules(client) == []


def test_the_cycle_goes_on_under_another_plan(client: Caller, plan_id: str) -> None:
    """Contract 3.7: override before retained offsets before plan; another interval is refused."""
    own = {"interval": "MONTHLY", "startOffset": {"dayOffset": "17", "monthOffset": "NIL"}, "gracePeriod": 1}
    attach(client, plan_id, pricePlanDetailsOverride={"pricingCycleConfig": own})
    other = samples.active_plan(client, "other")
    attach(client, other, effectiveFrom="2024-02-05", retainStartOffsets=True)
    [_, goes_on] = client.get("/accounts/c1/pricing_schedules")["data"]
    config = goes_on["pricePlanDetails"]["pricingCycleConfig"]
    assert (config["startOffset"]["dayOffset"], config["gracePeriod"]) == ("17", 3)
    weekly = {"interval": "WEEKLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 1}
    override = {"pricingCycleConfig": weekly}
    attach(client, other, effectiveFrom="2024-03-05", retainStartOffsets=True, pricePlanDetailsOverride=override)
    refused = attach(client, plan_id, status=400, effectiveFrom="2024-04-05", retainStartOffsets=True)
    assert "the account's cycle is WEEKLY, the plan's MONTHLY" in refused["message"]


def test_edits_are_made_in_their_order_all_or_none(client: Caller, plan_id: str) -> None:
    """Contract 3.7: A for ever, B for three months, a hole; a dry run keeps nothing."""
    other = samples.active_plan(client, "other")
    edits: list[dict[str, Any]] = [
        {"pricePlanId": plan_id, "effectiveFrom": "2022-01-01", "effectiveUntil": "9999-01-01"},
        {"pricePlanId": other, "effectiveFrom": "2022-07-04", "effectiveUntil": "2022-10-04"},
        {"mode": "DISASSOCIATE", "effectiveFrom": "2023-01-01", "effectiveUntil": "2023-02-01"},
    ]
    dry = client.post("/accounts/c1/edit_schedules", {"edits": edits}, status=200, dry_run=True)
    windows = [(each["startDate"][:10], each["endDate"][:10]) for each in dry["pricingSchedules"]]
    assert windows == [
        ("2022-01-01", "2022-07-04"),
        ("2022-07-04", "2022-10-04"),
        ("2022-10-04", "2023-01-01"),
        ("2023-02-01", "9999-01-01"),
    ]
    assert schedules(client) == []
    broken = {"edits": [*edits, {"pricePlanId": "pp.none", **ATTACHED}]}
    client.post("/accounts/c1/edit_schedules", broken, status=400)
    assert schedules(client) == []
    client.post("/accounts/c1/edit_schedules", {"edits": edits}, status=200)
    assert len(schedules(client)) == 4
    for bad in ([], edits * 4):
        assert "edits" in client.post("/accounts/c1/edit_schedules", {"edits": bad}, status=400)["message"]


def test_licences_are_granted_in_the_same_step(client: Caller, plan_id: str) -> None:
    """And not at all when the association is refused."""
    seat = client.post("/addons", {"name": "Seat", "type": "LICENSE"}, status=200)["id"]
    config = {"licenseId": seat, "updateType": "ABSOLUTE", "quantity": "10", "effectiveFrom": "2024-01-01"}
    action = {"type": "GRANT_LICENSE", "config": config}
    attach(client, "pp.none", status=400, preActions=[action])
    assert client.get("/license_updates")["data"] == []
    attach(client, plan_id, preActions=[action])
    [entry] = client.get("/license_updates")["data"]
    assert (entry["quantity"], entry["effectiveFrom"]) == (10, "2024-01-01T00:00:00Z")
    for changed, message in (
        ({"quantity": "many"}, "preActions[0].config.quantity: must be a decimal"),
        ({"updateType": "DOUBLE"}, "preActions[0].config.updateType"),
        ({"effectiveFrom": "soon"}, "preActions[0].config.effectiveFrom"),
        ({"colour": "red"}, "preActions[0].config: needs"),
    ):
        bad = {**action, "config": {**config, **changed}}
        assert message in attach(client, plan_id, status=400, preActions=[bad])["message"]
