"""Invoices a person can read, each beside this file as text. The sums stand here, done by hand.

A difference means that a customer would read or pay something else: look at it before changing the text.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from invoice_samples import draft_advance_invoice_of, draft_invoice_of
from price_plan_samples import (
    FLAT,
    VOLUME,
    SlabSample,
    bounds,
    cycle_in,
    fixed_fee,
    licence_card,
    monthly,
    price_plan,
    usage_card,
)
from pricing_rule_samples import rule, var

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, Invoice, UsageLine, finalised
from tallybook.core.invoice_text import invoice_text
from tallybook.core.licence import HeldRun, runs_within
from tallybook.core.period import PricingInterval, Window, grace_deadline
from tallybook.core.price_plan import PricePlan

HERE = Path(__file__).parent
COMPUTED_AT = datetime(2024, 3, 20, 8, 30, tzinfo=UTC)


def account(currency: str = "USD", *, net_term_days: int = 30) -> BilledAccount:
    return BilledAccount(
        account_id="ACC-17",
        account_name="A Sample Customer, Lisbon",
        customer_id="CUS-4",
        customer_name="A Sample Customer",
        customer_email="hello@example.com",
        email="bills@example.com",
        address=Address(city="Lisbon"),
        currency=currency,
        net_term_days=net_term_days,
    )


def used(name: str, units: str, *, meter_id: str = "um.1") -> UsageLine:
    return UsageLine(meter_id=meter_id, meter_version=1, name=name, units=Decimal(units), event_count=1)


def draft(
    plan: PricePlan,
    *usage: UsageLine,
    currency: str = "USD",
    window: tuple[str, str] = ("2024-03-01", "2024-04-01"),
    charged: Mapping[str, Decimal] | None = None,
    following: tuple[str, str] | None = None,
    held: Mapping[str, tuple[HeldRun, ...]] | None = None,
) -> Invoice:
    return draft_invoice_of(
        account(currency),
        organisation_id="org",
        cycle=cycle_in(plan, days(window), held=held_in(held, days(window))),
        usage=usage,
        computed_at=COMPUTED_AT,
        charged=charged,
        following=None if following is None else following_cycle(plan, days(following), held),
    )


def following_cycle(plan: PricePlan, window: Window, held: Mapping[str, tuple[HeldRun, ...]] | None) -> BilledCycle:
    return cycle_in(plan, window, number=1, held=held_in(held, window))


def held_in(held: Mapping[str, tuple[HeldRun, ...]] | None, window: Window) -> dict[str, tuple[HeldRun, ...]]:
    return {add_on_id: runs_within(runs, window) for add_on_id, runs in (held or {}).items()}


def days(window: tuple[str, str]) -> Window:
    return Window(date.fromisoformat(window[0]), date.fromisoformat(window[1]))


def issued(invoice: Invoice) -> Invoice:
    return finalised(invoice, issued_at=grace_deadline(invoice.end_date, invoice.grace_days))


def every_price_type_with_true_up() -> Invoice:
    """Tiered 2,500 calls: 1,000×0.05 + 1,000×0.04 + 500×0.03 = 50 + 40 + 15 = 105.
    Volume 12,000 messages: 12,000×0.008 = 96. Packages: 2,345 GB in packages of 1,000 = 3 × 25 = 75.
    Flat: 10. Usage 105 + 96 + 75 + 10 = 286; commitment 500; true-up 214; total 500.
    """
    plan = price_plan(
        usage_card(
            SlabSample("0", "0.05"), SlabSample("1000", "0.04"), SlabSample("2000", "0.03"), display_name="API calls"
        ),
        usage_card(
            SlabSample("0", "0.01"),
            SlabSample("10000", "0.008"),
            model=VOLUME,
            meter_id="um.2",
            display_name="Messages",
        ),
        usage_card(SlabSample("0", "25", package="1000"), meter_id="um.3", display_name="Traffic, GB"),
        usage_card(SlabSample("0", "10", FLAT), meter_id="um.4", display_name="Support"),
        commitment="500",
        cycle=monthly("1", grace_days=2),
        name="Growth",
    )
    return issued(
        draft(
            plan,
            used("calls", "2500"),
            used("messages", "12000", meter_id="um.2"),
            used("traffic", "2345", meter_id="um.3"),
            used("tickets", "3", meter_id="um.4"),
        )
    )


def yen_without_decimals() -> Invoice:
    """1,234 × 0.5 = 617; 333 × 0.7 = 233.1, shown 233. 617 + 233.1 = 850.1, shown 850."""
    plan = price_plan(
        usage_card(SlabSample("0", "0.5"), display_name="Requests", currencies=("JPY",)),
        usage_card(SlabSample("0", "0.7"), meter_id="um.2", display_name="Images", currencies=("JPY",)),
        currencies=("JPY",),
    )
    return issued(draft(plan, used("requests", "1234"), used("images", "333", meter_id="um.2"), currency="JPY"))


def stub_cycle_with_cut_lines() -> Invoice:
    """Joined on 18 March, monthly from the 1st: the first cycle is 18 to 31 March. Nothing is prorated.
    3 × 0.115 = 0.345, shown 0.34; 7 × 0.105 = 0.735, shown 0.73; together 1.08, not 0.34 + 0.73 = 1.07.
    """
    plan = price_plan(
        usage_card(SlabSample("0", "0.115"), display_name="Scans"),
        usage_card(SlabSample("0", "0.105"), meter_id="um.2", display_name="Prints"),
        cycle=monthly("1", grace_days=5),
    )
    return issued(
        draft(
            plan,
            used("scans", "3"),
            used("prints", "7", meter_id="um.2"),
            window=("2024-03-18", "2024-04-01"),
        )
    )


def tags_and_bounds() -> Invoice:
    """Emails: 40 × 0.01 = 0.40, at least 5.00 by its slab. Texts: 900 × 0.10 = 90, the card at most 75: −15.
    Both under one tag: 5 + 75 = 80. Calls: 10 × 1.5 = 15. Total 95.
    """
    plan = price_plan(
        usage_card(SlabSample("0", "0.01", minimum="5"), display_name="Emails", tag="Messaging"),
        usage_card(SlabSample("0", "1.5"), meter_id="um.2", display_name="Calls"),
        usage_card(
            SlabSample("0", "0.1"),
            meter_id="um.3",
            display_name="Texts",
            tag="Messaging",
            card_bounds=bounds(maximum="75"),
        ),
    )
    return issued(
        draft(
            plan,
            used("emails", "40"),
            used("calls", "10", meter_id="um.2"),
            used("texts", "900", meter_id="um.3"),
        )
    )


def nothing_used() -> Invoice:
    """No usage, no commitment: zero, which is paid at once."""
    return issued(draft(price_plan(usage_card(SlabSample("0", "2"))), used("Requests", "0")))


def money_back() -> Invoice:
    """Returns exceed sales: −12 × 2.50 = −30. Nothing to pay, the refund is complete."""
    return issued(draft(price_plan(usage_card(SlabSample("0", "2.5"))), used("Items sold", "-12")))


def running_draft() -> Invoice:
    """So far 150 units: 100 × 2 + 50 × 1 = 250."""
    plan = price_plan(usage_card(SlabSample("0", "2"), SlabSample("100", "1")), cycle=monthly("1", grace_days=3))
    return draft(plan, used("Compute hours", "150"))


def fees_in_advance_and_in_arrears() -> Invoice:
    """Joined on 11 March; the plan bills from the 1st. Platform, 90 a month by days: 21 of 31 days are 60.967…,
    shown 60.96. Support, 30 a month whole. Calls 250 × 0.10 = 25. Together 115.967…; commitment 150 leaves 34.032…,
    shown 34.03. The console, 49 a month in advance: 49 for April. Total 199.
    """
    plan = price_plan(
        usage_card(SlabSample("0", "0.1"), display_name="API calls"),
        fixed_fee("90", prorated=True, display_name="Platform"),
        fixed_fee("30", add_on_id="add_on.2", display_name="Support"),
        fixed_fee("49", add_on_id="add_on.3", advance=True, display_name="Console"),
        commitment="150",
        cycle=monthly("1", grace_days=2),
        name="Growth",
    )
    return issued(
        draft(
            plan,
            used("calls", "250"),
            window=("2024-03-11", "2024-04-01"),
            charged={"add_on.3": Decimal(49)},
            following=("2024-04-01", "2024-05-01"),
        )
    )


def charged_when_the_plan_begins() -> Invoice:
    """The console, 49 a month; the set-up, 200 once: 249 on the day the plan begins."""
    plan = price_plan(
        fixed_fee("49", advance=True, display_name="Console"),
        fixed_fee("200", add_on_id="add_on.2", advance=True, one_time=True, display_name="Set-up"),
        cycle=monthly("1", grace_days=2),
        name="Growth",
    )
    window = (date(2024, 3, 11), date(2024, 4, 1))
    drawn_up = draft_advance_invoice_of(
        account(), organisation_id="org", cycle=cycle_in(plan, window), charged={}, computed_at=COMPUTED_AT
    )
    assert drawn_up is not None
    return finalised(drawn_up, issued_at=datetime(2024, 3, 11, tzinfo=UTC))


def advance_of_a_plan_that_ended_early() -> Invoice:
    """The console, 93 a month by days, was charged for all of March; the plan ended on the 20th:
    20 of 31 days are 60, so 33 come back.
    """
    plan = price_plan(
        usage_card(SlabSample("0", "2")),
        fixed_fee("93", advance=True, prorated=True, display_name="Console"),
        name="Growth",
    )
    window = ("2024-03-01", "2024-03-21")
    return issued(draft(plan, used("Requests", "25"), window=window, charged={"add_on.1": Decimal(93)}))


def licences_by_days() -> Invoice:
    """Seats at 30, in arrears by days: 10 for 15 days, 12 for 10 days, 10 for 6 days of March:
    300 × 15 ÷ 31 = 145.16…; 360 × 10 ÷ 31 = 116.12…; 300 × 6 ÷ 31 = 58.06…; together 319.354…, shown 319.35.
    Desks, 8 held at once: the first five for 100 together, three more at 15: 145.
    """
    plan = price_plan(
        licence_card(SlabSample("0", "30"), prorated=True, display_name="Seats"),
        licence_card(SlabSample("0", "100", FLAT), SlabSample("5", "15"), add_on_id="add_on.2", display_name="Desks"),
        name="Office",
    )
    seats = (
        HeldRun(date(2024, 3, 1), date(2024, 3, 16), Decimal(10)),
        HeldRun(date(2024, 3, 16), date(2024, 3, 26), Decimal(12)),
        HeldRun(date(2024, 3, 26), date(2024, 4, 1), Decimal(10)),
    )
    desks = (HeldRun(date(2024, 3, 1), date(2024, 4, 1), Decimal(8)),)
    return issued(draft(plan, held={"add_on.1": seats, "add_on.2": desks}))


def licences_in_advance_and_by_weeks() -> Invoice:
    """Seats at 31, in advance by days: 10 were charged for March, 310. Two more from the 16th, for 16 of 31 days, are
    32: 342 are due, 32 more. April has 12: 372. Passes, a usage cycle of a week at 7 each, in arrears: 2 in each of the
    four weeks and in the rest of March, five times 14 are 70.
    """
    plan = price_plan(
        licence_card(SlabSample("0", "31"), advance=True, prorated=True, display_name="Seats"),
        licence_card(
            SlabSample("0", "7"), add_on_id="add_on.2", usage_cycle=PricingInterval.WEEKLY, display_name="Passes"
        ),
        name="Office",
    )
    seats = (
        HeldRun(date(2024, 3, 1), date(2024, 3, 16), Decimal(10)),
        HeldRun(date(2024, 3, 16), date(2024, 5, 1), Decimal(12)),
    )
    passes = (HeldRun(date(2024, 3, 1), date(2024, 5, 1), Decimal(2)),)
    return issued(
        draft(
            plan,
            held={"add_on.1": seats, "add_on.2": passes},
            charged={"add_on.1": Decimal(310)},
            following=("2024-04-01", "2024-05-01"),
        )
    )


def pricing_rules() -> Invoice:
    """Seats, 5 at 20: 100. Call minutes, 7,200 at 0.10: 720; 1,000 are free for each seat, so 5,000 × 0.10 = 500 off.
    Photos, 3,000 at 0.50, of which 75 a day are free: 31 × 75 = 2,325, so 675 × 0.50 = 337.50.
    Platform: 60 instead of 90. 100 + 720 + 337.50 + 60 − 500 = 717.50.
    """
    month = {"duration.as": [{"duration.between": [var("invoice.start_date"), var("invoice.end_date")]}, "DAYS"]}
    free_photos = {"max": [{"-": [var("usage.urc.um.2"), {"*": [month, 75]}]}, 0]}
    free_minutes = {"min": [{"*": [var("usage.lic.add_on.1"), 1000, 0.1]}, var("revenue.urc.um.1")]}
    plan = price_plan(
        licence_card(SlabSample("0", "20"), display_name="Seats"),
        usage_card(SlabSample("0", "0.1"), display_name="Call minutes"),
        usage_card(SlabSample("0", "0.5"), meter_id="um.2", display_name="Photos"),
        fixed_fee("90", add_on_id="add_on.2", display_name="Platform"),
        name="Studio",
    )
    rules = (
        rule(free_photos, target="usage.urc.um.2", name="75 photos a day are free"),
        rule(60, target="revenue.ff.add_on.2", name="Price for old customers", order=2, rule_id="pp_rule.2"),
        rule({"-": [free_minutes]}, name="1,000 minutes free for each seat", order=3, rule_id="pp_rule.3"),
    )
    plan = msgspec.structs.replace(plan, pricing_rules=rules)
    seats = (HeldRun(date(2024, 3, 1), date(2024, 4, 1), Decimal(5)),)
    usage = (used("minutes", "7200"), used("photos", "3000", meter_id="um.2"))
    return issued(draft(plan, *usage, held={"add_on.1": seats}))


@pytest.mark.parametrize(
    ("make", "total"),
    [
        (pricing_rules, "717.50"),
        (every_price_type_with_true_up, "500.00"),
        (yen_without_decimals, "850"),
        (stub_cycle_with_cut_lines, "1.08"),
        (tags_and_bounds, "95.00"),
        (nothing_used, "0.00"),
        (money_back, "-30.00"),
        (running_draft, "250.00"),
        (fees_in_advance_and_in_arrears, "199.00"),
        (charged_when_the_plan_begins, "249.00"),
        (advance_of_a_plan_that_ended_early, "17.00"),
        (licences_by_days, "464.35"),
        (licences_in_advance_and_by_weeks, "474.00"),
    ],
)
def test_invoice_reads_as_it_always_did(make: Callable[[], Invoice], total: str) -> None:
    invoice = make()
    assert str(invoice.total) == total
    assert invoice_text(invoice) == (HERE / f"{make.__name__}.txt").read_text(encoding="utf-8")
