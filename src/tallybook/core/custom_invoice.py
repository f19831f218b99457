"""Custom invoices: what somebody writes by hand, line by line, for an account or a group of them.

While it is a draft, all of it can be edited, and it can be deleted. Issued, it is an invoice like any other.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.custom_amount import check_number, check_product, check_words, product
from tallybook.core.errors import Invalid
from tallybook.core.invoice import InvoiceLine, LineType
from tallybook.core.money import Money
from tallybook.core.period import FOREVER, Window

CUSTOM_LINES_MAX = 50  # the interface's limit
DESCRIPTION_CHARACTERS_MAX = 255  # the interface names none; what names of entities have
LINE_ID_CHARACTERS_MAX = 50  # the interface names none; what ids have
IDEMPOTENCY_KEY_CHARACTERS_MAX = 255  # the interface names none
START_DATE_MIN = date(1970, 1, 1)


class OwnerType(Enum):
    """Whom a custom invoice is for."""

    ACCOUNT = "ACCOUNT"
    INVOICE_GROUP = "INVOICE_GROUP"


class CustomLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: `value`, or `rate` for each of `quantity`. Credits find it by `billable_id`, a meter's or add-on's."""

    line_id: str | None = None
    description: str
    value: Decimal | None = None
    rate: Decimal | None = None
    quantity: Decimal | None = None
    billable_id: str | None = None

    @property
    def amount(self) -> Decimal:
        """What the line comes to, exact."""
        if self.rate is not None and self.quantity is not None:
            return product(self.rate, self.quantity)
        assert self.value is not None, "checked when the line was saved"
        return self.value


class CustomInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """A custom invoice as it was written. `owner_id` is an account or a group; it is for the days of `window`.

    With `auto_advance` a bill run issues it once these are over.
    """

    invoice_id: str
    owner_type: OwnerType = OwnerType.ACCOUNT
    owner_id: str
    start_date: date
    end_date: date
    lines: tuple[CustomLine, ...]
    auto_advance: bool = False
    apply_credits: bool = True
    apply_wallet_balance: bool = True

    @property
    def window(self) -> Window:
        """The half-open range of days it is for."""
        return Window(self.start_date, self.end_date)


class CustomInvoiceChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a draft; None leaves it as it is, and lines are replaced as a whole."""

    start_date: date | None = None
    end_date: date | None = None
    lines: tuple[CustomLine, ...] | None = None
    auto_advance: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be changed."""
        return all(value is None for value in msgspec.structs.asdict(self).values())


def changed_custom_invoice(draft: CustomInvoice, changes: CustomInvoiceChanges) -> CustomInvoice:
    """The draft with these changes. Raises `Invalid`."""
    given = {field: value for field, value in msgspec.structs.asdict(changes).items() if value is not None}
    changed = msgspec.structs.replace(draft, **given)
    check_custom_invoice(changed)
    return changed


def check_custom_invoice(invoice: CustomInvoice) -> None:
    """Refuse what cannot be an invoice. Raises `Invalid`, naming the field."""
    if not START_DATE_MIN <= invoice.start_date < invoice.end_date <= FOREVER:
        raise Invalid(f"startDate: must be from {START_DATE_MIN} on and before endDate")
    if not 1 <= len(invoice.lines) <= CUSTOM_LINES_MAX:
        raise Invalid(f"lineItems: 1 to {CUSTOM_LINES_MAX} lines, found {len(invoice.lines)}")
    for index, line in enumerate(invoice.lines):
        _check_line(line, f"lineItems[{index}]")
    ids = line_ids(invoice.lines)
    for line_id in ids:
        if ids.count(line_id) > 1 or line_id in LineType.__members__:
            raise Invalid(f"lineItems: the id {line_id!r} is used twice; leave ids out, or make each another")


def _check_line(line: CustomLine, where: str) -> None:
    check_words(line.description, f"{where}.description", characters_max=DESCRIPTION_CHARACTERS_MAX)
    for field, text in (("id", line.line_id), ("billableId", line.billable_id)):
        if text is not None:
            check_words(text, f"{where}.{field}", characters_max=LINE_ID_CHARACTERS_MAX)
    if line.value is not None:
        check_number(line.value, f"{where}.value")
        if line.rate is None and line.quantity is None:
            return
    amount = check_product(line.rate, line.quantity, rate_field="valuePerQuantity", where=where)
    if line.value not in (None, amount):
        raise Invalid(f"{where}: quantity × valuePerQuantity is not the value that was sent; leave value out")


def check_not_ahead(end_date: date, *, now: datetime) -> None:
    """Refuse to issue an invoice for days that are not over. Raises `Invalid`."""
    if end_date > now.date() + timedelta(days=1):
        raise Invalid("endDate: an invoice for days to come can only be a DRAFT", code="FUTURE_INVOICE")


def first_day(instant: datetime) -> date:
    """The day of a start: the one in which it lies, by UTC."""
    return instant.date()


def end_day(instant: datetime) -> date:
    """The day behind the last: a day that is begun belongs to what ends in it. Raises `Invalid`."""
    if instant.date() >= FOREVER:
        raise Invalid(f"endDate: must be before {FOREVER}")
    return instant.date() if instant.time() == time(0) else instant.date() + timedelta(days=1)


def line_ids(lines: Sequence[CustomLine]) -> list[str]:
    """The ids of the lines on the invoice: their own, or made of their numbers."""
    return [line.line_id or f"{LineType.CUSTOM_AMOUNT.value}.{number}" for number, line in enumerate(lines, start=1)]


def custom_lines(invoice: CustomInvoice, currency: str) -> tuple[InvoiceLine, ...]:
    """The lines as they stand on the invoice."""
    return tuple(
        InvoiceLine(
            line_id=line_id,
            line_type=LineType.CUSTOM_AMOUNT,
            description=line.description,
            amount=Money(amount=line.amount, currency=currency),
            entity_id=line.billable_id,
            quantity=line.quantity,
            rate=line.rate,
        )
        for line_id, line in zip(line_ids(invoice.lines), invoice.lines, strict=True)
    )
