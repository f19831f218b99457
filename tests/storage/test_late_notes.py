"""Notes of usage that changed after its invoice, and what later invoices post: kept once, by organisation."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from billing_samples import add_account, add_catalogue
from sqlalchemy.exc import IntegrityError

from tallybook.core.invoice import LineType
from tallybook.core.late_usage import LatePosting, SaidLine
from tallybook.flows.bill import Billing
from tallybook.storage import late_usage
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.late_usage import LateDay
from tallybook.storage.usage import BatchContents

FEBRUARY_10 = datetime(2024, 2, 10, tzinfo=UTC)
JANUARY_20 = date(2024, 1, 20)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Accounts A and B, whose first cycle, from 10 January to the end of the month, is invoiced."""
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        add_account(connection, "B")
    Billing(opened).close_due_cycles(as_of=FEBRUARY_10, metered_through=FEBRUARY_10)
    yield opened
    opened.close()


def note(database: Database, *days: LateDay) -> None:
    with database.write() as connection:
        late_usage.note_late_usage(connection, days)


def noted(database: Database, organisation_id: str = "org") -> dict[str, int]:
    """How many invoices of each account are noted."""
    with database.read() as connection:
        found = late_usage.noted_invoices(connection, organisation_id, ["A", "B", "C"])
    return {account_id: len(invoice_ids) for account_id, invoice_ids in found.items()}


def january_of(database: Database, account_id: str) -> str:
    with database.read() as connection:
        found = late_usage.billed_by(connection, LateDay("org", account_id, JANUARY_20))
    assert found is not None
    return found


def late_day(account_id: str = "A", day: date = JANUARY_20, organisation_id: str = "org") -> LateDay:
    return LateDay(organisation_id, account_id, day)


def said(amount: str) -> SaidLine:
    return SaidLine(line_id="card", line_type=LineType.TRUE_UP_AMOUNT, description="Card", amount=Decimal(amount))


def test_an_issued_invoice_is_noted_once(database: Database) -> None:
    """However many days of it, and however often."""
    note(database, late_day(), late_day(day=date(2024, 1, 10)), late_day(day=date(2024, 1, 31)))
    note(database, late_day())
    assert noted(database) == {"A": 1}


@pytest.mark.parametrize(
    "day",
    [
        late_day(day=date(2024, 1, 9)),
        late_day(day=date(2024, 2, 1)),
        late_day("C"),
        late_day(organisation_id="other"),
    ],
    ids=["before its plan", "not invoiced", "no such account", "another organisation"],
)
def test_a_day_without_an_invoice_is_not_noted(database: Database, day: LateDay) -> None:
    """Nothing has been billed that could differ."""
    note(database, day)
    assert noted(database) == noted(database, "other") == {}


def test_notes_in_parallel_are_one(database: Database) -> None:
    """Eight writers at once."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: note(database, late_day()), range(8)))
    assert noted(database) == {"A": 1}


def test_only_the_accounts_asked_for_and_their_own_are_found(database: Database) -> None:
    """Clearing one account's leaves the other's, and another organisation clears nothing."""
    note(database, late_day("A"), late_day("B"))
    january = january_of(database, "A")
    with database.write() as connection:
        late_usage.clear_notes(connection, "other", "A", [january])
    assert noted(database) == {"A": 1, "B": 1}
    with database.write() as connection:
        late_usage.clear_notes(connection, "org", "A", [january])
    assert noted(database) == {"B": 1}


def test_what_is_posted_reads_back_to_the_digit(database: Database) -> None:
    """By the invoice whose usage changed, whoever posted it; another organisation sees nothing."""
    first = LatePosting(invoice_id="inv.1", lines=(said("0.10"), said("-3.000000000000000000000000000000001")))
    with database.write() as connection:
        late_usage.post_late_usage(connection, "org", [first], posted_by="inv.2")
        late_usage.post_late_usage(
            connection, "org", [LatePosting(invoice_id="inv.1", lines=(said("7"),))], posted_by="inv.3"
        )
    with database.read() as connection:
        found = late_usage.posted_lines(connection, "org", ["inv.1", "inv.9"])
        assert found == {"inv.1": (*first.lines, said("7"))}
        assert str(found["inv.1"][0].amount) == "0.10"
        assert late_usage.posted_lines(connection, "other", ["inv.1"]) == {}


def test_an_invoice_posts_once_for_a_cycle(database: Database) -> None:
    """A second posting of the same is an error, not twice the money."""
    posting = LatePosting(invoice_id="inv.1", lines=(said("1"),))
    with database.write() as connection:
        late_usage.post_late_usage(connection, "org", [posting], posted_by="inv.2")
    with pytest.raises(IntegrityError), database.write() as connection:
        late_usage.post_late_usage(connection, "org", [posting], posted_by="inv.2")


def test_late_days_pass_between_processes() -> None:
    """A batch may be judged in another process than the one that commits it."""
    contents = BatchContents(usage=[], values=[], counts=[], rows=b"", row_count=0, late=[late_day()])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(contents), type=BatchContents) == contents
