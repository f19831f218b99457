"""Usage of many accounts, added up by spans of hours, against the rows themselves."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tallybook.core.aggregation import Aggregation, Usage, quantity_of, value_of
from tallybook.storage import tables
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.usage_sums import SummedUsage, usage_sums

HUGE = "123456789012345678901234567890.000000000000000000000000000001"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


def use(
    database: Database, account_id: str, meter_id: str, hour: int, units: str, *values: str, org: str = "o"
) -> None:
    place = {"organisation_id": org, "account_id": account_id, "meter_id": meter_id, "event_hour": hour}
    with database.write() as connection:
        connection.execute(tables.usage.insert().values(**place, units=Decimal(units), event_count=2))
        for value in values:
            connection.execute(tables.usage_value.insert().values(**place, value=value, event_count=1))


def sums(database: Database, *edges: int, valued: tuple[str, ...] = ()) -> SummedUsage:
    with database.read() as connection:
        return usage_sums(
            connection,
            "o",
            account_ids=["a", "b"],
            meter_ids=["m", "n"],
            valued_meter_ids=valued,
            edges=edges,
        )


def test_sums_are_exact(database: Database) -> None:
    """Whole numbers, fractions, and numbers that no machine word holds, below zero too."""
    for hour, units in enumerate(("1", "20", HUGE, "-0.5", "0")):
        use(database, "a", "m", 100 + hour, units)
    use(database, "b", "m", 100, "7")
    use(database, "b", "m", 101, "-9223372036854775808")
    found = sums(database, 100, 200)
    exact = "123456789012345678901234567910.500000000000000000000000000001"
    assert found["a"]["m"][0] == Usage(units=Decimal(exact), event_count=10)
    assert found["b"]["m"][0].units == Decimal("-9223372036854775801")


def test_spans_are_half_open(database: Database) -> None:
    """An hour on an edge belongs to the span that it begins; what lies outside is not read; empty places are absent."""
    for hour in (99, 100, 109, 110, 119, 120):
        use(database, "a", "m", hour, str(hour))
    use(database, "b", "n", 115, "1")
    found = sums(database, 100, 110, 120)
    assert {span: usage.units for span, usage in found["a"]["m"].items()} == {0: 209, 1: 229}
    assert found["b"] == {"n": {1: Usage(units=Decimal(1), event_count=2)}}


def test_only_what_is_asked_for_is_read(database: Database) -> None:
    """Other accounts, other meters and other organisations stay out."""
    use(database, "c", "m", 100, "1")
    use(database, "a", "other", 100, "1")
    use(database, "a", "m", 100, "1", org="p")
    assert sums(database, 0, 1000) == {}


def test_values_come_with_the_sums(database: Database) -> None:
    """Of MAX the extremes of the span, of DISTINCT_COUNT each value once; and none for meters that keep none."""

    def greatest(number: str) -> str:
        value = value_of(Aggregation.MAX, Decimal(number), event_time=0, event_key=b"")
        assert value is not None
        return value

    for hour, number in ((100, "5"), (101, "-3"), (102, "4")):
        use(database, "a", "m", hour, number, greatest(number))
        use(database, "a", "n", hour, "1", "~same", f"~{hour}")
    found = sums(database, 100, 200, valued=("m", "n"))["a"]
    assert quantity_of(Aggregation.MAX, [found["m"][0]]) == 5
    assert quantity_of(Aggregation.DISTINCT_COUNT, [found["n"][0]]) == 4
    assert sums(database, 100, 200)["a"]["m"][0].values == frozenset()
