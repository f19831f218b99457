"""The routes of accounts' pricing schedules by the second door: drafted, looked at, then made final together."""

from collections.abc import Sequence
from datetime import date
from enum import Enum
from http import HTTPStatus
from typing import Annotated

from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy import Connection

from tallybook.api.handling import (
    Caller,
    Connected,
    Dependencies,
    NextToken,
    PageSize,
    Success,
    reading,
    removing,
    replacing,
    writing,
)
from tallybook.api.paging import Listing
from tallybook.api.plan_item_shapes import (
    BulkOperationsRequest,
    BulkOperationsResponse,
    ItemPlace,
    NamedItemPage,
    items_page,
    operations_from,
    touched,
)
from tallybook.api.price_plan_v2_shapes import EntityErrorPage, UpdateRulesRequest, error_shape
from tallybook.api.pricing_rule_shapes import PricingRulePage, rules_from, rules_to
from tallybook.api.pricing_schedules import UpdatePricingScheduleResponse, edited_account, grant_from
from tallybook.api.schedule_v2_shapes import (
    EditSchedulesRequest,
    FinalizeSchedulesRequest,
    SchedulePage,
    edit_from,
    schedule_shape,
)
from tallybook.core.account import Account
from tallybook.core.credential import Identity
from tallybook.core.errors import NotFound
from tallybook.core.plan_draft import operated, plan_items
from tallybook.core.pricing_schedule import PricingSchedule
from tallybook.flows import draft_schedules
from tallybook.flows.authenticate import now_utc
from tallybook.flows.define_accounts import found_account
from tallybook.flows.define_price_plans import found_plan
from tallybook.flows.draft_price_plans import with_rules
from tallybook.flows.draft_schedules import ScheduleSeen
from tallybook.storage.pages import PageRequest

TAG = "Schedules"
SCHEDULES = Listing("v2_schedules", date)
RATE_CARDS = Listing("schedule_rate_cards", str)


class ModeShape(Enum):
    """What bills, or what is drafted."""

    ACTIVE = "ACTIVE"
    DRAFT = "DRAFT"


Mode = Annotated[ModeShape, QueryParameter(name="mode", description="What bills, or what is drafted.")]


# ---- the schedules of an account ---------------------------------------------------------------------------------


@writing(
    "/v2/accounts/{account_id:str}/edit_schedules",
    status=HTTPStatus.OK,
    operation_id="bulkEditSchedules",
    summary="Draft changes of by which plans an account is billed, all or none",
    tag=TAG,
)
def edit_schedules(
    account_id: FromPath[str],
    data: JSONBody[EditSchedulesRequest],
    identity: Caller,
    dependencies: Connected,
    discard: Annotated[bool | None, QueryParameter(name="discard", description="Drop what is drafted already.")] = None,
) -> UpdatePricingScheduleResponse:
    account = draft_schedules.draft_edits(
        dependencies.database,
        identity.organisation_id,
        account_id,
        [edit_from(edit, f"edits[{index}]") for index, edit in enumerate(data.edits)],
        discard=bool(discard),
        now=now_utc(),
    )
    return edited_account(account, identity, dependencies)


@reading(
    "/v2/accounts/{account_id:str}/schedules",
    operation_id="listaccountSchedules",
    summary="List the schedules of an account: those that bill, or what is drafted",
    tag=TAG,
)
def list_schedules(
    account_id: FromPath[str],
    mode: Mode,
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
) -> SchedulePage:
    page = SCHEDULES.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"mode": mode.value},
        within=account_id,
    )
    with dependencies.database.read() as connection:
        account = found_account(connection, identity.organisation_id, account_id)
        schedules: Sequence[PricingSchedule] = account.schedules
        if mode is ModeShape.DRAFT:
            schedules = draft_schedules.drafted_schedules(connection, identity.organisation_id, account, now=now_utc())
        return _schedules_page(connection, dependencies, identity, account, schedules, page)


@removing(
    "/v2/accounts/{account_id:str}/discard_schedules",
    operation_id="discardAccountSchedules",
    summary="Drop what is drafted for an account",
    tag=TAG,
)
def discard_schedules(account_id: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    draft_schedules.discard_draft(dependencies.database, identity.organisation_id, account_id)
    return Success()


@writing(
    "/v2/accounts/{account_id:str}/finalize_schedules",
    status=HTTPStatus.OK,
    operation_id="finalizeAccountSchedules",
    summary="Let an account be billed as drafted, all or nothing",
    tag=TAG,
)
def finalize_schedules(
    account_id: FromPath[str], data: JSONBody[FinalizeSchedulesRequest], identity: Caller, dependencies: Connected
) -> SchedulePage:
    now = now_utc()
    account = draft_schedules.finalise_draft(
        dependencies.database,
        identity.organisation_id,
        account_id,
        merge=bool(data.merge_schedules),
        grants=[
            grant_from(action, f"preActions[{index}].config", account_id, now)
            for index, action in enumerate(data.pre_actions or ())
        ],
        now=now,
    )
    page = SCHEDULES.asked(
        dependencies,
        identity,
        next_token=None,
        page_size=None,
        filters={"mode": ModeShape.ACTIVE.value},
        within=account_id,
    )
    with dependencies.database.read() as connection:
        return _schedules_page(connection, dependencies, identity, account, account.schedules, page)


# ---- one schedule ------------------------------------------------------------------------------------------------


@reading(
    "/v2/schedules/{schedule_id:str}/rate_cards",
    operation_id="listScheduleRateCards",
    summary="List the rate cards by which a schedule bills, or would, by name",
    tag=TAG,
)
def list_rate_cards(
    schedule_id: FromPath[str],
    mode: Mode,
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
) -> NamedItemPage:
    page = RATE_CARDS.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"mode": mode.value},
        within=schedule_id,
    )
    seen = _found(dependencies, identity, schedule_id, mode)
    shown, last = items_page(plan_items(seen.billed), _place(seen), after=page.after, size=page.size)
    return NamedItemPage(data=shown, next_token=RATE_CARDS.token(dependencies, identity, page, last))


@writing(
    "/v2/schedules/{schedule_id:str}/rate_cards",
    status=HTTPStatus.OK,
    operation_id="bulkRateCardOperationsOnSchedule",
    summary="Add, replace and remove rate cards in the draft of a schedule, all or none",
    tag=TAG,
)
def change_rate_cards(
    schedule_id: FromPath[str], data: JSONBody[BulkOperationsRequest], identity: Caller, dependencies: Connected
) -> BulkOperationsResponse:
    operations = operations_from(data)
    seen = draft_schedules.change_schedule(
        dependencies.database,
        identity.organisation_id,
        schedule_id,
        lambda _, plan: operated(plan, operations),
        now=now_utc(),
    )
    return touched(operations, plan_items(seen.billed), _place(seen))


@reading(
    "/v2/schedules/{schedule_id:str}/pricing_rules",
    operation_id="listPricingRules",
    summary="List the pricing rules by which a schedule bills, or would",
    tag=TAG,
)
def list_pricing_rules(
    schedule_id: FromPath[str], mode: Mode, identity: Caller, dependencies: Connected
) -> PricingRulePage:
    return _rules_page(_found(dependencies, identity, schedule_id, mode))


@replacing(
    "/v2/schedules/{schedule_id:str}/pricing_rules",
    operation_id="updatePricingRules",
    summary="Replace the pricing rules in the draft of a schedule",
    tag=TAG,
)
def replace_pricing_rules(
    schedule_id: FromPath[str], data: JSONBody[UpdateRulesRequest], identity: Caller, dependencies: Connected
) -> PricingRulePage:
    rules = rules_from(data.pricing_rules)
    seen = draft_schedules.change_schedule(
        dependencies.database,
        identity.organisation_id,
        schedule_id,
        lambda connection, plan: with_rules(connection, identity.organisation_id, plan, rules),
        now=now_utc(),
    )
    return _rules_page(seen)


@reading(
    "/v2/schedules/{schedule_id:str}/errors",
    operation_id="listScheduleErrors",
    summary="List what keeps the draft of a schedule from billing",
    tag=TAG,
)
def list_errors(schedule_id: FromPath[str], identity: Caller, dependencies: Connected) -> EntityErrorPage:
    with dependencies.database.read() as connection:
        seen, errors = draft_schedules.schedule_errors(connection, identity.organisation_id, schedule_id, now=now_utc())
    return EntityErrorPage(data=[error_shape(error, schedule_id, seen.plan.plan_id) for error in errors])


# ---- what the routes have in common --------------------------------------------------------------------------------


def _found(dependencies: Dependencies, identity: Identity, schedule_id: str, mode: ModeShape) -> ScheduleSeen:
    now = now_utc()
    with dependencies.database.read() as connection:
        if mode is ModeShape.ACTIVE:
            return draft_schedules.find_active(connection, identity.organisation_id, schedule_id, now=now)
        seen = draft_schedules.find_drafted(connection, identity.organisation_id, schedule_id, now=now)
    if seen is None:
        raise NotFound(f"schedule {schedule_id!r} has no draft")
    return seen


def _place(seen: ScheduleSeen) -> ItemPlace:
    return ItemPlace(
        reference_id=seen.schedule.schedule_id,
        price_plan_id=seen.plan.plan_id,
        account_id=seen.account.account_id,
    )


def _rules_page(seen: ScheduleSeen) -> PricingRulePage:
    return PricingRulePage(data=rules_to(seen.billed.pricing_rules, version=seen.plan.version))


def _schedules_page(
    connection: Connection,
    dependencies: Dependencies,
    identity: Identity,
    account: Account,
    schedules: Sequence[PricingSchedule],
    page: PageRequest[date],
) -> SchedulePage:
    following = [each for each in schedules if page.after is None or each.start_date > page.after]
    shown = following[: page.size]
    last = shown[-1].start_date if len(following) > len(shown) else None
    return SchedulePage(
        data=[
            schedule_shape(
                account,
                schedule,
                found_plan(connection, identity.organisation_id, schedule.plan_id, schedule.plan_version),
            )
            for schedule in shown
        ],
        next_token=SCHEDULES.token(dependencies, identity, page, last),
    )


ROUTES = (
    edit_schedules,
    list_schedules,
    discard_schedules,
    finalize_schedules,
    list_rate_cards,
    change_rate_cards,
    list_pricing_rules,
    replace_pricing_rules,
    list_errors,
)
