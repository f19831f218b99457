"""An invoice as text that a bookkeeper can check with a pocket calculator: on each line, quantity × rate = amount."""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.invoice import Invoice, InvoiceLine, InvoiceStatus, LineType, shown_amount, spaced_text
from tallybook.core.invoice_words import days_words, lines_of, multiplier, rate_text, working_words
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
_HELD = {LineType.LICENSE_RATE_CARD_AMOUNT, LineType.ADVANCED_LICENSE_RATE_CARD_AMOUNT}
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
    rows = [_Row("", "Quantity", "Rate", f"Amount {invoice.account.currency}"), *_body(invoice.revenue, depth=0)]
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
        _both_ends(f"INVOICE  {invoice.invoice_id}", invoice.status.value, width),
        "",
        _both_ends(account.account_name, spelled_days(Window(invoice.start_date, invoice.end_date)), width),
        _both_ends(f"Account {account.account_id}, customer {account.customer_name}", _issued(invoice), width),
        _both_ends(f"Plan {invoice.plan_name}, version {invoice.plan_version}", _due(invoice), width),
    ]


def _issued(invoice: Invoice) -> str:
    if invoice.issued_at is None:
        return f"Draft as of {invoice.computed_at:%Y-%m-%d %H:%M} UTC"
    return f"Invoice date {spelled_day(invoice.invoice_date)}"


def _due(invoice: Invoice) -> str:
    if invoice.status is InvoiceStatus.DUE:
        return f"To be paid by {spelled_day(invoice.due_date)}"
    if invoice.status is InvoiceStatus.DRAFT:
        return f"To be finalised on {spelled_day(invoice.invoice_date)}"
    return ""


def _body(line: InvoiceLine, *, depth: int) -> Iterator[_Row]:
    """The rows under the totals: cards, each with its slabs, tags above the cards that share them."""
    for child in line.lines:
        if child.line_type in _SUMMED_AT_THE_END:
            yield from _body(child, depth=depth)
        elif child.line_type is not LineType.TRUE_UP_AMOUNT:
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
    quantity = "" if line.quantity is None else f"{spaced_text(line.quantity)} {_had(line)}"
    return _Row(description, quantity, "", amount)


def _had(line: InvoiceLine) -> str:
    return "held" if line.line_type in _HELD else "used"


def _ending(invoice: Invoice) -> list[_Row]:
    rows = []
    for line in lines_of(invoice.revenue):
        if line.line_type is LineType.TRUE_UP_AMOUNT:
            rows += [_Row(f"True-up: {line.description}", amount=_amount_text(line))]
        if line.line_type in (LineType.SUB_TOTAL_AMOUNT, LineType.TOTAL_ADVANCED_FEES):
            rows += [_Row(line.description, amount=_amount_text(line))]
    return [*rows, _Row(f"TOTAL {invoice.account.currency}", amount=_amount_text(invoice.revenue))]


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
