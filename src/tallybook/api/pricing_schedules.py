"""The routes of accounts' pricing schedules: which plan bills an account on which days."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import Caller, Connected, NextToken, PageSize, reading, writing
from tallybook.api.paging import Listing
from tallybook.api.price_plan_shapes import (
    PlanDetailsOverrideShape,
    PricePlanDetailsShape,
    changes_from,
    details_to,
)
from tallybook.api.pricing_rule_shapes import CreatePricingRuleShape, PricingRuleShape, rules_to
from tallybook.core.account import Account
from tallybook.core.decimals import DECIMAL_TEXT
from tallybook.core.errors import Invalid
from tallybook.core.event import utc
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.core.period import FOREVER, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, plan_as_billed
from tallybook.flows import define_accounts, define_price_plans, define_schedules
from tallybook.flows.authenticate import now_utc
from tallybook.flows.define_schedules import Association, Removal, ScheduleEdit
from tallybook.flows.new_ids import new_id

TAG = "Accounts"
SCHEDULE_LISTING = Listing("pricing_schedules", date)

EDITS_MAX = 10  # the interface's limit
PRE_ACTIONS_MAX = 10

_GRANT_NEEDS = ("licenseId", "updateType", "quantity")

T = TypeVar("T")
PlanOf = dict[tuple[str, int], PricePlan]


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
    price_plan_details_override: PlanDetailsOverrideShape | None = None
    pricing_rules_override: tuple[CreatePricingRuleShape, ...] | None = None
    retain_start_offsets: bool | None = None


class PreActionType(Enum):
    """What can be done before: GRANT_LICENSE changes what the account holds of a licence."""

    GRANT_LICENSE = "GRANT_LICENSE"


class PreActionShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Done in the same step: `config` has `licenseId`, `updateType`, `quantity` and maybe `effectiveFrom`, as text."""

    type: PreActionType
    config: dict[str, str] = {}


class UpdatePricingScheduleRequestWithActions(
    UpdatePricingScheduleRequest, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """The same, with what is to be done before it."""

    pre_actions: Annotated[list[PreActionShape], msgspec.Meta(max_length=PRE_ACTIONS_MAX)] | None = None


class EditPricingScheduleRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Edits that are made in their order, all or none."""

    edits: Annotated[Sequence[UpdatePricingScheduleRequest], msgspec.Meta(min_length=1, max_length=EDITS_MAX)]


class PlanOverrideShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A plan and the days on which it bills the account; the end is exclusive."""

    id: str
    price_plan_id: str
    price_plan_name: str
    pricing_rules_override: list[PricingRuleShape] = []
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
    pricing_rules: list[PricingRuleShape] = []
    is_overriden: bool  # the interface's spelling
    price_plan_id: str
    price_plan_name: str
    price_plan_info: PricePlanInfoShape | None = None


class AccountSchedulePage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of pricing schedules, in the order of their dates."""

    data: list[AccountScheduleShape]
    next_token: str | None = None


@writing(
    "/accounts/{account_id:str}/price_plans",
    status=HTTPStatus.OK,
    operation_id="updatePricingSchedule",
    summary="Attach a price plan to an account, or detach it",
    tag=TAG,
)
def update_pricing_schedule(
    account_id: FromPath[str],
    data: JSONBody[UpdatePricingScheduleRequestWithActions],
    identity: Caller,
    dependencies: Connected,
) -> UpdatePricingScheduleResponse:
    now = now_utc()
    account = define_schedules.edit_schedules(
        dependencies.database,
        identity.organisation_id,
        account_id,
        [_edit_from(data, "")],
        now=now,
        grants=[
            grant_from(action, f"preActions[{index}].config", account_id, now)
            for index, action in enumerate(data.pre_actions or ())
        ],
    )
    return edited_account(account, identity, dependencies)


@writing(
    "/accounts/{account_id:str}/edit_schedules",
    status=HTTPStatus.OK,
    operation_id="updatePricingScheduleBatch",
    summary="Attach and detach price plans of an account, all or none",
    tag=TAG,
)
def edit_pricing_schedules(
    account_id: FromPath[str],
    data: JSONBody[EditPricingScheduleRequest],
    identity: Caller,
    dependencies: Connected,
    dry_run: Annotated[
        bool | None, QueryParameter(name="dry_run", description="Say what would come of it, but keep nothing.")
    ] = None,
) -> UpdatePricingScheduleResponse:
    account = define_schedules.edit_schedules(
        dependencies.database,
        identity.organisation_id,
        account_id,
        [_edit_from(edit, f"edits[{index}].") for index, edit in enumerate(data.edits)],
        now=now_utc(),
        dry_run=bool(dry_run),
    )
    return edited_account(account, identity, dependencies)


def _edit_from(data: UpdatePricingScheduleRequest, where: str) -> ScheduleEdit:
    if data.mode is AssociationMode.DISASSOCIATE:
        return Removal(plan_id=data.price_plan_id, start_date=data.effective_from, end_date=data.effective_until)
    if data.price_plan_id is None:
        raise Invalid(f"{where}pricePlanId: say which plan to associate")
    return Association(
        plan_id=data.price_plan_id,
        start_date=data.effective_from,
        end_date=data.effective_until,
        schedule_id=new_id("sch"),
        override=changes_from(
            data.price_plan_details_override, f"{where}pricePlanDetailsOverride", data.pricing_rules_override
        ),
        retain_offsets=bool(data.retain_start_offsets),
    )


def grant_from(action: PreActionShape, where: str, account_id: str, now: datetime) -> LicenceUpdate:
    """The licence update that the action asks for, whose values are all texts. Raises `Invalid`."""
    unknown = set(action.config).difference(_GRANT_NEEDS, {"effectiveFrom"})
    missing = [name for name in _GRANT_NEEDS if name not in action.config]
    if unknown or missing:
        raise Invalid(f"{where}: needs {', '.join(_GRANT_NEEDS)}, may have effectiveFrom, and nothing else")
    if DECIMAL_TEXT.fullmatch(action.config["quantity"]) is None:
        raise Invalid(f"{where}.quantity: must be a decimal number as text, such as 10")
    return LicenceUpdate(
        add_on_id=action.config["licenseId"],
        account_id=account_id,
        update_type=_converted(action.config["updateType"], LicenceUpdateType, f"{where}.updateType"),
        quantity=Decimal(action.config["quantity"]),
        effective_from=_instant_from(action.config.get("effectiveFrom"), f"{where}.effectiveFrom") or now,
        created_at=now,
    )


def _instant_from(text: str | None, where: str) -> datetime | None:
    if text is None:
        return None
    if len(text) == len("2024-01-01"):
        return midnight(_converted(text, date, where))
    return utc(_converted(text, datetime, where))


def _converted(text: str, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(text, kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"{where}: {error}") from None


def edited_account(account: Account, identity: Caller, dependencies: Connected) -> UpdatePricingScheduleResponse:
    """The answer to edits: every schedule of the account as it is then."""
    plan_of = _plans_of(identity, dependencies, account.schedules)
    return UpdatePricingScheduleResponse(
        account_id=account.account_id,
        account_name=account.name,
        pricing_schedules=[
            PlanOverrideShape(
                id=schedule.schedule_id,
                price_plan_id=schedule.plan_id,
                price_plan_name=plan_of[schedule.plan_id, schedule.plan_version].name,
                pricing_rules_override=_own_rules(schedule),
                start_date=midnight(schedule.start_date),
                end_date=midnight(schedule.end_date),
            )
            for schedule in account.schedules
        ],
    )


def _own_rules(schedule: PricingSchedule) -> list[PricingRuleShape]:
    """The rules that the account has in place of the plan's."""
    own = None if schedule.override is None else schedule.override.pricing_rules
    return rules_to(own or (), version=schedule.plan_version)


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
            "start_date": None if start_date is None else start_date.isoformat(),
            "end_date": None if end_date is None else end_date.isoformat(),
            "include_price_plan_info": None if include_price_plan_info is None else str(include_price_plan_info),
            "compact": None if compact is None else str(compact),
        },
        within=account_id,
    )
    with dependencies.database.read() as connection:
        account = define_accounts.found_account(connection, identity.organisation_id, account_id)
    first = date.fromisoformat(page.filters.get("start_date", date.min.isoformat()))
    last = date.fromisoformat(page.filters.get("end_date", FOREVER.isoformat()))
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
                with_details=page.filters.get("compact") != str(True),
                with_info=page.filters.get("include_price_plan_info") == str(True),
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
    billed = plan_as_billed(plan, schedule)
    return AccountScheduleShape(
        id=schedule.schedule_id,
        price_plan_details=details_to(billed) if with_details else None,
        start_date=midnight(schedule.start_date),
        end_date=midnight(schedule.end_date),
        version=schedule.plan_version,
        pricing_rules=rules_to(billed.pricing_rules, version=plan.version) if with_details else [],
        is_overriden=schedule.override is not None,
        price_plan_id=plan.plan_id,
        price_plan_name=plan.name,
        price_plan_info=PricePlanInfoShape(name=plan.name, description=plan.description) if with_info else None,
    )


def _plans_of(identity: Caller, dependencies: Connected, schedules: Iterable[PricingSchedule]) -> PlanOf:
    wanted = {(schedule.plan_id, schedule.plan_version) for schedule in schedules}
    with dependencies.database.read() as connection:
        return {
            (plan_id, version): define_price_plans.found_plan(connection, identity.organisation_id, plan_id, version)
            for plan_id, version in wanted
        }


ROUTES = (update_pricing_schedule, edit_pricing_schedules, list_pricing_schedules)
