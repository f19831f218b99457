"""Drafts of plans where HTTP adds nothing: several at once, crashes, and how large one may be."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from billing_samples import PLAN, add_catalogue
from price_plan_samples import NOW, SlabSample, usage_card
from sqlalchemy import Connection

from tallybook.core.errors import Conflict, TooLarge
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.plan_draft import ItemAction, ItemOperation, operated, plan_items
from tallybook.core.plan_migration import MigrationMode, VersionsToMigrate
from tallybook.core.price_plan import MinimumCommitment, PricePlan, PricePlanStatus
from tallybook.flows import draft_price_plans
from tallybook.storage import accounts, plans
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.definition_rows import changes_since, version

CARDS = 8


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Account A is billed by the active plan pp.1, which has one card."""
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
    yield opened
    opened.close()


def add_card(database: Database, name: str) -> PricePlan:
    """Add a card of that name to the draft."""
    card = usage_card(SlabSample("0", "2"), meter_id=f"um.{name}", name=name)
    operation = ItemOperation(action=ItemAction.CREATE, name=name, item=card)
    return draft_price_plans.change_draft(database, "org", "pp.1", lambda _, plan: operated(plan, [operation]), now=NOW)


def replace_card(database: Database, rate: str) -> PricePlan:
    card = usage_card(SlabSample("0", rate))
    operation = ItemOperation(action=ItemAction.UPDATE, name=card.name, item=card)
    return draft_price_plans.change_draft(database, "org", "pp.1", lambda _, plan: operated(plan, [operation]), now=NOW)


def publish(database: Database, mode: MigrationMode = MigrationMode.NEXT_CYCLE) -> PricePlan:
    return draft_price_plans.publish_draft(
        database, "org", "pp.1", mode=mode, versions=VersionsToMigrate.ALL_VERSION, now=NOW
    )


def newest(database: Database) -> PricePlan:
    with database.read() as connection:
        found = plans.newest_price_plan(connection, "org", "pp.1")
    assert found is not None
    return found


def test_changes_at_the_same_time_are_all_in_one_draft(database: Database) -> None:
    """Each sees what the one before it did, and the first begins the draft."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: add_card(database, f"card {number}"), range(CARDS)))
    draft = newest(database)
    assert (draft.version, draft.status) == (2, PricePlanStatus.DRAFT)
    assert set(plan_items(draft)) == {"usage.um.1", *(f"card {number}" for number in range(CARDS))}


def test_of_several_that_finalize_one_does(database: Database) -> None:
    """There is one new version, and the account is moved to it once."""
    replace_card(database, "3")

    def try_to_publish(_: int) -> bool:
        try:
            publish(database)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(try_to_publish, range(4))) == [False, False, False, True]
    assert (newest(database).version, newest(database).status) == (2, PricePlanStatus.ACTIVE)
    with database.read() as connection:
        account = accounts.account(connection, "org", "A")
    assert account is not None
    assert [schedule.plan_version for schedule in account.schedules] == [2], "it begins after today"


def test_a_change_that_fails_leaves_nothing(database: Database) -> None:
    def fail(connection: Connection, plan: PricePlan) -> PricePlan:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        draft_price_plans.change_draft(database, "org", "pp.1", fail, now=NOW)
    assert newest(database) == PLAN


def test_a_draft_has_an_upper_size(database: Database) -> None:
    """As large as a request may be, however many requests it is made by."""
    text = "x" * (draft_price_plans.DRAFT_CHARACTERS_MAX + 1)

    def grow(_: Connection, plan: PricePlan) -> PricePlan:
        return msgspec.structs.replace(plan, minimum_commitment=MinimumCommitment(display_name=text, rates=()))

    with pytest.raises(TooLarge, match="make it smaller"):
        draft_price_plans.change_draft(database, "org", "pp.1", grow, now=NOW)
    assert newest(database) == PLAN


def test_whoever_keeps_plans_is_told_of_drafts_and_their_end(database: Database) -> None:
    """A version number may come again with another content, so caches must forget it."""
    with database.read() as connection:
        known = version(connection)
    replace_card(database, "3")
    draft_price_plans.discard_draft(database, "org", "pp.1", now=NOW)
    replace_card(database, "4")
    with database.read() as connection:
        told = [(change.kind, change.name) for change in changes_since(connection, known)]
    assert told == [("price_plan", "pp.1")] * 3
    assert newest(database).version == 2


def test_a_finalized_plan_is_in_force_with_its_new_cycle(database: Database) -> None:
    """What the draft changed of the shell counts from then on."""
    cycle = msgspec.structs.replace(PLAN.cycle, day_offset="5")
    draft_price_plans.change_shell(
        database, "org", "pp.1", description="new", changes=PlanChanges(cycle=cycle), now=NOW
    )
    assert newest(database).description == "new"
    publish(database)
    with database.read() as connection:
        found = plans.price_plan(connection, "org", "pp.1")
    assert found is not None
    assert (found.version, found.cycle.day_offset, found.description) == (2, "5", "new")
