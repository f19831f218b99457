"""What the operators of the `togai` dialect do: the same as Togai's own engine, its oddities included.

Whoever moves over with their rules gets the bills they had. The engine is a fork of json-logic-java on `BigDecimal`:
arithmetic on what is no number is null, a number carries its scale (1 and 1.0 differ), `/` has four places, an operator
takes as many operands as it likes and ignores the rest, and a list that is the only operand stands for the operands.
What it leaves to Java's memory has the bounds of the `exact` dialect here. Variables and visits of lists are in
`expression_togai_lookup`, dates in `expression_togai_dates`.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from tallybook.core.decimals import EXACT, QUANTITY_DIGITS_MAX, within_quantity_bounds
from tallybook.core.expression_functions import (
    ITEMS_WALKED_MAX,
    TEXT_CHARACTERS_MAX,
    ExpressionError,
    Place,
    bounded,
    described,
    exactly,
    found_in,
    is_number,
    truthy,
)
from tallybook.core.moment import Moment, moment_from_text

DIVISION_PLACES = 4
LISTS_WITHIN_LISTS_MAX = 32  # in a list that is written as text; as deep as a rule may nest

_NUMBER_TEXT = re.compile(
    rf"[+-]?(?:[0-9]{{1,{2 * QUANTITY_DIGITS_MAX}}}(?:\.[0-9]{{0,{QUANTITY_DIGITS_MAX}}})?"
    rf"|\.[0-9]{{1,{QUANTITY_DIGITS_MAX}}})(?:[eE][+-]?[0-9]{{1,9}})?"
)
_ONE_UNIT = Decimal(1).scaleb(-DIVISION_PLACES)


def number_or_none(place: Place, value: object) -> Decimal | None:
    """Read a number, or text that spells one as Java reads it: a plus, an exponent and a lone point are allowed."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value):
        found = Decimal(value)
        if not within_quantity_bounds(found):
            raise ExpressionError(place, f"the number {value[:40]} is out of bounds")
        return found
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return None


def _numbers(place: Place, operands: Sequence[object]) -> list[Decimal]:
    """The operands as numbers; none at all if one of them is no number."""
    found = [number for operand in operands if (number := number_or_none(place, operand)) is not None]
    return found if len(found) == len(operands) else []


def _count(place: Place, operands: Sequence[object], least: int, most: int) -> None:
    """A list may have spread into any number of operands, so the rule's text does not tell."""
    if not least <= len(operands) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise ExpressionError(place, f"takes {wanted} operands, found {len(operands)}")


# ---- arithmetic ------------------------------------------------------------------------------------------------


def add(place: Place, *operands: object) -> Decimal | None:
    """Add; null without operands, or if one is no number. A lone text that is no number is an error."""
    numbers = _numbers(place, operands)
    if not numbers and len(operands) == 1 and isinstance(operands[0], str):
        raise ExpressionError(place, f"needs a number, not {described(operands[0])}")
    return _combined(place, EXACT.add, numbers)


def multiply(place: Place, *operands: object) -> Decimal | None:
    """Multiply; null as `add` has it."""
    return _combined(place, EXACT.multiply, _numbers(place, operands))


def subtract(place: Place, *operands: object) -> Decimal | None:
    """Take the second from the first. A lone number changes its sign; a lone text is read as a number and does not."""
    if len(operands) == 1 and is_number(operands[0]):
        return EXACT.minus(_numbers(place, operands)[0])
    return _combined(place, EXACT.subtract, _numbers(place, operands)[:2])


def divide(place: Place, *operands: object) -> Decimal | None:
    """Divide the first by the second, rounding half up at four places, which are always there; null for one operand."""
    numbers = _numbers(place, operands)[:2]
    if len(numbers) < 2:
        return None
    _refuse_zero(place, numbers[1])
    return exactly(place, _quotient, numbers[0], numbers[1])


def remainder(place: Place, *operands: object) -> Decimal | None:
    """What is left of the first after whole seconds; it has the sign of the first."""
    numbers = _numbers(place, operands)[:2]
    if len(numbers) == 2:
        _refuse_zero(place, numbers[1])
    return _combined(place, _remainder, numbers)


def minimum(place: Place, *operands: object) -> Decimal | None:
    """The smallest; null as `add` has it."""
    return min(_numbers(place, operands), default=None)


def maximum(place: Place, *operands: object) -> Decimal | None:
    """The largest; null as `add` has it."""
    return max(_numbers(place, operands), default=None)


def _combined(
    place: Place, operation: Callable[[Decimal, Decimal], Decimal], numbers: Sequence[Decimal]
) -> Decimal | None:
    if not numbers:
        return None
    result = numbers[0]
    for number in numbers[1:]:
        result = exactly(place, operation, result, number)
    return result


def _refuse_zero(place: Place, divisor: Decimal) -> None:
    if not divisor:
        raise ExpressionError(place, "division by zero")


def _quotient(dividend: Decimal, divisor: Decimal) -> Decimal:
    scaled = EXACT.scaleb(dividend, DIVISION_PLACES)
    whole, rest = EXACT.divmod(scaled, divisor)
    if EXACT.multiply(rest.copy_abs(), Decimal(2)) >= divisor.copy_abs():
        whole = EXACT.add(whole, Decimal(1 if dividend.is_signed() == divisor.is_signed() else -1))
    return EXACT.quantize(EXACT.scaleb(whole, -DIVISION_PLACES), _ONE_UNIT)


def _remainder(dividend: Decimal, divisor: Decimal) -> Decimal:
    """The scale is that of `BigDecimal`: whole zeros at the end of the quotient take places away from the result."""
    if dividend.copy_abs() < divisor.copy_abs():
        return dividend
    whole, rest = EXACT.divmod(dividend, divisor)
    scale, divisor_scale = _scale(dividend), _scale(divisor)
    digits = str(abs(int(whole)))
    zeros = len(digits) - len(digits.rstrip("0"))
    quotient_scale = max(scale - divisor_scale, -zeros)
    return EXACT.quantize(rest, Decimal(1).scaleb(-max(scale, quotient_scale + divisor_scale)))


def _scale(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "numbers are finite"
    return -exponent


# ---- comparison ------------------------------------------------------------------------------------------------


def less(place: Place, *operands: object) -> bool:
    """Say whether two or three numbers strictly grow; false if any of them is none, dates too."""
    return _ordered(place, operands, lambda left, right: left < right)


def less_or_equal(place: Place, *operands: object) -> bool:
    """Say whether two or three numbers never shrink."""
    return _ordered(place, operands, lambda left, right: left <= right)


def greater(place: Place, *operands: object) -> bool:
    """Say whether the first number is more than the second."""
    _count(place, operands, 2, 2)
    return _ordered(place, operands, lambda left, right: left > right)


def greater_or_equal(place: Place, *operands: object) -> bool:
    """Say whether the first number is at least the second."""
    _count(place, operands, 2, 2)
    return _ordered(place, operands, lambda left, right: left >= right)


def _ordered(place: Place, operands: Sequence[object], holds: Callable[[Decimal, Decimal], bool]) -> bool:
    _count(place, operands, 2, 3)
    numbers = _numbers(place, operands)
    return bool(numbers) and all(map(holds, numbers, numbers[1:]))


def equal(place: Place, *operands: object) -> bool:
    """`==`: numbers with their scale; text beside a number or a date by value; else JavaScript's table, more or less.

    What no row of the table names is equal if both are false, such as `[]` and `""`, or `[]` and `[]`.
    """
    _count(place, operands, 2, 2)
    left, right = operands
    match left, right:
        case (None, _) | (_, None):
            return left is right
        case (Moment(), Moment() | str()) | (str(), Moment()):
            return _one_instant(left, right)
        case (bool(), bool()) | (str(), str()):
            return left == right
        case (bool(), str()) | (str(), bool()):
            return truthy(left) is truthy(right)
        case (bool(), Decimal()) | (Decimal(), bool()):
            return same_digits(place, _zero_or_one(left), _zero_or_one(right))
        case (Decimal(), Decimal()):
            return same_digits(place, left, right)
        case (Decimal() as number, str() as text) | (str() as text, Decimal() as number):
            return number_or_none(place, text if text.strip() else "0") == number
        case _:
            return not truthy(left) and not truthy(right)


def unequal(place: Place, *operands: object) -> bool:
    """`!=`"""
    return not equal(place, *operands)


def same(place: Place, *operands: object) -> bool:
    """`===`: numbers by value, everything else as `same_digits`."""
    _count(place, operands, 2, 2)
    left, right = operands
    return left == right if is_number(left) and is_number(right) else same_digits(place, left, right)


def differs(place: Place, *operands: object) -> bool:
    """`!==`"""
    return not same(place, *operands)


def same_digits(place: Place, left: object, right: object) -> bool:
    """As Java's `equals`: one type and one value, numbers of one scale, dates of one offset, lists item by item.

    Objects never are: no rule can make two.
    """
    waiting, seen = [(left, right)], 0
    while waiting:
        first, second = waiting.pop()
        seen += 1
        if seen > ITEMS_WALKED_MAX:
            raise ExpressionError(place, f"compares more than {ITEMS_WALKED_MAX} items")
        if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
            waiting.extend(zip(first, second, strict=True))
        elif isinstance(first, Decimal) and isinstance(second, Decimal):
            if first != second or _scale(first) != _scale(second):
                return False
        elif isinstance(first, dict) or type(first) is not type(second) or first != second:
            return False
    return True


def contains(place: Place, *operands: object) -> bool:
    """`in`: an item of a list (as `same_digits` sees it), or a part of a text; only two operands matter."""
    if len(operands) < 2:
        return False
    needle, haystack = operands[:2]
    if isinstance(haystack, str):
        return text_of(place, needle) in haystack
    return isinstance(haystack, list) and found_in(haystack, needle, lambda item: same_digits(place, item, needle))


def _zero_or_one(value: object) -> object:
    return Decimal(int(value)) if isinstance(value, bool) else value


def _one_instant(left: object, right: object) -> bool:
    first, second = _date_or_none(left), _date_or_none(right)
    return first is not None and second is not None and first.instant_ns == second.instant_ns


def _date_or_none(value: object) -> Moment | None:
    if isinstance(value, str):
        return moment_from_text(value.strip(), colonless_offset=False)
    return value if isinstance(value, Moment) else None


# ---- truth, text and lists -------------------------------------------------------------------------------------


def is_true(_place: Place, *operands: object) -> bool:
    """`!!`: of the first operand; false without one."""
    return bool(operands) and truthy(operands[0])


def is_false(place: Place, *operands: object) -> bool:
    """`!`"""
    return not is_true(place, *operands)


def text_of(place: Place, value: object) -> str:
    """Write a value as Java's `toString` does: numbers with their scale, lists as `[a, b]`; null is an error."""
    if value is None:
        raise ExpressionError(place, "needs text, not null")
    return _java_text(place, value, LISTS_WITHIN_LISTS_MAX)


def _java_text(place: Place, value: object, lists: int) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str() | Moment() | int():
            return str(value)
        case Decimal():
            return str(bounded(place, value) if value else value.copy_abs())
        case list() if lists:
            return _limited(place, f"[{', '.join(_java_text(place, item, lists - 1) for item in value)}]")
        case _:
            raise ExpressionError(place, f"needs text, not {described(value)}")


def cat(place: Place, *operands: object) -> str:
    """Join the operands as text; a number that ends in `.0` loses that, and all of it beyond 32 bits."""
    return _limited(place, "".join(_joined(place, operand) for operand in operands))


def _joined(place: Place, value: object) -> str:
    text = text_of(place, value)
    return str(int_of_32_bits(int(value))) if isinstance(value, Decimal) and text.endswith(".0") else text


def _limited(place: Place, text: str) -> str:
    if len(text) > TEXT_CHARACTERS_MAX:
        raise ExpressionError(place, f"makes a text of more than {TEXT_CHARACTERS_MAX} characters")
    return text


def int_of_32_bits(value: int) -> int:
    """The low 32 bits, as Java's `int` has them."""
    return (value + 2**31) % 2**32 - 2**31


def substr(place: Place, *operands: object) -> str:
    """Cut a text, counting in UTF-16; a start or a length that leaves the text is an error, or yields nothing."""
    _count(place, operands, 2, 3)
    units = text_of(place, operands[0]).encode("utf-16-le")
    start, end = _cut(len(units) // 2, *(_position(place, each) for each in operands[1:]))
    if not 0 <= start <= end:
        raise ExpressionError(place, f"starts at {start}, outside the text")
    try:
        return units[2 * start : 2 * end].decode("utf-16-le")
    except UnicodeDecodeError:
        raise ExpressionError(place, "cuts a character in half") from None


def _cut(characters: int, start: int, length: int | None = None) -> tuple[int, int]:
    """From where to where: nothing where the engine yields nothing; a start outside the text is left as it is."""
    first = start + characters if start < 0 else start
    if length is None:
        return (first, characters) if first >= 0 else (0, 0)
    end = characters + length if length < 0 else first + length
    return (first, end) if first <= end <= characters else (0, 0)


def _position(place: Place, value: object) -> int:
    if not isinstance(value, Decimal):
        raise ExpressionError(place, f"needs a number, not {described(value)}")
    return int_of_32_bits(int(value))


def log(place: Place, *operands: object) -> object:
    """Return the first operand as it is; the core keeps no log."""
    _count(place, operands[:1], 1, 1)
    return operands[0]
