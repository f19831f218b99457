"""Miscellaneous charges: what somebody adds to one invoice by hand, after credits and before tax.

A charge is a number, a rate for each of a quantity, or a rule in JSON Logic over the lines of the invoice. A rule sees
the exact amount of each line by the line's id, and the units of each line of usage; a line that the invoice does not
have is nothing.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from tallybook.core.custom_amount import check_product, check_words, product
from tallybook.core.decimals import DECIMAL_TEXT, ZERO, plain_text
from tallybook.core.errors import Conflict, Invalid, TooLarge
from tallybook.core.expression_functions import ExpressionError
from tallybook.core.expression_tree import Dialect
from tallybook.core.invoice import InvoiceLine, LineType, UsageLine, usage_line_id
from tallybook.core.invoice_words import lines_of
from tallybook.core.money import Money
from tallybook.core.rule_variable import check_computation, compiled_computation

CHARGES_MAX = 50  # of one invoice; the interface names none, and custom invoices have as many lines
CHARGE_NAME_CHARACTERS_MAX = 255  # the interface names none; what names of entities have
CHARGE_VALUE_CHARACTERS_MAX = 1_500  # the interface names none; what matchers of meters have
_FIRST_OF_A_RULE = '{["'  # what begins otherwise was meant as a number


class MiscellaneousCharge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One charge: `value` is a number in digits or a rule, or else it is `rate` × `quantity`.

    `considered_for_revenue` is kept for those who read it; figures of revenue are those of usage.
    """

    name: str
    value: str | None = None
    rate: Decimal | None = None
    quantity: Decimal | None = None
    considered_for_revenue: bool = False

    @property
    def shown_value(self) -> str:
        """The value, or what rate × quantity comes to."""
        if self.rate is not None and self.quantity is not None:
            return plain_text(product(self.rate, self.quantity))
        assert self.value is not None, "checked when the charge was saved"
        return self.value


# ---- saving ------------------------------------------------------------------------------------------------------


def check_charges(
    charges: Sequence[MiscellaneousCharge], *, dialect: Dialect, lines: Mapping[str, Decimal] | None = None
) -> None:
    """Refuse charges that could never be computed. Raises `Invalid`, naming the charge and the field.

    With `lines`, those that an invoice has now, rules that name another are refused too.
    """
    if len(charges) > CHARGES_MAX:
        raise TooLarge(f"items: at most {CHARGES_MAX} charges on an invoice, found {len(charges)}")
    for index, charge in enumerate(charges):
        _check_charge(charge, dialect, lines, f"items[{index}]")


def _check_charge(
    charge: MiscellaneousCharge, dialect: Dialect, lines: Mapping[str, Decimal] | None, where: str
) -> None:
    check_words(charge.name, f"{where}.name", characters_max=CHARGE_NAME_CHARACTERS_MAX)
    if charge.value is None:
        check_product(charge.rate, charge.quantity, rate_field="rate", where=where)
        return
    if charge.rate is not None or charge.quantity is not None:
        raise Invalid(f"{where}: send value, or rate and quantity, not both")
    if len(charge.value) > CHARGE_VALUE_CHARACTERS_MAX:
        raise TooLarge(f"{where}.value: at most {CHARGE_VALUE_CHARACTERS_MAX} characters, found {len(charge.value)}")
    if not DECIMAL_TEXT.fullmatch(charge.value):
        if charge.value.lstrip()[:1] not in _FIRST_OF_A_RULE:
            raise Invalid(f"{where}.value: neither a number such as 12.50 nor a rule in JSON Logic")
        check_computation(charge.value, known=lines, dialect=dialect, place=f"{where}.value")


# ---- computing ---------------------------------------------------------------------------------------------------


def variables_of(tree: InvoiceLine, usage: Sequence[UsageLine]) -> dict[str, Decimal]:
    """What rules see of an invoice: exact amounts of the net line and all below it, and units, by line id."""
    net = next(line for line in lines_of(tree) if line.line_type is LineType.NET_AMOUNT)
    amounts = {line.line_id: line.amount.amount for line in lines_of(net)}
    return {**{usage_line_id(line): line.units for line in usage}, **amounts}


def charge_lines(
    charges: Sequence[MiscellaneousCharge], variables: Mapping[str, Decimal], *, currency: str, dialect: str
) -> tuple[InvoiceLine, ...]:
    """A line for each charge, in their order. Raises `Conflict` where a rule fails for these variables."""
    return tuple(
        InvoiceLine(
            line_id=f"{LineType.MISCELLANEOUS_CHARGE.value}.{number}",
            line_type=LineType.MISCELLANEOUS_CHARGE,
            description=charge.name,
            amount=Money(amount=_amount(charge, variables, dialect), currency=currency),
            quantity=charge.quantity,
            rate=charge.rate,
        )
        for number, charge in enumerate(charges, start=1)
    )


def _amount(charge: MiscellaneousCharge, variables: Mapping[str, Decimal], dialect: str) -> Decimal:
    if charge.rate is not None and charge.quantity is not None:
        return product(charge.rate, charge.quantity)
    assert charge.value is not None, "checked when the charge was saved"
    if DECIMAL_TEXT.fullmatch(charge.value):
        return Decimal(charge.value)
    try:
        rule = compiled_computation(charge.value, dialect)
        result = rule.evaluate({name: variables.get(name, ZERO) for name in rule.names})
    except (Invalid, ExpressionError, ArithmeticError) as error:  # it is invalid where the dialect has changed since
        raise Conflict(f"the charge {charge.name[:100]!r} cannot be computed: {error}", code="CHARGE_FAILED") from None
    assert isinstance(result, Decimal), "a computation yields a number"
    return result
