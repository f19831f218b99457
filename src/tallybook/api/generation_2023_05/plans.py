"""Price plans and pricing schedules as generation 2023-05 has them.

Rate cards of kinds that it does not have are left out; weekly cycles, which it does not have either, are shown as such.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from tallybook.api import price_plan_shapes, price_plans, pricing_schedules, rate_card_shapes
from tallybook.api.generation_2023_05.shape import Shape
from tallybook.api.generations import Answer, Question
from tallybook.core.period import PricingInterval
from tallybook.core.price_plan import PricePlanStatus

_NO_OFFSET = price_plan_shapes.StartOffsetShape(day_offset="1", month_offset="NIL")


class PricingCycle(Shape, frozen=True, kw_only=True):
    """When cycles start; an anniversary, which has no offset, is shown with that of the first day."""

    interval: PricingInterval
    start_offset: price_plan_shapes.StartOffsetShape
    grace_period: int


class UsageRateCard(Shape, frozen=True, kw_only=True):
    """The price of one meter's usage; without a name to display it has its own."""

    display_name: str
    usage_meter_id: str
    rate_plan: rate_card_shapes.RatePlanShape
    rate_values: Sequence[rate_card_shapes.RateValueShape]


class PlanDetails(Shape, frozen=True, kw_only=True):
    """What a plan charges."""

    supported_currencies: Sequence[str]
    active_currencies: Sequence[str]
    pricing_cycle_config: PricingCycle
    usage_rate_cards: Sequence[UsageRateCard]
    fixed_fee_rate_cards: Sequence[rate_card_shapes.FixedFeeRateCardShape]
    minimum_commitment: price_plan_shapes.MinimumCommitmentShape | None = None


class PlanSchedule(Shape, frozen=True, kw_only=True):
    """A version of a plan and the time it is for."""

    id: str
    price_plan_details: PlanDetails
    start_date: datetime
    end_date: datetime
    version: int


class PricePlan(Shape, frozen=True, kw_only=True):
    """A price plan."""

    id: str
    name: str
    description: str | None = None
    status: PricePlanStatus
    pricing_schedule: Sequence[PlanSchedule]


class ListedPricePlan(Shape, frozen=True, kw_only=True):
    """A price plan in a list."""

    id: str
    name: str
    version: int
    description: str | None = None
    status: PricePlanStatus
    usage_meters: Sequence[str]
    price_plan_details: PlanDetails
    created_at: datetime
    updated_at: datetime


class PricePlanPage(Shape, frozen=True, kw_only=True):
    """A page of price plans."""

    data: Sequence[ListedPricePlan]
    next_token: str | None = None


class AccountSchedule(Shape, frozen=True, kw_only=True):
    """A pricing schedule of an account."""

    id: str
    price_plan_details: PlanDetails | None = None
    start_date: datetime
    end_date: datetime
    version: int
    price_plan_id: str


class AccountSchedulePage(Shape, frozen=True, kw_only=True):
    """A page of pricing schedules."""

    data: Sequence[AccountSchedule]
    next_token: str | None = None


class PlanOverride(Shape, frozen=True, kw_only=True):
    """A plan and the days on which it bills the account."""

    id: str
    price_plan_id: str
    price_plan_name: str
    start_date: datetime
    end_date: datetime


class EditedSchedules(Shape, frozen=True, kw_only=True):
    """All pricing schedules of the account."""

    account_id: str
    account_name: str
    pricing_schedules: Sequence[PlanOverride]


# ---- what is asked: this generation knows no proration of fees, so a fee that does not say is charged whole --------


class FixedFeeAsked(
    rate_card_shapes.FixedFeeRateCardShape,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """A fee whatever is used; not prorated unless it says so."""

    enable_proration: bool = False


class PlanDetailsAsked(
    price_plan_shapes.CreatePricePlanDetailsShape,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
):
    """What a plan is to charge."""

    fixed_fee_rate_cards: tuple[FixedFeeAsked, ...] = ()


class PlanAsked(
    price_plan_shapes.CreatePricePlanRequest, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A new price plan."""

    price_plan_details: PlanDetailsAsked


class OverrideAsked(
    price_plan_shapes.PlanDetailsOverrideShape, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What is to be different from a plan."""

    fixed_fee_rate_cards: tuple[FixedFeeAsked, ...] | None = None


class PlanChangeAsked(
    price_plans.UpdatePricePlanRequest, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What to change of a plan."""

    price_plan_details: OverrideAsked | None = None


class ScheduleAsked(
    pricing_schedules.UpdatePricingScheduleRequestWithActions,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
):
    """Attach or detach a plan."""

    price_plan_details_override: OverrideAsked | None = None


class EditAsked(
    pricing_schedules.UpdatePricingScheduleRequest,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
):
    """One of several edits."""

    price_plan_details_override: OverrideAsked | None = None


class EditsAsked(
    pricing_schedules.EditPricingScheduleRequest, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Several edits, all or none."""

    edits: Annotated[Sequence[EditAsked], msgspec.Meta(min_length=1, max_length=pricing_schedules.EDITS_MAX)]


# ---- how ours become these -------------------------------------------------------------------------------------------


def _plan(found: price_plan_shapes.PricePlanShape) -> PricePlan:
    return PricePlan(
        id=found.id,
        name=found.name,
        description=found.description,
        status=found.status,
        pricing_schedule=[
            PlanSchedule(
                id=each.id,
                price_plan_details=details(each.price_plan_details),
                start_date=each.start_date,
                end_date=each.end_date,
                version=each.version,
            )
            for each in found.pricing_schedule
        ],
    )


def _plans(page: price_plans.PricePlanPage) -> PricePlanPage:
    return PricePlanPage(
        data=[
            ListedPricePlan(
                id=each.id,
                name=each.name,
                version=each.version,
                description=each.description,
                status=each.status,
                usage_meters=each.usage_meters,
                price_plan_details=details(each.price_plan_details),
                created_at=each.created_at,
                updated_at=each.updated_at,
            )
            for each in page.data
        ],
        next_token=page.next_token,
    )


def _schedules(page: pricing_schedules.AccountSchedulePage) -> AccountSchedulePage:
    return AccountSchedulePage(
        data=[
            AccountSchedule(
                id=each.id,
                price_plan_details=None if each.price_plan_details is None else details(each.price_plan_details),
                start_date=each.start_date,
                end_date=each.end_date,
                version=each.version,
                price_plan_id=each.price_plan_id,
            )
            for each in page.data
        ],
        next_token=page.next_token,
    )


def _edited(found: pricing_schedules.UpdatePricingScheduleResponse) -> EditedSchedules:
    return EditedSchedules(
        account_id=found.account_id,
        account_name=found.account_name,
        pricing_schedules=[
            PlanOverride(
                id=each.id,
                price_plan_id=each.price_plan_id,
                price_plan_name=each.price_plan_name,
                start_date=each.start_date,
                end_date=each.end_date,
            )
            for each in found.pricing_schedules
        ],
    )


def details(found: price_plan_shapes.PricePlanDetailsShape) -> PlanDetails:
    """What a plan charges, as this generation has it."""
    cycle = found.pricing_cycle_config
    return PlanDetails(
        supported_currencies=found.supported_currencies,
        active_currencies=found.active_currencies,
        pricing_cycle_config=PricingCycle(
            interval=cycle.interval, start_offset=cycle.start_offset or _NO_OFFSET, grace_period=cycle.grace_period
        ),
        usage_rate_cards=[usage_card(card) for card in found.usage_rate_cards],
        fixed_fee_rate_cards=found.fixed_fee_rate_cards,
        minimum_commitment=found.minimum_commitment,
    )


def usage_card(card: rate_card_shapes.UsageRateCardShape) -> UsageRateCard:
    """The card, as this generation has it."""
    return UsageRateCard(
        display_name=card.display_name or card.name or card.usage_meter_id,
        usage_meter_id=card.usage_meter_id,
        rate_plan=card.rate_plan,
        rate_values=card.rate_values,
    )


def _itself(asked: msgspec.Struct) -> msgspec.Struct:
    """What is asked is one of ours already."""
    return asked


ANSWERS = {
    price_plan_shapes.PricePlanShape: Answer(shape=PricePlan, written=_plan),
    price_plans.PricePlanPage: Answer(shape=PricePlanPage, written=_plans),
    pricing_schedules.AccountSchedulePage: Answer(shape=AccountSchedulePage, written=_schedules),
    pricing_schedules.UpdatePricingScheduleResponse: Answer(shape=EditedSchedules, written=_edited),
}
QUESTIONS = {
    ours: Question(shape=shape, meant=_itself)
    for ours, shape in (
        (price_plan_shapes.CreatePricePlanRequest, PlanAsked),
        (price_plans.UpdatePricePlanRequest, PlanChangeAsked),
        (pricing_schedules.UpdatePricingScheduleRequestWithActions, ScheduleAsked),
        (pricing_schedules.EditPricingScheduleRequest, EditsAsked),
    )
}
