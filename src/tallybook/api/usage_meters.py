"""Usage meters on the wire (generation 2024-12) and their routes."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy import Connection

from tallybook.api.event_schemas import AttributeShape, DimensionShape, EnrichmentsShape, StatusFilter, schema_to
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
from tallybook.api.texts import BillableName, ComputationId, DefinitionName, Description, Matcher, Rule
from tallybook.core.aggregation import Aggregation
from tallybook.core.event_schema import SchemaStatus
from tallybook.core.meter_change import MeterChanges
from tallybook.core.usage_meter import Computation, MeterFilter, MeterStatus, UsageMeter
from tallybook.flows import define_meters, define_schemas
from tallybook.flows.authenticate import now_utc
from tallybook.flows.new_ids import new_id
from tallybook.storage import schemas
from tallybook.storage.definition_rows import Stored

TAG = "Usage Meters"
LISTING = table_listing("usage_meters", schemas.USAGE_METERS_LISTED)


class MeterType(Enum):
    """The only type there is."""

    COUNTER = "COUNTER"


class MeterFilterShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The event's field must equal the value."""

    field: str
    value: str


class ComputationShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """Units of an event for which the matcher holds; both are JSON Logic as text."""

    id: ComputationId | None = None
    matcher: Matcher | None = None
    computation: Rule
    order: int


class CreateUsageMeterRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new usage meter; it is a draft until it is activated."""

    name: DefinitionName
    billable_name: BillableName | None = None
    description: Description | None = None
    filters: list[MeterFilterShape] | None = None
    type: MeterType
    aggregation: Aggregation
    computations: list[ComputationShape] | None = None
    event_schema_name: str | None = None


class UpdateUsageMeterRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a meter is to be; what is left out stays."""

    name: DefinitionName | None = None
    billable_name: BillableName | None = None
    description: Description | None = None
    filters: list[MeterFilterShape] | None = None
    type: MeterType | None = None
    aggregation: Aggregation | None = None
    computations: list[ComputationShape] | None = None
    event_schema_name: DefinitionName | None = None


class MeteredSchemaShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The event schema that a meter reads; more than name and version only where it was asked for."""

    name: str
    description: str | None = None
    version: int
    status: SchemaStatus | None = None
    attributes: list[AttributeShape] | None = None
    dimensions: list[DimensionShape] | None = None
    enrichments: EnrichmentsShape | None = None
    filter_fields: list[str] | None = None
    event_id_template: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class UsageMeterShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A usage meter, as read."""

    id: str
    name: str
    billable_name: str | None = None
    display_name: str
    description: str | None = None
    filters: list[MeterFilterShape]
    type: MeterType
    status: MeterStatus
    aggregation: Aggregation
    computations: list[ComputationShape]
    event_schema: MeteredSchemaShape | None = None
    created_at: datetime
    last_activated_at: datetime | None = None
    updated_at: datetime


class UsageMeterPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of usage meters, those changed last first."""

    data: list[UsageMeterShape]
    next_token: str | None = None


@writing(
    "/usage_meters",
    status=HTTPStatus.CREATED,
    operation_id="createUsageMeter",
    summary="Create a usage meter",
    tag=TAG,
)
def create_usage_meter(
    data: JSONBody[CreateUsageMeterRequest], identity: Caller, dependencies: Connected
) -> UsageMeterShape:
    meter = UsageMeter(
        meter_id=new_id("um"),
        version=1,
        name=data.name,
        billable_name=data.billable_name,
        description=data.description,
        status=MeterStatus.DRAFT,
        aggregation=data.aggregation,
        schema_name=data.event_schema_name,
        filters=_filters(data.filters or ()),
        computations=_computations(data.computations or ()),
    )
    stored = define_meters.create_usage_meter(dependencies.database, identity.organisation_id, meter, now=now_utc())
    with dependencies.database.read() as connection:
        return _to_shape(connection, identity, stored)


@writing(
    "/usage_meters/{usage_meter_id:str}/activate",
    status=HTTPStatus.OK,
    operation_id="activateUsageMeter",
    summary="Activate a usage meter",
    tag=TAG,
)
def activate_usage_meter(usage_meter_id: FromPath[str], identity: Caller, dependencies: Connected) -> UsageMeterShape:
    stored = define_meters.activate_usage_meter(
        dependencies.database, identity.organisation_id, usage_meter_id, now=now_utc()
    )
    with dependencies.database.read() as connection:
        return _to_shape(connection, identity, stored)


@writing(
    "/usage_meters/{usage_meter_id:str}/deactivate",
    status=HTTPStatus.OK,
    operation_id="deactivateUsageMeter",
    summary="Take a usage meter out of service",
    tag=TAG,
)
def deactivate_usage_meter(
    usage_meter_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    force: Annotated[
        bool | None, QueryParameter(name="force", description="Even if a price plan charges for the meter.")
    ] = None,
) -> UsageMeterShape:
    stored = define_meters.deactivate_usage_meter(
        dependencies.database, identity.organisation_id, usage_meter_id, now=now_utc(), force=bool(force)
    )
    with dependencies.database.read() as connection:
        return _to_shape(connection, identity, stored)


@changing(
    "/usage_meters/{usage_meter_id:str}",
    operation_id="updateUsageMeter",
    summary="Change a usage meter that is not active",
    tag=TAG,
)
def update_usage_meter(
    usage_meter_id: FromPath[str],
    data: JSONBody[UpdateUsageMeterRequest],
    identity: Caller,
    dependencies: Connected,
) -> UsageMeterShape:
    changes = MeterChanges(
        name=data.name,
        billable_name=data.billable_name,
        description=data.description,
        schema_name=data.event_schema_name,
        aggregation=data.aggregation,
        filters=None if data.filters is None else _filters(data.filters),
        computations=None if data.computations is None else _computations(data.computations),
    )
    stored = define_meters.update_usage_meter(
        dependencies.database, identity.organisation_id, usage_meter_id, changes, now=now_utc()
    )
    with dependencies.database.read() as connection:
        return _to_shape(connection, identity, stored)


@removing(
    "/usage_meters/{usage_meter_id:str}",
    operation_id="deleteUsageMeter",
    summary="Archive a usage meter that is not active",
    tag=TAG,
)
def delete_usage_meter(usage_meter_id: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    define_meters.archive_usage_meter(dependencies.database, identity.organisation_id, usage_meter_id, now=now_utc())
    return Success()


@reading("/usage_meters/{usage_meter_id:str}", operation_id="getUsageMeter", summary="Read a usage meter", tag=TAG)
def get_usage_meter(
    usage_meter_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    include_schema: Annotated[
        bool | None, QueryParameter(name="includeSchema", description="Show the whole event schema.")
    ] = None,
) -> UsageMeterShape:
    with dependencies.database.read() as connection:
        stored = define_meters.found_meter(connection, identity.organisation_id, usage_meter_id)
        return _to_shape(connection, identity, stored, whole_schema=bool(include_schema))


@reading("/usage_meters", operation_id="getUsageMetersForEventSchema", summary="List usage meters", tag=TAG)
def list_usage_meters(
    identity: Caller,
    dependencies: Connected,
    status: Annotated[StatusFilter | None, QueryParameter(name="status")] = None,
    aggregations: Annotated[Aggregation | None, QueryParameter(name="aggregations")] = None,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> UsageMeterPage:
    page = LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"status": status and status.value, "aggregations": aggregations and aggregations.value},
        search=search,
        sort=sort,
    )
    with dependencies.database.read() as connection:
        found = schemas.list_usage_meters(connection, identity.organisation_id, page)
        data = [_to_shape(connection, identity, stored) for stored in found.items]
    return UsageMeterPage(data=data, next_token=LISTING.token(dependencies, identity, page, found.next))


def _to_shape(
    connection: Connection, identity: Caller, stored: Stored[UsageMeter], *, whole_schema: bool = False
) -> UsageMeterShape:
    meter = stored.definition
    return UsageMeterShape(
        id=meter.meter_id,
        name=meter.name,
        billable_name=meter.billable_name,
        display_name=meter.billable_name or meter.name,
        description=meter.description,
        filters=[MeterFilterShape(field=each.field, value=each.value) for each in meter.filters],
        type=MeterType.COUNTER,
        status=meter.status,
        aggregation=meter.aggregation,
        computations=[
            ComputationShape(id=each.id, matcher=each.matcher, computation=each.computation, order=each.order)
            for each in meter.computations
        ],
        event_schema=_schema_shape(connection, identity, meter.schema_name, whole=whole_schema),
        created_at=stored.created_at,
        last_activated_at=meter.last_activated_at,
        updated_at=stored.updated_at,
    )


def _filters(shapes: Sequence[MeterFilterShape]) -> tuple[MeterFilter, ...]:
    return tuple(MeterFilter(field=shape.field, value=shape.value) for shape in shapes)


def _computations(shapes: Sequence[ComputationShape]) -> tuple[Computation, ...]:
    return tuple(
        Computation(id=shape.id, matcher=shape.matcher, computation=shape.computation, order=shape.order)
        for shape in shapes
    )


def _schema_shape(
    connection: Connection, identity: Caller, name: str | None, *, whole: bool
) -> MeteredSchemaShape | None:
    if name is None:
        return None
    shape = schema_to(define_schemas.found_schema(connection, identity.organisation_id, name))
    if whole:
        return MeteredSchemaShape(**msgspec.structs.asdict(shape))
    return MeteredSchemaShape(name=shape.name, version=shape.version)


ROUTES = (
    create_usage_meter,
    update_usage_meter,
    delete_usage_meter,
    activate_usage_meter,
    deactivate_usage_meter,
    get_usage_meter,
    list_usage_meters,
)
