"""What `UsageStore` and `BlockStore` promise: one transaction for everything a micro-batch adds."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from event_row_samples import HOUR, block
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tallybook.core.correction import EventPlace
from tallybook.storage.blocks import BlockStore
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.event_keys import EventKey, packed
from tallybook.storage.tables import definition_change, event_count, event_key_run, event_repeat, usage, usage_value
from tallybook.storage.usage import (
    BatchContents,
    CountDelta,
    MeteredBatch,
    Outcome,
    UsageDelta,
    UsageStore,
    ValueDelta,
    judged_by_receipt,
)

START, END = datetime(2023, 12, 31, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
KEY_HOURS = 24
METERED = "INGESTION_COMPLETED_EVENT_METERED"
DUPLICATE = "INGESTION_FAILED_DUPLICATE_EVENT"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> UsageStore:
    return UsageStore(database, event_key_hours=KEY_HOURS)


def key(event_id: str, *, position: int, content: int = 1, hour: int = HOUR, partition: int = 0) -> EventKey:
    return EventKey(event_id.encode().ljust(16, b"\0"), content, partition, position, hour)


def contents(units: list[str], duplicates: int = 0) -> BatchContents:
    """What events of one account and hour add, and how many more are duplicates."""
    counts = [CountDelta("org", "a1", HOUR, HOUR, "rides", METERED, len(units))] if units else []
    if duplicates:
        counts.append(CountDelta("org", "a1", HOUR, HOUR, "rides", DUPLICATE, duplicates))
    return BatchContents(
        usage=[UsageDelta("org", "a1", "um.1", HOUR, each, 1) for each in units],
        values=[],
        counts=counts,
        rows=block([1], events_each=len(units) + duplicates),
        row_count=len(units) + duplicates,
    )


def commit(
    store: UsageStore, keys: Mapping[EventKey, str], *, after: int, through: int, version: int = 0, partition: int = 0
) -> tuple[Outcome, set[bytes]]:
    """Commit events with these keys and units; return what it did, and the keys it said were there before."""
    seen: set[bytes] = set()

    def judge_again(duplicates: Mapping[bytes, int], refused: Mapping[EventPlace, str]) -> BatchContents:
        seen.update(duplicates)
        return contents([units for each, units in keys.items() if each.key not in duplicates], len(duplicates))

    batch = MeteredBatch(
        partition=partition,
        after=after,
        through=through,
        definitions_version=version,
        metered_at=0,
        keys=packed(keys),
        repeats=[],
        contents=contents(list(keys.values())),
    )
    return store.commit_batch(batch, judge_again=judge_again), seen


def total(store: UsageStore) -> tuple[Decimal, int] | None:
    rows = store.rows("org", "a1", start=START, end=END)
    assert len(rows) <= 1, "one meter, one hour"
    return (rows[0].units, rows[0].event_count) if rows else None


def key_count(database: Database) -> int:
    with database.read() as connection:
        return (
            connection.execute(
                select(func.sum(event_key_run.c.entry_count)).where(event_key_run.c.state == "LIVE")
            ).scalar()
            or 0
        )


def test_a_commit_adds_everything_at_once(store: UsageStore, database: Database) -> None:
    """Keys, usage, counts, the block of rows, and the position they are true for."""
    assert store.position(0) == 0
    outcome, seen = commit(store, {key("e1", position=3): "1.5", key("e2", position=3): "2"}, after=0, through=3)
    assert (outcome, seen) == (Outcome.COMMITTED, set())
    assert store.position(0) == 3
    assert total(store) == (Decimal("3.5"), 2)
    assert store.places_of(key("e1", position=3).key) == [(0, 3)]
    [stored] = BlockStore(database).all(0)
    assert (stored.first_position, stored.last_position, stored.row_count) == (1, 3, 2)
    with database.read() as connection:
        assert judged_by_receipt(connection) == {("org", HOUR): {METERED: 2}}


def test_a_second_commit_from_the_same_position_changes_nothing(store: UsageStore, database: Database) -> None:
    """The compare-and-set: whoever is later, also with other contents, is told so."""
    commit(store, {key("e1", position=3): "1.5"}, after=0, through=3)
    for through in (2, 3, 9):
        outcome, _ = commit(store, {key("e2", position=2): "7"}, after=0, through=through)
        assert outcome is Outcome.OVERTAKEN
    assert commit(store, {key("e2", position=9): "7"}, after=8, through=9)[0] is Outcome.OVERTAKEN
    assert (store.position(0), total(store), key_count(database)) == (3, (Decimal("1.5"), 1), 1)
    assert BlockStore(database).row_count(0) == 1


def test_a_commit_under_older_definitions_changes_nothing(store: UsageStore, database: Database) -> None:
    """The definitions have moved on: the batch is to be judged again."""
    with database.write() as connection:
        connection.execute(
            definition_change.insert().values(organisation_id="org", kind="account", name="a1", changed_at=0)
        )
    assert commit(store, {key("e1", position=1): "1"}, after=0, through=1, version=0)[0] is Outcome.STALE
    assert (store.position(0), total(store), key_count(database)) == (0, None, 0)
    assert commit(store, {key("e1", position=1): "1"}, after=0, through=1, version=1)[0] is Outcome.COMMITTED


def test_an_id_of_an_earlier_batch_is_a_duplicate(store: UsageStore) -> None:
    """It adds nothing but its count; the first one's content is told, and both are found by the id."""
    commit(store, {key("e1", position=1, content=11): "1"}, after=0, through=1)
    again = key("e1", position=2, content=12)
    outcome, seen = commit(store, {again: "1", key("e2", position=2): "5"}, after=1, through=2)
    assert (outcome, seen) == (Outcome.COMMITTED, {again.key})
    assert total(store) == (Decimal(6), 2)
    assert sorted(store.places_of(again.key)) == [(0, 1), (0, 2)]


def test_an_id_of_another_partition_is_a_duplicate(store: UsageStore) -> None:
    """The key is global, though positions are not."""
    commit(store, {key("e1", position=1): "1"}, after=0, through=1)
    _, seen = commit(store, {key("e1", position=1, partition=1): "1"}, after=0, through=1, partition=1)
    assert len(seen) == 1
    assert total(store) == (Decimal(1), 1)


def test_an_expired_id_counts_as_new(store: UsageStore) -> None:
    """Past its time it is taken again, and from then on remembered anew; at the last hour it is a duplicate still."""
    commit(store, {key("e1", position=1): "1"}, after=0, through=1)
    _, seen = commit(store, {key("e1", position=2, hour=HOUR + KEY_HOURS): "1"}, after=1, through=2)
    assert len(seen) == 1
    _, seen = commit(store, {key("e1", position=3, hour=HOUR + KEY_HOURS + 1): "1"}, after=2, through=3)
    assert seen == set()
    assert total(store) == (Decimal(2), 2)
    _, seen = commit(store, {key("e1", position=4, hour=HOUR + KEY_HOURS + 2): "1"}, after=3, through=4)
    assert len(seen) == 1


def test_ids_kept_for_ever_never_expire(database: Database) -> None:
    """0 hours is for ever."""
    store = UsageStore(database, event_key_hours=0)
    commit(store, {key("e1", position=1): "1"}, after=0, through=1)
    _, seen = commit(store, {key("e1", position=2, hour=HOUR + 10**6): "1"}, after=1, through=2)
    assert len(seen) == 1


def test_expired_runs_and_repeats_are_forgotten(store: UsageStore, database: Database) -> None:
    """A run goes when its last key has expired; repeats go in slices, in as many steps as it takes."""
    for position, hours in enumerate((range(3), range(4)), start=1):
        keys = {
            key(f"{number:04}-{position}", position=position, hour=HOUR + number % len(hours)): "1"
            for number in range(100)
        }
        commit(store, keys, after=position - 1, through=position)
    commit(store, {each._replace(position=3): "1" for each in keys}, after=2, through=3)
    after: bytes | None = b""
    steps = 0
    while after is not None:
        after = store.forget_keys(received_before_hour=HOUR + 3, after=after, limit=7)
        steps += 1
    assert steps >= 100 // 7
    assert key_count(database) == 100, "the run whose last key has not expired stays whole"
    with database.read() as connection:
        assert connection.execute(select(func.min(event_repeat.c.received_hour))).scalar() == HOUR + 3


def test_blocks_are_read_oldest_first_up_to_a_number_of_rows_and_deleted_up_to_a_position(
    store: UsageStore, database: Database
) -> None:
    """At least one block, however large."""
    for number in range(1, 6):
        commit(store, {key(f"e{number}", position=number): "1"}, after=number - 1, through=number)
    blocks = BlockStore(database)
    assert [blocks.oldest(0, rows_max=rows_max) for rows_max in (0, 1, 3, 9)] == [(1, 1), (1, 1), (3, 3), (5, 5)]
    assert blocks.oldest(1, rows_max=9) == (0, 0)
    stored = [each.rows for each in blocks.all(0)]
    assert list(blocks.rows(0, through=4)) == stored[:4]
    assert list(blocks.rows(0, through=5)) == stored
    blocks.delete(0, through=3)
    assert [each.last_position for each in blocks.all(0)] == [4, 5]
    assert blocks.row_count(0) == 2
    assert blocks.row_count(1) == 0


QUANTITIES = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=33)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(quantities=st.lists(QUANTITIES, min_size=1, max_size=30))
def test_sums_are_exact_beyond_thirty_digits(
    tmp_path_factory: pytest.TempPathFactory, quantities: list[Decimal]
) -> None:
    """Added inside the database, batch by batch, they equal the sum of fractions, digit for digit."""
    path = tmp_path_factory.mktemp("sums") / "tallybook.sqlite"
    migrate(path)
    database = open_database(path)
    store = UsageStore(database, event_key_hours=0)
    for number, quantity in enumerate(quantities, start=1):
        commit(store, {key(f"e{number}", position=number): format(quantity, "f")}, after=number - 1, through=number)
    found = total(store)
    database.close()
    assert found is not None
    assert (Fraction(found[0]), found[1]) == (sum(map(Fraction, quantities)), len(quantities))


def values(units: str, *values: tuple[str, int], hour: int = HOUR) -> BatchContents:
    """What events of one hour add to a meter that keeps values, each with the number of events that left it."""
    count = sum(count for _, count in values)
    return BatchContents(
        usage=[UsageDelta("org", "a1", "um.1", hour, units, count)],
        values=[ValueDelta("org", "a1", "um.1", hour, value, count) for value, count in values],
        counts=[CountDelta("org", "a1", hour, HOUR, "rides", METERED, count)],
        rows=block([1]),
        row_count=2,
    )


def add(store: UsageStore, *some: BatchContents) -> None:
    """Commit these contents one after the other."""
    for after, each in enumerate(some, start=store.position(0)):
        batch = MeteredBatch(
            partition=0,
            after=after,
            through=after + 1,
            definitions_version=0,
            metered_at=0,
            keys=b"",
            repeats=[],
            contents=each,
        )
        assert store.commit_batch(batch, judge_again=never) is Outcome.COMMITTED


def never(_: Mapping[bytes, int]) -> BatchContents:
    raise AssertionError("there are no keys that could have been seen")


def test_values_are_read_with_the_usage_of_their_hour(store: UsageStore) -> None:
    """Of values that are not to be counted the least and the greatest are enough; of others all are there."""
    add(
        store,
        values("6", ("P0011", 1), ("P0012", 2), ("P0013", 1)),
        values("2", ("~a", 1), ("~b", 1), hour=HOUR + 1),
        values("2", ("~b", 1), ("~c", 1), hour=HOUR + 1),
    )
    by_account = store.rows("org", "a1", start=START, end=END)
    assert [row.values for row in by_account] == [{"P0011", "P0013"}, {"~a", "~b", "~c"}]
    assert [(row.units, row.event_count) for row in by_account] == [(6, 4), (4, 4)]
    by_meter = store.usage_by_hour("org", account_ids=None, meter_ids=["um.1"], start=START, end=END)
    assert by_meter == by_account
    assert store.usage_by_hour("other", account_ids=None, meter_ids=[], start=START, end=END) == []


def test_what_is_taken_away_is_as_if_it_had_never_been(store: UsageStore, database: Database) -> None:
    """A value goes with its last event, and so do usage and counts; what other events left stays."""
    add(store, values("5", ("P0011", 2), ("P0013", 1)))
    add(store, values("-1", ("P0011", -1)))
    assert store.rows("org", "a1", start=START, end=END)[0].values == {"P0011", "P0013"}
    add(store, values("-3", ("P0013", -1)))
    [row] = store.rows("org", "a1", start=START, end=END)
    assert (row.units, row.event_count, row.values) == (1, 1, {"P0011"})
    add(store, values("-1", ("P0011", -1)))
    with database.read() as connection:
        for table in (usage, usage_value, event_count):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0
