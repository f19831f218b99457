"""Reading events: `GET /events` and `GET /events/{event_id}` (generation 2024-12)."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from litestar.params import FromPath, QueryParameter

from tallybook.api.event_schemas import DependencyType, FieldType
from tallybook.api.handling import Caller, Connected, NextToken, reading
from tallybook.api.paging import Listing
from tallybook.core.correction import EventPlace
from tallybook.core.errors import NotFound
from tallybook.core.event import decode_event, utc
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import instant_at
from tallybook.flows.enrich import EnrichmentTrace
from tallybook.flows.query import PAGE_EVENTS_MAX, EventFilter, EventTrace
from tallybook.storage.event_rows import EventRow


class AttributeShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str
    value: str
    unit: str | None = None


class EventShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An event as it was sent, its timestamp in UTC."""

    schema_name: str
    timestamp: datetime
    account_id: str
    attributes: Sequence[AttributeShape]
    dimensions: dict[str, str]
    id: str | None = None


class IngestionStatusShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    status: IngestionStatus
    status_description: str | None = None


class EventWithStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    reference_id: str
    event_payload: EventShape
    ingestion_status: IngestionStatusShape
    created_at: datetime
    customer_id: str | None = None


class EventSchemaShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str
    version: int


class MeterTraceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    id: str
    name: str
    version: int
    status: Literal["PROCESSED_FILTERED_OUT", "PROCESSED_UNITS_COMPUTED"]
    units: Decimal | None = None


class PlanTraceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    id: str
    name: str
    schedule_id: str
    cycle_start: date
    cycle_end: date
    usage_meters: Sequence[str]


class AccountTraceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    id: str
    name: str
    alias: str | None = None


class CustomerTraceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    id: str
    name: str


class FieldTraceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str
    type: FieldType
    value: str


class DependencyTraceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A setting as it was when the event was enriched."""

    key: str
    type: DependencyType
    value: str
    name: str | None = None


class EnrichmentTraceShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the event was given before its meters read it."""

    attributes: Sequence[FieldTraceShape]
    dimensions: Sequence[FieldTraceShape]
    dependencies: Sequence[DependencyTraceShape]


class PipelineShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was made of an event, step by step."""

    event_schema: EventSchemaShape | None = None
    usage_meters: Sequence[MeterTraceShape] | None = None
    price_plans: Sequence[PlanTraceShape] | None = None
    account: AccountTraceShape | None = None
    customer: CustomerTraceShape | None = None
    enrichments: EnrichmentTraceShape | None = None
    status_before_reverting: str | None = None
    base_currency: str | None = None
    invoice_currency: str | None = None


class EventWithTrace(EventWithStatus, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    event_pipeline_info: PipelineShape


class GetEventsResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    events: Sequence[EventWithStatus]
    next_token: str | None = None


class GetEventResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    events: Sequence[EventWithTrace]


_EVENTS = Listing("events", tuple[int, int], size_default=PAGE_EVENTS_MAX)
_PageSize = Annotated[
    int | None, QueryParameter(name="pageSize", description="Events on a page, normally 50.", ge=1, le=PAGE_EVENTS_MAX)
]


@reading(
    "/events",
    operation_id="getEvents",
    summary="List events with their verdicts, newest received first",
    tag="Event Management",
)
def get_events(
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    status: Annotated[IngestionStatus | None, QueryParameter(name="status")] = None,
    account_id: Annotated[str | None, QueryParameter(name="account_id", max_length=512)] = None,
    schema_name: Annotated[str | None, QueryParameter(name="schema_name", max_length=50)] = None,
    page_size: _PageSize = None,
) -> GetEventsResponse:
    page = _EVENTS.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"status": status, "account_id": account_id, "schema_name": schema_name},
    )
    wanted = msgspec.convert(page.filters, EventFilter)
    rows, last = dependencies.events.page(identity.organisation_id, wanted, before=page.after, limit=page.size)
    return GetEventsResponse(
        events=[with_status(row) for row in rows], next_token=_EVENTS.token(dependencies, identity, page, last)
    )


@reading(
    "/events/{event_id:str}",
    operation_id="getSingleEvent",
    summary="Read all events with an id, each with its trace",
    tag="Event Management",
)
def get_single_event(event_id: FromPath[str], identity: Caller, dependencies: Connected) -> GetEventResponse:
    rows = dependencies.events.find(identity.organisation_id, event_id)
    if not rows:
        raise NotFound(f"no event with the id {event_id[:100]!r}")
    return GetEventResponse(events=[_with_trace(dependencies.events.trace(row)) for row in rows])


def with_status(row: EventRow) -> EventWithStatus:
    """An event as lists show it."""
    return EventWithStatus(
        reference_id=EventPlace(row.partition, row.position, row.index).reference_id,
        event_payload=_payload(row),
        ingestion_status=IngestionStatusShape(
            status=IngestionStatus(row.status), status_description=row.status_description
        ),
        created_at=instant_at(row.received_at),
    )


def _payload(row: EventRow) -> EventShape:
    event = decode_event(row.event.encode())
    return EventShape(
        schema_name=event.schema_name,
        timestamp=utc(event.timestamp),
        account_id=event.account_id,
        attributes=[AttributeShape(name=each.name, value=each.value, unit=each.unit) for each in event.attributes],
        dimensions=event.dimensions,
        id=row.event_id,
    )


def _with_trace(trace: EventTrace) -> EventWithTrace:
    listed = with_status(trace.row)
    account = trace.account
    return EventWithTrace(
        reference_id=listed.reference_id,
        event_payload=listed.event_payload,
        ingestion_status=listed.ingestion_status,
        created_at=listed.created_at,
        customer_id=account.customer_id if account else None,
        event_pipeline_info=_pipeline(trace),
    )


def _pipeline(trace: EventTrace) -> PipelineShape:
    row, account, billed_by = trace.row, trace.account, trace.billed_by
    alias = row.account_reference if account and row.account_reference != account.account_id else None
    return PipelineShape(
        event_schema=EventSchemaShape(name=row.schema_name, version=row.schema_version) if row.schema_version else None,
        usage_meters=[
            MeterTraceShape(
                id=meter.meter_id,
                name=trace.meter_names[meter.meter_id],
                version=meter.meter_version,
                status="PROCESSED_FILTERED_OUT" if meter.units is None else "PROCESSED_UNITS_COMPUTED",
                units=None if meter.units is None else Decimal(meter.units),
            )
            for meter in row.meters
        ],
        price_plans=[
            PlanTraceShape(
                id=billed_by.plan.plan_id,
                name=billed_by.plan.name,
                schedule_id=billed_by.schedule.schedule_id,
                cycle_start=billed_by.cycle_start,
                cycle_end=billed_by.cycle_end,
                usage_meters=[card.meter_id for card in billed_by.plan.usage_cards],
            )
        ]
        if billed_by
        else [],
        account=AccountTraceShape(id=account.account_id, name=account.name, alias=alias) if account else None,
        customer=CustomerTraceShape(id=account.customer_id, name=trace.customer_name) if account else None,
        enrichments=_enrichments(trace.enrichment) if trace.enrichment else None,
        status_before_reverting=row.status_before_reverting,
        base_currency=trace.base_currency,
        invoice_currency=account.currency if account else None,
    )


def _enrichments(trace: EnrichmentTrace) -> EnrichmentTraceShape:
    return EnrichmentTraceShape(
        attributes=_enriched(trace.attributes, FieldType.ATTRIBUTE),
        dimensions=_enriched(trace.dimensions, FieldType.DIMENSION),
        dependencies=[
            DependencyTraceShape(key=each.key, type=DependencyType.SETTING, value=each.value, name=each.name)
            for each in trace.dependencies
        ],
    )


def _enriched(values: Mapping[str, str], kind: FieldType) -> list[FieldTraceShape]:
    return [FieldTraceShape(name=name, type=kind, value=value) for name, value in values.items()]


ROUTES = (get_events, get_single_event)
