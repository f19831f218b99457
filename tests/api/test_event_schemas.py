"""Event schemas over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


def rule(value: str, name: str = "km", **changes: Any) -> dict[str, Any]:
    """An enriched attribute."""
    return {"name": name, "type": "ATTRIBUTE", "enrichmentType": "JSON_LOGIC", "value": value, "order": 1, **changes}


def dependency(name: str) -> dict[str, Any]:
    return {"type": "SETTING", "key": f"setting.user.{name}", "name": name}


def setting(setting_id: str, value: str, data_type: str = "NUMERIC") -> dict[str, Any]:
    return {
        "id": setting_id,
        "value": value,
        "entityType": "ORGANIZATION",
        "entityId": "acme",
        "namespace": "USER",
        "name": "Name",
        "dataType": data_type,
    }


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
        ({"enrichments": {"fields": [{"name": "x"}]}}, "enrichments.fields[0]: Object missing required field"),
        ({"enrichments": {}}, "enrichments: Object missing required field `fields`"),
        ({"enrichments": {"fields": [rule("{")]}}, "enrichments.fields[0].value: not a rule"),
        ({"enrichments": {"fields": [rule('{"var":"attributes.b"}')]}}, "unknown variable 'attributes.b'"),
        ({"enrichments": {"fields": [rule("1")] * 2}}, "enrichments.fields[0].name"),
        ({"enrichments": {"fields": [rule("1") | {"order": 2**31}]}}, "enrichments.fields[0].order"),
        ({"enrichments": {"fields": [], "dependencies": [dependency("x") | {"type": "FILE"}]}}, "dependencies[0].type"),
        ({"enrichments": {"fields": [], "dependencies": [dependency("x") | {"key": "x"}]}}, "dependencies[0].key"),
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


# ---- changing ----------------------------------------------------------------------------------------------------


def test_draft_is_changed_in_place(client: Caller) -> None:
    """Anything but the name may change, fields may go, and the version stays."""
    client.post("/event_schema", samples.schema(), status=201)
    changes = {"description": "new", "attributes": [{"name": "tip"}], "dimensions": [], "filterFields": ["tip"]}
    changed = client.send("PATCH", "/event_schema/rides", 200, json=changes)
    assert {key: changed[key] for key in changes} == changes
    assert (changed["version"], changed["status"]) == (1, "DRAFT")
    assert client.get("/event_schema/rides") == changed
    assert client.send("PATCH", "/event_schema/rides", 200, json={}) == changed
    assert "name" in client.send("PATCH", "/event_schema/rides", 400, json={"name": "other"})["message"]
    client.send("PATCH", "/event_schema/nowhere", 404, json={})


def test_addition_to_an_active_schema_is_a_new_version(client: Caller) -> None:
    """The old version reads ARCHIVED, the new one is in force; what is there cannot be changed."""
    samples.active_meter(client)
    changed = client.send("PATCH", "/event_schema/rides", 200, json={"dimensions": [{"name": "country"}]})
    assert (changed["version"], changed["status"]) == (2, "ACTIVE")
    assert changed["dimensions"] == [{"name": "city"}, {"name": "country"}]
    assert client.get("/event_schema/rides") == changed
    old = client.get("/event_schema/rides", version=1)
    assert (old["status"], old["dimensions"]) == ("ARCHIVED", [{"name": "city"}])
    assert client.get("/event_schema/rides/versions")["data"] == [changed, old]
    assert [each["version"] for each in client.get("/event_schema")["data"]] == [2]
    other_unit = {"attributes": [{"name": "distance", "defaultUnit": "mi"}]}
    refused = client.send("PATCH", "/event_schema/rides", 400, json=other_unit)
    assert refused["message"].startswith("attributes[0]: is there already and stays as it is")
    assert client.get("/event_schema/rides") == changed


def test_addition_that_breaks_a_meter_is_refused(client: Caller) -> None:
    """An active meter filters by the city; with filterFields it could not any more."""
    client.post("/event_schema", samples.schema())
    client.post("/event_schema/rides/activate")
    meter = client.post("/usage_meters", samples.meter(filters=[{"field": "city", "value": "Oslo"}]))
    client.post(f"/usage_meters/{meter['id']}/activate")
    refused = client.send("PATCH", "/event_schema/rides", 400, json={"filterFields": ["distance"]})
    assert "usage meter 'kilometres' could not work any more: filters[0].field" in refused["message"]
    assert client.get("/event_schema/rides")["version"] == 1
    client.send("PATCH", "/event_schema/rides", 200, json={"filterFields": ["distance", "city"]})


# ---- leaving service ---------------------------------------------------------------------------------------------


def test_schema_leaves_service_after_its_meters(client: Caller) -> None:
    """Active meters are in the way of deactivating, unarchived ones of archiving; each step may be repeated."""
    meter_id = samples.active_meter(client)
    refused = client.post("/event_schema/rides/deactivate", status=400)
    assert refused["code"] == "USAGE_METER_IN_THE_WAY"
    assert "'kilometres'" in refused["message"]
    client.send("DELETE", "/event_schema/rides", 400)
    client.post(f"/usage_meters/{meter_id}/deactivate", status=200)
    inactive = client.post("/event_schema/rides/deactivate", status=200)
    assert inactive["status"] == "INACTIVE"
    assert client.post("/event_schema/rides/deactivate", status=200) == inactive
    assert client.send("DELETE", "/event_schema/rides", 400)["code"] == "USAGE_METER_IN_THE_WAY"
    client.send("DELETE", f"/usage_meters/{meter_id}", 200)
    assert client.send("DELETE", "/event_schema/rides", 200) == {"success": True}
    assert client.send("DELETE", "/event_schema/rides", 200) == {"success": True}
    assert client.get("/event_schema/rides")["status"] == "ARCHIVED"


def test_archived_schema_stays_so(client: Caller) -> None:
    """It is neither activated nor changed nor read by new meters, and its name is not free."""
    client.post("/event_schema", samples.schema())
    client.send("DELETE", "/event_schema/rides", 200)
    client.post("/event_schema/rides/activate", status=400)
    client.post("/event_schema/rides/deactivate", status=400)
    client.send("PATCH", "/event_schema/rides", 400, json={"description": "x"})
    assert client.post("/event_schema", samples.schema(), status=400)["code"] == "ALREADY_EXISTS"
    assert client.post("/usage_meters", samples.meter(), status=400)["code"] == "EVENT_SCHEMA_ARCHIVED"


def test_schema_may_come_back(client: Caller) -> None:
    """INACTIVE becomes ACTIVE again, the version unchanged; a draft cannot be deactivated."""
    client.post("/event_schema", samples.schema())
    client.post("/event_schema/rides/deactivate", status=400)
    client.post("/event_schema/rides/activate")
    client.post("/event_schema/rides/deactivate")
    added = client.send("PATCH", "/event_schema/rides", 200, json={"attributes": [{"name": "tip"}]})
    assert (added["version"], added["status"]) == (2, "INACTIVE")
    back = client.post("/event_schema/rides/activate")
    assert (back["version"], back["status"]) == (2, "ACTIVE")


# ---- enrichments -------------------------------------------------------------------------------------------------


def test_enrichments_read_as_they_were_written(client: Caller) -> None:
    """The interface's example, and meters may read what is computed."""
    enrichments = {
        "dependencies": [dependency("meters_per_km")],
        "fields": [
            rule('{"/":[{"var":["attribute.distance"]},{"var":["dependencies.meters_per_km"]}]}', "distanceInKM"),
            rule('{"if":[{"<=":[100,{"var":["attribute.distanceInKM"]}]},"long","short"]}', "rideType")
            | {"type": "DIMENSION", "order": 2},
        ],
    }
    created = client.post("/event_schema", samples.schema(enrichments=enrichments), status=201)
    assert created["enrichments"] == enrichments
    assert client.get("/event_schema/rides")["enrichments"] == enrichments
    meter = samples.meter(
        filters=[{"field": "rideType", "value": "long"}],
        computations=[{"computation": '{"var":"attributes.distanceInKM"}', "order": 1}],
    )
    created = client.post("/usage_meters", meter, status=201)
    whole = client.get(f"/usage_meters/{created['id']}", includeSchema=True)
    assert whole["eventSchema"]["enrichments"] == enrichments


def test_schema_is_activated_once_its_settings_are_there(client: Caller) -> None:
    """A draft may be written before the setting that it reads."""
    enrichments = {"dependencies": [dependency("rate")], "fields": [rule('{"var":"dependencies.rate"}')]}
    client.post("/event_schema", samples.schema(enrichments=enrichments), status=201)
    refused = client.post("/event_schema/rides/activate", status=400)
    assert refused["code"] == "UNKNOWN_SETTING"
    assert "setting.user.rate" in refused["message"]
    client.post("/settings", setting("rate", "2"), status=201)
    client.post("/event_schema/rides/activate", status=200)


def test_rule_in_a_setting_is_checked_with_the_schemas_that_read_it(client: Caller) -> None:
    """Neither a new nor a changed setting may make a rule that can never work; the setting then stays as it was."""
    enrichments = {
        "dependencies": [dependency("fee")],
        "fields": [rule("fee", enrichmentType="JSON_LOGIC_FROM_DEPENDENCY")],
    }
    client.post("/event_schema", samples.schema(enrichments=enrichments), status=201)
    wrong = setting("fee", '{"var":"attributes.height"}', "JSON_LOGIC")
    refused = client.post("/settings", wrong, status=400)
    assert refused["code"] == "SETTING_IN_USE"
    assert "event schema 'rides' could not work with this any more" in refused["message"]
    assert client.get("/settings")["data"] == []
    right = setting("fee", '{"*":[{"var":"attributes.distance"},0.05]}', "JSON_LOGIC")
    client.post("/settings", right, status=201)
    path = "/settings/setting.USER.fee.ORGANIZATION.acme"
    client.send("PATCH", path, 400, json={"value": "5", "dataType": "NUMERIC"})
    assert client.get(path) == right
    client.send("PATCH", path, 201, json={"value": "1"})
