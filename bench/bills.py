"""Billing at size: how long it takes to finalise one month's invoices of many accounts, and what memory that needs.

Each account has five meters and a plan with five usage cards; each meter was used in 24 hours of the month, so an
account has 120 rows of usage. `python -m bench.bills ACCOUNTS` measures one size in a process of its own.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Table, insert

from tallybook.core.account import Account, AccountStatus
from tallybook.core.aggregation import Aggregation
from tallybook.core.customer import Address, Customer, CustomerStatus
from tallybook.core.instant import hours_since_1970
from tallybook.core.invoice import account_mark
from tallybook.core.period import PricingCycle, PricingInterval
from tallybook.core.price_plan import PricePlan, PricePlanStatus
from tallybook.core.pricing_schedule import new_schedule
from tallybook.core.rate_card import PriceType, PricingModel, RatePlan, RateValue, Slab, SlabRate, UsageRateCard
from tallybook.core.usage_meter import MeterStatus, UsageMeter
from tallybook.flows.bill import Billing
from tallybook.interpreter import collect_garbage_rarely
from tallybook.storage import accounts, customers, plans, schemas, tables
from tallybook.storage.accounts import Organisation
from tallybook.storage.database import Database, migrate, open_database

SIZES = (1_000, 10_000, 100_000)
METERS = 5
HOURS_OF_USE = 24
HOURS_BETWEEN = 30  # 24 hours of use over 30 days
ORGANISATION = "bench"
MONTH = date(2024, 1, 1)
DEFINED_AT = datetime(2024, 1, 1, tzinfo=UTC)
AS_OF = datetime(2024, 2, 10, tzinfo=UTC)
SEEDED_AT_ONCE = 1_000
_MIB = 1024


class BillRun(NamedTuple):
    """What finalising the invoices of so many accounts took."""

    accounts: int
    seconds: float
    processor_seconds: float
    peak_mib: int


def bill_runs() -> list[BillRun]:
    """One run of each of the sizes, each in a process of its own."""
    runs = []
    for size in SIZES:
        finished = subprocess.run(
            [sys.executable, "-m", "bench.bills", str(size)], capture_output=True, text=True, check=True
        )
        runs.append(BillRun(**json.loads(finished.stdout)))
    return runs


def bill_run(size: int) -> BillRun:
    """Seed a database, and close the month of every account in it."""
    with tempfile.TemporaryDirectory(prefix="tallybook-bills-") as folder:
        path = Path(folder) / "tallybook.sqlite"
        migrate(path)
        database = open_database(path)
        _seed(database, size)
        collect_garbage_rarely()  # as billing processes do
        started, processor = time.monotonic(), time.process_time()
        report = Billing(database).close_due_cycles(as_of=AS_OF, metered_through=AS_OF)
        seconds, processor = time.monotonic() - started, time.process_time() - processor
        assert (report.finalised, report.refused) == (size, ()), report
        database.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MIB
    return BillRun(accounts=size, seconds=seconds, processor_seconds=processor, peak_mib=peak)


# ---- what is billed ----------------------------------------------------------------------------------------------


def _seed(database: Database, size: int) -> None:
    plan = _plan()
    with database.write() as connection:
        organisation = Organisation(organisation_id=ORGANISATION, name="Bench", base_currency="USD")
        accounts.add_organisation(connection, organisation, now=DEFINED_AT)
        for number in range(METERS):
            schemas.add_usage_meter(connection, ORGANISATION, _meter(number), now=DEFINED_AT)
        plans.add_price_plan(connection, ORGANISATION, plan, now=DEFINED_AT)
        _seed_account(connection, plan, "pattern")
    for first in range(0, size - 1, SEEDED_AT_ONCE):
        names = [f"A{number:07}" for number in range(first, min(first + SEEDED_AT_ONCE, size - 1))]
        with database.write() as connection:
            for table in (tables.customer, tables.account, tables.pricing_schedule):
                _copy(connection, table, names)
            connection.exec_driver_sql(_INSERT_USAGE, [row for name in names for row in _usage_of(name)])
    with database.write() as connection:
        connection.exec_driver_sql(_INSERT_USAGE, list(_usage_of("pattern")))


def _seed_account(connection: Connection, plan: PricePlan, name: str) -> None:
    customer = Customer(
        customer_id=name,
        generated_id=name,
        name=name,
        primary_email="bills@example.com",
        address=Address(),
        status=CustomerStatus.ACTIVE,
    )
    customers.add_customer(connection, ORGANISATION, customer, now=DEFINED_AT)
    account = Account(
        account_id=name,
        generated_id=name,
        customer_id=name,
        name=name,
        currency="USD",
        status=AccountStatus.ACTIVE,
    )
    accounts.add_account(connection, ORGANISATION, account, now=DEFINED_AT)
    schedule = new_schedule(plan, schedule_id=name, start_date=MONTH)
    accounts.set_schedules(connection, ORGANISATION, name, [schedule], now=DEFINED_AT)


def _copy(connection: Connection, table: Table, names: list[str]) -> None:
    """The row of `pattern` once for each name, with the name in its place."""
    pattern = dict(connection.execute(table.select().where(table.c[_NAMED[table.name]] == "pattern")).mappings().one())
    rows = []
    for name in names:
        row = {
            column: value.replace("pattern", name) if isinstance(value, str) else value
            for column, value in pattern.items()
        }
        if "mark" in row:
            row["mark"] = account_mark(ORGANISATION, name)
        rows.append(row)
    connection.execute(insert(table), rows)


_NAMED = {"customer": "customer_id", "account": "account_id", "pricing_schedule": "account_id"}
_INSERT_USAGE = (
    "INSERT INTO usage (organisation_id, account_id, meter_id, event_hour, units, event_count) "
    "VALUES (?, ?, ?, ?, ?, ?)"
)


def _usage_of(name: str) -> Iterator[tuple[str, str, str, int, str, int]]:
    first = hours_since_1970(DEFINED_AT)
    for meter in range(METERS):
        for hour in range(HOURS_OF_USE):
            yield ORGANISATION, name, f"um.{meter}", first + hour * HOURS_BETWEEN, "12.25", 3


def _meter(number: int) -> UsageMeter:
    return UsageMeter(
        meter_id=f"um.{number}",
        version=1,
        name=f"Meter {number}",
        status=MeterStatus.ACTIVE,
        aggregation=Aggregation.SUM,
    )


def _plan() -> PricePlan:
    slabs = tuple(
        Slab(order=order, start_after=Decimal(start), price_type=PriceType.PER_UNIT)
        for order, start in enumerate(("0", "100", "200"), start=1)
    )
    rates = tuple(
        SlabRate(order=order, rate=Decimal(rate)) for order, rate in enumerate(("0.3", "0.2", "0.1"), start=1)
    )
    cards = tuple(
        UsageRateCard(
            name=f"Card {number}",
            meter_id=f"um.{number}",
            rate_plan=RatePlan(pricing_model=PricingModel.TIERED, slabs=slabs),
            rate_values=(RateValue(currency="USD", slab_rates=rates),),
        )
        for number in range(METERS)
    )
    return PricePlan(
        plan_id="pp.bench",
        version=1,
        name="Bench",
        status=PricePlanStatus.ACTIVE,
        supported_currencies=("USD",),
        active_currencies=("USD",),
        cycle=PricingCycle(interval=PricingInterval.MONTHLY, day_offset="1", grace_days=2),
        rate_cards=cards,
        created_at=DEFINED_AT,
        updated_at=DEFINED_AT,
    )


if __name__ == "__main__":
    print(json.dumps(bill_run(int(sys.argv[1]))._asdict()))
