"""Wallets over a real database: what comes into them, and what they pay."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from settling_samples import (
    FEBRUARY,
    JANUARY,
    MARCH,
    NOON,
    all_payments,
    balance,
    billed,
    entries,
    fund,
    invoice_line,
    new_database,
    pay,
    payment,
    receivable,
    standing,
)

from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.invoice import InvoiceStatus as Status
from tallybook.core.wallet import WalletChanges, WalletStatus
from tallybook.flows.change_invoice_status import change_status
from tallybook.flows.fund_wallet import change_wallet, top_up
from tallybook.flows.record_payment import record_payment
from tallybook.storage.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Accounts P and Q are billed from January 2024 on, 2 dollars a unit."""
    opened = new_database(tmp_path)
    yield opened
    opened.close()


def test_a_wallet_pays_the_outstanding_invoices_that_are_due_first(database: Database) -> None:
    """Top-ups of 120 and 100 for 80, 60 and 100: all of January, 40 of February; then the rest, and 20 are missing."""
    january, february = billed(database, JANUARY, total=80), billed(database, FEBRUARY, total=60)
    march = billed(database, MARCH, total=100)
    assert fund(database, "120") == 0
    assert standing(database, january) == (Status.PAID, 80)
    assert standing(database, february) == (Status.PARTIALLY_PAID, 40)
    assert fund(database, "100") == 0
    assert standing(database, february) == (Status.PAID, 60)
    assert standing(database, march) == (Status.PARTIALLY_PAID, 80)
    assert fund(database, "50") == 30
    assert standing(database, march) == (Status.PAID, 100)


def test_an_invoice_that_becomes_due_is_paid_by_the_wallet(database: Database) -> None:
    """Contract 3.10 [D], a third of it: balance 100, invoice 150: the wallet is empty, and 50 are to be paid."""
    fund(database, "100")
    invoice_id = billed(database, JANUARY, total=150)
    assert (standing(database, invoice_id), balance(database)) == ((Status.PARTIALLY_PAID, 100), 0)
    assert receivable(database, invoice_id).outstanding == 50
    assert entries(database) == [("CREDITED", "100", "100"), ("DEBITED", "100", "0")]
    pay(database, payment("50", invoice_line(invoice_id)))
    assert standing(database, invoice_id) == (Status.PAID, 150)


def test_what_an_invoice_does_not_need_stays_in_the_wallet(database: Database) -> None:
    """Contract 3.10 [S]: balance 200, invoice 150: 50 stay, and the next invoice of 60 takes them."""
    fund(database, "200")
    january = billed(database, JANUARY, total=150)
    assert (standing(database, january), balance(database)) == ((Status.PAID, 150), 50)
    february = billed(database, FEBRUARY, total=60)
    assert (standing(database, february), balance(database)) == ((Status.PARTIALLY_PAID, 50), 0)


def test_a_top_up_with_a_key_is_made_once(database: Database) -> None:
    """Sent again it changes nothing; with another amount it is refused; another account has keys of its own."""
    assert fund(database, "10", key="k") == fund(database, "10", key="k") == 10
    with pytest.raises(Conflict, match="a top-up of 10 was sent with this key already"):
        fund(database, "11", key="k")
    assert fund(database, "11", key="k", account_id="Q") == 11
    assert fund(database, "10") == 20


def test_parallel_top_ups_add_up(database: Database) -> None:
    """Eight of 10 and eight with one key: 90, entry by entry."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: fund(database, "10", key="k" if number % 2 else None), range(16)))
    assert balance(database) == 90
    assert [closing for _, _, closing in entries(database)] == [str(10 * number) for number in range(1, 10)]


def test_an_inactive_wallet_pays_nothing_until_it_is_switched_on(database: Database) -> None:
    """It takes no top-up, but what is left over from a payment; switched on again it pays at once."""
    fund(database, "30")
    change_wallet(database, "org", "P", WalletChanges(status=WalletStatus.INACTIVE), now=NOON)
    invoice_id = billed(database, JANUARY, total=120)
    with pytest.raises(Conflict, match="the wallet is inactive"):
        fund(database, "10")
    paid = billed(database, FEBRUARY, total=40)
    pay(database, payment("50", invoice_line(paid)))
    assert (balance(database), standing(database, invoice_id)) == (40, (Status.DUE, 0))
    change_wallet(database, "org", "P", WalletChanges(status=WalletStatus.ACTIVE), now=NOON)
    assert (balance(database), standing(database, invoice_id)) == (0, (Status.PARTIALLY_PAID, 40))


def test_a_wallet_pays_from_the_instant_on_that_it_is_told(database: Database) -> None:
    """Before it keeps what is put in."""
    invoice_id = billed(database, JANUARY, total=120)
    tomorrow = NOON + timedelta(days=1)
    change_wallet(database, "org", "P", WalletChanges(effective_from=tomorrow), now=NOON)
    assert fund(database, "30") == 30
    _, wallet = top_up(database, "org", "P", Decimal(1), now=tomorrow)
    assert (str(wallet.balance), standing(database, invoice_id)) == ("0", (Status.PARTIALLY_PAID, 31))


def test_wallets_of_accounts_and_organisations_are_apart(database: Database) -> None:
    """What P has pays nothing of Q; another organisation finds neither account, invoice nor payment."""
    invoice_id = billed(database, JANUARY, total=120, account_id="Q")
    fund(database, "500")
    assert (balance(database), standing(database, invoice_id)) == (500, (Status.DUE, 0))
    with pytest.raises(NotFound):
        top_up(database, "other", "P", Decimal(1), now=NOON)
    with pytest.raises(NotFound):
        change_status(database, "other", invoice_id, Status.PAID, changed_by="key.1", now=NOON)
    with pytest.raises(Invalid, match="no account 'Q'"):
        record_payment(
            database,
            "other",
            payment("1", invoice_line(invoice_id), account_id="Q"),
            created_by="key.2",
            now=NOON,
        )
    pay(database, payment("20", invoice_line(invoice_id), account_id="Q"))
    assert (len(all_payments(database)), all_payments(database, "other")) == (1, [])
