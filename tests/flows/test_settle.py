"""Moving money over a real database, when processes die in the middle or act at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from billing_samples import use
from crashing import Crash, crashing_at
from settling_samples import (
    JANUARY,
    balance,
    billed,
    entries,
    fund,
    invoice_line,
    new_database,
    pay,
    payment,
    standing,
    turn,
)

from tallybook.core.invoice import InvoiceStatus as Status
from tallybook.core.invoice import invoice_id_for
from tallybook.flows.bill import Billing
from tallybook.storage import settlements
from tallybook.storage.database import Database

STATEMENTS_MAX = 60


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Accounts P and Q are billed from January 2024 on, 2 dollars a unit."""
    opened = new_database(tmp_path)
    yield opened
    opened.close()


def close_january(database: Database) -> None:
    after = datetime(2024, 2, 4, tzinfo=UTC)
    Billing(database).close_due_cycles(as_of=after, metered_through=after)


def test_a_bill_run_that_dies_anywhere_pays_from_the_wallet_once(database: Database) -> None:
    """The invoice of 120 and what the wallet of 100 pays on it are there together, or neither is."""
    fund(database, "100")
    use(database, "P", "2024-01-15T00:00", "60")
    invoice_id = invoice_id_for("org", "P", JANUARY)
    for statement in range(1, 10 * STATEMENTS_MAX):
        try:
            with crashing_at(database, statement):
                close_january(database)
        except Crash:
            with database.read() as connection:
                there = invoice_id in settlements.receivables(connection, "org", [invoice_id])
            assert balance(database) == (0 if there else 100), f"at {statement}"
        else:
            break
    assert statement > 20, "it has more statements than that"
    assert (standing(database, invoice_id), balance(database)) == ((Status.PARTIALLY_PAID, 100), 0)
    assert entries(database) == [("CREDITED", "100", "100"), ("DEBITED", "100", "0")]


def test_parallel_bill_runs_pay_from_the_wallet_once(database: Database) -> None:
    """Four at once: 100 of the invoice of 120 are paid, and the wallet is debited once."""
    fund(database, "100")
    use(database, "P", "2024-01-15T00:00", "60")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: close_january(database), range(4)))
    invoice_id = invoice_id_for("org", "P", JANUARY)
    assert (standing(database, invoice_id), balance(database)) == ((Status.PARTIALLY_PAID, 100), 0)
    assert entries(database) == [("CREDITED", "100", "100"), ("DEBITED", "100", "0")]


def _pays(database: Database, invoice_id: str) -> None:
    pay(database, payment("150", invoice_line(invoice_id)))


def _tops_up(database: Database, invoice_id: str) -> None:
    fund(database, "150", key="k")


def _voids(database: Database, invoice_id: str) -> None:
    turn(database, invoice_id, Status.VOID)


def _marks_paid(database: Database, invoice_id: str) -> None:
    turn(database, invoice_id, Status.PAID)


@pytest.mark.parametrize(
    ("act", "status_then", "balance_then"),
    [(_pays, Status.PAID, 30), (_tops_up, Status.PAID, 30), (_marks_paid, Status.PAID, 0), (_voids, Status.VOID, 0)],
    ids=["payment", "top-up", "paid", "void"],
)
def test_dying_at_any_statement_moves_all_or_nothing(
    database: Database, act: Callable[[Database, str], None], status_then: Status, balance_then: int
) -> None:
    """Whoever sends it again completes it, once: the invoice of 120 is paid, or void, and the rest is in the wallet."""
    invoice_id = billed(database, JANUARY, total=120)
    for statement in range(1, STATEMENTS_MAX):
        try:
            with crashing_at(database, statement):
                act(database, invoice_id)
        except Crash:
            assert (standing(database, invoice_id), balance(database)) == ((Status.DUE, 0), 0), f"at {statement}"
        else:
            break
    assert statement > 5, "it has more statements than that"
    act(database, invoice_id)
    paid_then = 120 if status_then is Status.PAID else 0
    assert (standing(database, invoice_id), balance(database)) == ((status_then, paid_then), balance_then)
