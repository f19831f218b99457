"""Currencies of a plan: one more with its rates, or one less, as long as nobody can be billed in it."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.price_plan import MinimumCommitment, PricePlan
from tallybook.core.rate_card import (
    CreditGrantRateCard,
    CurrencyRate,
    FixedFeeRateCard,
    LicenceRateCard,
    RateCard,
    RateValue,
    SlabRate,
    UsageRateCard,
)


class RatesInCurrency(msgspec.Struct, frozen=True, kw_only=True):
    """What the cards of a plan charge in one currency: usage by meter id, fees by add-on id."""

    currency: str
    usage: Mapping[str, tuple[SlabRate, ...]]
    fees: Mapping[str, Decimal]
    commitment: Decimal | None = None


def with_currency(plan: PricePlan, rates: RatesInCurrency) -> PricePlan:
    """The plan with those rates in one more currency, not yet checked. Raises `Invalid` or `Conflict`."""
    if rates.currency in plan.supported_currencies:
        raise Conflict(f"currency: the plan supports {rates.currency} already", code="ALREADY_EXISTS")
    _check_known(rates.usage, [card.meter_id for card in plan.usage_cards], "usageRates: no rate card for the meter")
    _check_known(rates.fees, [card.add_on_id for card in plan.fee_cards], "fixedFeeRates: no rate card for the add-on")
    if rates.commitment is not None and plan.minimum_commitment is None:
        raise Invalid("minimumCommitmentRate: the plan has no minimum commitment")
    return msgspec.structs.replace(
        plan,
        supported_currencies=(*plan.supported_currencies, rates.currency),
        rate_cards=tuple(_with_rates(card, rates) for card in plan.rate_cards),
        minimum_commitment=_committed(plan.minimum_commitment, rates),
    )


def without_currency(plan: PricePlan, currency: str) -> PricePlan:
    """The plan without the currency and its rates, not yet checked. Raises `NotFound`, `Conflict` if it is active."""
    if currency not in plan.supported_currencies:
        raise NotFound(f"price plan {plan.plan_id} does not support {currency[:10]!r}")
    if currency in plan.active_currencies:
        raise Conflict(f"{currency} is active in price plan {plan.plan_id} and cannot be removed")
    commitment = plan.minimum_commitment
    return msgspec.structs.replace(
        plan,
        supported_currencies=tuple(each for each in plan.supported_currencies if each != currency),
        rate_cards=tuple(_without_rates(card, currency) for card in plan.rate_cards),
        minimum_commitment=commitment and msgspec.structs.replace(commitment, rates=_but(commitment.rates, currency)),
    )


def _with_rates(card: RateCard, rates: RatesInCurrency) -> RateCard:
    if isinstance(card, UsageRateCard) and card.meter_id in rates.usage:
        added = RateValue(currency=rates.currency, slab_rates=rates.usage[card.meter_id])
        return msgspec.structs.replace(card, rate_values=(*card.rate_values, added))
    if isinstance(card, FixedFeeRateCard) and card.add_on_id in rates.fees:
        fee = CurrencyRate(currency=rates.currency, rate=rates.fees[card.add_on_id])
        return msgspec.structs.replace(card, rates=(*card.rates, fee))
    return card


def _committed(commitment: MinimumCommitment | None, rates: RatesInCurrency) -> MinimumCommitment | None:
    if commitment is None or rates.commitment is None:
        return commitment
    added = CurrencyRate(currency=rates.currency, rate=rates.commitment)
    return msgspec.structs.replace(commitment, rates=(*commitment.rates, added))


def _without_rates(card: RateCard, currency: str) -> RateCard:
    match card:
        case UsageRateCard() | LicenceRateCard():
            kept = tuple(value for value in card.rate_values if value.currency != currency)
            return msgspec.structs.replace(card, rate_values=kept)
        case FixedFeeRateCard():
            return msgspec.structs.replace(card, rates=_but(card.rates, currency))
        case CreditGrantRateCard():
            prices = tuple(price for price in card.prices if price.rate_value.currency != currency)
            return msgspec.structs.replace(card, prices=prices)


def _but(rates: tuple[CurrencyRate, ...], currency: str) -> tuple[CurrencyRate, ...]:
    return tuple(rate for rate in rates if rate.currency != currency)


def _check_known(given: Mapping[str, object], known: list[str], problem: str) -> None:
    for item_id in given:
        if item_id not in known:
            raise Invalid(f"{problem} {item_id[:60]!r}")
