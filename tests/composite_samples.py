"""Finalised invoices of accounts, and a group to merge them for."""

from datetime import UTC, date, datetime
from decimal import Decimal

from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, Invoice, InvoiceLine, InvoiceStatus, LineType, invoice_id_for
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.core.money import Money

DAY = date(2024, 2, 3)
ISSUED_AT = datetime(2024, 2, 3, tzinfo=UTC)
GROUP = InvoiceGroup(
    group_id="inv_group.1",
    name="The whole house",
    email="house@example.com",
    address=Address(line1="2281 Broadway Street", city="Florence", country="US"),
    currency="USD",
    daily_consolidation=True,
    net_term_days=30,
)
_TREE = (
    (LineType.USAGE_RATE_CARD_AMOUNT, "Requests"),
    (LineType.SUB_TOTAL_AMOUNT, "Usage"),
    (LineType.PRICE_PLAN_AMOUNT, "Growth"),
    (LineType.GROSS_AMOUNT, "Gross amount"),
    (LineType.NET_AMOUNT, "Net amount"),
    (LineType.TOTAL_AMOUNT, "Total"),
    (LineType.GRAND_TOTAL_AMOUNT, "Grand total"),
)


def due(
    account_id: str, amount: str, *, end: date = date(2024, 2, 1), grace_days: int = 2, customer_id: str = "CUS"
) -> Invoice:
    """An invoice for January with one line of usage, or for the month before `end`."""
    start = date(end.year, end.month - 1, 1)
    return Invoice(
        invoice_id=invoice_id_for("org", account_id, start),
        status=InvoiceStatus.DUE,
        account=BilledAccount(
            account_id=account_id,
            account_name=f"Account {account_id}",
            customer_id=customer_id,
            customer_name=f"Customer {customer_id}",
            customer_email=f"{customer_id}@example.com",
            email="account@example.com",
            address=Address(city="Lisbon"),
            currency="USD",
        ),
        plan_id="pp.1",
        plan_version=1,
        plan_name="Growth",
        start_date=start,
        end_date=end,
        grace_days=grace_days,
        usage=(),
        revenue=_tree(Money(amount=Decimal(amount), currency="USD")),
        computed_at=ISSUED_AT,
        issued_at=ISSUED_AT,
    )


def _tree(amount: Money) -> InvoiceLine:
    lines: tuple[InvoiceLine, ...] = ()
    for line_type, description in _TREE:
        line = InvoiceLine(
            line_id=line_type.value, line_type=line_type, description=description, amount=amount, lines=lines
        )
        lines = (line,)
    return lines[0]
