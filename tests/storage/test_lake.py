"""What `Lake` promises, for every backend there is."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arro3.core import Table
from arro3.io import write_ipc_stream
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from event_row_samples import block

from tallybook.core.errors import Busy
from tallybook.storage.event_rows import SCHEMA, EventRow, decode_blocks, rows_of, sql_literal
from tallybook.storage.interfaces import Lake
from tallybook.storage.lake import SMALL_FILES_MAX, DeltaLake

OpenLake = Callable[[], Lake]


@pytest.fixture(params=["delta"])
def open_lake(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLake:
    return {"delta": lambda: DeltaLake(tmp_path / "lake")}[request.param]


@pytest.fixture
def lake(open_lake: OpenLake) -> Lake:
    return open_lake()


def rows(lake: Lake, *, partition: int = 0) -> list[EventRow]:
    batches = lake.snapshot(partition).query("SELECT * FROM event ORDER BY partition, position, index")
    return [row for batch in batches for row in rows_of(Table.from_batches([batch]))]


def places(lake: Lake) -> Counter[tuple[int, int, int]]:
    return Counter((row.partition, row.position, row.index) for row in rows(lake))


def test_an_empty_lake_is_at_position_0(lake: Lake, open_lake: OpenLake) -> None:
    """Opening it again makes no new one."""
    assert lake.position(0) == 0
    assert open_lake().snapshot(0).position == 0
    assert rows(lake) == []


def test_rows_are_appended_whole_with_the_position(lake: Lake, open_lake: OpenLake) -> None:
    """Every column comes back as it was, to another process too."""
    blocks = [block([1, 2]), block([3], units="0.000000000000000000000000000000000000001")]
    lake.append(blocks, partition=0, through=3)
    expected = rows_of(decode_blocks(blocks))
    for reader in (lake, open_lake()):
        assert reader.position(0) == 3
        assert rows(reader) == expected


def test_partitions_have_positions_of_their_own(lake: Lake) -> None:
    """One table holds them all."""
    lake.append([block([1, 2, 3])], partition=0, through=3)
    lake.append([block([1], partition=1)], partition=1, through=1)
    assert (lake.position(0), lake.position(1), lake.position(2)) == (3, 1, 0)
    assert len(rows(lake)) == 8


def test_blocks_that_cannot_be_read_to_the_end_are_not_appended_at_all(lake: Lake) -> None:
    """The error says to wait and try again; then all of them are appended."""
    good = block([1, 2])

    def breaking_off() -> Iterator[bytes]:
        yield good
        raise Busy("the database does not answer")

    with pytest.raises(Busy):
        lake.append(breaking_off(), partition=0, through=3)
    assert lake.position(0) == 0
    assert rows(lake) == []
    lake.append(iter([good, block([3])]), partition=0, through=3)
    assert [row.position for row in rows(lake)] == [1, 1, 2, 2, 3, 3]


def test_a_snapshot_stays_as_it_was(lake: Lake) -> None:
    """A reader is not disturbed by appends and compaction: its rows and its position belong together."""
    lake.append([block([1])], partition=0, through=1)
    before = lake.snapshot(0)
    for position in range(2, SMALL_FILES_MAX + 5):
        lake.append([block([position])], partition=0, through=position)
    lake.compact()
    assert before.position == 1
    assert sum(batch.num_rows for batch in before.query("SELECT * FROM event")) == 2


def test_compaction_changes_no_row(lake: Lake, open_lake: OpenLake) -> None:
    """Small files become few; rows, positions and the next append stay what they were."""
    last = SMALL_FILES_MAX + 10
    for position in range(1, last + 1):
        lake.append([block([position])], partition=0, through=position)
    before = rows(lake)
    lake.compact()
    lake.compact()
    for reader in (lake, open_lake()):
        assert rows(reader) == before
        assert reader.position(0) == last
    lake.append([block([last + 1])], partition=0, through=last + 1)
    assert set(places(open_lake()).values()) == {1}
    assert len(rows(lake)) == len(before) + 2


def test_a_lake_opened_again_after_a_crash_goes_on(lake: Lake, open_lake: OpenLake) -> None:
    """What the process before left, flushed or not, is there, and new rows follow it."""
    for position in range(1, 30):
        (lake if position % 3 else open_lake()).append([block([position])], partition=0, through=position)
        if position % 10 == 0:
            open_lake().compact()
    assert set(places(lake).values()) == {1}
    assert len(rows(lake)) == 58


@pytest.mark.parametrize("text", ["it's", "''", "\\", "a\nb", "%_", '"', "; DROP TABLE event --", "é🚲", ""])
def test_text_is_quoted_for_a_query(lake: Lake, text: str) -> None:
    """No text ends the literal it stands in."""
    found = [batch.column(0)[0].as_py() for batch in lake.snapshot(0).query(f"SELECT {sql_literal(text)} AS said")]
    assert found == [text]


def test_opening_flushes_what_a_killed_process_wrote_last(open_lake: OpenLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks are deleted because the lake has the rows, so they must be safe from loss of power by then."""
    lake = open_lake()
    monkeypatch.setattr("os.fsync", interrupt)  # after the rows are written, before they are flushed
    with pytest.raises(KeyboardInterrupt):
        lake.append([block([1])], partition=0, through=1)
    flushed: list[str] = []
    monkeypatch.setattr(
        "os.fsync", lambda descriptor: flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    assert open_lake().position(0) == 1
    assert any(path.endswith(".parquet") for path in flushed)
    assert any(path.endswith("00001.json") for path in flushed)


def interrupt(_: int) -> None:
    raise KeyboardInterrupt


def test_a_lake_of_an_older_version_is_given_the_new_columns(tmp_path: Path) -> None:
    """Its rows read as before, with nothing in the columns they lack; new rows and compaction go on behind them."""
    path, first_columns = tmp_path / "lake", SCHEMA.names[:16]
    old = decode_blocks([block([1, 2])]).select(first_columns)
    DeltaTable.create(str(path), schema=old.schema)
    properties = CommitProperties(app_transactions=[Transaction("tallybook-partition-0", 2)])
    write_deltalake(str(path), old, mode="append", commit_properties=properties)
    lake = DeltaLake(path)
    assert (lake.position(0), DeltaLake(path).position(0)) == (2, 2)
    before = rows(lake)
    assert before == rows_of(decode_blocks([block([1, 2])]))
    for position in range(3, SMALL_FILES_MAX + 5):
        lake.append([block([position])], partition=0, through=position)
    lake.compact()
    assert rows(lake)[: len(before)] == before
    assert [row.position for row in rows(lake)[::2]] == list(range(1, SMALL_FILES_MAX + 5))


def test_a_block_of_an_older_version_is_read_beside_newer_ones() -> None:
    """It waits in the database while the program is brought up to date."""
    stream = io.BytesIO()
    write_ipc_stream(decode_blocks([block([1])]).select(SCHEMA.names[:16]), stream, compression="ZSTD")
    assert rows_of(decode_blocks([stream.getvalue(), block([2])])) == rows_of(decode_blocks([block([1]), block([2])]))
