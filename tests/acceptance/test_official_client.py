"""The official Python client, unchanged, against a real server: its calls, its types, its exceptions."""

import ast
from pathlib import Path
from typing import Any

import pytest
import togai_client
from compatibility_page import served_document
from contract import operations
from official_client import api_client, methods
from rides import ride
from running_server import RunningServer
from togai_client.api.customers_api import CustomersApi
from togai_client.api.event_ingestion_api import EventIngestionApi
from togai_client.api.event_management_api import EventManagementApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.metrics_api import MetricsApi
from togai_client.exceptions import ApiException, BadRequestException, UnauthorizedException

NUMBERS = iter(range(10_000_000, 20_000_000))


def single(**changes: Any) -> togai_client.IngestEventRequest:
    return togai_client.IngestEventRequest.from_dict({"event": {**metered_ride(), **changes}})


def batch(*events: dict[str, Any]) -> togai_client.IngestBatchEventRequest:
    return togai_client.IngestBatchEventRequest.from_dict({"events": list(events)})


def metered_ride() -> dict[str, Any]:
    """A ride that is metered, whatever was sent before."""
    return ride(next(number for number in NUMBERS if number % 20 == 0))


def unchecked(**changes: Any) -> dict[str, Any]:
    """An event that the client's models let through and the interface does not: they match digits too widely."""
    return {**metered_ride(), "attributes": [{"name": "distance", "value": "5\n"}], **changes}


def test_one_event_is_accepted(official: togai_client.ApiClient) -> None:
    """202, read as the client's response type."""
    answer = EventIngestionApi(official).ingest_with_http_info(single())
    assert answer.status_code == 202
    assert answer.data == togai_client.IngestEventResponse(success=True)


def test_a_batch_is_accepted(official: togai_client.ApiClient) -> None:
    """202 for a batch of a thousand."""
    answer = EventIngestionApi(official).ingest_batch_with_http_info(batch(*(metered_ride() for _ in range(1000))))
    assert answer.status_code == 202
    assert answer.data == togai_client.IngestEventResponse(success=True)


def test_a_batch_is_accepted_in_part(official: togai_client.ApiClient) -> None:
    """207 is not an exception: the response says which event was refused and why."""
    refused = unchecked()
    answer = EventIngestionApi(official).ingest_batch_with_http_info(batch(metered_ride(), refused))
    assert answer.status_code == 207
    assert isinstance(answer.data, togai_client.IngestEventResponse)
    assert (answer.data.success, answer.data.status_code) == (False, 207)
    assert answer.data.details is not None
    [error] = answer.data.details["errors"]
    assert (error["index"], error["id"]) == (1, refused["id"])
    assert error["message"].startswith("events[1].attributes[0].value: ")


def test_a_bad_event_is_the_clients_bad_request(official: togai_client.ApiClient) -> None:
    """400 with a message that the client can read, for one event and for a batch without an acceptable one."""
    api = EventIngestionApi(official)
    for call, request in ((api.ingest, single(**unchecked())), (api.ingest_batch, batch(unchecked()))):
        with pytest.raises(BadRequestException) as raised:
            call(request)
        assert "attributes[0].value" in raised.value.data.message


def test_an_unknown_key_is_the_clients_unauthorized(server: RunningServer) -> None:
    """401."""
    with api_client(server, "tb_unknown") as client, pytest.raises(UnauthorizedException) as raised:
        EventIngestionApi(client).ingest(single())
    assert raised.value.data.message


def test_too_long_a_value_is_the_clients_exception(official: togai_client.ApiClient) -> None:
    """422: a quantity with more digits than the interface takes, which the client itself does not refuse."""
    request = single(**unchecked(attributes=[{"name": "distance", "value": "0." + "1" * 600}]))
    with pytest.raises(ApiException) as raised:
        EventIngestionApi(official).ingest(request)
    assert raised.value.status == 422
    assert raised.value.data.message


def test_what_was_ingested_is_read_back(official: togai_client.ApiClient, server: RunningServer) -> None:
    """Events, one event with its trace, usage, customers and invoices, each as the client's type."""
    event = metered_ride()
    EventIngestionApi(official).ingest(togai_client.IngestEventRequest.from_dict({"event": event}))
    server.wait_until_metered()
    listed = EventManagementApi(official).get_events(page_size=5)
    assert listed.events
    assert len(listed.events) <= 5
    [read] = EventManagementApi(official).get_single_event(event["id"]).events
    assert read.event_payload.id == event["id"]
    assert read.ingestion_status.status == "INGESTION_COMPLETED_EVENT_METERED"
    assert read.event_pipeline_info.account.id == event["accountId"]
    request = {
        "startTime": "2024-03-01T00:00:00Z",
        "endTime": "2024-05-01T00:00:00Z",
        "metricQueries": [{"id": "q", "name": "EVENTS", "aggregationPeriod": "MONTH"}],
    }
    [result] = MetricsApi(official).get_metrics(togai_client.GetMetricsRequest.from_dict(request)).results
    assert sum(sum(points.metric_values) for points in result.data) > 0
    assert CustomersApi(official).get_customers(page_size=3).data
    assert InvoicesApi(official).list_invoices(page_size=3) is not None


def test_every_operation_that_the_client_knows_is_driven_by_it() -> None:
    """Whatever is served and the client can call is called in the tests of this folder that are named after it."""
    files = Path(__file__).parent.glob("test_official_client*.py")
    called = {
        node.attr.removesuffix("_with_http_info").removesuffix("_without_preload_content")
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
    }
    served = set(operations(served_document()))
    callable_here = {name for name, (verb, path) in methods().items() if unnamed(verb, path) in served}
    assert callable_here - called == set()


def unnamed(verb: str, path: str) -> tuple[str, str]:
    """An operation as documents are compared by: whatever its path's parameters are called."""
    return verb.lower(), "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
