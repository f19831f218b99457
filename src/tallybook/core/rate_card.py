"""Rate cards: what one billable item costs. The arithmetic is in `pricing` and `fixed_fee`, the wire shapes in `api`.

A card names its item (a usage meter or an add-on) and has rates in every currency of its plan.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from enum import Enum

import msgspec

from tallybook.core.decimals import QUANTITY_DIGITS_MAX, within_quantity_bounds
from tallybook.core.errors import Invalid
from tallybook.core.period import PricingInterval, is_longer

SLABS_MAX = 10  # the interface numbers them 1 to 10
RECURRENCE_MAX = 1_000  # cycles; eighty years of months


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


class InvoiceTiming(Enum):
    """IN_ADVANCE is charged with the invoice of the cycle before, IN_ARREARS with that of the cycle itself."""

    IN_ADVANCE = "IN_ADVANCE"
    IN_ARREARS = "IN_ARREARS"


class FeeType(Enum):
    """ONE_TIME is charged once in an association, RECURRING again and again."""

    ONE_TIME = "ONE_TIME"
    RECURRING = "RECURRING"


class Recurrence(msgspec.Struct, frozen=True, kw_only=True):
    """Charged every `interval` cycles, for the first time after `offset` cycles."""

    interval: int = 1
    offset: int = 0


EVERY_CYCLE = Recurrence()


class FixedFeeRateCard(msgspec.Struct, frozen=True, kw_only=True, tag="FIXED_FEE", tag_field="kind"):
    """A fee whatever is used, for an add-on. `prorated`: by the days of the cycle on which the plan bills."""

    name: str
    display_name: str | None = None
    tag: str | None = None
    add_on_id: str
    timing: InvoiceTiming = InvoiceTiming.IN_ARREARS
    fee_type: FeeType = FeeType.RECURRING
    prorated: bool
    recurrence: Recurrence = EVERY_CYCLE
    rates: tuple[CurrencyRate, ...]


class RefundMode(Enum):
    """What becomes of the rest of a prorated licence that is given up: it is lost, or credited to the account."""

    NONE = "NONE"
    CREDITS = "CREDITS"


class LicenceRateCard(msgspec.Struct, frozen=True, kw_only=True, tag="LICENSE", tag_field="kind"):
    """The price of what an account holds of an add-on. With a `usage_cycle`, the cycle is priced in such parts.

    `quantity_max` is what an account may hold; beyond it nothing happens, as the interface has it.
    """

    name: str
    display_name: str | None = None
    tag: str | None = None
    add_on_id: str
    timing: InvoiceTiming = InvoiceTiming.IN_ARREARS
    usage_cycle: PricingInterval | None = None
    prorated: bool
    refund: RefundMode = RefundMode.CREDITS
    quantity_max: int | None = None
    rate_plan: RatePlan
    rate_values: tuple[RateValue, ...]


class CreditExpiry(Enum):
    """PRICING_CYCLE ends a credit with the cycle that it is for, CUSTOM after the duration that is named with it."""

    PRICING_CYCLE = "PRICING_CYCLE"
    NO_EXPIRY = "NO_EXPIRY"
    CUSTOM = "CUSTOM"


class GrantDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of credit is granted; `expiry_duration` is ISO 8601 text of whole days, such as `P3M`, for CUSTOM."""

    priority: int
    expiry: CreditExpiry
    expiry_duration: str | None = None
    applicable_entity_ids: tuple[str, ...] = ()


class CreditPrice(msgspec.Struct, frozen=True, kw_only=True):
    """How much credit is granted in one currency, and what it costs: that amount, priced by slabs."""

    credit_amount: Decimal
    rate_plan: RatePlan
    rate_value: RateValue


class CreditGrantRateCard(msgspec.Struct, frozen=True, kw_only=True, tag="CREDIT_GRANT", tag_field="kind"):
    """Credit that is sold, for an add-on: granted when the invoice that charges it is issued."""

    name: str
    display_name: str | None = None
    tag: str | None = None
    add_on_id: str
    timing: InvoiceTiming = InvoiceTiming.IN_ARREARS
    grant_type: FeeType = FeeType.RECURRING
    recurrence: Recurrence = EVERY_CYCLE
    details: GrantDetails
    prices: tuple[CreditPrice, ...]


RateCard = UsageRateCard | FixedFeeRateCard | LicenceRateCard | CreditGrantRateCard

# ---- checking ----------------------------------------------------------------------------------------------------


def check_usage_card(
    card: UsageRateCard, *, meter_ids: Collection[str], currencies: Collection[str], where: str
) -> None:
    """Refuse a card that could not price some usage. Raises `Invalid`, naming the field."""
    if card.meter_id not in meter_ids:
        raise Invalid(f"{where}.usageMeterId: no usage meter {card.meter_id!r}", code="UNKNOWN_USAGE_METER")
    _check_slabs(card.rate_plan.slabs, f"{where}.ratePlan.slabs")
    _check_rate_values(card.rate_values, card.rate_plan, currencies, f"{where}.rateValues")


def check_fixed_fee_card(
    card: FixedFeeRateCard, *, add_on_ids: Collection[str], currencies: Collection[str], where: str
) -> None:
    """Refuse a card that could not be charged. Raises `Invalid`, naming the field."""
    _check_add_on(card.add_on_id, add_on_ids, "FIXED_FEE", where)
    check_currency_rates(card.rates, currencies, f"{where}.rateValues")
    _check_recurrence(card.recurrence, card.fee_type, f"{where}.recurrenceConfig")


def _check_recurrence(recurrence: Recurrence, fee_type: FeeType, where: str) -> None:
    if not 1 <= recurrence.interval <= RECURRENCE_MAX:
        raise Invalid(f"{where}.interval: must be 1 to {RECURRENCE_MAX} cycles")
    if not 0 <= recurrence.offset <= RECURRENCE_MAX:
        raise Invalid(f"{where}.offset: must be 0 to {RECURRENCE_MAX} cycles")
    if fee_type is FeeType.ONE_TIME and recurrence.interval != 1:
        raise Invalid(f"{where}.interval: a ONE_TIME fee does not recur; leave it out")


def check_licence_card(
    card: LicenceRateCard,
    *,
    add_on_ids: Collection[str],
    currencies: Collection[str],
    interval: PricingInterval,
    where: str,
) -> None:
    """Refuse a card that could not be charged in cycles of that interval. Raises `Invalid`, naming the field."""
    _check_add_on(card.add_on_id, add_on_ids, "LICENSE", where)
    _check_slabs(card.rate_plan.slabs, f"{where}.ratePlan.slabs")
    _check_rate_values(card.rate_values, card.rate_plan, currencies, f"{where}.rateValues")
    if card.usage_cycle is not None and is_longer(card.usage_cycle, interval):
        raise Invalid(f"{where}.usageCycle: {card.usage_cycle.value} is longer than the plan's {interval.value} cycle")
    if card.quantity_max is not None and not 0 <= card.quantity_max < 10**QUANTITY_DIGITS_MAX:
        raise Invalid(f"{where}.config.maxQuantity: must be from 0 on")


def check_credit_grant_card(
    card: CreditGrantRateCard, *, add_on_ids: Collection[str], currencies: Collection[str], where: str
) -> None:
    """Refuse a card that could not be charged. Raises `Invalid`, naming the field. Expiry is seen in `credit_grant`."""
    _check_add_on(card.add_on_id, add_on_ids, "CREDIT_GRANT", where)
    _check_recurrence(card.recurrence, card.grant_type, f"{where}.recurrenceConfig")
    prices = f"{where}.rateDetails.currencySlabRateDetails"
    given = [price.rate_value.currency for price in card.prices]
    check_distinct(given, f"{prices}:", "has two sets of rates")
    _check_covers_currencies(given, currencies, prices)
    for index, price in enumerate(card.prices):
        _check_number(price.credit_amount, f"{prices}[{index}].creditAmount")
        if price.credit_amount <= 0:
            raise Invalid(f"{prices}[{index}].creditAmount: must be above 0")
        _check_slabs(price.rate_plan.slabs, f"{prices}[{index}].slabDetails")
        _check_rate_value(price.rate_value, price.rate_plan, f"{prices}[{index}]", "slabDetails")


def _check_add_on(add_on_id: str, known: Collection[str], add_on_type: str, where: str) -> None:
    if add_on_id not in known:
        raise Invalid(f"{where}.id: no add-on {add_on_id!r} of type {add_on_type}", code="UNKNOWN_ADD_ON")


def check_currency_rates(rates: Sequence[CurrencyRate], currencies: Collection[str], where: str) -> None:
    """Refuse rates that are not exactly one for each of the currencies. Raises `Invalid`."""
    check_distinct([rate.currency for rate in rates], f"{where}:", "has two rates")
    _check_covers_currencies([rate.currency for rate in rates], currencies, where)
    for index, rate in enumerate(rates):
        _check_number(rate.rate, f"{where}[{index}].rate")


def check_distinct(values: Sequence[str], what: str, problem: str) -> None:
    """Refuse a value that stands twice. Raises `Invalid`."""
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise Invalid(f"{what} {value!r} {problem}")
        seen.add(value)


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


def _check_rate_values(
    values: Sequence[RateValue], rate_plan: RatePlan, currencies: Collection[str], where: str
) -> None:
    check_distinct([value.currency for value in values], f"{where}:", "has two sets of rates")
    _check_covers_currencies([value.currency for value in values], currencies, where)
    for index, value in enumerate(values):
        _check_rate_value(value, rate_plan, f"{where}[{index}]", "slabRates")


def _check_rate_value(value: RateValue, rate_plan: RatePlan, where: str, rates: str) -> None:
    orders = [slab.order for slab in rate_plan.slabs]
    if sorted(rate.order for rate in value.slab_rates) != orders:
        raise Invalid(f"{where}.{rates}: must give exactly one rate for each of the {len(orders)} slabs")
    _check_bounds(value.bounds, f"{where}.rateConfig")
    for rate in value.slab_rates:
        _check_number(rate.rate, f"{where}.{rates}, order {rate.order}: rate")
        _check_bounds(rate.bounds, f"{where}.{rates}, order {rate.order}: slabRateConfig")


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
