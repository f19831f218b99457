"""Settings turned into connected objects; the only place that names a backend."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from tallybook.config import Settings
from tallybook.core.errors import NotFound
from tallybook.core.job import JobType
from tallybook.flows import verify as flows_verify
from tallybook.flows.archive import Archive, KeyUpkeep
from tallybook.flows.ask_tax import tax_function
from tallybook.flows.authenticate import Authenticator
from tallybook.flows.bill import Billing
from tallybook.flows.bill_in_jobs import BillRunWork
from tallybook.flows.correct import Corrections
from tallybook.flows.correct_in_jobs import CorrectionWork
from tallybook.flows.definitions import Definitions
from tallybook.flows.judge import Judge, Judging
from tallybook.flows.meter import MeteredThrough, Metering
from tallybook.flows.migrate_in_jobs import MigrationWork
from tallybook.flows.query import Events
from tallybook.flows.reprocess import Reprocessing
from tallybook.flows.run_jobs import JobRunner, JobWork
from tallybook.flows.verify import Verification
from tallybook.storage import credentials
from tallybook.storage.blocks import BlockStore
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.lake import DeltaLake
from tallybook.storage.log_sqlite import SqliteEventLog, now_microseconds
from tallybook.storage.usage import UsageStore

if TYPE_CHECKING:
    from tallybook.api.edge import Application, Edge

PARTITION = 0  # the embedded log has one


def prepare(settings: Settings) -> None:
    """Make the data folder, or bring it to the present layout."""
    migrate(settings.database_path)
    SqliteEventLog(settings.log_path)
    DeltaLake(settings.lake_path)


def prepare_existing(settings: Settings) -> None:
    """The same for a command that only makes sense on data that is there. Raises `NotFound`."""
    if not settings.database_path.exists():
        raise NotFound(f"there is no Tallybook data in {settings.data_path.resolve()}; is --data-dir right?")
    prepare(settings)


def database(settings: Settings) -> Database:
    return open_database(settings.database_path)


def event_log(settings: Settings) -> SqliteEventLog:
    return SqliteEventLog(settings.log_path)


def usage_store(settings: Settings, over: Database) -> UsageStore:
    return UsageStore(over, event_key_hours=settings.event_key_days * 24)


def authenticator(settings: Settings) -> Authenticator:
    return Authenticator(database(settings))


def has_api_keys(settings: Settings) -> bool:
    with database(settings).read() as connection:
        return credentials.has_api_keys(connection)


def billing(settings: Settings) -> Billing:
    return Billing(database(settings), tax_function=tax_function(settings.tax_function))


def metered_through(settings: Settings) -> MeteredThrough:
    return MeteredThrough(event_log(settings), usage_store(settings, database(settings)), partition=PARTITION)


def judge(settings: Settings) -> Judge:
    return Judge(
        event_log(settings),
        Definitions(Catalog(database(settings))),
        partition=PARTITION,
        batch_records_max=settings.meter_batch_records_max,
        batch_bytes_max=settings.meter_batch_bytes_max,
        plan_required=bool(settings.plan_required),
        clock=now_microseconds,
    )


def metering(settings: Settings, *, ahead: Judging | None = None) -> Metering:
    over = open_database(settings.database_path, cache_kib=settings.database_cache_mib * 1024)
    return Metering(usage_store(settings, over), judge(settings), ahead=ahead)


def archive(settings: Settings) -> Archive:
    return Archive(
        BlockStore(database(settings)), DeltaLake(settings.lake_path), event_log(settings), partition=PARTITION
    )


def key_upkeep(settings: Settings) -> KeyUpkeep:
    # Imported by the process that archives alone: numpy takes a quarter of a second and 16 MiB.
    from tallybook.storage.event_key_merging import EventKeyMerging

    over = database(settings)
    return KeyUpkeep(
        usage_store(settings, over),
        EventKeyMerging(over),
        event_key_hours=settings.event_key_days * 24,
        clock=now_microseconds,
    )


def events(settings: Settings, over: Database) -> Events:
    return Events(
        event_log(settings),
        BlockStore(over),
        DeltaLake(settings.lake_path),
        usage_store(settings, over),
        Catalog(over),
        partition=PARTITION,
    )


def job_runner(settings: Settings) -> JobRunner:
    over = database(settings)
    found = events(settings, over)
    works = job_works(over, found, Corrections(found, over), billing(settings))
    return JobRunner(over, works, clock=now_microseconds)


def job_works(over: Database, found: Events, corrections: Corrections, billing: Billing) -> dict[JobType, JobWork]:
    metered = MeteredThrough(found.log, found.usage_store, partition=PARTITION)
    return {
        JobType.EVENT_CORRECTIONS: CorrectionWork(over, found, corrections, clock=now_microseconds),
        JobType.PRICE_PLAN: MigrationWork(over, clock=now_microseconds),
        JobType.BILL_RUN: BillRunWork(over, billing, metered_through=metered.instant, clock=now_microseconds),
    }


def reprocessing(settings: Settings) -> Reprocessing:
    return Reprocessing(database(settings), event_log(settings))


def verify_usage(settings: Settings, on_rows: Callable[[int], None]) -> Verification:
    return flows_verify.verify_usage(
        database(settings), event_log(settings), DeltaLake(settings.lake_path), partition=PARTITION, on_rows=on_rows
    )


def edge(settings: Settings) -> "Edge":
    # The framework takes most of a second to import, and the other processes start without it.
    from tallybook.api.application import create_application
    from tallybook.api.edge import Edge
    from tallybook.api.handling import Dependencies

    over = database(settings)
    authenticator = Authenticator(over)
    application = create_application(
        Dependencies(settings=settings, database=over, authenticator=authenticator, events=events(settings, over))
    )
    return Edge(settings, event_log(settings), authenticator, cast("Application", application))
