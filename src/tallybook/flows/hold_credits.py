"""What an account has in credits: what finalised invoices have left of them, and what its drafts use of that.

A draft is a view, and so is a hold: it is what the drafts would use if they were finalised now, in their order.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.credit import CreditBalance, UsableCredit, balance_of, covers, is_effective_in
from tallybook.core.credit_lines import charged_entities
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Conflict, NotFound
from tallybook.core.invoice import Invoice, InvoiceType
from tallybook.core.period import Window, midnight
from tallybook.flows.books import Books
from tallybook.flows.draw_up import drafts_in_order
from tallybook.flows.find_cycles import Cycle, open_cycles
from tallybook.storage import accounts, credits

Drafts = list[tuple[Cycle, Invoice]]


def holds_of(
    connection: Connection, organisation_id: str, account_ids: Collection[str], *, now: datetime
) -> dict[str, Decimal]:
    """What the drafts of these accounts use of each credit, by credit id; credits that they do not use are left out."""
    found = accounts.accounts_with_ids(connection, organisation_id, sorted(account_ids))
    books = Books(connection, organisation_id, list(found.values()))
    holds: dict[str, Decimal] = {}
    for account in found.values():
        holds.update(_holds(_drafts(books, account, now)))
    return holds


def balance(
    connection: Connection, organisation_id: str, account_id: str, *, now: datetime
) -> tuple[str, CreditBalance]:
    """The account's currency and the balance of its credits. Raises `NotFound`."""
    account = accounts.account(connection, organisation_id, account_id)
    if account is None:
        raise NotFound(f"no account {account_id!r}")
    held = credits.credits_of(connection, organisation_id, account_id)
    drafts = _drafts(Books(connection, organisation_id, [account]), account, now)
    applicable = _applicable_ids([each.usable for each in held], drafts, now)
    return account.currency, balance_of(held, on=now.date(), holds=_holds(drafts), applicable_ids=applicable)


def _drafts(books: Books, account: Account, now: datetime) -> Drafts:
    """The account's drafts as far as they can be drawn up; an account without credits has none that matter."""
    if not books.credits(account.account_id):
        return []
    return list(_until_refused(books, account, now))


def _until_refused(books: Books, account: Account, now: datetime) -> Iterator[tuple[Cycle, Invoice]]:
    """What is not drawn up holds nothing: a bill run refuses to issue it, and whatever comes after, and says why."""
    cycles = open_cycles(account, now, books.invoiced_starts(account.account_id))
    try:
        yield from drafts_in_order(books, account, cycles, now)
    except (Conflict, NotFound):
        return


def _holds(drafts: Drafts) -> dict[str, Decimal]:
    holds: dict[str, Decimal] = {}
    for _, draft in drafts:
        for use in draft.credits_used:
            holds[use.credit_id] = EXACT.add(holds.get(use.credit_id, ZERO), use.amount)
    return holds


def _applicable_ids(there: Collection[UsableCredit], drafts: Drafts, now: datetime) -> set[str]:
    """The credits that the draft of the running cycle can be paid with, whatever it comes to by now."""
    return {
        credit.credit_id
        for cycle, draft in drafts
        if cycle.invoice_type is InvoiceType.STANDARD and _is_running(cycle.window, now)
        for credit in there
        if is_effective_in(credit, cycle.window)
        and any(each.creditable and covers(credit, each.entity_ids) for each in charged_entities(draft.gross))
    }


def _is_running(window: Window, now: datetime) -> bool:
    return midnight(window.start) <= now < midnight(window.end)
