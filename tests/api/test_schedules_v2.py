"""Accounts' pricing schedules by the second door, over HTTP: drafted, read, made final, dropped."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from plan_item_samples import commitment, create, usage_card

MONTHLY_5 = {"interval": "MONTHLY", "startOffset": {"dayOffset": "5", "monthOffset": "NIL"}, "gracePeriod": 2}
TODAY = datetime.now(UTC).date()
TOMORROW = str(TODAY + timedelta(days=1))


@pytest.fixture
def meter_id(client: Caller) -> str:
    client.post("/customers", samples.customer(), status=201)
    return samples.active_meter(client)


@pytest.fixture
def plan_id(client: Caller, meter_id: str) -> str:
    """An active plan, and the account c1."""
    return samples.active_plan(client)


def association(plan_id: str | None, start: str = "2024-01-01", end: str = "9999-01-01", **config: Any) -> Any:
    config = {"pricePlanId": plan_id, **config} if plan_id else config
    return {"effectiveFrom": start, "effectiveUntil": end, "associationConfig": config}


def draft(client: Caller, *edits: Any, status: int = 200, **parameters: Any) -> Any:
    return client.post("/v2/accounts/c1/edit_schedules", {"edits": edits}, status=status, **parameters)


def finalize(client: Caller, status: int = 200, **body: Any) -> Any:
    return client.post("/v2/accounts/c1/finalize_schedules", body, status=status)


def schedules(client: Caller, mode: str) -> list[Any]:
    found: list[Any] = client.get("/v2/accounts/c1/schedules", mode=mode)["data"]
    return found


def windows(listed: list[Any]) -> list[tuple[str, str, str]]:
    return [(each["pricePlanId"], each["startDate"][:10], each["endDate"][:10]) for each in listed]


def cards(client: Caller, schedule_id: str, mode: str) -> list[str]:
    return [card["name"] for card in client.get(f"/v2/schedules/{schedule_id}/rate_cards", mode=mode)["data"]]


def attached(client: Caller, plan_id: str, start: str = "2024-01-01") -> str:
    """The id of the schedule by which the plan bills the account."""
    draft(client, association(plan_id, start))
    made: str = finalize(client)["data"][0]["id"]
    return made


# ---- edits -------------------------------------------------------------------------------------------------------


def test_edits_bill_nobody_until_they_are_final(client: Caller, plan_id: str) -> None:
    """Contract 3.7: A for ever, then B for three months gives A, B, A."""
    other = samples.active_plan(client, "other")
    answer = draft(client, association(plan_id, "2022-01-01"), association(other, "2022-07-04", "2022-10-04"))
    expected = [
        (plan_id, "2022-01-01", "2022-07-04"),
        (other, "2022-07-04", "2022-10-04"),
        (plan_id, "2022-10-04", "9999-01-01"),
    ]
    assert windows(answer["pricingSchedules"]) == windows(schedules(client, "DRAFT")) == expected
    assert schedules(client, "ACTIVE") == client.get("/accounts/c1/pricing_schedules")["data"] == []
    assert windows(finalize(client)["data"]) == expected
    assert windows(schedules(client, "ACTIVE")) == expected
    assert schedules(client, "DRAFT") == []
    assert finalize(client, status=400)["code"] == "NO_DRAFT"


def test_later_edits_come_after_earlier_ones_unless_those_are_discarded(client: Caller, plan_id: str) -> None:
    draft(client, association(plan_id, "2024-01-01"))
    hole = {"mode": "DISASSOCIATE", "effectiveFrom": "2024-03-01", "effectiveUntil": "2024-04-01"}
    assert len(draft(client, hole)["pricingSchedules"]) == 2
    only = draft(client, association(plan_id, "2025-01-01"), discard=True)["pricingSchedules"]
    assert windows(only) == [(plan_id, "2025-01-01", "9999-01-01")]


def test_what_is_discarded_is_gone(client: Caller, plan_id: str) -> None:
    draft(client, association(plan_id))
    for _ in range(2):
        assert client.send("DELETE", "/v2/accounts/c1/discard_schedules", 200) == {"success": True}
    assert schedules(client, "DRAFT") == []
    assert finalize(client, status=400)["code"] == "NO_DRAFT"


def test_a_schedule_shows_how_it_bills(client: Caller, plan_id: str) -> None:
    """With the cycle that is the account's own; contract 3.7: override before retained offsets before plan."""
    draft(client, association(plan_id, pricingCycleConfigOverride=MONTHLY_5))
    [shown] = finalize(client)["data"]
    assert shown["accountScheduleInfo"]["pricingCycleConfig"]["startOffset"]["dayOffset"] == "5"
    assert (shown["accountId"], shown["version"], shown["isOverridden"]) == ("c1", 1, True)
    assert shown["pricePlanInfo"]["name"] == "standard"
    assert (shown["deferredRevenue"], shown["allowOngoingCycleUpdates"]) == (False, False)
    other = samples.active_plan(client, "other")
    draft(client, association(other, "2024-02-05", retainStartOffsets=True))
    goes_on = finalize(client)["data"][1]
    assert goes_on["accountScheduleInfo"]["pricingCycleConfig"]["startOffset"]["dayOffset"] == "5"
    draft(client, association(plan_id, "2026-02-05", "2026-03-05"), discard=True)
    hole = {"mode": "DISASSOCIATE", "effectiveFrom": "2020-01-01", "effectiveUntil": "9999-01-01"}
    draft(client, hole, discard=True)
    assert finalize(client)["data"] == []
    nothing = draft(client, association(other, "2024-02-05", retainStartOffsets=True), status=400)
    assert "retainStartOffsets: no plan bills 2024-02-05" in nothing["message"]


def test_merged_schedules_are_one_association(client: Caller, plan_id: str) -> None:
    first = attached(client, plan_id)
    draft(client, {**association(plan_id, "2024-06-01"), "mergeSchedules": True})
    [merged] = finalize(client)["data"]
    assert (merged["id"], merged["startDate"][:10]) == (first, "2024-01-01")
    draft(client, association(plan_id, "2024-06-01"))
    assert len(finalize(client)["data"]) == 2


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (association("pp.none"), "edits[0].associationConfig.pricePlanId: no price plan 'pp.none'"),
        (association(None), "edits[0].associationConfig: name a pricePlanId"),
        (association(None, scheduleId="sch.none"), "no schedule 'sch.none'"),
        (association("PLAN", "2024-02-01", "2024-01-01"), "effectiveFrom"),
        (association("PLAN", colour="red"), "unknown field `colour`"),
        (association("PLAN", pricingCycleConfigOverride={**MONTHLY_5, "gracePeriod": -1}), "gracePeriod"),
        ({**association("PLAN", scheduleId="sch.x"), "mode": "DISASSOCIATE"}, "DISASSOCIATE takes a pricePlanId"),
    ],
)
def test_bad_edits_are_refused(client: Caller, plan_id: str, edit: Any, message: str) -> None:
    """And nothing of their request is drafted."""
    config = {**edit["associationConfig"]}
    if config.get("pricePlanId") == "PLAN":
        config["pricePlanId"] = plan_id
    assert message in draft(client, {**edit, "associationConfig": config}, status=400)["message"]
    assert schedules(client, "DRAFT") == []


def test_drafts_are_limited(client: Caller, plan_id: str) -> None:
    """Ten edits in a request, a hundred steps for an account."""
    edit = association(plan_id)
    for count in (0, 11):
        assert "edits" in draft(client, *[edit] * count, status=400)["message"]
    for _ in range(10):
        draft(client, *[edit] * 10)
    assert draft(client, edit, status=400)["code"] == "LIMIT_REACHED"


def test_invoiced_accounts_of_another_state_are_refused(client: Caller, plan_id: str) -> None:
    client.post("/accounts", samples.account("a2", status="DRAFT"), status=201)
    body = {"edits": [association(plan_id)]}
    assert client.post("/v2/accounts/a2/edit_schedules", body, status=400)["code"] == "ACCOUNT_NOT_ACTIVE"
    client.post("/v2/accounts/none/edit_schedules", body, status=404)


# ---- cards of a schedule -----------------------------------------------------------------------------------------


def test_cards_of_a_draft_are_the_accounts_own(client: Caller, plan_id: str, meter_id: str) -> None:
    """The plan stays as it is; what lacks something is said, and cannot be made final."""
    draft(client, association(plan_id))
    [drafted] = schedules(client, "DRAFT")
    path = f"/v2/schedules/{drafted['id']}"
    update = {"actionType": "UPDATE", "rateCardName": f"usage.{meter_id}", "rateCard": usage_card(meter_id, 7)}
    made = client.post(f"{path}/rate_cards", {"operations": [update]}, status=200)["rateCards"]
    assert (made[0]["accountId"], made[0]["referenceId"], made[0]["referenceType"]) == ("c1", drafted["id"], "SCHEDULE")
    [error] = client.get(f"{path}/errors")["data"]
    assert (error["entityType"], error["entityId"]) == ("RATE_CARD", f"usage.{meter_id}")
    assert error["errorMessage"].startswith("rateValues: no rate in EUR")
    assert "no rate in EUR" in finalize(client, status=400)["message"]
    both = usage_card(meter_id, 7, currencies=("USD", "EUR"))
    operations = [{**update, "rateCard": both}]
    client.post(f"{path}/rate_cards", {"operations": operations}, status=200)
    assert client.get(f"{path}/errors")["data"] == []
    client.get(f"{path}/rate_cards", mode="ACTIVE", status=404)
    assert finalize(client)["data"][0]["isOverridden"] is True
    assert cards(client, drafted["id"], "ACTIVE") == [f"usage.{meter_id}"]
    client.get(f"{path}/rate_cards", mode="DRAFT", status=404)
    [card] = client.get("/accounts/c1/pricing_schedules")["data"][0]["pricePlanDetails"]["usageRateCards"]
    assert card["rateValues"][0]["slabRates"][0]["rate"] == 7
    plan_card = client.get(f"/price_plans/{plan_id}")["pricingSchedule"][0]["pricePlanDetails"]["usageRateCards"][0]
    assert plan_card["rateValues"][0]["slabRates"][0]["rate"] == 0.1


def test_changing_what_bills_begins_a_draft_from_tomorrow(client: Caller, plan_id: str, meter_id: str) -> None:
    """Contract 3.7: editable from tomorrow on."""
    schedule_id = attached(client, plan_id)
    remove = {"actionType": "DELETE", "rateCardName": f"usage.{meter_id}"}
    client.post(f"/v2/schedules/{schedule_id}/rate_cards", {"operations": [remove]}, status=200)
    assert (cards(client, schedule_id, "ACTIVE"), cards(client, schedule_id, "DRAFT")) == ([f"usage.{meter_id}"], [])
    assert windows(schedules(client, "DRAFT")) == [(plan_id, TOMORROW, "9999-01-01")]
    assert windows(finalize(client)["data"]) == [
        (plan_id, "2024-01-01", TOMORROW),
        (plan_id, TOMORROW, "9999-01-01"),
    ]
    listed = client.get("/accounts/c1/pricing_schedules")["data"]
    assert [len(each["pricePlanDetails"]["usageRateCards"]) for each in listed] == [1, 0]


def test_where_the_plan_allows_it_a_draft_begins_with_the_cycle(client: Caller, meter_id: str) -> None:
    """Contract 3.7: deferred-revenue plans also from the start of the current unbilled cycle."""
    shell = {
        "name": "Deferred",
        "type": "BILLING",
        "pricingCycleConfig": {**MONTHLY_5, "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}},
        "supportedCurrencies": ["USD"],
        "deferredRevenue": True,
    }
    deferred = client.post("/v2/price_plans", shell, status=200)["id"]
    client.post(f"/v2/price_plans/{deferred}/finalize", {}, status=200)
    schedule_id = attached(client, deferred)
    operations = [create("calls", usage_card(meter_id))]
    client.post(f"/v2/schedules/{schedule_id}/rate_cards", {"operations": operations}, status=200)
    first = str(TODAY.replace(day=1))
    assert [each[1] for each in windows(schedules(client, "DRAFT"))] == [first]


def test_a_commitment_of_the_plan_can_be_left_out(client: Caller, meter_id: str) -> None:
    floor = {
        "displayName": "At least",
        "rateValues": [{"currency": currency, "rate": 500} for currency in ("USD", "EUR")],
    }
    plan = samples.plan(meter_id, details={"minimumCommitment": floor})
    plan_id = client.post("/price_plans", plan)["id"]
    client.post(f"/price_plans/{plan_id}/activate", {"currencies": ["USD"]}, status=200)
    draft(client, association(plan_id))
    [drafted] = schedules(client, "DRAFT")
    assert "minimumCommitment" in cards(client, drafted["id"], "DRAFT")
    remove = {"actionType": "DELETE", "rateCardName": "minimumCommitment"}
    client.post(f"/v2/schedules/{drafted['id']}/rate_cards", {"operations": [remove]}, status=200)
    finalize(client)
    [listed] = client.get("/accounts/c1/pricing_schedules")["data"]
    assert "minimumCommitment" not in listed["pricePlanDetails"]


def test_cards_and_rules_are_copied_from_another_schedule(client: Caller, plan_id: str, meter_id: str) -> None:
    """Onto the same plan, or another one."""
    draft(client, association(plan_id))
    [drafted] = schedules(client, "DRAFT")
    both = ("USD", "EUR")
    update = {
        "actionType": "UPDATE",
        "rateCardName": f"usage.{meter_id}",
        "rateCard": usage_card(meter_id, 7, currencies=both),
    }
    client.post(f"/v2/schedules/{drafted['id']}/rate_cards", {"operations": [update]}, status=200)
    finalize(client)
    other = samples.active_plan(client, "other")
    for plan in (None, other):
        draft(client, association(plan, "2025-01-01", scheduleId=drafted["id"]), discard=True)
        [copied] = schedules(client, "DRAFT")
        assert copied["pricePlanId"] == (plan or plan_id)
        [card] = client.get(f"/v2/schedules/{copied['id']}/rate_cards", mode="DRAFT")["data"]
        rate = card["rateCardDetails"]["usageRateCard"]["rateValues"][0]["slabRates"][0]["rate"]
        assert rate == 7


def test_rules_of_a_schedule_are_replaced(client: Caller, plan_id: str, meter_id: str) -> None:
    """In its draft; a rule on what is not charged is refused."""
    draft(client, association(plan_id))
    [drafted] = schedules(client, "DRAFT")
    path = f"/v2/schedules/{drafted['id']}/pricing_rules"
    rule = {
        "name": "Discount",
        "order": 1,
        "computation": f'{{"*":[-0.1,{{"var":"revenue.urc.{meter_id}"}}]}}',
        "action": {"type": "ADD", "id": "discount"},
    }
    put = client.send("PUT", path, 200, json={"pricingRules": [rule]})
    assert [each["name"] for each in put["data"]] == ["Discount"]
    strange = {**rule, "computation": '{"var":"revenue.urc.um.other"}'}
    client.send("PUT", path, 400, json={"pricingRules": [strange]})
    client.send("PUT", path, 400, json={})
    [info] = finalize(client)["data"]
    assert [each["name"] for each in info["accountScheduleInfo"]["pricingRules"]] == ["Discount"]
    assert [each["name"] for each in client.get(path, mode="ACTIVE")["data"]] == ["Discount"]
    assert client.send("PUT", path, 200, json={"pricingRules": []})["data"] == []
    assert len(client.get(path, mode="ACTIVE")["data"]) == 1
    assert client.get(path, mode="DRAFT")["data"] == []


def test_what_is_over_cannot_be_amended(client: Caller, plan_id: str) -> None:
    draft(client, association(plan_id, "2024-01-01", "2024-02-01"))
    [over] = finalize(client)["data"]
    operations = [create("floor", commitment(1))]
    refused = client.post(f"/v2/schedules/{over['id']}/rate_cards", {"operations": operations}, status=400)
    assert "on no day that could change" in refused["message"]


# ---- making it final ---------------------------------------------------------------------------------------------


def test_licences_are_granted_with_what_is_made_final(client: Caller, plan_id: str) -> None:
    """Contract 3.7; and not when it is refused."""
    seat = client.post("/addons", {"name": "Seat", "type": "LICENSE"}, status=200)["id"]
    config = {"licenseId": seat, "updateType": "ABSOLUTE", "quantity": "10", "effectiveFrom": "2024-01-01"}
    action = {"type": "GRANT_LICENSE", "config": config}
    finalize(client, status=400, preActions=[action])
    assert client.get("/license_updates")["data"] == []
    draft(client, association(plan_id))
    finalize(client, preActions=[action])
    assert len(client.get("/license_updates")["data"]) == 1


def test_a_plan_that_was_archived_meanwhile_cannot_bill(client: Caller, plan_id: str) -> None:
    draft(client, association(plan_id))
    [drafted] = schedules(client, "DRAFT")
    client.send("DELETE", f"/price_plans/{plan_id}", 200)
    assert "ARCHIVED" in client.get(f"/v2/schedules/{drafted['id']}/errors")["data"][0]["errorMessage"]
    assert "ARCHIVED" in finalize(client, status=400)["message"]


def test_a_draft_is_made_final_once(client: Caller, plan_id: str) -> None:
    """By one of several at the same time."""
    draft(client, association(plan_id))
    headers = {"Authorization": f"Bearer {client.key}"}

    def make_final(_: int) -> int:
        answer = client.client.post("/v2/accounts/c1/finalize_schedules", json={}, headers=headers)
        return int(answer.status_code)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make_final, range(4))) == [200, 400, 400, 400]
    assert len(schedules(client, "ACTIVE")) == 1


def test_schedules_are_read_page_by_page(client: Caller, plan_id: str) -> None:
    draft(client, *(association(plan_id, f"2024-0{month}-01", f"2024-0{month}-20") for month in range(1, 6)))
    finalize(client)
    first = client.get("/v2/accounts/c1/schedules", mode="ACTIVE", pageSize=3)
    second = client.get("/v2/accounts/c1/schedules", mode="ACTIVE", nextToken=first["nextToken"])
    assert [each["startDate"][5:7] for each in (*first["data"], *second["data"])] == ["01", "02", "03", "04", "05"]
    assert "nextToken" not in second
    client.get("/v2/accounts/c1/schedules", status=400)
    client.get("/v2/accounts/c1/schedules", mode="OLD", status=400)


def test_organisations_do_not_see_each_others_schedules(client: Caller, plan_id: str, stranger: Caller) -> None:
    schedule_id = attached(client, plan_id)
    draft(client, association(plan_id, "2025-01-01"))
    drafted_id = schedules(client, "DRAFT")[0]["id"]
    stranger.get("/v2/accounts/c1/schedules", mode="ACTIVE", status=404)
    stranger.post("/v2/accounts/c1/edit_schedules", {"edits": [association(plan_id)]}, status=404)
    stranger.post("/v2/accounts/c1/finalize_schedules", {}, status=404)
    stranger.send("DELETE", "/v2/accounts/c1/discard_schedules", 404)
    stranger.post("/customers", samples.customer(), status=201)  # who has an account c1 from now on, too
    for each, mode in ((schedule_id, "ACTIVE"), (drafted_id, "DRAFT")):
        for what in ("rate_cards", "pricing_rules"):
            stranger.get(f"/v2/schedules/{each}/{what}", mode=mode, status=404)
        stranger.get(f"/v2/schedules/{each}/errors", status=404)
        operations = [create("floor", commitment(1))]
        stranger.post(f"/v2/schedules/{each}/rate_cards", {"operations": operations}, status=404)
        stranger.send("PUT", f"/v2/schedules/{each}/pricing_rules", 404, json={"pricingRules": []})
    like = association(None, scheduleId=schedule_id)
    refused = stranger.post("/v2/accounts/c1/edit_schedules", {"edits": [like]}, status=400)
    assert "no schedule" in refused["message"]
