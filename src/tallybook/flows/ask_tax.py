"""Asking the function that an operator has named what tax an invoice has, when the invoice is finalised.

It is called inside the transaction that issues the invoice, which may be rolled back and tried again: so it has to
answer from what is at hand, quickly, and may be asked twice about one invoice. What it answers is kept with the inputs.
"""

from collections.abc import Callable
from decimal import Decimal
from importlib import import_module

from tallybook.core.errors import Conflict, Invalid
from tallybook.core.invoice import Invoice
from tallybook.core.tax import TaxAmount, check_tax_amounts

TaxFunction = Callable[[Invoice], object]
"""From an invoice with the tax of its rates to pairs of a name and an amount; or to None, which leaves it as it is."""


def tax_function(place: str) -> TaxFunction | None:
    """The function that `module:function` names; None where nothing is named. Raises `Invalid`."""
    if not place:
        return None
    module, _, name = place.partition(":")
    try:
        found: TaxFunction = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise Invalid(f"tax_function: {place!r} cannot be imported: {error}") from None
    return found


def asked_tax(function: TaxFunction, invoice: Invoice) -> tuple[TaxAmount, ...] | None:
    """What the function answers about the invoice. Raises `Conflict`, so that this one invoice waits."""
    try:
        answer = function(invoice)
    except Exception as error:  # it is not ours, and whatever it raises, the other invoices go on
        raise _refused(f"failed with {type(error).__name__}: {error}") from error
    if answer is None:
        return None
    amounts = _amounts(answer)
    try:
        check_tax_amounts(amounts)
    except Invalid as error:
        raise _refused(f"answered {error.message}") from None
    return amounts


def _amounts(answer: object) -> tuple[TaxAmount, ...]:
    if not isinstance(answer, list | tuple):
        raise _refused("must answer None, or a list of names with their amounts")
    return tuple(_amount(pair) for pair in answer)


def _amount(pair: object) -> TaxAmount:
    match pair:
        case (str() as name, Decimal() as amount):
            return TaxAmount(name=name, amount=amount)
        case _:
            raise _refused("must answer pairs of a text and a Decimal")


def _refused(problem: str) -> Conflict:
    return Conflict(f"the tax function {problem}", code="TAX_FUNCTION_FAILED")
