"""Merging invoices over a real database: what is due on one day becomes one composite, once."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from billing_samples import add_account, add_catalogue, by_account, use
from composite_samples import GROUP
from crashing import crashes_at
from price_plan_samples import NOW
from sqlalchemy import update

from tallybook.core.errors import Conflict
from tallybook.core.invoice import Invoice, InvoiceStatus, InvoiceType
from tallybook.flows.bill import Billing
from tallybook.flows.change_invoice_status import change_status
from tallybook.flows.define_invoice_groups import create_group, remove_accounts
from tallybook.flows.fund_wallet import top_up
from tallybook.flows.merge_invoices import merge_due
from tallybook.storage import ledger, tables
from tallybook.storage.database import Database, migrate, open_database

FEBRUARY = datetime(2024, 2, 10, tzinfo=UTC)

S = InvoiceStatus


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Accounts A, B and C under one plan; A owes 250.00 for January, and B 6.00."""
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        add_account(connection, "B")
        add_account(connection, "C")
    use(opened, "A", "2024-01-20", "150")  # 100 × 2 + 50 × 1
    use(opened, "B", "2024-01-20", "3")  # 3 × 2
    yield opened
    opened.close()


def group(database: Database, *account_ids: str, consolidates: bool = True) -> None:
    made = msgspec.structs.replace(GROUP, daily_consolidation=consolidates)
    create_group(database, "org", made, account_ids, now=NOW)


def close(database: Database, as_of: datetime = FEBRUARY) -> int:
    return Billing(database).close_due_cycles(as_of=as_of, metered_through=as_of).finalised


def issued(database: Database) -> list[Invoice]:
    with database.read() as connection:
        return by_account(ledger.invoices(connection, "org"))


def standing(database: Database) -> dict[str, tuple[str, str, bool]]:
    """By owner and day: status, total, and whether it is part of a composite."""
    return {
        f"{each.account.account_id} {each.invoice_date}": (
            each.status.value,
            str(each.total),
            each.merged_into is not None,
        )
        for each in issued(database)
    }


def composites(database: Database) -> list[Invoice]:
    return [each for each in issued(database) if each.invoice_type is InvoiceType.COMPOSITE]


# ---- what is merged ----------------------------------------------------------------------------------------------


def test_invoices_due_on_one_day_become_one(database: Database) -> None:
    """§3.9: both are MERGED, and the group owes 250 + 6 by its own terms, 30 days after 3 February."""
    group(database, "A", "B")
    assert close(database) == 4  # three accounts and the composite
    assert standing(database) == {
        "A 2024-02-03": ("MERGED", "250.00", True),
        "B 2024-02-03": ("MERGED", "6.00", True),
        "C 2024-02-03": ("PAID", "0.00", False),
        "inv_group.1 2024-02-03": ("DUE", "256.00", False),
    }
    [composite] = composites(database)
    assert (composite.due_date, composite.issued_at) == (date(2024, 3, 4), FEBRUARY)
    merged = [each for each in issued(database) if each.merged_into]
    assert sorted(composite.members) == sorted(each.invoice_id for each in merged)
    assert {each.merged_into for each in merged} == {composite.invoice_id}
    assert sorted(each.sequence_number or 0 for each in issued(database)) == [1, 2, 3, 4]


def test_a_composite_says_what_it_was_made_of(database: Database) -> None:
    """Its stored inputs name its members, whose own inputs say the rest."""
    group(database, "A", "B")
    close(database)
    [composite] = composites(database)
    with database.read() as connection:
        inputs = ledger.inputs(connection, "org", composite.invoice_id)
    assert inputs is not None
    assert (inputs.invoice_type, inputs.members) == (InvoiceType.COMPOSITE, composite.members)


def test_each_day_has_its_composite(database: Database) -> None:
    """Two months that are billed at once are two composites, each of its own day."""
    group(database, "A", "B")
    use(database, "B", "2024-02-20", "5")
    close(database, datetime(2024, 3, 20, tzinfo=UTC))
    found = [(str(each.invoice_date), str(each.total), len(each.members)) for each in composites(database)]
    assert sorted(found) == [("2024-02-03", "256.00", 2), ("2024-03-03", "10.00", 1)]


def test_what_comes_to_nothing_or_less_is_not_merged(database: Database) -> None:
    """§3.9: to MERGED leads only DUE. Zero is paid, below zero is refunded, and neither waits for anything."""
    group(database, "A", "B", "C")
    use(database, "B", "2024-01-21", "-10")  # 3 - 10 = -7 units, of which several slabs make 0
    close(database)
    statuses = {key.split()[0]: value[0] for key, value in standing(database).items()}
    assert statuses == {"A": "MERGED", "B": "PAID", "C": "PAID", "inv_group.1": "DUE"}


def test_a_group_without_consolidation_merges_nothing(database: Database) -> None:
    group(database, "A", "B", consolidates=False)
    close(database)
    assert composites(database) == []
    assert standing(database)["A 2024-02-03"] == ("DUE", "250.00", False)


def test_invoices_from_before_an_account_joined_stay_its_own(database: Database) -> None:
    close(database)
    group(database, "A", "B")
    use(database, "A", "2024-02-20", "1")
    close(database, datetime(2024, 3, 20, tzinfo=UTC))
    assert standing(database)["A 2024-02-03"] == ("DUE", "250.00", False)
    assert standing(database)["A 2024-03-03"] == ("MERGED", "2.00", True)


def test_what_is_issued_late_goes_onto_the_composite_of_the_day(database: Database) -> None:
    """B gets a plan for January when the composite of its day is there: 24 February takes it, and then nothing more."""
    group(database, "A", "B", "C")
    close(database)
    with database.write() as connection:
        connection.execute(
            update(tables.invoice).where(tables.invoice.c.account_id == "B").values(status="DUE", merged_into=None)
        )  # as if it had been issued only now
    late = datetime(2024, 2, 24, 12, tzinfo=UTC)
    assert merge_due(database, "org", as_of=late) == 1
    assert merge_due(database, "org", as_of=late) == 0
    assert sorted((str(each.invoice_date), str(each.total)) for each in composites(database)) == [
        ("2024-02-03", "256.00"),
        ("2024-02-24", "6.00"),
    ]


def test_the_wallet_of_a_member_is_left_alone(database: Database) -> None:
    """What was paid in part could not be merged (§3.9), so a member is not paid before it is merged, nor after."""
    group(database, "A", "B")
    top_up(database, "org", "A", Decimal(300), now=NOW)
    top_up(database, "org", "C", Decimal(300), now=NOW)
    use(database, "C", "2024-01-20", "5")
    close(database)
    assert standing(database)["C 2024-02-03"] == ("PAID", "10.00", False)
    assert standing(database)["A 2024-02-03"] == ("MERGED", "250.00", True)
    assert standing(database)["inv_group.1 2024-02-03"] == ("DUE", "256.00", False)


def test_other_organisations_are_not_touched(database: Database) -> None:
    group(database, "A", "B")
    Billing(database).close_accounts("org", ["A", "B"], as_of=FEBRUARY, metered_through=FEBRUARY)
    assert merge_due(database, "other", as_of=FEBRUARY) == 0
    assert composites(database) == []


# ---- once, whatever happens --------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing(database: Database) -> None:
    group(database, "A", "B")
    close(database)
    before = issued(database)
    assert close(database, FEBRUARY + timedelta(days=1)) == 0
    assert issued(database) == before


def test_parallel_runs_merge_once(database: Database) -> None:
    group(database, "A", "B")
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: close(database), range(8)))
    assert sum(counts) == 4
    assert standing(database)["inv_group.1 2024-02-03"] == ("DUE", "256.00", False)


def _bill_until_killed(path: Path) -> None:
    def kill(_: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    Billing(open_database(path)).close_due_cycles(as_of=FEBRUARY, metered_through=FEBRUARY, on_account=kill)


def test_a_run_that_is_killed_before_it_merges_is_finished_by_the_next(database: Database, tmp_path: Path) -> None:
    """The members are due for a while, and not lost."""
    group(database, "A", "B")
    run = multiprocessing.get_context("spawn").Process(target=_bill_until_killed, args=(tmp_path / "tallybook.sqlite",))
    run.start()
    run.join(60)
    assert run.exitcode == -signal.SIGKILL
    assert standing(database)["A 2024-02-03"] == ("DUE", "250.00", False)
    assert close(database, FEBRUARY + timedelta(hours=1)) == 1
    assert standing(database)["inv_group.1 2024-02-03"] == ("DUE", "256.00", False)


def test_a_crash_anywhere_while_merging_leaves_all_or_nothing(database: Database) -> None:
    """Before each of its statements and its commit; whoever comes next merges once."""
    group(database, "A", "B")
    with_crash, statement = True, 0
    Billing(database).close_accounts("org", ["A", "B"], as_of=FEBRUARY, metered_through=FEBRUARY)
    while with_crash:
        statement += 1
        with_crash = crashes_at(database, statement, lambda: merge_due(database, "org", as_of=FEBRUARY))
        merged = [value[0] for key, value in standing(database).items() if not key.startswith("inv_group")]
        assert merged == (["DUE"] * 2 if with_crash else ["MERGED"] * 2)
        assert len(composites(database)) == (0 if with_crash else 1)
    assert statement > 5


def test_invoices_of_a_group_that_is_gone_stay_their_accounts_own(database: Database) -> None:
    """It was there when they were issued, and not any more when they were to be merged."""
    group(database, "A", "B")
    Billing(database).close_accounts("org", ["A", "B"], as_of=FEBRUARY, metered_through=FEBRUARY)
    remove_accounts(database, "org", "inv_group.1", ["A", "B"], now=NOW)
    assert merge_due(database, "org", as_of=FEBRUARY) == 0
    assert standing(database)["A 2024-02-03"] == ("DUE", "250.00", False)
    assert merge_due(database, "org", as_of=FEBRUARY) == 0


# ---- afterwards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [S.PAID, S.VOID, S.UN_COLLECTIBLE])
def test_members_follow_their_composite(database: Database, to: InvoiceStatus) -> None:
    """§3.9: MERGED follows its group invoice."""
    group(database, "A", "B")
    close(database)
    [composite] = composites(database)
    change_status(database, "org", composite.invoice_id, to, changed_by="key", now=FEBRUARY)
    by_owner = {each.account.account_id: each.status for each in issued(database)}
    assert (by_owner["A"], by_owner["B"], by_owner["inv_group.1"]) == (to, to, to)
    assert by_owner["C"] is S.PAID


@pytest.mark.parametrize("to", [S.PAID, S.VOID, S.UN_COLLECTIBLE, S.REFUND_INITIATED])
def test_a_member_is_not_changed_by_itself(database: Database, to: InvoiceStatus) -> None:
    """Neither while it is MERGED nor when it has followed its composite."""
    group(database, "A", "B")
    close(database)
    [composite] = composites(database)
    [member, _] = composite.members
    for _ in range(2):
        before = {each.invoice_id: each.status for each in issued(database)}
        if before[member] is not to:
            with pytest.raises(Conflict):
                change_status(database, "org", member, to, changed_by="key", now=FEBRUARY)
        assert {each.invoice_id: each.status for each in issued(database)} == before
        change_status(database, "org", composite.invoice_id, S.PAID, changed_by="key", now=FEBRUARY)
