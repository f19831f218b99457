"""The list of invoices where all kinds meet: open cycles, what is written by hand, and what is issued."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from billing_samples import add_account, add_catalogue
from composite_samples import GROUP
from price_plan_samples import NOW

from tallybook.core.custom_invoice import CustomInvoice, CustomLine, OwnerType
from tallybook.core.invoice import Invoice, InvoiceStatus
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.flows.bill import Billing
from tallybook.flows.define_invoice_groups import create_group
from tallybook.flows.list_invoices import place_of
from tallybook.flows.put_charges import put_on_next_invoice
from tallybook.flows.write_custom_invoices import create_custom_invoice
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.ledger import InvoiceFilter

FEBRUARY = datetime(2024, 2, 10, tzinfo=UTC)
MID_MARCH = datetime(2024, 3, 15, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Accounts A and B with January issued and two open cycles; drafts by hand for A, B and a group with C."""
    migrate(tmp_path / "tallybook.sqlite")
    database = open_database(tmp_path / "tallybook.sqlite")
    with database.write() as connection:
        add_catalogue(connection)
        add_account(connection, "B")
        add_account(connection, "C", start=date(2025, 1, 1))
    create_group(database, "org", GROUP, ["C"], now=NOW)
    write(database, 1, "A", OwnerType.ACCOUNT, date(2024, 1, 1))
    write(database, 2, "A", OwnerType.ACCOUNT, date(2024, 2, 1))
    write(database, 3, "B", OwnerType.ACCOUNT, date(2024, 2, 1))
    write(database, 4, "inv_group.1", OwnerType.INVOICE_GROUP, date(2024, 2, 1))
    Billing(database).close_due_cycles(as_of=FEBRUARY, metered_through=FEBRUARY)
    yield database
    database.close()


@pytest.fixture
def billing(database: Database) -> Billing:
    return Billing(database)


def write(database: Database, number: int, owner_id: str, owner_type: OwnerType, start: date) -> None:
    custom = CustomInvoice(
        invoice_id=f"inv.{number:011}.abcde",
        owner_id=owner_id,
        owner_type=owner_type,
        start_date=start,
        end_date=date(2024, 3, 1),
        lines=(CustomLine(description="Workshop", value=Decimal(100)),),
    )
    create_custom_invoice(
        database, "org", custom, status=InvoiceStatus.DRAFT, idempotency_key=None, created_by="test", now=NOW
    )


def listed(billing: Billing, wanted: InvoiceFilter | None = None) -> list[str]:
    found = billing.invoices_of("org", wanted or InvoiceFilter(), limit=100, now=MID_MARCH)
    return [f"{each.account.account_id} {each.invoice_type.value} {each.start_date}" for each in found]


def test_drafts_of_all_kinds_come_by_owner(billing: Billing) -> None:
    """Of each owner the open cycles, and then what is written by hand, the newest first; behind all what is issued."""
    *drafts, first, second = listed(billing)
    assert drafts == [
        "A STANDARD 2024-03-01",
        "A STANDARD 2024-02-01",
        "A CUSTOM 2024-02-01",
        "A CUSTOM 2024-01-01",
        "B STANDARD 2024-03-01",
        "B STANDARD 2024-02-01",
        "B CUSTOM 2024-02-01",
        "inv_group.1 CUSTOM 2024-02-01",
    ]
    assert sorted([first, second]) == ["A STANDARD 2024-01-10", "B STANDARD 2024-01-10"]


@pytest.mark.parametrize("page_size", [1, 2, 3, 7])
def test_pages_join_without_gap_or_repeat(billing: Billing, page_size: int) -> None:
    """Also where one kind goes over into the next."""
    everything = billing.invoices_of("org", limit=100, now=MID_MARCH)
    found: list[Invoice] = []
    while page := billing.invoices_of(
        "org", after=place_of(found[-1]) if found else None, limit=page_size, now=MID_MARCH
    ):
        found += page
    assert found == everything


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (InvoiceFilter(account_id="inv_group.1"), ["inv_group.1 CUSTOM 2024-02-01"]),
        (InvoiceFilter(account_id="B", start_date=date(2024, 2, 1)), ["B STANDARD 2024-02-01", "B CUSTOM 2024-02-01"]),
        (InvoiceFilter(account_id="B", plan_id="pp.1", end_date=date(2024, 3, 1)), ["B STANDARD 2024-02-01"]),
        (InvoiceFilter(customer_id="CUS", started_before=date(2024, 1, 10)), ["A CUSTOM 2024-01-01"]),
        (InvoiceFilter(customer_id="OTHER"), []),
    ],
)
def test_filters_hold_for_what_is_written_by_hand(billing: Billing, wanted: InvoiceFilter, expected: list[str]) -> None:
    assert listed(billing, wanted) == expected


def test_what_is_written_by_hand_is_not_what_a_bill_run_is_about(billing: Billing) -> None:
    """It goes on by itself or when somebody says so; February is due on 3 March."""
    due = billing.invoices_due("org", limit=100, now=MID_MARCH)
    assert [f"{each.account.account_id} {each.start_date}" for each in due] == ["A 2024-02-01", "B 2024-02-01"]


def test_a_draft_that_cannot_be_computed_hides_no_other(database: Database, billing: Billing) -> None:
    """The charge on A's next invoice divides by a line that is 0: B's are listed, and issuing A's says why."""
    broken = MiscellaneousCharge(name="Share", value='{"/": [1, {"var": "USAGE_RATE_CARD_AMOUNT.um.1"}]}')
    put_on_next_invoice(database, "org", "A", [broken], now=NOW)
    assert "A STANDARD 2024-02-01" not in listed(billing)
    assert "B STANDARD 2024-02-01" in listed(billing)
    due = billing.invoices_due("org", limit=100, now=MID_MARCH)
    assert [each.account.account_id for each in due] == ["B"]
    report = billing.close_due_cycles(as_of=MID_MARCH, metered_through=MID_MARCH)
    assert [refusal.account_id for refusal in report.refused] == ["A"]
