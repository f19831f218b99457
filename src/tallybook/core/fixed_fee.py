"""What a fixed fee comes to in a cycle: whether it is charged there, and for how many of its days."""

from decimal import Decimal

import msgspec

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.proration import share_of_days
from tallybook.core.rate_card import FeeType, FixedFeeRateCard


class FeeWorking(msgspec.Struct, frozen=True, kw_only=True):
    """How a fee's amount came about: `rate`, or its share for `days` of the `days_in_cycle` where it is prorated."""

    rate: Decimal
    days: int | None = None
    days_in_cycle: int | None = None
    amount: Decimal


def fee_in(card: FixedFeeRateCard, cycle: BilledCycle, *, currency: str) -> FeeWorking | None:
    """The fee of the cycle, exact; None when it is not charged in it.

    A prorated fee is charged by the days billed ÷ the days of the full cycle, another one whole, in a stub too.
    """
    if not _is_charged(card, cycle):
        return None
    rate = rate_of(card, currency)
    if not card.prorated:
        return FeeWorking(rate=rate, amount=rate)
    first, last, of = cycle.days
    return FeeWorking(
        rate=rate, days=last - first, days_in_cycle=of, amount=share_of_days(rate, first=first, last=last, of=of)
    )


def rate_of(card: FixedFeeRateCard, currency: str) -> Decimal:
    """The card's rate in `currency`; an account is never associated with a plan that lacks its currency."""
    for value in card.rates:
        if value.currency == currency:
            return value.rate
    raise AssertionError(f"rate card {card.name!r} has no rate in {currency}")


def _is_charged(card: FixedFeeRateCard, cycle: BilledCycle) -> bool:
    since_offset = cycle.number - card.recurrence.offset
    if card.fee_type is FeeType.ONE_TIME:
        return since_offset == 0 and (cycle.opens or card.prorated)
    return since_offset >= 0 and since_offset % card.recurrence.interval == 0
