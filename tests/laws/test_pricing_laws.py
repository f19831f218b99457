"""Laws of pricing, for any rate card and any usage."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from invoice_samples import draft_invoice_of
from price_plan_samples import PER_UNIT, TIERED, VOLUME, SlabSample, cycle_in, price_plan, usage_card

from tallybook.core.aggregation import Aggregation, Usage, quantity_of, value_of
from tallybook.core.customer import Address
from tallybook.core.decimals import EXACT
from tallybook.core.invoice import BilledAccount, InvoiceLine, UsageLine, shown_amount
from tallybook.core.money import MINOR_UNIT_DIGITS
from tallybook.core.period import Window
from tallybook.core.pricing import price_usage, split_over_slabs, sum_exactly
from tallybook.core.rate_card import PriceType, PricingModel, UsageRateCard
from tallybook.core.revenue import revenue_by_bucket

quantities = st.decimals(0, 1_000_000, places=6)
usages = st.decimals(-1_000_000, 1_000_000, places=6)
rates = st.decimals(-100, 100, places=8)


@st.composite
def slabs(draw: st.DrawFn, *, count_max: int = 10, from_zero: bool = True) -> tuple[SlabSample, ...]:
    starts = sorted(draw(st.sets(st.decimals(1, 100_000, places=2), max_size=count_max - 1)))
    if from_zero or not starts:
        starts = [Decimal(0), *starts]
    return tuple(draw(slab_from(start)) for start in starts)


@st.composite
def slab_from(draw: st.DrawFn, start: Decimal) -> SlabSample:
    price_type = draw(st.sampled_from(PriceType))
    size = str(draw(st.decimals("0.01", 1000, places=2))) if price_type is PriceType.PACKAGE else None
    return SlabSample(str(start), str(draw(rates)), price_type, package=size)


@st.composite
def cards(draw: st.DrawFn, *, model: PricingModel | None = None) -> UsageRateCard:
    chosen = model or draw(st.sampled_from(PricingModel))
    return usage_card(*draw(slabs(from_zero=draw(st.booleans()))), model=chosen)


def price(card: UsageRateCard, quantity: Decimal) -> Decimal:
    return price_usage(quantity, card, currency="USD").amount


@given(card=cards(model=TIERED), quantity=quantities)
def test_tiers_tile_the_line(card: UsageRateCard, quantity: Decimal) -> None:
    """Every unit above the first slab's start is priced in exactly one slab, in order, without gap or overlap."""
    parts = split_over_slabs(quantity, card.rate_plan)
    first = card.rate_plan.slabs[0].start_after
    assert sum_exactly([part for _, part in parts]) == max(quantity - first, Decimal(0))
    assert all(part > 0 for _, part in parts)
    for (slab, part), (following, _) in pairwise(parts):
        assert slab.start_after + part == following.start_after


@given(slab_samples=slabs(), quantity=quantities, more=quantities)
def test_marginal_prices_add_up(slab_samples: tuple[SlabSample, ...], quantity: Decimal, more: Decimal) -> None:
    """Per-unit tiers: a and b units cost a's price plus the price of each part of b in its slab."""
    samples = tuple(SlabSample(str(sample.start_after), str(sample.rate), PER_UNIT) for sample in slab_samples)
    card = usage_card(*samples)
    ends = [sample.start_after for sample in samples[1:]]
    total, low, high = price(card, quantity), quantity, quantity + more
    for sample, end in zip(samples, [*ends, high], strict=True):
        part = min(high, max(end, low)) - max(low, sample.start_after)
        total = EXACT.add(total, EXACT.multiply(max(part, Decimal(0)), sample.rate))
    assert price(card, high) == total


@given(sample=st.data(), start=st.decimals(0, 100, places=2), quantity=usages)
def test_volume_and_tiers_agree_on_one_slab(sample: st.DataObject, start: Decimal, quantity: Decimal) -> None:
    """With a single slab there is nothing to tell the two models apart."""
    slab = sample.draw(slab_from(start))
    assert price(usage_card(slab, model=TIERED), quantity) == price(usage_card(slab, model=VOLUME), quantity)


@given(card=cards(), quantity=usages)
def test_the_working_adds_up_to_the_price(card: UsageRateCard, quantity: Decimal) -> None:
    """Quantity × rate, packages × rate or the flat rate, as each line says, give the amount."""
    priced = price_usage(quantity, card, currency="USD")
    total = Decimal(0)
    for slab in priced.slabs:
        times = {
            PriceType.FLAT: Decimal(1),
            PriceType.PER_UNIT: slab.quantity,
            PriceType.PACKAGE: slab.packages,
        }[slab.price_type]
        assert times is not None
        assert slab.amount == EXACT.multiply(slab.rate, times)
        if slab.packages is not None and slab.package_size is not None:
            assert (slab.packages - 1) * slab.package_size < slab.quantity <= slab.packages * slab.package_size
        total = EXACT.add(total, slab.amount)
    assert priced.amount == total


@given(card=cards(), events=st.lists(st.tuples(st.integers(0, 743), usages), max_size=30), seed=st.randoms())
def test_order_of_usage_changes_no_price(card: UsageRateCard, events: list[tuple[int, Decimal]], seed: object) -> None:
    """A price depends on the sum of the usage, not on how it came together."""
    shuffled = list(events)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert price(card, sum_exactly([units for _, units in events])) == price(
        card, sum_exactly([units for _, units in shuffled])
    )


@given(
    card=cards(),
    usage=st.lists(st.tuples(st.integers(0, 743), usages), max_size=20, unique_by=lambda row: row[0]),
    cuts=st.sets(st.integers(1, 743), max_size=8),
    aggregation=st.sampled_from(Aggregation),
)
def test_buckets_add_up_to_the_cycle(
    card: UsageRateCard, usage: list[tuple[int, Decimal]], cuts: set[int], aggregation: Aggregation
) -> None:
    """However a cycle is cut into buckets of time, their revenue sums to the price of the cycle."""
    edges = [-24, 0, *sorted(cuts), 744, 800]
    by_hour = [(hour, usage_of_one_event(aggregation, hour, units)) for hour, units in usage]
    buckets = revenue_by_bucket(card, by_hour, aggregation=aggregation, currency="USD", cycle=(0, 744), edges=edges)
    assert len(buckets) == len(edges) - 1
    assert buckets[0] == buckets[-1] == 0
    assert sum_exactly(buckets) == price(card, quantity_of(aggregation, [one for _, one in by_hour]))


def usage_of_one_event(aggregation: Aggregation, hour: int, units: Decimal) -> Usage:
    left = value_of(aggregation, units, event_time=hour, event_key=b"")
    return Usage(units=units, event_count=1, values=frozenset() if left is None else frozenset({left}))


def every_line(line: InvoiceLine) -> list[InvoiceLine]:
    return [line, *(below for child in line.lines for below in every_line(child))]


@given(
    priced=st.lists(st.tuples(cards(), usages), min_size=1, max_size=5),
    commitment=st.none() | st.decimals(0, 10_000, places=3).map(str),
)
def test_totals_are_exact_sums_cut_once(priced: list[tuple[UsageRateCard, Decimal]], commitment: str | None) -> None:
    """Every line is the exact sum of those under it; what is shown is that sum cut to cents, never a sum of cuts."""
    currency_cards = [usage_card_of(card, meter_id=f"um.{number}") for number, (card, _) in enumerate(priced)]
    invoice = draft_invoice_of(
        BilledAccount(
            account_id="a",
            account_name="a",
            customer_id="c",
            customer_name="c",
            customer_email="",
            email="",
            address=Address(),
            currency="USD",
        ),
        organisation_id="org",
        cycle=cycle_in(price_plan(*currency_cards, commitment=commitment), Window(date(2024, 1, 1), date(2024, 2, 1))),
        usage=[
            UsageLine(meter_id=f"um.{number}", meter_version=1, name="m", units=units, event_count=1)
            for number, (_, units) in enumerate(priced)
        ],
        computed_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
    for line in every_line(invoice.revenue):
        if line.lines:
            assert line.amount.amount == sum_exactly([child.amount.amount for child in line.lines])
        gone = line.amount.amount - shown_amount(line)
        assert abs(gone) < Decimal(1).scaleb(-MINOR_UNIT_DIGITS["USD"])
        assert gone == 0 or (gone > 0) == (line.amount.amount > 0)
    assert invoice.total == shown_amount(invoice.revenue)


def usage_card_of(card: UsageRateCard, *, meter_id: str) -> UsageRateCard:
    """The same card for another meter."""
    return UsageRateCard(
        name=f"usage.{meter_id}", meter_id=meter_id, rate_plan=card.rate_plan, rate_values=card.rate_values
    )
