"""`POST /metrics`: events, usage and revenue over time, in buckets or by billing cycle (generation 2024-12)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar.params import JSONBody

from tallybook.api.handling import Caller, Connected, asking
from tallybook.api.parameters import utc_instant
from tallybook.core.errors import Invalid
from tallybook.core.metric import Field, MetricName, Period, Query, Series
from tallybook.flows.authenticate import now_utc
from tallybook.flows.bill import Billing
from tallybook.flows.metrics import Metrics

QUERIES_MAX = 5
FILTERS_MAX = 5
FILTER_VALUES_MAX = 100
QUERY_ID_CHARACTERS_MAX = 255
FILTER_VALUE_CHARACTERS_MAX = 512  # the longest id there is
CONFIGS_MAX = 5  # there is one


class FilterShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    field_name: Field
    field_values: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=FILTER_VALUE_CHARACTERS_MAX)]],
        msgspec.Meta(min_length=1, max_length=FILTER_VALUES_MAX),
    ]


class MetricQueryShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(max_length=QUERY_ID_CHARACTERS_MAX)]
    name: MetricName
    aggregation_period: Period
    group_by: Field | None = None
    configs: Annotated[dict[str, str], msgspec.Meta(max_length=CONFIGS_MAX)] | None = None
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
    metrics = Metrics(dependencies.database, dependencies.events, Billing(dependencies.database))
    start, end = utc_instant(data.start_time, "startTime"), utc_instant(data.end_time, "endTime")
    now = now_utc()
    results = []
    for number, asked in enumerate(data.metric_queries):
        try:
            query = _query(asked, start, end)
            series = metrics.answer(identity.organisation_id, query, now=now)
        except Invalid as error:
            raise Invalid(f"metricQueries[{number}]: {error.message}", code=error.code) from None
        points = [_points(each, query.group_by) for each in series]
        results.append(MetricResultShape(id=asked.id, name=query.name, data=points))
    return GetMetricsResponse(results=results)


def _query(asked: MetricQueryShape, start: datetime, end: datetime) -> Query:
    return Query(
        name=asked.name,
        start=start,
        end=end,
        period=asked.aggregation_period,
        group_by=asked.group_by,
        filters=_filters(asked.filters or ()),
        in_invoice_currency=_in_invoice_currency(asked.configs or {}),
    )


def _filters(asked: Sequence[FilterShape]) -> Mapping[Field, Sequence[str]]:
    filters = {each.field_name: each.field_values for each in asked}
    if len(filters) < len(asked):
        raise Invalid("filters: one field stands there twice; put all its values into one filter")
    return filters


def _in_invoice_currency(configs: Mapping[str, str]) -> bool:
    for config, value in configs.items():
        if config != "CURRENCY" or value not in ("BASE", "INVOICE"):
            raise Invalid("configs: the one setting is CURRENCY, BASE or INVOICE")
    return configs.get("CURRENCY") == "INVOICE"


def _points(series: Series, group_by: Field | None) -> DataPointsShape:
    group = None
    if group_by is not None and series.group is not None:
        group = GroupShape(field_name=group_by, field_value=series.group)
    return DataPointsShape(timestamps=series.starts, metric_values=series.values, grouped_by=group)


ROUTES = (get_metrics,)
