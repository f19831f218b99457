"""Credits on invoices over a real database: used once, held by drafts, sold by plans, given back for licences."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from billing_samples import PLAN, add_account, add_catalogue, by_account, use
from crashing import Crash, crashing_at
from credit_samples import credit, grant_card, terms
from price_plan_samples import NOW, SlabSample, licence_card, price_plan, usage_card
from sqlalchemy import event

from tallybook.core.add_on import AddOn, AddOnType
from tallybook.core.credit import CreditBalance, CreditTerms
from tallybook.core.decimals import plain_text
from tallybook.core.invoice import Invoice, InvoiceStatus
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.core.rate_card import CreditExpiry, RateCard, RefundMode
from tallybook.flows import hold_credits
from tallybook.flows.bill import Billing
from tallybook.flows.change_invoice_status import change_status
from tallybook.flows.define_credits import void_credit
from tallybook.flows.update_licences import update_licence
from tallybook.storage import add_ons, credits, ledger, plans
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.ledger import InvoiceFilter

STATEMENTS_MAX = 200


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        for add_on_id, kind in (("add_on.1", AddOnType.LICENSE), ("add_on.c", AddOnType.CREDIT_GRANT)):
            add_ons.add_add_on(connection, "org", AddOn(add_on_id=add_on_id, name=add_on_id, type=kind), now=NOW)
    yield opened
    opened.close()


@pytest.fixture
def billing(database: Database) -> Billing:
    return Billing(database)


def instant(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def grant(database: Database, credit_id: str, granted: CreditTerms, *, account_id: str = "A") -> None:
    with database.write() as connection:
        credits.grant(connection, "org", credit(credit_id, granted, account_id=account_id))


def close(billing: Billing, day: str) -> int:
    report = billing.close_due_cycles(as_of=instant(day), metered_through=instant(day))
    assert report.refused == ()
    return report.finalised


def issued(database: Database, account_id: str = "A") -> list[Invoice]:
    with database.read() as connection:
        found = by_account(ledger.invoices(connection, "org", InvoiceFilter(account_id=account_id)))
    return sorted(found, key=lambda invoice: (invoice.start_date, invoice.invoice_type.value))


def totals(database: Database, account_id: str = "A") -> list[tuple[str, str, str]]:
    return [
        (invoice.invoice_type.value, str(invoice.start_date), str(invoice.total))
        for invoice in issued(database, account_id)
    ]


def left(database: Database, account_id: str = "A") -> dict[str, str]:
    with database.read() as connection:
        found = credits.unspent_credits(connection, "org", [account_id])
    return {each.purpose: plain_text(each.left) for each in found.get(account_id, ())}


def entries(database: Database, credit_id: str) -> list[tuple[str, str]]:
    with database.read() as connection:
        return [
            (entry.entry_type.value, str(entry.amount)) for entry in credits.entries_of(connection, "org", credit_id)
        ]


def balance(database: Database, day: str, account_id: str = "A") -> tuple[str, ...]:
    with database.read() as connection:
        _, found = hold_credits.balance(connection, "org", account_id, now=instant(day))
    assert isinstance(found, CreditBalance)
    return tuple(str(amount) for amount in (found.active, found.available, found.running, found.inapplicable))


# ---- using credits -----------------------------------------------------------------------------------------------


def test_an_invoice_uses_a_credit_when_it_is_issued(database: Database, billing: Billing) -> None:
    """Usage of 250 less a credit of 50: 200 are due; another run, whatever is used since, takes nothing more."""
    grant(database, "X", terms("50"))
    use(database, "A", "2024-01-20", "150")
    close(billing, "2024-02-03")
    [invoice] = issued(database)
    assert (invoice.total, invoice.gross.amount.amount, invoice.status) == (200, 250, InvoiceStatus.DUE)
    assert [(use.credit_id, use.amount) for use in invoice.credits_used] == [("X", 50)]
    assert close(billing, "2024-02-03") == 0
    assert entries(database, "X") == [("CREDITED", "50"), ("DEBITED", "50")]
    assert left(database) == {}


def test_what_is_paid_by_credits_alone_is_paid(database: Database, billing: Billing) -> None:
    """Zero is paid at once, and the rest of the credit is left."""
    grant(database, "X", terms("1000"))
    use(database, "A", "2024-01-20", "150")
    close(billing, "2024-02-03")
    assert [(invoice.total, invoice.status) for invoice in issued(database)] == [(0, InvoiceStatus.PAID)]
    assert left(database) == {"Welcome": "750"}


def test_a_credit_whose_days_are_over_pays_for_those_days(database: Database, billing: Billing) -> None:
    """It ended on 15 January, and January's invoice is of 3 February; February's finds nothing."""
    grant(database, "X", terms("300", until=date(2024, 1, 15)))
    use(database, "A", "2024-01-20", "150")
    use(database, "A", "2024-02-20", "10")
    close(billing, "2024-03-03")
    assert totals(database) == [("STANDARD", "2024-01-10", "0.00"), ("STANDARD", "2024-02-01", "20.00")]


def test_several_cycles_at_once_use_what_the_earlier_leave(database: Database, billing: Billing) -> None:
    """80 and 80 are charged, and 100 credited: 80 and 20."""
    grant(database, "X", terms("100"))
    use(database, "A", "2024-01-20", "40")
    use(database, "A", "2024-02-20", "40")
    close(billing, "2024-03-03")
    assert totals(database) == [("STANDARD", "2024-01-10", "0.00"), ("STANDARD", "2024-02-01", "60.00")]
    assert entries(database, "X") == [("CREDITED", "100"), ("DEBITED", "80"), ("DEBITED", "20")]


def test_credits_of_others_are_not_used(database: Database, billing: Billing) -> None:
    """Of another account, and of an account of the same name elsewhere."""
    with database.write() as connection:
        add_account(connection, "B")
        credits.grant(connection, "umbrella", credit("X", terms("50")))
    grant(database, "X", terms("50"), account_id="B")
    use(database, "A", "2024-01-20", "150")
    close(billing, "2024-02-03")
    assert totals(database) == [("STANDARD", "2024-01-10", "250.00")]
    assert left(database, "B") == {"Welcome": "50"}


def test_a_credit_that_was_voided_before_is_not_used(database: Database, billing: Billing) -> None:
    grant(database, "X", terms("50"))
    use(database, "A", "2024-01-20", "150")
    void_credit(database, "org", "X", now=instant("2024-02-02"))
    close(billing, "2024-02-03")
    assert totals(database) == [("STANDARD", "2024-01-10", "250.00")]


def test_credits_of_an_invoice_that_is_voided_come_back(database: Database, billing: Billing) -> None:
    """Once, and February's invoice may use them."""
    grant(database, "X", terms("50"))
    use(database, "A", "2024-01-20", "150")
    close(billing, "2024-02-03")
    [invoice] = issued(database)
    for _ in range(2):
        change_status(
            database, "org", invoice.invoice_id, InvoiceStatus.VOID, changed_by="k", now=instant("2024-02-04")
        )
    assert entries(database, "X") == [("CREDITED", "50"), ("DEBITED", "50"), ("CREDITED", "50")]
    use(database, "A", "2024-02-20", "10")
    close(billing, "2024-03-03")
    assert left(database) == {"Welcome": "30"}


def test_parallel_bill_runs_use_a_credit_once(database: Database) -> None:
    """Whoever comes first."""
    grant(database, "X", terms("50"))
    use(database, "A", "2024-01-20", "150")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: close(Billing(database), "2024-02-03"), range(4)))
    assert sum(done) == 1
    assert entries(database, "X") == [("CREDITED", "50"), ("DEBITED", "50")]


def test_dying_at_any_statement_leaves_all_or_nothing(database: Database, billing: Billing) -> None:
    """The invoice with what it uses and sells, or neither."""
    bill_by(database, grant_card("1000", "0.9"))
    grant(database, "X", terms("50"), account_id="G")
    use(database, "G", "2024-01-20", "30")
    for statement in range(1, STATEMENTS_MAX):
        try:
            with crashing_at(database, statement):
                close(billing, "2024-02-03")
        except Crash:
            done = (len(issued(database, "G")), left(database, "G"))
            assert done in ((0, {"Welcome": "50"}), (1, {"Credit pack": "1000"})), f"at {statement}"
        else:
            break
    assert statement > 5, "it has more statements than that"
    close(billing, "2024-02-03")
    assert totals(database, "G") == [("STANDARD", "2024-01-01", "910.00")]
    assert left(database, "G") == {"Credit pack": "1000"}


# ---- holds -------------------------------------------------------------------------------------------------------


def test_the_balance_of_the_contract(database: Database, billing: Billing) -> None:
    """Contract 3.10 [D]: one credit 1000, consumed 300, hold 200: active 1000, available 700, running 500."""
    grant(database, "X", terms("1000"))
    use(database, "A", "2024-01-20", "200")  # 100 × 2 + 100 × 1
    use(database, "A", "2024-02-20", "100")  # 100 × 2
    close(billing, "2024-02-03")
    assert balance(database, "2024-02-21") == ("1000", "700", "500", "0")
    with database.read() as connection:
        assert hold_credits.holds_of(connection, "org", ["A"], now=instant("2024-02-21")) == {"X": 200}


def test_drafts_hold_in_their_order(database: Database, billing: Billing) -> None:
    """January waits for its grace and holds 80 of 100; February shows the other 20; nothing is written."""
    grant(database, "X", terms("100"))
    use(database, "A", "2024-01-20", "40")
    use(database, "A", "2024-02-01", "40")
    drafts = billing.invoices_of("org", limit=10, now=instant("2024-02-02"))
    assert {str(draft.start_date): str(draft.total) for draft in drafts} == {
        "2024-01-10": "0.00",
        "2024-02-01": "60.00",
    }
    assert balance(database, "2024-02-02") == ("100", "100", "0", "0")
    assert entries(database, "X") == [("CREDITED", "100")]


def test_what_the_running_draft_cannot_use_is_inapplicable(database: Database) -> None:
    """Credits for later days, and for something that the plan does not charge."""
    grant(database, "X", terms("1"))
    grant(database, "later", terms("20", start=date(2024, 3, 1)))
    grant(database, "other", terms("300", only="um.other"))
    grant(database, "meter", terms("4000", only="um.1"))
    assert balance(database, "2024-02-10") == ("4321", "4321", "4321", "320")


# ---- credit that is sold -----------------------------------------------------------------------------------------


def bill_by(database: Database, *cards: RateCard, account_id: str = "G", start: date = date(2024, 1, 1)) -> None:
    """Bill the account by these cards, and by 2 for each of the meter's units."""
    plan = price_plan(usage_card(SlabSample("0", "2")), *cards, plan_id="pp.g", name="G", cycle=PLAN.cycle)
    with database.write() as connection:
        plans.add_price_plan(connection, "org", plan, now=NOW)
        add_account(connection, account_id, plan=plan, start=start)


def test_credit_is_granted_with_the_invoice_that_sells_it(database: Database, billing: Billing) -> None:
    """In arrears: January charges usage of 60 and credit for 900; February's usage of 60 is paid by it."""
    bill_by(database, grant_card("1000", "0.9"))
    use(database, "G", "2024-01-20", "30")
    use(database, "G", "2024-02-20", "30")
    assert left(database, "G") == {}
    close(billing, "2024-02-03")
    assert left(database, "G") == {"Credit pack": "1000"}
    close(billing, "2024-03-03")
    assert totals(database, "G") == [("STANDARD", "2024-01-01", "960.00"), ("STANDARD", "2024-02-01", "900.00")]
    with database.read() as connection:
        held = list(credits.credits_of(connection, "org", "G"))
    assert [(str(each.credit.terms.effective_from), str(each.left)) for each in held] == [
        ("2024-02-01", "940"),
        ("2024-03-01", "1000"),
    ]
    assert held[0].credit.sold_by == issued(database, "G")[0].invoice_id


def test_credit_in_advance_is_there_for_the_first_cycle(database: Database, billing: Billing) -> None:
    """Sold when the plan begins; it ends with the month, and each month's invoice sells the next month's."""
    bill_by(database, grant_card("50", "1", advance=True, expiry=CreditExpiry.PRICING_CYCLE))
    use(database, "G", "2024-01-20", "30")
    assert close(billing, "2024-01-01") == 1
    assert left(database, "G") == {"Credit pack": "50"}
    close(billing, "2024-02-03")
    assert totals(database, "G") == [
        ("STANDARD", "2024-01-01", "60.00"),  # 60 − 50 + 50 for February
        ("STANDARD_ADVANCED", "2024-01-01", "50.00"),
    ]
    with database.read() as connection:
        held = [each.credit.terms for each in credits.credits_of(connection, "org", "G")]
    assert [(str(each.effective_from), str(each.effective_until)) for each in held] == [
        ("2024-01-01", "2024-02-01"),
        ("2024-02-01", "2024-03-01"),
    ]


def test_credit_for_nothing_is_granted_all_the_same(database: Database, billing: Billing) -> None:
    """Free each month: an invoice of 0 when the plan begins, once; then a line of 0."""
    bill_by(database, grant_card("50", "0", advance=True, expiry=CreditExpiry.PRICING_CYCLE))
    use(database, "G", "2024-01-20", "30")
    assert close(billing, "2024-01-01") == 1
    assert close(billing, "2024-01-02") == 0
    close(billing, "2024-03-03")
    assert totals(database, "G") == [
        ("STANDARD", "2024-01-01", "10.00"),
        ("STANDARD_ADVANCED", "2024-01-01", "0.00"),
        ("STANDARD", "2024-02-01", "0.00"),
    ]
    with database.read() as connection:
        held = [str(each.left) for each in credits.credits_of(connection, "org", "G")]
    assert held == ["0", "50", "50"]  # January's was used, February's was not


def test_bought_credit_pays_for_no_credit(database: Database, billing: Billing) -> None:
    """Contract 3.10: 1000 are left, and February's pack of 900 is due all the same."""
    bill_by(database, grant_card("1000", "0.9"))
    close(billing, "2024-03-03")
    assert totals(database, "G") == [("STANDARD", "2024-01-01", "900.00"), ("STANDARD", "2024-02-01", "900.00")]


def test_voiding_the_invoice_takes_back_what_it_sold(database: Database, billing: Billing) -> None:
    bill_by(database, grant_card("1000", "0.9"))
    close(billing, "2024-02-03")
    [invoice] = issued(database, "G")
    change_status(database, "org", invoice.invoice_id, InvoiceStatus.VOID, changed_by="k", now=instant("2024-02-04"))
    assert left(database, "G") == {}


# ---- credit that is given back -----------------------------------------------------------------------------------


def hold_licences(database: Database, effective_from: str, quantity: str) -> None:
    update = LicenceUpdate(
        add_on_id="add_on.1",
        account_id="G",
        update_type=LicenceUpdateType.RELATIVE,
        quantity=Decimal(quantity),
        effective_from=instant(effective_from),
        created_at=instant(effective_from),
    )
    update_licence(database, "org", update)


def test_the_contracts_seats_give_a_credit_back(database: Database, billing: Billing) -> None:
    """Contract 3.6 [D]: 300 in advance, 30 for two more, two given up with 5 of 30 days left: 10 credited."""
    card = licence_card(SlabSample("0", "30"), advance=True, prorated=True, display_name="Seat")
    bill_by(database, card, start=date(2023, 11, 1))
    hold_licences(database, "2023-10-01", "10")
    close(billing, "2023-11-01")
    hold_licences(database, "2023-11-16", "2")
    close(billing, "2023-11-16")
    hold_licences(database, "2023-11-26", "-2")
    close(billing, "2023-12-03")
    assert totals(database, "G") == [
        ("STANDARD", "2023-11-01", "300.00"),  # December's
        ("STANDARD_ADVANCED", "2023-11-01", "300.00"),
        ("ADHOC_ADVANCED", "2023-11-16", "30.00"),
    ]
    assert left(database, "G") == {"Given back: Seat, 1 November 2023 to 30 November 2023": "10"}
    use(database, "G", "2023-12-20", "3")
    close(billing, "2024-01-03")
    assert totals(database, "G")[-1] == ("STANDARD", "2023-12-01", "296.00")  # 6 + January's 300 − 10


def test_without_refund_nothing_comes_back(database: Database, billing: Billing) -> None:
    """NONE: a day counts with the most held up to it."""
    card = licence_card(SlabSample("0", "30"), advance=True, prorated=True, refund=RefundMode.NONE)
    bill_by(database, card, start=date(2023, 11, 1))
    hold_licences(database, "2023-10-01", "10")
    close(billing, "2023-11-01")
    hold_licences(database, "2023-11-16", "-5")
    close(billing, "2023-12-03")
    assert left(database, "G") == {}


def test_what_was_given_back_stays_when_the_invoice_is_voided(database: Database, billing: Billing) -> None:
    """It was paid for on another one."""
    card = licence_card(SlabSample("0", "30"), advance=True, prorated=True, display_name="Seat")
    bill_by(database, card, start=date(2023, 11, 1))
    hold_licences(database, "2023-10-01", "10")
    close(billing, "2023-11-01")
    hold_licences(database, "2023-11-16", "-5")
    close(billing, "2023-12-03")
    invoice = next(each for each in issued(database, "G") if each.invoice_type.value == "STANDARD")
    change_status(database, "org", invoice.invoice_id, InvoiceStatus.VOID, changed_by="k", now=instant("2023-12-04"))
    assert left(database, "G") == {"Given back: Seat, 1 November 2023 to 30 November 2023": "75"}  # 5 × 30 × 15 ÷ 30


def test_cycles_of_other_days_are_not_drawn_up_for_a_credit(database: Database, billing: Billing) -> None:
    """A credit of March says nothing of 600 open months before: they are not even looked at."""
    bill_by(database, start=date(1974, 1, 1))
    use(database, "G", "2024-03-20", "30")
    grant(database, "X", terms("50", start=date(2024, 3, 1)), account_id="G")
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    event.listen(database.engine, "before_cursor_execute", count)
    assert balance(database, "2024-03-21", "G") == ("50", "50", "0", "0")
    assert statements < 50


def test_stored_inputs_give_the_same_invoices(database: Database, billing: Billing) -> None:
    """With credits used, sold and given back: lines, uses and grants, to the digit."""
    seats = licence_card(SlabSample("0", "31"), advance=True, prorated=True, display_name="Seat")
    bill_by(database, seats, grant_card("100", "0.9"), start=date(2023, 11, 1))
    grant(database, "X", terms("0.123456789", start=date(2023, 1, 1)), account_id="G")
    hold_licences(database, "2023-10-01", "10")
    close(billing, "2023-11-01")
    hold_licences(database, "2023-11-17", "-3")
    use(database, "G", "2023-11-20", "7")
    use(database, "G", "2023-12-20", "7")
    close(billing, "2024-01-03")
    with database.read() as connection:
        plan = plans.price_plan(connection, "org", "pp.g", 1)
        assert plan is not None
        found = list(ledger.invoices(connection, "org", InvoiceFilter(account_id="G")))
        for invoice in found:
            inputs = ledger.inputs(connection, "org", invoice.invoice_id)
            assert inputs is not None
            again = invoice_of(inputs, {("pp.g", 1): plan}, computed_at=invoice.computed_at)
            assert again is not None
            assert (again.revenue, again.credits_used, again.credits_granted, again.advance) == (
                invoice.revenue,
                invoice.credits_used,
                invoice.credits_granted,
                invoice.advance,
            )
    assert len(found) == 3
    assert any(invoice.credits_used for invoice in found)
    assert {each.sold for invoice in found for each in invoice.credits_granted} == {True, False}
