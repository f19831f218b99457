"""Changing price plans: drafts in place, active ones by a new version to which accounts may be moved."""

from collections.abc import Callable
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.errors import Conflict
from tallybook.core.plan_changes import NO_CHANGES, PlanChanges, changed_plan
from tallybook.core.plan_currencies import RatesInCurrency, with_currency, without_currency
from tallybook.core.plan_migration import MigrationMode, Move, VersionsToMigrate, migrated
from tallybook.core.price_plan import PricePlan, PricePlanStatus
from tallybook.flows.define_price_plans import check_plan, found_plan
from tallybook.flows.define_schedules import store_schedules
from tallybook.storage import accounts, plans
from tallybook.storage.database import Database

MIGRATED_ACCOUNTS_MAX = 2_000  # in one transaction, which others wait for: some seconds


def change_price_plan(
    database: Database,
    organisation_id: str,
    plan_id: str,
    *,
    description: str | None,
    changes: PlanChanges,
    mode: MigrationMode,
    versions: VersionsToMigrate,
    now: datetime,
) -> PricePlan:
    """Change the plan, and move the accounts of its earlier versions as `mode` and `versions` say.

    A draft is changed in place, and so is a description alone. What an active plan charges is changed by a new
    version; accounts stay with theirs unless they are moved. Raises `NotFound`, `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        latest = found_plan(connection, organisation_id, plan_id)
        check_not_archived(latest)
        check_not_drafted(connection, organisation_id, latest)
        changed = msgspec.structs.replace(
            check_plan(connection, organisation_id, changed_plan(latest, changes)),
            description=latest.description if description is None else description,
            updated_at=now,
        )
        check_plan(connection, organisation_id, changed)
        if latest.status is PricePlanStatus.DRAFT or changes == NO_CHANGES:
            plans.replace_price_plan(connection, organisation_id, changed, now=now)
            return changed
        new = msgspec.structs.replace(changed, version=latest.version + 1, created_at=now)
        plans.add_plan_version(connection, organisation_id, new, now=now)
        migrate_accounts(connection, organisation_id, latest, new, mode=mode, versions=versions, now=now)
        return new


def add_currency(
    database: Database, organisation_id: str, plan_id: str, rates: RatesInCurrency, *, now: datetime
) -> PricePlan:
    """Add a currency with its rates, which nobody can be billed in until it is activated.

    No version is made, as nobody's price changes. Raises `NotFound`, `Invalid` or `Conflict`.
    """
    return _change_currencies(database, organisation_id, plan_id, lambda plan: with_currency(plan, rates), now=now)


def remove_currency(
    database: Database, organisation_id: str, plan_id: str, currency: str, *, now: datetime
) -> PricePlan:
    """Remove a currency that is not active, with its rates. Raises `NotFound`, `Invalid` or `Conflict`."""
    return _change_currencies(
        database, organisation_id, plan_id, lambda plan: without_currency(plan, currency), now=now
    )


def _change_currencies(
    database: Database,
    organisation_id: str,
    plan_id: str,
    change: Callable[[PricePlan], PricePlan],
    *,
    now: datetime,
) -> PricePlan:
    with database.write() as connection:
        plan = found_plan(connection, organisation_id, plan_id)
        check_not_archived(plan)
        check_not_drafted(connection, organisation_id, plan)
        changed = check_plan(connection, organisation_id, change(plan))
        changed = msgspec.structs.replace(changed, updated_at=now)
        plans.replace_price_plan(connection, organisation_id, changed, now=now)
        return changed


def archive_price_plan(database: Database, organisation_id: str, plan_id: str, *, now: datetime) -> None:
    """Let nobody be billed by the plan any more; does nothing when it is archived. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        plan = found_plan(connection, organisation_id, plan_id)
        if plan.status is PricePlanStatus.ARCHIVED:
            return
        billed = accounts.accounts_of_plan(connection, organisation_id, plan_id, billed_from=now.date(), limit=1)
        if billed:
            raise Conflict(
                f"price plan {plan_id} bills account {billed[0].account_id!r}; detach it from all accounts first",
                code="PRICE_PLAN_ATTACHED",
            )
        if plan.status is PricePlanStatus.ACTIVE:
            plans.drop_drafts(connection, organisation_id, plan_id, now=now)
        archived = msgspec.structs.replace(plan, status=PricePlanStatus.ARCHIVED, updated_at=now)
        plans.replace_price_plan(connection, organisation_id, archived, now=now)


def check_not_archived(plan: PricePlan) -> None:
    """Refuse to change a plan that is archived. Raises `Conflict`."""
    if plan.status is PricePlanStatus.ARCHIVED:
        raise Conflict(f"price plan {plan.plan_id} is archived", code="PRICE_PLAN_ARCHIVED")


def check_not_drafted(connection: Connection, organisation_id: str, plan: PricePlan) -> None:
    """Refuse to change the version that bills while a draft of the next one is open. Raises `Conflict`."""
    newest = plans.newest_price_plan(connection, organisation_id, plan.plan_id)
    if newest is not None and newest.version != plan.version:
        raise Conflict(
            f"price plan {plan.plan_id} has a draft of version {newest.version}; finalize or discard it first",
            code="PRICE_PLAN_DRAFTED",
        )


def migrate_accounts(
    connection: Connection,
    organisation_id: str,
    latest: PricePlan,
    new: PricePlan,
    *,
    mode: MigrationMode,
    versions: VersionsToMigrate,
    now: datetime,
) -> None:
    """Move the accounts of the `latest` version, or of every one, to the `new` one. Raises `Conflict`."""
    if mode is MigrationMode.NONE:
        return
    today = now.date()
    of_plan = accounts.accounts_of_plan(
        connection, organisation_id, new.plan_id, billed_from=today, limit=MIGRATED_ACCOUNTS_MAX + 1
    )
    if len(of_plan) > MIGRATED_ACCOUNTS_MAX:
        raise Conflict(
            f"migrationMode: more than {MIGRATED_ACCOUNTS_MAX} accounts; use NONE, then POST /price_plans/migration",
            code="LIMIT_REACHED",
        )
    every = versions is VersionsToMigrate.ALL_VERSION
    moved = range(1, latest.version + 1) if every else range(latest.version, latest.version + 1)
    for account in of_plan:
        move = Move(source_id=new.plan_id, versions=moved, target=new, mode=mode)
        schedules = migrated(account.schedules, move, today=today)
        store_schedules(connection, organisation_id, account, schedules, now=now)
