"""What people add to invoices, through bill runs: charges, tax, custom invoices that go on by themselves, numbers."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from billing_samples import add_account, add_catalogue, use
from price_plan_samples import NOW

from tallybook.core.custom_invoice import CustomInvoice, CustomLine
from tallybook.core.invoice import Invoice, InvoiceLine, InvoiceStatus, InvoiceType
from tallybook.core.invoice_words import lines_of
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.core.proof import check_proof, proof_file
from tallybook.core.setting import EntityType, Namespace, Setting, SettingPlace, SettingType, SettingValue
from tallybook.flows.bill import Billing, BillReport
from tallybook.flows.prove_invoice import prove
from tallybook.flows.put_charges import put_on_invoice, put_on_next_invoice
from tallybook.flows.query import Events
from tallybook.flows.write_custom_invoices import create_custom_invoice
from tallybook.storage import ledger, settings
from tallybook.storage.database import Database, migrate, open_database

FEBRUARY = datetime(2024, 2, 10, tzinfo=UTC)
MID_MARCH = datetime(2024, 3, 15, tzinfo=UTC)
SETUP = MiscellaneousCharge(name="Setup", value="100")
TENTH = MiscellaneousCharge(name="Support", value='{"*": [{"var": "USAGE_RATE_CARD_AMOUNT.um.1"}, 0.1]}')


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
    yield opened
    opened.close()


def close(database: Database, as_of: datetime, **options: Any) -> BillReport:
    return Billing(database, **options).close_due_cycles(as_of=as_of, metered_through=as_of)


def stored(database: Database) -> list[Invoice]:
    with database.read() as connection:
        return sorted(
            ledger.invoices(connection, "org"),
            key=lambda each: (each.account.account_id, each.start_date, each.end_date),
        )


def totals(database: Database) -> list[tuple[str, str, Decimal]]:
    return [(each.account.account_id, str(each.start_date), each.total) for each in stored(database)]


def named(invoice: Invoice, description: str) -> InvoiceLine:
    return next(line for line in lines_of(invoice.revenue) if line.description == description)


def choose(database: Database, setting_id: str, text: str, entity_type: EntityType, entity_id: str) -> None:
    place = SettingPlace(namespace=Namespace.TOGAI, setting_id=setting_id, entity_type=entity_type, entity_id=entity_id)
    value = SettingValue(data_type=SettingType.STRING, text=text)
    with database.write() as connection:
        settings.add_setting(connection, "org", Setting(place=place, name=setting_id, value=value), now=NOW)


def write(database: Database, number: int, **changes: Any) -> str:
    fields: dict[str, Any] = {
        "invoice_id": f"inv.{number:011}.abcde",
        "owner_id": "A",
        "start_date": date(2024, 2, 1),
        "end_date": date(2024, 3, 1),
        "lines": (CustomLine(description="Workshop", value=Decimal(100)),),
        "auto_advance": True,
        **changes,
    }
    return create_custom_invoice(
        database,
        "org",
        CustomInvoice(**fields),
        status=InvoiceStatus.DRAFT,
        idempotency_key=None,
        created_by="test",
        now=NOW,
    )


# ---- charges -----------------------------------------------------------------------------------------------------


def test_the_next_invoice_has_the_charges_and_the_one_after_has_not(database: Database) -> None:
    """January is 250 + 100 + 25; February, due in the same run, is 6."""
    use(database, "A", "2024-01-20", "150")  # 100 × 2 + 50 × 1 = 250
    use(database, "A", "2024-02-20", "3")  # 6
    put_on_next_invoice(database, "org", "A", [SETUP, TENTH], now=NOW)
    close(database, MID_MARCH)
    assert totals(database) == [("A", "2024-01-10", Decimal("375.00")), ("A", "2024-02-01", Decimal("6.00"))]
    january = stored(database)[0]
    assert named(january, "Support").amount.amount == Decimal(25)


def test_the_draft_that_is_issued_next_shows_the_charges(database: Database) -> None:
    """January waits for its grace, February runs: only January has them."""
    put_on_next_invoice(database, "org", "A", [SETUP], now=NOW)
    now = datetime(2024, 2, 2, tzinfo=UTC)
    found = Billing(database).invoices_of("org", limit=10, now=now)
    assert {str(each.start_date): each.total for each in found} == {
        "2024-01-10": Decimal("100.00"),
        "2024-02-01": Decimal("0.00"),
    }


def test_charges_on_a_draft_are_on_that_invoice(database: Database) -> None:
    """Put on February's while January's is not issued either; both lists come together where both are meant."""
    now = datetime(2024, 2, 2, tzinfo=UTC)
    found = Billing(database).invoices_of("org", limit=10, now=now)
    ids = {str(each.start_date): each.invoice_id for each in found}
    put_on_invoice(database, "org", ids["2024-02-01"], [SETUP], now=now)
    put_on_invoice(database, "org", ids["2024-01-10"], [SETUP], now=now)
    put_on_next_invoice(database, "org", "A", [SETUP], now=now)
    close(database, MID_MARCH)
    assert totals(database) == [("A", "2024-01-10", Decimal("200.00")), ("A", "2024-02-01", Decimal("100.00"))]


def test_charges_are_used_once_by_parallel_runs(database: Database) -> None:
    """Eight runs over ten accounts with charges: each account has them on one invoice of its two."""
    with database.write() as connection:
        for number in range(9):
            add_account(connection, f"B{number}")
    for account_id in ("A", *(f"B{number}" for number in range(9))):
        put_on_next_invoice(database, "org", account_id, [SETUP], now=NOW)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: close(database, MID_MARCH), range(8)))
    found = totals(database)
    assert len(found) == 20
    assert [total for _, start, total in found if start == "2024-01-10"] == [Decimal("100.00")] * 10
    assert [total for _, start, total in found if start == "2024-02-01"] == [Decimal("0.00")] * 10


def test_a_charge_that_fails_makes_its_account_wait(database: Database) -> None:
    """The run says why and goes on with the others; with another list the invoice is issued."""
    with database.write() as connection:
        add_account(connection, "B")
    failing = MiscellaneousCharge(name="Share", value='{"/": [1, {"var": "USAGE_RATE_CARD_AMOUNT.um.1"}]}')
    put_on_next_invoice(database, "org", "A", [failing], now=NOW)
    report = close(database, FEBRUARY)
    assert [(each.account_id, "'Share' cannot be computed" in each.message) for each in report.refused] == [("A", True)]
    assert totals(database) == [("B", "2024-01-10", Decimal("0.00"))]
    put_on_next_invoice(database, "org", "A", [SETUP], now=NOW)
    assert close(database, FEBRUARY).refused == ()
    assert totals(database)[0] == ("A", "2024-01-10", Decimal("100.00"))


# ---- tax ---------------------------------------------------------------------------------------------------------


def test_tax_is_on_what_is_left_with_charges(database: Database) -> None:
    """19 % of 250 + 100 is 66.5; account B pays 7 % of 12, 0.84."""
    with database.write() as connection:
        add_account(connection, "B")
    use(database, "A", "2024-01-20", "150")
    use(database, "B", "2024-01-20", "6")
    put_on_next_invoice(database, "org", "A", [SETUP], now=NOW)
    choose(database, "tax_rate", "VAT: 19", EntityType.ORGANIZATION, "org")
    choose(database, "tax_rate", "7", EntityType.ACCOUNT, "B")
    close(database, FEBRUARY)
    assert totals(database) == [("A", "2024-01-10", Decimal("416.50")), ("B", "2024-01-10", Decimal("12.84"))]


def test_the_tax_of_a_finalised_invoice_stays(database: Database) -> None:
    """Another rate is for what is issued later."""
    use(database, "A", "2024-01-20", "150")
    choose(database, "tax_rate", "VAT: 19", EntityType.ACCOUNT, "A")
    close(database, FEBRUARY)
    before = stored(database)
    with database.write() as connection:
        place = SettingPlace(
            namespace=Namespace.TOGAI, setting_id="tax_rate", entity_type=EntityType.ACCOUNT, entity_id="A"
        )
        value = SettingValue(data_type=SettingType.STRING, text="7")
        settings.replace_setting(connection, "org", Setting(place=place, name="Tax", value=value), now=NOW)
    close(database, FEBRUARY)
    assert stored(database) == before
    assert before[0].total == Decimal("297.50")


def test_a_function_is_asked_when_an_invoice_is_finalised(database: Database) -> None:
    """It sees the invoice with the tax of the rates, and what it answers is kept; drafts do not ask it."""
    seen: list[tuple[str, Decimal]] = []

    def tax_of(invoice: Invoice) -> list[tuple[str, Decimal]]:
        seen.append((str(invoice.start_date), invoice.total))
        return [("State", Decimal("4.125")), ("City", Decimal("1.5"))]

    use(database, "A", "2024-01-20", "150")
    choose(database, "tax_rate", "10", EntityType.ORGANIZATION, "org")
    billing = Billing(database, tax_function=tax_of)
    assert [each.total for each in billing.invoices_of("org", limit=10, now=datetime(2024, 1, 25, tzinfo=UTC))] == [
        Decimal("275.00")
    ]
    assert seen == []
    billing.close_due_cycles(as_of=FEBRUARY, metered_through=FEBRUARY)
    assert seen == [("2024-01-10", Decimal("275.00"))]
    [january] = stored(database)
    assert january.total == Decimal("255.62")  # 250 + 5.625, cut
    assert named(january, "State").amount.amount == Decimal("4.125")
    with database.read() as connection:
        inputs = ledger.inputs(connection, "org", january.invoice_id)
    assert inputs is not None
    assert inputs.adjustments.tax.amounts is not None
    assert [each.amount for each in inputs.adjustments.tax.amounts] == [Decimal("4.125"), Decimal("1.5")]


def test_an_invoice_waits_for_its_function(database: Database) -> None:
    """What the function says stands in the report; once it answers, the invoice is issued, with the next number."""
    use(database, "A", "2024-01-20", "150")

    def broken(_invoice: Invoice) -> None:
        raise LookupError("no rate for this place")

    report = close(database, FEBRUARY, tax_function=broken)
    assert ["no rate for this place" in each.message for each in report.refused] == [True]
    assert stored(database) == []
    close(database, FEBRUARY, tax_function=lambda _invoice: None)
    assert [(each.total, each.sequence_number) for each in stored(database)] == [(Decimal("250.00"), 1)]


# ---- custom invoices ---------------------------------------------------------------------------------------------


def test_a_custom_invoice_goes_on_when_its_days_are_over(database: Database) -> None:
    """The one that may is issued by the first run behind its last day, once; the other stays a draft."""
    first = write(database, 1)
    write(database, 2, auto_advance=False)
    close(database, datetime(2024, 2, 29, 23, tzinfo=UTC))
    assert custom_ones(database) == []
    close(database, datetime(2024, 3, 1, tzinfo=UTC))
    close(database, MID_MARCH)
    assert custom_ones(database) == [(first, "DUE", Decimal("100.00"))]


def test_a_custom_invoice_goes_on_without_a_plan(database: Database) -> None:
    """It does not need a cycle, nor usage that is metered."""
    with database.write() as connection:
        add_account(connection, "C", start=date(2030, 1, 1))
    write(database, 1, owner_id="C")
    Billing(database).close_due_cycles(as_of=MID_MARCH, metered_through=None)
    assert [invoice_id for invoice_id, _, _ in custom_ones(database)] == ["inv.00000000001.abcde"]


def test_custom_invoices_of_one_account_and_day_are_several(database: Database) -> None:
    """Unlike cycles, which have one invoice each."""
    for number in range(3):
        write(database, number)
    close(database, MID_MARCH)
    assert len(custom_ones(database)) == 3


def test_a_custom_invoice_is_proved(database: Database) -> None:
    """From its inputs alone, with its charges and what the function for tax answered."""
    invoice_id = write(database, 1)
    put_on_invoice(database, "org", invoice_id, [SETUP], now=NOW)
    close(database, MID_MARCH, tax_function=lambda _invoice: [("VAT", Decimal("19.005"))])
    proof = prove(database, cast("Events", None), "org", invoice_id)  # it has no events to look for
    assert proof.invoice.total == Decimal("219.00")
    assert check_proof(proof_file(proof)).agrees
    custom = msgspec.structs.replace(proof.inputs.custom, lines=(CustomLine(description="a", value=Decimal(101)),))
    changed = msgspec.structs.replace(proof, inputs=msgspec.structs.replace(proof.inputs, custom=custom))
    assert not check_proof(proof_file(changed)).agrees


def custom_ones(database: Database) -> list[tuple[str, str, Decimal]]:
    return [
        (each.invoice_id, each.status.value, each.total)
        for each in stored(database)
        if each.invoice_type is InvoiceType.CUSTOM
    ]


# ---- numbers -----------------------------------------------------------------------------------------------------


def numbers(database: Database) -> list[int | None]:
    return sorted(each.sequence_number or 0 for each in stored(database))


def test_parallel_runs_number_without_holes(database: Database) -> None:
    """Ten accounts with two cycles each and five custom invoices: 1 to 25."""
    with database.write() as connection:
        for number in range(9):
            add_account(connection, f"B{number}")
    for number in range(5):
        write(database, number)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: close(database, MID_MARCH), range(8)))
    assert numbers(database) == list(range(1, 26))


def _issue_custom_until_killed(path: Path, kill_at: int) -> None:
    asked = 0

    def kill(_invoice: Invoice) -> None:
        nonlocal asked
        asked += 1
        if asked == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    Billing(open_database(path), tax_function=kill).close_due_cycles(as_of=MID_MARCH, metered_through=MID_MARCH)


@pytest.mark.parametrize("kill_at", [1, 4, 7, 9])
def test_a_killed_run_leaves_no_hole(database: Database, tmp_path: Path, kill_at: int) -> None:
    """Killed while an invoice is being issued: what was issued stays, that one takes no number, the rest follows.

    Two cycles of A and seven custom invoices; the function for tax is asked in the midst of each.
    """
    put_on_next_invoice(database, "org", "A", [SETUP], now=NOW)
    for number in range(7):
        write(database, number)
    path = tmp_path / "tallybook.sqlite"
    process = multiprocessing.get_context("spawn").Process(target=_issue_custom_until_killed, args=(path, kill_at))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    issued = len(stored(database))
    assert numbers(database) == list(range(1, issued + 1))
    close(database, MID_MARCH)
    assert numbers(database) == list(range(1, 10))
    assert sum(each.total for each in stored(database)) == 800  # one charge of 100 and seven workshops
