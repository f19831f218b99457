"""Creating and activating price plans, each in one transaction.

What a plan must be like by itself is checked in the core; here is what depends on meters, add-ons and other plans.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from tallybook.core.add_on import AddOn, AddOnStatus, AddOnType
from tallybook.core.errors import Invalid, NotFound
from tallybook.core.price_plan import (
    PricedItems,
    PricePlan,
    PricePlanStatus,
    activated,
    check_price_plan,
    named_after_add_ons,
)
from tallybook.core.usage_meter import MeterStatus, UsageMeter
from tallybook.flows.define import check_room
from tallybook.flows.define_credits import check_entities_known
from tallybook.flows.define_schemas import dialect_of
from tallybook.storage import add_ons, plans, schemas
from tallybook.storage.database import Database

PRICE_PLANS_MAX = 10_000  # plans cost nothing but room


def create_price_plan(
    database: Database, organisation_id: str, plan: PricePlan, *, now: datetime, dry_run: bool = False
) -> PricePlan:
    """Add a draft plan; with `dry_run` only check that it could be added. Cards without a name to show get the
    add-on's. Raises `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        plan = check_plan(connection, organisation_id, plan)
        check_room(plans.count_price_plans(connection, organisation_id), PRICE_PLANS_MAX, "price plans")
        if dry_run:
            plans.check_plan_name_is_free(connection, organisation_id, plan.name)
        else:
            plans.add_price_plan(connection, organisation_id, plan, now=now)
    return plan


def activate_price_plan(
    database: Database, organisation_id: str, plan_id: str, currencies: Sequence[str], *, now: datetime
) -> PricePlan:
    """Open the plan for accounts of those currencies. Raises `NotFound`, `Invalid` or `Conflict`."""
    with database.write() as connection:
        found = found_plan(connection, organisation_id, plan_id)
        plan = activated(found, currencies=currencies, now=now)
        if found.status is PricePlanStatus.DRAFT:  # which may have been made card by card
            plan = check_plan(connection, organisation_id, plan)
        _check_meters_active(connection, organisation_id, plan)
        plans.replace_price_plan(connection, organisation_id, plan, now=now)
        return plan


def found_plan(connection: Connection, organisation_id: str, plan_id: str, version: int | None = None) -> PricePlan:
    """That version of the plan, or its latest; a draft only of a plan that was never active. Raises `NotFound`."""
    plan = plans.price_plan(connection, organisation_id, plan_id, version)
    if plan is None:
        raise NotFound(f"no price plan {plan_id!r}" + ("" if version is None else f" with version {version}"))
    return plan


def _may_be_priced(meter: UsageMeter) -> bool:
    """A draft may stand in a draft plan; to activate the plan, the meter must be active."""
    return meter.status in (MeterStatus.DRAFT, MeterStatus.ACTIVE)


def _known_add_ons(connection: Connection, organisation_id: str, plan: PricePlan) -> dict[str, AddOn]:
    """The add-ons on the plan's cards that may be sold."""
    add_on_ids = [card.add_on_id for card in plan.add_on_cards]
    found = add_ons.add_ons_with_ids(connection, organisation_id, add_on_ids)
    return {add_on_id: add_on for add_on_id, add_on in found.items() if add_on.status is AddOnStatus.ACTIVE}


def _items_of(connection: Connection, organisation_id: str, plan: PricePlan, known: Mapping[str, AddOn]) -> PricedItems:
    meters = schemas.meters_with_ids(connection, organisation_id, [card.meter_id for card in plan.usage_cards])
    return PricedItems(
        meter_ids=[meter_id for meter_id, meter in meters.items() if _may_be_priced(meter)],
        fixed_fee_ids=[add_on_id for add_on_id, add_on in known.items() if add_on.type is AddOnType.FIXED_FEE],
        licence_ids=[add_on_id for add_on_id, add_on in known.items() if add_on.type is AddOnType.LICENSE],
        credit_grant_ids=[add_on_id for add_on_id, add_on in known.items() if add_on.type is AddOnType.CREDIT_GRANT],
    )


def check_plan(connection: Connection, organisation_id: str, plan: PricePlan) -> PricePlan:
    """Refuse a plan that could not be billed by; return it with the names of add-ons. Raises `Invalid`."""
    known = _known_add_ons(connection, organisation_id, plan)
    named = named_after_add_ons(plan, {add_on_id: add_on.display_name for add_on_id, add_on in known.items()})
    check_price_plan(
        named,
        items=_items_of(connection, organisation_id, named, known),
        dialect=dialect_of(connection, organisation_id),
    )
    for index, card in enumerate(named.grant_cards):
        where = f"creditGrantRateCards[{index}].grantDetails.applicableEntityIds"
        check_entities_known(connection, organisation_id, card.details.applicable_entity_ids, where)
    if plan.status is PricePlanStatus.ACTIVE:
        _check_meters_active(connection, organisation_id, plan)
    return named


def _check_meters_active(connection: Connection, organisation_id: str, plan: PricePlan) -> None:
    meters = schemas.meters_with_ids(connection, organisation_id, [card.meter_id for card in plan.usage_cards])
    for index, card in enumerate(plan.usage_cards):
        meter = meters[card.meter_id]
        if meter.status is not MeterStatus.ACTIVE:
            raise Invalid(
                f"usageRateCards[{index}].usageMeterId: meter {card.meter_id} is {meter.status}; activate it first",
                code="USAGE_METER_NOT_ACTIVE",
            )
