"""Computing an invoice from its inputs: the line tree from usage, fees, price plan and what stands beside it.

`invoice_of` is the one function that does: drafts, finalised invoices and proofs come from it. Pure, exact, nothing is
cut in here. The order is: cards, pricing rules, commitment, credits, miscellaneous charges, tax, totals.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from tallybook.core.advance_lines import AdvanceLine, advance_lines, advance_total, ruled_in_advance
from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.card_lines import grant_line, licence_line, sum_line, usage_line
from tallybook.core.credit import CreditGrant, CreditUse
from tallybook.core.credit_grant import sale_in, sold_grant
from tallybook.core.credit_lines import credits_total, credits_used_by
from tallybook.core.custom_invoice import custom_lines
from tallybook.core.fixed_fee import FeeWorking, fee_in
from tallybook.core.invoice import (
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    InvoiceType,
    LineType,
    UsageLine,
    invoice_id_for,
)
from tallybook.core.invoice_inputs import (
    InvoiceInputs,
    LateCycle,
    Plans,
    charged_on,
    cycle_of,
    usage_lines,
)
from tallybook.core.late_usage import late_line, said_lines
from tallybook.core.miscellaneous_charge import charge_lines, variables_of
from tallybook.core.money import Money, total
from tallybook.core.period import Window
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing import commitment_of
from tallybook.core.pricing_rule import rules_of
from tallybook.core.rate_card import (
    CreditGrantRateCard,
    FixedFeeRateCard,
    InvoiceTiming,
    LicenceRateCard,
    RateCard,
    UsageRateCard,
)
from tallybook.core.ruled_cards import RatedCard, RuledCards, added_total, apply_rules
from tallybook.core.tax import tax_lines


def invoice_of(inputs: InvoiceInputs, plans: Plans, *, computed_at: datetime) -> Invoice | None:
    """The invoice, as a draft; None when it would charge nothing and need not be.

    Raises `Conflict` when a plan is missing or a miscellaneous charge cannot be computed.
    """
    match inputs.invoice_type:
        case InvoiceType.STANDARD:
            gross, advance = _standard_gross(inputs, plans)
        case InvoiceType.STANDARD_ADVANCED:
            gross, advance = _advance_gross(inputs, plans)
        case InvoiceType.ADHOC_ADVANCED:
            gross, advance = _increase_gross(inputs, plans)
        case InvoiceType.AD_HOC:
            gross, advance = [], []
        case InvoiceType.CUSTOM:
            gross, advance = _custom_gross(inputs), []
        case InvoiceType.COMPOSITE:
            raise AssertionError("a composite is made of invoices, in `composite_invoice`")
        case _:
            assert_never(inputs.invoice_type)
    late = late_lines(inputs.adjustments.late, plans)
    if not (gross or late) and inputs.invoice_type is not InvoiceType.STANDARD:
        return None
    return _draft(inputs, plans, gross=[*gross, *late], advance=advance, computed_at=computed_at)


def rules_applied(inputs: InvoiceInputs, plans: Plans) -> tuple[RuledCards, ...]:
    """What pricing rules did, for their logs: to the billed cycle, then to what the following is charged in advance."""
    if inputs.cycle is None:
        return ()
    cycle, currency, dialect = cycle_of(inputs.cycle, plans), inputs.account.currency, inputs.dialect
    if inputs.invoice_type is not InvoiceType.STANDARD:
        return (ruled_in_advance(cycle, currency, dialect),)
    billed = _ruled(cycle, usage_lines(inputs), currency, dialect)
    if inputs.following is None:
        return (billed,)
    return (billed, ruled_in_advance(cycle_of(inputs.following, plans), currency, dialect))


def late_lines(late: Sequence[LateCycle], plans: Plans) -> list[InvoiceLine]:
    """What changed in cycles that were invoiced before, a line for each where something did."""
    lines = [_late_line(each, plans) for each in late]
    return [line for line in lines if line is not None]


def _late_line(late: LateCycle, plans: Plans) -> InvoiceLine | None:
    assert late.inputs.cycle is not None, "only invoices of cycles bill usage"
    currency = late.inputs.account.currency
    gross, _ = _standard_gross(late.inputs, plans)
    return late_line(
        said_lines(_gross_line(gross, currency)),
        invoiced=late.invoiced,
        posted=late.posted,
        invoice_id=late.invoice_id,
        window=late.inputs.cycle.window,
        currency=currency,
    )


# ---- what each type of invoice charges ---------------------------------------------------------------------------

_Gross = tuple[list[InvoiceLine], list[AdvanceLine]]


def _standard_gross(inputs: InvoiceInputs, plans: Plans) -> _Gross:
    """The cycle, what was charged in advance for it settled, and what the following one is charged in advance."""
    assert inputs.cycle is not None, "an invoice of a cycle has one"
    cycle, currency = cycle_of(inputs.cycle, plans), inputs.account.currency
    advance = advance_lines(cycle, charged_on(inputs, cycle.window.start), currency, inputs.dialect)
    if inputs.following is not None:
        following = cycle_of(inputs.following, plans)
        advance += advance_lines(following, charged_on(inputs, following.window.start), currency, inputs.dialect)
    plan = _price_plan_line(cycle, usage_lines(inputs), currency, inputs.dialect)
    return [*advance_total(advance, currency), plan], advance


def _advance_gross(inputs: InvoiceInputs, plans: Plans) -> _Gross:
    """What the first cycle of a series is charged in advance."""
    assert inputs.cycle is not None, "an invoice in advance has a cycle"
    cycle = cycle_of(inputs.cycle, plans)
    currency = inputs.account.currency
    advance = advance_lines(cycle, charged_on(inputs, cycle.window.start), currency, inputs.dialect)
    return advance_total(advance, currency), advance


def _increase_gross(inputs: InvoiceInputs, plans: Plans) -> _Gross:
    """Licences that are due in advance and not charged yet.

    Of the day on which that is done, so an account has one a day at most; what comes later on the day waits.
    """
    assert inputs.cycle is not None, "an invoice in advance has a cycle"
    cycle, currency = cycle_of(inputs.cycle, plans), inputs.account.currency
    licences = {card.add_on_id for card in cycle.plan.licence_cards}
    advance = [
        each
        for each in advance_lines(cycle, charged_on(inputs, cycle.window.start), currency, inputs.dialect)
        if each.charge.amount > 0 and each.charge.add_on_id in licences
    ]
    return advance_total(advance, currency), advance


def _custom_gross(inputs: InvoiceInputs) -> list[InvoiceLine]:
    assert inputs.custom is not None, "a custom invoice was written"
    return list(custom_lines(inputs.custom, inputs.account.currency))


# ---- the invoice around it ---------------------------------------------------------------------------------------


def _draft(
    inputs: InvoiceInputs,
    plans: Plans,
    *,
    gross: Sequence[InvoiceLine],
    advance: Sequence[AdvanceLine],
    computed_at: datetime,
) -> Invoice:
    plan = None if inputs.cycle is None else cycle_of(inputs.cycle, plans).plan
    window, usage = _days_of(inputs), usage_lines(inputs)
    gross_line = _gross_line(gross, inputs.account.currency)
    credits_used = credits_used_by(gross_line, inputs, window)
    return Invoice(
        invoice_id=_id_of(inputs, window),
        invoice_type=inputs.invoice_type,
        status=InvoiceStatus.DRAFT,
        account=inputs.account,
        group=inputs.group,
        plan_id="" if plan is None else plan.plan_id,
        plan_version=0 if plan is None else plan.version,
        plan_name="" if plan is None else plan.name,
        start_date=window.start,
        end_date=window.end,
        grace_days=0 if plan is None else plan.cycle.grace_days,
        usage=usage,
        revenue=_grand_total(gross_line, credits_used, usage, inputs),
        advance=tuple(each.charge for each in advance),
        credits_used=credits_used,
        credits_granted=_granted(inputs, plans, advance),
        computed_at=computed_at,
        auto_advance=inputs.custom is None or inputs.custom.auto_advance,
        number_prefix=inputs.number_prefix,
    )


def _granted(inputs: InvoiceInputs, plans: Plans, advance: Sequence[AdvanceLine]) -> tuple[CreditGrant, ...]:
    """The credit that goes with what is charged in advance, and that the cycle sells in arrears."""
    granted = [each.grant for each in advance if each.grant is not None]
    if inputs.cycle is not None and inputs.invoice_type is InvoiceType.STANDARD:
        cycle, currency = cycle_of(inputs.cycle, plans), inputs.account.currency
        granted += [
            sold_grant(card, cycle, currency=currency)
            for card in cycle.plan.grant_cards
            if card.timing is InvoiceTiming.IN_ARREARS and sale_in(card, cycle, currency=currency) is not None
        ]
    return tuple(granted)


def _days_of(inputs: InvoiceInputs) -> Window:
    if inputs.custom is not None:
        return inputs.custom.window
    if inputs.cycle is not None:
        return Window(inputs.first_day or inputs.cycle.window.start, inputs.cycle.window.end)
    assert inputs.first_day is not None, "an invoice without a cycle has a day"
    return Window(inputs.first_day, inputs.first_day + timedelta(days=1))


def _id_of(inputs: InvoiceInputs, window: Window) -> str:
    if inputs.custom is not None:
        return inputs.custom.invoice_id
    return invoice_id_for(inputs.organisation_id, inputs.account.account_id, window.start, inputs.invoice_type)


def _gross_line(gross: Sequence[InvoiceLine], currency: str) -> InvoiceLine:
    return sum_line(LineType.GROSS_AMOUNT, "Gross amount", gross, currency)


def _grand_total(
    gross: InvoiceLine, credits_used: Sequence[CreditUse], usage: Sequence[UsageLine], inputs: InvoiceInputs
) -> InvoiceLine:
    currency, adjustments = gross.amount.currency, inputs.adjustments
    net = sum_line(LineType.NET_AMOUNT, "Net amount", [gross, *credits_total(credits_used, currency)], currency)
    variables = variables_of(net, usage) if adjustments.charges else {}
    charges = charge_lines(adjustments.charges, variables, currency=currency, dialect=inputs.dialect)
    charged = _total_of(LineType.TOTAL_MISCELLANEOUS_CHARGES, "Other charges", charges, currency)
    taxed = total([net.amount, *(line.amount for line in charged)], currency=currency)
    tax = _total_of(LineType.TOTAL_TAX_AMOUNT, "Tax", tax_lines(adjustments.tax, taxed), currency)
    whole = sum_line(LineType.TOTAL_AMOUNT, "Total", [net, *charged, *tax], currency)
    return sum_line(LineType.GRAND_TOTAL_AMOUNT, "Grand total", [whole], currency)


def _total_of(line_type: LineType, description: str, lines: Sequence[InvoiceLine], currency: str) -> list[InvoiceLine]:
    """The line over those lines, if there are any."""
    return [sum_line(line_type, description, lines, currency)] if lines else []


# ---- the plan's own ----------------------------------------------------------------------------------------------


def _price_plan_line(cycle: BilledCycle, usage: Sequence[UsageLine], currency: str, dialect: str) -> InvoiceLine:
    ruled = _ruled(cycle, usage, currency, dialect)
    only_usage = all(isinstance(rated.card, UsageRateCard) for rated in ruled.cards)
    description = "Usage" if only_usage else "Usage and fees"
    lines = [*_grouped_by_tag(ruled.cards, currency), *added_total(ruled.added, currency)]
    sub_total = sum_line(LineType.SUB_TOTAL_AMOUNT, description, lines, currency)
    true_up = _true_up(cycle.plan, sub_total.amount)
    return sum_line(LineType.PRICE_PLAN_AMOUNT, cycle.plan.name, [sub_total, *true_up], currency)


def _ruled(cycle: BilledCycle, usage: Sequence[UsageLine], currency: str, dialect: str) -> RuledCards:
    """The cards that are charged in arrears, as the plan's rules leave them."""
    used = {line.meter_id: line for line in usage}
    cards = [
        RatedCard(card=card, line=line)
        for card in cycle.plan.rate_cards
        for line in _card_lines(card, cycle, used, currency)
    ]
    rules = rules_of(cycle.plan.pricing_rules, InvoiceTiming.IN_ARREARS)
    in_advance = ruled_in_advance(cycle, currency, dialect).cards if rules else ()
    return apply_rules(rules, cards, cycle=cycle, currency=currency, dialect_name=dialect, also_readable=in_advance)


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
        case CreditGrantRateCard():
            priced = sale_in(card, cycle, currency=currency)
            if card.timing is InvoiceTiming.IN_ADVANCE or priced is None:
                return []
            line_type = LineType.CREDIT_GRANT_RATE_CARD_AMOUNT
            name = card.display_name or card.name
            return [grant_line(card, priced, f"{line_type.value}.{card.add_on_id}", line_type, name, currency)]
        case _:
            assert_never(card)


def _fee_line(card: FixedFeeRateCard, fee: FeeWorking, currency: str) -> InvoiceLine:
    return InvoiceLine(
        line_id=f"{LineType.FIXED_FEE_RATE_CARD_AMOUNT.value}.{card.add_on_id}",
        line_type=LineType.FIXED_FEE_RATE_CARD_AMOUNT,
        description=card.display_name or card.name,
        amount=Money(amount=fee.amount, currency=currency),
        entity_id=card.add_on_id,
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


def _grouped_by_tag(cards: Sequence[RatedCard], currency: str) -> list[InvoiceLine]:
    """Cards in the plan's order; those that share a tag stand under one line, at the place of the first."""
    groups: dict[str, list[InvoiceLine]] = {}
    places: list[str | InvoiceLine] = []
    for rated in cards:
        tag = rated.card.tag
        if tag is None:
            places.append(rated.line)
            continue
        if tag not in groups:
            places.append(tag)
        groups.setdefault(tag, []).append(rated.line)
    return [_tag_line(place, groups[place], currency) if isinstance(place, str) else place for place in places]


def _tag_line(tag: str, lines: Sequence[InvoiceLine], currency: str) -> InvoiceLine:
    line = sum_line(LineType.CUSTOM_TAG, tag, lines, currency)
    return msgspec.structs.replace(line, line_id=f"{LineType.CUSTOM_TAG.value}.{tag}")
