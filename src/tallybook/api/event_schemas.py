"""Event schemas on the wire (generation 2024-12) and their routes."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import (
    Caller,
    Connected,
    NextToken,
    PageSize,
    Search,
    Sort,
    Success,
    changing,
    reading,
    removing,
    writing,
)
from tallybook.api.paging import table_listing
from tallybook.api.texts import DefinitionName, Description, EventIdTemplate, FilterFields, Unit
from tallybook.core.enrichment import DEPENDENCIES_MAX, ENRICHED_FIELDS_MAX
from tallybook.core.errors import NotFound
from tallybook.core.event_schema import (
    ATTRIBUTES_MAX,
    DIMENSIONS_MAX,
    AttributeDefinition,
    Dependency,
    DimensionDefinition,
    EnrichedField,
    Enrichments,
    EnrichmentType,
    EventSchema,
    FieldKind,
    SchemaStatus,
)
from tallybook.core.expression import RULE_CHARACTERS_MAX
from tallybook.core.schema_change import SchemaChanges
from tallybook.core.setting import SETTING_KEY_CHARACTERS_MAX
from tallybook.flows import define_schemas
from tallybook.flows.authenticate import now_utc
from tallybook.storage import schemas
from tallybook.storage.definition_rows import Stored

TAG = "Event Schemas"
LISTING = table_listing("event_schemas", schemas.EVENT_SCHEMAS_LISTED)


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


class FieldType(Enum):
    """What an enriched field becomes."""

    ATTRIBUTE = "ATTRIBUTE"
    DIMENSION = "DIMENSION"


class DependencyType(Enum):
    """The only thing there is that a rule can depend on."""

    SETTING = "SETTING"


class DependencyShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A setting that rules read as `dependencies.NAME`: of the account, else of its customer, else of everybody."""

    type: DependencyType
    key: Annotated[
        str, msgspec.Meta(max_length=SETTING_KEY_CHARACTERS_MAX, description="As in setting.USER.metres_per_km.")
    ]
    name: DefinitionName


class EnrichedFieldShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A field that is computed: a literal, a rule as text, or the name of a dependency that holds the rule."""

    name: DefinitionName
    type: FieldType
    enrichment_type: EnrichmentType
    value: Annotated[str, msgspec.Meta(max_length=RULE_CHARACTERS_MAX)]
    order: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class EnrichmentsShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """What is added to each event, in the order of the fields; a later one sees those before it."""

    dependencies: Annotated[list[DependencyShape], msgspec.Meta(max_length=DEPENDENCIES_MAX)] | None = None
    fields: Annotated[list[EnrichedFieldShape], msgspec.Meta(max_length=ENRICHED_FIELDS_MAX)]


class CreateEventSchemaRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new event schema; it is a draft until it is activated."""

    name: DefinitionName
    description: Description | None = None
    attributes: Annotated[list[AttributeShape], msgspec.Meta(max_length=ATTRIBUTES_MAX)]
    dimensions: Annotated[list[DimensionShape], msgspec.Meta(max_length=DIMENSIONS_MAX)]
    enrichments: EnrichmentsShape | None = None
    filter_fields: FilterFields | None = None
    event_id_template: EventIdTemplate | None = None


class UpdateEventSchemaRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a schema is to be: in a draft it replaces what is there, later it is added."""

    description: Description | None = None
    attributes: Annotated[list[AttributeShape], msgspec.Meta(max_length=ATTRIBUTES_MAX)] | None = None
    dimensions: Annotated[list[DimensionShape], msgspec.Meta(max_length=DIMENSIONS_MAX)] | None = None
    enrichments: EnrichmentsShape | None = None
    filter_fields: FilterFields | None = None
    event_id_template: EventIdTemplate | None = None


class EventSchemaShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A version of an event schema, as read."""

    name: str
    description: str | None = None
    version: int
    status: SchemaStatus
    attributes: list[AttributeShape]
    dimensions: list[DimensionShape]
    enrichments: EnrichmentsShape | None = None
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
    schema = EventSchema(
        name=data.name,
        version=1,
        status=SchemaStatus.DRAFT,
        description=data.description,
        attributes=_attributes(data.attributes),
        dimensions=_dimensions(data.dimensions),
        enrichments=Enrichments() if data.enrichments is None else _enrichments(data.enrichments),
        filter_fields=tuple(data.filter_fields or ()),
        event_id_template=data.event_id_template,
    )
    stored = define_schemas.create_event_schema(dependencies.database, identity.organisation_id, schema, now=now_utc())
    return schema_to(stored)


@changing(
    "/event_schema/{event_schema_name:str}",
    operation_id="updateEventSchema",
    summary="Change an event schema: anything in a draft, later only more fields and the description",
    tag=TAG,
)
def update_event_schema(
    event_schema_name: FromPath[str],
    data: JSONBody[UpdateEventSchemaRequest],
    identity: Caller,
    dependencies: Connected,
) -> EventSchemaShape:
    changes = SchemaChanges(
        description=data.description,
        attributes=None if data.attributes is None else _attributes(data.attributes),
        dimensions=None if data.dimensions is None else _dimensions(data.dimensions),
        enrichments=None if data.enrichments is None else _enrichments(data.enrichments),
        filter_fields=None if data.filter_fields is None else tuple(data.filter_fields),
        event_id_template=data.event_id_template,
    )
    stored = define_schemas.update_event_schema(
        dependencies.database, identity.organisation_id, event_schema_name, changes, now=now_utc()
    )
    return schema_to(stored)


@removing(
    "/event_schema/{event_schema_name:str}",
    operation_id="deleteEventSchema",
    summary="Archive an event schema that is not active",
    tag=TAG,
)
def delete_event_schema(event_schema_name: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    define_schemas.archive_event_schema(
        dependencies.database, identity.organisation_id, event_schema_name, now=now_utc()
    )
    return Success()


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
    stored = define_schemas.activate_event_schema(
        dependencies.database, identity.organisation_id, event_schema_name, now=now_utc()
    )
    return schema_to(stored)


@writing(
    "/event_schema/{event_schema_name:str}/deactivate",
    status=HTTPStatus.OK,
    operation_id="deactivateEventSchema",
    summary="Take an event schema out of service",
    tag=TAG,
)
def deactivate_event_schema(
    event_schema_name: FromPath[str], identity: Caller, dependencies: Connected
) -> EventSchemaShape:
    stored = define_schemas.deactivate_event_schema(
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
        return schema_to(define_schemas.found_schema(connection, identity.organisation_id, event_schema_name, version))


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
    search: Search = None,
    sort: Sort = None,
) -> EventSchemaPage:
    page = LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"status": status and status.value},
        search=search,
        sort=sort,
    )
    with dependencies.database.read() as connection:
        found = schemas.list_event_schemas(connection, identity.organisation_id, page)
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
        enrichments=_enrichments_shape(schema.enrichments),
        filter_fields=list(schema.filter_fields),
        event_id_template=schema.event_id_template,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def _attributes(shapes: Sequence[AttributeShape]) -> tuple[AttributeDefinition, ...]:
    return tuple(AttributeDefinition(name=shape.name, default_unit=shape.default_unit) for shape in shapes)


def _dimensions(shapes: Sequence[DimensionShape]) -> tuple[DimensionDefinition, ...]:
    return tuple(DimensionDefinition(name=shape.name) for shape in shapes)


def _enrichments(shape: EnrichmentsShape) -> Enrichments:
    return Enrichments(
        fields=tuple(
            EnrichedField(
                name=field.name,
                kind=FieldKind[field.type.value],
                enrichment_type=field.enrichment_type,
                value=field.value,
                order=field.order,
            )
            for field in shape.fields
        ),
        dependencies=tuple(Dependency(key=each.key, name=each.name) for each in shape.dependencies or ()),
    )


def _enrichments_shape(enrichments: Enrichments) -> EnrichmentsShape | None:
    if enrichments == Enrichments():
        return None
    return EnrichmentsShape(
        dependencies=[
            DependencyShape(type=DependencyType.SETTING, key=each.key, name=each.name)
            for each in enrichments.dependencies
        ],
        fields=[
            EnrichedFieldShape(
                name=field.name,
                type=FieldType[field.kind.name],
                enrichment_type=field.enrichment_type,
                value=field.value,
                order=field.order,
            )
            for field in enrichments.fields
        ],
    )


def _listed(stored: Stored[EventSchema], meter_count: int) -> ListedEventSchemaShape:
    return ListedEventSchemaShape(**msgspec.structs.asdict(schema_to(stored)), usage_meters_count=meter_count)


ROUTES = (
    create_event_schema,
    update_event_schema,
    delete_event_schema,
    activate_event_schema,
    deactivate_event_schema,
    get_event_schema,
    list_event_schema_versions,
    list_event_schemas,
)
