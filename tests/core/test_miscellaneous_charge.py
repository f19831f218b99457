"""Charges that are added to one invoice by hand: numbers, rates for a quantity, rules over its lines (§3.9)."""

from decimal import Decimal

import pytest

from tallybook.core.errors import Conflict, Invalid, TooLarge
from tallybook.core.expression_dialects import EXACT_DIALECT, TOGAI_DIALECT
from tallybook.core.invoice import LineType
from tallybook.core.miscellaneous_charge import MiscellaneousCharge, charge_lines, check_charges

LINES = {"um.lineitem.id": Decimal(980), "USAGE_RATE_CARD_AMOUNT.um.1": Decimal("0.03")}


def amounts(*charges: MiscellaneousCharge, dialect: str = "exact") -> list[Decimal]:
    lines = charge_lines(charges, LINES, currency="USD", dialect=dialect)
    assert {line.line_type for line in lines} == {LineType.MISCELLANEOUS_CHARGE}
    return [line.amount.amount for line in lines]


def rule(text: str) -> MiscellaneousCharge:
    return MiscellaneousCharge(name="by rule", value=text)


def product(rate: str, quantity: str) -> MiscellaneousCharge:
    return MiscellaneousCharge(name="product", rate=Decimal(rate), quantity=Decimal(quantity))


def test_a_number_is_charged_as_it_is() -> None:
    """§3.9: value is a number in text; below zero it is a discount."""
    assert amounts(MiscellaneousCharge(name="a", value="100"), MiscellaneousCharge(name="b", value="-0.005")) == [
        Decimal(100),
        Decimal("-0.005"),
    ]


def test_rate_times_quantity() -> None:
    """[S] §3.9: rate 20 × quantity 10 → 200."""
    assert amounts(product("20", "10")) == [Decimal(200)]


@pytest.mark.parametrize("dialect", ["exact", "togai"])
def test_a_tenth_of_a_line(dialect: str) -> None:
    """[D] §3.9: `line × 0.1` of a line of 980 is 98; dots belong to the line's id."""
    assert amounts(rule('{"*": [{"var": "um.lineitem.id"}, 0.1]}'), dialect=dialect) == [Decimal(98)]


def test_nothing_is_cut() -> None:
    """A tenth of 0.03 is 0.003."""
    assert amounts(rule('{"*": [{"var": "USAGE_RATE_CARD_AMOUNT.um.1"}, 0.1]}')) == [Decimal("0.003")]


def test_a_line_that_the_invoice_does_not_have_is_nothing() -> None:
    """980 of one line and nothing of the other."""
    assert amounts(rule('{"+": [{"var": "um.lineitem.id"}, {"var": "um.none"}]}')) == [Decimal(980)]


def test_a_rule_that_fails_on_these_lines_says_which_charge() -> None:
    """Nothing is charged in its place: the invoice waits until somebody acts."""
    with pytest.raises(Conflict, match=r"'by rule' cannot be computed: .*/") as caught:
        amounts(rule('{"/": [100, {"var": "um.none"}]}'))
    assert caught.value.code == "CHARGE_FAILED"


def test_a_rule_that_the_dialect_of_now_cannot_read_says_so_too() -> None:
    """It was saved in `exact`, where a fold needs no beginning; `togai` wants one."""
    charge = rule('{"reduce": [[1, 2], {"+": [{"var": "accumulator"}, {"var": "current"}]}]}')
    with pytest.raises(Conflict, match="'by rule' cannot be computed"):
        amounts(charge, dialect="togai")


@pytest.mark.parametrize(
    ("charge", "message"),
    [
        (MiscellaneousCharge(name=" ", value="1"), r"items\[0\].name"),
        (MiscellaneousCharge(name="x" * 256, value="1"), r"items\[0\].name"),
        (MiscellaneousCharge(name="a"), r"send value, or rate and quantity"),
        (MiscellaneousCharge(name="a", rate=Decimal(1)), r"send value, or rate and quantity"),
        (MiscellaneousCharge(name="a", value="1", rate=Decimal(1)), "not both"),
        (product("NaN", "1"), r"items\[0\].rate"),
        (product("1E+500", "1E+500"), "rate × quantity"),
        (rule("ten"), r"items\[0\].value: neither a number such as 12.50 nor a rule"),
        (rule("1e3000"), r"items\[0\].value"),
        (rule('{"explode": [1]}'), "unknown operator"),
        (rule('{"/": [1, 0]}'), r"items\[0\].value"),
        (rule('"a"'), "yields no number"),
        (rule('{"==": [1, 1]}'), "not a number"),
        (rule('{"var": {"cat": ["a"]}}'), "written out"),
        (rule(" " * 1_501), "at most 1500"),
    ],
)
def test_what_could_never_be_charged_is_refused(charge: MiscellaneousCharge, message: str) -> None:
    """When it is saved, with the place."""
    with pytest.raises(Invalid, match=message):
        check_charges([charge], dialect=EXACT_DIALECT)


def test_a_rule_over_a_draft_names_only_lines_that_it_has() -> None:
    """A mistyped id would charge nothing without a word; on an invoice to come any name may be right."""
    charges = [rule('{"*": [{"var": "um.linitem.id"}, 0.1]}')]
    check_charges(charges, dialect=TOGAI_DIALECT)
    with pytest.raises(Invalid, match=r"unknown variable 'um.linitem.id'"):
        check_charges(charges, dialect=TOGAI_DIALECT, lines=LINES)


def test_at_most_fifty_charges() -> None:
    """The 51st is refused."""
    charge = MiscellaneousCharge(name="a", value="1")
    check_charges([charge] * 50, dialect=EXACT_DIALECT)
    with pytest.raises(TooLarge, match="at most 50"):
        check_charges([charge] * 51, dialect=EXACT_DIALECT)
