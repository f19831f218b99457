from decimal import Decimal

import pytest
from price_plan_samples import FLAT, TIERED, VOLUME, SlabSample, bounds, price_plan, usage_card

from tallybook.core.pricing import Clamp, PricedCard, commitment_of, packages_for, price_usage
from tallybook.core.rate_card import UsageRateCard

TWO_SLABS = (SlabSample("0", "2"), SlabSample("100", "1"))
LIST_EXAMPLE = (SlabSample("0", "100"), SlabSample("10", "40"), SlabSample("50", "10"))
THOUSAND_PACK = (SlabSample("0", "10", package="1000"),)
MIXED = (SlabSample("0", "10"), SlabSample("2", "20", package="10"))
CLAMPED = (SlabSample("0", "1", minimum="1", maximum="10"),)
SEATS = (SlabSample("0", "0", FLAT), SlabSample("10", "100"))
OVERAGE = (SlabSample("0", "0.05"), SlabSample("5000", "0.03"))
API = (SlabSample("0", "1"), SlabSample("5000", "0.8"))
FLAT_FEE = (SlabSample("0", "10", FLAT),)
FROM_ONE = (SlabSample("1", "10"),)
NEGATIVE_RATE = (SlabSample("0", "-3"),)
PER_UNIT_ONE = (SlabSample("0", "2"),)


def priced(card: UsageRateCard, quantity: str) -> PricedCard:
    return price_usage(Decimal(quantity), card, currency="USD")


@pytest.mark.parametrize(
    ("slabs", "model", "quantity", "amount"),
    [
        # Contract 3.6, the table "Pricing model × price type", in its order.
        (TWO_SLABS, TIERED, "150", "250"),
        (TWO_SLABS, VOLUME, "150", "150"),
        (TWO_SLABS, TIERED, "100", "200"),
        (TWO_SLABS, VOLUME, "100", "200"),  # startAfter is exclusive: 100 is in slab 1 (row 30 of section 7)
        (TWO_SLABS, TIERED, "101", "201"),
        (TWO_SLABS, VOLUME, "101", "101"),
        (LIST_EXAMPLE, TIERED, "60", "2700"),  # 10×100 + 40×40 + 10×10
        (LIST_EXAMPLE, VOLUME, "60", "600"),
        (THOUSAND_PACK, TIERED, "1000", "10"),
        (THOUSAND_PACK, TIERED, "1001", "20"),
        (THOUSAND_PACK, TIERED, "0", "0"),
        (MIXED, TIERED, "10", "40"),  # 2×10 + ceil(8 ÷ 10)×20
        (CLAMPED, TIERED, "0.4", "1"),
        (CLAMPED, TIERED, "7", "7"),
        (CLAMPED, TIERED, "25", "10"),
        (SEATS, TIERED, "13", "300"),
        (OVERAGE, TIERED, "6000", "280"),
        (API, VOLUME, "6000", "4800"),
        (API, VOLUME, "5000", "5000"),
        # Section 7.
        (FLAT_FEE, TIERED, "0", "0"),  # row 29
        (FLAT_FEE, TIERED, "0.001", "10"),
        (FROM_ONE, TIERED, "1", "0"),  # row 31: what lies below the first slab is free
        (FROM_ONE, TIERED, "5", "40"),
        (FROM_ONE, VOLUME, "5", "40"),
        (PER_UNIT_ONE, TIERED, "-5", "-10"),  # row 32: one slab per unit gives money back
        (PER_UNIT_ONE, VOLUME, "-5", "-10"),
        (TWO_SLABS, TIERED, "-5", "0"),  # row 32: elsewhere it counts as zero
        (TWO_SLABS, VOLUME, "-5", "0"),
        (THOUSAND_PACK, TIERED, "-5", "0"),
        (FLAT_FEE, TIERED, "-5", "0"),
        (FROM_ONE, TIERED, "-5", "0"),
        # Negative rates are allowed.
        (NEGATIVE_RATE, TIERED, "4", "-12"),
    ],
)
def test_worked_examples(slabs: tuple[SlabSample, ...], model: object, quantity: str, amount: str) -> None:
    assert priced(usage_card(*slabs, model=model), quantity).amount == Decimal(amount)  # type: ignore[arg-type]


def test_the_working_of_tiers() -> None:
    """Each reached slab says how much of the quantity it priced, and slabs that are not reached say nothing."""
    card = priced(usage_card(*LIST_EXAMPLE), "60")
    assert [(slab.order, slab.quantity, slab.rate, slab.amount) for slab in card.slabs] == [
        (1, Decimal(10), Decimal(100), Decimal(1000)),
        (2, Decimal(40), Decimal(40), Decimal(1600)),
        (3, Decimal(10), Decimal(10), Decimal(100)),
    ]
    assert [slab.order for slab in priced(usage_card(*LIST_EXAMPLE), "50").slabs] == [1, 2]


def test_the_working_of_volume() -> None:
    (slab,) = priced(usage_card(*LIST_EXAMPLE, model=VOLUME), "60").slabs
    assert (slab.order, slab.quantity, slab.rate) == (3, Decimal(60), Decimal(10))


def test_the_working_of_packages() -> None:
    (slab,) = priced(usage_card(*THOUSAND_PACK), "2500").slabs
    assert (slab.quantity, slab.package_size) == (Decimal(2500), Decimal(1000))
    assert (slab.packages, slab.amount) == (Decimal(3), Decimal(30))


@pytest.mark.parametrize(
    ("quantity", "size", "packages"),
    [
        ("1", "10", 1),
        ("10", "10", 1),
        ("10.0000000000000000000000000000001", "10", 2),
        ("0.3", "0.1", 3),
        ("7", "2.5", 3),
    ],
)
def test_a_begun_package_counts_whole(quantity: str, size: str, packages: int) -> None:
    assert packages_for(Decimal(quantity), Decimal(size)) == packages


@pytest.mark.parametrize(
    ("quantity", "amount", "clamp"), [("0.4", "1", Clamp.MINIMUM), ("7", "7", None), ("25", "10", Clamp.MAXIMUM)]
)
def test_a_slab_says_which_bound_was_applied(quantity: str, amount: str, clamp: Clamp | None) -> None:
    (slab,) = priced(usage_card(*CLAMPED), quantity).slabs
    assert (slab.amount, slab.clamp) == (Decimal(amount), clamp)


def test_a_slab_that_is_not_reached_has_no_minimum() -> None:
    assert priced(usage_card(*CLAMPED), "0").amount == 0


@pytest.mark.parametrize(
    ("quantity", "amount", "clamp"),
    [("0", "50", Clamp.MINIMUM), ("10", "50", Clamp.MINIMUM), ("100", "200", None), ("400", "300", Clamp.MAXIMUM)],
)
def test_a_card_is_clamped_after_its_slabs(quantity: str, amount: str, clamp: Clamp | None) -> None:
    """The card's bounds hold for the sum of its slabs, and its minimum without any usage too."""
    card = priced(usage_card(*TWO_SLABS, card_bounds=bounds("50", "300")), quantity)
    assert (card.amount, card.clamp) == (Decimal(amount), clamp)


def test_prices_are_exact() -> None:
    """Not one digit is lost, however many there are."""
    card = usage_card(SlabSample("0", "0." + "0" * 50 + "1"))
    assert format(priced(card, "3" * 60).amount, "f") == "3" * 9 + "." + "3" * 51


def test_each_currency_has_its_own_rates() -> None:
    card = usage_card(SlabSample("0", "1"), currencies=("USD", "JPY"))
    yen = card.rate_values[1]
    assert yen.currency == "JPY"
    assert price_usage(Decimal(3), card, currency="JPY").amount == 3
    with pytest.raises(AssertionError, match="no rates in EUR"):
        price_usage(Decimal(3), card, currency="EUR")


def test_the_commitment_is_per_currency() -> None:
    assert commitment_of(price_plan(commitment="1000"), "USD") == 1000
    assert commitment_of(price_plan(), "USD") == 0
