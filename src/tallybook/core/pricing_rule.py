"""Pricing rules: what a plan changes of an invoice after its cards are priced, and what such a rule must be like.

A rule adds a line of its own, or replaces the usage or the revenue of a card. `ruled_cards` applies them.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from tallybook.core.errors import Invalid, TooLarge
from tallybook.core.expression_tree import Dialect
from tallybook.core.rate_card import InvoiceTiming, RateCard, UsageRateCard, check_distinct
from tallybook.core.rule_variable import card_key, check_computation, check_condition, measures_of, variables_of

PRICING_RULES_MAX = 50  # an invoice line has at most 50 below it
RULES_CHARACTERS_MAX = 50_000  # of one plan: all are compiled when it is saved, while others wait to write
RULE_ORDER_MAX = 2**31 - 1  # the interface's integer
RULE_NAME_CHARACTERS_MAX = 255  # it stands on invoices, like the names of cards
ITEM_ID_CHARACTERS_MAX = 50
METADATA_ENTRIES_MAX = 50
METADATA_CHARACTERS_MAX = 500


class RuleActionType(Enum):
    """ADD puts a line on the invoice, UPDATE replaces the usage or the revenue of a card."""

    ADD = "ADD"
    UPDATE = "UPDATE"


class RuleAction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What becomes of the number: a line described so, under `item_id` if it has one, or the new value of `target`."""

    action_type: RuleActionType
    target: str | None = None
    item_id: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)


class PricingRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where `condition` holds (without one, always), what `computation` yields is used as `action` says.

    Both are JSON Logic as text. A rule is about the cards of its `timing`; the lowest `order` comes first.
    """

    rule_id: str
    name: str
    order: int
    timing: InvoiceTiming = InvoiceTiming.IN_ARREARS
    condition: str | None = None
    computation: str
    action: RuleAction

    @property
    def item_id(self) -> str:
        """What the line that it adds is called; unique among the rules of a plan."""
        return self.action.item_id or self.rule_id


def rules_of(rules: Sequence[PricingRule], timing: InvoiceTiming) -> list[PricingRule]:
    """The rules of that timing in the order in which they are applied; of the same order, as they are listed."""
    return sorted((rule for rule in rules if rule.timing is timing), key=lambda rule: rule.order)


def timing_of(card: RateCard) -> InvoiceTiming:
    """Usage is always charged in arrears, the others as they say."""
    return InvoiceTiming.IN_ARREARS if isinstance(card, UsageRateCard) else card.timing


def readable_cards(cards: Sequence[RateCard], timing: InvoiceTiming) -> list[RateCard]:
    """The cards whose variables a rule of that timing can read: in arrears those charged in advance too."""
    if timing is InvoiceTiming.IN_ARREARS:
        return list(cards)
    return [card for card in cards if timing_of(card) is timing]


# ---- checking ----------------------------------------------------------------------------------------------------


def check_pricing_rules(rules: Sequence[PricingRule], *, cards: Sequence[RateCard], dialect: Dialect) -> None:
    """Refuse rules that could not be applied to invoices by these cards. Raises `Invalid`, naming the field."""
    if len(rules) > PRICING_RULES_MAX:
        raise TooLarge(f"pricingRules: at most {PRICING_RULES_MAX} in one plan, got {len(rules)}")
    characters = sum(len(rule.condition or "") + len(rule.computation) for rule in rules)
    if characters > RULES_CHARACTERS_MAX:
        raise TooLarge(f"pricingRules: at most {RULES_CHARACTERS_MAX} characters of rules in all, found {characters}")
    check_distinct([rule.item_id for rule in rules], "pricingRules: the action.id", "is used twice")
    known = {timing: variables_of(readable_cards(cards, timing)) for timing in InvoiceTiming}
    for index, rule in enumerate(rules):
        _check_rule(rule, known[rule.timing], cards, dialect, f"pricingRules[{index}]")


def _check_rule(rule: PricingRule, known: set[str], cards: Sequence[RateCard], dialect: Dialect, where: str) -> None:
    if not 1 <= rule.order <= RULE_ORDER_MAX:
        raise Invalid(f"{where}.order: must be 1 or more")
    _check_length(rule.name, RULE_NAME_CHARACTERS_MAX, f"{where}.name")
    _check_action(rule, cards, f"{where}.action")
    if rule.condition is not None:
        check_condition(rule.condition, known=known, dialect=dialect, place=f"{where}.condition")
    check_computation(rule.computation, known=known, dialect=dialect, place=f"{where}.computation")


def _check_action(rule: PricingRule, cards: Sequence[RateCard], where: str) -> None:
    action = rule.action
    if action.description is not None:
        _check_length(action.description, RULE_NAME_CHARACTERS_MAX, f"{where}.description")
    if action.item_id is not None:
        _check_length(action.item_id, ITEM_ID_CHARACTERS_MAX, f"{where}.id")
    if len(action.metadata) > METADATA_ENTRIES_MAX:
        raise TooLarge(f"{where}.metadata: at most {METADATA_ENTRIES_MAX} entries, got {len(action.metadata)}")
    if any(max(len(key), len(value)) > METADATA_CHARACTERS_MAX for key, value in action.metadata.items()):
        raise Invalid(f"{where}.metadata: keys and values have at most {METADATA_CHARACTERS_MAX} characters")
    if action.action_type is RuleActionType.ADD:
        if action.target is not None:
            raise Invalid(f"{where}.target: ADD makes a line of its own; leave it out, or use UPDATE")
    elif action.target not in _targets(cards, rule.timing):
        raise Invalid(
            f"{where}.target: {(action.target or '')[:100]!r} is not the usage or revenue of a card of this plan that"
            f" is charged {rule.timing.value}, such as revenue.ff.<add-on id> or usage.urc.<meter id>"
        )


def _targets(cards: Sequence[RateCard], timing: InvoiceTiming) -> set[str]:
    charged = [card for card in cards if timing_of(card) is timing]
    return {f"{measure}.{card_key(card)}" for card in charged for measure in measures_of(card)}


def _check_length(text: str, most: int, where: str) -> None:
    if not 1 <= len(text) <= most:
        raise Invalid(f"{where}: must be 1 to {most} characters")
