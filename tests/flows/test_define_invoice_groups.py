"""Invoice groups over a real database, made by several at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from billing_samples import add_account, add_catalogue
from price_plan_samples import NOW

from tallybook.core.customer import Address
from tallybook.core.errors import Conflict
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.flows.define_invoice_groups import add_accounts, create_group, remove_accounts
from tallybook.storage import invoice_groups
from tallybook.storage.database import Database, migrate, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        for account_id in "BCD":
            add_account(connection, account_id)
    yield opened
    opened.close()


def group(group_id: str) -> InvoiceGroup:
    return InvoiceGroup(
        group_id=group_id, name="Group", email="", address=Address(), currency="", daily_consolidation=True
    )


def groups_of(database: Database) -> dict[str, str]:
    with database.read() as connection:
        found = invoice_groups.groups_by_account(connection, "org", list("ABCD"))
    return {account_id: each.group_id for account_id, each in found.items()}


def test_an_account_joins_one_of_many_groups(database: Database) -> None:
    """Eight groups want the same accounts at once: one gets them, and the others are not made."""

    def attempt(number: int) -> str:
        try:
            create_group(database, "org", group(f"inv_group.{number}"), ["A", "B"], now=NOW)
        except Conflict as error:
            return error.code
        return "made"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(8)))
    assert sorted(outcomes) == ["ACCOUNT_IN_GROUP"] * 7 + ["made"]
    winner = outcomes.index("made")
    assert groups_of(database) == {"A": f"inv_group.{winner}", "B": f"inv_group.{winner}"}
    with database.read() as connection:
        assert invoice_groups.count_groups(connection, "org") == 1


def test_accounts_that_join_and_leave_at_once_are_in_one_place(database: Database) -> None:
    """However two requests interleave, a group that is there has accounts, and one without is gone."""
    create_group(database, "org", group("inv_group.1"), ["A"], now=NOW)
    with ThreadPoolExecutor(8) as pool:
        for account_id in "BCD":
            pool.submit(add_accounts, database, "org", "inv_group.1", [account_id], now=NOW)
        for account_id in "BC":
            pool.submit(remove_accounts, database, "org", "inv_group.1", [account_id], now=NOW)
    found = groups_of(database)
    assert {"A", "D"} <= found.keys()
    assert set(found.values()) == {"inv_group.1"}
    remove_accounts(database, "org", "inv_group.1", list("ABCD"), now=NOW)
    assert groups_of(database) == {}
    with database.read() as connection:
        assert invoice_groups.find_group(connection, "org", "inv_group.1") is None
