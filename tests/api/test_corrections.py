"""`POST /events/correction` and `/jobs` over HTTP: what may be asked, and how it is answered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.credential import Scope


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path)
    yield made
    made.close()


@pytest.fixture
def caller(embedded: Embedded) -> Iterator[Caller]:
    """Accounts `a1` and `a2`, with a metering process beside."""
    with embedded.caller() as client, embedded.metering_along():
        each = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        samples.active_meter(each)
        each.post("/customers", samples.customer())
        for account_id in ("a1", "a2"):
            each.post("/accounts", samples.account(account_id))
        yield each


def accept(embedded: Embedded, *events: dict[str, Any]) -> None:
    embedded.send(*events)
    embedded.meter()


def correct(caller: Caller, action: str, body: Any = None, code: int = 200, **filters: Any) -> Any:
    return caller.send("POST", "/events/correction", code, json=body, params={"action": action, **filters})


def statuses(caller: Caller, event_id: str) -> list[str]:
    return [each["ingestionStatus"]["status"] for each in caller.get(f"/events/{event_id}")["events"]]


METERED, REVERTED = "INGESTION_COMPLETED_EVENT_METERED", "REVERTED"


def test_undo_answers_with_the_event_as_it_is_now(embedded: Embedded, caller: Caller) -> None:
    """Payload, status of the event, status of its correction, and a reason in words."""
    accept(embedded, event())
    [done] = correct(caller, "UNDO", account_id="a1", event_id="e1")["data"]
    assert done["referenceId"] == "event.0.1.0"
    assert done["eventPayload"]["id"] == "e1"
    assert done["ingestionStatus"]["status"] == REVERTED
    assert (done["status"], done["reason"]) == ("REVERTED", "the event is reverted")
    [again] = correct(caller, "UNDO", account_id="a1", event_id="e1")["data"]
    assert (again["status"], again["reason"]) == ("FAILED", "the event was reverted before")


def test_each_legal_combination_of_filters(embedded: Embedded, caller: Caller) -> None:
    """Those of the interface, and by schema and status; any other is refused with the list of the legal ones."""
    for number, names in enumerate(
        (
            ("account_id",),
            ("account_id", "id"),
            ("account_id", "event_id"),
            ("account_id", "event_source_time"),
            ("account_id", "event_id", "created_at"),
            ("account_id", "event_id", "event_source_time"),
            ("account_id", "status"),
            ("account_id", "schema_name"),
            ("account_id", "schema_name", "status"),
            ("schema_name",),
            ("schema_name", "status"),
        )
    ):
        accept(embedded, event(f"e{number}", timestamp=f"2024-01-15T00:00:{number:02}.000001+00:00"))
        [shown] = caller.get(f"/events/e{number}")["events"]
        values = {
            "account_id": "a1",
            "id": shown["referenceId"],
            "event_id": f"e{number}",
            "event_source_time": shown["eventPayload"]["timestamp"],
            "created_at": shown["createdAt"],
            "schema_name": "rides",
            "status": METERED,
        }
        [done] = correct(caller, "UNDO", **{name: values[name] for name in names})["data"]
        assert (done["status"], done["eventPayload"]["id"]) == ("REVERTED", f"e{number}")
    for names in (("event_id",), ("status",), ("account_id", "created_at"), ("account_id", "id", "event_id")):
        refused = correct(caller, "UNDO", code=400, **{name: values[name] for name in names})
        assert refused["code"] == "FILTER_COMBINATION"


def test_a_body_without_filters_names_the_event(embedded: Embedded, caller: Caller) -> None:
    """As clients must that know of no filters: by account and id; REDO_EVENT by id, for the account may be wrong."""
    accept(embedded, event("e1"), event("e2"), event("e3"))
    assert [each["status"] for each in correct(caller, "UNDO", {"event": event("e1")})["data"]] == ["REVERTED"]
    [done] = correct(caller, "REDO", {"event": event("e2")})["data"]
    assert done["status"] == "REVERTED_AND_REINGESTED"
    correct(caller, "UNDO", {"event": event("e3", accountId="a2")}, code=404)
    [done] = correct(caller, "REDO_EVENT", {"event": event("e3", accountId="a2", attributes=distance(1))})["data"]
    assert done["status"] == "REVERTED_AND_REINGESTED"
    assert sorted((place[1], *total) for place, total in embedded.usage().items()) == [
        ("a1", "12.5", 1),
        ("a2", "1", 1),
    ]
    for body in (None, {}, {"event": event(None)}):
        correct(caller, "UNDO", body, code=400)


def test_what_is_refused(embedded: Embedded, caller: Caller) -> None:
    """Unknown actions, parameters and fields; a body that does not fit the action; an event that is none."""
    accept(embedded, event())
    named = {"account_id": "a1", "event_id": "e1"}
    correct(caller, "REVERT", code=400, **named)
    caller.post("/events/correction", status=400, **named)
    correct(caller, "UNDO", code=400, surprise="x", **named)
    correct(caller, "UNDO", code=400, account_id="a1", id="event.1")
    correct(caller, "UNDO", {"event": event(), "more": 1}, code=400, **named)
    correct(caller, "UNDO", {"event": event("e2")}, code=400, **named)
    correct(caller, "REDO_EVENT", code=400, **named)
    for bad in (distance("1e3"), distance("x"), [{"name": "distance", "value": 1}], distance(1) * 2):
        correct(caller, "REDO_EVENT", {"event": event(attributes=bad)}, code=400, **named)
    correct(caller, "UNDO", code=404, account_id="a1", event_id="e9")
    assert statuses(caller, "e1") == [METERED]


def test_scopes_and_organisations(embedded: Embedded, caller: Caller) -> None:
    """Reading is not enough, and another organisation's events and jobs are not there."""
    accept(embedded, event())
    for scope in (Scope.READ, Scope.INGEST):
        correct(caller.of(ORGANISATION, scope), "UNDO", code=403, account_id="a1")
    stranger = caller.of("umbrella")
    correct(stranger, "UNDO", code=404, account_id="a1", event_id="e1")
    correct(stranger, "UNDO", code=404, account_id="a1", id="event.0.1.0")
    job_id = correct(caller, "UNDO", code=202, account_id="a1", require_confirmation=True)["id"]
    assert stranger.get("/jobs")["data"] == []
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/entries"):
        stranger.get(path, status=404)
    for verb in ("confirm", "reject"):
        stranger.post(f"/jobs/{job_id}/{verb}", status=404)
    stranger_job = correct(stranger, "UNDO", code=202, account_id="a1", **{"async": True})["id"]
    embedded.run_jobs()
    assert stranger.get(f"/jobs/{stranger_job}")["totalJobEntries"] == 0
    assert caller.get(f"/jobs/{job_id}")["totalJobEntries"] == 1
    assert statuses(caller, "e1") == [METERED]


def test_a_job_corrects_all_that_matches(embedded: Embedded, caller: Caller) -> None:
    """Answered at once with 202; run by the runner; its entries say what became of each event."""
    accept(embedded, *(event(f"e{number:03}") for number in range(120)), event("other", accountId="a2"))
    correct(caller, "UNDO", account_id="a1", event_id="e007")
    job = correct(caller, "UNDO", code=202, account_id="a1", **{"async": True})
    assert (job["type"], job["status"], job["totalJobEntries"]) == ("EVENT_CORRECTIONS", "SCHEDULED", 0)
    embedded.send(event("later"))
    embedded.run_jobs()
    done = caller.get(f"/jobs/{job['id']}")
    assert done["status"] == "COMPLETED"
    assert "settledAt" in done
    counts = [done[f"{name}JobEntries"] for name in ("total", "pending", "failed", "completed")]
    assert counts == [119, 0, 0, 119]
    assert sorted(embedded.usage().values()) == [("12.5", 1), ("12.5", 1)], "of the other account, and of the later one"
    assert statuses(caller, "later") == [METERED], "what came after the request is not its business"
    first = caller.get(f"/jobs/{job['id']}/entries", pageSize=100)
    second = caller.get(f"/jobs/{job['id']}/entries", nextToken=first["nextToken"])
    assert "nextToken" not in second
    entries = [*first["data"], *second["data"]]
    assert len({each["entityId"] for each in entries}) == 119
    assert {each["status"] for each in entries} == {"COMPLETED"}
    assert {each["jobId"] for each in entries} == {job["id"]}
    assert [each["id"] for each in caller.get("/jobs")["data"]] == [job["id"]]
    assert embedded.verified().differences == []


def test_a_job_waits_for_confirmation(embedded: Embedded, caller: Caller) -> None:
    """Confirmed, it runs; rejected, it is cancelled with its entries; and neither can be said twice."""
    accept(embedded, event())
    confirmed, rejected = (
        correct(caller, "UNDO", code=202, account_id="a1", require_confirmation=True)["id"] for _ in range(2)
    )
    caller.post(f"/jobs/{confirmed}/confirm", status=400)
    embedded.run_jobs()
    for job_id in (confirmed, rejected):
        assert caller.get(f"/jobs/{job_id}")["status"] == "WAITING_FOR_CONFIRMATION"
    assert statuses(caller, "e1") == [METERED]
    assert caller.post(f"/jobs/{rejected}/reject", status=200)["status"] == "CANCELLED"
    assert [each["status"] for each in caller.get(f"/jobs/{rejected}/entries")["data"]] == ["CANCELLED"]
    assert caller.post(f"/jobs/{confirmed}/confirm", status=200)["status"] == "IN_PROGRESS"
    embedded.run_jobs()
    assert caller.get(f"/jobs/{confirmed}")["completedJobEntries"] == 1
    assert statuses(caller, "e1") == [REVERTED]
    for job_id in (confirmed, rejected):
        for verb in ("confirm", "reject"):
            caller.post(f"/jobs/{job_id}/{verb}", status=400)
    caller.post("/jobs/job.x/confirm", status=404)


def test_entries_that_fail_say_why_and_the_others_go_on(embedded: Embedded, caller: Caller) -> None:
    """An event that somebody else has corrected between the search and the correction."""
    accept(embedded, event("e1"), event("e2"))
    job_id = correct(caller, "UNDO", code=202, account_id="a1", require_confirmation=True)["id"]
    embedded.run_jobs()
    correct(caller, "UNDO", account_id="a1", event_id="e1")
    caller.post(f"/jobs/{job_id}/confirm")
    embedded.run_jobs()
    entries = caller.get(f"/jobs/{job_id}/entries")["data"]
    assert [(each["status"], each["metadata"]["reason"]) for each in entries] == [
        ("FAILED", "the event was reverted before"),
        ("COMPLETED", "the event is reverted"),
    ]


def test_a_job_that_cannot_be_done_fails_with_its_reason(embedded: Embedded, caller: Caller) -> None:
    """One event for several."""
    accept(embedded, event("e1"), event("e2"))
    body = {"event": event("e3")}
    job_id = correct(caller, "REDO_EVENT", body, code=202, account_id="a1", **{"async": True})["id"]
    embedded.run_jobs()
    failed = caller.get(f"/jobs/{job_id}")
    assert failed["status"] == "FAILED"
    assert "several" in failed["metadata"]["reason"]
    assert statuses(caller, "e1") == [METERED]


def test_jobs_are_paged_through_newest_first(embedded: Embedded, caller: Caller) -> None:
    """With the size of a page, and without strange parameters."""
    made = [correct(caller, "UNDO", code=202, account_id="a1", **{"async": True})["id"] for _ in range(5)]
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = caller.get("/jobs", **token) if token else caller.get("/jobs", pageSize=2)
        assert page["context"] == {"pageSize": 2}
        found += [each["id"] for each in page["data"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert found == made[::-1]
    caller.get("/jobs", status=400, sort="x")
