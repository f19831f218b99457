"""Accounts and their aliases, where HTTP adds nothing: races, what metering sees, and what may never happen."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallybook.core.account import EVER_FROM, EVER_UNTIL, Account, AccountStatus, AliasWindow
from tallybook.core.customer import Address, Customer, CustomerStatus
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.instant import microseconds_since_1970
from tallybook.flows import define_accounts
from tallybook.flows.definitions import Definitions
from tallybook.flows.new_ids import new_id
from tallybook.storage.accounts import Organisation, add_organisation
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database, migrate, open_database

NOW = datetime(2024, 5, 1, tzinfo=UTC)
ACCOUNTS = ("c1", "a1", "a2")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("accounts") / "tallybook.sqlite"
    migrate(path)
    opened = open_database(path)
    yield opened
    opened.close()


@pytest.fixture
def organisation_id(database: Database) -> str:
    """A new organisation with one customer and three accounts."""
    return organisation_in(database)


def organisation_in(database: Database) -> str:
    organisation_id = new_id("org")
    with database.write() as connection:
        organisation = Organisation(organisation_id=organisation_id, name="Acme", base_currency="USD")
        add_organisation(connection, organisation, now=NOW)
    customer = Customer(
        customer_id="c1",
        generated_id=new_id("customer"),
        name="Customer",
        primary_email="a@b.example",
        address=Address(),
        status=CustomerStatus.ACTIVE,
    )
    define_accounts.create_customer(database, organisation_id, customer, account_of("c1"), now=NOW)
    for account_id in ACCOUNTS[1:]:
        define_accounts.create_account(database, organisation_id, account_of(account_id), now=NOW)
    return organisation_id


def account_of(account_id: str) -> Account:
    return Account(
        account_id=account_id,
        generated_id=new_id("account"),
        customer_id="c1",
        name="Account",
        currency="USD",
        status=AccountStatus.ACTIVE,
    )


def named(database: Database, organisation_id: str, alias: str, at: datetime) -> list[str]:
    """The accounts that the alias names at that time, from what is stored of each."""
    found = Catalog(database).accounts_by_reference(organisation_id, [alias]).get(alias, [])
    return [
        account.account_id
        for account in found
        for window in account.aliases
        if window.alias == alias and window.effective_from <= at < window.effective_until
    ]


def test_of_many_who_take_an_alias_at_once_one_gets_it(database: Database, organisation_id: str) -> None:
    """The look at who has it and the write are one transaction."""

    def attempt(number: int) -> bool:
        try:
            account_id = ACCOUNTS[number % 3]
            define_accounts.add_aliases(database, organisation_id, account_id, [AliasWindow(alias="one")], now=NOW)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


def test_metering_follows_a_moving_alias(database: Database, organisation_id: str) -> None:
    """A cache of accounts, told of nothing but the numbered changes, always resolves by the time of the event."""
    definitions = Definitions(Catalog(database))

    def account_at(reference: str, day: int) -> str | None:
        definitions.refresh()
        candidates = definitions.accounts(organisation_id, [reference])[reference]
        entry = candidates.at(microseconds_since_1970(NOW + timedelta(days=day)))
        return entry and entry.account_id

    assert account_at("device", 0) is None
    define_accounts.add_aliases(database, organisation_id, "a1", [AliasWindow(alias="device")], now=NOW)
    assert (account_at("device", -100), account_at("device", 100)) == ("a1", "a1")
    later = NOW + timedelta(days=10)
    define_accounts.remove_aliases(database, organisation_id, "a1", ["device"], [], now=later)
    assert (account_at("device", 9), account_at("device", 10)) == ("a1", None)
    define_accounts.add_aliases(database, organisation_id, "a2", [AliasWindow(alias="device")], now=later)
    assert (account_at("device", 9), account_at("device", 10)) == ("a1", "a2")
    define_accounts.add_aliases(database, organisation_id, "a2", [AliasWindow(alias="c1")], now=later)
    assert account_at("c1", 20) == "c1", "an id comes before an alias"


def test_metering_knows_no_archived_account(database: Database, organisation_id: str) -> None:
    """Neither by its id nor by its alias, at any time."""
    definitions = Definitions(Catalog(database))
    define_accounts.add_aliases(database, organisation_id, "a1", [AliasWindow(alias="device")], now=NOW)
    definitions.accounts(organisation_id, ["a1", "device"])
    define_accounts.archive_account(database, organisation_id, "a1", now=NOW)
    definitions.refresh()
    found = definitions.accounts(organisation_id, ["a1", "device"])
    assert [found[each].at(microseconds_since_1970(NOW)) for each in ("a1", "device")] == [None, None]


DAYS = st.integers(-20, 40) | st.none()
GIVE = st.tuples(st.just("give"), st.sampled_from(ACCOUNTS), DAYS, DAYS)
TAKE = st.tuples(st.just("take"), st.sampled_from(ACCOUNTS), st.none(), st.none())
ARCHIVE = st.tuples(st.just("archive"), st.sampled_from(ACCOUNTS[1:]), st.none(), st.none())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(GIVE | TAKE | ARCHIVE, min_size=2, max_size=10))
def test_alias_never_names_two_accounts_and_never_changes_what_it_meant(
    database: Database, acts: Sequence[tuple[str, str, int | None, int | None]]
) -> None:
    """Whoever gives, takes and archives: at any time at most one account, and before now the same as ever."""
    organisation_id = organisation_in(database)
    meant: dict[int, str] = {}
    for day, (act, account_id, start, end) in enumerate(acts):
        now = NOW + timedelta(days=day)
        window = AliasWindow(
            alias="device",
            effective_from=EVER_FROM if start is None else NOW + timedelta(days=start),
            effective_until=EVER_UNTIL if end is None else NOW + timedelta(days=end),
        )
        try:
            match act:
                case "give":
                    define_accounts.add_aliases(database, organisation_id, account_id, [window], now=now)
                case "take":
                    define_accounts.remove_aliases(database, organisation_id, account_id, ["device"], [], now=now)
                case _:
                    define_accounts.archive_account(database, organisation_id, account_id, now=now)
        except (Conflict, Invalid):
            continue
        for each in range(-25, 45):
            names = named(database, organisation_id, "device", NOW + timedelta(days=each))
            assert len(names) <= 1
            if each < day:
                assert names == [meant.setdefault(each, names[0])] if names else each not in meant
