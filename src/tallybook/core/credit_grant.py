"""What invoices grant in credits: credit that a rate card sells, and what comes back of licences paid in advance.

A grant is part of an invoice, computed like its lines; the credit is there once the invoice is issued.
"""

import hashlib
from datetime import date, datetime
from decimal import Decimal

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.credit import CREDIT_ID_PREFIX, PRIORITY_MIN, Credit, CreditGrant, CreditTerms
from tallybook.core.credit_expiry import expiry_of
from tallybook.core.period import FOREVER, anchored, full_cycle_containing, spelled_days
from tallybook.core.pricing import PricedCard, price_quantity
from tallybook.core.rate_card import (
    CreditGrantRateCard,
    CreditPrice,
    FeeType,
    InvoiceTiming,
    LicenceRateCard,
)

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_PARTS = (11, 5)  # characters behind the prefix, as in all ids


# ---- credit that is sold -----------------------------------------------------------------------------------------


def sale_in(card: CreditGrantRateCard, cycle: BilledCycle, *, currency: str) -> PricedCard | None:
    """What the credit of the cycle costs; None when none is sold in it.

    Credit is sold whole, once in a full cycle: a part of a cycle that was cut in two sells none if an earlier one did.
    """
    if not _is_sold(card, cycle):
        return None
    price = price_in(card, currency)
    return price_quantity(price.credit_amount, price.rate_plan, [price.rate_value], currency=currency)


def price_in(card: CreditGrantRateCard, currency: str) -> CreditPrice:
    """The card's price in `currency`; an account is never associated with a plan that lacks its currency."""
    for price in card.prices:
        if price.rate_value.currency == currency:
            return price
    raise AssertionError(f"rate card {card.name!r} has no price in {currency}")


def sold_grant(card: CreditGrantRateCard, cycle: BilledCycle, *, currency: str) -> CreditGrant:
    """The credit that is sold in the cycle: for its days on, or those after it where it is charged in arrears."""
    in_advance = card.timing is InvoiceTiming.IN_ADVANCE
    start = cycle.window.start if in_advance else cycle.window.end
    cycle_end = cycle.window.end if in_advance else _end_of_next(cycle)
    return CreditGrant(
        add_on_id=card.add_on_id,
        start_date=cycle.window.start,
        sold=True,
        terms=CreditTerms(
            purpose=card.display_name or card.name,
            amount=price_in(card, currency).credit_amount,
            priority=card.details.priority,
            effective_from=start,
            effective_until=expiry_of(card.details, start, cycle_end),
            applicable_entity_ids=card.details.applicable_entity_ids,
            grantor_id=card.add_on_id,
        ),
    )


def _is_sold(card: CreditGrantRateCard, cycle: BilledCycle) -> bool:
    since_offset = cycle.number - card.recurrence.offset
    if not cycle.opens or since_offset < 0:
        return False
    return since_offset == 0 if card.grant_type is FeeType.ONE_TIME else since_offset % card.recurrence.interval == 0


def _end_of_next(cycle: BilledCycle) -> date:
    """The end of the full cycle in which the day after this one lies, whether or not the plan bills it."""
    if cycle.window.end >= FOREVER:
        return FOREVER
    return full_cycle_containing(anchored(cycle.plan.cycle, cycle.full.start), cycle.window.end).end


# ---- credit that is given back -----------------------------------------------------------------------------------


def returned_grant(card: LicenceRateCard, cycle: BilledCycle, amount: Decimal) -> CreditGrant:
    """The credit for licences that were paid in advance and given up in the cycle; for anything, and used first."""
    return CreditGrant(
        add_on_id=card.add_on_id,
        start_date=cycle.window.start,
        sold=False,
        terms=CreditTerms(
            purpose=f"Given back: {card.display_name or card.name}, {spelled_days(cycle.window)}",
            amount=amount,
            priority=PRIORITY_MIN,
            effective_from=cycle.window.start,
            grantor_id=card.add_on_id,
        ),
    )


# ---- becoming a credit -------------------------------------------------------------------------------------------


def granted_credit(
    grant: CreditGrant, *, invoice_id: str, account_id: str, customer_id: str, currency: str, at: datetime
) -> Credit:
    """The credit that issuing the invoice makes of its grant; issuing it again makes one with the same id."""
    return Credit(
        credit_id=_credit_id(invoice_id, grant),
        account_id=account_id,
        customer_id=customer_id,
        currency=currency,
        terms=grant.terms,
        sold_by=invoice_id if grant.sold else None,
        created_at=at,
    )


def _credit_id(invoice_id: str, grant: CreditGrant) -> str:
    text = f"{invoice_id}\0{grant.add_on_id}\0{grant.start_date}\0{grant.sold}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    parts = []
    for length in _ID_PARTS:
        characters = ""
        for _ in range(length):
            number, digit = divmod(number, len(_BASE62))
            characters += _BASE62[digit]
        parts.append(characters)
    return ".".join((CREDIT_ID_PREFIX, *parts))
