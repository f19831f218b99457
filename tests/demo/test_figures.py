"""The comparison behind "equal to the independent calculation": it can fail, and then names what differs."""

from decimal import Decimal

import pytest

from tallybook.demo.figures import differences
from tallybook.demo.screen import Screen
from tallybook.demo.story import EQUAL, Summary, conclude

FIGURES = {"usage of miles by UA in 2013-01": Decimal("6702412"), "invoice to UA for 2013-01": Decimal("192095.95")}


def test_equal_numbers_are_no_difference_however_written() -> None:
    assert differences(FIGURES, {name: value.quantize(Decimal("0.0001")) for name, value in FIGURES.items()}) == []


def test_a_cent_is_a_difference_with_a_name() -> None:
    tampered = {**FIGURES, "invoice to UA for 2013-01": Decimal("192095.96")}
    assert differences(FIGURES, tampered) == [
        "invoice to UA for 2013-01: Tallybook says 192095.95, the calculation 192095.96"
    ]


@pytest.mark.parametrize("extra", [Decimal(0), Decimal(7)])
def test_a_figure_that_one_side_lacks_is_a_difference(extra: Decimal) -> None:
    """Also when it is zero: nobody looked at it."""
    more = {**FIGURES, "usage of miles by ZZ in 2013-01": extra}
    assert differences(more, FIGURES) == [
        f"usage of miles by ZZ in 2013-01: Tallybook says {extra}, the calculation nothing"
    ]
    assert differences(FIGURES, more) == [
        f"usage of miles by ZZ in 2013-01: Tallybook says nothing, the calculation {extra}"
    ]


def test_differences_end_the_demo_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    found = differences(FIGURES, {})
    assert conclude(Screen(), Summary(differences=found, equal=False)) == 1
    shown = capsys.readouterr().out
    assert all(difference in shown for difference in found)
    assert EQUAL not in shown.splitlines()


def test_the_last_line_says_equal(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(Screen(), Summary(equal=True)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == EQUAL
