"""Events and their traces as generation 2023-05 has them."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Literal

import msgspec

from tallybook.api import events
from tallybook.api.generation_2023_05.shape import Shape, fitted
from tallybook.api.generations import Answer
from tallybook.core.ingestion_status import IngestionStatus

DESCRIPTION_CHARACTERS_MAX = 250  # of a status


class Event(Shape, frozen=True, kw_only=True):
    """An event as it was sent, and when it was received."""

    schema_name: str
    id: str
    timestamp: datetime
    account_id: str
    attributes: Sequence[events.AttributeShape]
    dimensions: dict[str, str]
    created_at: datetime


class KnownIngestionStatus(Enum):
    """The statuses of this generation; the description tells the newer ones from each other."""

    IN_PROGRESS = "INGESTION_IN_PROGRESS"
    METERED = "INGESTION_COMPLETED_EVENT_METERED"
    NOT_METERED = "INGESTION_COMPLETED_EVENT_NOT_METERED"
    NO_MATCHING_METERS = "INGESTION_COMPLETED_NO_MATCHING_METERS"
    FAILED = "INGESTION_FAILED"
    ENRICHMENT_FAILED = "INGESTION_FAILED_ENRICHMENT_FAILED"
    SCHEMA_NOT_DEFINED = "INGESTION_FAILED_SCHEMA_NOT_DEFINED"
    UNITS_INVALID = "INGESTION_FAILED_UNITS_INVALID"
    UNKNOWN = "UNKNOWN"


class IngestionStatusShape(Shape, frozen=True, kw_only=True):
    """What became of an event."""

    status: KnownIngestionStatus
    status_description: str | None = None


class EventWithStatus(Shape, frozen=True, kw_only=True):
    """An event with its verdict."""

    event_payload: Event
    ingestion_status: IngestionStatusShape
    customer_id: str | None = None


class MeterTrace(Shape, frozen=True, kw_only=True):
    """What a meter made of an event."""

    id: str
    name: str
    version: int
    status: Literal["PROCESSED_FILTERED_OUT", "PROCESSED_UNITS_COMPUTED"]
    units: Decimal | None = None


class PlanTrace(Shape, frozen=True, kw_only=True):
    """The plan that bills an event, and the cycle."""

    id: str
    name: str
    schedule_id: str
    cycle_start: date
    cycle_end: date
    usage_meters: Sequence[str]


class Named(Shape, frozen=True, kw_only=True):
    """An account or a customer by id and name."""

    id: str
    name: str


class Pipeline(Shape, frozen=True, kw_only=True):
    """What was made of an event, step by step."""

    event_schema: events.EventSchemaShape | None = None
    usage_meters: Sequence[MeterTrace] | None = None
    price_plans: Sequence[PlanTrace] | None = None
    account: Named | None = None
    customer: Named | None = None
    enrichments: events.EnrichmentTraceShape | None = None


class EventWithTrace(EventWithStatus, frozen=True, kw_only=True):
    """An event with its verdict and its trace; the capital is the generation's own."""

    event_pipeline_info: Pipeline = msgspec.field(name="EventPipelineInfo")


class GetEventsResponse(Shape, frozen=True, kw_only=True):
    """A page of events."""

    events: Sequence[EventWithStatus]
    next_token: str | None = None


class GetEventResponse(Shape, frozen=True, kw_only=True):
    """All events with one id."""

    events: Sequence[EventWithTrace]


def _events(found: events.GetEventsResponse) -> GetEventsResponse:
    return GetEventsResponse(events=[_with_status(each) for each in found.events], next_token=found.next_token)


def _event(found: events.GetEventResponse) -> GetEventResponse:
    return GetEventResponse(
        events=[
            EventWithTrace(
                **msgspec.structs.asdict(_with_status(each)),
                event_pipeline_info=fitted(Pipeline)(each.event_pipeline_info),
            )
            for each in found.events
        ]
    )


def _with_status(event: events.EventWithStatus) -> EventWithStatus:
    payload = event.event_payload
    return EventWithStatus(
        event_payload=Event(
            schema_name=payload.schema_name,
            id=payload.id or "",
            timestamp=payload.timestamp,
            account_id=payload.account_id,
            attributes=payload.attributes,
            dimensions=payload.dimensions,
            created_at=event.created_at,
        ),
        ingestion_status=_status(event.ingestion_status),
        customer_id=event.customer_id,
    )


def _status(found: events.IngestionStatusShape) -> IngestionStatusShape:
    if found.status in {each.value for each in KnownIngestionStatus}:
        return IngestionStatusShape(
            status=KnownIngestionStatus(found.status), status_description=found.status_description
        )
    told = f"{found.status}: {found.status_description or ''}".rstrip(": ")
    known = KnownIngestionStatus.UNKNOWN if found.status is IngestionStatus.REVERTED else KnownIngestionStatus.FAILED
    return IngestionStatusShape(status=known, status_description=told[:DESCRIPTION_CHARACTERS_MAX])


ANSWERS = {
    events.GetEventsResponse: Answer(shape=GetEventsResponse, written=_events),
    events.GetEventResponse: Answer(shape=GetEventResponse, written=_event),
}
