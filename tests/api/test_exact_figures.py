"""`POST /metrics` and `GET /reconciliation` on the wire: shapes, limits, refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.credential import Scope

WINDOW = {"startTime": "2024-01-15T00:00:00Z", "endTime": "2024-01-17T00:00:00Z"}


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path)
    yield made
    made.close()


@pytest.fixture
def caller(embedded: Embedded) -> Iterator[Caller]:
    """Account `a1` with a plan by calendar month, 0.1 USD a kilometre, and three rides in January 2024."""
    with embedded.caller() as client:
        made = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        samples.active_meter(made)
        made.post("/customers", samples.customer())
        made.post("/accounts", samples.account())
        embedded.send(
            event("e1", attributes=distance("12345678901234567890.123456789")),
            event("e2", timestamp="2024-01-16T23:59:59Z", attributes=distance(1)),
            event("e3", timestamp="2024-02-01T00:00:00Z", attributes=distance(10)),
        )
        embedded.meter()
        window = {"effectiveFrom": "2024-01-01", "effectiveUntil": "2024-03-01"}
        plan = {"mode": "ASSOCIATE", "pricePlanId": samples.active_plan(made), **window}
        made.post("/accounts/a1/price_plans", plan)
        yield made


def asked(*queries: dict[str, Any], **changes: Any) -> dict[str, Any]:
    whole = [{"id": f"q{number}", "aggregationPeriod": "DAY", **each} for number, each in enumerate(queries)]
    return {**WINDOW, "metricQueries": whole, **changes}


def data(caller: Caller, query: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    [result] = caller.post("/metrics", asked(query, **changes))["results"]
    assert result["id"] == "q0"
    assert result["name"] == query["name"]
    found: list[dict[str, Any]] = result["data"]
    return found


def test_values_are_exact_numbers(caller: Caller) -> None:
    """A JSON number with all its digits; buckets without usage are 0."""
    headers = {"Authorization": f"Bearer {caller.key}"}
    body = asked({"name": "METER_USAGE"})
    text = caller.client.post("/metrics", headers=headers, json=body).text
    assert '"metricValues":[12345678901234567890.123456789,1]' in text
    assert '"timestamps":["2024-01-15T00:00:00Z","2024-01-16T00:00:00Z"]' in text
    assert data(caller, {"name": "EVENTS"}, endTime="2024-01-18T00:00:00Z")[0]["metricValues"] == [1, 1, 0]


def test_figures_of_cycles(caller: Caller) -> None:
    """January's usage and price stand at 1 January, whatever the window cuts off; February's begins later."""
    window = {"startTime": "2024-01-01T00:00:00Z", "endTime": "2024-02-01T00:00:00Z"}
    embedded_sum = 12345678901234567891.123456789
    [usage] = data(caller, {"name": "USAGE_FOR_CYCLE"}, **window)
    assert usage == {"timestamps": ["2024-01-01T00:00:00Z"], "metricValues": [embedded_sum]}
    [revenue] = data(caller, {"name": "REVENUE_FOR_CYCLE", "groupBy": "BILLABLE_ID"}, **window)
    meter_id = caller.get("/usage_meters")["data"][0]["id"]
    assert revenue["groupedBy"] == {"fieldName": "BILLABLE_ID", "fieldValue": meter_id}
    assert revenue["metricValues"] == [embedded_sum / 10]
    both = {"startTime": "2024-01-15T00:00:00Z", "endTime": "2024-03-01T00:00:00Z"}
    assert data(caller, {"name": "USAGE_FOR_CYCLE", "filters": [filtered("ACCOUNT_ID", "a1")]}, **both) == [
        {"timestamps": ["2024-02-01T00:00:00Z"], "metricValues": [10]}
    ]


def filtered(name: str, *values: str) -> dict[str, Any]:
    return {"fieldName": name, "fieldValues": list(values)}


def test_filters_and_groups(caller: Caller) -> None:
    """By account, customer, meter (id or name) and organisation; what does not match is zero."""
    for filters, expected in (
        ([filtered("ACCOUNT_ID", "a1", "a9")], 1),
        ([filtered("CUSTOMER_ID", "c1")], 1),
        ([filtered("CUSTOMER_ID", "c9")], 0),
        ([filtered("USAGE_METER_ID", "kilometres")], 1),
        ([filtered("ORGANIZATION_ID", ORGANISATION), filtered("BILLABLE_ID", "no such meter")], 0),
    ):
        [series] = data(caller, {"name": "USAGE", "filters": filters})
        assert series["metricValues"][1] == expected, filters
    by_customer = data(caller, {"name": "USAGE", "groupBy": "CUSTOMER_ID"})
    assert [each["groupedBy"]["fieldValue"] for each in by_customer] == ["c1"]


def test_several_queries_are_answered_in_order(caller: Caller) -> None:
    """Five at once, each under the id it was asked by."""
    names = ["EVENTS", "USAGE", "REVENUE", "USAGE_FOR_CYCLE", "REVENUE_FOR_CYCLE"]
    results = caller.post("/metrics", asked(*({"name": name} for name in names)))["results"]
    assert [(each["id"], each["name"]) for each in results] == [(f"q{n}", name) for n, name in enumerate(names)]


USAGE = {"name": "USAGE"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (asked(), "metricQueries"),
        (asked(*[USAGE] * 6), "metricQueries"),
        (asked(USAGE, {"name": "NAMED_LICENSE_USAGE"}), "metricQueries[1]: name: NAMED_LICENSE_USAGE"),
        (asked({"name": "COLOUR"}), "metricQueries[0].name"),
        (asked(USAGE, {**USAGE, "filters": [filtered("ACCOUNT_ID", "a")] * 2}), "metricQueries[1]: filters: one field"),
        (asked({**USAGE, "filters": [filtered("ACCOUNT_ID")]}), "fieldValues"),
        (asked({**USAGE, "filters": [filtered("ACCOUNT_ID", *["a"] * 101)]}), "fieldValues"),
        (asked({**USAGE, "filters": [filtered("ACCOUNT_ID", "a" * 513)]}), "fieldValues"),
        (asked({**USAGE, "filters": [filtered("COLOUR", "red")]}), "fieldName"),
        (asked({**USAGE, "configs": {"CURRENCY": "EUR"}}), "CURRENCY"),
        (asked({**USAGE, "aggregationPeriod": "YEAR"}), "aggregationPeriod"),
        (asked({**USAGE, "limit": 5}), "limit"),
        (asked(USAGE, endTime="2024-01-15T00:00:00Z"), "endTime"),
        (asked(USAGE, startTime="0001-01-01T00:00:00+23:00"), "startTime"),
        (asked(USAGE, endTime="9999-12-31T23:59:59-23:00"), "endTime"),
        (asked({**USAGE, "aggregationPeriod": "HOUR"}, endTime="2024-01-27T13:00:00Z"), "300 points"),
    ],
)
def test_what_cannot_be_answered_says_why(caller: Caller, body: dict[str, Any], message: str) -> None:
    """400, naming the query and what to change."""
    assert message in caller.post("/metrics", body, status=400)["message"]


def test_another_organisation_sees_nothing(caller: Caller) -> None:
    """Not by naming its accounts, nor by naming the organisation."""
    stranger = caller.of("umbrella")
    query = {"name": "USAGE", "filters": [filtered("ACCOUNT_ID", "a1")]}
    assert data(stranger, query)[0]["metricValues"] == [0, 0]
    body = asked({"name": "USAGE", "filters": [filtered("ORGANIZATION_ID", ORGANISATION)]})
    assert "ORGANIZATION_ID" in stranger.post("/metrics", body, status=400)["message"]


# ---- reconciliation ----------------------------------------------------------------------------------------------


def test_balance_of_the_last_hours(caller: Caller, embedded: Embedded) -> None:
    """Without parameters: the last 24 hours. Three are metered, one waits, and a fifth has no account."""
    embedded.send(event("e4", accountId="nobody"))
    embedded.meter()
    embedded.send(event("e5"))
    found = caller.get("/reconciliation")
    expected = {
        "accepted": 5,
        "metered": 3,
        "notMetered": 0,
        "failed": 1,
        "reverted": 0,
        "inProgress": 1,
        "unexplained": 0,
        "byStatus": {
            "INGESTION_COMPLETED_EVENT_METERED": 3,
            "INGESTION_FAILED_ACCOUNT_NOT_FOUND": 1,
            "INGESTION_IN_PROGRESS": 1,
        },
    }
    assert found["total"] == expected
    assert sum(line["accepted"] for line in found["data"]) == 5
    assert found["settledBefore"] <= found["data"][-1]["receivedFrom"]
    assert not {"accountId", "schemaName"} & found["data"][0].keys()


def test_balance_by_account_and_schema(caller: Caller) -> None:
    """Each line names what it is of; a filter leaves the others out."""
    found = caller.get("/reconciliation", groupBy="ACCOUNT_AND_SCHEMA")
    assert {(line["accountId"], line["schemaName"]) for line in found["data"]} == {("a1", "rides")}
    assert caller.get("/reconciliation", account_id="a2")["data"] == []
    assert caller.get("/reconciliation", schema_name="rides")["total"]["accepted"] == 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"startTime": "2024-01-01T00:00:00Z", "endTime": "2024-02-01T01:00:00Z"}, "endTime"),
        ({"startTime": "2024-01-02T00:00:00Z", "endTime": "2024-01-01T00:00:00Z"}, "endTime"),
        ({"startTime": "yesterday"}, "startTime"),
        ({"endTime": "9999-12-31T23:59:59-23:00"}, "endTime"),
        ({"groupBy": "COLOUR"}, "groupBy"),
        ({"hours": "5"}, "hours"),
    ],
)
def test_reconciliation_refuses_what_it_cannot_answer(caller: Caller, parameters: dict[str, str], message: str) -> None:
    """400 for windows that are too long, empty or no times, and for unknown parameters and values."""
    assert message in caller.get("/reconciliation", status=400, **parameters)["message"]


def test_reconciliation_of_another_organisation_is_empty(caller: Caller) -> None:
    """Its own events only."""
    assert caller.of("umbrella").get("/reconciliation")["total"]["accepted"] == 0
