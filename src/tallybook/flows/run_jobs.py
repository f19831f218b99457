"""Jobs, run piece by piece: each piece can be interrupted, repeated, and done by two runners at once.

A job first writes down what it is about, entry by entry, and then does some entries at a time. What the jobs of one
type do is a `JobWork`; here is what they have in common.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from tallybook.core.errors import Busy, Conflict, NotFound, TallybookError
from tallybook.core.job import Job, JobStatus, JobType
from tallybook.flows.new_ids import new_id
from tallybook.storage.database import Database
from tallybook.storage.jobs import add_job, cancel_entries, find_job, move_job, next_job

ENTRIES_PER_PIECE = 500  # written down at once


class JobWork(Protocol):
    """What the jobs of one type do. Each method may be repeated after a crash, and run by two at once.

    Any of them may raise `Busy`, which makes the job wait; every other error of ours ends the job as FAILED.
    """

    def waits_for_confirmation(self, job: Job) -> bool:
        """Whether somebody has to agree before anything is done."""

    def find_some(self, job: Job) -> None:
        """Write down the next entries of a PENDING job, and with the last of them make it INITIALIZED.

        `job.progress` is None at first, and the work's own from then on.
        """

    def do_some(self, job: Job) -> bool:
        """Do and settle some pending entries of a job IN_PROGRESS; False when there is none."""


class JobRunner:
    """Runs the jobs of every organisation, the oldest first."""

    def __init__(self, database: Database, works: Mapping[JobType, JobWork], *, clock: Callable[[], int]) -> None:
        """`clock` gives microseconds since 1970."""
        self._database = database
        self._works = works
        self._clock = clock

    def run_piece(self) -> bool:
        """Do one piece of the oldest job that can go on; False when there is none.

        Raises `Busy` when it has to wait, for example until metering has caught up.
        """
        with self._database.read() as connection:
            job = next_job(connection, list(self._works))
        if job is None:
            return False
        try:
            self._run_piece(job, self._works[job.type])
        except Busy:
            raise
        except TallybookError as error:
            self._move(job, JobStatus.FAILED, reason=error.message)
        return True

    def _run_piece(self, job: Job, work: JobWork) -> None:
        match job.status:
            case JobStatus.SCHEDULED:
                self._move(job, JobStatus.PENDING)
            case JobStatus.PENDING:
                work.find_some(job)
            case JobStatus.INITIALIZED:
                asks = work.waits_for_confirmation(job)
                self._move(job, JobStatus.WAITING_FOR_CONFIRMATION if asks else JobStatus.IN_PROGRESS)
            case _:
                assert job.status is JobStatus.IN_PROGRESS, "others cannot go on"
                if not work.do_some(job):
                    self._move(job, JobStatus.COMPLETED)

    def _move(self, job: Job, status: JobStatus, *, reason: str | None = None) -> None:
        with self._database.write() as connection:
            move_job(connection, job, status, now=self._clock(), reason=reason)


def scheduled_job(organisation_id: str, job_type: JobType, request: msgspec.Struct, *, now: int) -> Job:
    """A job to be stored, and run by whoever runs jobs."""
    return Job(
        organisation_id=organisation_id,
        job_id=new_id("job"),
        type=job_type,
        status=JobStatus.SCHEDULED,
        request=msgspec.json.encode(request).decode(),
        created_at=now,
        updated_at=now,
    )


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
