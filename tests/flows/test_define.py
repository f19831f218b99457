"""Definitions that depend on each other, where HTTP adds nothing: limits and races."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tallybook.core.aggregation import Aggregation
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.event_schema import AttributeDefinition, EventSchema, SchemaStatus
from tallybook.core.usage_meter import MeterStatus, UsageMeter
from tallybook.flows import define_meters, define_price_plans, define_schemas
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database, migrate, open_database

NOW = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


def schema_of(name: str) -> EventSchema:
    return EventSchema(
        name=name,
        version=1,
        status=SchemaStatus.DRAFT,
        attributes=(AttributeDefinition(name="distance"),),
        dimensions=(),
    )


def meter_of(number: int, schema_name: str = "rides") -> UsageMeter:
    return UsageMeter(
        meter_id=f"um.{number}",
        version=1,
        name=f"meter {number}",
        status=MeterStatus.DRAFT,
        aggregation=Aggregation.COUNT,
        schema_name=schema_name,
    )


def test_of_many_who_take_a_name_at_once_one_gets_it(database: Database) -> None:
    """The check for a taken name and the write are one transaction."""

    def attempt(_: int) -> bool:
        try:
            define_schemas.create_event_schema(database, "acme", schema_of("rides"), now=NOW)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


def test_schemas_of_an_organisation_are_limited(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts for each organisation by itself, and the refusal says what it is."""
    monkeypatch.setattr(define_schemas, "EVENT_SCHEMAS_MAX", 2)
    for name in ("one", "two"):
        define_schemas.create_event_schema(database, "acme", schema_of(name), now=NOW)
    with pytest.raises(Conflict, match="2 event schemas") as refused:
        define_schemas.create_event_schema(database, "acme", schema_of("three"), now=NOW)
    assert refused.value.code == "LIMIT_REACHED"
    define_schemas.create_event_schema(database, "umbrella", schema_of("three"), now=NOW)


def test_meters_of_a_schema_are_limited(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event is put to every meter of its schema, so there cannot be any number of them."""
    monkeypatch.setattr(define_meters, "METERS_PER_SCHEMA_MAX", 2)
    for name in ("rides", "stays"):
        define_schemas.create_event_schema(database, "acme", schema_of(name), now=NOW)
    for number in (1, 2):
        define_meters.create_usage_meter(database, "acme", meter_of(number), now=NOW)
    with pytest.raises(Conflict, match="'rides'"):
        define_meters.create_usage_meter(database, "acme", meter_of(3), now=NOW)
    define_meters.create_usage_meter(database, "acme", meter_of(3, "stays"), now=NOW)
    define_meters.archive_usage_meter(database, "acme", "um.1", now=NOW)
    define_meters.create_usage_meter(database, "acme", meter_of(4), now=NOW)


def test_active_meter_of_an_active_schema_is_in_force_at_once(database: Database) -> None:
    """What metering asks for changes with the activation, and the change is numbered."""
    define_schemas.create_event_schema(database, "acme", schema_of("rides"), now=NOW)
    define_meters.create_usage_meter(database, "acme", meter_of(1), now=NOW)
    catalog = Catalog(database)
    assert catalog.schema_in_force("acme", "rides") is None
    with pytest.raises(Invalid, match="activate it before"):
        define_meters.activate_usage_meter(database, "acme", "um.1", now=NOW)
    define_schemas.activate_event_schema(database, "acme", "rides", now=NOW)
    found = catalog.schema_in_force("acme", "rides")
    assert found is not None
    assert found[1] == ()
    before = catalog.version()
    define_meters.activate_usage_meter(database, "acme", "um.1", now=NOW)
    assert [(each.kind, each.name) for each in catalog.changes_since(before)] == [
        ("usage_meter", "rides"),
        ("usage_meter", "togai-usage"),  # whose events may book usage on any meter
    ]
    found = catalog.schema_in_force("acme", "rides")
    assert found is not None
    assert [meter.meter_id for meter in found[1]] == ["um.1"]
    define_meters.activate_usage_meter(database, "acme", "um.1", now=NOW)
    assert len(catalog.changes_since(before)) == 2


def test_what_is_not_there_is_not_found(database: Database) -> None:
    """Activating or attaching to unknown things says so."""
    with pytest.raises(NotFound):
        define_schemas.activate_event_schema(database, "acme", "rides", now=NOW)
    with pytest.raises(NotFound):
        define_meters.activate_usage_meter(database, "acme", "um.1", now=NOW)
    with pytest.raises(NotFound):
        define_price_plans.activate_price_plan(database, "acme", "pp.1", ["USD"], now=NOW)
