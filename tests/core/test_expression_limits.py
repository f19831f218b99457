"""Limits of rules: what is too long, too deep or too wide is refused, and what would never end is stopped."""

import json
from decimal import Decimal
from time import process_time

import pytest

from tallybook.core.errors import Invalid, TooLarge
from tallybook.core.expression import RULE_CHARACTERS_MAX, RULE_NESTING_MAX, RULE_NODES_MAX, parse_rule
from tallybook.core.expression_compiler import compile_rule
from tallybook.core.expression_dialects import DIALECTS
from tallybook.core.expression_functions import (
    ITEMS_WALKED_MAX,
    LIST_ITEMS_MAX,
    TEXT_CHARACTERS_MAX,
    ExpressionError,
)
from tallybook.core.expression_lookup import STEPS_MAX, STEPS_OF_VISIT_MIN
from tallybook.core.expression_tree import Dialect


@pytest.fixture(params=DIALECTS.values(), ids=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Every dialect has the same limits."""
    return request.param


def evaluate_in(dialect: Dialect, rule: str, data: object = None) -> object:
    return compile_rule(parse_rule(rule, dialect=dialect))(data)


# ---- what is refused when it is read ---------------------------------------------------------------------------


def nested(depth: int, opening: str = '{"!":', closing: str = "}") -> str:
    return opening * (depth - 1) + "1" + closing * (depth - 1)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ('{"!":', "}"),
        ('{"!!":', "}"),
        ("[", "]"),
        ('{"+":[', ",1,2,3]}"),
        ('{"and":[', ',"x"]}'),
        ('{"or":[null,', ',"x"]}'),
        ('{"if":[', ',[],"x"]}'),
        ('{"map":[[],', "]}"),
        ('{"reduce":[[],', ",0]}"),
        ('{"var":["x",', "]}"),
        ('{"merge":', "}"),
        ('{"in":["a",', "]}"),
    ],
)
def test_nesting_up_to_the_limit_compiles_and_beyond_is_refused(opening: str, closing: str, dialect: Dialect):
    """Every operator can be nested as deep as is allowed: the generated code stays within Python's own limits."""
    compile_rule(parse_rule(nested(RULE_NESTING_MAX, opening, closing), dialect=dialect))
    with pytest.raises(TooLarge, match="nests at most 32 deep"):
        parse_rule(nested(RULE_NESTING_MAX + 1, opening, closing), dialect=dialect)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"!":', "}"), ("[", ""), ('{"!":', "")])
def test_nesting_bomb_is_refused_while_decoding(opening: str, closing: str, dialect: Dialect):
    """Thousands of brackets neither crash the decoder nor get past it."""
    depth = (RULE_CHARACTERS_MAX - 1) // len(opening + closing)
    with pytest.raises(Invalid):
        parse_rule(opening * depth + "1" + closing * depth, dialect=dialect)


@pytest.mark.parametrize("operator", ["and", "or", "if", "+", "*", "max", "cat", "merge", "missing"])
def test_widest_rule_compiles_and_a_wider_one_is_refused(operator: str, dialect: Dialect):
    """As many operands as the limit allows still make code that Python takes."""
    widest = RULE_NODES_MAX - 1
    compile_rule(parse_rule(f'{{"{operator}":[{",".join(["null"] * widest)}]}}', dialect=dialect))
    with pytest.raises(TooLarge, match="values and operators"):
        parse_rule(f'{{"{operator}":[{",".join(["null"] * (widest + 1))}]}}', dialect=dialect)


def test_rule_text_has_a_limit(dialect: Dialect):
    """A longer text is refused unread."""
    parse_rule("1" + " " * (RULE_CHARACTERS_MAX - 1), dialect=dialect)
    with pytest.raises(TooLarge):
        parse_rule("1" + " " * RULE_CHARACTERS_MAX, dialect=dialect)


# ---- rules that would never end --------------------------------------------------------------------------------


def doubling(operator: str, operands: str, start: str) -> str:
    return f'{{"reduce":[{list(range(40))},{{"{operator}":{operands}}},{start}]}}'


def test_text_that_doubles_is_stopped(dialect: Dialect):
    """`cat` makes no text beyond the limit."""
    with pytest.raises(ExpressionError, match=f"more than {TEXT_CHARACTERS_MAX} characters"):
        evaluate_in(dialect, doubling("cat", '[{"var":"accumulator"},{"var":"accumulator"}]', '"x"'))


def test_list_that_doubles_is_stopped(dialect: Dialect):
    """`merge` makes no list beyond the limit."""
    with pytest.raises(ExpressionError, match=f"more than {LIST_ITEMS_MAX} items"):
        evaluate_in(dialect, doubling("merge", '[{"var":"accumulator"},{"var":"accumulator"}]', "[1]"))


def test_list_nested_in_itself_is_stopped(dialect: Dialect):
    """A tree of 2**40 shared leaves is not walked to its end."""
    tree = f'{{"reduce":[{list(range(40))},[{{"var":"accumulator"}},{{"var":"accumulator"}}],1]}}'
    with pytest.raises(ExpressionError, match="items"):
        evaluate_in(dialect, tree)
    assert evaluate_in(dialect, f'{{"==":[{tree},{tree}]}}') is False


def test_iterations_within_iterations_are_stopped(dialect: Dialect):
    """All visits of one evaluation draw on one budget."""
    rule = '{"map":[{"var":""},{"map":[{"var":""},{"var":""}]}]}'
    square = [[Decimal(1)] * 40] * 40
    with pytest.raises(ExpressionError, match=f"more than {STEPS_MAX} steps"):
        evaluate_in(dialect, rule, square)


def test_long_visit_of_many_elements_is_stopped(dialect: Dialect):
    """A visit may have many operators, or be of many elements, but not both: that is some seconds of work."""
    body = f'{{"*":[{",".join(["9" * 300] * 30)}]}}'
    rule = f'{{"map":[{{"var":""}},{body}]}}'
    with pytest.raises(ExpressionError, match=f"more than {STEPS_MAX} steps"):
        evaluate_in(dialect, rule, [Decimal(1)] * 500)
    assert isinstance(evaluate_in(dialect, '{"map":[{"var":""},{"*":[{"var":""},2]}]}', [Decimal(1)] * 500), list)


def test_budget_is_new_for_each_evaluation(dialect: Dialect):
    """What one evaluation visited is not held against the next."""
    visit = compile_rule(parse_rule('{"some":[{"var":""},{"<":[{"var":""},0]}]}', dialect=dialect))
    data = [Decimal(1)] * (STEPS_MAX // STEPS_OF_VISIT_MIN // 2 + 1)
    assert [visit(data), visit(data)] == [False, False]


def test_nested_list_is_written_as_text_only_so_deep():
    """`togai` writes lists as text; a list in a list in a list, doubled at every step, is stopped early."""
    tree = f'{{"reduce":[{list(range(40))},[{{"var":"accumulator"}},{{"var":"accumulator"}}],1]}}'
    before = process_time()
    with pytest.raises(ExpressionError):
        evaluate_in(DIALECTS["togai"], f'{{"cat":["x",{tree}]}}')
    with pytest.raises(ExpressionError, match=f"compares more than {ITEMS_WALKED_MAX} items"):
        evaluate_in(DIALECTS["togai"], f'{{"===":[{tree},{tree}]}}')
    assert process_time() - before < 5


@pytest.mark.parametrize("text", ["1e513", "9e999999999", "1e-513", "1" * 600])
def test_number_in_text_has_the_bounds_of_a_number(text: str):
    """`togai` reads exponents as Java does, but a short text cannot stand for a thousand digits."""
    with pytest.raises(ExpressionError, match="out of bounds"):
        evaluate_in(DIALECTS["togai"], json.dumps({"+": [text, 1]}))


@pytest.mark.parametrize("text", ["P" + "9" * 40 + "Y", "PT" + "9" * 19 + "S", "P999999999Y", "P9999999999999999D"])
def test_duration_out_of_the_calendar_is_null(text: str, dialect: Dialect):
    """A duration that leads beyond the year 9999, or has more digits than any time needs, moves no date."""
    rule = json.dumps({"date.add": ["2024-05-28T00:00:00Z", text]})
    if dialect.name == "togai" and "S" in text:  # its seconds keep their low 32 bits
        assert isinstance(evaluate_in(dialect, rule), str)
    else:
        assert evaluate_in(dialect, rule) is None


def test_amount_of_a_duration_has_a_limit(dialect: Dialect):
    """A number of hundreds of digits is no length of time."""
    assert evaluate_in(dialect, json.dumps({"duration.of": ["9" * 300, "DAYS"]})) is None
    assert evaluate_in(dialect, json.dumps({"duration.as": ["PT" + "9" * 300 + "S", "DAYS"]})) is None
