"""What the operators of the `exact` dialect do to values: arithmetic, comparison, text and lists.

Numbers are `Decimal`; nothing here rounds but `divide_rounding`. Dates are in `expression_dates`, variables and visits
of every element in `expression_lookup`, the `togai` dialect in `expression_togai`. What a rule looks like and how it
becomes Python is in `expression` and `expression_compiler`.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise

from msgspec import Struct

from tallybook.core.decimals import DECIMAL_TEXT, EXACT, ZERO, plain_text, rounded_quotient, within_quantity_bounds
from tallybook.core.errors import TallybookError
from tallybook.core.moment import Moment, moment_from_text

LIST_ITEMS_MAX = 1_000  # a list that one operator makes: `merge` of a list with itself doubles at every step
TEXT_CHARACTERS_MAX = 10_000  # a text that one operator makes: so does `cat`
ITEMS_WALKED_MAX = 1_000  # items that one comparison, or one result with all its lists, may have together


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
        raise ExpressionError(place, f"needs a number, not {described(value)}")
    return found


def is_number(value: object) -> bool:
    """Say whether `value` is a number already: text that spells one is not."""
    return isinstance(value, (Decimal, int)) and not isinstance(value, bool)


def described(value: object) -> str:
    """Say what a value is, for a message."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {value[:40]!r}"
        case Decimal():
            return f"the number {str(value)[:40]}"
        case Moment():
            return f"the date {value}"
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
        total = exactly(place, EXACT.add, total, number(place, operand))
    return total


def multiply(place: Place, first: object, *others: object) -> Decimal:
    """Multiply exactly."""
    product = number(place, first)
    for operand in others:
        product = exactly(place, EXACT.multiply, product, number(place, operand))
    return product


def subtract(place: Place, first: object, *second: object) -> Decimal:
    """Subtract exactly; with one operand, change its sign."""
    if not second:
        return exactly(place, EXACT.subtract, ZERO, number(place, first))
    return exactly(place, EXACT.subtract, number(place, first), number(place, second[0]))


def divide_rounding(place: Place, dividend: object, divisor: object) -> Decimal:
    """Divide, rounding as `rounded_quotient` does."""
    upper, lower = number(place, dividend), number(place, divisor)
    if not lower:
        raise ExpressionError(place, "division by zero")
    return exactly(place, rounded_quotient, upper, lower)


def remainder(place: Place, dividend: object, divisor: object) -> Decimal:
    """What is left of the dividend after whole divisors; it has the sign of the dividend."""
    upper, lower = number(place, dividend), number(place, divisor)
    if not lower:
        raise ExpressionError(place, "division by zero")
    return exactly(place, EXACT.remainder, upper, lower)


def minimum(place: Place, *operands: object) -> Decimal:
    """The smallest of the operands."""
    return min(number(place, operand) for operand in operands)


def maximum(place: Place, *operands: object) -> Decimal:
    """The largest of the operands."""
    return max(number(place, operand) for operand in operands)


def exactly(place: Place, operation: Callable[[Decimal, Decimal], Decimal], left: Decimal, right: Decimal) -> Decimal:
    """Call a method of `EXACT`; where it would lose a digit, raise `ExpressionError`."""
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
    """Say whether the operands, two or three, strictly grow; false unless all are numbers, or all are dates."""
    ranks = _ranks(operands)
    return bool(ranks) and all(left < right for left, right in pairwise(ranks))


def less_or_equal(_place: Place, *operands: object) -> bool:
    """Say whether the operands, two or three, never shrink; false unless all are numbers, or all are dates."""
    ranks = _ranks(operands)
    return bool(ranks) and all(left <= right for left, right in pairwise(ranks))


def greater(place: Place, left: object, right: object) -> bool:
    """Say whether `left` is more than `right`; false unless both are numbers, or both are dates."""
    return less(place, right, left)


def greater_or_equal(place: Place, left: object, right: object) -> bool:
    """Say whether `left` is at least `right`; false unless both are numbers, or both are dates."""
    return less_or_equal(place, right, left)


def _ranks(operands: Sequence[object]) -> Sequence[Decimal]:
    """Numbers by which operands compare, none if they do not: numbers are their own, dates have their instant."""
    numbers = [found for operand in operands if (found := number_or_none(operand)) is not None]
    if len(numbers) == len(operands):
        return numbers
    dates = [operand for operand in operands if isinstance(operand, Moment)]
    return [Decimal(date.instant_ns) for date in dates] if len(dates) == len(operands) else ()


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
    """`==`: as `===`, but text and booleans stand for numbers beside a number or a boolean; null equals only null.

    A date equals whatever names the same instant: another date, or text.
    """
    if type(left) is type(right) and not isinstance(left, Moment):
        return same(place, left, right)
    if left is None or right is None:
        return False
    if isinstance(left, Moment) or isinstance(right, Moment):
        first_date, second_date = date_or_none(left), date_or_none(right)
        return first_date is not None and second_date is not None and first_date.instant_ns == second_date.instant_ns
    first, second = _comparable(left), _comparable(right)
    return first is not None and second is not None and first == second


def date_or_none(value: object) -> Moment | None:
    """Read a date, or text that spells one, its offset with or without a colon; None for anything else."""
    if isinstance(value, str):
        return moment_from_text(value, colonless_offset=True)
    return value if isinstance(value, Moment) else None


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
        return found_in(haystack, needle, lambda item: same(place, needle, item))
    if isinstance(haystack, str) and (isinstance(needle, str) or is_number(needle)):
        return text_of(place, needle) in haystack
    return False


def found_in(items: list[object], needle: object, is_needle: Callable[[object], bool]) -> bool:
    """Say whether any item is the needle. Python's own search, which sees more alike, sorts out most lists first."""
    if not isinstance(needle, (list, dict)) and needle not in items:
        return False
    return any(is_needle(item) for item in items)


# ---- text and lists --------------------------------------------------------------------------------------------


def text_of(place: Place, value: object) -> str:
    """Write a text, number, boolean or date as text; a number without exponent and trailing zeros (1.0 is "1")."""
    if isinstance(value, str):
        return value
    if isinstance(value, Moment):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    found = number_or_none(value)
    if found is None:
        raise ExpressionError(place, f"needs text, a number or a boolean, not {described(value)}")
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
            if seen > ITEMS_WALKED_MAX:
                raise ExpressionError(place, f"the result holds more than {ITEMS_WALKED_MAX} items")
            waiting.extend(item)
    return value
