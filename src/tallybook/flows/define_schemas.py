"""Event schemas, from draft to archive: each change in one transaction.

What a schema must be like by itself is checked in the core; here is what depends on its meters and on settings.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.enrichment import check_enrichments
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.event_schema import EventSchema, SchemaStatus, check_event_schema, check_schema_transition
from tallybook.core.expression_dialects import DIALECTS
from tallybook.core.expression_tree import Dialect
from tallybook.core.schema_change import SchemaChanges, changed_schema
from tallybook.core.setting import Setting, SettingPlace, SettingValue, setting_key
from tallybook.core.usage_meter import MeterStatus, UsageMeter, check_usage_meter
from tallybook.flows.define import check_room
from tallybook.storage import schemas, settings
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import Stored

EVENT_SCHEMAS_MAX = 1_000  # ten times the interface's quota; each costs a compiled program in every metering process


def create_event_schema(
    database: Database, organisation_id: str, schema: EventSchema, *, now: datetime
) -> Stored[EventSchema]:
    """Add a draft schema. Raises `Invalid` or `Conflict`."""
    with database.write() as connection:
        check_schema_in_organisation(connection, organisation_id, schema)
        check_room(schemas.count_event_schemas(connection, organisation_id), EVENT_SCHEMAS_MAX, "event schemas")
        schemas.add_event_schema(connection, organisation_id, schema, now=now)
    return Stored(definition=schema, created_at=now, updated_at=now)


def update_event_schema(
    database: Database, organisation_id: str, name: str, changes: SchemaChanges, *, now: datetime
) -> Stored[EventSchema]:
    """Change a draft, or add to a schema that was active, which makes a new version of it.

    Raises `NotFound`, `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        stored = found_schema(connection, organisation_id, name)
        schema = changed_schema(stored.definition, changes)
        if schema == stored.definition:
            return stored
        check_schema_in_organisation(connection, organisation_id, schema)
        if schema.version == stored.definition.version:
            schemas.replace_event_schema(connection, organisation_id, schema, now=now)
            return Stored(definition=schema, created_at=stored.created_at, updated_at=now)
        _check_meters_still_work(connection, organisation_id, schema)
        schemas.supersede_event_schema(connection, organisation_id, schema, now=now)
        return Stored(definition=schema, created_at=now, updated_at=now)


def activate_event_schema(database: Database, organisation_id: str, name: str, *, now: datetime) -> Stored[EventSchema]:
    """Let events of the schema be metered; does nothing when they are. Raises `NotFound`, `Invalid` or `Conflict`."""
    with database.write() as connection:
        stored = found_schema(connection, organisation_id, name)
        if stored.definition.status is SchemaStatus.ACTIVE:
            return stored
        check_schema_transition(stored.definition.status, SchemaStatus.ACTIVE)
        check_schema_in_organisation(connection, organisation_id, stored.definition)
        _check_settings_are_there(connection, organisation_id, stored.definition)
        return _with_status(connection, organisation_id, stored, SchemaStatus.ACTIVE, now)


def deactivate_event_schema(
    database: Database, organisation_id: str, name: str, *, now: datetime
) -> Stored[EventSchema]:
    """Meter no more events of the schema; does nothing when none are. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        stored = found_schema(connection, organisation_id, name)
        if stored.definition.status is SchemaStatus.INACTIVE:
            return stored
        check_schema_transition(stored.definition.status, SchemaStatus.INACTIVE)
        active = schemas.meters_of_schema(connection, organisation_id, name, status=MeterStatus.ACTIVE)
        _check_no_meters(active, f"event schema {name!r} has active usage meters; deactivate them first")
        return _with_status(connection, organisation_id, stored, SchemaStatus.INACTIVE, now)


def archive_event_schema(database: Database, organisation_id: str, name: str, *, now: datetime) -> None:
    """Give the schema up for good; does nothing when it is archived. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        stored = found_schema(connection, organisation_id, name)
        if stored.definition.status is SchemaStatus.ARCHIVED:
            return
        check_schema_transition(stored.definition.status, SchemaStatus.ARCHIVED)
        left = [
            meter
            for meter in schemas.meters_of_schema(connection, organisation_id, name)
            if meter.status is not MeterStatus.ARCHIVED
        ]
        _check_no_meters(left, f"event schema {name!r} has usage meters; archive them first")
        _with_status(connection, organisation_id, stored, SchemaStatus.ARCHIVED, now)


def found_schema(
    connection: Connection, organisation_id: str, name: str, version: int | None = None
) -> Stored[EventSchema]:
    """That version of the schema, or its latest. Raises `NotFound`."""
    stored = schemas.event_schema(connection, organisation_id, name, version)
    if stored is None:
        raise NotFound(f"no event schema {name!r}" + ("" if version is None else f" with version {version}"))
    return stored


def check_schema_in_organisation(
    connection: Connection,
    organisation_id: str,
    schema: EventSchema,
    *,
    dialect: Dialect | None = None,
    setting: Setting | None = None,
) -> None:
    """Raise `Invalid` unless the schema may be saved, its enrichments with what the organisation's settings say.

    Without `dialect` its rules are in the one that the organisation has chosen. With `setting`, only that one's value
    counts for the dependencies that may mean it.
    """
    check_event_schema(schema)
    values = _values_of_dependencies(connection, organisation_id, schema)
    if setting is not None:
        values |= {name: [setting.value] for name in dependencies_on(schema, setting.place)}
    check_enrichments(schema, values, dialect=dialect or dialect_of(connection, organisation_id))


def dependencies_on(schema: EventSchema, place: SettingPlace) -> list[str]:
    """The names of the schema's dependencies that may mean the setting at that place."""
    return [
        dependency.name
        for dependency in schema.enrichments.dependencies
        if setting_key(dependency.key, "key").may_mean(place)
    ]


def dialect_of(connection: Connection, organisation_id: str) -> Dialect:
    """The dialect that the organisation has chosen for its rules."""
    return DIALECTS[settings.choices_of(connection, organisation_id).expression_dialect]


def _values_of_dependencies(
    connection: Connection, organisation_id: str, schema: EventSchema
) -> dict[str, Sequence[SettingValue]]:
    """The different values that the settings behind each dependency have, by the dependency's name."""
    values: dict[str, Sequence[SettingValue]] = {}
    for index, dependency in enumerate(schema.enrichments.dependencies):
        key = setting_key(dependency.key, f"enrichments.dependencies[{index}].key")
        values[dependency.name] = settings.values_of(connection, organisation_id, key)
    return values


def _check_settings_are_there(connection: Connection, organisation_id: str, schema: EventSchema) -> None:
    values = _values_of_dependencies(connection, organisation_id, schema)
    for index, dependency in enumerate(schema.enrichments.dependencies):
        if not values[dependency.name]:
            raise Invalid(
                f"enrichments.dependencies[{index}].key: there is no setting {dependency.key}; create it first",
                code="UNKNOWN_SETTING",
            )


def _check_meters_still_work(connection: Connection, organisation_id: str, schema: EventSchema) -> None:
    """Meters that count, or did, must be able to read the schema that is to come."""
    dialect = dialect_of(connection, organisation_id)
    for meter in schemas.meters_of_schema(connection, organisation_id, schema.name):
        if meter.status in (MeterStatus.ACTIVE, MeterStatus.INACTIVE):
            try:
                check_usage_meter(meter, schema, dialect=dialect)
            except Invalid as error:
                raise Conflict(f"usage meter {meter.name!r} could not work any more: {error.message}") from None


def _check_no_meters(meters: Sequence[UsageMeter], problem: str) -> None:
    if meters:
        names = ", ".join(repr(meter.name) for meter in meters[:5])
        raise Conflict(f"{problem}: {names}" + (" and more" if len(meters) > 5 else ""), code="USAGE_METER_IN_THE_WAY")


def _with_status(
    connection: Connection, organisation_id: str, stored: Stored[EventSchema], status: SchemaStatus, now: datetime
) -> Stored[EventSchema]:
    schema = msgspec.structs.replace(stored.definition, status=status)
    schemas.replace_event_schema(connection, organisation_id, schema, now=now)
    return Stored(definition=schema, created_at=stored.created_at, updated_at=now)
