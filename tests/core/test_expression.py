"""JSON Logic on exact decimals: what rules mean, what is refused, and what no rule can do.

The two dialects side by side are in `test_expression_dialects`, the limits in `test_expression_limits`.
"""

import json
from decimal import Decimal

import pytest
from expression_samples import evaluate, typed

from tallybook.core.errors import Invalid
from tallybook.core.expression import parse_rule
from tallybook.core.expression_compiler import SourceWriter, compile_rule, write_rule
from tallybook.core.expression_functions import ExpressionError, truthy
from tallybook.core.expression_tree import Constant, Operation

HOSTILE_TEXTS = [
    "__import__('os').system('false')",
    "'); raise SystemExit(1) #",
    '"); raise SystemExit(1) #',
    '"""',
    "\\",
    "\n    raise SystemExit(1)\n",
    "{data}",
    "c1",
    "data",
    "\u2028\u0000",
]


# ---- the standard ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('{"+":["3","4"]}', Decimal(7)),
        ('{"-":[5]}', Decimal(-5)),
        ('{"%":[-7,3]}', Decimal(-1)),
        ('{"==":[1,1.0]}', True),
        ('{"===":[1,1.0]}', True),
        ('{"==":["1.0",1]}', True),
        ('{"==":["",0]}', True),
        ('{"==":[null,0]}', False),
        ('{"==":[null,null]}', True),
        ('{"==":[true,1]}', True),
        ('{"==":["x",1]}', False),
        ('{"!=":[1,1.0]}', False),
        ('{"!==":["1",1]}', True),
        ('{"in":["1",[1]]}', False),
        ('{"in":[1.0,[1]]}', True),
        ('{"in":["Spring","Springfield"]}', True),
        ('{"in":["a",null]}', False),
        ('{"<":[1,2,3]}', True),
        ('{"<=":[1,1,3]}', True),
        ('{"<":[1,3,2]}', False),
        ('{">":[null,1]}', False),
        ('{"<":["a",1]}', False),
        ('{"<":["9","10"]}', True),
        ('{"all":[[],true]}', False),
        ('{"some":[[],true]}', False),
        ('{"none":[[],true]}', True),
        ('{"cat":["a",1.0]}', "a1"),
        ('{"cat":[1E+2,true]}', "100true"),
        ('{"var":["absent","default"]}', "default"),
        ('{"log":[4]}', Decimal(4)),
        ('{"+":[]}', Decimal(0)),
        ('{"reduce":[[1,2],{"var":"accumulator"}]}', None),
        ("1", Decimal(1)),
        ('"1"', "1"),
    ],
)
def test_values_are_those_of_the_contract(rule: str, expected: object):
    """The rows of the contract's table, where the exact dialect agrees with them, and JavaScript's rules elsewhere."""
    assert typed(evaluate(rule)) == typed(expected)


def test_arithmetic_keeps_every_digit():
    """Numbers that binary fractions and 28 digits would spoil come out digit for digit."""
    assert evaluate('{"+":[0.1,0.2]}') == Decimal("0.3")
    assert evaluate('{"*":[123456789012345678901234567890.123456789,1000000001]}') == Decimal(
        "123456789135802467913580246791358024679.123456789"
    )


def test_division_rounds_half_even_at_34_digits():
    """A quotient has 34 significant digits."""
    assert evaluate('{"/":[1,3]}') == Decimal("0." + "3" * 34)
    assert evaluate('{"/":[2,3]}') == Decimal("0." + "6" * 33 + "7")
    assert evaluate('{"/":[10,2]}') == 5


def test_division_keeps_the_digits_of_a_long_dividend():
    """Dividing by one loses nothing, however long the dividend."""
    digits = "123456789" * 10
    assert evaluate(f'{{"/":[{digits},1]}}') == Decimal(digits)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        (False, False),
        (Decimal(0), False),
        (Decimal("0.00"), False),
        ("", False),
        ([], False),
        ("0", True),
        ({}, True),
        ([0], True),
        (Decimal("-0.1"), True),
    ],
)
def test_truth_is_that_of_json_logic(value: object, expected: bool):
    """The table of jsonlogic.com/truthy.html."""
    assert truthy(value) is expected


def test_and_or_and_if_evaluate_only_what_they_need():
    """An operand after the deciding one may fail without harm."""
    assert evaluate('{"and":[0,{"/":[1,0]}]}') == 0
    assert evaluate('{"or":["yes",{"/":[1,0]}]}') == "yes"
    assert evaluate('{"if":[true,1,{"/":[1,0]}]}') == 1


def test_default_of_a_variable_is_evaluated_only_when_needed():
    """A default that would fail does no harm where the variable is there; null counts as there."""
    assert evaluate('{"var":["a",{"/":[1,0]}]}', {"a": "there"}) == "there"
    assert evaluate('{"var":["a",{"/":[1,0]}]}', {"a": None}) is None
    assert evaluate('{"var":["b",{"var":"a"}]}', {"a": "other"}) == "other"


def test_computed_variable_name_reads_general_data():
    """Outside meters a variable's name may be computed."""
    assert evaluate('{"var":{"cat":["a",".","b"]}}', {"a": {"b": "found"}}) == "found"


# ---- values that do not fit ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "operator", "place"),
    [
        ('{"/":[1,0]}', "/", "/"),
        ('{"%":[1,0]}', "%", "%"),
        ('{"+":[1,null]}', "+", "+"),
        ('{"*":[true,2]}', "*", "*"),
        ('{"+":["x",1]}', "+", "+"),
        ('{"max":[1,[2]]}', "max", "max"),
        ('{"cat":["a",null]}', "cat", "cat"),
        ('{"substr":["abc",0.5]}', "substr", "substr"),
        ('{"if":[true,{"and":[1,{"-":["",1]}]},0]}', "-", "if[1].and[1].-"),
        ('{"map":[[1,0],{"/":[1,{"var":""}]}]}', "/", "map[1]./"),
    ],
)
def test_failed_evaluation_names_operator_and_place(rule: str, operator: str, place: str):
    """The error says which operator could not be evaluated, and where it stands in the rule."""
    with pytest.raises(ExpressionError) as caught:
        evaluate(rule)
    assert (caught.value.operator, caught.value.place) == (operator, place)
    assert caught.value.message.startswith(f"{place}: ")


@pytest.mark.parametrize("numeral", ["٣", "5.", ".5", "1e3", " 5", "5\\n", "+5", "NaN", "Infinity", ""])
def test_text_that_is_no_plain_number_is_not_added(numeral: str):
    """Only the decimal text that events may carry counts as a number."""
    with pytest.raises(ExpressionError):
        evaluate(f'{{"+":["{numeral}",1]}}')


def test_result_out_of_bounds_is_an_error():
    """513 digits before or after the point are one too many, also inside a list."""
    big, small = "1" + "0" * 511, "0." + "0" * 511 + "1"
    assert evaluate(f'{{"*":[{big},1]}}') == Decimal(big)
    assert evaluate(f'{{"*":[{small},1]}}') == Decimal(small)
    for rule in (f'{{"*":[{big},10]}}', f'{{"*":[{small},0.1]}}', f'[{{"*":[{big},10]}}]'):
        with pytest.raises(ExpressionError, match="too large"):
            evaluate(rule)


def test_intermediate_result_with_too_many_digits_is_an_error():
    """Doubling the digits again and again ends in an error, not in a rounded number."""
    rule = '{"reduce":[[1,2,3,4,5,6,7,8,9],{"*":[{"var":"accumulator"},{"var":"accumulator"}]},%s]}' % ("9" * 500)
    with pytest.raises(ExpressionError, match="too many digits"):
        evaluate(rule)


# ---- rules that are refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('{"nope":[1]}', "the rule: unknown operator 'nope'"),
        ('{"and":[1,{"nope":1}]}', "and[1]: unknown operator 'nope'"),
        ('{"and":[true,{">":[1]}]}', "and[1].>: '>' takes 2 operands, found 1"),
        ('{"and":[]}', "and: 'and' takes at least 1 operand, found 0"),
        ('{"-":[9,3,2]}', "-: '-' takes 1 to 2 operands, found 3"),
        ('{">":[3,2,1]}', ">: '>' takes 2 operands, found 3"),
        ('{"in":["US","US","IN"]}', "in: 'in' takes 2 operands, found 3"),
        ('{"+":[1],"-":[1]}', "the rule: a rule object has exactly one key"),
        ('{"+":[1],"+":[2]}', "the rule: a rule object has exactly one key"),
        ('{"!":{}}', "![0]: a rule object has exactly one key"),
        ('{"!":"\\ud800"}', "![0]: half of a surrogate pair"),
        ("[1,{}]", "[1]: a rule object has exactly one key"),
        ("", "not a rule"),
        ("{", "not a rule"),
        ("NaN", "not a rule: NaN is not JSON"),
        ("-Infinity", "not a rule"),
        ("1e513", "not a rule: the number 1e513 is out of bounds"),
        ("1e99999999999999999999", "not a rule"),
        ("1 2", "not a rule"),
    ],
)
def test_refused_rule_says_what_and_where(rule: str, message: str):
    """A rule that cannot be right is refused when it is read, by operator and place."""
    with pytest.raises(Invalid) as caught:
        parse_rule(rule)
    assert caught.value.message.startswith(message)


# ---- hostile rules ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_text_in_a_rule_never_becomes_code(text: str):
    """Whatever a text says, the generated source does not contain it, and the rule treats it as text."""
    quoted = json.dumps(text)
    for rule, expected in (
        (f'{{"cat":[{quoted}]}}', text),
        (f'{{"var":[{quoted},"default"]}}', "default"),
        (f'{{"===":[{quoted},{quoted}]}}', True),
        (f'{{"missing":[{quoted}]}}', [text]),
    ):
        parsed = parse_rule(rule)
        source = write_rule(parsed, SourceWriter(inline=True), data="data").value.source
        assert text in ("c1", "data") or text not in source
        assert compile_rule(parsed)(None) == expected


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_operator_is_unknown(text: str):
    """A key that is no operator is refused, not generated."""
    with pytest.raises(Invalid):
        parse_rule(json.dumps({text: [1]}))


def test_generated_code_has_no_builtins():
    """Even a hole in the generator would reach neither import nor open."""
    function = SourceWriter(inline=True).function(parameters=[], body=["return open"])
    with pytest.raises(NameError):
        function()


def test_evaluation_leaves_the_data_alone():
    """Merging and mapping make new lists."""
    data = {"list": [Decimal(1)]}
    evaluate('{"merge":[{"var":"list"},{"map":[{"var":"list"},2]}]}', data)
    assert data == {"list": [Decimal(1)]}


def test_place_of_an_operator_is_the_path_to_it():
    """Operand indexes in brackets, operators after a dot."""
    root = parse_rule('{"and":[true,{">":[{"var":"a"},1]}]}').root
    assert isinstance(root, Operation)
    comparison = root.operands[1]
    assert isinstance(comparison, Operation)
    assert comparison.place.path == "and[1].>"
    assert isinstance(comparison.operands[1], Constant)
    assert comparison.operands[1].place.path == "and[1].>[1]"
