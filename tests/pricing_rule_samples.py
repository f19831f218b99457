"""Short ways to write pricing rules down, and to apply them to the cards of a cycle."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from price_plan_samples import cycle_in, price_plan

from tallybook.core.card_lines import licence_line, metered_line
from tallybook.core.fixed_fee import fee_in
from tallybook.core.invoice import InvoiceLine, LineType
from tallybook.core.licence import HeldRun
from tallybook.core.money import Money
from tallybook.core.pricing_rule import PricingRule, RuleAction, RuleActionType
from tallybook.core.rate_card import FixedFeeRateCard, InvoiceTiming, LicenceRateCard, RateCard, UsageRateCard
from tallybook.core.ruled_cards import RatedCard, RuledCards, apply_rules

MARCH = (date(2024, 3, 1), date(2024, 4, 1))


def var(name: str) -> dict[str, object]:
    return {"var": name}


def rule(
    computation: object,
    *,
    condition: object = None,
    target: str | None = None,
    order: int = 1,
    rule_id: str = "pp_rule.1",
    name: str = "A rule",
    item_id: str | None = None,
    advance: bool = False,
) -> PricingRule:
    """A rule that adds a line, or with a `target` updates that."""
    return PricingRule(
        rule_id=rule_id,
        name=name,
        order=order,
        timing=InvoiceTiming.IN_ADVANCE if advance else InvoiceTiming.IN_ARREARS,
        condition=None if condition is None else json.dumps(condition),
        computation=json.dumps(computation),
        action=RuleAction(
            action_type=RuleActionType.ADD if target is None else RuleActionType.UPDATE, target=target, item_id=item_id
        ),
    )


def applied(
    rules: Sequence[PricingRule],
    *cards: RateCard,
    used: Mapping[str, str] | None = None,
    held: Mapping[str, str] | None = None,
    window: tuple[date, date] = MARCH,
    dialect: str = "exact",
) -> RuledCards:
    """The cards after the rules; `used` are units by meter, `held` licences by add-on on every day of the window."""
    runs = {add_on_id: (HeldRun(*window, Decimal(quantity)),) for add_on_id, quantity in (held or {}).items()}
    cycle = cycle_in(price_plan(*cards), window, held=runs)
    rated = []
    for card in cards:
        line: InvoiceLine | None
        match card:
            case UsageRateCard():
                units = Decimal((used or {}).get(card.meter_id, "0"))
                line = metered_line(card, units, card.display_name or card.meter_id, "USD")
            case LicenceRateCard():
                line_type = LineType.LICENSE_RATE_CARD_AMOUNT
                line = licence_line(card, cycle, f"{line_type.value}.{card.add_on_id}", line_type, card.name, "USD")
            case FixedFeeRateCard():
                line = _fee_line(card, cycle_in(price_plan(card), window))
            case _:
                raise AssertionError("no sample has another card")
        rated += [RatedCard(card=card, line=line)] if line is not None else []
    return apply_rules(rules, rated, cycle=cycle, currency="USD", dialect_name=dialect)


def _fee_line(card: FixedFeeRateCard, cycle: object) -> InvoiceLine | None:
    fee = fee_in(card, cycle, currency="USD")  # type: ignore[arg-type]
    if fee is None:
        return None
    return InvoiceLine(
        line_id=f"FIXED_FEE_RATE_CARD_AMOUNT.{card.add_on_id}",
        line_type=LineType.FIXED_FEE_RATE_CARD_AMOUNT,
        description=card.name,
        amount=Money(amount=fee.amount, currency="USD"),
        fee=fee,
    )


def amounts(ruled: RuledCards) -> list[str]:
    """What each card comes to, then what each rule added, as text."""
    lines = [*(rated.line for rated in ruled.cards), *ruled.added]
    return [format(line.amount.amount, "f") for line in lines]
