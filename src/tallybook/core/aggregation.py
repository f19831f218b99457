"""How the units of many events become one quantity, and what has to be remembered of each event for that.

COUNT and SUM need the sum of the units alone. The others need more than a sum, and keep a value for each event: a text
that goes into a multiset by hour, so that a value can be taken out again when its event is reverted. What a quantity
is never depends on the order in which events arrived.
"""

import hashlib
from collections.abc import Collection, Iterable
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import Protocol, assert_never

from msgspec import Struct

from tallybook.core.decimals import EXACT, QUANTITY_DIGITS_MAX, ZERO, plain_text, rounded_quotient

DISTINCT_CHARACTERS_MAX = 200  # no dimension's value is longer

Made = Decimal | str
"""What a meter makes of an event: its units. DISTINCT_COUNT makes the text it tells events apart by, worth 1 unit."""

DISTINCT_MARK = "~"
"""What the value of a DISTINCT_COUNT meter begins with; every other value sorts before it."""

_NEGATIVE, _POSITIVE, _AFTER_DIGITS = "N", "P", "~"
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_TIME_DIGITS = len("253370764800000000")  # microseconds since 1970, up to the year 9999


class Aggregation(StrEnum):
    """What a meter's events come to together. The interface has COUNT and SUM; the others are an extension."""

    COUNT = "COUNT"
    SUM = "SUM"
    MAX = "MAX"
    MIN = "MIN"
    AVERAGE = "AVERAGE"
    LATEST = "LATEST"
    DISTINCT_COUNT = "DISTINCT_COUNT"


ADDS_UP = frozenset({Aggregation.COUNT, Aggregation.SUM})
KEEPS_VALUES = frozenset({Aggregation.MAX, Aggregation.MIN, Aggregation.LATEST, Aggregation.DISTINCT_COUNT})


class Usage(Struct, frozen=True, kw_only=True):
    """What some events added to one meter: the exact sum of their units, their number, and the values they left.

    `values` are those of `KEEPS_VALUES`, each once; of MAX, MIN and LATEST the least and the greatest are enough.
    """

    units: Decimal = ZERO
    event_count: int = 0
    values: frozenset[str] = frozenset()


class UsageLike(Protocol):
    """Anything that has what `Usage` has."""

    @property
    def units(self) -> Decimal: ...
    @property
    def event_count(self) -> int: ...
    @property
    def values(self) -> Collection[str]: ...


class RunningQuantity:
    """The quantity of more and more events."""

    def __init__(self, aggregation: Aggregation) -> None:
        self._aggregation = aggregation
        self._units = ZERO
        self._event_count = 0
        self._values: set[str] = set()

    def add(self, usage: UsageLike) -> None:
        self._units = EXACT.add(self._units, usage.units)
        self._event_count += usage.event_count
        self._values.update(usage.values)
        match self._aggregation:
            case Aggregation.MAX | Aggregation.LATEST:
                self._values = {max(self._values)} if self._values else set()
            case Aggregation.MIN:
                self._values = {min(self._values)} if self._values else set()
            case _:
                pass

    def now(self) -> Decimal:
        """The quantity so far; of no events it is 0, whatever the aggregation.

        An AVERAGE is rounded as a division in a rule is. All others are exact.
        """
        match self._aggregation:
            case Aggregation.COUNT | Aggregation.SUM:
                return self._units
            case Aggregation.AVERAGE:
                return rounded_quotient(self._units, Decimal(self._event_count)) if self._event_count else ZERO
            case Aggregation.MAX | Aggregation.MIN:
                return _number_in(*self._values) if self._values else ZERO
            case Aggregation.LATEST:
                return Decimal(max(self._values).rpartition(" ")[2]) if self._values else ZERO
            case Aggregation.DISTINCT_COUNT:
                return Decimal(len(self._values))
            case _:
                assert_never(self._aggregation)


def quantity_of(aggregation: Aggregation, usages: Iterable[UsageLike]) -> Decimal:
    """The quantity that all of this usage of one meter comes to."""
    if aggregation in ADDS_UP:
        # Most meters, and a month of hours for each account of a bill run.
        return reduce(EXACT.add, (usage.units for usage in usages), ZERO)
    running = RunningQuantity(aggregation)
    for usage in usages:
        running.add(usage)
    return running.now()


def mark_of(usages: Iterable[Usage]) -> str:
    """A hash of the values of this usage: what a quantity was made of, in a size that an invoice can keep.

    SHA-256, in hexadecimal, over the values as sorted UTF-8 texts, each behind its length in bytes and a colon; empty
    when there are no values.
    """
    values = {value for usage in usages for value in usage.values}
    digest = hashlib.sha256()
    for value in sorted(value.encode() for value in values):
        digest.update(b"%d:%b" % (len(value), value))
    return digest.hexdigest() if values else ""


def units_of(made: Made) -> Decimal:
    """What an event adds to the sum of its meter's units."""
    return made if isinstance(made, Decimal) else _ONE


def value_of(aggregation: Aggregation, made: Made, *, event_time: int, event_key: bytes) -> str | None:
    """The value to remember of an event; None where the sum of units is enough.

    `event_time` is in microseconds since 1970; `event_key` tells events of one instant apart.
    """
    match aggregation:
        case Aggregation.COUNT | Aggregation.SUM | Aggregation.AVERAGE:
            return None
        case Aggregation.DISTINCT_COUNT:
            return DISTINCT_MARK + (made if isinstance(made, str) else plain_text(made))
        case Aggregation.LATEST:
            return f"{event_time:0{_TIME_DIGITS}} {event_key.hex()} {plain_text(units_of(made))}"
        case Aggregation.MAX | Aggregation.MIN:
            return _sortable(units_of(made))
        case _:
            assert_never(aggregation)


def _sortable(number: Decimal) -> str:
    """Text that sorts as the numbers do: a mark for the sign, the digits before the point counted, the plain number.

    Of a negative number all digits are complemented, and the end sorts behind digits: -1.5 is before -1.
    """
    text = plain_text(number)
    digits = text.removeprefix("-")
    before_point = len(digits.partition(".")[0])
    assert before_point <= QUANTITY_DIGITS_MAX, "units are within bounds"
    counted = f"{before_point:03}{digits}"
    if text == digits:
        return _POSITIVE + counted
    return _NEGATIVE + counted.translate(_COMPLEMENT) + _AFTER_DIGITS


def _number_in(sortable: str) -> Decimal:
    """The number that `_sortable` wrote."""
    if sortable.startswith(_POSITIVE):
        return Decimal(sortable[4:])
    return Decimal("-" + sortable[4:].removesuffix(_AFTER_DIGITS).translate(_COMPLEMENT))


_ONE = Decimal(1)
