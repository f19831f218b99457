"""What is metered, as stored: event schemas, and the usage meters that read their events."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from tallybook.core.errors import Conflict
from tallybook.core.event_schema import BOOKED_USAGE, EventSchema, SchemaStatus
from tallybook.core.usage_meter import MeterStatus, UsageMeter
from tallybook.storage import tables
from tallybook.storage.definition_rows import (
    Stored,
    definition_text,
    find_one,
    in_pieces,
    is_latest,
    note_change,
    read_definition,
    stored,
    version_or_latest,
    write_over,
    written_at,
)
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, equals, sorted_text

EVENT_SCHEMAS_LISTED = ListedTable(
    filters={"status": equals(tables.event_schema.c.status)},
    sorts={
        "name": tables.event_schema.c.name,
        "created_at": tables.event_schema.c.created_at,
        "updated_at": tables.event_schema.c.updated_at,
    },
    order=(SortKey("updated_at", descending=True), SortKey("name")),
    searched=(tables.event_schema.c.name,),
)

USAGE_METERS_LISTED = ListedTable(
    filters={
        "status": equals(tables.usage_meter.c.status),
        # Exact: within a JSON text these quotes would stand behind backslashes.
        "aggregations": lambda value: tables.usage_meter.c.definition.contains(
            f'"aggregation":"{value}"', autoescape=True
        ),
    },
    sorts={
        "id": tables.usage_meter.c.meter_id,
        "name": sorted_text(tables.usage_meter.c.name),
        "created_at": tables.usage_meter.c.created_at,
        "updated_at": tables.usage_meter.c.updated_at,
    },
    order=(SortKey("updated_at", descending=True), SortKey("id")),
    searched=(tables.usage_meter.c.name,),
)


def add_event_schema(connection: Connection, organisation_id: str, schema: EventSchema, *, now: datetime) -> None:
    """Add a schema. Raises `Conflict` when its name is taken."""
    if event_schema(connection, organisation_id, schema.name):
        raise Conflict(f"name: an event schema {schema.name!r} exists already", code="ALREADY_EXISTS")
    _insert_event_schema(connection, organisation_id, schema, now)


def supersede_event_schema(connection: Connection, organisation_id: str, schema: EventSchema, *, now: datetime) -> None:
    """Add the next version of a schema; the one before, which must be there, becomes ARCHIVED."""
    before = event_schema(connection, organisation_id, schema.name, schema.version - 1)
    assert before is not None, "a version follows one that is there"
    archived = msgspec.structs.replace(before.definition, status=SchemaStatus.ARCHIVED)
    replace_event_schema(connection, organisation_id, archived, now=now)
    _insert_event_schema(connection, organisation_id, schema, now)


def _insert_event_schema(connection: Connection, organisation_id: str, schema: EventSchema, now: datetime) -> None:
    connection.execute(
        insert(tables.event_schema).values(
            organisation_id=organisation_id,
            name=schema.name,
            version=schema.version,
            status=schema.status.value,
            definition=definition_text(schema),
            **written_at(now),
        )
    )
    note_change(connection, organisation_id, "event_schema", schema.name, now)


def replace_event_schema(connection: Connection, organisation_id: str, schema: EventSchema, *, now: datetime) -> None:
    """Write over the stored version of the schema, which must be there."""
    table = tables.event_schema
    key = (
        table.c.organisation_id == organisation_id,
        table.c.name == schema.name,
        table.c.version == schema.version,
    )
    write_over(connection, table, key, schema, schema.status.value, now)
    note_change(connection, organisation_id, "event_schema", schema.name, now)


def event_schema(
    connection: Connection, organisation_id: str, name: str, version: int | None = None
) -> Stored[EventSchema] | None:
    """That version of the event schema, or its latest."""
    table = tables.event_schema
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.name == name)
    return find_one(connection, version_or_latest(query, table, version), EventSchema)


def event_schema_versions(connection: Connection, organisation_id: str, name: str) -> list[Stored[EventSchema]]:
    """Every version of the event schema, the latest first."""
    table = tables.event_schema
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.name == name)
    rows = connection.execute(query.order_by(table.c.version.desc())).mappings()
    return [stored(row, EventSchema) for row in rows]


def list_event_schemas(
    connection: Connection, organisation_id: str, page: PageRequest[Place]
) -> Page[Stored[EventSchema]]:
    """A page of the event schemas in their latest versions, normally those changed last first."""
    table = tables.event_schema
    query = select(table).where(table.c.organisation_id == organisation_id, is_latest(table, "name"))
    rows = EVENT_SCHEMAS_LISTED.page(connection, query, page)
    return Page(items=[stored(row, EventSchema) for row in rows.items], next=rows.next)


def schemas_in_use(connection: Connection, organisation_id: str) -> list[EventSchema]:
    """The event schemas in their latest versions, by name, without those that are archived."""
    table = tables.event_schema
    query = select(table).where(
        table.c.organisation_id == organisation_id,
        is_latest(table, "name"),
        table.c.status != SchemaStatus.ARCHIVED.value,
    )
    rows = connection.execute(query.order_by(table.c.name)).mappings()
    return [read_definition(row["definition"], EventSchema) for row in rows]


def count_event_schemas(connection: Connection, organisation_id: str) -> int:
    """How many event schemas there are, versions not counted."""
    table = tables.event_schema
    query = select(func.count(table.c.name.distinct())).where(table.c.organisation_id == organisation_id)
    return connection.scalar(query) or 0


def schema_in_force(
    connection: Connection, organisation_id: str, name: str
) -> tuple[EventSchema, tuple[UsageMeter, ...]] | None:
    """The active version of the schema with its active meters, by meter id; None if no version is active."""
    table = tables.event_schema
    query = select(table).where(
        table.c.organisation_id == organisation_id,
        table.c.name == name,
        table.c.status == SchemaStatus.ACTIVE.value,
    )
    schema = find_one(connection, query, EventSchema)
    if schema is None:
        return None
    return schema.definition, meters_of_schema(connection, organisation_id, name, status=MeterStatus.ACTIVE)


def add_usage_meter(connection: Connection, organisation_id: str, meter: UsageMeter, *, now: datetime) -> None:
    """Add a meter. Raises `Conflict` when its name is taken."""
    _check_meter_name_is_free(connection, organisation_id, meter)
    _insert_usage_meter(connection, organisation_id, meter, now)


def supersede_usage_meter(connection: Connection, organisation_id: str, meter: UsageMeter, *, now: datetime) -> None:
    """Add the next version of a meter; the one before, which must be the latest, becomes ARCHIVED.

    Raises `Conflict` when its name is taken.
    """
    _check_meter_name_is_free(connection, organisation_id, meter)
    before = usage_meter(connection, organisation_id, meter.meter_id)
    assert before is not None, "a version follows one that is there"
    assert before.definition.version == meter.version - 1, "versions follow each other"
    archived = msgspec.structs.replace(before.definition, status=MeterStatus.ARCHIVED)
    _write_over_usage_meter(connection, organisation_id, archived, now)
    _insert_usage_meter(connection, organisation_id, meter, now)


def _check_meter_name_is_free(connection: Connection, organisation_id: str, meter: UsageMeter) -> None:
    table = tables.usage_meter
    same_name = select(table.c.meter_id).where(
        table.c.organisation_id == organisation_id, table.c.name == meter.name, table.c.meter_id != meter.meter_id
    )
    if connection.execute(same_name.limit(1)).first():
        raise Conflict(f"name: a usage meter {meter.name!r} exists already", code="ALREADY_EXISTS")


def _insert_usage_meter(connection: Connection, organisation_id: str, meter: UsageMeter, now: datetime) -> None:
    connection.execute(
        insert(tables.usage_meter).values(
            organisation_id=organisation_id,
            meter_id=meter.meter_id,
            version=meter.version,
            name=meter.name,
            schema_name=meter.schema_name,
            status=meter.status.value,
            definition=definition_text(meter),
            **written_at(now),
        )
    )
    _note_meter(connection, organisation_id, meter, now)


def replace_usage_meter(connection: Connection, organisation_id: str, meter: UsageMeter, *, now: datetime) -> None:
    """Write over the stored version of the meter, which must be there. Raises `Conflict` when its name is taken."""
    _check_meter_name_is_free(connection, organisation_id, meter)
    _write_over_usage_meter(connection, organisation_id, meter, now)


def _write_over_usage_meter(connection: Connection, organisation_id: str, meter: UsageMeter, now: datetime) -> None:
    table = tables.usage_meter
    key = (
        table.c.organisation_id == organisation_id,
        table.c.meter_id == meter.meter_id,
        table.c.version == meter.version,
    )
    write_over(connection, table, key, meter, meter.status.value, now)
    connection.execute(update(table).where(*key).values(name=meter.name, schema_name=meter.schema_name))
    _note_meter(connection, organisation_id, meter, now)


def usage_meter(connection: Connection, organisation_id: str, meter_id: str) -> Stored[UsageMeter] | None:
    """The latest version of the meter."""
    table = tables.usage_meter
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.meter_id == meter_id)
    return find_one(connection, version_or_latest(query, table, None), UsageMeter)


def meter_version(connection: Connection, organisation_id: str, meter_id: str, version: int) -> UsageMeter | None:
    """That version of the meter."""
    table = tables.usage_meter
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.meter_id == meter_id)
    found = find_one(connection, version_or_latest(query, table, version), UsageMeter)
    return None if found is None else found.definition


def meters_of_schema(
    connection: Connection, organisation_id: str, schema_name: str, *, status: MeterStatus | None = None
) -> tuple[UsageMeter, ...]:
    """The meters of a schema in their latest versions, by meter id; only those of that status if one is given."""
    table = tables.usage_meter
    query = select(table).where(
        table.c.organisation_id == organisation_id, table.c.schema_name == schema_name, is_latest(table, "meter_id")
    )
    if status is not None:
        query = query.where(table.c.status == status.value)
    rows = connection.execute(query.order_by(table.c.meter_id)).mappings()
    return tuple(read_definition(row["definition"], UsageMeter) for row in rows)


def meters_with_ids(connection: Connection, organisation_id: str, meter_ids: Collection[str]) -> dict[str, UsageMeter]:
    """The latest versions of those meters, by id; meters that are not there are left out."""
    table = tables.usage_meter
    found: dict[str, UsageMeter] = {}
    for some in in_pieces(sorted(set(meter_ids))):
        query = select(table).where(
            table.c.organisation_id == organisation_id, table.c.meter_id.in_(some), is_latest(table, "meter_id")
        )
        for row in connection.execute(query).mappings():
            found[row["meter_id"]] = read_definition(row["definition"], UsageMeter)
    return found


def meter_ids_called(connection: Connection, organisation_id: str, references: Collection[str]) -> frozenset[str]:
    """The ids of the meters that have one of the references as their id or, in any version, as their name."""
    column = tables.usage_meter.c
    found: set[str] = set()
    for some in in_pieces(sorted(set(references))):
        is_called = column.meter_id.in_(some) | column.name.in_(some)
        query = select(column.meter_id).where(column.organisation_id == organisation_id, is_called)
        found.update(connection.scalars(query))
    return frozenset(found)


def count_meters_by_schema(
    connection: Connection, organisation_id: str, schema_names: Collection[str]
) -> dict[str, int]:
    """How many meters, archived ones not counted, each of those schemas has; schemas without one are left out."""
    table = tables.usage_meter
    counts: dict[str, int] = {}
    for some in in_pieces(sorted(set(schema_names))):
        query = (
            select(table.c.schema_name, func.count(table.c.meter_id.distinct()))
            .where(
                table.c.organisation_id == organisation_id,
                table.c.schema_name.in_(some),
                table.c.status != MeterStatus.ARCHIVED.value,
            )
            .group_by(table.c.schema_name)
        )
        counts.update((row[0], row[1]) for row in connection.execute(query))
    return counts


def count_usage_meters(connection: Connection, organisation_id: str) -> int:
    """How many meters there are, versions not counted."""
    table = tables.usage_meter
    query = select(func.count(table.c.meter_id.distinct())).where(table.c.organisation_id == organisation_id)
    return connection.scalar(query) or 0


def list_usage_meters(
    connection: Connection, organisation_id: str, page: PageRequest[Place]
) -> Page[Stored[UsageMeter]]:
    """A page of the meters in their latest versions, normally those changed last first."""
    table = tables.usage_meter
    query = select(table).where(table.c.organisation_id == organisation_id, is_latest(table, "meter_id"))
    rows = USAGE_METERS_LISTED.page(connection, query, page)
    return Page(items=[stored(row, UsageMeter) for row in rows.items], next=rows.next)


def _note_meter(connection: Connection, organisation_id: str, meter: UsageMeter, now: datetime) -> None:
    """Every meter may also get usage that is booked on it, by events of the schema `BOOKED_USAGE`."""
    for name in sorted({meter.schema_name or BOOKED_USAGE, BOOKED_USAGE}):
        note_change(connection, organisation_id, "usage_meter", name, now)
