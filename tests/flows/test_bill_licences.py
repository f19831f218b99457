"""Licences over a real database: the contract's example, charged at once, settled with the cycle."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from billing_samples import add_account, add_catalogue, by_account
from price_plan_samples import NOW, SlabSample, licence_card, monthly, price_plan

from tallybook.core.add_on import AddOn, AddOnType
from tallybook.core.decimals import plain_text
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.core.rate_card import LicenceRateCard
from tallybook.flows.bill import Billing
from tallybook.flows.update_licences import edit_metadata, update_licence
from tallybook.storage import add_ons, credits, ledger, licences, plans
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.ledger import InvoiceFilter

SEAT = SlabSample("0", "30")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        add_ons.add_add_on(connection, "org", AddOn(add_on_id="add_on.1", name="Seat", type=AddOnType.LICENSE), now=NOW)
    yield opened
    opened.close()


@pytest.fixture
def billing(database: Database) -> Billing:
    return Billing(database)


def bill(database: Database, card: LicenceRateCard) -> None:
    """Bill account L by the card from November 2023 on, by the calendar's months."""
    plan = price_plan(card, plan_id="pp.seats", name="Seats", cycle=monthly("1", grace_days=2))
    with database.write() as connection:
        plans.add_price_plan(connection, "org", plan, now=NOW)
        add_account(connection, "L", plan=plan, start=date(2023, 11, 1))


def held(
    effective_from: str, quantity: str, *, absolute: bool = False, key: str | None = None, account_id: str = "L"
) -> LicenceUpdate:
    instant = datetime.fromisoformat(effective_from).replace(tzinfo=UTC)
    return LicenceUpdate(
        add_on_id="add_on.1",
        account_id=account_id,
        update_type=LicenceUpdateType.ABSOLUTE if absolute else LicenceUpdateType.RELATIVE,
        quantity=Decimal(quantity),
        effective_from=instant,
        idempotency_key=key,
        created_at=instant,
    )


def close(billing: Billing, day: str) -> int:
    as_of = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return billing.close_due_cycles(as_of=as_of, metered_through=as_of).finalised


def stored(database: Database) -> list[tuple[str, str, str]]:
    with database.read() as connection:
        found = by_account(ledger.invoices(connection, "org", InvoiceFilter(account_id="L")))
    newest_first = sorted(found, key=lambda invoice: (-invoice.start_date.toordinal(), invoice.invoice_type.value))
    return [(invoice.invoice_type.value, str(invoice.start_date), str(invoice.total)) for invoice in newest_first]


def given_back(database: Database) -> list[str]:
    """What is left of the account's credits."""
    with database.read() as connection:
        return [plain_text(each.left) for each in credits.unspent_credits(connection, "org", ["L"]).get("L", ())]


def test_the_contracts_seats_in_advance_with_proration(database: Database, billing: Billing) -> None:
    """Contract 3.6: 300 on day 1, 30 at once on day 16, 10 credited with the cycle; December's ten are 300."""
    bill(database, licence_card(SEAT, advance=True, prorated=True))
    update_licence(database, "org", held("2023-10-01", "10", absolute=True))
    close(billing, "2023-11-01")
    update_licence(database, "org", held("2023-11-16", "2"))
    close(billing, "2023-11-16T08:00")
    close(billing, "2023-11-16T09:00")
    update_licence(database, "org", held("2023-11-26", "-2"))
    close(billing, "2023-11-26")
    close(billing, "2023-12-03")
    assert stored(database) == [
        ("ADHOC_ADVANCED", "2023-11-16", "30.00"),
        ("STANDARD", "2023-11-01", "300.00"),
        ("STANDARD_ADVANCED", "2023-11-01", "300.00"),
    ]
    assert given_back(database) == ["10"]


def test_a_late_bill_run_comes_to_the_same(database: Database, billing: Billing) -> None:
    """Everything in one run after the month: 320 for November and 300 for December, as 300 + 30 + 300 − 10 above."""
    bill(database, licence_card(SEAT, advance=True, prorated=True))
    for update in (held("2023-10-01", "10"), held("2023-11-16", "2"), held("2023-11-26", "-2")):
        update_licence(database, "org", update)
    close(billing, "2023-12-03")
    assert sum(Decimal(total) for _, _, total in stored(database)) == 620


def test_without_proration_each_increase_costs_the_full_cycle(database: Database, billing: Billing) -> None:
    """Contract 3.6: 300, then 2 × 30 = 60; the decrease gives nothing back, December's ten are 300."""
    bill(database, licence_card(SEAT, advance=True))
    update_licence(database, "org", held("2023-10-01", "10"))
    close(billing, "2023-11-01")
    update_licence(database, "org", held("2023-11-16", "2"))
    close(billing, "2023-11-16")
    update_licence(database, "org", held("2023-11-26", "-2"))
    close(billing, "2023-12-03")
    assert stored(database) == [
        ("ADHOC_ADVANCED", "2023-11-16", "60.00"),
        ("STANDARD", "2023-11-01", "300.00"),
        ("STANDARD_ADVANCED", "2023-11-01", "300.00"),
    ]


def test_licences_added_in_a_later_cycle_wait_for_the_invoice_before(database: Database, billing: Billing) -> None:
    """On 2 December November has no invoice yet; on the 3rd it has, and what was added is charged beside it."""
    bill(database, licence_card(SEAT, advance=True, prorated=True))
    update_licence(database, "org", held("2023-10-01", "10"))
    close(billing, "2023-11-01")
    update_licence(database, "org", held("2023-12-02", "31"))
    assert close(billing, "2023-12-02") == 0
    assert close(billing, "2023-12-03") == 1  # with December as it is known: 10 × 30 + 31 × 30 × 30 ÷ 31 = 1200
    assert stored(database)[0] == ("STANDARD", "2023-11-01", "1200.00")
    update_licence(database, "org", held("2023-12-22", "31"))
    assert close(billing, "2023-12-22") == 1  # 31 × 30 × 10 ÷ 31
    assert stored(database)[0] == ("ADHOC_ADVANCED", "2023-12-22", "300.00")


def test_an_update_sent_again_changes_nothing(database: Database) -> None:
    """By its key; the same key with something else is refused."""
    bill(database, licence_card(SEAT))
    first = update_licence(database, "org", held("2023-11-01", "10", key="k"))
    assert update_licence(database, "org", held("2023-11-01", "10", key="k")) == first
    with pytest.raises(Conflict, match="was sent with another update"):
        update_licence(database, "org", held("2023-11-01", "11", key="k"))


def test_a_backdated_update_moves_what_is_held_after_it(database: Database) -> None:
    bill(database, licence_card(SEAT))
    update_licence(database, "org", held("2023-11-10", "5"))
    update_licence(database, "org", held("2023-11-20", "7", absolute=True))
    update_licence(database, "org", held("2023-11-05", "1"))
    with database.read() as connection:
        entries = licences.updates_of(connection, "org", "L", "add_on.1")
    assert [(str(entry.update.effective_from.date()), entry.held) for entry in entries] == [
        ("2023-11-05", 1),
        ("2023-11-10", 6),
        ("2023-11-20", 7),
    ]


def test_an_invoiced_day_keeps_what_was_held(database: Database, billing: Billing) -> None:
    bill(database, licence_card(SEAT))
    close(billing, "2023-12-03")
    with pytest.raises(Conflict, match="has an invoice for the days before 2023-12-01"):
        update_licence(database, "org", held("2023-11-30T23:00", "1"))
    update_licence(database, "org", held("2023-12-01", "1"))


def test_what_is_not_known_is_refused(database: Database) -> None:
    """An unknown account, an add-on of another organisation, less than nothing, metadata of no update."""
    bill(database, licence_card(SEAT))
    with pytest.raises(Invalid, match="accountId: no account 'B'"):
        update_licence(database, "org", held("2023-11-01", "1", account_id="B"))
    with pytest.raises(Invalid, match="no account"):
        update_licence(database, "umbrella", held("2023-11-01", "1"))
    with pytest.raises(Invalid, match="less than 0"):
        update_licence(database, "org", held("2023-11-01", "-1"))
    with pytest.raises(NotFound, match="no update of licence"):
        edit_metadata(database, "org", "L", "add_on.1", datetime(2023, 11, 1, tzinfo=UTC), {"a": "b"})
