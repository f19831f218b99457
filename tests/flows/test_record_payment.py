"""Payments over a real database: each recorded once, and all of its money put somewhere."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from settling_samples import (
    FEBRUARY,
    JANUARY,
    all_payments,
    amounts,
    balance,
    billed,
    entries,
    grant,
    invoice_line,
    left_of,
    new_database,
    pay,
    payment,
    standing,
    turn,
)

from tallybook.core.errors import Conflict, Invalid
from tallybook.core.invoice import InvoiceStatus as Status
from tallybook.core.payment import PaymentLine, PaymentLineType
from tallybook.core.wallet import wallet_id_for
from tallybook.storage.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Accounts P and Q are billed from January 2024 on, 2 dollars a unit."""
    opened = new_database(tmp_path)
    yield opened
    opened.close()


def test_a_payment_of_all_that_is_due_pays_the_invoice(database: Database) -> None:
    """120 of 120: PAID, and nothing goes to the wallet."""
    invoice_id = billed(database, JANUARY, total=120)
    recorded = pay(database, payment("120", invoice_line(invoice_id)))
    assert amounts(recorded) == [(invoice_id, 120)]
    assert standing(database, invoice_id) == (Status.PAID, 120)
    assert balance(database) == 0


def test_payments_in_parts_leave_the_invoice_partially_paid(database: Database) -> None:
    """Contract 3.9: DUE to PARTIALLY_PAID to PAID. 120 by 50 and 70."""
    invoice_id = billed(database, JANUARY, total=120)
    pay(database, payment("50", invoice_line(invoice_id)))
    assert standing(database, invoice_id) == (Status.PARTIALLY_PAID, 50)
    pay(database, payment("70", invoice_line(invoice_id), number="T2"))
    assert standing(database, invoice_id) == (Status.PAID, 120)


def test_lines_are_paid_in_their_order_and_the_rest_goes_to_the_wallet(database: Database) -> None:
    """Contract 3.10: of 100, 60 are for February, first in order, and 40 for the 80 of January.

    Of 110, 10 are for the wallet and 40 for what January lacks; 60 are left over, and stay, for nothing is due.
    """
    january, february = billed(database, JANUARY, total=80), billed(database, FEBRUARY, total=60)
    first = pay(database, payment("100", invoice_line(january, order=2), invoice_line(february, order=1)))
    assert amounts(first) == [(february, 60), (january, 40)]
    assert standing(database, january) == (Status.PARTIALLY_PAID, 40)
    ten = PaymentLine(order=1, line_type=PaymentLineType.WALLET_CREDIT, amount=Decimal(10))
    second = pay(database, payment("110", ten, invoice_line(january, order=2), number="T2"))
    wallet_id = wallet_id_for("org", "P")
    assert amounts(second) == [(wallet_id, 10), (january, 40), (wallet_id, 60)]
    assert balance(database) == 70


def test_more_than_is_due_goes_to_the_wallet_and_pays_what_else_is_due(database: Database) -> None:
    """150 for an invoice of 100: the other 50 pay half of another invoice of 100 at once."""
    january, february = billed(database, JANUARY, total=100), billed(database, FEBRUARY, total=100)
    pay(database, payment("150", invoice_line(january)))
    assert standing(database, january) == (Status.PAID, 100)
    assert standing(database, february) == (Status.PARTIALLY_PAID, 50)
    assert entries(database) == [("CREDITED", "50", "50"), ("DEBITED", "50", "0")]


def test_a_payment_that_is_reported_again_is_recorded_once(database: Database) -> None:
    """The same reference and contents give the same payment; other contents are refused, whatever they are."""
    invoice_id = billed(database, JANUARY, total=120)
    request = payment("50", invoice_line(invoice_id))
    assert pay(database, request) == pay(database, request)
    assert standing(database, invoice_id) == (Status.PARTIALLY_PAID, 50)
    with pytest.raises(Conflict, match="has this reference, and other contents"):
        pay(database, payment("60", invoice_line(invoice_id)))
    assert len(all_payments(database)) == 1


def test_a_payment_is_found_again_when_its_invoice_has_changed_since(database: Database) -> None:
    """Once recorded, it is answered with, although the invoice would take no payment any more."""
    invoice_id = billed(database, JANUARY, total=120)
    recorded = pay(database, payment("120", invoice_line(invoice_id)))
    turn(database, invoice_id, Status.REFUND_INITIATED)
    assert pay(database, payment("120", invoice_line(invoice_id))) == recorded


def test_parallel_reports_of_one_payment_are_one_payment(database: Database) -> None:
    """Eight threads with one reference: one payment of 50."""
    invoice_id = billed(database, JANUARY, total=120)
    request = payment("50", invoice_line(invoice_id))
    with ThreadPoolExecutor(8) as pool:
        recorded = list(pool.map(lambda _: pay(database, request), range(8)))
    assert len({each.payment_id for each in recorded}) == 1
    assert standing(database, invoice_id) == (Status.PARTIALLY_PAID, 50)


def test_parallel_payments_of_one_invoice_never_exceed_its_total(database: Database) -> None:
    """Eight payments of 50 for an invoice of 120: 120 are paid on it, and 280 are in the wallet."""
    invoice_id = billed(database, JANUARY, total=120)
    with ThreadPoolExecutor(8) as pool:
        requests = [payment("50", invoice_line(invoice_id), number=f"T{number}") for number in range(8)]
        list(pool.map(lambda request: pay(database, request), requests))
    assert standing(database, invoice_id) == (Status.PAID, 120)
    assert balance(database) == 280


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total": Decimal(0)}, "totalAmount: must be a number above 0"),
        ({"total": Decimal("1.005")}, "totalAmount: 1.005 is not a whole number of USD's smallest unit"),
        ({"total": Decimal("1e600")}, "totalAmount: must be a number above 0 with at most 512 digits"),
        ({"currency": "EUR"}, "currency: account 'P' pays in USD"),
        ({"account_id": "nobody"}, "accountId: no account 'nobody'"),
        ({"account_id": "Q"}, "togaiId: account 'Q' has no finalised invoice"),
        ({"total": Decimal(9)}, "they take 10, more than the totalAmount of 9"),
    ],
)
def test_payments_that_cannot_be_are_refused(database: Database, changes: dict[str, Any], message: str) -> None:
    """Each refusal names the field, and nothing is recorded."""
    invoice_id = billed(database, JANUARY, total=120)
    with pytest.raises(Invalid, match=message):
        pay(database, payment("100", invoice_line(invoice_id, "10"), **changes))
    assert standing(database, invoice_id) == (Status.DUE, 0)
    assert all_payments(database) == []


def test_a_draft_takes_no_payment_nor_does_a_void_invoice(database: Database) -> None:
    """There is nothing to pay yet, or no more; a paid one passes the money on to the wallet."""
    with pytest.raises(Invalid, match="has no finalised invoice"):
        pay(database, payment("10", invoice_line("inv.00000000000.00000")))
    void = billed(database, JANUARY, total=120)
    turn(database, void, Status.VOID)
    with pytest.raises(Conflict, match="is VOID and takes no payment"):
        pay(database, payment("10", invoice_line(void)))
    paid = billed(database, FEBRUARY, total=120)
    turn(database, paid, Status.PAID)
    pay(database, payment("10", invoice_line(paid)))
    assert (standing(database, paid), balance(database)) == ((Status.PAID, 120), 10)


def test_a_wallet_of_another_account_takes_nothing(database: Database) -> None:
    """A line for a wallet names the account's own."""
    other = PaymentLine(order=1, line_type=PaymentLineType.WALLET_CREDIT, entity_id=wallet_id_for("org", "Q"))
    with pytest.raises(Invalid, match="the account's wallet is"):
        pay(database, payment("10", other))
    own = PaymentLine(order=1, line_type=PaymentLineType.WALLET_CREDIT, entity_id=wallet_id_for("org", "P"))
    pay(database, payment("10", own))
    assert balance(database) == 10


def test_a_credit_that_was_granted_is_paid_for(database: Database) -> None:
    """80 for a credit of the account are noted, and the other 20 go to the wallet; a credit of nobody is refused."""
    line = PaymentLine(order=1, line_type=PaymentLineType.CREDIT, entity_id="cred.1", amount=Decimal(80))
    with pytest.raises(Invalid, match="account 'P' has no credit"):
        pay(database, payment("100", line))
    grant(database, "cred.1", account_id="Q")
    with pytest.raises(Invalid, match="account 'P' has no credit"):
        pay(database, payment("100", line))
    grant(database, "cred.2")
    paid = pay(database, payment("100", msgspec.structs.replace(line, entity_id="cred.2")))
    assert amounts(paid) == [("cred.2", 80), (wallet_id_for("org", "P"), 20)]
    assert (left_of(database, "cred.2"), balance(database)) == (100, 20)
