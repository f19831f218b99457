"""Jobs of corrections that are interrupted anywhere, and run by two at once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from crashing import Crash, crashing_at
from embedded import ORGANISATION, Embedded, event

from tallybook import assembly
from tallybook.core.correction import CorrectionAction
from tallybook.core.credential import Scope
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.job import Job, JobStatus
from tallybook.flows.bill import Billing
from tallybook.flows.correct import CorrectionRequest, Corrections
from tallybook.flows.correct_in_jobs import CorrectionJob, correction_job
from tallybook.flows.run_jobs import JobRunner, start_job
from tallybook.flows.targets import TargetFilter
from tallybook.storage.jobs import count_entries, find_job, move_job
from tallybook.storage.log_sqlite import now_microseconds

S = IngestionStatus
EVENTS = 3
STATEMENTS_MAX = 500
STRIDE = 5  # with 1 it takes a minute


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path)
    with made.caller() as client:
        caller = Caller(client, made.authenticator, ORGANISATION, Scope.ADMIN)
        samples.active_meter(caller)
        caller.post("/customers", samples.customer())
        caller.post("/accounts", samples.account())
    yield made
    made.close()


def start(embedded: Embedded, action: CorrectionAction, **wanted: Any) -> Job:
    request = CorrectionRequest(action=action, wanted=TargetFilter(**wanted))
    through = embedded.log.last_position()
    job = correction_job(ORGANISATION, CorrectionJob(correction=request, through=through), now=now_microseconds())
    return start_job(embedded.database, job)


def state_of(embedded: Embedded, job: Job) -> JobStatus:
    with embedded.database.read() as connection:
        found = find_job(connection, ORGANISATION, job.job_id)
    assert found is not None
    return found.status


@pytest.mark.parametrize(("action", "offset"), [(CorrectionAction.UNDO, 1), (CorrectionAction.REDO, 3)])
def test_a_job_that_crashes_anywhere_corrects_each_event_once(
    embedded: Embedded, action: CorrectionAction, offset: int
) -> None:
    """At statements of the runner and of the metering of what it logs; whoever comes next finishes the job."""
    again = [S.METERED, S.REVERTED] if action is CorrectionAction.REDO else [S.REVERTED]
    embedded.send(event("bystander"))
    crashes = 0
    for statement in range(offset, STATEMENTS_MAX, STRIDE):
        ids = [f"{statement}/{number}" for number in range(EVENTS)]
        time = datetime(2024, 1, 15, 7, tzinfo=UTC) + timedelta(seconds=statement)
        embedded.send(*(event(each, timestamp=time.isoformat()) for each in ids))
        embedded.meter()
        before = embedded.usage()
        job = start(embedded, action, event_time=microseconds_since_1970(time))
        crashed = False
        try:
            with crashing_at(embedded.database, statement):
                embedded.run_jobs()
        except Crash:
            crashes, crashed = crashes + 1, True
        embedded.metering = embedded.new_metering()
        embedded.run_jobs()
        assert state_of(embedded, job) is JobStatus.COMPLETED
        with embedded.database.read() as connection:
            assert count_entries(connection, ORGANISATION, job.job_id).completed == EVENTS
        found = [row.status for each in ids for row in embedded.events.find(ORGANISATION, each)]
        assert found == again * EVENTS, f"crashed at statement {statement}"
        if action is CorrectionAction.REDO:
            assert embedded.usage() == before
        else:
            assert list(embedded.usage().values()) == [("12.5", 1)], "of the one that nobody corrected"
        if not crashed:
            break
    assert crashes >= 30 // STRIDE, "a job has more statements than that"
    assert not crashed, "in the end it came through"
    assert embedded.verified().differences == []
    embedded.archive_everything()
    assert embedded.verified().differences == []


def test_two_runners_of_one_job_correct_each_event_once(embedded: Embedded) -> None:
    """Piece by piece in turns, also when both have begun the same piece."""
    embedded.send(*(event(f"e{number:03}") for number in range(120)))
    embedded.meter()
    job = start(embedded, CorrectionAction.REDO, account_id="a1")
    first, second = embedded.jobs, embedded.jobs
    while state_of(embedded, job) is not JobStatus.IN_PROGRESS:
        first.run_piece()
        second.run_piece()

    def let_the_other_go_first(position: int) -> bool:
        if not overtaken:
            overtaken.append(position)
            second.run_piece()
        embedded.meter()
        return True

    overtaken: list[int] = []
    corrections = Corrections(embedded.events, embedded.database, wait_until_metered=let_the_other_go_first)
    works = assembly.job_works(embedded.database, embedded.events, corrections, Billing(embedded.database))
    slow = JobRunner(embedded.database, works, clock=now_microseconds)
    slow.run_piece()
    while first.run_piece() or second.run_piece():
        pass
    assert state_of(embedded, job) is JobStatus.COMPLETED
    assert list(embedded.usage().values()) == [("1500", 120)]
    assert embedded.verified().differences == []


def test_a_job_is_moved_on_only_from_where_it_was_known_to_be(embedded: Embedded) -> None:
    """Of two runners that know the same state, one moves it."""
    job = start(embedded, CorrectionAction.UNDO, account_id="a1")
    with embedded.database.write() as connection:
        assert move_job(connection, job, JobStatus.PENDING, now=1, progress="x")
        assert not move_job(connection, job, JobStatus.PENDING, now=2, progress="y")


def test_a_job_looks_through_more_events_than_it_writes_down_at_once(embedded: Embedded) -> None:
    """Some thousand, in the lake and in blocks, each an entry once."""
    for start_number in (0, 700):
        embedded.send(*(event(f"e{number:04}") for number in range(start_number, start_number + 700)))
        embedded.meter()
        if start_number == 0:
            embedded.archive_everything()
    job = start(embedded, CorrectionAction.UNDO, account_id="a1")
    embedded.run_jobs()
    with embedded.database.read() as connection:
        counts = count_entries(connection, ORGANISATION, job.job_id)
    assert (counts.total, counts.completed) == (1400, 1400)
    assert embedded.usage() == {}
    assert embedded.verified().differences == []
