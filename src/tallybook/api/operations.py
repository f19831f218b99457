"""For operators: is the process alive, is the server ready, and its figures for Prometheus. No credential needed."""

from collections.abc import Iterable
from http import HTTPStatus

import msgspec
from litestar import MediaType, Response, get
from litestar.openapi.datastructures import ResponseSpec
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tallybook import telemetry
from tallybook.api.handling import Connected, Dependencies
from tallybook.core.errors import TallybookError


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether all is well, and if not, why."""

    status: str
    message: str | None = None


@get(
    "/healthz",
    sync_to_thread=False,
    operation_id="getHealth",
    summary="Is the process alive",
    tags=["Operations"],
    security=[{}],
)
def get_health() -> Health:
    return Health(status="ok")


@get(
    "/readyz",
    sync_to_thread=True,
    operation_id="getReadiness",
    summary="Can it take events now",
    tags=["Operations"],
    security=[{}],
    responses={
        HTTPStatus.SERVICE_UNAVAILABLE.value: ResponseSpec(Health, description="Not now; the message says why.")
    },
)
def get_readiness(dependencies: Connected) -> Response[Health]:
    try:
        backlog = dependencies.events.backlog()
    except TallybookError as error:
        return _not_ready(error.message)
    if backlog.log_bytes > dependencies.settings.backlog_bytes_max:
        return _not_ready("the backlog of events that wait to be metered is full")
    return Response(Health(status="ok"))


@get(
    "/metrics",
    sync_to_thread=True,
    operation_id="getFigures",
    summary="Figures in Prometheus text",
    tags=["Operations"],
    media_type=MediaType.TEXT,
    security=[{}],
)
def get_figures(dependencies: Connected) -> Response[bytes]:
    return Response(telemetry.exposition(_Backlog(dependencies)), media_type="text/plain; version=0.0.4; charset=utf-8")


class _Backlog(Collector):
    """How far metering is behind, read from the log and the database at the moment of asking."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies

    def collect(self) -> Iterable[Metric]:
        backlog = self._dependencies.events.backlog()
        yield CounterMetricFamily(
            "tallybook_log_position", "The last position given out in the log", value=backlog.last_position
        )
        yield CounterMetricFamily(
            "tallybook_metered_position",
            "The log position through which everything is metered",
            value=backlog.metered_position,
        )
        yield GaugeMetricFamily(
            "tallybook_waiting_records",
            "Accepted request bodies that wait to be metered",
            value=backlog.waiting_records,
        )
        yield GaugeMetricFamily("tallybook_log_bytes", "Room that untrimmed log records take", value=backlog.log_bytes)


def _not_ready(message: str) -> Response[Health]:
    return Response(
        Health(status="unavailable", message=message),
        status_code=HTTPStatus.SERVICE_UNAVAILABLE,
        headers={"Retry-After": "1"},
    )


ROUTES = (get_health, get_readiness, get_figures)
