"""Usage meters, from draft to archive: each change in one transaction.

What a meter must be like by itself is checked in the core; here is what depends on its event schema and on price plans.
"""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.event_schema import EventSchema, SchemaStatus
from tallybook.core.meter_change import MeterChanges, changed_meter
from tallybook.core.usage_meter import MeterStatus, UsageMeter, check_meter_transition, check_usage_meter
from tallybook.flows.define import check_room
from tallybook.flows.define_schemas import dialect_of, found_schema
from tallybook.storage import plans, schemas
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import Stored

METERS_MAX = 5_000  # fifty times the interface's quota; each is compiled into its schema's program
METERS_PER_SCHEMA_MAX = 100  # every event of the schema is put to all of them


def create_usage_meter(
    database: Database, organisation_id: str, meter: UsageMeter, *, now: datetime
) -> Stored[UsageMeter]:
    """Add a draft meter; its rules are compiled to see that they can work. Raises `Invalid` or `Conflict`."""
    with database.write() as connection:
        _check_meter_in_organisation(connection, organisation_id, meter)
        check_room(schemas.count_usage_meters(connection, organisation_id), METERS_MAX, "usage meters")
        _check_room_in_schema(connection, organisation_id, meter)
        schemas.add_usage_meter(connection, organisation_id, meter, now=now)
    return Stored(definition=meter, created_at=now, updated_at=now)


def update_usage_meter(
    database: Database, organisation_id: str, meter_id: str, changes: MeterChanges, *, now: datetime
) -> Stored[UsageMeter]:
    """Change a draft, or an inactive meter, which makes a new version of it.

    Raises `NotFound`, `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        stored = found_meter(connection, organisation_id, meter_id)
        meter = changed_meter(stored.definition, changes)
        if meter == stored.definition:
            return stored
        _check_meter_in_organisation(connection, organisation_id, meter)
        if meter.schema_name != stored.definition.schema_name:
            _check_room_in_schema(connection, organisation_id, meter)
        if meter.version == stored.definition.version:
            schemas.replace_usage_meter(connection, organisation_id, meter, now=now)
            return Stored(definition=meter, created_at=stored.created_at, updated_at=now)
        schemas.supersede_usage_meter(connection, organisation_id, meter, now=now)
        return Stored(definition=meter, created_at=now, updated_at=now)


def activate_usage_meter(
    database: Database, organisation_id: str, meter_id: str, *, now: datetime
) -> Stored[UsageMeter]:
    """Let the meter count events from now on; does nothing when it does. Raises `NotFound`, `Invalid` or `Conflict`."""
    with database.write() as connection:
        stored = found_meter(connection, organisation_id, meter_id)
        meter = stored.definition
        if meter.status is MeterStatus.ACTIVE:
            return stored
        check_meter_transition(meter.status, MeterStatus.ACTIVE)
        if meter.schema_name is not None:
            schema = found_schema(connection, organisation_id, meter.schema_name).definition
            _check_is_active(schema)
            check_usage_meter(meter, schema, dialect=dialect_of(connection, organisation_id))
        active = msgspec.structs.replace(meter, status=MeterStatus.ACTIVE, last_activated_at=now)
        return _written_over(connection, organisation_id, stored, active, now)


def deactivate_usage_meter(
    database: Database, organisation_id: str, meter_id: str, *, now: datetime, force: bool = False
) -> Stored[UsageMeter]:
    """Let the meter count no more events; does nothing when it counts none.

    A meter that a price plan charges for is only deactivated by `force`. Raises `NotFound` or `Conflict`.
    """
    with database.write() as connection:
        stored = found_meter(connection, organisation_id, meter_id)
        meter = stored.definition
        if meter.status is MeterStatus.INACTIVE:
            return stored
        check_meter_transition(meter.status, MeterStatus.INACTIVE)
        if not force:
            _check_is_not_charged_for(connection, organisation_id, meter, now, "send force=true to do it all the same")
        inactive = msgspec.structs.replace(meter, status=MeterStatus.INACTIVE)
        return _written_over(connection, organisation_id, stored, inactive, now)


def archive_usage_meter(database: Database, organisation_id: str, meter_id: str, *, now: datetime) -> None:
    """Give the meter up for good; does nothing when it is archived. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        stored = found_meter(connection, organisation_id, meter_id)
        meter = stored.definition
        if meter.status is MeterStatus.ARCHIVED:
            return
        check_meter_transition(meter.status, MeterStatus.ARCHIVED)
        _check_is_not_charged_for(connection, organisation_id, meter, now, "archive the plan first")
        archived = msgspec.structs.replace(meter, status=MeterStatus.ARCHIVED)
        _written_over(connection, organisation_id, stored, archived, now)


def found_meter(connection: Connection, organisation_id: str, meter_id: str) -> Stored[UsageMeter]:
    """The latest version of the meter. Raises `NotFound`."""
    stored = schemas.usage_meter(connection, organisation_id, meter_id)
    if stored is None:
        raise NotFound(f"no usage meter {meter_id!r}")
    return stored


def _check_meter_in_organisation(connection: Connection, organisation_id: str, meter: UsageMeter) -> None:
    schema = _schema_of(connection, organisation_id, meter)
    check_usage_meter(meter, schema, dialect=dialect_of(connection, organisation_id))


def _schema_of(connection: Connection, organisation_id: str, meter: UsageMeter) -> EventSchema | None:
    if meter.schema_name is None:
        return None
    stored = schemas.event_schema(connection, organisation_id, meter.schema_name)
    if stored is None:
        raise Invalid(
            f"eventSchemaName: no event schema {meter.schema_name!r}; create it first", code="UNKNOWN_EVENT_SCHEMA"
        )
    if stored.definition.status is SchemaStatus.ARCHIVED:
        raise Conflict(f"eventSchemaName: {meter.schema_name!r} is archived", code="EVENT_SCHEMA_ARCHIVED")
    return stored.definition


def _check_is_active(schema: EventSchema) -> None:
    if schema.status is not SchemaStatus.ACTIVE:
        raise Invalid(
            f"event schema {schema.name!r} is {schema.status}; activate it before the meter",
            code="EVENT_SCHEMA_NOT_ACTIVE",
        )


def _check_room_in_schema(connection: Connection, organisation_id: str, meter: UsageMeter) -> None:
    if meter.schema_name is not None:
        counts = schemas.count_meters_by_schema(connection, organisation_id, [meter.schema_name])
        check_room(
            counts.get(meter.schema_name, 0),
            METERS_PER_SCHEMA_MAX,
            f"usage meters of event schema {meter.schema_name!r}",
        )


def _check_is_not_charged_for(
    connection: Connection, organisation_id: str, meter: UsageMeter, now: datetime, advice: str
) -> None:
    plan = plans.plan_charging_for(connection, organisation_id, meter.meter_id, today=now.date())
    if plan is not None:
        raise Conflict(
            f"price plan {plan!r} charges for usage meter {meter.name!r}; {advice}", code="USAGE_METER_PRICED"
        )


def _written_over(
    connection: Connection, organisation_id: str, stored: Stored[UsageMeter], meter: UsageMeter, now: datetime
) -> Stored[UsageMeter]:
    schemas.replace_usage_meter(connection, organisation_id, meter, now=now)
    return Stored(definition=meter, created_at=stored.created_at, updated_at=now)
