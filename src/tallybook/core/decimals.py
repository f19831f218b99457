"""The one arithmetic of quantities and money: decimal, with every inexact result an error.

A function that does round says so in its name. A context set with `decimal.setcontext` would not
reach new threads, so nothing here relies on the current one: `EXACT` is passed, or its methods called.
"""

import re
from decimal import (
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
)

QUANTITY_DIGITS_MAX = 512
"""Digits before, and digits after, the decimal point of any quantity.

The interface allows 512 before the point in an attribute value; the same bound after it, and on what a
meter computes, keeps every sum of up to 10**500 quantities inside `EXACT`'s precision.
"""

EXACT = Context(
    prec=4096,
    Emax=999_999,
    Emin=-999_999,
    rounding=ROUND_HALF_EVEN,
    traps=[Inexact, FloatOperation, InvalidOperation, DivisionByZero, Overflow],
)
"""Add, subtract and multiply with this; it raises `decimal.Inexact` where a digit would be lost."""

ZERO = Decimal(0)

QUOTIENT_DIGITS = 34
"""Significant digits of a quotient, those of IEEE 754 decimal128, unless the dividend has more."""

DECIMAL_TEXT = re.compile(rf"-?[0-9]{{1,{QUANTITY_DIGITS_MAX}}}(?:\.[0-9]{{1,{QUANTITY_DIGITS_MAX}}})?")
"""What a quantity looks like as text; use `fullmatch`. ASCII digits, no exponent, no leading plus."""


def plain_text(value: Decimal) -> str:
    """Write `value` without an exponent and without trailing zeros after the point: 1E+2 is 100."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def within_quantity_bounds(value: Decimal) -> bool:
    """Say whether `value` is finite and has at most `QUANTITY_DIGITS_MAX` digits on either side of the point."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        return False
    return value.adjusted() < QUANTITY_DIGITS_MAX and exponent >= -QUANTITY_DIGITS_MAX


def rounded_quotient(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Divide, rounding half to even at `QUOTIENT_DIGITS` digits, or at as many as the dividend has if more.

    Raises `ArithmeticError`: for a zero divisor, and beyond the exponents of `EXACT`.
    """
    if len(str(dividend)) <= QUOTIENT_DIGITS:  # the usual case, found fast: few characters are few digits
        return _DIVISION.divide(dividend, divisor)
    wider = _DIVISION.copy()
    wider.prec = max(QUOTIENT_DIGITS, len(dividend.as_tuple().digits))
    return wider.divide(dividend, divisor)


def truncate_to(value: Decimal, *, places: int) -> Decimal:
    """Cut `value` toward zero to `places` digits after the point."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_DOWN, context=_ROUNDING)


_ROUNDING = Context(prec=4096, Emax=999_999, Emin=-999_999, traps=[InvalidOperation, FloatOperation])

_DIVISION = Context(
    prec=QUOTIENT_DIGITS,
    Emax=999_999,
    Emin=-999_999,
    rounding=ROUND_HALF_EVEN,
    traps=[FloatOperation, InvalidOperation, DivisionByZero, Overflow],
)
