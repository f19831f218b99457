"""Laws of payments and wallets: whatever happens in whatever order, no money is made and none is lost."""

import shutil
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from billing_samples import add_account, add_catalogue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from settling_samples import NOON, billed, entries, fund, invoice_line, payment

from tallybook.core.errors import Conflict
from tallybook.core.invoice import InvoiceStatus as Status
from tallybook.core.receivable import SettlementSource
from tallybook.core.wallet import WalletChanges, WalletStatus
from tallybook.flows.change_invoice_status import change_status
from tallybook.flows.fund_wallet import change_wallet
from tallybook.flows.record_payment import record_payment
from tallybook.storage import payments, settlements
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.pages import PageRequest, Place

MONTHS = [date(2024, month, 1) for month in (1, 2, 3)]
TOTALS = [120, 80, 60]

_amounts = st.integers(1, 200)
_invoices = st.integers(0, len(MONTHS) - 1)
_acts = st.one_of(
    st.tuples(st.just("pay"), _invoices, _amounts),
    st.tuples(st.just("top up"), _amounts),
    st.tuples(st.just("turn"), _invoices, st.sampled_from([status for status in Status if status is not Status.DUE])),
    st.tuples(st.just("switch"), st.sampled_from(WalletStatus)),
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A database in which account P has three invoices that are due; their ids."""
    path = tmp_path_factory.mktemp("template") / "tallybook.sqlite"
    migrate(path)
    database = open_database(path)
    with database.write() as connection:
        add_catalogue(connection)
        add_account(connection, "P", start=MONTHS[0])
    ids = [billed(database, month, total=total) for month, total in zip(MONTHS, TOTALS, strict=True)]
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path, ids


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(_acts, max_size=12))
def test_every_posting_balances(
    template: tuple[Path, list[str]], tmp_path: Path, acts: Sequence[tuple[Any, ...]]
) -> None:
    """What came in is on invoices, in the wallet or given back; balances are the sums of their entries."""
    path, ids = template
    copy = tmp_path / "tallybook.sqlite"
    for left in tmp_path.glob("tallybook.sqlite*"):
        left.unlink()
    shutil.copy(path, copy)
    database = open_database(copy)
    try:
        came_in = sum(_done(database, ids, act, number) for number, act in enumerate(acts))
        _check_balance(database, ids, came_in)
    finally:
        database.close()


def _done(database: Database, ids: Sequence[str], act: tuple[Any, ...], number: int) -> int:
    """What came in from outside; an act that is refused moves nothing."""
    try:
        match act:
            case ("pay", invoice, amount):
                request = payment(str(amount), invoice_line(ids[invoice]), number=str(number))
                record_payment(database, "org", request, created_by="key.1", now=NOON)
                return int(amount)
            case ("top up", amount):
                fund(database, str(amount))
                return int(amount)
            case ("turn", invoice, status):
                paid_before = _recorded(database)
                change_status(database, "org", ids[invoice], status, changed_by="key.1", now=NOON)
                return _recorded(database) - paid_before
            case ("switch", status):
                change_wallet(database, "org", "P", WalletChanges(status=status), now=NOON)
    except Conflict:
        pass
    return 0


def _recorded(database: Database) -> int:
    """The totals of all recorded payments."""
    page: PageRequest[Place] = PageRequest(size=1000, filters={}, order=payments.LISTED.order, after=None)
    with database.read() as connection:
        return int(sum(each.request.total for each in payments.list_payments(connection, "org", page).items))


def _fits(status: Status, paid: Decimal, total: int) -> bool:
    """Whether an invoice may have that status when that much of it is paid."""
    match status:
        case Status.DUE | Status.VOID | Status.REFUND_COMPLETED:
            return paid == 0
        case Status.PARTIALLY_PAID:
            return 0 < paid < total
        case Status.PAID:
            return paid == total
        case Status.REFUND_INITIATED:
            return paid > 0
        case _:
            return paid < total


def _check_balance(database: Database, ids: Sequence[str], came_in: int) -> None:
    balance = Decimal(0)
    for kind, amount, closing in entries(database):
        balance += Decimal(amount) if kind == "CREDITED" else -Decimal(amount)
        assert balance == Decimal(closing) >= 0
    on_invoices, outside = Decimal(0), Decimal(0)
    with database.read() as connection:
        found = settlements.receivables(connection, "org", ids)
        moves = {invoice_id: settlements.settlements_of(connection, "org", invoice_id) for invoice_id in ids}
    for invoice_id, total in zip(ids, TOTALS, strict=True):
        standing = found[invoice_id]
        assert standing.paid == sum(each.amount for each in moves[invoice_id])
        assert 0 <= standing.paid <= total
        assert _fits(standing.status, standing.paid, total)
        on_invoices += standing.paid
        outside -= sum(each.amount for each in moves[invoice_id] if each.source is SettlementSource.REFUND)
    assert came_in == on_invoices + balance + outside
