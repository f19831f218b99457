"""`POST /revenue_calculator` and its second version: what a plan would charge, card by card (generation 2024-12)."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import assert_never

import msgspec
from litestar.params import JSONBody

from tallybook.api.credit_grant_shapes import CreditGrantRateCardShape, credit_grant_card_to
from tallybook.api.handling import Caller, Connected, Dependencies, asking
from tallybook.api.plan_item_shapes import ItemPlace, NamedItemShape, item_to
from tallybook.api.price_plan_shapes import PricePlanDetailsShape, details_to, own_schedule_id
from tallybook.api.rate_card_shapes import (
    FixedFeeRateCardShape,
    LicenceRateCardShape,
    UsageRateCardShape,
    fixed_fee_card_to,
    json_number,
    licence_card_to,
    usage_card_to,
)
from tallybook.api.revenue_shapes import CalculateRevenueRequest, question_from
from tallybook.core.credential import Identity
from tallybook.core.pricing import Clamp
from tallybook.core.rate_card import CreditGrantRateCard, FixedFeeRateCard, LicenceRateCard, UsageRateCard
from tallybook.core.revenue_calculation import CardRevenue, SlabRevenue
from tallybook.flows.authenticate import now_utc
from tallybook.flows.calculate_revenue import CalculatedRevenue, answer_revenue

TAG = "Price Experimentation"


class UsageLookupRangeShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where usage was looked up, in whole hours."""

    start: datetime
    end: datetime


class SlabRevenueMetadataShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the amount of a slab came about."""

    minimum_rate_applied: bool | None = None
    maximum_rate_applied: bool | None = None
    package_quantity: int | None = None


class SlabRevenueShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How much of the usage a slab has, and what that costs."""

    order: int
    usage: Decimal
    revenue: Decimal
    metadata: SlabRevenueMetadataShape | None = None


class FixedFeeRevenueShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a fee comes to; 0 where it is not charged in the cycle."""

    revenue: Decimal


class CreditGrantRevenueShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What credit costs; 0 where none is sold in the cycle."""

    revenue: Decimal


class RevenueInfoShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A rate card and what it comes to; `usages` are by the id of the meter or add-on."""

    usage_rate_card: UsageRateCardShape | None = None
    fixed_fee_rate_card: FixedFeeRateCardShape | None = None
    license_rate_card: LicenceRateCardShape | None = None
    credit_grant_rate_card: CreditGrantRateCardShape | None = None
    usages: dict[str, Decimal]
    fixed_fee_revenue_summary: FixedFeeRevenueShape | None = None
    license_revenue_summary: Sequence[SlabRevenueShape] | None = None
    credit_grant_revenue_summary: CreditGrantRevenueShape | None = None
    slab_revenue_summaries: Sequence[SlabRevenueShape] | None = None


class CalculateRevenueResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the plan comes to, exactly, card by card in its order."""

    currency: str
    usage_lookup_range: UsageLookupRangeShape | None = None
    price_plan_details: PricePlanDetailsShape
    revenue_info: Sequence[RevenueInfoShape]


class RevenueOfItemShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A rate card in the shape of the operations under `/v2`, and what it comes to."""

    rate_card: NamedItemShape
    usages: dict[str, Decimal]
    fixed_fee_revenue_summary: FixedFeeRevenueShape | None = None
    license_revenue_summary: Sequence[SlabRevenueShape] | None = None
    credit_grant_revenue_summary: CreditGrantRevenueShape | None = None
    slab_revenue_summaries: Sequence[SlabRevenueShape] | None = None


class CalculateRevenueResponseV2(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the plan comes to, exactly, card by card in its order."""

    currency: str
    usage_lookup_range: UsageLookupRangeShape | None = None
    revenue_info: Sequence[RevenueOfItemShape]


@asking(
    "/revenue_calculator",
    operation_id="calculateRevenue",
    summary="Calculate what a plan would charge",
    tag=TAG,
)
def calculate_revenue(
    data: JSONBody[CalculateRevenueRequest], identity: Caller, dependencies: Connected
) -> CalculateRevenueResponse:
    found = _answered(data, identity, dependencies)
    return CalculateRevenueResponse(
        currency=found.currency,
        usage_lookup_range=_looked_up(found),
        price_plan_details=details_to(found.plan),
        revenue_info=[_info(each) for each in found.cards],
    )


@asking(
    "/v2/revenue_calculator",
    operation_id="calculateRevenueV2",
    summary="Calculate what a plan would charge, with cards in the shape of the operations under /v2",
    tag=TAG,
)
def calculate_revenue_v2(
    data: JSONBody[CalculateRevenueRequest], identity: Caller, dependencies: Connected
) -> CalculateRevenueResponseV2:
    found = _answered(data, identity, dependencies)
    place = ItemPlace(
        reference_id=found.schedule_id or own_schedule_id(found.plan),
        price_plan_id=found.plan.plan_id,
        account_id=found.account_id,
    )
    return CalculateRevenueResponseV2(
        currency=found.currency,
        usage_lookup_range=_looked_up(found),
        revenue_info=[_item_revenue(each, place) for each in found.cards],
    )


def _answered(data: CalculateRevenueRequest, identity: Identity, dependencies: Dependencies) -> CalculatedRevenue:
    now = now_utc()
    return answer_revenue(dependencies.database, identity.organisation_id, question_from(data, now=now), now=now)


def _looked_up(found: CalculatedRevenue) -> UsageLookupRangeShape | None:
    return None if found.looked_up is None else UsageLookupRangeShape(start=found.looked_up[0], end=found.looked_up[1])


def _info(found: CardRevenue) -> RevenueInfoShape:
    match found.card:
        case UsageRateCard():
            card = usage_card_to(found.card)
            return RevenueInfoShape(
                usage_rate_card=card, usages=_usages(found), slab_revenue_summaries=_slabs_to(found.slabs)
            )
        case FixedFeeRateCard():
            fee = FixedFeeRevenueShape(revenue=json_number(found.amount))
            return RevenueInfoShape(
                fixed_fee_rate_card=fixed_fee_card_to(found.card), usages={}, fixed_fee_revenue_summary=fee
            )
        case LicenceRateCard():
            licence = licence_card_to(found.card)
            return RevenueInfoShape(
                license_rate_card=licence, usages=_usages(found), license_revenue_summary=_slabs_to(found.slabs)
            )
        case CreditGrantRateCard():
            grant = CreditGrantRevenueShape(revenue=json_number(found.amount))
            return RevenueInfoShape(
                credit_grant_rate_card=credit_grant_card_to(found.card), usages={}, credit_grant_revenue_summary=grant
            )
        case _:
            assert_never(found.card)


def _item_revenue(found: CardRevenue, place: ItemPlace) -> RevenueOfItemShape:
    info = _info(found)
    return RevenueOfItemShape(
        rate_card=item_to(found.card, place),
        usages=info.usages,
        fixed_fee_revenue_summary=info.fixed_fee_revenue_summary,
        license_revenue_summary=info.license_revenue_summary,
        credit_grant_revenue_summary=info.credit_grant_revenue_summary,
        slab_revenue_summaries=info.slab_revenue_summaries,
    )


def _usages(found: CardRevenue) -> dict[str, Decimal]:
    """The quantity by the id of what is priced; none of a fee."""
    if found.quantity is None:
        return {}
    item_id = found.card.meter_id if isinstance(found.card, UsageRateCard) else found.card.add_on_id
    return {item_id: json_number(found.quantity)}


def _slabs_to(slabs: Sequence[SlabRevenue]) -> list[SlabRevenueShape]:
    """The slabs as the interface shows them."""
    return [
        SlabRevenueShape(
            order=slab.order,
            usage=json_number(slab.quantity),
            revenue=json_number(slab.amount),
            metadata=_metadata(slab),
        )
        for slab in slabs
    ]


def _metadata(slab: SlabRevenue) -> SlabRevenueMetadataShape | None:
    if not slab.clamps and slab.packages is None:
        return None
    return SlabRevenueMetadataShape(
        minimum_rate_applied=Clamp.MINIMUM in slab.clamps or None,
        maximum_rate_applied=Clamp.MAXIMUM in slab.clamps or None,
        package_quantity=None if slab.packages is None else int(slab.packages),
    )


ROUTES = (calculate_revenue, calculate_revenue_v2)
