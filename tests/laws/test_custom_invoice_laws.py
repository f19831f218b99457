"""Laws of what people add to invoices: every sum is exact, whatever is added."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from tallybook.core.custom_invoice import CustomInvoice, CustomLine, check_custom_invoice
from tallybook.core.customer import Address
from tallybook.core.expression_dialects import EXACT_DIALECT
from tallybook.core.invoice import BilledAccount, InvoiceLine, InvoiceType
from tallybook.core.invoice_inputs import Adjustments, InvoiceInputs
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.miscellaneous_charge import MiscellaneousCharge, check_charges
from tallybook.core.tax import TaxInputs, TaxRate

NOW = datetime(2024, 4, 2, tzinfo=UTC)
ACCOUNT = BilledAccount(
    account_id="a",
    account_name="a",
    customer_id="c",
    customer_name="c",
    customer_email="a@b.example",
    email="a@b.example",
    address=Address(),
    currency="USD",
)

amounts = st.decimals(min_value=-(10**15), max_value=10**15, allow_nan=False, allow_infinity=False)
percents = st.decimals(min_value=0, max_value=100, places=6)
lines = st.one_of(
    st.builds(CustomLine, description=st.just("a"), value=amounts),
    st.builds(CustomLine, description=st.just("a"), rate=amounts, quantity=amounts),
)
charges = st.one_of(
    st.builds(MiscellaneousCharge, name=st.just("a"), value=amounts.map(lambda amount: format(amount, "f"))),
    st.builds(MiscellaneousCharge, name=st.just("a"), rate=amounts, quantity=amounts),
    st.builds(
        MiscellaneousCharge,
        name=st.just("a"),
        value=st.integers(1, 7).map(lambda line: f'{{"*": [{{"var": "CUSTOM_AMOUNT.{line}"}}, 0.125]}}'),
    ),
)
rates = st.builds(TaxRate, name=st.just("VAT"), percent=percents)


def below(line: InvoiceLine) -> Iterator[InvoiceLine]:
    yield line
    for child in line.lines:
        yield from below(child)


@given(
    st.lists(lines, min_size=1, max_size=5).map(tuple),
    st.lists(charges, max_size=4).map(tuple),
    st.lists(rates, max_size=3).map(tuple),
)
def test_every_line_is_the_exact_sum_of_those_under_it(
    custom_lines: tuple[CustomLine, ...],
    added: tuple[MiscellaneousCharge, ...],
    taxes: tuple[TaxRate, ...],
) -> None:
    """Custom lines, charges and tax: a total has every digit of its parts, and tax is the percents of all before it."""
    custom = CustomInvoice(
        invoice_id="inv.1", owner_id="a", start_date=date(2024, 3, 1), end_date=date(2024, 4, 1), lines=custom_lines
    )
    check_custom_invoice(custom)
    check_charges(added, dialect=EXACT_DIALECT)
    inputs = InvoiceInputs(
        organisation_id="org",
        invoice_type=InvoiceType.CUSTOM,
        account=ACCOUNT,
        custom=custom,
        adjustments=Adjustments(charges=added, tax=TaxInputs(rates=taxes)),
    )
    invoice = invoice_of(inputs, {}, computed_at=NOW)
    assert invoice is not None
    with localcontext(prec=2_000):
        for line in below(invoice.revenue):
            if line.lines:
                assert line.amount.amount == sum(child.amount.amount for child in line.lines)
        written = sum(line.value if line.value is not None else line.rate * line.quantity for line in custom_lines)
        charged = sum(
            line.amount.amount for line in below(invoice.revenue) if line.line_id.startswith("MISCELLANEOUS_CHARGE.")
        )
        factor = 1 + sum(rate.percent for rate in taxes) / Decimal(100)
        assert invoice.revenue.amount.amount == (written + charged) * factor
