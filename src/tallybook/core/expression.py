"""A rule: JSON Logic text read into a checked tree.

Decoding, the limits and every check that needs no values live here. What a tree consists of is in `expression_tree`,
which operators there are in `expression_dialects`, what rules can never work in `expression_check`, and how a tree
becomes Python in `expression_compiler`.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import NoReturn

from msgspec import Struct

from tallybook.core.decimals import within_quantity_bounds
from tallybook.core.errors import Invalid, TooLarge
from tallybook.core.expression_dialects import EXACT_DIALECT
from tallybook.core.expression_functions import Place
from tallybook.core.expression_tree import Constant, Dialect, Items, Node, Operation, Operator

RULE_CHARACTERS_MAX = 10_000  # a rule is read by people; also bounds the work before anything else is known
RULE_NODES_MAX = 1_000  # values and operators; bounds the generated code
RULE_NESTING_MAX = 32  # Python's parser stops at 200 brackets, and an operator takes up to four


class Rule(Struct, frozen=True, kw_only=True):
    """A rule that may be compiled: decoded, within the limits, its operators known and rightly used."""

    text: str
    root: Node
    dialect: Dialect


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
        operands = self._operands(operator, written)
        inner = (*path, ("." if path else "") + operator)
        self._check_operator(operator, operands, _written(path), _written(inner))
        return Operation(operator, self._nodes_of(operands, inner, depth), Place(operator, _written(inner)))

    def _operands(self, operator: str, written: object) -> list[object]:
        if not isinstance(written, list):
            return [written]
        if operator in self._dialect.operators and self._dialect.lone_list_spreads and len(written) == 1:
            return written[0] if isinstance(written[0], list) else written
        return written

    def _nodes_of(self, values: Sequence[object], path: tuple[str, ...], depth: int) -> tuple[Node, ...]:
        return tuple(self.node(value, (*path, f"[{index}]"), depth + 1) for index, value in enumerate(values))

    def _check_operator(self, operator: str, operands: Sequence[object], outer: str, place: str) -> None:
        known = self._dialect.operators.get(operator) or self._dialect.forms.get(operator)
        if known is None:
            raise Invalid(f"{outer}: unknown operator {operator[:40]!r}")
        if isinstance(known, Operator) and self._may_spread(operands):
            return
        least, most, count = known.operands_min, known.operands_max, len(operands)
        if count < least or (most is not None and count > most):
            raise Invalid(f"{place}: {operator!r} takes {_range(least, most)}, found {count}")

    def _may_spread(self, operands: Sequence[object]) -> bool:
        """Say whether the operands may be the items of a list that is known only when the rule is evaluated."""
        return self._dialect.lone_list_spreads and len(operands) == 1 and isinstance(operands[0], _Object)


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
