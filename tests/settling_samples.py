"""Finalised invoices to pay, payments, and what can be read of them, for the tests of payments and wallets."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from billing_samples import add_account, add_catalogue, use

from tallybook.core.credit import Credit, CreditTerms
from tallybook.core.invoice import InvoiceStatus, invoice_id_for
from tallybook.core.payment import (
    ExternalReference,
    Payment,
    PaymentLine,
    PaymentLineType,
    PaymentRequest,
    PaymentSource,
)
from tallybook.core.receivable import Receivable
from tallybook.flows.bill import Billing
from tallybook.flows.change_invoice_status import change_status
from tallybook.flows.fund_wallet import top_up, wallet_of
from tallybook.flows.record_payment import record_payment
from tallybook.storage import credits, payments, settlements, wallets
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.pages import PageRequest, Place

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def new_database(folder: Path) -> Database:
    """A database in which accounts P and Q are billed from January 2024 on, 2 dollars a unit."""
    migrate(folder / "tallybook.sqlite")
    opened = open_database(folder / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        add_account(connection, "P", start=JANUARY)
        add_account(connection, "Q", start=JANUARY)
    return opened


def billed(database: Database, month: date, *, total: int, account_id: str = "P") -> str:
    """The id of the account's finalised invoice for that month over that total, an even number up to 200."""
    assert 0 <= total <= 200
    if total:
        use(database, account_id, f"{month:%Y-%m}-15T00:00", str(Decimal(total) / 2))
    after = datetime(month.year + month.month // 12, month.month % 12 + 1, 4, tzinfo=UTC)
    Billing(database).close_due_cycles(as_of=after, metered_through=after)
    return invoice_id_for("org", account_id, month)


def invoice_line(invoice_id: str, amount: str | None = None, *, order: int = 1) -> PaymentLine:
    return PaymentLine(
        order=order,
        line_type=PaymentLineType.INVOICE,
        entity_id=invoice_id,
        amount=None if amount is None else Decimal(amount),
    )


def payment(total: str, /, *lines: PaymentLine, number: str = "T1", **changes: Any) -> PaymentRequest:
    reference = ExternalReference(
        source_type=PaymentSource.CARD, source_name="A bank", transaction_number=number, description="Card payment"
    )
    fields = {"account_id": "P", "currency": "USD", "total": Decimal(total), "reference": reference, **changes}
    return PaymentRequest(lines=lines, **fields)


def fund(database: Database, amount: str, *, account_id: str = "P", key: str | None = None) -> Any:
    """Top the wallet up; return its balance then."""
    _, wallet = top_up(database, "org", account_id, Decimal(amount), idempotency_key=key, now=NOON)
    return wallet.balance


def standing(database: Database, invoice_id: str) -> tuple[InvoiceStatus, Any]:
    """The invoice's status, and what is paid."""
    found = receivable(database, invoice_id)
    return found.status, found.paid


def receivable(database: Database, invoice_id: str) -> Receivable:
    with database.read() as connection:
        return settlements.receivables(connection, "org", [invoice_id])[invoice_id]


def balance(database: Database, account_id: str = "P") -> Any:
    return wallet_of(database, "org", account_id)[1].balance


def entries(database: Database, account_id: str = "P") -> list[tuple[str, str, str]]:
    """The wallet's entries, the oldest first: type, amount, closing balance."""
    page: PageRequest[Any] = PageRequest(size=1000, filters={}, within=account_id, after=None)
    with database.read() as connection:
        found = wallets.list_entries(connection, "org", page).items
    return [(each.entry_type.value, str(each.amount), str(each.closing_balance)) for each in reversed(found)]


def grant(database: Database, credit_id: str, *, account_id: str = "P") -> None:
    """Grant the account a credit of 100."""
    terms = CreditTerms(purpose="Test", amount=Decimal(100), priority=1, effective_from=JANUARY)
    new = Credit(
        credit_id=credit_id, account_id=account_id, customer_id="CUS", currency="USD", terms=terms, created_at=NOON
    )
    with database.write() as connection:
        credits.grant(connection, "org", new)


def left_of(database: Database, credit_id: str) -> Any:
    with database.read() as connection:
        held = credits.credit(connection, "org", credit_id)
    assert held is not None
    return held.left


def pay(database: Database, request: PaymentRequest) -> Payment:
    return record_payment(database, "org", request, created_by="key.1", now=NOON)


def amounts(recorded: Payment) -> list[tuple[Any, Any]]:
    """What the lines of a payment are for, and how much each got."""
    return [(line.entity_id, line.amount) for line in recorded.lines]


def turn(database: Database, invoice_id: str, to: InvoiceStatus) -> None:
    change_status(database, "org", invoice_id, to, changed_by="key.1", now=NOON)


def all_payments(database: Database, organisation_id: str = "org") -> list[Payment]:
    with database.read() as connection:
        page: PageRequest[Place] = PageRequest(size=1000, filters={}, order=payments.LISTED.order, after=None)
        return payments.list_payments(connection, organisation_id, page).items
