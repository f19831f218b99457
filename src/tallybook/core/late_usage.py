"""Usage that changed after its cycle was invoiced: what the account's next invoice says about it.

The cycle is priced again with the usage as it is now. Where that differs from what invoices have said of it so far,
the difference is posted line by line, so that all of them together say what one invoice would have said had everything
come in time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.invoice import InvoiceLine, LineType
from tallybook.core.money import Money, cut_to_minor_unit, total
from tallybook.core.period import Window, spelled_days

LATE_LINE = LineType.LATE_USAGE_AMOUNT
_PLAIN = LineType.CUSTOM_AMOUNT
_SUMS = frozenset(
    {
        LineType.GROSS_AMOUNT,
        LineType.PRICE_PLAN_AMOUNT,
        LineType.SUB_TOTAL_AMOUNT,
        LineType.CUSTOM_TAG,
        LineType.TOTAL_PRICING_RULE_ADDITION_AMOUNT,
    }
)
_CUT = "cut"


class SaidLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is said of one line of a cycle: the exact amount, and the quantity, 0 where the line has none."""

    line_id: str
    line_type: LineType
    description: str
    amount: Decimal
    entity_id: str | None = None
    quantity: Decimal = ZERO


class LatePosting(msgspec.Struct, frozen=True, kw_only=True):
    """What a later invoice says of the cycle that the invoice `invoice_id` billed."""

    invoice_id: str
    lines: tuple[SaidLine, ...]

    @property
    def amount(self) -> Decimal:
        """What it adds to what is owed for that cycle; whole minor units."""
        return _sum(self.lines)


def said_lines(gross: InvoiceLine) -> tuple[SaidLine, ...]:
    """The lines that make up what an invoice charges for its own cycle; what it posts for others is left out."""
    return tuple(_said(part) for part in _parts(gross) if part.line_type is not LATE_LINE)


def late_line(
    now: Sequence[SaidLine],
    *,
    invoiced: Sequence[SaidLine],
    posted: Sequence[SaidLine],
    invoice_id: str,
    window: Window,
    currency: str,
) -> InvoiceLine | None:
    """What is to be posted for the cycle that the invoice of that id billed; None when nothing of it would be shown.

    It comes to what the cycle shows `now`, less what was shown when it was `invoiced`, less what was `posted` since.
    The lines under it are exact; what the cuts make of their sum stands among them.
    """
    line_id = f"{LATE_LINE.value}.{invoice_id}"
    parts = [_line(each, line_id, currency) for each in _differences(now, [*invoiced, *posted])]
    due = _shown(now, currency) - _shown(invoiced, currency) - Money(amount=_sum(posted), currency=currency)
    if not due.amount and not any(cut_to_minor_unit(part.amount) for part in parts):
        return None
    cut = due - total((part.amount for part in parts), currency=currency)
    if cut.amount:
        fractions = SaidLine(line_id=_CUT, line_type=_PLAIN, description="Fractions cut", amount=cut.amount)
        parts.append(_line(fractions, line_id, currency))
    return InvoiceLine(
        line_id=line_id,
        line_type=LATE_LINE,
        description=f"Late usage and corrections, {spelled_days(window)}",
        amount=due,
        lines=tuple(parts),
    )


def late_postings(line: InvoiceLine) -> Iterator[LatePosting]:
    """What the line, or those under it, post for earlier cycles."""
    if line.line_type is LATE_LINE:
        lines = [
            msgspec.structs.replace(_said(part), line_id=part.line_id.removeprefix(f"{line.line_id}."))
            for part in line.lines
        ]
        yield LatePosting(invoice_id=line.line_id.removeprefix(f"{LATE_LINE.value}."), lines=tuple(lines))
        return
    for part in line.lines:
        yield from late_postings(part)


def _parts(line: InvoiceLine) -> Iterator[InvoiceLine]:
    """What stands below the sums: cards, fees, what is missing to a commitment."""
    if line.line_type not in _SUMS:
        yield line
        return
    for part in line.lines:
        yield from _parts(part)


def _said(line: InvoiceLine) -> SaidLine:
    return SaidLine(
        line_id=line.line_id,
        line_type=line.line_type,
        description=line.description,
        amount=line.amount.amount,
        entity_id=line.entity_id,
        quantity=ZERO if line.quantity is None else line.quantity,
    )


def _line(difference: SaidLine, late_line_id: str, currency: str) -> InvoiceLine:
    return InvoiceLine(
        line_id=f"{late_line_id}.{difference.line_id}",
        # What is missing to a commitment stands among the sums of its own cycle, and nowhere else.
        line_type=_PLAIN if difference.line_type is LineType.TRUE_UP_AMOUNT else difference.line_type,
        description=difference.description,
        amount=Money(amount=difference.amount, currency=currency),
        entity_id=difference.entity_id,
        quantity=difference.quantity or None,
    )


def _differences(now: Sequence[SaidLine], said: Sequence[SaidLine]) -> Iterator[SaidLine]:
    """What each line is now, less what was said of it, where that is something; what is there no more comes last."""
    before, after = _by_id(said), _by_id(now)
    for line_id, line in {**after, **before}.items():
        if line_id == _CUT:
            continue
        amount = EXACT.subtract(_amount(after.get(line_id)), _amount(before.get(line_id)))
        quantity = EXACT.subtract(_quantity(after.get(line_id)), _quantity(before.get(line_id)))
        if amount or quantity:
            yield msgspec.structs.replace(after.get(line_id, line), amount=amount, quantity=quantity)


def _by_id(lines: Iterable[SaidLine]) -> Mapping[str, SaidLine]:
    """What is said of each line, added up."""
    found: dict[str, SaidLine] = {}
    for line in lines:
        before = found.get(line.line_id)
        found[line.line_id] = msgspec.structs.replace(
            line,
            amount=EXACT.add(line.amount, _amount(before)),
            quantity=EXACT.add(line.quantity, _quantity(before)),
        )
    return found


def _amount(line: SaidLine | None) -> Decimal:
    return ZERO if line is None else line.amount


def _quantity(line: SaidLine | None) -> Decimal:
    return ZERO if line is None else line.quantity


def _sum(lines: Iterable[SaidLine]) -> Decimal:
    amount = ZERO
    for line in lines:
        amount = EXACT.add(amount, line.amount)
    return amount


def _shown(lines: Iterable[SaidLine], currency: str) -> Money:
    """What the sum of the lines is cut to."""
    return Money(amount=cut_to_minor_unit(Money(amount=_sum(lines), currency=currency)), currency=currency)
