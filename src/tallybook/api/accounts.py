"""The routes of accounts and of their pricing schedules."""

from collections.abc import Iterable
from datetime import date, datetime
from enum import Enum
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.account_shapes import AccountShape, CreateAccountRequest, account_from, account_to
from tallybook.api.exact_json import refuse_unsupported
from tallybook.api.handling import Caller, Connected, NextToken, PageSize, reading, writing
from tallybook.api.paging import Listing
from tallybook.api.price_plan_shapes import PricePlanDetailsShape, details_to
from tallybook.core.account import Account
from tallybook.core.errors import Invalid
from tallybook.core.event import utc
from tallybook.core.period import FOREVER, midnight
from tallybook.core.price_plan import PricePlan, PricingSchedule
from tallybook.flows import define
from tallybook.flows.authenticate import now_utc
from tallybook.flows.new_ids import new_id
from tallybook.storage import accounts
from tallybook.storage.definition_rows import PagePosition

TAG = "Accounts"
LISTING = Listing("accounts", PagePosition)
SCHEDULE_LISTING = Listing("pricing_schedules", date)

PlanOf = dict[tuple[str, int], PricePlan]


class AccountPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of accounts, those changed last first."""

    data: list[AccountShape]
    next_token: str | None = None


class AssociationMode(Enum):
    """Attach a plan for a range of days, or detach it."""

    ASSOCIATE = "ASSOCIATE"
    DISASSOCIATE = "DISASSOCIATE"


class UpdatePricingScheduleRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Attach or detach a price plan on the days from `effectiveFrom` until before `effectiveUntil`."""

    mode: AssociationMode = AssociationMode.ASSOCIATE
    price_plan_id: str | None = None
    effective_from: date
    effective_until: date
    price_plan_details_override: Annotated[Any, msgspec.Meta(description="Not supported.")] = None
    pricing_rules_override: Annotated[list[Any] | None, msgspec.Meta(description="Not supported.")] = None
    retain_start_offsets: Annotated[bool | None, msgspec.Meta(description="Not supported.")] = None
    pre_actions: Annotated[list[Any] | None, msgspec.Meta(description="Not supported.")] = None


class PlanOverrideShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A plan and the days on which it bills the account; the end is exclusive."""

    id: str
    price_plan_id: str
    price_plan_name: str
    start_date: datetime
    end_date: datetime


class UpdatePricingScheduleResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """All pricing schedules of the account, in the order of their dates."""

    account_id: str
    account_name: str
    pricing_schedules: list[PlanOverrideShape]


class PricePlanInfoShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a plan is called."""

    name: str
    description: str | None = None


class AccountScheduleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A pricing schedule of an account; without the plan's details if a compact list was asked for."""

    id: str
    price_plan_details: PricePlanDetailsShape | None = None
    start_date: datetime
    end_date: datetime
    version: int
    is_overriden: bool  # the interface's spelling
    price_plan_id: str
    price_plan_name: str
    price_plan_info: PricePlanInfoShape | None = None


class AccountSchedulePage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of pricing schedules, in the order of their dates."""

    data: list[AccountScheduleShape]
    next_token: str | None = None


# ---- accounts ----------------------------------------------------------------------------------------------------


@writing("/accounts", status=HTTPStatus.CREATED, operation_id="createAccount", summary="Create an account", tag=TAG)
def create_account(data: JSONBody[CreateAccountRequest], identity: Caller, dependencies: Connected) -> AccountShape:
    now = now_utc()
    account = account_from(
        data,
        customer_id=data.customer_id,
        generated_id=new_id("account"),
        base_currency=define.base_currency(dependencies.database, identity.organisation_id),
    )
    define.create_account(dependencies.database, identity.organisation_id, account, now=now)
    return _shapes(identity, dependencies, [account], on=now)[0]


@reading("/accounts/{account_id:str}", operation_id="getAccount", summary="Read an account", tag=TAG)
def get_account(
    account_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    effective_on: Annotated[
        datetime | None, QueryParameter(name="effectiveOn", description="Show the aliases of this instant.")
    ] = None,
    include_group_details: Annotated[
        bool | None, QueryParameter(name="includeGroupDetails", description="Changes nothing: there are no groups.")
    ] = None,
) -> AccountShape:
    with dependencies.database.read() as connection:
        account = define.found_account(connection, identity.organisation_id, account_id)
    on = now_utc() if effective_on is None else utc(effective_on)
    return _shapes(identity, dependencies, [account], on=on)[0]


@reading("/accounts", operation_id="getAccounts", summary="List accounts", tag=TAG)
def list_accounts(
    identity: Caller, dependencies: Connected, next_token: NextToken = None, page_size: PageSize = None
) -> AccountPage:
    page = LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size)
    with dependencies.database.read() as connection:
        found = accounts.list_accounts(connection, identity.organisation_id, after=page.after, limit=page.size)
    return AccountPage(
        data=_shapes(identity, dependencies, found.items, on=now_utc()),
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


def _shapes(identity: Caller, dependencies: Connected, found: list[Account], *, on: datetime) -> list[AccountShape]:
    with dependencies.database.read() as connection:
        generated_ids = accounts.generated_ids_of_customers(
            connection, identity.organisation_id, [account.customer_id for account in found]
        )
    return [account_to(account, togai_customer_id=generated_ids[account.customer_id], on=on) for account in found]


# ---- pricing schedules -------------------------------------------------------------------------------------------


@writing(
    "/accounts/{account_id:str}/price_plans",
    status=HTTPStatus.OK,
    operation_id="updatePricingSchedule",
    summary="Attach a price plan to an account, or detach it",
    tag=TAG,
)
def update_pricing_schedule(
    account_id: FromPath[str], data: JSONBody[UpdatePricingScheduleRequest], identity: Caller, dependencies: Connected
) -> UpdatePricingScheduleResponse:
    refuse_unsupported(
        data, "price_plan_details_override", "pricing_rules_override", "retain_start_offsets", "pre_actions"
    )
    account = _associated(account_id, data, identity, dependencies)
    plan_of = _plans_of(identity, dependencies, account.schedules)
    return UpdatePricingScheduleResponse(
        account_id=account.account_id,
        account_name=account.name,
        pricing_schedules=[
            PlanOverrideShape(
                id=schedule.schedule_id,
                price_plan_id=schedule.plan_id,
                price_plan_name=plan_of[schedule.plan_id, schedule.plan_version].name,
                start_date=midnight(schedule.start_date),
                end_date=midnight(schedule.end_date),
            )
            for schedule in account.schedules
        ],
    )


def _associated(
    account_id: str, data: UpdatePricingScheduleRequest, identity: Caller, dependencies: Connected
) -> Account:
    if data.mode is AssociationMode.DISASSOCIATE:
        return define.disassociate_price_plan(
            dependencies.database,
            identity.organisation_id,
            account_id,
            data.price_plan_id,
            start_date=data.effective_from,
            end_date=data.effective_until,
            now=now_utc(),
        )
    if data.price_plan_id is None:
        raise Invalid("pricePlanId: say which plan to associate")
    return define.associate_price_plan(
        dependencies.database,
        identity.organisation_id,
        account_id,
        data.price_plan_id,
        start_date=data.effective_from,
        end_date=data.effective_until,
        schedule_id=new_id("sch"),
        now=now_utc(),
    )


@reading(
    "/accounts/{account_id:str}/pricing_schedules",
    operation_id="getPricingSchedules",
    summary="List the pricing schedules of an account",
    tag=TAG,
)
def list_pricing_schedules(
    account_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
    start_date: Annotated[
        date | None, QueryParameter(name="start_date", description="Only schedules that bill this day or a later one.")
    ] = None,
    end_date: Annotated[
        date | None, QueryParameter(name="end_date", description="Only schedules that bill a day before this one.")
    ] = None,
    include_price_plan_info: Annotated[bool | None, QueryParameter(name="include_price_plan_info")] = None,
    compact: Annotated[bool | None, QueryParameter(name="compact", description="Leave out the plans' details.")] = None,
) -> AccountSchedulePage:
    page = SCHEDULE_LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={
            "account": account_id,
            "from": start_date.isoformat() if start_date else None,
            "until": end_date.isoformat() if end_date else None,
        },
    )
    with dependencies.database.read() as connection:
        account = define.found_account(connection, identity.organisation_id, account_id)
    first = date.fromisoformat(page.filters.get("from", date.min.isoformat()))
    last = date.fromisoformat(page.filters.get("until", FOREVER.isoformat()))
    following = [
        schedule
        for schedule in account.schedules
        if schedule.end_date > first
        and schedule.start_date < last
        and (page.after is None or schedule.start_date > page.after)
    ]
    shown = following[: page.size]
    plan_of = _plans_of(identity, dependencies, shown)
    return AccountSchedulePage(
        data=[
            _schedule_shape(
                schedule,
                plan_of[schedule.plan_id, schedule.plan_version],
                with_details=not compact,
                with_info=bool(include_price_plan_info),
            )
            for schedule in shown
        ],
        next_token=SCHEDULE_LISTING.token(
            dependencies, identity, page, shown[-1].start_date if len(following) > len(shown) else None
        ),
    )


def _schedule_shape(
    schedule: PricingSchedule, plan: PricePlan, *, with_details: bool, with_info: bool
) -> AccountScheduleShape:
    return AccountScheduleShape(
        id=schedule.schedule_id,
        price_plan_details=details_to(plan) if with_details else None,
        start_date=midnight(schedule.start_date),
        end_date=midnight(schedule.end_date),
        version=schedule.plan_version,
        is_overriden=False,
        price_plan_id=plan.plan_id,
        price_plan_name=plan.name,
        price_plan_info=PricePlanInfoShape(name=plan.name, description=plan.description) if with_info else None,
    )


def _plans_of(identity: Caller, dependencies: Connected, schedules: Iterable[PricingSchedule]) -> PlanOf:
    wanted = {(schedule.plan_id, schedule.plan_version) for schedule in schedules}
    with dependencies.database.read() as connection:
        return {
            (plan_id, version): define.found_plan(connection, identity.organisation_id, plan_id, version)
            for plan_id, version in wanted
        }


ROUTES = (create_account, get_account, list_accounts, update_pricing_schedule, list_pricing_schedules)
