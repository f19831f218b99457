"""Cards of a cycle after the plan's pricing rules: each rule in its order, on what those before it left.

Everything is exact. A rule that cannot be evaluated changes nothing, and its log says why; the invoice is drawn up
without it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import assert_never

import msgspec

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.card_lines import licence_line, metered_line
from tallybook.core.decimals import EXACT, ZERO, plain_text
from tallybook.core.errors import Invalid, TallybookError
from tallybook.core.expression_functions import ExpressionError
from tallybook.core.invoice import InvoiceLine, LineType
from tallybook.core.licence import HeldRun
from tallybook.core.money import Money, total
from tallybook.core.pricing import sum_exactly
from tallybook.core.pricing_rule import PricingRule, RuleActionType
from tallybook.core.rate_card import CreditGrantRateCard, FixedFeeRateCard, LicenceRateCard, RateCard, UsageRateCard
from tallybook.core.rule_variable import (
    CREDIT,
    END_DATE,
    RATE_CARD_TOTAL,
    REVENUE,
    START_DATE,
    USAGE,
    CompiledRule,
    Value,
    Values,
    card_key,
    compiled_computation,
    compiled_condition,
    tag_key,
    variables_of,
)

_FAILURES = (ExpressionError, ArithmeticError, Invalid)
"""What keeps a rule from being evaluated. Rules are checked when they are saved, but what an account has different from
its plan stays when another version of the plan follows.
"""


class RatedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card and the line that it comes to."""

    card: RateCard
    line: InvoiceLine


class RuleOutcome(Enum):
    """What became of a rule; the names are the interface's. Only CONDITION_TRUE changes anything."""

    CONDITION_TRUE = "CONDITION_TRUE"
    CONDITION_FALSE = "CONDITION_FALSE"
    CONDITION_ERROR = "CONDITION_ERROR"
    COMPUTATION_ERROR = "COMPUTATION_ERROR"


class RuleLog(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule met and did: `key` is the card or the line it is about, `values` what it read, by variable.

    Usage is None where the key has none. `reason` says why nothing was changed although the condition may hold.
    """

    rule: PricingRule
    outcome: RuleOutcome
    key: str
    key_name: str
    old_revenue: Decimal = ZERO
    new_revenue: Decimal = ZERO
    old_usage: Decimal | None = None
    new_usage: Decimal | None = None
    reason: str | None = None
    values: Mapping[str, Value] = msgspec.field(default_factory=dict)


class RuledCards(msgspec.Struct, frozen=True, kw_only=True):
    """The cards as the rules left them, in their order, the lines that rules added, and a log for each rule."""

    cards: tuple[RatedCard, ...]
    added: tuple[InvoiceLine, ...] = ()
    logs: tuple[RuleLog, ...] = ()


def apply_rules(
    rules: Sequence[PricingRule],
    cards: Sequence[RatedCard],
    *,
    cycle: BilledCycle,
    currency: str,
    dialect_name: str,
    also_readable: Sequence[RatedCard] = (),
) -> RuledCards:
    """Apply the rules, all of one timing, in the order in which they are given, to that timing's cards of the cycle.

    `also_readable` are cards that rules may read but not change. A card of the plan without a line is worth zero.
    """
    ruled = RuledCards(cards=tuple(cards))
    for rule in rules:
        values = _values_of(ruled.cards, also_readable, cycle)
        ruled = _ruled(ruled, rule, values, cycle, currency, dialect_name)
    return ruled


def added_total(added: Sequence[InvoiceLine], currency: str) -> list[InvoiceLine]:
    """The line over those that rules added, if there are any."""
    if not added:
        return []
    line_type = LineType.TOTAL_PRICING_RULE_ADDITION_AMOUNT
    return [
        InvoiceLine(
            line_id=line_type.value,
            line_type=line_type,
            description="By pricing rules",
            amount=total((line.amount for line in added), currency=currency),
            lines=tuple(added),
        )
    ]


# ---- what variables are worth ------------------------------------------------------------------------------------


def _values_of(cards: Sequence[RatedCard], also_readable: Sequence[RatedCard], cycle: BilledCycle) -> dict[str, Value]:
    values: dict[str, Value] = dict.fromkeys(variables_of(cycle.plan.rate_cards), ZERO)
    for rated in (*also_readable, *cards):
        key, line = card_key(rated.card), rated.line
        values[f"{REVENUE}.{key}"] = line.amount.amount
        if f"{USAGE}.{key}" in values:
            values[f"{USAGE}.{key}"] = line.quantity or ZERO
        if f"{CREDIT}.{key}" in values:
            values[f"{CREDIT}.{key}"] = line.quantity or ZERO
        if rated.card.tag is not None:
            _add_to(values, f"{REVENUE}.{tag_key(rated.card.tag)}", line.amount.amount)
            _add_to(values, f"{USAGE}.{tag_key(rated.card.tag)}", line.quantity or ZERO)
    values[RATE_CARD_TOTAL] = sum_exactly([rated.line.amount.amount for rated in cards])
    values[START_DATE] = _instant_text(cycle.window.start)
    values[END_DATE] = _instant_text(cycle.window.end)
    return values


def _instant_text(day: date) -> str:
    """The midnight with which the day begins, as the operators on dates read it."""
    return f"{day.isoformat()}T00:00:00Z"


def _add_to(values: dict[str, Value], name: str, amount: Decimal) -> None:
    before = values[name]
    assert isinstance(before, Decimal), "tags have numbers"
    values[name] = EXACT.add(before, amount)


def _having_read(log: RuleLog, compiled: CompiledRule, values: Values) -> RuleLog:
    """The log with the values of the variables that are named, numbers without zeros at their end. Raises `Invalid`."""
    read = dict(log.values)
    for name in compiled.names:
        if name not in values:
            raise Invalid(f"the plan has nothing called {name!r} any more")
        value = values[name]
        read[name] = Decimal(plain_text(value)) if isinstance(value, Decimal) else value
    return msgspec.structs.replace(log, values=read)


# ---- one rule ----------------------------------------------------------------------------------------------------


def _ruled(
    ruled: RuledCards, rule: PricingRule, values: Values, cycle: BilledCycle, currency: str, dialect_name: str
) -> RuledCards:
    place = _place_of(ruled.cards, rule)
    log = _log_before(rule, None if place is None else ruled.cards[place])
    if rule.condition is not None:
        try:
            condition = compiled_condition(rule.condition, dialect_name)
            log = _having_read(log, condition, values)
            holds = condition.evaluate(log.values)
        except _FAILURES as error:
            return _logged(ruled, log, RuleOutcome.CONDITION_ERROR, reason=_reason(error))
        if not holds:
            return _logged(ruled, log, RuleOutcome.CONDITION_FALSE)
    if place is None and rule.action.action_type is RuleActionType.UPDATE:
        return _logged(ruled, log, RuleOutcome.CONDITION_FALSE, reason="the target is not charged in this cycle")
    try:
        computation = compiled_computation(rule.computation, dialect_name)
        log = _having_read(log, computation, values)
        result = computation.evaluate(log.values)
    except _FAILURES as error:
        return _logged(ruled, log, RuleOutcome.COMPUTATION_ERROR, reason=_reason(error))
    assert isinstance(result, Decimal), "a compiled computation yields a number"
    return _carried_out(ruled, log, place, Decimal(plain_text(result)), cycle, currency)


def _carried_out(
    ruled: RuledCards, log: RuleLog, place: int | None, result: Decimal, cycle: BilledCycle, currency: str
) -> RuledCards:
    if place is None:
        line = _added_line(log.rule, result, currency)
        log = msgspec.structs.replace(log, outcome=RuleOutcome.CONDITION_TRUE, new_revenue=result)
        return msgspec.structs.replace(ruled, added=(*ruled.added, line), logs=(*ruled.logs, log))
    rated = ruled.cards[place]
    of_usage = (log.rule.action.target or "").startswith(f"{USAGE}.")
    change: Callable[..., InvoiceLine] = _with_usage if of_usage else _with_revenue
    line = change(rated, result, log.rule, cycle)
    log = msgspec.structs.replace(
        log,
        outcome=RuleOutcome.CONDITION_TRUE,
        new_revenue=line.amount.amount,
        new_usage=None if log.old_usage is None else line.quantity,
    )
    cards = (*ruled.cards[:place], RatedCard(card=rated.card, line=line), *ruled.cards[place + 1 :])
    return msgspec.structs.replace(ruled, cards=cards, logs=(*ruled.logs, log))


def _place_of(cards: Sequence[RatedCard], rule: PricingRule) -> int | None:
    """Where the card is whose line the rule replaces."""
    if rule.action.target is None:
        return None
    key = rule.action.target.partition(".")[2]
    charged = (index for index, rated in enumerate(cards) if card_key(rated.card) == key and _is_charged(rated.line))
    return next(charged, None)


def _is_charged(line: InvoiceLine) -> bool:
    """A fee that is not due in the cycle may have a line all the same, with nothing on it."""
    return line.fee is not None or line.quantity is not None or bool(line.lines) or bool(line.amount.amount)


# ---- lines -------------------------------------------------------------------------------------------------------


def _added_line(rule: PricingRule, amount: Decimal, currency: str) -> InvoiceLine:
    line_type = LineType.PRICING_RULE_ADDITION_AMOUNT
    return InvoiceLine(
        line_id=f"{line_type.value}.{rule.item_id}",
        line_type=line_type,
        description=rule.action.description or rule.name,
        amount=Money(amount=amount, currency=currency),
    )


def _with_revenue(rated: RatedCard, revenue: Decimal, rule: PricingRule, _cycle: BilledCycle) -> InvoiceLine:
    """The card's line with that amount; what it was priced at stands under it, and the difference."""
    line = rated.line
    difference = _update_line(rated, rule, LineType.PRICING_RULE_REVENUE_UPDATE_AMOUNT)
    difference = msgspec.structs.replace(
        difference, amount=Money(amount=revenue, currency=line.amount.currency) - line.amount
    )
    return msgspec.structs.replace(
        line, amount=line.amount + difference.amount, fee=None, lines=(*_priced_lines(line), difference)
    )


def _priced_lines(line: InvoiceLine) -> tuple[InvoiceLine, ...]:
    """What stands under the line, or where nothing does, the line itself."""
    if line.lines or (line.fee is None and not line.amount.amount):
        return line.lines
    return (msgspec.structs.replace(line, line_id=f"{line.line_id}.priced", description="As priced"),)


def _with_usage(rated: RatedCard, usage: Decimal, rule: PricingRule, cycle: BilledCycle) -> InvoiceLine:
    """The card's line priced again for that usage; how much more or less it is stands under it."""
    line = rated.line
    priced = _priced_again(rated, usage, cycle)
    earlier = [each for each in line.lines if each.line_type is LineType.PRICING_RULE_USAGE_UPDATE_AMOUNT]
    difference = msgspec.structs.replace(
        _update_line(rated, rule, LineType.PRICING_RULE_USAGE_UPDATE_AMOUNT),
        quantity=EXACT.subtract(usage, line.quantity or ZERO),
    )
    return msgspec.structs.replace(priced, quantity=usage, lines=(*priced.lines, *earlier, difference))


def _priced_again(rated: RatedCard, usage: Decimal, cycle: BilledCycle) -> InvoiceLine:
    """A licence is priced as if that had been held on every day of the cycle."""
    line, card, currency = rated.line, rated.card, rated.line.amount.currency
    match card:
        case UsageRateCard():
            return metered_line(card, usage, line.description, currency)
        case LicenceRateCard():
            held = {card.add_on_id: (HeldRun(*cycle.window, usage),)}
            held_so = msgspec.structs.replace(cycle, held={**cycle.held, **held})
            return licence_line(card, held_so, line.line_id, line.line_type, line.description, currency)
        case FixedFeeRateCard() | CreditGrantRateCard():
            raise AssertionError("a rule is refused that replaces the usage of a fee or a grant")
        case _:
            assert_never(card)


def _update_line(rated: RatedCard, rule: PricingRule, line_type: LineType) -> InvoiceLine:
    line = rated.line
    return InvoiceLine(
        line_id=f"{line.line_id}.{rule.item_id}",
        line_type=line_type,
        description=rule.action.description or rule.name,
        amount=Money(amount=ZERO, currency=line.amount.currency),
    )


# ---- logs --------------------------------------------------------------------------------------------------------


def _log_before(rule: PricingRule, rated: RatedCard | None) -> RuleLog:
    """The log as long as nothing was changed."""
    log = RuleLog(
        rule=rule,
        outcome=RuleOutcome.CONDITION_FALSE,
        key=(rule.action.target or "").partition(".")[2] or rule.item_id,
        key_name=rule.action.description or rule.name,
    )
    if rated is None:
        return log
    line = rated.line
    return msgspec.structs.replace(
        log,
        key_name=line.description,
        old_revenue=line.amount.amount,
        new_revenue=line.amount.amount,
        old_usage=line.quantity,
        new_usage=line.quantity,
    )


def _logged(ruled: RuledCards, log: RuleLog, outcome: RuleOutcome, *, reason: str | None = None) -> RuledCards:
    log = msgspec.structs.replace(log, outcome=outcome, reason=reason)
    return msgspec.structs.replace(ruled, logs=(*ruled.logs, log))


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, TallybookError) else "the result has too many digits"
