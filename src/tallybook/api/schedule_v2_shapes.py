"""Accounts' pricing schedules as the operations under `/v2` have them: without their rate cards."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

import msgspec

from tallybook.api.price_plan_shapes import PricingCycleConfigShape, cycle_from, cycle_to
from tallybook.api.pricing_rule_shapes import PricingRuleShape, rules_to
from tallybook.api.pricing_schedules import (
    EDITS_MAX,
    PRE_ACTIONS_MAX,
    AssociationMode,
    PreActionShape,
    PricePlanInfoShape,
)
from tallybook.core.account import Account
from tallybook.core.errors import Invalid
from tallybook.core.period import midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, plan_as_billed
from tallybook.flows.define_schedules import Removal
from tallybook.flows.draft_schedules import DraftedAssociation, DraftedRemoval
from tallybook.flows.new_ids import new_id


class AssociationConfigShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """By which plan to bill, or like which schedule: then with the cards and rules that it has."""

    price_plan_id: str | None = None
    schedule_id: str | None = None
    pricing_cycle_config_override: PricingCycleConfigShape | None = None
    retain_start_offsets: bool | None = None


class EditShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Attach or detach a plan on the days from `effectiveFrom` until before `effectiveUntil`."""

    mode: AssociationMode = AssociationMode.ASSOCIATE
    effective_from: date
    effective_until: date
    association_config: AssociationConfigShape | None = None
    merge_schedules: bool | None = None


class EditSchedulesRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Edits that are drafted in their order, all or none."""

    edits: Annotated[Sequence[EditShape], msgspec.Meta(min_length=1, max_length=EDITS_MAX)]


class FinalizeSchedulesRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """With `mergeSchedules`, what is attached goes on with a neighbour that bills alike."""

    merge_schedules: bool | None = None
    pre_actions: Annotated[list[PreActionShape], msgspec.Meta(max_length=PRE_ACTIONS_MAX)] | None = None


class ScheduleInfoShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the schedule bills, without its rate cards."""

    supported_currencies: tuple[str, ...]
    pricing_cycle_config: PricingCycleConfigShape
    pricing_rules: list[PricingRuleShape]


class ScheduleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A schedule of an account; its end is exclusive."""

    id: str
    account_id: str
    price_plan_id: str
    version: int
    deferred_revenue: bool
    price_plan_info: PricePlanInfoShape
    account_schedule_info: ScheduleInfoShape
    is_overridden: bool
    start_date: datetime
    end_date: datetime
    allow_ongoing_cycle_updates: bool


class SchedulePage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of schedules, in the order of their dates."""

    data: list[ScheduleShape]
    next_token: str | None = None


# ---- from and to the wire ----------------------------------------------------------------------------------------


def edit_from(shape: EditShape, where: str) -> DraftedAssociation | DraftedRemoval:
    """What is to be drafted, not yet checked. Raises `Invalid`, naming the field."""
    config = shape.association_config or AssociationConfigShape()
    if shape.mode is AssociationMode.DISASSOCIATE:
        if config.schedule_id or config.pricing_cycle_config_override or config.retain_start_offsets:
            raise Invalid(f"{where}.associationConfig: DISASSOCIATE takes a pricePlanId at most")
        cut = Removal(plan_id=config.price_plan_id, start_date=shape.effective_from, end_date=shape.effective_until)
        return DraftedRemoval(removal=cut, step_id=new_id("sch"))
    cycle = config.pricing_cycle_config_override
    return DraftedAssociation(
        plan_id=config.price_plan_id,
        like_schedule_id=config.schedule_id,
        start_date=shape.effective_from,
        end_date=shape.effective_until,
        schedule_id=new_id("sch"),
        cycle=None if cycle is None else cycle_from(cycle),
        retain_offsets=bool(config.retain_start_offsets),
        merge=bool(shape.merge_schedules),
    )


def schedule_shape(account: Account, schedule: PricingSchedule, plan: PricePlan) -> ScheduleShape:
    """The schedule by which the plan bills the account, as the interface shows it here."""
    billed = plan_as_billed(plan, schedule)
    return ScheduleShape(
        id=schedule.schedule_id,
        account_id=account.account_id,
        price_plan_id=plan.plan_id,
        version=plan.version,
        deferred_revenue=plan.deferred_revenue,
        price_plan_info=PricePlanInfoShape(name=plan.name, description=plan.description),
        account_schedule_info=ScheduleInfoShape(
            supported_currencies=billed.supported_currencies,
            pricing_cycle_config=cycle_to(schedule.cycle),
            pricing_rules=rules_to(billed.pricing_rules, version=plan.version),
        ),
        is_overridden=schedule.override is not None,
        start_date=midnight(schedule.start_date),
        end_date=midnight(schedule.end_date),
        allow_ongoing_cycle_updates=plan.ongoing_cycle_updates,
    )
