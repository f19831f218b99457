"""The routes of price plans by the second door: a plan without cards, then its cards, then the whole made active."""

from http import HTTPStatus
from typing import Annotated

from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import (
    Caller,
    Connected,
    NextToken,
    PageSize,
    Success,
    changing,
    reading,
    removing,
    replacing,
    writing,
)
from tallybook.api.paging import Listing, table_listing
from tallybook.api.plan_item_shapes import (
    BulkOperationsRequest,
    BulkOperationsResponse,
    ItemPlace,
    NamedItemPage,
    items_page,
    operations_from,
    touched,
)
from tallybook.api.price_plan_shapes import cycle_from, own_schedule_id
from tallybook.api.price_plan_v2_shapes import (
    CreatePlanRequest,
    EntityErrorPage,
    FinalizePlanRequest,
    PlanPage,
    PlanShape,
    UpdatePlanRequest,
    UpdateRulesRequest,
    error_shape,
    plan_from,
    plan_shape,
)
from tallybook.api.pricing_rule_shapes import PricingRulePage, rules_from, rules_to
from tallybook.core.errors import Invalid
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.plan_draft import operated, plan_items
from tallybook.core.plan_migration import MigrationMode, VersionsToMigrate
from tallybook.core.price_plan import PricePlan
from tallybook.flows import define_price_plans, draft_price_plans
from tallybook.flows.authenticate import now_utc
from tallybook.flows.new_ids import new_id
from tallybook.storage import plans
from tallybook.storage.database import Database

TAG = "PricePlanV2"
LISTING = table_listing("v2_price_plans", plans.LISTED)
VERSIONS = table_listing("price_plan_versions", plans.LISTED_VERSIONS)
RATE_CARDS = Listing("price_plan_rate_cards", str)
_VERSION_DIGITS_MAX = 9

Version = Annotated[
    str | None,
    QueryParameter(
        name="version",
        description="A number; or LATEST, which may be a draft and is meant without this; or ACTIVE.",
        max_length=_VERSION_DIGITS_MAX,
    ),
]


@writing(
    "/v2/price_plans",
    status=HTTPStatus.OK,
    operation_id="createPricePlanV2",
    summary="Create a price plan without rate cards",
    tag=TAG,
)
def create_plan(data: JSONBody[CreatePlanRequest], identity: Caller, dependencies: Connected) -> PlanShape:
    now = now_utc()
    plan = plan_from(data, plan_id=new_id("pp"), now=now)
    return plan_shape(
        define_price_plans.create_price_plan(dependencies.database, identity.organisation_id, plan, now=now)
    )


@changing(
    "/v2/price_plans/{price_plan_id:str}",
    operation_id="updatePricePlanV2",
    summary="Change a price plan besides its rate cards; of an active one, begin a draft of the next version",
    tag=TAG,
)
def update_plan(
    price_plan_id: FromPath[str], data: JSONBody[UpdatePlanRequest], identity: Caller, dependencies: Connected
) -> PlanShape:
    cycle = data.pricing_cycle_config
    plan = draft_price_plans.change_shell(
        dependencies.database,
        identity.organisation_id,
        price_plan_id,
        description=data.description,
        changes=PlanChanges(
            cycle=None if cycle is None else cycle_from(cycle), supported_currencies=data.supported_currencies
        ),
        now=now_utc(),
    )
    return plan_shape(plan)


@reading("/v2/price_plans", operation_id="listPricePlansV2", summary="List price plans", tag=TAG)
def list_plans(
    identity: Caller, dependencies: Connected, next_token: NextToken = None, page_size: PageSize = None
) -> PlanPage:
    page = LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size)
    with dependencies.database.read() as connection:
        found = plans.list_newest_price_plans(connection, identity.organisation_id, page)
    return PlanPage(
        data=[plan_shape(plan) for plan in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


@reading(
    "/v2/price_plans/{price_plan_id:str}",
    operation_id="getPricePlanV2",
    summary="Read a price plan: its latest version, draft or not, or another",
    tag=TAG,
)
def get_plan(
    price_plan_id: FromPath[str], identity: Caller, dependencies: Connected, version: Version = None
) -> PlanShape:
    return plan_shape(plan_of_version(dependencies.database, identity.organisation_id, price_plan_id, version))


@reading(
    "/v2/price_plans/{price_plan_id:str}/versions",
    operation_id="listPricePlanVersions",
    summary="List the versions of a price plan, the latest first",
    tag=TAG,
)
def list_versions(
    price_plan_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
) -> PlanPage:
    page = VERSIONS.asked(dependencies, identity, next_token=next_token, page_size=page_size, within=price_plan_id)
    with dependencies.database.read() as connection:
        draft_price_plans.newest_plan(connection, identity.organisation_id, price_plan_id)
        found = plans.list_plan_versions(connection, identity.organisation_id, price_plan_id, page)
    return PlanPage(
        data=[plan_shape(plan) for plan in found.items],
        next_token=VERSIONS.token(dependencies, identity, page, found.next),
    )


# ---- rate cards --------------------------------------------------------------------------------------------------


@reading(
    "/v2/price_plans/{price_plan_id:str}/rate_cards",
    operation_id="listPricePlanRateCards",
    summary="List the rate cards of a price plan's latest version, by name",
    tag=TAG,
)
def list_rate_cards(
    price_plan_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
) -> NamedItemPage:
    page = RATE_CARDS.asked(dependencies, identity, next_token=next_token, page_size=page_size, within=price_plan_id)
    plan = plan_of_version(dependencies.database, identity.organisation_id, price_plan_id, None)
    shown, last = items_page(plan_items(plan), _place(plan), after=page.after, size=page.size)
    return NamedItemPage(data=shown, next_token=RATE_CARDS.token(dependencies, identity, page, last))


@writing(
    "/v2/price_plans/{price_plan_id:str}/rate_cards",
    status=HTTPStatus.OK,
    operation_id="bulkPricePlanRateCardOperations",
    summary="Add, replace and remove rate cards of a price plan's draft, all or none",
    tag=TAG,
)
def change_rate_cards(
    price_plan_id: FromPath[str], data: JSONBody[BulkOperationsRequest], identity: Caller, dependencies: Connected
) -> BulkOperationsResponse:
    operations = operations_from(data)
    plan = draft_price_plans.change_draft(
        dependencies.database,
        identity.organisation_id,
        price_plan_id,
        lambda _, draft: operated(draft, operations),
        now=now_utc(),
    )
    return touched(operations, plan_items(plan), _place(plan))


@reading(
    "/v2/price_plans/{price_plan_id:str}/pricing_rules",
    operation_id="listPricePlanPricingRules",
    summary="List the pricing rules of a price plan: of its latest version, draft or not, or of another",
    tag=TAG,
)
def list_pricing_rules(
    price_plan_id: FromPath[str], identity: Caller, dependencies: Connected, version: Version = None
) -> PricingRulePage:
    plan = plan_of_version(dependencies.database, identity.organisation_id, price_plan_id, version)
    return PricingRulePage(data=rules_to(plan.pricing_rules, version=plan.version))


@replacing(
    "/v2/price_plans/{price_plan_id:str}/pricing_rules",
    operation_id="updatePricePlanPricingRules",
    summary="Replace the pricing rules of a price plan's draft",
    tag=TAG,
)
def replace_pricing_rules(
    price_plan_id: FromPath[str], data: JSONBody[UpdateRulesRequest], identity: Caller, dependencies: Connected
) -> PricingRulePage:
    rules = rules_from(data.pricing_rules)
    plan = draft_price_plans.change_draft(
        dependencies.database,
        identity.organisation_id,
        price_plan_id,
        lambda connection, draft: draft_price_plans.with_rules(connection, identity.organisation_id, draft, rules),
        now=now_utc(),
    )
    return PricingRulePage(data=rules_to(plan.pricing_rules, version=plan.version))


# ---- the draft's end ---------------------------------------------------------------------------------------------


@reading(
    "/v2/price_plans/{price_plan_id:str}/errors",
    operation_id="listPricePlanErrors",
    summary="List what keeps a price plan's draft from billing",
    tag=TAG,
)
def list_errors(price_plan_id: FromPath[str], identity: Caller, dependencies: Connected) -> EntityErrorPage:
    with dependencies.database.read() as connection:
        plan = draft_price_plans.newest_plan(connection, identity.organisation_id, price_plan_id)
        errors = draft_price_plans.plan_errors(connection, identity.organisation_id, plan)
    reference_id = own_schedule_id(plan)
    return EntityErrorPage(data=[error_shape(error, reference_id, plan.plan_id) for error in errors])


@writing(
    "/v2/price_plans/{price_plan_id:str}/finalize",
    status=HTTPStatus.OK,
    operation_id="finalizePricePlan",
    summary="Make a price plan's draft the version that bills",
    tag=TAG,
)
def finalize_plan(
    price_plan_id: FromPath[str], data: JSONBody[FinalizePlanRequest], identity: Caller, dependencies: Connected
) -> Success:
    draft_price_plans.publish_draft(
        dependencies.database,
        identity.organisation_id,
        price_plan_id,
        mode=data.migration_mode or MigrationMode.NONE,
        versions=data.versions_to_migrate or VersionsToMigrate.LATEST_VERSION,
        now=now_utc(),
    )
    return Success()


@removing(
    "/v2/price_plans/{price_plan_id:str}/discard",
    operation_id="discardPricePlan",
    summary="Drop a price plan's draft, and the plan if it never was active",
    tag=TAG,
)
def discard_plan(price_plan_id: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    draft_price_plans.discard_draft(dependencies.database, identity.organisation_id, price_plan_id, now=now_utc())
    return Success()


def plan_of_version(database: Database, organisation_id: str, plan_id: str, version: str | None) -> PricePlan:
    """The version of the plan that a request names. Raises `Invalid` and `NotFound`, `Conflict` if it is archived."""
    with database.read() as connection:
        newest = draft_price_plans.newest_plan(connection, organisation_id, plan_id)
        if version in (None, "LATEST"):
            return newest
        if version == "ACTIVE":
            return draft_price_plans.active_plan(connection, organisation_id, plan_id)
        if not (version or "").isdecimal() or not (version or "").isascii():
            raise Invalid("version: must be LATEST, ACTIVE or a number")
        return define_price_plans.found_plan(connection, organisation_id, plan_id, int(version or ""))


def _place(plan: PricePlan) -> ItemPlace:
    return ItemPlace(reference_id=own_schedule_id(plan), price_plan_id=plan.plan_id)


ROUTES = (
    create_plan,
    update_plan,
    list_plans,
    get_plan,
    list_versions,
    list_rate_cards,
    change_rate_cards,
    list_pricing_rules,
    replace_pricing_rules,
    list_errors,
    finalize_plan,
    discard_plan,
)
