"""The revenue calculator: every slab of every card in its place, and sums that are exact."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import pytest
from credit_samples import grant_card
from price_plan_samples import (
    TIERED,
    VOLUME,
    SlabSample,
    bounds,
    cycle_in,
    fixed_fee,
    licence_card,
    price_plan,
    usage_card,
)

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.errors import Invalid
from tallybook.core.licence import HeldRun
from tallybook.core.period import Window
from tallybook.core.pricing import Clamp, sum_exactly
from tallybook.core.rate_card import PricingModel, RateCard
from tallybook.core.revenue_calculation import (
    CardRevenue,
    SlabRevenue,
    calculate_revenue,
    check_ordinal,
    without_proration,
)

APRIL = Window(date(2024, 4, 1), date(2024, 5, 1))  # 30 days


def calculated(*cards: RateCard, usage: Mapping[str, str] | None = None, **cycle: object) -> list[CardRevenue]:
    made: BilledCycle = cycle_in(price_plan(*cards), APRIL, **cycle)  # type: ignore[arg-type]
    quantities = {meter_id: Decimal(quantity) for meter_id, quantity in (usage or {"um.1": "0"}).items()}
    return list(calculate_revenue(made, licences_in=made, usage=quantities, currency="USD"))


def slab(
    order: int, quantity: str = "0", amount: str = "0", packages: str | None = None, *clamps: Clamp
) -> SlabRevenue:
    return SlabRevenue(
        order=order,
        quantity=Decimal(quantity),
        amount=Decimal(amount),
        packages=None if packages is None else Decimal(packages),
        clamps=frozenset(clamps),
    )


@pytest.mark.parametrize(
    ("usage", "model", "expected"),
    [
        ("150", TIERED, [slab(1, "100", "200"), slab(2, "50", "50")]),  # §3.6 [S]: 250
        ("150", VOLUME, [slab(1), slab(2, "150", "150")]),  # §3.6 [S]: 150
        ("100", TIERED, [slab(1, "100", "200"), slab(2)]),  # §3.6 [D]: the boundary belongs to slab 1
        ("100", VOLUME, [slab(1, "100", "200"), slab(2)]),  # §3.6 [D]
        ("0", TIERED, [slab(1), slab(2)]),
    ],
)
def test_every_slab_is_there(usage: str, model: PricingModel, expected: list[SlabRevenue]) -> None:
    """Slabs 0 to 100 at 2 and above at 1: those that were not reached have nothing."""
    card = usage_card(SlabSample("0", "2"), SlabSample("100", "1"), model=model)
    [found] = calculated(card, usage={"um.1": usage})
    assert list(found.slabs) == expected
    assert found.quantity == Decimal(usage)
    assert found.amount == sum(each.amount for each in expected)


def test_the_interfaces_sample_plan_with_the_right_figures() -> None:
    """§3.6: usage 10 on 0 to 2 at 10 (1 to 10 in all) and packages of 10 at 20 is 10 + 20, not the sample's 100.

    2 × 10 = 20 is above the slab's maximum of 10; the other 8 units begin one package.
    """
    card = usage_card(SlabSample("0", "10", minimum="1", maximum="10"), SlabSample("2", "20", package="10"))
    [found] = calculated(card, usage={"um.1": "10"})
    assert list(found.slabs) == [slab(1, "2", "10", None, Clamp.MAXIMUM), slab(2, "8", "20", "1")]
    assert found.amount == 30


def test_without_bounds_the_sample_comes_to_forty() -> None:
    """§3.6 [D]: 2 × 10 + ceil(8 ÷ 10) × 20 = 40."""
    card = usage_card(SlabSample("0", "10"), SlabSample("2", "20", package="10"))
    [found] = calculated(card, usage={"um.1": "10"})
    assert [each.amount for each in found.slabs] == [20, 20]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ("0", [slab(1, "0", "5", None, Clamp.MINIMUM), slab(2)]),
        ("3", [slab(1, "3", "5", None, Clamp.MINIMUM), slab(2)]),
        ("60", [slab(1, "10", "10"), slab(2, "50", "30", None, Clamp.MAXIMUM)]),
    ],
)
def test_a_cards_bound_is_borne_by_the_last_slab_reached(usage: str, expected: list[SlabRevenue]) -> None:
    """A card at 1 a unit, 5 at least and 40 at most: the slabs add up to what the card comes to."""
    card = usage_card(SlabSample("0", "1"), SlabSample("10", "1"), card_bounds=bounds("5", "40"))
    [found] = calculated(card, usage={"um.1": usage})
    assert list(found.slabs) == expected
    assert found.amount == sum(each.amount for each in expected)


def test_a_meter_that_is_not_named_was_not_used() -> None:
    """Its card is there with nothing."""
    [found] = calculated(usage_card(SlabSample("0", "2")), usage={"um.other": "7"})
    assert found.quantity == 0
    assert found.amount == 0


@pytest.mark.parametrize(("ordinal", "amount"), [(1, 0), (2, 0), (3, 49), (4, 0), (5, 49)])
def test_fees_by_the_number_of_the_cycle(ordinal: int, amount: int) -> None:
    """§3.6: with offset 2 and interval 2 the third cycle is charged, then every second one."""
    [found] = calculated(fixed_fee("49", interval=2, offset=2), number=ordinal - 1)
    assert found.amount == amount
    assert (found.quantity, found.slabs) == (None, ())


def test_a_fee_for_the_rest_of_a_cycle() -> None:
    """§3.6 [D]: 90 a month of 30 days, joined on day 11, is 60."""
    card = fixed_fee("90", prorated=True)
    window = Window(date(2024, 4, 11), APRIL.end)
    made = BilledCycle(plan=price_plan(card), window=window, full=APRIL, number=0)
    [found] = calculate_revenue(made, licences_in=made, usage={}, currency="USD")
    assert found.amount == 60


def test_licences_by_days() -> None:
    """§3.6 [D]: 10 seats at 30 all April, 12 from the 16th to the 25th: 300 + 2 × 30 × 10 ÷ 30 = 320."""
    held = (
        HeldRun(date(2024, 4, 1), date(2024, 4, 16), Decimal(10)),
        HeldRun(date(2024, 4, 16), date(2024, 4, 26), Decimal(12)),
        HeldRun(date(2024, 4, 26), date(2024, 5, 1), Decimal(10)),
    )
    card = licence_card(SlabSample("0", "30"), prorated=True)
    [found] = calculated(card, held={"add_on.1": held})
    assert found.quantity == 12
    assert found.amount == 320
    assert list(found.slabs) == [slab(1, "12", "320")]


def test_shares_of_slabs_add_up() -> None:
    """A seventh has no end: the slabs' shares add up to the price of the days to the last digit all the same."""
    held = (
        HeldRun(date(2024, 4, 1), date(2024, 4, 8), Decimal(10)),
        HeldRun(date(2024, 4, 8), date(2024, 5, 1), Decimal(5)),
    )
    card = licence_card(SlabSample("0", "1"), SlabSample("3", "0.7"), SlabSample("6", "0.1"), prorated=True)
    [found] = calculated(card, held={"add_on.1": held})
    assert sum_exactly([each.amount for each in found.slabs]) == found.amount
    assert [each.quantity for each in found.slabs] == [3, 3, 4]


def test_without_proration_licences_count_whole() -> None:
    """The most that is held, at the full price: 13 seats, of which ten are free, are 3 × 100 (§3.6 [S], [D])."""
    held = (HeldRun(APRIL[0], date(2024, 4, 20), Decimal(4)), HeldRun(date(2024, 4, 20), APRIL[1], Decimal(13)))
    card = licence_card(SlabSample("0", "0"), SlabSample("10", "100"), prorated=True)
    plan = without_proration(
        price_plan(card, fixed_fee("1", add_on_id="fee", prorated=True), usage_card(SlabSample("0", "1")))
    )
    made = cycle_in(plan, APRIL, held={"add_on.1": held})
    seats, fee, usage = calculate_revenue(made, licences_in=made, usage={}, currency="USD")
    assert seats.quantity == 13
    assert seats.amount == 300
    assert fee.amount == 1
    assert usage.amount == 0


@pytest.mark.parametrize(("number", "amount"), [(0, 900), (1, 0)])
def test_credit_that_is_sold_costs_what_its_slabs_say(number: int, amount: int) -> None:
    """1000 of credit at 0.90 each, once, in the first cycle."""
    [found] = calculated(grant_card(one_time=True), number=number)
    assert found.amount == amount
    assert (found.quantity, found.slabs) == (None, ())


def test_only_in_currencies_of_the_plan() -> None:
    """A plan without rates in yen is refused, and so is a cycle before the first."""
    made = cycle_in(price_plan(fixed_fee("1")), APRIL)
    with pytest.raises(Invalid, match="no rates in JPY"):
        calculate_revenue(made, licences_in=made, usage={}, currency="JPY")
    with pytest.raises(Invalid, match="counted from 1"):
        check_ordinal(0)
