"""What the store of event keys promises: each id is held by the first event that had it, however runs come and go."""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from tallybook.storage import event_key_merging, event_key_runs
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.event_key_merging import EventKeyMerging
from tallybook.storage.event_key_runs import KnownRuns, pack_entries, unpacked
from tallybook.storage.event_keys import EventKey, RunState, entries_of, give_up, packed
from tallybook.storage.tables import event_key_filter, event_key_page, event_key_run

HOURS_KEPT = 5
FIRST_HOUR = 1000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("empty") / "tallybook.sqlite"
    migrate(path)
    return path.read_bytes()


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few dozen keys make several pages, pieces and merges."""
    monkeypatch.setattr(event_key_runs, "PAGE_ENTRIES", 3)
    monkeypatch.setattr(event_key_runs, "PIECE_ENTRIES_MAX", 4)
    monkeypatch.setattr(event_key_merging, "RUNS_PER_MERGE", 2)


def key_of(number: int) -> bytes:
    """Keys at both ends of all there are, and pairs that share their first half."""
    high = (number // 2) * 0x0B0B_0B0B_0B0B_0B0B % 2**64
    return (high if number < 44 else 2**64 - 1).to_bytes(8, "big") + (number % 2 * (2**64 - 1)).to_bytes(8, "big")


def take(
    database: Database, known: KnownRuns, keys: Sequence[EventKey], *, left_out: Sequence[bytes] = ()
) -> tuple[dict[bytes, int], list[EventKey]]:
    """Commit the events' ids."""
    with database.write() as connection:
        return known.take_ids(connection, unpacked(packed(keys)), hours_kept=HOURS_KEPT, left_out=left_out)


def positions_of(database: Database, key: bytes) -> set[int]:
    with database.read() as connection:
        return {entry.position for entry in entries_of(connection, key)}


def run_count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(event_key_run)).scalar_one()


def merge(database: Database, *, hour: int | None = None) -> None:
    """Merge until nothing is left to be done, each step by a process of its own, so to say."""
    for _ in range(10_000):
        if not EventKeyMerging(database).take_step(received_before_hour=hour):
            return
    raise AssertionError("merging does not end")


class Holder(NamedTuple):
    content: int
    hour: int
    position: int


NUMBERS = st.sets(st.integers(36, 45) | st.integers(0, 45), min_size=1, max_size=20)
BATCH = st.tuples(st.just("batch"), NUMBERS, st.integers(0, 4))
OTHER = st.tuples(
    st.sampled_from(["merge", "merge", "step", "restart", "other process", "give up"]),
    NUMBERS,
    st.just(0),
)


@given(operations=st.lists(st.one_of(BATCH, BATCH, OTHER), min_size=5, max_size=25))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small_sizes")
def test_every_id_is_held_as_in_a_plain_dictionary(
    operations: list[tuple[str, set[int], int]], empty_database: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With expiry, freed ids, merges between and half done, restarts, and a second process that fell behind."""
    path = tmp_path_factory.mktemp("keys") / "tallybook.sqlite"
    path.write_bytes(empty_database)
    database = open_database(path)
    model: dict[bytes, Holder] = {}
    hour, positions = FIRST_HOUR, count(1)
    here, other = KnownRuns(), KnownRuns()
    for name, numbers, hours in operations:
        keys = [key_of(number) for number in sorted(numbers)]
        hour += hours
        match name:
            case "batch":
                position = next(positions)
                sent = [EventKey(key, position * 100 + at, 0, position, hour) for at, key in enumerate(keys)]
                held = {each.key for each in sent if each.key in model and model[each.key].hour >= hour - HOURS_KEPT}
                expected = {key: model[key].content for key in held}
                contents, without = take(database, here, sent)
                assert contents == expected
                assert sorted(without) == sorted(each for each in sent if each.key in held)
                model |= {each.key: Holder(each.content, hour, position) for each in sent if each.key not in held}
            case "merge":
                merge(database, hour=hour - HOURS_KEPT)
            case "step":
                EventKeyMerging(database).take_step(received_before_hour=hour - HOURS_KEPT)
            case "restart":
                here = KnownRuns()
            case "other process":
                here, other = other, here
            case "give up":
                with database.write() as connection:
                    for key in keys:
                        if key in model:
                            give_up(connection, key, 0, model.pop(key).position, received_hour=hour)
    for key, holder in model.items():
        if holder.hour >= hour - HOURS_KEPT:
            assert holder.position in positions_of(database, key)
    database.close()


def test_thousands_of_keys_at_once(database: Database) -> None:
    """Of 20,000 ids, the 200 that were sent before are known, in whichever of many runs they are."""
    random = np.random.default_rng(7)
    keys = [random.bytes(16) for _ in range(60_000)]
    known = KnownRuns()
    for start in range(0, 40_000, 5_000):
        numbers = range(start, start + 5_000)
        some = [keys[number] for number in numbers]
        hours = [FIRST_HOUR] * 5_000
        entries = pack_entries(some, list(numbers), partition=0, positions=[start] * 5_000, received_hours=hours)
        with database.write() as connection:
            found = known.take_ids(connection, unpacked(entries), hours_kept=0, left_out=())
        assert found == ({}, [])
    again = keys[:40_000:200] + keys[40_200:]
    sent = [EventKey(key, 0, 0, 99, FIRST_HOUR) for key in again]
    contents, without = take(database, KnownRuns(), sent)
    assert contents == {keys[number]: number for number in range(0, 40_000, 200)}
    assert {each.key for each in without} == set(contents)
    assert positions_of(database, keys[5_200]) == {5_000}
    assert positions_of(database, keys[40_200]) == {99}
    assert positions_of(database, keys[40_001]) == set()


def test_pack_entries_orders_as_bytes_do() -> None:
    """Both ways to pack say the same, whichever order the keys come in."""
    keys = [bytes([255] * 16), bytes(16), bytes([0] * 8 + [255] * 8), bytes([0] * 7 + [1] + [0] * 8)]
    contents, positions, hours = [1, 2, 3, 2**32 - 1], [4, 3, 2, 2**40], [9, 8, 7, 6]
    fast = pack_entries(keys, contents, partition=3, positions=positions, received_hours=hours)
    slow = packed(map(EventKey, keys, contents, [3] * 4, positions, hours))
    assert fast == slow
    assert [fast[start : start + 16] for start in range(0, len(fast), 36)] == sorted(keys)


def test_lone_events_do_not_leave_a_run_each(database: Database) -> None:
    """300 batches of one event are 300 entries: three pages, and no more runs than these and a few."""
    known = KnownRuns()
    for number in range(300):
        contents, _ = take(database, known, [EventKey(number.to_bytes(16, "big"), number, 0, number, FIRST_HOUR)])
        assert not contents
    assert run_count(database) <= 300 // 109 + 2
    contents, _ = take(database, known, [EventKey((150).to_bytes(16, "big"), 0, 0, 2000, FIRST_HOUR)])
    assert contents == {(150).to_bytes(16, "big"): 150}


def test_merging_joins_runs_and_leaves_expired_keys_out(database: Database) -> None:
    """16 runs of 200 become one; the keys of the first, long received, are gone with it."""
    known = KnownRuns()
    for run in range(16):
        hour = FIRST_HOUR + (100 if run else 0)
        keys = [EventKey((number * 16 + run).to_bytes(16, "big"), run, 0, run + 1, hour) for number in range(200)]
        take(database, known, keys)
    assert run_count(database) == 16
    merge(database, hour=FIRST_HOUR + 1)
    with database.read() as connection:
        [(state, entries, oldest)] = connection.execute(
            select(event_key_run.c.state, event_key_run.c.entry_count, event_key_run.c.oldest_hour)
        ).all()
        runs = {*connection.execute(select(event_key_page.c.run)).scalars()}
        filters = {*connection.execute(select(event_key_filter.c.run)).scalars()}
    assert (state, entries, oldest) == (RunState.LIVE.value, 15 * 200, FIRST_HOUR + 100)
    assert len(runs) == 1
    assert runs == filters
    assert positions_of(database, (16 * 7 + 3).to_bytes(16, "big")) == {4}
    assert positions_of(database, (16 * 7).to_bytes(16, "big")) == set()


def test_a_step_that_another_process_has_done_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading and writing its piece the first finds that the second was faster; entries are not there twice."""
    known = KnownRuns()
    for run in range(16):
        take(database, known, [EventKey((n * 16 + run).to_bytes(16, "big"), 1, 0, run, FIRST_HOUR) for n in range(150)])
    assert EventKeyMerging(database).take_step(received_before_hour=None), "it has begun"
    ordered = event_key_merging.in_key_order

    def while_another_does_it(entries: event_key_merging.Entries) -> event_key_merging.Entries:
        monkeypatch.setattr(event_key_merging, "in_key_order", ordered)
        assert EventKeyMerging(database).take_step(received_before_hour=None)
        return ordered(entries)

    monkeypatch.setattr(event_key_merging, "in_key_order", while_another_does_it)
    EventKeyMerging(database).take_step(received_before_hour=None)
    merge(database)
    with database.read() as connection:
        entries = sum(len(each) // 36 for each in connection.execute(select(event_key_page.c.entries)).scalars())
    assert entries == 16 * 150


def test_what_is_rolled_back_was_never_taken(database: Database) -> None:
    """The run's number may come again for other keys; these are known then, and those rolled back are not."""
    known = KnownRuns()
    lost = [EventKey(bytes([number] * 16), 1, 0, 1, FIRST_HOUR) for number in range(120)]

    def take_and_fail() -> None:
        with database.write() as connection:
            known.take_ids(connection, unpacked(packed(lost)), hours_kept=0, left_out=())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        take_and_fail()
    kept = [EventKey(bytes([number + 120] * 16), 2, 0, 1, FIRST_HOUR) for number in range(120)]
    assert take(database, known, kept) == ({}, [])
    contents, _ = take(database, known, [*lost, *kept[:5]])
    assert contents == dict.fromkeys([each.key for each in kept[:5]], 2)


def test_keys_left_out_take_nothing(database: Database) -> None:
    """Their events get no id, and nobody who comes later finds them."""
    known = KnownRuns()
    first, second = (EventKey(bytes([number] * 16), number, 0, 1, FIRST_HOUR) for number in (1, 2))
    assert take(database, known, [first, second], left_out=[first.key]) == ({}, [first])
    assert take(database, known, [first, second]) == ({second.key: 2}, [second])
