"""Rules that can never work, found before there is any event: they are refused when somebody saves them.

Only what fails whatever the data says counts. What stands behind a condition, or in the visit of a list, may never be
evaluated, so it is left alone. Operators and their number of operands are `parse_rule`'s business, variables
`write_rule`'s.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product

from tallybook.core.decimals import ZERO
from tallybook.core.errors import Invalid
from tallybook.core.expression import Rule, parse_rule
from tallybook.core.expression_compiler import SourceWriter, spread, write_rule
from tallybook.core.expression_functions import ExpressionError
from tallybook.core.expression_tree import Constant, Dialect, Items, Kind, Node, Operation

_TEXTS = ("1", "2024-01-01T00:00:00Z", "PT1H", "DAYS")
_TRIED: Mapping[Kind, Sequence[object]] = {
    Kind.NUMBER: (Decimal(1), ZERO),
    Kind.TEXT: _TEXTS,
    Kind.BOOLEAN: (True, False),
    Kind.ANY: (Decimal(1), ZERO, *_TEXTS, True, [Decimal(1)], None),
}
"""Values to try in the place of an operand that is not known yet. One that works is enough."""

_CONDITIONAL = ("if", "?:", "and", "or")
_YES_OR_NO = ("!", "!!", "all", "some", "none")
_FAILURES = (ExpressionError, ArithmeticError)


def rule_to_save(text: str, *, dialect: Dialect, place: str) -> Rule:
    """Read a rule that somebody wants to keep. Raises `Invalid`, with `place` in front, if it can never work."""
    try:
        rule = parse_rule(text, dialect=dialect)
        check_can_succeed(rule)
    except Invalid as error:
        raise type(error)(f"{place}: {error.message}") from None
    return rule


def check_can_succeed(rule: Rule) -> None:
    """Raise `Invalid`, with operator and place, if the rule fails for every event.

    It does if a part that is always evaluated reads no data and fails, as `{"/":[1,0]}`, or if an operator fails with
    the operands that are known, as `+` with null, whatever values are tried for the others.
    """
    _check(rule.root, rule.dialect)


def always_yields(rule: Rule) -> list[object]:
    """The one value of a rule that reads no data, or null if its operator yields nothing else; empty if it depends.

    For rules that `check_can_succeed` lets pass.
    """
    if _reads_nothing(rule.root, rule.dialect):
        return [_value(rule.root, rule.dialect)]
    if isinstance(rule.root, Operation) and rule.root.operator in rule.dialect.operators:
        results, _ = _tried(rule.root, rule.dialect)
        return [None] if results and all(result is None for result in results) else []
    return []


def _check(node: Node, dialect: Dialect) -> None:
    if _reads_nothing(node, dialect):
        try:
            _value(node, dialect)
        except ExpressionError as error:
            raise Invalid(error.message) from None
        return
    for operand in _always_evaluated(node, dialect):
        _check(operand, dialect)
    if isinstance(node, Operation) and node.operator in dialect.operators:
        results, problems = _tried(node, dialect)
        if not results:
            raise Invalid(problems[0])


def _always_evaluated(node: Node, dialect: Dialect) -> Sequence[Node]:
    match node:
        case Items(items=items):
            return items
        case Operation(operator=operator, operands=operands) if operator in _CONDITIONAL:
            return operands[:1]
        case Operation(operator="var", operands=operands):
            return operands[:1] if dialect.default_sees_data else operands
        case Operation(operator=operator, operands=operands) if operator in dialect.visits:
            return (*operands[:1], *operands[2:])
        case Operation(operands=operands):
            return operands
        case _:
            return ()


def _reads_nothing(node: Node, dialect: Dialect) -> bool:
    """A visit sees its element and nothing else, so only what it visits counts."""
    match node:
        case Constant():
            return True
        case Items(items=items):
            return all(_reads_nothing(item, dialect) for item in items)
        case Operation(operator="var" | "missing" | "missing_some"):
            return False
        case Operation(operator=operator, operands=operands) if operator in dialect.visits:
            return all(_reads_nothing(operand, dialect) for operand in (*operands[:1], *operands[2:]))
        case Operation(operands=operands):
            return all(_reads_nothing(operand, dialect) for operand in operands)


def _value(node: Node, dialect: Dialect) -> object:
    """The value of what reads no data. Raises `ExpressionError`."""
    if isinstance(node, Constant):
        return node.value
    writer = SourceWriter(inline=False)
    written = write_rule(Rule(text="", root=node, dialect=dialect), writer, data="data")
    body = [*written.before, f"return {written.value.source}"]
    return writer.function(parameters=["data"], body=body)(None)


def _tried(node: Operation, dialect: Dialect) -> tuple[list[object], list[str]]:
    """What the operator yields, and how it fails, with values tried for the operands that are not known."""
    choices = [
        [_value(operand, dialect)] if _reads_nothing(operand, dialect) else _TRIED[_kind(operand, dialect)]
        for operand in node.operands
    ]
    function = dialect.operators[node.operator].function
    results: list[object] = []
    problems: list[str] = []
    for values in _combinations(choices):
        try:
            lone_list = dialect.lone_list_spreads and len(values) == 1
            results.append(spread(function, node.place, values[0]) if lone_list else function(node.place, *values))
        except _FAILURES as error:
            problems.append(str(error))
    return results, problems


def _combinations(choices: Sequence[Sequence[object]]) -> Sequence[tuple[object, ...]]:
    """All of them for one or two operands that are not known; for more, the same of each, as operators of many take."""
    if sum(len(choice) > 1 for choice in choices) <= 2:
        return list(product(*choices))
    most = max(len(choice) for choice in choices)
    return [tuple(choice[min(index, len(choice) - 1)] for choice in choices) for index in range(most)]


def _kind(node: Node, dialect: Dialect) -> Kind:
    if not isinstance(node, Operation):
        return Kind.ANY
    if node.operator in dialect.operators:
        return dialect.operators[node.operator].result
    return Kind.BOOLEAN if node.operator in _YES_OR_NO else Kind.ANY
