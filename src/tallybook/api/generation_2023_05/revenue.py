"""The revenue calculator as generation 2023-05 has it: usage and fixed fees, without licences and proration."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallybook.api import rate_card_shapes, revenue_calculator, revenue_shapes
from tallybook.api.generation_2023_05.plans import PlanDetails, PlanDetailsAsked, UsageRateCard, details, usage_card
from tallybook.api.generation_2023_05.shape import Shape
from tallybook.api.generations import Answer, Question

_NO_LICENCES = revenue_shapes.LicenceEntriesConfigShape(mode=revenue_shapes.LookupMode.CUSTOM)


class PlanConfigAsked(
    revenue_shapes.PricePlanDetailsConfigShape, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """By which plan to calculate."""

    price_plan_details: PlanDetailsAsked | None = None


class RevenueAsked(
    revenue_shapes.CalculateRevenueRequest, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What to calculate; this generation knows no licences, so nothing is held unless it is said."""

    price_plan_details_config: PlanConfigAsked
    license_entries_config: revenue_shapes.LicenceEntriesConfigShape = _NO_LICENCES


class RevenueInfo(Shape, frozen=True, kw_only=True):
    """A rate card and what it comes to."""

    usage_rate_card: UsageRateCard | None = None
    fixed_fee_rate_card: rate_card_shapes.FixedFeeRateCardShape | None = None
    usages: dict[str, Decimal]
    fixed_fee_revenue_summary: revenue_calculator.FixedFeeRevenueShape | None = None
    slab_revenue_summaries: Sequence[revenue_calculator.SlabRevenueShape] | None = None


class Revenue(Shape, frozen=True, kw_only=True):
    """What the plan comes to, without the kinds of cards that this generation does not have."""

    currency: str
    usage_lookup_range: revenue_calculator.UsageLookupRangeShape | None = None
    price_plan_details: PlanDetails
    revenue_info: Sequence[RevenueInfo]


def _revenue(found: revenue_calculator.CalculateRevenueResponse) -> Revenue:
    known = [each for each in found.revenue_info if each.usage_rate_card or each.fixed_fee_rate_card]
    return Revenue(
        currency=found.currency,
        usage_lookup_range=found.usage_lookup_range,
        price_plan_details=details(found.price_plan_details),
        revenue_info=[_info(each) for each in known],
    )


def _info(found: revenue_calculator.RevenueInfoShape) -> RevenueInfo:
    return RevenueInfo(
        usage_rate_card=None if found.usage_rate_card is None else usage_card(found.usage_rate_card),
        fixed_fee_rate_card=found.fixed_fee_rate_card,
        usages=found.usages,
        fixed_fee_revenue_summary=found.fixed_fee_revenue_summary,
        slab_revenue_summaries=found.slab_revenue_summaries,
    )


def _itself(asked: msgspec.Struct) -> msgspec.Struct:
    """What is asked is one of ours already."""
    return asked


ANSWERS = {revenue_calculator.CalculateRevenueResponse: Answer(shape=Revenue, written=_revenue)}
QUESTIONS = {revenue_shapes.CalculateRevenueRequest: Question(shape=RevenueAsked, meant=_itself)}
