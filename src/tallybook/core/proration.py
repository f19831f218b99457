"""What part of a price some days of a cycle bear, so that the parts of all days add up to the price exactly."""

from decimal import Decimal

from tallybook.core.decimals import EXACT, plain_text

_PLACES_BEYOND = 30  # digits after the amount's own; a cycle's cents differ long before


def share_of_days(amount: Decimal, *, first: int, last: int, of: int) -> Decimal:
    """What the days `[first, last)`, counted from 0, of a cycle of `of` days bear of `amount`.

    A third has no end, so the share is the difference of two rounded sums: what the days before `last` bear, less
    what the days before `first` do. However the cycle is cut into ranges of days, their shares add up to `amount`.
    """
    assert 0 <= first <= last <= of, f"days {first} to {last} are not in a cycle of {of}"
    share = EXACT.subtract(_rounded_share(amount, last, of), _rounded_share(amount, first, of))
    return Decimal(plain_text(share))


def _rounded_share(amount: Decimal, days: int, of: int) -> Decimal:
    """`amount` × `days` ÷ `of`, rounded at the same place for every number of days."""
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int), "an amount is finite"
    places = max(0, -exponent) + _PLACES_BEYOND
    units = int(EXACT.scaleb(amount, places)) * days
    return EXACT.scaleb(Decimal((2 * units + of) // (2 * of)), -places)
