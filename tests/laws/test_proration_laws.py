"""Laws of proration."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tallybook.core.pricing import sum_exactly
from tallybook.core.proration import share_of_days


@given(
    amount=st.decimals(-(10**12), 10**12, places=8),
    days=st.integers(1, 366),
    cuts=st.sets(st.integers(1, 365), max_size=10),
)
def test_the_parts_of_a_cycle_bear_the_whole_amount(amount: Decimal, days: int, cuts: set[int]) -> None:
    """However a cycle is cut into ranges of days, their shares add up to the amount, to the last digit."""
    edges = [0, *sorted(cut for cut in cuts if cut < days), days]
    shares = [share_of_days(amount, first=first, last=last, of=days) for first, last in pairwise(edges)]
    assert sum_exactly(shares) == amount


@given(amount=st.integers(0, 10**9), first=st.integers(0, 30), length=st.integers(0, 30))
def test_as_many_days_bear_as_much_wherever_they_lie(amount: int, first: int, length: int) -> None:
    """Equal to the pocket calculator's quotient within 10**-29, at the beginning of a cycle as at its end."""
    share = share_of_days(Decimal(amount), first=first, last=first + length, of=60)
    assert abs(share * 60 - amount * length) < Decimal("1e-27")
