"""Pricing rules over HTTP: in plans, in what accounts have different, and by themselves."""

import json
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

ATTACHED = {"mode": "ASSOCIATE", "effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}
TOTAL = json.dumps({"var": "revenue.rate_card_total"})
DISCOUNT = {
    "name": "A tenth off",
    "order": 1,
    "condition": json.dumps({">": [{"var": "revenue.rate_card_total"}, 100]}),
    "computation": json.dumps({"*": [{"var": "revenue.rate_card_total"}, -0.1]}),
    "action": {"type": "ADD", "id": "discount", "description": "Volume discount", "metadata": {"why": "contract 7"}},
}
IN_ADVANCE = {
    "name": "In advance",
    "order": 2,
    "invoiceTiming": "IN_ADVANCE",
    "computation": TOTAL,
    "action": {"type": "ADD"},
}


@pytest.fixture
def meter_id(client: Caller) -> str:
    """An active meter, and the account c1."""
    client.post("/customers", samples.customer(), status=201)
    return samples.active_meter(client)


def a_plan(client: Caller, meter_id: str, *rules: dict[str, Any], name: str = "ruled", status: int = 200) -> Any:
    return client.post("/price_plans", samples.plan(meter_id, name, pricingRules=list(rules)), status=status)


def an_active_plan(client: Caller, meter_id: str, *rules: dict[str, Any]) -> Any:
    plan = a_plan(client, meter_id, *rules)
    return client.post(f"/price_plans/{plan['id']}/activate", {"currencies": ["USD"]}, status=200)


def rules_of(client: Caller, plan_id: str, schedule_id: str, status: int = 200, **query: str) -> Any:
    path = f"/price_plans/{plan_id}/pricing_schedules/{schedule_id}/pricing_rules"
    answer = client.get(path, status=status, **query)
    return answer["data"] if status == 200 else answer


def test_a_plan_reads_back_with_its_rules(client: Caller, meter_id: str) -> None:
    """In the plan, in the list of plans and by themselves, each with an id and the plan's version."""
    plan = an_active_plan(client, meter_id, DISCOUNT, IN_ADVANCE)
    [schedule] = client.get(f"/price_plans/{plan['id']}")["pricingSchedule"]
    first, second = schedule["pricingRules"]
    assert {**DISCOUNT, "id": first["id"], "version": 1, "invoiceTiming": "IN_ARREARS"} == first
    assert first["id"].startswith("pp_rule.")
    assert {**IN_ADVANCE, "id": second["id"], "version": 1} == second
    assert client.get("/price_plans")["data"][0]["pricingRules"] == [first, second]
    assert rules_of(client, plan["id"], schedule["id"]) == [first, second]
    assert rules_of(client, plan["id"], schedule["id"], invoice_timing="IN_ADVANCE") == [second]


def test_a_plan_without_rules_says_none(client: Caller, meter_id: str) -> None:
    plan = an_active_plan(client, meter_id)
    assert "pricingRules" not in plan["pricingSchedule"][0]
    assert rules_of(client, plan["id"], plan["pricingSchedule"][0]["id"]) == []


def test_other_rules_are_another_version(client: Caller, meter_id: str) -> None:
    """PATCH replaces all rules; an empty list, which some clients send, leaves them."""
    plan_id = an_active_plan(client, meter_id, DISCOUNT)["id"]
    changed = client.send("PATCH", f"/price_plans/{plan_id}", 200, json={"pricingRules": [{**DISCOUNT, "order": 7}]})
    [schedule] = changed["pricingSchedule"]
    assert (schedule["version"], [rule["order"] for rule in schedule["pricingRules"]]) == (2, [7])
    assert schedule["pricingRules"][0]["version"] == 2
    same = client.send("PATCH", f"/price_plans/{plan_id}", 200, json={"pricingRules": [], "description": "same"})
    assert (same["pricingSchedule"][0]["version"], same["pricingSchedule"][0]["pricingRules"]) == (
        2,
        schedule["pricingRules"],
    )


def test_an_account_may_have_rules_of_its_own(client: Caller, meter_id: str) -> None:
    """They stand in the answer, in the account's schedule, and are found under the schedule's id."""
    plan_id = an_active_plan(client, meter_id, DISCOUNT)["id"]
    own = {**DISCOUNT, "name": "A fifth off", "action": {"type": "ADD"}}
    request = {**ATTACHED, "pricePlanId": plan_id, "pricingRulesOverride": [own]}
    [attached] = client.post("/accounts/c1/price_plans", request, status=200)["pricingSchedules"]
    assert [rule["name"] for rule in attached["pricingRulesOverride"]] == ["A fifth off"]
    [schedule] = client.get("/accounts/c1/pricing_schedules")["data"]
    assert (schedule["isOverriden"], schedule["pricingRules"]) == (True, attached["pricingRulesOverride"])
    assert rules_of(client, plan_id, schedule["id"]) == schedule["pricingRules"]


def test_a_batch_of_edits_takes_rules_too(client: Caller, meter_id: str) -> None:
    plan_id = an_active_plan(client, meter_id, DISCOUNT)["id"]
    edit = {**ATTACHED, "pricePlanId": plan_id, "pricingRulesOverride": [{**DISCOUNT, "computation": "nonsense"}]}
    answer = client.post("/accounts/c1/edit_schedules", {"edits": [edit]}, status=400)
    assert answer["message"].startswith("pricingRules[0].computation: not a rule")
    edit["pricingRulesOverride"] = [DISCOUNT]
    [schedule] = client.post("/accounts/c1/edit_schedules", {"edits": [edit]}, status=200)["pricingSchedules"]
    assert len(schedule["pricingRulesOverride"]) == 1


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({**DISCOUNT, "order": 0}, "pricingRules[0].order: must be 1 or more"),
        ({**DISCOUNT, "order": None}, "pricingRules[0].order: Expected `int`, got `null`"),
        ({**DISCOUNT, "unheard": 1}, "pricingRules[0]: Object contains unknown field `unheard`"),
        ({**DISCOUNT, "action": {"type": "REPLACE"}}, "pricingRules[0].action.type: Invalid enum value 'REPLACE'"),
        ({**DISCOUNT, "computation": '{"var":"revenue.ff.addon.1"}'}, "pricingRules[0].computation: var: unknown"),
        ({**DISCOUNT, "condition": "{"}, "pricingRules[0].condition: not a rule"),
        ({**DISCOUNT, "action": {"type": "UPDATE"}}, "pricingRules[0].action.target: '' is not"),
    ],
)
def test_unsound_rules_are_refused(client: Caller, meter_id: str, rule: dict[str, Any], message: str) -> None:
    assert a_plan(client, meter_id, rule, status=400)["message"].startswith(message)


def test_a_dialect_in_which_a_rule_cannot_work_is_refused(client: Caller, meter_id: str) -> None:
    """`date` takes one operand in `exact`, and none is enough in `togai`: plans and overrides are asked before."""
    place = {"entityType": "ORGANIZATION", "entityId": "acme", "namespace": "TOGAI", "dataType": "STRING"}
    client.post("/settings", {**place, "id": "expression_dialect", "name": "d", "value": "togai"}, status=201)
    only_togai = json.dumps({"if": [{"reduce": [[], 1, 0]}, 1, {"max": []}]})
    plan_id = an_active_plan(client, meter_id)["id"]
    request = {**ATTACHED, "pricePlanId": plan_id, "pricingRulesOverride": [{**DISCOUNT, "computation": only_togai}]}
    client.post("/accounts/c1/price_plans", request, status=200)
    answer = client.send(
        "PATCH", "/settings/setting.TOGAI.expression_dialect.ORGANIZATION.acme", 400, json={"value": "exact"}
    )
    assert answer["code"] == "EXPRESSION_DIALECT"
    assert "a schedule of account 'c1'" in answer["message"]


def test_unknown_schedules_have_no_rules(client: Caller, meter_id: str) -> None:
    plan_id = an_active_plan(client, meter_id, DISCOUNT)["id"]
    assert rules_of(client, plan_id, "sch.unheard", status=404)["code"] == "NOT_FOUND"
    assert rules_of(client, "pp.unheard", "sch.unheard", status=404)["code"] == "NOT_FOUND"


def test_organisations_do_not_see_each_others_rules(client: Caller, meter_id: str, stranger: Caller) -> None:
    """Neither a plan's, nor an account's by the id of its schedule."""
    plan = an_active_plan(client, meter_id, DISCOUNT)
    request = {**ATTACHED, "pricePlanId": plan["id"], "pricingRulesOverride": [DISCOUNT]}
    [attached] = client.post("/accounts/c1/price_plans", request, status=200)["pricingSchedules"]
    for schedule_id in (plan["pricingSchedule"][0]["id"], attached["id"]):
        rules_of(stranger, plan["id"], schedule_id, status=404)


def test_the_logs_of_a_draft(client: Caller, meter_id: str, stranger: Caller) -> None:
    """15 units at 0.1 in place of none are 1.5, which is not over 100; each log says what its rule read and did."""
    bonus_rule = {
        "name": "Fifteen for nothing",
        "order": 2,
        "computation": "15",
        "action": {"type": "UPDATE", "target": f"usage.urc.{meter_id}"},
    }
    plan_id = an_active_plan(client, meter_id, {**DISCOUNT, "order": 3}, bonus_rule)["id"]
    client.post("/accounts/c1/price_plans", {**ATTACHED, "pricePlanId": plan_id}, status=200)
    invoice_id = client.get("/invoices", owner_id="c1")["data"][0]["id"]
    bonus, discount = client.get(f"/invoice/{invoice_id}/pricing_rules_logs")["data"]
    assert discount["type"] == "CONDITION_FALSE"
    assert discount["order"] == 3
    assert discount["changes"] == {"key": "discount", "keyName": "Volume discount", "oldRevenue": 0, "newRevenue": 0}
    assert discount["rule"]["name"] == "A tenth off"
    assert discount["rule"]["condition"] == DISCOUNT["condition"]
    name = "revenue.rate_card_total"
    assert discount["variablesValue"] == {name: {"name": name, "value": "1.5"}}
    assert bonus["type"] == "CONDITION_TRUE"
    assert bonus["changes"] == {
        "key": f"urc.{meter_id}",
        "keyName": "kilometres",
        "oldRevenue": 0,
        "newRevenue": 1.5,
        "oldUsage": 0,
        "newUsage": 15,
    }
    assert len({bonus["id"], discount["id"]}) == 2
    stranger.get(f"/invoice/{invoice_id}/pricing_rules_logs", status=404)
    client.get("/invoice/inv.unheard/pricing_rules_logs", status=404)
