"""What-if over history: which days the other plan bills, and what a cycle comes to."""

from datetime import date
from decimal import Decimal

import pytest
from credit_samples import grant_card
from price_plan_samples import SlabSample, cycle_in, fixed_fee, licence_card, monthly, price_plan, usage_card

from tallybook.core.errors import Invalid
from tallybook.core.licence import HeldRun
from tallybook.core.period import FOREVER, Window
from tallybook.core.pricing_schedule import PricingSchedule, new_schedule
from tallybook.core.simulation import (
    SimulatedAccount,
    check_period,
    cycle_amount,
    cycles_within,
    simulated_schedules,
    totals_of,
)

APRIL = Window(date(2024, 4, 1), date(2024, 5, 1))
YEAR = Window(date(2024, 1, 1), date(2025, 1, 1))
NEW = price_plan(plan_id="pp.new", cycle=monthly(None, anniversary=True))


def billed(start: str, end: str, plan_id: str = "pp.old") -> PricingSchedule:
    window = date.fromisoformat(start), date.fromisoformat(end)
    return new_schedule(price_plan(plan_id=plan_id), schedule_id="s", start_date=window[0], end_date=window[1])


# ---- days --------------------------------------------------------------------------------------------------------


def test_a_change_of_plans_is_none_for_the_other_plan() -> None:
    """One plan until July and another from then on are one time under plans; a pause is no time under plans."""
    own = (
        billed("2023-11-12", "2024-07-01"),
        billed("2024-07-01", "2024-09-01", "pp.x"),
        billed("2024-10-01", "9999-01-01"),
    )
    found = simulated_schedules(own, NEW, YEAR)
    assert [each.window for each in found] == [
        (date(2023, 11, 12), date(2024, 9, 1)),
        (date(2024, 10, 1), FOREVER),
    ]
    assert [each.cycle.day_offset for each in found] == ["12", "1"]
    assert {each.plan_id for each in found} == {"pp.new"}


def test_without_a_plan_of_its_own_the_whole_period_counts() -> None:
    """An account that never had a plan is priced on every day of the period."""
    [found] = simulated_schedules((), NEW, YEAR)
    assert found.window == YEAR


def test_cycles_are_cut_to_the_period() -> None:
    """What lies before or behind is not priced."""
    period = Window(date(2024, 1, 15), date(2024, 3, 2))
    own = (billed("2023-01-01", "2024-02-10"), billed("2024-02-10", "2024-02-20", "pp.x"))
    assert [window for _, window in cycles_within(own, period)] == [
        (date(2024, 1, 15), date(2024, 2, 1)),
        (date(2024, 2, 1), date(2024, 2, 10)),
        (date(2024, 2, 10), date(2024, 2, 20)),
    ]
    assert list(cycles_within((billed("2025-01-01", "9999-01-01"),), period)) == []


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (date(2024, 2, 1), date(2024, 2, 1), "before endDate"),
        (date(1969, 2, 1), date(1970, 2, 1), "from 1970-01-01 on"),
        (date(2024, 1, 1), date(2025, 1, 2), "at most 366 days"),
        (date(9998, 12, 1), date(9999, 1, 2), "for ever"),
    ],
)
def test_periods_that_are_refused(start: date, end: date, message: str) -> None:
    """Empty ones, those before or behind all time, and those of more than a year."""
    with pytest.raises(Invalid, match=message):
        check_period(Window(start, end))


# ---- amounts -----------------------------------------------------------------------------------------------------


def test_a_commitment_is_met_by_what_is_charged_in_arrears() -> None:
    """§3.6 [D]: 640 of 1000 is trued up by 360; a fee in advance of 20 stands beside it, as on an invoice."""
    cards = (usage_card(SlabSample("0", "1")), fixed_fee("40"), fixed_fee("20", add_on_id="add_on.2", advance=True))
    cycle = cycle_in(price_plan(*cards, commitment="1000"), APRIL)
    assert cycle_amount(cycle, {"um.1": Decimal(600)}, "USD") == 1020
    assert cycle_amount(cycle, {"um.1": Decimal(1160)}, "USD") == 1220


def test_an_amount_below_zero_is_no_commitment() -> None:
    """Without a commitment, money that is given back stays below zero."""
    cycle = cycle_in(price_plan(usage_card(SlabSample("0", "-2"))), APRIL)
    assert cycle_amount(cycle, {"um.1": Decimal(10)}, "USD") == -20


def test_licences_are_priced_as_they_are_held() -> None:
    """§3.6 [D]: 300 for 10 seats, 20 for two more on 10 of 30 days."""
    held = (
        HeldRun(date(2024, 4, 1), date(2024, 4, 16), Decimal(10)),
        HeldRun(date(2024, 4, 16), date(2024, 4, 26), Decimal(12)),
        HeldRun(date(2024, 4, 26), date(2024, 5, 1), Decimal(10)),
    )
    card = licence_card(SlabSample("0", "30"), prorated=True, advance=True)
    assert cycle_amount(cycle_in(price_plan(card), APRIL, held={"add_on.1": held}), {}, "USD") == 320


def test_credit_that_is_sold_counts_and_is_not_used() -> None:
    """1000 of credit for 900 beside usage of 10: an invoice says 910, before it uses any."""
    cycle = cycle_in(price_plan(usage_card(SlabSample("0", "1")), grant_card()), APRIL)
    assert cycle_amount(cycle, {"um.1": Decimal(10)}, "USD") == 910


def test_currencies_are_not_added_up() -> None:
    """A total for each."""

    def account(account_id: str, currency: str, old: str, new: str) -> SimulatedAccount:
        return SimulatedAccount(
            account_id=account_id,
            currency=currency,
            old_amount=Decimal(old),
            new_amount=Decimal(new),
            old_cycles=1,
            new_cycles=1,
        )

    found = totals_of(
        [account("a", "USD", "10", "7.50"), account("b", "EUR", "1", "2"), account("c", "USD", "1", "0.01")]
    )
    assert [(each.currency, each.accounts) for each in found] == [("EUR", 1), ("USD", 2)]
    figures = [(str(each.old_amount), str(each.new_amount), str(each.difference)) for each in found]
    assert figures == [("1", "2", "1"), ("11", "7.51", "-3.49")]
