"""Jobs of migrations: every account that a version of a plan bills, moved to another plan or version, or to none.

A job first writes down which accounts it is about, and then moves some of them in one transaction, with what became of
each: so an account is moved once, however often a piece is begun. What cannot be moved stays and says why.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.errors import Conflict, Invalid, TallybookError
from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.core.job import ENTRIES_MAX, EntryStatus, Job, JobEntry, JobStatus, JobType
from tallybook.core.plan_changes import changed_plan
from tallybook.core.plan_migration import MigrationMode, Move, migrated
from tallybook.core.price_plan import PricePlan, PricePlanStatus, check_associable
from tallybook.core.pricing_schedule import PricingSchedule
from tallybook.flows.define_accounts import found_account
from tallybook.flows.define_price_plans import check_plan
from tallybook.flows.define_schedules import store_schedules
from tallybook.flows.new_ids import new_id
from tallybook.flows.run_jobs import ENTRIES_PER_PIECE, scheduled_job
from tallybook.storage import accounts, plans
from tallybook.storage.database import Database
from tallybook.storage.jobs import add_entries, add_job, move_job, pending_entries, settle_entries

ACCOUNTS_PER_PIECE = 100  # moved in one transaction, which others wait for: some tenths of a second


class MigrationJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request of a job: without a target nothing bills the accounts any more; without its version, the latest."""

    source_id: str
    source_version: int
    target_id: str | None = None
    target_version: int | None = None
    mode: MigrationMode
    retain_offsets: bool = False
    require_confirmation: bool = False


class _Search(msgspec.Struct, frozen=True, kw_only=True):
    """Behind which account the search goes on, and how many were found."""

    found: int
    after: str


_request = msgspec.json.Decoder(MigrationJob)
_search = msgspec.json.Decoder(_Search)


def start_migration(database: Database, organisation_id: str, request: MigrationJob, *, now: datetime) -> Job:
    """Store a job, unless no account at all could be moved so. Raises `Invalid`."""
    with database.write() as connection:
        source = plans.price_plan(connection, organisation_id, request.source_id, request.source_version)
        if source is None:
            raise Invalid(
                f"sourceId: no price plan {request.source_id!r} with version {request.source_version}",
                code="UNKNOWN_PRICE_PLAN",
            )
        target = _target(connection, organisation_id, request)
        if target is not None:
            _check_target(source, target, request)
            request = msgspec.structs.replace(request, target_version=target.version)
        job = scheduled_job(organisation_id, JobType.PRICE_PLAN, request, now=microseconds_since_1970(now))
        add_job(connection, job)
        return job


def _target(connection: Connection, organisation_id: str, request: MigrationJob) -> PricePlan | None:
    if request.target_id is None:
        if request.target_version is not None:
            raise Invalid("targetVersion: of which plan? name it in targetId, or leave both out")
        if request.retain_offsets:
            raise Invalid("retainStartOffsets: without targetId no plan bills the accounts, so no cycle goes on")
        return None
    found = plans.price_plan(connection, organisation_id, request.target_id, request.target_version)
    if found is None:
        version = "" if request.target_version is None else f" with version {request.target_version}"
        raise Invalid(f"targetId: no price plan {request.target_id!r}{version}", code="UNKNOWN_PRICE_PLAN")
    return found


def _check_target(source: PricePlan, target: PricePlan, request: MigrationJob) -> None:
    if target.status is not PricePlanStatus.ACTIVE:
        raise Invalid(f"targetId: {target.plan_id} is {target.status.value}; activate it first")
    if (source.plan_id, source.version) == (target.plan_id, target.version):
        raise Invalid(f"targetVersion: it is {target.version}, like the source's; name another version or plan")
    if request.retain_offsets and source.cycle.interval is not target.cycle.interval:
        raise Invalid(
            f"retainStartOffsets: the source's cycle is {source.cycle.interval.value}, the target's"
            f" {target.cycle.interval.value}; only the same interval can go on"
        )


class MigrationWork:
    """What the jobs of migrations do."""

    def __init__(self, database: Database, *, clock: Callable[[], int]) -> None:
        """`clock` gives microseconds since 1970."""
        self._database = database
        self._clock = clock

    def waits_for_confirmation(self, job: Job) -> bool:
        """As the request says."""
        return _request.decode(job.request).require_confirmation

    def find_some(self, job: Job) -> None:
        """Write down the next accounts, by id."""
        request = _request.decode(job.request)
        search = _Search(found=0, after="") if job.progress is None else _search.decode(job.progress)
        with self._database.write() as connection:
            ids = accounts.account_ids_of_version(
                connection,
                job.organisation_id,
                request.source_id,
                request.source_version,
                billed_from=self._today(),
                after=search.after,
                limit=ENTRIES_PER_PIECE,
            )
            found = search.found + len(ids)
            if found > ENTRIES_MAX:
                raise Conflict(f"the plan bills more than {ENTRIES_MAX} accounts", code="LIMIT_REACHED")
            following = JobStatus.PENDING if len(ids) == ENTRIES_PER_PIECE else JobStatus.INITIALIZED
            progress = msgspec.json.encode(_Search(found=found, after=ids[-1] if ids else search.after)).decode()
            if move_job(connection, job, following, now=self._clock(), progress=progress):
                add_entries(connection, job, self._entries(ids, first_number=search.found))

    def _entries(self, ids: list[str], *, first_number: int) -> list[JobEntry]:
        now = self._clock()
        return [
            JobEntry(number=number, entity_id=account_id, status=EntryStatus.PENDING, created_at=now)
            for number, account_id in enumerate(ids, start=first_number)
        ]

    def do_some(self, job: Job) -> bool:
        """Move the next accounts, each as of today."""
        request = _request.decode(job.request)
        with self._database.write() as connection:
            entries = pending_entries(connection, job, limit=ACCOUNTS_PER_PIECE)
            target = _target(connection, job.organisation_id, request) if entries else None
            move = Move(
                source_id=request.source_id,
                versions=[request.source_version],
                target=target,
                mode=request.mode,
                retain_offsets=request.retain_offsets,
            )
            outcomes = {entry.number: self._settled(connection, job, entry.entity_id, move) for entry in entries}
            settle_entries(connection, job, outcomes)
        return bool(entries)

    def _settled(self, connection: Connection, job: Job, account_id: str, move: Move) -> tuple[EntryStatus, str | None]:
        savepoint = connection.begin_nested()
        try:
            self._move(connection, job.organisation_id, account_id, move)
        except TallybookError as error:
            savepoint.rollback()
            return EntryStatus.FAILED, error.message
        savepoint.commit()
        return EntryStatus.COMPLETED, None

    def _move(self, connection: Connection, organisation_id: str, account_id: str, move: Move) -> None:
        account = found_account(connection, organisation_id, account_id)
        move = msgspec.structs.replace(move, schedule_id=new_id("sch"))
        schedules = migrated(account.schedules, move, today=self._today())
        if move.target is not None:
            check_associable(move.target, currency=account.currency)
            changed = [schedule for schedule in schedules if schedule not in account.schedules]
            _check_overrides(connection, organisation_id, move.target, changed)
        store_schedules(connection, organisation_id, account, schedules, now=instant_at(self._clock()))

    def _today(self) -> date:
        return instant_at(self._clock()).date()


def _check_overrides(
    connection: Connection, organisation_id: str, target: PricePlan, changed: Sequence[PricingSchedule]
) -> None:
    """Refuse what an account has different from its plan where the target could not bill with it. Raises `Invalid`."""
    for schedule in changed:
        if schedule.override is not None and schedule.plan_id == target.plan_id:
            check_plan(connection, organisation_id, changed_plan(target, schedule.override))
