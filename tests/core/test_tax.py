"""Tax on what is left after credits and charges: the rates of a setting, or the amounts that a function answered."""

from decimal import Decimal

import pytest

from tallybook.core.errors import Invalid
from tallybook.core.invoice import InvoiceLine, LineType
from tallybook.core.money import Money
from tallybook.core.tax import TaxAmount, TaxInputs, TaxRate, check_tax_amounts, tax_lines, tax_rates


def shown(lines: tuple[InvoiceLine, ...]) -> list[tuple[str, Decimal]]:
    return [(line.description, line.amount.amount) for line in lines]


def usd(amount: str) -> Money:
    return Money(amount=Decimal(amount), currency="USD")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19", [("Tax", "19")]),
        ("8.875", [("Tax", "8.875")]),
        ("VAT: 19 %", [("VAT", "19")]),
        ("CGST: 9\nSGST: 9\n", [("CGST", "9"), ("SGST", "9")]),
        ("EU: VAT: 7", [("EU: VAT", "7")]),
        ("Reverse charge: 0", [("Reverse charge", "0")]),
        ("0", []),
        ("100", [("Tax", "100")]),
    ],
)
def test_a_setting_says_the_rates(text: str, expected: list[tuple[str, str]]) -> None:
    """A number of percent, or lines with names; 0 without a name is no tax."""
    assert tax_rates(text) == tuple(TaxRate(name=name, percent=Decimal(percent)) for name, percent in expected)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "VAT", "101", "-1", "1e1", "19.1234567", "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1", "x" * 101 + ": 1", "1٩"],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Nothing, no number, more than 100 percent, too many lines, a name too long."""
    with pytest.raises(ValueError):  # noqa: PT011 (the setting's own message says what is wanted)
        tax_rates(text)


def test_each_rate_is_a_line_of_the_same_amount() -> None:
    """9 % of 470 is 42.3, twice: one tax is not on the other."""
    rates = tax_rates("CGST: 9\nSGST: 9")
    lines = tax_lines(TaxInputs(rates=rates), usd("470"))
    assert shown(lines) == [("CGST 9 %", Decimal("42.3")), ("SGST 9 %", Decimal("42.3"))]
    assert [line.line_id for line in lines] == ["TAX_AMOUNT.1", "TAX_AMOUNT.2"]
    assert {line.line_type for line in lines} == {LineType.TAX_AMOUNT}


def test_tax_is_not_rounded() -> None:
    """8.875 % of 0.01 is 0.0008875, all of it."""
    [line] = tax_lines(TaxInputs(rates=tax_rates("8.875")), usd("0.01"))
    assert line.amount == usd("0.0008875")


def test_what_is_given_back_had_its_tax_too() -> None:
    """19 % of −100 is −19."""
    [line] = tax_lines(TaxInputs(rates=tax_rates("VAT: 19")), usd("-100"))
    assert line.amount == usd("-19")


def test_what_a_function_answered_takes_the_place_of_the_rates() -> None:
    """Its amounts stand as they are, and an answer without any is no tax."""
    rates = tax_rates("19")
    amounts = (TaxAmount(name="State of New York", amount=Decimal("4.125")),)
    assert shown(tax_lines(TaxInputs(rates=rates, amounts=amounts), usd("100"))) == [
        ("State of New York", Decimal("4.125"))
    ]
    assert tax_lines(TaxInputs(rates=rates, amounts=()), usd("100")) == ()


@pytest.mark.parametrize(
    "amounts",
    [
        [TaxAmount(name=" ", amount=Decimal(1))],
        [TaxAmount(name="x" * 101, amount=Decimal(1))],
        [TaxAmount(name="VAT", amount=Decimal("NaN"))],
        [TaxAmount(name="VAT", amount=Decimal("1E+600"))],
        [TaxAmount(name="VAT", amount=Decimal(1))] * 21,
    ],
)
def test_amounts_that_cannot_stand_on_an_invoice_are_refused(amounts: list[TaxAmount]) -> None:
    """A blank or endless name, no number, too many digits, too many lines."""
    with pytest.raises(Invalid, match="tax"):
        check_tax_amounts(amounts)
