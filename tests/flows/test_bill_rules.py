"""Pricing rules over a real database: on drafts and invoices, in advance and in arrears, and what became of each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from billing_samples import add_account, add_catalogue, use
from price_plan_samples import NOW, SlabSample, fixed_fee, licence_card, monthly, price_plan, usage_card
from pricing_rule_samples import rule, var

from tallybook.core.add_on import AddOn, AddOnStatus, AddOnType
from tallybook.core.errors import NotFound
from tallybook.core.invoice import Invoice, InvoiceLine, InvoiceStatus, InvoiceType, invoice_id_for
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_rule import PricingRule
from tallybook.core.pricing_schedule import new_schedule
from tallybook.core.ruled_cards import RuleOutcome
from tallybook.flows.bill import Billing
from tallybook.flows.explain_rules import explain_rules
from tallybook.flows.update_licences import put_update
from tallybook.storage import accounts, add_ons, ledger, plans
from tallybook.storage.database import Database, migrate, open_database

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
DISCOUNT = rule(
    {"*": [var("revenue.rate_card_total"), -0.1]},
    condition={">": [var("usage.urc.um.1"), 100]},
    name="A tenth off above 100",
    item_id="discount",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        for add_on_id, add_on_type in (("addon.seat", AddOnType.LICENSE), ("addon.fee", AddOnType.FIXED_FEE)):
            seat = AddOn(add_on_id=add_on_id, name=add_on_id, type=add_on_type, status=AddOnStatus.ACTIVE)
            add_ons.add_add_on(connection, "org", seat, now=NOW)
    yield opened
    opened.close()


def add_plan(database: Database, *cards: object, rules: Sequence[PricingRule]) -> PricePlan:
    """A monthly plan from the 1st with two days of grace, and an account R on it from 1 January on."""
    plan = price_plan(*cards, cycle=monthly("1", grace_days=2), plan_id="pp.ruled", name="Ruled")  # type: ignore[arg-type]
    plan = msgspec.structs.replace(plan, pricing_rules=tuple(rules))
    with database.write() as connection:
        plans.add_price_plan(connection, "org", plan, now=NOW)
        add_account(connection, "R", start=JANUARY, plan=plan)
    return plan


def bill(database: Database, as_of: str) -> None:
    instant = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    Billing(database).close_due_cycles(as_of=instant, metered_through=instant)


def invoices(database: Database) -> list[Invoice]:
    """The finalised invoices of account R, by their first day."""
    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT invoice_id FROM invoice WHERE account_id = 'R' ORDER BY start_date")
        found = [ledger.invoice(connection, "org", invoice_id) for invoice_id in rows.scalars().all()]
    return [invoice for invoice in found if invoice is not None]


def lines(invoice: Invoice) -> dict[str, Decimal]:
    def walked(line: InvoiceLine) -> Iterator[InvoiceLine]:
        yield line
        for child in line.lines:
            yield from walked(child)

    return {line.line_id: line.amount.amount for line in walked(invoice.revenue)}


def draft_of(database: Database, start: date, *, now: str) -> Invoice:
    instant = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return Billing(database).invoice("org", invoice_id_for("org", "R", start), now=instant)


def test_a_rule_is_on_the_draft_and_on_the_invoice(database: Database) -> None:
    """150 × 2 = 300 and a fee of 50, less a tenth: 315. Below 100 units nothing is taken off."""
    cards = (usage_card(SlabSample("0", "2")), fixed_fee("50", add_on_id="addon.fee"))
    add_plan(database, *cards, rules=[DISCOUNT])
    use(database, "R", "2024-01-05", "90")
    assert draft_of(database, JANUARY, now="2024-01-20").total == 230
    use(database, "R", "2024-01-06", "60")
    draft = draft_of(database, JANUARY, now="2024-01-20")
    bill(database, "2024-02-03")
    [issued] = invoices(database)
    assert draft.total == issued.total == 315
    assert lines(issued)["PRICING_RULE_ADDITION_AMOUNT.discount"] == -35
    assert lines(issued)["SUB_TOTAL_AMOUNT"] == 315


def test_the_logs_of_a_draft_and_of_its_invoice_are_the_same(database: Database) -> None:
    """Computed again from the stored inputs, whatever became of plan and usage since."""
    plan = add_plan(database, usage_card(SlabSample("0", "2")), rules=[DISCOUNT])
    use(database, "R", "2024-01-05", "150")
    now = datetime(2024, 1, 20, tzinfo=UTC)
    invoice_id = draft_of(database, JANUARY, now="2024-01-20").invoice_id
    [log] = explain_rules(database, "org", invoice_id, now=now)
    assert (log.outcome, log.key, log.old_revenue, log.new_revenue) == (
        RuleOutcome.CONDITION_TRUE,
        "discount",
        Decimal(0),
        Decimal(-30),
    )
    assert log.values == {"usage.urc.um.1": 150, "revenue.rate_card_total": 300}
    bill(database, "2024-02-03")
    use(database, "R", "2024-01-06", "7")
    with database.write() as connection:
        plans.add_plan_version(connection, "org", msgspec.structs.replace(plan, version=2, pricing_rules=()), now=NOW)
    assert explain_rules(database, "org", invoice_id, now=now) == [log]


def test_an_account_may_have_rules_of_its_own(database: Database) -> None:
    """The plan takes a tenth off, the account has 5 added instead; the inputs hold that."""
    plan = add_plan(database, usage_card(SlabSample("0", "2")), rules=[DISCOUNT])
    own = PlanChanges(pricing_rules=(rule(5, item_id="handling", name="Handling"),))
    with database.write() as connection:
        schedule = new_schedule(plan, schedule_id="sch.R", start_date=JANUARY, override=own)
        accounts.set_schedules(connection, "org", "R", [schedule], now=NOW)
    use(database, "R", "2024-01-05", "150")
    bill(database, "2024-02-03")
    [issued] = invoices(database)
    assert issued.total == 305
    [log] = explain_rules(database, "org", issued.invoice_id, now=NOW)
    assert log.rule.name == "Handling"


def test_a_commitment_is_met_after_rules(database: Database) -> None:
    """300 less 30 are 270; the commitment of 280 misses 10."""
    plan = price_plan(usage_card(SlabSample("0", "2")), commitment="280", cycle=monthly("1"), plan_id="pp.committed")
    plan = msgspec.structs.replace(plan, name="Committed", pricing_rules=(DISCOUNT,))
    with database.write() as connection:
        plans.add_price_plan(connection, "org", plan, now=NOW)
        add_account(connection, "R", start=JANUARY, plan=plan)
    use(database, "R", "2024-01-05", "150")
    bill(database, "2024-02-01")
    found = lines(invoices(database)[0])
    assert (found["SUB_TOTAL_AMOUNT"], found["TRUE_UP_AMOUNT"], found["GRAND_TOTAL_AMOUNT"]) == (270, 10, 280)


def hold(database: Database, day: str, quantity: str) -> None:
    instant = datetime.fromisoformat(day).replace(tzinfo=UTC)
    with database.write() as connection:
        update = LicenceUpdate(
            add_on_id="addon.seat",
            account_id="R",
            update_type=LicenceUpdateType.ABSOLUTE,
            quantity=Decimal(quantity),
            effective_from=instant,
            created_at=instant,
        )
        put_update(connection, "org", update)


def test_free_minutes_for_seats_that_are_charged_in_advance(database: Database) -> None:
    """The contract's 5 seats, paid in advance: 1,000 minutes free for each, at 0.1: 7,200 minutes are 720 less 500."""
    free = rule(
        {"*": [-1, {"min": [{"*": [var("usage.lic.addon.seat"), 1000, 0.1]}, var("revenue.urc.um.1")]}]}, item_id="free"
    )
    seats = licence_card(SlabSample("0", "20"), add_on_id="addon.seat", advance=True)
    add_plan(database, usage_card(SlabSample("0", "0.1")), seats, rules=[free])
    hold(database, "2024-01-01", "5")
    use(database, "R", "2024-01-05", "7200")
    bill(database, "2024-02-03")
    found = lines(next(each for each in invoices(database) if each.invoice_type is InvoiceType.STANDARD))
    assert (found["USAGE_RATE_CARD_AMOUNT.um.1"], found["PRICING_RULE_ADDITION_AMOUNT.free"]) == (720, -500)
    assert found["SUB_TOTAL_AMOUNT"] == 220


IN_ADVANCE = rule({"*": [var("revenue.rate_card_total"), -0.2]}, advance=True, item_id="loyal", name="A fifth off")


def test_a_rule_in_advance_is_charged_and_settled_once(database: Database) -> None:
    """A fee of 50 in advance less a fifth: 40 when the plan begins, 40 for February with January's invoice."""
    add_plan(database, fixed_fee("50", add_on_id="addon.fee", advance=True), rules=[IN_ADVANCE])
    for as_of in ("2024-01-01", "2024-01-02", "2024-02-03", "2024-02-03", "2024-03-03"):
        bill(database, as_of)
    assert sorted(
        (invoice.start_date, invoice.invoice_type.value, invoice.total) for invoice in invoices(database)
    ) == [
        (JANUARY, "STANDARD", 40),
        (JANUARY, "STANDARD_ADVANCED", 40),
        (FEBRUARY, "STANDARD", 40),
    ]
    opening = next(each for each in invoices(database) if each.invoice_type is InvoiceType.STANDARD_ADVANCED)
    assert lines(opening)["PRICING_RULE_ADDITION_AMOUNT.loyal.2024-01-01"] == -10
    [log] = explain_rules(database, "org", opening.invoice_id, now=NOW)
    assert (log.key, log.new_revenue) == ("loyal", -10)


def test_a_rule_in_advance_follows_licences_that_are_added(database: Database) -> None:
    """10 seats at 31 in advance by days, 310 less 62. Two more from the 16th, 16 of 31 days, are 32, charged at once.

    In the end January costs 342 less a fifth, 273.6: what the rule takes off the 32 is given back with its invoice.
    """
    seats = licence_card(SlabSample("0", "31"), add_on_id="addon.seat", advance=True, prorated=True)
    add_plan(database, seats, rules=[IN_ADVANCE])
    hold(database, "2024-01-01", "10")
    bill(database, "2024-01-01T12:00")
    hold(database, "2024-01-16", "12")
    bill(database, "2024-01-17")
    bill(database, "2024-02-03")
    found = {each.invoice_type: each for each in invoices(database)}
    assert found[InvoiceType.STANDARD_ADVANCED].total == 248
    assert found[InvoiceType.ADHOC_ADVANCED].total == 32
    january = lines(found[InvoiceType.STANDARD])
    assert january["PRICING_RULE_ADDITION_AMOUNT.loyal.2024-01-01"] == Decimal("-6.4")


def test_what_a_rule_charged_in_advance_comes_back_when_it_is_gone(database: Database) -> None:
    """10 were added in advance for February by the first version; the second has no rule: 10 come back."""
    plan = add_plan(database, rules=[rule(10, advance=True, item_id="setup")])
    bill(database, "2024-02-03")
    with database.write() as connection:
        second = msgspec.structs.replace(plan, version=2, pricing_rules=())
        plans.add_plan_version(connection, "org", second, now=NOW)
        parts = [
            new_schedule(plan, schedule_id="sch.R", start_date=JANUARY, end_date=FEBRUARY),
            new_schedule(second, schedule_id="sch.R", start_date=FEBRUARY),
        ]
        accounts.set_schedules(connection, "org", "R", parts, now=NOW)
    bill(database, "2024-03-03")
    february = next(each for each in invoices(database) if each.start_date == FEBRUARY)
    assert february.total == -10
    assert february.status is InvoiceStatus.REFUND_COMPLETED


def test_parallel_runs_charge_a_rule_once(database: Database) -> None:
    """Three bill runs at once and one after: the opening, January and February, each once, 40 each."""
    add_plan(database, fixed_fee("50", add_on_id="addon.fee", advance=True), rules=[IN_ADVANCE])
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: bill(database, "2024-03-03"), range(3)))
    bill(database, "2024-03-03")
    assert sorted(str(invoice.total) for invoice in invoices(database)) == ["40.00"] * 3


def test_rules_compute_in_the_dialect_of_the_day(database: Database) -> None:
    """Issued in `exact`, the log stays in it when the organisation changes its mind."""
    third = rule({"/": [var("revenue.rate_card_total"), 3]}, item_id="third")
    add_plan(database, fixed_fee("1", add_on_id="addon.fee"), rules=[third])
    bill(database, "2024-02-03")
    [issued] = invoices(database)
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO setting VALUES ('org', 'TOGAI', 'expression_dialect', 'ORGANIZATION', 'org', 'd', 'STRING',"
            " 'togai', 0, 0)"
        )
    [log] = explain_rules(database, "org", issued.invoice_id, now=NOW)
    assert str(log.new_revenue) == "0.3333333333333333333333333333333333"


def test_other_organisations_read_no_logs(database: Database) -> None:
    add_plan(database, usage_card(SlabSample("0", "2")), rules=[DISCOUNT])
    bill(database, "2024-02-03")
    [issued] = invoices(database)
    with pytest.raises(NotFound):
        explain_rules(database, "other", issued.invoice_id, now=NOW)
    with pytest.raises(NotFound):
        explain_rules(database, "org", "inv.unheard", now=NOW)


def test_a_rule_in_arrears_is_about_what_is_charged_in_arrears(database: Database) -> None:
    """A tenth off 150 × 2 = 300, not off the 50 in advance besides: 300 − 30 + 50 for February."""
    cards = (usage_card(SlabSample("0", "2")), fixed_fee("50", add_on_id="addon.fee", advance=True))
    add_plan(database, *cards, rules=[DISCOUNT])
    use(database, "R", "2024-01-05", "150")
    bill(database, "2024-01-01")
    bill(database, "2024-02-03")
    january = next(each for each in invoices(database) if each.invoice_type is InvoiceType.STANDARD)
    assert january.total == 320


def test_a_fee_that_is_not_due_is_not_changed_by_a_rule(database: Database) -> None:
    """A set-up of 50 once, for 40 by a rule: charged with the first cycle, and in no other."""
    cheaper = rule(40, target="revenue.ff.addon.fee", advance=True)
    add_plan(database, fixed_fee("50", add_on_id="addon.fee", advance=True, one_time=True), rules=[cheaper])
    for as_of in ("2024-01-01", "2024-02-03", "2024-03-03"):
        bill(database, as_of)
    totals = {(each.start_date, each.invoice_type.value): each.total for each in invoices(database)}
    assert totals == {(JANUARY, "STANDARD_ADVANCED"): 40, (JANUARY, "STANDARD"): 0, (FEBRUARY, "STANDARD"): 0}


def test_a_rule_alone_is_charged_when_the_plan_begins(database: Database) -> None:
    """A plan without a card in advance may have a rule that is."""
    add_plan(database, usage_card(SlabSample("0", "2")), rules=[rule(10, advance=True)])
    bill(database, "2024-01-01")
    [opening] = invoices(database)
    assert (opening.invoice_type.value, opening.total) == ("STANDARD_ADVANCED", 10)
