"""Enrichment, booked usage and the organisation's dialect, from the event to its units and its trace."""

from collections.abc import Iterator
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.credential import Scope
from tallybook.core.ingestion_status import IngestionStatus as S
from tallybook.storage.event_rows import EventRow

METRES = '{"/":[{"var":"attributes.distance"},{"var":"dependencies.metres per km"}]}'
KIND = '{"if":[{">=":[{"var":"attributes.km"},100]},"long_distance","short_distance"]}'
FIELDS = [
    {"name": "km", "type": "ATTRIBUTE", "enrichmentType": "JSON_LOGIC", "value": METRES, "order": 1},
    {"name": "kind", "type": "DIMENSION", "enrichmentType": "JSON_LOGIC", "value": KIND, "order": 2},
]
DEPENDENCIES = [{"type": "SETTING", "key": "setting.USER.metres_per_km", "name": "metres per km"}]


@pytest.fixture
def caller(embedded: Embedded) -> Iterator[Caller]:
    """A customer with two accounts, and the setting that 1,000 metres are a kilometre."""
    with embedded.caller() as client:
        caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        caller.post("/customers", samples.customer())
        for account_id in ("a1", "a2"):
            caller.post("/accounts", samples.account(account_id))
        set_value(caller, "metres_per_km", "1000", "NUMERIC")
        yield caller


def set_value(
    caller: Caller, setting_id: str, value: str, kind: str, entity: tuple[str, str] | None = None, **changes: Any
) -> None:
    entity_type, entity_id = entity or ("ORGANIZATION", ORGANISATION)
    body = {
        "id": setting_id,
        "namespace": "USER",
        "name": setting_id,
        "value": value,
        "dataType": kind,
        "entityType": entity_type,
        "entityId": entity_id,
        **changes,
    }
    caller.post("/settings", body)


def define(caller: Caller, computation: str, *, matcher: str | None = None, **changes: Any) -> str:
    """An active schema `rides` with those changes, and an active meter; return the meter's id."""
    caller.post("/event_schema", samples.schema(**changes))
    caller.post("/event_schema/rides/activate")
    return add_meter(caller, computation, matcher=matcher)


def add_meter(caller: Caller, computation: str, *, matcher: str | None = None, **changes: Any) -> str:
    rule = {"computation": computation, "order": 1} | ({"matcher": matcher} if matcher else {})
    meter_id: str = caller.post("/usage_meters", samples.meter(computations=[rule], **changes))["id"]
    caller.post(f"/usage_meters/{meter_id}/activate")
    return meter_id


def judged(embedded: Embedded, *events: dict[str, Any]) -> list[EventRow]:
    position = embedded.send(*events)
    embedded.meter()
    return [row for row in embedded.rows() if row.position == position]


def test_the_contracts_worked_example(embedded: Embedded, caller: Caller) -> None:
    """250,000 metres are 250 km, a long distance; 99,999 metres are 99.999 km, a short one."""
    define(
        caller,
        '{"var":"attributes.km"}',
        matcher='{"==":[{"var":"dimensions.kind"},"long_distance"]}',
        enrichments={"fields": FIELDS, "dependencies": DEPENDENCIES},
    )
    long, short = judged(embedded, event("e1", attributes=distance(250_000)), event("e2", attributes=distance(99_999)))
    assert [(row.status, row.meters[0].units) for row in (long, short)] == [
        (S.METERED, "250"),
        (S.NO_MATCHING_METERS, None),
    ]
    for event_id, km, kind in (("e1", "250", "long_distance"), ("e2", "99.999", "short_distance")):
        [found] = caller.get(f"/events/{event_id}")["events"]
        assert found["eventPipelineInfo"]["enrichments"] == {
            "attributes": [{"name": "km", "type": "ATTRIBUTE", "value": km}],
            "dimensions": [{"name": "kind", "type": "DIMENSION", "value": kind}],
            "dependencies": [
                {
                    "key": "setting.USER.metres_per_km",
                    "type": "SETTING",
                    "name": "metres per km",
                    "value": "1000",
                }
            ],
        }
        assert found["eventPayload"]["dimensions"] == {"city": "Oslo"}, "the event stays as it was sent"


def test_an_events_account_decides_which_setting_it_sees(embedded: Embedded, caller: Caller) -> None:
    """The account's own goes before everybody's; a change holds for the events that are judged after it."""
    define(caller, '{"var":"attributes.km"}', enrichments={"fields": FIELDS, "dependencies": DEPENDENCIES})
    set_value(caller, "metres_per_km", "500", "NUMERIC", ("ACCOUNT", "a2"))
    rides = [event(f"e{account}", accountId=account, attributes=distance(1000)) for account in ("a1", "a2")]
    assert [row.meters[0].units for row in judged(embedded, *rides)] == ["1", "2"]
    place = f"setting.USER.metres_per_km.ORGANIZATION.{ORGANISATION}"
    caller.send("PATCH", f"/settings/{place}", None, json={"value": "100"})
    again = [{**ride, "id": f"{ride['id']}-again"} for ride in rides]
    assert [row.meters[0].units for row in judged(embedded, *again)] == ["10", "2"]


def test_a_field_that_cannot_be_computed_fails_the_event(embedded: Embedded, caller: Caller) -> None:
    """With the status of its own, the field and the operator; the event beside it is metered."""
    field = {**FIELDS[0], "value": '{"/":[100,{"var":"attributes.distance"}]}'}
    define(caller, '{"var":"attributes.km"}', enrichments={"fields": [field]})
    failed, metered = judged(embedded, event("e1", attributes=distance(0)), event("e2", attributes=distance(8)))
    assert (failed.status, failed.account_id, failed.enrichment) == (S.ENRICHMENT_FAILED, "a1", None)
    assert failed.status_description == "enriched field 'km': /: division by zero"
    assert (metered.status, metered.meters[0].units) == (S.METERED, "12.5")
    assert embedded.verified().differences == []


def test_events_without_enrichments_have_no_trace_of_them(embedded: Embedded, caller: Caller) -> None:
    """Nothing was added, so nothing is said."""
    define(caller, '{"var":"attributes.distance"}')
    [row] = judged(embedded, event())
    assert row.enrichment is None
    assert "enrichments" not in caller.get("/events/e1")["events"][0]["eventPipelineInfo"]


# ---- usage that is booked on a meter -----------------------------------------------------------------------------


def booked(meter_id: str, usage: str, event_id: str = "e1", **changes: Any) -> dict[str, Any]:
    return event(
        event_id,
        schemaName="togai-usage",
        attributes=[{"name": "usage", "value": usage}],
        dimensions={"usage_meter_id": meter_id},
        **changes,
    )


def test_booked_usage_passes_by_the_meters_rules(embedded: Embedded, caller: Caller) -> None:
    """A meter that reads another schema, and one that reads none, get what the event says; a repeat counts once."""
    with_schema = define(caller, '{"*":[{"var":"attributes.distance"},100]}')
    without = caller.post("/usage_meters", {"name": "booked", "type": "COUNTER", "aggregation": "SUM"})["id"]
    caller.post(f"/usage_meters/{without}/activate")
    judged(embedded, booked(with_schema, "7.25"), booked(without, "-3", "e2"), booked(without, "-3", "e2"))
    assert [status for _, status in embedded.statuses()] == [S.METERED, S.METERED, S.DUPLICATE]
    assert {place[2]: usage for place, usage in embedded.usage().items()} == {
        with_schema: ("7.25", 1),
        without: ("-3", 1),
    }
    [found] = caller.get("/events/e1")["events"]
    assert found["eventPipelineInfo"]["eventSchema"] == {"name": "togai-usage", "version": 1}
    [meter] = found["eventPipelineInfo"]["usageMeters"]
    assert (meter["id"], meter["status"], meter["units"]) == (with_schema, "PROCESSED_UNITS_COMPUTED", 7.25)
    assert embedded.verified().differences == []


def test_booked_usage_of_another_aggregation_counts_as_its_events_do(embedded: Embedded, caller: Caller) -> None:
    """The largest of 3 and 5 is 5."""
    body = {"name": "peak", "type": "COUNTER", "aggregation": "MAX"}
    meter_id = caller.post("/usage_meters", body)["id"]
    caller.post(f"/usage_meters/{meter_id}/activate")
    rows = judged(embedded, booked(meter_id, "3"), booked(meter_id, "5.0", "e2"))
    assert [row.meters[0].value for row in rows] == ["P0013", "P0015"]
    assert embedded.verified().differences == []


def test_usage_on_a_meter_that_is_not_active_can_be_booked_again(embedded: Embedded, caller: Caller) -> None:
    """A lookup failed, which is no fault of the event; once the meter is active, the next event is metered."""
    body = {"name": "late", "type": "COUNTER", "aggregation": "SUM"}
    meter_id = caller.post("/usage_meters", body)["id"]
    unknown, draft, lacking = judged(
        embedded, booked("um.nobody", "1"), booked(meter_id, "1", "e2"), event("e3", schemaName="togai-usage")
    )
    assert {row.status for row in (unknown, draft, lacking)} == {S.FAILED}
    assert unknown.status_description == "no active usage meter has the id 'um.nobody'"
    assert lacking.status_description.startswith("the event lacks what its schema requires")
    caller.post(f"/usage_meters/{meter_id}/activate")
    [row] = judged(embedded, booked(meter_id, "1", "e4"))
    assert row.status == S.METERED


def test_no_other_organisations_meter_takes_usage(embedded: Embedded, caller: Caller) -> None:
    """Its id means nothing here."""
    theirs = caller.of("other")
    body = {"name": "theirs", "type": "COUNTER", "aggregation": "SUM"}
    meter_id = theirs.post("/usage_meters", body)["id"]
    theirs.post(f"/usage_meters/{meter_id}/activate")
    [row] = judged(embedded, booked(meter_id, "1"))
    assert row.status == S.FAILED


# ---- the organisation's dialect ----------------------------------------------------------------------------------


def test_an_organisation_may_choose_togais_arithmetic(embedded: Embedded, caller: Caller) -> None:
    """1 ÷ 3 has 34 digits, or four, as the engine rounds; the choice holds for what is judged after it."""
    define(caller, '{"/":[{"var":"attributes.distance"},3]}')
    [exact] = judged(embedded, event("e1", attributes=distance(1)))
    set_value(caller, "expression_dialect", "togai", "STRING", namespace="TOGAI")
    [togai] = judged(embedded, event("e2", attributes=distance(1)))
    assert [row.meters[0].units for row in (exact, togai)] == ["0." + "3" * 34, "0.3333"]
