"""An invoice as text that a bookkeeper can check with a pocket calculator: on each line, quantity × rate = amount."""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.invoice import Invoice, InvoiceLine, InvoiceStatus, LineType, shown_amount, spaced_text
from tallybook.core.invoice_words import days_words, lines_of, multiplier, payment_words, rate_text, working_words
from tallybook.core.period import Window, spelled_day, spelled_days

_WIDTH_MIN = 80
_COLUMN_GAP = "   "
_INDENT = "  "
_SUMMED_AT_THE_END = {
    LineType.GRAND_TOTAL_AMOUNT,
    LineType.TOTAL_AMOUNT,
    LineType.NET_AMOUNT,
    LineType.GROSS_AMOUNT,
    LineType.PRICE_PLAN_AMOUNT,
    LineType.SUB_TOTAL_AMOUNT,
}
_REPEATED_AT_THE_END = {
    LineType.SUB_TOTAL_AMOUNT,
    LineType.TOTAL_ADVANCED_FEES,
    LineType.LATE_USAGE_AMOUNT,
    LineType.TOTAL_MISCELLANEOUS_CHARGES,
}
_LISTED_AT_THE_END = {LineType.TOTAL_CREDITS, LineType.TOTAL_TAX_AMOUNT}
_HELD = {LineType.LICENSE_RATE_CARD_AMOUNT, LineType.ADVANCED_LICENSE_RATE_CARD_AMOUNT}
_GRANTED = {LineType.CREDIT_GRANT_RATE_CARD_AMOUNT, LineType.ADVANCED_CREDIT_GRANT_RATE_CARD_AMOUNT}
_CUT_NOTE = "Each line is cut to the currency's smallest unit; the total is cut once, from the exact sum."


class _Row(NamedTuple):
    """What stands in the four columns."""

    description: str = ""
    quantity: str = ""
    rate: str = ""
    amount: str = ""


_BLANK = _Row()


def invoice_text(invoice: Invoice) -> str:
    """The invoice with its working, ending in a newline; the same invoice always gives the same text."""
    rows = [_Row("", "Quantity", "Rate", f"Amount {invoice.account.currency}"), *_parts(invoice)]
    end = _ending(invoice)
    widths = [max(len(row[column]) for row in (*rows, *end)) for column in range(4)]
    widths[0] += max(0, _WIDTH_MIN - sum(widths) - 3 * len(_COLUMN_GAP))
    width = sum(widths) + 3 * len(_COLUMN_GAP)
    rule = "─" * width
    lines = [
        "═" * width,
        *_heading(invoice, width),
        rule,
        *_columns(rows, widths),
        rule,
        *_columns(end, widths),
        "═" * width,
    ]
    if _lines_differ_from_total(invoice.revenue):
        lines.append(_CUT_NOTE)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _heading(invoice: Invoice, width: int) -> list[str]:
    account = invoice.account
    return [
        _both_ends(f"INVOICE  {_number(invoice)}", invoice.status.value, width),
        "",
        _both_ends(account.account_name, _period(invoice), width),
        _both_ends(_whose(invoice), _issued(invoice), width),
        _both_ends(_what_for(invoice), _due(invoice), width),
    ]


def _number(invoice: Invoice) -> str:
    """The number that it was issued under, behind it the id, by which it is found."""
    return invoice.invoice_id if invoice.sequence_id is None else f"{invoice.sequence_id}  {invoice.invoice_id}"


def _period(invoice: Invoice) -> str:
    """The days that it is for; those of a composite stand with its members."""
    return "" if invoice.members else spelled_days(Window(invoice.start_date, invoice.end_date))


def _whose(invoice: Invoice) -> str:
    account = invoice.account
    if invoice.group is not None:
        return f"Invoice group {account.account_id}"
    return f"Account {account.account_id}, customer {account.customer_name}"


def _what_for(invoice: Invoice) -> str:
    if invoice.members:
        return "1 invoice" if len(invoice.members) == 1 else f"{len(invoice.members)} invoices"
    return f"Plan {invoice.plan_name}, version {invoice.plan_version}" if invoice.plan_id else ""


def _issued(invoice: Invoice) -> str:
    if invoice.issued_at is None:
        return f"Draft as of {invoice.computed_at:%Y-%m-%d %H:%M} UTC"
    return f"Invoice date {spelled_day(invoice.invoice_date)}"


def _due(invoice: Invoice) -> str:
    if invoice.merged_into is not None:
        return f"Merged into {invoice.merged_into}"
    if invoice.status in (InvoiceStatus.DUE, InvoiceStatus.PARTIALLY_PAID):
        return f"To be paid by {spelled_day(invoice.due_date)}"
    if invoice.status is InvoiceStatus.DRAFT:
        return f"To be finalised on {spelled_day(invoice.invoice_date)}"
    return ""


def _parts(invoice: Invoice) -> Iterator[_Row]:
    """The rows above the totals; of a composite, those of each member with its own sums."""
    if not invoice.members:
        yield from _body(invoice.revenue, depth=0)
        return
    for member in invoice.revenue.lines:
        yield from (_BLANK, _row(member, 0))
        yield from _body(member, depth=1)
        yield from (sums._replace(description=_INDENT + sums.description) for sums in _sums(member))


def _body(line: InvoiceLine, *, depth: int) -> Iterator[_Row]:
    """The rows under the totals: cards, each with its slabs, tags above the cards that share them."""
    for child in line.lines:
        if child.line_type in _SUMMED_AT_THE_END:
            yield from _body(child, depth=depth)
        elif child.line_type is not LineType.TRUE_UP_AMOUNT and child.line_type not in _LISTED_AT_THE_END:
            if depth == 0:
                yield _BLANK
            yield _row(child, depth)
            yield from _body(child, depth=depth + 1)


def _row(line: InvoiceLine, depth: int) -> _Row:
    description = _INDENT * depth + line.description
    amount = _amount_text(line)
    if line.working is not None:
        return _Row(
            f"{description}{working_words(line.working)}",
            spaced_text(multiplier(line.working)),
            rate_text(line.working.rate, line.amount.currency),
            amount,
        )
    if line.fee is not None:
        return _Row(description + days_words(line.fee), "1", rate_text(line.fee.rate, line.amount.currency), amount)
    if line.rate is not None and line.quantity is not None:
        return _Row(description, spaced_text(line.quantity), rate_text(line.rate, line.amount.currency), amount)
    quantity = "" if line.quantity is None else f"{spaced_text(line.quantity)} {_had(line)}"
    return _Row(description, quantity, "", amount)


def _had(line: InvoiceLine) -> str:
    if line.line_type in _GRANTED:
        return "granted"
    return "held" if line.line_type in _HELD else "used"


def _ending(invoice: Invoice) -> list[_Row]:
    rows = [] if invoice.members else _sums(invoice.revenue)
    total = _Row(f"TOTAL {invoice.account.currency}", amount=_amount_text(invoice.revenue))
    return [*rows, total, *(_Row(label, amount=amount) for label, amount in payment_words(invoice))]


def _sums(revenue: InvoiceLine) -> list[_Row]:
    """What stands below the rows: sums, what is missing to the commitment, credits and tax one by one."""
    rows = []
    for line in lines_of(revenue):
        if line.line_type is LineType.GROSS_AMOUNT and _is_written_by_hand(line):
            rows += [_Row("Items", amount=_amount_text(line))]
        if line.line_type is LineType.TRUE_UP_AMOUNT:
            rows += [_Row(f"True-up: {line.description}", amount=_amount_text(line))]
        if line.line_type in _REPEATED_AT_THE_END:
            rows += [_Row(line.description, amount=_amount_text(line))]
        if line.line_type in _LISTED_AT_THE_END:
            rows += [_Row(f"{line.description}: {each.description}", amount=_amount_text(each)) for each in line.lines]
    return rows


def _is_written_by_hand(gross: InvoiceLine) -> bool:
    return any(line.line_type is LineType.CUSTOM_AMOUNT for line in gross.lines)


def _lines_differ_from_total(revenue: InvoiceLine) -> bool:
    """Whether adding up what stands at the innermost lines gives another figure than the total that stands."""
    shown = reduce(EXACT.add, (shown_amount(line) for line in lines_of(revenue) if not line.lines), ZERO)
    return shown != shown_amount(revenue)


def _columns(rows: Sequence[_Row], widths: Sequence[int]) -> Iterator[str]:
    for row in rows:
        numbers = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        yield _COLUMN_GAP.join([row.description.ljust(widths[0]), *numbers])


def _both_ends(left: str, right: str, width: int) -> str:
    return f"{left}{right.rjust(max(len(right) + 1, width - len(left)))}"


def _amount_text(line: InvoiceLine) -> str:
    return format(shown_amount(line), ",f")
