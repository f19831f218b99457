"""Invoices a person can read, each beside this file as text. The sums stand here, done by hand.

A difference means that a customer would read or pay something else: look at it before changing the text.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from price_plan_samples import FLAT, VOLUME, SlabSample, bounds, monthly, price_plan, usage_card

from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, Invoice, UsageLine, draft_invoice_of, finalised
from tallybook.core.invoice_text import invoice_text
from tallybook.core.period import Window, grace_deadline
from tallybook.core.price_plan import PricePlan

HERE = Path(__file__).parent


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
    computed_at: datetime = datetime(2024, 3, 20, 8, 30, tzinfo=UTC),
) -> Invoice:
    return draft_invoice_of(
        account(currency),
        organisation_id="org",
        plan=plan,
        window=Window(date.fromisoformat(window[0]), date.fromisoformat(window[1])),
        usage=usage,
        computed_at=computed_at,
    )


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


@pytest.mark.parametrize(
    ("make", "total"),
    [
        (every_price_type_with_true_up, "500.00"),
        (yen_without_decimals, "850"),
        (stub_cycle_with_cut_lines, "1.08"),
        (tags_and_bounds, "95.00"),
        (nothing_used, "0.00"),
        (money_back, "-30.00"),
        (running_draft, "250.00"),
    ],
)
def test_invoice_reads_as_it_always_did(make: Callable[[], Invoice], total: str) -> None:
    invoice = make()
    assert str(invoice.total) == total
    assert invoice_text(invoice) == (HERE / f"{make.__name__}.txt").read_text(encoding="utf-8")
