"""What people add to an invoice, on paper: lines written by hand, charges, credits and tax."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from tallybook.core.credit import UsableCredit
from tallybook.core.custom_invoice import CustomInvoice, CustomLine
from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, Invoice, InvoiceType, finalised
from tallybook.core.invoice_inputs import Adjustments, InvoiceInputs
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.invoice_paper import InvoicePaper, PaperRow, invoice_paper
from tallybook.core.letterhead import Letterhead
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.core.tax import TaxInputs, TaxRate

NOW = datetime(2024, 4, 2, tzinfo=UTC)
ACCOUNT = BilledAccount(
    account_id="a",
    account_name="Account",
    customer_id="c",
    customer_name="Customer",
    customer_email="a@b.example",
    email="a@b.example",
    address=Address(),
    currency="USD",
)
WORKSHOP = CustomLine(description="Workshop", value=Decimal(100))
PAYOUT = CustomLine(description="Payout", rate=Decimal("0.001"), quantity=Decimal(32000))


def issued(*lines: CustomLine, **adjustments: object) -> Invoice:
    custom = CustomInvoice(
        invoice_id="inv.1", owner_id="a", start_date=date(2024, 3, 1), end_date=date(2024, 4, 1), lines=lines
    )
    inputs = InvoiceInputs(
        organisation_id="org",
        invoice_type=InvoiceType.CUSTOM,
        account=ACCOUNT,
        custom=custom,
        adjustments=msgspec.convert(adjustments, Adjustments),
        number_prefix="A-",
    )
    draft = invoice_of(inputs, {}, computed_at=NOW)
    assert draft is not None
    return msgspec.structs.replace(finalised(draft, issued_at=NOW), sequence_number=7)


def printed(invoice: Invoice) -> InvoicePaper:
    return invoice_paper(invoice, Letterhead(lines=("Acme",)), working=False)


def texts(rows: tuple[PaperRow, ...]) -> list[tuple[int, str, str]]:
    return [(row.depth, row.description, row.amount) for row in rows]


def test_lines_written_by_hand_are_the_table() -> None:
    """With quantity and rate where they have them; the total stands once."""
    paper = printed(issued(WORKSHOP, PAYOUT))
    assert [(row.description, row.quantity, row.rate, row.amount) for row in paper.rows] == [
        ("Workshop", "", "", "100.00"),
        ("Payout", "32,000", "0.001", "32.00"),
    ]
    assert texts(paper.sums) == [(0, "Total USD", "132.00")]


def test_charges_stand_in_the_table_credits_and_tax_below_it() -> None:
    """100 less 30 of credit, 20 and 10 of charges, and 10 % of these 100."""
    credit = UsableCredit(
        credit_id="cred.1",
        purpose="Welcome",
        priority=1,
        effective_from=date(2024, 1, 1),
        created_at=NOW,
        left=Decimal(30),
    )
    charges = (
        MiscellaneousCharge(name="Courier", value="20"),
        MiscellaneousCharge(name="Travel", rate=Decimal(5), quantity=Decimal(2)),
    )
    rates = (TaxRate(name="State", percent=Decimal(8)), TaxRate(name="City", percent=Decimal(2)))
    paper = printed(issued(WORKSHOP, credits=(credit,), charges=charges, tax=TaxInputs(rates=rates)))
    assert [row.description for row in paper.rows] == ["Items", "Workshop", "Other charges", "Courier", "Travel"]
    assert texts(paper.sums) == [
        (1, "Subtotal", "100.00"),
        (1, "Credits: Welcome", "-30.00"),
        (0, "Subtotal after credits", "70.00"),
        (0, "Other charges", "30.00"),
        (1, "State 8 %", "8.00"),
        (1, "City 2 %", "2.00"),
        (0, "Tax", "10.00"),
        (0, "Total USD", "110.00"),
    ]


def test_the_number_stands_at_the_head() -> None:
    """With its prefix, and the id below it as the reference."""
    paper = printed(issued(WORKSHOP))
    assert paper.number == "A-7"
    facts = {fact.label: fact.value for fact in paper.facts}
    assert (facts["Invoice number"], facts["Reference"]) == ("A-7", "inv.1")
