"""Composite invoices: what an invoice group owes for a day, as the invoices of its accounts, one below the other.

A composite is a function of the group and of finalised invoices, its members. Their lines are not added up with each
other: each member stands in the tree by itself, and the grand total is the exact sum.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

import msgspec

from tallybook.core.invoice import (
    BilledAccount,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    InvoiceType,
    LineType,
    invoice_id_for,
)
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.core.money import total
from tallybook.core.period import Window, spelled_days

_DAY = timedelta(days=1)


def composite_of(
    group: InvoiceGroup,
    members: Sequence[Invoice],
    *,
    organisation_id: str,
    day: date,
    computed_at: datetime,
    number_prefix: str = "",
) -> Invoice:
    """The invoice of the group for that day. `members` are due, in the group's currency, and at least one."""
    assert members, "a composite is made of invoices"
    assert {each.account.currency for each in members} == {group.currency}, "a group has one currency"
    ordered = sorted(members, key=lambda each: (each.account.account_id, each.start_date, each.invoice_id))
    lines = tuple(_member_line(each) for each in ordered)
    return Invoice(
        invoice_id=invoice_id_for(organisation_id, group.group_id, day, InvoiceType.COMPOSITE),
        invoice_type=InvoiceType.COMPOSITE,
        status=InvoiceStatus.DRAFT,
        account=billed_group(group, [each.account for each in ordered]),
        group=group,
        members=tuple(each.invoice_id for each in ordered),
        plan_id="",
        plan_version=0,
        plan_name="",
        start_date=day,
        end_date=day + _DAY,
        grace_days=0,
        usage=(),
        revenue=InvoiceLine(
            line_id=LineType.GRAND_TOTAL_AMOUNT.value,
            line_type=LineType.GRAND_TOTAL_AMOUNT,
            description="Grand total",
            amount=total((line.amount for line in lines), currency=group.currency),
            lines=lines,
        ),
        computed_at=computed_at,
        number_prefix=number_prefix,
    )


def merged_by_day(
    waiting: Sequence[Invoice], *, taken: Collection[date], today: date
) -> dict[date, tuple[Invoice, ...]]:
    """Which of a group's invoices are merged into the composite of which day.

    That is the day on which they became due. A day whose composite is issued, it is among the `taken`, takes no more:
    what comes late goes onto the composite of `today`, and waits where that is issued, too.
    """
    days: defaultdict[date, list[Invoice]] = defaultdict(list)
    for invoice in waiting:
        day = today if invoice.invoice_date in taken else invoice.invoice_date
        if day not in taken:
            days[day].append(invoice)
    return {day: tuple(invoices) for day, invoices in sorted(days.items())}


def billed_group(group: InvoiceGroup, accounts: Sequence[BilledAccount]) -> BilledAccount:
    """The group in the place of an account. Its customer is that of its accounts, if all have the same."""
    customers = {each.customer_id: each for each in accounts}
    [first, *others] = customers.values()
    return BilledAccount(
        account_id=group.group_id,
        account_name=group.name,
        customer_id="" if others else first.customer_id,
        customer_name="" if others else first.customer_name,
        customer_email="" if others else first.customer_email,
        email=group.email,
        address=group.address,
        currency=group.currency,
        net_term_days=group.net_term_days or 0,
    )


def _member_line(member: Invoice) -> InvoiceLine:
    """The member's total with all below it; ids of lines are told apart by the member's."""
    account = member.account
    [whole] = member.revenue.lines
    return msgspec.structs.replace(
        _within(whole, member.invoice_id),
        line_type=LineType.TOTAL_AMOUNT,
        description=f"{account.account_name}, {spelled_days(Window(member.start_date, member.end_date))}",
    )


def _within(line: InvoiceLine, invoice_id: str) -> InvoiceLine:
    return msgspec.structs.replace(
        line,
        line_id=f"{line.line_id}.{invoice_id}",
        lines=tuple(_within(child, invoice_id) for child in line.lines),
    )
