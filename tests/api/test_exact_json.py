"""JSON bodies: decimals to the last digit, as numbers or as strict text, and nothing else."""

import contextlib
from decimal import Decimal

import msgspec
import pytest

from tallybook.api.exact_json import decode_exactly
from tallybook.core.errors import Invalid


class Amount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    minimum_rate: Decimal | None = None


class Card(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rate: Decimal
    more: list[Amount] = []
    by_name: dict[str, Decimal] = {}
    text: str = ""


@pytest.mark.parametrize("number", ["12.50", "-0.1", "0", "1" * 512, f"0.{'1' * 512}", "1e2"])
def test_numbers_are_read_to_the_last_digit(number: str) -> None:
    """A JSON number is a decimal with the digits that were sent."""
    assert decode_exactly(f'{{"rate":{number}}}'.encode(), Card).rate == Decimal(number)


@pytest.mark.parametrize("text", ["12.50", "-0.1", "0", "007", "1" * 512])
def test_decimal_text_is_read_like_a_number(text: str) -> None:
    """Digits, a point and a minus are a decimal as text, too."""
    assert decode_exactly(f'{{"rate":"{text}"}}'.encode(), Card).rate == Decimal(text)


@pytest.mark.parametrize(
    "text", ["1_0", " 1", "1 ", "+1", "1e3", "NaN", "Infinity", "-inf", "sNaN", ".5", "5.", "١٢", "1" * 513, ""]
)
def test_text_that_only_python_takes_for_a_decimal_is_refused(text: str) -> None:
    """Separators, spaces, signs, exponents, names of no number and foreign digits: 400, wherever the field is."""
    for body, place in (
        (f'{{"rate":"{text}"}}', "rate"),
        (f'{{"rate":1,"more":[{{}},{{"minimumRate":"{text}"}}]}}', r"more\[1\].minimumRate"),
        (f'{{"rate":1,"by_name":{{"x":"{text}"}}}}', "by_name"),
    ):
        with pytest.raises(Invalid, match=rf"^{place}"):
            decode_exactly(body.encode(), Card)


def test_text_of_another_type_is_left_alone() -> None:
    """Only decimals are looked at; and of a name that stands there twice, the last one counts."""
    assert decode_exactly(b'{"rate":1,"text":"1_0"}', Card).text == "1_0"
    assert decode_exactly(b'{"rate":"1_0","rate":"10"}', Card).rate == 10


@pytest.mark.parametrize("number", ["1" * 5000, f"1.{'1' * 5000}", "1e99999", "-1e-99999"])
def test_enormous_numbers_are_no_fault_of_ours(number: str) -> None:
    """They are decimals, which the definitions bound, or a 400; never an exception of another kind."""
    with contextlib.suppress(Invalid):
        assert decode_exactly(f'{{"rate":{number}}}'.encode(), Card).rate == Decimal(number)
