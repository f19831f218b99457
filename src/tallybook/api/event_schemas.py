"""Event schemas on the wire (generation 2024-12) and their routes."""

from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.exact_json import refuse_unsupported
from tallybook.api.handling import Caller, Connected, NextToken, PageSize, reading, writing
from tallybook.api.paging import Listing
from tallybook.api.texts import DefinitionName, Description, Unit
from tallybook.core.errors import NotFound
from tallybook.core.event_schema import (
    ATTRIBUTES_MAX,
    DIMENSIONS_MAX,
    AttributeDefinition,
    DimensionDefinition,
    EventSchema,
    SchemaStatus,
)
from tallybook.flows import define
from tallybook.flows.authenticate import now_utc
from tallybook.storage import schemas
from tallybook.storage.definition_rows import PagePosition, Stored

TAG = "Event Schemas"
LISTING = Listing("event_schemas", PagePosition)


class StatusFilter(Enum):
    """The statuses that a list can be narrowed to."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class AttributeShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """A quantity that every event of the schema has."""

    name: DefinitionName
    default_unit: Unit | None = None


class DimensionShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A text that every event of the schema has."""

    name: DefinitionName


class CreateEventSchemaRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new event schema; it is a draft until it is activated."""

    name: DefinitionName
    description: Description | None = None
    attributes: Annotated[list[AttributeShape], msgspec.Meta(max_length=ATTRIBUTES_MAX)]
    dimensions: Annotated[list[DimensionShape], msgspec.Meta(max_length=DIMENSIONS_MAX)]
    enrichments: Annotated[Any, msgspec.Meta(description="Not supported.")] = None
    filter_fields: list[str] | None = None
    event_id_template: str | None = None


class EventSchemaShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A version of an event schema, as read."""

    name: str
    description: str | None = None
    version: int
    status: SchemaStatus
    attributes: list[AttributeShape]
    dimensions: list[DimensionShape]
    filter_fields: list[str]
    event_id_template: str | None = None
    created_at: datetime
    updated_at: datetime


class ListedEventSchemaShape(EventSchemaShape, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An event schema in a list, with the number of meters that read its events."""

    usage_meters_count: int


class EventSchemaPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of event schemas in their latest versions, those changed last first."""

    data: list[ListedEventSchemaShape]
    next_token: str | None = None


class EventSchemaVersions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every version of an event schema, the latest first."""

    data: list[EventSchemaShape]


@writing(
    "/event_schema",
    status=HTTPStatus.CREATED,
    operation_id="createEventSchema",
    summary="Create an event schema",
    tag=TAG,
)
def create_event_schema(
    data: JSONBody[CreateEventSchemaRequest], identity: Caller, dependencies: Connected
) -> EventSchemaShape:
    refuse_unsupported(data, "enrichments")
    schema = EventSchema(
        name=data.name,
        version=1,
        status=SchemaStatus.DRAFT,
        description=data.description,
        attributes=tuple(
            AttributeDefinition(name=attribute.name, default_unit=attribute.default_unit)
            for attribute in data.attributes
        ),
        dimensions=tuple(DimensionDefinition(name=dimension.name) for dimension in data.dimensions),
        filter_fields=tuple(data.filter_fields or ()),
        event_id_template=data.event_id_template,
    )
    stored = define.create_event_schema(dependencies.database, identity.organisation_id, schema, now=now_utc())
    return schema_to(stored)


@writing(
    "/event_schema/{event_schema_name:str}/activate",
    status=HTTPStatus.OK,
    operation_id="activateEventSchema",
    summary="Activate an event schema",
    tag=TAG,
)
def activate_event_schema(
    event_schema_name: FromPath[str], identity: Caller, dependencies: Connected
) -> EventSchemaShape:
    stored = define.activate_event_schema(
        dependencies.database, identity.organisation_id, event_schema_name, now=now_utc()
    )
    return schema_to(stored)


@reading(
    "/event_schema/{event_schema_name:str}",
    operation_id="getEventSchema",
    summary="Read an event schema: its latest version, or another",
    tag=TAG,
)
def get_event_schema(
    event_schema_name: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    version: Annotated[int | None, QueryParameter(name="version", ge=1, le=2**31 - 1)] = None,
) -> EventSchemaShape:
    with dependencies.database.read() as connection:
        return schema_to(define.found_schema(connection, identity.organisation_id, event_schema_name, version))


@reading(
    "/event_schema/{event_schema_name:str}/versions",
    operation_id="listEventSchemaVersions",
    summary="List the versions of an event schema",
    tag=TAG,
)
def list_event_schema_versions(
    event_schema_name: FromPath[str], identity: Caller, dependencies: Connected
) -> EventSchemaVersions:
    with dependencies.database.read() as connection:
        versions = schemas.event_schema_versions(connection, identity.organisation_id, event_schema_name)
    if not versions:
        raise NotFound(f"no event schema {event_schema_name!r}")
    return EventSchemaVersions(data=[schema_to(stored) for stored in versions])


@reading("/event_schema", operation_id="listEventSchemas", summary="List event schemas", tag=TAG)
def list_event_schemas(
    identity: Caller,
    dependencies: Connected,
    status: Annotated[StatusFilter | None, QueryParameter(name="status")] = None,
    next_token: NextToken = None,
    page_size: PageSize = None,
) -> EventSchemaPage:
    filters = {"status": status and status.value}
    page = LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size, filters=filters)
    wanted = page.filters.get("status")
    with dependencies.database.read() as connection:
        found = schemas.list_event_schemas(
            connection,
            identity.organisation_id,
            status=SchemaStatus(wanted) if wanted else None,
            after=page.after,
            limit=page.size,
        )
        names = [stored.definition.name for stored in found.items]
        counts = schemas.count_meters_by_schema(connection, identity.organisation_id, names)
    return EventSchemaPage(
        data=[_listed(stored, counts.get(stored.definition.name, 0)) for stored in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


def schema_to(stored: Stored[EventSchema]) -> EventSchemaShape:
    """The schema as the interface shows it."""
    schema = stored.definition
    return EventSchemaShape(
        name=schema.name,
        description=schema.description,
        version=schema.version,
        status=schema.status,
        attributes=[
            AttributeShape(name=attribute.name, default_unit=attribute.default_unit) for attribute in schema.attributes
        ],
        dimensions=[DimensionShape(name=dimension.name) for dimension in schema.dimensions],
        filter_fields=list(schema.filter_fields),
        event_id_template=schema.event_id_template,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def _listed(stored: Stored[EventSchema], meter_count: int) -> ListedEventSchemaShape:
    return ListedEventSchemaShape(**msgspec.structs.asdict(schema_to(stored)), usage_meters_count=meter_count)


ROUTES = (
    create_event_schema,
    activate_event_schema,
    get_event_schema,
    list_event_schema_versions,
    list_event_schemas,
)
