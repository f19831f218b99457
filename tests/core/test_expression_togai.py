"""The `togai` dialect beyond the contract's table: what Togai's published engine does, and Java below it."""

from decimal import Decimal
from typing import Any

import pytest
from expression_samples import evaluate, typed

from tallybook.core.errors import Invalid
from tallybook.core.expression_functions import ExpressionError
from tallybook.core.expression_togai import text_of


def togai(rule: str, data: object = None) -> object:
    return evaluate(rule, data, dialect="togai")


@pytest.mark.parametrize(
    ("dividend", "divisor", "rest"),
    [
        ("70", "0.7", "0"),
        ("10", "0.5", "0"),
        ("11", "0.5", "0.0"),
        ("7", "2.00", "1.00"),
        ("100", "0.05", "0"),
        ("7.000", "10", "7.000"),
        ("5", "-1.50", "0.50"),
        ("0", "0.5", "0"),
        ("0.0", "5", "0.0"),
    ],
)
def test_remainder_has_the_scale_of_java(dividend: str, divisor: str, rest: str):
    """As `BigDecimal.remainder` gives them (JDK 17): zeros at the end of the whole quotient take places away."""
    assert str(togai(f'{{"%":[{dividend},{divisor}]}}')) == rest


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('{"+":[0.1,0.20]}', "0.30"),
        ('{"*":[0.1,0.20]}', "0.020"),
        ('{"-":[1,1.0]}', "0.0"),
        ('{"max":[1.0,1]}', "1.0"),
        ('{"min":[1.0,1]}', "1.0"),
    ],
)
def test_results_have_the_scale_of_java(rule: str, expected: str):
    """A sum has the larger scale, a product both, and of two equal numbers the first is taken."""
    assert str(togai(rule)) == expected


@pytest.mark.parametrize(
    ("text", "value"), [("+5", "5"), (".5", "0.5"), ("5.", "5"), ("1e3", "1000"), ("-.5e-2", "-0.005")]
)
def test_text_is_a_number_as_java_reads_it(text: str, value: str):
    """A plus, an exponent, and a point without digits on one side."""
    assert togai(f'{{"+":["{text}",0]}}') == Decimal(value)


@pytest.mark.parametrize("text", [" 5", "5 ", "1_0", "--1", ".", "e5", "1e", "0x1", "NaN", "Infinity", ""])
def test_text_that_java_does_not_read_makes_the_sum_null(text: str):
    """Null, not an error: only a lone operand of `+` is one."""
    assert togai(f'{{"+":["{text}",1]}}') is None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('{"==":[true,1]}', True),
        ('{"==":[true,1.0]}', False),
        ('{"==":[true,"0"]}', True),
        ('{"==":[false,""]}', True),
        ('{"==":[[],0]}', True),
        ('{"==":[[],[]]}', True),
        ('{"==":[[1],[1]]}', False),
        ('{"===":[[1],[1]]}', True),
        ('{"===":[[1],[1.0]]}', False),
        ('{"===":["1",1]}', False),
        ('{"===":[null,null]}', True),
        ('{"==":[" ",0]}', True),
        ('{"==":[" 1",1]}', False),
        ('{"==":[{"date":"2024-05-28T00:00:00Z"}," 2024-05-28T00:00:00Z "]}', True),
        ('{"==":[{"date":"2024-05-28T00:00:00Z"},"then"]}', False),
        ('{"==":[{"date":"2024-05-28T00:00:00Z"},1]}', False),
        ('{"in":[[1],[[1]]]}', True),
        ('{"in":[1.50,"cost 1.50"]}', True),
        ('{"in":["a"]}', False),
    ],
)
def test_equality_is_that_of_the_engine(rule: str, expected: bool):
    """The engine's own table: what it does not name is equal if both sides are false."""
    assert togai(rule) is expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('{"max":{"var":"list"}}', Decimal(3)),
        ('{"+":[{"var":"list"}]}', Decimal(6)),
        ('{"!":[[0]]}', True),
        ('{"!":{"var":"list"}}', False),
        ('{"cat":{"var":"list"}}', "123"),
        ('{"==":{"var":"pair"}}', True),
        ('{"log":{"var":"list"}}', Decimal(1)),
        ('{"merge":[[[1],2]]}', [Decimal(1), Decimal(2)]),
        ('{"missing":{"var":"names"}}', ["b"]),
        ('{"!":[]}', True),
        ('{"!!":[]}', False),
        ('{"+":[]}', None),
        ('{"+":[[1,2],3]}', None),
    ],
)
def test_lone_list_stands_for_the_operands(rule: str, expected: object):
    """`{"max": list}` is the largest of the list; a list among other operands is no number."""
    data = {"list": [Decimal(1), Decimal(2), Decimal(3)], "pair": ["a", "a"], "names": ["list", "b"]}
    assert typed(togai(rule, data)) == typed(expected)


def test_spread_list_of_the_wrong_length_is_an_error_with_its_place():
    """How many operands there are is known only then."""
    with pytest.raises(ExpressionError, match=r"^and\[0\]\.==: takes 2 operands, found 3"):
        togai('{"and":[{"==":{"var":"list"}}]}', {"list": [Decimal(1)] * 3})


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('{"cat":[1.50]}', "1.50"),
        ('{"cat":[1.00]}', "1.00"),
        ('{"cat":[10.0]}', "10"),
        ('{"cat":[3000000000.0]}', "-1294967296"),
        ('{"cat":[1E+2]}', "1E+2"),
        ('{"cat":["a",[1,"b",null,true]]}', "a[1, b, null, true]"),
        ('{"cat":[{"date":"2024-05-28T00:00:00Z"}]}', "2024-05-28T00:00Z"),
        ('{"substr":["tally",1]}', "ally"),
        ('{"substr":["tally",-2]}', "ly"),
        ('{"substr":["tally",1,2]}', "al"),
        ('{"substr":["tally",1,-1]}', "all"),
        ('{"substr":["tally",0,10]}', ""),
        ('{"substr":["tally",-9]}', ""),
        ('{"substr":["tally",4,-3]}', ""),
        ('{"substr":["tally",1.9]}', "ally"),
        ('{"substr":["\U0001f600ab",2]}', "ab"),
    ],
)
def test_text_is_that_of_java(rule: str, expected: str):
    """Numbers with their scale, lists in brackets, 32 bits where Java has an `int`, and UTF-16 to count in."""
    assert togai(rule) == expected


@pytest.mark.parametrize(
    "rule",
    [
        '{"substr":["tally",9]}',
        '{"substr":["tally",-9,5]}',
        '{"substr":["tally","1"]}',
        '{"substr":["\U0001f600",1]}',
        '{"in":[null,"text"]}',
        '{"filter":[1,true]}',
        '{"all":[null,true]}',
        '{"some":[1,true]}',
        '{"missing_some":["1",["a"]]}',
        '{"missing_some":[1,"a"]}',
        '{"var":["a",{"/":[1,0]}]}',
    ],
)
def test_what_fails_in_the_engine_fails_here(rule: str):
    """Where Java raises an exception, the event fails."""
    with pytest.raises(ExpressionError):
        togai(rule, {"a": "there"})


@pytest.mark.parametrize("rule", ['{"reduce":[[1],2]}', '{"<":[1]}', '{"==":[1]}', '{"date":["a","b"]}'])
def test_wrong_number_of_operands_is_refused_when_read(rule: str):
    """Only where the engine takes any number is any number taken."""
    with pytest.raises(Invalid, match="takes"):
        togai(rule)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('{"var":["null",7]}', Decimal(7)),
        ('{"var":["absent",{"var":"a"}]}', None),
        ('{"some":[null,true]}', False),
        ('{"none":[null,true]}', True),
        ('{"map":[1,true]}', []),
        ('{"reduce":[null,1,5]}', Decimal(5)),
        ('{"missing":["a","null","object","absent","absent"]}', ["object", "absent"]),
        ('{"missing":["object.inner"]}', []),
        ('{"missing_some":[1,["a","absent"]]}', []),
        ('{"missing_some":[2,["a","absent"]]}', ["absent"]),
    ],
)
def test_variables_are_looked_up_as_in_the_engine(rule: str, expected: object):
    """Null counts as absent for `var` and as present for `missing`; a default sees no data."""
    data: dict[str, Any] = {"a": "there", "null": None, "object": {"inner": ""}}
    assert typed(togai(rule, data)) == typed(expected)


def test_integers_of_the_data_are_numbers():
    """Data may have whole numbers as Python has them."""
    assert togai('{"==":[{"var":"n"},1]}', {"n": 1}) is True


def test_zero_is_never_negative():
    """Java has no negative zero."""
    assert togai('{"cat":["",{"*":[0,-1]}]}') == "0"
    assert text_of(None, Decimal("-0.00")) == "0.00"  # type: ignore[arg-type]  # a place is for errors only
