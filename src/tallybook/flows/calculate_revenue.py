"""The revenue calculator: what a plan would charge for given or metered usage. Nothing is written.

Plan, usage, licences and days come each from the request or from what is stored of an account, in any combination.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, assert_never

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.add_on import AddOnType
from tallybook.core.aggregation import quantity_of
from tallybook.core.billed_cycle import BilledCycle, billed_cycle
from tallybook.core.decimals import within_quantity_bounds
from tallybook.core.errors import Invalid
from tallybook.core.instant import HOUR, hour_at, hours_since_1970
from tallybook.core.licence import HeldRun, LicenceUpdate, check_licence_update, held_runs
from tallybook.core.money import minor_unit_digits
from tallybook.core.period import Window, anchored, cycle_containing, full_cycle_containing, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, plan_as_billed, schedule_on
from tallybook.core.revenue_calculation import CardRevenue, calculate_revenue, check_ordinal, without_proration
from tallybook.flows.define_accounts import found_account
from tallybook.flows.define_price_plans import check_plan, found_plan
from tallybook.storage import add_ons, licences, schemas
from tallybook.storage.database import Database
from tallybook.storage.licences import updates_in
from tallybook.storage.usage import rows_by_meter, usage_rows

LOOKUP_DAYS_MAX = 366  # the longest cycle
METERS_MAX = 100  # a plan has fewer cards
LICENCE_ENTRIES_MAX = 1_000


class InlinePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan that is not stored, in its cycle of that number, the first being 1."""

    plan: PricePlan
    ordinal: int


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The latest version of a plan, draft or not, in its cycle of that number, the first being 1."""

    plan_id: str
    ordinal: int
    effective_on: datetime


class PlanOfAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What bills the account on that day, with what it has different from the plan."""

    account_id: str
    effective_on: datetime


class LookedUpRange(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of an account from `start` until before `end`."""

    account_id: str
    start: datetime
    end: datetime


class LookedUpCycle(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of an account for its cycle of that day."""

    account_id: str
    effective_on: datetime


class GivenDays(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle of which the days from `current` on are charged."""

    start: date
    end: date
    current: date


class DaysOfAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account's cycle of a day, of which the days from `current` on are charged."""

    account_id: str
    effective_on: datetime
    current: date


class RevenueQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What to calculate. Exactly one of `currency` and `currency_of`, an account's id, is given.

    `usage` is by meter id. Without `proration` everything is charged whole.
    """

    currency: str | None = None
    currency_of: str | None = None
    plan: InlinePlan | StoredPlan | PlanOfAccount
    usage: Mapping[str, Decimal] | LookedUpRange | LookedUpCycle
    licences: Sequence[LicenceUpdate] | LookedUpRange | LookedUpCycle = ()
    proration: GivenDays | DaysOfAccount | None = None


class CalculatedRevenue(msgspec.Struct, frozen=True, kw_only=True):
    """The answer; `looked_up` is where usage was looked up, in whole hours, if it was.

    `account_id` and `schedule_id` say whose plan it is, if it is an account's.
    """

    currency: str
    plan: PricePlan
    cards: tuple[CardRevenue, ...]
    looked_up: tuple[datetime, datetime] | None = None
    account_id: str | None = None
    schedule_id: str | None = None


class _Days(NamedTuple):
    """The days that are charged, and the whole cycle that they are of."""

    window: Window
    full: Window


def answer_revenue(
    database: Database, organisation_id: str, question: RevenueQuestion, *, now: datetime
) -> CalculatedRevenue:
    """What the question comes to, from one snapshot. Raises `Invalid` and `NotFound`, naming the field."""
    with database.read() as connection:
        currency = _currency(connection, organisation_id, question)
        cycle, schedule = _cycle(connection, organisation_id, question.plan, now)
        days = _charged_days(connection, organisation_id, question.proration)
        plan = cycle.plan
        if days is None:
            charged = msgspec.structs.replace(cycle, plan=without_proration(plan), window=cycle.full)
        else:
            charged = msgspec.structs.replace(cycle, window=days.window, full=days.full)
        looked_up = _looked_up(connection, organisation_id, question.usage)
        cards = calculate_revenue(
            charged,
            licences_in=_with_licences(connection, organisation_id, charged, question.licences, prorated=bool(days)),
            usage=_usage(connection, organisation_id, plan, question.usage, looked_up),
            currency=currency,
        )
        return CalculatedRevenue(
            currency=currency,
            plan=plan,
            cards=cards,
            looked_up=looked_up,
            account_id=question.plan.account_id if isinstance(question.plan, PlanOfAccount) else None,
            schedule_id=None if schedule is None else schedule.schedule_id,
        )


def _currency(connection: Connection, organisation_id: str, question: RevenueQuestion) -> str:
    if question.currency_of is not None:
        return found_account(connection, organisation_id, question.currency_of).currency
    assert question.currency is not None, "the question says in which currency"
    minor_unit_digits(question.currency)
    return question.currency


# ---- plan and cycle ----------------------------------------------------------------------------------------------


def _cycle(
    connection: Connection, organisation_id: str, asked: InlinePlan | StoredPlan | PlanOfAccount, now: datetime
) -> tuple[BilledCycle, PricingSchedule | None]:
    """The cycle to price, with the schedule that it is of, if it is an account's."""
    match asked:
        case InlinePlan():
            return _nth_cycle(check_plan(connection, organisation_id, asked.plan), asked.ordinal, now.date()), None
        case StoredPlan():
            plan = found_plan(connection, organisation_id, asked.plan_id)
            return _nth_cycle(plan, asked.ordinal, asked.effective_on.date()), None
        case PlanOfAccount():
            account = found_account(connection, organisation_id, asked.account_id)
            return _cycle_of_account(connection, organisation_id, account, asked.effective_on.date())
        case _:
            assert_never(asked)


def _nth_cycle(plan: PricePlan, ordinal: int, day: date) -> BilledCycle:
    check_ordinal(ordinal)
    full = full_cycle_containing(anchored(plan.cycle, day), day)
    return BilledCycle(plan=plan, window=full, full=full, number=ordinal - 1)


def _cycle_of_account(
    connection: Connection, organisation_id: str, account: Account, day: date
) -> tuple[BilledCycle, PricingSchedule]:
    """The account's cycle of that day, as it is billed. Raises `Invalid` when no plan bills it."""
    schedule = schedule_on(account.schedules, day)
    if schedule is None:
        raise Invalid(f"no price plan bills account {account.account_id!r} on {day}; choose another day")
    plan = plan_as_billed(found_plan(connection, organisation_id, schedule.plan_id, schedule.plan_version), schedule)
    window = cycle_containing(schedule.cycle, day, within=schedule.window)
    return billed_cycle(plan, schedule, window, schedules=account.schedules), schedule


def _looked_up_cycle(connection: Connection, organisation_id: str, asked: LookedUpCycle | DaysOfAccount) -> BilledCycle:
    account = found_account(connection, organisation_id, asked.account_id)
    return _cycle_of_account(connection, organisation_id, account, asked.effective_on.date())[0]


def _charged_days(
    connection: Connection, organisation_id: str, asked: GivenDays | DaysOfAccount | None
) -> _Days | None:
    """The days from the current one to the end of the cycle, in which it must lie; None when all are charged."""
    match asked:
        case None:
            return None
        case GivenDays():
            window, full = Window(asked.start, asked.end), Window(asked.start, asked.end)
        case DaysOfAccount():
            cycle = _looked_up_cycle(connection, organisation_id, asked)
            window, full = cycle.window, cycle.full
        case _:
            assert_never(asked)
    _check_days(window.start, window.end, "prorationConfig")
    if not window.start <= asked.current < window.end:
        raise Invalid(f"prorationConfig: the current date must be in the cycle, {window.start} to before {window.end}")
    return _Days(Window(asked.current, window.end), full)


def _check_days(start: date, end: date, where: str) -> None:
    if not start < end:
        raise Invalid(f"{where}: the start must be before the end")
    if (end - start).days > LOOKUP_DAYS_MAX:
        raise Invalid(f"{where}: at most {LOOKUP_DAYS_MAX} days")


# ---- usage -------------------------------------------------------------------------------------------------------


def _usage(
    connection: Connection,
    organisation_id: str,
    plan: PricePlan,
    asked: Mapping[str, Decimal] | LookedUpRange | LookedUpCycle,
    looked_up: tuple[datetime, datetime] | None,
) -> Mapping[str, Decimal]:
    """Quantities by meter id, given or made of what is stored between the instants."""
    if not isinstance(asked, LookedUpRange | LookedUpCycle):
        return _given_usage(connection, organisation_id, asked)
    assert looked_up is not None, "usage that is not given is looked up"
    start, end = looked_up
    meters = schemas.meters_with_ids(connection, organisation_id, [card.meter_id for card in plan.usage_cards])
    by_meter = rows_by_meter(usage_rows(connection, organisation_id, asked.account_id, start=start, end=end))
    return {meter_id: quantity_of(meter.aggregation, by_meter.get(meter_id, ())) for meter_id, meter in meters.items()}


def _given_usage(connection: Connection, organisation_id: str, asked: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    """The quantities, of meters that the organisation has; those that the plan does not price do not matter."""
    known = schemas.meters_with_ids(connection, organisation_id, list(asked))
    for meter_id, quantity in asked.items():
        if meter_id not in known:
            raise Invalid(f"usageConfig.usageMap: no usage meter {meter_id[:100]!r}", code="UNKNOWN_USAGE_METER")
        if not within_quantity_bounds(quantity):
            raise Invalid(f"usageConfig.usageMap.{meter_id}: at most 512 digits on either side of the point")
    return asked


def _looked_up(
    connection: Connection, organisation_id: str, asked: Mapping[str, Decimal] | LookedUpRange | LookedUpCycle
) -> tuple[datetime, datetime] | None:
    """Between which whole hours usage is looked up, if it is."""
    match asked:
        case LookedUpRange():
            found_account(connection, organisation_id, asked.account_id)
            if not asked.start < asked.end:
                raise Invalid("usageConfig.lookupRange: the start must be before the end")
            _check_days(*_whole_days(asked.start, asked.end), "usageConfig.lookupRange")
            return _whole_hours(asked.start, asked.end)
        case LookedUpCycle():
            window = _looked_up_cycle(connection, organisation_id, asked).window
            return midnight(window.start), midnight(window.end)
        case _:
            return None


def _whole_hours(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The range, widened to whole hours."""
    return hour_at(hours_since_1970(start)), hour_at(hours_since_1970(end + HOUR - timedelta(microseconds=1)))


# ---- licences ----------------------------------------------------------------------------------------------------


def _with_licences(
    connection: Connection,
    organisation_id: str,
    charged: BilledCycle,
    asked: Sequence[LicenceUpdate] | LookedUpRange | LookedUpCycle,
    *,
    prorated: bool,
) -> BilledCycle:
    """The cycle in which licences are priced: that of the days that are looked up, cut to those that are charged."""
    window, account_id = charged.window, ""
    match asked:
        case LookedUpRange():
            account_id = found_account(connection, organisation_id, asked.account_id).account_id
            window = _whole_days(asked.start, asked.end)
            _check_days(*window, "licenseEntriesConfig.lookupRange")
        case LookedUpCycle():
            account_id = asked.account_id
            window = _looked_up_cycle(connection, organisation_id, asked).window
        case _:
            held = _given_licences(connection, organisation_id, asked, window)
            return msgspec.structs.replace(charged, held=held)
    full = charged.full if prorated else window
    if prorated:
        window = _common_days(window, charged.window)
    held = {
        card.add_on_id: held_runs(
            updates_in(licences.updates_of(connection, organisation_id, account_id, card.add_on_id)), window
        )
        for card in charged.plan.licence_cards
    }
    return msgspec.structs.replace(charged, window=window, full=full, held=held)


def _common_days(looked_up: Window, charged: Window) -> Window:
    common = Window(max(looked_up.start, charged.start), min(looked_up.end, charged.end))
    if not common.start < common.end:
        raise Invalid("licenseEntriesConfig: its days and those of prorationConfig have none in common")
    return common


def _whole_days(start: datetime, end: datetime) -> Window:
    """The range, widened to whole days."""
    last = end.date() if end == midnight(end.date()) else end.date() + timedelta(days=1)
    return Window(start.date(), last)


def _given_licences(
    connection: Connection, organisation_id: str, asked: Sequence[LicenceUpdate], window: Window
) -> Mapping[str, tuple[HeldRun, ...]]:
    """What is held of licences that the organisation has; those that the plan does not price do not matter."""
    by_licence: dict[str, list[LicenceUpdate]] = {}
    for index, entry in enumerate(asked):
        try:
            check_licence_update(entry)
        except Invalid as error:
            raise Invalid(f"licenseEntriesConfig.custom[{index}].{error.message}", code=error.code) from None
        by_licence.setdefault(entry.add_on_id, []).append(entry)
    known = add_ons.add_ons_with_ids(connection, organisation_id, list(by_licence))
    for licence_id in by_licence:
        if licence_id not in known or known[licence_id].type is not AddOnType.LICENSE:
            raise Invalid(
                f"licenseEntriesConfig.custom: no add-on {licence_id[:100]!r} of type LICENSE", code="UNKNOWN_ADD_ON"
            )
    return {
        licence_id: held_runs(sorted(entries, key=lambda entry: entry.effective_from), window)
        for licence_id, entries in by_licence.items()
    }
