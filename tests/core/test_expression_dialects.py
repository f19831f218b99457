"""The two dialects side by side: the published cases, and the contract's table of what Togai's engine does."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from contract import DOCUMENTS
from expression_samples import evaluate, typed

from tallybook.core.decimals import QUANTITY_DIGITS_MAX
from tallybook.core.errors import Invalid
from tallybook.core.expression import RULE_CHARACTERS_MAX, RULE_NESTING_MAX, RULE_NODES_MAX
from tallybook.core.expression_dialects import DIALECTS, EXACT_DIALECT, TOGAI_DIALECT
from tallybook.core.expression_functions import ITEMS_WALKED_MAX, LIST_ITEMS_MAX, TEXT_CHARACTERS_MAX, ExpressionError
from tallybook.core.expression_lookup import STEPS_MAX
from tallybook.core.expression_tree import Kind
from tallybook.core.moment import Moment, moment_from_text
from tallybook.core.usage_meter import COMPUTATION_CHARACTERS_MAX, MATCHER_CHARACTERS_MAX

OFFICIAL = DOCUMENTS / "jsonlogic-official-tests.json"
OPERATORS = (
    "+ - * / % min max > >= < <= if ?: == != === !== ! !! and or log map filter reduce all some none merge in cat "
    "substr missing missing_some var date date.add date.sub duration.of duration.between duration.as"
)  # as the contract lists them

ERROR = "error"  # refused when read, or when evaluated
UTC_MIDNIGHT = "2024-05-28T00:00:00Z"
SAME_INSTANT = '[{"date":"2024-05-28T00:00:00Z"},{"date":"2024-05-27T16:00:00-08:00"}]'


def outcome(rule: str, dialect: str) -> object:
    try:
        return typed(evaluate(rule, dialect=dialect))
    except (Invalid, ExpressionError):
        return ERROR


def wanted(value: object) -> object:
    return value if value is ERROR else typed(value)


def digits(value: object) -> object:
    """A number as it is written, which tells 6 from 6.0000."""
    return str(value) if isinstance(value, Decimal) else value


def moment(text: str) -> Moment:
    found = moment_from_text(text, colonless_offset=True)
    assert found is not None
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_official_case_holds(dialect: str):
    """All cases that jsonlogic.com publishes give the published result, numbers by value, in both dialects."""
    if not OFFICIAL.exists():
        pytest.skip(f"the published cases are absent: no {OFFICIAL.name} beside this project")
    cases = json.loads(OFFICIAL.read_text(), parse_int=Decimal, parse_float=Decimal)["tests"]
    assert len(cases) == 278
    failures = [
        (rule, data, expected)
        for rule, data, expected in cases
        if typed(evaluate(_written(rule), data, dialect=dialect)) != typed(expected)
    ]
    assert failures == []


def _written(value: Any) -> str:
    """JSON text; the json module cannot write a Decimal."""
    match value:
        case Decimal():
            return str(value)
        case list():
            return f"[{', '.join(_written(item) for item in value)}]"
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)}: {_written(item)}" for key, item in value.items()) + "}"
        case _:
            return json.dumps(value)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_dialect_has_the_41_operators(dialect: Any):
    """Both have the operators of the engine, and no others: `contains` was removed from it."""
    names = OPERATORS.split()
    assert len(names) == 41
    assert sorted([*dialect.operators, *dialect.forms]) == sorted(names)


def test_only_exact_arithmetic_always_yields_numbers():
    """The compiler may rely on it in one dialect; in the other a sum may be null."""
    assert EXACT_DIALECT.operators["+"].result is Kind.NUMBER
    assert TOGAI_DIALECT.operators["+"].result is Kind.ANY


# ---- the table of numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "togai", "exact"),
    [
        ('{"/":[1,3]}', Decimal("0.3333"), Decimal("0." + "3" * 34)),
        ('{"/":[2,3]}', Decimal("0.6667"), Decimal("0." + "6" * 33 + "7")),
        ('{"/":[1,100000]}', Decimal("0.0000"), Decimal("0.00001")),
        ('{"/":[1,20000]}', Decimal("0.0001"), Decimal("0.00005")),  # half up
        ('{"/":[-1,20000]}', Decimal("-0.0001"), Decimal("-0.00005")),
        ('{"/":[10,2]}', Decimal("5.0000"), Decimal(5)),
        ('{"/":[1,0]}', ERROR, ERROR),
        ('{"/":[5]}', None, ERROR),
        ('{"-":[9,3,2]}', Decimal(6), ERROR),
        ('{"/":[9,3,2]}', Decimal("3.0000"), ERROR),
        ('{"%":[9,4,2]}', Decimal(1), ERROR),
        ('{"+":["3","4"]}', Decimal(7), Decimal(7)),
        ('{"+":[1,null]}', None, ERROR),
        ('{"*":[true,2]}', None, ERROR),
        ('{"+":["x",1]}', None, ERROR),
        ('{"+":["x"]}', ERROR, ERROR),
        ('{"max":[1,null]}', None, ERROR),
        ('{"-":[5]}', Decimal(-5), Decimal(-5)),
        ('{"-":["5"]}', Decimal(5), Decimal(-5)),
        ('{"%":[-7,3]}', Decimal(-1), Decimal(-1)),
        ('{"==":[1,1.0]}', False, True),
        ('{"!=":[1,1.0]}', True, False),
        ('{"===":[1,1.0]}', True, True),
        ('{"==":["1.0",1]}', True, True),
        ('{"==":["",0]}', True, True),
        ('{"==":[null,0]}', False, False),
        ('{"in":["1",[1]]}', False, False),
        ('{"in":[1.0,[1]]}', False, True),
        ('{"in":["Spring","Springfield"]}', True, True),
        ('{"<":[1,2,3]}', True, True),
        ('{"<=":[1,1,3]}', True, True),
        ('{">":[3,2,1]}', ERROR, ERROR),
        ('{">=":[3,2,1]}', ERROR, ERROR),
        ('{">":[null,1]}', False, False),
        ('{"<":["a",1]}', False, False),
        ('{"<":[{"date":"2024-05-28T00:00:00Z"},1]}', False, False),
        ('{"var":"missing"}', None, None),
        ('{"var":["missing",7]}', Decimal(7), Decimal(7)),
        ('{"all":[[],true]}', False, False),
        ('{"some":[[],true]}', False, False),
        ('{"none":[[],true]}', True, True),
        ('{"cat":["a",1.0]}', "a1", "a1"),
        ('{"cat":["a",null]}', ERROR, ERROR),
        ('{"in":["US","US","IN"]}', True, ERROR),
        ('{"and":[]}', ERROR, ERROR),
        ("{}", ERROR, ERROR),
        ('{"+":[1],"-":[1]}', ERROR, ERROR),
        ('{"nope":[1]}', ERROR, ERROR),
        ('{"contains":["a","b"]}', ERROR, ERROR),
        ("1", Decimal(1), Decimal(1)),
        ('"1"', "1", "1"),
        ('{"!!":["0"]}', True, True),
        ('{"!!":[""]}', False, False),
        ('{"!!":[0]}', False, False),
        ('{"!!":[[]]}', False, False),
        ('{"!!":[null]}', False, False),
    ],
)
def test_numbers_are_those_of_the_contracts_table(rule: str, togai: object, exact: object):
    """Each row of the table as the engine has it, and beside it what exact decimals make of the rule."""
    assert outcome(rule, "togai") == wanted(togai)
    assert outcome(rule, "exact") == wanted(exact)


def test_quotient_keeps_four_places_in_togai():
    """`{"/":[10,2]}` is 5.0000 there, and that it has places shows: it does not equal 5."""
    assert digits(evaluate('{"/":[10,2]}', dialect="togai")) == "5.0000"
    assert digits(evaluate('{"/":[1,100000]}', dialect="togai")) == "0.0000"
    assert evaluate('{"==":[{"/":[10,2]},5]}', dialect="togai") is False
    assert evaluate('{"==":[{"/":[10,2]},"5"]}', dialect="togai") is True


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dotted_paths_and_list_indexes_are_followed(dialect: str):
    """`a.1.b` is the member b of the second item of a."""
    data = {"a": [Decimal(1), {"b": "found"}]}
    assert evaluate('{"var":"a.1.b"}', data, dialect=dialect) == "found"
    assert evaluate('{"var":"a.2.b"}', data, dialect=dialect) is None


# ---- the table of dates and durations --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "togai", "exact"),
    [
        ('{"==":[{"date":"2024-05-28T00:00:00Z"},"2024-05-28T00:00:00Z"]}', True, True),
        (f'{{"==":{SAME_INSTANT}}}', True, True),
        (f'{{"===":{SAME_INSTANT}}}', False, False),
        ('{"date":"2024-05-27T16:00:00-0800"}', ERROR, moment("2024-05-27T16:00:00-08:00")),
        ('{"==":[{"date":"2024-05-27T16:00:00-0800"},"2024-05-28T00:00:00Z"]}', ERROR, True),
        ('{"date":"non-date string"}', ERROR, None),
        ('{"date":5}', False, None),
        ('{"date.add":["2024-05-28T00:00:00Z","PT24H"]}', "2024-05-29T00:00Z", "2024-05-29T00:00Z"),
        ('{"date.sub":["2024-05-28T00:00:00Z","PT24H"]}', "2024-05-27T00:00Z", "2024-05-27T00:00Z"),
        ('{"date.add":["2024-01-31T00:00:00Z","P1M"]}', "2024-02-29T00:00Z", "2024-02-29T00:00Z"),
        ('{"date.add":["2024-05-28T00:00:00Z","-P1D"]}', "2024-05-29T00:00Z", "2024-05-27T00:00Z"),
        (
            '{"date.add":["2024-05-28T00:00:00Z","P1Y2M3DT4H5M6.7S"]}',
            "2025-07-31T04:05:06Z",
            "2025-07-31T04:05:06.700Z",
        ),
        (
            '{"date.add":["2024-05-28T00:00:00+05:30","PT1H"]}',
            "2024-05-28T01:00+05:30",
            "2024-05-28T01:00+05:30",
        ),
        ('{"date.add":["yesterday","PT1H"]}', None, None),
        ('{"date.add":["2024-05-28T00:00:00Z","an hour"]}', None, None),
        ('{"date.add":["2024-05-28T00:00:00Z","P1W"]}', None, "2024-06-04T00:00Z"),
        ('{"date.add":[{"date":"2024-05-28T00:00:00Z"},"PT1H"]}', None, "2024-05-28T01:00Z"),
        ('{"date.add":["2024-05-28T00:00:00Z"]}', ERROR, ERROR),
        ('{"date.add":["2024-05-28T00:00:00Z","PT1H","PT1H"]}', ERROR, ERROR),
        ('{">":[{"date":"2024-05-28T00:00:00Z"},{"date":"2024-05-27T00:00:00Z"}]}', False, True),
        ('{"duration.between":["2024-05-01T00:00:00Z","2024-06-01T00:00:00Z"]}', "PT744H", "PT744H"),
        ('{"duration.between":["2024-06-01T00:00:00Z","2024-05-01T00:00:00Z"]}', "PT-744H", "PT-744H"),
        ('{"duration.of":[100,"DAYS"]}', "PT2400H", "P100D"),
        ('{"duration.of":["100","DAYS"]}', "PT2400H", "P100D"),
        ('{"duration.of":[100,"SECONDS"]}', "PT1M40S", "PT1M40S"),
        ('{"duration.of":[2,"WEEKS"]}', None, "P2W"),
        ('{"duration.of":[2,"MONTHS"]}', None, "P2M"),
        ('{"duration.of":[2,"YEARS"]}', None, "P2Y"),
        ('{"duration.of":[2,"MINUTES"]}', "PT2M", "PT2M"),
        ('{"duration.of":[2,"HOURS"]}', "PT2H", "PT2H"),
        ('{"duration.of":[2,"MILLIS"]}', "PT0.002S", "PT0.002S"),
        ('{"duration.of":[1,"days"]}', None, "P1D"),
        ('{"duration.of":[1.5,"DAYS"]}', None, "PT36H"),
        ('{"duration.as":["PT24H","DAYS"]}', Decimal(1), Decimal(1)),
        ('{"duration.as":["PT47H","DAYS"]}', Decimal(1), Decimal(1)),
        ('{"duration.as":["-PT47H","DAYS"]}', Decimal(-1), Decimal(-1)),
        ('{"duration.as":["P1M","DAYS"]}', None, None),
        ('{"duration.as":["PT744H","WEEKS"]}', None, Decimal(4)),
        ('{"duration.as":["PT744H","MONTHS"]}', None, ERROR),
        ('{"duration.as":["PT1.5S","MILLIS"]}', Decimal(1500), Decimal(1500)),
        ('{"duration.as":["PT90S","MINUTES"]}', Decimal(1), Decimal(1)),
        ('{"duration.as":["PT-0.5S","MILLIS"]}', Decimal(-500), Decimal(-500)),
        ('{"duration.as":["PT-0.5S","SECONDS"]}', Decimal(-1), Decimal(0)),
        ('{"duration.as":["PT-0.5S","MINUTES"]}', Decimal(0), Decimal(0)),
    ],
)
def test_dates_are_those_of_the_contracts_table(rule: str, togai: object, exact: object):
    """Each row of the table as the engine has it, and beside it the lenient reading of Togai's documentation."""
    assert outcome(rule, "togai") == wanted(togai)
    assert outcome(rule, "exact") == wanted(exact)


FREE_PHOTOS = """
    {"max": [{"-": [{"var": "usage"}, {"*": [{"duration.as": [{"duration.between": [{"var": "start"}, {"var": "end"}]},
    "DAYS"]}, 75]}]}, 0]}
"""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_documented_rule_for_free_photos_works_by_duration_as(dialect: str):
    """May 2024 has 31 days: 31 × 75 = 2325 free photos; of 3000, 675 are left to pay, of 2000 none."""
    month = {"start": "2024-05-01T00:00:00Z", "end": "2024-06-01T00:00:00Z"}
    assert evaluate(FREE_PHOTOS, {**month, "usage": Decimal(3000)}, dialect=dialect) == 675
    assert evaluate(FREE_PHOTOS, {**month, "usage": Decimal(2000)}, dialect=dialect) == 0


def test_documented_rule_that_multiplies_a_duration_is_null_in_togai():
    """A duration is text, so the product is null there, and an error with its place in the exact dialect."""
    rule = '{"*":[{"duration.between":["2024-05-01T00:00:00Z","2024-06-01T00:00:00Z"]},75]}'
    assert evaluate(rule, dialect="togai") is None
    with pytest.raises(ExpressionError, match=r"^\*: needs a number, not the text 'PT744H'"):
        evaluate(rule)


# ---- what the page for users says ------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "expressions.md"
DIFFERENCE = re.compile(r"\| `([^`]+)` \| (?:`([^`]+)`|error) \| (?:`([^`]+)`|error) \|")


def test_differences_on_the_page_are_true():
    """Every row of the table of differences is what the dialects make of its rule, to the digit."""
    rows = [match.groups() for match in map(DIFFERENCE.fullmatch, PAGE.read_text().splitlines()) if match]
    assert len(rows) == 21
    for rule, exact, togai in rows:
        assert (_shown(rule, "exact"), _shown(rule, "togai")) == (exact, togai), rule


def _shown(rule: str, dialect: str) -> str | None:
    try:
        return _written(evaluate(rule, dialect=dialect))
    except (Invalid, ExpressionError):
        return None


def test_page_lists_the_operators():
    """All 41, in the order of the contract."""
    line = next(line for line in PAGE.read_text().splitlines() if line.startswith("`+` `-`"))
    assert line.replace("`", "") == OPERATORS


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("characters of a rule", RULE_CHARACTERS_MAX),
        (
            "characters of a matcher, and of a computation",
            f"{MATCHER_CHARACTERS_MAX}, and {COMPUTATION_CHARACTERS_MAX}",
        ),
        ("values and operators of a rule", RULE_NODES_MAX),
        ("nesting", RULE_NESTING_MAX),
        ("digits of a number, before and after the point", QUANTITY_DIGITS_MAX),
        ("characters of a text that an operator makes", TEXT_CHARACTERS_MAX),
        ("items of a list that `merge` makes", LIST_ITEMS_MAX),
        ("items of a result, all lists together", ITEMS_WALKED_MAX),
        ("steps of all visits of one evaluation", STEPS_MAX),
    ],
)
def test_page_has_the_limits(limit: str, value: object):
    """The numbers are those of the code."""
    assert f"| {limit} | {value} |" in PAGE.read_text().splitlines()
