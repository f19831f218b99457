"""Bill runs as jobs: what is found, what is issued, and that both survive crashes and each other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from billing_samples import PLAN, add_account, add_catalogue, by_account, use
from composite_samples import GROUP
from crashing import crashes_at
from price_plan_samples import NOW, SlabSample, price_plan, usage_card

from tallybook.core.errors import Busy
from tallybook.core.invoice import Invoice
from tallybook.core.job import Job, JobEntry, JobStatus, JobType
from tallybook.core.setting import EntityType, Namespace, Setting, SettingPlace, SettingType, SettingValue
from tallybook.flows.bill import Billing
from tallybook.flows.bill_in_jobs import BillRunJob, BillRunWork, bill_run_job
from tallybook.flows.define_invoice_groups import create_group
from tallybook.flows.define_settings import create_setting
from tallybook.flows.list_invoices import place_of
from tallybook.flows.run_jobs import JobRunner, decide, start_job
from tallybook.storage import jobs, ledger, plans
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.pages import PageRequest, Place

FEBRUARY = datetime(2024, 2, 10, tzinfo=UTC)
MARCH = datetime(2024, 3, 10, tzinfo=UTC)
STATEMENTS_MAX = 400
STRIDE = 7  # with 1 it takes a minute


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Accounts A and B, of an organisation that starts its bill runs itself; A owes 250.00 for January, B 6.00."""
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        add_account(connection, "B")
    create_setting(opened, "org", auto_advance("off"), now=NOW)
    use(opened, "A", "2024-01-20", "150")
    use(opened, "B", "2024-01-20", "3")
    yield opened
    opened.close()


def auto_advance(text: str) -> Setting:
    place = SettingPlace(
        namespace=Namespace.TOGAI,
        setting_id="invoice_auto_advance",
        entity_type=EntityType.ORGANIZATION,
        entity_id="org",
    )
    return Setting(place=place, name="Auto advance", value=SettingValue(data_type=SettingType.STRING, text=text))


def runner(database: Database, through: datetime = FEBRUARY) -> JobRunner:
    work = BillRunWork(database, Billing(database), metered_through=lambda: through, clock=lambda: 1)
    return JobRunner(database, {JobType.BILL_RUN: work}, clock=lambda: 1)


def run(database: Database, through: datetime = FEBRUARY) -> None:
    made = runner(database, through)
    while made.run_piece():
        pass


def start(database: Database, *, asks: bool = False, organisation_id: str = "org") -> Job:
    return start_job(database, bill_run_job(organisation_id, BillRunJob(require_confirmation=asks), now=1))


def state_of(database: Database, job: Job) -> JobStatus:
    with database.read() as connection:
        found = jobs.find_job(connection, job.organisation_id, job.job_id)
    assert found is not None
    return found.status


def entries(database: Database, job: Job) -> list[JobEntry]:
    page = PageRequest[Place](size=100, filters={"job_id": job.job_id}, after=None)
    with database.read() as connection:
        return jobs.list_entries(connection, "org", page).items


def outcomes(database: Database, job: Job) -> list[str]:
    return [entry.status.value for entry in entries(database, job)]


def issued(database: Database) -> list[str]:
    with database.read() as connection:
        return [_summary(each) for each in by_account(ledger.invoices(connection, "org"))]


def _summary(invoice: Invoice) -> str:
    return f"{invoice.account.account_id} {invoice.start_date} {invoice.status.value} {invoice.total}"


JANUARY = ["A 2024-01-10 DUE 250.00", "B 2024-01-10 DUE 6.00"]


# ---- without a bill run ------------------------------------------------------------------------------------------


def test_without_auto_advance_what_is_due_waits(database: Database) -> None:
    """§3.9: with auto-advance off it waits for a bill run. The list of what is due shows it as drafts."""
    billing = Billing(database)
    assert billing.close_due_cycles(as_of=MARCH, metered_through=MARCH).finalised == 0
    due = billing.invoices_due("org", limit=50, now=FEBRUARY)
    assert [_summary(invoice) for invoice in due] == ["A 2024-01-10 DRAFT 250.00", "B 2024-01-10 DRAFT 6.00"]
    assert billing.invoices_due("other", limit=50, now=FEBRUARY) == []
    run(database)
    assert issued(database) == []


def test_what_is_due_has_pages(database: Database) -> None:
    """By account, the newest cycle first, without gap or repeat."""
    billing = Billing(database)
    everything = billing.invoices_due("org", limit=50, now=MARCH)
    assert len(everything) == 4
    found: list[Invoice] = []
    while page := billing.invoices_due("org", after=place_of(found[-1]) if found else None, limit=3, now=MARCH):
        found += page
    assert found == everything


# ---- a bill run --------------------------------------------------------------------------------------------------


def test_a_bill_run_issues_what_is_due(database: Database) -> None:
    """Each invoice is an entry, and each entry is done."""
    job = start(database)
    run(database)
    assert issued(database) == JANUARY
    assert (state_of(database, job), outcomes(database, job)) == (JobStatus.COMPLETED, ["COMPLETED"] * 2)
    again = start(database)
    run(database)
    assert (state_of(database, again), outcomes(database, again)) == (JobStatus.COMPLETED, [])


def test_a_bill_run_may_wait_for_somebody_to_agree(database: Database) -> None:
    """What becomes due while it waits is left to the next one: whoever agrees gets what was shown."""
    job = start(database, asks=True)
    run(database)
    assert (state_of(database, job), issued(database)) == (JobStatus.WAITING_FOR_CONFIRMATION, [])
    ids = [entry.entity_id for entry in entries(database, job)]
    decide(database, "org", job.job_id, confirmed=True, now=2)
    run(database, MARCH)
    assert issued(database) == JANUARY
    with database.read() as connection:
        assert sorted(each.invoice_id for each in ledger.invoices(connection, "org")) == sorted(ids)
    start(database)
    run(database, MARCH)
    assert len(issued(database)) == 4


def test_a_rejected_bill_run_issues_nothing(database: Database) -> None:
    job = start(database, asks=True)
    run(database)
    decide(database, "org", job.job_id, confirmed=False, now=2)
    run(database)
    assert (state_of(database, job), outcomes(database, job)) == (JobStatus.CANCELLED, ["CANCELLED"] * 2)
    assert issued(database) == []


def test_an_invoice_that_cannot_be_issued_says_why(database: Database) -> None:
    """The plan of account X names a meter that is not there; the others are billed."""
    broken = msgspec.structs.replace(
        price_plan(usage_card(SlabSample("0", "1"), meter_id="um.none"), cycle=PLAN.cycle),
        plan_id="pp.2",
        name="Broken",
    )
    with database.write() as connection:
        plans.add_price_plan(connection, "org", broken, now=NOW)
        add_account(connection, "X", plan=broken)
    job = start(database)
    run(database)
    assert issued(database) == JANUARY
    assert outcomes(database, job) == ["COMPLETED", "COMPLETED", "FAILED"]
    assert "no usage meter 'um.none'" in str(entries(database, job)[-1].reason)
    assert state_of(database, job) is JobStatus.COMPLETED


def test_what_somebody_else_issued_meanwhile_is_done(database: Database) -> None:
    job = start(database, asks=True)
    run(database)
    Billing(database).close_accounts("org", ["A"], as_of=FEBRUARY, metered_through=FEBRUARY)
    decide(database, "org", job.job_id, confirmed=True, now=2)
    run(database)
    assert issued(database) == JANUARY
    assert outcomes(database, job) == ["COMPLETED"] * 2


def test_a_bill_run_merges_what_belongs_to_groups(database: Database) -> None:
    create_group(database, "org", GROUP, ["A", "B"], now=NOW)
    start(database)
    run(database)
    assert issued(database) == [
        "A 2024-01-10 MERGED 250.00",
        "B 2024-01-10 MERGED 6.00",
        "inv_group.1 2024-02-03 DUE 256.00",
    ]


def test_a_bill_run_is_of_one_organisation(database: Database) -> None:
    start(database, organisation_id="other")
    run(database)
    assert issued(database) == []


# ---- whatever happens --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [1, 4])
def test_a_bill_run_that_crashes_anywhere_issues_each_invoice_once(database: Database, offset: int) -> None:
    """At its statements and commits; whoever comes next goes on where it was."""
    create_group(database, "org", GROUP, ["A", "B"], now=NOW)
    job = start(database)
    for statement in range(offset, STATEMENTS_MAX, STRIDE):
        if not crashes_at(database, statement, lambda: run(database)):
            break
    assert state_of(database, job) is JobStatus.COMPLETED
    assert outcomes(database, job) == ["COMPLETED"] * 2
    assert issued(database) == [
        "A 2024-01-10 MERGED 250.00",
        "B 2024-01-10 MERGED 6.00",
        "inv_group.1 2024-02-03 DUE 256.00",
    ]


def test_bill_runs_and_runners_at_once_issue_each_invoice_once(database: Database) -> None:
    """Three jobs, four runners and a bill run besides."""
    found = [start(database) for _ in range(3)]

    def work(_: int) -> None:
        made = runner(database)
        while _goes_on(made):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert issued(database) == JANUARY
    assert {state_of(database, job) for job in found} == {JobStatus.COMPLETED}


def _goes_on(made: JobRunner) -> bool:
    try:
        return made.run_piece()
    except Busy:
        return True
