"""Invoices: what they consist of, the statuses and their transitions, the id.

What an invoice is computed from is in `invoice_inputs`, the computing in `invoice_lines`. Every amount in here is
exact; a line is cut to the minor unit only where it is shown (`shown_amount`). A draft is computed when asked and never
stored. The same cycle always has the same id, draft or finalised.
"""

import hashlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.credit import CreditGrant, CreditUse
from tallybook.core.customer import Address
from tallybook.core.decimals import ZERO, plain_text
from tallybook.core.errors import Conflict
from tallybook.core.fixed_fee import FeeWorking
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.core.money import Money, cut_to_minor_unit
from tallybook.core.pricing import PricedSlab

INVOICE_FORMAT = 3  # 2 added fees, 3 what stands beside the plan; older ones read as invoices without any

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ACCOUNT_CHARACTERS = 11
_CYCLE_CHARACTERS = 5
_ID_PREFIX = "inv"
_DAYS_PER_TYPE = 4_000_000  # more than there are days up to the year 9999; five characters hold 916 million


class InvoiceStatus(Enum):
    """Where an invoice stands; `TRANSITIONS` says where it may go."""

    DRAFT = "DRAFT"
    DUE = "DUE"
    PARTIALLY_PAID = "PARTIALLY_PAID"
    PAID = "PAID"
    VOID = "VOID"
    UN_COLLECTIBLE = "UN_COLLECTIBLE"
    MERGED = "MERGED"
    REFUND_INITIATED = "REFUND_INITIATED"
    REFUND_COMPLETED = "REFUND_COMPLETED"


TRANSITIONS: dict[InvoiceStatus, frozenset[InvoiceStatus]] = {
    InvoiceStatus.DRAFT: frozenset(
        {InvoiceStatus.DUE, InvoiceStatus.PAID, InvoiceStatus.REFUND_COMPLETED, InvoiceStatus.VOID}
    ),
    InvoiceStatus.DUE: frozenset(
        {
            InvoiceStatus.PARTIALLY_PAID,
            InvoiceStatus.PAID,
            InvoiceStatus.UN_COLLECTIBLE,
            InvoiceStatus.VOID,
            InvoiceStatus.MERGED,
        }
    ),
    InvoiceStatus.PARTIALLY_PAID: frozenset({InvoiceStatus.PAID, InvoiceStatus.REFUND_INITIATED}),
    InvoiceStatus.PAID: frozenset({InvoiceStatus.REFUND_INITIATED}),
    InvoiceStatus.REFUND_INITIATED: frozenset({InvoiceStatus.REFUND_COMPLETED}),
    InvoiceStatus.UN_COLLECTIBLE: frozenset({InvoiceStatus.PAID, InvoiceStatus.VOID}),
    InvoiceStatus.MERGED: frozenset(),
    InvoiceStatus.VOID: frozenset(),
    InvoiceStatus.REFUND_COMPLETED: frozenset(),
}
"""From each status, where an invoice may go. A draft goes to PAID only at zero, to REFUND_COMPLETED only below."""


class InvoiceType(Enum):
    """STANDARD bills a cycle when it is over; STANDARD_ADVANCED what a first cycle is charged when it begins.

    ADHOC_ADVANCED bills licences that were added during a cycle, from the day on which it is issued. CUSTOM is written
    by hand. COMPOSITE is what the invoices of a group's accounts come to. AD_HOC bills what came late where no cycle
    follows.
    """

    STANDARD = "STANDARD"
    STANDARD_ADVANCED = "STANDARD_ADVANCED"
    ADHOC_ADVANCED = "ADHOC_ADVANCED"
    CUSTOM = "CUSTOM"
    COMPOSITE = "COMPOSITE"
    AD_HOC = "AD_HOC"


class LineType(Enum):
    """What a line of the tree is; the names are the interface's, which has none for LATE_USAGE_AMOUNT."""

    GRAND_TOTAL_AMOUNT = "GRAND_TOTAL_AMOUNT"
    TOTAL_AMOUNT = "TOTAL_AMOUNT"
    NET_AMOUNT = "NET_AMOUNT"
    GROSS_AMOUNT = "GROSS_AMOUNT"
    PRICE_PLAN_AMOUNT = "PRICE_PLAN_AMOUNT"
    SUB_TOTAL_AMOUNT = "SUB_TOTAL_AMOUNT"
    TRUE_UP_AMOUNT = "TRUE_UP_AMOUNT"
    TOTAL_ADVANCED_FEES = "TOTAL_ADVANCED_FEES"
    ADVANCED_FIXED_FEE = "ADVANCED_FIXED_FEE"
    ADVANCED_LICENSE_RATE_CARD_AMOUNT = "ADVANCED_LICENSE_RATE_CARD_AMOUNT"
    ADVANCED_CREDIT_GRANT_RATE_CARD_AMOUNT = "ADVANCED_CREDIT_GRANT_RATE_CARD_AMOUNT"
    FIXED_FEE_RATE_CARD_AMOUNT = "FIXED_FEE_RATE_CARD_AMOUNT"
    CREDIT_GRANT_RATE_CARD_AMOUNT = "CREDIT_GRANT_RATE_CARD_AMOUNT"
    LICENSE_RATE_CARD_AMOUNT = "LICENSE_RATE_CARD_AMOUNT"
    LICENSE_RATE_CARD_SLAB_AMOUNT = "LICENSE_RATE_CARD_SLAB_AMOUNT"
    USAGE_CYCLE_AMOUNT = "USAGE_CYCLE_AMOUNT"
    CUSTOM_TAG = "CUSTOM_TAG"
    USAGE_RATE_CARD_AMOUNT = "USAGE_RATE_CARD_AMOUNT"
    USAGE_RATE_CARD_SLAB_AMOUNT = "USAGE_RATE_CARD_SLAB_AMOUNT"
    RATE_CONFIG_ADJUSTMENT_AMOUNT = "RATE_CONFIG_ADJUSTMENT_AMOUNT"
    TOTAL_PRICING_RULE_ADDITION_AMOUNT = "TOTAL_PRICING_RULE_ADDITION_AMOUNT"
    PRICING_RULE_ADDITION_AMOUNT = "PRICING_RULE_ADDITION_AMOUNT"
    PRICING_RULE_REVENUE_UPDATE_AMOUNT = "PRICING_RULE_REVENUE_UPDATE_AMOUNT"
    PRICING_RULE_USAGE_UPDATE_AMOUNT = "PRICING_RULE_USAGE_UPDATE_AMOUNT"
    TOTAL_CREDITS = "TOTAL_CREDITS"
    SUB_CREDITS = "SUB_CREDITS"
    LATE_USAGE_AMOUNT = "LATE_USAGE_AMOUNT"
    CUSTOM_AMOUNT = "CUSTOM_AMOUNT"
    TOTAL_MISCELLANEOUS_CHARGES = "TOTAL_MISCELLANEOUS_CHARGES"
    MISCELLANEOUS_CHARGE = "MISCELLANEOUS_CHARGE"
    TOTAL_TAX_AMOUNT = "TOTAL_TAX_AMOUNT"
    TAX_AMOUNT = "TAX_AMOUNT"
    USAGE_METER_USAGE = "USAGE_METER_USAGE"  # units, not money; it stands beside the tree


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: `amount` is the exact sum of `lines` where it has any. Lines of slabs and fees carry their working.

    `entity_id` is the meter or add-on that it charges for. `rate` is what each of the `quantity` costs where somebody
    wrote both by hand.
    """

    line_id: str
    line_type: LineType
    description: str
    amount: Money
    entity_id: str | None = None
    quantity: Decimal | None = None
    rate: Decimal | None = None
    working: PricedSlab | None = None
    fee: FeeWorking | None = None
    lines: "tuple[InvoiceLine, ...]" = ()


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of one meter in the cycle; `meter_version` is the definition whose name stands here."""

    meter_id: str
    meter_version: int
    name: str
    units: Decimal
    event_count: int


def usage_line_id(line: UsageLine) -> str:
    """The id under which a line of usage stands on the invoice."""
    return f"{LineType.USAGE_METER_USAGE.value}.{line.meter_id}"


class BilledAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Who is billed, as known when the invoice was computed."""

    account_id: str
    account_name: str
    customer_id: str
    customer_name: str
    customer_email: str
    email: str
    address: Address
    currency: str
    net_term_days: int = 0


class AdvanceCharge(msgspec.Struct, frozen=True, kw_only=True):
    """What an invoice charges in advance, or corrects, for an add-on in the cycle that begins on `start_date`."""

    start_date: date
    add_on_id: str
    amount: Decimal


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice for the days `[start_date, end_date)`, of an account or a group. Only a finalised one has `issued_at`.

    `advance` says what it charges in advance, line by line, so that the invoice of that cycle can settle it;
    `credits_used` what it takes from which credit, `credits_granted` what becomes credits when it is issued.
    Of a composite, `members` are the invoices that it merges.

    A draft with `auto_advance` is issued by itself when its time has come.
    How a finalised invoice stands now is kept beside it and read with it: `status`, `paid_amount`, `sequence_number`
    (1, 2, 3 … in the organisation, shown behind `number_prefix`), and the composite that it was `merged_into`.
    """

    invoice_id: str
    invoice_type: InvoiceType = InvoiceType.STANDARD
    status: InvoiceStatus
    account: BilledAccount
    group: InvoiceGroup | None = None
    members: tuple[str, ...] = ()
    plan_id: str
    plan_version: int
    plan_name: str
    start_date: date
    end_date: date
    grace_days: int
    usage: tuple[UsageLine, ...]
    revenue: InvoiceLine
    advance: tuple[AdvanceCharge, ...] = ()
    credits_used: tuple[CreditUse, ...] = ()
    credits_granted: tuple[CreditGrant, ...] = ()
    computed_at: datetime
    issued_at: datetime | None = None
    auto_advance: bool = True
    number_prefix: str = ""
    sequence_number: int | None = None
    paid_amount: Decimal = ZERO
    merged_into: str | None = None

    @property
    def total(self) -> Decimal:
        """What is owed, cut to the minor unit; below zero it is owed to the account."""
        return shown_amount(self.revenue)

    @property
    def gross(self) -> InvoiceLine:
        """What is charged, before credits, other charges and tax; not of a composite, which has a tree of its own."""
        [whole] = self.revenue.lines
        return whole.lines[0].lines[0]

    @property
    def sequence_id(self) -> str | None:
        """The number with its prefix; a draft has none, nor has what was issued before there were numbers."""
        return None if self.sequence_number is None else f"{self.number_prefix}{self.sequence_number}"

    @property
    def invoice_date(self) -> date:
        """The day on which grace is over, or the plan begins, or on which a custom invoice is issued."""
        match self.invoice_type:
            case InvoiceType.STANDARD:
                return self.end_date + timedelta(days=self.grace_days)
            case InvoiceType.CUSTOM:
                return self.end_date if self.issued_at is None else self.issued_at.date()
            case _:
                return self.start_date

    @property
    def due_date(self) -> date:
        """The day by which it is to be paid."""
        return self.invoice_date + timedelta(days=self.account.net_term_days)


# In this order for ever: ids are made of it.
_NUMBERED_TYPES = (
    InvoiceType.STANDARD,
    InvoiceType.STANDARD_ADVANCED,
    InvoiceType.ADHOC_ADVANCED,
    InvoiceType.AD_HOC,
    InvoiceType.COMPOSITE,
)


# ---- the id ------------------------------------------------------------------------------------------------------


def invoice_id_for(
    organisation_id: str, account_id: str, start_date: date, invoice_type: InvoiceType = InvoiceType.STANDARD
) -> str:
    """The id of that account's invoice for the cycle that starts then: `inv.<account>.<type and day>`, in base 62."""
    number = _NUMBERED_TYPES.index(invoice_type) * _DAYS_PER_TYPE + start_date.toordinal()
    return f"{_ID_PREFIX}.{account_mark(organisation_id, account_id)}.{_base62(number, _CYCLE_CHARACTERS)}"


def account_mark(organisation_id: str, account_id: str) -> str:
    """The part of an invoice id that all invoices of an account share: 65 bits of a hash."""
    digest = hashlib.sha256(f"{organisation_id}\0{account_id}".encode()).digest()
    return _base62(int.from_bytes(digest), _ACCOUNT_CHARACTERS)


def parse_invoice_id(invoice_id: str) -> tuple[str, InvoiceType, date] | None:
    """Take an id apart into account mark, type and start of the cycle; None when it cannot be one of ours."""
    parts = invoice_id.split(".")
    if [len(part) for part in parts] != [len(_ID_PREFIX), _ACCOUNT_CHARACTERS, _CYCLE_CHARACTERS]:
        return None
    prefix, mark, cycle = parts
    if prefix != _ID_PREFIX or not set(mark + cycle).issubset(_BASE62):
        return None
    number = 0
    for character in cycle:
        number = number * len(_BASE62) + _BASE62.index(character)
    kind, ordinal = divmod(number, _DAYS_PER_TYPE)
    if kind >= len(_NUMBERED_TYPES) or not 1 <= ordinal <= date.max.toordinal():
        return None
    return mark, _NUMBERED_TYPES[kind], date.fromordinal(ordinal)


def _base62(number: int, characters: int) -> str:
    digits = []
    for _ in range(characters):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


# ---- statuses and shown amounts -----------------------------------------------------------------------------------


def finalised(draft: Invoice, *, issued_at: datetime) -> Invoice:
    """The same invoice, issued: due, or settled at once when nothing is owed."""
    status = moved(draft.status, status_when_issued(draft.total))
    return msgspec.structs.replace(draft, status=status, issued_at=issued_at, computed_at=issued_at)


def status_when_issued(total_due: Decimal) -> InvoiceStatus:
    """Zero is paid at once, below zero the refund is complete, anything else is due."""
    if total_due == 0:
        return InvoiceStatus.PAID
    return InvoiceStatus.DUE if total_due > 0 else InvoiceStatus.REFUND_COMPLETED


def moved(status: InvoiceStatus, to: InvoiceStatus) -> InvoiceStatus:
    """Go from one status to another along `TRANSITIONS`. Raises `Conflict`."""
    if to not in TRANSITIONS[status]:
        raise Conflict(f"an invoice that is {status.value} cannot become {to.value}", code="STATUS_TRANSITION")
    return to


def shown_amount(line: InvoiceLine) -> Decimal:
    """The amount of a line as a reader sees it: cut to the minor unit, each line by itself."""
    return cut_to_minor_unit(line.amount)


def spaced_text(value: Decimal) -> str:
    """Plain decimal text with a comma between thousands: 12,345.6."""
    return format(Decimal(plain_text(value)), ",f")
