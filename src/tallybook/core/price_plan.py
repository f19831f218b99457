"""What usage costs: price plans with their rate cards, and the schedule by which an account is billed.

A plan's version never changes once it is active, so plan id and version name one price for ever. The arithmetic is in
`pricing`, the wire shapes are in `api`.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.decimals import QUANTITY_DIGITS_MAX, within_quantity_bounds
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.money import minor_unit_digits
from tallybook.core.period import FOREVER, PricingCycle, anchored, check_cycle

SLABS_MAX = 10  # the interface numbers them 1 to 10
RATE_CARDS_MAX = 50  # the interface allows an invoice line 50 lines below it
NAME_CHARACTERS_MAX = 50
DESCRIPTION_CHARACTERS_MAX = 255
SCHEDULE_START_MIN = date(1970, 1, 1)


class PricePlanStatus(Enum):
    """DRAFT may be edited, ACTIVE may be associated and gets a new version when edited, ARCHIVED may do neither."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class PricingModel(Enum):
    """TIERED prices the part of the quantity inside each slab; VOLUME prices all of it by the slab that holds it."""

    TIERED = "TIERED"
    VOLUME = "VOLUME"


class PriceType(Enum):
    """FLAT: the rate once. PER_UNIT: the rate for each unit. PACKAGE: the rate for each begun package."""

    FLAT = "FLAT"
    PER_UNIT = "PER_UNIT"
    PACKAGE = "PACKAGE"


class Slab(msgspec.Struct, frozen=True, kw_only=True):
    """One slab: the quantities above `start_after` (exclusive), up to and including the next one's `start_after`."""

    order: int
    start_after: Decimal
    price_type: PriceType
    package_size: Decimal | None = None


class RatePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a quantity is split over slabs, whatever the currency."""

    pricing_model: PricingModel
    slabs: tuple[Slab, ...]


class AmountBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The least and the most that a slab or a card may come to; None is no bound."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None


UNBOUNDED = AmountBounds()


class SlabRate(msgspec.Struct, frozen=True, kw_only=True):
    """The rate of the slab of that order."""

    order: int
    rate: Decimal
    bounds: AmountBounds = UNBOUNDED


class RateValue(msgspec.Struct, frozen=True, kw_only=True):
    """A rate for every slab, in one currency."""

    currency: str
    slab_rates: tuple[SlabRate, ...]
    bounds: AmountBounds = UNBOUNDED


class UsageRateCard(msgspec.Struct, frozen=True, kw_only=True, tag="USAGE", tag_field="kind"):
    """The price of one meter's usage. `name` is unique in the plan; lines with the same `tag` stand together."""

    name: str
    display_name: str | None = None
    tag: str | None = None
    meter_id: str
    rate_plan: RatePlan
    rate_values: tuple[RateValue, ...]


class CurrencyRate(msgspec.Struct, frozen=True, kw_only=True):
    """An amount in one currency."""

    currency: str
    rate: Decimal


class MinimumCommitment(msgspec.Struct, frozen=True, kw_only=True):
    """What a cycle comes to at least; a true-up line makes up the difference."""

    display_name: str
    rates: tuple[CurrencyRate, ...]


class PricePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a price plan. `supported_currencies` have rates, `active_currencies` may be billed in."""

    plan_id: str
    version: int
    name: str
    description: str | None = None
    status: PricePlanStatus
    supported_currencies: tuple[str, ...]
    active_currencies: tuple[str, ...] = ()
    cycle: PricingCycle
    rate_cards: tuple[UsageRateCard, ...] = ()
    minimum_commitment: MinimumCommitment | None = None
    created_at: datetime
    updated_at: datetime


class PricingSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """An account is billed by a plan's version from `start_date` until before `end_date`; `FOREVER` is no end.

    `cycle` is the plan's, anchored to `association_date`, which stays the same when a schedule is cut in two.
    """

    schedule_id: str
    plan_id: str
    plan_version: int
    start_date: date
    end_date: date
    association_date: date
    cycle: PricingCycle

    @property
    def window(self) -> tuple[date, date]:
        """The half-open range of days it covers."""
        return self.start_date, self.end_date


# ---- checking a plan ---------------------------------------------------------------------------------------------


def check_price_plan(plan: PricePlan, *, meter_ids: Collection[str]) -> None:
    """Refuse a plan that could not price some usage or some account. Raises `Invalid`, naming the field.

    `meter_ids` are the meters of the organisation that may be priced.
    """
    _check_texts(plan)
    check_cycle(plan.cycle)
    _check_currencies(plan)
    if len(plan.rate_cards) > RATE_CARDS_MAX:
        raise Invalid(f"usageRateCards: at most {RATE_CARDS_MAX} in one plan, got {len(plan.rate_cards)}")
    _check_distinct([card.name for card in plan.rate_cards], "usageRateCards: the name", "is used twice")
    _check_distinct([card.meter_id for card in plan.rate_cards], "usageRateCards: the meter", "has two cards")
    for index, card in enumerate(plan.rate_cards):
        where = f"usageRateCards[{index}]"
        if card.meter_id not in meter_ids:
            raise Invalid(f"{where}.usageMeterId: no usage meter {card.meter_id!r}", code="UNKNOWN_USAGE_METER")
        _check_slabs(card.rate_plan.slabs, f"{where}.ratePlan.slabs")
        _check_rate_values(card, plan.supported_currencies, f"{where}.rateValues")
    _check_commitment(plan)


def activated(plan: PricePlan, *, currencies: Sequence[str], now: datetime) -> PricePlan:
    """The plan with those currencies open for billing, besides those that are. Raises `Invalid` or `Conflict`."""
    if plan.status is PricePlanStatus.ARCHIVED:
        raise Conflict(f"price plan {plan.plan_id} is archived")
    if not currencies:
        raise Invalid("currencies: name at least one to activate")
    for currency in currencies:
        if currency not in plan.supported_currencies:
            raise Invalid(f"currencies: {currency} is not among the plan's supported currencies")
    active = set(plan.active_currencies).union(currencies)
    return msgspec.structs.replace(
        plan,
        status=PricePlanStatus.ACTIVE,
        active_currencies=tuple(currency for currency in plan.supported_currencies if currency in active),
        updated_at=now,
    )


def check_associable(plan: PricePlan, *, currency: str) -> None:
    """Refuse to bill an account of that currency by a plan that is not ready for it. Raises `Invalid`."""
    if plan.status is not PricePlanStatus.ACTIVE:
        raise Invalid(f"pricePlanId: {plan.plan_id} is {plan.status.value}; activate it first")
    if currency not in plan.active_currencies:
        raise Invalid(f"pricePlanId: {plan.plan_id} is not active in {currency}, the account's currency")


def _check_texts(plan: PricePlan) -> None:
    if not 1 <= len(plan.name) <= NAME_CHARACTERS_MAX:
        raise Invalid(f"name: must be 1 to {NAME_CHARACTERS_MAX} characters")
    if plan.description is not None and len(plan.description) > DESCRIPTION_CHARACTERS_MAX:
        raise Invalid(f"description: at most {DESCRIPTION_CHARACTERS_MAX} characters")


def _check_currencies(plan: PricePlan) -> None:
    if not plan.supported_currencies:
        raise Invalid("supportedCurrencies: name at least one")
    _check_distinct(plan.supported_currencies, "supportedCurrencies:", "is listed twice")
    for currency in plan.supported_currencies:
        minor_unit_digits(currency)


def _check_slabs(slabs: Sequence[Slab], where: str) -> None:
    if not 1 <= len(slabs) <= SLABS_MAX:
        raise Invalid(f"{where}: 1 to {SLABS_MAX} slabs, got {len(slabs)}")
    for index, slab in enumerate(slabs):
        if slab.order != index + 1:
            raise Invalid(f"{where}[{index}].order: must be {index + 1}; slabs are numbered from 1 in their order")
        _check_number(slab.start_after, f"{where}[{index}].startAfter")
        if slab.start_after < 0:
            raise Invalid(f"{where}[{index}].startAfter: must not be negative")
        if index and slab.start_after <= slabs[index - 1].start_after:
            raise Invalid(f"{where}[{index}].startAfter: must be above the slab before it")
        _check_package_size(slab, f"{where}[{index}].slabConfig.packageSize")


def _check_package_size(slab: Slab, where: str) -> None:
    if slab.price_type is not PriceType.PACKAGE:
        if slab.package_size is not None:
            raise Invalid(f"{where}: only for price type PACKAGE")
        return
    if slab.package_size is None:
        raise Invalid(f"{where}: price type PACKAGE needs it")
    _check_number(slab.package_size, where)
    if slab.package_size <= 0:
        raise Invalid(f"{where}: must be above 0")


def _check_rate_values(card: UsageRateCard, currencies: Collection[str], where: str) -> None:
    _check_distinct([value.currency for value in card.rate_values], f"{where}:", "has two sets of rates")
    _check_covers_currencies([value.currency for value in card.rate_values], currencies, where)
    orders = [slab.order for slab in card.rate_plan.slabs]
    for index, value in enumerate(card.rate_values):
        if sorted(rate.order for rate in value.slab_rates) != orders:
            raise Invalid(f"{where}[{index}].slabRates: must give exactly one rate for each of the {len(orders)} slabs")
        _check_bounds(value.bounds, f"{where}[{index}].rateConfig")
        for rate in value.slab_rates:
            _check_number(rate.rate, f"{where}[{index}].slabRates, order {rate.order}: rate")
            _check_bounds(rate.bounds, f"{where}[{index}].slabRates, order {rate.order}: slabRateConfig")


def _check_commitment(plan: PricePlan) -> None:
    if plan.minimum_commitment is None:
        return
    rates = plan.minimum_commitment.rates
    _check_distinct([rate.currency for rate in rates], "minimumCommitment.rateValues:", "has two rates")
    _check_covers_currencies(
        [rate.currency for rate in rates], plan.supported_currencies, "minimumCommitment.rateValues"
    )
    for index, rate in enumerate(rates):
        _check_number(rate.rate, f"minimumCommitment.rateValues[{index}].rate")
        if rate.rate < 0:
            raise Invalid(f"minimumCommitment.rateValues[{index}].rate: must not be negative")


def _check_covers_currencies(given: Iterable[str], supported: Collection[str], where: str) -> None:
    missing = sorted(set(supported).difference(given))
    if missing:
        raise Invalid(f"{where}: no rate in {missing[0]}, a supported currency of the plan")
    unknown = sorted(set(given).difference(supported))
    if unknown:
        raise Invalid(f"{where}: {unknown[0]} is not among the plan's supported currencies")


def _check_bounds(bounds: AmountBounds, where: str) -> None:
    for name, bound in (("minimumRate", bounds.minimum), ("maximumRate", bounds.maximum)):
        if bound is not None:
            _check_number(bound, f"{where}.{name}")
    if bounds.minimum is not None and bounds.maximum is not None and bounds.minimum > bounds.maximum:
        raise Invalid(f"{where}: minimumRate is above maximumRate")


def _check_number(value: Decimal, where: str) -> None:
    if not within_quantity_bounds(value):
        raise Invalid(f"{where}: must be a number of at most {QUANTITY_DIGITS_MAX} digits on either side of the point")


def _check_distinct(values: Sequence[str], what: str, problem: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise Invalid(f"{what} {value!r} {problem}")
        seen.add(value)


# ---- schedules ---------------------------------------------------------------------------------------------------


def new_schedule(plan: PricePlan, *, schedule_id: str, start_date: date, end_date: date = FOREVER) -> PricingSchedule:
    """A schedule that bills by `plan` over `[start_date, end_date)`."""
    check_window(start_date, end_date)
    return PricingSchedule(
        schedule_id=schedule_id,
        plan_id=plan.plan_id,
        plan_version=plan.version,
        start_date=start_date,
        end_date=end_date,
        association_date=start_date,
        cycle=anchored(plan.cycle, start_date),
    )


def check_window(start_date: date, end_date: date) -> None:
    """Refuse a window that is empty or outside 1970 to 9999. Raises `Invalid`."""
    if not SCHEDULE_START_MIN <= start_date < end_date:
        raise Invalid(f"effectiveFrom: must be from {SCHEDULE_START_MIN} on and before effectiveUntil")
    if end_date > FOREVER:
        raise Invalid(f"effectiveUntil: {FOREVER} is for ever; nothing is later")


def associate(schedules: Sequence[PricingSchedule], new: PricingSchedule) -> tuple[PricingSchedule, ...]:
    """Put `new` over whatever its window covers; what lies before and after it stays, in date order."""
    kept = disassociate(schedules, start_date=new.start_date, end_date=new.end_date)
    return tuple(sorted((*kept, new), key=lambda schedule: schedule.start_date))


def disassociate(
    schedules: Sequence[PricingSchedule], *, start_date: date, end_date: date
) -> tuple[PricingSchedule, ...]:
    """Cut `[start_date, end_date)` out: no day in it is billed. A schedule around the hole goes on after it."""
    check_window(start_date, end_date)
    kept = []
    for schedule in schedules:
        before = msgspec.structs.replace(schedule, end_date=min(schedule.end_date, start_date))
        after = msgspec.structs.replace(schedule, start_date=max(schedule.start_date, end_date))
        kept += [part for part in (before, after) if part.start_date < part.end_date]
    return tuple(kept)


def schedule_on(schedules: Iterable[PricingSchedule], day: date) -> PricingSchedule | None:
    """The schedule that bills `day`, if any does."""
    for schedule in schedules:
        if schedule.start_date <= day < schedule.end_date:
            return schedule
    return None
