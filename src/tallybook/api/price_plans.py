"""The routes of price plans. Their shapes are in `price_plan_shapes`."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import (
    Caller,
    Connected,
    NextToken,
    PageSize,
    Search,
    Sort,
    Success,
    changing,
    reading,
    removing,
    writing,
)
from tallybook.api.paging import table_listing
from tallybook.api.price_plan_shapes import (
    CreatePricePlanRequest,
    PlanDetailsOverrideShape,
    PricePlanDetailsShape,
    PricePlanShape,
    PricePlanTypeShape,
    changes_from,
    details_to,
    plan_from_request,
    plan_to_response,
)
from tallybook.api.pricing_rule_shapes import CreatePricingRuleShape, PricingRuleShape, rules_to
from tallybook.core.plan_migration import MigrationMode, VersionsToMigrate
from tallybook.core.price_plan import DESCRIPTION_CHARACTERS_MAX, PricePlan, PricePlanStatus
from tallybook.flows import change_price_plans, define_price_plans
from tallybook.flows.authenticate import now_utc
from tallybook.flows.new_ids import new_id
from tallybook.storage import plans

TAG = "Price Plans"
LISTING = table_listing("price_plans", plans.LISTED)


class ActivatePricePlanRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The currencies to open the plan for."""

    currencies: list[str]


class UpdatePricePlanRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to change; for an active plan also from when its accounts are billed by that."""

    description: Annotated[str, msgspec.Meta(max_length=DESCRIPTION_CHARACTERS_MAX)] | None = None
    price_plan_details: PlanDetailsOverrideShape | None = None
    pricing_rules: tuple[CreatePricingRuleShape, ...] | None = None
    migration_mode: MigrationMode | None = None
    versions_to_migrate: VersionsToMigrate | None = None


class ListedPricePlanShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A price plan in a list."""

    id: str
    name: str
    version: int
    description: str | None = None
    status: PricePlanStatus
    usage_meters: list[str]
    price_plan_details: PricePlanDetailsShape
    pricing_rules: list[PricingRuleShape] = []
    created_at: datetime
    updated_at: datetime
    type: PricePlanTypeShape


class PricePlanPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of price plans in their latest versions, those changed last first."""

    data: list[ListedPricePlanShape]
    next_token: str | None = None


@writing("/price_plans", status=HTTPStatus.OK, operation_id="createPricePlan", summary="Create a price plan", tag=TAG)
def create_price_plan(
    data: JSONBody[CreatePricePlanRequest],
    identity: Caller,
    dependencies: Connected,
    dry_run: Annotated[
        bool | None, QueryParameter(name="dry_run", description="Check the plan, but do not keep it.")
    ] = None,
) -> PricePlanShape:
    now = now_utc()
    plan = plan_from_request(data, plan_id=new_id("pp"), now=now)
    plan = define_price_plans.create_price_plan(
        dependencies.database, identity.organisation_id, plan, now=now, dry_run=bool(dry_run)
    )
    return plan_to_response(plan)


@writing(
    "/price_plans/{price_plan_id:str}/activate",
    status=HTTPStatus.OK,
    operation_id="activatePricePlan",
    summary="Activate currencies of a price plan",
    tag=TAG,
)
def activate_price_plan(
    price_plan_id: FromPath[str], data: JSONBody[ActivatePricePlanRequest], identity: Caller, dependencies: Connected
) -> PricePlanShape:
    plan = define_price_plans.activate_price_plan(
        dependencies.database, identity.organisation_id, price_plan_id, data.currencies, now=now_utc()
    )
    return plan_to_response(plan)


@changing(
    "/price_plans/{price_plan_id:str}",
    operation_id="updatePricePlan",
    summary="Change a draft, or make a new version of an active price plan",
    tag=TAG,
)
def update_price_plan(
    price_plan_id: FromPath[str], data: JSONBody[UpdatePricePlanRequest], identity: Caller, dependencies: Connected
) -> PricePlanShape:
    plan = change_price_plans.change_price_plan(
        dependencies.database,
        identity.organisation_id,
        price_plan_id,
        description=data.description,
        changes=changes_from(data.price_plan_details, "pricePlanDetails", data.pricing_rules),
        mode=data.migration_mode or MigrationMode.NONE,
        versions=data.versions_to_migrate or VersionsToMigrate.LATEST_VERSION,
        now=now_utc(),
    )
    return plan_to_response(plan)


@removing(
    "/price_plans/{price_plan_id:str}",
    operation_id="archivePricePlan",
    summary="Archive a price plan that bills nobody",
    tag=TAG,
)
def archive_price_plan(price_plan_id: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    change_price_plans.archive_price_plan(dependencies.database, identity.organisation_id, price_plan_id, now=now_utc())
    return Success()


@reading(
    "/price_plans/{price_plan_id:str}",
    operation_id="getPricePlan",
    summary="Read a price plan: its latest version, or another",
    tag=TAG,
)
def get_price_plan(
    price_plan_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    version: Annotated[int | None, QueryParameter(name="version", ge=1, le=2**31 - 1)] = None,
) -> PricePlanShape:
    with dependencies.database.read() as connection:
        return plan_to_response(
            define_price_plans.found_plan(connection, identity.organisation_id, price_plan_id, version)
        )


@reading("/price_plans", operation_id="getPricePlans", summary="List price plans", tag=TAG)
def list_price_plans(
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> PricePlanPage:
    page = LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size, search=search, sort=sort)
    with dependencies.database.read() as connection:
        found = plans.list_price_plans(connection, identity.organisation_id, page)
    return PricePlanPage(
        data=[_listed(plan) for plan in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


def _listed(plan: PricePlan) -> ListedPricePlanShape:
    return ListedPricePlanShape(
        id=plan.plan_id,
        name=plan.name,
        version=plan.version,
        description=plan.description,
        status=plan.status,
        usage_meters=sorted({card.meter_id for card in plan.usage_cards}),
        price_plan_details=details_to(plan),
        pricing_rules=rules_to(plan.pricing_rules, version=plan.version),
        created_at=plan.created_at,
        updated_at=plan.updated_at,
        type=PricePlanTypeShape.BILLING,
    )


ROUTES = (
    create_price_plan,
    update_price_plan,
    archive_price_plan,
    activate_price_plan,
    get_price_plan,
    list_price_plans,
)
