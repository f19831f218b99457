"""The dialects: what each operator's name stands for.

`exact` is the standard of jsonlogic.com on exact decimals. It differs from the JavaScript reference on purpose:
arithmetic on what is not a number is an error (JavaScript: NaN), text is compared as the number it spells or not at
all, `/` rounds at 34 digits, and a wrong number of operands is refused when the rule is read.

`togai` is Togai's engine, digit for digit: for organisations that want the bills they had before.
"""

from collections.abc import Callable, Mapping

from tallybook.core import expression_dates as dates
from tallybook.core import expression_functions as functions
from tallybook.core import expression_inline as inline
from tallybook.core import expression_lookup as lookup
from tallybook.core import expression_togai as togai
from tallybook.core import expression_togai_dates as togai_dates
from tallybook.core import expression_togai_lookup as togai_lookup
from tallybook.core.expression_tree import Dialect, Form, Inline, Kind, Operator


def _operator(
    function: Callable[..., object], least: int, most: int | None, result: Kind, written: Inline | None = None
) -> Operator:
    return Operator(function=function, operands_min=least, operands_max=most, result=result, inline=written)


def _form(least: int, most: int | None) -> Form:
    return Form(operands_min=least, operands_max=most)


EXACT_DIALECT = Dialect(
    name="exact",
    operators={
        "+": _operator(functions.add, 0, None, Kind.NUMBER, inline.chained("exact_add")),
        "*": _operator(functions.multiply, 1, None, Kind.NUMBER, inline.chained("exact_multiply")),
        "-": _operator(functions.subtract, 1, 2, Kind.NUMBER, inline.chained("exact_subtract")),
        "/": _operator(functions.divide_rounding, 2, 2, Kind.NUMBER),
        "%": _operator(functions.remainder, 2, 2, Kind.NUMBER),
        "min": _operator(functions.minimum, 1, None, Kind.NUMBER),
        "max": _operator(functions.maximum, 1, None, Kind.NUMBER),
        "<": _operator(functions.less, 2, 3, Kind.BOOLEAN, inline.compared("<")),
        "<=": _operator(functions.less_or_equal, 2, 3, Kind.BOOLEAN, inline.compared("<=")),
        ">": _operator(functions.greater, 2, 2, Kind.BOOLEAN, inline.compared(">")),
        ">=": _operator(functions.greater_or_equal, 2, 2, Kind.BOOLEAN, inline.compared(">=")),
        "==": _operator(functions.equal, 2, 2, Kind.BOOLEAN, inline.equated("==", loosely=True)),
        "===": _operator(functions.same, 2, 2, Kind.BOOLEAN, inline.equated("==", loosely=False)),
        "!=": _operator(functions.unequal, 2, 2, Kind.BOOLEAN, inline.equated("!=", loosely=True)),
        "!==": _operator(functions.differs, 2, 2, Kind.BOOLEAN, inline.equated("!=", loosely=False)),
        "in": _operator(functions.contains, 2, 2, Kind.BOOLEAN, inline.found_in),
        "cat": _operator(functions.cat, 0, None, Kind.TEXT),
        "substr": _operator(functions.substr, 2, 3, Kind.TEXT),
        "merge": _operator(functions.merge, 0, None, Kind.ANY),
        "log": _operator(functions.log, 1, 1, Kind.ANY),
        "date": _operator(dates.date, 1, 1, Kind.ANY),
        "date.add": _operator(dates.date_add, 2, 2, Kind.ANY),
        "date.sub": _operator(dates.date_subtract, 2, 2, Kind.ANY),
        "duration.of": _operator(dates.duration_of, 2, 2, Kind.ANY),
        "duration.between": _operator(dates.duration_between, 2, 2, Kind.ANY),
        "duration.as": _operator(dates.duration_as, 2, 2, Kind.ANY),
    },
    forms={
        "var": _form(0, 2),
        "missing": _form(0, None),
        "missing_some": _form(2, 2),
        "if": _form(0, None),
        "?:": _form(0, None),
        "and": _form(1, None),
        "or": _form(1, None),
        "!": _form(1, 1),
        "!!": _form(1, 1),
        "map": _form(2, 2),
        "filter": _form(2, 2),
        "all": _form(2, 2),
        "some": _form(2, 2),
        "none": _form(2, 2),
        "reduce": _form(2, 3),
    },
    find=lookup.find,
    missing=lookup.missing,
    missing_some=lookup.missing_some,
    visits={
        "map": lookup.map_items,
        "filter": lookup.filter_items,
        "all": lookup.all_items,
        "some": lookup.some_items,
        "none": lookup.none_items,
        "reduce": lookup.reduce_items,
    },
    text_of=functions.text_of,
    default_sees_data=True,
    lone_list_spreads=False,
    attributes_are_text=False,
)

TOGAI_DIALECT = Dialect(
    name="togai",
    operators={
        "+": _operator(togai.add, 0, None, Kind.ANY),
        "*": _operator(togai.multiply, 0, None, Kind.ANY),
        "-": _operator(togai.subtract, 0, None, Kind.ANY),
        "/": _operator(togai.divide, 0, None, Kind.ANY),
        "%": _operator(togai.remainder, 0, None, Kind.ANY),
        "min": _operator(togai.minimum, 0, None, Kind.ANY),
        "max": _operator(togai.maximum, 0, None, Kind.ANY),
        "<": _operator(togai.less, 2, 3, Kind.BOOLEAN),
        "<=": _operator(togai.less_or_equal, 2, 3, Kind.BOOLEAN),
        ">": _operator(togai.greater, 2, 2, Kind.BOOLEAN),
        ">=": _operator(togai.greater_or_equal, 2, 2, Kind.BOOLEAN),
        "==": _operator(togai.equal, 2, 2, Kind.BOOLEAN),
        "===": _operator(togai.same, 2, 2, Kind.BOOLEAN),
        "!=": _operator(togai.unequal, 2, 2, Kind.BOOLEAN),
        "!==": _operator(togai.differs, 2, 2, Kind.BOOLEAN),
        "!": _operator(togai.is_false, 0, None, Kind.BOOLEAN),
        "!!": _operator(togai.is_true, 0, None, Kind.BOOLEAN),
        "in": _operator(togai.contains, 0, None, Kind.BOOLEAN),
        "cat": _operator(togai.cat, 0, None, Kind.TEXT),
        "substr": _operator(togai.substr, 2, 3, Kind.TEXT),
        "merge": _operator(functions.merge, 0, None, Kind.ANY),
        "log": _operator(togai.log, 1, None, Kind.ANY),
        "date": _operator(togai_dates.date, 0, 1, Kind.ANY),
        "date.add": _operator(togai_dates.date_add, 2, 2, Kind.ANY),
        "date.sub": _operator(togai_dates.date_subtract, 2, 2, Kind.ANY),
        "duration.of": _operator(togai_dates.duration_of, 2, 2, Kind.ANY),
        "duration.between": _operator(togai_dates.duration_between, 2, 2, Kind.ANY),
        "duration.as": _operator(togai_dates.duration_as, 2, 2, Kind.ANY),
    },
    forms={
        "var": _form(0, 2),
        "missing": _form(0, None),
        "missing_some": _form(1, None),
        "if": _form(0, None),
        "?:": _form(0, None),
        "and": _form(1, None),
        "or": _form(1, None),
        "map": _form(2, 2),
        "filter": _form(2, 2),
        "all": _form(2, 2),
        "some": _form(2, 2),
        "none": _form(2, 2),
        "reduce": _form(3, 3),
    },
    find=togai_lookup.found_or_default,
    missing=togai_lookup.missing,
    missing_some=togai_lookup.missing_some,
    visits={
        "map": lookup.map_items,
        "filter": togai_lookup.filter_list,
        "all": togai_lookup.all_of_list,
        "some": togai_lookup.some_of_list,
        "none": togai_lookup.none_of_list,
        "reduce": lookup.reduce_items,
    },
    text_of=togai.text_of,
    default_sees_data=False,
    lone_list_spreads=True,
    attributes_are_text=True,
)

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (EXACT_DIALECT, TOGAI_DIALECT)}
"""The dialects by name, as the setting `expression_dialect` has them."""
