"""Revenue over time: how much of a cycle's price each bucket of time brought in.

A price is not a sum over hours (a slab is reached, a package begun), so a bucket gets what the usage so far costs at
its end less what it cost at its start. Whatever the buckets, they add up to the price of the whole cycle.
"""

from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

from tallybook.core.aggregation import Aggregation, RunningQuantity, Usage
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.pricing import price_usage
from tallybook.core.rate_card import UsageRateCard


def revenue_by_bucket(
    card: UsageRateCard,
    usage: Sequence[tuple[int, Usage]],
    *,
    aggregation: Aggregation,
    currency: str,
    cycle: tuple[int, int],
    edges: Sequence[int],
) -> list[Decimal]:
    """Exact revenue of one card in one cycle for each bucket `[edges[i], edges[i + 1])`; zero outside the cycle.

    All times are hours since 1970. `usage` is the whole cycle's by hour, in any order.
    What a card charges without usage belongs to the hour in which the cycle starts.
    """
    hours, quantities = _running_quantities(aggregation, usage)
    start, end = cycle

    def price_before(hour: int) -> Decimal:
        if hour <= start:
            return ZERO
        return price_usage(quantities[bisect_left(hours, min(hour, end))], card, currency=currency).amount

    prices = [price_before(edge) for edge in edges]
    return [EXACT.subtract(later, earlier) for earlier, later in pairwise(prices)]


def _running_quantities(
    aggregation: Aggregation, usage: Sequence[tuple[int, Usage]]
) -> tuple[list[int], list[Decimal]]:
    """The hours in order, and the quantity before each of them, with that of all at the end."""
    ordered = sorted(usage, key=lambda pair: pair[0])
    running = RunningQuantity(aggregation)
    quantities = [running.now()]
    for _, part in ordered:
        running.add(part)
        quantities.append(running.now())
    return [hour for hour, _ in ordered], quantities
