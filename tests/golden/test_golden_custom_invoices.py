"""Invoices with what people add to them, each beside this file as text. The sums stand here, done by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
from price_plan_samples import SlabSample, cycle_in, fixed_fee, monthly, price_plan, usage_card

from tallybook.core.aggregation import Aggregation
from tallybook.core.credit import UsableCredit
from tallybook.core.custom_invoice import CustomInvoice, CustomLine
from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, InvoiceType, finalised
from tallybook.core.invoice_inputs import Adjustments, BilledMeter, HourOfUsage, InvoiceInputs, cycle_inputs
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.invoice_text import invoice_text
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.core.period import Window
from tallybook.core.tax import TaxInputs, TaxRate

HERE = Path(__file__).parent
ISSUED_AT = datetime(2024, 4, 2, 9, 30, tzinfo=UTC)
ACCOUNT = BilledAccount(
    account_id="ACC-17",
    account_name="A Sample Customer, Lisbon",
    customer_id="CUS-4",
    customer_name="A Sample Customer",
    customer_email="hello@example.com",
    email="bills@example.com",
    address=Address(city="Lisbon"),
    currency="EUR",
    net_term_days=30,
)
CUSTOM = CustomInvoice(
    invoice_id="inv.1zYnCiM9Bpg.lv25y",
    owner_id="ACC-17",
    start_date=date(2024, 3, 1),
    end_date=date(2024, 4, 1),
    lines=(
        CustomLine(description="Workshop in Lisbon", value=Decimal(1200)),
        CustomLine(description="Payout IMPS", rate=Decimal("0.001"), quantity=Decimal(32109)),
        CustomLine(description="For the late start", value=Decimal(-50)),
    ),
)


def test_custom_invoice_with_charges_and_tax() -> None:
    """1200 + 32.109 − 50 = 1182.109; 2 × 85.50 = 171 and a hundredth of 1200 = 12 make 1365.109.

    Tax of 19 % is 259.37071, so the total is 1624.47971, cut to 1624.47. Due 30 days after it was issued.
    """
    charges = (
        MiscellaneousCharge(name="Travel", rate=Decimal("85.50"), quantity=Decimal(2)),
        MiscellaneousCharge(name="Handling", value='{"*": [{"var": "CUSTOM_AMOUNT.1"}, 0.01]}'),
    )
    inputs = InvoiceInputs(
        organisation_id="org",
        invoice_type=InvoiceType.CUSTOM,
        account=ACCOUNT,
        custom=CUSTOM,
        adjustments=Adjustments(charges=charges, tax=TaxInputs(rates=(TaxRate(name="VAT", percent=Decimal(19)),))),
        number_prefix="2024-",
    )
    draft = invoice_of(inputs, {}, computed_at=ISSUED_AT)
    assert draft is not None
    issued = msgspec.structs.replace(finalised(draft, issued_at=ISSUED_AT), sequence_number=7)
    assert issued.total == Decimal("1624.47")
    assert issued.revenue.amount.amount == Decimal("1624.47971")
    assert invoice_text(issued) == (HERE / "custom_invoice_with_charges_and_tax.txt").read_text()


def test_commitment_credit_and_charge() -> None:
    """[D] §3.9: usage 250 + fee 100 = 350, commitment 500 → true-up 150; credits 50 → NET 450; charge 20 → TOTAL 470.

    The usage is 150: 100 × 2 + 50 × 1.
    """
    plan = price_plan(
        usage_card(SlabSample("0", "2"), SlabSample("100", "1")),
        fixed_fee("100", display_name="Platform"),
        commitment="500",
        cycle=monthly("1"),
    )
    credit = UsableCredit(
        credit_id="cred.1",
        purpose="Welcome",
        priority=1,
        effective_from=date(2024, 1, 1),
        created_at=ISSUED_AT,
        left=Decimal(50),
    )
    inputs = InvoiceInputs(
        organisation_id="org",
        account=msgspec.structs.replace(ACCOUNT, currency="USD"),
        cycle=cycle_inputs(cycle_in(plan, Window(date(2024, 3, 1), date(2024, 4, 1))), None),
        meters=(BilledMeter(meter_id="um.1", version=1, name="Requests", aggregation=Aggregation.COUNT),),
        usage={"um.1": (HourOfUsage(475_000, Decimal(150), 150),)},
        adjustments=Adjustments(credits=(credit,), charges=(MiscellaneousCharge(name="Courier", value="20"),)),
    )
    draft = invoice_of(inputs, {(plan.plan_id, plan.version): plan}, computed_at=ISSUED_AT)
    assert draft is not None
    issued = finalised(draft, issued_at=ISSUED_AT)
    assert issued.total == 470
    assert invoice_text(issued) == (HERE / "commitment_credit_and_charge.txt").read_text()
