"""Short ways to write price plans down, for the tests of money."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.licence import HeldRun
from tallybook.core.period import PricingCycle, PricingInterval, Window, full_cycle_containing
from tallybook.core.price_plan import MinimumCommitment, PricePlan, PricePlanStatus
from tallybook.core.rate_card import (
    AmountBounds,
    CurrencyRate,
    FeeType,
    FixedFeeRateCard,
    InvoiceTiming,
    LicenceRateCard,
    PriceType,
    PricingModel,
    RateCard,
    RatePlan,
    RateValue,
    Recurrence,
    RefundMode,
    Slab,
    SlabRate,
    UsageRateCard,
)

NOW = datetime(2024, 1, 1, tzinfo=UTC)
TIERED, VOLUME = PricingModel.TIERED, PricingModel.VOLUME
PER_UNIT, FLAT = PriceType.PER_UNIT, PriceType.FLAT


class SlabSample:
    """One slab with its rate; `package` makes it a PACKAGE slab."""

    def __init__(
        self,
        start_after: str,
        rate: str,
        price_type: PriceType = PER_UNIT,
        *,
        package: str | None = None,
        minimum: str | None = None,
        maximum: str | None = None,
    ) -> None:
        self.start_after = Decimal(start_after)
        self.rate = Decimal(rate)
        self.price_type = PriceType.PACKAGE if package else price_type
        self.package_size = Decimal(package) if package else None
        self.bounds = bounds(minimum, maximum)


def bounds(minimum: str | None = None, maximum: str | None = None) -> AmountBounds:
    return AmountBounds(
        minimum=None if minimum is None else Decimal(minimum), maximum=None if maximum is None else Decimal(maximum)
    )


def usage_card(
    *slabs: SlabSample,
    model: PricingModel = TIERED,
    meter_id: str = "um.1",
    name: str | None = None,
    display_name: str | None = None,
    tag: str | None = None,
    currencies: Sequence[str] = ("USD",),
    card_bounds: AmountBounds | None = None,
) -> UsageRateCard:
    """A card with the same rates in every currency."""
    rates = tuple(
        SlabRate(order=order, rate=slab.rate, bounds=slab.bounds) for order, slab in enumerate(slabs, start=1)
    )
    return UsageRateCard(
        name=name or f"usage.{meter_id}",
        display_name=display_name,
        tag=tag,
        meter_id=meter_id,
        rate_plan=RatePlan(
            pricing_model=model,
            slabs=tuple(
                Slab(
                    order=order,
                    start_after=slab.start_after,
                    price_type=slab.price_type,
                    package_size=slab.package_size,
                )
                for order, slab in enumerate(slabs, start=1)
            ),
        ),
        rate_values=tuple(
            RateValue(currency=currency, slab_rates=rates, bounds=card_bounds or AmountBounds())
            for currency in currencies
        ),
    )


def monthly(day_offset: str | None = "1", *, grace_days: int = 0, anniversary: bool = False) -> PricingCycle:
    return PricingCycle(
        interval=PricingInterval.MONTHLY, day_offset=day_offset, grace_days=grace_days, anniversary=anniversary
    )


def fixed_fee(
    rate: str,
    *,
    add_on_id: str = "add_on.1",
    advance: bool = False,
    one_time: bool = False,
    prorated: bool = False,
    interval: int = 1,
    offset: int = 0,
    display_name: str | None = None,
    tag: str | None = None,
    currencies: Sequence[str] = ("USD",),
) -> FixedFeeRateCard:
    """A fee of the same amount in every currency."""
    return FixedFeeRateCard(
        name=f"fee.{add_on_id}",
        display_name=display_name,
        tag=tag,
        add_on_id=add_on_id,
        timing=InvoiceTiming.IN_ADVANCE if advance else InvoiceTiming.IN_ARREARS,
        fee_type=FeeType.ONE_TIME if one_time else FeeType.RECURRING,
        prorated=prorated,
        recurrence=Recurrence(interval=interval, offset=offset),
        rates=tuple(CurrencyRate(currency=currency, rate=Decimal(rate)) for currency in currencies),
    )


def licence_card(
    *slabs: SlabSample,
    model: PricingModel = TIERED,
    add_on_id: str = "add_on.1",
    advance: bool = False,
    prorated: bool = False,
    refund: RefundMode = RefundMode.CREDITS,
    usage_cycle: PricingInterval | None = None,
    display_name: str | None = None,
) -> LicenceRateCard:
    """A card for licences, with rates in dollars."""
    priced = usage_card(*slabs, model=model)
    return LicenceRateCard(
        name=f"licence.{add_on_id}",
        display_name=display_name,
        add_on_id=add_on_id,
        timing=InvoiceTiming.IN_ADVANCE if advance else InvoiceTiming.IN_ARREARS,
        usage_cycle=usage_cycle,
        prorated=prorated,
        refund=refund,
        rate_plan=priced.rate_plan,
        rate_values=priced.rate_values,
    )


def cycle_in(
    plan: PricePlan,
    window: tuple[date, date],
    *,
    number: int = 0,
    opens: bool = True,
    held: Mapping[str, tuple[HeldRun, ...]] | None = None,
) -> BilledCycle:
    """The cycle of an account that the plan bills on those days."""
    full = full_cycle_containing(plan.cycle, window[0])
    return BilledCycle(plan=plan, window=Window(*window), full=full, number=number, opens=opens, held=held or {})


def price_plan(
    *cards: RateCard,
    cycle: PricingCycle | None = None,
    commitment: str | None = None,
    currencies: tuple[str, ...] = ("USD",),
    plan_id: str = "pp.1",
    name: str = "Starter",
    status: PricePlanStatus = PricePlanStatus.ACTIVE,
) -> PricePlan:
    """An active plan; the commitment is the same in every currency."""
    minimum = None
    if commitment is not None:
        minimum = MinimumCommitment(
            display_name="Minimum commitment",
            rates=tuple(CurrencyRate(currency=currency, rate=Decimal(commitment)) for currency in currencies),
        )
    return PricePlan(
        plan_id=plan_id,
        version=1,
        name=name,
        status=status,
        supported_currencies=currencies,
        active_currencies=currencies if status is PricePlanStatus.ACTIVE else (),
        cycle=cycle or monthly(),
        rate_cards=cards,
        minimum_commitment=minimum,
        created_at=NOW,
        updated_at=NOW,
    )
