"""Tax on an invoice: rates that the organisation has chosen, or the amounts that a function of the server's found.

Tax is on what is left after credits, with miscellaneous charges. It is exact, like every line, and below zero where
that is: what is given back had its tax too.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallybook.core.custom_amount import check_number, check_words, product
from tallybook.core.errors import Invalid
from tallybook.core.invoice import InvoiceLine, LineType
from tallybook.core.money import Money

TAX_LINES_MAX = 5  # a federation, its state, county, city, and one to spare
TAX_NAME_CHARACTERS_MAX = 100
TAX_NAME_DEFAULT = "Tax"
TAX_AMOUNTS_MAX = 20  # what a function may answer; it may tell categories of goods apart

_PERCENT = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,6})?|100", re.ASCII)
_ONE_PERCENT = Decimal("0.01")


class TaxRate(msgspec.Struct, frozen=True, kw_only=True):
    """So many percent, under that name."""

    name: str
    percent: Decimal


class TaxAmount(msgspec.Struct, frozen=True, kw_only=True):
    """An amount of tax in the invoice's currency, as a function found it."""

    name: str
    amount: Decimal


class TaxInputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the tax of an invoice is computed from: `amounts`, if a function has answered, else the `rates`."""

    rates: tuple[TaxRate, ...] = ()
    amounts: tuple[TaxAmount, ...] | None = None


def tax_rates(text: str) -> tuple[TaxRate, ...]:
    """The rates that a setting's text says. Raises `ValueError`.

    A number of percent, or lines such as `VAT: 19`. A rate of 0 without a name is no tax, with one it is shown.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= TAX_LINES_MAX:
        raise ValueError(text)
    rates = [_rate(line) for line in lines]
    return tuple(rate for rate in rates if rate.percent or rate.name != TAX_NAME_DEFAULT)


def _rate(line: str) -> TaxRate:
    name, _, percent = line.rpartition(":")
    name, percent = name.strip() or TAX_NAME_DEFAULT, percent.strip().removesuffix("%").strip()
    if not _PERCENT.fullmatch(percent) or len(name) > TAX_NAME_CHARACTERS_MAX:
        raise ValueError(line)
    return TaxRate(name=name, percent=Decimal(percent))


def check_tax_amounts(amounts: Sequence[TaxAmount]) -> None:
    """Refuse what cannot stand on an invoice. Raises `Invalid`."""
    if len(amounts) > TAX_AMOUNTS_MAX:
        raise Invalid(f"tax: at most {TAX_AMOUNTS_MAX} amounts on an invoice, found {len(amounts)}")
    for index, tax in enumerate(amounts):
        check_words(tax.name, f"tax[{index}].name", characters_max=TAX_NAME_CHARACTERS_MAX)
        check_number(tax.amount, f"tax[{index}].amount")


def tax_lines(tax: TaxInputs, taxed: Money) -> tuple[InvoiceLine, ...]:
    """A line for each tax on that amount, in their order."""
    if tax.amounts is not None:
        return tuple(_line(number, each.name, each.amount, taxed) for number, each in enumerate(tax.amounts, start=1))
    return tuple(
        _line(number, f"{each.name} {each.percent} %", _share(taxed.amount, each.percent), taxed)
        for number, each in enumerate(tax.rates, start=1)
    )


def _share(amount: Decimal, percent: Decimal) -> Decimal:
    return product(product(amount, percent), _ONE_PERCENT)


def _line(number: int, description: str, amount: Decimal, taxed: Money) -> InvoiceLine:
    return InvoiceLine(
        line_id=f"{LineType.TAX_AMOUNT.value}.{number}",
        line_type=LineType.TAX_AMOUNT,
        description=description,
        amount=Money(amount=amount, currency=taxed.currency),
    )
