"""The routes of a plan's currencies, as the generations up to 2024 have them: one more with its rates, or one less."""

from decimal import Decimal
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody

from tallybook.api.handling import Caller, Connected, removing, writing
from tallybook.api.price_plan_shapes import PricePlanShape, plan_to_response
from tallybook.api.rate_card_shapes import SlabRateShape, slab_rates_from
from tallybook.core.errors import Invalid
from tallybook.core.plan_currencies import RatesInCurrency
from tallybook.core.price_plan import RATE_CARDS_MAX
from tallybook.flows import change_price_plans
from tallybook.flows.authenticate import now_utc

TAG = "Price Plans"
_AT_MOST_ALL = msgspec.Meta(max_length=RATE_CARDS_MAX)


class UsageRateShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the rate card of the meter charges for each slab."""

    usage_meter_id: str
    slab_rates: tuple[SlabRateShape, ...]


class FixedFeeRateShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What the rate card of the add-on charges."""

    id: str
    rate: Decimal


class AddCurrencyRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A currency with a rate for every card of the plan."""

    currency: str
    usage_rates: Annotated[tuple[UsageRateShape, ...], _AT_MOST_ALL]
    fixed_fee_rates: Annotated[tuple[FixedFeeRateShape, ...], _AT_MOST_ALL] = ()
    minimum_commitment_rate: Decimal | None = None


@writing(
    "/price_plans/{price_plan_id:str}/currencies",
    status=HTTPStatus.OK,
    operation_id="addCurrencyToPricePlan",
    summary="Add a currency to a price plan; it is a draft until it is activated",
    tag=TAG,
)
def add_currency(
    price_plan_id: FromPath[str], data: JSONBody[AddCurrencyRequest], identity: Caller, dependencies: Connected
) -> PricePlanShape:
    plan = change_price_plans.add_currency(
        dependencies.database, identity.organisation_id, price_plan_id, _rates_from(data), now=now_utc()
    )
    return plan_to_response(plan)


@removing(
    "/price_plans/{price_plan_id:str}/currencies/{currency_id:str}",
    operation_id="removeCurrencyFromPricePlan",
    summary="Remove a draft currency from a price plan",
    tag=TAG,
)
def remove_currency(
    price_plan_id: FromPath[str], currency_id: FromPath[str], identity: Caller, dependencies: Connected
) -> PricePlanShape:
    plan = change_price_plans.remove_currency(
        dependencies.database, identity.organisation_id, price_plan_id, currency_id, now=now_utc()
    )
    return plan_to_response(plan)


def _rates_from(data: AddCurrencyRequest) -> RatesInCurrency:
    usage = {
        rate.usage_meter_id: slab_rates_from(rate.slab_rates, f"usageRates[{index}].slabRates")
        for index, rate in enumerate(data.usage_rates)
    }
    fees = {rate.id: rate.rate for rate in data.fixed_fee_rates}
    if len(usage) < len(data.usage_rates) or len(fees) < len(data.fixed_fee_rates):
        raise Invalid("usageRates, fixedFeeRates: a meter or an add-on is there twice; give each one rate")
    return RatesInCurrency(currency=data.currency, usage=usage, fees=fees, commitment=data.minimum_commitment_rate)


ROUTES = (add_currency, remove_currency)
