"""Price plans by the second door, over HTTP: shell, rate cards in bulk, errors, finalize, discard, versions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from plan_item_samples import commitment, create, fee_card, usage_card

CYCLE = {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3}
SHELL = {"name": "Second", "type": "BILLING", "pricingCycleConfig": CYCLE, "supportedCurrencies": ["USD"]}


@pytest.fixture
def meter_id(client: Caller) -> str:
    client.post("/customers", samples.customer(), status=201)
    return samples.active_meter(client)


@pytest.fixture
def plan_id(client: Caller, meter_id: str) -> str:
    """A draft without cards."""
    made: str = client.post("/v2/price_plans", SHELL, status=200)["id"]
    return made


def change(client: Caller, plan_id: str, *operations: dict[str, Any], status: int = 200) -> Any:
    return client.post(f"/v2/price_plans/{plan_id}/rate_cards", {"operations": operations}, status=status)


def names(client: Caller, plan_id: str) -> list[str]:
    return [card["name"] for card in client.get(f"/v2/price_plans/{plan_id}/rate_cards")["data"]]


def finalize(client: Caller, plan_id: str, status: int = 200, **body: Any) -> Any:
    return client.post(f"/v2/price_plans/{plan_id}/finalize", body, status=status)


def active(client: Caller, plan_id: str, meter_id: str) -> str:
    change(client, plan_id, create("calls", usage_card(meter_id)))
    finalize(client, plan_id)
    return plan_id


def version_of(client: Caller, plan_id: str, version: str) -> tuple[int, str]:
    plan = client.get(f"/v2/price_plans/{plan_id}", version=version)
    return plan["version"], plan["status"]


# ---- the shell ---------------------------------------------------------------------------------------------------


def test_a_shell_is_a_draft_without_cards(client: Caller, plan_id: str) -> None:
    """It is there through both doors."""
    plan = client.get(f"/v2/price_plans/{plan_id}")
    assert {**SHELL, "id": plan_id, "version": 1, "status": "DRAFT", "deferredRevenue": False}.items() <= {
        **plan,
        "pricingCycleConfig": CYCLE,
    }.items()
    assert plan["pricingCycleConfig"]["interval"] == "MONTHLY"
    assert client.get(f"/price_plans/{plan_id}")["status"] == "DRAFT"
    assert [each["id"] for each in client.get("/v2/price_plans")["data"]] == [plan_id]
    assert names(client, plan_id) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "PURCHASE"}, "PURCHASE"),
        ({"pricingCycleConfig": None}, "pricingCycleConfig: a plan of type BILLING needs it"),
        ({"supportedCurrencies": []}, "supportedCurrencies"),
        ({"supportedCurrencies": ["XXX1"]}, "XXX1"),
        ({"name": ""}, "name: must be 1 to 50"),
        ({"name": "x" * 51}, "name"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_bad_shells_are_refused(client: Caller, changes: dict[str, Any], message: str) -> None:
    assert message in client.post("/v2/price_plans", {**SHELL, **changes}, status=400)["message"]
    assert client.get("/v2/price_plans")["data"] == []


def test_a_name_is_there_once_through_either_door(client: Caller, plan_id: str, meter_id: str) -> None:
    assert client.post("/v2/price_plans", SHELL, status=400)["code"] == "ALREADY_EXISTS"
    assert client.post("/price_plans", samples.plan(meter_id, "Second"), status=400)["code"] == "ALREADY_EXISTS"


# ---- cards -------------------------------------------------------------------------------------------------------


def test_cards_are_added_replaced_and_removed_by_name(client: Caller, plan_id: str, meter_id: str) -> None:
    """In their order, and read back by name with what stands around them."""
    fee_id = client.post("/addons", {"name": "Support", "type": "FIXED_FEE"})["id"]
    made = change(
        client,
        plan_id,
        create("support", fee_card(fee_id, tag="service")),
        create("calls", usage_card(meter_id, displayName="Calls")),
        create("floor", commitment(500)),
    )["rateCards"]
    assert [card["name"] for card in made] == ["support", "calls", "floor"]
    assert names(client, plan_id) == ["calls", "floor", "support"]
    calls = client.get(f"/v2/price_plans/{plan_id}/rate_cards", pageSize=1)["data"][0]
    assert (calls["displayName"], calls["billableId"], calls["currencies"]) == ("Calls", meter_id, ["USD"])
    assert (calls["type"], calls["invoiceTiming"], calls["pricePlanId"]) == ("USAGE", "IN_ARREARS", plan_id)
    replaced = change(
        client,
        plan_id,
        {"actionType": "UPDATE", "rateCardName": "support", "rateCard": fee_card(fee_id, 120)},
        {"actionType": "DELETE", "rateCardName": "floor"},
    )["rateCards"]
    [rate] = replaced[0]["rateCardDetails"]["fixedFeeRateCard"]["rateValues"]
    assert rate["rate"] == 120
    assert "tag" not in replaced[0]
    assert names(client, plan_id) == ["calls", "support"]


def test_cards_are_read_page_by_page(client: Caller, plan_id: str) -> None:
    ids = [client.post("/addons", {"name": f"Fee {number}", "type": "FIXED_FEE"})["id"] for number in range(3)]
    change(client, plan_id, *(create(f"card {number}", fee_card(each)) for number, each in enumerate(ids)))
    first = client.get(f"/v2/price_plans/{plan_id}/rate_cards", pageSize=2)
    second = client.get(f"/v2/price_plans/{plan_id}/rate_cards", nextToken=first["nextToken"])
    assert [card["name"] for card in (*first["data"], *second["data"])] == ["card 0", "card 1", "card 2"]
    assert "nextToken" not in second


def test_operations_are_done_all_or_none(client: Caller, plan_id: str, meter_id: str) -> None:
    change(client, plan_id, create("calls", usage_card(meter_id)))
    good = create("more", usage_card(meter_id))
    for bad, message in (
        (create("calls", usage_card(meter_id)), "operations[1].rateCardName: there is a rate card 'calls' already"),
        ({"actionType": "DELETE", "rateCardName": "none"}, "operations[1].rateCardName: there is no rate card 'none'"),
        ({"actionType": "UPDATE", "rateCardName": "none", "rateCard": usage_card(meter_id)}, "no rate card 'none'"),
        ({"actionType": "UPDATE", "rateCard": usage_card(meter_id)}, "rateCardName: UPDATE needs it"),
        ({"actionType": "CREATE", "rateCardName": "x"}, "operations[1].rateCard: CREATE needs it"),
        ({"actionType": "DELETE", "rateCardName": "calls", "rateCard": usage_card(meter_id)}, "DELETE takes none"),
        (create("x", usage_card(meter_id, billableId="um.other")), "billableId: the card in rateCardDetails is for"),
        (create("x", usage_card(meter_id, invoiceTiming="IN_ADVANCE")), "is always charged IN_ARREARS"),
        (create("x", usage_card(meter_id, type="FIXED_FEE")), "a card of type FIXED_FEE has fixedFeeRateCard"),
        (create("x", usage_card(meter_id, type="BILLING_ENTITLEMENT")), "BILLING_ENTITLEMENT are not supported"),
        (create("x", usage_card(meter_id, rate="NaN")), "rate"),
        (create("x", usage_card(meter_id, currencies=("USD", "USD"))), "'USD' has two sets of rates"),
        (create("x" * 51, usage_card(meter_id)), "rateCardName"),
        (create("x", fee_card("addon.1", tag="t" * 51)), "tag"),
    ):
        assert message in change(client, plan_id, good, bad, status=400)["message"]
    assert names(client, plan_id) == ["calls"]
    for many in ([], [good] * 101):
        change(client, plan_id, *many, status=400)


def test_a_card_and_what_stands_around_it_must_agree(client: Caller, plan_id: str, meter_id: str) -> None:
    card = usage_card(meter_id, displayName="Outside")
    card["rateCardDetails"]["usageRateCard"]["displayName"] = "Inside"
    assert "displayName differs" in change(client, plan_id, create("calls", card), status=400)["message"]
    card["rateCardDetails"]["usageRateCard"]["displayName"] = "Outside"
    assert change(client, plan_id, create("calls", card))["rateCards"][0]["displayName"] == "Outside"


def test_a_card_without_a_name_gets_one(client: Caller, plan_id: str, meter_id: str) -> None:
    change(client, plan_id, {"actionType": "CREATE", "rateCard": usage_card(meter_id)})
    assert names(client, plan_id) == [f"usage.{meter_id}"]


# ---- errors and finalize -----------------------------------------------------------------------------------------


def test_errors_say_what_each_card_lacks(client: Caller, plan_id: str, meter_id: str) -> None:
    """Of every card; while there are any, the draft cannot be made active through either door."""
    change(
        client,
        plan_id,
        create("calls", usage_card(meter_id, currencies=("EUR",))),
        create("support", fee_card("addon.none")),
    )
    errors = client.get(f"/v2/price_plans/{plan_id}/errors")["data"]
    assert [(each["entityType"], each["entityId"]) for each in errors] == [
        ("RATE_CARD", "calls"),
        ("RATE_CARD", "support"),
    ]
    assert errors[0]["errorMessage"] == "rateValues: no rate in USD, a supported currency of the plan"
    assert "no add-on 'addon.none' of type FIXED_FEE" in errors[1]["errorMessage"]
    refused = finalize(client, plan_id, status=400)
    assert "the draft has 2 errors, the first: calls: rateValues: no rate in USD" in refused["message"]
    client.post(f"/price_plans/{plan_id}/activate", {"currencies": ["USD"]}, status=400)
    assert version_of(client, plan_id, "LATEST") == (1, "DRAFT")


def test_errors_name_the_plan_where_cards_are_wrong_together(client: Caller, plan_id: str, meter_id: str) -> None:
    """Contract 3.6: one rate card for each billable item."""
    change(client, plan_id, create("calls", usage_card(meter_id)), create("again", usage_card(meter_id)))
    [error] = client.get(f"/v2/price_plans/{plan_id}/errors")["data"]
    assert (error["entityType"], error["entityId"]) == ("PRICE_PLAN", plan_id)
    assert "has two cards" in error["errorMessage"]


def test_a_draft_is_finalized_once(client: Caller, plan_id: str, meter_id: str) -> None:
    """In every currency that it supports; then accounts can be billed by it."""
    active(client, plan_id, meter_id)
    assert version_of(client, plan_id, "ACTIVE") == version_of(client, plan_id, "LATEST") == (1, "ACTIVE")
    details = client.get(f"/price_plans/{plan_id}")["pricingSchedule"][0]["pricePlanDetails"]
    assert details["activeCurrencies"] == ["USD"]
    assert finalize(client, plan_id, status=400)["code"] == "NO_DRAFT"
    attached = {"pricePlanId": plan_id, "effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}
    client.post("/accounts/c1/price_plans", attached, status=200)


# ---- drafts of active plans --------------------------------------------------------------------------------------


def test_changing_an_active_plan_begins_a_draft_beside_it(client: Caller, plan_id: str, meter_id: str) -> None:
    """The first door, and accounts, see the active version until the draft is finalized."""
    active(client, plan_id, meter_id)
    change(client, plan_id, create("floor", commitment(500)))
    client.send("PATCH", f"/v2/price_plans/{plan_id}", 200, json={"pricingCycleConfig": {**CYCLE, "gracePeriod": 5}})
    assert version_of(client, plan_id, "LATEST") == (2, "DRAFT")
    assert version_of(client, plan_id, "ACTIVE") == version_of(client, plan_id, "1") == (1, "ACTIVE")
    seen = client.get(f"/price_plans/{plan_id}")
    assert (seen["status"], seen["pricingSchedule"][0]["version"]) == ("ACTIVE", 1)
    assert [each["version"] for each in client.get("/price_plans")["data"]] == [1]
    [listed] = client.get("/v2/price_plans")["data"]
    assert (listed["version"], listed["pricingCycleConfig"]["gracePeriod"]) == (2, 5)
    assert [each["version"] for each in client.get(f"/v2/price_plans/{plan_id}/versions")["data"]] == [2, 1]
    refused = client.send("PATCH", f"/price_plans/{plan_id}", 400, json={"pricePlanDetails": {}, "description": "x"})
    assert refused["code"] == "PRICE_PLAN_DRAFTED"
    finalize(client, plan_id)
    assert version_of(client, plan_id, "ACTIVE") == (2, "ACTIVE")
    assert client.get(f"/price_plans/{plan_id}")["pricingSchedule"][0]["version"] == 2


def test_accounts_are_moved_when_a_draft_is_finalized(client: Caller, plan_id: str, meter_id: str) -> None:
    """Contract 3.6: IMMEDIATE is the next day; for plans that allow updates of the ongoing cycle it is today."""
    today = datetime.now(UTC).date()
    free_id = client.post("/v2/price_plans", {**SHELL, "name": "Free", "allowOngoingCycleUpdates": True})["id"]
    for each, first_day in ((plan_id, today + timedelta(days=1)), (free_id, today)):
        active(client, each, meter_id)
        start = str(today - timedelta(days=40))
        attached = {"pricePlanId": each, "effectiveFrom": start, "effectiveUntil": "9999-01-01"}
        client.post("/accounts/c1/price_plans", attached, status=200)
        change(client, each, create("floor", commitment(500)))
        finalize(client, each, migrationMode="IMMEDIATE", versionsToMigrate="ALL_VERSION")
        schedules = client.get("/accounts/c1/pricing_schedules")["data"]
        assert [(each["startDate"][:10], each["version"]) for each in schedules] == [(start, 1), (str(first_day), 2)]


def test_a_discarded_draft_leaves_the_active_version(client: Caller, plan_id: str, meter_id: str) -> None:
    """A plan that never was active is gone with it, and its name is free."""
    active(client, plan_id, meter_id)
    change(client, plan_id, {"actionType": "DELETE", "rateCardName": "calls"})
    for _ in range(2):
        assert client.send("DELETE", f"/v2/price_plans/{plan_id}/discard", 200) == {"success": True}
    assert version_of(client, plan_id, "LATEST") == (1, "ACTIVE")
    assert names(client, plan_id) == ["calls"]
    never = client.post("/v2/price_plans", {**SHELL, "name": "Never"})["id"]
    client.send("DELETE", f"/v2/price_plans/{never}/discard", 200)
    client.get(f"/price_plans/{never}", status=404)
    client.send("DELETE", f"/v2/price_plans/{never}/discard", 404)
    client.post("/v2/price_plans", {**SHELL, "name": "Never"}, status=200)


def test_a_description_alone_begins_no_draft(client: Caller, plan_id: str, meter_id: str) -> None:
    active(client, plan_id, meter_id)
    changed = client.send("PATCH", f"/v2/price_plans/{plan_id}", 200, json={"description": "words"})
    assert (changed["description"], changed["version"], changed["status"]) == ("words", 1, "ACTIVE")


def test_an_active_currency_stays_in_a_draft(client: Caller, plan_id: str, meter_id: str) -> None:
    """Contract 3.6; also one that was activated by the first door after the draft was begun."""
    client.send("PATCH", f"/v2/price_plans/{plan_id}", 200, json={"supportedCurrencies": ["USD", "EUR"]})
    change(client, plan_id, create("calls", usage_card(meter_id, currencies=("USD", "EUR"))))
    client.post(f"/price_plans/{plan_id}/activate", {"currencies": ["USD"]}, status=200)
    dropped = client.send("PATCH", f"/v2/price_plans/{plan_id}", 400, json={"supportedCurrencies": ["EUR"]})
    assert "USD is active" in dropped["message"]
    client.send("PATCH", f"/v2/price_plans/{plan_id}", 200, json={"supportedCurrencies": ["USD"]})
    update = {"actionType": "UPDATE", "rateCardName": "calls", "rateCard": usage_card(meter_id)}
    change(client, plan_id, update)
    client.post(f"/price_plans/{plan_id}/activate", {"currencies": ["EUR"]}, status=200)
    assert "EUR is active" in finalize(client, plan_id, status=400)["message"]


def test_an_archived_plan_is_not_shown_here(client: Caller, plan_id: str, meter_id: str) -> None:
    """The interface has no status for it; a draft goes with it."""
    active(client, plan_id, meter_id)
    change(client, plan_id, create("floor", commitment(500)))
    client.send("DELETE", f"/price_plans/{plan_id}", 200)
    assert client.get("/v2/price_plans")["data"] == []
    for path in ("", "/versions", "/rate_cards", "/errors"):
        assert client.get(f"/v2/price_plans/{plan_id}{path}", status=400)["code"] == "PRICE_PLAN_ARCHIVED"
    assert change(client, plan_id, create("x", commitment(1)), status=400)["code"] == "PRICE_PLAN_ARCHIVED"
    assert client.get(f"/price_plans/{plan_id}")["status"] == "ARCHIVED"


def test_versions_are_named_in_one_of_three_ways(client: Caller, plan_id: str) -> None:
    for version in ("newest", "-1", "1.0", "²"):
        assert "version" in client.get(f"/v2/price_plans/{plan_id}", version=version, status=400)["message"]
    client.get(f"/v2/price_plans/{plan_id}", version="7", status=404)
    client.get(f"/v2/price_plans/{plan_id}", version="ACTIVE", status=404)


def test_organisations_do_not_see_each_others_drafts(
    client: Caller, plan_id: str, meter_id: str, stranger: Caller
) -> None:
    change(client, plan_id, create("calls", usage_card(meter_id)))
    for path in ("", "/versions", "/rate_cards", "/errors"):
        stranger.get(f"/v2/price_plans/{plan_id}{path}", status=404)
    assert stranger.get("/v2/price_plans")["data"] == []
    change(stranger, plan_id, create("x", commitment(1)), status=404)
    finalize(stranger, plan_id, status=404)
    stranger.send("PATCH", f"/v2/price_plans/{plan_id}", 404, json={"description": "x"})
    stranger.send("DELETE", f"/v2/price_plans/{plan_id}/discard", 404)
    assert names(client, plan_id) == ["calls"]
