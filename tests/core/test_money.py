from decimal import Decimal

import pytest

from tallybook.core.errors import Invalid
from tallybook.core.money import Money, cut_to_minor_unit, minor_unit_digits, total


def usd(amount: str) -> Money:
    return Money(amount=Decimal(amount), currency="USD")


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("USD", 2), ("EUR", 2), ("INR", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3), ("OMR", 3), ("CLF", 4)],
)
def test_minor_units_come_from_the_currency(currency: str, digits: int) -> None:
    """Dividing by 100 is wrong for yen and dinar."""
    assert minor_unit_digits(currency) == digits


@pytest.mark.parametrize("code", ["", "usd", "XAU", "XXX", "DOLLAR"])
def test_unknown_currency_is_refused(code: str) -> None:
    """A currency that ISO 4217 does not list, or that has no minor unit, cannot be billed in."""
    with pytest.raises(Invalid, match="ISO 4217"):
        minor_unit_digits(code)


@pytest.mark.parametrize(
    ("currency", "exact", "shown"),
    [
        ("USD", "0.001", "0.00"),  # the interface's own example
        ("USD", "0.01", "0.01"),
        ("USD", "0.019", "0.01"),
        ("USD", "-0.019", "-0.01"),
        ("USD", "-0.001", "0.00"),
        ("USD", "5", "5.00"),
        ("JPY", "99.999", "99"),
        ("KWD", "1.2345", "1.234"),
        ("USD", "1" * 60 + ".999", "1" * 60 + ".99"),
    ],
)
def test_amounts_are_cut_toward_zero(currency: str, exact: str, shown: str) -> None:
    """An amount is cut, never rounded up, and keeps its currency's digits."""
    assert str(cut_to_minor_unit(Money(amount=Decimal(exact), currency=currency))) == shown


def test_a_total_is_summed_before_it_is_cut() -> None:
    """Three times 0.005 dollars is 0.01, though each line shows 0.00."""
    lines = [usd("0.005")] * 3
    assert [str(cut_to_minor_unit(line)) for line in lines] == ["0.00"] * 3
    assert str(cut_to_minor_unit(total(lines, currency="USD"))) == "0.01"


def test_nothing_adds_up_to_zero() -> None:
    assert total([], currency="JPY") == Money(amount=Decimal(0), currency="JPY")


def test_adding_two_currencies_is_a_bug() -> None:
    """It fails at once rather than giving a number."""
    yen = Money(amount=Decimal(1), currency="JPY")
    with pytest.raises(AssertionError, match="adding JPY to USD"):
        usd("1") + yen
    with pytest.raises(AssertionError, match="subtracting JPY from USD"):
        usd("1") - yen
