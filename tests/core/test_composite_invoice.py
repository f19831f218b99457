"""Composite invoices: what they consist of, and on which day they are."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

from composite_samples import DAY, GROUP, due

from tallybook.core.composite_invoice import composite_of, merged_by_day
from tallybook.core.invoice import Invoice, InvoiceLine, InvoiceStatus, InvoiceType, parse_invoice_id

NOW = datetime(2024, 2, 3, 0, 1, tzinfo=UTC)


def composite(*members: Invoice) -> Invoice:
    return composite_of(GROUP, members, organisation_id="org", day=DAY, computed_at=NOW)


def lines_of(line: InvoiceLine) -> Iterator[InvoiceLine]:
    yield line
    for child in line.lines:
        yield from lines_of(child)


def test_composite_belongs_to_the_group() -> None:
    """It is addressed to the group, due on the day and payable by the group's terms: 3 February + 30 days."""
    made = composite(due("A", "10"), due("B", "2.5"))
    assert (made.invoice_type, made.status, made.group) == (InvoiceType.COMPOSITE, InvoiceStatus.DRAFT, GROUP)
    assert (made.account.account_id, made.account.account_name) == ("inv_group.1", "The whole house")
    assert (made.account.email, made.account.address.city) == ("house@example.com", "Florence")
    assert (made.invoice_date, made.due_date) == (DAY, date(2024, 3, 4))
    assert made.total == Decimal("12.50")


def test_members_stand_one_by_one() -> None:
    """§3.9: lines are not consolidated. By account, each with all its lines, whatever order they came in."""
    first, second = due("A", "10"), due("B", "2.5")
    made = composite(second, first)
    assert made.members == (first.invoice_id, second.invoice_id)
    assert made == composite(first, second)
    assert [(line.line_type.value, line.description, line.amount.amount) for line in made.revenue.lines] == [
        ("TOTAL_AMOUNT", "Account A, 1 January 2024 to 31 January 2024", Decimal(10)),
        ("TOTAL_AMOUNT", "Account B, 1 January 2024 to 31 January 2024", Decimal("2.5")),
    ]
    for line, member in zip(made.revenue.lines, (first, second), strict=True):
        [whole] = member.revenue.lines
        assert [each.line_type for each in lines_of(line)] == [each.line_type for each in lines_of(whole)]
        assert [each.amount for each in lines_of(line)] == [each.amount for each in lines_of(whole)]
    ids = [line.line_id for line in lines_of(made.revenue)]
    assert len(ids) == len(set(ids)) == 13


def test_total_is_the_exact_sum_cut_once() -> None:
    """0.015 + 0.015 = 0.03, although each of them shows 0.01 (§3.6, §7 row 35)."""
    members = due("A", "0.015"), due("B", "0.015")
    assert [member.total for member in members] == [Decimal("0.01")] * 2
    assert composite(*members).total == Decimal("0.03")


def test_customer_is_named_if_all_accounts_are_his() -> None:
    assert composite(due("A", "1"), due("B", "1")).account.customer_id == "CUS"
    mixed = composite(due("A", "1"), due("B", "1", customer_id="OTHER")).account
    assert (mixed.customer_id, mixed.customer_name, mixed.customer_email) == ("", "", "")


def test_id_says_whose_and_when() -> None:
    """The same group and day always have the same id, so a repeated run finds what is there."""
    made = composite(due("A", "1"))
    assert made.invoice_id == composite(due("B", "7")).invoice_id
    parsed = parse_invoice_id(made.invoice_id)
    assert parsed is not None
    assert parsed[1:] == (InvoiceType.COMPOSITE, DAY)


def test_invoices_of_one_due_day_are_merged() -> None:
    """February's with 2 days of grace and January's with none are of different days, whenever they are issued."""
    january = [due("A", "1"), due("B", "1")]
    other = due("C", "1", grace_days=0)
    march = due("A", "1", end=date(2024, 3, 1))
    days = merged_by_day([march, other, *january], taken=(), today=date(2024, 5, 1))
    assert days == {
        date(2024, 2, 1): (other,),
        date(2024, 2, 3): (january[0], january[1]),
        date(2024, 3, 3): (march,),
    }


def test_late_invoices_go_onto_todays_composite() -> None:
    """Where the composite of their own day is issued; they wait if today's is, too."""
    late, fresh = due("A", "1"), due("B", "1", end=date(2024, 3, 1))
    today = date(2024, 3, 3)
    assert merged_by_day([late, fresh], taken={DAY}, today=today) == {today: (late, fresh)}
    assert merged_by_day([late, fresh], taken={DAY, today}, today=today) == {}
    assert merged_by_day([late], taken={DAY}, today=DAY) == {}
