"""Jobs, run piece by piece: each piece can be interrupted, repeated, and done by two runners at once.

A job of corrections first writes down which events it is about, and then corrects them some at a time. What is
corrected says by which job, so after a crash in between a piece is looked at again, and only what is missing is done.
"""

from collections.abc import Callable

import msgspec

from tallybook.core.correction import TARGETS_MAX, CorrectionResult, EventPlace, place_of
from tallybook.core.errors import Busy, Conflict, NotFound, TallybookError
from tallybook.core.job import ENTRIES_MAX, EntryStatus, Job, JobEntry, JobStatus, JobType
from tallybook.flows.correct import Corrected, CorrectionRequest, Corrections
from tallybook.flows.new_ids import new_id
from tallybook.flows.query import Events
from tallybook.flows.targets import SourceOrder, Targets
from tallybook.storage.database import Database
from tallybook.storage.jobs import (
    add_entries,
    add_job,
    cancel_entries,
    find_job,
    move_job,
    next_job,
    pending_entries,
    settle_entries,
)

ENTRIES_PER_PIECE = 500  # written down at once


class CorrectionJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request of a job of corrections: of the events accepted up to a position, once somebody has agreed or not."""

    correction: CorrectionRequest
    through: int
    require_confirmation: bool = False


class _Search(msgspec.Struct, frozen=True, kw_only=True):
    """Where the search for the events goes on, and how many were found."""

    found: int = 0
    after: SourceOrder | None = None


_request = msgspec.json.Decoder(CorrectionJob)
_search = msgspec.json.Decoder(_Search)


def correction_job(organisation_id: str, request: CorrectionJob, *, now: int) -> Job:
    """A job to be stored, and run by whoever runs jobs."""
    return Job(
        organisation_id=organisation_id,
        job_id=new_id("job"),
        type=JobType.EVENT_CORRECTIONS,
        status=JobStatus.SCHEDULED,
        request=_text(request),
        created_at=now,
        updated_at=now,
    )


class JobRunner:
    """Runs the jobs of every organisation over one partition's events."""

    def __init__(
        self, database: Database, events: Events, corrections: Corrections, *, clock: Callable[[], int]
    ) -> None:
        """`clock` gives microseconds since 1970."""
        self._database = database
        self._events = events
        self._targets = Targets(events)
        self._corrections = corrections
        self._clock = clock

    def run_piece(self) -> bool:
        """Do one piece of the oldest job that can go on; False when there is none.

        Raises `Busy` when it has to wait, for example until metering has caught up.
        """
        with self._database.read() as connection:
            job = next_job(connection, [JobType.EVENT_CORRECTIONS])
        if job is None:
            return False
        try:
            self._run_piece(job, _request.decode(job.request))
        except Busy:
            raise
        except TallybookError as error:
            self._move(job, JobStatus.FAILED, reason=error.message)
        return True

    def _run_piece(self, job: Job, request: CorrectionJob) -> None:
        match job.status:
            case JobStatus.SCHEDULED:
                self._move(job, JobStatus.PENDING, progress=_text(_Search()))
            case JobStatus.PENDING:
                self._find_some(job, request)
            case JobStatus.INITIALIZED:
                asks = request.require_confirmation
                self._move(job, JobStatus.WAITING_FOR_CONFIRMATION if asks else JobStatus.IN_PROGRESS)
            case _:
                assert job.status is JobStatus.IN_PROGRESS, "others cannot go on"
                self._correct_some(job, request)

    def _find_some(self, job: Job, request: CorrectionJob) -> None:
        """Write down the next events, in the order in which they are found."""
        self._wait_until_metered()
        search = _search.decode(job.progress or "")
        rows, after = self._targets.page(
            job.organisation_id,
            request.correction.wanted,
            after=search.after,
            through=request.through,
            limit=ENTRIES_PER_PIECE,
        )
        found = search.found + len(rows)
        if found > ENTRIES_MAX:
            raise Conflict(f"more than {ENTRIES_MAX} events match; correct them in several jobs", code="LIMIT_REACHED")
        now = self._clock()
        entries = [
            JobEntry(
                number=search.found + number,
                entity_id=EventPlace(row.partition, row.position, row.index).reference_id,
                status=EntryStatus.PENDING,
                created_at=now,
            )
            for number, row in enumerate(rows)
        ]
        following = JobStatus.PENDING if after is not None else JobStatus.INITIALIZED
        with self._database.write() as connection:
            if move_job(connection, job, following, now=now, progress=_text(_Search(found=found, after=after))):
                add_entries(connection, job, entries)

    def _correct_some(self, job: Job, request: CorrectionJob) -> None:
        self._wait_until_metered()  # or what was logged before a crash would be logged again
        with self._database.read() as connection:
            entries = pending_entries(connection, job, limit=TARGETS_MAX)
        if not entries:
            self._move(job, JobStatus.COMPLETED)
            return
        places = {entry.number: _place(entry) for entry in entries}
        rows = self._events.at(job.organisation_id, list(places.values()))
        corrected = self._corrections.carry_out(
            job.organisation_id, request.correction, list(rows.values()), correction_id=job.job_id
        )
        outcomes = {EventPlace(each.row.partition, each.row.position, each.row.index): each for each in corrected}
        with self._database.write() as connection:
            settle_entries(connection, job, {number: _outcome(outcomes.get(place)) for number, place in places.items()})

    def _wait_until_metered(self) -> None:
        if not self._corrections.caught_up():
            raise Busy("jobs wait until metering has caught up", retry_after_s=1)

    def _move(self, job: Job, status: JobStatus, *, progress: str | None = None, reason: str | None = None) -> None:
        with self._database.write() as connection:
            move_job(connection, job, status, now=self._clock(), progress=progress, reason=reason)


def start_job(database: Database, job: Job) -> Job:
    """Store a job."""
    with database.write() as connection:
        add_job(connection, job)
    return job


def decide(database: Database, organisation_id: str, job_id: str, *, confirmed: bool, now: int) -> Job:
    """Let a waiting job run, or cancel it; return it as it is then. Raises `NotFound` and `Conflict`."""
    with database.write() as connection:
        job = find_job(connection, organisation_id, job_id)
        if job is None:
            raise NotFound(f"no job with the id {job_id[:100]!r}")
        if job.status is not JobStatus.WAITING_FOR_CONFIRMATION:
            raise Conflict(f"the job is {job.status}; only one that waits for confirmation can be decided on")
        moved = move_job(
            connection, job, JobStatus.IN_PROGRESS if confirmed else JobStatus.CANCELLED, now=now, progress=job.progress
        )
        assert moved, "nobody else writes while this transaction does"
        if not confirmed:
            cancel_entries(connection, job)
        found = find_job(connection, organisation_id, job_id)
    assert found is not None, "it was there a moment ago"
    return found


def _place(entry: JobEntry) -> EventPlace:
    place = place_of(entry.entity_id)
    assert place is not None, "the entries of a job of corrections are events"
    return place


def _outcome(corrected: Corrected | None) -> tuple[EntryStatus, str | None]:
    if corrected is None:
        return EntryStatus.FAILED, "the event is not there any more"
    if corrected.result is CorrectionResult.FAILED:
        return EntryStatus.FAILED, corrected.reason
    return EntryStatus.COMPLETED, corrected.reason


def _text(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
