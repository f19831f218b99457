"""What is posted for a cycle whose usage changed after it was invoiced. Amounts are done by hand."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from tallybook.core.invoice import InvoiceLine, LineType
from tallybook.core.late_usage import LATE_LINE, SaidLine, late_line, late_postings, said_lines
from tallybook.core.money import Money, cut_to_minor_unit
from tallybook.core.period import Window

CALLS = LineType.USAGE_RATE_CARD_AMOUNT
TRUE_UP = LineType.TRUE_UP_AMOUNT
MARCH = Window(date(2024, 3, 1), date(2024, 4, 1))


def calls(amount: str, quantity: str = "0") -> SaidLine:
    return SaidLine(
        line_id="USAGE_RATE_CARD_AMOUNT.um.1",
        line_type=CALLS,
        description="Calls",
        amount=Decimal(amount),
        quantity=Decimal(quantity),
    )


def true_up(amount: str) -> SaidLine:
    return SaidLine(
        line_id="TRUE_UP_AMOUNT", line_type=TRUE_UP, description="Minimum commitment", amount=Decimal(amount)
    )


def posted_for(
    now: Sequence[SaidLine], invoiced: Sequence[SaidLine], *posted: SaidLine, currency: str = "USD"
) -> InvoiceLine | None:
    return late_line(now, invoiced=invoiced, posted=posted, invoice_id="inv.1", window=MARCH, currency=currency)


def said_by(line: InvoiceLine | None) -> list[tuple[str, str, str | None]]:
    """The line, then those under it: description, amount, quantity."""
    assert line is not None
    return [
        (each.description, str(each.amount.amount), None if each.quantity is None else str(each.quantity))
        for each in (line, *line.lines)
    ]


# ---- one difference ----------------------------------------------------------------------------------------------


def test_a_card_that_costs_more_is_posted_with_its_quantity() -> None:
    """150 calls at 2 were 300; 20 more make 340: 40 for 20 calls."""
    line = posted_for([calls("340", "170")], [calls("300", "150")])
    assert said_by(line) == [
        ("Late usage and corrections, 1 March 2024 to 31 March 2024", "40.00", None),
        ("Calls", "40", "20"),
    ]


def test_what_was_taken_back_is_posted_below_zero() -> None:
    """300 were invoiced, 260 are due: the next invoice gives 40 back."""
    assert said_by(posted_for([calls("260", "130")], [calls("300", "150")]))[1:] == [("Calls", "-40", "-20")]


def test_a_true_up_shrinks_by_what_usage_meets_of_it() -> None:
    """Commitment 500: 300 and 200 true-up. 60 more of usage cost nothing more, and the invoice says why."""
    line = posted_for([calls("360"), true_up("140")], [calls("300"), true_up("200")])
    assert said_by(line)[0][1] == "0.00"
    assert said_by(line)[1:] == [("Calls", "60", None), ("Minimum commitment", "-60", None)]


def test_a_true_up_that_is_no_longer_there_is_given_back() -> None:
    """Commitment 500: 300 and 200 true-up; with usage of 620 there is no true-up, and 120 more is due."""
    line = posted_for([calls("620")], [calls("300"), true_up("200")])
    assert said_by(line)[0][1] == "120.00"
    assert said_by(line)[1:] == [("Calls", "320", None), ("Minimum commitment", "-200", None)]


def test_nothing_different_posts_nothing() -> None:
    """Also where the text of a line has changed, or a digit that stands for nothing."""
    assert posted_for([calls("300.0", "5")], [calls("300", "5")]) is None


# ---- what is shown -----------------------------------------------------------------------------------------------


def test_both_invoices_show_what_one_would_have_shown() -> None:
    """1.239 shows 1.23; 1.245 would have shown 1.24: 0.01 is posted, of 0.006 more and 0.004 that cuts make."""
    line = posted_for([calls("1.245", "5")], [calls("1.239", "4")])
    assert said_by(line)[0][1] == "0.01"
    assert said_by(line)[1:] == [("Calls", "0.006", "1"), ("Fractions cut", "0.004", None)]


def test_a_fraction_that_shows_nothing_waits() -> None:
    """1.231 and 1.239 both show 1.23. With 0.002 more it is 1.241, which shows 1.24."""
    assert posted_for([calls("1.239")], [calls("1.231")]) is None
    assert said_by(posted_for([calls("1.241")], [calls("1.231")]))[0][1] == "0.01"


def test_yen_have_no_fractions() -> None:
    """99.9 shows 99; 100.2 shows 100."""
    line = posted_for([calls("100.2")], [calls("99.9")], currency="JPY")
    assert said_by(line) == [
        ("Late usage and corrections, 1 March 2024 to 31 March 2024", "1", None),
        ("Calls", "0.3", None),
        ("Fractions cut", "0.7", None),
    ]


# ---- again and again ---------------------------------------------------------------------------------------------


def test_what_was_posted_is_not_posted_again() -> None:
    """300 invoiced, then 340, then 340 again, then 310 after a correction: 40, nothing, -30."""
    first = posted_for([calls("340", "170")], [calls("300", "150")])
    assert first is not None
    [posting] = late_postings(first)
    assert (posting.invoice_id, posting.amount) == ("inv.1", Decimal(40))
    assert posting.lines == (calls("40", "20"),)
    assert posted_for([calls("340", "170")], [calls("300", "150")], *posting.lines) is None
    then = posted_for([calls("310", "155")], [calls("300", "150")], *posting.lines)
    assert said_by(then)[1:] == [("Calls", "-30", "-15")]


def test_cuts_add_up_over_many_postings() -> None:
    """1.239 invoiced (1.23), then 1.245 (1.24), then 1.2499 (1.24), then 1.25: 0.01, nothing, 0.01, in all 1.25."""
    invoiced, posted, shown = [calls("1.239")], list[SaidLine](), Decimal("1.23")
    for now in ("1.245", "1.2499", "1.25"):
        line = posted_for([calls(now)], invoiced, *posted)
        for posting in late_postings(line) if line is not None else ():
            posted += posting.lines
            shown += posting.amount
        assert shown == cut_to_minor_unit(Money(amount=Decimal(now), currency="USD"))
    assert sum(each.amount for each in posted) == Decimal("0.02")


def test_a_line_that_comes_and_goes_leaves_nothing() -> None:
    """A card that a correction had added and another took away: posted once, and then taken back."""
    line = posted_for([calls("5", "1"), true_up("0")], [])
    assert line is not None
    [posting] = late_postings(line)
    assert said_by(posted_for([], [], *posting.lines)) == [
        ("Late usage and corrections, 1 March 2024 to 31 March 2024", "-5.00", None),
        ("Calls", "-5", "-1"),
    ]


# ---- what an invoice says ----------------------------------------------------------------------------------------


def tree(line_type: LineType, *lines: InvoiceLine, amount: str = "0", line_id: str | None = None) -> InvoiceLine:
    return InvoiceLine(
        line_id=line_id or line_type.value,
        line_type=line_type,
        description="",
        amount=Money(amount=sum((each.amount.amount for each in lines), Decimal(amount)), currency="USD"),
        lines=lines,
    )


def test_an_invoice_says_what_stands_below_its_sums() -> None:
    """Cards, also under a tag, what rules add, the true-up, fees in advance as one; not slabs, not other cycles."""
    late = posted_for([calls("5", "1")], [])
    assert late is not None
    slab = tree(LineType.USAGE_RATE_CARD_SLAB_AMOUNT, amount="7")
    gross = tree(
        LineType.GROSS_AMOUNT,
        tree(LineType.TOTAL_ADVANCED_FEES, tree(LineType.ADVANCED_FIXED_FEE, amount="3")),
        tree(
            LineType.PRICE_PLAN_AMOUNT,
            tree(
                LineType.SUB_TOTAL_AMOUNT,
                tree(LineType.USAGE_RATE_CARD_AMOUNT, slab, line_id="card.1"),
                tree(LineType.CUSTOM_TAG, tree(LineType.USAGE_RATE_CARD_AMOUNT, amount="2", line_id="card.2")),
                tree(
                    LineType.TOTAL_PRICING_RULE_ADDITION_AMOUNT,
                    tree(LineType.PRICING_RULE_ADDITION_AMOUNT, amount="-4", line_id="rule.1"),
                ),
            ),
            tree(LineType.TRUE_UP_AMOUNT, amount="1"),
        ),
        late,
    )
    assert [(each.line_id, str(each.amount)) for each in said_lines(gross)] == [
        ("TOTAL_ADVANCED_FEES", "3"),
        ("card.1", "7"),
        ("card.2", "2"),
        ("rule.1", "-4"),
        ("TRUE_UP_AMOUNT", "1"),
    ]
    [posting] = late_postings(tree(LineType.GRAND_TOTAL_AMOUNT, gross))
    assert posting.lines == (calls("5", "1"),)
    assert LATE_LINE not in {each.line_type for each in said_lines(gross)}
