"""Usage meters over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


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
        ({"eventSchemaName": None}, "eventSchemaName: filters and computations need an event schema"),
        ({"type": "GAUGE"}, "type"),
        ({"aggregation": "MEDIAN"}, "aggregation"),
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


# ---- changing ----------------------------------------------------------------------------------------------------


def test_draft_meter_is_changed_in_place(client: Caller) -> None:
    """Anything may change, its event schema too; what is left out stays."""
    client.post("/event_schema", samples.schema())
    client.post("/event_schema", samples.schema("flights"))
    created = client.post("/usage_meters", samples.meter(billableName="Distance"), status=201)
    changes = {
        "name": "kilometres flown",
        "billableName": "",
        "description": "new",
        "aggregation": "COUNT",
        "eventSchemaName": "flights",
        "computations": [],
        "filters": [{"field": "city", "value": "Oslo"}],
        "type": "COUNTER",
    }
    changed = client.send("PATCH", f"/usage_meters/{created['id']}", 200, json=changes)
    expected = {
        **created,
        "name": "kilometres flown",
        "displayName": "kilometres flown",
        "description": "new",
        "aggregation": "COUNT",
        "eventSchema": {"name": "flights", "version": 1},
        "computations": [],
        "filters": changes["filters"],
        "updatedAt": changed["updatedAt"],
    }
    del expected["billableName"]
    assert changed == expected
    assert client.get(f"/usage_meters/{created['id']}") == changed
    counts = {each["name"]: each["usageMetersCount"] for each in client.get("/event_schema")["data"]}
    assert counts == {"rides": 0, "flights": 1}


def test_change_is_checked_like_a_new_meter(client: Caller) -> None:
    """Rules that cannot work and names that are taken are refused, and nothing changes."""
    client.post("/event_schema", samples.schema())
    client.post("/usage_meters", samples.meter("other"), status=201)
    created = client.post("/usage_meters", samples.meter(), status=201)
    path = f"/usage_meters/{created['id']}"
    for changes, place in (
        ({"computations": [{"computation": '{"nope":1}', "order": 1}]}, "computations[0].computation"),
        ({"computations": []}, "computations"),
        ({"name": "other"}, "name: a usage meter 'other' exists already"),
        ({"name": ""}, "name"),
        ({"eventSchemaName": "nowhere"}, "eventSchemaName"),
        ({"id": "um.1"}, "unknown field `id`"),
    ):
        assert place in client.send("PATCH", path, 400, json=changes)["message"]
    assert client.get(path) == created
    client.send("PATCH", "/usage_meters/um.none", 404, json={})


def test_active_meter_cannot_be_changed_and_an_inactive_one_gets_a_version(client: Caller) -> None:
    """How it counts may change while it is out of service; what it counts may not."""
    meter_id = samples.active_meter(client)
    path = f"/usage_meters/{meter_id}"
    double = {"computations": [{"computation": '{"*":[2,{"var":"attributes.distance"}]}', "order": 1}]}
    assert client.send("PATCH", path, 400, json=double)["code"] == "USAGE_METER_ACTIVE"
    client.post(f"{path}/deactivate", status=200)
    changed = client.send("PATCH", path, 200, json=double)
    assert (changed["status"], changed["computations"]) == ("INACTIVE", double["computations"])
    for meaning in ({"aggregation": "COUNT", "computations": []}, {"eventSchemaName": "other"}):
        assert "stays as it is once a meter was active" in client.send("PATCH", path, 400, json=meaning)["message"]
    active = client.post(f"{path}/activate", status=200)
    assert active["computations"] == double["computations"]
    assert [each["id"] for each in client.get("/usage_meters")["data"]] == [meter_id]


# ---- leaving service ---------------------------------------------------------------------------------------------


def test_meter_leaves_service(client: Caller) -> None:
    """Deactivated, then archived for good; each step may be repeated, and a draft may be archived at once."""
    meter_id = samples.active_meter(client)
    path = f"/usage_meters/{meter_id}"
    client.send("DELETE", path, 400)
    inactive = client.post(f"{path}/deactivate", status=200)
    assert inactive["status"] == "INACTIVE"
    assert client.post(f"{path}/deactivate", status=200) == inactive
    assert client.send("DELETE", path, 200) == {"success": True}
    assert client.send("DELETE", path, 200) == {"success": True}
    assert client.get(path)["status"] == "ARCHIVED"
    for step in ("activate", "deactivate"):
        client.post(f"{path}/{step}", status=400)
    assert client.send("PATCH", path, 400, json={"description": "x"})["code"] == "USAGE_METER_ARCHIVED"
    draft = client.post("/usage_meters", samples.meter("draft"))["id"]
    client.post(f"/usage_meters/{draft}/deactivate", status=400)
    assert client.send("DELETE", f"/usage_meters/{draft}", 200) == {"success": True}


def test_meter_that_a_plan_charges_for_is_deactivated_by_force_only(client: Caller) -> None:
    """Otherwise bills would fall to nothing without a word; archiving waits for the plan in any case."""
    meter_id = samples.active_meter(client)
    samples.active_plan(client)
    path = f"/usage_meters/{meter_id}"
    refused = client.post(f"{path}/deactivate", status=400)
    assert refused["code"] == "USAGE_METER_PRICED"
    assert "price plan 'standard' charges for usage meter 'kilometres'" in refused["message"]
    client.post(f"{path}/deactivate", status=400, force="false")
    assert client.post(f"{path}/deactivate", status=200, force="true")["status"] == "INACTIVE"
    assert client.send("DELETE", path, 400)["code"] == "USAGE_METER_PRICED"


def test_activation_leaves_its_instant(client: Caller) -> None:
    """lastActivatedAt is there from the first activation on."""
    client.post("/event_schema", samples.schema())
    client.post("/event_schema/rides/activate")
    created = client.post("/usage_meters", samples.meter())
    assert "lastActivatedAt" not in created
    active = client.post(f"/usage_meters/{created['id']}/activate")
    assert active["lastActivatedAt"] == active["updatedAt"]


# ---- without an event schema -------------------------------------------------------------------------------------


def test_meter_without_a_schema_reads_no_events(client: Caller) -> None:
    """Usage is booked on it; it has neither filters nor computations, and needs no schema to be activated."""
    sent = {"name": "storage", "type": "COUNTER", "aggregation": "SUM"}
    created = client.post("/usage_meters", sent, status=201)
    assert "eventSchema" not in created
    assert (created["computations"], created["filters"]) == ([], [])
    path = f"/usage_meters/{created['id']}"
    assert client.post(f"{path}/activate", status=200)["status"] == "ACTIVE"
    for field in ({"filters": [{"field": "a", "value": "b"}]}, {"computations": [{"computation": "1", "order": 1}]}):
        refused = client.post("/usage_meters", {**sent, "name": "other", **field}, status=400)
        assert refused["message"].startswith("eventSchemaName: filters and computations need an event schema")


def test_organisations_do_not_see_each_others_schemas_and_meters(client: Caller, stranger: Caller) -> None:
    """The same names may exist in both; ids of one mean nothing to the other."""
    meter_id = samples.active_meter(client)
    stranger.get("/event_schema/rides", status=404)
    stranger.get("/event_schema/rides/versions", status=404)
    stranger.get(f"/usage_meters/{meter_id}", status=404)
    for step in ("activate", "deactivate"):
        stranger.post(f"/event_schema/rides/{step}", status=404)
        stranger.post(f"/usage_meters/{meter_id}/{step}", status=404)
    for path in ("/event_schema/rides", f"/usage_meters/{meter_id}"):
        stranger.send("PATCH", path, 404, json={"description": "x"})
        stranger.send("DELETE", path, 404)
    assert stranger.get("/event_schema")["data"] == []
    assert stranger.get("/usage_meters")["data"] == []
    assert stranger.post("/usage_meters", samples.meter(), status=400)["code"] == "UNKNOWN_EVENT_SCHEMA"
    stranger.post("/event_schema", samples.schema(description="theirs"), status=201)
    assert "description" not in client.get("/event_schema/rides")
    assert client.get("/event_schema/rides")["status"] == "ACTIVE"
    assert stranger.get("/event_schema/rides")["status"] == "DRAFT"
