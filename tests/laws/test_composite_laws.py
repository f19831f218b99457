"""Laws of merging invoices."""

from datetime import date, timedelta
from decimal import Decimal
from random import Random

from composite_samples import DAY, GROUP, ISSUED_AT, due
from hypothesis import given
from hypothesis import strategies as st

from tallybook.core.composite_invoice import composite_of, merged_by_day
from tallybook.core.money import cut_to_minor_unit
from tallybook.core.pricing import sum_exactly

AMOUNTS = st.lists(st.decimals("0.01", "1e9", places=6), min_size=1, max_size=8)


@given(amounts=AMOUNTS, chance=st.randoms())
def test_a_composite_is_the_sum_of_its_members(amounts: list[Decimal], chance: Random) -> None:
    """To the last digit and cut once, in whatever order they are merged; each member's line is its own exact total."""
    members = [due(f"A{number}", str(amount)) for number, amount in enumerate(amounts)]
    shuffled = list(members)
    chance.shuffle(shuffled)
    made = composite_of(GROUP, shuffled, organisation_id="org", day=DAY, computed_at=ISSUED_AT)
    assert made.revenue.amount.amount == sum_exactly(amounts)
    assert made.total == cut_to_minor_unit(made.revenue.amount)
    assert [line.amount.amount for line in made.revenue.lines] == amounts
    assert made.members == tuple(member.invoice_id for member in members)


@given(
    graces=st.lists(st.integers(0, 5), max_size=12),
    taken=st.sets(st.integers(0, 8)),
    today=st.integers(0, 8),
)
def test_each_invoice_is_merged_once_or_waits(graces: list[int], taken: set[int], today: int) -> None:
    """No day that has its composite takes more, and only what finds its own day and today taken waits."""
    first = date(2024, 2, 1)
    waiting = [due(f"A{number:02}", "1", grace_days=grace) for number, grace in enumerate(graces)]
    issued = {first + timedelta(days=number) for number in taken}
    day = first + timedelta(days=today)
    days = merged_by_day(waiting, taken=issued, today=day)
    merged = [invoice.invoice_id for invoices in days.values() for invoice in invoices]
    assert issued.isdisjoint(days)
    assert len(merged) == len(set(merged))
    left = {invoice.invoice_id for invoice in waiting}.difference(merged)
    assert left == {each.invoice_id for each in waiting if {each.invoice_date, day} <= issued}
