"""The stored definitions: what is found by whom, in which order, and what is noted as changed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from price_plan_samples import price_plan, usage_card

from tallybook.core.account import EVER_UNTIL, Account, AccountStatus, AliasWindow
from tallybook.core.aggregation import Aggregation
from tallybook.core.customer import Address, Customer, CustomerStatus
from tallybook.core.errors import Conflict
from tallybook.core.event_schema import AttributeDefinition, DimensionDefinition, EventSchema, SchemaStatus
from tallybook.core.pricing_schedule import new_schedule
from tallybook.core.usage_meter import Computation, MeterFilter, MeterStatus, UsageMeter
from tallybook.storage import accounts, customers, plans, schemas
from tallybook.storage.accounts import Organisation
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.pages import PageRequest, Place

NOW = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def catalog(database: Database) -> Catalog:
    return Catalog(database)


def account_of(account_id: str, *aliases: AliasWindow) -> Account:
    return Account(
        account_id=account_id,
        generated_id=f"account.{account_id}",
        customer_id="c1",
        name="Account",
        currency="USD",
        status=AccountStatus.ACTIVE,
        aliases=aliases,
        address=Address(city="Chennai"),
        metadata={"GSTN": "1"},
        tags=("a", "b"),
    )


def schema_of(name: str = "rides", status: SchemaStatus = SchemaStatus.ACTIVE, version: int = 1) -> EventSchema:
    return EventSchema(
        name=name,
        version=version,
        status=status,
        description="x",
        attributes=(AttributeDefinition(name="distance", default_unit="km"),),
        dimensions=(DimensionDefinition(name="city"),),
        filter_fields=("city",),
        event_id_template="{timestamp}",
    )


def meter_of(meter_id: str, status: MeterStatus = MeterStatus.ACTIVE, schema_name: str = "rides") -> UsageMeter:
    return UsageMeter(
        meter_id=meter_id,
        version=1,
        name=f"meter {meter_id}",
        status=status,
        aggregation=Aggregation.SUM,
        schema_name=schema_name,
        filters=(MeterFilter(field="city", value="Chennai"),),
        computations=(Computation(matcher="true", computation='{"var":"attributes.distance"}', order=1),),
    )


def add_account(database: Database, account: Account, organisation_id: str = "acme") -> None:
    with database.write() as connection:
        accounts.add_account(connection, organisation_id, account, now=NOW)


def test_account_reads_back_as_it_was_written(catalog: Catalog, database: Database) -> None:
    """Everything survives, aliases with their windows to the microsecond."""
    window = AliasWindow(alias="one", effective_from=NEW_YEAR, effective_until=NOW)
    written = account_of("a1", window, AliasWindow(alias="two"))
    add_account(database, written)
    assert catalog.account("acme", "a1") == written
    assert catalog.account("acme", "a2") is None
    assert catalog.account("umbrella", "a1") is None


def test_reference_finds_the_id_and_every_holder_of_the_alias(catalog: Catalog, database: Database) -> None:
    """Which of them an event means depends on its time; references that mean nothing are left out."""
    add_account(database, account_of("a1", AliasWindow(alias="x", effective_until=NEW_YEAR)))
    add_account(database, account_of("a2", AliasWindow(alias="x", effective_from=NEW_YEAR)))
    add_account(database, account_of("x"))
    add_account(database, account_of("x"), "umbrella")
    found = catalog.accounts_by_reference("acme", ["x", "a1", "nobody"])
    assert {reference: [each.account_id for each in those] for reference, those in found.items()} == {
        "x": ["a1", "a2", "x"],
        "a1": ["a1"],
    }
    assert found["x"][1].aliases[0].effective_until == EVER_UNTIL
    assert catalog.accounts_by_reference("acme", []) == {}


def test_thousands_of_references_are_found_at_once(catalog: Catalog, database: Database) -> None:
    """More names than one statement takes."""
    with database.write() as connection:
        for number in range(1200):
            accounts.add_account(connection, "acme", account_of(f"a{number}"), now=NOW)
    found = catalog.accounts_by_reference("acme", [f"a{number}" for number in range(2000)])
    assert len(found) == 1200


def test_overlapping_alias_is_refused_and_the_transaction_leaves_nothing(catalog: Catalog, database: Database) -> None:
    """An alias names one account at any instant; a refused account is not there."""
    add_account(database, account_of("a1", AliasWindow(alias="x", effective_until=NEW_YEAR)))
    overlapping = AliasWindow(alias="x", effective_from=NEW_YEAR - timedelta(microseconds=1))
    with pytest.raises(Conflict, match="'x' names account 'a1'"):
        add_account(database, account_of("a2", overlapping))
    assert catalog.account("acme", "a2") is None
    assert [change.name for change in catalog.changes_since(0)] == ["a1", "x"]
    add_account(database, account_of("a2", overlapping), "umbrella")


def test_changes_are_numbered_in_order(catalog: Catalog, database: Database) -> None:
    """Every write of a definition is noted, each in the transaction of the write; a new alias is one too."""
    assert catalog.version() == 0
    with database.write() as connection:
        schemas.add_event_schema(connection, "acme", schema_of(), now=NOW)
        schemas.add_usage_meter(connection, "acme", meter_of("um.1"), now=NOW)
        schemas.replace_usage_meter(connection, "acme", meter_of("um.1", MeterStatus.INACTIVE), now=NOW)
        schemas.replace_event_schema(connection, "acme", schema_of(status=SchemaStatus.INACTIVE), now=NOW)
        plan = price_plan(usage_card())
        plans.add_price_plan(connection, "acme", plan, now=NOW)
        plans.replace_price_plan(connection, "acme", plan, now=NOW)
        accounts.add_account(connection, "umbrella", account_of("a1", AliasWindow(alias="x")), now=NOW)
        accounts.set_schedules(connection, "umbrella", "a1", [], now=NOW)
    changes = catalog.changes_since(0)
    assert [(each.organisation_id, each.kind, each.name) for each in changes] == [
        ("acme", "event_schema", "rides"),
        ("acme", "usage_meter", "rides"),
        ("acme", "usage_meter", "togai-usage"),
        ("acme", "usage_meter", "rides"),
        ("acme", "usage_meter", "togai-usage"),
        ("acme", "event_schema", "rides"),
        ("acme", "price_plan", plan.plan_id),
        ("acme", "price_plan", plan.plan_id),
        ("umbrella", "account", "a1"),
        ("umbrella", "account", "x"),
        ("umbrella", "account", "a1"),
    ]
    numbers = [each.version for each in changes]
    assert numbers == sorted(set(numbers))
    assert catalog.version() == numbers[-1]
    assert catalog.changes_since(numbers[3]) == changes[4:]


def test_refused_write_notes_no_change(catalog: Catalog, database: Database) -> None:
    """A transaction that fails leaves neither the definition nor the note."""
    clashing = account_of("a1", AliasWindow(alias="x"), AliasWindow(alias="x"))
    with pytest.raises(Conflict):
        add_account(database, clashing)
    assert catalog.version() == 0
    assert catalog.account("acme", "a1") is None


def test_schema_in_force_has_its_active_meters(catalog: Catalog, database: Database) -> None:
    """Drafts, other schemas and other organisations do not count; meters come by id."""
    with database.write() as connection:
        schemas.add_event_schema(connection, "acme", schema_of(), now=NOW)
        schemas.add_event_schema(connection, "acme", schema_of("drafted", SchemaStatus.DRAFT), now=NOW)
        for meter in (
            meter_of("um.2"),
            meter_of("um.1"),
            meter_of("um.3", MeterStatus.DRAFT),
            meter_of("um.4", schema_name="drafted"),
        ):
            schemas.add_usage_meter(connection, "acme", meter, now=NOW)
        schemas.add_usage_meter(connection, "umbrella", meter_of("um.9"), now=NOW)
    assert catalog.schema_in_force("acme", "rides") == (schema_of(), (meter_of("um.1"), meter_of("um.2")))
    assert catalog.schema_in_force("acme", "drafted") is None
    assert catalog.schema_in_force("umbrella", "rides") is None


def test_schedule_carries_the_cycle_of_its_plan(catalog: Catalog, database: Database) -> None:
    """Account and schedules read back whole, in the order of their dates."""
    plan = price_plan(usage_card())
    later = new_schedule(plan, schedule_id="sch.2", start_date=date(2024, 3, 1))
    earlier = new_schedule(plan, schedule_id="sch.1", start_date=date(2024, 1, 15), end_date=date(2024, 2, 1))
    add_account(database, account_of("a1"))
    with database.write() as connection:
        plans.add_price_plan(connection, "acme", plan, now=NOW)
        accounts.set_schedules(connection, "acme", "a1", [later, earlier], now=NOW)
    found = catalog.account("acme", "a1")
    assert found is not None
    assert found.schedules == (earlier, later)
    assert found.schedules[0].cycle == plan.cycle


def test_accounts_with_schedules_are_walked_by_id(catalog: Catalog, database: Database) -> None:
    """Accounts without a plan are left out; `after` and `limit` walk through the rest."""
    plan = price_plan(usage_card())
    schedule = new_schedule(plan, schedule_id="sch.1", start_date=date(2024, 1, 1))
    with database.write() as connection:
        plans.add_price_plan(connection, "acme", plan, now=NOW)
        for account_id in ("a3", "a1", "a2", "b1"):
            accounts.add_account(connection, "acme", account_of(account_id), now=NOW)
        for account_id in ("a1", "a3", "b1"):
            accounts.set_schedules(connection, "acme", account_id, [schedule], now=NOW)
    first = catalog.accounts_with_schedules("acme", after=None, limit=2)
    assert [each.account_id for each in first] == ["a1", "a3"]
    assert [each.account_id for each in catalog.accounts_with_schedules("acme", after="a3", limit=2)] == ["b1"]
    assert catalog.accounts_with_schedules("umbrella", after=None, limit=2) == []


def test_plan_reads_back_to_the_last_digit(catalog: Catalog, database: Database) -> None:
    """Rates, slabs and cycle are stored exactly."""
    plan = price_plan(usage_card())
    with database.write() as connection:
        plans.add_price_plan(connection, "acme", plan, now=NOW)
    assert catalog.price_plan("acme", plan.plan_id) == plan
    assert catalog.price_plan("acme", plan.plan_id, 1) == plan
    assert catalog.price_plan("acme", plan.plan_id, 2) is None
    assert catalog.price_plan("umbrella", plan.plan_id) is None


def test_lists_go_by_latest_change_then_id(database: Database) -> None:
    """What changed in the same instant is in the order of ids, and every page continues where the last ended."""
    with database.write() as connection:
        for minute, customer_id in ((0, "c2"), (0, "c1"), (1, "c4"), (1, "c3"), (2, "c0")):
            customer = Customer(
                customer_id=customer_id,
                generated_id="g",
                name="Customer",
                primary_email="e",
                address=Address(),
                status=CustomerStatus.ACTIVE,
            )
            customers.add_customer(connection, "acme", customer, now=NOW + timedelta(minutes=minute))
    seen, after = [], None
    with database.read() as connection:
        while True:
            asked = PageRequest[Place](size=2, filters={}, after=after)
            page = customers.list_customers(connection, "acme", asked)
            seen.append([each.definition.customer_id for each in page.items])
            after = page.next
            if after is None:
                break
    assert seen == [["c0", "c3"], ["c4", "c1"], ["c2"]]


def test_organisation_stays_as_it_was_first_made(catalog: Catalog, database: Database) -> None:
    """Adding it again changes nothing."""
    for name in ("First", "Second"):
        with database.write() as connection:
            organisation = Organisation(organisation_id="acme", name=name, base_currency="EUR")
            accounts.add_organisation(connection, organisation, now=NOW)
    [found] = catalog.organisations()
    assert found.name == "First"
