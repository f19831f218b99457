"""The statuses of invoices over a real database, and the money that moves with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from settling_samples import (
    FEBRUARY,
    JANUARY,
    all_payments,
    balance,
    billed,
    entries,
    fund,
    grant,
    invoice_line,
    left_of,
    new_database,
    pay,
    payment,
    receivable,
    standing,
    turn,
)

from tallybook.core.errors import Conflict
from tallybook.core.invoice import InvoiceStatus as Status
from tallybook.storage import settlements
from tallybook.storage.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Accounts P and Q are billed from January 2024 on, 2 dollars a unit."""
    opened = new_database(tmp_path)
    yield opened
    opened.close()


def test_setting_an_invoice_to_paid_records_the_payment_of_the_rest(database: Database) -> None:
    """Contract 3.9: 120, of which 50 are paid; the recorded payment is of 70. Set again, nothing changes."""
    invoice_id = billed(database, JANUARY, total=120)
    pay(database, payment("50", invoice_line(invoice_id)))
    turn(database, invoice_id, Status.PAID)
    turn(database, invoice_id, Status.PAID)
    assert standing(database, invoice_id) == (Status.PAID, 120)
    assert sorted(each.request.total for each in all_payments(database)) == [50, 70]


def test_what_is_given_up_can_still_be_paid(database: Database) -> None:
    """UN_COLLECTIBLE stays so until all is paid, and the wallet does not pay it by itself."""
    invoice_id = billed(database, JANUARY, total=120)
    turn(database, invoice_id, Status.UN_COLLECTIBLE)
    assert fund(database, "30") == 30
    pay(database, payment("50", invoice_line(invoice_id)))
    assert standing(database, invoice_id) == (Status.UN_COLLECTIBLE, 50)
    pay(database, payment("70", invoice_line(invoice_id), number="T2"))
    assert standing(database, invoice_id) == (Status.PAID, 120)


def test_a_void_invoice_gives_back_what_was_paid(database: Database) -> None:
    """50 paid on what was given up go to the wallet, and from there to the next invoice that is due."""
    invoice_id, due = billed(database, JANUARY, total=120), billed(database, FEBRUARY, total=40)
    turn(database, invoice_id, Status.UN_COLLECTIBLE)
    pay(database, payment("50", invoice_line(invoice_id)))
    turn(database, invoice_id, Status.VOID)
    turn(database, invoice_id, Status.VOID)
    assert standing(database, invoice_id) == (Status.VOID, 0)
    assert standing(database, due) == (Status.PAID, 40)
    assert entries(database) == [("CREDITED", "50", "50"), ("DEBITED", "40", "10")]


@pytest.mark.parametrize(
    "way", [(Status.VOID,), (Status.PAID, Status.REFUND_INITIATED, Status.REFUND_COMPLETED)], ids=["void", "refund"]
)
def test_an_invoice_that_is_taken_back_gives_back_its_credits(database: Database, way: tuple[Status, ...]) -> None:
    """Contract 3.10: 120 less a credit of 100 are 20; void or refunded, all 100 are left, once."""
    grant(database, "cred.1")
    invoice_id = billed(database, JANUARY, total=120)
    assert receivable(database, invoice_id).total == 20
    assert left_of(database, "cred.1") == 0
    for status in (*way, way[-1]):
        turn(database, invoice_id, status)
    assert left_of(database, "cred.1") == 100


def test_a_refund_gives_the_wallets_share_back_to_the_wallet(database: Database) -> None:
    """30 of 120 came from the wallet: with the refund 30 go back there, and 90 have gone outside."""
    invoice_id = billed(database, JANUARY, total=120)
    fund(database, "30")
    pay(database, payment("90", invoice_line(invoice_id)))
    turn(database, invoice_id, Status.REFUND_INITIATED)
    assert (standing(database, invoice_id), balance(database)) == ((Status.REFUND_INITIATED, 120), 0)
    turn(database, invoice_id, Status.REFUND_COMPLETED)
    assert (standing(database, invoice_id), balance(database)) == ((Status.REFUND_COMPLETED, 0), 30)
    with database.read() as connection:
        moves = settlements.settlements_of(connection, "org", invoice_id)
    assert [(each.source.value, str(each.amount)) for each in moves] == [
        ("WALLET", "30"),
        ("PAYMENT", "90"),
        ("WALLET", "-30"),
        ("REFUND", "-90"),
    ]


@pytest.mark.parametrize(
    ("way", "to"),
    [
        ((), Status.REFUND_INITIATED),
        ((), Status.REFUND_COMPLETED),
        ((Status.PAID,), Status.VOID),
        ((Status.PAID,), Status.UN_COLLECTIBLE),
        ((Status.PAID,), Status.DUE),
        ((Status.VOID,), Status.PAID),
        ((Status.VOID,), Status.DUE),
        ((Status.UN_COLLECTIBLE,), Status.DUE),
        ((Status.PAID, Status.REFUND_INITIATED), Status.PAID),
        ((Status.PAID, Status.REFUND_INITIATED, Status.REFUND_COMPLETED), Status.DUE),
    ],
)
def test_ways_that_the_table_has_not_are_refused(database: Database, way: tuple[Status, ...], to: Status) -> None:
    """Contract 3.9, table of statuses: what it does not list cannot be, and moves no money."""
    invoice_id = billed(database, JANUARY, total=120)
    for status in way:
        turn(database, invoice_id, status)
    before = receivable(database, invoice_id)
    with pytest.raises(Conflict, match=f"cannot become {to.value}"):
        turn(database, invoice_id, to)
    assert receivable(database, invoice_id) == before


@pytest.mark.parametrize("to", [Status.PARTIALLY_PAID, Status.MERGED])
def test_what_an_invoice_becomes_by_itself_is_not_set(database: Database, to: Status) -> None:
    """An invoice is partially paid when a part is paid, and not before; its group merges it."""
    invoice_id = billed(database, JANUARY, total=120)
    with pytest.raises(Conflict, match="it becomes that by itself"):
        turn(database, invoice_id, to)
    assert standing(database, invoice_id) == (Status.DUE, 0)


def test_a_partially_paid_invoice_is_refunded_and_never_void(database: Database) -> None:
    """Contract 3.9: PARTIALLY_PAID goes to PAID, and a refund is described; 50 of 120 go back."""
    invoice_id = billed(database, JANUARY, total=120)
    pay(database, payment("50", invoice_line(invoice_id)))
    for status in (Status.VOID, Status.UN_COLLECTIBLE, Status.DUE):
        with pytest.raises(Conflict, match=f"is PARTIALLY_PAID cannot become {status.value}"):
            turn(database, invoice_id, status)
    turn(database, invoice_id, Status.REFUND_INITIATED)
    turn(database, invoice_id, Status.REFUND_COMPLETED)
    assert (standing(database, invoice_id), balance(database)) == ((Status.REFUND_COMPLETED, 0), 0)
