"""Every worked example of money in the interface's documents, with the test that does the sum.

The rows are those of the contract's sections 3.6 to 3.10, 3.12 and 7, in their order: what is stated there, what
follows from it by arithmetic, and where the documents are wrong, the right value. What had no test has it here.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from credit_samples import usable
from invoice_samples import draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, fixed_fee, monthly, price_plan, usage_card

from tallybook.core.customer import Address
from tallybook.core.decimals import EXACT
from tallybook.core.fixed_fee import fee_in
from tallybook.core.invoice import BilledAccount, UsageLine
from tallybook.core.invoice_inputs import Adjustments
from tallybook.core.invoice_words import lines_of
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.core.money import Money, total
from tallybook.core.period import PricingCycle, PricingInterval, Window, cycle_containing, cycles_from, grace_deadline
from tallybook.core.pricing import price_usage

JANUARY = Window(date(2024, 1, 1), date(2024, 2, 1))
BILLED = BilledAccount(
    account_id="A",
    account_name="A",
    customer_id="C",
    customer_name="C",
    customer_email="c@example.com",
    email="a@example.com",
    address=Address(),
    currency="USD",
)
TESTS = Path(__file__).parent.parent


class Row(NamedTuple):
    """What a section says, and where it is tested: a file below `tests`, and a function in it."""

    section: str
    says: str
    file: str
    test: str


_HERE = "core/test_contract_money_rows.py"
_PERIOD = "core/test_period.py"
_PRICING = "core/test_pricing.py"
_FEE = "core/test_fixed_fee.py"
_LICENCE = "core/test_licence.py"
_PLAN = "core/test_price_plan.py"
_MIGRATION = "core/test_plan_migration.py"
_INVOICE = "core/test_invoice.py"
_RULES = "core/test_ruled_cards.py"
_CREDIT = "core/test_credit.py"
_WALLET = "core/test_wallet.py"
_CHARGE = "core/test_miscellaneous_charge.py"
_CALCULATOR = "core/test_revenue_calculation.py"

ROWS = (
    Row(
        "3.6",
        "a plan's schedule is one entry, 1970-01-01 to 9999-01-01",
        "api/test_price_plan_shapes.py",
        "test_the_response_shows_what_was_asked_for",
    ),
    Row(
        "3.6",
        "modes of migration: from when, and whether overrides stay",
        _MIGRATION,
        "test_a_mode_says_from_when_the_new_version_bills",
    ),
    Row("3.6", "modes that ignore overrides drop them", _MIGRATION, "test_a_mode_says_whether_overrides_stay"),
    Row("3.6", "an active currency is not removed", _MIGRATION, "test_an_active_currency_stays"),
    Row("3.6", "one rate card for each billable item of a plan", _FEE, "test_an_add_on_has_one_card"),
    Row("3.6", "monthly on 28, 30, LAST; the closest earlier day", _PERIOD, "test_monthly_cycles_start_on_the_offset"),
    Row(
        "3.6",
        "quarterly, half-yearly, annually, weekly offsets",
        _PERIOD,
        "test_longer_and_shorter_cycles_start_on_their_offsets",
    ),
    Row(
        "3.6",
        "quarterly LAST FIRST is 31 July, where 30 July is printed",
        _HERE,
        "test_the_last_day_of_july_is_the_thirty_first",
    ),
    Row("3.6", "monthly on 30: January has a 30th, where the 28th is printed", _HERE, "test_january_has_a_thirtieth"),
    Row(
        "3.6",
        "anniversaries: weekday, 31 October, 28 and 29 February, 15 April",
        _PERIOD,
        "test_anniversary_offsets_of_every_interval",
    ),
    Row(
        "3.6",
        "anniversary of 31 October monthly is LAST",
        _PERIOD,
        "test_anniversary_cycles_start_on_the_day_of_association",
    ),
    Row("3.6", "the first cycle is a stub up to the next boundary", _PERIOD, "test_the_first_cycle_is_a_stub"),
    Row("3.6", "monthly from the 5th ends on the 4th, due on the 7th", _PERIOD, "test_grace_ends_days_after_the_cycle"),
    Row(
        "3.6",
        "quarter from 3 February: to 2 May, where two months are printed",
        _PERIOD,
        "test_the_guides_quarter_has_three_months",
    ),
    Row(
        "3.6",
        "anniversary from 10 March: to 9 June, where 9 May is printed",
        _PERIOD,
        "test_the_guides_anniversary_quarter_has_three_months",
    ),
    Row(
        "3.6", "due date is cycle end + grace + 1: 2 February + 2 is the 5th", _HERE, "test_due_is_the_day_after_grace"
    ),
    Row(
        "3.6",
        "interval 2 is every second month, 3 is quarterly, offset is a trial",
        _FEE,
        "test_a_fee_recurs_after_its_offset",
    ),
    Row("3.6", "150 in slabs of 100: 250 tiered, 150 volume, and all of that table", _PRICING, "test_worked_examples"),
    Row("3.6", "usage 10 on slabs 2 and packages: 40, where 100 is printed", _PRICING, "test_worked_examples"),
    Row("3.6", "the same with its working, slab by slab", _CALCULATOR, "test_without_bounds_the_sample_comes_to_forty"),
    Row("3.6", "clamps report which bound was applied", _PRICING, "test_a_slab_says_which_bound_was_applied"),
    Row("3.6", "commitment 1000: 640 is trued up by 360, 1200 by nothing", _INVOICE, "test_a_commitment_is_trued_up"),
    Row("3.6", "licences: in arrears, not prorated", _LICENCE, "test_in_arrears_without_proration_the_peak_is_charged"),
    Row(
        "3.6",
        "licences: in arrears, prorated; bought on the 15th",
        _LICENCE,
        "test_bought_on_the_fifteenth_costs_about_half",
    ),
    Row(
        "3.6",
        "licences: in arrears, prorated; day by day",
        _LICENCE,
        "test_in_arrears_with_proration_every_day_is_charged",
    ),
    Row("3.6", "licences: in advance, not prorated", _LICENCE, "test_in_advance_without_proration_nothing_comes_back"),
    Row(
        "3.6",
        "licences: in advance, prorated; 300, 30 more, 10 back",
        _LICENCE,
        "test_in_advance_with_proration_each_change_is_charged_by_days",
    ),
    Row(
        "3.6",
        "the same over a database, invoice by invoice",
        "flows/test_bill_licences.py",
        "test_the_contracts_seats_in_advance_with_proration",
    ),
    Row("3.6", "a day counts with the most held during it", _LICENCE, "test_a_day_counts_with_the_most_held_during_it"),
    Row("3.6", "1 a week within a month of four weeks: 4", _LICENCE, "test_a_usage_cycle_is_priced_by_itself"),
    Row(
        "3.6",
        "revenue of licences is booked whole on the day of the change: 300, 60, −60",
        "core/test_revenue.py",
        "test_licences_are_booked_whole_on_the_day_of_the_change",
    ),
    Row(
        "3.6",
        "the same, as figures over a database",
        "flows/test_metrics_of_licences.py",
        "test_the_contracts_seats_are_booked_on_three_days",
    ),
    Row("3.6", "90 a month, joined on day 11 of 30: 60", _FEE, "test_a_prorated_fee_is_charged_by_days"),
    Row(
        "3.6",
        "0.001 USD is cut to 0, 0.01 stays, yen have no decimals",
        "core/test_money.py",
        "test_amounts_are_cut_toward_zero",
    ),
    Row("3.6", "rates are those of the account's currency", _PRICING, "test_each_currency_has_its_own_rates"),
    Row(
        "3.7", "A for ever, then B for three months: A, B, A", _PLAN, "test_a_window_in_the_middle_splits_the_schedule"
    ),
    Row("3.7", "disassociating cuts a hole", _PLAN, "test_disassociating_cuts_a_hole"),
    Row(
        "3.7",
        "a change in mid-cycle closes the invoice and opens another",
        "flows/test_bill.py",
        "test_a_plan_change_closes_the_cycle_at_the_change",
    ),
    Row(
        "3.7",
        "override before retained offsets before plan",
        _PERIOD,
        "test_a_retained_cycle_keeps_its_boundaries_and_takes_the_new_grace",
    ),
    Row("3.8", "10 % off 31,000 above a million: 3,100", _RULES, "test_ten_percent_off_above_a_million"),
    Row(
        "3.8",
        "1,000 free minutes for each of 5 seats: 500 and 220, 300 and 0",
        _RULES,
        "test_a_thousand_free_minutes_for_each_seat",
    ),
    Row("3.5", "75 free photos a day of May: 675 and 0", _RULES, "test_seventy_five_free_photos_a_day"),
    Row("3.9", "the table of statuses", _INVOICE, "test_statuses_move_as_the_contract_draws_them"),
    Row(
        "3.9",
        "zero is paid at once, below zero the refund is complete",
        _INVOICE,
        "test_what_is_owed_decides_the_first_status",
    ),
    Row("3.9", "due date is invoice date + net term days", _INVOICE, "test_invoice_and_due_date"),
    Row("3.9", "250 + 100, commitment 500, credit 50, charge 20: 470", _HERE, "test_the_tree_of_the_contract"),
    Row("3.9", "392.1 + 589.94 is 982.04, where 981.94 is printed", _HERE, "test_the_samples_lines_add_up"),
    Row("3.9", "a line of 980 × 0.1: 98", _CHARGE, "test_a_tenth_of_a_line"),
    Row("3.9", "rate 20 × quantity 10: 200", _CHARGE, "test_rate_times_quantity"),
    Row("3.10", "invoice 100, credit 50 on some meters: 50 to pay", _CREDIT, "test_a_credit_on_some_meters"),
    Row("3.10", "A 80, B 40; X 50 of A, Y 30 + 40, Y left 30", _CREDIT, "test_two_credits_by_priority"),
    Row("3.10", "granted 1000, consumed 300, hold 200: 1000, 700, 500", _CREDIT, "test_the_balance_of_the_contract"),
    Row("3.10", "wallet 300, invoice 450: 150 to pay", _WALLET, "test_a_wallet_of_300_leaves_150_of_450"),
    Row("3.10", "what an invoice does not need stays in the wallet", _WALLET, "test_what_is_not_needed_stays"),
    Row(
        "3.10",
        "payments are applied in order, the remainder to the wallet",
        "core/test_payment.py",
        "test_the_interfaces_sample_is_allotted_in_its_order",
    ),
    Row("3.11", "27,000 downloads above 20,000: 310", _HERE, "test_overage_above_the_grant"),
    Row(
        "3.12",
        "monthly from the 5th, from 15 March from the 1st: two points",
        "flows/test_metrics.py",
        "test_usage_of_cycles_stands_where_they_begin",
    ),
    Row("3.12", "the calculator's figures are those of 3.6", _CALCULATOR, "test_every_slab_is_there"),
    Row("7, 28", "at most ten slabs", _PLAN, "test_an_unsound_plan_is_refused_by_field"),
    Row("7, 29 to 32", "flat at zero, boundaries, below the first slab, below zero", _PRICING, "test_worked_examples"),
    Row("7, 33", "days of the full cycle, in UTC", _FEE, "test_a_fee_is_shared_by_the_days_of_the_full_cycle"),
    Row("7, 34", "clamps and commitments are not prorated in a stub", _HERE, "test_only_fees_are_prorated"),
    Row(
        "7, 35",
        "each line is cut by itself, totals from the exact sum",
        _INVOICE,
        "test_lines_are_cut_one_by_one_and_totals_from_the_exact_sum",
    ),
    Row("7, 36", "true calendar quarters", _PERIOD, "test_the_guides_quarter_has_three_months"),
    Row("7, 37", "the new plan owns the day", "api/test_price_plans.py", "test_later_plan_owns_the_day_it_starts_on"),
    Row("7, 38", "equal priority: earliest expiry, then oldest", _CREDIT, "test_which_credit_is_used_first"),
    Row(
        "7, 39",
        "a credit is usable for a cycle that has any day of its window",
        _CREDIT,
        "test_a_credit_is_for_cycles_with_a_day_of_its_window",
    ),
    Row(
        "7, 40",
        "PAID may be refunded, UN_COLLECTIBLE paid or voided",
        _INVOICE,
        "test_statuses_move_as_the_contract_draws_them",
    ),
    Row("7, 48", "tax by rate, or by a function", "core/test_tax.py", "test_each_rate_is_a_line_of_the_same_amount"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section}: {row.says}")
def test_every_row_has_its_test(row: Row) -> None:
    """The table names tests that are there."""
    assert f"def {row.test}(" in (TESTS / row.file).read_text()


# ---- rows that no other file is about ------------------------------------------------------------------------------


def starts_of(cycle: PricingCycle, year: int) -> list[str]:
    windows = cycles_from(cycle, within=(date(year - 1, 12, 31), date(year + 1, 1, 1)))
    return [f"{window.start:%m-%d}" for window in windows if window.start.year == year]


def test_the_last_day_of_july_is_the_thirty_first() -> None:
    """§3.6 [S]: day LAST, month FIRST of quarters; the document prints 30 July."""
    cycle = PricingCycle(interval=PricingInterval.QUARTERLY, day_offset="LAST", month_offset="FIRST", grace_days=0)
    assert starts_of(cycle, 2023) == ["01-31", "04-30", "07-31", "10-31"]


def test_january_has_a_thirtieth() -> None:
    """§3.6 [S]: the document prints "28th of Jan" for the first of these."""
    assert starts_of(monthly("30"), 2023)[:3] == ["01-30", "02-28", "03-30"]


def test_due_is_the_day_after_grace() -> None:
    """§3.6 [S]: a cycle that ends on 2 February with two days of grace is due on the 5th: 2 + 2 + 1."""
    window = cycle_containing(monthly("3"), date(2024, 1, 15), within=(date(2024, 1, 15), date(9999, 1, 1)))
    assert window == Window(date(2024, 1, 15), date(2024, 2, 3))
    assert grace_deadline(window.end, 2).date() == date(2024, 2, 5)


def test_the_tree_of_the_contract() -> None:
    """§3.9 [D]: 250 + 100 are 350, trued up by 150 to 500; a credit of 50 leaves NET 450; a charge of 20, TOTAL 470."""
    plan = price_plan(
        usage_card(SlabSample("0", "2"), SlabSample("100", "1")), fixed_fee("100"), commitment="500", cycle=monthly("1")
    )
    invoice = draft_invoice_of(
        BILLED,
        organisation_id="org",
        cycle=cycle_in(plan, JANUARY),
        usage=[UsageLine(meter_id="um.1", meter_version=1, name="Calls", units=Decimal(150), event_count=1)],
        computed_at=datetime(2024, 1, 20, tzinfo=UTC),
        adjustments=Adjustments(
            credits=(usable("credit.1", "50"),), charges=(MiscellaneousCharge(name="Handling", value="20"),)
        ),
    )
    found = {line.line_id: line.amount.amount for line in lines_of(invoice.revenue)}
    assert {line_id: found[line_id] for line_id in TREE} == TREE


TREE = {
    "USAGE_RATE_CARD_AMOUNT.um.1": 250,
    "FIXED_FEE_RATE_CARD_AMOUNT.add_on.1": 100,
    "SUB_TOTAL_AMOUNT": 350,
    "TRUE_UP_AMOUNT": 150,
    "PRICE_PLAN_AMOUNT": 500,
    "GROSS_AMOUNT": 500,
    "TOTAL_CREDITS": -50,
    "NET_AMOUNT": 450,
    "TOTAL_MISCELLANEOUS_CHARGES": 20,
    "TOTAL_AMOUNT": 470,
    "GRAND_TOTAL_AMOUNT": 470,
}


def test_the_samples_lines_add_up() -> None:
    """§3.9: the sample of the interface prints 981.94 as the sum of its two lines."""
    lines = [Money(amount=Decimal(text), currency="USD") for text in ("392.1", "589.94")]
    assert total(lines, currency="USD").amount == Decimal("982.04")


def test_overage_above_the_grant() -> None:
    """§3.11 [S], [D]: 20,000 are granted; of 7,000 more, 5,000 cost 0.05 and 2,000 cost 0.03: 250 + 60."""
    card = usage_card(SlabSample("0", "0.05"), SlabSample("5000", "0.03"))
    over = EXACT.subtract(Decimal(27_000), Decimal(20_000))
    assert price_usage(over, card, currency="USD").amount == 310


def test_only_fees_are_prorated() -> None:
    """§7, 34: of 11 to 30 November, two thirds of a fee of 90; a minimum of 50 and a slab's rates hold whole."""
    window = (date(2023, 11, 11), date(2023, 12, 1))
    fee = fixed_fee("90", prorated=True)
    charged = fee_in(fee, cycle_in(price_plan(fee), window), currency="USD")
    assert charged is not None
    assert charged.amount == 60
    clamped = usage_card(SlabSample("0", "1", minimum="50"))
    assert price_usage(Decimal(3), clamped, currency="USD").amount == 50
