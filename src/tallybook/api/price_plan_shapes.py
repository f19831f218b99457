"""Price plans on the wire (generation 2024-12), and the way from and to `core.price_plan`.

What the interface knows and Tallybook cannot bill yet is refused by name, never dropped in silence.
Rates are JSON numbers, decoded to `Decimal` without a binary number in between.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec

from tallybook.api.credit_grant_shapes import (
    CreditGrantRateCardShape,
    credit_grant_card_from,
    credit_grant_card_to,
)
from tallybook.api.pricing_rule_shapes import CreatePricingRuleShape, PricingRuleShape, rules_from, rules_to
from tallybook.api.rate_card_shapes import (
    CurrencyRateValueShape,
    FixedFeeRateCardShape,
    LicenceRateCardShape,
    UsageRateCardShape,
    currency_rates_from,
    currency_rates_to,
    fixed_fee_card_from,
    fixed_fee_card_to,
    licence_card_from,
    licence_card_to,
    usage_card_from,
    usage_card_to,
)
from tallybook.core.errors import Invalid
from tallybook.core.period import FOREVER, PricingCycle, PricingInterval, midnight
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.price_plan import MinimumCommitment, PricePlan, PricePlanStatus
from tallybook.core.rate_card import CreditGrantRateCard, FixedFeeRateCard, LicenceRateCard, RateCard, UsageRateCard

_SCHEDULE_START = datetime(1970, 1, 1, tzinfo=UTC)
_UNSUPPORTED_RATE_CARDS = {
    "billing_entitlement_rate_cards": "billingEntitlementRateCards",
    "entitlement_overage_rate_cards": "entitlementOverageRateCards",
}


class PricePlanTypeShape(Enum):
    """Billed cycle by cycle, or bought once."""

    BILLING = "BILLING"
    PURCHASE = "PURCHASE"


class StartOffsetShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Where in the interval a cycle starts."""

    day_offset: str
    month_offset: str


class PricingCycleConfigShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """When cycles start; `startOffset` may be left out with `anniversaryCycle`, and does not count then."""

    interval: PricingInterval
    start_offset: StartOffsetShape | None = None
    grace_period: int
    anniversary_cycle: bool | None = None


class MinimumCommitmentShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a cycle comes to at least."""

    display_name: str
    rate_values: tuple[CurrencyRateValueShape, ...]


class CreatePricePlanDetailsShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What a plan charges. The fields of type Any are known to the interface and not supported."""

    pricing_cycle_config: PricingCycleConfigShape | None = None
    supported_currencies: tuple[str, ...]
    usage_rate_cards: tuple[UsageRateCardShape, ...] = ()
    minimum_commitment: MinimumCommitmentShape | None = None
    fixed_fee_rate_cards: tuple[FixedFeeRateCardShape, ...] = ()
    license_rate_cards: tuple[LicenceRateCardShape, ...] = ()
    billing_entitlement_rate_cards: tuple[Any, ...] | None = None
    credit_grant_rate_cards: tuple[CreditGrantRateCardShape, ...] | None = None
    entitlement_overage_rate_cards: tuple[Any, ...] | None = None
    deferred_revenue: bool | None = None
    ongoing_cycle_updates: bool | None = msgspec.field(default=None, name="allow_ongoing_cycle_updates")


class PlanDetailsOverrideShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to change of a plan; what is left out or empty stays, and cards of a kind are replaced all together.

    The fields of type Any are known to the interface and not supported.
    """

    pricing_cycle_config: PricingCycleConfigShape | None = None
    supported_currencies: tuple[str, ...] | None = None
    usage_rate_cards: tuple[UsageRateCardShape, ...] | None = None
    minimum_commitment: MinimumCommitmentShape | None = None
    fixed_fee_rate_cards: tuple[FixedFeeRateCardShape, ...] | None = None
    license_rate_cards: tuple[LicenceRateCardShape, ...] | None = None
    billing_entitlement_rate_cards: tuple[Any, ...] | None = None
    credit_grant_rate_cards: tuple[CreditGrantRateCardShape, ...] | None = None
    entitlement_overage_rate_cards: tuple[Any, ...] | None = None


class CreatePricePlanRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /price_plans`."""

    name: str
    description: str | None = None
    type: PricePlanTypeShape = PricePlanTypeShape.BILLING
    price_plan_details: CreatePricePlanDetailsShape
    pricing_rules: tuple[CreatePricingRuleShape, ...] | None = None


class PricePlanDetailsShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a plan charges, as read."""

    supported_currencies: tuple[str, ...]
    active_currencies: tuple[str, ...]
    pricing_cycle_config: PricingCycleConfigShape
    usage_rate_cards: tuple[UsageRateCardShape, ...]
    fixed_fee_rate_cards: tuple[FixedFeeRateCardShape, ...] = ()
    license_rate_cards: tuple[LicenceRateCardShape, ...] = ()
    credit_grant_rate_cards: tuple[CreditGrantRateCardShape, ...] = ()
    minimum_commitment: MinimumCommitmentShape | None = None
    type: PricePlanTypeShape
    deferred_revenue: bool | None = None
    ongoing_cycle_updates: bool | None = msgspec.field(default=None, name="allow_ongoing_cycle_updates")


class PlanScheduleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A version of a plan and the time it is for."""

    id: str
    price_plan_details: PricePlanDetailsShape
    start_date: datetime
    end_date: datetime
    version: int
    pricing_rules: list[PricingRuleShape] = []
    is_overriden: bool  # the interface's spelling


class PricePlanShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A price plan, as read."""

    id: str
    name: str
    type: PricePlanTypeShape
    description: str | None = None
    status: PricePlanStatus
    pricing_schedule: tuple[PlanScheduleShape, ...]


def plan_from_request(request: CreatePricePlanRequest, *, plan_id: str, now: datetime) -> PricePlan:
    """The draft plan that is asked for, not yet checked by `check_price_plan`. Raises `Invalid`, naming the field."""
    _refuse_unsupported(request)
    details = request.price_plan_details
    if details.pricing_cycle_config is None:
        raise Invalid("pricePlanDetails.pricingCycleConfig: a plan of type BILLING needs it")
    return PricePlan(
        plan_id=plan_id,
        version=1,
        name=request.name,
        description=request.description,
        status=PricePlanStatus.DRAFT,
        supported_currencies=details.supported_currencies,
        cycle=cycle_from(details.pricing_cycle_config),
        rate_cards=_cards_from(details),
        minimum_commitment=commitment_from(details.minimum_commitment),
        pricing_rules=rules_from(request.pricing_rules),
        deferred_revenue=bool(details.deferred_revenue),
        ongoing_cycle_updates=bool(details.ongoing_cycle_updates),
        created_at=now,
        updated_at=now,
    )


def plan_to_response(plan: PricePlan) -> PricePlanShape:
    """The plan as the interface shows it: one schedule, from 1970 for ever, holding this version."""
    return PricePlanShape(
        id=plan.plan_id,
        name=plan.name,
        type=PricePlanTypeShape.BILLING,
        description=plan.description,
        status=plan.status,
        pricing_schedule=(
            PlanScheduleShape(
                id=own_schedule_id(plan),
                price_plan_details=details_to(plan),
                start_date=_SCHEDULE_START,
                end_date=midnight(FOREVER),
                version=plan.version,
                pricing_rules=rules_to(plan.pricing_rules, version=plan.version),
                is_overriden=False,
            ),
        ),
    )


def own_schedule_id(plan: PricePlan) -> str:
    """The id of the one schedule that the interface shows within a plan."""
    return f"sch.{plan.plan_id.removeprefix('pp.')}"


# ---- from the wire -----------------------------------------------------------------------------------------------


def _refuse_unsupported(request: CreatePricePlanRequest) -> None:
    details = request.price_plan_details
    if request.type is not PricePlanTypeShape.BILLING:
        raise Invalid("type: PURCHASE plans are not supported; use BILLING", code="UNSUPPORTED")
    _refuse_unsupported_cards(details, "pricePlanDetails")


def cycle_from(shape: PricingCycleConfigShape) -> PricingCycle:
    """The cycle, not yet checked. Raises `Invalid`."""
    if shape.anniversary_cycle:
        return PricingCycle(interval=shape.interval, day_offset=None, grace_days=shape.grace_period, anniversary=True)
    if shape.start_offset is None:
        raise Invalid("pricingCycleConfig.startOffset: needed unless anniversaryCycle is true")
    return PricingCycle(
        interval=shape.interval,
        day_offset=shape.start_offset.day_offset,
        month_offset=shape.start_offset.month_offset,
        grace_days=shape.grace_period,
    )


def _refuse_unsupported_cards(details: CreatePricePlanDetailsShape | PlanDetailsOverrideShape, where: str) -> None:
    for attribute, name in _UNSUPPORTED_RATE_CARDS.items():
        if getattr(details, attribute):
            raise Invalid(f"{where}.{name}: not supported; leave it out", code="UNSUPPORTED")


def changes_from(
    shape: PlanDetailsOverrideShape | None, where: str, rules: Sequence[CreatePricingRuleShape] | None = None
) -> PlanChanges:
    """What the details and the rules change of a plan, not yet checked. Raises `Invalid`, naming the field."""
    # Some clients send the empty lists of what they do not use: an empty list leaves the plan as it is.
    pricing_rules = rules_from(rules) or None
    if shape is None:
        return PlanChanges(pricing_rules=pricing_rules)
    _refuse_unsupported_cards(shape, where)
    cycle = shape.pricing_cycle_config
    return PlanChanges(
        cycle=None if cycle is None else cycle_from(cycle),
        supported_currencies=shape.supported_currencies or None,
        usage_cards=_usage_cards_from(shape.usage_rate_cards or ()) or None,
        fee_cards=_fee_cards_from(shape.fixed_fee_rate_cards or ()) or None,
        licence_cards=_licence_cards_from(shape.license_rate_cards or ()) or None,
        grant_cards=_grant_cards_from(shape.credit_grant_rate_cards or ()) or None,
        minimum_commitment=commitment_from(shape.minimum_commitment),
        pricing_rules=pricing_rules,
    )


def _cards_from(details: CreatePricePlanDetailsShape) -> tuple[RateCard, ...]:
    return (
        *_usage_cards_from(details.usage_rate_cards),
        *_fee_cards_from(details.fixed_fee_rate_cards),
        *_licence_cards_from(details.license_rate_cards),
        *_grant_cards_from(details.credit_grant_rate_cards or ()),
    )


def _usage_cards_from(shapes: tuple[UsageRateCardShape, ...]) -> tuple[UsageRateCard, ...]:
    return tuple(usage_card_from(shape, f"usageRateCards[{index}]") for index, shape in enumerate(shapes))


def _fee_cards_from(shapes: tuple[FixedFeeRateCardShape, ...]) -> tuple[FixedFeeRateCard, ...]:
    return tuple(fixed_fee_card_from(shape, f"fixedFeeRateCards[{index}]") for index, shape in enumerate(shapes))


def _licence_cards_from(shapes: tuple[LicenceRateCardShape, ...]) -> tuple[LicenceRateCard, ...]:
    return tuple(licence_card_from(shape, f"licenseRateCards[{index}]") for index, shape in enumerate(shapes))


def _grant_cards_from(shapes: tuple[CreditGrantRateCardShape, ...]) -> tuple[CreditGrantRateCard, ...]:
    return tuple(credit_grant_card_from(shape, f"creditGrantRateCards[{index}]") for index, shape in enumerate(shapes))


def commitment_from(shape: MinimumCommitmentShape | None) -> MinimumCommitment | None:
    """The commitment, not yet checked."""
    if shape is None:
        return None
    return MinimumCommitment(
        display_name=shape.display_name,
        rates=currency_rates_from(shape.rate_values),
    )


# ---- to the wire -------------------------------------------------------------------------------------------------


def details_to(plan: PricePlan) -> PricePlanDetailsShape:
    """What the plan charges, as the interface shows it."""
    return PricePlanDetailsShape(
        supported_currencies=plan.supported_currencies,
        active_currencies=plan.active_currencies,
        pricing_cycle_config=cycle_to(plan.cycle),
        usage_rate_cards=tuple(usage_card_to(card) for card in plan.usage_cards),
        fixed_fee_rate_cards=tuple(fixed_fee_card_to(card) for card in plan.fee_cards),
        license_rate_cards=tuple(licence_card_to(card) for card in plan.licence_cards),
        credit_grant_rate_cards=tuple(credit_grant_card_to(card) for card in plan.grant_cards),
        minimum_commitment=commitment_to(plan.minimum_commitment),
        type=PricePlanTypeShape.BILLING,
        deferred_revenue=plan.deferred_revenue or None,
        ongoing_cycle_updates=plan.ongoing_cycle_updates or None,
    )


def cycle_to(cycle: PricingCycle) -> PricingCycleConfigShape:
    """The cycle, as the interface shows it."""
    offset = None
    if cycle.day_offset is not None:
        offset = StartOffsetShape(day_offset=cycle.day_offset, month_offset=cycle.month_offset)
    return PricingCycleConfigShape(
        interval=cycle.interval,
        start_offset=offset,
        grace_period=cycle.grace_days,
        anniversary_cycle=cycle.anniversary,
    )


def commitment_to(commitment: MinimumCommitment | None) -> MinimumCommitmentShape | None:
    """The commitment, as the interface shows it."""
    if commitment is None:
        return None
    return MinimumCommitmentShape(
        display_name=commitment.display_name,
        rate_values=currency_rates_to(commitment.rates),
    )
