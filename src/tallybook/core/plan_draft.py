"""Drafts of plans: rate cards added, replaced and removed by their names, before anybody is billed by them.

A draft may lack what a plan needs; each card by itself must be one that could be billed by.
"""

from collections.abc import Sequence
from enum import Enum

import msgspec

from tallybook.core.errors import Invalid
from tallybook.core.price_plan import MinimumCommitment, PricedItems, PricePlan, check_price_plan
from tallybook.core.rate_card import CreditGrantRateCard, FixedFeeRateCard, LicenceRateCard, RateCard, UsageRateCard

ITEM_NAME_CHARACTERS_MAX = 50  # the interface's limit where cards are named in a request

PlanItem = RateCard | MinimumCommitment
"""What a plan charges, by its name: a rate card, or the minimum commitment."""


class ItemAction(Enum):
    """What to do with the item of a name."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


class ItemOperation(msgspec.Struct, frozen=True, kw_only=True):
    """CREATE and UPDATE have an item, which takes the place of what UPDATE names; DELETE has none."""

    action: ItemAction
    name: str
    item: PlanItem | None = None


def plan_items(plan: PricePlan) -> dict[str, PlanItem]:
    """Everything that the plan charges, by name, in the plan's order; the commitment comes last."""
    items: list[PlanItem] = [*plan.rate_cards]
    if plan.minimum_commitment is not None:
        items.append(plan.minimum_commitment)
    return {item.name: item for item in items}


def operated(plan: PricePlan, operations: Sequence[ItemOperation]) -> PricePlan:
    """The plan after the operations, in their order. Raises `Invalid`, naming the operation."""
    items = plan_items(plan)
    for index, operation in enumerate(operations):
        where = f"operations[{index}]"
        if operation.item is not None:
            check_item_alone(plan, operation.item, where)
        _operate(items, operation, where)
    commitments = [item for item in items.values() if isinstance(item, MinimumCommitment)]
    if len(commitments) > 1:
        raise Invalid(f"operations: a plan has one MINIMUM_COMMITMENT; {commitments[0].name!r} is one already")
    return msgspec.structs.replace(
        plan,
        rate_cards=tuple(item for item in items.values() if not isinstance(item, MinimumCommitment)),
        minimum_commitment=commitments[0] if commitments else None,
    )


def alone(plan: PricePlan, item: PlanItem) -> PricePlan:
    """The plan if it had nothing but this item."""
    is_commitment = isinstance(item, MinimumCommitment)
    return msgspec.structs.replace(
        plan,
        rate_cards=() if is_commitment else (item,),
        minimum_commitment=item if is_commitment else None,
        pricing_rules=(),
    )


def bare(plan: PricePlan) -> PricePlan:
    """The plan without anything that it charges."""
    return msgspec.structs.replace(plan, rate_cards=(), minimum_commitment=None, pricing_rules=())


def check_item_alone(plan: PricePlan, item: PlanItem, where: str) -> None:
    """Refuse an item that no plan with such cycles could have, whatever else is in it. Raises `Invalid`."""
    if not 1 <= len(item.name) <= ITEM_NAME_CHARACTERS_MAX:
        raise Invalid(f"{where}.rateCardName: must be 1 to {ITEM_NAME_CHARACTERS_MAX} characters")
    fitting = msgspec.structs.replace(
        alone(plan, item),
        deferred_revenue=False,
        supported_currencies=_currencies_of(item) or plan.supported_currencies,
    )
    try:
        check_price_plan(fitting, items=_naming(item))
    except Invalid as error:
        raise Invalid(f"{where}.rateCard: {without_place(error.message)}", code=error.code) from None


def without_place(message: str) -> str:
    """The message without the list of cards that it begins with, as there is but one card in it."""
    place, bracket, rest = message.partition("[0].")
    return rest if bracket and place.isalnum() else message


def _operate(items: dict[str, PlanItem], operation: ItemOperation, where: str) -> None:
    if operation.action is ItemAction.CREATE and operation.name in items:
        raise Invalid(f"{where}.rateCardName: there is a rate card {operation.name!r} already; use UPDATE")
    if operation.action is not ItemAction.CREATE and operation.name not in items:
        raise Invalid(f"{where}.rateCardName: there is no rate card {operation.name[:ITEM_NAME_CHARACTERS_MAX]!r}")
    if operation.item is None:
        del items[operation.name]
    else:
        items[operation.name] = operation.item


def _currencies_of(item: PlanItem) -> tuple[str, ...]:
    if isinstance(item, CreditGrantRateCard):
        return tuple(dict.fromkeys(price.rate_value.currency for price in item.prices))
    values = item.rate_values if isinstance(item, UsageRateCard | LicenceRateCard) else item.rates
    return tuple(dict.fromkeys(value.currency for value in values))


def _naming(item: PlanItem) -> PricedItems:
    """That the item's meter or add-on is there, of whatever type."""
    match item:
        case UsageRateCard():
            return PricedItems(meter_ids=[item.meter_id])
        case FixedFeeRateCard():
            return PricedItems(fixed_fee_ids=[item.add_on_id])
        case LicenceRateCard():
            return PricedItems(licence_ids=[item.add_on_id])
        case CreditGrantRateCard():
            return PricedItems(credit_grant_ids=[item.add_on_id])
        case MinimumCommitment():
            return PricedItems()
