"""What the revenue calculator takes (generation 2024-12), and the way to `flows.calculate_revenue`.

Each part of a question has a mode, and only the fields of that mode count; the others may be there, as the interface
has it.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, TypeVar, assert_never

import msgspec

from tallybook.api.exact_json import UNSUPPORTED_CODE
from tallybook.api.parameters import utc_instant
from tallybook.api.price_plan_shapes import (
    CreatePricePlanDetailsShape,
    CreatePricePlanRequest,
    PricingCycleConfigShape,
    StartOffsetShape,
    plan_from_request,
)
from tallybook.api.pricing_rule_shapes import CreatePricingRuleShape
from tallybook.core.errors import Invalid
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.core.period import PricingInterval
from tallybook.core.price_plan import PricePlan
from tallybook.flows.calculate_revenue import (
    LICENCE_ENTRIES_MAX,
    METERS_MAX,
    DaysOfAccount,
    GivenDays,
    InlinePlan,
    LookedUpCycle,
    LookedUpRange,
    PlanOfAccount,
    RevenueQuestion,
    StoredPlan,
)

T = TypeVar("T")

INLINE_PLAN_ID = "inline"
INLINE_PLAN_NAME = "Inline"
QUANTITY_MAX = 2**63 - 1  # the interface's integer
_CALENDAR_MONTH = PricingCycleConfigShape(
    interval=PricingInterval.MONTHLY,
    start_offset=StartOffsetShape(day_offset="1", month_offset="NIL"),
    grace_period=0,
)

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]


class CurrencyMode(Enum):
    """The currency is given, or that of an account."""

    CUSTOM = "CUSTOM"
    ACCOUNT_INVOICE = "ACCOUNT_INVOICE"


class CurrencyConfigShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """In which currency to calculate."""

    mode: CurrencyMode
    currency: Annotated[str, msgspec.Meta(min_length=1, max_length=10)] | None = None
    account_id: _Id | None = None


class PlanMode(Enum):
    """The plan is given, or stored, or what bills an account."""

    CUSTOM = "CUSTOM"
    PRICE_PLAN = "PRICE_PLAN"
    ACCOUNT = "ACCOUNT"


class PricePlanDetailsConfigShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """By which plan to calculate; `pricingCycleOrdinal` counts cycles from 1, and is 1 when it is left out."""

    mode: PlanMode
    price_plan_details: CreatePricePlanDetailsShape | None = None
    price_plan_id: _Id | None = None
    account_id: _Id | None = None
    effective_on: datetime | None = None
    pricing_cycle_ordinal: int | None = None


class LookupRangeShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is stored of an account from `start` until before `end`."""

    start: datetime
    end: datetime
    account_id: _Id


class LookupCycleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is stored of an account for its cycle of that day; the current one when it is left out."""

    cycle_effective_on: datetime | None = None
    account_id: _Id


class LookupMode(Enum):
    """Quantities are given, or looked up for an account's days."""

    CUSTOM = "CUSTOM"
    LOOKUP_RANGE = "LOOKUP_RANGE"
    LOOKUP_CYCLE = "LOOKUP_CYCLE"


class UsageConfigShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How much was used; `usageMap` is by the ids of meters, and a meter that is not there was not used."""

    mode: LookupMode
    usage_map: Annotated[dict[str, Decimal], msgspec.Meta(max_length=METERS_MAX)] | None = None
    lookup_range: LookupRangeShape | None = None
    lookup_cycle: LookupCycleShape | None = None


class LicenceEntryShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """From `effectiveFrom` on, so many are held."""

    license_id: _Id
    quantity: Annotated[int, msgspec.Meta(ge=0, le=QUANTITY_MAX)]
    effective_from: datetime


class LicenceEntriesConfigShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is held of licences."""

    mode: LookupMode
    custom: Annotated[list[LicenceEntryShape], msgspec.Meta(max_length=LICENCE_ENTRIES_MAX)] | None = None
    lookup_range: LookupRangeShape | None = None
    lookup_cycle: LookupCycleShape | None = None


class NamedLicenceEntryShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Known to the interface, and not supported."""

    license_id: _Id
    name: int
    effective_from: datetime
    effective_until: datetime | None = None


class NamedLicenceEntriesConfigShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Named licences are not supported: nobody holds any, and none may be given."""

    mode: LookupMode
    custom: Annotated[list[NamedLicenceEntryShape], msgspec.Meta(max_length=LICENCE_ENTRIES_MAX)] | None = None
    lookup_range: LookupRangeShape | None = None
    lookup_cycle: LookupCycleShape | None = None


class CycleMode(Enum):
    """Given, or looked up for an account's cycle."""

    CUSTOM = "CUSTOM"
    LOOKUP_CYCLE = "LOOKUP_CYCLE"


class ProrationDaysShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A cycle, and the day of it from which on is charged."""

    cycle_start_date: datetime
    cycle_end_date: datetime
    current_date: datetime


class ProrationCycleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An account's cycle, and the day of it from which on is charged; both are of now when they are left out."""

    current_date_time: datetime | None = None
    cycle_effective_on: datetime | None = None
    account_id: _Id


class ProrationConfigShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """From which day of which cycle on is charged; without it everything is charged whole."""

    mode: CycleMode
    custom_config: ProrationDaysShape | None = None
    lookup_cycle_config: ProrationCycleShape | None = None


class OverageEntryShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Known to the interface, and not supported."""

    feature_id: _Id
    quantity: Decimal


class OverageCycleShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Known to the interface; without features there is no overage."""

    billing_cycle_end_date: datetime
    account_id: _Id


class EntitlementOverageConfigShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Entitlements are not supported: there is no overage, and none may be given."""

    mode: CycleMode
    custom: Annotated[list[OverageEntryShape], msgspec.Meta(max_length=METERS_MAX)] | None = None
    lookup_cycle: OverageCycleShape | None = None


class CalculateRevenueRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to calculate: plan, usage, licences and days, each given or looked up."""

    currency_config: CurrencyConfigShape
    price_plan_details_config: PricePlanDetailsConfigShape
    usage_config: UsageConfigShape
    license_entries_config: LicenceEntriesConfigShape
    named_license_entries_config: NamedLicenceEntriesConfigShape | None = None
    proration_config: ProrationConfigShape | None = None
    entitlement_overage_config: EntitlementOverageConfigShape | None = None


# ---- from the wire -----------------------------------------------------------------------------------------------


def question_from(request: CalculateRevenueRequest, *, now: datetime) -> RevenueQuestion:
    """The question that is asked; instants that are left out are `now`. Raises `Invalid`, naming the field."""
    _refuse_unsupported(request)
    currency = request.currency_config
    of_account = currency.mode is CurrencyMode.ACCOUNT_INVOICE
    return RevenueQuestion(
        currency=None if of_account else _needed(currency.currency, "currencyConfig.currency"),
        currency_of=_needed(currency.account_id, "currencyConfig.accountId") if of_account else None,
        plan=_plan_from(request.price_plan_details_config, now),
        usage=_usage_from(request.usage_config, now),
        licences=_licences_from(request.license_entries_config, now),
        proration=None if request.proration_config is None else _proration_from(request.proration_config, now),
    )


def inline_plan_from(
    details: CreatePricePlanDetailsShape, rules: tuple[CreatePricingRuleShape, ...] | None = None, *, now: datetime
) -> PricePlan:
    """The plan that is given, not yet checked; without a cycle, in calendar months. Raises `Invalid`."""
    if details.pricing_cycle_config is None:
        details = msgspec.structs.replace(details, pricing_cycle_config=_CALENDAR_MONTH)
    request = CreatePricePlanRequest(name=INLINE_PLAN_NAME, price_plan_details=details, pricing_rules=rules)
    return plan_from_request(request, plan_id=INLINE_PLAN_ID, now=now)


def _refuse_unsupported(request: CalculateRevenueRequest) -> None:
    named, overage = request.named_license_entries_config, request.entitlement_overage_config
    for config, where, what in (
        (named, "namedLicenseEntriesConfig", "named licences"),
        (overage, "entitlementOverageConfig", "entitlements"),
    ):
        if config is not None and config.custom:
            raise Invalid(f"{where}.custom: {what} are not supported; leave it empty", code=UNSUPPORTED_CODE)


def _needed(value: T | None, where: str) -> T:
    if value is None:
        raise Invalid(f"{where}: needed in this mode")
    return value


def _instant(given: datetime | None, where: str, now: datetime) -> datetime:
    return now if given is None else utc_instant(given, where)


def _day(given: datetime, where: str) -> date:
    return utc_instant(given, where).date()


def _plan_from(config: PricePlanDetailsConfigShape, now: datetime) -> InlinePlan | StoredPlan | PlanOfAccount:
    where = "pricePlanDetailsConfig"
    ordinal = 1 if config.pricing_cycle_ordinal is None else config.pricing_cycle_ordinal
    effective_on = _instant(config.effective_on, f"{where}.effectiveOn", now)
    match config.mode:
        case PlanMode.CUSTOM:
            details = _needed(config.price_plan_details, f"{where}.pricePlanDetails")
            return InlinePlan(plan=inline_plan_from(details, now=now), ordinal=ordinal)
        case PlanMode.PRICE_PLAN:
            plan_id = _needed(config.price_plan_id, f"{where}.pricePlanId")
            return StoredPlan(plan_id=plan_id, ordinal=ordinal, effective_on=effective_on)
        case PlanMode.ACCOUNT:
            account_id = _needed(config.account_id, f"{where}.accountId")
            return PlanOfAccount(account_id=account_id, effective_on=effective_on)
        case _:
            assert_never(config.mode)


def _usage_from(config: UsageConfigShape, now: datetime) -> Mapping[str, Decimal] | LookedUpRange | LookedUpCycle:
    if config.mode is LookupMode.CUSTOM:
        return _needed(config.usage_map, "usageConfig.usageMap")
    return _looked_up(config, "usageConfig", now)


def _licences_from(
    config: LicenceEntriesConfigShape, now: datetime
) -> tuple[LicenceUpdate, ...] | LookedUpRange | LookedUpCycle:
    if config.mode is not LookupMode.CUSTOM:
        return _looked_up(config, "licenseEntriesConfig", now)
    return tuple(
        LicenceUpdate(
            add_on_id=entry.license_id,
            account_id="",
            update_type=LicenceUpdateType.ABSOLUTE,
            quantity=Decimal(entry.quantity),
            effective_from=utc_instant(entry.effective_from, f"licenseEntriesConfig.custom[{index}].effectiveFrom"),
            created_at=now,
        )
        for index, entry in enumerate(config.custom or ())
    )


def _looked_up(
    config: UsageConfigShape | LicenceEntriesConfigShape, where: str, now: datetime
) -> LookedUpRange | LookedUpCycle:
    if config.mode is LookupMode.LOOKUP_RANGE:
        span = _needed(config.lookup_range, f"{where}.lookupRange")
        return LookedUpRange(
            account_id=span.account_id,
            start=utc_instant(span.start, f"{where}.lookupRange.start"),
            end=utc_instant(span.end, f"{where}.lookupRange.end"),
        )
    cycle = _needed(config.lookup_cycle, f"{where}.lookupCycle")
    effective_on = _instant(cycle.cycle_effective_on, f"{where}.lookupCycle.cycleEffectiveOn", now)
    return LookedUpCycle(account_id=cycle.account_id, effective_on=effective_on)


def _proration_from(config: ProrationConfigShape, now: datetime) -> GivenDays | DaysOfAccount:
    where = "prorationConfig"
    if config.mode is CycleMode.CUSTOM:
        days = _needed(config.custom_config, f"{where}.customConfig")
        return GivenDays(
            start=_day(days.cycle_start_date, f"{where}.customConfig.cycleStartDate"),
            end=_day(days.cycle_end_date, f"{where}.customConfig.cycleEndDate"),
            current=_day(days.current_date, f"{where}.customConfig.currentDate"),
        )
    cycle = _needed(config.lookup_cycle_config, f"{where}.lookupCycleConfig")
    return DaysOfAccount(
        account_id=cycle.account_id,
        effective_on=_instant(cycle.cycle_effective_on, f"{where}.lookupCycleConfig.cycleEffectiveOn", now),
        current=_instant(cycle.current_date_time, f"{where}.lookupCycleConfig.currentDateTime", now).date(),
    )
