"""Granting and voiding credits: once, whoever asks at the same time and wherever the process dies."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from billing_samples import add_account, add_catalogue
from crashing import Crash, crashing_at
from credit_samples import terms

from tallybook.core.credit import HeldCredit
from tallybook.core.errors import Conflict, NotFound
from tallybook.flows.define_credits import ACTIVE_CREDITS_MAX, REQUESTS_MAX, CreditRequest, grant_credits, void_credit
from tallybook.storage import credits
from tallybook.storage.database import Database, migrate, open_database

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
STATEMENTS_MAX = 100


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        add_account(connection, "B")
    yield opened
    opened.close()


def request(account_id: str = "A", amount: str = "50", *, key: str | None = "k") -> CreditRequest:
    return CreditRequest(account_id=account_id, terms=terms(amount), idempotency_key=key)


def there(database: Database) -> list[HeldCredit]:
    with database.read() as connection:
        return [each for account_id in ("A", "B") for each in credits.credits_of(connection, "org", account_id)]


def test_parallel_requests_with_one_key_grant_once(database: Database) -> None:
    """Everybody is answered with the same credit."""

    def grant(_: int) -> str:
        return grant_credits(database, "org", [request()], now=NOON)[0].credit.credit_id

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(grant, range(8)))
    assert answers == {each.credit.credit_id for each in there(database)}
    assert len(answers) == 1


def test_a_key_is_for_one_credit(database: Database) -> None:
    """Of the whole organisation; twice in one request it is one credit."""
    first, second = grant_credits(database, "org", [request(), request()], now=NOON)
    assert first == second
    for other in (request("B"), request(amount="51")):
        with pytest.raises(Conflict, match="was sent with another credit"):
            grant_credits(database, "org", [other], now=NOON)
    grant_credits(database, "org", [request(key=None), request(key=None)], now=NOON)
    assert len(there(database)) == 3


def test_dying_at_any_statement_grants_all_or_none(database: Database) -> None:
    """Two credits of one request; sent again with their keys they are there once."""
    asked = [request(key="1"), request("B", key="2")]
    for statement in range(1, STATEMENTS_MAX):
        try:
            with crashing_at(database, statement):
                grant_credits(database, "org", asked, now=NOON)
        except Crash:
            assert len(there(database)) in (0, 2), f"at {statement}"
        else:
            break
    assert statement > 5, "it has more statements than that"
    grant_credits(database, "org", asked, now=NOON)
    assert len(there(database)) == 2


def test_parallel_voids_void_once(database: Database) -> None:
    """One entry says so."""
    [held] = grant_credits(database, "org", [request()], now=NOON)
    credit_id = held.credit.credit_id
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: void_credit(database, "org", credit_id, now=NOON), range(8)))
    assert {each.voided_at for each in done} == {NOON}
    with database.read() as connection:
        entries = credits.entries_of(connection, "org", credit_id)
    assert [entry.entry_type.value for entry in entries] == ["CREDITED", "VOIDED"]


def test_an_account_has_so_many_active_credits(database: Database) -> None:
    """A thousand; what has expired does not count."""
    for _ in range(ACTIVE_CREDITS_MAX // REQUESTS_MAX):
        grant_credits(database, "org", [request(key=None)] * REQUESTS_MAX, now=NOON)
    with pytest.raises(Conflict, match="1000 active credits of account 'A' already"):
        grant_credits(database, "org", [request(key=None)], now=NOON)
    expired = CreditRequest(account_id="B", terms=terms("1", until=date(2024, 1, 2)))
    for _ in range(2):
        grant_credits(database, "org", [expired] * REQUESTS_MAX, now=NOON)
    with database.read() as connection:
        assert credits.count_active(connection, "org", "B") == 0


def test_credits_of_others_cannot_be_voided(database: Database) -> None:
    [held] = grant_credits(database, "org", [request()], now=NOON)
    with pytest.raises(NotFound):
        void_credit(database, "umbrella", held.credit.credit_id, now=NOON)
    assert there(database)[0].left == 50
