"""Numbers of invoices: one after the other in each organisation, and none for what is rolled back."""

import threading
from pathlib import Path

import pytest

from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.invoice_numbers import next_number


@pytest.fixture
def database(tmp_path: Path) -> Database:
    migrate(tmp_path / "tallybook.sqlite")
    return open_database(tmp_path / "tallybook.sqlite")


def taken(database: Database, organisation_id: str) -> int:
    with database.write() as connection:
        return next_number(connection, organisation_id)


def test_each_organisation_counts_for_itself(database: Database) -> None:
    """1, 2 for one; the other begins at 1."""
    assert [taken(database, each) for each in ("acme", "acme", "umbrella", "acme")] == [1, 2, 1, 3]


def test_what_is_rolled_back_takes_no_number(database: Database) -> None:
    """After a failure in the transaction, its number is given again."""
    taken(database, "acme")

    def fail() -> None:
        with database.write() as connection:
            next_number(connection, "acme")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert taken(database, "acme") == 2


def test_in_parallel_every_number_is_taken_once(database: Database) -> None:
    """Four threads of ten take 1 to 40."""
    numbers: list[int] = []

    def take_ten() -> None:
        numbers.extend(taken(database, "acme") for _ in range(10))

    threads = [threading.Thread(target=take_ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 41))
