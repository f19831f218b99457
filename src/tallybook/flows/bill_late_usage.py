"""Billing what came late for an account that no plan bills any more: an invoice of its own, of type `AD_HOC`.

Where a cycle is still open, or to come, its invoice says what came late, and nothing here is needed.
"""

from datetime import datetime

from tallybook.core.account import Account
from tallybook.core.invoice import InvoiceType, invoice_id_for
from tallybook.core.invoice_inputs import Adjustments, InvoiceInputs
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.tax import TaxInputs
from tallybook.flows.ask_tax import TaxFunction
from tallybook.flows.books import Books
from tallybook.flows.draw_up import DrawnUp, billed_account, late_cycles
from tallybook.flows.find_cycles import has_open_cycle
from tallybook.flows.issue import issue
from tallybook.storage import late_usage, ledger


def is_late_alone(books: Books, account: Account, as_of: datetime) -> bool:
    """Whether something came late that no invoice of a cycle is going to say, and none of that day has said."""
    account_id = account.account_id
    if not books.late_invoices(account_id) or has_open_cycle(account, books.invoiced_starts(account_id)):
        return False
    invoice_id = invoice_id_for(books.organisation_id, account_id, as_of.date(), InvoiceType.AD_HOC)
    return not ledger.is_issued(books.connection, books.organisation_id, invoice_id)


def bill_late_alone(books: Books, account: Account, as_of: datetime, tax_function: TaxFunction | None) -> bool:
    """Issue an invoice of what came late, of the day of `as_of`; False when nothing is owed for it.

    In a transaction of the caller's that writes, and in which the books were read. Raises `Conflict` or `NotFound`.
    """
    if not is_late_alone(books, account, as_of):
        return False
    drawn_up = _drawn_up(books, account, as_of)
    if drawn_up is None:
        noted = books.late_invoices(account.account_id)
        late_usage.clear_notes(books.connection, books.organisation_id, account.account_id, noted)
        return False
    return issue(books, *drawn_up, issued_at=as_of, tax_function=tax_function)


def _drawn_up(books: Books, account: Account, computed_at: datetime) -> DrawnUp | None:
    """The invoice, unless everything on it would be over nothing."""
    account_id = account.account_id
    inputs = InvoiceInputs(
        organisation_id=books.organisation_id,
        invoice_type=InvoiceType.AD_HOC,
        account=billed_account(books, account),
        first_day=computed_at.date(),
        adjustments=Adjustments(
            late=tuple(late_cycles(books, account_id)),
            credits=books.credits(account_id),
            tax=TaxInputs(rates=books.tax_rates(account_id)),
        ),
        dialect=books.choices.expression_dialect.value,
        number_prefix=books.choices.invoice_number_prefix,
    )
    invoice = invoice_of(inputs, books.plans, computed_at=computed_at)
    if invoice is None or not any(line.amount.amount for line in invoice.gross.lines):
        return None
    return invoice, inputs
