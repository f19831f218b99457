"""The revenue calculator over HTTP: every mode of a question, and the words in which the answer is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.credential import Scope

NOTHING_HELD = {"mode": "CUSTOM", "custom": []}
TIERS = {
    "ratePlan": {
        "pricingModel": "TIERED",
        "slabs": [
            {"order": 1, "startAfter": 0, "priceType": "PER_UNIT"},
            {"order": 2, "startAfter": 100, "priceType": "PER_UNIT"},
        ],
    },
    "rateValues": [{"currency": "USD", "slabRates": [{"order": 1, "rate": 2}, {"order": 2, "rate": 1}]}],
}


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path)
    yield made
    made.close()


@pytest.fixture
def caller(embedded: Embedded) -> Iterator[Caller]:
    """Account `a1` under a plan by calendar month from 10 January 2024 on, 0.1 USD a kilometre, with four rides."""
    with embedded.caller() as client:
        made = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        samples.active_meter(made)
        made.post("/customers", samples.customer())
        made.post("/accounts", samples.account())
        embedded.send(
            event("e1", timestamp="2024-01-12T10:20:00Z", attributes=distance(100)),
            event("e2", timestamp="2024-01-20T23:59:59Z", attributes=distance("0.5")),
            event("e3", timestamp="2024-01-31T23:59:59Z", attributes=distance(7)),
            event("e4", timestamp="2024-02-01T00:00:00Z", attributes=distance(1000)),
        )
        embedded.meter()
        plan = {"mode": "ASSOCIATE", "pricePlanId": samples.active_plan(made), "effectiveFrom": "2024-01-10"}
        made.post("/accounts/a1/price_plans", {**plan, "effectiveUntil": "9999-01-01"})
        yield made


@pytest.fixture
def meter_id(caller: Caller) -> str:
    found: str = caller.get("/usage_meters")["data"][0]["id"]
    return found


@pytest.fixture
def seat_id(caller: Caller) -> str:
    created: str = caller.post("/addons", {"name": "Seat", "type": "LICENSE"}, status=200)["id"]
    return created


def inline(meter_id: str, **details: Any) -> dict[str, Any]:
    """A plan in dollars with two tiers for the meter, 2 up to 100 and 1 above."""
    cards = {"supportedCurrencies": ["USD"], "usageRateCards": [{"usageMeterId": meter_id, **TIERS}]}
    return {"mode": "CUSTOM", "pricePlanDetails": {**cards, **details}}


def question(plan: dict[str, Any], usage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "currencyConfig": {"mode": "CUSTOM", "currency": "USD"},
        "pricePlanDetailsConfig": plan,
        "usageConfig": usage or {"mode": "CUSTOM", "usageMap": {}},
        "licenseEntriesConfig": NOTHING_HELD,
        **more,
    }


def licence(seat_id: str, **changes: Any) -> dict[str, Any]:
    """Seats at 30 dollars, prorated."""
    return {
        "id": seat_id,
        "enableProration": True,
        "ratePlan": {"pricingModel": "TIERED", "slabs": [{"order": 1, "startAfter": 0, "priceType": "PER_UNIT"}]},
        "rateValues": [{"currency": "USD", "slabRates": [{"order": 1, "rate": 30}]}],
        **changes,
    }


def looked_up_cycle(day: str, account_id: str = "a1") -> dict[str, Any]:
    return {"mode": "LOOKUP_CYCLE", "lookupCycle": {"accountId": account_id, "cycleEffectiveOn": f"{day}T00:00:00Z"}}


def looked_up_range(start: str, end: str, account_id: str = "a1") -> dict[str, Any]:
    return {"mode": "LOOKUP_RANGE", "lookupRange": {"accountId": account_id, "start": start, "end": end}}


# ---- plan and usage ----------------------------------------------------------------------------------------------


def test_a_plan_and_usage_that_are_given(caller: Caller, meter_id: str) -> None:
    """§3.6 [S]: 150 units in tiers of 2 up to 100 and 1 above are 250; nothing needs an account."""
    answer = caller.post(
        "/revenue_calculator", question(inline(meter_id), {"mode": "CUSTOM", "usageMap": {meter_id: 150}})
    )
    [info] = answer.pop("revenueInfo")
    assert info["usages"] == {meter_id: 150}
    assert info["usageRateCard"]["usageMeterId"] == meter_id
    assert info["slabRevenueSummaries"] == [
        {"order": 1, "usage": 100, "revenue": 200},
        {"order": 2, "usage": 50, "revenue": 50},
    ]
    assert answer["currency"] == "USD"
    assert answer["pricePlanDetails"]["pricingCycleConfig"]["interval"] == "MONTHLY"
    assert set(answer) == {"currency", "pricePlanDetails"}


def test_bounds_and_packages_are_told(caller: Caller, meter_id: str) -> None:
    """The interface's sample plan: 2 units bounded to 10, and one package for the other 8."""
    card = {
        "usageMeterId": meter_id,
        "ratePlan": {
            "pricingModel": "TIERED",
            "slabs": [
                {"order": 1, "startAfter": 0, "priceType": "PER_UNIT"},
                {"order": 2, "startAfter": 2, "priceType": "PACKAGE", "slabConfig": {"packageSize": "10"}},
            ],
        },
        "rateValues": [
            {
                "currency": "USD",
                "slabRates": [
                    {"order": 1, "rate": 10, "slabRateConfig": {"minimumRate": "1", "maximumRate": "10"}},
                    {"order": 2, "rate": 20},
                ],
            }
        ],
    }
    plan = inline(meter_id, usageRateCards=[card])
    usage = {"mode": "CUSTOM", "usageMap": {meter_id: 10}}
    [info] = caller.post("/revenue_calculator", question(plan, usage))["revenueInfo"]
    assert info["slabRevenueSummaries"] == [
        {"order": 1, "usage": 2, "revenue": 10, "metadata": {"maximumRateApplied": True}},
        {"order": 2, "usage": 8, "revenue": 20, "metadata": {"packageQuantity": 1}},
    ]


def test_what_an_account_pays_for_a_cycle(caller: Caller, meter_id: str) -> None:
    """Its plan, its currency, its usage of the first cycle, which began on 10 January: 107.5 km at 0.1 are 10.75."""
    body = question(
        {"mode": "ACCOUNT", "accountId": "a1", "effectiveOn": "2024-01-15T00:00:00Z"},
        looked_up_cycle("2024-01-15"),
        currencyConfig={"mode": "ACCOUNT_INVOICE", "accountId": "a1"},
        licenseEntriesConfig=looked_up_cycle("2024-01-15"),
    )
    answer = caller.post("/revenue_calculator", body)
    assert answer["usageLookupRange"] == {"start": "2024-01-10T00:00:00Z", "end": "2024-02-01T00:00:00Z"}
    [info] = answer["revenueInfo"]
    assert info["usages"] == {meter_id: 107.5}
    assert [slab["revenue"] for slab in info["slabRevenueSummaries"]] == [10.75]


def test_usage_of_a_range_is_by_whole_hours(caller: Caller, meter_id: str) -> None:
    """From 10:30 on begins at 10:00, until 23:30 ends at midnight: 100.5 km."""
    usage = looked_up_range("2024-01-12T10:30:00Z", "2024-01-20T23:30:00Z")
    answer = caller.post("/revenue_calculator", question(inline(meter_id), usage))
    assert answer["usageLookupRange"] == {"start": "2024-01-12T10:00:00Z", "end": "2024-01-21T00:00:00Z"}
    assert answer["revenueInfo"][0]["usages"] == {meter_id: 100.5}


def test_a_draft_is_priced_by_its_cycles_number(caller: Caller, meter_id: str) -> None:
    """A fee after a free cycle is 0 in the first, which is also meant without a number, and charged in the second."""
    fee_id = caller.post("/addons", {"name": "Platform", "type": "FIXED_FEE"}, status=200)["id"]
    rates = [{"currency": currency, "rate": 49.5} for currency in ("USD", "EUR")]
    fee = {"id": fee_id, "enableProration": False, "rateValues": rates, "recurrenceConfig": {"offset": 1}}
    body = samples.plan(meter_id, "draft", details={"fixedFeeRateCards": [fee]})
    plan = {"mode": "PRICE_PLAN", "pricePlanId": caller.post("/price_plans", body)["id"]}
    revenues = []
    for ordinal in ({}, {"pricingCycleOrdinal": 1}, {"pricingCycleOrdinal": 2}):
        info = caller.post("/revenue_calculator", question({**plan, **ordinal}))["revenueInfo"]
        assert [sorted(each) for each in info] == [
            ["slabRevenueSummaries", "usageRateCard", "usages"],
            ["fixedFeeRateCard", "fixedFeeRevenueSummary", "usages"],
        ]
        assert info[1]["usages"] == {}
        revenues.append(info[1]["fixedFeeRevenueSummary"]["revenue"])
    assert revenues == [0, 0, 49.5]


# ---- licences and days -------------------------------------------------------------------------------------------


def test_licences_that_are_given_count_whole_without_proration(caller: Caller, meter_id: str, seat_id: str) -> None:
    """10 seats, then 12, at 30 each, for all of an unnamed cycle: the most that is held, 360."""
    held = [
        {"licenseId": seat_id, "quantity": 12, "effectiveFrom": "2024-04-16T00:00:00Z"},
        {"licenseId": seat_id, "quantity": 10, "effectiveFrom": "2024-04-01T00:00:00Z"},
    ]
    plan = inline(meter_id, usageRateCards=[], licenseRateCards=[licence(seat_id)])
    body = question(plan, licenseEntriesConfig={"mode": "CUSTOM", "custom": held})
    [info] = caller.post("/revenue_calculator", body)["revenueInfo"]
    assert info["usages"] == {seat_id: 12}
    assert info["licenseRevenueSummary"] == [{"order": 1, "usage": 12, "revenue": 360}]


def test_days_that_are_given_prorate(caller: Caller, meter_id: str, seat_id: str) -> None:
    """§3.6 [D]: a fee of 90, from day 11 of 30 on, is 60; 10 seats at 30 from then, 12 from the 21st, are 220."""
    fee_id = caller.post("/addons", {"name": "Platform", "type": "FIXED_FEE"}, status=200)["id"]
    fee = {"id": fee_id, "enableProration": True, "rateValues": [{"currency": "USD", "rate": 90}]}
    plan = inline(meter_id, usageRateCards=[], fixedFeeRateCards=[fee], licenseRateCards=[licence(seat_id)])
    held = [
        {"licenseId": seat_id, "quantity": 10, "effectiveFrom": "2024-03-01T00:00:00Z"},
        {"licenseId": seat_id, "quantity": 12, "effectiveFrom": "2024-04-21T00:00:00Z"},
    ]
    days = {
        "cycleStartDate": "2024-04-01T00:00:00Z",
        "cycleEndDate": "2024-05-01T00:00:00Z",
        "currentDate": "2024-04-11T12:00:00Z",
    }
    body = question(
        plan,
        licenseEntriesConfig={"mode": "CUSTOM", "custom": held},
        prorationConfig={"mode": "CUSTOM", "customConfig": days},
    )
    fee_info, seats = caller.post("/revenue_calculator", body)["revenueInfo"]
    assert fee_info["fixedFeeRevenueSummary"] == {"revenue": 60}
    assert seats["licenseRevenueSummary"] == [{"order": 1, "usage": 12, "revenue": 220}]


def test_licences_and_days_of_an_account(caller: Caller, meter_id: str, seat_id: str) -> None:
    """`a1` holds 10 seats from 10 January, 12 from the 22nd: 12 × 30 whole; by days from 17 January, 15 of 31, less.

    5 days of 10 seats and 10 days of 12 seats, at 30 for 31 days: 30 × (50 + 120) ÷ 31.
    """
    for quantity, day in ((10, "2024-01-10"), (12, "2024-01-22")):
        update = {"licenseId": seat_id, "accountId": "a1", "updateType": "ABSOLUTE", "quantity": quantity}
        caller.post("/license_updates", {**update, "effectiveFrom": f"{day}T00:00:00Z"})
    plan = inline(meter_id, usageRateCards=[], licenseRateCards=[licence(seat_id)])
    for lookup in (looked_up_cycle("2024-01-15"), looked_up_range("2024-01-10T00:00:00Z", "2024-02-01T00:00:00Z")):
        whole = question(plan, licenseEntriesConfig=lookup)
        [info] = caller.post("/revenue_calculator", whole)["revenueInfo"]
        assert info["licenseRevenueSummary"] == [{"order": 1, "usage": 12, "revenue": 360}]
        days = {
            "accountId": "a1",
            "cycleEffectiveOn": "2024-01-15T00:00:00Z",
            "currentDateTime": "2024-01-17T00:00:00Z",
        }
        by_days = {**whole, "prorationConfig": {"mode": "LOOKUP_CYCLE", "lookupCycleConfig": days}}
        [info] = caller.post("/revenue_calculator", by_days)["revenueInfo"]
        assert info["licenseRevenueSummary"][0]["revenue"] == pytest.approx(5100 / 31)


# ---- the second version, the older generation --------------------------------------------------------------------


def test_the_second_version_shows_cards_in_its_shape(caller: Caller, meter_id: str) -> None:
    """The same figures, each card with where it belongs."""
    usage = {"mode": "CUSTOM", "usageMap": {meter_id: 150}}
    answer = caller.post("/v2/revenue_calculator", question(inline(meter_id), usage))
    assert set(answer) == {"currency", "revenueInfo"}
    [info] = answer["revenueInfo"]
    assert info["usages"] == {meter_id: 150}
    assert [slab["revenue"] for slab in info["slabRevenueSummaries"]] == [200, 50]
    card = info["rateCard"]
    assert (card["type"], card["billableId"], card["invoiceTiming"]) == ("USAGE", meter_id, "IN_ARREARS")
    assert (card["referenceType"], card["currencies"]) == ("PRICE_PLAN", ["USD"])
    assert card["rateCardDetails"]["usageRateCard"]["usageMeterId"] == meter_id
    of_account = {"mode": "ACCOUNT", "accountId": "a1", "effectiveOn": "2024-01-15T00:00:00Z"}
    [info] = caller.post("/v2/revenue_calculator", question(of_account))["revenueInfo"]
    assert (info["rateCard"]["referenceType"], info["rateCard"]["accountId"]) == ("SCHEDULE", "a1")


def test_the_older_generation_asks_for_no_licences(caller: Caller, meter_id: str) -> None:
    """2023-05 has three parts of a question, and no proration of fees."""
    body = question(inline(meter_id), {"mode": "CUSTOM", "usageMap": {meter_id: 150}})
    del body["licenseEntriesConfig"]
    assert "licenseEntriesConfig" in caller.post("/revenue_calculator", body, status=400)["message"]
    answer = caller.send(
        "POST", "/revenue_calculator", 200, json=body, headers={"X-Tallybook-Profile": "togai-2023-05"}
    )
    assert set(answer) == {"currency", "pricePlanDetails", "revenueInfo"}
    assert set(answer["pricePlanDetails"]["pricingCycleConfig"]) == {"interval", "startOffset", "gracePeriod"}
    [info] = answer["revenueInfo"]
    assert [slab["revenue"] for slab in info["slabRevenueSummaries"]] == [200, 50]
    assert info["usageRateCard"]["displayName"] == f"usage.{meter_id}"


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"currencyConfig": {"mode": "CUSTOM"}}, 400, "currencyConfig.currency: needed"),
        ({"currencyConfig": {"mode": "CUSTOM", "currency": "XYZ"}}, 400, "is not an ISO 4217"),
        ({"currencyConfig": {"mode": "CUSTOM", "currency": "JPY"}}, 400, "no rates in JPY"),
        ({"currencyConfig": {"mode": "ACCOUNT_INVOICE"}}, 400, "currencyConfig.accountId: needed"),
        ({"currencyConfig": {"mode": "ACCOUNT_INVOICE", "accountId": "nobody"}}, 404, "no account 'nobody'"),
        ({"pricePlanDetailsConfig": {"mode": "CUSTOM"}}, 400, "pricePlanDetails: needed"),
        ({"pricePlanDetailsConfig": {"mode": "PRICE_PLAN"}}, 400, "pricePlanId: needed"),
        ({"pricePlanDetailsConfig": {"mode": "PRICE_PLAN", "pricePlanId": "pp.none"}}, 404, "no price plan"),
        ({"pricePlanDetailsConfig": {"mode": "ACCOUNT"}}, 400, "accountId: needed"),
        (
            {"pricePlanDetailsConfig": {"mode": "ACCOUNT", "accountId": "a1", "effectiveOn": "2024-01-09T23:00:00Z"}},
            400,
            "no price plan bills account 'a1' on 2024-01-09",
        ),
        ({"usageConfig": {"mode": "CUSTOM"}}, 400, "usageMap: needed"),
        ({"usageConfig": {"mode": "CUSTOM", "usageMap": {"um.none": 1}}}, 400, "no usage meter 'um.none'"),
        ({"usageConfig": {"mode": "LOOKUP_RANGE"}}, 400, "lookupRange: needed"),
        ({"usageConfig": looked_up_range("2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z")}, 400, "before the end"),
        ({"usageConfig": looked_up_range("2024-01-01T00:00:00Z", "2025-01-01T01:00:00Z")}, 400, "at most 366 days"),
        ({"usageConfig": looked_up_range("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "nobody")}, 404, "nobody"),
        ({"usageConfig": looked_up_cycle("2023-01-01")}, 400, "no price plan bills"),
        ({"licenseEntriesConfig": {"mode": "LOOKUP_CYCLE"}}, 400, "licenseEntriesConfig.lookupCycle: needed"),
        (
            {
                "licenseEntriesConfig": {
                    "mode": "CUSTOM",
                    "custom": [{"licenseId": "addon.none", "quantity": 1, "effectiveFrom": "2024-01-01T00:00:00Z"}],
                }
            },
            400,
            "no add-on 'addon.none' of type LICENSE",
        ),
        (
            {
                "prorationConfig": {
                    "mode": "CUSTOM",
                    "customConfig": {
                        "cycleStartDate": "2024-01-01T00:00:00Z",
                        "cycleEndDate": "2024-02-01T00:00:00Z",
                        "currentDate": "2024-02-01T00:00:00Z",
                    },
                }
            },
            400,
            "must be in the cycle",
        ),
        (
            {"entitlementOverageConfig": {"mode": "CUSTOM", "custom": [{"featureId": "f", "quantity": 1}]}},
            400,
            "entitlements are not supported",
        ),
        ({"colour": "red"}, 400, "unknown field `colour`"),
    ],
)
def test_questions_without_an_answer(
    caller: Caller, meter_id: str, changes: dict[str, Any], status: int, message: str
) -> None:
    """Every refusal names the field and what to do."""
    body = (
        question(inline(meter_id), **changes)
        if "usageConfig" not in changes
        else {**question(inline(meter_id)), **changes}
    )
    assert message in caller.post("/revenue_calculator", body, status=status)["message"]


def test_cycles_are_counted_from_one(caller: Caller, meter_id: str) -> None:
    """Neither 0 nor a number beyond all cycles."""
    for ordinal in (0, -1, 10_001):
        body = question({**inline(meter_id), "pricingCycleOrdinal": ordinal})
        assert "pricingCycleOrdinal" in caller.post("/revenue_calculator", body, status=400)["message"]


def test_a_plan_that_could_not_be_saved_is_refused(caller: Caller) -> None:
    """A given plan is checked as a stored one would be."""
    body = question(inline("um.none"))
    assert caller.post("/revenue_calculator", body, status=400)["code"] == "UNKNOWN_USAGE_METER"


def test_nothing_of_another_organisation_is_seen(caller: Caller, meter_id: str) -> None:
    """Neither its accounts, nor its plans, nor its meters."""
    plan_id = caller.get("/price_plans")["data"][0]["id"]
    other = caller.of("umbrella")
    samples.active_meter(other)
    their_meter = other.get("/usage_meters")["data"][0]["id"]
    assert other.post("/revenue_calculator", question(inline(meter_id)), status=400)["code"] == "UNKNOWN_USAGE_METER"
    theirs = inline(their_meter)
    other.post("/revenue_calculator", question({"mode": "PRICE_PLAN", "pricePlanId": plan_id}), status=404)
    other.post("/revenue_calculator", question({"mode": "ACCOUNT", "accountId": "a1"}), status=404)
    other.post("/revenue_calculator", question(theirs, looked_up_cycle("2024-01-15")), status=404)
    other.post("/revenue_calculator", question(theirs, licenseEntriesConfig=looked_up_cycle("2024-01-15")), status=404)
    usage = {"mode": "CUSTOM", "usageMap": {meter_id: 1}}
    assert other.post("/revenue_calculator", question(theirs, usage), status=400)["code"] == "UNKNOWN_USAGE_METER"


def test_a_key_that_may_read_is_enough(caller: Caller, meter_id: str) -> None:
    """Nothing is written, so nothing more is needed."""
    caller.of(ORGANISATION, Scope.READ).post("/revenue_calculator", question(inline(meter_id)), status=200)
    caller.of(ORGANISATION, Scope.INGEST).post("/revenue_calculator", question(inline(meter_id)), status=403)
