"""Event schemas, usage meters and add-ons as generation 2023-05 has them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tallybook.api import add_ons, event_schemas, usage_meters
from tallybook.api.generation_2023_05.shape import Shape, fewer_fields
from tallybook.api.generations import Question
from tallybook.api.paging import PageContext
from tallybook.api.texts import AddOnName
from tallybook.core.add_on import AddOnStatus, AddOnType
from tallybook.core.aggregation import Aggregation
from tallybook.core.event_schema import SchemaStatus
from tallybook.core.usage_meter import MeterStatus


class EventSchema(Shape, frozen=True, kw_only=True):
    """A version of an event schema."""

    name: str
    description: str | None = None
    version: int
    status: SchemaStatus
    attributes: Sequence[event_schemas.AttributeShape]
    dimensions: Sequence[event_schemas.DimensionShape]
    enrichments: event_schemas.EnrichmentsShape | None = None
    created_at: datetime
    updated_at: datetime


class ListedEventSchema(EventSchema, frozen=True, kw_only=True):
    """An event schema in a list."""

    usage_meters_count: int


class EventSchemaPage(Shape, frozen=True, kw_only=True):
    """A page of event schemas."""

    data: Sequence[ListedEventSchema]
    next_token: str | None = None
    context: PageContext | None = None


class EventSchemaVersions(Shape, frozen=True, kw_only=True):
    """Every version of an event schema."""

    data: Sequence[EventSchema]


class UsageMeter(Shape, frozen=True, kw_only=True):
    """A usage meter."""

    id: str
    name: str
    description: str | None = None
    type: usage_meters.MeterType
    status: MeterStatus
    aggregation: Aggregation
    computations: Sequence[usage_meters.ComputationShape]
    created_at: datetime
    updated_at: datetime


class UsageMeterPage(Shape, frozen=True, kw_only=True):
    """A page of usage meters."""

    data: Sequence[UsageMeter]
    next_token: str | None = None
    context: PageContext | None = None


class AddOn(Shape, frozen=True, kw_only=True):
    """An add-on."""

    id: str
    name: str
    status: AddOnStatus
    created_at: datetime


class AddOnPage(Shape, frozen=True, kw_only=True):
    """A page of add-ons."""

    data: Sequence[AddOn]
    next_token: str | None = None
    context: PageContext | None = None


class CreateAddOnRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new add-on: of a fixed fee, for there were no others."""

    name: AddOnName


def _add_on(asked: CreateAddOnRequest) -> add_ons.CreateAddOnRequest:
    return add_ons.CreateAddOnRequest(name=asked.name, type=AddOnType.FIXED_FEE)


ANSWERS = {
    event_schemas.EventSchemaShape: fewer_fields(EventSchema),
    event_schemas.EventSchemaPage: fewer_fields(EventSchemaPage),
    event_schemas.EventSchemaVersions: fewer_fields(EventSchemaVersions),
    usage_meters.UsageMeterShape: fewer_fields(UsageMeter),
    usage_meters.UsageMeterPage: fewer_fields(UsageMeterPage),
    add_ons.AddOnShape: fewer_fields(AddOn),
    add_ons.AddOnPage: fewer_fields(AddOnPage),
}
QUESTIONS = {add_ons.CreateAddOnRequest: Question(shape=CreateAddOnRequest, meant=_add_on)}
