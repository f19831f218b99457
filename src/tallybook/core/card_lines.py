"""The lines of an invoice for single rate cards, each with its working under it."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.credit_grant import price_in
from tallybook.core.decimals import EXACT
from tallybook.core.invoice import InvoiceLine, LineType, UsageLine, spaced_text
from tallybook.core.licence_pricing import PricedLicences, price_licences
from tallybook.core.money import Money, total
from tallybook.core.period import Window, spelled_days
from tallybook.core.pricing import Clamp, PricedCard, price_usage
from tallybook.core.rate_card import CreditGrantRateCard, LicenceRateCard, PricingModel, RatePlan, UsageRateCard


def sum_line(line_type: LineType, description: str, lines: Sequence[InvoiceLine], currency: str) -> InvoiceLine:
    """A line that is the sum of those under it."""
    return InvoiceLine(
        line_id=line_type.value,
        line_type=line_type,
        description=description,
        amount=total((line.amount for line in lines), currency=currency),
        lines=tuple(lines),
    )


def usage_line(card: UsageRateCard, usage: UsageLine, currency: str) -> InvoiceLine:
    """What the usage of a meter costs, slab by slab."""
    return metered_line(card, usage.units, card.display_name or usage.name, currency)


def metered_line(card: UsageRateCard, units: Decimal, description: str, currency: str) -> InvoiceLine:
    """What so many units of the card's meter cost, slab by slab."""
    priced = price_usage(units, card, currency=currency)
    line_id = f"{LineType.USAGE_RATE_CARD_AMOUNT.value}.{card.meter_id}"
    return InvoiceLine(
        line_id=line_id,
        line_type=LineType.USAGE_RATE_CARD_AMOUNT,
        description=description,
        amount=Money(amount=priced.amount, currency=currency),
        entity_id=card.meter_id,
        quantity=units,
        lines=_slab_lines(priced, card.rate_plan, line_id, LineType.USAGE_RATE_CARD_SLAB_AMOUNT, currency),
    )


def licence_line(
    card: LicenceRateCard, cycle: BilledCycle, line_id: str, line_type: LineType, description: str, currency: str
) -> InvoiceLine:
    """What the licences that are held cost: by slabs, by runs of days where prorated, in usage cycles where there are.

    Its quantity is the most that is held.
    """
    of_usage_cycles = price_licences(card, cycle, currency=currency)
    lines = []
    for parts in of_usage_cycles:
        window = Window(parts[0].window.start, parts[-1].window.end)
        part_id = line_id if card.usage_cycle is None else f"{line_id}.{window.start}"
        of_cycle = [line for part in parts for line in _licence_part_lines(part, card, part_id, currency)]
        lines += of_cycle if card.usage_cycle is None else [_usage_cycle_line(part_id, window, of_cycle, currency)]
    return InvoiceLine(
        line_id=line_id,
        line_type=line_type,
        description=description,
        amount=total((line.amount for line in lines), currency=currency),
        entity_id=card.add_on_id,
        quantity=max(part.priced.quantity for parts in of_usage_cycles for part in parts),
        lines=tuple(lines),
    )


def grant_line(
    card: CreditGrantRateCard, priced: PricedCard, line_id: str, line_type: LineType, description: str, currency: str
) -> InvoiceLine:
    """What credit costs that is sold; its quantity is how much that is."""
    return InvoiceLine(
        line_id=line_id,
        line_type=line_type,
        description=description,
        amount=Money(amount=priced.amount, currency=currency),
        entity_id=card.add_on_id,
        quantity=priced.quantity,
        lines=_slab_lines(priced, price_in(card, currency).rate_plan, line_id, line_type, currency),
    )


def _usage_cycle_line(line_id: str, window: Window, lines: Sequence[InvoiceLine], currency: str) -> InvoiceLine:
    line = sum_line(LineType.USAGE_CYCLE_AMOUNT, spelled_days(window), lines, currency)
    return msgspec.structs.replace(line, line_id=line_id)


def _licence_part_lines(
    part: PricedLicences, card: LicenceRateCard, line_id: str, currency: str
) -> Sequence[InvoiceLine]:
    if part.share is None:
        return _slab_lines(part.priced, card.rate_plan, line_id, LineType.LICENSE_RATE_CARD_SLAB_AMOUNT, currency)
    return [
        InvoiceLine(
            line_id=f"{line_id}.{part.window.start}",
            line_type=LineType.LICENSE_RATE_CARD_SLAB_AMOUNT,
            description=f"{spaced_text(part.priced.quantity)} held, {spelled_days(part.window)}",
            amount=Money(amount=part.amount, currency=currency),
            quantity=part.priced.quantity,
            fee=part.share,
        )
    ]


def _slab_lines(
    priced: PricedCard, rate_plan: RatePlan, line_id: str, line_type: LineType, currency: str
) -> tuple[InvoiceLine, ...]:
    slabs = (
        InvoiceLine(
            line_id=f"{line_id}.{slab.order}",
            line_type=line_type,
            description=_slab_range(slab.order, rate_plan),
            amount=Money(amount=slab.amount, currency=currency),
            quantity=slab.quantity,
            working=slab,
        )
        for slab in priced.slabs
    )
    return (*slabs, *_card_adjustment(priced, line_id, currency))


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
