"""`POST /simulations`, which is ours alone: what a plan would have charged for what accounts really used."""

import hashlib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar.params import JSONBody

from tallybook.api.handling import Caller, Connected, asking
from tallybook.api.paging import TOKEN_CHARACTERS_MAX, Listing
from tallybook.api.price_plan_shapes import CreatePricePlanDetailsShape, PricePlanDetailsShape, details_to
from tallybook.api.pricing_rule_shapes import CreatePricingRuleShape
from tallybook.api.rate_card_shapes import json_number
from tallybook.api.revenue_shapes import inline_plan_from
from tallybook.core.errors import Invalid
from tallybook.core.period import Window
from tallybook.core.price_plan import PricePlan
from tallybook.core.simulation import SimulatedAccount, SimulatedTotal, totals_of
from tallybook.flows.authenticate import now_utc
from tallybook.flows.simulate import ACCOUNTS_MAX, SimulationRequest, StoredPlan, simulate

ACCOUNTS_DEFAULT = 1_000  # in an answer; a second or two
LISTING = Listing("simulations", str, size_default=ACCOUNTS_DEFAULT)

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=50)]


class SimulateRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A plan, stored or given, against the accounts that are named, or all that have or had a plan.

    The period is from `startDate` until before `endDate`, at most 366 days.
    """

    price_plan_id: _Id | None = None
    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    price_plan_details: CreatePricePlanDetailsShape | None = None
    pricing_rules: tuple[CreatePricingRuleShape, ...] | None = None
    account_ids: Annotated[list[_Id], msgspec.Meta(min_length=1, max_length=ACCOUNTS_MAX)] | None = None
    start_date: date
    end_date: date
    page_size: Annotated[int, msgspec.Meta(ge=1, le=ACCOUNTS_MAX)] | None = None
    next_token: Annotated[str, msgspec.Meta(max_length=TOKEN_CHARACTERS_MAX)] | None = None


class SimulatedAccountShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the account's own plans and the simulated one come to, in its currency."""

    account_id: str
    currency: str
    old_amount: Decimal
    new_amount: Decimal
    difference: Decimal
    old_cycles: int
    new_cycles: int


class SimulatedTotalShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The sums over the accounts of this answer that are billed in one currency."""

    currency: str
    accounts: int
    old_amount: Decimal
    new_amount: Decimal
    difference: Decimal


class RefusedAccountShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An account that one of the plans cannot price, and why; it is in no total."""

    account_id: str
    message: str


class SimulationResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The accounts by id, with totals of those in this answer."""

    start_date: date
    end_date: date
    price_plan_details: PricePlanDetailsShape
    totals: Sequence[SimulatedTotalShape]
    data: Sequence[SimulatedAccountShape]
    refused: Sequence[RefusedAccountShape]
    next_token: str | None = None


@asking(
    "/simulations",
    operation_id="simulate",
    summary="Calculate what a plan would have charged for past usage",
    tag="Price Experimentation",
)
def simulate_plan(data: JSONBody[SimulateRequest], identity: Caller, dependencies: Connected) -> SimulationResponse:
    page = LISTING.asked(
        dependencies, identity, next_token=data.next_token, page_size=data.page_size, within=_question_mark(data)
    )
    request = SimulationRequest(
        plan=_plan_from(data),
        account_ids=data.account_ids,
        period=Window(data.start_date, data.end_date),
        after=page.after,
        limit=min(page.size, ACCOUNTS_MAX),
    )
    found = simulate(dependencies.database, identity.organisation_id, request)
    return SimulationResponse(
        start_date=data.start_date,
        end_date=data.end_date,
        price_plan_details=details_to(found.plan),
        totals=[_total(each) for each in totals_of(found.accounts)],
        data=[_account(each) for each in found.accounts],
        refused=[RefusedAccountShape(account_id=each.account_id, message=each.message) for each in found.refused],
        next_token=LISTING.token(dependencies, identity, page, found.last),
    )


def _question_mark(data: SimulateRequest) -> str:
    """What a token is bound to: it goes on with the same question alone."""
    question = msgspec.structs.replace(data, page_size=None, next_token=None)
    return hashlib.sha256(msgspec.json.encode(question)).hexdigest()


def _plan_from(data: SimulateRequest) -> PricePlan | StoredPlan:
    details, plan_id = data.price_plan_details, data.price_plan_id
    if (details is None) == (plan_id is None):
        raise Invalid("pricePlanId: name a plan here, or give one in pricePlanDetails; one of the two")
    if plan_id is not None and data.pricing_rules:
        raise Invalid("pricingRules: only of a plan that is given in pricePlanDetails; one that is stored has its own")
    if plan_id is not None:
        return StoredPlan(plan_id=plan_id, version=data.version)
    if data.version is not None:
        raise Invalid("version: only of a plan that is named by pricePlanId")
    assert details is not None, "one of the two is given"
    return inline_plan_from(details, data.pricing_rules, now=now_utc())


def _account(found: SimulatedAccount) -> SimulatedAccountShape:
    return SimulatedAccountShape(
        account_id=found.account_id,
        currency=found.currency,
        old_amount=json_number(found.old_amount),
        new_amount=json_number(found.new_amount),
        difference=json_number(found.difference),
        old_cycles=found.old_cycles,
        new_cycles=found.new_cycles,
    )


def _total(found: SimulatedTotal) -> SimulatedTotalShape:
    return SimulatedTotalShape(
        currency=found.currency,
        accounts=found.accounts,
        old_amount=json_number(found.old_amount),
        new_amount=json_number(found.new_amount),
        difference=json_number(found.difference),
    )


ROUTES = (simulate_plan,)
