"""Jobs that move the accounts of a plan: whom, from when, once whatever happens, and what cannot be moved."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from billing_samples import PLAN, add_account, add_catalogue, use
from crashing import crashes_at
from price_plan_samples import SlabSample, monthly, price_plan, usage_card

from tallybook.core.errors import Invalid
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.job import Job, JobEntry, JobStatus, JobType
from tallybook.core.period import FOREVER, PricingInterval
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.plan_migration import MigrationMode
from tallybook.core.price_plan import PricePlan, PricePlanStatus
from tallybook.core.pricing_schedule import PricingSchedule, new_schedule
from tallybook.flows.bill import Billing
from tallybook.flows.migrate_in_jobs import ACCOUNTS_PER_PIECE, MigrationJob, MigrationWork, start_migration
from tallybook.flows.run_jobs import JobRunner, decide
from tallybook.storage import accounts, ledger, plans
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.jobs import count_entries, find_job, list_entries
from tallybook.storage.ledger import InvoiceFilter
from tallybook.storage.pages import PageRequest, Place

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)
OTHER = price_plan(usage_card(SlabSample("0", "3")), plan_id="pp.other", name="Other", cycle=monthly("15"))
IMMEDIATE = MigrationJob(source_id="pp.1", source_version=1, target_id="pp.other", mode=MigrationMode.IMMEDIATE)


def clock() -> int:
    return microseconds_since_1970(NOW)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Account A is billed by pp.1 from 10 January 2024 on, on the first of each month."""
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        plans.add_price_plan(connection, "org", OTHER, now=NOW)
    yield opened
    opened.close()


def runner(database: Database) -> JobRunner:
    return JobRunner(database, {JobType.PRICE_PLAN: MigrationWork(database, clock=clock)}, clock=clock)


def run_all(database: Database) -> None:
    while runner(database).run_piece():
        pass


def run(database: Database, request: MigrationJob = IMMEDIATE) -> Job:
    job = start_migration(database, "org", request, now=NOW)
    run_all(database)
    return found(database, job)


def found(database: Database, job: Job) -> Job:
    with database.read() as connection:
        now = find_job(connection, "org", job.job_id)
    assert now is not None
    return now


def schedules_of(database: Database, account_id: str = "A") -> tuple[PricingSchedule, ...]:
    with database.read() as connection:
        account = accounts.account(connection, "org", account_id)
    assert account is not None
    return account.schedules


def shown(database: Database, account_id: str = "A") -> list[tuple[str, str, int]]:
    return [(each.plan_id, str(each.start_date), each.plan_version) for each in schedules_of(database, account_id)]


def entries(database: Database, job: Job) -> list[JobEntry]:
    page: PageRequest[Place] = PageRequest(size=100, filters={"job_id": job.job_id}, after=None)
    with database.read() as connection:
        return list_entries(connection, "org", page).items


def override(database: Database, changes: PlanChanges, account_id: str = "A") -> None:
    schedule = new_schedule(PLAN, schedule_id="sch.A", start_date=date(2024, 1, 10), override=changes)
    with database.write() as connection:
        accounts.set_schedules(connection, "org", account_id, [schedule], now=NOW)


def test_accounts_are_moved_to_another_plan(database: Database) -> None:
    """Contract 3.6: IMMEDIATE is the next day; a new association begins with it, in the target's cycle."""
    job = run(database)
    assert (job.status, job.reason) == (JobStatus.COMPLETED, None)
    before, after = schedules_of(database)
    assert (before.plan_id, before.end_date) == ("pp.1", date(2024, 3, 11))
    assert (after.plan_id, after.start_date, after.end_date) == ("pp.other", date(2024, 3, 11), FOREVER)
    assert (after.association_date, after.cycle.day_offset) == (date(2024, 3, 11), "15")
    assert after.schedule_id != before.schedule_id
    assert [(entry.entity_id, entry.status.value) for entry in entries(database, job)] == [("A", "COMPLETED")]


@pytest.mark.parametrize(
    ("mode", "first_day"),
    [
        (MigrationMode.NEXT_CYCLE, "2024-04-01"),
        (MigrationMode.NEXT_CYCLE_IGNORE_OVERRIDE, "2024-04-01"),
        (MigrationMode.START_OF_CURRENT_CYCLE, "2024-03-01"),
        (MigrationMode.IMMEDIATE_IGNORE_OVERRIDE, "2024-03-11"),
    ],
)
def test_a_mode_says_from_when(database: Database, mode: MigrationMode, first_day: str) -> None:
    """Contract 3.6."""
    run(database, msgspec.structs.replace(IMMEDIATE, mode=mode))
    assert shown(database) == [("pp.1", "2024-01-10", 1), ("pp.other", first_day, 1)]


def test_without_a_target_nothing_bills_any_more(database: Database) -> None:
    """Contract 3.6: target absent is to disassociate."""
    run(database, MigrationJob(source_id="pp.1", source_version=1, mode=MigrationMode.NEXT_CYCLE))
    [left] = schedules_of(database)
    assert left.end_date == date(2024, 4, 1)


def test_the_cycle_goes_on_if_it_is_to(database: Database) -> None:
    """Contract 3.6: `retainStartOffsets` keeps the account's cycle."""
    run(database, msgspec.structs.replace(IMMEDIATE, retain_offsets=True))
    assert schedules_of(database)[1].cycle.day_offset == "1"


def test_an_override_of_the_cycle_goes_before_what_is_retained(database: Database) -> None:
    """Contract 3.7: override, then retained offsets, then plan."""
    override(database, PlanChanges(cycle=monthly("5")))
    run(database, msgspec.structs.replace(IMMEDIATE, retain_offsets=True))
    assert schedules_of(database)[1].cycle.day_offset == "5"


def test_overrides_stay_unless_they_are_ignored(database: Database) -> None:
    changes = PlanChanges(usage_cards=(usage_card(SlabSample("0", "7")),))
    override(database, changes)
    run(database)
    assert schedules_of(database)[1].override == changes
    run(database, msgspec.structs.replace(IMMEDIATE, source_id="pp.other", target_id="pp.1"))
    ignoring = msgspec.structs.replace(IMMEDIATE, mode=MigrationMode.IMMEDIATE_IGNORE_OVERRIDE)
    run(database, ignoring)
    assert schedules_of(database)[-1].override is None


def test_another_version_goes_on_with_the_association(database: Database) -> None:
    second = msgspec.structs.replace(PLAN, version=2)
    with database.write() as connection:
        plans.add_plan_version(connection, "org", second, now=NOW)
    run(database, MigrationJob(source_id="pp.1", source_version=1, target_id="pp.1", mode=MigrationMode.IMMEDIATE))
    before, after = schedules_of(database)
    assert (after.plan_version, after.schedule_id, after.association_date) == (
        2,
        before.schedule_id,
        before.association_date,
    )


def test_only_accounts_of_that_version_are_moved(database: Database) -> None:
    """Neither those of another plan, nor those whose schedule is over."""
    with database.write() as connection:
        add_account(connection, "B", plan=OTHER)
        add_account(connection, "C")
        over = new_schedule(PLAN, schedule_id="sch.C", start_date=date(2024, 1, 1), end_date=date(2024, 2, 1))
        accounts.set_schedules(connection, "org", "C", [over], now=NOW)
    job = run(database)
    assert [entry.entity_id for entry in entries(database, job)] == ["A"]
    assert shown(database, "C") == [("pp.1", "2024-01-01", 1)]


def test_parts_of_a_schedule_become_one_association(database: Database) -> None:
    """A hole stays a hole, and the new association begins with the first moved day."""
    parts = [
        new_schedule(PLAN, schedule_id="sch.A", start_date=date(2024, 1, 10), end_date=date(2024, 5, 1)),
        new_schedule(PLAN, schedule_id="sch.A", start_date=date(2024, 6, 1)),
    ]
    with database.write() as connection:
        accounts.set_schedules(connection, "org", "A", parts, now=NOW)
    run(database)
    _, first, second = schedules_of(database)
    assert (first.start_date, first.end_date) == (date(2024, 3, 11), date(2024, 5, 1))
    assert second.start_date == date(2024, 6, 1)
    assert first.association_date == second.association_date == date(2024, 3, 11)
    assert first.schedule_id == second.schedule_id


def test_what_cannot_be_moved_stays_and_says_why(database: Database) -> None:
    """An override that the target cannot bill with; the others are moved all the same."""
    with database.write() as connection:
        add_account(connection, "B")
    override(database, PlanChanges(usage_cards=(usage_card(SlabSample("0", "7"), meter_id="um.gone"),)))
    job = run(database)
    assert job.status is JobStatus.COMPLETED
    failed, moved = entries(database, job)
    assert (failed.entity_id, failed.status.value) == ("A", "FAILED")
    assert "no usage meter 'um.gone'" in (failed.reason or "")
    assert moved.status.value == "COMPLETED"
    assert shown(database, "A") == [("pp.1", "2024-01-10", 1)]


def test_a_job_can_wait_for_confirmation(database: Database) -> None:
    """Until then it only says whom it is about; when it is rejected nobody is moved."""
    request = msgspec.structs.replace(IMMEDIATE, require_confirmation=True)
    job = run(database, request)
    assert job.status is JobStatus.WAITING_FOR_CONFIRMATION
    assert len(entries(database, job)) == 1
    decide(database, "org", job.job_id, confirmed=False, now=clock())
    assert not runner(database).run_piece()
    assert shown(database) == [("pp.1", "2024-01-10", 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_version": 9}, "sourceId: no price plan 'pp.1' with version 9"),
        ({"target_id": "pp.none"}, "targetId: no price plan 'pp.none'"),
        ({"target_version": 4}, "targetId: no price plan 'pp.other' with version 4"),
        ({"target_id": "pp.1"}, "targetVersion: it is 1, like the source's"),
        ({"target_id": "pp.draft"}, "pp.draft is DRAFT; activate it first"),
        ({"target_id": "pp.weekly", "retain_offsets": True}, "only the same interval can go on"),
        ({"target_id": None, "target_version": 1}, "targetVersion: of which plan"),
        ({"target_id": None, "retain_offsets": True}, "retainStartOffsets"),
    ],
)
def test_what_could_move_nobody_makes_no_job(database: Database, changes: dict[str, object], message: str) -> None:
    weekly = msgspec.structs.replace(monthly("1"), interval=PricingInterval.WEEKLY)
    more: list[PricePlan] = [
        price_plan(plan_id="pp.draft", name="Draft", status=PricePlanStatus.DRAFT),
        price_plan(plan_id="pp.weekly", name="Weekly", cycle=weekly),
    ]
    with database.write() as connection:
        for plan in more:
            plans.add_price_plan(connection, "org", plan, now=NOW)
    with pytest.raises(Invalid, match=message.replace("(", r"\(")):
        start_migration(database, "org", msgspec.structs.replace(IMMEDIATE, **changes), now=NOW)
    assert not runner(database).run_piece()


def test_organisations_do_not_move_each_others_accounts(database: Database) -> None:
    with pytest.raises(Invalid, match="sourceId"):
        start_migration(database, "other", IMMEDIATE, now=NOW)


def test_a_move_in_mid_cycle_closes_an_invoice_and_opens_another(database: Database) -> None:
    """Contract 3.7, without consolidation: 50 units at 2 until 10 March; 10 at 3 in the target's cycle of 15 March."""
    use(database, "A", "2024-03-05", "50")
    use(database, "A", "2024-03-20", "10")
    run(database)
    as_of = datetime(2024, 4, 20, tzinfo=UTC)
    billing = Billing(database)
    billing.close_due_cycles(as_of=as_of, metered_through=as_of)
    with database.read() as connection:
        found = ledger.invoices(connection, "org", InvoiceFilter(account_id="A"))
        issued = sorted((str(each.start_date), str(each.end_date), each.total) for each in found)
    assert [each for each in issued if each[0] >= "2024-03-01"] == [
        ("2024-03-01", "2024-03-11", Decimal(100)),
        ("2024-03-11", "2024-03-15", Decimal(0)),
        ("2024-03-15", "2024-04-15", Decimal(30)),
    ]


# ---- once, whatever happens --------------------------------------------------------------------------------------


def test_a_job_that_crashes_anywhere_moves_each_account_once(database: Database) -> None:
    """At every third statement; whoever comes next finishes the job, and nobody is moved twice."""
    with database.write() as connection:
        for number in range(3):
            add_account(connection, f"B{number}")
    crashes = 0
    for statement in range(1, 400, 3):
        source, target = ("pp.1", "pp.other") if statement % 2 else ("pp.other", "pp.1")
        request = MigrationJob(source_id=source, source_version=1, target_id=target, mode=MigrationMode.IMMEDIATE)
        job = start_migration(database, "org", request, now=NOW)
        crashed = crashes_at(database, statement, lambda: run_all(database))
        run_all(database)
        assert found(database, job).status is JobStatus.COMPLETED
        for account_id in ("A", "B0", "B1", "B2"):
            kept, moved = schedules_of(database, account_id)
            assert (kept.plan_id, moved.plan_id, moved.start_date) == ("pp.1", target, date(2024, 3, 11))
        with database.read() as connection:
            assert count_entries(connection, "org", job.job_id).completed == 4
        crashes += crashed
        if not crashed:
            break
    assert crashes > 10
    assert not crashed, "in the end it came through"


def test_several_runners_move_each_account_once(database: Database) -> None:
    """In parallel, over more accounts than are moved at once; every association is begun once."""
    names = [f"B{number:03}" for number in range(ACCOUNTS_PER_PIECE + 50)]
    with database.write() as connection:
        for name in names:
            add_account(connection, name)
    job = start_migration(database, "org", IMMEDIATE, now=NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: run_all(database), range(4)))
    with database.read() as connection:
        counts = count_entries(connection, "org", job.job_id)
    assert (counts.total, counts.completed) == (len(names) + 1, len(names) + 1)
    assert found(database, job).status is JobStatus.COMPLETED
    assert all(len(schedules_of(database, name)) == 2 for name in names)
