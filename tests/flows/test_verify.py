"""`verify usage` finds what is wrong: a digit, a row, a count; and says that all is well when it is."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook import assembly
from tallybook.core.credential import Scope
from tallybook.core.decimals import EXACT
from tallybook.storage import tables
from tallybook.storage.blocks import BlockStore
from tallybook.storage.lake import DeltaLake


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    """Twelve events in the lake, five in a block and three in progress; one is a repeat, one of no account."""
    made = Embedded(tmp_path)
    with made.caller() as client:
        caller = Caller(client, made.authenticator, ORGANISATION, Scope.ADMIN)
        samples.active_meter(caller)
        caller.post("/customers", samples.customer())
        caller.post("/accounts", samples.account())
    made.send(*(event(f"e{number}", attributes=distance(number)) for number in range(10)), event("e1"), event("e2"))
    made.meter()
    made.archive_everything()
    made.send(*(event(f"f{number}") for number in range(4)), event("f5", accountId="ghost"))
    made.meter()
    made.send(event("g1"), event("g2"), event("g3"))
    yield made
    made.close()


def test_all_is_well(embedded: Embedded) -> None:
    """Accepted = with a verdict + in progress, and nothing differs; before and after everything is metered."""
    found = embedded.verified()
    assert (found.accepted, found.in_progress, sum(found.by_status.values())) == (20, 3, 17)
    assert found.differences == []
    embedded.meter()
    embedded.archive_everything()
    found = embedded.verified()
    assert (found.accepted, found.in_progress, found.differences) == (20, 0, [])


def test_a_changed_digit_in_usage_is_found(embedded: Embedded) -> None:
    """However small it is; the message names the place and both sums."""
    with embedded.database.write() as connection:
        [(units,)] = connection.execute(tables.usage.select().with_only_columns(tables.usage.c.units)).all()
        connection.execute(tables.usage.update().values(units=EXACT.add(units, Decimal("1e-30"))))
    [difference] = embedded.verified().differences
    assert "usage" in difference
    assert "a1" in difference
    assert "000000000000000001" in difference


def test_a_missing_and_an_added_usage_row_are_found(embedded: Embedded) -> None:
    """Rows add up to something where nothing is stored, and the other way round."""
    with embedded.database.write() as connection:
        connection.execute(tables.usage.update().values(meter_id="um.other"))
    assert len(embedded.verified().differences) == 2


def test_a_wrong_number_of_events_in_usage_is_found(embedded: Embedded) -> None:
    """Though the units are right."""
    with embedded.database.write() as connection:
        connection.execute(tables.usage.update().values(event_count=tables.usage.c.event_count + 1))
    assert len(embedded.verified().differences) == 1


def test_a_doubled_lake_row_is_found(embedded: Embedded) -> None:
    """A piece appended twice: rows, usage and counts all say so."""
    before = embedded.verified()
    block = BlockStore(embedded.database).all(assembly.PARTITION)[0]
    lake = DeltaLake(embedded.settings.lake_path)
    for _ in range(2):
        lake.append([block.rows], partition=assembly.PARTITION, through=block.last_position)
    found = embedded.verified()
    assert before.differences == []
    assert any(f"log position {block.first_position}: 10 rows" in difference for difference in found.differences)
    assert any("usage" in difference for difference in found.differences)


def test_a_missing_count_is_found(embedded: Embedded) -> None:
    """A status of which nothing is counted: the rows say otherwise, and accepted does not balance."""
    ghost = tables.event_count.c.account_id == "ghost"
    with embedded.database.write() as connection:
        assert connection.execute(tables.event_count.delete().where(ghost)).rowcount == 1
    differences = embedded.verified().differences
    assert len(differences) == 2
    assert "ACCOUNT_NOT_FOUND" in differences[0]
    assert "accepted 20, with a verdict 16, in progress 3" in differences[1]


def test_a_lost_block_is_found(embedded: Embedded) -> None:
    """Rows that are in neither the database nor the lake."""
    with embedded.database.write() as connection:
        connection.execute(tables.event_block.delete())
    assert any("usage" in difference for difference in embedded.verified().differences)


def test_a_lost_log_record_is_found(embedded: Embedded) -> None:
    """Accepted, and neither metered nor waiting."""
    embedded.log.trim(through=embedded.log.last_position())
    [difference] = embedded.verified().differences
    assert "accepted 20, with a verdict 17, in progress 0" in difference
