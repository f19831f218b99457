"""Creating and activating definitions, and attaching price plans to accounts: each in one transaction.

What a definition must be like by itself is checked in the core; here is what depends on the others.
"""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account, check_account
from tallybook.core.customer import Customer, CustomerStatus, check_customer
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.event_schema import EventSchema, SchemaStatus, check_event_schema, check_schema_transition
from tallybook.core.price_plan import (
    PricePlan,
    PricingSchedule,
    activated,
    associate,
    check_associable,
    check_price_plan,
    check_window,
    disassociate,
    new_schedule,
)
from tallybook.core.usage_meter import MeterStatus, UsageMeter, check_meter_transition, check_usage_meter
from tallybook.storage import accounts, plans, schemas
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import Stored

EVENT_SCHEMAS_MAX = 1_000  # ten times the interface's quota; each costs a compiled program in every metering process
METERS_MAX = 5_000  # the same, for meters
METERS_PER_SCHEMA_MAX = 100  # every event of the schema is put to all of them
PRICE_PLANS_MAX = 10_000  # plans cost nothing but room
SCHEDULES_MAX = 1_000  # of one account: eighty years of monthly changes


# ---- customers and accounts --------------------------------------------------------------------------------------


def base_currency(database: Database, organisation_id: str) -> str:
    """The currency of accounts that name none."""
    with database.read() as connection:
        organisation = accounts.organisation_of(connection, organisation_id)
    assert organisation is not None, "whoever has a key of an organisation made it exist"
    return organisation.base_currency


def create_customer(
    database: Database, organisation_id: str, customer: Customer, account: Account, *, now: datetime
) -> None:
    """Add a customer with its first account. Raises `Invalid` or `Conflict`."""
    check_customer(customer)
    try:
        check_account(account)
    except Invalid as error:
        raise Invalid(f"account.{error.message}", code=error.code) from None
    assert account.customer_id == customer.customer_id, "the first account belongs to its customer"
    with database.write() as connection:
        accounts.add_customer(connection, organisation_id, customer, now=now)
        try:
            accounts.add_account(connection, organisation_id, account, now=now)
        except Conflict as error:
            raise Conflict(f"account.{error.message}", code=error.code) from None


def create_account(database: Database, organisation_id: str, account: Account, *, now: datetime) -> None:
    """Add an account to a customer that is there. Raises `Invalid` or `Conflict`."""
    check_account(account)
    with database.write() as connection:
        customer = accounts.find_customer(connection, organisation_id, account.customer_id)
        if customer is None:
            raise Invalid(f"customerId: no customer {account.customer_id!r}; create it first", code="UNKNOWN_CUSTOMER")
        if customer.definition.status is CustomerStatus.ARCHIVED:
            raise Conflict(f"customerId: customer {account.customer_id!r} is archived", code="CUSTOMER_ARCHIVED")
        accounts.add_account(connection, organisation_id, account, now=now)


# ---- event schemas -----------------------------------------------------------------------------------------------


def create_event_schema(
    database: Database, organisation_id: str, schema: EventSchema, *, now: datetime
) -> Stored[EventSchema]:
    """Add a draft schema. Raises `Invalid` or `Conflict`."""
    check_event_schema(schema)
    with database.write() as connection:
        _check_room(schemas.count_event_schemas(connection, organisation_id), EVENT_SCHEMAS_MAX, "event schemas")
        schemas.add_event_schema(connection, organisation_id, schema, now=now)
    return Stored(definition=schema, created_at=now, updated_at=now)


def activate_event_schema(database: Database, organisation_id: str, name: str, *, now: datetime) -> Stored[EventSchema]:
    """Let events of the schema be metered; does nothing when they are. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        stored = found_schema(connection, organisation_id, name)
        if stored.definition.status is SchemaStatus.ACTIVE:
            return stored
        check_schema_transition(stored.definition.status, SchemaStatus.ACTIVE)
        active = msgspec.structs.replace(stored.definition, status=SchemaStatus.ACTIVE)
        schemas.replace_event_schema(connection, organisation_id, active, now=now)
        return Stored(definition=active, created_at=stored.created_at, updated_at=now)


def found_schema(
    connection: Connection, organisation_id: str, name: str, version: int | None = None
) -> Stored[EventSchema]:
    """That version of the schema, or its latest. Raises `NotFound`."""
    stored = schemas.event_schema(connection, organisation_id, name, version)
    if stored is None:
        raise NotFound(f"no event schema {name!r}" + ("" if version is None else f" with version {version}"))
    return stored


# ---- usage meters ------------------------------------------------------------------------------------------------


def create_usage_meter(
    database: Database, organisation_id: str, meter: UsageMeter, *, now: datetime
) -> Stored[UsageMeter]:
    """Add a draft meter; its rules are compiled to see that they can work. Raises `Invalid` or `Conflict`."""
    if meter.schema_name is None:
        raise Invalid("eventSchemaName: a meter needs the event schema whose events it reads", code="UNSUPPORTED")
    with database.read() as connection:
        schema = schemas.event_schema(connection, organisation_id, meter.schema_name)
    if schema is None:
        raise Invalid(
            f"eventSchemaName: no event schema {meter.schema_name!r}; create it first", code="UNKNOWN_EVENT_SCHEMA"
        )
    check_usage_meter(meter, schema.definition)
    with database.write() as connection:
        _check_room(schemas.count_usage_meters(connection, organisation_id), METERS_MAX, "usage meters")
        of_schema = len(schemas.meters_of_schema(connection, organisation_id, meter.schema_name))
        _check_room(of_schema, METERS_PER_SCHEMA_MAX, f"usage meters of event schema {meter.schema_name!r}")
        schemas.add_usage_meter(connection, organisation_id, meter, now=now)
    return Stored(definition=meter, created_at=now, updated_at=now)


def activate_usage_meter(
    database: Database, organisation_id: str, meter_id: str, *, now: datetime
) -> Stored[UsageMeter]:
    """Let the meter count events from now on; does nothing when it does. Raises `NotFound`, `Invalid` or `Conflict`."""
    with database.write() as connection:
        stored = found_meter(connection, organisation_id, meter_id)
        meter = stored.definition
        if meter.status is MeterStatus.ACTIVE:
            return stored
        check_meter_transition(meter.status, MeterStatus.ACTIVE)
        assert meter.schema_name is not None, "create_usage_meter lets no other in"
        schema = found_schema(connection, organisation_id, meter.schema_name).definition
        if schema.status is not SchemaStatus.ACTIVE:
            raise Invalid(
                f"event schema {schema.name!r} is {schema.status}; activate it before the meter",
                code="EVENT_SCHEMA_NOT_ACTIVE",
            )
        check_usage_meter(meter, schema)
        active = msgspec.structs.replace(meter, status=MeterStatus.ACTIVE)
        schemas.replace_usage_meter(connection, organisation_id, active, now=now)
        return Stored(definition=active, created_at=stored.created_at, updated_at=now)


def found_meter(connection: Connection, organisation_id: str, meter_id: str) -> Stored[UsageMeter]:
    """The latest version of the meter. Raises `NotFound`."""
    stored = schemas.usage_meter(connection, organisation_id, meter_id)
    if stored is None:
        raise NotFound(f"no usage meter {meter_id!r}")
    return stored


# ---- price plans -------------------------------------------------------------------------------------------------


def create_price_plan(
    database: Database, organisation_id: str, plan: PricePlan, *, now: datetime, dry_run: bool = False
) -> None:
    """Add a draft plan; with `dry_run` only check that it could be added. Raises `Invalid` or `Conflict`."""
    with database.write() as connection:
        meters = schemas.meters_with_ids(connection, organisation_id, [card.meter_id for card in plan.rate_cards])
        check_price_plan(plan, meter_ids=[id for id, meter in meters.items() if _may_be_priced(meter)])
        _check_room(plans.count_price_plans(connection, organisation_id), PRICE_PLANS_MAX, "price plans")
        if dry_run:
            plans.check_plan_name_is_free(connection, organisation_id, plan.name)
        else:
            plans.add_price_plan(connection, organisation_id, plan, now=now)


def activate_price_plan(
    database: Database, organisation_id: str, plan_id: str, currencies: Sequence[str], *, now: datetime
) -> PricePlan:
    """Open the plan for accounts of those currencies. Raises `NotFound`, `Invalid` or `Conflict`."""
    with database.write() as connection:
        plan = activated(found_plan(connection, organisation_id, plan_id), currencies=currencies, now=now)
        meters = schemas.meters_with_ids(connection, organisation_id, [card.meter_id for card in plan.rate_cards])
        for index, card in enumerate(plan.rate_cards):
            meter = meters[card.meter_id]
            if meter.status is not MeterStatus.ACTIVE:
                raise Invalid(
                    f"usageRateCards[{index}].usageMeterId: meter {card.meter_id} is {meter.status}; activate it first",
                    code="USAGE_METER_NOT_ACTIVE",
                )
        plans.replace_price_plan(connection, organisation_id, plan, now=now)
        return plan


def found_plan(connection: Connection, organisation_id: str, plan_id: str, version: int | None = None) -> PricePlan:
    """That version of the plan, or its latest. Raises `NotFound`."""
    plan = plans.price_plan(connection, organisation_id, plan_id, version)
    if plan is None:
        raise NotFound(f"no price plan {plan_id!r}" + ("" if version is None else f" with version {version}"))
    return plan


def _may_be_priced(meter: UsageMeter) -> bool:
    """A draft may stand in a draft plan; to activate the plan, the meter must be active."""
    return meter.status in (MeterStatus.DRAFT, MeterStatus.ACTIVE)


# ---- schedules ---------------------------------------------------------------------------------------------------


def associate_price_plan(
    database: Database,
    organisation_id: str,
    account_id: str,
    plan_id: str,
    *,
    start_date: date,
    end_date: date,
    schedule_id: str,
    now: datetime,
) -> Account:
    """Bill the account by the plan on the days `[start_date, end_date)`, in place of what billed them before.

    The days may be past ones, as long as no invoice was issued for any of them. Raises `NotFound`, `Invalid` or
    `Conflict`.
    """
    with database.write() as connection:
        account = found_account(connection, organisation_id, account_id)
        plan = plans.price_plan(connection, organisation_id, plan_id)
        if plan is None:
            raise Invalid(f"pricePlanId: no price plan {plan_id!r}", code="UNKNOWN_PRICE_PLAN")
        check_associable(plan, currency=account.currency)
        new = new_schedule(plan, schedule_id=schedule_id, start_date=start_date, end_date=end_date)
        schedules = associate(account.schedules, new)
        return _rescheduled(connection, organisation_id, account, schedules, start_date, end_date, now)


def disassociate_price_plan(
    database: Database,
    organisation_id: str,
    account_id: str,
    plan_id: str | None,
    *,
    start_date: date,
    end_date: date,
    now: datetime,
) -> Account:
    """Bill the account by no plan on the days `[start_date, end_date)`; with `plan_id`, just not by that one.

    Raises `NotFound`, `Invalid` or `Conflict`.
    """
    check_window(start_date, end_date)
    with database.write() as connection:
        account = found_account(connection, organisation_id, account_id)
        stay = [schedule for schedule in account.schedules if plan_id is not None and schedule.plan_id != plan_id]
        cut = [schedule for schedule in account.schedules if schedule not in stay]
        remaining = [*stay, *disassociate(cut, start_date=start_date, end_date=end_date)]
        schedules = tuple(sorted(remaining, key=lambda schedule: schedule.start_date))
        return _rescheduled(connection, organisation_id, account, schedules, start_date, end_date, now)


def found_account(connection: Connection, organisation_id: str, account_id: str) -> Account:
    """The account with that id. Raises `NotFound`."""
    account = accounts.account(connection, organisation_id, account_id)
    if account is None:
        raise NotFound(f"no account {account_id!r}")
    return account


def _rescheduled(
    connection: Connection,
    organisation_id: str,
    account: Account,
    schedules: tuple[PricingSchedule, ...],
    start_date: date,
    end_date: date,
    now: datetime,
) -> Account:
    """Store the account's schedules, which differ from the present ones in `[start_date, end_date)` alone."""
    until = accounts.invoiced_until(connection, organisation_id, account.account_id, start=start_date, end=end_date)
    if until is not None:
        raise Conflict(
            f"effectiveFrom: account {account.account_id!r} has invoices for days before {until}; start from then on",
            code="ALREADY_INVOICED",
        )
    _check_room(len(schedules) - 1, SCHEDULES_MAX, f"pricing schedules of account {account.account_id!r}")
    accounts.set_schedules(connection, organisation_id, account.account_id, schedules, now=now)
    return msgspec.structs.replace(account, schedules=schedules)


def _check_room(count: int, count_max: int, what: str) -> None:
    if count >= count_max:
        raise Conflict(f"there are {count_max} {what} already, and no more are allowed", code="LIMIT_REACHED")
