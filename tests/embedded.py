"""The whole path without processes: log, metering, archive and reading over one folder, driven step by step."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from litestar.testing import TestClient

from tallybook import assembly
from tallybook.api.application import create_application
from tallybook.api.handling import Dependencies
from tallybook.config import Settings
from tallybook.core.correction import CorrectionAction
from tallybook.core.credential import Scope
from tallybook.core.event import check_batch
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.flows.archive import Archive
from tallybook.flows.authenticate import Authenticator
from tallybook.flows.bill import Billing
from tallybook.flows.correct import Corrected, CorrectionRequest, Corrections
from tallybook.flows.definitions import Definitions
from tallybook.flows.judge import Judge
from tallybook.flows.meter import Metering
from tallybook.flows.new_ids import new_id
from tallybook.flows.query import EventFilter, Events
from tallybook.flows.reprocess import Reprocessing
from tallybook.flows.run_jobs import JobRunner
from tallybook.flows.targets import TargetFilter
from tallybook.flows.verify import Verification
from tallybook.storage.catalog import Catalog
from tallybook.storage.event_rows import EventRow
from tallybook.storage.interfaces import Record
from tallybook.storage.log_sqlite import SqliteEventLog, now_microseconds
from tallybook.storage.usage import UsagePlace, UsageStore, every_usage_row

ORGANISATION = "org"
EVERYTHING = EventFilter()
MICROSECONDS_PER_SECOND = 1_000_000


class Clock:
    """Time that stands still until a test sets it; microseconds since 1970."""

    def __init__(self, now: int | None = None) -> None:
        self.now = now_microseconds() if now is None else now

    def __call__(self) -> int:
        return self.now


class Embedded:
    """One data folder and everything over it. Metering and archiving happen when they are called."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(data_dir=str(folder), **settings)
        assembly.prepare(self.settings)
        self.database = assembly.database(self.settings)
        self.authenticator = Authenticator(self.database)
        self.clock = Clock()
        self.log = SqliteEventLog(self.settings.log_path, clock=self.clock)
        self.store = assembly.usage_store(self.settings, self.database)
        self.metering = self.new_metering()

    def new_metering(self, store: UsageStore | None = None) -> Metering:
        """Another metering worker, with nothing in memory."""
        judge = Judge(
            self.log,
            Definitions(Catalog(self.database)),
            partition=assembly.PARTITION,
            batch_records_max=self.settings.meter_batch_records_max,
            batch_bytes_max=self.settings.meter_batch_bytes_max,
            plan_required=bool(self.settings.plan_required),
            clock=self.clock,
        )
        return Metering(store or self.store, judge)

    @property
    def archive(self) -> Archive:
        return assembly.archive(self.settings)

    @property
    def events(self) -> Events:
        return assembly.events(self.settings, self.database)

    @property
    def corrections(self) -> Corrections:
        """Corrections that are metered at once."""

        def meter(position: int) -> bool:
            self.meter()
            return self.store.position(assembly.PARTITION) >= position

        return Corrections(self.events, self.database, wait_until_metered=meter)

    def correct(
        self,
        action: CorrectionAction,
        *,
        event: Mapping[str, Any] | None = None,
        organisation_id: str = ORGANISATION,
        correction_id: str | None = None,
        **wanted: Any,
    ) -> list[Corrected]:
        """Correct the first events that match."""
        text = None if event is None else msgspec.json.encode(event).decode()
        request = CorrectionRequest(action=action, wanted=TargetFilter(**wanted), event=text)
        return self.corrections.correct(organisation_id, request, correction_id=correction_id or new_id("test"))

    @property
    def jobs(self) -> JobRunner:
        works = assembly.job_works(self.database, self.events, self.corrections, Billing(self.database))
        return JobRunner(self.database, works, clock=now_microseconds)

    def run_jobs(self) -> None:
        """Start what waits for its account, and run every job that can go on."""
        Reprocessing(self.database, self.log).look()
        while self.jobs.run_piece():
            pass

    @contextmanager
    def metering_along(self) -> Iterator[None]:
        """Meter in a thread whatever comes, as a metering process would."""
        done = threading.Event()

        def meter() -> None:
            worker = self.new_metering()
            while not done.wait(0.01):
                while worker.meter_waiting():
                    pass

        thread = threading.Thread(target=meter)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def caller(self, organisation_id: str = ORGANISATION) -> TestClient[Any]:
        """A client of the catalogue and the reading routes, with a key that may do everything."""
        dependencies = Dependencies(
            settings=self.settings, database=self.database, authenticator=self.authenticator, events=self.events
        )
        key = self.authenticator.create_key(organisation_id, "test", [Scope.ADMIN])
        client: TestClient[Any] = TestClient(create_application(dependencies))
        client.headers["Authorization"] = f"Bearer {key}"
        return client

    def send(self, *events: Mapping[str, Any], organisation_id: str = ORGANISATION) -> int:
        """Accept these events as one batch, as the edge would; return its position in the log."""
        checked = check_batch(msgspec.json.encode({"events": events}))
        assert not checked.rejections, checked.rejections
        record = Record(
            organisation_id=organisation_id,
            event_count=checked.event_count,
            format=checked.format,
            body=checked.body,
        )
        return self.log.append([record])

    def meter(self) -> None:
        """Meter everything that waits."""
        while self.metering.meter_waiting():
            pass

    def archive_everything(self) -> None:
        while self.archive.archive_waiting():
            pass

    def rows(self, wanted: EventFilter = EVERYTHING, *, organisation_id: str = ORGANISATION) -> list[EventRow]:
        """Every event of the organisation, oldest first, read page by page."""
        rows: list[EventRow] = []
        events, before = self.events, None
        while True:
            page, before = events.page(organisation_id, wanted, before=before, limit=50)
            rows += page
            if before is None:
                return rows[::-1]

    def statuses(self) -> list[tuple[str | None, IngestionStatus]]:
        """Event ids with their statuses, oldest first."""
        return [(row.event_id, IngestionStatus(row.status)) for row in self.rows()]

    def usage(self) -> dict[UsagePlace, tuple[str, int]]:
        """All usage, with its digits as they are stored."""
        with self.database.read() as connection:
            return {place: (str(units), count) for place, (units, count) in every_usage_row(connection).items()}

    def verified(self) -> Verification:
        return assembly.verify_usage(self.settings, lambda _: None)

    def close(self) -> None:
        self.database.close()


def event(event_id: str | None = "e1", **changes: Any) -> dict[str, Any]:
    """A ride that is metered, with changes; a field changed to None is left out."""
    whole = {
        "schemaName": "rides",
        "id": event_id,
        "timestamp": "2024-01-15T07:30:00",
        "accountId": "a1",
        "attributes": [{"name": "distance", "value": "12.5"}],
        "dimensions": {"city": "Oslo"},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def distance(value: str | int) -> list[dict[str, Any]]:
    return [{"name": "distance", "value": str(value)}]


def ids(rows: Iterable[EventRow]) -> Sequence[str | None]:
    return [row.event_id for row in rows]
