"""Revenue over time: how much of a cycle's price each bucket of time brought in.

A price is not a sum over hours (a slab is reached, a package begun), so a bucket gets what the usage so far costs at
its end less what it cost at its start. Whatever the buckets, they add up to the price of the whole cycle.

Licences are booked the same way, by what is held: the whole cycle's price when it begins, the difference when an
update changes it. What an invoice shares out by days, or does not give back, makes no difference to that.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import pairwise

from tallybook.core.aggregation import Aggregation, RunningQuantity, Usage
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.instant import hours_since_1970
from tallybook.core.licence import LicenceUpdate, quantities_after
from tallybook.core.licence_pricing import usage_cycles
from tallybook.core.period import Window, midnight
from tallybook.core.pricing import amount_of, price_usage, sum_exactly
from tallybook.core.rate_card import LicenceRateCard, UsageRateCard


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

    def price(quantity: Decimal) -> Decimal:
        return price_usage(quantity, card, currency=currency).amount

    return _by_bucket(price, hours, quantities, cycle=cycle, edges=edges)


def licence_revenue_by_bucket(
    card: LicenceRateCard,
    updates: Sequence[LicenceUpdate],
    *,
    currency: str,
    window: Window,
    full: Window,
    begun_by: datetime,
    edges: Sequence[int],
) -> list[Decimal]:
    """Exact revenue of one licence card in the cycle `window`, part of `full`, for each bucket; below zero for less.

    `updates` are all of the account's, in the order of their effect. Usage cycles are booked each by itself, and
    those that begin after `begun_by` not at all. Edges are hours since 1970.
    """
    hours = [hours_since_1970(update.effective_from) for update in updates]
    quantities = [ZERO, *quantities_after(updates)]

    @cache  # the same few quantities are held at most of the edges
    def price(quantity: Decimal) -> Decimal:
        return amount_of(quantity, card.rate_plan, card.rate_values, currency=currency)

    booked = [[ZERO] * (len(edges) - 1)]
    for start, end in (part for part, _ in usage_cycles(card, window, full)):
        if midnight(start) <= begun_by:
            cycle = (hours_since_1970(midnight(start)), hours_since_1970(midnight(end)))
            booked.append(_by_bucket(price, hours, quantities, cycle=cycle, edges=edges))
    return [sum_exactly(amounts) for amounts in zip(*booked, strict=True)]


def _by_bucket(
    price: Callable[[Decimal], Decimal],
    hours: Sequence[int],
    quantities: Sequence[Decimal],
    *,
    cycle: tuple[int, int],
    edges: Sequence[int],
) -> list[Decimal]:
    """By how much the price grows in each bucket; `quantities` are those before each of the `hours`, then the last."""
    start, end = cycle

    def price_before(hour: int) -> Decimal:
        return ZERO if hour <= start else price(quantities[bisect_left(hours, min(hour, end))])

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
