"""What-if over a real database: hand-made figures, and the same amounts as the invoices that were issued."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from billing_samples import PLAN, add_account, add_catalogue, by_account, use
from price_plan_samples import NOW, SlabSample, fixed_fee, licence_card, monthly, price_plan, usage_card

from tallybook.core.add_on import AddOn, AddOnType
from tallybook.core.errors import Invalid, NotFound
from tallybook.core.licence import LicenceUpdate, LicenceUpdateType
from tallybook.core.period import Window
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_rule import PricingRule, RuleAction, RuleActionType
from tallybook.core.pricing_schedule import associate, new_schedule
from tallybook.flows import simulate as flow
from tallybook.flows.bill import Billing
from tallybook.flows.simulate import Simulation, SimulationRequest, StoredPlan, simulate
from tallybook.flows.update_licences import update_licence
from tallybook.storage import accounts, add_ons, ledger, plans
from tallybook.storage.accounts import Organisation
from tallybook.storage.database import Database, migrate, open_database

FIRST_QUARTER = Window(date(2024, 1, 1), date(2024, 4, 1))
FLAT = price_plan(usage_card(SlabSample("0", "1.50")), plan_id="pp.flat", name="Flat")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Account A billed by 2 up to 100 and 1 above, from 10 January on: 150 units in January, 3 in February."""
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        for add_on_id, add_on_type in (("add_on.1", AddOnType.LICENSE), ("add_on.2", AddOnType.FIXED_FEE)):
            add_ons.add_add_on(connection, "org", AddOn(add_on_id=add_on_id, name=add_on_id, type=add_on_type), now=NOW)
    use(opened, "A", "2024-01-05", "999")  # before its plan
    use(opened, "A", "2024-01-20", "100.5")
    use(opened, "A", "2024-01-31T23", "49.5")
    use(opened, "A", "2024-02-01", "3")
    yield opened
    opened.close()


def run(
    database: Database,
    plan: PricePlan | StoredPlan = FLAT,
    *,
    account_ids: Sequence[str] | None = None,
    period: Window = FIRST_QUARTER,
    after: str | None = None,
    limit: int = 100,
) -> Simulation:
    request = SimulationRequest(plan=plan, account_ids=account_ids, period=period, after=after, limit=limit)
    return simulate(database, "org", request)


def amounts(found: Simulation) -> list[tuple[str, str, str]]:
    return [(each.account_id, str(each.old_amount), str(each.new_amount)) for each in found.accounts]


def store(database: Database, plan: PricePlan) -> PricePlan:
    with database.write() as connection:
        plans.add_price_plan(connection, "org", plan, now=NOW)
    return plan


# ---- amounts -----------------------------------------------------------------------------------------------------


def test_both_amounts_by_hand(database: Database) -> None:
    """January 100 × 2 + 50 × 1 = 250 and February 3 × 2 = 6, against 150 × 1.50 and 3 × 1.50; March has nothing."""
    found = run(database)
    assert amounts(found) == [("A", "256.00", "229.50")]
    assert [(each.old_cycles, each.new_cycles, each.difference) for each in found.accounts] == [
        (3, 3, Decimal("-26.50"))
    ]
    assert found.last is None
    assert found.refused == ()


def test_the_old_amount_is_what_invoices_said(database: Database) -> None:
    """Fees in advance and a commitment included: the invoices of the year add up to it."""
    cards = (usage_card(SlabSample("0", "0.333")), fixed_fee("7.777", add_on_id="add_on.2", advance=True))
    plan = store(database, price_plan(*cards, plan_id="pp.own", name="Own", commitment="20", cycle=monthly("15")))
    with database.write() as connection:
        add_account(connection, "B", start=date(2023, 12, 20), plan=plan)
    for day, units in (("2023-12-31", "5"), ("2024-01-14T23", "70"), ("2024-01-15", "100"), ("2024-03-14", "1")):
        use(database, "B", day, units)
    until = datetime(2024, 3, 15, tzinfo=UTC)
    Billing(database).close_due_cycles(as_of=until, metered_through=until)
    with database.read() as connection:
        invoices = by_account(ledger.invoices(connection, "org", ledger.InvoiceFilter(account_id="B")))
    last_charged_ahead = Decimal("7.777")  # the invoice to 15 March charges the fee of the cycle from then on
    exact = sum(invoice.revenue.amount.amount for invoice in invoices) - last_charged_ahead
    found = run(database, account_ids=["B"], period=Window(date(2023, 12, 20), date(2024, 3, 15)))
    [account] = found.accounts
    # 20.00 + 7.777, 33.30 + 7.777 and 20.00 + 7.777, each cut; the stub from 20 December has 75 × 0.333 = 24.975.
    assert account.old_amount == Decimal("32.75") + Decimal("41.07") + Decimal("27.77")
    assert exact == Decimal("24.975") + Decimal("33.3") + Decimal("20") + 3 * Decimal("7.777")


def test_a_changed_plan_is_two_cycles_for_its_own_side_alone(database: Database) -> None:
    """A changes plans on 16 February; the other plan bills February whole. A one-time fee was paid on joining."""
    other = store(database, price_plan(usage_card(SlabSample("0", "10")), plan_id="pp.other", name="Other"))
    with database.write() as connection:
        account = accounts.account(connection, "org", "A")
        assert account is not None
        changed = new_schedule(other, schedule_id="sch.later", start_date=date(2024, 2, 16))
        accounts.set_schedules(connection, "org", "A", associate(account.schedules, changed), now=NOW)
    use(database, "A", "2024-02-16", "1")
    once = fixed_fee("1000", add_on_id="add_on.2", one_time=True)
    plan = price_plan(usage_card(SlabSample("0", "1")), once, plan_id="pp.once", name="Once")
    february = Window(date(2024, 2, 1), date(2024, 3, 1))
    [account_found] = run(database, plan, period=february).accounts
    assert (account_found.old_cycles, account_found.new_cycles) == (2, 1)
    assert account_found.old_amount == 16
    assert account_found.new_amount == 4
    assert run(database, plan).accounts[0].new_amount == 1000 + 150 + 4


def test_usage_is_cut_by_the_other_plans_cycles(database: Database) -> None:
    """In anniversary cycles from the 10th, January's and February's usage is one cycle's: 153 × 2."""
    anniversary = price_plan(
        usage_card(SlabSample("0", "2")), plan_id="pp.a", name="A", cycle=monthly(None, anniversary=True)
    )
    [found] = run(database, anniversary).accounts
    assert (found.old_cycles, found.new_cycles) == (3, 3)
    assert found.new_amount == 306
    packages = price_plan(
        usage_card(SlabSample("0", "1", package="153")), plan_id="pp.p", name="P", cycle=anniversary.cycle
    )
    assert run(database, packages).accounts[0].new_amount == 1


def test_licences_count_as_they_were_held(database: Database) -> None:
    """4 seats from 1 March at 30, of a plan that the account does not have."""
    update = LicenceUpdate(
        add_on_id="add_on.1",
        account_id="A",
        update_type=LicenceUpdateType.ABSOLUTE,
        quantity=Decimal(4),
        effective_from=datetime(2024, 3, 1, tzinfo=UTC),
        created_at=NOW,
    )
    update_licence(database, "org", update)
    seats = price_plan(licence_card(SlabSample("0", "30")), plan_id="pp.seats", name="Seats")
    assert run(database, seats).accounts[0].new_amount == 120


def test_pricing_rules_count_on_both_sides(database: Database) -> None:
    """§3.8: a tenth off the total where more than 100 was used: off January's 250 and 225, not February's."""
    rule = PricingRule(
        rule_id="pp_rule.1",
        name="Tenth off",
        order=1,
        condition='{">":[{"var":"usage.urc.um.1"},100]}',
        computation='{"*":[{"var":"revenue.rate_card_total"},-0.1]}',
        action=RuleAction(action_type=RuleActionType.ADD),
    )
    own = store(database, msgspec.structs.replace(PLAN, plan_id="pp.ruled", name="Ruled", pricing_rules=(rule,)))
    with database.write() as connection:
        add_account(connection, "B", plan=own)
    use(database, "B", "2024-01-20", "150")
    use(database, "B", "2024-02-01", "3")
    flat = msgspec.structs.replace(FLAT, pricing_rules=(rule,))
    # 250 - 25 + 6 against 225 - 22.50 + 4.50
    assert amounts(run(database, flat, account_ids=["B"])) == [("B", "231.00", "207.00")]


def test_what_an_account_has_different_counts(database: Database) -> None:
    """An override is priced on the account's own side, and not carried over to the other plan."""
    override = PlanChanges(usage_cards=(usage_card(SlabSample("0", "5")),))
    schedule = new_schedule(PLAN, schedule_id="sch.o", start_date=date(2024, 2, 1), override=override)
    with database.write() as connection:
        accounts.set_schedules(connection, "org", "A", [schedule], now=NOW)
    assert amounts(run(database)) == [("A", "15.00", "4.50")]


# ---- accounts ----------------------------------------------------------------------------------------------------


def test_pages_of_accounts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By id, with the place where the next page begins, however many are read at once."""
    monkeypatch.setattr(flow, "ACCOUNTS_PER_READ", 2)
    with database.write() as connection:
        for account_id in ("B", "C", "D", "E"):
            add_account(connection, account_id)
    first = run(database, limit=3)
    assert ([each.account_id for each in first.accounts], first.last) == (["A", "B", "C"], "C")
    second = run(database, after="C", limit=3)
    assert ([each.account_id for each in second.accounts], second.last) == (["D", "E"], None)
    named = run(database, account_ids=["E", "A", "D", "A"], limit=2)
    assert ([each.account_id for each in named.accounts], named.last) == (["A", "D"], "D")
    rest = run(database, account_ids=["E", "A", "D"], after="D", limit=2)
    assert ([each.account_id for each in rest.accounts], rest.last) == (["E"], None)


def test_an_answer_that_takes_long_ends_early(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six cards an account, three on each side: after the second account, 12 are more than 10."""
    monkeypatch.setattr(flow, "ACCOUNTS_PER_READ", 1)
    monkeypatch.setattr(flow, "PRICES_MAX", 10)
    with database.write() as connection:
        for account_id in ("B", "C"):
            add_account(connection, account_id)
    found = run(database)
    assert ([each.account_id for each in found.accounts], found.last) == (["A", "B"], "B")
    rest = run(database, after="B")
    assert ([each.account_id for each in rest.accounts], rest.last) == (["C"], None)


def test_an_account_without_any_plan_is_priced_on_every_day(database: Database) -> None:
    """Its usage is metered, though nobody bills it: if it is named, it counts, from the first day on."""
    with database.write() as connection:
        add_account(connection, "B")
        accounts.set_schedules(connection, "org", "B", [], now=NOW)
    use(database, "B", "2024-01-01", "10")
    assert amounts(run(database, account_ids=["B"])) == [("B", "0", "15.00")]
    assert [each.account_id for each in run(database).accounts] == ["A"]


def test_an_account_in_another_currency_is_refused_and_the_others_counted(database: Database) -> None:
    """The plan has no rates in euros; the account is named with the reason and is in no total."""
    with database.write() as connection:
        add_account(connection, "B")
        account = accounts.account(connection, "org", "B")
        assert account is not None
        accounts.replace_account(connection, "org", msgspec.structs.replace(account, currency="EUR"), now=NOW)
    found = run(database)
    assert [each.account_id for each in found.accounts] == ["A"]
    assert [(each.account_id, each.message) for each in found.refused] == [
        ("B", "price plan pp.1 has no rates in EUR, the account's currency")
    ]


def test_what_is_not_there_is_refused(database: Database) -> None:
    """Accounts, plans and versions; and a given plan that could not be saved."""
    with pytest.raises(NotFound, match="no account 'nobody'"):
        run(database, account_ids=["A", "nobody"])
    with pytest.raises(NotFound, match="no price plan"):
        run(database, StoredPlan(plan_id="pp.none"))
    with pytest.raises(NotFound, match="version 7"):
        run(database, StoredPlan(plan_id="pp.1", version=7))
    with pytest.raises(Invalid, match="no usage meter"):
        run(database, price_plan(usage_card(SlabSample("0", "1"), meter_id="um.none")))


def test_the_same_plan_makes_no_difference(database: Database) -> None:
    """By its id, the account's own plan comes to the same."""
    [found] = run(database, StoredPlan(plan_id="pp.1", version=1)).accounts
    assert found.difference == 0
    assert found.old_amount == 256


def test_organisations_do_not_see_each_other(database: Database) -> None:
    """Neither plans, nor accounts, nor usage of the same ids."""
    with database.write() as connection:
        other = Organisation(organisation_id="other", name="Other", base_currency="USD")
        accounts.add_organisation(connection, other, now=NOW)
    whole = SimulationRequest(plan=price_plan(), period=FIRST_QUARTER)
    assert simulate(database, "other", whole).accounts == ()
    with pytest.raises(NotFound):
        simulate(database, "other", msgspec.structs.replace(whole, plan=StoredPlan(plan_id="pp.1")))
    with pytest.raises(NotFound):
        simulate(database, "other", msgspec.structs.replace(whole, account_ids=["A"]))
    with pytest.raises(Invalid, match="no usage meter"):
        simulate(database, "other", msgspec.structs.replace(whole, plan=FLAT))


def test_nothing_is_written(database: Database) -> None:
    """The file is the same, byte for byte, when no writer is there."""
    with database.engine.connect() as connection:
        before = connection.exec_driver_sql("PRAGMA data_version").scalar()
        run(database)
        assert connection.exec_driver_sql("PRAGMA data_version").scalar() == before
