"""Credits as stored: granted once, used once by an invoice, given back once, never more than there was."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from credit_samples import credit, instant, terms

from tallybook.core.credit import Credit, CreditEntryType, CreditStatus, CreditUse, HeldCredit
from tallybook.storage import credits
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.pages import PageRequest, Place

TODAY = datetime.now(UTC).date()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


def grant(database: Database, *new: Credit, organisation_id: str = "org") -> list[bool]:
    with database.write() as connection:
        return [credits.grant(connection, organisation_id, each, invoice_id=each.sold_by) for each in new]


def debit(database: Database, invoice_id: str, **uses: str) -> None:
    with database.write() as connection:
        credits.debit(
            connection,
            "org",
            invoice_id,
            [CreditUse(credit_id=key, purpose="Welcome", amount=Decimal(amount)) for key, amount in uses.items()],
            at=instant(3),
        )


def give_back(database: Database, invoice_id: str) -> None:
    with database.write() as connection:
        credits.give_back(connection, "org", invoice_id, at=instant(4))


def void(database: Database, credit_id: str) -> None:
    with database.write() as connection:
        credits.void(connection, "org", found(database, credit_id), at=instant(5))


def found(database: Database, credit_id: str) -> HeldCredit:
    with database.read() as connection:
        held = credits.credit(connection, "org", credit_id)
    assert held is not None
    return held


def entries(database: Database, credit_id: str) -> list[tuple[str, str, str | None]]:
    with database.read() as connection:
        made = credits.entries_of(connection, "org", credit_id)
    balance = Decimal(0)
    for entry in made:
        balance += entry.amount if entry.entry_type is CreditEntryType.CREDITED else -entry.amount
    assert balance == found(database, credit_id).left, "the entries do not balance"
    return [(entry.entry_type.value, str(entry.amount), entry.invoice_id) for entry in made]


def unspent(database: Database, *account_ids: str, organisation_id: str = "org") -> dict[str, dict[str, str]]:
    with database.read() as connection:
        by_account = credits.unspent_credits(connection, organisation_id, account_ids)
    return {key: {each.credit_id: str(each.left) for each in some} for key, some in by_account.items()}


def test_a_credit_reads_back(database: Database) -> None:
    """To the digit, with what is left."""
    x = credit("X", terms("1000.10", priority=7, until=TODAY, only=("um.1",)))
    assert grant(database, x) == [True]
    assert found(database, "X").credit == x
    assert entries(database, "X") == [("CREDITED", "1000.1", None)]
    assert unspent(database, "A", "B") == {"A": {"X": "1000.10"}}


def test_granting_again_changes_nothing(database: Database) -> None:
    """An id is granted once, whatever else is asked for with it."""
    assert grant(database, credit("X", terms("10")), credit("X", terms("11"))) == [True, False]
    assert entries(database, "X") == [("CREDITED", "10", None)]


def test_what_an_invoice_uses_is_gone_and_comes_back_once(database: Database) -> None:
    """100 − 30 − 70 = 0: nothing to use; the invoice of 30 is voided, twice: 30 are left."""
    grant(database, credit("X", terms("100")))
    debit(database, "inv.1", X="30")
    debit(database, "inv.2", X="70")
    assert unspent(database, "A") == {}
    give_back(database, "inv.1")
    give_back(database, "inv.1")
    assert unspent(database, "A") == {"A": {"X": "30"}}
    assert entries(database, "X") == [
        ("CREDITED", "100", None),
        ("DEBITED", "30", "inv.1"),
        ("DEBITED", "70", "inv.2"),
        ("CREDITED", "30", "inv.1"),
    ]


def test_no_more_is_used_than_is_left(database: Database) -> None:
    """A bug elsewhere cannot make money: the transaction fails, and nothing is taken."""
    grant(database, credit("X", terms("100")), credit("Y", terms("5")))
    with pytest.raises(AssertionError, match="more of credit Y than is left"):
        debit(database, "inv.1", X="30", Y="5.01")
    assert unspent(database, "A") == {"A": {"X": "100", "Y": "5"}}


def test_an_invoice_uses_a_credit_once(database: Database) -> None:
    """The table's own key promises it."""
    grant(database, credit("X", terms("100")))
    debit(database, "inv.1", X="30")
    with pytest.raises(Exception, match="UNIQUE"):
        debit(database, "inv.1", X="30")
    assert unspent(database, "A") == {"A": {"X": "70"}}


def test_voiding_takes_what_is_left_for_good(database: Database) -> None:
    """What an invoice gives back afterwards is voided with the rest."""
    grant(database, credit("X", terms("100")))
    debit(database, "inv.1", X="30")
    void(database, "X")
    void(database, "X")
    give_back(database, "inv.1")
    assert unspent(database, "A") == {}
    assert entries(database, "X") == [
        ("CREDITED", "100", None),
        ("DEBITED", "30", "inv.1"),
        ("VOIDED", "70", None),
        ("CREDITED", "30", "inv.1"),
        ("VOIDED", "30", "inv.1"),
    ]


def test_what_a_voided_invoice_sold_is_voided(database: Database) -> None:
    """But not what it granted without selling it: that was paid for before."""
    grant(database, credit("S", terms("100"), sold_by="inv.1"))
    with database.write() as connection:
        credits.grant(connection, "org", credit("R", terms("10")), invoice_id="inv.1")
    debit(database, "inv.2", S="40")
    give_back(database, "inv.1")
    give_back(database, "inv.1")
    assert unspent(database, "A") == {"A": {"R": "10"}}
    assert entries(database, "S") == [
        ("CREDITED", "100", "inv.1"),
        ("DEBITED", "40", "inv.2"),
        ("VOIDED", "60", None),
    ]


def listed(database: Database, **filters: str) -> list[str]:
    page: PageRequest[Place] = PageRequest(size=50, filters=filters, order=credits.LISTED.order, after=None)
    with database.read() as connection:
        return [held.credit.credit_id for held in credits.list_credits(connection, "org", page).items]


def test_credits_are_listed_by_where_they_stand_today(database: Database) -> None:
    """The filter agrees with the status; the newest come first."""
    grant(
        database,
        credit("active", terms("10", until=TODAY + timedelta(days=1)), created_day=1),
        credit("expired", terms("10", until=TODAY), created_day=2),
        credit("consumed", terms("10.0", until=TODAY), created_day=3),
        credit("voided", terms("10"), created_day=4),
        credit("other", terms("10"), account_id="B", created_day=5),
    )
    debit(database, "inv.1", consumed="10")
    void(database, "voided")
    assert listed(database) == ["other", "voided", "consumed", "expired", "active"]
    for credit_id in ("voided", "consumed", "expired"):
        status = found(database, credit_id).status_on(TODAY)
        assert (status.value.lower(), listed(database, status=status.value)) == (credit_id, [credit_id])
    assert listed(database, status=CreditStatus.ACTIVE.value) == ["other", "active"]
    assert listed(database, status="ACTIVE", account_id="A") == ["active"]
    assert listed(database, id="expired") == ["expired"]


def test_organisations_do_not_see_each_others_credits(database: Database) -> None:
    """The same ids mean something else in each."""
    grant(database, credit("X", terms("100")))
    grant(database, credit("X", terms("7")), organisation_id="umbrella")
    debit(database, "inv.1", X="30")
    assert unspent(database, "A") == {"A": {"X": "70"}}
    assert unspent(database, "A", organisation_id="umbrella") == {"A": {"X": "7"}}
    with database.write() as connection:
        credits.give_back(connection, "umbrella", "inv.1", at=instant(4))
    assert unspent(database, "A") == {"A": {"X": "70"}}
