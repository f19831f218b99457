"""Drawing up a custom invoice: what somebody wrote, with the credits, charges and tax of whom it is for."""

from datetime import datetime
from typing import assert_never

from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.composite_invoice import billed_group
from tallybook.core.custom_invoice import CustomInvoice, OwnerType
from tallybook.core.errors import NotFound
from tallybook.core.invoice import InvoiceType
from tallybook.core.invoice_inputs import Adjustments, InvoiceInputs
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.tax import TaxInputs
from tallybook.flows.books import Books
from tallybook.flows.draw_up import DrawnUp, billed_account
from tallybook.storage import accounts, invoice_groups, miscellaneous_charges, settings
from tallybook.storage.miscellaneous_charges import NO_CHARGES


def books_for(connection: Connection, organisation_id: str, custom: CustomInvoice) -> Books:
    """The books of whom the invoice is for: an account, or all of a group. Raises `NotFound`."""
    match custom.owner_type:
        case OwnerType.ACCOUNT:
            owners = [custom.owner_id]
        case OwnerType.INVOICE_GROUP:
            owners = invoice_groups.accounts_in(connection, organisation_id, custom.owner_id)
        case _:
            assert_never(custom.owner_type)
    found = accounts.accounts_with_ids(connection, organisation_id, owners)
    if not found:
        raise NotFound(f"no {custom.owner_type.value} {custom.owner_id!r}, whose the custom invoice is")
    return Books(connection, organisation_id, list(found.values()))


def draw_up_custom(books: Books, custom: CustomInvoice, computed_at: datetime) -> DrawnUp:
    """The invoice as a draft, with what it was computed from; `books` are those of its owner.

    Raises `NotFound` or `Conflict` when its owner is gone, or a charge cannot be computed.
    """
    match custom.owner_type:
        case OwnerType.ACCOUNT:
            inputs = _for_account(books, custom, books.account(custom.owner_id))
        case OwnerType.INVOICE_GROUP:
            inputs = _for_group(books, custom)
        case _:
            assert_never(custom.owner_type)
    invoice = invoice_of(inputs, {}, computed_at=computed_at)
    assert invoice is not None, "a custom invoice has lines"
    return invoice, inputs


def _for_account(books: Books, custom: CustomInvoice, account: Account) -> InvoiceInputs:
    return InvoiceInputs(
        organisation_id=books.organisation_id,
        invoice_type=InvoiceType.CUSTOM,
        account=billed_account(books, account),
        custom=custom,
        adjustments=Adjustments(
            credits=books.credits(account.account_id) if custom.apply_credits else (),
            charges=books.pending_charges(account.account_id).by_invoice.get(custom.invoice_id, ()),
            tax=TaxInputs(rates=books.tax_rates(account.account_id)),
        ),
        dialect=books.choices.expression_dialect.value,
        number_prefix=books.choices.invoice_number_prefix,
    )


def _for_group(books: Books, custom: CustomInvoice) -> InvoiceInputs:
    """Credits are accounts' and not used; tax is that of the customer whose all the accounts are."""
    connection, organisation_id = books.connection, books.organisation_id
    stored = invoice_groups.find_group(connection, organisation_id, custom.owner_id)
    if stored is None:
        raise NotFound(f"no invoice group {custom.owner_id!r}, whose the custom invoice is")
    group = stored.definition
    billed = billed_group(group, [billed_account(books, account) for account in books.accounts])
    pending = miscellaneous_charges.pending_charges(connection, organisation_id, [group.group_id])
    rates = settings.tax_rates_of(connection, organisation_id, {group.group_id: billed.customer_id})
    return InvoiceInputs(
        organisation_id=organisation_id,
        invoice_type=InvoiceType.CUSTOM,
        account=billed,
        custom=custom,
        group=group,
        adjustments=Adjustments(
            charges=pending.get(group.group_id, NO_CHARGES).by_invoice.get(custom.invoice_id, ()),
            tax=TaxInputs(rates=rates[group.group_id]),
        ),
        dialect=books.choices.expression_dialect.value,
        number_prefix=books.choices.invoice_number_prefix,
    )
