"""Figures over time, over a real database: usage rows in, series out."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from billing_samples import add_account, add_catalogue, use
from catalogue_samples import account, customer, schema
from embedded import Embedded, event
from price_plan_samples import NOW, SlabSample, monthly, price_plan, usage_card

from tallybook.core.aggregation import Aggregation
from tallybook.core.errors import Invalid
from tallybook.core.metric import Field, MetricName, Period, Query, Series
from tallybook.core.pricing_schedule import associate, new_schedule
from tallybook.core.usage_meter import MeterStatus, UsageMeter
from tallybook.flows.bill import Billing
from tallybook.flows.metrics import Metrics
from tallybook.storage import accounts, plans, schemas, tables

MUCH_LATER = datetime(2025, 1, 1, tzinfo=UTC)
FROM_THE_5TH = price_plan(usage_card(SlabSample("0", "2")), cycle=monthly("5"), plan_id="pp.5", name="From the 5th")
FROM_THE_1ST = price_plan(usage_card(SlabSample("0", "3")), cycle=monthly("1"), plan_id="pp.1st", name="From the 1st")


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    opened = Embedded(tmp_path)
    with opened.database.write() as connection:
        add_catalogue(connection)
    yield opened
    opened.close()


@pytest.fixture
def metrics(embedded: Embedded) -> Metrics:
    return Metrics(embedded.database, embedded.events, Billing(embedded.database))


def query(name: str, start: str, end: str, period: str = "DAY", **more: Any) -> Query:
    return Query(name=MetricName(name), start=instant(start), end=instant(end), period=Period(period), **more)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def points(series: Series) -> dict[str, str]:
    return {
        f"{start:%m-%d}": format(value.normalize(), "f")
        for start, value in zip(series.starts, series.values, strict=True)
    }


def answer(metrics: Metrics, asked: Query, *, now: datetime = MUCH_LATER) -> dict[str | None, dict[str, str]]:
    return {series.group: points(series) for series in metrics.answer("org", asked, now=now)}


def only(metrics: Metrics, asked: Query, *, now: datetime = MUCH_LATER) -> dict[str, str]:
    [series] = metrics.answer("org", asked, now=now)
    assert series.group is None
    return points(series)


# ---- by cycle ----------------------------------------------------------------------------------------------------


@pytest.fixture
def switched(embedded: Embedded) -> None:
    """The interface's worked example: monthly from the 5th, switched on 15 March to monthly from the 1st."""
    with embedded.database.write() as connection:
        plans.add_price_plan(connection, "org", FROM_THE_5TH, now=NOW)
        plans.add_price_plan(connection, "org", FROM_THE_1ST, now=NOW)
        add_account(connection, "S", start=date(2024, 1, 5), plan=FROM_THE_5TH)
        first = new_schedule(FROM_THE_5TH, schedule_id="sch.1", start_date=date(2024, 1, 5))
        second = new_schedule(FROM_THE_1ST, schedule_id="sch.2", start_date=date(2024, 3, 15))
        accounts.set_schedules(connection, "org", "S", associate([first], second), now=NOW)
    for day, units in (
        ("2024-01-05", "999"),
        ("2024-02-04T23", "1"),  # the last hour of the first cycle
        ("2024-02-05", "1200"),
        ("2024-03-10", "1250"),
        ("2024-03-15", "599.5"),
        ("2024-03-31T23", "0.5"),
        ("2024-04-20", "1300"),
        ("2024-05-01", "1300"),
    ):
        use(embedded.database, "S", day, units)


@pytest.mark.usefixtures("switched")
def test_usage_of_cycles_stands_where_they_begin(metrics: Metrics) -> None:
    """The worked example: of six cycles, a query from 15 February before 1 April has those that begin therein."""
    filters = {Field.ACCOUNT_ID: ["S"]}
    assert only(metrics, query("USAGE_FOR_CYCLE", "2024-02-15", "2024-04-01", filters=filters)) == {
        "03-05": "1250",
        "03-15": "600",
    }
    assert only(metrics, query("USAGE_FOR_CYCLE", "2024-01-01", "2024-05-02", filters=filters)) == {
        "01-05": "1000",
        "02-05": "1200",
        "03-05": "1250",
        "03-15": "600",
        "04-01": "1300",
        "05-01": "1300",
    }


@pytest.mark.usefixtures("switched")
def test_revenue_of_cycles_is_what_each_costs_as_a_whole(metrics: Metrics) -> None:
    """Until 15 March a unit costs 2, then 3: 1250 x 2 and 600 x 3, each at its cycle's start."""
    asked = query("REVENUE_FOR_CYCLE", "2024-02-15", "2024-04-01", filters={Field.ACCOUNT_ID: ["S"]})
    assert only(metrics, asked) == {"03-05": "2500", "03-15": "1800"}


@pytest.mark.usefixtures("switched")
def test_aggregation_period_does_not_cut_cycles(metrics: Metrics) -> None:
    """Cycles are their own buckets, whatever the period of the query."""
    for period in Period:
        asked = query("USAGE_FOR_CYCLE", "2024-02-15", "2024-04-01", period, filters={Field.ACCOUNT_ID: ["S"]})
        assert only(metrics, asked) == {"03-05": "1250", "03-15": "600"}


@pytest.mark.usefixtures("switched")
def test_cycles_that_have_not_begun_have_no_point(metrics: Metrics) -> None:
    """Asked on 20 March, the cycle of 1 April is not there, although the window reaches to May."""
    asked = query("USAGE_FOR_CYCLE", "2024-03-05", "2024-05-31", filters={Field.ACCOUNT_ID: ["S"]})
    assert only(metrics, asked, now=instant("2024-03-20")) == {"03-05": "1250", "03-15": "600"}


def test_cycle_without_usage_is_zero(embedded: Embedded, metrics: Metrics) -> None:
    """Account A is billed from 10 January on by calendar months; nothing was used in February."""
    use(embedded.database, "A", "2024-01-20", "7")
    assert only(metrics, query("USAGE_FOR_CYCLE", "2024-01-01", "2024-03-01")) == {"01-10": "7", "02-01": "0"}


@pytest.mark.usefixtures("switched")
def test_cycles_of_several_accounts(embedded: Embedded, metrics: Metrics) -> None:
    """By account each has its own cycles; together, cycles that begin on the same day add up."""
    use(embedded.database, "A", "2024-04-02", "11")
    asked = query("USAGE_FOR_CYCLE", "2024-03-15", "2024-04-30", group_by=Field.ACCOUNT_ID)
    assert answer(metrics, asked) == {"A": {"04-01": "11"}, "S": {"03-15": "600", "04-01": "1300"}}
    assert only(metrics, query("USAGE_FOR_CYCLE", "2024-03-15", "2024-04-30")) == {"03-15": "600", "04-01": "1311"}


def test_more_cycles_than_points_are_refused(metrics: Metrics) -> None:
    """300 monthly cycles are 25 years; A's 26th year is one point too many."""
    late = datetime(2060, 1, 1, tzinfo=UTC)
    asked = query("REVENUE_FOR_CYCLE", "2024-01-01", "2050-01-01")
    with pytest.raises(Invalid, match="more than 300 cycles"):
        metrics.answer("org", asked, now=late)
    [series] = metrics.answer("org", query("REVENUE_FOR_CYCLE", "2024-01-01", "2048-12-31"), now=late)
    assert len(series.values) == 300


# ---- usage and revenue in buckets --------------------------------------------------------------------------------


def test_usage_in_buckets_with_zeros_between(embedded: Embedded, metrics: Metrics) -> None:
    """Days without usage are zero, and weeks begin on Monday: 1 and 8 January 2024 are Mondays."""
    for day, units in (("2024-01-02T05", "1.5"), ("2024-01-02T06", "2"), ("2024-01-04", "4"), ("2024-01-08", "8")):
        use(embedded.database, "A", day, units)
    days = only(metrics, query("METER_USAGE", "2024-01-01", "2024-01-05"))
    assert days == {"01-01": "0", "01-02": "3.5", "01-03": "0", "01-04": "4"}
    weeks = only(metrics, query("USAGE", "2024-01-01", "2024-01-15", "WEEK"))
    assert weeks == {"01-01": "7.5", "01-08": "8"}


@pytest.mark.parametrize("field", [Field.USAGE_METER_ID, Field.BILLABLE_ID])
def test_meters_are_filtered_by_id_or_name(embedded: Embedded, metrics: Metrics, field: Field) -> None:
    """Meter `um.1` is called Requests; both names find it, an unknown one finds nothing."""
    use(embedded.database, "A", "2024-01-20", "7")
    use(embedded.database, "A", "2024-01-20", "100", meter_id="um.2")
    for reference, expected in (("um.1", "7"), ("Requests", "7"), ("nothing", "0")):
        asked = query("USAGE", "2024-01-20", "2024-01-21", filters={field: [reference]})
        assert only(metrics, asked) == {"01-20": expected}
    grouped = query("USAGE", "2024-01-20", "2024-01-21", group_by=field)
    assert answer(metrics, grouped) == {"um.1": {"01-20": "7"}, "um.2": {"01-20": "100"}}


def test_both_filters_by_meter_must_be_met(embedded: Embedded, metrics: Metrics) -> None:
    """USAGE_METER_ID and BILLABLE_ID are two filters, not one."""
    use(embedded.database, "A", "2024-01-20", "7")
    filters = {Field.USAGE_METER_ID: ["um.1"], Field.BILLABLE_ID: ["um.2"]}
    assert only(metrics, query("USAGE", "2024-01-20", "2024-01-21", filters=filters)) == {"01-20": "0"}


def test_quantities_are_made_for_each_account_and_bucket(embedded: Embedded, metrics: Metrics) -> None:
    """A MAX meter: A has 5 and 9 on one day and 4 on the next, B has 2: day by day 9 + 2 and 4, and 9 + 2 together."""
    with embedded.database.write() as connection:
        meter = UsageMeter(
            meter_id="um.max", version=1, name="Peak", status=MeterStatus.ACTIVE, aggregation=Aggregation.MAX
        )
        schemas.add_usage_meter(connection, "org", meter, now=NOW)
    for account_id, day, units in (
        ("A", "2024-01-20T01", "5"),
        ("A", "2024-01-20T02", "9"),
        ("A", "2024-01-21", "4"),
        ("B", "2024-01-20", "2"),
    ):
        use(embedded.database, account_id, day, units, meter_id="um.max")
        remember(embedded, account_id, day, f"P001{units}")
    assert only(metrics, query("USAGE", "2024-01-20", "2024-01-22")) == {"01-20": "11", "01-21": "4"}
    assert only(metrics, query("USAGE", "2024-01-20", "2024-01-22", "MONTH")) == {"01-20": "11"}


def remember(embedded: Embedded, account_id: str, day: str, value: str) -> None:
    """Keep a value of the MAX meter, as metering would."""
    hour = int(instant(day).timestamp()) // 3600
    with embedded.database.write() as connection:
        connection.execute(
            tables.usage_value.insert().values(
                organisation_id="org",
                account_id=account_id,
                meter_id="um.max",
                event_hour=hour,
                value=value,
                event_count=1,
            )
        )


def test_revenue_of_buckets_adds_up_to_that_of_the_cycle(embedded: Embedded, metrics: Metrics) -> None:
    """100 units at 2 and 50 at 1 are 250, of which the first day brought 160 and the second 40 + 50."""
    use(embedded.database, "A", "2024-02-03", "80")
    use(embedded.database, "A", "2024-02-04", "70")
    days = only(metrics, query("REVENUE", "2024-02-03", "2024-02-05", in_invoice_currency=True))
    assert days == {"02-03": "160", "02-04": "90"}
    assert only(metrics, query("REVENUE_FOR_CYCLE", "2024-02-01", "2024-02-02")) == {"02-01": "250"}


def test_revenue_in_several_currencies_is_not_added_up(embedded: Embedded, metrics: Metrics) -> None:
    """With an account billed in EUR beside A in USD, revenue must be asked for by account."""
    card = usage_card(SlabSample("0", "5"), currencies=("EUR",))
    in_euro = price_plan(card, currencies=("EUR",), plan_id="pp.eur", name="E")
    with embedded.database.write() as connection:
        plans.add_price_plan(connection, "org", in_euro, now=NOW)
        add_account(connection, "E", plan=in_euro)
        connection.exec_driver_sql(
            "UPDATE account SET definition = replace(definition, '\"USD\"', '\"EUR\"') WHERE account_id = 'E'"
        )
    for name in ("REVENUE", "REVENUE_FOR_CYCLE"):
        window = (name, "2024-02-01", "2024-02-02")
        with pytest.raises(Invalid, match="CURRENCY"):
            metrics.answer("org", query(*window), now=MUCH_LATER)
        with pytest.raises(Invalid, match="several currencies"):
            metrics.answer("org", query(*window, in_invoice_currency=True), now=MUCH_LATER)
        by_account = query(*window, in_invoice_currency=True, group_by=Field.ACCOUNT_ID)
        assert set(answer(metrics, by_account)) == {"A", "E"}


def test_other_organisations_see_nothing(embedded: Embedded, metrics: Metrics) -> None:
    """The same query of another organisation has zeros, or no cycle."""
    use(embedded.database, "A", "2024-01-20", "7")
    filters = {Field.ACCOUNT_ID: ["A"]}
    [usage] = metrics.answer("other", query("USAGE", "2024-01-20", "2024-01-21", filters=filters), now=MUCH_LATER)
    assert points(usage) == {"01-20": "0"}
    asked = query("USAGE_FOR_CYCLE", "2024-01-01", "2024-02-01", filters=filters)
    [cycles] = metrics.answer("other", asked, now=MUCH_LATER)
    assert points(cycles) == {}


# ---- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"name": "EVENTS", "filters": {Field.USAGE_METER_ID: ["m"]}}, "cannot be filtered by USAGE_METER_ID"),
        ({"name": "EVENTS", "filters": {Field.RAW_EVENT_STATUS: ["REVERTED"]}}, "cannot be filtered by RAW_EVENT"),
        ({"name": "EVENTS", "filters": {Field.EVENT_STATUS: ["DONE"]}}, "'DONE' is not an event status"),
        ({"name": "EVENTS", "filters": {Field.SCHEMA_NAME: ["a", "b"]}}, "one SCHEMA_NAME"),
        ({"name": "EVENTS", "group_by": Field.BILLABLE_ID}, "cannot be grouped by BILLABLE_ID"),
        ({"name": "USAGE", "group_by": Field.SCHEMA_NAME}, "cannot be grouped by SCHEMA_NAME"),
        ({"name": "USAGE", "group_by": Field.ORGANIZATION_ID}, "cannot be grouped by ORGANIZATION_ID"),
        ({"name": "REVENUE_FOR_CYCLE", "filters": {Field.EVENT_STATUS: ["PROCESSED"]}}, "cannot be filtered by EVENT"),
        ({"name": "USAGE", "filters": {Field.ORGANIZATION_ID: ["other"]}}, "organisation of the credential"),
        ({"name": "USAGE", "end": "2024-01-20"}, "endTime"),
        ({"name": "USAGE", "period": "HOUR", "end": "2024-02-01T13"}, "more than 300 points"),
        ({"name": "USAGE_FOR_CYCLE", "filters": {Field.ACCOUNT_ID: [str(n) for n in range(1001)]}}, "1000 accounts"),
    ],
)
def test_what_cannot_be_answered_is_refused(metrics: Metrics, more: dict[str, Any], message: str) -> None:
    """Fields that do not belong to a metric, unknown statuses, other organisations, and more than the limits."""
    whole = {"start": "2024-01-20", "end": "2024-01-25", **more}
    with pytest.raises(Invalid, match=message):
        metrics.answer("org", query(**whole), now=MUCH_LATER)


def test_300_points_are_not_too_many(metrics: Metrics) -> None:
    """Twelve and a half days by the hour are 300 points exactly."""
    assert (
        len(metrics.answer("org", query("USAGE", "2024-01-20", "2024-02-01T12", "HOUR"), now=MUCH_LATER)[0].values)
        == 300
    )


# ---- events ------------------------------------------------------------------------------------------------------


def test_events_by_status_with_those_in_progress(embedded: Embedded, metrics: Metrics) -> None:
    """One metered, one of an unknown account, and two that wait: the groups are counted apart, IN_PROGRESS if asked."""
    with embedded.caller() as client:
        for path, body in (("/customers", customer()), ("/accounts", account()), ("/event_schema", schema())):
            assert client.post(path, json=body).status_code in (200, 201)
    embedded.send(event("e1"), event("e2", accountId="nobody"))
    embedded.meter()
    embedded.send(event("e3"), event("e4", timestamp="2024-01-16T00:00:00"))
    window = ("EVENTS", "2024-01-15", "2024-01-17")
    assert only(metrics, query(*window)) == {"01-15": "2", "01-16": "0"}
    every = {Field.EVENT_STATUS: ["PROCESSED", "UNPROCESSED", "IN_PROGRESS"]}
    assert only(metrics, query(*window, filters=every)) == {"01-15": "3", "01-16": "1"}
    waiting = query(*window, filters={Field.EVENT_STATUS: ["INGESTION_IN_PROGRESS"]}, group_by=Field.RAW_EVENT_STATUS)
    assert answer(metrics, waiting) == {"INGESTION_IN_PROGRESS": {"01-15": "1", "01-16": "1"}}
    assert sum(Decimal(value) for value in only(metrics, query(*window, filters=every)).values()) == 4
