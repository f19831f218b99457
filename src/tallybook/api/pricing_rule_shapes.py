"""Pricing rules and their logs on the wire, and the way from and to `core.pricing_rule` and `core.ruled_cards`."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallybook.core.decimals import plain_text
from tallybook.core.pricing_rule import PricingRule, RuleAction, RuleActionType
from tallybook.core.rate_card import InvoiceTiming
from tallybook.core.ruled_cards import RuleLog, RuleOutcome
from tallybook.flows.new_ids import new_id


class PricingRuleActionShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """What becomes of the number: ADD makes a line of it, UPDATE the usage or the revenue that `target` names."""

    type: RuleActionType
    target: str | None = None
    id: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None


class CreatePricingRuleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A rule to be. `condition` and `computation` are JSON Logic as text; rules of the lowest `order` come first."""

    name: str
    order: int
    invoice_timing: InvoiceTiming = InvoiceTiming.IN_ARREARS
    condition: str | None = None
    computation: str
    action: PricingRuleActionShape


class PricingRuleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A rule, as read; `version` is that of the price plan."""

    id: str
    name: str
    version: int
    invoice_timing: InvoiceTiming
    order: int
    condition: str | None = None
    computation: str
    action: PricingRuleActionShape


class PricingRulePage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All rules of a price plan or a schedule, as they are listed there."""

    data: list[PricingRuleShape]


class RuleChangesShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a rule is about, `key` for programs and `keyName` for people, and what it was before and is after."""

    key: str
    key_name: str | None = None
    old_revenue: Decimal
    new_revenue: Decimal
    old_usage: Decimal | None = None
    new_usage: Decimal | None = None
    error_message: str | None = None


class RuleInfoShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The rule itself."""

    id: str
    name: str
    condition: str | None = None
    computation: str


class RuleVariableShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A variable that the rule read, and its value as text."""

    name: str
    value: str


class RuleLogShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one rule met and did; amounts are exact. Only `CONDITION_TRUE` changed anything."""

    id: str
    type: RuleOutcome
    order: int
    changes: RuleChangesShape
    rule: RuleInfoShape
    variables_value: dict[str, RuleVariableShape]


class RuleLogPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The logs of all rules, in the order in which they were applied."""

    data: list[RuleLogShape]


def logs_to(logs: Sequence[RuleLog], invoice_id: str) -> list[RuleLogShape]:
    """The logs as the interface shows them."""
    place = invoice_id.partition(".")[2]
    return [_log_to(log, f"rule_log.{place}.{number}") for number, log in enumerate(logs, start=1)]


def _log_to(log: RuleLog, log_id: str) -> RuleLogShape:
    rule = log.rule
    return RuleLogShape(
        id=log_id,
        type=log.outcome,
        order=rule.order,
        changes=RuleChangesShape(
            key=log.key,
            key_name=log.key_name,
            old_revenue=Decimal(plain_text(log.old_revenue)),
            new_revenue=Decimal(plain_text(log.new_revenue)),
            old_usage=None if log.old_usage is None else Decimal(plain_text(log.old_usage)),
            new_usage=None if log.new_usage is None else Decimal(plain_text(log.new_usage)),
            error_message=log.reason,
        ),
        rule=RuleInfoShape(id=rule.rule_id, name=rule.name, condition=rule.condition, computation=rule.computation),
        variables_value={
            name: RuleVariableShape(name=name, value=value if isinstance(value, str) else plain_text(value))
            for name, value in log.values.items()
        },
    )


def rules_from(shapes: Sequence[CreatePricingRuleShape] | None) -> tuple[PricingRule, ...]:
    """The rules, each with a new id, not yet checked by `check_pricing_rules`."""
    return tuple(_rule_from(shape) for shape in shapes or ())


def rules_to(rules: Sequence[PricingRule], *, version: int) -> list[PricingRuleShape]:
    """The rules as the interface shows them."""
    return [_rule_to(rule, version) for rule in rules]


def _rule_from(shape: CreatePricingRuleShape) -> PricingRule:
    action = shape.action
    return PricingRule(
        rule_id=new_id("pp_rule"),
        name=shape.name,
        order=shape.order,
        timing=shape.invoice_timing,
        condition=shape.condition or None,
        computation=shape.computation,
        action=RuleAction(
            action_type=action.type,
            target=action.target or None,
            item_id=action.id or None,
            description=action.description or None,
            metadata=action.metadata or {},
        ),
    )


def _rule_to(rule: PricingRule, version: int) -> PricingRuleShape:
    action = rule.action
    return PricingRuleShape(
        id=rule.rule_id,
        name=rule.name,
        version=version,
        invoice_timing=rule.timing,
        order=rule.order,
        condition=rule.condition,
        computation=rule.computation,
        action=PricingRuleActionShape(
            type=action.action_type,
            target=action.target,
            id=action.item_id,
            description=action.description,
            metadata=dict(action.metadata) or None,
        ),
    )
