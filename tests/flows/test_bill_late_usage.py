"""Usage that changes after its cycle was invoiced, up to the invoice that says so: 2 a unit, 1 over 100 units."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from billing_samples import PLAN, add_account, add_catalogue, use
from crashing import Crash, crashing_at
from credit_samples import terms
from price_plan_samples import NOW, SlabSample, monthly, price_plan, usage_card
from sqlalchemy import select

from tallybook.core.aggregation import Aggregation, value_of
from tallybook.core.credit import Credit
from tallybook.core.decimals import plain_text
from tallybook.core.instant import hours_since_1970
from tallybook.core.invoice import Invoice, InvoiceLine, InvoiceStatus, InvoiceType, LineType
from tallybook.core.period import FOREVER
from tallybook.core.pricing_schedule import disassociate, new_schedule
from tallybook.core.usage_meter import MeterStatus, UsageMeter
from tallybook.flows.bill import Billing, BillReport
from tallybook.flows.find_cycles import begun_cycles
from tallybook.storage import accounts, credits, late_usage, ledger, plans, schemas, tables
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.late_usage import LateDay
from tallybook.storage.usage import UsageDelta

FEBRUARY_10, MARCH_10, APRIL_10 = (datetime(2024, month, 10, tzinfo=UTC) for month in (2, 3, 4))
STATEMENTS_MAX = 200
JANUARY_DAYS = "10 January 2024 to 31 January 2024"  # of account A, whose plan begins on the 10th


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
    yield opened
    opened.close()


def close(database: Database, as_of: datetime) -> BillReport:
    report = Billing(database).close_due_cycles(as_of=as_of, metered_through=as_of)
    assert report.refused == ()
    return report


def change(database: Database, day: str, units: str, *, account_id: str = "A", meter_id: str = "um.1") -> None:
    """Add so many units, fewer than none to take away, as metering does: with a note, in one transaction."""
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    delta = UsageDelta("org", account_id, meter_id, hours_since_1970(at), units, 1)
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO usage (organisation_id, account_id, meter_id, event_hour, units, event_count)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (organisation_id, account_id, meter_id, event_hour)"
            " DO UPDATE SET units = exact_add(usage.units, excluded.units)",
            tuple(delta),
        )
        late_usage.note_late_usage(connection, [LateDay("org", account_id, at.date())])


def invoice(database: Database, start: str, *, account_id: str = "A") -> Invoice:
    """The account's finalised invoice that begins on that day."""
    [found] = [
        each for each in stored(database) if (each.account.account_id, str(each.start_date)) == (account_id, start)
    ]
    return found


def stored(database: Database) -> list[Invoice]:
    """All finalised invoices, the earliest first."""
    with database.read() as connection:
        ids = connection.scalars(select(tables.invoice.c.invoice_id).order_by(tables.invoice.c.start_date)).all()
        found = [ledger.invoice(connection, "org", invoice_id) for invoice_id in ids]
    return [each for each in found if each is not None]


def draft(database: Database, day: str, now: datetime) -> Invoice:
    """The draft of A's cycle that begins on that day."""
    with database.read() as connection:
        account = accounts.account(connection, "org", "A")
    assert account is not None
    billing = Billing(database)
    [cycle] = [each for each in begun_cycles(account, now) if str(each.window.start) == day]
    return billing.draft_invoice("org", account, cycle, now=now)


def late_in(found: Invoice) -> list[list[tuple[str, str, str | None]]]:
    """What the invoice says of earlier cycles: of each a line with those under it, as description, amount, quantity."""
    late = [line for line in found.gross.lines if line.line_type is LineType.LATE_USAGE_AMOUNT]
    return [[_said(each) for each in (line, *line.lines)] for line in late]


def _said(line: InvoiceLine) -> tuple[str, str, str | None]:
    quantity = None if line.quantity is None else plain_text(line.quantity)
    return line.description, plain_text(line.amount.amount), quantity


def late_usage_of(days: str, amount: str, *parts: tuple[str, str, str | None]) -> list[tuple[str, str, str | None]]:
    return [(f"Late usage and corrections, {days}", amount, None), *parts]


def noted(database: Database) -> int:
    with database.read() as connection:
        return len(late_usage.noted_invoices(connection, "org", ["A"]).get("A", ()))


# ---- the next invoice --------------------------------------------------------------------------------------------


def test_the_next_invoice_says_what_came_late(database: Database) -> None:
    """January: 80 units, 160. 40 come late: 120 units would have been 220. February: 3 units, 6, and 60 for January."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    january = invoice(database, "2024-01-10")
    change(database, "2024-01-25", "40")
    use(database, "A", "2024-02-05", "3")
    close(database, MARCH_10)
    february = invoice(database, "2024-02-01")
    assert invoice(database, "2024-01-10") == january
    assert january.total == 160
    assert late_in(february) == [late_usage_of(JANUARY_DAYS, "60", ("Requests", "60", "40"))]
    assert february.total == 66
    assert noted(database) == 0


def test_what_is_posted_stands_on_one_invoice(database: Database) -> None:
    """Neither another run nor the invoice after the next says it again."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    change(database, "2024-01-25", "40")
    close(database, MARCH_10)
    assert close(database, MARCH_10).finalised == 0
    close(database, APRIL_10)
    assert late_in(invoice(database, "2024-03-01")) == []
    assert [each.total for each in stored(database)] == [160, 60, 0]


def test_two_invoices_of_one_run_say_it_once(database: Database) -> None:
    """February and March are closed together; February is the next one."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    change(database, "2024-01-25", "40")
    close(database, APRIL_10)
    assert [len(late_in(invoice(database, start))) for start in ("2024-02-01", "2024-03-01")] == [1, 0]


def test_a_draft_shows_it_where_the_invoice_will(database: Database) -> None:
    """On the oldest cycle that is not invoiced, and gone from it when the change is taken back."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    change(database, "2024-01-25", "40")
    march_2 = datetime(2024, 3, 2, tzinfo=UTC)
    assert [draft(database, start, march_2).total for start in ("2024-02-01", "2024-03-01")] == [60, 0]
    change(database, "2024-01-25", "-40")
    assert draft(database, "2024-02-01", march_2).total == 0
    close(database, MARCH_10)
    assert late_in(invoice(database, "2024-02-01")) == []
    assert noted(database) == 0


def test_what_is_taken_back_makes_the_next_invoice_negative(database: Database) -> None:
    """80 units were 160, 50 are 100: February, without usage, is over -60."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    change(database, "2024-01-20", "-30")
    close(database, MARCH_10)
    february = invoice(database, "2024-02-01")
    assert (february.total, february.status) == (-60, InvoiceStatus.REFUND_COMPLETED)
    assert late_in(february) == [late_usage_of(JANUARY_DAYS, "-60", ("Requests", "-60", "-30"))]


def test_late_and_late_again_and_corrected(database: Database) -> None:
    """160 for 80; 120 units are 220; 130 are 230; 90 are 180: 60, 10 and -50 on the three invoices after it."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    posted = []
    for month, units in ((3, "40"), (4, "10"), (5, "-40")):
        change(database, "2024-01-25", units)
        close(database, datetime(2024, month, 10, tzinfo=UTC))
        posted.append(late_in(invoice(database, f"2024-0{month - 1}-01"))[0][1])
    assert posted == [("Requests", "60", "40"), ("Requests", "10", "10"), ("Requests", "-50", "-40")]
    assert sum(each.total for each in stored(database)) == 180


def test_several_cycles_have_a_line_each(database: Database) -> None:
    """10 more in January, over 80: 20. 5 fewer in February: -10. Both stand on March, the older first."""
    use(database, "A", "2024-01-20", "80")
    use(database, "A", "2024-02-20", "20")
    close(database, MARCH_10)
    change(database, "2024-02-20", "-5")
    change(database, "2024-01-20", "10")
    close(database, APRIL_10)
    assert late_in(invoice(database, "2024-03-01")) == [
        late_usage_of(JANUARY_DAYS, "20", ("Requests", "20", "10")),
        late_usage_of("1 February 2024 to 29 February 2024", "-10", ("Requests", "-10", "-5")),
    ]


def test_late_usage_of_the_invoice_that_posted_some(database: Database) -> None:
    """February posts 20 for January and is then late itself: March says only what February's own usage lacks."""
    close(database, FEBRUARY_10)
    change(database, "2024-01-20", "10")
    close(database, MARCH_10)
    change(database, "2024-02-20", "1")
    close(database, APRIL_10)
    assert late_in(invoice(database, "2024-03-01")) == [
        late_usage_of("1 February 2024 to 29 February 2024", "2", ("Requests", "2", "1"))
    ]
    with database.read() as connection:
        inputs = ledger.inputs(connection, "org", invoice(database, "2024-03-01").invoice_id)
    assert inputs is not None
    assert [each.inputs.adjustments.late for each in inputs.adjustments.late] == [()], "they do not pile up"


def test_another_account_is_not_touched(database: Database) -> None:
    """Its next invoice says nothing, in the same run."""
    with database.write() as connection:
        add_account(connection, "B")
    close(database, FEBRUARY_10)
    change(database, "2024-01-20", "10")
    close(database, MARCH_10)
    assert late_in(invoice(database, "2024-02-01", account_id="B")) == []
    assert invoice(database, "2024-02-01").total == 20


# ---- what a cycle is priced again by -----------------------------------------------------------------------------


def commit(database: Database) -> None:
    """Account C is committed to 100 a month, 2 a unit."""
    committed = price_plan(
        usage_card(SlabSample("0", "2")),
        cycle=monthly("1", grace_days=2),
        commitment="100",
        plan_id="pp.2",
        name="Committed",
    )
    with database.write() as connection:
        plans.add_price_plan(connection, "org", committed, now=NOW)
        add_account(connection, "C", plan=committed, start=date(2024, 1, 1))


def test_a_true_up_shrinks(database: Database) -> None:
    """Commitment 100. 20 units: 40 and 60. 10 late: 60 and 40, nothing owed. 40 more: 140, no true-up, 40 owed."""
    commit(database)
    use(database, "C", "2024-01-20", "20")
    close(database, FEBRUARY_10)
    days = "1 January 2024 to 31 January 2024"
    change(database, "2024-01-20", "10", account_id="C")
    close(database, MARCH_10)
    february = invoice(database, "2024-02-01", account_id="C")
    assert february.total == 100, "its own commitment"
    assert late_in(february) == [
        late_usage_of(days, "0", ("Requests", "20", "10"), ("Minimum commitment", "-20", None))
    ]
    change(database, "2024-01-20", "40", account_id="C")
    close(database, APRIL_10)
    march = invoice(database, "2024-03-01", account_id="C")
    assert march.total == 140
    assert late_in(march) == [late_usage_of(days, "40", ("Requests", "80", "40"), ("Minimum commitment", "-40", None))]


def test_the_plan_of_then_prices_what_comes_late(database: Database) -> None:
    """January by 2 a unit, though the account has another plan since; and by the usage as metered now."""
    other = price_plan(
        usage_card(SlabSample("0", "10")), cycle=monthly("1", grace_days=2), plan_id="pp.2", name="Other"
    )
    close(database, FEBRUARY_10)
    with database.write() as connection:
        plans.add_price_plan(connection, "org", other, now=NOW)
        account = accounts.account(connection, "org", "A")
        assert account is not None
        changed = new_schedule(other, schedule_id="sch.2", start_date=date(2024, 2, 11))
        before = disassociate(account.schedules, start_date=date(2024, 2, 11), end_date=FOREVER)
        accounts.set_schedules(connection, "org", "A", [*before, changed], now=NOW)
    change(database, "2024-01-20", "5")
    close(database, MARCH_10)
    assert late_in(invoice(database, "2024-02-01"))[0][0][1] == "10"
    assert late_in(invoice(database, "2024-02-11")) == []


def test_meters_that_do_more_than_add_up_are_made_anew(database: Database) -> None:
    """The greatest value was 7, at 3 each: 21. A 9 comes late: 27, so 6 more; a 2 after that changes nothing."""
    meter = UsageMeter(meter_id="um.2", version=1, name="Peak", status=MeterStatus.ACTIVE, aggregation=Aggregation.MAX)
    peak = price_plan(
        usage_card(SlabSample("0", "3"), meter_id="um.2"), cycle=monthly("1", grace_days=2), plan_id="pp.2", name="Peak"
    )
    with database.write() as connection:
        schemas.add_usage_meter(connection, "org", meter, now=NOW)
        plans.add_price_plan(connection, "org", peak, now=NOW)
        add_account(connection, "P", plan=peak, start=date(2024, 1, 1))
    measure(database, "2024-01-05", "7")
    close(database, FEBRUARY_10)
    measure(database, "2024-01-06", "9")
    measure(database, "2024-01-07", "2")
    close(database, MARCH_10)
    late = late_in(invoice(database, "2024-02-01", account_id="P"))
    assert late == [late_usage_of("1 January 2024 to 31 January 2024", "6", ("Peak", "6", "2"))]


def measure(database: Database, day: str, value: str) -> None:
    """Account P's meter of the greatest value measures one on that day."""
    change(database, day, value, account_id="P", meter_id="um.2")
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    kept = value_of(Aggregation.MAX, Decimal(value), event_time=0, event_key=b"")
    with database.write() as connection:
        connection.execute(
            tables.usage_value.insert().values(
                organisation_id="org",
                account_id="P",
                meter_id="um.2",
                event_hour=hours_since_1970(at),
                value=kept,
                event_count=1,
            )
        )


def test_credits_pay_for_what_comes_late(database: Database) -> None:
    """A credit of 50 for the meter alone: of 60 that came late and 6 of February, 16 are left to pay."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    with database.write() as connection:
        welcome = Credit(
            credit_id="c.1",
            account_id="A",
            customer_id="CUS",
            currency="USD",
            terms=terms("50", only="um.1"),
            created_at=FEBRUARY_10,
        )
        credits.grant(connection, "org", welcome)
    change(database, "2024-01-25", "40")
    use(database, "A", "2024-02-05", "3")
    close(database, MARCH_10)
    assert invoice(database, "2024-02-01").total == 16


# ---- no cycle follows --------------------------------------------------------------------------------------------


def end_plan(database: Database, day: date, *, account_id: str = "A") -> None:
    """No plan bills the account from that day on."""
    with database.write() as connection:
        account = accounts.account(connection, "org", account_id)
        assert account is not None
        kept = disassociate(account.schedules, start_date=day, end_date=FOREVER)
        accounts.set_schedules(connection, "org", account_id, kept, now=NOW)


def test_without_a_plan_what_comes_late_has_its_own_invoice(database: Database) -> None:
    """Of type AD_HOC, of the day of the bill run; the next run does nothing."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    end_plan(database, date(2024, 2, 1))
    change(database, "2024-01-25", "40")
    assert close(database, MARCH_10).finalised == 1
    alone = invoice(database, "2024-03-10")
    assert (alone.invoice_type, alone.total, alone.status) == (InvoiceType.AD_HOC, 60, InvoiceStatus.DUE)
    assert (alone.invoice_date, alone.plan_id, alone.usage) == (date(2024, 3, 10), "", ())
    assert late_in(alone) == [late_usage_of(JANUARY_DAYS, "60", ("Requests", "60", "40"))]
    assert close(database, MARCH_10).finalised == 0
    assert close(database, APRIL_10).finalised == 0


def test_there_is_one_such_invoice_a_day(database: Database) -> None:
    """What comes later on the day waits for the next; nothing of it is lost or said twice."""
    close(database, FEBRUARY_10)
    end_plan(database, date(2024, 2, 1))
    change(database, "2024-01-25", "40")
    close(database, MARCH_10)
    change(database, "2024-01-25", "1")
    assert close(database, MARCH_10).finalised == 0
    assert noted(database) == 1
    assert close(database, datetime(2024, 3, 11, tzinfo=UTC)).finalised == 1
    assert [each.total for each in stored(database)] == [0, 80, 2]


def test_the_last_invoice_of_a_cycle_still_says_it(database: Database) -> None:
    """The plan ends with February, whose invoice is not issued yet: that one says it, and no other is made."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    end_plan(database, date(2024, 3, 1))
    change(database, "2024-01-25", "40")
    assert close(database, MARCH_10).finalised == 1
    assert invoice(database, "2024-02-01").total == 60


def test_a_plan_that_begins_later_says_it_then(database: Database) -> None:
    """January is over and April is to come: no invoice is made in between."""
    close(database, FEBRUARY_10)
    end_plan(database, date(2024, 2, 1))
    with database.write() as connection:
        account = accounts.account(connection, "org", "A")
        assert account is not None
        later = new_schedule(PLAN, schedule_id="sch.2", start_date=date(2024, 4, 1))
        accounts.set_schedules(connection, "org", "A", [*account.schedules, later], now=NOW)
    change(database, "2024-01-25", "40")
    assert close(database, MARCH_10).finalised == 0
    close(database, datetime(2024, 5, 10, tzinfo=UTC))
    assert invoice(database, "2024-04-01").total == 80


def test_what_costs_nothing_makes_no_invoice(database: Database) -> None:
    """The change was taken back before anybody looked: the note goes, and no invoice over nothing is sent."""
    use(database, "A", "2024-01-20", "80")
    close(database, FEBRUARY_10)
    end_plan(database, date(2024, 2, 1))
    change(database, "2024-01-25", "40")
    change(database, "2024-01-25", "-40")
    assert close(database, MARCH_10).finalised == 0
    assert noted(database) == 0


def test_what_a_commitment_meets_makes_no_invoice(database: Database) -> None:
    """20 for 10 units more and 20 less of true-up come to nothing, and no further invoice follows to say so on."""
    commit(database)
    use(database, "C", "2024-01-20", "20")
    close(database, FEBRUARY_10)
    end_plan(database, date(2024, 2, 1), account_id="C")
    change(database, "2024-01-20", "10", account_id="C")
    close(database, MARCH_10)
    assert [each.total for each in stored(database) if each.account.account_id == "C"] == [100]
    change(database, "2024-01-20", "40", account_id="C")
    close(database, APRIL_10)
    assert [each.total for each in stored(database) if each.account.account_id == "C"] == [100, 40]


# ---- in parallel, and after a crash ------------------------------------------------------------------------------


@pytest.mark.parametrize("plan_ends", [False, True], ids=["a cycle follows", "none follows"])
def test_parallel_runs_post_it_once(database: Database, plan_ends: bool) -> None:
    """Eight bill runs at once."""
    close(database, FEBRUARY_10)
    if plan_ends:
        end_plan(database, date(2024, 2, 1))
    change(database, "2024-01-25", "40")
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: close(database, MARCH_10), range(8)))
    assert sum(report.finalised for report in reports) == 1
    assert [each.total for each in stored(database)] == [0, 80]


@pytest.mark.parametrize("plan_ends", [False, True], ids=["a cycle follows", "none follows"])
def test_a_run_may_die_at_every_statement(database: Database, plan_ends: bool) -> None:
    """Either all is there, or nothing: the invoice, what it posts, and no note; the next run makes up for it."""
    close(database, FEBRUARY_10)
    if plan_ends:
        end_plan(database, date(2024, 2, 1))
    change(database, "2024-01-25", "40")
    for statement in range(1, STATEMENTS_MAX):
        try:
            with crashing_at(database, statement):
                close(database, MARCH_10)
        except Crash:
            pass
        else:
            break
        is_issued = len(stored(database)) == 2
        assert (noted(database) == 0) == is_issued
        assert len(posted(database)) == is_issued
    assert statement > 10
    assert [each.total for each in stored(database)] == [0, 80]
    assert posted(database) == [80]
    assert close(database, APRIL_10).finalised == (0 if plan_ends else 1)
    assert posted(database) == [80]


def posted(database: Database) -> list[Decimal]:
    with database.read() as connection:
        return list(connection.scalars(select(tables.late_posting.c.amount)))


def test_what_comes_while_a_run_is_under_way_is_posted_later(database: Database) -> None:
    """Changes and bill runs at the same time: in the end every unit was billed once. 40 units, 2 each."""
    close(database, FEBRUARY_10)
    days = [datetime(2024, 3, 10 + number, tzinfo=UTC) for number in range(8)]
    end_plan(database, date(2024, 2, 1))
    with ThreadPoolExecutor(4) as pool:
        changes = [pool.submit(change, database, f"2024-01-{11 + number}", "5") for number in range(8)]
        runs = [pool.submit(close, database, day) for day in days]
        for each in (*changes, *runs):
            each.result()
    close(database, APRIL_10)
    assert sum(each.total for each in stored(database)) == 80
    assert noted(database) == 0
