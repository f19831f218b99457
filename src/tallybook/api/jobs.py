"""Jobs: how far they are, what became of what they are about, and whether they may run (generation 2024-12)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus

import msgspec
from litestar.params import FromPath

from tallybook.api.handling import Caller, Connected, Dependencies, NextToken, PageSize, reading, writing
from tallybook.api.paging import table_listing
from tallybook.core.credential import Identity
from tallybook.core.errors import NotFound
from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.core.job import EntryStatus, Job, JobEntry, JobStatus, JobType
from tallybook.flows.authenticate import now_utc
from tallybook.flows.run_jobs import decide
from tallybook.storage import jobs

TAG = "Jobs"
_JOBS = table_listing("jobs", jobs.LISTED)
_ENTRIES = table_listing("job entries", jobs.LISTED_ENTRIES)


class PageContext(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the page was made."""

    page_size: int


class ListedJobShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    id: str
    type: JobType
    status: JobStatus
    updated_at: datetime


class JobsPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    data: Sequence[ListedJobShape]
    context: PageContext
    next_token: str | None = None


class JobShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A job with its entries counted; cancelled entries are in the total alone."""

    id: str
    type: JobType
    status: JobStatus
    updated_at: datetime
    total_job_entries: int
    pending_job_entries: int
    failed_job_entries: int
    completed_job_entries: int
    settled_at: datetime | None = None
    metadata: Mapping[str, str] | None = None


class JobEntryShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    entity_id: str
    job_id: str
    status: EntryStatus
    created_at: datetime
    metadata: Mapping[str, str] | None = None


class JobEntriesPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    data: Sequence[JobEntryShape]
    context: PageContext
    next_token: str | None = None


@reading("/jobs", operation_id="getJobs", summary="List jobs, the newest first", tag=TAG)
def list_jobs(
    identity: Caller, dependencies: Connected, next_token: NextToken = None, page_size: PageSize = None
) -> JobsPage:
    page = _JOBS.asked(dependencies, identity, next_token=next_token, page_size=page_size)
    with dependencies.database.read() as connection:
        found = jobs.list_jobs(connection, identity.organisation_id, page)
    return JobsPage(
        data=[_listed(each) for each in found.items],
        context=PageContext(page_size=page.size),
        next_token=_JOBS.token(dependencies, identity, page, found.next),
    )


@reading("/jobs/{job_id:str}", operation_id="getJobStatus", summary="Say how far a job is", tag=TAG)
def get_job(job_id: FromPath[str], identity: Caller, dependencies: Connected) -> JobShape:
    return job_shape(dependencies, _found(dependencies, identity, job_id))


@writing(
    "/jobs/{job_id:str}/confirm",
    status=HTTPStatus.OK,
    operation_id="confirmJob",
    summary="Let a job run that waits for confirmation",
    tag=TAG,
)
def confirm_job(job_id: FromPath[str], identity: Caller, dependencies: Connected) -> JobShape:
    return _decided(dependencies, identity, job_id, confirmed=True)


@writing(
    "/jobs/{job_id:str}/reject",
    status=HTTPStatus.OK,
    operation_id="rejectJob",
    summary="Cancel a job that waits for confirmation",
    tag=TAG,
)
def reject_job(job_id: FromPath[str], identity: Caller, dependencies: Connected) -> JobShape:
    return _decided(dependencies, identity, job_id, confirmed=False)


@reading(
    "/jobs/{job_id:str}/entries",
    operation_id="getJobEntries",
    summary="List what a job is about, and what became of it",
    tag=TAG,
)
def list_job_entries(
    job_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
) -> JobEntriesPage:
    job = _found(dependencies, identity, job_id)
    page = _ENTRIES.asked(
        dependencies, identity, next_token=next_token, page_size=page_size, filters={"job_id": job.job_id}
    )
    with dependencies.database.read() as connection:
        found = jobs.list_entries(connection, identity.organisation_id, page)
    return JobEntriesPage(
        data=[_entry(job, each) for each in found.items],
        context=PageContext(page_size=page.size),
        next_token=_ENTRIES.token(dependencies, identity, page, found.next),
    )


def job_shape(dependencies: Dependencies, job: Job) -> JobShape:
    """A job as the interface shows it."""
    with dependencies.database.read() as connection:
        counts = jobs.count_entries(connection, job.organisation_id, job.job_id)
    return JobShape(
        id=job.job_id,
        type=job.type,
        status=job.status,
        updated_at=instant_at(job.updated_at),
        total_job_entries=counts.total,
        pending_job_entries=counts.pending,
        failed_job_entries=counts.failed,
        completed_job_entries=counts.completed,
        settled_at=None if job.settled_at is None else instant_at(job.settled_at),
        metadata=None if job.reason is None else {"reason": job.reason},
    )


def _found(dependencies: Dependencies, identity: Identity, job_id: str) -> Job:
    with dependencies.database.read() as connection:
        job = jobs.find_job(connection, identity.organisation_id, job_id)
    if job is None:
        raise NotFound(f"no job with the id {job_id[:100]!r}")
    return job


def _decided(dependencies: Dependencies, identity: Identity, job_id: str, *, confirmed: bool) -> JobShape:
    now = microseconds_since_1970(now_utc())
    job = decide(dependencies.database, identity.organisation_id, job_id, confirmed=confirmed, now=now)
    return job_shape(dependencies, job)


def _listed(job: Job) -> ListedJobShape:
    return ListedJobShape(id=job.job_id, type=job.type, status=job.status, updated_at=instant_at(job.updated_at))


def _entry(job: Job, entry: JobEntry) -> JobEntryShape:
    return JobEntryShape(
        entity_id=entry.entity_id,
        job_id=job.job_id,
        status=entry.status,
        created_at=instant_at(entry.created_at),
        metadata=None if entry.reason is None else {"reason": entry.reason},
    )


ROUTES = (list_jobs, get_job, confirm_job, reject_job, list_job_entries)
