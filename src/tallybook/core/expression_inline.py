"""Operators of the `exact` dialect written in place, for operands whose kinds are known before there are values.

Each gives what the operator's function would give, only faster, and without saying where it failed.
"""

from collections.abc import Sequence
from decimal import Decimal

from tallybook.core.decimals import DECIMAL_TEXT
from tallybook.core.expression_tree import AddConstant, Constant, Inline, Items, Kind, Operand, kind_of

INLINE_OPERANDS_MAX = 4  # more become a call: nested inline calls would add brackets per operand


def chained(method: str) -> Inline:
    """Call `method` once per pair of numbers, from left to right."""

    def inline(operands: Sequence[Operand], add_constant: AddConstant) -> str | None:
        if not 2 <= len(operands) <= INLINE_OPERANDS_MAX or not _all_of(Kind.NUMBER, operands):
            return None
        source = operands[0].source
        for operand in operands[1:]:
            source = f"{method}({source}, {operand.source})"
        return source

    return inline


def compared(symbol: str) -> Inline:
    """Compare numbers, or a number with text that spells one."""

    def inline(operands: Sequence[Operand], add_constant: AddConstant) -> str | None:
        operands = [_as_number(operand, add_constant) for operand in operands]
        if not _all_of(Kind.NUMBER, operands):
            return None
        if len(operands) > 2 and not operands[2].source.isidentifier():
            return None  # a chain would not evaluate it when the first comparison fails; the function does
        return f"({f' {symbol} '.join(operand.source for operand in operands)})"

    return inline


def equated(symbol: str, *, loosely: bool) -> Inline:
    """Compare two values of one kind; `loosely`, text that is written out may stand for a number."""

    def inline(operands: Sequence[Operand], add_constant: AddConstant) -> str | None:
        if loosely and any(operand.kind is Kind.NUMBER for operand in operands):
            operands = [_as_number(operand, add_constant) for operand in operands]
        left, right = operands
        if left.kind is not right.kind or left.kind is Kind.ANY:
            return None
        return f"({left.source} {symbol} {right.source})"

    return inline


def found_in(operands: Sequence[Operand], add_constant: AddConstant) -> str | None:
    """Look for text in text, and for text or a number in a list that is written out."""
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
