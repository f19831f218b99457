"""What the operators of an expression do to values: exact arithmetic, comparison, text, lists and lookups.

Numbers are `Decimal`; nothing here rounds but `divide_rounding`. What a rule looks like and how it becomes
Python is not here (see `expression` and `expression_compiler`).
"""

import decimal
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from itertools import pairwise

from msgspec import Struct

from tallybook.core.decimals import DECIMAL_TEXT, EXACT, ZERO, plain_text, within_quantity_bounds
from tallybook.core.errors import TallybookError

LIST_ITEMS_MAX = 1_000  # a list that one operator makes: `merge` of a list with itself doubles at every step
TEXT_CHARACTERS_MAX = 10_000  # a text that one operator makes: so does `cat`
ITERATIONS_MAX = 1_000  # elements that map, filter, reduce, all, some and none of one evaluation may visit together
DIVISION_DIGITS = 34  # significant digits of a quotient, those of IEEE 754 decimal128, unless the dividend has more

_DIVISION = Context(
    prec=DIVISION_DIGITS,
    Emax=999_999,
    Emin=-999_999,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.FloatOperation, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)


class Place(Struct, frozen=True):
    """Where in a rule: the operator, and the path to it from the root, such as `and[1].>`."""

    operator: str
    path: str


class ExpressionError(TallybookError):
    """A sound rule met values it cannot be evaluated on; another event or other data may succeed."""

    code = "EXPRESSION_FAILED"

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(f"{place.path}: {problem}")
        self.operator = place.operator
        self.place = place.path


class Budget:
    """The elements one evaluation may still visit; nested iterations would otherwise multiply without end."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = ITERATIONS_MAX

    def spend(self, place: Place, elements: int) -> None:
        self.left -= elements
        if self.left < 0:
            raise ExpressionError(place, f"visits more than {ITERATIONS_MAX} elements in all")


# ---- what a value is -------------------------------------------------------------------------------------------


def truthy(value: object) -> bool:
    """Say whether JSON Logic takes `value` as true: null, false, 0, "" and [] are not, an object always is."""
    return bool(value) or isinstance(value, dict)


def number_or_none(value: object) -> Decimal | None:
    """Read a number, or text that spells one; None for anything else, booleans too."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        return Decimal(value) if DECIMAL_TEXT.fullmatch(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return None


def number(place: Place, value: object) -> Decimal:
    """Read a number as `number_or_none` does; anything else is an `ExpressionError`."""
    found = number_or_none(value)
    if found is None:
        raise ExpressionError(place, f"needs a number, not {_described(value)}")
    return found


def is_number(value: object) -> bool:
    """Say whether `value` is a number already: text that spells one is not."""
    return isinstance(value, (Decimal, int)) and not isinstance(value, bool)


def _described(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {value[:40]!r}"
        case list() | tuple():
            return "an array"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


# ---- arithmetic ------------------------------------------------------------------------------------------------


def add(place: Place, *operands: object) -> Decimal:
    """Add exactly; nothing adds up to 0, and one operand is only read as a number."""
    total = ZERO
    for operand in operands:
        total = _exactly(place, EXACT.add, total, number(place, operand))
    return total


def multiply(place: Place, first: object, *others: object) -> Decimal:
    """Multiply exactly."""
    product = number(place, first)
    for operand in others:
        product = _exactly(place, EXACT.multiply, product, number(place, operand))
    return product


def subtract(place: Place, first: object, *second: object) -> Decimal:
    """Subtract exactly; with one operand, change its sign."""
    if not second:
        return _exactly(place, EXACT.subtract, ZERO, number(place, first))
    return _exactly(place, EXACT.subtract, number(place, first), number(place, second[0]))


def divide_rounding(place: Place, dividend: object, divisor: object) -> Decimal:
    """Divide, rounding half to even at `DIVISION_DIGITS` digits, or at as many as the dividend has if more."""
    upper, lower = number(place, dividend), number(place, divisor)
    if not lower:
        raise ExpressionError(place, "division by zero")
    digits = len(upper.as_tuple().digits)
    if digits <= DIVISION_DIGITS:
        return _exactly(place, _DIVISION.divide, upper, lower)
    wider = _DIVISION.copy()
    wider.prec = digits
    return _exactly(place, wider.divide, upper, lower)


def remainder(place: Place, dividend: object, divisor: object) -> Decimal:
    """What is left of the dividend after whole divisors; it has the sign of the dividend."""
    upper, lower = number(place, dividend), number(place, divisor)
    if not lower:
        raise ExpressionError(place, "division by zero")
    return _exactly(place, EXACT.remainder, upper, lower)


def minimum(place: Place, *operands: object) -> Decimal:
    """The smallest of the operands."""
    return min(number(place, operand) for operand in operands)


def maximum(place: Place, *operands: object) -> Decimal:
    """The largest of the operands."""
    return max(number(place, operand) for operand in operands)


def _exactly(place: Place, operation: Callable[[Decimal, Decimal], Decimal], left: Decimal, right: Decimal) -> Decimal:
    try:
        return operation(left, right)
    except ArithmeticError:  # every signal of `decimal` is one; a zero divisor was refused before
        raise ExpressionError(place, "the result has too many digits") from None


def bounded(place: Place, value: Decimal) -> Decimal:
    """Return `value` if it has no more digits than a quantity may have, else raise `ExpressionError`."""
    if not within_quantity_bounds(value):
        raise ExpressionError(place, "the result is too large, or has too many digits after the point")
    return value


# ---- comparison ------------------------------------------------------------------------------------------------


def less(_place: Place, *operands: object) -> bool:
    """Say whether the operands, two or three, strictly grow; false if any of them is not a number."""
    numbers = [number_or_none(operand) for operand in operands]
    return _ordered(numbers, lambda left, right: left < right)


def less_or_equal(_place: Place, *operands: object) -> bool:
    """Say whether the operands, two or three, never shrink; false if any of them is not a number."""
    numbers = [number_or_none(operand) for operand in operands]
    return _ordered(numbers, lambda left, right: left <= right)


def greater(place: Place, left: object, right: object) -> bool:
    """Say whether `left` is more than `right`; false if either is not a number."""
    return less(place, right, left)


def greater_or_equal(place: Place, left: object, right: object) -> bool:
    """Say whether `left` is at least `right`; false if either is not a number."""
    return less_or_equal(place, right, left)


def _ordered(numbers: Sequence[Decimal | None], holds: Callable[[Decimal, Decimal], bool]) -> bool:
    known = [value for value in numbers if value is not None]
    if len(known) < len(numbers):
        return False
    return all(holds(left, right) for left, right in pairwise(known))


def same(_place: Place, left: object, right: object) -> bool:
    """`===`: one type and one value, numbers by value. A list or an object is only the same as itself.

    As in JavaScript; it also keeps the cost constant, for a rule can make lists whose walk would never end.
    """
    if is_number(left) and is_number(right):
        return left == right
    if isinstance(left, (list, dict)) or isinstance(right, (list, dict)):
        return left is right
    return type(left) is type(right) and left == right


def equal(place: Place, left: object, right: object) -> bool:
    """`==`: as `===`, but text and booleans stand for numbers beside a number or a boolean; null equals only null."""
    if type(left) is type(right) or left is None or right is None:
        return same(place, left, right)
    first, second = _comparable(left), _comparable(right)
    return first is not None and second is not None and first == second


def _comparable(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return Decimal(int(value))
    if value == "":
        return ZERO
    return number_or_none(value)


def differs(place: Place, left: object, right: object) -> bool:
    """`!==`"""
    return not same(place, left, right)


def unequal(place: Place, left: object, right: object) -> bool:
    """`!=`"""
    return not equal(place, left, right)


def contains(place: Place, needle: object, haystack: object) -> bool:
    """`in`: an element of a list (as `===` sees it) or a part of a text; false for any other haystack."""
    if isinstance(haystack, list):
        return any(same(place, needle, item) for item in haystack)
    if isinstance(haystack, str) and (isinstance(needle, str) or is_number(needle)):
        return text_of(place, needle) in haystack
    return False


# ---- text and lists --------------------------------------------------------------------------------------------


def text_of(place: Place, value: object) -> str:
    """Write a text, number or boolean as text; a number without exponent and trailing zeros (1.0 is "1")."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    found = number_or_none(value)
    if found is None:
        raise ExpressionError(place, f"needs text, a number or a boolean, not {_described(value)}")
    return plain_text(bounded(place, found))


def cat(place: Place, *operands: object) -> str:
    """Join the operands as text."""
    joined = "".join(text_of(place, operand) for operand in operands)
    if len(joined) > TEXT_CHARACTERS_MAX:
        raise ExpressionError(place, f"makes a text of more than {TEXT_CHARACTERS_MAX} characters")
    return joined


def substr(place: Place, text: object, start: object, *length: object) -> str:
    """Cut from `start` (negative: from the end), `length` characters (negative: leave that many at the end)."""
    rest = text_of(place, text)[_whole(place, start) :]
    if not length or length[0] is None:
        return rest
    return rest[: _whole(place, length[0])]


def _whole(place: Place, value: object) -> int:
    found = number(place, value)
    if not -TEXT_CHARACTERS_MAX <= found <= TEXT_CHARACTERS_MAX or found != found.to_integral_value():
        raise ExpressionError(place, f"needs a whole number of at most {TEXT_CHARACTERS_MAX}")
    return int(found)


def merge(place: Place, *operands: object) -> list[object]:
    """Join lists, and single values, into one list."""
    items: list[object] = []
    for operand in operands:
        if isinstance(operand, list):
            items.extend(operand)
        else:
            items.append(operand)
        if len(items) > LIST_ITEMS_MAX:
            raise ExpressionError(place, f"makes a list of more than {LIST_ITEMS_MAX} items")
    return items


def log(_place: Place, value: object) -> object:
    """Return the value as it is; the core keeps no log."""
    return value


# ---- looking things up -----------------------------------------------------------------------------------------


def path_of(place: Place, name: object) -> tuple[str, ...]:
    """Split a variable's name into steps; none at all means the whole data."""
    if name is None or name == "":
        return ()
    if isinstance(name, str) or is_number(name):
        return tuple(text_of(place, name).split("."))
    raise ExpressionError(place, f"a variable's name is text, not {_described(name)}")


def find(data: object, path: tuple[str, ...], default: object) -> object:
    """Follow `path` through objects and lists; `default` where a step leads nowhere."""
    for step in path:
        if isinstance(data, Mapping) and step in data:
            data = data[step]
        elif isinstance(data, list) and _is_index(step) and int(step) < len(data):
            data = data[int(step)]
        else:
            return default
    return data


def _is_index(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10


def find_named(place: Place, data: object, name: object, default: object) -> object:
    """As `find`, for a name that is only known when the rule is evaluated."""
    return find(data, path_of(place, name), default)


def missing(place: Place, data: object, *names: object) -> list[object]:
    """List the names (operands, or the items of the first if it is a list) that lead to nothing, null or ""."""
    wanted = names[0] if names and isinstance(names[0], list) else names
    return [name for name in wanted if find_named(place, data, name, None) in (None, "")]


def missing_some(place: Place, data: object, needed: object, names: object) -> list[object]:
    """List the missing names, or nothing when at least `needed` of them are there."""
    wanted = names if isinstance(names, list) else [names]
    absent = missing(place, data, wanted)
    return [] if len(wanted) - len(absent) >= number(place, needed) else absent


# ---- visiting every element ------------------------------------------------------------------------------------

Visit = Callable[[object], object]


def map_items(place: Place, items: object, visit: Visit, budget: Budget) -> list[object]:
    """Visit every element, keeping the results; nothing for what is not a list."""
    return [visit(item) for item in _elements(place, items, budget)]


def filter_items(place: Place, items: object, visit: Visit, budget: Budget) -> list[object]:
    """Keep the elements whose visit is truthy; nothing for what is not a list."""
    return [item for item in _elements(place, items, budget) if truthy(visit(item))]


def all_items(place: Place, items: object, visit: Visit, budget: Budget) -> bool:
    """Say whether there is an element and every visit is truthy."""
    elements = _elements(place, items, budget)
    return bool(elements) and all(truthy(visit(item)) for item in elements)


def some_items(place: Place, items: object, visit: Visit, budget: Budget) -> bool:
    """Say whether any visit is truthy."""
    return any(truthy(visit(item)) for item in _elements(place, items, budget))


def none_items(place: Place, items: object, visit: Visit, budget: Budget) -> bool:
    """Say whether no visit is truthy."""
    return not some_items(place, items, visit, budget)


def reduce_items(place: Place, items: object, visit: Visit, initial: object, budget: Budget) -> object:
    """Visit `{"current": element, "accumulator": result so far}` from the first element to the last."""
    accumulator = initial
    for item in _elements(place, items, budget):
        accumulator = visit({"current": item, "accumulator": accumulator})
    return accumulator


def _elements(place: Place, items: object, budget: Budget) -> Sequence[object]:
    if not isinstance(items, list):
        return ()
    budget.spend(place, len(items))
    return items


def bounded_result(place: Place, value: object) -> object:
    """Return what a whole rule yields, if every number is within bounds and all lists together within theirs.

    A rule can nest a list in itself again and again; walked naively, the result would never end.
    """
    waiting, seen = [value], 0
    while waiting:
        item = waiting.pop()
        if isinstance(item, Decimal):
            bounded(place, item)
        elif isinstance(item, list):
            seen += len(item)
            if seen > ITERATIONS_MAX:
                raise ExpressionError(place, f"the result holds more than {ITERATIONS_MAX} items")
            waiting.extend(item)
    return value
