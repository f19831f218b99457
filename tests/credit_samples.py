"""Short ways to write credits down."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from price_plan_samples import SlabSample, usage_card

from tallybook.core.credit import (
    ChargedEntity,
    Credit,
    CreditEntry,
    CreditEntryType,
    CreditTerms,
    HeldCredit,
    UsableCredit,
)
from tallybook.core.period import Window
from tallybook.core.rate_card import (
    CreditExpiry,
    CreditGrantRateCard,
    CreditPrice,
    FeeType,
    GrantDetails,
    InvoiceTiming,
    PriceType,
    Recurrence,
)

JANUARY = Window(date(2024, 1, 1), date(2024, 2, 1))
FIRST = date(2024, 1, 1)


def instant(day: int) -> datetime:
    return datetime(2024, 1, day, tzinfo=UTC)


def charged(amount: str, *entity_ids: str, creditable: bool = True) -> ChargedEntity:
    return ChargedEntity(entity_ids=entity_ids, amount=Decimal(amount), creditable=creditable)


def terms(
    amount: str,
    *,
    priority: int = 1,
    start: date = FIRST,
    until: date | None = None,
    only: str | tuple[str, ...] = (),
    purpose: str = "Welcome",
) -> CreditTerms:
    return CreditTerms(
        purpose=purpose,
        amount=Decimal(amount),
        priority=priority,
        effective_from=start,
        effective_until=until,
        applicable_entity_ids=(only,) if isinstance(only, str) else only,
    )


def credit(
    credit_id: str, granted: CreditTerms, *, account_id: str = "A", sold_by: str | None = None, created_day: int = 1
) -> Credit:
    return Credit(
        credit_id=credit_id,
        account_id=account_id,
        customer_id="CUS",
        currency="USD",
        terms=granted,
        sold_by=sold_by,
        created_at=instant(created_day),
    )


def held(
    credit_id: str,
    amount: str,
    *,
    consumed: str = "0",
    voided: bool = False,
    start: date = FIRST,
    until: date | None = None,
) -> HeldCredit:
    return HeldCredit(
        credit=credit(credit_id, terms(amount, start=start, until=until)),
        consumed=Decimal(consumed),
        voided_at=instant(2) if voided else None,
        updated_at=instant(2),
    )


def usable(
    credit_id: str,
    left: str,
    *,
    priority: int = 1,
    start: date = FIRST,
    until: date | None = None,
    only: str | tuple[str, ...] = (),
    created_day: int = 1,
    purpose: str = "Welcome",
) -> UsableCredit:
    return UsableCredit(
        credit_id=credit_id,
        purpose=purpose,
        priority=priority,
        effective_from=start,
        effective_until=until,
        applicable_entity_ids=(only,) if isinstance(only, str) else only,
        created_at=instant(created_day),
        left=Decimal(left),
    )


def entry(credit_id: str, number: int, entry_type: CreditEntryType, amount: str, day: int) -> CreditEntry:
    return CreditEntry(
        entry_id=f"{credit_id}.{number}",
        credit_id=credit_id,
        entry_type=entry_type,
        amount=Decimal(amount),
        created_at=instant(day),
    )


def grant_card(
    amount: str = "1000",
    rate: str = "0.9",
    *,
    price_type: PriceType = PriceType.PER_UNIT,
    advance: bool = False,
    one_time: bool = False,
    interval: int = 1,
    offset: int = 0,
    expiry: CreditExpiry = CreditExpiry.NO_EXPIRY,
    duration: str | None = None,
    priority: int = 1,
    only: tuple[str, ...] = (),
    currencies: Sequence[str] = ("USD",),
    add_on_id: str = "add_on.c",
    display_name: str | None = "Credit pack",
) -> CreditGrantRateCard:
    """A card that sells so much credit, of one slab at that rate in every currency."""
    priced = usage_card(SlabSample("0", rate, price_type), currencies=currencies)
    return CreditGrantRateCard(
        name=f"credits.{add_on_id}",
        display_name=display_name,
        add_on_id=add_on_id,
        timing=InvoiceTiming.IN_ADVANCE if advance else InvoiceTiming.IN_ARREARS,
        grant_type=FeeType.ONE_TIME if one_time else FeeType.RECURRING,
        recurrence=Recurrence(interval=interval, offset=offset),
        details=GrantDetails(priority=priority, expiry=expiry, expiry_duration=duration, applicable_entity_ids=only),
        prices=tuple(
            CreditPrice(credit_amount=Decimal(amount), rate_plan=priced.rate_plan, rate_value=value)
            for value in priced.rate_values
        ),
    )
