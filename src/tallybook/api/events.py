"""Reading events and figures: `GET /events`, `GET /events/{event_id}` and `POST /metrics` (generation 2024-12)."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import Caller, Connected, NextToken, asking, reading
from tallybook.api.paging import Listing
from tallybook.core.errors import Invalid, NotFound
from tallybook.core.event import decode_event, utc
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import instant_at
from tallybook.flows.bill import Billing
from tallybook.flows.metrics import Field, MetricName, Metrics, Period, Query, Series
from tallybook.flows.query import PAGE_EVENTS_MAX, EventFilter, EventTrace
from tallybook.storage.catalog import Catalog
from tallybook.storage.event_rows import EventRow

QUERIES_MAX = 5
FILTERS_MAX = 5
FILTER_VALUES_MAX = 100


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
    status: str
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


class PipelineShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What was made of an event, step by step."""

    event_schema: EventSchemaShape | None = None
    usage_meters: Sequence[MeterTraceShape] | None = None
    price_plans: Sequence[PlanTraceShape] | None = None
    account: AccountTraceShape | None = None
    customer: CustomerTraceShape | None = None
    invoice_currency: str | None = None


class EventWithTrace(EventWithStatus, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    event_pipeline_info: PipelineShape | None = None


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
        events=[_with_status(row) for row in rows], next_token=_EVENTS.token(dependencies, identity, page, last)
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


def _with_status(row: EventRow) -> EventWithStatus:
    return EventWithStatus(
        reference_id=f"event.{row.partition}.{row.position}.{row.index}",
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
    listed = _with_status(trace.row)
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
                usage_meters=[card.meter_id for card in billed_by.plan.rate_cards],
            )
        ]
        if billed_by
        else [],
        account=AccountTraceShape(id=account.account_id, name=account.name, alias=alias) if account else None,
        customer=CustomerTraceShape(id=account.customer_id, name=trace.customer_name) if account else None,
        invoice_currency=account.currency if account else None,
    )


# ---- figures -----------------------------------------------------------------------------------------------------


class FilterShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    field_name: Field
    field_values: Annotated[list[str], msgspec.Meta(max_length=FILTER_VALUES_MAX)]


class MetricQueryShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(max_length=255)]
    name: str
    aggregation_period: Period
    group_by: Field | None = None
    configs: dict[str, str] | None = None
    filters: Annotated[list[FilterShape], msgspec.Meta(max_length=FILTERS_MAX)] | None = None


class GetMetricsRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Up to five queries over one window; times without an offset are UTC."""

    start_time: datetime
    end_time: datetime
    metric_queries: Annotated[list[MetricQueryShape], msgspec.Meta(min_length=1, max_length=QUERIES_MAX)]


class GroupShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    field_name: Field
    field_value: str


class DataPointsShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    timestamps: Sequence[datetime]
    metric_values: Sequence[Decimal]
    grouped_by: GroupShape | None = None


class MetricResultShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    id: str
    name: MetricName
    data: Sequence[DataPointsShape]


class GetMetricsResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    results: Sequence[MetricResultShape]


@asking(
    "/metrics",
    operation_id="getMetrics",
    summary="Events, usage and revenue over time",
    tag="Metrics",
)
def get_metrics(data: JSONBody[GetMetricsRequest], identity: Caller, dependencies: Connected) -> GetMetricsResponse:
    metrics = Metrics(
        Catalog(dependencies.database),
        dependencies.events.usage_store,
        dependencies.events,
        Billing(dependencies.database),
    )
    return GetMetricsResponse(
        results=[
            _result(metrics, identity.organisation_id, data, asked, number)
            for number, asked in enumerate(data.metric_queries)
        ]
    )


def _result(
    metrics: Metrics, organisation_id: str, data: GetMetricsRequest, asked: MetricQueryShape, number: int
) -> MetricResultShape:
    place = f"metricQueries[{number}]"
    query = Query(
        name=_name(asked.name, place),
        start=utc(data.start_time),
        end=utc(data.end_time),
        period=asked.aggregation_period,
        group_by=asked.group_by,
        filters={each.field_name: each.field_values for each in asked.filters or ()},
        in_invoice_currency=_in_invoice_currency(asked.configs or {}, place),
    )
    try:
        series = metrics.answer(organisation_id, query)
    except Invalid as error:
        raise Invalid(f"{place}: {error.message}", code=error.code) from None
    return MetricResultShape(id=asked.id, name=query.name, data=[_points(each, query.group_by) for each in series])


def _name(name: str, place: str) -> MetricName:
    if name not in set(MetricName):
        known = ", ".join(MetricName)
        raise Invalid(f"{place}.name: {name[:60]!r} is not supported; choose one of {known}", code="UNSUPPORTED")
    return MetricName(name)


def _in_invoice_currency(configs: dict[str, str], place: str) -> bool:
    for name, value in configs.items():
        if name != "CURRENCY" or value not in ("BASE", "INVOICE"):
            raise Invalid(f"{place}.configs: the one setting is CURRENCY, BASE or INVOICE")
    return configs.get("CURRENCY") == "INVOICE"


def _points(series: Series, group_by: Field | None) -> DataPointsShape:
    group = None
    if group_by is not None and series.group is not None:
        group = GroupShape(field_name=group_by, field_value=series.group)
    return DataPointsShape(timestamps=series.buckets, metric_values=series.values, grouped_by=group)


ROUTES = (get_events, get_single_event, get_metrics)
