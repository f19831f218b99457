"""Events that came before their account: when it and a price plan appear in time, they are ingested again by a job.

What happened to definitions is read from the numbered list of changes. The job and the note of how far that list is
dealt with are one transaction, so each change is acted upon once.
"""

from collections.abc import Iterator

from sqlalchemy import Connection

from tallybook.core.account import Account, AccountStatus
from tallybook.core.correction import CorrectionAction
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import MICROSECONDS_PER_HOUR, microseconds_since_1970
from tallybook.flows.correct import CorrectionRequest
from tallybook.flows.correct_in_jobs import CorrectionJob, correction_job
from tallybook.flows.targets import TargetFilter
from tallybook.storage.accounts import accounts_by_reference
from tallybook.storage.changes import DatedChange, changes_to_deal_with, dealt_with
from tallybook.storage.database import Database
from tallybook.storage.interfaces import EventLog
from tallybook.storage.jobs import add_job
from tallybook.storage.settings import choices_of
from tallybook.storage.usage import has_events

CHANGES_PER_LOOK = 500  # a transaction that writes is short
READER = "reprocess"


class Reprocessing:
    """Starts the jobs for events that waited for their account, for every organisation."""

    def __init__(self, database: Database, log: EventLog) -> None:
        self._database = database
        self._log = log

    def look(self) -> int:
        """Deal with what has changed since the last look; return how many jobs that has started."""
        with self._database.read() as connection:  # most looks find nothing, and need not wait for a writer
            if not changes_to_deal_with(connection, READER, limit=1):
                return 0
        started = 0
        while True:
            through = self._log.last_position()
            with self._database.write() as connection:
                changes = changes_to_deal_with(connection, READER, limit=CHANGES_PER_LOOK)
                for change in _last_of_each(changes):
                    for wanted in _waiting_for(connection, change):
                        request = CorrectionRequest(action=CorrectionAction.REDO, wanted=wanted)
                        job = CorrectionJob(correction=request, through=through)
                        add_job(connection, correction_job(change.organisation_id, job, now=change.changed_at))
                        started += 1
                if changes:
                    dealt_with(connection, READER, changes[-1].version)
            if len(changes) < CHANGES_PER_LOOK:
                return started


def _last_of_each(changes: list[DatedChange]) -> list[DatedChange]:
    """One change of each account or alias."""
    accounts = {(each.organisation_id, each.name): each for each in changes if each.kind == "account"}
    return list(accounts.values())


def _waiting_for(connection: Connection, change: DatedChange) -> Iterator[TargetFilter]:
    """The events that failed for want of what the change has brought, by the names that they use for it."""
    hours = choices_of(connection, change.organisation_id).reprocess_within_hours
    received_from = None if hours is None else change.changed_at - hours * MICROSECONDS_PER_HOUR
    if hours == 0:
        return
    found = accounts_by_reference(connection, change.organisation_id, [change.name]).get(change.name, [])
    for account in found:
        if account.status is AccountStatus.ARCHIVED or not account.schedules:
            continue
        for wanted in _names_of(account, received_from):
            assert wanted.account_id is not None, "each is about one name"
            if has_events(connection, change.organisation_id, wanted.account_id, IngestionStatus.ACCOUNT_NOT_FOUND):
                yield wanted


def _names_of(account: Account, received_from: int | None) -> Iterator[TargetFilter]:
    not_found = TargetFilter(
        account_id=account.account_id, status=IngestionStatus.ACCOUNT_NOT_FOUND, received_from=received_from
    )
    yield not_found
    for window in account.aliases:
        yield TargetFilter(
            account_id=window.alias,
            status=IngestionStatus.ACCOUNT_NOT_FOUND,
            received_from=received_from,
            event_from=microseconds_since_1970(window.effective_from),
            event_before=microseconds_since_1970(window.effective_until),
        )
