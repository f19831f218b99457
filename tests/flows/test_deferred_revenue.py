"""Plans with deferred revenue: what they earn is shown when it is invoiced."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from billing_samples import PLAN, add_account, add_catalogue, use
from embedded import Embedded
from price_plan_samples import NOW

from tallybook.core.metric import Field, MetricName, Period, Query
from tallybook.flows.bill import Billing
from tallybook.flows.metrics import Metrics
from tallybook.storage import plans

DEFERRED = msgspec.structs.replace(PLAN, plan_id="pp.deferred", name="Deferred", deferred_revenue=True)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    """Account D is billed by a plan with deferred revenue, A by one without; each used 50 units in two months."""
    opened = Embedded(tmp_path)
    with opened.database.write() as connection:
        add_catalogue(connection)
        plans.add_price_plan(connection, "org", DEFERRED, now=NOW)
        add_account(connection, "D", plan=DEFERRED)
    for account_id in ("A", "D"):
        use(opened.database, account_id, "2024-01-15T12", "50")
        use(opened.database, account_id, "2024-02-15T12", "50")
    yield opened
    opened.close()


def total(embedded: Embedded, name: MetricName, account_id: str) -> Decimal:
    """What the metric comes to in January and February 2024."""
    query = Query(
        name=name,
        start=datetime(2024, 1, 1, tzinfo=UTC),
        end=datetime(2024, 3, 1, tzinfo=UTC),
        period=Period.MONTH,
        filters={Field.ACCOUNT_ID: [account_id]},
    )
    metrics = Metrics(embedded.database, embedded.events, Billing(embedded.database))
    [series] = metrics.answer("org", query, now=datetime(2024, 3, 1, tzinfo=UTC))
    return sum(series.values, Decimal(0))


@pytest.mark.parametrize("name", [MetricName.REVENUE, MetricName.REVENUE_FOR_CYCLE])
def test_revenue_of_a_cycle_shows_when_it_is_invoiced(embedded: Embedded, name: MetricName) -> None:
    """Contract 3.6: daily revenue metrics then appear only after DUE; 50 units at 2 in each month."""
    assert total(embedded, name, "A") == 200
    assert total(embedded, name, "D") == 0
    after_january = datetime(2024, 2, 3, tzinfo=UTC)
    Billing(embedded.database).close_due_cycles(as_of=after_january, metered_through=after_january)
    assert total(embedded, name, "D") == 100
    after_february = datetime(2024, 3, 3, tzinfo=UTC)
    Billing(embedded.database).close_due_cycles(as_of=after_february, metered_through=after_february)
    assert total(embedded, name, "D") == total(embedded, name, "A") == 200


def test_usage_shows_at_once(embedded: Embedded) -> None:
    assert total(embedded, MetricName.USAGE, "D") == 100


def test_invoices_are_those_of_any_plan(embedded: Embedded) -> None:
    """The first cycle is 10 January to 31 January: 50 units at 2."""
    billing = Billing(embedded.database)
    as_of = datetime(2024, 2, 3, tzinfo=UTC)
    billing.close_due_cycles(as_of=as_of, metered_through=as_of)
    invoices = billing.invoices_of("org", limit=10, now=as_of)
    first = {each.account.account_id: each.total for each in invoices if each.start_date == date(2024, 1, 10)}
    assert first == {"A": Decimal(100), "D": Decimal(100)}
