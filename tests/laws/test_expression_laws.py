"""Laws of expressions: exact whatever the rule, alike however compiled, and harmless whatever the text."""

import json
import re
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallybook.core.aggregation import Aggregation
from tallybook.core.decimals import plain_text
from tallybook.core.errors import Invalid
from tallybook.core.event_schema import AttributeDefinition, DimensionDefinition, EventSchema, SchemaStatus
from tallybook.core.expression import parse_rule
from tallybook.core.expression_check import always_yields, check_can_succeed
from tallybook.core.expression_compiler import SourceWriter, compile_rule, write_rule
from tallybook.core.expression_dialects import DIALECTS, EXACT_DIALECT
from tallybook.core.expression_functions import ExpressionError, number_or_none
from tallybook.core.expression_tree import Dialect
from tallybook.core.usage_meter import (
    Computation,
    MeterStatus,
    UnitsInvalid,
    UsageMeter,
    check_usage_meter,
    compile_meters,
)

SCHEMA = EventSchema(
    name="events",
    version=1,
    status=SchemaStatus.ACTIVE,
    attributes=(AttributeDefinition(name="a"), AttributeDefinition(name="b")),
    dimensions=(DimensionDefinition(name="d"),),
)
GENERATED = re.compile(r"(?:[a-z_]+[0-9]*|[()\[\],:=<>! ])+")

numbers = st.decimals(min_value=-(10**9), max_value=10**9, places=6).map(plain_text)
variables = st.sampled_from(["a", "b"]).map(lambda name: {"var": f"attributes.{name}"})
Tree = Any  # a number as text, or a dictionary of one operator


def arithmetic(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    several = st.lists(inner, min_size=1, max_size=6)
    pair = st.lists(inner, min_size=2, max_size=2)
    condition = st.builds(
        lambda operator, operands: {operator: operands}, st.sampled_from(["<", "<=", ">", ">=", "=="]), pair
    )
    return st.one_of(
        st.builds(lambda operator, operands: {operator: operands}, st.sampled_from(["+", "*", "min", "max"]), several),
        st.builds(lambda operands: {"-": operands}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda operands: {"%": operands}, pair),
        st.builds(lambda test, pair: {"if": [test, *pair]}, condition, pair),
    )


trees = st.recursive(st.one_of(numbers, variables), arithmetic, max_leaves=8)


def written(tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    ((operator, operands),) = tree.items()
    if operator == "var":
        return json.dumps(tree)
    return f'{{"{operator}":[{",".join(written(operand) for operand in operands)}]}}'


def by_fractions(tree: Tree, values: dict[str, Fraction]) -> Any:
    """The same arithmetic on fractions of integers; None where it divides by zero."""
    if isinstance(tree, str):
        return Fraction(tree)
    ((operator, operands),) = tree.items()
    if operator == "var":
        return values[operands]
    if operator == "if":
        test = by_fractions(operands[0], values)
        return None if test is None else by_fractions(operands[1 if test else 2], values)
    results = [by_fractions(operand, values) for operand in operands]
    return None if None in results else _applied(operator, results)


def _applied(operator: str, results: list[Fraction]) -> Any:
    first, last = results[0], results[-1]
    match operator:
        case "+":
            return sum(results, Fraction(0))
        case "*":
            product = Fraction(1)
            for each in results:
                product *= each
            return product
        case "-":
            return first - last if len(results) > 1 else -first
        case "min" | "max":
            return min(results) if operator == "min" else max(results)
        case "%":
            return None if last == 0 else first - last * int(first / last)
        case "<" | "<=" | ">" | ">=" | "==":
            return {"<": first < last, "<=": first <= last, ">": first > last, ">=": first >= last}.get(
                operator, first == last
            )
    raise AssertionError(operator)


def summing(*rules: str) -> list[UsageMeter]:
    return [
        UsageMeter(
            meter_id=f"meter.{index}",
            version=1,
            name=f"meter {index}",
            status=MeterStatus.ACTIVE,
            aggregation=Aggregation.SUM,
            schema_name=SCHEMA.name,
            computations=(Computation(computation=rule),),
        )
        for index, rule in enumerate(rules)
    ]


@given(tree=trees, a=numbers, b=numbers)
@settings(deadline=None)
def test_arithmetic_equals_that_of_fractions(tree: Tree, a: str, b: str):
    """No digit is lost or invented, in a rule over data as in the one function of several meters."""
    expected = by_fractions(tree, {"attributes.a": Fraction(a), "attributes.b": Fraction(b)})
    rule = written(tree)
    evaluate = compile_rule(parse_rule(rule))
    meters = compile_meters(SCHEMA, summing('{"var":"attributes.b"}', rule, '{"var":"attributes.a"}'))
    data = {"attributes": {"a": Decimal(a), "b": Decimal(b)}}
    if expected is None:
        for failing, arguments in ((evaluate, (data,)), (meters, ({"a": a, "b": b}, {"d": ""}))):
            try:
                failing(*arguments)
            except (ExpressionError, UnitsInvalid):
                continue
            raise AssertionError("a division by zero went unnoticed")
        return
    result = evaluate(data)
    assert isinstance(result, Decimal)
    assert Fraction(result) == expected
    assert meters({"a": a, "b": b}, {"d": ""}) == (Decimal(b), result, Decimal(a))


@given(dividend=numbers, divisor=numbers.filter(lambda text: Decimal(text) != 0))
def test_quotient_is_the_nearest_of_34_digits(dividend: str, divisor: str):
    """A quotient is off by at most half a unit of its 34th digit."""
    result = compile_rule(parse_rule(f'{{"/":[{dividend},{divisor}]}}'))(None)
    assert isinstance(result, Decimal)
    exact = Fraction(dividend) / Fraction(divisor)
    unit = Fraction(10) ** (result.adjusted() - 33)
    assert abs(Fraction(result) - exact) <= unit / 2


texts = st.text(max_size=30)


every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


@every_dialect
@given(text=texts)
def test_text_is_only_ever_a_value(text: str, dialect: Dialect):
    """Any text gives itself back, and never occurs in generated source, which is made of generated names alone."""
    quoted = json.dumps(text)
    rule = parse_rule(
        f'{{"cat":[{{"var":[{quoted},{quoted}]}},{{"if":[{{"in":[{quoted},[{quoted}]]}},"",0]}}]}}', dialect=dialect
    )
    for inline in (True, False):
        source = write_rule(rule, SourceWriter(inline=inline), data="data").value.source
        assert GENERATED.fullmatch(source)
    assert text == "" or compile_rule(rule)(None) == text


@every_dialect
@given(text=st.one_of(texts, st.text(alphabet='[]{}",:0123456789.eE+-<>!=%*/andorivt ', max_size=60)))
def test_any_text_is_a_rule_or_invalid(text: str, dialect: Dialect):
    """Reading a rule ends in a rule or in `Invalid`, nothing else."""
    with suppress(Invalid):
        compile_rule(parse_rule(text, dialect=dialect))


dates = st.sampled_from(["2024-05-28T00:00:00Z", "2024-05-27T16:00:00.5-0800", "P1Y2M3DT4H5M6.7S", "-PT36H", "DAYS"])
names = st.sampled_from(["1", "", "a", "a.0"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), texts, names, dates)
operators = st.sampled_from(sorted([*EXACT_DIALECT.operators, *EXACT_DIALECT.forms]))


def operations(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=3),
        st.builds(lambda operator, operands: {operator: operands}, operators, st.lists(inner, max_size=3)),
    )


rules = st.recursive(scalars, operations, max_leaves=12)
data_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner)),
    max_leaves=6,
)


@every_dialect
@given(rule=rules, data=data_values)
@settings(deadline=None, max_examples=300)
def test_any_rule_on_any_data_yields_a_value_or_an_expression_error(rule: Any, data: Any, dialect: Dialect):
    """No combination of operators and values ends in another exception."""
    try:
        evaluate = compile_rule(parse_rule(json.dumps(rule), dialect=dialect))
    except Invalid:
        return
    with suppress(ExpressionError):
        evaluate(data)


@every_dialect
@given(rule=rules, data=data_values)
@settings(deadline=None, max_examples=300)
def test_rule_is_refused_only_if_it_fails_whatever_the_data(rule: Any, data: Any, dialect: Dialect):
    """What cannot be saved fails, and what is known to have one value has it or fails."""
    try:
        parsed = parse_rule(json.dumps(rule), dialect=dialect)
    except Invalid:
        return
    evaluate = compile_rule(parsed)
    try:
        check_can_succeed(parsed)
    except Invalid:
        with pytest.raises(ExpressionError):
            evaluate(data)
        return
    for value in always_yields(parsed):
        with suppress(ExpressionError):  # a number in it may be out of bounds
            assert evaluate(data) == value


meter_leaves = st.one_of(
    st.sampled_from([{"var": "attributes.a"}, {"var": "attribute.b"}, {"var": "dimensions.d"}]),
    st.sampled_from([{"some": [[1, 2], {"==": [{"var": ""}, 1]}]}, {"missing": ["dimensions.d"]}]),
    scalars,
)
meter_rules = st.recursive(meter_leaves, operations, max_leaves=12)


@every_dialect
@given(matcher=meter_rules, computation=meter_rules, a=numbers, d=st.sampled_from(["", "0", "1", "x"]))
@settings(deadline=None, max_examples=300)
def test_meters_together_equal_the_rules_alone(matcher: Any, computation: Any, a: str, d: str, dialect: Dialect):
    """The fast function of a schema gives what its matcher and computation give as plain rules over the event."""
    meter = UsageMeter(
        meter_id="meter.0",
        version=1,
        name="meter",
        status=MeterStatus.ACTIVE,
        aggregation=Aggregation.SUM,
        schema_name=SCHEMA.name,
        computations=(Computation(matcher=json.dumps(matcher), computation=json.dumps(computation)),),
    )
    try:
        check_usage_meter(meter, SCHEMA, dialect=dialect)
    except Invalid:
        return
    attributes = {"a": a, "b": "2"}
    read = attributes if dialect.attributes_are_text else {name: Decimal(text) for name, text in attributes.items()}
    data = {"attributes": read, "attribute": read, "dimensions": {"d": d}, "dimension": {"d": d}}
    assert _units(meter, attributes, d, dialect) == _by_rules(matcher, computation, data, dialect)


def _units(meter: UsageMeter, attributes: dict[str, str], d: str, dialect: Dialect) -> Any:
    try:
        return compile_meters(SCHEMA, [meter], dialect=dialect)(attributes, {"d": d})[0]
    except UnitsInvalid:
        return "failure"


def _by_rules(matcher: Any, computation: Any, data: Any, dialect: Dialect) -> Any:
    def value(rule: Any) -> Any:
        return compile_rule(parse_rule(json.dumps(rule), dialect=dialect))(data)

    try:
        if not value({"if": [matcher, True, False]}):
            return None
        found = number_or_none(value(computation))
    except ExpressionError:
        return "failure"
    return "failure" if found is None else found
