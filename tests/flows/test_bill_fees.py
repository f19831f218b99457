"""Fixed fees over a real database: charged in advance and in arrears, each of them once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from billing_samples import add_account, add_catalogue, by_account
from price_plan_samples import NOW, fixed_fee, monthly, price_plan

from tallybook.core.errors import Conflict
from tallybook.core.invoice import Invoice, InvoiceStatus
from tallybook.core.period import FOREVER
from tallybook.core.plan_changes import PlanChanges, changed_plan
from tallybook.core.plan_migration import MigrationMode, Move, migrated
from tallybook.core.price_plan import PricePlan
from tallybook.flows.bill import Billing
from tallybook.flows.define_accounts import found_account
from tallybook.flows.define_schedules import Removal, edit_schedules, store_schedules
from tallybook.storage import ledger, plans
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.ledger import InvoiceFilter

OF_FEES = InvoiceFilter(account_id="F")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
    yield opened
    opened.close()


@pytest.fixture
def billing(database: Database) -> Billing:
    return Billing(database)


def bill(database: Database, plan: PricePlan, start: str) -> None:
    """Bill account F by the plan."""
    with database.write() as connection:
        plans.add_price_plan(connection, "org", plan, now=NOW)
        add_account(connection, "F", plan=plan, start=date.fromisoformat(start))


def fee_plan(*, prorated: bool = False) -> PricePlan:
    """90 a month in advance, and 30 a month in arrears; no usage."""
    return price_plan(
        fixed_fee("90", advance=True, prorated=prorated),
        fixed_fee("30", add_on_id="add_on.2", prorated=prorated),
        plan_id="pp.fees",
        name="Fees",
        cycle=monthly("1", grace_days=2),
    )


def remove(database: Database, from_day: date) -> None:
    """Bill account F no more."""
    edit_schedules(database, "org", "F", [Removal(plan_id=None, start_date=from_day, end_date=FOREVER)], now=NOW)


def close(billing: Billing, day: str) -> int:
    as_of = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return billing.close_due_cycles(as_of=as_of, metered_through=as_of).finalised


def stored(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as connection:
        found = by_account(ledger.invoices(connection, "org", OF_FEES))
    return [_summary(invoice) for invoice in found]


def drafts(billing: Billing, day: str) -> list[tuple[str, str, str]]:
    now = datetime.fromisoformat(day).replace(tzinfo=UTC)
    wanted = InvoiceFilter(account_id="F", status=InvoiceStatus.DRAFT)
    return [_summary(invoice) for invoice in billing.invoices_of("org", wanted, limit=50, now=now)]


def _summary(invoice: Invoice) -> tuple[str, str, str]:
    return invoice.invoice_type.value, str(invoice.start_date), str(invoice.total)


def test_the_first_cycle_is_charged_in_advance_when_it_begins(database: Database, billing: Billing) -> None:
    """On the day the plan begins; the invoice of the cycle has the fee in arrears, and the next cycle's in advance."""
    bill(database, fee_plan(), "2024-01-10")
    assert close(billing, "2024-01-09T23:59") == 0
    assert close(billing, "2024-01-10") == 1
    assert stored(database) == [("STANDARD_ADVANCED", "2024-01-10", "90.00")]
    assert close(billing, "2024-01-11") == 0
    close(billing, "2024-02-03")
    close(billing, "2024-03-03")
    assert stored(database) == [
        ("STANDARD", "2024-02-01", "120.00"),
        ("STANDARD", "2024-01-10", "120.00"),
        ("STANDARD_ADVANCED", "2024-01-10", "90.00"),
    ]


def test_billing_late_charges_the_same(database: Database, billing: Billing) -> None:
    """One run in March gives what a run every day would have given: each fee once."""
    bill(database, fee_plan(), "2024-01-10")
    close(billing, "2024-03-03")
    assert stored(database) == [
        ("STANDARD", "2024-02-01", "120.00"),
        ("STANDARD", "2024-01-10", "120.00"),
        ("STANDARD_ADVANCED", "2024-01-10", "90.00"),
    ]


def test_parallel_runs_charge_each_fee_once(database: Database) -> None:
    """Eight runs at once: each invoice is there once, and what it charged in advance is remembered once."""
    bill(database, fee_plan(), "2024-01-10")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: close(Billing(database), "2024-02-03"), range(8)))
    assert stored(database) == [
        ("STANDARD", "2024-01-10", "120.00"),
        ("STANDARD_ADVANCED", "2024-01-10", "90.00"),
    ]
    with database.read() as connection:
        charged = ledger.charged_in_advance(connection, "org", ["F"], (date(2024, 1, 10), date(2024, 2, 1)))["F"]
    assert [amounts["add_on.1"] for amounts in charged.values()] == [90, 90]


def test_a_new_version_in_mid_cycle_changes_the_fee_from_then_on(database: Database, billing: Billing) -> None:
    """February, charged with 90 in advance, is 14 of 29 days at 90 and 15 days at 180:
    90 × 14 ÷ 29 = 43.448… are due, so 46.551… come back, and the fee in arrears is 30 × 14 ÷ 29 = 14.482…; the next
    invoice's days are charged in advance with the first: 180 × 15 ÷ 29 = 93.103…. Together 61.03.
    """
    plan = fee_plan(prorated=True)
    bill(database, plan, "2024-01-01")
    close(billing, "2024-02-03")
    dearer = PlanChanges(fee_cards=(fixed_fee("180", advance=True, prorated=True),))
    second = msgspec.structs.replace(changed_plan(plan, dearer), version=2)
    with database.write() as connection:
        plans.add_plan_version(connection, "org", second, now=NOW)
        account = found_account(connection, "org", "F")
        move = Move(source_id=plan.plan_id, versions=[1], target=second, mode=MigrationMode.IMMEDIATE)
        moved = migrated(account.schedules, move, today=date(2024, 2, 14))
        store_schedules(connection, "org", account, moved, now=NOW)
    close(billing, "2024-02-17")
    assert stored(database)[0] == ("STANDARD", "2024-02-01", "61.03")
    close(billing, "2024-03-03")
    assert stored(database)[0] == ("STANDARD", "2024-02-15", "180.00")  # nothing but March, in advance


def test_drafts_show_each_fee_once(database: Database, billing: Billing) -> None:
    """Before and after the first bill run; both drafts can be read by their ids."""
    bill(database, fee_plan(), "2024-01-10")
    expected = [("STANDARD", "2024-01-10", "120.00"), ("STANDARD_ADVANCED", "2024-01-10", "90.00")]
    assert drafts(billing, "2024-01-20") == expected
    now = datetime(2024, 1, 20, tzinfo=UTC)
    found = billing.invoices_of("org", InvoiceFilter(account_id="F"), limit=50, now=now)
    assert [billing.invoice("org", invoice.invoice_id, now=now) for invoice in found] == found
    assert billing.invoices_of("umbrella", InvoiceFilter(account_id="F"), limit=50, now=now) == []
    close(billing, "2024-01-10")
    assert drafts(billing, "2024-01-20") == expected[:1]


def test_a_prorated_fee_of_a_stub_is_charged_by_days(database: Database, billing: Billing) -> None:
    """22 of January's 31 days: 90 × 22 ÷ 31 = 63.87 in advance; 30 × 22 ÷ 31 = 21.29 in arrears, with February's 90."""
    bill(database, fee_plan(prorated=True), "2024-01-10")
    close(billing, "2024-02-03")
    assert stored(database) == [
        ("STANDARD", "2024-01-10", "111.29"),
        ("STANDARD_ADVANCED", "2024-01-10", "63.87"),
    ]


def test_a_plan_that_ends_early_gives_back_what_was_charged(database: Database, billing: Billing) -> None:
    """90 were charged for February in January; it ends after 14 of 29 days: 90 × 15 ÷ 29 = 46.55 come back,
    and 30 × 14 ÷ 29 = 14.48 are due: −32.07 (exactly −32.0689…).
    """
    bill(database, fee_plan(prorated=True), "2024-01-01")
    close(billing, "2024-02-03")
    with database.read() as connection:
        charged = ledger.charged_in_advance(connection, "org", ["F"], (date(2024, 2, 1), date(2024, 2, 1)))["F"]
    assert charged == {date(2024, 2, 1): {"add_on.1": Decimal(90)}}
    remove(database, from_day=date(2024, 2, 15))
    close(billing, "2024-02-17")
    assert stored(database)[0] == ("STANDARD", "2024-02-01", "-32.06")


def test_a_cycle_that_was_charged_keeps_its_first_day(database: Database, billing: Billing) -> None:
    """Otherwise no invoice would settle what was charged for it; the refusal says from when on one may change."""
    bill(database, fee_plan(), "2024-01-01")
    close(billing, "2024-02-03")
    with pytest.raises(Conflict, match="charged in advance for the cycle that begins on 2024-02-01; start after it"):
        remove(database, from_day=date(2024, 2, 1))


def test_the_inputs_say_what_was_charged_before(database: Database, billing: Billing) -> None:
    """A finalised invoice names everything it was computed from."""
    bill(database, fee_plan(), "2024-01-01")
    close(billing, "2024-02-03")
    with database.read() as connection:
        [invoice, *_] = by_account(ledger.invoices(connection, "org", OF_FEES))
        inputs = ledger.inputs(connection, "org", invoice.invoice_id)
    assert inputs is not None
    assert [(str(charge.start_date), charge.amount) for charge in inputs.charged] == [("2024-01-01", 90)]
    assert inputs.following is not None
    assert (str(inputs.following.window.start), inputs.following.number) == ("2024-02-01", 1)
