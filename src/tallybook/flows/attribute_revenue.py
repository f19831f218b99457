"""Revenue attributed to time: what the items of an account's plans brought in, bucket by bucket."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from tallybook.core.account import Account
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.instant import hours_since_1970
from tallybook.core.period import full_cycle_containing, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.revenue import licence_revenue_by_bucket, revenue_by_bucket
from tallybook.flows.books import Books
from tallybook.flows.draw_up import schedule_plan
from tallybook.flows.find_cycles import Cycle, cycles_touching


def revenue_by_item(
    books: Books, account: Account, edges: Sequence[datetime], *, now: datetime
) -> dict[str, list[Decimal]]:
    """Exact revenue of usage and licences in the account's currency, by meter or add-on id, for each bucket.

    A bucket is between two `edges`, which are whole hours, ascending. An item without anything in a bucket has zero
    there. Fees and commitments are not in it, nor is a cycle with deferred revenue until it is invoiced.
    """
    revenue: dict[str, list[Decimal]] = {}
    for cycle in cycles_touching(account, edges[0], edges[-1]):
        plan = schedule_plan(books, cycle.schedule)
        if plan.deferred_revenue and cycle.window.start not in books.invoiced_starts(account.account_id):
            continue
        found = (
            *_usage_revenue(books, account, plan, cycle, edges),
            *_licence_revenue(books, account, plan, cycle, edges, now),
        )
        for item_id, amounts in found:
            sums = revenue.get(item_id, [ZERO] * (len(edges) - 1))
            revenue[item_id] = [EXACT.add(left, right) for left, right in zip(sums, amounts, strict=True)]
    return revenue


def _usage_revenue(
    books: Books, account: Account, plan: PricePlan, cycle: Cycle, edges: Sequence[datetime]
) -> Iterator[tuple[str, list[Decimal]]]:
    """Of each usage card, by meter id."""
    rows = books.usage(account.account_id, cycle.window)
    meters = books.meters([card.meter_id for card in plan.usage_cards])
    start, end = cycle.window
    for card, meter in zip(plan.usage_cards, meters, strict=True):
        amounts = revenue_by_bucket(
            card,
            [(row.event_hour, row) for row in rows if row.meter_id == card.meter_id],
            aggregation=meter.aggregation,
            currency=account.currency,
            cycle=(hours_since_1970(midnight(start)), hours_since_1970(midnight(end))),
            edges=[hours_since_1970(edge) for edge in edges],
        )
        yield card.meter_id, amounts


def _licence_revenue(
    books: Books, account: Account, plan: PricePlan, cycle: Cycle, edges: Sequence[datetime], now: datetime
) -> Iterator[tuple[str, list[Decimal]]]:
    """Of each licence card, by add-on id; only what has begun or changed by `now`."""
    for card in plan.licence_cards:
        amounts = licence_revenue_by_bucket(
            card,
            books.licence_updates(account.account_id, card.add_on_id, until=now),
            currency=account.currency,
            window=cycle.window,
            full=full_cycle_containing(cycle.schedule.cycle, cycle.window.start),
            begun_by=now,
            edges=[hours_since_1970(edge) for edge in edges],
        )
        yield card.add_on_id, amounts
