"""The working of an invoice's lines, and what is paid of it, in words and figures: the same on paper and as text."""

from collections.abc import Iterator
from decimal import Decimal

from tallybook.core.decimals import plain_text
from tallybook.core.fixed_fee import FeeWorking
from tallybook.core.invoice import Invoice, InvoiceLine, spaced_text
from tallybook.core.money import Money, cut_to_minor_unit, minor_unit_digits
from tallybook.core.pricing import Clamp, PricedSlab
from tallybook.core.rate_card import PriceType
from tallybook.core.receivable import receivable_of


def working_words(slab: PricedSlab) -> str:
    """What is to be said of a slab besides quantity, rate and amount; follows the description."""
    words = ""
    if slab.price_type is PriceType.FLAT:
        words = ", flat fee"
    if slab.package_size is not None:
        words = f", {spaced_text(slab.quantity)} in packages of {spaced_text(slab.package_size)}"
    if slab.clamp is not None:
        words += ", minimum applied" if slab.clamp is Clamp.MINIMUM else ", maximum applied"
    return words


def days_words(fee: FeeWorking) -> str:
    """The share of the cycle that a fee was prorated to, if it was; follows the description."""
    return "" if fee.days is None else f", {fee.days} of {fee.days_in_cycle} days"


def multiplier(slab: PricedSlab) -> Decimal:
    """What the rate is multiplied by."""
    if slab.price_type is PriceType.FLAT:
        return Decimal(1)
    return slab.quantity if slab.packages is None else slab.packages


def rate_text(rate: Decimal, currency: str) -> str:
    """The rate with at least the currency's digits after the point, and as many as it has."""
    digits_given = len(plain_text(rate).partition(".")[2])
    return format(rate, f",.{max(digits_given, minor_unit_digits(currency))}f")


def payment_words(invoice: Invoice) -> list[tuple[str, str]]:
    """What is paid and what is still to be, below the total; nothing before anything is paid."""
    standing, currency = receivable_of(invoice, custom=None), invoice.account.currency
    if standing.paid == 0:
        return []
    return [("Paid", amount_text(standing.paid, currency)), ("To be paid", amount_text(standing.outstanding, currency))]


def amount_text(amount: Decimal, currency: str) -> str:
    """A whole number of minor units, with the currency's digits after the point."""
    return format(cut_to_minor_unit(Money(amount=amount, currency=currency)), ",f")


def lines_of(line: InvoiceLine) -> Iterator[InvoiceLine]:
    """The line and all below it, from above."""
    yield line
    for child in line.lines:
        yield from lines_of(child)
