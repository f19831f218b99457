"""Billing: drafts computed when asked, cycles closed when their grace is over, revenue attributed to time.

Closing a cycle can be repeated, interrupted and run by several at once: the invoice is there once, or not yet.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Conflict, NotFound, TallybookError
from tallybook.core.instant import hours_since_1970
from tallybook.core.invoice import (
    Invoice,
    InvoiceStatus,
    account_mark,
    finalised,
    parse_invoice_id,
)
from tallybook.core.period import midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.revenue import revenue_by_bucket
from tallybook.core.usage_meter import UsageMeter
from tallybook.flows.draw_up import draw_up, plan_meter, rows_of, schedule_plan
from tallybook.flows.find_cycles import Cycle, additions, begun_cycles, cycles_touching, due_cycles, openings
from tallybook.storage import accounts, ledger
from tallybook.storage.database import Database
from tallybook.storage.ledger import ALL_INVOICES, InvoiceFilter, InvoiceKey, Place, key_of
from tallybook.storage.usage import UsageRow

ACCOUNTS_PER_READ = 500  # accounts held in memory at once while streaming through all of them


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

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- reading -------------------------------------------------------------------------------------------------

    def invoice(self, organisation_id: str, invoice_id: str, *, now: datetime) -> Invoice:
        """The finalised invoice of that id, or the draft of its cycle as of `now`. Raises `NotFound`."""
        with self._database.read() as connection:
            found = ledger.invoice(connection, organisation_id, invoice_id)
            if found is None:
                found = _draft_of_id(connection, organisation_id, invoice_id, now)
        if found is None:
            raise NotFound(f"no invoice {invoice_id!r}")
        return found

    def draft_invoice(self, organisation_id: str, account: Account, cycle: Cycle, *, now: datetime) -> Invoice:
        """The invoice that the cycle would come to if it ended now, from the usage metered so far."""
        with self._database.read() as connection:
            return _draft(connection, organisation_id, account, cycle, now)

    def invoices_of(
        self,
        organisation_id: str,
        wanted: InvoiceFilter = ALL_INVOICES,
        *,
        after: InvoiceKey | None = None,
        limit: int,
        now: datetime,
    ) -> list[Invoice]:
        """Drafts and finalised invoices after that key, at most `limit`: by account id, the newest cycle first.

        Drafts are the cycles that have begun and are not finalised; only those on the page are computed.
        All of a page is read from one snapshot, so a cycle that is being closed is on it once.
        """
        with self._database.read() as connection:
            finalised_ones = (
                (key_of(invoice).place(), invoice)
                for invoice in ledger.invoices(connection, organisation_id, wanted, after=after)
            )
            streams: list[Iterable[tuple[Place, Invoice | tuple[Account, Cycle]]]] = [finalised_ones]
            if wanted.status in (None, InvoiceStatus.DRAFT):
                streams.append(_open_cycles(connection, organisation_id, wanted, after, now))
            merged = heapq.merge(*streams, key=lambda item: item[0])
            return [
                found if isinstance(found, Invoice) else _draft(connection, organisation_id, *found, now)
                for _, found in islice(merged, limit)
            ]

    def revenue(self, organisation_id: str, account: Account, edges: Sequence[datetime]) -> dict[str, list[Decimal]]:
        """Exact usage revenue in the account's currency, by meter id, for each bucket between two `edges`.

        Edges are whole hours, ascending. A meter without usage in a bucket has zero there. Commitments are not in it.
        """
        revenue: dict[str, list[Decimal]] = {}
        with self._database.read() as connection:
            for cycle in cycles_touching(account, edges[0], edges[-1]):
                plan = schedule_plan(connection, organisation_id, cycle.schedule)
                rows = rows_of(connection, organisation_id, account.account_id, cycle.window)
                meters = [plan_meter(connection, organisation_id, card.meter_id) for card in plan.usage_cards]
                for meter_id, amounts in _cycle_revenue(plan, meters, rows, account.currency, cycle, edges):
                    sums = revenue.get(meter_id, [ZERO] * (len(edges) - 1))
                    revenue[meter_id] = [EXACT.add(left, right) for left, right in zip(sums, amounts, strict=True)]
        return revenue

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
        Each account is one transaction, durable before the next; `on_account` is told how many are done.
        """
        report = BillReport(as_of=as_of, metered_through=metered_through)
        with self._database.read() as connection:
            organisations = accounts.organisations(connection)
        for organisation in organisations:
            for account in self._accounts(organisation.organisation_id):
                report = self._close_account(organisation.organisation_id, account, report)
                if on_account is not None:
                    on_account(report.accounts)
        return report

    def _accounts(self, organisation_id: str) -> Iterator[Account]:
        """The accounts that have a schedule, each page of them in a transaction of its own."""

        def page_after(after: str | None) -> list[Account]:
            with self._database.read() as connection:
                return _accounts_page(connection, organisation_id, after)

        return _all_pages(page_after, after=None)

    def _close_account(self, organisation_id: str, account: Account, report: BillReport) -> BillReport:
        finalised_count, refused = 0, report.refused
        with self._database.read() as connection:
            invoiced = ledger.invoiced_starts(connection, organisation_id, account.account_id)
            due = due_cycles(account, report.as_of, invoiced)
            ready = [cycle for cycle in due if _is_metered(cycle, report.metered_through)]
            try:
                to_issue = ready or _charged_early(connection, organisation_id, account, report.as_of, invoiced)
            except (Conflict, NotFound):
                # Issuing says what is missing.
                to_issue = [*openings(account, report.as_of, invoiced), *additions(account, report.as_of, invoiced)]
        try:
            if to_issue:
                finalised_count = self._finalise(organisation_id, account.account_id, report)
        except (Conflict, NotFound) as error:
            refused = (*refused, _refusal(organisation_id, account, to_issue[0], error))
        return msgspec.structs.replace(
            report,
            accounts=report.accounts + 1,
            finalised=report.finalised + finalised_count,
            waiting=report.waiting + len(due) - len(ready),
            refused=refused,
        )

    def _finalise(self, organisation_id: str, account_id: str, report: BillReport) -> int:
        """Store the invoices of the account's due and metered cycles, all or none; say how many were new."""
        with self._database.write() as connection:
            # Read again: while this transaction holds the write lock, neither schedule nor usage can change.
            account = accounts.account(connection, organisation_id, account_id)
            if account is None:
                return 0
            invoiced = ledger.invoiced_starts(connection, organisation_id, account_id)
            due = due_cycles(account, report.as_of, invoiced)
            metered = [cycle for cycle in due if _is_metered(cycle, report.metered_through)]
            # What opens a series comes first: the cycle's own invoice then finds it charged. Licences that were added
            # come last: the invoice of the cycle before has then charged what was held when the cycle began.
            opening = openings(account, report.as_of, invoiced)
            added = additions(account, report.as_of, {*invoiced, *(cycle.window.start for cycle in metered)})
            inserted = [
                _issue(connection, organisation_id, account, cycle, report.as_of)
                for cycle in (*opening, *metered, *added)
            ]
        return sum(inserted)


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


def _accounts_after(connection: Connection, organisation_id: str, after: str | None) -> Iterator[Account]:
    return _all_pages(lambda last: _accounts_page(connection, organisation_id, last), after=after)


def _accounts_wanted(
    connection: Connection, organisation_id: str, wanted: InvoiceFilter, after: InvoiceKey | None
) -> Iterator[Account]:
    """The accounts that pass the filter, by id, from that of the key `after` on."""
    first_id = wanted.account_id or (None if after is None else after.account_id)
    first = accounts.account(connection, organisation_id, first_id) if first_id else None
    if first is not None and wanted.customer_id in (None, first.customer_id):
        yield first
    if wanted.account_id is not None:
        return
    for account in _accounts_after(connection, organisation_id, first_id):
        if wanted.customer_id in (None, account.customer_id):
            yield account


def _open_cycles(
    connection: Connection, organisation_id: str, wanted: InvoiceFilter, after: InvoiceKey | None, now: datetime
) -> Iterator[tuple[Place, tuple[Account, Cycle]]]:
    """The cycles that have begun and have no invoice, with their places in the listing, in its order."""
    for account in _accounts_wanted(connection, organisation_id, wanted, after):
        invoiced = ledger.invoiced_starts(connection, organisation_id, account.account_id)
        open_ones = [cycle for cycle in begun_cycles(account, now) if cycle.window.start not in invoiced]
        open_ones += _pending_openings(connection, organisation_id, account, now, invoiced)
        placed = [(_key(account, cycle).place(), (account, cycle)) for cycle in open_ones]
        for place, found in sorted(placed, key=lambda item: item[0]):
            if (after is None or place > after.place()) and _started_within(found[1], wanted):
                yield place, found


def _charged_early(
    connection: Connection, organisation_id: str, account: Account, now: datetime, invoiced: set[date]
) -> list[Cycle]:
    """The cycles with something to be charged in advance besides with the invoices of cycles.

    Looked for before anything is written, so that a bill run takes the write lock only where it must.
    """
    early = [*openings(account, now, invoiced), *additions(account, now, invoiced)]
    return [cycle for cycle in early if draw_up(connection, organisation_id, account, cycle, now) is not None]


def _pending_openings(
    connection: Connection, organisation_id: str, account: Account, now: datetime, invoiced: set[date]
) -> list[Cycle]:
    """What is to be charged in advance where a series of cycles begins, and has not been."""
    return [
        cycle
        for cycle in openings(account, now, invoiced)
        if draw_up(connection, organisation_id, account, cycle, now) is not None
    ]


def _key(account: Account, cycle: Cycle) -> InvoiceKey:
    return InvoiceKey(account_id=account.account_id, start_date=cycle.window.start, invoice_type=cycle.invoice_type)


def _draft_of_id(connection: Connection, organisation_id: str, invoice_id: str, now: datetime) -> Invoice | None:
    """Find the open cycle by its id. The id holds a hash of the account's, so the accounts are searched."""
    parsed = parse_invoice_id(invoice_id)
    if parsed is None:
        return None
    mark, invoice_type, start = parsed
    for account in _accounts_after(connection, organisation_id, None):
        if account_mark(organisation_id, account.account_id) == mark:
            invoiced = ledger.invoiced_starts(connection, organisation_id, account.account_id)
            for cycle in (*begun_cycles(account, now), *openings(account, now, invoiced)):
                if (cycle.invoice_type, cycle.window.start) == (invoice_type, start):
                    drawn_up = draw_up(connection, organisation_id, account, cycle, now)
                    return None if drawn_up is None else drawn_up[0]
    return None


def _draft(connection: Connection, organisation_id: str, account: Account, cycle: Cycle, now: datetime) -> Invoice:
    drawn_up = draw_up(connection, organisation_id, account, cycle, now)
    assert drawn_up is not None, "only cycles with an invoice are looked for"
    return drawn_up[0]


def _is_metered(cycle: Cycle, metered_through: datetime | None) -> bool:
    return metered_through is not None and metered_through >= cycle.deadline


def _started_within(cycle: Cycle, wanted: InvoiceFilter) -> bool:
    start = cycle.window.start
    if wanted.started_from is not None and start < wanted.started_from:
        return False
    return wanted.started_before is None or start < wanted.started_before


def _refusal(organisation_id: str, account: Account, cycle: Cycle, error: TallybookError) -> Refusal:
    return Refusal(
        organisation_id=organisation_id,
        account_id=account.account_id,
        start_date=cycle.window.start,
        message=error.message,
    )


# ---- issuing and attributing -------------------------------------------------------------------------------------


def _issue(connection: Connection, organisation_id: str, account: Account, cycle: Cycle, issued_at: datetime) -> bool:
    """Compute and store the cycle's invoice; False when it was there, or there is nothing to charge in advance."""
    drawn_up = draw_up(connection, organisation_id, account, cycle, issued_at)
    if drawn_up is None:
        return False
    draft, inputs = drawn_up
    return ledger.add_invoice(connection, finalised(draft, issued_at=issued_at), inputs)


def _cycle_revenue(
    plan: PricePlan,
    meters: Sequence[UsageMeter],
    rows: Sequence[UsageRow],
    currency: str,
    cycle: Cycle,
    edges: Sequence[datetime],
) -> Iterator[tuple[str, list[Decimal]]]:
    """Revenue by meter id; `meters` are those of the plan's usage cards, in their order."""
    start, end = cycle.window
    for card, meter in zip(plan.usage_cards, meters, strict=True):
        amounts = revenue_by_bucket(
            card,
            [(row.event_hour, row) for row in rows if row.meter_id == card.meter_id],
            aggregation=meter.aggregation,
            currency=currency,
            cycle=(hours_since_1970(midnight(start)), hours_since_1970(midnight(end))),
            edges=[hours_since_1970(edge) for edge in edges],
        )
        yield card.meter_id, amounts
