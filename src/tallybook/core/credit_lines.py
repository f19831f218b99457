"""Credits on an invoice: what of it they may be used for, and the lines that say how much they pay."""

from collections.abc import Iterator, Sequence

from tallybook.core.card_lines import sum_line
from tallybook.core.credit import ALL_FIXED_FEES, ALL_USAGE, ChargedEntity, CreditUse, use_credits
from tallybook.core.decimals import EXACT
from tallybook.core.invoice import InvoiceLine, LineType
from tallybook.core.invoice_inputs import InvoiceInputs
from tallybook.core.late_usage import LATE_LINE
from tallybook.core.money import Money
from tallybook.core.period import Window

_SUMS = frozenset(
    {
        LineType.GROSS_AMOUNT,
        LineType.PRICE_PLAN_AMOUNT,
        LineType.SUB_TOTAL_AMOUNT,
        LineType.CUSTOM_TAG,
        LineType.TOTAL_ADVANCED_FEES,
        LineType.TOTAL_PRICING_RULE_ADDITION_AMOUNT,
        LATE_LINE,
    }
)
_GRANTS = frozenset({LineType.CREDIT_GRANT_RATE_CARD_AMOUNT, LineType.ADVANCED_CREDIT_GRANT_RATE_CARD_AMOUNT})
_USAGE = frozenset({LineType.USAGE_RATE_CARD_AMOUNT})
_FIXED_FEES = frozenset({LineType.FIXED_FEE_RATE_CARD_AMOUNT, LineType.ADVANCED_FIXED_FEE})


def credits_used_by(gross: InvoiceLine, inputs: InvoiceInputs, window: Window) -> tuple[CreditUse, ...]:
    """How much of which credit the invoice uses on what it charges."""
    if not inputs.adjustments.credits:
        return ()
    return use_credits(list(charged_entities(gross)), inputs.adjustments.credits, window)


def charged_entities(line: InvoiceLine) -> Iterator[ChargedEntity]:
    """What stands below the sums, each with the ids by which a credit may name it."""
    if line.line_type in _SUMS and line.lines:
        for part in line.lines:
            yield from charged_entities(part)
        return
    creditable = line.line_type not in _GRANTS  # credits do not pay for credits
    yield ChargedEntity(entity_ids=_entity_ids(line), amount=line.amount.amount, creditable=creditable)


def credits_total(used: Sequence[CreditUse], currency: str) -> list[InvoiceLine]:
    """The line over the credits that are used, below zero; none where none is."""
    lines = [
        InvoiceLine(
            line_id=f"{LineType.SUB_CREDITS.value}.{use.credit_id}",
            line_type=LineType.SUB_CREDITS,
            description=use.purpose,
            amount=Money(amount=EXACT.minus(use.amount), currency=currency),
        )
        for use in used
    ]
    return [sum_line(LineType.TOTAL_CREDITS, "Credits", lines, currency)] if lines else []


def _entity_ids(line: InvoiceLine) -> tuple[str, ...]:
    special = [ALL_USAGE] if line.line_type in _USAGE else [ALL_FIXED_FEES] if line.line_type in _FIXED_FEES else []
    return (*([line.entity_id] if line.entity_id else []), *special)
