"""Computing an invoice: the line tree from usage, fees and price plan. Pure, exact, nothing is cut in here."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import assert_never

import msgspec

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.card_lines import licence_line, sum_line, usage_line
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.fixed_fee import FeeWorking, fee_in
from tallybook.core.invoice import (
    AdvanceCharge,
    BilledAccount,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    InvoiceType,
    LineType,
    UsageLine,
    invoice_id_for,
)
from tallybook.core.money import Money
from tallybook.core.period import Window, spelled_days
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing import commitment_of
from tallybook.core.rate_card import (
    FixedFeeRateCard,
    InvoiceTiming,
    LicenceRateCard,
    RateCard,
    UsageRateCard,
)

Charged = Mapping[str, Decimal]
"""What has been charged in advance for a cycle, by add-on id."""


def draft_invoice_of(
    account: BilledAccount,
    *,
    organisation_id: str,
    cycle: BilledCycle,
    usage: Sequence[UsageLine],
    computed_at: datetime,
    charged: Charged | None = None,
    following: BilledCycle | None = None,
    charged_for_following: Charged | None = None,
) -> Invoice:
    """The invoice of the cycle, as far as `usage` goes; one usage line for each of the plan's meters.

    It also charges the `following` cycle's fees that are due in advance, and settles what was `charged` in advance
    for this one.
    """
    advance = advance_lines(cycle, charged or {}, account.currency)
    if following is not None:
        advance += advance_lines(following, charged_for_following or {}, account.currency)
    plan = _price_plan_line(cycle, usage, account.currency)
    return _draft(
        account,
        organisation_id=organisation_id,
        invoice_type=InvoiceType.STANDARD,
        cycle=cycle,
        usage=usage,
        advance=advance,
        gross=[*_advance_total(advance, account.currency), plan],
        computed_at=computed_at,
    )


def draft_advance_invoice_of(
    account: BilledAccount, *, organisation_id: str, cycle: BilledCycle, charged: Charged, computed_at: datetime
) -> Invoice | None:
    """The invoice of what the first cycle is charged in advance; None when that is nothing."""
    advance = advance_lines(cycle, charged, account.currency)
    if not advance:
        return None
    return _draft(
        account,
        organisation_id=organisation_id,
        invoice_type=InvoiceType.STANDARD_ADVANCED,
        cycle=cycle,
        usage=(),
        advance=advance,
        gross=_advance_total(advance, account.currency),
        computed_at=computed_at,
    )


def draft_increase_invoice_of(
    account: BilledAccount, *, organisation_id: str, cycle: BilledCycle, charged: Charged, computed_at: datetime
) -> Invoice | None:
    """The invoice of licences that are due in advance and not charged yet; None when there are none.

    It is of the day of `computed_at`, so an account has one a day at most; what comes later on the day waits.
    """
    licences = {card.add_on_id for card in cycle.plan.licence_cards}
    advance = [
        (charge, line)
        for charge, line in advance_lines(cycle, charged, account.currency)
        if charge.amount > 0 and charge.add_on_id in licences
    ]
    if not advance:
        return None
    return _draft(
        account,
        organisation_id=organisation_id,
        invoice_type=InvoiceType.ADHOC_ADVANCED,
        cycle=cycle,
        usage=(),
        advance=advance,
        gross=_advance_total(advance, account.currency),
        computed_at=computed_at,
    )


def _draft(
    account: BilledAccount,
    *,
    organisation_id: str,
    invoice_type: InvoiceType,
    cycle: BilledCycle,
    usage: Sequence[UsageLine],
    advance: "Sequence[AdvanceLine]",
    gross: Sequence[InvoiceLine],
    computed_at: datetime,
) -> Invoice:
    start = computed_at.date() if invoice_type is InvoiceType.ADHOC_ADVANCED else cycle.window.start
    return Invoice(
        invoice_id=invoice_id_for(organisation_id, account.account_id, start, invoice_type),
        invoice_type=invoice_type,
        status=InvoiceStatus.DRAFT,
        account=account,
        plan_id=cycle.plan.plan_id,
        plan_version=cycle.plan.version,
        plan_name=cycle.plan.name,
        start_date=start,
        end_date=cycle.window.end,
        grace_days=cycle.plan.cycle.grace_days,
        usage=tuple(usage),
        revenue=_grand_total(gross, account.currency),
        advance=tuple(charge for charge, _ in advance),
        computed_at=computed_at,
    )


def _grand_total(gross: Sequence[InvoiceLine], currency: str) -> InvoiceLine:
    line = sum_line(LineType.GROSS_AMOUNT, "Gross amount", gross, currency)
    for line_type, description in (
        (LineType.NET_AMOUNT, "Net amount"),
        (LineType.TOTAL_AMOUNT, "Total"),
        (LineType.GRAND_TOTAL_AMOUNT, "Grand total"),
    ):
        line = sum_line(line_type, description, [line], currency)
    return line


# ---- in advance --------------------------------------------------------------------------------------------------

AdvanceLine = tuple[AdvanceCharge, InvoiceLine]


def advance_lines(cycle: BilledCycle, charged: Charged, currency: str) -> list[AdvanceLine]:
    """What is due in advance for the cycle less what has been charged, a line for each add-on where it differs."""
    due = {card.add_on_id: _due_in_advance(card, cycle, currency) for card in cycle.plan.advance_cards}
    for add_on_id in sorted(set(charged).difference(due)):
        due[add_on_id] = _nothing_due(add_on_id, cycle.window, currency)
    settled = [(add_on_id, _settled(line, charged.get(add_on_id, ZERO))) for add_on_id, line in due.items()]
    return [
        (AdvanceCharge(start_date=cycle.window.start, add_on_id=add_on_id, amount=line.amount.amount), line)
        for add_on_id, line in settled
        if line.amount.amount
    ]


def _due_in_advance(card: FixedFeeRateCard | LicenceRateCard, cycle: BilledCycle, currency: str) -> InvoiceLine:
    name = f"{card.display_name or card.name}, {spelled_days(cycle.window)}"
    match card:
        case FixedFeeRateCard():
            fee = fee_in(card, cycle, currency=currency)
            return InvoiceLine(
                line_id=f"{LineType.ADVANCED_FIXED_FEE.value}.{card.add_on_id}.{cycle.window.start}",
                line_type=LineType.ADVANCED_FIXED_FEE,
                description=name,
                amount=Money(amount=ZERO if fee is None else fee.amount, currency=currency),
                fee=fee,
            )
        case LicenceRateCard():
            line_type = LineType.ADVANCED_LICENSE_RATE_CARD_AMOUNT
            line_id = f"{line_type.value}.{card.add_on_id}.{cycle.window.start}"
            return licence_line(card, cycle, line_id, line_type, name, currency)
        case _:
            assert_never(card)


def _nothing_due(add_on_id: str, window: Window, currency: str) -> InvoiceLine:
    """The line of what was charged for an add-on that the plan no longer has."""
    return InvoiceLine(
        line_id=f"{LineType.ADVANCED_FIXED_FEE.value}.{add_on_id}.{window.start}",
        line_type=LineType.ADVANCED_FIXED_FEE,
        description=f"{add_on_id}, {spelled_days(window)}",
        amount=Money(amount=ZERO, currency=currency),
    )


def _settled(due: InvoiceLine, charged: Decimal) -> InvoiceLine:
    """What is due, or where some was charged before, the difference, with both under it."""
    if not charged:
        return due
    before = InvoiceLine(
        line_id=f"{due.line_id}.charged",
        line_type=due.line_type,
        description="Charged before",
        amount=Money(amount=EXACT.minus(charged), currency=due.amount.currency),
    )
    now_due = msgspec.structs.replace(due, line_id=f"{due.line_id}.due", description="Due for these days")
    return InvoiceLine(
        line_id=due.line_id,
        line_type=due.line_type,
        description=due.description,
        amount=now_due.amount + before.amount,
        lines=(now_due, before),
    )


def _advance_total(advance: Sequence[AdvanceLine], currency: str) -> list[InvoiceLine]:
    if not advance:
        return []
    return [sum_line(LineType.TOTAL_ADVANCED_FEES, "In advance", [line for _, line in advance], currency)]


# ---- the plan's own ----------------------------------------------------------------------------------------------


def _price_plan_line(cycle: BilledCycle, usage: Sequence[UsageLine], currency: str) -> InvoiceLine:
    used = {line.meter_id: line for line in usage}
    cards = [(card, line) for card in cycle.plan.rate_cards for line in _card_lines(card, cycle, used, currency)]
    only_usage = all(isinstance(card, UsageRateCard) for card, _ in cards)
    description = "Usage" if only_usage else "Usage and fees"
    sub_total = sum_line(LineType.SUB_TOTAL_AMOUNT, description, _grouped_by_tag(cards, currency), currency)
    true_up = _true_up(cycle.plan, sub_total.amount)
    return sum_line(LineType.PRICE_PLAN_AMOUNT, cycle.plan.name, [sub_total, *true_up], currency)


def _card_lines(card: RateCard, cycle: BilledCycle, used: Mapping[str, UsageLine], currency: str) -> list[InvoiceLine]:
    """The card's line, if the cycle is charged by it in arrears."""
    match card:
        case UsageRateCard():
            return [usage_line(card, used[card.meter_id], currency)]
        case FixedFeeRateCard():
            fee = fee_in(card, cycle, currency=currency)
            in_arrears = card.timing is InvoiceTiming.IN_ARREARS
            return [_fee_line(card, fee, currency)] if in_arrears and fee is not None else []
        case LicenceRateCard():
            if card.timing is InvoiceTiming.IN_ADVANCE:
                return []
            line_type = LineType.LICENSE_RATE_CARD_AMOUNT
            name = card.display_name or card.name
            return [licence_line(card, cycle, f"{line_type.value}.{card.add_on_id}", line_type, name, currency)]
        case _:
            assert_never(card)


def _fee_line(card: FixedFeeRateCard, fee: FeeWorking, currency: str) -> InvoiceLine:
    return InvoiceLine(
        line_id=f"{LineType.FIXED_FEE_RATE_CARD_AMOUNT.value}.{card.add_on_id}",
        line_type=LineType.FIXED_FEE_RATE_CARD_AMOUNT,
        description=card.display_name or card.name,
        amount=Money(amount=fee.amount, currency=currency),
        fee=fee,
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


def _grouped_by_tag(cards: Sequence[tuple[RateCard, InvoiceLine]], currency: str) -> list[InvoiceLine]:
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
    line = sum_line(LineType.CUSTOM_TAG, tag, lines, currency)
    return msgspec.structs.replace(line, line_id=f"{LineType.CUSTOM_TAG.value}.{tag}")
