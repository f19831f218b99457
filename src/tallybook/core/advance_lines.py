"""What an invoice charges in advance for a cycle: what is due for it, less what invoices before have charged.

Fees are settled by the difference. Of licences, what comes back is granted as a credit where the card says so. Credit
that is sold in advance is sold once, and never taken back.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, assert_never

import msgspec

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.card_lines import grant_line, licence_line, sum_line
from tallybook.core.credit import CreditGrant
from tallybook.core.credit_grant import returned_grant, sale_in, sold_grant
from tallybook.core.decimals import EXACT, ZERO
from tallybook.core.fixed_fee import fee_in
from tallybook.core.invoice import AdvanceCharge, InvoiceLine, LineType
from tallybook.core.money import Money
from tallybook.core.period import spelled_days
from tallybook.core.price_plan import AddOnCard
from tallybook.core.pricing_rule import rules_of
from tallybook.core.rate_card import (
    CreditGrantRateCard,
    FixedFeeRateCard,
    InvoiceTiming,
    LicenceRateCard,
    RefundMode,
    UsageRateCard,
)
from tallybook.core.ruled_cards import RatedCard, RuledCards, apply_rules

Charged = Mapping[str, Decimal]
"""What has been charged in advance for a cycle, by add-on id, or by the id of the line that a pricing rule adds."""


class AdvanceLine(NamedTuple):
    """A line, what is remembered to be charged by it, and the credit that goes with it."""

    charge: AdvanceCharge
    line: InvoiceLine
    grant: CreditGrant | None = None


def advance_lines(cycle: BilledCycle, charged: Charged, currency: str, dialect: str) -> list[AdvanceLine]:
    """What is due in advance for the cycle less what has been charged, a line for each add-on where it differs.

    So for each line that pricing rules add; `dialect` is theirs, by name.
    """
    ruled = ruled_in_advance(cycle, currency, dialect)
    lines = [line for rated in ruled.cards for line in _lines_of(rated, cycle, charged, currency)]
    for added in ruled.added:
        lines += _settled_lines(_of_cycle(added, cycle), added.line_id, cycle, charged)
    due = {*(card.add_on_id for card in cycle.plan.advance_cards), *(added.line_id for added in ruled.added)}
    for charged_id in sorted(set(charged).difference(due)):
        lines += _gone_lines(charged_id, cycle, charged, currency)
    return lines


def ruled_in_advance(cycle: BilledCycle, currency: str, dialect: str) -> RuledCards:
    """What is due in advance for the cycle, whatever was charged before, as the plan's rules leave it."""
    cards = [
        RatedCard(card=card, line=line)
        for card in cycle.plan.advance_cards
        for line in _due_lines(card, cycle, currency)
    ]
    rules = rules_of(cycle.plan.pricing_rules, InvoiceTiming.IN_ADVANCE)
    return apply_rules(rules, cards, cycle=cycle, currency=currency, dialect_name=dialect)


def advance_total(advance: Sequence[AdvanceLine], currency: str) -> list[InvoiceLine]:
    """The line over what is charged in advance, if anything is."""
    if not advance:
        return []
    return [sum_line(LineType.TOTAL_ADVANCED_FEES, "In advance", [each.line for each in advance], currency)]


# ---- by kind of card ---------------------------------------------------------------------------------------------


def _lines_of(rated: RatedCard, cycle: BilledCycle, charged: Charged, currency: str) -> Iterator[AdvanceLine]:
    card = rated.card
    match card:
        case FixedFeeRateCard():
            yield from _settled_lines(rated.line, card.add_on_id, cycle, charged)
        case LicenceRateCard():
            for line in _settled_lines(rated.line, card.add_on_id, cycle, charged):
                yield _granting_what_is_returned(card, cycle, line)
        case CreditGrantRateCard():
            if card.add_on_id not in charged:
                charge = _charge(card.add_on_id, cycle, rated.line.amount.amount)
                yield AdvanceLine(charge=charge, line=rated.line, grant=sold_grant(card, cycle, currency=currency))
        case UsageRateCard():
            raise AssertionError("usage is never charged in advance")
        case _:
            assert_never(card)


def _due_lines(card: AddOnCard, cycle: BilledCycle, currency: str) -> list[InvoiceLine]:
    """What is due for the card in the cycle; of credit, only where it is sold."""
    match card:
        case FixedFeeRateCard():
            return [_fee_due(card, cycle, currency)]
        case LicenceRateCard():
            return [_licences_due(card, cycle, currency)]
        case CreditGrantRateCard():
            return _sale_lines(card, cycle, currency)
        case _:
            assert_never(card)


def _fee_due(card: FixedFeeRateCard, cycle: BilledCycle, currency: str) -> InvoiceLine:
    fee = fee_in(card, cycle, currency=currency)
    return InvoiceLine(
        line_id=_line_id(LineType.ADVANCED_FIXED_FEE, card.add_on_id, cycle),
        line_type=LineType.ADVANCED_FIXED_FEE,
        description=_name(card, cycle),
        amount=Money(amount=ZERO if fee is None else fee.amount, currency=currency),
        entity_id=card.add_on_id,
        fee=fee,
    )


def _licences_due(card: LicenceRateCard, cycle: BilledCycle, currency: str) -> InvoiceLine:
    line_type = LineType.ADVANCED_LICENSE_RATE_CARD_AMOUNT
    line_id = _line_id(line_type, card.add_on_id, cycle)
    return licence_line(card, cycle, line_id, line_type, _name(card, cycle), currency)


def _sale_lines(card: CreditGrantRateCard, cycle: BilledCycle, currency: str) -> list[InvoiceLine]:
    """Credit for nothing has its line too, for it is granted with it."""
    priced = sale_in(card, cycle, currency=currency)
    if priced is None:
        return []
    line_type = LineType.ADVANCED_CREDIT_GRANT_RATE_CARD_AMOUNT
    line_id = _line_id(line_type, card.add_on_id, cycle)
    return [grant_line(card, priced, line_id, line_type, _name(card, cycle), currency)]


def _of_cycle(added: InvoiceLine, cycle: BilledCycle) -> InvoiceLine:
    """The line that a rule added, told apart from that of another cycle on the same invoice."""
    return msgspec.structs.replace(
        added,
        line_id=f"{added.line_id}.{cycle.window.start}",
        description=f"{added.description}, {spelled_days(cycle.window)}",
    )


def _gone_lines(charged_id: str, cycle: BilledCycle, charged: Charged, currency: str) -> Iterator[AdvanceLine]:
    """What was charged for an add-on, or by a pricing rule, that the plan no longer has comes back."""
    by_rule = charged_id.startswith(LineType.PRICING_RULE_ADDITION_AMOUNT.value)
    nothing_due = InvoiceLine(
        line_id=_line_id(LineType.ADVANCED_FIXED_FEE, charged_id, cycle),
        line_type=LineType.ADVANCED_FIXED_FEE,
        description=f"{'By a pricing rule' if by_rule else charged_id}, {spelled_days(cycle.window)}",
        amount=Money(amount=ZERO, currency=currency),
        entity_id=None if by_rule else charged_id,
    )
    return _settled_lines(nothing_due, charged_id, cycle, charged)


# ---- settling ----------------------------------------------------------------------------------------------------


def _settled_lines(due: InvoiceLine, add_on_id: str, cycle: BilledCycle, charged: Charged) -> Iterator[AdvanceLine]:
    line = _settled(due, charged.get(add_on_id, ZERO))
    if line.amount.amount:
        yield AdvanceLine(charge=_charge(add_on_id, cycle, line.amount.amount), line=line)


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
        entity_id=due.entity_id,
        lines=(now_due, before),
    )


def _granting_what_is_returned(card: LicenceRateCard, cycle: BilledCycle, settled: AdvanceLine) -> AdvanceLine:
    """Where less is due than was charged, the rest as a credit, so that the line comes to nothing."""
    rest = EXACT.minus(settled.charge.amount)
    if rest <= 0 or card.refund is not RefundMode.CREDITS:
        return settled
    line = settled.line
    granted = InvoiceLine(
        line_id=f"{line.line_id}.granted",
        line_type=line.line_type,
        description="Granted as a credit",
        amount=Money(amount=rest, currency=line.amount.currency),
    )
    nothing = msgspec.structs.replace(line, amount=line.amount + granted.amount, lines=(*line.lines, granted))
    return AdvanceLine(charge=settled.charge, line=nothing, grant=returned_grant(card, cycle, rest))


def _charge(add_on_id: str, cycle: BilledCycle, amount: Decimal) -> AdvanceCharge:
    return AdvanceCharge(start_date=cycle.window.start, add_on_id=add_on_id, amount=amount)


def _line_id(line_type: LineType, add_on_id: str, cycle: BilledCycle) -> str:
    return f"{line_type.value}.{add_on_id}.{cycle.window.start}"


def _name(card: AddOnCard, cycle: BilledCycle) -> str:
    return f"{card.display_name or card.name}, {spelled_days(cycle.window)}"
