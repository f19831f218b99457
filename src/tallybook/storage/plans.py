"""What usage costs, as stored: price plans in all their versions."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select

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

LISTED_VERSIONS = ListedTable(
    sorts={"version": tables.price_plan.c.version}, order=(SortKey("version", descending=True),)
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
    """That version of the price plan; without one its latest, but a draft only of a plan that was never active."""
    table = tables.price_plan
    query = _versions(organisation_id, plan_id)
    if version is None:
        query = query.order_by(table.c.status == PricePlanStatus.DRAFT.value)
    found = find_one(connection, version_or_latest(query, table, version), PricePlan)
    return found.definition if found else None


def newest_price_plan(connection: Connection, organisation_id: str, plan_id: str) -> PricePlan | None:
    """The latest version of the price plan, be it a draft or not."""
    query = version_or_latest(_versions(organisation_id, plan_id), tables.price_plan, None)
    found = find_one(connection, query, PricePlan)
    return found.definition if found else None


def drop_drafts(connection: Connection, organisation_id: str, plan_id: str, *, now: datetime) -> bool:
    """Remove the plan's draft, and so the plan if it was never active; say whether there was one."""
    table = tables.price_plan
    dropped = connection.execute(
        table.delete().where(
            table.c.organisation_id == organisation_id,
            table.c.plan_id == plan_id,
            table.c.status == PricePlanStatus.DRAFT.value,
        )
    )
    if dropped.rowcount:
        note_change(connection, organisation_id, "price_plan", plan_id, now)
    return bool(dropped.rowcount)


def _versions(organisation_id: str, plan_id: str) -> Select[Any]:
    table = tables.price_plan
    return select(table).where(table.c.organisation_id == organisation_id, table.c.plan_id == plan_id)


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


def plans_with_rules(connection: Connection, organisation_id: str) -> list[PricePlan]:
    """Every version of every plan that has pricing rules and is not archived."""
    table = tables.price_plan
    query = select(table.c.definition).where(
        table.c.organisation_id == organisation_id,
        table.c.status != PricePlanStatus.ARCHIVED.value,
        table.c.definition.contains('"pricing_rules":[{', autoescape=True),
    )
    return [read_definition(definition, PricePlan) for definition in connection.scalars(query)]


def count_price_plans(connection: Connection, organisation_id: str) -> int:
    """How many plans there are, versions not counted."""
    table = tables.price_plan
    query = select(func.count(table.c.plan_id.distinct())).where(table.c.organisation_id == organisation_id)
    return connection.scalar(query) or 0


def list_price_plans(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[PricePlan]:
    """A page of the plans in the versions that `price_plan` finds, normally those changed last first."""
    table = tables.price_plan
    later = table.alias()
    versions = select(func.max(later.c.version)).where(
        later.c.organisation_id == table.c.organisation_id, later.c.plan_id == table.c.plan_id
    )
    published = versions.where(later.c.status != PricePlanStatus.DRAFT.value).scalar_subquery()
    shown = func.coalesce(published, versions.scalar_subquery())
    return _page(connection, LISTED, [table.c.organisation_id == organisation_id, table.c.version == shown], page)


def list_newest_price_plans(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[PricePlan]:
    """A page of the plans in their latest versions, drafts or not, without those that are archived."""
    table = tables.price_plan
    wanted = [
        table.c.organisation_id == organisation_id,
        table.c.status != PricePlanStatus.ARCHIVED.value,
        is_latest(table, "plan_id"),
    ]
    return _page(connection, LISTED, wanted, page)


def list_plan_versions(
    connection: Connection, organisation_id: str, plan_id: str, page: PageRequest[Place]
) -> Page[PricePlan]:
    """A page of the plan's versions, the latest first."""
    table = tables.price_plan
    wanted = [table.c.organisation_id == organisation_id, table.c.plan_id == plan_id]
    return _page(connection, LISTED_VERSIONS, wanted, page)


def _page(
    connection: Connection, listed: ListedTable, wanted: Sequence[Any], page: PageRequest[Place]
) -> Page[PricePlan]:
    rows = listed.page(connection, select(tables.price_plan).where(*wanted), page)
    return Page(items=[read_definition(row["definition"], PricePlan) for row in rows.items], next=rows.next)
