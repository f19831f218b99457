"""What a rule is made of, and what a dialect is made of: data only.

Reading a rule into a tree is in `expression`, the dialects there are in `expression_dialects`.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import assert_never

from msgspec import Struct

from tallybook.core.expression_functions import Place


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


class Form(Struct, frozen=True, kw_only=True):
    """An operator that decides what is evaluated, and on which data: how many operands it takes."""

    operands_min: int
    operands_max: int | None


class Dialect(Struct, frozen=True, kw_only=True):
    """What the words of a rule mean. The compiler knows how to write each form; the functions here say what it does.

    `find(data, path, default)` looks a variable up, `missing` and `missing_some` take the place, the data and the
    operands, `visits` has `function(place, items, visit, …, steps, budget)` by operator, and `text_of(place, value)`
    writes a value as text.

    `default_sees_data`: the default of a `var` reads the data, and is evaluated only when needed; else it sees none,
    and is always evaluated. `lone_list_spreads`: a list that is an operator's only operand stands for its operands.
    `attributes_are_text`: a rule meets an event's attributes as the text they arrived in.
    """

    name: str
    operators: Mapping[str, Operator]
    forms: Mapping[str, Form]
    find: Callable[[object, tuple[str, ...], object], object]
    missing: Callable[..., list[object]]
    missing_some: Callable[..., list[object]]
    visits: Mapping[str, Callable[..., object]]
    text_of: Callable[[Place, object], str]
    default_sees_data: bool
    lone_list_spreads: bool
    attributes_are_text: bool


def walked(node: Node) -> Sequence[Node]:
    """The node and all below it, from the root down."""
    found: list[Node] = [node]
    for each in found:  # grows while it is read
        match each:
            case Operation():
                found.extend(each.operands)
            case Items():
                found.extend(each.items)
            case Constant():
                pass
            case _:
                assert_never(each)
    return found
