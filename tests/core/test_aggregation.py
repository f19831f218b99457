"""Aggregations: expected quantities by hand; that order and hours do not matter is a law of its own."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallybook.core.aggregation import Aggregation, Made, RunningQuantity, Usage, quantity_of, units_of, value_of

KEY = bytes(range(16))
QUANTITIES = st.from_regex(r"-?[0-9]{1,50}(\.[0-9]{1,50})?", fullmatch=True).map(Decimal) | st.sampled_from(
    [Decimal(text) for text in ("0", "-0", "0.0", "1", "-1", "-1.0", "-1.5", "10", "-10", "0.9", "1E+511", "1E-512")]
)


def usage(aggregation: Aggregation, *made: Made, at: int = 0, key: bytes = KEY) -> Usage:
    """The usage of events that happened one microsecond after the other."""
    values = (value_of(aggregation, each, event_time=at + index, event_key=key) for index, each in enumerate(made))
    return Usage(
        units=sum(map(units_of, made), Decimal(0)),
        event_count=len(made),
        values=frozenset(value for value in values if value is not None),
    )


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("COUNT", "18.5"),  # the sum of units, which a COUNT meter makes 1 each
        ("SUM", "18.5"),
        ("MAX", "20"),
        ("MIN", "-4"),
        ("AVERAGE", "4.625"),
        ("LATEST", "2.50"),
        ("DISTINCT_COUNT", "4"),
    ],
)
def test_each_aggregation_of_four_events(aggregation: str, expected: str) -> None:
    """-4, 20, 0 and 2.50, in this order of event time: their sum is 18.5, a quarter of it 4.625."""
    made = [Decimal(text) for text in ("-4", "20", "0", "2.50")]
    kind = Aggregation(aggregation)
    each = [usage(kind, one, at=index) for index, one in enumerate(made)]
    counted = [Usage(units=one, event_count=1, values=part.values) for one, part in zip(made, each, strict=True)]
    assert quantity_of(kind, counted) == Decimal(expected)


@pytest.mark.parametrize("aggregation", Aggregation)
def test_no_events_come_to_nothing(aggregation: Aggregation) -> None:
    """0 is what an invoice can price."""
    assert quantity_of(aggregation, []) == 0
    assert quantity_of(aggregation, [Usage()]) == 0


def test_an_average_has_thirty_four_digits() -> None:
    """A third, and two thirds rounded up at the last digit; a quotient that ends is exact."""
    assert str(quantity_of(Aggregation.AVERAGE, [Usage(units=Decimal(1), event_count=3)])) == "0." + "3" * 34
    assert str(quantity_of(Aggregation.AVERAGE, [Usage(units=Decimal(2), event_count=3)])) == "0." + "6" * 33 + "7"
    long = Decimal("1" * 60 + ".25")
    assert quantity_of(Aggregation.AVERAGE, [Usage(units=long, event_count=1)]) == long


def test_the_latest_is_the_latest_by_event_time() -> None:
    """However late it arrived; of two at one instant always the same one, whatever the order."""
    late = usage(Aggregation.LATEST, Decimal(7), at=253_370_764_799_999_999)
    early = usage(Aggregation.LATEST, Decimal(9), at=5)
    assert quantity_of(Aggregation.LATEST, [late, early]) == quantity_of(Aggregation.LATEST, [early, late]) == 7
    other = usage(Aggregation.LATEST, Decimal(8), at=5, key=bytes(16))
    found = {quantity_of(Aggregation.LATEST, pair) for pair in ([early, other], [other, early])}
    assert len(found) == 1


def test_distinct_texts_and_numbers() -> None:
    """Text is told apart as it is, numbers by their value; equal ones in different hours count once."""
    assert quantity_of(Aggregation.DISTINCT_COUNT, [usage(Aggregation.DISTINCT_COUNT, "a", "A", "a", " a", "")]) == 4
    numbers = [usage(Aggregation.DISTINCT_COUNT, Decimal("1.0")), usage(Aggregation.DISTINCT_COUNT, Decimal(1))]
    assert quantity_of(Aggregation.DISTINCT_COUNT, numbers) == 1


@pytest.mark.parametrize("aggregation", [Aggregation.COUNT, Aggregation.SUM, Aggregation.AVERAGE])
def test_what_needs_a_sum_only_keeps_no_values(aggregation: Aggregation) -> None:
    """The interface's own aggregations cost no rows beyond usage."""
    assert value_of(aggregation, Decimal(5), event_time=1, event_key=KEY) is None


@given(numbers=st.lists(QUANTITIES, min_size=1, max_size=8))
def test_the_text_of_a_number_sorts_as_the_number_does(numbers: list[Decimal]) -> None:
    """So that the database can find the least and the greatest by comparing bytes; and it reads back to the value."""
    for kind, expected in ((Aggregation.MAX, max), (Aggregation.MIN, min)):
        assert quantity_of(kind, [usage(kind, *numbers)]) == expected(numbers)
    texts = [(value_of(Aggregation.MAX, each, event_time=0, event_key=KEY) or "", each) for each in numbers]
    assert [number for _, number in sorted(texts)] == sorted(numbers)


@given(
    aggregation=st.sampled_from(Aggregation),
    numbers=st.lists(st.integers(-3, 3).map(Decimal), max_size=8),
    shuffled=st.randoms(use_true_random=False),
)
def test_a_quantity_does_not_depend_on_the_order_of_its_parts(
    aggregation: Aggregation, numbers: list[Decimal], shuffled: Random
) -> None:
    """One by one, in any order, and at once: the same."""
    parts = [usage(aggregation, number, at=index) for index, number in enumerate(numbers)]
    expected = quantity_of(aggregation, [usage(aggregation, *numbers)])
    shuffled.shuffle(parts)
    running = RunningQuantity(aggregation)
    for part in parts:
        running.add(part)
    assert running.now() == expected
