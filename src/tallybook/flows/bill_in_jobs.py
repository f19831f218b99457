"""Bill runs as jobs: a job first writes down which invoices are due, and then issues these.

Issuing an invoice twice does nothing, so after a crash in between a piece is simply done again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.errors import Conflict
from tallybook.core.invoice import InvoiceType, parse_invoice_id
from tallybook.core.job import ENTRIES_MAX, EntryStatus, Job, JobEntry, JobStatus, JobType
from tallybook.flows.bill import Billing
from tallybook.flows.books import Books
from tallybook.flows.list_invoices import draft_id, due_drafts
from tallybook.flows.merge_invoices import merge_due
from tallybook.flows.run_jobs import scheduled_job
from tallybook.storage import accounts, ledger
from tallybook.storage.database import Database
from tallybook.storage.jobs import add_entries, move_job, pending_entries, settle_entries

ACCOUNTS_PER_PIECE = 200  # looked at in one transaction that reads
ENTRIES_PER_PIECE = 50  # issued in one transaction

Outcome = tuple[EntryStatus, str | None]


class BillRunJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request of a bill run: once somebody has agreed or not."""

    require_confirmation: bool = False


class _Search(msgspec.Struct, frozen=True, kw_only=True):
    """Behind which account the search for invoices goes on, and how many were found."""

    found: int = 0
    after: str | None = None


_request = msgspec.json.Decoder(BillRunJob)
_search = msgspec.json.Decoder(_Search)


def bill_run_job(organisation_id: str, request: BillRunJob, *, now: int) -> Job:
    """A job to be stored, and run by whoever runs jobs."""
    return scheduled_job(organisation_id, JobType.BILL_RUN, request, now=now)


class BillRunWork:
    """What the jobs of bill runs do."""

    def __init__(
        self,
        database: Database,
        billing: Billing,
        *,
        metered_through: Callable[[], datetime],
        clock: Callable[[], int],
    ) -> None:
        """`metered_through` says through which instant of receipt everything is metered; `clock` microseconds."""
        self._database = database
        self._billing = billing
        self._metered_through = metered_through
        self._clock = clock

    def waits_for_confirmation(self, job: Job) -> bool:
        """As the request says."""
        return _request.decode(job.request).require_confirmation

    def find_some(self, job: Job) -> None:
        """Write down the invoices of the next accounts that are due, by account."""
        search = _Search() if job.progress is None else _search.decode(job.progress)
        with self._database.read() as connection:
            page = accounts.accounts_with_schedules(
                connection, job.organisation_id, after=search.after, limit=ACCOUNTS_PER_PIECE
            )
            invoice_ids = _due_ids(connection, job.organisation_id, page, self._metered_through())
        following = _Search(found=search.found + len(invoice_ids), after=page[-1].account_id if page else search.after)
        if following.found > ENTRIES_MAX:
            raise Conflict(f"more than {ENTRIES_MAX} invoices are due; the operator can issue them with tallybook bill")
        now = self._clock()
        entries = [
            JobEntry(number=search.found + number, entity_id=invoice_id, status=EntryStatus.PENDING, created_at=now)
            for number, invoice_id in enumerate(invoice_ids)
        ]
        status = JobStatus.PENDING if len(page) == ACCOUNTS_PER_PIECE else JobStatus.INITIALIZED
        with self._database.write() as connection:
            if move_job(connection, job, status, now=now, progress=msgspec.json.encode(following).decode()):
                add_entries(connection, job, entries)

    def do_some(self, job: Job) -> bool:
        """Issue the next invoices; when all are, merge those of groups."""
        through = self._metered_through()
        with self._database.read() as connection:
            entries = pending_entries(connection, job, limit=ENTRIES_PER_PIECE)
        if not entries:
            merge_due(self._database, job.organisation_id, as_of=through)
            return False
        outcomes: dict[int, Outcome] = {}
        for mark, of_account in groupby(entries, key=_mark):
            outcomes |= self._bill(job.organisation_id, mark, list(of_account), through)
        with self._database.write() as connection:
            settle_entries(connection, job, outcomes)
        return True

    def _bill(
        self, organisation_id: str, mark: str, entries: Sequence[JobEntry], through: datetime
    ) -> dict[int, Outcome]:
        """Issue these invoices of one account; say by number what became of each."""
        with self._database.read() as connection:
            account = accounts.account_by_mark(connection, organisation_id, mark)
        assert account is not None, "accounts are never deleted"
        report = self._billing.close_accounts(
            organisation_id,
            [account.account_id],
            as_of=through,
            metered_through=through,
            only=[entry.entity_id for entry in entries],
        )
        refusals = [refusal.message for refusal in report.refused]
        with self._database.read() as connection:
            return {entry.number: _outcome(connection, organisation_id, entry, refusals) for entry in entries}


def _due_ids(connection: Connection, organisation_id: str, page: Sequence[Account], as_of: datetime) -> list[str]:
    """The ids of the accounts' invoices that are due."""
    books = Books(connection, organisation_id, page)
    return [
        draft_id(organisation_id, account.account_id, cycle, as_of)
        for account in page
        for cycle in due_drafts(books, account, as_of)
    ]


def _mark(entry: JobEntry) -> str:
    parsed = parse_invoice_id(entry.entity_id)
    assert parsed is not None, "the entries of a bill run are invoices of cycles"
    return parsed[0]


def _outcome(connection: Connection, organisation_id: str, entry: JobEntry, refusals: Sequence[str]) -> Outcome:
    """An invoice is issued, or its account was refused, or there was nothing to issue any more."""
    if ledger.is_issued(connection, organisation_id, entry.entity_id):
        return EntryStatus.COMPLETED, None
    if refusals:
        return EntryStatus.FAILED, refusals[0]
    parsed = parse_invoice_id(entry.entity_id)
    if parsed is not None and parsed[1] is InvoiceType.ADHOC_ADVANCED:
        return EntryStatus.COMPLETED, "issued with the date of the day, or charged with its cycle meanwhile"
    return EntryStatus.FAILED, "there is nothing to issue any more"
