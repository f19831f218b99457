"""The function of the operator's that is asked for tax: found by name, and held to what may stand on an invoice."""

from decimal import Decimal
from typing import Any, cast

import pytest

from tallybook.core.errors import Conflict, Invalid
from tallybook.core.invoice import Invoice
from tallybook.core.tax import TaxAmount
from tallybook.flows.ask_tax import asked_tax, tax_function

INVOICE = cast("Invoice", None)


def tax_of_the_tests(_invoice: Invoice) -> list[tuple[str, Decimal]]:
    return [("VAT", Decimal("1.9"))]


def answering(answer: Any) -> Any:
    return lambda _invoice: answer


def test_a_function_is_found_by_its_name() -> None:
    """`module:function`; an empty setting asks nobody."""
    found = tax_function(f"{__name__}:tax_of_the_tests")
    assert found is not None
    assert asked_tax(found, INVOICE) == (TaxAmount(name="VAT", amount=Decimal("1.9")),)
    assert tax_function("") is None


@pytest.mark.parametrize("place", ["no_such_module:tax", f"{__name__}:no_such_function"])
def test_a_function_that_is_not_there_stops_the_start(place: str) -> None:
    """The setting is named."""
    with pytest.raises(Invalid, match="tax_function"):
        tax_function(place)


@pytest.mark.parametrize(("answer", "amounts"), [(None, None), ([], ()), ((("a", Decimal(1)),), 1)])
def test_it_may_answer_nothing(answer: Any, amounts: Any) -> None:
    """None leaves the rates as they are, an empty list is no tax."""
    found = asked_tax(answering(answer), INVOICE)
    assert (None if found is None else () if not found else len(found)) == amounts


@pytest.mark.parametrize(
    "answer",
    ["19", 19, [19], [("VAT",)], [("VAT", 1.9)], [("VAT", "1.9")], [(" ", Decimal(1))], [("VAT", Decimal("Infinity"))]],
)
def test_what_is_no_tax_refuses_the_invoice(answer: Any) -> None:
    """Money that went through a binary number above all."""
    with pytest.raises(Conflict, match="the tax function") as caught:
        asked_tax(answering(answer), INVOICE)
    assert caught.value.code == "TAX_FUNCTION_FAILED"


def test_a_function_that_fails_refuses_the_invoice() -> None:
    """This one waits, with what the function said; others go on."""

    def broken(_invoice: Invoice) -> None:
        raise LookupError("no rate for this place")

    with pytest.raises(Conflict, match="LookupError: no rate for this place"):
        asked_tax(broken, INVOICE)
