"""The list of invoices: drafts first, account by account, then what is finalised, issued last first.

Drafts are computed when they are asked for, and hardly more than are on the page. They have no instant of their own, so
they are listed by owner: that can be paged through without looking for the drafts of everybody. One that cannot be
computed is left out, or nobody's could be listed; whoever reads or issues it is told what is missing.
"""

import heapq
from collections.abc import Callable, Iterator
from datetime import date, datetime
from itertools import islice
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.custom_invoice import CustomInvoice
from tallybook.core.errors import Conflict, NotFound
from tallybook.core.invoice import Invoice, InvoiceStatus, InvoiceType, invoice_id_for
from tallybook.flows.books import Books
from tallybook.flows.draw_up import draw_up
from tallybook.flows.draw_up_custom import books_for, draw_up_custom
from tallybook.flows.find_cycles import Cycle, additions, begun_cycles, due_cycles, openings
from tallybook.storage import accounts, custom_invoices, ledger
from tallybook.storage.ledger import InvoiceFilter, IssuedPlace

ACCOUNTS_PER_READ = 50  # as many as a page has invoices; most accounts have a draft

T = TypeVar("T")

DraftPlace = tuple[str, int, int, str]
"""The owner, 0 for a cycle and 1 for what is written by hand, the first day counted backwards, and the id."""

_OF_A_CYCLE, _BY_HAND = 0, 1

Draft = tuple[DraftPlace, Invoice]


class InvoicePlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place in the list: behind a draft, or behind a finalised invoice."""

    draft: DraftPlace | None = None
    issued: IssuedPlace | None = None


def place_of(invoice: Invoice) -> InvoicePlace:
    """The invoice's place in the list."""
    if invoice.issued_at is not None:
        return InvoicePlace(issued=ledger.issued_place(invoice))
    kind = _BY_HAND if invoice.invoice_type is InvoiceType.CUSTOM else _OF_A_CYCLE
    return InvoicePlace(draft=_draft_place(invoice.account.account_id, kind, invoice.start_date, invoice.invoice_id))


def list_invoices(
    connection: Connection,
    organisation_id: str,
    wanted: InvoiceFilter,
    *,
    after: InvoicePlace | None,
    limit: int,
    now: datetime,
) -> list[Invoice]:
    """At most `limit` invoices behind that place.

    Drafts are the invoices of cycles that have begun, and those that somebody writes by hand.
    """
    found: list[Invoice] = []
    if wanted.status in (None, InvoiceStatus.DRAFT) and (after is None or after.issued is None):
        drafts = _drafts(connection, organisation_id, wanted, None if after is None else after.draft, now)
        found += [draft for _, draft in islice(drafts, limit)]
    if wanted.status is not InvoiceStatus.DRAFT and len(found) < limit:
        issued = None if after is None else after.issued
        found += ledger.invoices(connection, organisation_id, wanted, after=issued, limit=limit - len(found))
    return found


def list_due(
    connection: Connection,
    organisation_id: str,
    wanted: InvoiceFilter,
    *,
    after: InvoicePlace | None,
    limit: int,
    now: datetime,
) -> list[Invoice]:
    """At most `limit` drafts behind that place that a bill run would issue now, by account."""
    if wanted.status not in (None, InvoiceStatus.DRAFT):
        return []
    behind = None if after is None else after.draft
    drafts = _cycle_drafts(connection, organisation_id, wanted, behind, now, due_drafts)
    return [draft for _, draft in islice(drafts, limit)]


def begun_drafts(books: Books, account: Account, now: datetime) -> list[Cycle]:
    """The account's cycles that have begun and are not invoiced, and what is to be charged where a series begins."""
    invoiced = books.invoiced_starts(account.account_id)
    begun = [cycle for cycle in begun_cycles(account, now) if cycle.window.start not in invoiced]
    return [*begun, *(cycle for cycle in openings(account, now, invoiced) if _charges(books, account, cycle, now))]


def due_drafts(books: Books, account: Account, now: datetime) -> list[Cycle]:
    """The account's invoices that are due and not issued, also those that cannot be."""
    invoiced = books.invoiced_starts(account.account_id)
    early = [*openings(account, now, invoiced), *additions(account, now, invoiced)]
    charged_early = [cycle for cycle in early if _charges(books, account, cycle, now)]
    return [*charged_early, *due_cycles(account, now, invoiced)]


def draft_id(organisation_id: str, account_id: str, cycle: Cycle, now: datetime) -> str:
    """The id of the cycle's invoice, as it is if it is issued now."""
    return invoice_id_for(organisation_id, account_id, _first_day(cycle, now), cycle.invoice_type)


# ---- drafts ------------------------------------------------------------------------------------------------------


def _drafts(
    connection: Connection, organisation_id: str, wanted: InvoiceFilter, after: DraftPlace | None, now: datetime
) -> Iterator[Draft]:
    """The drafts behind that place, in the order of their places."""
    return heapq.merge(
        _cycle_drafts(connection, organisation_id, wanted, after, now, begun_drafts),
        _custom_drafts(connection, organisation_id, wanted, after, now),
        key=lambda draft: draft[0],
    )


def _cycle_drafts(
    connection: Connection,
    organisation_id: str,
    wanted: InvoiceFilter,
    after: DraftPlace | None,
    now: datetime,
    cycles_of: Callable[[Books, Account, datetime], list[Cycle]],
) -> Iterator[Draft]:
    for page in _pages(_accounts_wanted(connection, organisation_id, wanted, after)):
        books = Books(connection, organisation_id, page)
        for account in page:
            placed = [
                (_cycle_place(organisation_id, account, cycle, now), cycle)
                for cycle in cycles_of(books, account, now)
                if _is_wanted_cycle(cycle, wanted, now)
            ]
            for place, cycle in sorted(placed, key=lambda each: each[0]):
                draft = _computed(books, account, cycle, now) if after is None or place > after else None
                if draft is not None:
                    yield place, draft


def _accounts_wanted(
    connection: Connection, organisation_id: str, wanted: InvoiceFilter, after: DraftPlace | None
) -> Iterator[Account]:
    """The accounts that pass the filter, by id, from that of the place `after` on."""
    first_id = wanted.account_id or (None if after is None else after[0])
    first = accounts.account(connection, organisation_id, first_id) if first_id else None
    if first is not None and wanted.customer_id in (None, first.customer_id):
        yield first
    if wanted.account_id is not None:
        return
    last_id = first_id
    while True:
        page = accounts.accounts_with_schedules(
            connection,
            organisation_id,
            after=last_id,
            limit=ACCOUNTS_PER_READ,
            customer_id=wanted.customer_id,
            plan_id=wanted.plan_id,
        )
        yield from page
        if len(page) < ACCOUNTS_PER_READ:
            return
        last_id = page[-1].account_id


def _custom_drafts(
    connection: Connection, organisation_id: str, wanted: InvoiceFilter, after: DraftPlace | None, now: datetime
) -> Iterator[Draft]:
    """What is written by hand and not issued; it has neither plan nor cycle."""
    if wanted.plan_id is not None:
        return
    for custom in _custom_wanted(connection, organisation_id, wanted, after):
        place = _draft_place(custom.owner_id, _BY_HAND, custom.start_date, custom.invoice_id)
        draft = _written(connection, organisation_id, custom, now) if after is None or place > after else None
        if draft is not None and _is_wanted(draft, wanted):
            yield place, draft


def _custom_wanted(
    connection: Connection, organisation_id: str, wanted: InvoiceFilter, after: DraftPlace | None
) -> Iterator[CustomInvoice]:
    """The custom drafts of one owner, or of all from that of the place `after` on, in the order of their places."""
    owners = [wanted.account_id] if wanted.account_id is not None else None
    if owners is None:
        owners = custom_invoices.owners_of_drafts(connection, organisation_id, first="" if after is None else after[0])
    for some in _pages(iter(owners)):
        drafts = custom_invoices.custom_drafts(connection, organisation_id, some)
        for owner_id in some:
            of_owner = drafts.get(owner_id, ())
            yield from sorted(of_owner, key=lambda custom: (-custom.start_date.toordinal(), custom.invoice_id))


def _charges(books: Books, account: Account, cycle: Cycle, now: datetime) -> bool:
    """Whether there is anything to charge in advance; where that cannot be said, issuing says why."""
    try:
        return draw_up(books, account, cycle, now) is not None
    except (Conflict, NotFound):
        return True


def _computed(books: Books, account: Account, cycle: Cycle, now: datetime) -> Invoice | None:
    try:
        drawn_up = draw_up(books, account, cycle, now)
    except (Conflict, NotFound):
        return None
    return None if drawn_up is None else drawn_up[0]


def _written(connection: Connection, organisation_id: str, custom: CustomInvoice, now: datetime) -> Invoice | None:
    try:
        return draw_up_custom(books_for(connection, organisation_id, custom), custom, now)[0]
    except (Conflict, NotFound):
        return None


def _is_wanted_cycle(cycle: Cycle, wanted: InvoiceFilter, now: datetime) -> bool:
    first_day = _first_day(cycle, now)
    return (
        wanted.plan_id in (None, cycle.schedule.plan_id)
        and wanted.takes_days(first_day, cycle.window.end)
        and wanted.invoice_date in (None, cycle.deadline.date() if first_day == cycle.window.start else first_day)
    )


def _is_wanted(draft: Invoice, wanted: InvoiceFilter) -> bool:
    return (
        wanted.customer_id in (None, draft.account.customer_id)
        and wanted.takes_days(draft.start_date, draft.end_date)
        and wanted.invoice_date in (None, draft.invoice_date)
    )


def _first_day(cycle: Cycle, now: datetime) -> date:
    """The first day that the cycle's invoice is for."""
    return now.date() if cycle.invoice_type is InvoiceType.ADHOC_ADVANCED else cycle.window.start


def _cycle_place(organisation_id: str, account: Account, cycle: Cycle, now: datetime) -> DraftPlace:
    invoice_id = draft_id(organisation_id, account.account_id, cycle, now)
    return _draft_place(account.account_id, _OF_A_CYCLE, _first_day(cycle, now), invoice_id)


def _draft_place(owner_id: str, kind: int, start_date: date, invoice_id: str) -> DraftPlace:
    return owner_id, kind, -start_date.toordinal(), invoice_id


def _pages(found: Iterator[T]) -> Iterator[list[T]]:
    while page := list(islice(found, ACCOUNTS_PER_READ)):
        yield page
