"""Price plans on the wire (generation 2024-12), and the way from and to `core.price_plan`.

What the interface knows and Tallybook cannot bill yet is refused by name, never dropped in silence.
Rates are JSON numbers, decoded to `Decimal` without a binary number in between.
"""

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from tallybook.core.decimals import DECIMAL_TEXT, plain_text
from tallybook.core.errors import Invalid
from tallybook.core.period import FOREVER, PricingCycle, PricingInterval, midnight
from tallybook.core.price_plan import (
    UNBOUNDED,
    AmountBounds,
    CurrencyRate,
    MinimumCommitment,
    PricePlan,
    PricePlanStatus,
    PriceType,
    PricingModel,
    RatePlan,
    RateValue,
    Slab,
    SlabRate,
    UsageRateCard,
)

_SCHEDULE_START = datetime(1970, 1, 1, tzinfo=UTC)
_PACKAGE_SIZE = "packageSize"
_MINIMUM_RATE = "minimumRate"
_MAXIMUM_RATE = "maximumRate"
_UNSUPPORTED_RATE_CARDS = {
    "fixed_fee_rate_cards": "fixedFeeRateCards",
    "license_rate_cards": "licenseRateCards",
    "billing_entitlement_rate_cards": "billingEntitlementRateCards",
    "credit_grant_rate_cards": "creditGrantRateCards",
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


class SlabShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One slab; `slabConfig` may hold `packageSize`, a decimal as text."""

    order: int
    start_after: Decimal
    price_type: PriceType
    slab_config: dict[str, str] = {}


class RatePlanShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How a quantity is split over slabs."""

    pricing_model: PricingModel
    slabs: tuple[SlabShape, ...]


class SlabRateShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The rate of one slab; `slabRateConfig` may hold `minimumRate` and `maximumRate`, decimals as text."""

    order: int
    rate: Decimal
    slab_rate_config: dict[str, str] = {}


class RateValueShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The rates in one currency; `rateConfig` as a slab's, for the whole card."""

    currency: str
    slab_rates: tuple[SlabRateShape, ...]
    rate_config: dict[str, str] = {}


class UsageRateCardShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """The price of one meter's usage."""

    display_name: str | None = None
    name: str | None = None
    tag: str | None = None
    usage_meter_id: str
    rate_plan: RatePlanShape
    rate_values: tuple[RateValueShape, ...]


class CurrencyRateValueShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An amount in one currency."""

    currency: str
    rate: Decimal


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
    fixed_fee_rate_cards: tuple[Any, ...] | None = None
    license_rate_cards: tuple[Any, ...] | None = None
    billing_entitlement_rate_cards: tuple[Any, ...] | None = None
    credit_grant_rate_cards: tuple[Any, ...] | None = None
    entitlement_overage_rate_cards: tuple[Any, ...] | None = None
    deferred_revenue: bool | None = None
    ongoing_cycle_updates: bool | None = msgspec.field(default=None, name="allow_ongoing_cycle_updates")


class CreatePricePlanRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of `POST /price_plans`."""

    name: str
    description: str | None = None
    type: PricePlanTypeShape = PricePlanTypeShape.BILLING
    price_plan_details: CreatePricePlanDetailsShape
    pricing_rules: tuple[Any, ...] | None = None


class PricePlanDetailsShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a plan charges, as read."""

    supported_currencies: tuple[str, ...]
    active_currencies: tuple[str, ...]
    pricing_cycle_config: PricingCycleConfigShape
    usage_rate_cards: tuple[UsageRateCardShape, ...]
    minimum_commitment: MinimumCommitmentShape | None = None
    type: PricePlanTypeShape


class PlanScheduleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A version of a plan and the time it is for."""

    id: str
    price_plan_details: PricePlanDetailsShape
    start_date: datetime
    end_date: datetime
    version: int
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
        cycle=_cycle_from(details.pricing_cycle_config),
        rate_cards=tuple(
            _card_from(card, f"usageRateCards[{index}]") for index, card in enumerate(details.usage_rate_cards)
        ),
        minimum_commitment=_commitment_from(details.minimum_commitment),
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
                id=f"sch.{plan.plan_id.removeprefix('pp.')}",
                price_plan_details=details_to(plan),
                start_date=_SCHEDULE_START,
                end_date=midnight(FOREVER),
                version=plan.version,
                is_overriden=False,
            ),
        ),
    )


# ---- from the wire -----------------------------------------------------------------------------------------------


def _refuse_unsupported(request: CreatePricePlanRequest) -> None:
    details = request.price_plan_details
    if request.type is not PricePlanTypeShape.BILLING:
        raise Invalid("type: PURCHASE plans are not supported; use BILLING", code="UNSUPPORTED")
    for attribute, name in _UNSUPPORTED_RATE_CARDS.items():
        if getattr(details, attribute):
            raise Invalid(f"pricePlanDetails.{name}: not supported; only usageRateCards are", code="UNSUPPORTED")
    if request.pricing_rules:
        raise Invalid("pricingRules: not supported", code="UNSUPPORTED")
    if details.deferred_revenue:
        raise Invalid("pricePlanDetails.deferredRevenue: not supported; leave it out or false", code="UNSUPPORTED")
    if details.ongoing_cycle_updates:
        raise Invalid("pricePlanDetails.allow_ongoing_cycle_updates: not supported", code="UNSUPPORTED")


def _cycle_from(shape: PricingCycleConfigShape) -> PricingCycle:
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


def _card_from(shape: UsageRateCardShape, where: str) -> UsageRateCard:
    return UsageRateCard(
        name=shape.name or f"usage.{shape.usage_meter_id}",
        display_name=shape.display_name,
        tag=shape.tag,
        meter_id=shape.usage_meter_id,
        rate_plan=RatePlan(
            pricing_model=shape.rate_plan.pricing_model,
            slabs=tuple(
                _slab_from(slab, f"{where}.ratePlan.slabs[{index}]") for index, slab in enumerate(shape.rate_plan.slabs)
            ),
        ),
        rate_values=tuple(
            _rate_value_from(value, f"{where}.rateValues[{index}]") for index, value in enumerate(shape.rate_values)
        ),
    )


def _slab_from(shape: SlabShape, where: str) -> Slab:
    _refuse_unknown_keys(shape.slab_config, {_PACKAGE_SIZE}, f"{where}.slabConfig")
    return Slab(
        order=shape.order,
        start_after=shape.start_after,
        price_type=shape.price_type,
        package_size=_decimal_at(shape.slab_config, _PACKAGE_SIZE, f"{where}.slabConfig"),
    )


def _rate_value_from(shape: RateValueShape, where: str) -> RateValue:
    return RateValue(
        currency=shape.currency,
        slab_rates=tuple(
            SlabRate(
                order=rate.order,
                rate=rate.rate,
                bounds=_bounds_from(rate.slab_rate_config, f"{where}.slabRates[{index}].slabRateConfig"),
            )
            for index, rate in enumerate(shape.slab_rates)
        ),
        bounds=_bounds_from(shape.rate_config, f"{where}.rateConfig"),
    )


def _bounds_from(config: dict[str, str], where: str) -> AmountBounds:
    _refuse_unknown_keys(config, {_MINIMUM_RATE, _MAXIMUM_RATE}, where)
    return AmountBounds(
        minimum=_decimal_at(config, _MINIMUM_RATE, where), maximum=_decimal_at(config, _MAXIMUM_RATE, where)
    )


def _commitment_from(shape: MinimumCommitmentShape | None) -> MinimumCommitment | None:
    if shape is None:
        return None
    return MinimumCommitment(
        display_name=shape.display_name,
        rates=tuple(CurrencyRate(currency=value.currency, rate=value.rate) for value in shape.rate_values),
    )


def _refuse_unknown_keys(config: dict[str, str], known: set[str], where: str) -> None:
    for key in sorted(config):
        if key not in known:
            raise Invalid(f"{where}.{key}: unknown; known are {', '.join(sorted(known))}")


def _decimal_at(config: dict[str, str], key: str, where: str) -> Decimal | None:
    text = config.get(key)
    if text is None:
        return None
    if DECIMAL_TEXT.fullmatch(text) is None:
        raise Invalid(f"{where}.{key}: must be a decimal number as text, such as 10 or 0.25")
    return Decimal(text)


# ---- to the wire -------------------------------------------------------------------------------------------------


def details_to(plan: PricePlan) -> PricePlanDetailsShape:
    """What the plan charges, as the interface shows it."""
    return PricePlanDetailsShape(
        supported_currencies=plan.supported_currencies,
        active_currencies=plan.active_currencies,
        pricing_cycle_config=_cycle_to(plan.cycle),
        usage_rate_cards=tuple(_card_to(card) for card in plan.rate_cards),
        minimum_commitment=_commitment_to(plan.minimum_commitment),
        type=PricePlanTypeShape.BILLING,
    )


def _cycle_to(cycle: PricingCycle) -> PricingCycleConfigShape:
    offset = None
    if cycle.day_offset is not None:
        offset = StartOffsetShape(day_offset=cycle.day_offset, month_offset=cycle.month_offset)
    return PricingCycleConfigShape(
        interval=cycle.interval,
        start_offset=offset,
        grace_period=cycle.grace_days,
        anniversary_cycle=cycle.anniversary,
    )


def _card_to(card: UsageRateCard) -> UsageRateCardShape:
    return UsageRateCardShape(
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
        usage_meter_id=card.meter_id,
        rate_plan=RatePlanShape(
            pricing_model=card.rate_plan.pricing_model,
            slabs=tuple(_slab_to(slab) for slab in card.rate_plan.slabs),
        ),
        rate_values=tuple(_rate_value_to(value) for value in card.rate_values),
    )


def _slab_to(slab: Slab) -> SlabShape:
    return SlabShape(
        order=slab.order,
        start_after=json_number(slab.start_after),
        price_type=slab.price_type,
        slab_config={} if slab.package_size is None else {_PACKAGE_SIZE: plain_text(slab.package_size)},
    )


def _rate_value_to(value: RateValue) -> RateValueShape:
    return RateValueShape(
        currency=value.currency,
        slab_rates=tuple(
            SlabRateShape(order=rate.order, rate=json_number(rate.rate), slab_rate_config=_bounds_to(rate.bounds))
            for rate in value.slab_rates
        ),
        rate_config=_bounds_to(value.bounds),
    )


def _bounds_to(bounds: AmountBounds) -> dict[str, str]:
    if bounds == UNBOUNDED:
        return {}
    given = {_MINIMUM_RATE: bounds.minimum, _MAXIMUM_RATE: bounds.maximum}
    return {key: plain_text(bound) for key, bound in given.items() if bound is not None}


def _commitment_to(commitment: MinimumCommitment | None) -> MinimumCommitmentShape | None:
    if commitment is None:
        return None
    return MinimumCommitmentShape(
        display_name=commitment.display_name,
        rate_values=tuple(
            CurrencyRateValueShape(currency=rate.currency, rate=json_number(rate.rate)) for rate in commitment.rates
        ),
    )


def json_number(value: Decimal) -> Decimal:
    """The same number, written as a person would: 100 for 1E+2, 0.5 for 0.50."""
    return Decimal(plain_text(value))
