"""Rules evaluated in one line, and values compared as JSON has them."""

from tallybook.core.expression import parse_rule
from tallybook.core.expression_compiler import compile_rule
from tallybook.core.expression_dialects import DIALECTS


def evaluate(rule: str, data: object = None, *, dialect: str = "exact") -> object:
    """The value of a rule."""
    return compile_rule(parse_rule(rule, dialect=DIALECTS[dialect]))(data)


def typed(value: object) -> object:
    """Tell apart what Python calls equal: True and 1."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    return (type(value).__name__, value)
