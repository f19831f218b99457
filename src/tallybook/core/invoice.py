"""Invoices: the line tree from usage and price plan, the statuses and their transitions, the id.

Every amount in here is exact; a line is cut to the minor unit only where it is shown (`shown_amount`).
A draft is computed when asked and never stored. The same cycle always has the same id, draft or finalised.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.customer import Address
from tallybook.core.decimals import EXACT, plain_text
from tallybook.core.errors import Conflict
from tallybook.core.money import Money, cut_to_minor_unit, total
from tallybook.core.period import Window
from tallybook.core.price_plan import PricePlan, PricingModel, RatePlan, UsageRateCard
from tallybook.core.pricing import Clamp, PricedCard, PricedSlab, commitment_of, price_usage

INVOICE_FORMAT = 1

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ACCOUNT_CHARACTERS = 11
_CYCLE_CHARACTERS = 5
_ID_PREFIX = "inv"


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
    InvoiceStatus.PARTIALLY_PAID: frozenset({InvoiceStatus.PAID}),
    InvoiceStatus.PAID: frozenset({InvoiceStatus.REFUND_INITIATED}),
    InvoiceStatus.REFUND_INITIATED: frozenset({InvoiceStatus.REFUND_COMPLETED}),
    InvoiceStatus.UN_COLLECTIBLE: frozenset({InvoiceStatus.PAID, InvoiceStatus.VOID}),
    InvoiceStatus.MERGED: frozenset(),
    InvoiceStatus.VOID: frozenset(),
    InvoiceStatus.REFUND_COMPLETED: frozenset(),
}
"""From each status, where an invoice may go. A draft goes to PAID only at zero, to REFUND_COMPLETED only below."""


class LineType(Enum):
    """What a line of the tree is; the names are the interface's."""

    GRAND_TOTAL_AMOUNT = "GRAND_TOTAL_AMOUNT"
    TOTAL_AMOUNT = "TOTAL_AMOUNT"
    NET_AMOUNT = "NET_AMOUNT"
    GROSS_AMOUNT = "GROSS_AMOUNT"
    PRICE_PLAN_AMOUNT = "PRICE_PLAN_AMOUNT"
    SUB_TOTAL_AMOUNT = "SUB_TOTAL_AMOUNT"
    TRUE_UP_AMOUNT = "TRUE_UP_AMOUNT"
    CUSTOM_TAG = "CUSTOM_TAG"
    USAGE_RATE_CARD_AMOUNT = "USAGE_RATE_CARD_AMOUNT"
    USAGE_RATE_CARD_SLAB_AMOUNT = "USAGE_RATE_CARD_SLAB_AMOUNT"
    RATE_CONFIG_ADJUSTMENT_AMOUNT = "RATE_CONFIG_ADJUSTMENT_AMOUNT"
    USAGE_METER_USAGE = "USAGE_METER_USAGE"  # units, not money; it stands beside the tree


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: `amount` is the exact sum of `lines` where it has any. A slab's line carries its working."""

    line_id: str
    line_type: LineType
    description: str
    amount: Money
    quantity: Decimal | None = None
    working: PricedSlab | None = None
    lines: "tuple[InvoiceLine, ...]" = ()


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """Usage of one meter in the cycle; `meter_version` is the definition whose name stands here."""

    meter_id: str
    meter_version: int
    name: str
    units: Decimal
    event_count: int


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


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """One account's invoice for one cycle, `[start_date, end_date)`. Only a finalised one has `issued_at`."""

    invoice_id: str
    status: InvoiceStatus
    account: BilledAccount
    plan_id: str
    plan_version: int
    plan_name: str
    start_date: date
    end_date: date
    grace_days: int
    usage: tuple[UsageLine, ...]
    revenue: InvoiceLine
    computed_at: datetime
    issued_at: datetime | None = None

    @property
    def total(self) -> Decimal:
        """What is owed, cut to the minor unit; below zero it is owed to the account."""
        return shown_amount(self.revenue)

    @property
    def invoice_date(self) -> date:
        """The day on which grace is over and the invoice is finalised."""
        return self.end_date + timedelta(days=self.grace_days)

    @property
    def due_date(self) -> date:
        """The day by which it is to be paid."""
        return self.invoice_date + timedelta(days=self.account.net_term_days)


class InvoiceInputs(msgspec.Struct, frozen=True, kw_only=True):
    """All that a finalised invoice was computed from. `usage` rows are meter id, hour since 1970, units, events."""

    format: int = INVOICE_FORMAT
    organisation_id: str
    account_id: str
    currency: str
    start_date: date
    end_date: date
    plan_id: str
    plan_version: int
    meter_versions: dict[str, int]
    usage: tuple[tuple[str, int, Decimal, int], ...]


# ---- the id ------------------------------------------------------------------------------------------------------


def invoice_id_for(organisation_id: str, account_id: str, start_date: date) -> str:
    """The id of that account's invoice for the cycle that starts then: `inv.<account>.<day>`, both in base 62."""
    return (
        f"{_ID_PREFIX}.{account_mark(organisation_id, account_id)}.{_base62(start_date.toordinal(), _CYCLE_CHARACTERS)}"
    )


def account_mark(organisation_id: str, account_id: str) -> str:
    """The part of an invoice id that all invoices of an account share: 65 bits of a hash."""
    digest = hashlib.sha256(f"{organisation_id}\0{account_id}".encode()).digest()
    return _base62(int.from_bytes(digest), _ACCOUNT_CHARACTERS)


def parse_invoice_id(invoice_id: str) -> tuple[str, date] | None:
    """Take an id apart into account mark and start of the cycle; None when it cannot be one of ours."""
    parts = invoice_id.split(".")
    if [len(part) for part in parts] != [len(_ID_PREFIX), _ACCOUNT_CHARACTERS, _CYCLE_CHARACTERS]:
        return None
    prefix, mark, day = parts
    if prefix != _ID_PREFIX or not set(mark + day).issubset(_BASE62):
        return None
    ordinal = 0
    for character in day:
        ordinal = ordinal * len(_BASE62) + _BASE62.index(character)
    return (mark, date.fromordinal(ordinal)) if 1 <= ordinal <= date.max.toordinal() else None


def _base62(number: int, characters: int) -> str:
    digits = []
    for _ in range(characters):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


# ---- computing ---------------------------------------------------------------------------------------------------


def draft_invoice_of(
    account: BilledAccount,
    *,
    organisation_id: str,
    plan: PricePlan,
    window: Window,
    usage: Sequence[UsageLine],
    computed_at: datetime,
) -> Invoice:
    """The invoice of the cycle `window`, as far as `usage` goes; one usage line for each of the plan's meters."""
    return Invoice(
        invoice_id=invoice_id_for(organisation_id, account.account_id, window.start),
        status=InvoiceStatus.DRAFT,
        account=account,
        plan_id=plan.plan_id,
        plan_version=plan.version,
        plan_name=plan.name,
        start_date=window.start,
        end_date=window.end,
        grace_days=plan.cycle.grace_days,
        usage=tuple(usage),
        revenue=_revenue(plan, usage, account.currency),
        computed_at=computed_at,
    )


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


def _revenue(plan: PricePlan, usage: Sequence[UsageLine], currency: str) -> InvoiceLine:
    used = {line.meter_id: line for line in usage}
    cards = [(card, _card_line(card, used[card.meter_id], currency)) for card in plan.rate_cards]
    sub_total = _sum_line(LineType.SUB_TOTAL_AMOUNT, "Usage", _grouped_by_tag(cards, currency), currency)
    true_up = _true_up(plan, sub_total.amount)
    line = _sum_line(LineType.PRICE_PLAN_AMOUNT, plan.name, [sub_total, *true_up], currency)
    for line_type, description in (
        (LineType.GROSS_AMOUNT, "Gross amount"),
        (LineType.NET_AMOUNT, "Net amount"),
        (LineType.TOTAL_AMOUNT, "Total"),
        (LineType.GRAND_TOTAL_AMOUNT, "Grand total"),
    ):
        line = _sum_line(line_type, description, [line], currency)
    return line


def _sum_line(line_type: LineType, description: str, lines: Sequence[InvoiceLine], currency: str) -> InvoiceLine:
    return InvoiceLine(
        line_id=line_type.value,
        line_type=line_type,
        description=description,
        amount=total((line.amount for line in lines), currency=currency),
        lines=tuple(lines),
    )


def _true_up(plan: PricePlan, sub_total: Money) -> list[InvoiceLine]:
    """What is missing to the minimum commitment; the commitment is never prorated."""
    commitment = Money(amount=commitment_of(plan, sub_total.currency), currency=sub_total.currency)
    missing = commitment - sub_total
    if plan.minimum_commitment is None or missing.amount <= 0:
        return []
    return [
        InvoiceLine(
            line_id=LineType.TRUE_UP_AMOUNT.value,
            line_type=LineType.TRUE_UP_AMOUNT,
            description=plan.minimum_commitment.display_name,
            amount=missing,
        )
    ]


def _grouped_by_tag(cards: Iterable[tuple[UsageRateCard, InvoiceLine]], currency: str) -> list[InvoiceLine]:
    """Cards in the plan's order; those that share a tag stand under one line, at the place of the first."""
    groups: dict[str, list[InvoiceLine]] = {}
    places: list[str | InvoiceLine] = []
    for card, line in cards:
        if card.tag is None:
            places.append(line)
            continue
        if card.tag not in groups:
            places.append(card.tag)
        groups.setdefault(card.tag, []).append(line)
    return [_tag_line(place, groups[place], currency) if isinstance(place, str) else place for place in places]


def _tag_line(tag: str, lines: Sequence[InvoiceLine], currency: str) -> InvoiceLine:
    line = _sum_line(LineType.CUSTOM_TAG, tag, lines, currency)
    return msgspec.structs.replace(line, line_id=f"{LineType.CUSTOM_TAG.value}.{tag}")


def _card_line(card: UsageRateCard, usage: UsageLine, currency: str) -> InvoiceLine:
    priced = price_usage(usage.units, card, currency=currency)
    line_id = f"{LineType.USAGE_RATE_CARD_AMOUNT.value}.{card.meter_id}"
    slabs = [_slab_line(slab, card.rate_plan, line_id, currency) for slab in priced.slabs]
    return InvoiceLine(
        line_id=line_id,
        line_type=LineType.USAGE_RATE_CARD_AMOUNT,
        description=card.display_name or usage.name,
        amount=Money(amount=priced.amount, currency=currency),
        quantity=usage.units,
        lines=(*slabs, *_card_adjustment(priced, line_id, currency)),
    )


def _slab_line(slab: PricedSlab, rate_plan: RatePlan, card_line_id: str, currency: str) -> InvoiceLine:
    return InvoiceLine(
        line_id=f"{card_line_id}.{slab.order}",
        line_type=LineType.USAGE_RATE_CARD_SLAB_AMOUNT,
        description=_slab_range(slab.order, rate_plan),
        amount=Money(amount=slab.amount, currency=currency),
        quantity=slab.quantity,
        working=slab,
    )


def _card_adjustment(priced: PricedCard, card_line_id: str, currency: str) -> list[InvoiceLine]:
    if priced.clamp is None:
        return []
    return [
        InvoiceLine(
            line_id=f"{card_line_id}.adjustment",
            line_type=LineType.RATE_CONFIG_ADJUSTMENT_AMOUNT,
            description="Minimum amount" if priced.clamp is Clamp.MINIMUM else "Maximum amount",
            amount=Money(amount=EXACT.subtract(priced.amount, priced.slabs_amount), currency=currency),
        )
    ]


def _slab_range(order: int, rate_plan: RatePlan) -> str:
    """Which quantities the slab is for, in words."""
    slab = rate_plan.slabs[order - 1]
    end = spaced_text(rate_plan.slabs[order].start_after) if order < len(rate_plan.slabs) else None
    parts = []
    if slab.start_after:
        parts.append(f"over {spaced_text(slab.start_after)}")
    if end is not None:
        parts.append(f"up to {end}")
    if not parts:
        return "All"
    words = " ".join(parts)
    if rate_plan.pricing_model is PricingModel.VOLUME:
        return f"All, priced as {words}"
    return words[0].upper() + words[1:]


def spaced_text(value: Decimal) -> str:
    """Plain decimal text with a comma between thousands: 12,345.6."""
    return format(Decimal(plain_text(value)), ",f")
