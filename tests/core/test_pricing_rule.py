from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from price_plan_samples import SlabSample, fixed_fee, licence_card, price_plan, usage_card
from pricing_rule_samples import rule, var

from tallybook.core.errors import Invalid
from tallybook.core.expression_dialects import DIALECTS, EXACT_DIALECT
from tallybook.core.plan_changes import PlanChanges, changed_plan
from tallybook.core.price_plan import PricedItems, PricePlan, check_price_plan
from tallybook.core.pricing_rule import PricingRule, RuleAction, RuleActionType, check_pricing_rules, rules_of
from tallybook.core.rate_card import InvoiceTiming

CARDS = (
    usage_card(SlabSample("0", "2"), tag="Compute"),
    fixed_fee("50", add_on_id="addon.fee"),
    licence_card(SlabSample("0", "10"), add_on_id="addon.seat", advance=True),
)
SOUND = rule({"*": [var("revenue.rate_card_total"), 2]}, condition={">": [var("usage.lic.addon.seat"), 5]})


def check(rules: Sequence[PricingRule], dialect: str = "exact") -> None:
    check_pricing_rules(rules, cards=CARDS, dialect=DIALECTS[dialect])


def with_action(**fields: Any) -> PricingRule:
    action = RuleAction(**{"action_type": RuleActionType.ADD, **fields})
    return msgspec.structs.replace(SOUND, action=action)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sound_rules_pass(dialect: str) -> None:
    """Rules in arrears read every card, those in advance the cards that are charged in advance."""
    in_advance = rule(var("revenue.lic.addon.seat"), rule_id="pp_rule.2", advance=True)
    update = rule(var("usage.tag.Compute"), target="usage.urc.um.1", rule_id="pp_rule.3")
    check([SOUND, in_advance, update], dialect)


@pytest.mark.parametrize(
    ("unsound", "message"),
    [
        (rule(1, order=0), "pricingRules[0].order: must be 1 or more"),
        (rule(1, name=""), "pricingRules[0].name: must be 1 to 255 characters"),
        (rule(1, name="x" * 256), "pricingRules[0].name: must be 1 to 255 characters"),
        (rule(True), "pricingRules[0].computation: yields true or false"),
        (rule("twelve"), "pricingRules[0].computation: yields no number"),
        (rule({">": [var("revenue.rate_card_total"), 1]}), "pricingRules[0].computation: yields true or false"),
        (rule({"/": [1, 0]}), "pricingRules[0].computation: /"),
        (rule({"unheard": [1]}), "pricingRules[0].computation: the rule: unknown operator 'unheard'"),
        (rule(var("revenue.ff.addon.other")), "pricingRules[0].computation: var: unknown variable"),
        (rule(var("usage.ff.addon.fee")), "pricingRules[0].computation: var: unknown variable"),
        (rule(var("usage.tag.Storage")), "pricingRules[0].computation: var: unknown variable"),
        (rule(var("")), "pricingRules[0].computation: var: unknown variable"),
        (rule(var({"cat": ["revenue.", "rate_card_total"]})), "pricingRules[0].computation: var: a variable's name"),  # type: ignore[arg-type]
        (rule(1, condition={"missing": ["a"]}), "pricingRules[0].condition: every variable has a value here"),
        (rule(var("revenue.ff.addon.fee"), advance=True), "pricingRules[0].computation: var: unknown variable"),
        (rule(1, target="revenue.ff.addon.other"), "pricingRules[0].action.target: 'revenue.ff.addon.other' is not"),
        (rule(1, target="usage.ff.addon.fee"), "pricingRules[0].action.target: 'usage.ff.addon.fee' is not"),
        (rule(1, target="revenue.tag.Compute"), "pricingRules[0].action.target: 'revenue.tag.Compute' is not"),
        (rule(1, target="revenue.lic.addon.seat"), "pricingRules[0].action.target: 'revenue.lic.addon.seat' is not"),
        (with_action(action_type=RuleActionType.UPDATE), "pricingRules[0].action.target: '' is not"),
        (with_action(target="revenue.urc.um.1"), "pricingRules[0].action.target: ADD makes a line of its own"),
        (with_action(item_id="x" * 51), "pricingRules[0].action.id: must be 1 to 50 characters"),
        (with_action(description="x" * 256), "pricingRules[0].action.description: must be 1 to 255 characters"),
        (with_action(metadata={"k": "x" * 501}), "pricingRules[0].action.metadata: keys and values"),
        (with_action(metadata={str(n): "" for n in range(51)}), "pricingRules[0].action.metadata: at most 50 entries"),
        (msgspec.structs.replace(SOUND, computation="1" * 10_001), "pricingRules[0].computation: a rule has at most"),
    ],
)
def test_an_unsound_rule_is_refused_by_field(unsound: PricingRule, message: str) -> None:
    """Whoever saves it is told where; a rule that could never work is not found out on an invoice."""
    with pytest.raises(Invalid) as refused:
        check([unsound])
    assert refused.value.message.startswith(message)


def test_rules_are_counted_and_told_apart() -> None:
    with pytest.raises(Invalid, match="at most 50 in one plan, got 51"):
        check([rule(1, rule_id=f"pp_rule.{number}") for number in range(51)])
    with pytest.raises(Invalid, match="at most 50000 characters of rules in all, found 50004"):
        check([rule(1, condition="x" * 8_331, rule_id=f"pp_rule.{number}") for number in range(6)])
    with pytest.raises(Invalid, match=r"action\.id 'bonus' is used twice"):
        check([rule(1, item_id="bonus"), rule(2, item_id="bonus", rule_id="pp_rule.2")])


def test_rules_are_applied_in_their_order() -> None:
    """By order, of the same order as listed, and each timing by itself."""
    rules = [
        rule(1, order=2, rule_id="third"),
        rule(1, order=1, rule_id="first"),
        rule(1, order=1, rule_id="second"),
        rule(1, order=1, rule_id="advance", advance=True),
    ]
    assert [each.rule_id for each in rules_of(rules, InvoiceTiming.IN_ARREARS)] == ["first", "second", "third"]
    assert [each.rule_id for each in rules_of(rules, InvoiceTiming.IN_ADVANCE)] == ["advance"]


# ---- in a plan ----------------------------------------------------------------------------------------------------

ITEMS = PricedItems(meter_ids=["um.1"], fixed_fee_ids=["addon.fee"], licence_ids=["addon.seat"])
PLAN = msgspec.structs.replace(price_plan(*CARDS), pricing_rules=(SOUND,))


def test_a_plan_reads_back_with_its_rules() -> None:
    assert msgspec.json.decode(msgspec.json.encode(PLAN), type=PricePlan) == PLAN


def test_an_override_replaces_the_rules_or_leaves_them() -> None:
    other = rule(1, rule_id="pp_rule.9")
    assert changed_plan(PLAN, PlanChanges()).pricing_rules == (SOUND,)
    assert changed_plan(PLAN, PlanChanges(pricing_rules=(other,))).pricing_rules == (other,)
    assert changed_plan(PLAN, PlanChanges(pricing_rules=())).pricing_rules == ()


def test_a_plan_keeps_the_cards_that_its_rules_read() -> None:
    """Who takes a card away is told which rule still reads it."""
    check_price_plan(PLAN, items=ITEMS, dialect=EXACT_DIALECT)
    without_seats = msgspec.structs.replace(PLAN, rate_cards=CARDS[:2])
    with pytest.raises(Invalid, match=r"pricingRules\[0\]\.condition: .*unknown variable 'usage\.lic\.addon\.seat'"):
        check_price_plan(without_seats, items=ITEMS, dialect=EXACT_DIALECT)
