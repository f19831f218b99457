"""Billing over a real database: usage rows in, invoices out, each of them once."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from billing_samples import add_account, add_catalogue, by_account, use
from price_plan_samples import NOW, SlabSample, monthly, price_plan, usage_card

from tallybook.core.errors import Corrupt, NotFound
from tallybook.core.instant import hours_since_1970
from tallybook.core.invoice import Invoice, InvoiceStatus
from tallybook.core.invoice_inputs import HourOfUsage
from tallybook.core.period import FOREVER
from tallybook.core.pricing_schedule import associate, disassociate, new_schedule
from tallybook.flows.bill import Billing, BillReport
from tallybook.flows.list_invoices import InvoicePlace, place_of
from tallybook.storage import accounts, ledger, plans
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.ledger import InvoiceFilter

MID_MARCH = datetime(2024, 3, 15, tzinfo=UTC)


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


def close(billing: Billing, as_of: datetime) -> BillReport:
    """Close with everything metered through that same instant."""
    return billing.close_due_cycles(as_of=as_of, metered_through=as_of)


def stored(database: Database) -> list[Invoice]:
    with database.read() as connection:
        return by_account(ledger.invoices(connection, "org"))


def summary(invoices: list[Invoice]) -> list[tuple[str, str, str, str]]:
    return [
        (invoice.account.account_id, str(invoice.start_date), invoice.status.value, str(invoice.total))
        for invoice in invoices
    ]


# ---- closing -----------------------------------------------------------------------------------------------------


def test_due_cycles_become_invoices(database: Database, billing: Billing) -> None:
    """January (a stub from the 10th) and February are over with their grace; March is not."""
    use(database, "A", "2024-01-20", "150")  # 100 × 2 + 50 × 1 = 250
    use(database, "A", "2024-02-29T23", "3")  # 6
    use(database, "A", "2024-03-01", "1000")
    report = close(billing, MID_MARCH)
    assert (report.finalised, report.accounts, report.waiting, report.refused) == (2, 1, 0, ())
    assert summary(stored(database)) == [("A", "2024-02-01", "DUE", "6.00"), ("A", "2024-01-10", "DUE", "250.00")]
    assert stored(database)[0].account.customer_name == "First customer"
    assert stored(database)[0].issued_at == MID_MARCH


def test_a_second_run_changes_nothing(database: Database, billing: Billing) -> None:
    """Not even when usage has appeared since: a finalised invoice stays as it was."""
    use(database, "A", "2024-01-20", "150")
    close(billing, MID_MARCH)
    before = stored(database)
    use(database, "A", "2024-01-21", "999")
    report = close(billing, MID_MARCH + timedelta(days=1))
    assert report.finalised == 0
    assert stored(database) == before


def test_usage_outside_the_cycle_is_not_in_it(database: Database, billing: Billing) -> None:
    """Before the association, and in the first hour of the next cycle."""
    use(database, "A", "2024-01-09T23", "7")
    use(database, "A", "2024-01-31T23", "5")
    use(database, "A", "2024-02-01T00", "11")
    close(billing, datetime(2024, 2, 3, tzinfo=UTC))
    assert summary(stored(database)) == [("A", "2024-01-10", "DUE", "10.00")]


def test_usage_of_a_meter_without_a_card_costs_nothing(database: Database, billing: Billing) -> None:
    use(database, "A", "2024-01-20", "9", meter_id="um.other")
    close(billing, datetime(2024, 2, 3, tzinfo=UTC))
    assert summary(stored(database)) == [("A", "2024-01-10", "PAID", "0.00")]


def test_a_cycle_is_closed_from_its_deadline_on(database: Database, billing: Billing) -> None:
    deadline = datetime(2024, 2, 3, tzinfo=UTC)
    assert close(billing, deadline - timedelta(microseconds=1)).finalised == 0
    assert close(billing, deadline).finalised == 1


@pytest.mark.parametrize("metered_through", [None, datetime(2024, 2, 2, 23, 59, 59, tzinfo=UTC)])
def test_a_cycle_waits_until_its_events_are_metered(billing: Billing, metered_through: datetime | None) -> None:
    """An event received in time but not metered yet would be missing from the invoice."""
    report = billing.close_due_cycles(as_of=MID_MARCH, metered_through=metered_through)
    assert (report.finalised, report.waiting) == (0, 2)
    assert report.waiting_reason.startswith("2 cycles wait until everything received in time is metered")
    report = billing.close_due_cycles(as_of=MID_MARCH, metered_through=datetime(2024, 2, 3, tzinfo=UTC))
    assert (report.finalised, report.waiting) == (1, 1)


def test_parallel_runs_issue_each_invoice_once(database: Database) -> None:
    """Eight runs at once over twenty accounts: every cycle has one invoice, and the reports add up to that."""
    with database.write() as connection:
        for number in range(19):
            add_account(connection, f"B{number:02}")
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: close(Billing(database), MID_MARCH), range(8)))
    assert sum(report.finalised for report in reports) == 40
    keys = [(invoice.account.account_id, invoice.start_date) for invoice in stored(database)]
    assert len(keys) == len(set(keys)) == 40


def _bill_until_killed(path: Path, kill_after_accounts: int) -> None:
    def kill_at(done: int) -> None:
        if done == kill_after_accounts:
            os.kill(os.getpid(), signal.SIGKILL)

    billing = Billing(open_database(path), accounts_per_page=2)
    billing.close_due_cycles(as_of=MID_MARCH, metered_through=MID_MARCH, on_account=kill_at)


def test_a_killed_run_is_finished_by_the_next(database: Database, tmp_path: Path) -> None:
    """After kill -9 half-way, what was issued stays, and the rest is issued once."""
    with database.write() as connection:
        for number in range(9):
            add_account(connection, f"B{number}")
    spawn = multiprocessing.get_context("spawn")
    run = spawn.Process(target=_bill_until_killed, args=(tmp_path / "tallybook.sqlite", 4))
    run.start()
    run.join(60)
    assert run.exitcode == -signal.SIGKILL
    issued_before = stored(database)
    assert len(issued_before) == 8
    assert close(Billing(database), MID_MARCH + timedelta(hours=1)).finalised == 12
    issued = {invoice.invoice_id: invoice for invoice in stored(database)}
    assert len(issued) == 20
    assert all(issued[invoice.invoice_id] == invoice for invoice in issued_before)


def test_a_run_that_fails_half_way_leaves_no_half_account(database: Database, billing: Billing) -> None:
    """An account's due cycles are one transaction."""
    with database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER fail BEFORE INSERT ON invoice WHEN new.start_date = '2024-02-01' "
            "BEGIN SELECT RAISE(ABORT, 'stop'); END"
        )
    with pytest.raises(Exception, match="stop"):
        close(billing, MID_MARCH)
    assert stored(database) == []
    with database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER fail")
    assert close(billing, MID_MARCH).finalised == 2


def test_an_account_that_cannot_be_billed_stops_no_other(database: Database, billing: Billing) -> None:
    """It is named in the report, with the reason."""
    with database.write() as connection:
        add_account(connection, "B")
        connection.exec_driver_sql(
            "UPDATE account SET definition = replace(definition, '\"USD\"', '\"EUR\"') WHERE account_id = 'A'"
        )
    report = close(billing, MID_MARCH)
    assert report.finalised == 2
    (refusal,) = report.refused
    assert (refusal.account_id, refusal.start_date) == ("A", date(2024, 1, 10))
    assert "no rates in EUR" in refusal.message


def test_a_plan_change_closes_the_cycle_at_the_change(database: Database, billing: Billing) -> None:
    """Contract 3.7: the old plan bills to the day before, the new one from the day on, a hole is not billed."""
    other = price_plan(
        usage_card(SlabSample("0", "10")), cycle=monthly("1", grace_days=2), plan_id="pp.2", name="Other"
    )
    with database.write() as connection:
        plans.add_price_plan(connection, "org", other, now=NOW)
        account = accounts.account(connection, "org", "A")
        assert account is not None
        schedules = associate(
            account.schedules,
            new_schedule(other, schedule_id="sch.2", start_date=date(2024, 1, 20), end_date=date(2024, 2, 10)),
        )
        schedules = disassociate(schedules, start_date=date(2024, 2, 15), end_date=FOREVER)
        accounts.set_schedules(connection, "org", "A", schedules, now=NOW)
    for day in ("2024-01-19", "2024-01-20", "2024-02-09", "2024-02-10", "2024-02-15"):
        use(database, "A", day, "1")
    close(billing, MID_MARCH)
    assert summary(stored(database)) == [
        ("A", "2024-02-10", "DUE", "2.00"),
        ("A", "2024-02-01", "DUE", "10.00"),
        ("A", "2024-01-20", "DUE", "10.00"),
        ("A", "2024-01-10", "DUE", "2.00"),
    ]


def test_inputs_are_stored_with_their_hash(database: Database, billing: Billing) -> None:
    """The usage rows and the versions an invoice came from read back, and a changed digit is found."""
    use(database, "A", "2024-01-20", "0.1000")
    close(billing, MID_MARCH)
    invoice = stored(database)[-1]
    with database.read() as connection:
        inputs = ledger.inputs(connection, "org", invoice.invoice_id)
    assert inputs is not None
    hour = hours_since_1970(datetime(2024, 1, 20, tzinfo=UTC))
    assert inputs.usage == {"um.1": (HourOfUsage(hour, Decimal("0.1"), 1),)}
    assert inputs.cycle is not None
    assert (inputs.cycle.plan_id, inputs.cycle.plan_version) == ("pp.1", 1)
    assert [(meter.meter_id, meter.version) for meter in inputs.meters] == [("um.1", 1)]
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE invoice SET inputs = replace(inputs, '0.1', '0.2')")
    with database.read() as connection, pytest.raises(Corrupt, match="hash"):
        ledger.inputs(connection, "org", invoice.invoice_id)


def test_progress_is_told_after_each_account(billing: Billing) -> None:
    done: list[int] = []
    billing.close_due_cycles(as_of=MID_MARCH, metered_through=MID_MARCH, on_account=done.append)
    assert done == [1]


# ---- reading -----------------------------------------------------------------------------------------------------


def test_drafts_and_invoices_are_listed_together(database: Database, billing: Billing) -> None:
    """Drafts by account, the newest cycle first, are what has begun and is not finalised; then what is."""
    with database.write() as connection:
        add_account(connection, "B", start=date(2024, 3, 1))
    use(database, "A", "2024-01-20", "150")
    close(billing, datetime(2024, 2, 10, tzinfo=UTC))
    use(database, "A", "2024-03-02", "4")
    listed = billing.invoices_of("org", limit=50, now=MID_MARCH)
    assert summary(listed) == [
        ("A", "2024-03-01", "DRAFT", "8.00"),
        ("A", "2024-02-01", "DRAFT", "0.00"),
        ("B", "2024-03-01", "DRAFT", "0.00"),
        ("A", "2024-01-10", "DUE", "250.00"),
    ]


def test_what_was_issued_last_comes_first(database: Database, billing: Billing) -> None:
    """Invoices of one instant are in the order of their ids (§2.1)."""
    with database.write() as connection:
        for number in range(6):
            add_account(connection, f"B{number}")
    for as_of in (datetime(2024, 2, 10, tzinfo=UTC), MID_MARCH):
        close(billing, as_of)
    listed = billing.invoices_of("org", InvoiceFilter(status=InvoiceStatus.PAID), limit=50, now=MID_MARCH)
    assert [str(invoice.start_date) for invoice in listed] == ["2024-02-01"] * 7 + ["2024-01-10"] * 7
    ids = [invoice.invoice_id for invoice in listed]
    assert ids == [*sorted(ids[:7]), *sorted(ids[7:])]


def test_a_draft_is_never_stale(database: Database, billing: Billing) -> None:
    """It is computed when asked, and has the id that the finalised invoice will have."""
    (draft, *_) = billing.invoices_of("org", limit=1, now=MID_MARCH)
    assert draft.total == 0
    use(database, "A", "2024-03-02", "4")
    assert billing.invoice("org", draft.invoice_id, now=MID_MARCH).total == 8
    close(billing, datetime(2024, 4, 3, tzinfo=UTC))
    issued = billing.invoice("org", draft.invoice_id, now=MID_MARCH)
    assert (issued.status, issued.total) == (InvoiceStatus.DUE, Decimal(8))


@pytest.mark.parametrize("page_size", [1, 2, 3, 50])
def test_pages_join_without_gap_or_repeat(database: Database, billing: Billing, page_size: int) -> None:
    with database.write() as connection:
        for number in range(4):
            add_account(connection, f"B{number}")
    close(billing, datetime(2024, 2, 10, tzinfo=UTC))
    everything = billing.invoices_of("org", limit=1000, now=MID_MARCH)
    assert len(everything) == 15
    found: list[Invoice] = []
    after: InvoicePlace | None = None
    while page := billing.invoices_of("org", after=after, limit=page_size, now=MID_MARCH):
        found += page
        after = place_of(page[-1])
    assert found == everything


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (InvoiceFilter(status=InvoiceStatus.DRAFT), ["A 2024-03-01", "A 2024-02-01", "B 2024-03-01", "B 2024-02-01"]),
        (InvoiceFilter(status=InvoiceStatus.PAID), ["A 2024-01-10", "B 2024-01-10"]),
        (InvoiceFilter(status=InvoiceStatus.DUE), []),
        (InvoiceFilter(account_id="B"), ["B 2024-03-01", "B 2024-02-01", "B 2024-01-10"]),
        (InvoiceFilter(account_id="none"), []),
        (InvoiceFilter(customer_id="none"), []),
        (InvoiceFilter(account_id="A", customer_id="CUS", started_from=date(2024, 3, 1)), ["A 2024-03-01"]),
        (InvoiceFilter(plan_id="pp.1", start_date=date(2024, 2, 1)), ["A 2024-02-01", "B 2024-02-01"]),
        (InvoiceFilter(plan_id="pp.2"), []),
        (InvoiceFilter(end_date=date(2024, 2, 1)), ["A 2024-01-10", "B 2024-01-10"]),
        (InvoiceFilter(invoice_date=date(2024, 2, 3)), ["A 2024-01-10", "B 2024-01-10"]),
        (InvoiceFilter(invoice_date=date(2024, 4, 3), account_id="B"), ["B 2024-03-01"]),
        (InvoiceFilter(started_before=date(2024, 2, 1)), ["A 2024-01-10", "B 2024-01-10"]),
    ],
)
def test_filters_hold_for_drafts_and_invoices(
    database: Database, billing: Billing, wanted: InvoiceFilter, expected: list[str]
) -> None:
    with database.write() as connection:
        add_account(connection, "B")
    close(billing, datetime(2024, 2, 10, tzinfo=UTC))
    listed = by_account(billing.invoices_of("org", wanted, limit=50, now=MID_MARCH))
    assert [f"{invoice.account.account_id} {invoice.start_date}" for invoice in listed] == expected


@pytest.mark.parametrize("invoice_id", ["inv.DdWY6mPx4RQ.036EU", "nonsense"])
def test_an_unknown_invoice_is_not_found(billing: Billing, invoice_id: str) -> None:
    with pytest.raises(NotFound):
        billing.invoice("org", invoice_id, now=MID_MARCH)


def test_other_organisations_see_nothing(database: Database, billing: Billing) -> None:
    (draft, *_) = billing.invoices_of("org", limit=1, now=MID_MARCH)
    close(billing, MID_MARCH)
    assert billing.invoices_of("other", limit=50, now=MID_MARCH) == []
    with pytest.raises(NotFound):
        billing.invoice("other", draft.invoice_id, now=MID_MARCH)


# ---- revenue -----------------------------------------------------------------------------------------------------


def test_revenue_is_attributed_to_the_time_of_usage(database: Database, billing: Billing) -> None:
    """80 units on the 20th cost 160; of 70 on the 25th, 20 cost 2 each and 50 cost 1; February starts anew."""
    use(database, "A", "2024-01-20", "80")
    use(database, "A", "2024-01-25", "70")
    use(database, "A", "2024-02-02", "3")
    with database.read() as connection:
        account = accounts.account(connection, "org", "A")
    assert account is not None
    edges = [datetime(2024, month, day, tzinfo=UTC) for month, day in ((1, 1), (1, 21), (1, 26), (2, 2), (2, 3))]
    assert billing.revenue("org", account, edges, now=MID_MARCH) == {"um.1": [160, 90, 0, 6]}
    assert billing.revenue("org", account, edges[1:], now=MID_MARCH) == {"um.1": [90, 0, 6]}
