"""Laws of what-if: a simulated cycle costs what its invoice would say, and calculated cards add up."""

from datetime import date
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from invoice_samples import draft_invoice_of
from price_plan_samples import (
    SlabSample,
    bounds,
    cycle_in,
    fixed_fee,
    licence_card,
    price_plan,
    usage_card,
)

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, UsageLine
from tallybook.core.licence import HeldRun
from tallybook.core.period import Window
from tallybook.core.pricing import sum_exactly
from tallybook.core.rate_card import LicenceRateCard, PriceType, PricingModel, RateCard, UsageRateCard
from tallybook.core.revenue_calculation import calculate_revenue
from tallybook.core.simulation import cycle_amount

WINDOW = Window(date(2024, 4, 11), date(2024, 5, 1))
NOBODY = BilledAccount(
    account_id="a",
    account_name="a",
    customer_id="c",
    customer_name="c",
    customer_email="",
    email="",
    address=Address(),
    currency="USD",
)
rates = st.decimals(-100, 100, places=4).map(str)
prices = st.decimals(0, 100, places=4).map(str)
quantities = st.decimals(-1000, 100_000, places=3)


@st.composite
def slabs(draw: st.DrawFn, rates: st.SearchStrategy[str] = rates) -> tuple[SlabSample, ...]:
    starts = sorted(draw(st.sets(st.integers(0, 10_000), min_size=1, max_size=4)))
    samples = []
    for start in starts:
        price_type = draw(st.sampled_from(PriceType))
        package = "7.5" if price_type is PriceType.PACKAGE else None
        samples.append(SlabSample(str(start), draw(rates), price_type, package=package))
    return tuple(samples)


@st.composite
def cards(draw: st.DrawFn) -> tuple[RateCard, ...]:
    usage = [
        usage_card(
            *draw(slabs()),
            model=draw(st.sampled_from(PricingModel)),
            meter_id=f"um.{number}",
            card_bounds=draw(st.sampled_from([bounds(), bounds("5", "900"), bounds("-3")])),
        )
        for number in range(draw(st.integers(0, 3)))
    ]
    fees = [
        fixed_fee(draw(rates), add_on_id=f"fee.{number}", advance=draw(st.booleans()), prorated=draw(st.booleans()))
        for number in range(draw(st.integers(0, 2)))
    ]
    # Licences in advance that cost less than nothing would be granted as a credit, which a simulation subtracts.
    licences = [
        licence_card(
            *draw(slabs(prices)), add_on_id=f"seat.{number}", advance=draw(st.booleans()), prorated=draw(st.booleans())
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    return (*usage, *fees, *licences)


@st.composite
def cycles(draw: st.DrawFn) -> BilledCycle:
    days = sorted(draw(st.sets(st.integers(12, 30), max_size=3)))
    edges = [WINDOW.start, *(date(2024, 4, day) for day in days), WINDOW.end]
    held = {
        f"seat.{number}": tuple(
            HeldRun(start, end, draw(st.decimals(0, 50, places=0))) for start, end in pairwise(edges)
        )
        for number in range(2)
    }
    commitment = draw(st.none() | st.integers(0, 100_000).map(str))
    return cycle_in(
        price_plan(*draw(cards()), commitment=commitment), WINDOW, held=held, number=draw(st.integers(0, 3))
    )


@given(cycle=cycles(), used=st.lists(quantities, min_size=3, max_size=3))
def test_a_cycle_costs_what_its_invoice_says(cycle: BilledCycle, used: list[Decimal]) -> None:
    """For any plan and usage, to the last digit: there is one arithmetic, with lines and without."""
    by_meter = {f"um.{number}": quantity for number, quantity in enumerate(used)}
    lines = [
        UsageLine(meter_id=card.meter_id, meter_version=1, name="m", units=by_meter[card.meter_id], event_count=1)
        for card in cycle.plan.usage_cards
    ]
    invoice = draft_invoice_of(
        NOBODY, organisation_id="org", cycle=cycle, usage=lines, computed_at=price_plan().created_at
    )
    assert cycle_amount(cycle, by_meter, "USD") == invoice.revenue.amount.amount


@given(cycle=cycles(), used=st.lists(quantities, min_size=3, max_size=3))
def test_calculated_slabs_add_up_to_their_card(cycle: BilledCycle, used: list[Decimal]) -> None:
    """Whatever is bounded or prorated, the slabs of a card are all there, and their sum is what it comes to."""
    by_meter = {f"um.{number}": quantity for number, quantity in enumerate(used)}
    for found in calculate_revenue(cycle, licences_in=cycle, usage=by_meter, currency="USD"):
        if isinstance(found.card, UsageRateCard | LicenceRateCard):
            assert [slab.order for slab in found.slabs] == [slab.order for slab in found.card.rate_plan.slabs]
            assert sum_exactly([slab.amount for slab in found.slabs]) == found.amount
