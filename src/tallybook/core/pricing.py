"""What a quantity costs by a rate card, with the working: a pure function, exact to the last digit.

Nothing is rounded here. A price comes as lines that say which slab, how much of the quantity, at which rate, how many
packages, and whether a minimum or maximum was applied, so that a reader can do the sum again.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.price_plan import PricePlan
from tallybook.core.rate_card import (
    AmountBounds,
    PriceType,
    PricingModel,
    RatePlan,
    RateValue,
    Slab,
    SlabRate,
    UsageRateCard,
)


class Clamp(Enum):
    """Which bound an amount was moved to."""

    MINIMUM = "MINIMUM"
    MAXIMUM = "MAXIMUM"


class PricedSlab(msgspec.Struct, frozen=True, kw_only=True):
    """One slab's part of a price: `amount` = `rate` × (`packages`, or `quantity`, or once), then the clamp."""

    order: int
    start_after: Decimal
    price_type: PriceType
    quantity: Decimal
    rate: Decimal
    package_size: Decimal | None = None
    packages: Decimal | None = None
    amount: Decimal
    clamp: Clamp | None = None


class PricedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card's price: `amount` = the sum over `slabs`, then the clamp. `quantity` is the usage as it was metered."""

    quantity: Decimal
    slabs: tuple[PricedSlab, ...]
    slabs_amount: Decimal
    amount: Decimal
    clamp: Clamp | None = None


def price_usage(quantity: Decimal, card: UsageRateCard, *, currency: str) -> PricedCard:
    """Price `quantity` by `card` in `currency`, which must be one of the card's."""
    return price_quantity(quantity, card.rate_plan, card.rate_values, currency=currency)


def price_quantity(
    quantity: Decimal, rate_plan: RatePlan, rate_values: Sequence[RateValue], *, currency: str
) -> PricedCard:
    """Price `quantity` by slabs, with the rates in `currency`, of which there must be some."""
    value = rate_value_of(rate_values, currency)
    slabs = tuple(
        [_price_slab(slab, part, rate_of(value, slab)) for slab, part in split_over_slabs(quantity, rate_plan)]
    )
    slabs_amount = sum_exactly([slab.amount for slab in slabs])
    amount, clamp = clamped(slabs_amount, value.bounds)
    return PricedCard(quantity=quantity, slabs=slabs, slabs_amount=slabs_amount, amount=amount, clamp=clamp)


def amount_of(quantity: Decimal, rate_plan: RatePlan, rate_values: Sequence[RateValue], *, currency: str) -> Decimal:
    """The amount of `price_quantity` alone, for those who price very often."""
    value = rate_value_of(rate_values, currency)
    amount = ZERO
    for slab, part in split_over_slabs(quantity, rate_plan):
        amount = EXACT.add(amount, _slab_amount(slab, part, _packages_of(slab, part), rate_of(value, slab))[0])
    return clamped(amount, value.bounds)[0]


def rate_value_of(rate_values: Sequence[RateValue], currency: str) -> RateValue:
    """The rates in `currency`; an account is never associated with a plan that lacks its currency."""
    for value in rate_values:
        if value.currency == currency:
            return value
    raise AssertionError(f"a rate card has no rates in {currency}")


def rate_of(value: RateValue, slab: Slab) -> SlabRate:
    """The rate of the slab; a card has one for each of its slabs, mostly in their order."""
    rate = value.slab_rates[slab.order - 1]
    return rate if rate.order == slab.order else next(each for each in value.slab_rates if each.order == slab.order)


def commitment_of(plan: PricePlan, currency: str) -> Decimal:
    """The least that a cycle comes to in `currency`; 0 without a commitment."""
    if plan.minimum_commitment is not None:
        for rate in plan.minimum_commitment.rates:
            if rate.currency == currency:
                return rate.rate
    return ZERO


def split_over_slabs(quantity: Decimal, rate_plan: RatePlan) -> list[tuple[Slab, Decimal]]:
    """Which slabs price how much of `quantity`. What lies below the first slab is free."""
    slabs = rate_plan.slabs
    quantity = billable_quantity(quantity, slabs)
    if quantity < 0:
        return [(slabs[0], quantity)]
    reached = [slab for slab in slabs if slab.start_after < quantity]
    if not reached:
        return []
    if rate_plan.pricing_model is PricingModel.VOLUME:
        return [(reached[-1], EXACT.subtract(quantity, slabs[0].start_after))]
    parts, end = [], quantity
    for slab in reversed(reached):
        parts.append((slab, EXACT.subtract(end, slab.start_after)))
        end = slab.start_after
    return parts[::-1]


def billable_quantity(quantity: Decimal, slabs: Sequence[Slab]) -> Decimal:
    """Usage below zero earns money back only where one rate per unit holds from zero on; elsewhere it is zero."""
    one_rate = len(slabs) == 1 and slabs[0].price_type is PriceType.PER_UNIT and slabs[0].start_after == 0
    return quantity if one_rate else max(quantity, ZERO)


def clamped(amount: Decimal, bounds: AmountBounds) -> tuple[Decimal, Clamp | None]:
    """Move `amount` into the bounds and say which one moved it."""
    if bounds.minimum is not None and amount < bounds.minimum:
        return bounds.minimum, Clamp.MINIMUM
    if bounds.maximum is not None and amount > bounds.maximum:
        return bounds.maximum, Clamp.MAXIMUM
    return amount, None


def packages_for(quantity: Decimal, package_size: Decimal) -> Decimal:
    """How many packages hold `quantity`; a begun one counts whole."""
    whole = EXACT.divide_int(quantity, package_size)
    return whole if EXACT.multiply(whole, package_size) == quantity else EXACT.add(whole, Decimal(1))


def sum_exactly(amounts: Sequence[Decimal]) -> Decimal:
    """Add up without losing a digit."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def _price_slab(slab: Slab, quantity: Decimal, rate: SlabRate) -> PricedSlab:
    packages = _packages_of(slab, quantity)
    amount, clamp = _slab_amount(slab, quantity, packages, rate)
    return PricedSlab(
        order=slab.order,
        start_after=slab.start_after,
        price_type=slab.price_type,
        quantity=quantity,
        rate=rate.rate,
        package_size=slab.package_size,
        packages=packages,
        amount=amount,
        clamp=clamp,
    )


def _packages_of(slab: Slab, quantity: Decimal) -> Decimal | None:
    if slab.price_type is not PriceType.PACKAGE:
        return None
    assert slab.package_size is not None, "check_price_plan lets no package slab without a size in"
    return packages_for(quantity, slab.package_size)


def _slab_amount(
    slab: Slab, quantity: Decimal, packages: Decimal | None, rate: SlabRate
) -> tuple[Decimal, Clamp | None]:
    """What the slab comes to, and which of its bounds moved that."""
    if slab.price_type is PriceType.FLAT:
        return clamped(rate.rate, rate.bounds)
    return clamped(EXACT.multiply(rate.rate, quantity if packages is None else packages), rate.bounds)
