"""What stands on the pages of an invoice, as plain texts in their order. How they look is not decided here.

Every text that comes from definitions goes through `printed`, so that nothing in a name can reach beyond its place.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.customer import Address
from tallybook.core.errors import TooLarge
from tallybook.core.invoice import (
    BilledAccount,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineType,
    shown_amount,
    spaced_text,
)
from tallybook.core.invoice_words import (
    amount_text,
    days_words,
    lines_of,
    multiplier,
    payment_words,
    rate_text,
    working_words,
)
from tallybook.core.letterhead import Letterhead
from tallybook.core.period import Window, spelled_day, spelled_days
from tallybook.core.pricing import PricedSlab
from tallybook.core.receivable import receivable_of

UNBROKEN_CHARACTERS_MAX = 28  # longer words and numbers may be broken anywhere, or they would leave the page
ROWS_MAX = 5_000  # a hundred pages, which take ten seconds; 50 cards of 10 slabs have a tenth of it
_BREAK = "\N{ZERO WIDTH SPACE}"
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_ADDED_UP = frozenset(
    {
        LineType.GRAND_TOTAL_AMOUNT,
        LineType.TOTAL_AMOUNT,
        LineType.NET_AMOUNT,
        LineType.GROSS_AMOUNT,
        LineType.PRICE_PLAN_AMOUNT,
    }
)
"""Lines that only add up; they stand below the table, where they add up more than one."""

_SECTIONS = frozenset(
    {
        LineType.TOTAL_ADVANCED_FEES,
        LineType.SUB_TOTAL_AMOUNT,
        LineType.LATE_USAGE_AMOUNT,
        LineType.TOTAL_MISCELLANEOUS_CHARGES,
    }
)
"""Lines whose parts stand in the table. All others stand below it, where the sums are."""

_SUM_NAMES = {LineType.GROSS_AMOUNT: "Subtotal", LineType.NET_AMOUNT: "Subtotal after credits"}
"""On paper, gross and net are with tax and without it; these lines are neither."""

_CHANGED_BY_RULES = frozenset({LineType.PRICING_RULE_REVENUE_UPDATE_AMOUNT, LineType.PRICING_RULE_USAGE_UPDATE_AMOUNT})

_WORKING = frozenset(
    {
        LineType.USAGE_RATE_CARD_SLAB_AMOUNT,
        LineType.LICENSE_RATE_CARD_SLAB_AMOUNT,
        LineType.USAGE_CYCLE_AMOUNT,
        LineType.RATE_CONFIG_ADJUSTMENT_AMOUNT,
    }
)
"""How the amount above came about: shown where the working is asked for."""

_MARKS = {InvoiceStatus.DRAFT: "DRAFT", InvoiceStatus.VOID: "VOID"}

_REFUNDED = frozenset({InvoiceStatus.REFUND_INITIATED, InvoiceStatus.REFUND_COMPLETED})

_CUT_NOTE = (
    "Everything is computed exactly. An amount is cut, not rounded, to the smallest unit of the currency where it is "
    "printed; a total is the exact sum, then cut, and may differ by such units from the sum of what is printed."
)


class RowKind(Enum):
    """What a row is, which decides how it looks."""

    SECTION = "section"
    ITEM = "item"
    WORKING = "working"
    SUM = "sum"
    TOTAL = "total"


class PaperRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of four columns; `depth` says how far the description is indented."""

    kind: RowKind
    depth: int = 0
    description: str
    quantity: str = ""
    rate: str = ""
    amount: str = ""


class PaperFact(msgspec.Struct, frozen=True, kw_only=True):
    """A thing to know, with what it is called."""

    label: str
    value: str


class InvoicePaper(msgspec.Struct, frozen=True, kw_only=True):
    """All texts of an invoice. `mark` is what goes across each page of one that is not to be paid, or empty."""

    mark: str
    number: str
    issuer: tuple[str, ...]
    recipient: tuple[str, ...]
    facts: tuple[PaperFact, ...]
    verdict: tuple[str, ...]
    currency: str
    rows: tuple[PaperRow, ...]
    sums: tuple[PaperRow, ...]
    payments: tuple[PaperFact, ...]
    usage: tuple[PaperRow, ...]
    notes: tuple[str, ...]
    footer: tuple[str, ...]


def invoice_paper(invoice: Invoice, letterhead: Letterhead, *, working: bool) -> InvoicePaper:
    """The invoice on the organisation's paper; with its `working`, slab by slab, and the usage it is about.

    Raises `TooLarge` when that would be a book.
    """
    rows = tuple(_all_rows(invoice, working=working))
    if len(rows) > ROWS_MAX:
        raise TooLarge(
            f"working: this invoice has {len(rows)} lines and at most {ROWS_MAX} are printed; ask without it"
        )
    return InvoicePaper(
        mark=_MARKS.get(invoice.status, ""),
        number=invoice.sequence_id or invoice.invoice_id,
        issuer=_texts(letterhead.lines),
        recipient=_texts(_recipient(invoice.account)),
        facts=tuple(PaperFact(label=label, value=printed(value)) for label, value in _facts(invoice)),
        verdict=_texts(_verdict(invoice)),
        currency=invoice.account.currency,
        rows=rows,
        sums=tuple(_all_sums(invoice)),
        payments=tuple(PaperFact(label=label, value=_breakable(value)) for label, value in payment_words(invoice)),
        usage=tuple(_usage(invoice)) if working else (),
        notes=(_CUT_NOTE,) if _is_cut(invoice.revenue, working=working) else (),
        footer=_texts(letterhead.footer),
    )


def printed(text: str) -> str:
    """The text on one line, without characters that would change what stands around it, and with places to break.

    Letters that turn the direction of writing turn only themselves; marks that turn that of others are left out.
    """
    kept = "".join(" " if _is_space(character) else character for character in text if character not in _DIRECTIONS)
    return " ".join(_breakable(word) for word in kept.split())


def _is_space(character: str) -> bool:
    return character == _BREAK or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp", "Zs")


def _breakable(word: str) -> str:
    """A long word with places to break it, none of them before an accent."""
    if len(word) <= UNBROKEN_CHARACTERS_MAX:
        return word
    parts = [""]
    for character in word:
        if len(parts[-1]) >= UNBROKEN_CHARACTERS_MAX // 2 and not unicodedata.category(character).startswith("M"):
            parts.append("")
        parts[-1] += character
    return _BREAK.join(parts)


def _texts(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(printed(text) for text in texts)


# ---- head --------------------------------------------------------------------------------------------------------


def _recipient(account: BilledAccount) -> list[str]:
    customer = [] if account.customer_name == account.account_name else [account.customer_name]
    lines = (account.account_name, *customer, *_address_lines(account.address), account.email)
    return [line for line in lines if line]


def _address_lines(address: Address) -> Sequence[str]:
    town = " ".join(part for part in (address.postal_code, address.city) if part)
    return [line for line in (address.line1, address.line2, town, address.state, address.country) if line]


def _facts(invoice: Invoice) -> Iterator[tuple[str, str]]:
    account = invoice.account
    yield "Invoice number", invoice.sequence_id or invoice.invoice_id
    if invoice.sequence_id is not None:
        yield "Reference", invoice.invoice_id
    if invoice.issued_at is None:
        yield "Draft as of", f"{invoice.computed_at:%H:%M} UTC, {spelled_day(invoice.computed_at.date())}"
        yield "To be issued on", spelled_day(invoice.invoice_date)
    else:
        yield "Invoice date", spelled_day(invoice.invoice_date)
    if not invoice.members:
        yield "Period", _spelled_period(invoice.start_date, invoice.end_date)
    if account.net_term_days:
        yield "Payment terms", "1 day" if account.net_term_days == 1 else f"{account.net_term_days} days"
    if invoice.total > 0 and invoice.merged_into is None:
        yield "Due date", spelled_day(invoice.due_date)
    if invoice.members:
        yield "Invoices merged", str(len(invoice.members))
    yield ("Account" if invoice.group is None else "Invoice group"), account.account_id
    if invoice.plan_name:
        yield "Plan", invoice.plan_name


def _spelled_period(start: date, end: date) -> str:
    """The days from `start` to the last one before `end`; a period of one day is that day."""
    return spelled_day(start) if (end - start).days == 1 else spelled_days(Window(start, end))


def _verdict(invoice: Invoice) -> tuple[str, str, str]:
    """What it comes to: in words, as money, and by when."""
    money = f"{invoice.account.currency} {invoice.total:,f}"
    if invoice.issued_at is None:
        return "Amount so far", money, "This is a draft; nothing is due yet."
    if invoice.status is InvoiceStatus.VOID:
        return "Amount", money, "This invoice is void; nothing is due."
    if invoice.merged_into is not None:
        return "Amount", money, f"It is part of {invoice.merged_into}; pay that invoice."
    if invoice.total < 0:
        return "In your favour", money.replace("-", ""), "Nothing is to be paid."
    return _verdict_of_payments(invoice, money)


def _verdict_of_payments(invoice: Invoice, money: str) -> tuple[str, str, str]:
    """What is left to pay; of an invoice that is paid or refunded, what it came to."""
    if invoice.status in _REFUNDED:
        return "Amount", money, "This invoice is refunded; nothing is due."
    if (left := receivable_of(invoice, custom=None).outstanding) > 0:
        currency = invoice.account.currency
        return "Amount due", f"{currency} {amount_text(left, currency)}", f"by {spelled_day(invoice.due_date)}"
    if invoice.total > 0:
        return "Amount", money, "Paid; nothing is left to pay."
    return "Amount due", money, "Nothing is to be paid."


# ---- the table ---------------------------------------------------------------------------------------------------


def _all_rows(invoice: Invoice, *, working: bool) -> Iterator[PaperRow]:
    """The rows of the table; a composite's by member, each with a heading."""
    if not invoice.members:
        yield from _rows(invoice.revenue, working=working)
        return
    for member in invoice.revenue.lines:
        yield PaperRow(kind=RowKind.SECTION, description=printed(member.description))
        yield from (each for each in _rows(member, working=working) if each.kind is not RowKind.SECTION)


def _rows(revenue: InvoiceLine, *, working: bool) -> Iterator[PaperRow]:
    sections = [line for line in lines_of(revenue) if line.lines and _is_section(line)]
    for section in sections:
        if len(sections) > 1 or section.line_type is LineType.LATE_USAGE_AMOUNT:
            yield PaperRow(kind=RowKind.SECTION, description=printed(_heading(section)))
        for line in section.lines:
            yield from _item(line, depth=0, working=working)


def _heading(section: InvoiceLine) -> str:
    return "Items" if section.line_type is LineType.GROSS_AMOUNT else section.description


def _is_section(line: InvoiceLine) -> bool:
    """Whether the parts of a line stand in the table, as those that somebody wrote by hand do."""
    return line.line_type in _SECTIONS or any(each.line_type is LineType.CUSTOM_AMOUNT for each in line.lines)


def _item(line: InvoiceLine, *, depth: int, working: bool) -> Iterator[PaperRow]:
    """A line and those below it, as far as they are shown."""
    # What a rule changed of a card is only to be understood beside what it was before.
    working = working or any(child.line_type in _CHANGED_BY_RULES for child in line.lines)
    slab = None if working else _only_slab(line)
    yield _row(line, RowKind.WORKING if _is_working(line) else RowKind.ITEM, depth, slab=slab)
    for child in line.lines:
        if working or not _is_working(child):
            yield from _item(child, depth=depth + 1, working=working)


def _is_working(line: InvoiceLine) -> bool:
    """Slabs of credit that is sold have no type of their own, but their working, as all slabs."""
    return line.line_type in _WORKING or line.working is not None


def _only_slab(line: InvoiceLine) -> PricedSlab | None:
    """The slab that explains all of a line, so that its quantity and rate can stand on the line itself."""
    if len(line.lines) != 1 or line.lines[0].working is None or line.lines[0].working.clamp is not None:
        return None
    return line.lines[0].working


def _row(line: InvoiceLine, kind: RowKind, depth: int, *, slab: PricedSlab | None) -> PaperRow:
    description, quantity, rate = line.description, line.quantity, None
    if (slab := line.working or slab) is not None:
        description, quantity, rate = description + working_words(slab), multiplier(slab), slab.rate
    elif line.fee is not None:
        description, quantity, rate = description + days_words(line.fee), Decimal(1), line.fee.rate
    elif line.rate is not None:
        rate = line.rate
    return PaperRow(
        kind=kind,
        depth=depth,
        description=printed(description),
        quantity="" if quantity is None else _breakable(spaced_text(quantity)),
        rate="" if rate is None else _breakable(rate_text(rate, line.amount.currency)),
        amount=_amount_text(line),
    )


def _amount_text(line: InvoiceLine) -> str:
    return _breakable(format(shown_amount(line), ",f"))


# ---- below it ----------------------------------------------------------------------------------------------------


def _first_sum(line: InvoiceLine) -> InvoiceLine:
    """The sum that is made of more than another sum."""
    while len(line.lines) == 1 and line.lines[0].line_type in _ADDED_UP:
        line = line.lines[0]
    return line


def _all_sums(invoice: Invoice) -> Iterator[PaperRow]:
    """The sums below the table; a composite's by member, with what each adds up."""
    currency = invoice.account.currency
    if not invoice.members:
        yield from _sums(_first_sum(invoice.revenue), currency)
        return
    for member in invoice.revenue.lines:
        whole = _first_sum(member)
        if len(whole.lines) > 1 and not _is_section(whole):
            yield from _parts(whole, depth=1)
        yield _sum_row(member, depth=0)
    yield PaperRow(kind=RowKind.TOTAL, description=f"Total {currency}", amount=_amount_text(invoice.revenue))


def _sums(line: InvoiceLine, currency: str) -> Iterator[PaperRow]:
    if len(line.lines) > 1 and not _is_section(line):
        yield from _parts(line)
    yield PaperRow(kind=RowKind.TOTAL, description=f"Total {currency}", amount=_amount_text(line))


def _parts(line: InvoiceLine, *, depth: int = 0) -> Iterator[PaperRow]:
    """What a sum is made of, each with its own parts above it and further in, as one adds up on paper."""
    for child in line.lines:
        if child.line_type in _ADDED_UP and len(child.lines) == 1 and not _is_section(child):
            yield from _parts(child, depth=depth)
        else:
            if not _is_section(child) and not _is_list_of_one(child):
                yield from _parts(child, depth=depth + 1)
            yield _sum_row(child, depth=depth)


def _is_list_of_one(line: InvoiceLine) -> bool:
    return line.line_type in (LineType.TOTAL_CREDITS, LineType.TOTAL_TAX_AMOUNT) and len(line.lines) == 1


def _sum_row(line: InvoiceLine, *, depth: int) -> PaperRow:
    prefix = {LineType.PRICE_PLAN_AMOUNT: "Plan ", LineType.TRUE_UP_AMOUNT: "True-up: "}.get(line.line_type, "")
    if _is_list_of_one(line):
        line, prefix = line.lines[0], f"{line.description}: "
    description = _SUM_NAMES.get(line.line_type, prefix + line.description)
    return PaperRow(kind=RowKind.SUM, depth=depth, description=printed(description), amount=_amount_text(line))


def _usage(invoice: Invoice) -> Iterator[PaperRow]:
    for line in invoice.usage:
        events = "1 event" if line.event_count == 1 else f"{line.event_count:,} events"
        yield PaperRow(
            kind=RowKind.WORKING,
            description=printed(line.name),
            quantity=_breakable(spaced_text(line.units)),
            amount=events,
        )


def _is_cut(line: InvoiceLine, *, working: bool) -> bool:
    """Whether an amount that is shown is not the whole amount."""
    shown = [child for child in line.lines if working or not _is_working(child)]
    return shown_amount(line) != line.amount.amount or any(_is_cut(child, working=working) for child in shown)
