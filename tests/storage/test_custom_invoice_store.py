"""Custom invoices and charges as stored: by owner, by the day on which they go on, by organisation."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.exc import IntegrityError

from tallybook.core.custom_invoice import CustomInvoice, CustomLine
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.storage import miscellaneous_charges as charges
from tallybook.storage.custom_invoices import (
    CustomInvoiceState,
    add_custom_invoice,
    custom_drafts,
    custom_invoice_with_key,
    drafts_to_issue,
    find_custom_invoice,
    put_custom_invoice,
)
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.miscellaneous_charges import NEXT_INVOICE, PendingCharges

NOW = datetime(2024, 3, 15, tzinfo=UTC)
LINE = CustomLine(description="Workshop", rate=Decimal("0.00000000000000000001"), quantity=Decimal("1E+2"))
DRAFT = CustomInvoice(
    invoice_id="inv.1", owner_id="a1", start_date=date(2024, 3, 1), end_date=date(2024, 4, 1), lines=(LINE,)
)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    migrate(tmp_path / "tallybook.sqlite")
    return open_database(tmp_path / "tallybook.sqlite")


def add(database: Database, custom: CustomInvoice, *, organisation_id: str = "acme", key: str | None = None) -> None:
    with database.write() as connection:
        add_custom_invoice(connection, organisation_id, custom, idempotency_key=key, request_hash=b"hash", now=NOW)


def variant(invoice_id: str, **changes: object) -> CustomInvoice:
    return msgspec.structs.replace(DRAFT, invoice_id=invoice_id, **changes)


def test_a_draft_reads_back_to_the_digit(database: Database) -> None:
    """As it was written, and in its organisation only."""
    add(database, DRAFT)
    with database.read() as connection:
        stored = find_custom_invoice(connection, "acme", "inv.1")
        assert stored is not None
        assert (stored.custom, stored.state) == (DRAFT, CustomInvoiceState.DRAFT)
        assert find_custom_invoice(connection, "umbrella", "inv.1") is None


def test_drafts_are_found_by_owner(database: Database) -> None:
    """In the order of their ids; what is issued or deleted is no draft any more, and other organisations see none."""
    for custom in (variant("inv.2"), variant("inv.1"), variant("inv.3"), variant("inv.4", owner_id="a2")):
        add(database, custom)
    with database.write() as connection:
        put_custom_invoice(connection, "acme", variant("inv.3"), CustomInvoiceState.ISSUED, now=NOW)
    with database.read() as connection:
        found = custom_drafts(connection, "acme", ["a1", "a2", "a3"])
        assert {owner: [each.invoice_id for each in drafts] for owner, drafts in found.items()} == {
            "a1": ["inv.1", "inv.2"],
            "a2": ["inv.4"],
        }
        assert custom_drafts(connection, "umbrella", ["a1"]) == {}


def test_drafts_go_on_when_their_days_are_over(database: Database) -> None:
    """Only those that go on by themselves, from the day behind their last one, until they are issued; in pages."""
    add(database, variant("inv.1", auto_advance=True))
    add(database, variant("inv.2", auto_advance=True))
    add(database, variant("inv.3"))
    add(database, variant("inv.4", auto_advance=True, end_date=date(2024, 4, 2)))

    def due(on: date, after: str = "", limit: int = 10) -> list[str]:
        with database.read() as connection:
            found = drafts_to_issue(connection, "acme", on=on, after=after, limit=limit)
            return [each.invoice_id for each in found]

    assert due(date(2024, 3, 31)) == []
    assert due(date(2024, 4, 1)) == ["inv.1", "inv.2"]
    assert due(date(2024, 4, 2), limit=1) == ["inv.1"]
    assert due(date(2024, 4, 2), after="inv.1") == ["inv.2", "inv.4"]
    with database.write() as connection:
        put_custom_invoice(connection, "acme", variant("inv.1", auto_advance=True), CustomInvoiceState.ISSUED, now=NOW)
    assert due(date(2024, 4, 1)) == ["inv.2"]


def test_a_key_is_used_once_in_an_organisation(database: Database) -> None:
    """It finds its invoice; a second one cannot take it, another organisation's can."""
    add(database, DRAFT, key="k")
    with pytest.raises(IntegrityError):
        add(database, variant("inv.2"), key="k")
    add(database, variant("inv.2"), organisation_id="umbrella", key="k")
    with database.read() as connection:
        found = custom_invoice_with_key(connection, "acme", "k")
        assert found is not None
        assert found.custom == DRAFT


def test_only_a_draft_is_written_over(database: Database) -> None:
    """What is issued stays as it was."""
    add(database, DRAFT)
    with database.write() as connection:
        put_custom_invoice(connection, "acme", DRAFT, CustomInvoiceState.ISSUED, now=NOW)
    with database.write() as connection, pytest.raises(AssertionError):
        put_custom_invoice(connection, "acme", DRAFT, CustomInvoiceState.DELETED, now=NOW)


def test_charges_wait_for_their_invoice(database: Database) -> None:
    """One list for each invoice and one for whichever comes next; a new list replaces the old, an empty one is none."""
    first, second = (MiscellaneousCharge(name=name, value="0.10") for name in ("a", "b"))
    with database.write() as connection:
        charges.put_charges(connection, "acme", "a1", "inv.1", [first], now=NOW)
        charges.put_charges(connection, "acme", "a1", NEXT_INVOICE, [first], now=NOW)
        charges.put_charges(connection, "acme", "a1", NEXT_INVOICE, [second, first], now=NOW)
        charges.put_charges(connection, "acme", "a2", "inv.2", [first], now=NOW)
        charges.put_charges(connection, "acme", "a2", "inv.2", [], now=NOW)
        assert charges.pending_charges(connection, "acme", ["a1", "a2"]) == {
            "a1": PendingCharges(by_invoice={"inv.1": (first,)}, next_invoice=(second, first))
        }
        assert charges.pending_charges(connection, "umbrella", ["a1"]) == {}
        charges.forget_charges(connection, "acme", "a1", [NEXT_INVOICE])
        assert charges.pending_charges(connection, "acme", ["a1"]) == {
            "a1": PendingCharges(by_invoice={"inv.1": (first,)})
        }
