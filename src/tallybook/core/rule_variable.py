"""The variables of pricing rules: what they are called, which a plan has, and the functions compiled over them.

A variable is called by a measure and what it measures: `revenue.ff.<add-on>`, `usage.urc.<meter>`, `usage.tag.<tag>`.
What each is worth on an invoice is found in `ruled_cards`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import assert_never

import msgspec

from tallybook.core import expression_functions as functions
from tallybook.core.errors import Invalid
from tallybook.core.expression import Rule, parse_rule
from tallybook.core.expression_check import rule_to_save
from tallybook.core.expression_compiler import SourceWriter, uses_data, write_condition, write_rule
from tallybook.core.expression_dialects import DIALECTS
from tallybook.core.expression_functions import Place
from tallybook.core.expression_tree import Constant, Dialect, Kind, Operand
from tallybook.core.rate_card import CreditGrantRateCard, FixedFeeRateCard, LicenceRateCard, RateCard, UsageRateCard

RATE_CARD_TOTAL = "revenue.rate_card_total"
START_DATE = "invoice.start_date"
END_DATE = "invoice.end_date"

USAGE = "usage"
REVENUE = "revenue"
CREDIT = "credit"  # how much credit a card sells; it can be read only
_MEASURES = (USAGE, REVENUE)
_TAG = "tag"
_TEXTS = (START_DATE, END_DATE)
_COMPILED_REMEMBERED = 1_000  # rules; a bill run meets those of one organisation after those of another

Value = Decimal | str
Values = Mapping[str, Value]


class CompiledRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as a function of its variables, whose `names` are in the order in which it first says them.

    `evaluate` raises `ExpressionError` or `ArithmeticError`; what it yields is a truth, or a number within bounds.
    """

    names: tuple[str, ...]
    evaluate: Callable[[Values], object]


def card_key(card: RateCard) -> str:
    """What variables call the card, behind their measure: its kind and the item it prices."""
    match card:
        case UsageRateCard():
            return f"urc.{card.meter_id}"
        case FixedFeeRateCard():
            return f"ff.{card.add_on_id}"
        case LicenceRateCard():
            return f"lic.{card.add_on_id}"
        case CreditGrantRateCard():
            return f"cg.{card.add_on_id}"
        case _:
            assert_never(card)


def tag_key(tag: str) -> str:
    """What variables call the cards with that tag together, behind their measure."""
    return f"{_TAG}.{tag}"


def measures_of(card: RateCard) -> tuple[str, ...]:
    """What of the card can be read, and replaced."""
    return (REVENUE,) if isinstance(card, FixedFeeRateCard | CreditGrantRateCard) else _MEASURES


def variables_of(cards: Sequence[RateCard]) -> set[str]:
    """The names of all variables that rules over these cards may use."""
    of_cards = {f"{measure}.{card_key(card)}" for card in cards for measure in measures_of(card)}
    of_tags = {f"{measure}.{tag_key(card.tag)}" for card in cards if card.tag is not None for measure in _MEASURES}
    granted = {f"{CREDIT}.{card_key(card)}" for card in cards if isinstance(card, CreditGrantRateCard)}
    return {*of_cards, *of_tags, *granted, RATE_CARD_TOTAL, *_TEXTS}


# ---- saving ------------------------------------------------------------------------------------------------------


def check_condition(text: str, *, known: Collection[str], dialect: Dialect, place: str) -> None:
    """Refuse a condition that could not be evaluated. Raises `Invalid`, with `place` in front."""
    _written_to_save(text, known, dialect, place)


def check_computation(text: str, *, known: Collection[str] | None, dialect: Dialect, place: str) -> None:
    """Refuse a computation that could not be evaluated, or never yields a number. None knows every name.

    Raises `Invalid`, with `place` in front.
    """
    rule, value = _written_to_save(text, known, dialect, place)
    if value.kind is Kind.BOOLEAN:
        raise Invalid(f"{place}: yields true or false, not a number; use it as the condition")
    if isinstance(rule.root, Constant) and functions.number_or_none(rule.root.value) is None:
        raise Invalid(f"{place}: yields no number")


def _written_to_save(text: str, known: Collection[str] | None, dialect: Dialect, place: str) -> tuple[Rule, Operand]:
    rule = rule_to_save(text, dialect=dialect, place=place)
    if uses_data(rule.root):
        raise Invalid(f"{place}: every variable has a value here; leave missing and missing_some out")
    try:
        return rule, _Variables(SourceWriter(inline=False), known).written(rule)[1]
    except Invalid as error:
        raise type(error)(f"{place}: {error.message}") from None


# ---- compiling ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=_COMPILED_REMEMBERED)
def compiled_condition(text: str, dialect_name: str) -> CompiledRule:
    """The condition as a function that says whether it holds. Raises `Invalid` when the dialect cannot read it."""
    writer = SourceWriter(inline=False)
    variables = _Variables(writer)
    before, value = variables.written(parse_rule(text, dialect=DIALECTS[dialect_name]))
    body = [*before, f"return not not {write_condition(value)}"]
    return CompiledRule(names=tuple(variables.names), evaluate=writer.function(parameters=["values"], body=body))


@lru_cache(maxsize=_COMPILED_REMEMBERED)
def compiled_computation(text: str, dialect_name: str) -> CompiledRule:
    """The computation as a function that yields a number. Raises `Invalid` when the dialect cannot read it."""
    writer = SourceWriter(inline=False)
    variables = _Variables(writer)
    rule = parse_rule(text, dialect=DIALECTS[dialect_name])
    before, value = variables.written(rule)
    finish, root = writer.constant(_number), writer.constant(rule.root.place)
    body = [*before, f"return {finish}({root}, {value.source})"]
    return CompiledRule(names=tuple(variables.names), evaluate=writer.function(parameters=["values"], body=body))


class _Variables:
    """Writes rules over the mapping `values`, and notes the names that they use; None knows every name."""

    def __init__(self, writer: SourceWriter, known: Collection[str] | None = None) -> None:
        self.names: dict[str, None] = {}
        self._writer = writer
        self._known = known

    def written(self, rule: Rule) -> tuple[tuple[str, ...], Operand]:
        written = write_rule(rule, self._writer, data="values", find_variable=self._find)
        return written.before, written.value

    def _find(self, name: str) -> Operand | None:
        if self._known is not None and name not in self._known:
            return None
        self.names[name] = None
        return Operand(f"values[{self._writer.constant(name)}]", Kind.TEXT if name in _TEXTS else Kind.NUMBER)


def _number(place: Place, value: object) -> Decimal:
    return functions.bounded(place, functions.number(place, value))
