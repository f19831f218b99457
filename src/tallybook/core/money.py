"""Currencies, amounts that carry theirs, and the one place where an amount is rounded.

Amounts are exact everywhere else. What a reader of an invoice sees is cut toward zero to the currency's minor unit
by `cut_to_minor_unit`, each line by itself; a total is the exact sum, then cut.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from tallybook.core.decimals import EXACT, ZERO, truncate_to
from tallybook.core.errors import Invalid

_TWO_DIGITS = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
    CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN
    NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC
    SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DIGITS = "CLF UYW"

MINOR_UNIT_DIGITS: dict[str, int] = {
    **dict.fromkeys(_TWO_DIGITS.split(), 2),
    **dict.fromkeys(_NO_DIGITS.split(), 0),
    **dict.fromkeys(_THREE_DIGITS.split(), 3),
    **dict.fromkeys(_FOUR_DIGITS.split(), 4),
}
"""Digits after the point of each ISO 4217 currency; metals, funds and test codes have none and are left out."""


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """An exact amount of one currency."""

    amount: Decimal
    currency: str

    def __add__(self, other: "Money") -> "Money":
        assert self.currency == other.currency, f"adding {other.currency} to {self.currency}"
        return Money(amount=EXACT.add(self.amount, other.amount), currency=self.currency)

    def __sub__(self, other: "Money") -> "Money":
        assert self.currency == other.currency, f"subtracting {other.currency} from {self.currency}"
        return Money(amount=EXACT.subtract(self.amount, other.amount), currency=self.currency)


def total(amounts: Iterable[Money], *, currency: str) -> Money:
    """Add up exactly; nothing adds up to zero of `currency`."""
    return sum(amounts, start=Money(amount=ZERO, currency=currency))


def minor_unit_digits(currency: str) -> int:
    """Digits after the point of `currency`: 2 for dollars, 0 for yen, 3 for Kuwaiti dinars. Raises `Invalid`."""
    digits = MINOR_UNIT_DIGITS.get(currency)
    if digits is None:
        raise Invalid(f"currency: {currency!r} is not an ISO 4217 currency code such as USD", code="UNKNOWN_CURRENCY")
    return digits


def cut_to_minor_unit(money: Money) -> Decimal:
    """Round, the only time an amount is rounded: toward zero to the currency's minor unit. 0.019 USD is 0.01."""
    cut = truncate_to(money.amount, places=minor_unit_digits(money.currency))
    return abs(cut) if cut.is_zero() else cut  # no reader should meet a minus zero
