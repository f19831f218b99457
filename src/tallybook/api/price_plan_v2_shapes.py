"""Price plans as the operations under `/v2` have them: without their cards; and what keeps a draft from billing."""

from datetime import datetime
from enum import Enum
from typing import Annotated

import msgspec

from tallybook.api.price_plan_shapes import (
    PricePlanTypeShape,
    PricingCycleConfigShape,
    cycle_from,
    cycle_to,
    own_schedule_id,
)
from tallybook.api.pricing_rule_shapes import CreatePricingRuleShape
from tallybook.core.errors import Invalid
from tallybook.core.plan_migration import MigrationMode, VersionsToMigrate
from tallybook.core.price_plan import (
    DESCRIPTION_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    PricePlan,
    PricePlanStatus,
)
from tallybook.flows.draft_price_plans import PlanError

CURRENCIES_MAX = 200  # there are some 170
_Description = Annotated[str, msgspec.Meta(max_length=DESCRIPTION_CHARACTERS_MAX)]
_Currencies = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=CURRENCIES_MAX)]


class PlanStatusShape(Enum):
    """Whether a version bills already; archived plans are not shown here."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"


class CreatePlanRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A plan without rate cards."""

    name: Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS_MAX)]
    description: _Description | None = None
    type: PricePlanTypeShape
    pricing_cycle_config: PricingCycleConfigShape | None = None
    supported_currencies: _Currencies
    deferred_revenue: bool | None = None
    allow_ongoing_cycle_updates: bool | None = None


class UpdatePlanRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to change of a plan besides its rate cards; what is left out stays."""

    description: _Description | None = None
    pricing_cycle_config: PricingCycleConfigShape | None = None
    supported_currencies: _Currencies | None = None


class FinalizePlanRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """From when the accounts of which earlier versions are billed by the new one; without a mode they stay."""

    migration_mode: MigrationMode | None = None
    versions_to_migrate: VersionsToMigrate | None = None


class UpdateRulesRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """All rules that there are to be; an empty list is none."""

    pricing_rules: tuple[CreatePricingRuleShape, ...]


class PlanShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A version of a plan without its rate cards."""

    id: str
    reference_id: str
    name: str
    description: str | None = None
    type: PricePlanTypeShape
    pricing_cycle_config: PricingCycleConfigShape
    supported_currencies: tuple[str, ...]
    deferred_revenue: bool
    allow_ongoing_cycle_updates: bool
    version: int
    status: PlanStatusShape
    created_at: datetime
    updated_at: datetime


class PlanPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of plans, or of the versions of one."""

    data: list[PlanShape]
    next_token: str | None = None


class EntityTypeShape(Enum):
    """What an error is about."""

    PRICE_PLAN = "PRICE_PLAN"
    RATE_CARD = "RATE_CARD"
    PRICING_RULE = "PRICING_RULE"


class EntityErrorShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why it cannot bill as it is; `entityId` is the name of the card or rule, or the id of the plan."""

    reference_id: str
    entity_id: str
    entity_type: EntityTypeShape
    error_message: str


class EntityErrorPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """All errors: there are no more than a plan has cards and rules."""

    data: list[EntityErrorShape]
    next_token: str | None = None


# ---- from and to the wire ----------------------------------------------------------------------------------------


def plan_from(data: CreatePlanRequest, *, plan_id: str, now: datetime) -> PricePlan:
    """The draft plan that is asked for, not yet checked. Raises `Invalid`, naming the field."""
    if data.type is not PricePlanTypeShape.BILLING:
        raise Invalid("type: PURCHASE plans are not supported; use BILLING", code="UNSUPPORTED")
    if data.pricing_cycle_config is None:
        raise Invalid("pricingCycleConfig: a plan of type BILLING needs it")
    return PricePlan(
        plan_id=plan_id,
        version=1,
        name=data.name,
        description=data.description,
        status=PricePlanStatus.DRAFT,
        supported_currencies=data.supported_currencies,
        cycle=cycle_from(data.pricing_cycle_config),
        deferred_revenue=bool(data.deferred_revenue),
        ongoing_cycle_updates=bool(data.allow_ongoing_cycle_updates),
        created_at=now,
        updated_at=now,
    )


def plan_shape(plan: PricePlan) -> PlanShape:
    """The plan without its cards, as the interface shows it here."""
    return PlanShape(
        id=plan.plan_id,
        reference_id=own_schedule_id(plan),
        name=plan.name,
        description=plan.description,
        type=PricePlanTypeShape.BILLING,
        pricing_cycle_config=cycle_to(plan.cycle),
        supported_currencies=plan.supported_currencies,
        deferred_revenue=plan.deferred_revenue,
        allow_ongoing_cycle_updates=plan.ongoing_cycle_updates,
        version=plan.version,
        status=PlanStatusShape(plan.status.value),
        created_at=plan.created_at,
        updated_at=plan.updated_at,
    )


def error_shape(error: PlanError, reference_id: str, plan_id: str) -> EntityErrorShape:
    """The error, as the interface shows it."""
    kind = EntityTypeShape.PRICE_PLAN
    if error.name is not None:
        kind = EntityTypeShape.PRICING_RULE if error.is_rule else EntityTypeShape.RATE_CARD
    return EntityErrorShape(
        reference_id=reference_id,
        entity_id=plan_id if error.name is None else error.name,
        entity_type=kind,
        error_message=error.message,
    )
