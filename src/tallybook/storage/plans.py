"""What usage costs, as stored: price plans in all their versions."""

from datetime import date, datetime

from sqlalchemy import Connection, func, insert, or_, select

from tallybook.core.errors import Conflict
from tallybook.core.price_plan import PricePlan, PricePlanStatus
from tallybook.storage import tables
from tallybook.storage.definition_rows import (
    definition_text,
    find_one,
    is_latest,
    note_change,
    read_definition,
    version_or_latest,
    write_over,
    written_at,
)
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, sorted_text

LISTED = ListedTable(
    sorts={
        "id": tables.price_plan.c.plan_id,
        "name": sorted_text(tables.price_plan.c.name),
        "created_at": tables.price_plan.c.created_at,
        "updated_at": tables.price_plan.c.updated_at,
    },
    order=(SortKey("updated_at", descending=True), SortKey("id")),
    searched=(tables.price_plan.c.name,),
)


def add_price_plan(connection: Connection, organisation_id: str, plan: PricePlan, *, now: datetime) -> None:
    """Add a plan. Raises `Conflict` when its name is taken."""
    check_plan_name_is_free(connection, organisation_id, plan.name)
    add_plan_version(connection, organisation_id, plan, now=now)


def add_plan_version(connection: Connection, organisation_id: str, plan: PricePlan, *, now: datetime) -> None:
    """Add a version of a plan, by the name that the plan has."""
    connection.execute(
        insert(tables.price_plan).values(
            organisation_id=organisation_id,
            plan_id=plan.plan_id,
            version=plan.version,
            name=plan.name,
            status=plan.status.value,
            definition=definition_text(plan),
            **written_at(now),
        )
    )
    note_change(connection, organisation_id, "price_plan", plan.plan_id, now)


def check_plan_name_is_free(connection: Connection, organisation_id: str, name: str) -> None:
    """Raise `Conflict` if a plan has that name."""
    table = tables.price_plan
    same_name = select(table.c.plan_id).where(table.c.organisation_id == organisation_id, table.c.name == name)
    if connection.execute(same_name.limit(1)).first():
        raise Conflict(f"name: a price plan {name!r} exists already", code="ALREADY_EXISTS")


def replace_price_plan(connection: Connection, organisation_id: str, plan: PricePlan, *, now: datetime) -> None:
    """Write over the stored version of the plan, which must be there."""
    table = tables.price_plan
    key = (
        table.c.organisation_id == organisation_id,
        table.c.plan_id == plan.plan_id,
        table.c.version == plan.version,
    )
    write_over(connection, table, key, plan, plan.status.value, now)
    note_change(connection, organisation_id, "price_plan", plan.plan_id, now)


def price_plan(
    connection: Connection, organisation_id: str, plan_id: str, version: int | None = None
) -> PricePlan | None:
    """That version of the price plan, or its latest."""
    table = tables.price_plan
    query = select(table).where(table.c.organisation_id == organisation_id, table.c.plan_id == plan_id)
    found = find_one(connection, version_or_latest(query, table, version), PricePlan)
    return found.definition if found else None


def plan_charging_for(connection: Connection, organisation_id: str, item_id: str, *, today: date) -> str | None:
    """The name of a price plan that has a card for the item, and is active or bills an account today or later.

    An item is a usage meter or an add-on.
    """
    plan, schedule = tables.price_plan.c, tables.pricing_schedule.c
    bills = (
        select(schedule.plan_id)
        .where(
            schedule.organisation_id == plan.organisation_id,
            schedule.plan_id == plan.plan_id,
            schedule.plan_version == plan.version,
            schedule.end_date > today.isoformat(),
        )
        .exists()
    )
    query = select(plan.name).where(
        plan.organisation_id == organisation_id,
        plan.definition.contains(f'"{item_id}"', autoescape=True),  # ids of items are ours, and never escaped
        or_(plan.status == PricePlanStatus.ACTIVE.value, bills),
    )
    return connection.scalar(query.limit(1))


def count_price_plans(connection: Connection, organisation_id: str) -> int:
    """How many plans there are, versions not counted."""
    table = tables.price_plan
    query = select(func.count(table.c.plan_id.distinct())).where(table.c.organisation_id == organisation_id)
    return connection.scalar(query) or 0


def list_price_plans(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[PricePlan]:
    """A page of the plans in their latest versions, normally those changed last first."""
    table = tables.price_plan
    query = select(table).where(table.c.organisation_id == organisation_id, is_latest(table, "plan_id"))
    rows = LISTED.page(connection, query, page)
    return Page(items=[read_definition(row["definition"], PricePlan) for row in rows.items], next=rows.next)
