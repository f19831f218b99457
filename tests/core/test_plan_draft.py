"""Drafts of plans, and what makes one plan of another, where HTTP adds nothing."""

from decimal import Decimal

import msgspec
import pytest
from credit_samples import grant_card
from price_plan_samples import SlabSample, fixed_fee, licence_card, monthly, price_plan, usage_card

from tallybook.core.errors import Invalid
from tallybook.core.plan_changes import NO_CHANGES, PlanChanges, changed_plan, changes_between
from tallybook.core.plan_draft import ItemAction, ItemOperation, check_item_alone, operated, plan_items, without_place
from tallybook.core.price_plan import PricedItems, check_price_plan

PLAN = price_plan(usage_card(SlabSample("0", "2")), fixed_fee("90"), commitment="500")
ITEMS = PricedItems(meter_ids=["um.1"], fixed_fee_ids=["add_on.1"], licence_ids=["add_on.1"])


def named(name: str, action: ItemAction = ItemAction.CREATE) -> ItemOperation:
    card = msgspec.structs.replace(fixed_fee("10", add_on_id=f"add_on.{name}"), name=name)
    return ItemOperation(action=action, name=name, item=card)


def test_what_replaces_a_card_takes_its_place() -> None:
    """Invoices list cards in the plan's order; the commitment comes last."""
    changed = operated(PLAN, [named("x"), named("usage.um.1", ItemAction.UPDATE)])
    assert list(plan_items(changed)) == ["usage.um.1", "fee.add_on.1", "x", "minimumCommitment"]
    assert isinstance(changed.rate_cards[0], type(fixed_fee("10")))


def test_a_plan_has_one_commitment() -> None:
    """Another one is refused, unless it comes in place of the first."""
    assert PLAN.minimum_commitment is not None
    second = msgspec.structs.replace(PLAN.minimum_commitment, name="second")
    create = ItemOperation(action=ItemAction.CREATE, name="second", item=second)
    delete = ItemOperation(action=ItemAction.DELETE, name="minimumCommitment")
    with pytest.raises(Invalid, match="a plan has one MINIMUM_COMMITMENT; 'minimumCommitment' is one already"):
        operated(PLAN, [create])
    assert operated(PLAN, [create, delete]).minimum_commitment == second


def test_a_name_is_used_once_by_cards_and_commitment_alike() -> None:
    fee = msgspec.structs.replace(fixed_fee("90"), name="minimumCommitment")
    with pytest.raises(Invalid, match="'minimumCommitment' is used twice"):
        check_price_plan(price_plan(fee, commitment="5"), items=ITEMS)


@pytest.mark.parametrize(
    ("slab", "message"),
    [
        (SlabSample("-1", "2"), r"operations\[0\].rateCard: ratePlan.slabs\[0\].startAfter: must not be negative"),
        (SlabSample("0", "NaN"), r"operations\[0\].rateCard: rateValues.*: must be a number"),
        (SlabSample("0", "1E+999"), r"operations\[0\].rateCard: rateValues.*: must be a number"),
    ],
)
def test_a_card_that_no_plan_could_have_is_refused(slab: SlabSample, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_item_alone(PLAN, usage_card(slab, meter_id="um.not there"), "operations[0]")


def test_a_card_may_lack_what_is_elsewhere() -> None:
    """Its meter, and the plan's currencies."""
    check_item_alone(PLAN, usage_card(SlabSample("0", "2"), meter_id="um.none", currencies=["EUR"]), "operations[0]")


def test_a_place_is_cut_off_a_message_where_there_is_but_one() -> None:
    assert without_place("usageRateCards[0].ratePlan.slabs[0].order: bad") == "ratePlan.slabs[0].order: bad"
    assert without_place("minimumCommitment.rateValues: bad") == "minimumCommitment.rateValues: bad"


# ---- deferred revenue --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", [fixed_fee("90", advance=True), licence_card(SlabSample("0", "2"), advance=True)])
def test_with_deferred_revenue_nothing_is_charged_in_advance(card: object) -> None:
    """Contract 3.6: not usable with `deferredRevenue`: IN_ADVANCE."""
    plan = msgspec.structs.replace(price_plan(), rate_cards=(card,), deferred_revenue=True)
    with pytest.raises(Invalid, match="is charged IN_ADVANCE, which a plan with deferred revenue cannot have"):
        check_price_plan(plan, items=ITEMS)
    check_price_plan(msgspec.structs.replace(plan, deferred_revenue=False), items=ITEMS)


def test_with_deferred_revenue_no_credit_is_granted() -> None:
    """Contract 3.6: not usable with `deferredRevenue`: credit grant, also in arrears."""
    plan = msgspec.structs.replace(price_plan(grant_card()), deferred_revenue=True)
    items = PricedItems(credit_grant_ids=["add_on.c"])
    with pytest.raises(Invalid, match="grants credit, which a plan with deferred revenue cannot have"):
        check_price_plan(plan, items=items)
    check_price_plan(msgspec.structs.replace(plan, deferred_revenue=False), items=items)


def test_with_deferred_revenue_what_is_charged_in_arrears_stays() -> None:
    plan = msgspec.structs.replace(PLAN, deferred_revenue=True)
    check_price_plan(plan, items=ITEMS)


# ---- what makes one plan of another ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        NO_CHANGES,
        PlanChanges(cycle=monthly("5")),
        PlanChanges(usage_cards=()),
        PlanChanges(fee_cards=(fixed_fee("100"),), licence_cards=(licence_card(SlabSample("0", "3")),)),
        PlanChanges(grant_cards=(grant_card(),)),
        PlanChanges(without_commitment=True),
        PlanChanges(minimum_commitment=price_plan(commitment="7").minimum_commitment),
    ],
)
def test_the_changes_between_two_plans_make_one_of_the_other(changes: PlanChanges) -> None:
    assert changes_between(PLAN, changed_plan(PLAN, changes)) == changes


def test_a_commitment_that_is_left_out_is_not_made_up_for() -> None:
    assert changed_plan(PLAN, PlanChanges(without_commitment=True)).minimum_commitment is None
    rate = PLAN.minimum_commitment and PLAN.minimum_commitment.rates[0].rate
    assert rate == Decimal(500)
