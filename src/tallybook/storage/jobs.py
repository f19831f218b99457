"""Jobs and their entries, as stored.

Two runners may work on one job: whatever moves a job on says what it was before, and does nothing when it no longer is.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from tallybook.core.job import (
    RUNNABLE,
    SETTLED,
    EntryCounts,
    EntryStatus,
    Job,
    JobEntry,
    JobStatus,
    JobType,
    check_transition,
    entry_counts,
)
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, equals
from tallybook.storage.tables import job, job_entry

LISTED = ListedTable(
    sorts={"created_at": job.c.created_at, "id": job.c.job_id},
    order=[SortKey("created_at", descending=True), SortKey("id")],
)
LISTED_ENTRIES = ListedTable(
    sorts={"number": job_entry.c.number},
    order=[SortKey("number")],
    filters={"job_id": equals(job_entry.c.job_id)},
)


def add_job(connection: Connection, new: Job) -> None:
    """Add a job that is to be run."""
    connection.execute(
        insert(job).values(
            organisation_id=new.organisation_id,
            job_id=new.job_id,
            type=new.type.value,
            status=new.status.value,
            request=new.request,
            progress=new.progress,
            reason=new.reason,
            created_at=new.created_at,
            updated_at=new.updated_at,
            settled_at=new.settled_at,
        )
    )


def find_job(connection: Connection, organisation_id: str, job_id: str) -> Job | None:
    """The organisation's job of that id."""
    query = select(job).where(job.c.organisation_id == organisation_id, job.c.job_id == job_id)
    row = connection.execute(query).mappings().first()
    return _job(row) if row else None


def list_jobs(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[Job]:
    """A page of the organisation's jobs, the newest first."""
    found = LISTED.page(connection, select(job).where(job.c.organisation_id == organisation_id), page)
    return Page(items=[_job(row) for row in found.items], next=found.next)


def list_entries(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[JobEntry]:
    """A page of the entries of the job that the page's filter names, in its order."""
    query = select(job_entry).where(job_entry.c.organisation_id == organisation_id)
    found = LISTED_ENTRIES.page(connection, query, page)
    return Page(items=[_entry(row) for row in found.items], next=found.next)


def next_job(connection: Connection, types: Sequence[JobType]) -> Job | None:
    """The oldest job of these types that can go on."""
    query = (
        select(job)
        .where(job.c.status.in_([status.value for status in RUNNABLE]), job.c.type.in_([each.value for each in types]))
        .order_by(job.c.created_at, job.c.job_id)
        .limit(1)
    )
    row = connection.execute(query).mappings().first()
    return _job(row) if row else None


def move_job(
    connection: Connection,
    known: Job,
    status: JobStatus,
    *,
    now: int,
    progress: str | None = None,
    reason: str | None = None,
) -> bool:
    """Give a job another status, or another progress; False when it is no longer as it was known.

    Raises `Conflict` when a job with that status cannot get the other one.
    """
    if status is not known.status:
        check_transition(known.status, status)
    moved = connection.execute(
        update(job)
        .where(
            job.c.organisation_id == known.organisation_id,
            job.c.job_id == known.job_id,
            job.c.status == known.status.value,
            job.c.progress.is_not_distinct_from(known.progress),
        )
        .values(
            status=status.value,
            progress=progress,
            reason=reason,
            updated_at=now,
            settled_at=now if status in SETTLED else None,
        )
    )
    return moved.rowcount == 1


def add_entries(connection: Connection, known: Job, entries: Sequence[JobEntry]) -> None:
    """Add entries to a job."""
    if entries:
        connection.execute(
            insert(job_entry),
            [
                {
                    "organisation_id": known.organisation_id,
                    "job_id": known.job_id,
                    "number": each.number,
                    "entity_id": each.entity_id,
                    "status": each.status.value,
                    "reason": each.reason,
                    "created_at": each.created_at,
                }
                for each in entries
            ],
        )


def pending_entries(connection: Connection, known: Job, *, limit: int) -> list[JobEntry]:
    """The next entries that are not settled."""
    query = (
        select(job_entry)
        .where(
            job_entry.c.organisation_id == known.organisation_id,
            job_entry.c.job_id == known.job_id,
            job_entry.c.status == EntryStatus.PENDING.value,
        )
        .order_by(job_entry.c.number)
        .limit(limit)
    )
    return [_entry(row) for row in connection.execute(query).mappings()]


def settle_entries(connection: Connection, known: Job, outcomes: Mapping[int, tuple[EntryStatus, str | None]]) -> None:
    """Say what became of entries, by number; those that are settled already stay as they are."""
    for number, (status, reason) in outcomes.items():
        connection.execute(
            update(job_entry)
            .where(
                job_entry.c.organisation_id == known.organisation_id,
                job_entry.c.job_id == known.job_id,
                job_entry.c.number == number,
                job_entry.c.status == EntryStatus.PENDING.value,
            )
            .values(status=status.value, reason=reason)
        )


def cancel_entries(connection: Connection, known: Job) -> None:
    """Say of everything that is not settled that it will not be done."""
    connection.execute(
        update(job_entry)
        .where(
            job_entry.c.organisation_id == known.organisation_id,
            job_entry.c.job_id == known.job_id,
            job_entry.c.status == EntryStatus.PENDING.value,
        )
        .values(status=EntryStatus.CANCELLED.value)
    )


def count_entries(connection: Connection, organisation_id: str, job_id: str) -> EntryCounts:
    """How many entries a job has, and how they stand."""
    query = (
        select(job_entry.c.status, func.count())
        .where(job_entry.c.organisation_id == organisation_id, job_entry.c.job_id == job_id)
        .group_by(job_entry.c.status)
    )
    return entry_counts({EntryStatus(status): count for status, count in connection.execute(query)})


def _job(row: RowMapping) -> Job:
    return Job(
        organisation_id=row["organisation_id"],
        job_id=row["job_id"],
        type=JobType(row["type"]),
        status=JobStatus(row["status"]),
        request=row["request"],
        progress=row["progress"],
        reason=row["reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        settled_at=row["settled_at"],
    )


def _entry(row: RowMapping) -> JobEntry:
    return JobEntry(
        number=row["number"],
        entity_id=row["entity_id"],
        status=EntryStatus(row["status"]),
        reason=row["reason"],
        created_at=row["created_at"],
    )
