"""Meters that do more than add up, from the event to the figure: expected values by hand."""

from collections.abc import Iterator
from decimal import Decimal

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.aggregation import Aggregation, quantity_of
from tallybook.core.correction import CorrectionAction
from tallybook.core.credential import Scope
from tallybook.core.ingestion_status import IngestionStatus as S
from tallybook.core.instant import EPOCH
from tallybook.storage.tables import usage_value
from tallybook.storage.usage import rows_by_meter

END = EPOCH.replace(year=2030)
CITY = {"computation": '{"var":"dimensions.city"}', "order": 1}


@pytest.fixture
def catalogue(embedded: Embedded) -> Iterator[Caller]:
    """Schema `rides` with a meter of every aggregation, named after it; accounts `a1` and `a2`."""
    with embedded.caller() as client:
        caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        caller.post("/event_schema", samples.schema())
        caller.post("/event_schema/rides/activate")
        for aggregation in Aggregation:
            changes = {"computations": [CITY]} if aggregation is Aggregation.DISTINCT_COUNT else {}
            if aggregation is Aggregation.COUNT:
                changes = {"computations": []}
            add_meter(caller, aggregation.value, aggregation=aggregation.value, **changes)
        caller.post("/customers", samples.customer())
        for account_id in ("a1", "a2"):
            caller.post("/accounts", samples.account(account_id))
        yield caller


def add_meter(caller: Caller, name: str, **changes: object) -> str:
    meter_id: str = caller.post("/usage_meters", samples.meter(name, **changes))["id"]
    caller.post(f"/usage_meters/{meter_id}/activate")
    return meter_id


def quantities(embedded: Embedded, caller: Caller, account_id: str = "a1") -> dict[str, Decimal]:
    """The quantity of each meter over all time, by the meter's name."""
    names = {each["id"]: each["name"] for each in caller.get("/usage_meters")["data"]}
    rows = rows_by_meter(embedded.store.rows(ORGANISATION, account_id, start=EPOCH, end=END))
    return {name: quantity_of(Aggregation(name), rows.get(meter_id, ())) for meter_id, name in names.items()}


def three_rides(embedded: Embedded) -> None:
    """The last one happened first; two are in one city and one hour."""
    embedded.send(
        event("e1", attributes=distance("5"), timestamp="2024-01-15T07:30:00"),
        event("e2", attributes=distance("-2.5"), timestamp="2024-01-15T07:40:00"),
        event("e3", attributes=distance("7.0"), timestamp="2024-01-14T23:00:00", dimensions={"city": "Bergen"}),
    )
    embedded.meter()


def test_every_aggregation_of_three_rides(embedded: Embedded, catalogue: Caller) -> None:
    """5, -2.5 and 7: their sum is 9.5, a third of it 3.1666…; -2.5 happened last. Another account has none of it."""
    three_rides(embedded)
    assert quantities(embedded, catalogue) == {
        "COUNT": 3,
        "SUM": Decimal("9.5"),
        "MAX": 7,
        "MIN": Decimal("-2.5"),
        "AVERAGE": Decimal("3." + "1" + "6" * 31 + "7"),
        "LATEST": Decimal("-2.5"),
        "DISTINCT_COUNT": 2,
    }
    assert set(quantities(embedded, catalogue, "a2").values()) == {0}
    assert embedded.verified().differences == []


def test_duplicates_and_other_batches_change_nothing(embedded: Embedded, catalogue: Caller) -> None:
    """A repeat with another value is one that does not count, however it arrives."""
    three_rides(embedded)
    before = quantities(embedded, catalogue)
    embedded.send(event("e1", attributes=distance("1000")), event("e2", attributes=distance("-1000")))
    embedded.meter()
    embedded.send(event("e3", attributes=distance("9999"), timestamp="2024-02-01T00:00:00"))
    embedded.meter()
    assert [row.status for row in embedded.rows()[3:]] == [S.DUPLICATE] * 3
    assert quantities(embedded, catalogue) == before
    embedded.archive_everything()
    assert embedded.verified().differences == []


def test_what_the_interface_has_costs_no_rows_of_values(embedded: Embedded, catalogue: Caller) -> None:
    """Only MAX, MIN, LATEST and DISTINCT_COUNT keep values: three rides leave at most three values for each."""
    three_rides(embedded)
    names = {each["id"]: each["name"] for each in catalogue.get("/usage_meters")["data"]}
    with embedded.database.read() as connection:
        kept = [names[row.meter_id] for row in connection.execute(usage_value.select())]
    assert sorted(kept) == sorted(["MAX"] * 3 + ["MIN"] * 3 + ["LATEST"] * 3 + ["DISTINCT_COUNT"] * 2)


def test_verification_finds_a_value_that_no_event_left(embedded: Embedded, catalogue: Caller) -> None:
    """A value that is missing, or one too many, is a difference, as a wrong sum is."""
    three_rides(embedded)
    with embedded.database.write() as connection:
        connection.execute(usage_value.delete().where(usage_value.c.value == "~Oslo"))
    [difference] = embedded.verified().differences
    assert "~Oslo" in difference


def test_units_of_a_distinct_count_are_one_for_each_event(embedded: Embedded, catalogue: Caller) -> None:
    """The trace of an event says what it added; the text it is told apart by is in the row."""
    three_rides(embedded)
    names = {each["id"]: each["name"] for each in catalogue.get("/usage_meters")["data"]}
    made = {names[meter.meter_id]: (meter.units, meter.value) for meter in embedded.rows()[2].meters}
    assert made["DISTINCT_COUNT"] == ("1", "~Bergen")
    assert made["SUM"] == made["AVERAGE"] == ("7.0", None)
    assert made["MAX"] == made["MIN"] == ("7.0", "P0017")


def test_an_invoice_prices_the_greatest_and_not_the_sum(embedded: Embedded, catalogue: Caller) -> None:
    """7 at 0.1 is 0.70; the hours in which it was less cost nothing, and revenue by day adds up to it."""
    three_rides(embedded)
    names = {each["name"]: each["id"] for each in catalogue.get("/usage_meters")["data"]}
    plan_id = catalogue.post("/price_plans", samples.plan(names["MAX"]))["id"]
    catalogue.post(f"/price_plans/{plan_id}/activate", {"currencies": ["USD"]})
    window = {"effectiveFrom": "2024-01-01", "effectiveUntil": "2024-02-01"}
    catalogue.post("/accounts/a1/price_plans", {"mode": "ASSOCIATE", "pricePlanId": plan_id, **window})
    [invoice] = catalogue.get("/invoices", account_id="a1")["data"]
    assert invoice["totalAmount"] == 0.7
    query = {
        "id": "1",
        "name": "REVENUE",
        "aggregationPeriod": "DAY",
        "filters": [{"fieldName": "ACCOUNT_ID", "fieldValues": ["a1"]}],
    }
    body = {"startTime": "2024-01-14T00:00:00Z", "endTime": "2024-01-17T00:00:00Z", "metricQueries": [query]}
    [result] = catalogue.post("/metrics", body)["results"]
    assert result["data"][0]["metricValues"] == [0.7, 0, 0], "the greatest was reached on the first day"


def test_a_reverted_event_says_what_it_was(embedded: Embedded, catalogue: Caller) -> None:
    """Its trace keeps its meters' units and the status from before; the figures are those of the other two."""
    three_rides(embedded)
    embedded.correct(CorrectionAction.UNDO, account_id="a1", event_id="e3")
    [found] = catalogue.get("/events/e3")["events"]
    assert found["ingestionStatus"]["status"] == "REVERTED"
    assert found["eventPipelineInfo"]["statusBeforeReverting"] == S.METERED
    assert {meter["status"] for meter in found["eventPipelineInfo"]["usageMeters"]} == {"PROCESSED_UNITS_COMPUTED"}
    assert quantities(embedded, catalogue) == {
        "COUNT": 2,
        "SUM": Decimal("2.5"),
        "MAX": 5,
        "MIN": Decimal("-2.5"),
        "AVERAGE": Decimal("1.25"),
        "LATEST": Decimal("-2.5"),
        "DISTINCT_COUNT": 1,
    }
    assert embedded.verified().differences == []
