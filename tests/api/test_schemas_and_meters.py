"""Event schemas and usage meters over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


def test_schema_is_a_draft_until_activated(client: Caller) -> None:
    """POST answers 201 with version 1; activating answers the same schema, and does no harm twice."""
    sent = samples.schema(description="Rides", filterFields=["city"], eventIdTemplate="{accountId}/{timestamp}")
    created = client.post("/event_schema", sent, status=201)
    assert {key: created[key] for key in sent} == sent
    assert (created["version"], created["status"]) == (1, "DRAFT")
    active = client.post("/event_schema/rides/activate", status=200)
    assert active["status"] == "ACTIVE"
    assert client.post("/event_schema/rides/activate", status=200) == active
    assert client.get("/event_schema/rides") == active
    assert client.get("/event_schema/rides", version=1) == active
    client.get("/event_schema/rides", version=2, status=404)
    assert client.get("/event_schema/rides/versions")["data"] == [active]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 51}, "name"),
        ({"name": "togai-usage"}, "name"),
        ({"attributes": [{"name": "a"}, {"name": "é"}]}, "attributes[1].name"),
        ({"attributes": [{"name": "a"}, {}]}, "attributes[1]"),
        ({"attributes": [{"name": "a"}, {"name": "a"}]}, "attributes[1]"),
        ({"attributes": [{"name": "a", "defaultUnit": "x" * 11}]}, "attributes[0].defaultUnit"),
        ({"attributes": [{"name": f"a{i}"} for i in range(51)]}, "attributes"),
        ({"dimensions": "city"}, "dimensions"),
        ({"description": "x" * 256}, "description"),
        ({"filterFields": ["nowhere"]}, "filterFields[0]"),
        ({"enrichments": {"fields": [{"name": "x"}]}}, "enrichments: not supported"),
        ({"eventIdTemplate": "fixed"}, "eventIdTemplate"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_bad_schema_is_refused_with_the_place(client: Caller, changes: dict[str, Any], place: str) -> None:
    """Every refusal names the field, and nothing is stored."""
    assert place in client.post("/event_schema", samples.schema(**changes), status=400)["message"]
    assert client.get("/event_schema")["data"] == []


def test_schema_name_is_taken_once(client: Caller) -> None:
    """A second schema by the name is refused, also while the first is a draft."""
    client.post("/event_schema", samples.schema(), status=201)
    assert client.post("/event_schema", samples.schema(), status=400)["code"] == "ALREADY_EXISTS"


def test_schema_list_counts_meters_and_takes_a_status(client: Caller) -> None:
    """A list shows the number of meters of each schema, and can be narrowed by status."""
    samples.active_meter(client)
    client.post("/event_schema", samples.schema("drafted"), status=201)
    everything = client.get("/event_schema")["data"]
    assert {each["name"]: each["usageMetersCount"] for each in everything} == {"rides": 1, "drafted": 0}
    assert [each["name"] for each in client.get("/event_schema", status=200)["data"]] == ["drafted", "rides"]
    active = client.send("GET", "/event_schema", 200, params={"status": "ACTIVE"})
    assert [each["name"] for each in active["data"]] == ["rides"]
    refused = client.send("GET", "/event_schema", 400, params={"status": "SLEEPING"})
    assert refused["message"].startswith("status: ")


def test_meter_is_a_draft_until_activated_and_needs_an_active_schema_for_it(client: Caller) -> None:
    """A draft meter may point to a draft schema; activating it waits for the schema."""
    client.post("/event_schema", samples.schema(), status=201)
    created = client.post("/usage_meters", samples.meter(billableName="Distance driven"), status=201)
    assert created["status"] == "DRAFT"
    assert created["displayName"] == "Distance driven"
    assert created["eventSchema"] == {"name": "rides", "version": 1}
    assert len(created["id"]) == 20
    path = f"/usage_meters/{created['id']}"
    refused = client.post(f"{path}/activate", status=400)
    assert refused["code"] == "EVENT_SCHEMA_NOT_ACTIVE"
    assert "activate it before the meter" in refused["message"]
    client.post("/event_schema/rides/activate", status=200)
    active = client.post(f"{path}/activate", status=200)
    assert active["status"] == "ACTIVE"
    assert client.post(f"{path}/activate", status=200) == active
    assert client.get(path) == active
    assert client.get(path, includeSchema=True)["eventSchema"] == client.get("/event_schema/rides")


def test_meter_without_billable_name_shows_its_name(client: Caller) -> None:
    """displayName is always there."""
    client.post("/event_schema", samples.schema(), status=201)
    created = client.post("/usage_meters", samples.meter(), status=201)
    assert created["displayName"] == "kilometres"
    assert "billableName" not in created


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"eventSchemaName": "nowhere"}, "eventSchemaName: no event schema 'nowhere'"),
        ({"eventSchemaName": None}, "eventSchemaName"),
        ({"type": "GAUGE"}, "type"),
        ({"aggregation": "MAX"}, "aggregation"),
        ({"computations": []}, "computations"),
        ({"computations": [{"computation": '{"nope":[1]}', "order": 1}]}, "computations[0].computation"),
        ({"computations": [{"computation": '{"var":"attributes.weight"}', "order": 1}]}, "computations[0].computation"),
        ({"computations": [{"computation": "1", "matcher": "{", "order": 1}]}, "computations[0].matcher"),
        ({"computations": [{"computation": "[" * 400, "order": 1}]}, "computations[0].computation"),
        ({"computations": [{"computation": " " * 501, "order": 1}]}, "computations[0].computation"),
        ({"computations": [{"computation": "1", "matcher": " " * 1501, "order": 1}]}, "computations[0].matcher"),
        ({"filters": [{"field": "colour", "value": "red"}]}, "filters[0].field"),
        ({"name": "x" * 51}, "name"),
    ],
)
def test_bad_meter_is_refused_when_saved(client: Caller, changes: dict[str, Any], place: str) -> None:
    """Rules are compiled when the meter is saved; what can never work is refused with the place."""
    client.post("/event_schema", samples.schema(), status=201)
    assert place in client.post("/usage_meters", samples.meter(**changes), status=400)["message"]
    assert client.get("/usage_meters")["data"] == []


def test_meter_list_takes_status_and_aggregation(client: Caller) -> None:
    """A list of meters can be narrowed, and shows what reading one shows."""
    meter_id = samples.active_meter(client)
    counting = samples.meter("rides taken", aggregation="COUNT", computations=[], description='"aggregation":"SUM"')
    counter = client.post("/usage_meters", counting, status=201)
    assert client.get("/usage_meters")["data"] == [
        client.get(f"/usage_meters/{each}") for each in (counter["id"], meter_id)
    ]
    by_sum = client.get("/usage_meters", aggregations="SUM")["data"]
    assert [each["id"] for each in by_sum] == [meter_id]
    active = client.send("GET", "/usage_meters", 200, params={"status": "ACTIVE"})
    assert [each["id"] for each in active["data"]] == [meter_id]


def test_organisations_do_not_see_each_others_schemas_and_meters(client: Caller, stranger: Caller) -> None:
    """The same names may exist in both; ids of one mean nothing to the other."""
    meter_id = samples.active_meter(client)
    stranger.get("/event_schema/rides", status=404)
    stranger.get("/event_schema/rides/versions", status=404)
    stranger.post("/event_schema/rides/activate", status=404)
    stranger.get(f"/usage_meters/{meter_id}", status=404)
    stranger.post(f"/usage_meters/{meter_id}/activate", status=404)
    assert stranger.get("/event_schema")["data"] == []
    assert stranger.get("/usage_meters")["data"] == []
    assert stranger.post("/usage_meters", samples.meter(), status=400)["code"] == "UNKNOWN_EVENT_SCHEMA"
    stranger.post("/event_schema", samples.schema(description="theirs"), status=201)
    assert "description" not in client.get("/event_schema/rides")
    assert client.get("/event_schema/rides")["status"] == "ACTIVE"
    assert stranger.get("/event_schema/rides")["status"] == "DRAFT"
