"""The composite invoice of a group, beside this file as text. The sums stand here, done by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
from composite_samples import GROUP
from invoice_samples import draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, fixed_fee, monthly, price_plan, usage_card

from tallybook.core.composite_invoice import composite_of
from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, Invoice, UsageLine, finalised
from tallybook.core.invoice_text import invoice_text
from tallybook.core.period import Window
from tallybook.core.price_plan import PricePlan

HERE = Path(__file__).parent
ISSUED_AT = datetime(2024, 4, 3, tzinfo=UTC)


def member(account_id: str, name: str, plan: PricePlan, *, calls: str) -> Invoice:
    """March of one account, due on 3 April."""
    draft = draft_invoice_of(
        BilledAccount(
            account_id=account_id,
            account_name=name,
            customer_id="CUS-4",
            customer_name="A Sample Customer",
            customer_email="hello@example.com",
            email="bills@example.com",
            address=Address(city="Lisbon"),
            currency="USD",
        ),
        organisation_id="org",
        cycle=cycle_in(plan, Window(date(2024, 3, 1), date(2024, 4, 1))),
        usage=[UsageLine(meter_id="um.1", meter_version=1, name="calls", units=Decimal(calls), event_count=1)],
        computed_at=ISSUED_AT,
    )
    return finalised(draft, issued_at=ISSUED_AT)


def composite_of_a_group() -> Invoice:
    """Laboratory: 1,000 × 0.05 + 1,500 × 0.04 = 50 + 60 = 110, and 190 to the commitment of 300.
    Shop: 33 × 0.125 = 4.125, shown as 4.12, and the fee of 19.99: 24.115, shown as 24.11.
    Both: 300 + 24.115 = 324.115, shown as 324.11.
    """
    calls = usage_card(SlabSample("0", "0.05"), SlabSample("1000", "0.04"), display_name="API calls")
    laboratory = price_plan(calls, commitment="300", cycle=monthly("1", grace_days=2), name="Growth")
    shop = price_plan(
        usage_card(SlabSample("0", "0.125"), display_name="API calls"),
        fixed_fee("19.99", add_on_id="add_on.2", display_name="Platform"),
        cycle=monthly("1", grace_days=2),
        name="Starter",
    )
    group = msgspec.structs.replace(GROUP, name="A Sample Customer, both houses")
    made = composite_of(
        group,
        [
            member("SHOP", "The shop", shop, calls="33"),
            member("LAB", "The laboratory", laboratory, calls="2500"),
        ],
        organisation_id="org",
        day=date(2024, 4, 3),
        computed_at=ISSUED_AT,
    )
    return finalised(made, issued_at=ISSUED_AT)


def test_composite_reads_as_it_always_did() -> None:
    composite = composite_of_a_group()
    assert str(composite.total) == "324.11"
    assert invoice_text(composite) == (HERE / "composite_of_a_group.txt").read_text(encoding="utf-8")
