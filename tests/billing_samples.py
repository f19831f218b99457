"""A small catalogue to bill: one customer, one meter, one plan, and accounts billed by it."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

from price_plan_samples import NOW, SlabSample, monthly, price_plan, usage_card
from sqlalchemy import Connection

from tallybook.core.account import Account, AccountStatus
from tallybook.core.aggregation import Aggregation
from tallybook.core.customer import Address, Customer, CustomerStatus
from tallybook.core.instant import hours_since_1970
from tallybook.core.invoice import Invoice
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import new_schedule
from tallybook.core.usage_meter import MeterStatus, UsageMeter
from tallybook.storage import accounts, customers, plans, schemas, tables
from tallybook.storage.accounts import Organisation
from tallybook.storage.database import Database

PLAN = price_plan(usage_card(SlabSample("0", "2"), SlabSample("100", "1")), cycle=monthly("1", grace_days=2))


def add_catalogue(connection: Connection) -> None:
    """Organisation `org`, customer `CUS`, meter `um.1`, plan `pp.1`, and account A billed from 10 January on."""
    accounts.add_organisation(connection, Organisation(organisation_id="org", name="Org", base_currency="USD"), now=NOW)
    customer = Customer(
        customer_id="CUS",
        generated_id="customer.1",
        name="First customer",
        primary_email="bills@example.com",
        address=Address(),
        status=CustomerStatus.ACTIVE,
    )
    customers.add_customer(connection, "org", customer, now=NOW)
    meter = UsageMeter(
        meter_id="um.1", version=1, name="Requests", status=MeterStatus.ACTIVE, aggregation=Aggregation.COUNT
    )
    schemas.add_usage_meter(connection, "org", meter, now=NOW)
    plans.add_price_plan(connection, "org", PLAN, now=NOW)
    add_account(connection, "A")


def add_account(
    connection: Connection, account_id: str, *, start: date = date(2024, 1, 10), plan: PricePlan = PLAN
) -> None:
    account = Account(
        account_id=account_id,
        generated_id=f"account.{account_id}",
        customer_id="CUS",
        name=f"Account {account_id}",
        currency="USD",
        status=AccountStatus.ACTIVE,
    )
    accounts.add_account(connection, "org", account, now=NOW)
    schedule = new_schedule(plan, schedule_id=f"sch.{account_id}", start_date=start)
    accounts.set_schedules(connection, "org", account_id, [schedule], now=NOW)


def use(database: Database, account_id: str, day: str, units: str, *, meter_id: str = "um.1") -> None:
    hour = hours_since_1970(datetime.fromisoformat(day).replace(tzinfo=UTC))
    with database.write() as connection:
        connection.execute(
            tables.usage.insert().values(
                organisation_id="org",
                account_id=account_id,
                meter_id=meter_id,
                event_hour=hour,
                units=Decimal(units),
                event_count=1,
            )
        )


def by_account(invoices: Iterable[Invoice]) -> list[Invoice]:
    """Invoices by account, the newest first."""
    return sorted(
        invoices, key=lambda found: (found.account.account_id, -found.start_date.toordinal(), found.invoice_id)
    )
