"""Creating, renaming and archiving add-ons, each in one transaction."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.add_on import AddOn, AddOnChanges, AddOnStatus, changed_add_on, check_add_on
from tallybook.core.errors import Conflict, NotFound
from tallybook.flows.define import check_room
from tallybook.storage import add_ons, plans
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import Stored

ADD_ONS_MAX = 10_000  # as many as there may be plans


def create_add_on(database: Database, organisation_id: str, add_on: AddOn, *, now: datetime) -> Stored[AddOn]:
    """Add an add-on. Raises `Invalid` or `Conflict`."""
    check_add_on(add_on)
    with database.write() as connection:
        check_room(add_ons.count_add_ons(connection, organisation_id), ADD_ONS_MAX, "add-ons")
        add_ons.add_add_on(connection, organisation_id, add_on, now=now)
    return Stored(definition=add_on, created_at=now, updated_at=now)


def update_add_on(
    database: Database, organisation_id: str, add_on_id: str, changes: AddOnChanges, *, now: datetime
) -> Stored[AddOn]:
    """Rename an add-on, but not on issued invoices. Raises `NotFound`, `Invalid` or `Conflict`."""
    with database.write() as connection:
        stored = found_add_on(connection, organisation_id, add_on_id)
        changed = changed_add_on(stored.definition, changes)
        add_ons.replace_add_on(connection, organisation_id, changed, now=now)
        return Stored(definition=changed, created_at=stored.created_at, updated_at=now)


def archive_add_on(database: Database, organisation_id: str, add_on_id: str, *, now: datetime) -> None:
    """Let no new plan have the add-on; does nothing when it is archived. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        add_on = found_add_on(connection, organisation_id, add_on_id).definition
        if add_on.status is AddOnStatus.ARCHIVED:
            return
        plan = plans.plan_charging_for(connection, organisation_id, add_on_id, today=now.date())
        if plan is not None:
            raise Conflict(f"price plan {plan!r} charges for add-on {add_on.name!r}", code="ADD_ON_PRICED")
        archived = msgspec.structs.replace(add_on, status=AddOnStatus.ARCHIVED)
        add_ons.replace_add_on(connection, organisation_id, archived, now=now)


def found_add_on(connection: Connection, organisation_id: str, add_on_id: str) -> Stored[AddOn]:
    """The add-on with that id. Raises `NotFound`."""
    stored = add_ons.find_add_on(connection, organisation_id, add_on_id)
    if stored is None:
        raise NotFound(f"no add-on {add_on_id!r}")
    return stored
