"""Revenue over time: how much of a cycle's price each bucket of time brought in.

A price is not a sum over hours (a slab is reached, a package begun), so a bucket gets what the usage so far costs at
its end less what it cost at its start. Whatever the buckets, they add up to the price of the whole cycle.
"""

from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.price_plan import UsageRateCard
from tallybook.core.pricing import price_usage


def revenue_by_bucket(
    card: UsageRateCard,
    usage: Sequence[tuple[int, Decimal]],
    *,
    currency: str,
    cycle: tuple[int, int],
    edges: Sequence[int],
) -> list[Decimal]:
    """Exact revenue of one card in one cycle for each bucket `[edges[i], edges[i + 1])`; zero outside the cycle.

    All times are hours since 1970. `usage` is the whole cycle's, as (hour, units), in any order.
    What a card charges without usage belongs to the hour in which the cycle starts.
    """
    hours, sums = _running_sums(usage)
    start, end = cycle

    def price_before(hour: int) -> Decimal:
        if hour <= start:
            return ZERO
        return price_usage(sums[bisect_left(hours, min(hour, end))], card, currency=currency).amount

    prices = [price_before(edge) for edge in edges]
    return [EXACT.subtract(later, earlier) for earlier, later in pairwise(prices)]


def _running_sums(usage: Sequence[tuple[int, Decimal]]) -> tuple[list[int], list[Decimal]]:
    """The hours in order, and the units before each of them, with the sum of all at the end."""
    ordered = sorted(usage)
    sums = [ZERO]
    for _, units in ordered:
        sums.append(EXACT.add(sums[-1], units))
    return [hour for hour, _ in ordered], sums
