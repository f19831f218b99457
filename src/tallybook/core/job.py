"""Jobs: work that goes on after its request is answered, entry by entry, and what states it passes through."""

from enum import StrEnum

import msgspec

from tallybook.core.errors import Conflict

ENTRIES_MAX = 1_000_000  # of one job; more is asked for in several


class JobType(StrEnum):
    """What a job does."""

    PRICE_PLAN = "PRICE_PLAN"
    EVENT_CORRECTIONS = "EVENT_CORRECTIONS"
    BILL_RUN = "BILL_RUN"


class JobStatus(StrEnum):
    """How far a job is."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    INITIALIZED = "INITIALIZED"
    WAITING_FOR_CONFIRMATION = "WAITING_FOR_CONFIRMATION"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class EntryStatus(StrEnum):
    """What became of one thing that a job is about."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_S = JobStatus
_NEXT = {
    _S.SCHEDULED: {_S.PENDING, _S.FAILED},  # its entries are looked for
    _S.PENDING: {_S.INITIALIZED, _S.FAILED},  # all of them are found
    _S.INITIALIZED: {_S.WAITING_FOR_CONFIRMATION, _S.IN_PROGRESS, _S.FAILED},
    _S.WAITING_FOR_CONFIRMATION: {_S.IN_PROGRESS, _S.CANCELLED},
    _S.IN_PROGRESS: {_S.COMPLETED, _S.FAILED},
    _S.COMPLETED: set[JobStatus](),
    _S.FAILED: set[JobStatus](),
    _S.CANCELLED: set[JobStatus](),
}
SETTLED = frozenset(status for status, following in _NEXT.items() if not following)
RUNNABLE = frozenset(_S) - SETTLED - {_S.WAITING_FOR_CONFIRMATION}


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job with how far it is. `request` and `progress` are JSON; instants are microseconds since 1970 UTC.

    `progress` says where the search for its entries goes on, and is the runner's own.
    """

    organisation_id: str
    job_id: str
    type: JobType
    status: JobStatus
    request: str
    progress: str | None = None
    reason: str | None = None
    created_at: int
    updated_at: int
    settled_at: int | None = None


class JobEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a job is about, and what became of it; `number` is its place in the job."""

    number: int
    entity_id: str
    status: EntryStatus
    reason: str | None = None
    created_at: int


class EntryCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries a job has, and how they stand."""

    total: int = 0
    pending: int = 0
    completed: int = 0
    failed: int = 0


def check_transition(before: JobStatus, after: JobStatus) -> None:
    """Raise `Conflict` unless a job may go from one status to the other."""
    if after not in _NEXT[before]:
        raise Conflict(f"the job is {before}, so it cannot become {after}")


def entry_counts(by_status: dict[EntryStatus, int]) -> EntryCounts:
    """Counts as the interface has them: cancelled entries are in the total alone."""
    return EntryCounts(
        total=sum(by_status.values()),
        pending=by_status.get(EntryStatus.PENDING, 0) + by_status.get(EntryStatus.IN_PROGRESS, 0),
        completed=by_status.get(EntryStatus.COMPLETED, 0),
        failed=by_status.get(EntryStatus.FAILED, 0),
    )
