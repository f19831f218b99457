"""`POST /simulations` over HTTP: the shape of question and answer, pages, refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.credential import Scope

YEAR = {"startDate": "2024-01-01", "endDate": "2025-01-01"}


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path)
    yield made
    made.close()


@pytest.fixture
def caller(embedded: Embedded) -> Iterator[Caller]:
    """Accounts `a1` to `a3` under a plan of 0.1 USD a kilometre; by a1 1000 km in January 2024, 20.5 in February."""
    with embedded.caller() as client:
        made = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        samples.active_meter(made)
        made.post("/customers", samples.customer())
        for account_id in ("a1", "a2", "a3"):
            made.post("/accounts", samples.account(account_id))
        embedded.send(  # before there is a plan whose grace is over
            event("e1", timestamp="2024-01-31T23:59:59Z", attributes=distance(1000)),
            event("e2", timestamp="2024-02-01T00:00:00Z", attributes=distance("20.5")),
        )
        embedded.meter()
        plan = {"mode": "ASSOCIATE", "pricePlanId": samples.active_plan(made), "effectiveFrom": "2024-01-01"}
        for account_id in ("a1", "a2", "a3"):
            made.post(f"/accounts/{account_id}/price_plans", {**plan, "effectiveUntil": "2024-04-01"})
        yield made


@pytest.fixture
def inline(caller: Caller) -> dict[str, Any]:
    """0.05 USD a kilometre, at least 7 USD a month."""
    meter_id = caller.get("/usage_meters")["data"][0]["id"]
    details = samples.plan(meter_id)["pricePlanDetails"]
    [card] = details["usageRateCards"]
    rates = [{"currency": "USD", "slabRates": [{"order": 1, "rate": 0.05}]}]
    commitment = {"displayName": "Minimum", "rateValues": [{"currency": "USD", "rate": 7}]}
    return {
        **details,
        "supportedCurrencies": ["USD"],
        "usageRateCards": [{**card, "rateValues": rates}],
        "minimumCommitment": commitment,
    }


def test_a_given_plan_against_all_accounts(caller: Caller, inline: dict[str, Any]) -> None:
    """a1: 100 + 2.05 against 50 + 7 + 7; the others nothing against three times 7."""
    answer = caller.post("/simulations", {"pricePlanDetails": inline, **YEAR}, status=200)
    assert answer["data"] == [
        {
            "accountId": "a1",
            "currency": "USD",
            "oldAmount": 102.05,
            "newAmount": 64,
            "difference": -38.05,
            "oldCycles": 3,
            "newCycles": 3,
        },
        *(
            {
                "accountId": account_id,
                "currency": "USD",
                "oldAmount": 0,
                "newAmount": 21,
                "difference": 21,
                "oldCycles": 3,
                "newCycles": 3,
            }
            for account_id in ("a2", "a3")
        ),
    ]
    assert answer["totals"] == [
        {"currency": "USD", "accounts": 3, "oldAmount": 102.05, "newAmount": 106, "difference": 3.95}
    ]
    assert answer["refused"] == []
    assert "nextToken" not in answer
    assert answer["pricePlanDetails"]["minimumCommitment"]["rateValues"][0]["rate"] == 7


def test_a_stored_plan_by_its_version(caller: Caller) -> None:
    """The account's own plan makes no difference; a version that is not there is 404."""
    plan_id = caller.get("/price_plans")["data"][0]["id"]
    body = {"pricePlanId": plan_id, "version": 1, "accountIds": ["a1"], **YEAR}
    [found] = caller.post("/simulations", body)["data"]
    assert (found["oldAmount"], found["difference"]) == (102.05, 0)
    caller.post("/simulations", {**body, "version": 2}, status=404)


def test_rules_of_a_given_plan(caller: Caller, inline: dict[str, Any]) -> None:
    """A rule takes 10 off in each month, and the commitment holds for what is left."""
    rule = {"name": "Ten off", "order": 1, "computation": "-10", "action": {"type": "ADD"}}
    body = {"pricePlanDetails": inline, "pricingRules": [rule], "accountIds": ["a1"], **YEAR}
    [found] = caller.post("/simulations", body)["data"]
    assert found["newAmount"] == 40 + 7 + 7


def test_pages_go_on_with_the_same_question(caller: Caller, inline: dict[str, Any]) -> None:
    """Totals are those of the page; a token does not fit another question."""
    body = {"pricePlanDetails": inline, **YEAR}
    first = caller.post("/simulations", {**body, "pageSize": 2})
    assert [each["accountId"] for each in first["data"]] == ["a1", "a2"]
    assert first["totals"][0]["accounts"] == 2
    second = caller.post("/simulations", {**body, "nextToken": first["nextToken"]})
    assert [each["accountId"] for each in second["data"]] == ["a3"]
    assert "nextToken" not in second
    other = {**body, "endDate": "2024-03-01", "nextToken": first["nextToken"]}
    assert caller.post("/simulations", other, status=400)["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"pricePlanId": "pp.1"}, 400, "one of the two"),
        ({"pricePlanDetails": None}, 400, "one of the two"),
        ({"version": 1}, 400, "version: only of a plan that is named"),
        ({"pricePlanDetails": None, "pricePlanId": "pp.1", "pricingRules": [{}]}, 400, "missing required field"),
        (
            {
                "pricePlanDetails": None,
                "pricePlanId": "pp.1",
                "pricingRules": [{"name": "r", "order": 1, "computation": "1", "action": {"type": "ADD"}}],
            },
            400,
            "pricingRules: only of a plan that is given",
        ),
        ({"endDate": "2024-01-01"}, 400, "before endDate"),
        ({"endDate": "2025-01-02"}, 400, "at most 366 days"),
        ({"startDate": "yesterday"}, 400, "startDate"),
        ({"accountIds": []}, 400, "accountIds"),
        ({"accountIds": ["nobody"]}, 404, "no account 'nobody'"),
        ({"pageSize": 0}, 400, "pageSize"),
        ({"pageSize": 10_001}, 400, "pageSize"),
        ({"nextToken": "nonsense"}, 400, "nextToken"),
        ({"colour": "red"}, 400, "unknown field `colour`"),
    ],
)
def test_questions_without_an_answer(
    caller: Caller, inline: dict[str, Any], changes: dict[str, Any], status: int, message: str
) -> None:
    """Every refusal names the field."""
    body = {"pricePlanDetails": inline, **YEAR, **changes}
    assert message in caller.post("/simulations", body, status=status)["message"]


def test_an_account_that_cannot_be_priced_is_named(caller: Caller, inline: dict[str, Any]) -> None:
    """A plan without rates in dollars prices nobody here."""
    euros = {
        **inline,
        "supportedCurrencies": ["EUR"],
        "usageRateCards": [
            {**inline["usageRateCards"][0], "rateValues": [{"currency": "EUR", "slabRates": [{"order": 1, "rate": 1}]}]}
        ],
        "minimumCommitment": None,
    }
    answer = caller.post("/simulations", {"pricePlanDetails": euros, "accountIds": ["a1"], **YEAR})
    assert (answer["data"], answer["totals"]) == ([], [])
    [refused] = answer["refused"]
    assert refused["accountId"] == "a1"
    assert "no rates in USD" in refused["message"]


def test_nothing_of_another_organisation_is_seen(caller: Caller, inline: dict[str, Any]) -> None:
    """Neither plans, nor meters, nor accounts; a token of one is none of the other's."""
    plan_id = caller.get("/price_plans")["data"][0]["id"]
    token = caller.post("/simulations", {"pricePlanId": plan_id, "pageSize": 1, **YEAR})["nextToken"]
    other = caller.of("umbrella")
    samples.active_meter(other)
    other.post("/customers", samples.customer())
    theirs = samples.active_plan(other)
    other.post("/simulations", {"pricePlanId": plan_id, **YEAR}, status=404)
    assert other.post("/simulations", {"pricePlanDetails": inline, **YEAR}, status=400)["code"] == "UNKNOWN_USAGE_METER"
    assert other.post("/simulations", {"pricePlanId": theirs, **YEAR})["data"] == []
    other.post("/simulations", {"pricePlanId": theirs, "accountIds": ["a1"], **YEAR}, status=404)
    other.post("/simulations", {"pricePlanId": theirs, "nextToken": token, **YEAR}, status=400)


def test_a_key_that_may_read_is_enough(caller: Caller, inline: dict[str, Any]) -> None:
    """Nothing is written, so nothing more is needed."""
    body = {"pricePlanDetails": inline, **YEAR}
    caller.of(ORGANISATION, Scope.READ).post("/simulations", body, status=200)
    caller.of(ORGANISATION, Scope.INGEST).post("/simulations", body, status=403)
