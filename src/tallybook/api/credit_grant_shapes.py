"""Rate cards of credit grants on the wire (generation 2024-12), and the way from and to `core.rate_card`.

Unlike other cards they have their slabs by currency, numbered by their place.
"""

from decimal import Decimal

import msgspec

from tallybook.api.exact_json import UNSUPPORTED_CODE
from tallybook.api.rate_card_shapes import (
    InvoiceTimingShape,
    RecurrenceConfigShape,
    SlabRateShape,
    SlabShape,
    bounds_from,
    bounds_to,
    json_number,
    recurrence_from,
    slab_from,
    slab_rates_from,
    slab_to,
)
from tallybook.core.errors import Invalid
from tallybook.core.rate_card import (
    CreditExpiry,
    CreditGrantRateCard,
    CreditPrice,
    FeeType,
    GrantDetails,
    InvoiceTiming,
    PriceType,
    PricingModel,
    RatePlan,
    RateValue,
)


class GrantDetailsShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """What kind of credit is granted; `expiryDuration`, such as `P3M`, goes with expiry type CUSTOM."""

    priority: int
    expiry_type: CreditExpiry
    expiry_duration: str | None = None
    applicable_entity_ids: tuple[str, ...] = ()


class SlabDetailShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One slab with its rate; the configurations as those of other cards."""

    start_after: Decimal
    price_type: PriceType
    slab_config: dict[str, str] = {}
    rate: Decimal
    slab_rate_config: dict[str, str] = {}


class CurrencySlabRateDetailShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """How much is granted in one currency, and what that costs."""

    currency: str
    credit_amount: Decimal
    slab_details: tuple[SlabDetailShape, ...]
    rate_config: dict[str, str] = {}


class CreditRateDetailsShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Amounts and prices by currency."""

    pricing_model: PricingModel
    currency_slab_rate_details: tuple[CurrencySlabRateDetailShape, ...]


class CreditGrantRateCardShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """Credit that is sold; `id` is that of an add-on of type CREDIT_GRANT."""

    id: str
    display_name: str | None = None
    name: str | None = None
    tag: str | None = None
    grant_details: GrantDetailsShape
    rate_details: CreditRateDetailsShape
    invoice_timing: InvoiceTimingShape | None = None
    type: FeeType | None = None
    recurrence_config: RecurrenceConfigShape | None = None


def credit_grant_card_from(shape: CreditGrantRateCardShape, where: str) -> CreditGrantRateCard:
    """The card, not yet checked. A grant without type recurs, one without timing is charged in arrears.

    Raises `Invalid`, naming the field.
    """
    if shape.invoice_timing is InvoiceTimingShape.PREPAID:
        raise Invalid(f"{where}.invoiceTiming: use IN_ADVANCE or IN_ARREARS", code=UNSUPPORTED_CODE)
    details, prices = shape.grant_details, f"{where}.rateDetails.currencySlabRateDetails"
    return CreditGrantRateCard(
        name=shape.name or f"credits.{shape.id}",
        display_name=shape.display_name,
        tag=shape.tag,
        add_on_id=shape.id,
        timing=InvoiceTiming.IN_ARREARS if shape.invoice_timing is None else InvoiceTiming(shape.invoice_timing.value),
        grant_type=shape.type or FeeType.RECURRING,
        recurrence=recurrence_from(shape.recurrence_config),
        details=GrantDetails(
            priority=details.priority,
            expiry=details.expiry_type,
            expiry_duration=details.expiry_duration,
            applicable_entity_ids=details.applicable_entity_ids,
        ),
        prices=tuple(
            _price_from(price, shape.rate_details.pricing_model, f"{prices}[{index}]")
            for index, price in enumerate(shape.rate_details.currency_slab_rate_details)
        ),
    )


def _price_from(shape: CurrencySlabRateDetailShape, model: PricingModel, where: str) -> CreditPrice:
    slabs, rates = [], []
    for index, detail in enumerate(shape.slab_details):
        order, place = index + 1, f"{where}.slabDetails[{index}]"
        slab = SlabShape(
            order=order, start_after=detail.start_after, price_type=detail.price_type, slab_config=detail.slab_config
        )
        slabs.append(slab_from(slab, place))
        rates.append(SlabRateShape(order=order, rate=detail.rate, slab_rate_config=detail.slab_rate_config))
    return CreditPrice(
        credit_amount=shape.credit_amount,
        rate_plan=RatePlan(pricing_model=model, slabs=tuple(slabs)),
        rate_value=RateValue(
            currency=shape.currency,
            slab_rates=slab_rates_from(tuple(rates), f"{where}.slabDetails"),
            bounds=bounds_from(shape.rate_config, f"{where}.rateConfig"),
        ),
    )


def credit_grant_card_to(card: CreditGrantRateCard) -> CreditGrantRateCardShape:
    """The card, as the interface shows it."""
    details = card.details
    return CreditGrantRateCardShape(
        id=card.add_on_id,
        display_name=card.display_name,
        name=card.name,
        tag=card.tag,
        grant_details=GrantDetailsShape(
            priority=details.priority,
            expiry_type=details.expiry,
            expiry_duration=details.expiry_duration,
            applicable_entity_ids=details.applicable_entity_ids,
        ),
        rate_details=CreditRateDetailsShape(
            pricing_model=card.prices[0].rate_plan.pricing_model,
            currency_slab_rate_details=tuple(_price_to(price) for price in card.prices),
        ),
        invoice_timing=InvoiceTimingShape(card.timing.value),
        type=card.grant_type,
        recurrence_config=RecurrenceConfigShape(interval=card.recurrence.interval, offset=card.recurrence.offset),
    )


def _price_to(price: CreditPrice) -> CurrencySlabRateDetailShape:
    rates = {rate.order: rate for rate in price.rate_value.slab_rates}
    slabs = [(slab_to(slab), rates[slab.order]) for slab in price.rate_plan.slabs]
    return CurrencySlabRateDetailShape(
        currency=price.rate_value.currency,
        credit_amount=json_number(price.credit_amount),
        slab_details=tuple(
            SlabDetailShape(
                start_after=slab.start_after,
                price_type=slab.price_type,
                slab_config=slab.slab_config,
                rate=json_number(rate.rate),
                slab_rate_config=bounds_to(rate.bounds),
            )
            for slab, rate in slabs
        ),
        rate_config=bounds_to(price.rate_value.bounds),
    )
