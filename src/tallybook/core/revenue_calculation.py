"""What the cards of a price plan come to in one cycle, card by card and slab by slab: the revenue calculator.

The prices are those that invoices are made of; here they are told in the calculator's words, with every slab of a card
in its place. Nothing is cut to the minor unit.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import assert_never

import msgspec

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.credit_grant import sale_in
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.errors import Invalid
from tallybook.core.fixed_fee import fee_in
from tallybook.core.licence_pricing import PricedLicences, price_licences
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing import Clamp, PricedCard, price_usage, sum_exactly
from tallybook.core.proration import share_of_days
from tallybook.core.rate_card import (
    CreditGrantRateCard,
    FixedFeeRateCard,
    LicenceRateCard,
    RateCard,
    RatePlan,
    Slab,
    UsageRateCard,
)

ORDINAL_MAX = 10_000  # cycles of a plan; two centuries of weeks


class SlabRevenue(msgspec.Struct, frozen=True, kw_only=True):
    """One slab's part of a card's amount; a slab that was not reached has nothing.

    `clamps` say which bounds moved the amount: the slab's own, or the card's, which the last slab reached bears.
    """

    order: int
    quantity: Decimal = ZERO
    amount: Decimal = ZERO
    packages: Decimal | None = None
    clamps: frozenset[Clamp] = frozenset()


class CardRevenue(msgspec.Struct, frozen=True, kw_only=True):
    """What a card comes to, the exact sum of its slabs where it has any.

    `quantity` is the usage, or the most that is held; None of a fee and of credit that is sold.
    """

    card: RateCard
    quantity: Decimal | None = None
    slabs: tuple[SlabRevenue, ...] = ()
    amount: Decimal


def calculate_revenue(
    cycle: BilledCycle, *, licences_in: BilledCycle, usage: Mapping[str, Decimal], currency: str
) -> tuple[CardRevenue, ...]:
    """The revenue of each card of the cycle's plan, in the plan's order.

    Licences are priced on the days of `licences_in`, fees on those of `cycle`. `usage` is by meter id; a meter that is
    not there was not used. Raises `Invalid` when the plan has no rates in `currency`.
    """
    if currency not in cycle.plan.supported_currencies:
        raise Invalid(f"currencyConfig: the plan has no rates in {currency}", code="UNKNOWN_CURRENCY")
    return tuple(_card_revenue(card, cycle, licences_in, usage, currency) for card in cycle.plan.rate_cards)


def without_proration(plan: PricePlan) -> PricePlan:
    """The plan with every card charged whole, however many days are billed."""
    cards = tuple(
        msgspec.structs.replace(card, prorated=False) if isinstance(card, FixedFeeRateCard | LicenceRateCard) else card
        for card in plan.rate_cards
    )
    return msgspec.structs.replace(plan, rate_cards=cards)


def check_ordinal(ordinal: int) -> None:
    """Refuse a number that no cycle has; the first is 1. Raises `Invalid`."""
    if not 1 <= ordinal <= ORDINAL_MAX:
        raise Invalid(f"pricingCycleOrdinal: cycles are counted from 1 to {ORDINAL_MAX}")


def _card_revenue(
    card: RateCard, cycle: BilledCycle, licences_in: BilledCycle, usage: Mapping[str, Decimal], currency: str
) -> CardRevenue:
    match card:
        case UsageRateCard():
            return _usage_revenue(card, usage.get(card.meter_id, ZERO), currency)
        case FixedFeeRateCard():
            fee = fee_in(card, cycle, currency=currency)
            return CardRevenue(card=card, amount=ZERO if fee is None else fee.amount)
        case LicenceRateCard():
            return _licence_revenue(card, licences_in, currency)
        case CreditGrantRateCard():
            sale = sale_in(card, cycle, currency=currency)
            return CardRevenue(card=card, amount=ZERO if sale is None else sale.amount)
        case _:
            assert_never(card)


def _usage_revenue(card: UsageRateCard, quantity: Decimal, currency: str) -> CardRevenue:
    priced = price_usage(quantity, card, currency=currency)
    slabs = _in_every_slab(card.rate_plan, [_slabs_of(priced)])
    return CardRevenue(card=card, quantity=quantity, slabs=slabs, amount=priced.amount)


def _licence_revenue(card: LicenceRateCard, cycle: BilledCycle, currency: str) -> CardRevenue:
    parts = [part for of_usage_cycle in price_licences(card, cycle, currency=currency) for part in of_usage_cycle]
    return CardRevenue(
        card=card,
        quantity=max(part.priced.quantity for part in parts),
        slabs=_in_every_slab(card.rate_plan, [_shared_slabs(part) for part in parts]),
        amount=sum_exactly([part.amount for part in parts]),
    )


# ---- slabs -------------------------------------------------------------------------------------------------------


def _slabs_of(priced: PricedCard) -> list[SlabRevenue]:
    """The slabs that were reached; the last of them, or else the first there is, bears what the card's bound adds."""
    reached = [
        SlabRevenue(
            order=slab.order,
            quantity=slab.quantity,
            amount=slab.amount,
            packages=slab.packages,
            clamps=_clamps(slab.clamp),
        )
        for slab in priced.slabs
    ]
    if priced.clamp is None:
        return reached
    last = reached.pop() if reached else SlabRevenue(order=1)
    moved = EXACT.add(last.amount, EXACT.subtract(priced.amount, priced.slabs_amount))
    clamps = last.clamps | _clamps(priced.clamp)
    return [*reached, msgspec.structs.replace(last, amount=moved, clamps=clamps)]


def _clamps(clamp: Clamp | None) -> frozenset[Clamp]:
    return frozenset() if clamp is None else frozenset({clamp})


def _shared_slabs(part: PricedLicences) -> list[SlabRevenue]:
    """The slabs of some days' price, each with its share; the last one's is what the others leave of the whole."""
    slabs = _slabs_of(part.priced)
    share = part.share
    if share is None or not slabs:
        return slabs
    days, of = share.days, share.days_in_cycle
    assert days is not None, "a share says for how many days it is"
    assert of is not None, "and of how many"
    amounts = [share_of_days(slab.amount, first=0, last=days, of=of) for slab in slabs[:-1]]
    amounts.append(EXACT.subtract(part.amount, sum_exactly(amounts)))
    return [msgspec.structs.replace(slab, amount=amount) for slab, amount in zip(slabs, amounts, strict=True)]


def _in_every_slab(rate_plan: RatePlan, parts: Sequence[Sequence[SlabRevenue]]) -> tuple[SlabRevenue, ...]:
    """All slabs of the card, with the sum of the amounts of the parts and the most of their quantities."""
    return tuple(_joined(slab, [each for part in parts for each in part]) for slab in rate_plan.slabs)


def _joined(slab: Slab, parts: Sequence[SlabRevenue]) -> SlabRevenue:
    of_slab = [part for part in parts if part.order == slab.order]
    packages = [part.packages for part in of_slab if part.packages is not None]
    return SlabRevenue(
        order=slab.order,
        quantity=max((part.quantity for part in of_slab), default=ZERO, key=abs),
        amount=sum_exactly([part.amount for part in of_slab]),
        packages=max(packages) if packages else None,
        clamps=frozenset().union(*(part.clamps for part in of_slab)),
    )
