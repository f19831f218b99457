"""A rule: JSON Logic text read into a checked tree, and the table of operators it may use.

Decoding, the limits and every check that needs no values live here; what operators do is in
`expression_functions`, turning the tree into Python is in `expression_compiler`.

A dialect is a table of operators. `EXACT_DIALECT` is the standard of jsonlogic.com on exact decimals, where
it differs from the JavaScript reference on purpose: arithmetic on what is not a number is an error (JavaScript:
NaN), text is compared as the number it spells or not at all, `/` rounds at 34 digits, and a wrong number of
operands is refused when the rule is read.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import NoReturn, assert_never

from msgspec import Struct

from tallybook.core import expression_functions as functions
from tallybook.core.decimals import DECIMAL_TEXT, within_quantity_bounds
from tallybook.core.errors import Invalid, TooLarge
from tallybook.core.expression_functions import Place

RULE_CHARACTERS_MAX = 10_000  # a rule is read by people; also bounds the work before anything else is known
RULE_NODES_MAX = 1_000  # values and operators; bounds the generated code
RULE_NESTING_MAX = 32  # Python's parser stops at 200 brackets, and an operator takes up to four
INLINE_OPERANDS_MAX = 4  # more become a call: nested inline calls would add brackets per operand


class Kind(Enum):
    """What is known of a value before it exists. `ANY` is everything else: null, lists, or not known."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    ANY = "any"


class Constant(Struct, frozen=True):
    """null, a boolean, a number (`Decimal`) or a text, as written in the rule."""

    value: bool | Decimal | str | None
    place: Place


class Items(Struct, frozen=True):
    """An array written in the rule."""

    items: tuple["Node", ...]
    place: Place


class Operation(Struct, frozen=True):
    """An operator and its operands; a lone operand may be written without an array."""

    operator: str
    operands: tuple["Node", ...]
    place: Place


Node = Constant | Items | Operation


class Operand(Struct, frozen=True):
    """An operand as the compiler has it: Python source, its kind, and the node it was written from."""

    source: str
    kind: Kind
    node: Node | None = None


def kind_of(constant: Constant) -> Kind:
    """The kind of a constant."""
    match constant.value:
        case bool():
            return Kind.BOOLEAN
        case Decimal():
            return Kind.NUMBER
        case str():
            return Kind.TEXT
        case None:
            return Kind.ANY
        case _:
            assert_never(constant.value)


AddConstant = Callable[[object], str]
"""Make a value known to the generated code; returns the name it has there."""

Inline = Callable[[Sequence[Operand], AddConstant], str | None]
"""Python source for an operator on operands of known kinds, or None to call its function."""


class Operator(Struct, frozen=True, kw_only=True):
    """How many operands, what kind of result, and `function(place, *operands)`; `operands_max` None is no bound.

    `inline` may only give what the function would give, except that decimal's own signals replace
    `ExpressionError`.
    """

    function: Callable[..., object]
    operands_min: int
    operands_max: int | None
    result: Kind
    inline: Inline | None = None


class Dialect(Struct, frozen=True, kw_only=True):
    """The operators of a dialect, apart from the forms of `FORMS`, which all dialects share."""

    name: str
    operators: Mapping[str, Operator]


class Rule(Struct, frozen=True, kw_only=True):
    """A rule that may be compiled: decoded, within the limits, its operators known and rightly used."""

    text: str
    root: Node
    dialect: Dialect


FORMS: Mapping[str, tuple[int, int | None]] = {
    "var": (0, 2),
    "missing": (0, None),
    "missing_some": (2, 2),
    "if": (0, None),
    "?:": (0, None),
    "and": (1, None),
    "or": (1, None),
    "!": (1, 1),
    "!!": (1, 1),
    "map": (2, 2),
    "filter": (2, 2),
    "all": (2, 2),
    "some": (2, 2),
    "none": (2, 2),
    "reduce": (2, 3),
}
"""Operators that decide what is evaluated, and on which data, with the least and the most operands they take."""


# ---- operators on operands of known kinds ----------------------------------------------------------------------


def _chained(method: str) -> Inline:
    def inline(operands: Sequence[Operand], add_constant: AddConstant) -> str | None:
        if not 2 <= len(operands) <= INLINE_OPERANDS_MAX or not _all_of(Kind.NUMBER, operands):
            return None
        source = operands[0].source
        for operand in operands[1:]:
            source = f"{method}({source}, {operand.source})"
        return source

    return inline


def _compared(symbol: str) -> Inline:
    def inline(operands: Sequence[Operand], add_constant: AddConstant) -> str | None:
        operands = [_as_number(operand, add_constant) for operand in operands]
        if not _all_of(Kind.NUMBER, operands):
            return None
        if len(operands) > 2 and not operands[2].source.isidentifier():
            return None  # a chain would not evaluate it when the first comparison fails; the function does
        return f"({f' {symbol} '.join(operand.source for operand in operands)})"

    return inline


def _equated(symbol: str, *, loosely: bool) -> Inline:
    def inline(operands: Sequence[Operand], add_constant: AddConstant) -> str | None:
        if loosely and any(operand.kind is Kind.NUMBER for operand in operands):
            operands = [_as_number(operand, add_constant) for operand in operands]
        left, right = operands
        if left.kind is not right.kind or left.kind is Kind.ANY:
            return None
        return f"({left.source} {symbol} {right.source})"

    return inline


def _found_in(operands: Sequence[Operand], add_constant: AddConstant) -> str | None:
    needle, haystack = operands
    if needle.kind is Kind.TEXT and haystack.kind is Kind.TEXT:
        return f"({needle.source} in {haystack.source})"
    if needle.kind not in (Kind.TEXT, Kind.NUMBER) or not isinstance(haystack.node, Items):
        return None
    constants = [item for item in haystack.node.items if isinstance(item, Constant)]
    if len(constants) < len(haystack.node.items):
        return None
    wanted = frozenset(constant.value for constant in constants if kind_of(constant) is needle.kind)
    return f"({needle.source} in {add_constant(wanted)})"


def _as_number(operand: Operand, add_constant: AddConstant) -> Operand:
    match operand.node:
        case Constant(value=str() as text) if DECIMAL_TEXT.fullmatch(text):
            return Operand(add_constant(Decimal(text)), Kind.NUMBER)
        case _:
            return operand


def _all_of(kind: Kind, operands: Sequence[Operand]) -> bool:
    return all(operand.kind is kind for operand in operands)


def _operator(
    function: Callable[..., object], least: int, most: int | None, result: Kind, inline: Inline | None = None
) -> Operator:
    return Operator(function=function, operands_min=least, operands_max=most, result=result, inline=inline)


EXACT_DIALECT = Dialect(
    name="exact",
    operators={
        "+": _operator(functions.add, 0, None, Kind.NUMBER, _chained("exact_add")),
        "*": _operator(functions.multiply, 1, None, Kind.NUMBER, _chained("exact_multiply")),
        "-": _operator(functions.subtract, 1, 2, Kind.NUMBER, _chained("exact_subtract")),
        "/": _operator(functions.divide_rounding, 2, 2, Kind.NUMBER),
        "%": _operator(functions.remainder, 2, 2, Kind.NUMBER),
        "min": _operator(functions.minimum, 1, None, Kind.NUMBER),
        "max": _operator(functions.maximum, 1, None, Kind.NUMBER),
        "<": _operator(functions.less, 2, 3, Kind.BOOLEAN, _compared("<")),
        "<=": _operator(functions.less_or_equal, 2, 3, Kind.BOOLEAN, _compared("<=")),
        ">": _operator(functions.greater, 2, 2, Kind.BOOLEAN, _compared(">")),
        ">=": _operator(functions.greater_or_equal, 2, 2, Kind.BOOLEAN, _compared(">=")),
        "==": _operator(functions.equal, 2, 2, Kind.BOOLEAN, _equated("==", loosely=True)),
        "===": _operator(functions.same, 2, 2, Kind.BOOLEAN, _equated("==", loosely=False)),
        "!=": _operator(functions.unequal, 2, 2, Kind.BOOLEAN, _equated("!=", loosely=True)),
        "!==": _operator(functions.differs, 2, 2, Kind.BOOLEAN, _equated("!=", loosely=False)),
        "in": _operator(functions.contains, 2, 2, Kind.BOOLEAN, _found_in),
        "cat": _operator(functions.cat, 0, None, Kind.TEXT),
        "substr": _operator(functions.substr, 2, 3, Kind.TEXT),
        "merge": _operator(functions.merge, 0, None, Kind.ANY),
        "log": _operator(functions.log, 1, 1, Kind.ANY),
    },
)


# ---- from text to tree -----------------------------------------------------------------------------------------


def parse_rule(text: str, *, dialect: Dialect = EXACT_DIALECT) -> Rule:
    """Read and check a rule; `Invalid` names the operator and the place (`and[1].>`), `TooLarge` the limit.

    Numbers are read exactly. Two equal keys in one object are refused like two different ones.
    """
    if len(text) > RULE_CHARACTERS_MAX:
        raise TooLarge(f"a rule has at most {RULE_CHARACTERS_MAX} characters, this one has {len(text)}")
    return Rule(text=text, root=_TreeBuilder(dialect).node(_decoded(text), (), 1), dialect=dialect)


class _Object(Struct, frozen=True):
    """A JSON object before it is checked: its members as written, repeated keys too."""

    members: list[tuple[str, object]]


class _NumberError(ValueError):
    """A number in the rule's text that no quantity may be."""


def _decoded(text: str) -> object:
    # The standard library's decoder, because msgspec keeps the last of two equal keys without a word.
    try:
        return json.loads(
            text,
            object_pairs_hook=_Object,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except ValueError as error:
        raise Invalid(f"not a rule: {error}") from None
    except RecursionError:
        raise TooLarge(_too_deep()) from None


def _number(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except ArithmeticError:  # the exponent is beyond what decimal can hold
        raise _NumberError(f"the number {text[:40]} is out of bounds") from None
    if not within_quantity_bounds(value):
        raise _NumberError(f"the number {text[:40]} is out of bounds")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise _NumberError(f"{text} is not JSON")


def _too_deep() -> str:
    return f"a rule nests at most {RULE_NESTING_MAX} deep"


class _TreeBuilder:
    """Checks one decoded rule while it becomes a tree, counting its nodes."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._nodes = 0

    def node(self, value: object, path: tuple[str, ...], depth: int) -> Node:
        self._nodes += 1
        if self._nodes > RULE_NODES_MAX:
            raise TooLarge(f"a rule has at most {RULE_NODES_MAX} values and operators")
        if depth > RULE_NESTING_MAX:
            raise TooLarge(f"{_too_deep()}; {_written(path[:6])}… goes deeper")
        match value:
            case _Object():
                return self._operation(value, path, depth)
            case list():
                place = Place("[]", _written(path))
                return Items(self._nodes_of(value, path, depth), place)
            case None | bool() | Decimal() | str():
                return Constant(_checked_text(value, path), Place("constant", _written(path)))
            case _:
                raise AssertionError(f"the decoder made a {type(value).__name__}")

    def _operation(self, value: _Object, path: tuple[str, ...], depth: int) -> Operation:
        if len(value.members) != 1:
            keys = ", ".join(repr(key[:40]) for key, _ in value.members[:4]) or "none"
            raise Invalid(f"{_written(path)}: a rule object has exactly one key, an operator; found {keys}")
        operator, written = value.members[0]
        operands = written if isinstance(written, list) else [written]
        inner = (*path, ("." if path else "") + operator)
        self._check_operator(operator, len(operands), _written(path), _written(inner))
        return Operation(operator, self._nodes_of(operands, inner, depth), Place(operator, _written(inner)))

    def _nodes_of(self, values: Sequence[object], path: tuple[str, ...], depth: int) -> tuple[Node, ...]:
        return tuple(self.node(value, (*path, f"[{index}]"), depth + 1) for index, value in enumerate(values))

    def _check_operator(self, operator: str, count: int, outer: str, place: str) -> None:
        known = self._dialect.operators.get(operator)
        if known is None and operator not in FORMS:
            raise Invalid(f"{outer}: unknown operator {operator[:40]!r}")
        least, most = (known.operands_min, known.operands_max) if known else FORMS[operator]
        if count < least or (most is not None and count > most):
            raise Invalid(f"{place}: {operator!r} takes {_range(least, most)}, found {count}")


def _written(path: tuple[str, ...]) -> str:
    return "".join(path) or "the rule"


def _range(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} operand{'' if least == 1 else 's'}"
    if least == most:
        return f"{least} operand{'' if least == 1 else 's'}"
    return f"{least} to {most} operands"


def _checked_text(value: bool | Decimal | str | None, path: tuple[str, ...]) -> bool | Decimal | str | None:
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise Invalid(f"{_written(path)}: half of a surrogate pair is not text")
    return value
