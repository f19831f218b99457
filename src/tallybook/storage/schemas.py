"""What is metered, as stored: event schemas, and the usage meters that read their events."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from tallybook.core.errors import Conflict
from tallybook.core.event_schema import EventSchema, SchemaStatus
from tallybook.core.usage_meter import Aggregation, MeterStatus, UsageMeter
from tallybook.storage import tables
from tallybook.storage.definition_rows import (
    Page,
    PagePosition,
    Stored,
    definition_text,
    find_one,
    find_page,
    in_pieces,
    is_latest,
    note_change,
    read_definition,
    stored,
    version_or_latest,
    write_over,
    written_at,
)


def add_event_schema(connection: Connection, organisation_id: str, schema: EventSchema, *, now: datetime) -> None:
    """Add a schema. Raises `Conflict` when its name is taken."""
    if event_schema(connection, organisation_id, schema.name):
        raise Conflict(f"name: an event schema {schema.name!r} exists already", code="ALREADY_EXISTS")
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
    connection: Connection,
    organisation_id: str,
    *,
    status: SchemaStatus | None,
    after: PagePosition | None,
    limit: int,
) -> Page[Stored[EventSchema]]:
    """A page of the event schemas in their latest versions, those changed last first."""
    table = tables.event_schema
    query = select(table).where(table.c.organisation_id == organisation_id, is_latest(table, "name"))
    if status is not None:
        query = query.where(table.c.status == status.value)
    rows = find_page(connection, query, table, "name", after=after, limit=limit)
    return Page(items=[stored(row, EventSchema) for row in rows.items], next=rows.next)


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
    table = tables.usage_meter
    same_name = select(table.c.meter_id).where(table.c.organisation_id == organisation_id, table.c.name == meter.name)
    if connection.execute(same_name.limit(1)).first():
        raise Conflict(f"name: a usage meter {meter.name!r} exists already", code="ALREADY_EXISTS")
    connection.execute(
        insert(table).values(
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
    """Write over the stored version of the meter, which must be there."""
    table = tables.usage_meter
    key = (
        table.c.organisation_id == organisation_id,
        table.c.meter_id == meter.meter_id,
        table.c.version == meter.version,
    )
    write_over(connection, table, key, meter, meter.status.value, now)
    _note_meter(connection, organisation_id, meter, now)


def usage_meter(connection: Connection, organisation_id: str, meter_id: str) -> Stored[UsageMeter] | None:
    """The latest version of the meter."""
    table = tables.usage_meter
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.meter_id == meter_id)
    return find_one(connection, version_or_latest(query, table, None), UsageMeter)


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


def count_meters_by_schema(
    connection: Connection, organisation_id: str, schema_names: Collection[str]
) -> dict[str, int]:
    """How many meters read the events of each of those schemas; schemas without one are left out."""
    table = tables.usage_meter
    counts: dict[str, int] = {}
    for some in in_pieces(sorted(set(schema_names))):
        query = (
            select(table.c.schema_name, func.count(table.c.meter_id.distinct()))
            .where(table.c.organisation_id == organisation_id, table.c.schema_name.in_(some))
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
    connection: Connection,
    organisation_id: str,
    *,
    status: MeterStatus | None,
    aggregation: Aggregation | None,
    after: PagePosition | None,
    limit: int,
) -> Page[Stored[UsageMeter]]:
    """A page of the meters in their latest versions, those changed last first."""
    table = tables.usage_meter
    query = select(table).where(table.c.organisation_id == organisation_id, is_latest(table, "meter_id"))
    if status is not None:
        query = query.where(table.c.status == status.value)
    if aggregation is not None:
        # Exact: within a JSON text these quotes would stand behind backslashes.
        query = query.where(table.c.definition.contains(f'"aggregation":"{aggregation.value}"', autoescape=True))
    rows = find_page(connection, query, table, "meter_id", after=after, limit=limit)
    return Page(items=[stored(row, UsageMeter) for row in rows.items], next=rows.next)


def _note_meter(connection: Connection, organisation_id: str, meter: UsageMeter, now: datetime) -> None:
    if meter.schema_name is not None:
        note_change(connection, organisation_id, "usage_meter", meter.schema_name, now)
