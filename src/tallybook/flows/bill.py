"""Billing: drafts computed when asked, cycles closed when their grace is over, revenue attributed to time.

Closing a cycle can be repeated, interrupted and run by several at once: the invoice is there once, or not yet.
Accounts are closed a page at a time, each page in one transaction, so that what a page costs is shared by its accounts.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.errors import Conflict, NotFound, TallybookError
from tallybook.core.invoice import (
    Invoice,
    InvoiceType,
    account_mark,
    invoice_id_for,
    parse_invoice_id,
)
from tallybook.flows.ask_tax import TaxFunction
from tallybook.flows.attribute_revenue import revenue_by_item
from tallybook.flows.bill_late_usage import bill_late_alone, is_late_alone
from tallybook.flows.books import Books
from tallybook.flows.draw_up import DrawnUp, draw_up
from tallybook.flows.draw_up_custom import books_for, draw_up_custom
from tallybook.flows.find_cycles import Cycle, additions, begun_cycles, due_cycles, openings
from tallybook.flows.issue import issue
from tallybook.flows.list_invoices import InvoicePlace, list_due, list_invoices
from tallybook.flows.merge_invoices import merge_due
from tallybook.flows.write_custom_invoices import drafts_that_go_on, issue_custom_draft
from tallybook.storage import accounts, custom_invoices, ledger, settings
from tallybook.storage.custom_invoices import CustomInvoiceState
from tallybook.storage.database import Database
from tallybook.storage.ledger import ALL_INVOICES, InvoiceFilter

ACCOUNTS_PER_READ = 500  # accounts held in memory at once while streaming through all of them
ACCOUNTS_PER_PAGE = 50  # closed in one transaction, during which nothing is metered


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle that is due and cannot be billed until somebody acts."""

    organisation_id: str
    account_id: str
    start_date: date
    message: str


class BillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a bill run did. `waiting` cycles are due but usage received in time may not be metered yet."""

    as_of: datetime
    metered_through: datetime | None
    accounts: int = 0
    finalised: int = 0
    waiting: int = 0
    refused: tuple[Refusal, ...] = ()

    @property
    def waiting_reason(self) -> str:
        """Why cycles are left waiting, in words; empty when none is."""
        if not self.waiting:
            return ""
        through = "nothing yet" if self.metered_through is None else self.metered_through.isoformat()
        return f"{self.waiting} cycles wait until everything received in time is metered; metered through {through}"


class Billing:
    """Invoices of every organisation, from the definitions and the usage in one database."""

    def __init__(
        self,
        database: Database,
        *,
        accounts_per_page: int = ACCOUNTS_PER_PAGE,
        tax_function: TaxFunction | None = None,
    ) -> None:
        """`accounts_per_page` are closed in one transaction; `tax_function` is asked for the tax of what is issued."""
        self._database = database
        self._tax_function = tax_function
        self._accounts_per_page = accounts_per_page

    # ---- reading -------------------------------------------------------------------------------------------------

    def invoice(self, organisation_id: str, invoice_id: str, *, now: datetime) -> Invoice:
        """The finalised invoice of that id, or the draft of its cycle as of `now`. Raises `NotFound`."""
        with self._database.read() as connection:
            found = ledger.invoice(connection, organisation_id, invoice_id)
            if found is None:
                found = _custom_draft(connection, organisation_id, invoice_id, now)
            if found is None:
                found = _draft_of_id(connection, organisation_id, invoice_id, now)
        if found is None:
            raise NotFound(f"no invoice {invoice_id!r}")
        return found

    def draft_invoice(self, organisation_id: str, account: Account, cycle: Cycle, *, now: datetime) -> Invoice:
        """The invoice that the cycle would come to if it ended now, from the usage metered so far."""
        with self._database.read() as connection:
            return _draft(Books(connection, organisation_id, [account]), account, cycle, now)

    def invoices_of(
        self,
        organisation_id: str,
        wanted: InvoiceFilter = ALL_INVOICES,
        *,
        after: InvoicePlace | None = None,
        limit: int,
        now: datetime,
    ) -> list[Invoice]:
        """Drafts and finalised invoices behind that place, at most `limit`: see `list_invoices`.

        All of a page is read from one snapshot, so a cycle that is being closed is on it once.
        """
        with self._database.read() as connection:
            return list_invoices(connection, organisation_id, wanted, after=after, limit=limit, now=now)

    def invoices_due(
        self,
        organisation_id: str,
        wanted: InvoiceFilter = ALL_INVOICES,
        *,
        after: InvoicePlace | None = None,
        limit: int,
        now: datetime,
    ) -> list[Invoice]:
        """The drafts behind that place that a bill run would issue, at most `limit`, by account."""
        with self._database.read() as connection:
            return list_due(connection, organisation_id, wanted, after=after, limit=limit, now=now)

    def revenue(
        self, organisation_id: str, account: Account, edges: Sequence[datetime], *, now: datetime
    ) -> dict[str, list[Decimal]]:
        """What usage and licences brought in between each two `edges`, by meter or add-on id: `revenue_by_item`."""
        with self._database.read() as connection:
            return revenue_by_item(Books(connection, organisation_id, [account]), account, edges, now=now)

    # ---- closing -------------------------------------------------------------------------------------------------

    def close_due_cycles(
        self,
        *,
        as_of: datetime,
        metered_through: datetime | None,
        on_account: Callable[[int], None] | None = None,
    ) -> BillReport:
        """Finalise every cycle whose end plus grace is not after `as_of`; run again, it does nothing.

        `metered_through`: every event received up to this instant is metered (None: nothing is known to be).
        A cycle whose deadline is later is left waiting, so no event that came in time is missing from its invoice.
        Each page of accounts is durable before the next; `on_account` is told how many accounts are done.
        Organisations that start their bill runs themselves are left alone, but for custom invoices that go on by
        themselves.
        """
        report = BillReport(as_of=as_of, metered_through=metered_through)
        with self._database.read() as connection:
            organisations = [each.organisation_id for each in accounts.organisations(connection)]
            advancing = {each for each in organisations if settings.choices_of(connection, each).auto_advance}
        for organisation_id in organisations:
            for page in self._pages(organisation_id) if organisation_id in advancing else ():
                report = self._close_page(organisation_id, page, report)
                if on_account is not None:
                    on_account(report.accounts)
            report = self._issue_custom_invoices(organisation_id, report)
            merged = merge_due(self._database, organisation_id, as_of=as_of)
            report = msgspec.structs.replace(report, finalised=report.finalised + merged)
        return report

    def _issue_custom_invoices(self, organisation_id: str, report: BillReport) -> BillReport:
        """Issue the custom invoices that go on by themselves and whose days are over, one at a time."""
        finalised_count, refused = 0, []
        for custom in drafts_that_go_on(self._database, organisation_id, as_of=report.as_of):
            try:
                finalised_count += issue_custom_draft(
                    self._database,
                    organisation_id,
                    custom.invoice_id,
                    as_of=report.as_of,
                    tax_function=self._tax_function,
                )
            except (Conflict, NotFound) as error:
                refused.append(
                    Refusal(
                        organisation_id=organisation_id,
                        account_id=custom.owner_id,
                        start_date=custom.start_date,
                        message=error.message,
                    )
                )
        return msgspec.structs.replace(
            report, finalised=report.finalised + finalised_count, refused=(*report.refused, *refused)
        )

    def close_accounts(
        self,
        organisation_id: str,
        account_ids: Sequence[str],
        *,
        as_of: datetime,
        metered_through: datetime | None,
        only: Collection[str] | None = None,
    ) -> BillReport:
        """The same for these accounts, and of their cycles only for those whose invoices have these ids, if any are.

        Accounts that are not there are left out, and nothing is merged.
        """
        report = BillReport(as_of=as_of, metered_through=metered_through)
        with self._database.read() as connection:
            found = accounts.accounts_with_ids(connection, organisation_id, account_ids)
        return self._close_page(organisation_id, list(found.values()), report, only)

    def _pages(self, organisation_id: str) -> Iterator[list[Account]]:
        """The accounts that have a schedule, each page of them read in a transaction of its own."""

        def page_after(after: str | None) -> list[Account]:
            with self._database.read() as connection:
                return _accounts_page(connection, organisation_id, after)

        return _batched(_all_pages(page_after, after=None), self._accounts_per_page)

    def _close_page(
        self,
        organisation_id: str,
        page: Sequence[Account],
        report: BillReport,
        only: Collection[str] | None = None,
    ) -> BillReport:
        waiting, to_close = 0, []
        with self._database.read() as connection:
            books = Books(connection, organisation_id, page)
            for account in page:
                due = due_cycles(account, report.as_of, books.invoiced_starts(account.account_id))
                ready = [cycle for cycle in due if _is_metered(cycle, report.metered_through)]
                waiting += len(due) - len(ready)
                if (
                    ready
                    or _is_charged_early(books, account, report.as_of)
                    or is_late_alone(books, account, report.as_of)
                ):
                    to_close.append(account.account_id)
        finalised_count, refused = self._finalise(organisation_id, to_close, report, only) if to_close else (0, ())
        return msgspec.structs.replace(
            report,
            accounts=report.accounts + len(page),
            finalised=report.finalised + finalised_count,
            waiting=report.waiting + waiting,
            refused=(*report.refused, *refused),
        )

    def _finalise(
        self,
        organisation_id: str,
        account_ids: Sequence[str],
        report: BillReport,
        only: Collection[str] | None,
    ) -> tuple[int, tuple[Refusal, ...]]:
        """Store the invoices of the accounts' due and metered cycles; say how many, and who could not be billed.

        All of an account's or none: where one is refused, the page is done again without it.
        """
        refused: dict[str, Refusal] = {}
        while True:
            try:
                with self._database.write() as connection:
                    wanted = [account_id for account_id in account_ids if account_id not in refused]
                    issued = _close(connection, organisation_id, wanted, report, only, self._tax_function)
                    return issued, tuple(refused.values())
            except _Refused as error:
                refused[error.refusal.account_id] = error.refusal


class _Refused(Exception):
    """An account cannot be billed, so its page is rolled back."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _close(
    connection: Connection,
    organisation_id: str,
    account_ids: Sequence[str],
    report: BillReport,
    only: Collection[str] | None,
    tax_function: TaxFunction | None,
) -> int:
    """Issue what is due for these accounts; say how many invoices are new. Raises `_Refused`."""
    # Read again: while this transaction holds the write lock, neither schedule nor usage can change.
    found = accounts.accounts_with_ids(connection, organisation_id, account_ids)
    page = Books(connection, organisation_id, list(found.values()))
    return sum(_close_account(page, account, report, only, tax_function) for account in found.values())


def _close_account(
    page: Books,
    account: Account,
    report: BillReport,
    only: Collection[str] | None,
    tax_function: TaxFunction | None,
) -> int:
    invoiced = page.invoiced_starts(account.account_id)
    due = due_cycles(account, report.as_of, invoiced)
    metered = [cycle for cycle in due if _is_metered(cycle, report.metered_through)]
    # What opens a series comes first: the cycle's own invoice then finds it charged. Licences that were added
    # come last: the invoice of the cycle before has then charged what was held when the cycle began.
    opening = openings(account, report.as_of, invoiced)
    added = additions(account, report.as_of, {*invoiced, *(cycle.window.start for cycle in metered)})
    issued, books = 0, page
    for cycle in (*opening, *metered, *added):
        if not _is_among(page.organisation_id, account, cycle, only):
            continue
        try:
            is_new = _issue(books, account, cycle, report.as_of, tax_function)
        except (Conflict, NotFound) as error:
            raise _Refused(_refusal(page.organisation_id, account, cycle.window.start, error)) from None
        if is_new:
            # What was issued has changed what the account's next invoice is computed from.
            issued, books = issued + 1, page.again(account)
    if page.late_invoices(account.account_id):
        issued += _bill_late_alone(books, account, report.as_of, tax_function)
    return issued


def _bill_late_alone(books: Books, account: Account, as_of: datetime, tax_function: TaxFunction | None) -> bool:
    try:
        return bill_late_alone(books, account, as_of, tax_function)
    except (Conflict, NotFound) as error:
        raise _Refused(_refusal(books.organisation_id, account, as_of.date(), error)) from None


# ---- finding cycles -----------------------------------------------------------------------------------------------


def _accounts_page(connection: Connection, organisation_id: str, after: str | None) -> list[Account]:
    return accounts.accounts_with_schedules(connection, organisation_id, after=after, limit=ACCOUNTS_PER_READ)


def _all_pages(page_after: Callable[[str | None], list[Account]], *, after: str | None) -> Iterator[Account]:
    """The accounts of all pages behind the id `after`, one page in memory at a time."""
    while True:
        page = page_after(after)
        yield from page
        if len(page) < ACCOUNTS_PER_READ:
            return
        after = page[-1].account_id


def _batched(found: Iterator[Account], size: int) -> Iterator[list[Account]]:
    while batch := list(islice(found, size)):
        yield batch


def _is_charged_early(books: Books, account: Account, now: datetime) -> bool:
    """Whether something is charged in advance besides with the invoices of cycles.

    Looked for before anything is written, so that a bill run takes the write lock only where it must.
    """
    invoiced = books.invoiced_starts(account.account_id)
    try:
        early = [*openings(account, now, invoiced), *additions(account, now, invoiced)]
        return any(draw_up(books, account, cycle, now) is not None for cycle in early)
    except (Conflict, NotFound):
        return True  # issuing says what is missing


def _draft_of_id(connection: Connection, organisation_id: str, invoice_id: str, now: datetime) -> Invoice | None:
    drawn_up = drawn_up_of_id(connection, organisation_id, invoice_id, now)
    if drawn_up is None:
        return None
    advances = settings.choices_of(connection, organisation_id).auto_advance
    return msgspec.structs.replace(drawn_up[0], auto_advance=advances)


def drawn_up_of_id(connection: Connection, organisation_id: str, invoice_id: str, now: datetime) -> DrawnUp | None:
    """The draft of the open cycle with that id, which holds a mark of the account; with its inputs."""
    parsed = parse_invoice_id(invoice_id)
    account = None if parsed is None else accounts.account_by_mark(connection, organisation_id, parsed[0])
    if parsed is None or account is None:
        return None
    books = Books(connection, organisation_id, [account])
    for cycle in (*begun_cycles(account, now), *openings(account, now, books.invoiced_starts(account.account_id))):
        if (cycle.invoice_type, cycle.window.start) == parsed[1:]:
            return draw_up(books, account, cycle, now)
    return None


def _custom_draft(connection: Connection, organisation_id: str, invoice_id: str, now: datetime) -> Invoice | None:
    """The draft of that id that somebody wrote by hand."""
    stored = custom_invoices.find_custom_invoice(connection, organisation_id, invoice_id)
    if stored is None or stored.state is not CustomInvoiceState.DRAFT:
        return None
    invoice, _ = draw_up_custom(books_for(connection, organisation_id, stored.custom), stored.custom, now)
    return invoice


def _draft(books: Books, account: Account, cycle: Cycle, now: datetime) -> Invoice:
    drawn_up = draw_up(books, account, cycle, now)
    assert drawn_up is not None, "only cycles with an invoice are looked for"
    return drawn_up[0]


def _is_among(organisation_id: str, account: Account, cycle: Cycle, only: Collection[str] | None) -> bool:
    """Whether the cycle's invoice is one of these; that of licences that were added is dated when it is issued."""
    if only is None:
        return True
    if cycle.invoice_type is not InvoiceType.ADHOC_ADVANCED:
        return invoice_id_for(organisation_id, account.account_id, cycle.window.start, cycle.invoice_type) in only
    mark = account_mark(organisation_id, account.account_id)
    parsed = [parse_invoice_id(invoice_id) for invoice_id in only]
    return any(each is not None and each[:2] == (mark, cycle.invoice_type) for each in parsed)


def _is_metered(cycle: Cycle, metered_through: datetime | None) -> bool:
    return metered_through is not None and metered_through >= cycle.deadline


def _refusal(organisation_id: str, account: Account, start_date: date, error: TallybookError) -> Refusal:
    return Refusal(
        organisation_id=organisation_id,
        account_id=account.account_id,
        start_date=start_date,
        message=error.message,
    )


# ---- issuing ----------------------------------------------------------------------------------------------------


def _issue(books: Books, account: Account, cycle: Cycle, issued_at: datetime, tax_function: TaxFunction | None) -> bool:
    """Compute and store the cycle's invoice; False when it was there, or there is nothing to charge in advance."""
    drawn_up = draw_up(books, account, cycle, issued_at)
    return drawn_up is not None and issue(books, *drawn_up, issued_at=issued_at, tax_function=tax_function)
