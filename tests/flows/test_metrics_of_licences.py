"""Revenue of licences as figures over time, over a real database."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from billing_samples import add_account, add_catalogue, use
from embedded import Embedded
from price_plan_samples import NOW, SlabSample, fixed_fee, licence_card, monthly, price_plan, usage_card

from tallybook.core.add_on import AddOn, AddOnType
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.core.metric import Field, MetricName, Period, Query
from tallybook.flows.bill import Billing
from tallybook.flows.metrics import Metrics
from tallybook.flows.update_licences import update_licence
from tallybook.storage import add_ons, plans

SEAT_CARD = licence_card(SlabSample("0", "30"), advance=True, prorated=True)
PLAN = price_plan(
    SEAT_CARD,
    usage_card(SlabSample("0", "2")),
    fixed_fee("90", add_on_id="add_on.fee"),
    plan_id="pp.seats",
    name="Seats",
    cycle=monthly("1", grace_days=2),
)
DEFERRED = price_plan(
    licence_card(SlabSample("0", "30"), prorated=True),
    plan_id="pp.deferred",
    name="Deferred",
    cycle=monthly("1", grace_days=2),
)
DEFERRED = msgspec.structs.replace(DEFERRED, deferred_revenue=True)
YEAR_END = datetime(2023, 12, 31, tzinfo=UTC)
HELD = (("2023-11-01", "10"), ("2023-11-16", "2"), ("2023-11-26", "-2"))


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    """Account L holds the contract's seats at 30 each and used 7 units at 2 on 3 November; a fee of 90 is charged."""
    opened = Embedded(tmp_path)
    with opened.database.write() as connection:
        add_catalogue(connection)
        for add_on_id, name in (("add_on.1", "Seat"), ("add_on.2", "Desk")):
            add_ons.add_add_on(
                connection, "org", AddOn(add_on_id=add_on_id, name=name, type=AddOnType.LICENSE), now=NOW
            )
        plans.add_price_plan(connection, "org", PLAN, now=NOW)
        plans.add_price_plan(connection, "org", DEFERRED, now=NOW)
        add_account(connection, "L", plan=PLAN, start=date(2023, 11, 1))
        add_account(connection, "D", plan=DEFERRED, start=date(2023, 11, 1))
    for effective_from, quantity in HELD:
        hold(opened, "L", effective_from, quantity)
    use(opened.database, "L", "2023-11-03", "7")
    yield opened
    opened.close()


def hold(embedded: Embedded, account_id: str, effective_from: str, quantity: str) -> None:
    instant = datetime.fromisoformat(effective_from).replace(tzinfo=UTC)
    update = LicenceUpdate(
        add_on_id="add_on.1",
        account_id=account_id,
        update_type=LicenceUpdateType.RELATIVE,
        quantity=Decimal(quantity),
        effective_from=instant,
        created_at=instant,
    )
    update_licence(embedded.database, "org", update)


def figures(
    embedded: Embedded,
    name: str = "REVENUE",
    *,
    end: str = "2023-12-01",
    now: datetime = YEAR_END,
    organisation_id: str = "org",
    account_id: str = "L",
    group_by: Field | None = None,
    only: str | None = None,
    by: Field = Field.BILLABLE_ID,
) -> dict[str | None, dict[str, Decimal]]:
    """The figures of the account, or `only` of an item, from November on that are not zero, by group and day."""
    asked = Query(
        name=MetricName(name),
        start=datetime(2023, 11, 1, tzinfo=UTC),
        end=datetime.fromisoformat(end).replace(tzinfo=UTC),
        period=Period.DAY,
        group_by=group_by,
        filters={Field.ACCOUNT_ID: [account_id], **({} if only is None else {by: [only]})},
    )
    metrics = Metrics(embedded.database, embedded.events, Billing(embedded.database))
    return {
        series.group: {
            f"{start:%m-%d}": value for start, value in zip(series.starts, series.values, strict=True) if value
        }
        for series in metrics.answer(organisation_id, asked, now=now)
    }


SEATS = {"11-01": 300, "11-16": 60, "11-26": -60}


def test_the_contracts_seats_are_booked_on_three_days(embedded: Embedded) -> None:
    """Contract 3.6: 10 × 30, 2 × 30 and −2 × 30, although the invoice charges 30 and gives 10 back; usage is 7 × 2."""
    assert figures(embedded) == {None: {**SEATS, "11-03": 14}}
    by_item = {"add_on.1": SEATS, "um.1": {"11-03": 14}}
    assert figures(embedded, group_by=Field.BILLABLE_ID) == by_item
    assert figures(embedded, group_by=Field.USAGE_METER_ID) == by_item


@pytest.mark.parametrize("field", [Field.BILLABLE_ID, Field.USAGE_METER_ID])
def test_the_add_on_is_the_billable_item(embedded: Embedded, field: Field) -> None:
    """By id or by name; another add-on, and the fee's, have nothing."""
    found: list[tuple[str, Any]] = [
        ("add_on.1", SEATS),
        ("Seat", SEATS),
        ("um.1", {"11-03": 14}),
        ("add_on.2", {}),
        ("add_on.fee", {}),
    ]
    for reference, expected in found:
        assert figures(embedded, only=reference, by=field) == {None: expected}
    assert figures(embedded, "USAGE", only="Seat", by=field) == {None: {}}


def test_a_cycle_is_what_was_booked_in_it(embedded: Embedded) -> None:
    """November: 300 + 60 − 60; December begins with ten seats: 300."""
    by_item = figures(embedded, "REVENUE_FOR_CYCLE", end="2024-01-01", group_by=Field.BILLABLE_ID)
    assert by_item == {"add_on.1": {"11-01": 300, "12-01": 300}, "um.1": {"11-01": 14}}
    assert figures(embedded, "REVENUE_FOR_CYCLE", end="2024-01-01", only="Seat") == {None: {"11-01": 300, "12-01": 300}}


def test_what_is_yet_to_come_is_not_booked(embedded: Embedded) -> None:
    """On 20 November, neither the decrease of the 26th nor the cycle of December."""
    now = datetime(2023, 11, 20, tzinfo=UTC)
    assert figures(embedded, end="2023-12-31", now=now, only="add_on.1") == {None: {"11-01": 300, "11-16": 60}}
    by_cycle = figures(embedded, "REVENUE_FOR_CYCLE", end="2023-12-31", now=now, only="add_on.1")
    assert by_cycle == {None: {"11-01": 360}}


def test_deferred_revenue_of_licences_shows_when_it_is_invoiced(embedded: Embedded) -> None:
    """Nothing before November is invoiced; then all of it on its days."""
    for effective_from, quantity in HELD:
        hold(embedded, "D", effective_from, quantity)
    assert figures(embedded, account_id="D") == {None: {}}
    as_of = datetime(2023, 12, 3, tzinfo=UTC)
    Billing(embedded.database).close_due_cycles(as_of=as_of, metered_through=as_of)
    assert figures(embedded, account_id="D") == {None: SEATS}


def test_other_organisations_have_nothing(embedded: Embedded) -> None:
    """Neither by the account nor by the name of the add-on."""
    assert figures(embedded, organisation_id="other") == {None: {}}
    assert figures(embedded, organisation_id="other", only="Seat") == {None: {}}
