"""Rate cards on the wire (generation 2024-12), and the way from and to `core.rate_card`.

Rates are JSON numbers, decoded to `Decimal` without a binary number in between.
"""

from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.api.exact_json import UNSUPPORTED_CODE
from tallybook.core.decimals import DECIMAL_TEXT, plain_text
from tallybook.core.errors import Invalid
from tallybook.core.period import PricingInterval
from tallybook.core.rate_card import (
    EVERY_CYCLE,
    UNBOUNDED,
    AmountBounds,
    CurrencyRate,
    FeeType,
    FixedFeeRateCard,
    InvoiceTiming,
    LicenceRateCard,
    PriceType,
    PricingModel,
    RatePlan,
    RateValue,
    Recurrence,
    RefundMode,
    Slab,
    SlabRate,
    UsageRateCard,
)

_PACKAGE_SIZE = "packageSize"
_MINIMUM_RATE = "minimumRate"
_MAXIMUM_RATE = "maximumRate"


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


class InvoiceTimingShape(Enum):
    """When a card is charged; PREPAID is not supported."""

    IN_ADVANCE = "IN_ADVANCE"
    IN_ARREARS = "IN_ARREARS"
    PREPAID = "PREPAID"


class RecurrenceConfigShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """Charged every `interval` cycles, for the first time after `offset` cycles."""

    interval: int | None = None
    offset: int | None = None


class FixedFeeRateCardShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """A fee whatever is used; `id` is that of an add-on of type FIXED_FEE."""

    id: str
    display_name: str | None = None
    name: str | None = None
    tag: str | None = None
    invoice_timing: InvoiceTimingShape | None = None
    type: FeeType | None = None
    rate_values: tuple[CurrencyRateValueShape, ...]
    enable_proration: bool
    recurrence_config: RecurrenceConfigShape | None = None


class RefundModeShape(Enum):
    """What becomes of the rest of a licence; PAYMENT and WALLET are not supported."""

    NONE = "NONE"
    CREDITS = "CREDITS"
    PAYMENT = "PAYMENT"
    WALLET = "WALLET"


class LicenceTypeShape(Enum):
    """The type of the add-on; NAMED_LICENSE is not supported."""

    LICENSE = "LICENSE"
    FIXED_FEE = "FIXED_FEE"
    CREDIT_GRANT = "CREDIT_GRANT"
    NAMED_LICENSE = "NAMED_LICENSE"


class BreachAction(Enum):
    """What happens beyond the maximum: nothing."""

    DO_NOTHING = "DO_NOTHING"


class LicenceConfigShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """How many an account may hold."""

    max_quantity: int | None = None
    max_quantity_breach_action: BreachAction | None = None


class LicenceRateCardShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """The price of what an account holds; `id` is that of an add-on of type LICENSE."""

    id: str
    type: LicenceTypeShape | None = None
    display_name: str | None = None
    name: str | None = None
    tag: str | None = None
    invoice_timing: InvoiceTimingShape | None = None
    usage_cycle: PricingInterval | None = None
    enable_proration: bool
    config: LicenceConfigShape | None = None
    rate_plan: RatePlanShape
    rate_values: tuple[RateValueShape, ...]
    prorated_refund_mode: RefundModeShape | None = None


# ---- from the wire -----------------------------------------------------------------------------------------------


def usage_card_from(shape: UsageRateCardShape, where: str) -> UsageRateCard:
    """The card, not yet checked. Raises `Invalid`, naming the field."""
    return UsageRateCard(
        name=shape.name or f"usage.{shape.usage_meter_id}",
        display_name=shape.display_name,
        tag=shape.tag,
        meter_id=shape.usage_meter_id,
        rate_plan=_rate_plan_from(shape.rate_plan, f"{where}.ratePlan"),
        rate_values=_rate_values_from(shape.rate_values, f"{where}.rateValues"),
    )


def _rate_plan_from(shape: RatePlanShape, where: str) -> RatePlan:
    return RatePlan(
        pricing_model=shape.pricing_model,
        slabs=tuple(slab_from(slab, f"{where}.slabs[{index}]") for index, slab in enumerate(shape.slabs)),
    )


def _rate_values_from(shapes: tuple[RateValueShape, ...], where: str) -> tuple[RateValue, ...]:
    return tuple(_rate_value_from(value, f"{where}[{index}]") for index, value in enumerate(shapes))


def slab_from(shape: SlabShape, where: str) -> Slab:
    """The slab, not yet checked. Raises `Invalid`, naming the field."""
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
        slab_rates=slab_rates_from(shape.slab_rates, f"{where}.slabRates"),
        bounds=bounds_from(shape.rate_config, f"{where}.rateConfig"),
    )


def slab_rates_from(shapes: tuple[SlabRateShape, ...], where: str) -> tuple[SlabRate, ...]:
    """The rates of the slabs, not yet checked. Raises `Invalid`, naming the field."""
    return tuple(
        SlabRate(
            order=rate.order,
            rate=rate.rate,
            bounds=bounds_from(rate.slab_rate_config, f"{where}[{index}].slabRateConfig"),
        )
        for index, rate in enumerate(shapes)
    )


def bounds_from(config: dict[str, str], where: str) -> AmountBounds:
    """The bounds of an amount, not yet checked. Raises `Invalid`, naming the field."""
    _refuse_unknown_keys(config, {_MINIMUM_RATE, _MAXIMUM_RATE}, where)
    return AmountBounds(
        minimum=_decimal_at(config, _MINIMUM_RATE, where), maximum=_decimal_at(config, _MAXIMUM_RATE, where)
    )


def fixed_fee_card_from(shape: FixedFeeRateCardShape, where: str) -> FixedFeeRateCard:
    """The card, not yet checked. A fee without type recurs, one without timing is charged in arrears."""
    return FixedFeeRateCard(
        name=shape.name or f"fee.{shape.id}",
        display_name=shape.display_name,
        tag=shape.tag,
        add_on_id=shape.id,
        timing=_timing_from(shape.invoice_timing, where),
        fee_type=shape.type or FeeType.RECURRING,
        prorated=shape.enable_proration,
        recurrence=recurrence_from(shape.recurrence_config),
        rates=currency_rates_from(shape.rate_values),
    )


def licence_card_from(shape: LicenceRateCardShape, where: str) -> LicenceRateCard:
    """The card, not yet checked. Without a refund mode, the rest of a prorated licence is credited."""
    if shape.type not in (None, LicenceTypeShape.LICENSE):
        raise Invalid(f"{where}.type: only LICENSE is supported", code=UNSUPPORTED_CODE)
    return LicenceRateCard(
        name=shape.name or f"licence.{shape.id}",
        display_name=shape.display_name,
        tag=shape.tag,
        add_on_id=shape.id,
        timing=_timing_from(shape.invoice_timing, where),
        usage_cycle=shape.usage_cycle,
        prorated=shape.enable_proration,
        refund=_refund_from(shape.prorated_refund_mode, where),
        quantity_max=None if shape.config is None else shape.config.max_quantity,
        rate_plan=_rate_plan_from(shape.rate_plan, f"{where}.ratePlan"),
        rate_values=_rate_values_from(shape.rate_values, f"{where}.rateValues"),
    )


def _refund_from(mode: RefundModeShape | None, where: str) -> RefundMode:
    if mode in (RefundModeShape.PAYMENT, RefundModeShape.WALLET):
        raise Invalid(f"{where}.proratedRefundMode: use NONE or CREDITS", code=UNSUPPORTED_CODE)
    return RefundMode.CREDITS if mode is None else RefundMode(mode.value)


def _timing_from(timing: InvoiceTimingShape | None, where: str) -> InvoiceTiming:
    if timing is InvoiceTimingShape.PREPAID:
        raise Invalid(f"{where}.invoiceTiming: PREPAID is for credits and entitlements; use IN_ADVANCE or IN_ARREARS")
    return InvoiceTiming.IN_ARREARS if timing is None else InvoiceTiming(timing.value)


def recurrence_from(config: RecurrenceConfigShape | None) -> Recurrence:
    """How often a card is charged, not yet checked."""
    if config is None:
        return EVERY_CYCLE
    return Recurrence(
        interval=1 if config.interval is None else config.interval, offset=0 if config.offset is None else config.offset
    )


def currency_rates_from(values: tuple[CurrencyRateValueShape, ...]) -> tuple[CurrencyRate, ...]:
    """The amounts by currency."""
    return tuple(CurrencyRate(currency=value.currency, rate=value.rate) for value in values)


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


def usage_card_to(card: UsageRateCard) -> UsageRateCardShape:
    """The card, as the interface shows it."""
    return UsageRateCardShape(
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
        usage_meter_id=card.meter_id,
        rate_plan=_rate_plan_to(card.rate_plan),
        rate_values=tuple(_rate_value_to(value) for value in card.rate_values),
    )


def _rate_plan_to(rate_plan: RatePlan) -> RatePlanShape:
    return RatePlanShape(pricing_model=rate_plan.pricing_model, slabs=tuple(slab_to(slab) for slab in rate_plan.slabs))


def slab_to(slab: Slab) -> SlabShape:
    """The slab, as the interface shows it."""
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
            SlabRateShape(order=rate.order, rate=json_number(rate.rate), slab_rate_config=bounds_to(rate.bounds))
            for rate in value.slab_rates
        ),
        rate_config=bounds_to(value.bounds),
    )


def bounds_to(bounds: AmountBounds) -> dict[str, str]:
    """The bounds of an amount, as the interface shows them."""
    if bounds == UNBOUNDED:
        return {}
    given = {_MINIMUM_RATE: bounds.minimum, _MAXIMUM_RATE: bounds.maximum}
    return {key: plain_text(bound) for key, bound in given.items() if bound is not None}


def fixed_fee_card_to(card: FixedFeeRateCard) -> FixedFeeRateCardShape:
    """The card, as the interface shows it."""
    return FixedFeeRateCardShape(
        id=card.add_on_id,
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
        invoice_timing=InvoiceTimingShape(card.timing.value),
        type=card.fee_type,
        rate_values=currency_rates_to(card.rates),
        enable_proration=card.prorated,
        recurrence_config=RecurrenceConfigShape(interval=card.recurrence.interval, offset=card.recurrence.offset),
    )


def licence_card_to(card: LicenceRateCard) -> LicenceRateCardShape:
    """The card, as the interface shows it."""
    config = None
    if card.quantity_max is not None:
        config = LicenceConfigShape(max_quantity=card.quantity_max, max_quantity_breach_action=BreachAction.DO_NOTHING)
    return LicenceRateCardShape(
        id=card.add_on_id,
        type=LicenceTypeShape.LICENSE,
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
        invoice_timing=InvoiceTimingShape(card.timing.value),
        usage_cycle=card.usage_cycle,
        enable_proration=card.prorated,
        config=config,
        rate_plan=_rate_plan_to(card.rate_plan),
        rate_values=tuple(_rate_value_to(value) for value in card.rate_values),
        prorated_refund_mode=RefundModeShape(card.refund.value),
    )


def currency_rates_to(rates: tuple[CurrencyRate, ...]) -> tuple[CurrencyRateValueShape, ...]:
    """The amounts by currency, as the interface shows them."""
    return tuple(CurrencyRateValueShape(currency=rate.currency, rate=json_number(rate.rate)) for rate in rates)


def json_number(value: Decimal) -> Decimal:
    """The same number, written as a person would: 100 for 1E+2, 0.5 for 0.50."""
    return Decimal(plain_text(value))
