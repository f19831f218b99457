"""Paying what a group owes: its accounts pay the composite, and the members follow."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from billing_samples import add_account, add_catalogue, use
from price_plan_samples import NOW
from settling_samples import (
    NOON,
    balance,
    fund,
    grant,
    invoice_line,
    left_of,
    payment,
    receivable,
    standing,
)

from tallybook.core.customer import Address
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.invoice import InvoiceStatus as Status
from tallybook.core.invoice import InvoiceType, invoice_id_for
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.flows.bill import Billing
from tallybook.flows.change_invoice_status import change_status
from tallybook.flows.record_payment import record_payment
from tallybook.storage import invoice_groups
from tallybook.storage.database import Database, migrate, open_database

JANUARY = date(2024, 1, 1)
DUE_ON = date(2024, 2, 3)  # grace is two days
GROUP = InvoiceGroup(
    group_id="inv_group.1.1",
    name="The group",
    email="bills@example.com",
    address=Address(),
    currency="USD",
    daily_consolidation=True,
)
COMPOSITE = invoice_id_for("org", GROUP.group_id, DUE_ON, InvoiceType.COMPOSITE)
MEMBERS = {account_id: invoice_id_for("org", account_id, JANUARY) for account_id in ("P", "Q")}


@pytest.fixture
def unbilled(tmp_path: Path) -> Iterator[Database]:
    """What P and Q, which are in the group, have used in January: 120 and 80. Account R is in no group."""
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        for account_id in ("P", "Q", "R"):
            add_account(connection, account_id, start=JANUARY)
        invoice_groups.add_group(connection, "org", GROUP, now=NOW)
        invoice_groups.add_accounts(connection, "org", GROUP.group_id, ["P", "Q"], now=NOW)
    fund(opened, "30", account_id="P")
    for account_id, units in (("P", "60"), ("Q", "40")):
        use(opened, account_id, "2024-01-15T00:00", units)
    yield opened
    opened.close()


@pytest.fixture
def database(unbilled: Database) -> Database:
    """A composite of 200 is due."""
    bill(unbilled)
    return unbilled


def bill(database: Database) -> None:
    """Close January."""
    after = datetime(2024, 2, 4, tzinfo=UTC)
    Billing(database).close_due_cycles(as_of=after, metered_through=after)


def pay(database: Database, total: str, account_id: str, *, number: str = "T1", invoice_id: str = COMPOSITE) -> Any:
    request = payment(total, invoice_line(invoice_id), number=number, account_id=account_id)
    return record_payment(database, "org", request, created_by="key.1", now=NOON)


def turn(database: Database, to: Status, invoice_id: str = COMPOSITE) -> None:
    change_status(database, "org", invoice_id, to, changed_by="key.1", now=NOON)


def members(database: Database) -> set[tuple[Status, Any]]:
    return {standing(database, invoice_id) for invoice_id in MEMBERS.values()}


def test_a_wallet_pays_nothing_of_what_is_merged(database: Database) -> None:
    """P's 30 stay where they are, also when more comes in."""
    assert (standing(database, COMPOSITE), members(database)) == ((Status.DUE, 0), {(Status.MERGED, 0)})
    assert (balance(database, "P"), fund(database, "10", account_id="P")) == (30, 40)


def test_the_accounts_of_a_group_pay_its_invoice_and_the_members_follow(database: Database) -> None:
    """150 of P leave it partially paid; of Q's 70, 50 pay the rest, and 20 go into Q's wallet."""
    pay(database, "150", "P")
    assert (standing(database, COMPOSITE), members(database)) == ((Status.PARTIALLY_PAID, 150), {(Status.MERGED, 0)})
    pay(database, "70", "Q")
    assert (standing(database, COMPOSITE), members(database)) == ((Status.PAID, 200), {(Status.PAID, 0)})
    assert (balance(database, "P"), balance(database, "Q")) == (30, 20)


def test_what_somebody_paid_before_it_was_merged_stays_the_accounts_own(unbilled: Database) -> None:
    """20 of P's 120 are paid between closing and merging; it is not merged, and P's wallet of 30 pays for it."""
    after = datetime(2024, 2, 4, tzinfo=UTC)
    Billing(unbilled).close_accounts("org", ["P"], as_of=after, metered_through=after)
    assert (standing(unbilled, MEMBERS["P"]), balance(unbilled, "P")) == ((Status.DUE, 0), 30)
    pay(unbilled, "20", "P", invoice_id=MEMBERS["P"])
    bill(unbilled)
    assert standing(unbilled, COMPOSITE) == (Status.DUE, 0)
    assert fund(unbilled, "10", account_id="P") == 0
    assert standing(unbilled, MEMBERS["P"]) == (Status.PARTIALLY_PAID, 60)


def test_nobody_else_pays_it(database: Database) -> None:
    """An account outside the group has no such invoice."""
    with pytest.raises(Invalid, match="account 'R' has no finalised invoice"):
        pay(database, "10", "R")


def test_a_member_is_not_paid_or_changed_by_itself(database: Database) -> None:
    """The message names the composite, before it is paid and afterwards."""
    for status in (Status.DUE, Status.UN_COLLECTIBLE):
        if status is not Status.DUE:
            turn(database, status)
        with pytest.raises(Conflict, match=f"was merged into '{COMPOSITE}'"):
            pay(database, "10", "P", invoice_id=MEMBERS["P"])
        with pytest.raises(Conflict, match=f"follows '{COMPOSITE}'"):
            turn(database, Status.PAID, MEMBERS["P"])


def test_a_composite_that_is_set_to_paid_is_paid_by_its_first_account(database: Database) -> None:
    """Of 200, Q has paid 50; the other 150 are P's."""
    pay(database, "50", "Q")
    turn(database, Status.PAID)
    assert (standing(database, COMPOSITE), members(database)) == ((Status.PAID, 200), {(Status.PAID, 0)})


def test_a_void_composite_gives_everybody_back_what_they_paid(database: Database) -> None:
    """Given up after P paid 20 and Q 50: both have it in their wallets, and no member is owed any more."""
    turn(database, Status.UN_COLLECTIBLE)
    pay(database, "20", "P")
    pay(database, "50", "Q")
    turn(database, Status.VOID)
    assert (standing(database, COMPOSITE), members(database)) == ((Status.VOID, 0), {(Status.VOID, 0)})
    assert (balance(database, "P"), balance(database, "Q")) == (50, 50)


def test_a_void_composite_gives_back_the_credits_of_its_members(unbilled: Database) -> None:
    """P's invoice used all of a credit of 100, which is left again."""
    grant(unbilled, "cred.1")
    bill(unbilled)
    assert receivable(unbilled, COMPOSITE).total == 100
    assert left_of(unbilled, "cred.1") == 0
    turn(unbilled, Status.VOID)
    assert left_of(unbilled, "cred.1") == 100
