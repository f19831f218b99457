"""The independent calculation: on its own, and right where a person can do the sum."""

import ast
import sys
from fractions import Fraction

import pytest

from tallybook.demo import independent
from tallybook.demo.figures import CALCULATION


def imported_modules(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(name.name.partition(".")[0] for name in node.names)
        if isinstance(node, ast.ImportFrom):
            found.add("." * node.level if node.level else str(node.module).partition(".")[0])
    return found


def test_it_imports_the_standard_library_alone() -> None:
    """Else its agreement with the package would prove little."""
    source = CALCULATION.read_text(encoding="utf-8")
    assert imported_modules(source) <= sys.stdlib_module_names
    assert not any(word in source for word in ("__import__", "import_module", "exec(", "eval("))


def test_that_check_sees_an_import_of_the_package() -> None:
    assert imported_modules("def f():\n    from tallybook.core import pricing\nfrom . import flights\n") == {
        "tallybook",
        ".",
    }


@pytest.mark.parametrize(
    ("charge", "units", "amount"),
    [
        (independent.departures_charge, "0", "0"),
        (independent.departures_charge, "50", "1250"),
        (independent.departures_charge, "51", "2500"),
        (independent.miles_charge, "100000", "1250"),
        (independent.miles_charge, "154473", "1794.73"),  # 100,000 × 0.0125 + 54,473 × 0.01
        (independent.miles_charge, "1000002", "10250.015"),  # 1,250 + 900,000 × 0.01 + 2 × 0.0075
        (independent.jfk_charge, "50000", "4250"),
        (independent.jfk_charge, "50001", "3625.0725"),
        (independent.jfk_charge, "250001", "15000.06"),
        (independent.lateness_charge, "1000", "0"),
        (independent.lateness_charge, "8152.188", "2503.2658"),  # 7,152.188 × 0.35
        (independent.lateness_charge, "50000", "15000"),
    ],
)
def test_charges(charge: object, units: str, amount: str) -> None:
    assert callable(charge)
    assert charge(Fraction(units)) == Fraction(amount)


def test_an_invoice_is_cut_to_cents_line_by_line_and_the_total_once() -> None:
    """1,250 + 9.1625 is 1,259.1625; what is missing to 4,000 is 2,740.8375."""
    units = dict.fromkeys(independent.METERS, Fraction(0)) | {"departures": Fraction(1), "miles": Fraction(733)}
    named = independent.invoice("OO", "2013-01", units)
    assert named["charge for miles to OO for 2013-01"] == Fraction("9.16")
    assert named["true-up of OO for 2013-01"] == Fraction("2740.83")
    assert named["invoice to OO for 2013-01"] == 4000


@pytest.mark.parametrize("text", ["0", "0.001", "12.5", "1000", "-0.25", "8152.188"])
def test_figures_are_written_exactly(text: str) -> None:
    assert independent.decimal_text(Fraction(text)) == text
