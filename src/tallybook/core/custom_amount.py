"""Amounts that people put on invoices by hand: a number, or a rate for each of a quantity, and the words for them."""

from decimal import Decimal

from tallybook.core.decimals import EXACT, QUANTITY_DIGITS_MAX, within_quantity_bounds
from tallybook.core.errors import Invalid


def check_number(number: Decimal, where: str) -> None:
    """Refuse an amount that is no amount. Raises `Invalid`."""
    if not within_quantity_bounds(number):
        raise Invalid(f"{where}: a number of at most {QUANTITY_DIGITS_MAX} digits on either side of the point")


def check_product(rate: Decimal | None, quantity: Decimal | None, *, rate_field: str, where: str) -> Decimal:
    """What rate × quantity comes to. Raises `Invalid` when one is missing, or has too many digits."""
    if rate is None or quantity is None:
        raise Invalid(f"{where}: send value, or {rate_field} and quantity")
    check_number(rate, f"{where}.{rate_field}")
    check_number(quantity, f"{where}.quantity")
    amount = product(rate, quantity)
    check_number(amount, f"{where}: {rate_field} × quantity")
    return amount


def product(rate: Decimal, quantity: Decimal) -> Decimal:
    """Rate × quantity, exact; of numbers within their bounds, nothing is lost."""
    return EXACT.multiply(rate, quantity)


def check_words(text: str, where: str, *, characters_max: int) -> None:
    """Refuse a text that cannot stand on an invoice. Raises `Invalid`."""
    if not text.strip() or len(text) > characters_max:
        raise Invalid(f"{where}: 1 to {characters_max} characters, and not blank; found {len(text)}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid(f"{where}: half of a surrogate pair is not text")
