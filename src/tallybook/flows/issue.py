"""Issuing an invoice: storing it, and in the same transaction all that follows from it."""

from datetime import datetime

import msgspec

from tallybook.core.credit_grant import granted_credit
from tallybook.core.invoice import Invoice, InvoiceType, finalised
from tallybook.core.invoice_inputs import InvoiceInputs
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.late_usage import late_postings
from tallybook.core.receivable import receivable_of
from tallybook.flows.ask_tax import TaxFunction, asked_tax
from tallybook.flows.books import Books
from tallybook.flows.draw_up import DrawnUp
from tallybook.flows.settle import net_issued
from tallybook.storage import credits, invoice_numbers, late_usage, ledger, miscellaneous_charges
from tallybook.storage.miscellaneous_charges import NEXT_INVOICE


def issue(
    books: Books,
    draft: Invoice,
    inputs: InvoiceInputs,
    *,
    issued_at: datetime,
    tax_function: TaxFunction | None = None,
) -> bool:
    """Store the draft as a finalised invoice, with its consequences; False, and nothing is changed, if it is there.

    The books must have been read in this transaction, which writes, and be those that the draft was computed from.
    Raises `Conflict` when the function for tax fails.
    """
    connection, organisation_id = books.connection, books.organisation_id
    if ledger.is_issued(connection, organisation_id, draft.invoice_id):
        return False
    draft, inputs = _taxed(books, draft, inputs, tax_function)
    number = invoice_numbers.next_number(connection, organisation_id)
    issued = msgspec.structs.replace(finalised(draft, issued_at=issued_at), sequence_number=number)
    group_id = _merging_group(books, issued)
    ledger.add_invoice(connection, issued, inputs, group_id=group_id)
    _use_up_charges(books, issued, inputs)
    _post_late_usage(books, issued, inputs)
    credits.debit(connection, organisation_id, issued.invoice_id, issued.credits_used, at=issued_at)
    _grant_credits(books, issued)
    if group_id is None and books.has_money(issued.account.account_id):
        net_issued(connection, organisation_id, receivable_of(issued, custom=inputs.custom), now=issued_at)
    return True


def _taxed(books: Books, draft: Invoice, inputs: InvoiceInputs, function: TaxFunction | None) -> DrawnUp:
    """The draft with the tax that the function says, which stands in its inputs then."""
    amounts = None if function is None else asked_tax(function, draft)
    if amounts is None:
        return draft, inputs
    tax = msgspec.structs.replace(inputs.adjustments.tax, amounts=amounts)
    adjustments = msgspec.structs.replace(inputs.adjustments, tax=tax)
    inputs = msgspec.structs.replace(inputs, adjustments=adjustments)
    taxed = invoice_of(inputs, books.plans, computed_at=draft.computed_at)
    assert taxed is not None, "tax makes no invoice go away"
    return taxed, inputs


def _use_up_charges(books: Books, issued: Invoice, inputs: InvoiceInputs) -> None:
    """Forget the miscellaneous charges that are on the invoice now; its inputs hold them."""
    charges, account_id = inputs.adjustments.charges, issued.account.account_id
    if not charges:
        return
    own = books.pending_charges(account_id).by_invoice.get(issued.invoice_id, ())
    used = [issued.invoice_id] if len(charges) == len(own) else [issued.invoice_id, NEXT_INVOICE]
    miscellaneous_charges.forget_charges(books.connection, books.organisation_id, account_id, used)


def _post_late_usage(books: Books, issued: Invoice, inputs: InvoiceInputs) -> None:
    """Keep what the invoice says of cycles that were invoiced before it, which are noted no more."""
    late = [each.invoice_id for each in inputs.adjustments.late]
    if not late:
        return
    connection, organisation_id = books.connection, books.organisation_id
    postings = list(late_postings(issued.gross))
    late_usage.post_late_usage(connection, organisation_id, postings, posted_by=issued.invoice_id)
    late_usage.clear_notes(connection, organisation_id, issued.account.account_id, late)


def _grant_credits(books: Books, issued: Invoice) -> None:
    """Make credits of what the invoice sells, and gives back."""
    assert issued.issued_at is not None, "an issued invoice says when"
    for grant in issued.credits_granted:
        credit = granted_credit(
            grant,
            invoice_id=issued.invoice_id,
            account_id=issued.account.account_id,
            customer_id=issued.account.customer_id,
            currency=issued.account.currency,
            at=issued.issued_at,
        )
        credits.grant(books.connection, books.organisation_id, credit, invoice_id=issued.invoice_id)


def _merging_group(books: Books, issued: Invoice) -> str | None:
    """The group that is going to merge the invoice with others; it does not merge what was written by hand."""
    group = books.group(issued.account.account_id)
    if group is None or not group.daily_consolidation or issued.invoice_type is InvoiceType.CUSTOM:
        return None
    return group.group_id
