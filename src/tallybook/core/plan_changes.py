"""Changes to a price plan: as a new version of it, or for one account alone. What they leave out stays."""

from typing import TypeVar

import msgspec

from tallybook.core.errors import Invalid
from tallybook.core.period import PricingCycle
from tallybook.core.price_plan import MinimumCommitment, PricePlan
from tallybook.core.pricing_rule import PricingRule
from tallybook.core.rate_card import CreditGrantRateCard, FixedFeeRateCard, LicenceRateCard, UsageRateCard

T = TypeVar("T")


class PlanChanges(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is different; None leaves it as the plan has it. Cards of a kind, and rules, are replaced all together."""

    cycle: PricingCycle | None = None
    supported_currencies: tuple[str, ...] | None = None
    usage_cards: tuple[UsageRateCard, ...] | None = None
    fee_cards: tuple[FixedFeeRateCard, ...] | None = None
    licence_cards: tuple[LicenceRateCard, ...] | None = None
    grant_cards: tuple[CreditGrantRateCard, ...] | None = None
    minimum_commitment: MinimumCommitment | None = None
    without_commitment: bool = False
    pricing_rules: tuple[PricingRule, ...] | None = None


NO_CHANGES = PlanChanges()


def changed_plan(plan: PricePlan, changes: PlanChanges) -> PricePlan:
    """The plan with the changes, not yet checked. Raises `Invalid` when an open currency would be gone."""
    currencies = plan.supported_currencies if changes.supported_currencies is None else changes.supported_currencies
    for currency in plan.active_currencies:
        if currency not in currencies:
            raise Invalid(f"supportedCurrencies: {currency} is active and cannot be removed")
    return msgspec.structs.replace(
        plan,
        cycle=changes.cycle or plan.cycle,
        supported_currencies=currencies,
        rate_cards=(
            *(plan.usage_cards if changes.usage_cards is None else changes.usage_cards),
            *(plan.fee_cards if changes.fee_cards is None else changes.fee_cards),
            *(plan.licence_cards if changes.licence_cards is None else changes.licence_cards),
            *(plan.grant_cards if changes.grant_cards is None else changes.grant_cards),
        ),
        minimum_commitment=changes.minimum_commitment or _kept_commitment(plan, changes),
        pricing_rules=plan.pricing_rules if changes.pricing_rules is None else changes.pricing_rules,
    )


def changes_between(plan: PricePlan, wanted: PricePlan) -> PlanChanges:
    """What makes `wanted` of the plan, in all that changes can change."""
    commitment = wanted.minimum_commitment
    return PlanChanges(
        cycle=_unless_same(wanted.cycle, plan.cycle),
        supported_currencies=_unless_same(wanted.supported_currencies, plan.supported_currencies),
        usage_cards=_unless_same(wanted.usage_cards, plan.usage_cards),
        fee_cards=_unless_same(wanted.fee_cards, plan.fee_cards),
        licence_cards=_unless_same(wanted.licence_cards, plan.licence_cards),
        grant_cards=_unless_same(wanted.grant_cards, plan.grant_cards),
        minimum_commitment=None if commitment is None else _unless_same(commitment, plan.minimum_commitment),
        without_commitment=commitment is None and plan.minimum_commitment is not None,
        pricing_rules=_unless_same(wanted.pricing_rules, plan.pricing_rules),
    )


def _unless_same(wanted: T, present: T | None) -> T | None:
    return None if wanted == present else wanted


def _kept_commitment(plan: PricePlan, changes: PlanChanges) -> MinimumCommitment | None:
    return None if changes.without_commitment else plan.minimum_commitment
