"""Rules that can never work are refused when somebody saves them, and rules that may work are not."""

from decimal import Decimal
from time import process_time

import pytest

from tallybook.core.errors import Invalid
from tallybook.core.expression import RULE_CHARACTERS_MAX, parse_rule
from tallybook.core.expression_check import always_yields, check_can_succeed, rule_to_save
from tallybook.core.expression_dialects import DIALECTS


def saved(rule: str, dialect: str = "exact") -> None:
    rule_to_save(rule, dialect=DIALECTS[dialect], place="computation")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('{"/":[1,0]}', "/: division by zero"),
        ('{"/":[{"var":"a"},0]}', "/: division by zero"),
        ('{"%":[{"var":"a"},{"-":[1,1]}]}', "%: division by zero"),
        ('{"+":[{"var":"a"},null]}', "+: needs a number, not null"),
        ('{"+":[{"var":"a"},"x"]}', "+: needs a number, not the text 'x'"),
        ('{"*":[2,{"==":[{"var":"a"},1]}]}', "*: needs a number, not true"),
        ('{"max":[{"var":"a"},[1]]}', "max: needs a number, not an array"),
        ('{"cat":[{"var":"a"},null]}', "cat: needs text, a number or a boolean, not null"),
        ('{"substr":[{"var":"a"},0.5]}', "substr: needs a whole number"),
        ('{"duration.of":[{"var":"a"},"FORTNIGHTS"]}', "duration.of: needs a unit"),
        ('{"duration.as":[{"var":"a"},"YEARS"]}', "duration.as: a duration has no fixed number of YEARS"),
        ('{"if":[{"/":[1,0]},1,2]}', "if[0]./: division by zero"),
        ('{"and":[{"<":[1,{"+":[null]}]},1]}', "and[0].<[1].+: needs a number"),
        ('{"map":[[1,0],{"/":[1,{"var":""}]}]}', "map[1]./: division by zero"),
        ('[1,{"+":["x"]}]', "[1].+: needs a number"),
        ('{"reduce":[{"var":"a"},1,{"/":[1,0]}]}', "reduce[2]./: division by zero"),
        ('{"today":[]}', "the rule: unknown operator 'today'"),
        ('{"-":[9,3,2]}', "-: '-' takes 1 to 2 operands, found 3"),
    ],
)
def test_rule_that_can_never_work_is_refused(rule: str, message: str):
    """The refusal says where it was to be saved, the operator and the place in the rule, and what is wrong."""
    with pytest.raises(Invalid) as caught:
        saved(rule)
    assert caught.value.message.startswith(f"computation: {message}")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "rule",
    [
        '{"if":[{"var":"a"},{"/":[1,0]},1]}',
        '{"and":[{"var":"a"},{"/":[1,0]}]}',
        '{"or":[{"var":"a"},{"/":[1,0]}]}',
        '{"map":[{"var":"a"},{"/":[1,0]}]}',
        '{"/":[1,{"var":"a"}]}',
        '{"/":[{"var":"a"},{"var":"b"}]}',
        '{"-":[{"var":"a"}]}',
        '{"<":[{"var":"a"},"x"]}',
        '{"==":[{"var":"a"},null]}',
        '{"in":[{"var":"a"},["x",null]]}',
        '{"in":[null,{"var":"a"}]}',
        '{"cat":["a",{"var":"a"},1]}',
        '{"substr":[{"var":"a"},{"var":"b"},{"var":"c"}]}',
        '{"substr":["text",{"var":"b"},2]}',
        '{"date":{"var":"a"}}',
        '{"date.add":[{"var":"a"},{"var":"b"}]}',
        '{"date.add":[{"var":"a"},{"cat":["P",{"var":"b"},"D"]}]}',
        '{"duration.of":[{"var":"a"},{"var":"b"}]}',
        '{"duration.as":[{"var":"a"},{"var":"b"}]}',
        '{"duration.as":[{"duration.between":[{"var":"a"},{"var":"b"}]},"DAYS"]}',
        '{"missing_some":[1,["a"]]}',
        '{"+":[{"cat":["1",{"var":"a"}]},1]}',
        '{"+":[{"if":[{"var":"a"},1,null]},1]}',
        '{"reduce":[[1,2],{"+":[{"var":"current"},{"var":"accumulator"}]},0]}',
        '{"filter":[{"var":"a"},{"var":""}]}',
    ],
)
def test_rule_that_may_work_is_saved(rule: str, dialect: str):
    """Whatever depends on the data, or on a condition, is the events' business."""
    saved(rule, dialect)


@pytest.mark.parametrize(
    "rule",
    [
        '{"/":[1,0]}',
        '{"date":"then"}',
        '{"filter":[1,true]}',
        '{"cat":[{"var":"a"},null]}',
        '{"var":["a",{"/":[1,0]}]}',
    ],
)
def test_togai_refuses_what_always_fails_in_the_engine(rule: str):
    """Null is no failure there, an exception is."""
    with pytest.raises(Invalid):
        saved(rule, "togai")


@pytest.mark.parametrize(
    ("rule", "dialect", "values"),
    [
        ('{"*":[24,60]}', "exact", [Decimal(1440)]),
        ('{"date":"then"}', "exact", [None]),
        ('{"date.add":[{"var":"a"},"a day"]}', "exact", [None]),
        ('{"+":[{"var":"a"},1]}', "exact", []),
        ('{"if":[{"var":"a"},null,null]}', "exact", []),
        ('{"+":[{"var":"a"},null]}', "togai", [None]),
        ('{"/":[{"var":"a"}]}', "togai", [None]),
        ('{"/":[{"var":"a"},3]}', "togai", []),
        ('{"-":[{"var":"a"},3,"x"]}', "togai", [None]),
    ],
)
def test_value_that_no_event_changes_is_known(rule: str, dialect: str, values: list[object]):
    """A rule that reads nothing has its value, and one whose operator can only be null is null."""
    assert always_yields(parse_rule(rule, dialect=DIALECTS[dialect])) == values


@pytest.mark.parametrize("dialect", DIALECTS)
def test_checking_the_largest_rules_is_quick(dialect: str):
    """What is tried in the place of variables does not multiply with the size of the rule."""
    big = "9" * 500
    operands = ",".join([f'{{"var":"{name}"}}' for name in "ab"] + [big] * ((RULE_CHARACTERS_MAX - 200) // 510))
    nested = '{"var":"a"}'
    for _ in range(29):
        nested = f'{{"+":[{nested},{{"var":"b"}},2]}}'
    before = process_time()
    check_can_succeed(parse_rule(f'{{"*":[{operands}]}}', dialect=DIALECTS[dialect]))
    check_can_succeed(parse_rule(nested, dialect=DIALECTS[dialect]))
    assert process_time() - before < 5
