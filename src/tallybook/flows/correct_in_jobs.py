"""Jobs of corrections: many events taken back, or ingested again, some at a time.

A job first writes down which events it is about, and then corrects them. What is corrected says by which job, so after
a crash in between a piece is looked at again, and only what is missing is done.
"""

from collections.abc import Callable

import msgspec

from tallybook.core.correction import TARGETS_MAX, CorrectionResult, EventPlace, place_of
from tallybook.core.errors import Busy, Conflict
from tallybook.core.job import ENTRIES_MAX, EntryStatus, Job, JobEntry, JobStatus, JobType
from tallybook.flows.correct import Corrected, CorrectionRequest, Corrections
from tallybook.flows.query import Events
from tallybook.flows.run_jobs import ENTRIES_PER_PIECE, scheduled_job
from tallybook.flows.targets import SourceOrder, Targets
from tallybook.storage.database import Database
from tallybook.storage.jobs import add_entries, move_job, pending_entries, settle_entries


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
    return scheduled_job(organisation_id, JobType.EVENT_CORRECTIONS, request, now=now)


class CorrectionWork:
    """What the jobs of corrections do, over one partition's events."""

    def __init__(
        self, database: Database, events: Events, corrections: Corrections, *, clock: Callable[[], int]
    ) -> None:
        """`clock` gives microseconds since 1970."""
        self._database = database
        self._events = events
        self._targets = Targets(events)
        self._corrections = corrections
        self._clock = clock

    def waits_for_confirmation(self, job: Job) -> bool:
        """As the request says."""
        return _request.decode(job.request).require_confirmation

    def find_some(self, job: Job) -> None:
        """Write down the next events, in the order in which they are found."""
        self._wait_until_metered()
        request = _request.decode(job.request)
        search = _Search() if job.progress is None else _search.decode(job.progress)
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

    def do_some(self, job: Job) -> bool:
        """Correct the next events."""
        self._wait_until_metered()  # or what was logged before a crash would be logged again
        with self._database.read() as connection:
            entries = pending_entries(connection, job, limit=TARGETS_MAX)
        if not entries:
            return False
        request = _request.decode(job.request)
        places = {entry.number: _place(entry) for entry in entries}
        rows = self._events.at(job.organisation_id, list(places.values()))
        corrected = self._corrections.carry_out(
            job.organisation_id, request.correction, list(rows.values()), correction_id=job.job_id
        )
        outcomes = {EventPlace(each.row.partition, each.row.position, each.row.index): each for each in corrected}
        with self._database.write() as connection:
            settle_entries(connection, job, {number: _outcome(outcomes.get(place)) for number, place in places.items()})
        return True

    def _wait_until_metered(self) -> None:
        if not self._corrections.caught_up():
            raise Busy("jobs wait until metering has caught up", retry_after_s=1)


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
