"""The official Python client, unchanged, against a real server: events corrected, jobs, and figures of both."""

from collections.abc import Callable
from typing import Any

import pytest
import togai_client
from rides import ride
from running_server import RunningServer, wait_until
from togai_client.api.event_ingestion_api import EventIngestionApi
from togai_client.api.event_management_api import EventManagementApi
from togai_client.api.jobs_api import JobsApi
from togai_client.api.metrics_api import MetricsApi
from togai_client.exceptions import NotFoundException

METERED = "INGESTION_COMPLETED_EVENT_METERED"
NUMBERS = iter(range(30_000_000, 40_000_000, 60))
"""Rides that are metered, in an account's hours that no other test looks at."""


@pytest.fixture
def sent(official: togai_client.ApiClient, server: RunningServer) -> Callable[[], dict[str, Any]]:
    """Sends a ride that nobody sent before, and returns it when it is metered."""

    def send() -> dict[str, Any]:
        event = ride(next(NUMBERS))
        EventIngestionApi(official).ingest(togai_client.IngestEventRequest.from_dict({"event": event}))
        server.wait_until_metered()
        return event

    return send


def correct(official: togai_client.ApiClient, action: str, event: dict[str, Any], **options: Any) -> Any:
    """What the client does: it has no filters, so the body's event says which one is meant."""
    request = togai_client.EventCorrectionRequest.from_dict({"event": event})
    return EventManagementApi(official).event_correction(action, event_correction_request=request, **options)


def statuses(official: togai_client.ApiClient, event_id: str) -> list[str]:
    return [each.ingestion_status.status for each in EventManagementApi(official).get_single_event(event_id).events]


def units(event: dict[str, Any], official: togai_client.ApiClient) -> float:
    """What the month's usage is of all meters, as the client reads it."""
    request = {
        "startTime": "2024-03-01T00:00:00Z",
        "endTime": "2024-05-01T00:00:00Z",
        "metricQueries": [
            {
                "id": "q",
                "name": "USAGE",
                "aggregationPeriod": "MONTH",
                "groupBy": "USAGE_METER_ID",
                "filters": [{"fieldName": "ACCOUNT_ID", "fieldValues": [event["accountId"]]}],
            }
        ],
    }
    [result] = MetricsApi(official).get_metrics(togai_client.GetMetricsRequest.from_dict(request)).results
    return sum(sum(points.metric_values) for points in result.data)


def test_an_event_is_undone_and_its_id_is_free_again(
    official: togai_client.ApiClient, sent: Callable[[], dict[str, Any]], server: RunningServer
) -> None:
    """The answer says REVERTED, the event reads so, and the same id counts once more when it is sent again."""
    event = sent()
    [done] = correct(official, "UNDO", event).data
    assert (done.status, done.ingestion_status.status) == ("REVERTED", "REVERTED")
    assert statuses(official, event["id"]) == ["REVERTED"]
    EventIngestionApi(official).ingest(togai_client.IngestEventRequest.from_dict({"event": event}))
    server.wait_until_metered()
    assert sorted(statuses(official, event["id"])) == [METERED, "REVERTED"]


def test_an_event_is_ingested_again(official: togai_client.ApiClient, sent: Callable[[], dict[str, Any]]) -> None:
    """REDO leaves the usage as it was, and both readings of the event to be seen."""
    event = sent()
    before = units(event, official)
    [done] = correct(official, "REDO", event).data
    assert done.status == "REVERTED_AND_REINGESTED"
    assert sorted(statuses(official, event["id"])) == [METERED, "REVERTED"]
    assert units(event, official) == before


def test_another_event_takes_an_events_place(
    official: togai_client.ApiClient, sent: Callable[[], dict[str, Any]]
) -> None:
    """REDO_EVENT: the figures are those of the event that was sent with it."""
    event = sent()
    changed = {**event, "attributes": [{"name": "distance", "value": "1", "unit": "Kilometers"}]}
    [done] = correct(official, "REDO_EVENT", changed).data
    assert done.status == "REVERTED_AND_REINGESTED"
    read = EventManagementApi(official).get_single_event(event["id"]).events
    metered = [each for each in read if each.ingestion_status.status == METERED]
    assert [each.event_payload.attributes[0].value for each in metered] == ["1"]


def test_what_is_not_there_cannot_be_corrected(official: togai_client.ApiClient) -> None:
    """404; the client declares no such answer here, so it has the exception but does not read the message."""
    with pytest.raises(NotFoundException) as raised:
        correct(official, "UNDO", {**ride(60), "id": "official-never-sent"})
    assert "no event matches" in raised.value.body


def test_a_job_waits_for_its_confirmation(official: togai_client.ApiClient, sent: Callable[[], dict[str, Any]]) -> None:
    """With `require_confirmation` nothing happens before the job is confirmed; then its entry is completed.

    The client declares no 202 for this operation, so it reads no job from the answer; the list of jobs has it.
    """
    event = sent()
    api = JobsApi(official)
    job_id = started(official, event)
    wait_for_status(api, job_id, "WAITING_FOR_CONFIRMATION")
    assert statuses(official, event["id"]) == [METERED]
    api.confirm_job(job_id)
    wait_for_status(api, job_id, "COMPLETED")
    assert statuses(official, event["id"]) == ["REVERTED"]
    [entry] = api.get_job_entries(job_id).data
    assert entry.status == "COMPLETED"
    job = api.get_job_status(job_id)
    assert (job.total_job_entries, job.completed_job_entries) == (1, 1)


def test_a_job_that_is_rejected_does_nothing(
    official: togai_client.ApiClient, sent: Callable[[], dict[str, Any]]
) -> None:
    """The event stays as it was, and the job is cancelled."""
    event = sent()
    api = JobsApi(official)
    job_id = started(official, event)
    wait_for_status(api, job_id, "WAITING_FOR_CONFIRMATION")
    api.reject_job(job_id)
    wait_for_status(api, job_id, "CANCELLED")
    assert statuses(official, event["id"]) == [METERED]


def started(official: togai_client.ApiClient, event: dict[str, Any]) -> str:
    """Start a job that undoes the event, and find it in the list."""
    known = {job.id for job in JobsApi(official).get_jobs(page_size=100).data}
    correct(official, "UNDO", event, require_confirmation=True)
    [job] = [job for job in JobsApi(official).get_jobs(page_size=100).data if job.id not in known]
    assert job.type == "EVENT_CORRECTIONS"
    job_id: str = job.id
    return job_id


def wait_for_status(api: JobsApi, job_id: str, status: str) -> None:
    wait_until(
        lambda: api.get_job_status(job_id).status == status,
        timeout_s=30,
        what=lambda: f"{status}; it is {api.get_job_status(job_id).status}",
        interval_s=0.2,
    )
