"""Drafts of price plans: edited step by step beside the version that bills, then made the next version, or dropped.

A plan that was never active is its own draft; an active one gets a draft with the first change through this door.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.errors import Conflict, Invalid, NotFound, TooLarge
from tallybook.core.plan_changes import NO_CHANGES, PlanChanges, changed_plan
from tallybook.core.plan_draft import alone, bare, plan_items, without_place
from tallybook.core.plan_migration import MigrationMode, VersionsToMigrate
from tallybook.core.price_plan import PricePlan, PricePlanStatus, activated
from tallybook.core.pricing_rule import PricingRule, check_pricing_rules
from tallybook.flows.change_price_plans import check_not_archived, migrate_accounts
from tallybook.flows.define_price_plans import check_plan, found_plan
from tallybook.flows.define_schemas import dialect_of
from tallybook.storage import plans
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import definition_text

DRAFT_CHARACTERS_MAX = 1024 * 1024  # as many as a request may have bytes, in which a whole plan can be sent at once


class PlanError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a plan cannot bill as it is; `name` is that of a rate card or a pricing rule, None is the plan itself."""

    name: str | None
    is_rule: bool = False
    message: str
    code: str


def newest_plan(connection: Connection, organisation_id: str, plan_id: str) -> PricePlan:
    """The latest version of the plan, be it a draft. Raises `NotFound`, and `Conflict` when it is archived."""
    plan = plans.newest_price_plan(connection, organisation_id, plan_id)
    if plan is None:
        raise NotFound(f"no price plan {plan_id!r}")
    check_not_archived(plan)
    return plan


def active_plan(connection: Connection, organisation_id: str, plan_id: str) -> PricePlan:
    """The latest version of the plan that bills. Raises `NotFound`, and `Conflict` when it is archived."""
    plan = found_plan(connection, organisation_id, plan_id)
    check_not_archived(plan)
    if plan.status is PricePlanStatus.DRAFT:
        raise NotFound(f"price plan {plan_id!r} has no active version; finalize it first")
    return plan


def change_draft(
    database: Database,
    organisation_id: str,
    plan_id: str,
    change: Callable[[Connection, PricePlan], PricePlan],
    *,
    now: datetime,
) -> PricePlan:
    """Change the plan's draft, which is begun from the active version if there is none.

    The draft may lack what the plan needs to bill. Raises `NotFound`, `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        newest = newest_plan(connection, organisation_id, plan_id)
        changed = msgspec.structs.replace(change(connection, _as_draft(newest, now)), updated_at=now)
        check_plan(connection, organisation_id, bare(changed))
        if len(definition_text(changed)) > DRAFT_CHARACTERS_MAX:
            raise TooLarge(f"the plan would have more than {DRAFT_CHARACTERS_MAX} characters as JSON; make it smaller")
        if newest.status is PricePlanStatus.DRAFT:
            plans.replace_price_plan(connection, organisation_id, changed, now=now)
        else:
            plans.add_plan_version(connection, organisation_id, changed, now=now)
        return changed


def change_shell(
    database: Database,
    organisation_id: str,
    plan_id: str,
    *,
    description: str | None,
    changes: PlanChanges,
    now: datetime,
) -> PricePlan:
    """Change what a plan is besides its cards; a description alone makes no draft. Raises as `change_draft`."""
    if changes == NO_CHANGES:
        return _describe(database, organisation_id, plan_id, description, now=now)

    def change(_: Connection, plan: PricePlan) -> PricePlan:
        return _described(changed_plan(plan, changes), description)

    return change_draft(database, organisation_id, plan_id, change, now=now)


def _describe(
    database: Database, organisation_id: str, plan_id: str, description: str | None, *, now: datetime
) -> PricePlan:
    with database.write() as connection:
        newest = newest_plan(connection, organisation_id, plan_id)
        changed = msgspec.structs.replace(_described(newest, description), updated_at=now)
        check_plan(connection, organisation_id, bare(changed))
        plans.replace_price_plan(connection, organisation_id, changed, now=now)
        return changed


def _described(plan: PricePlan, description: str | None) -> PricePlan:
    return msgspec.structs.replace(plan, description=plan.description if description is None else description)


def with_rules(
    connection: Connection, organisation_id: str, plan: PricePlan, rules: Sequence[PricingRule]
) -> PricePlan:
    """The plan with these rules instead of its own. Raises `Invalid` when they do not fit its cards."""
    check_pricing_rules(rules, cards=plan.rate_cards, dialect=dialect_of(connection, organisation_id))
    return msgspec.structs.replace(plan, pricing_rules=tuple(rules))


def publish_draft(
    database: Database,
    organisation_id: str,
    plan_id: str,
    *,
    mode: MigrationMode,
    versions: VersionsToMigrate,
    now: datetime,
) -> PricePlan:
    """Make the draft the version that bills, in all its currencies, and move accounts as `mode` and `versions` say.

    Raises `NotFound`, `Conflict` when there is no draft, and `Invalid` when it has errors.
    """
    with database.write() as connection:
        draft = newest_plan(connection, organisation_id, plan_id)
        if draft.status is not PricePlanStatus.DRAFT:
            raise Conflict(f"price plan {plan_id} has no draft; change it first", code="NO_DRAFT")
        before = found_plan(connection, organisation_id, plan_id)
        _check_keeps_currencies(before, draft)
        check_faultless(plan_errors(connection, organisation_id, draft))
        ready = activated(draft, currencies=draft.supported_currencies, now=now)
        published = check_plan(connection, organisation_id, ready)
        plans.replace_price_plan(connection, organisation_id, published, now=now)
        if before.status is PricePlanStatus.ACTIVE:
            migrate_accounts(connection, organisation_id, before, published, mode=mode, versions=versions, now=now)
        return published


def discard_draft(database: Database, organisation_id: str, plan_id: str, *, now: datetime) -> None:
    """Drop the draft, and with it a plan that was never active; does nothing without one. Raises `NotFound`."""
    with database.write() as connection:
        newest_plan(connection, organisation_id, plan_id)
        plans.drop_drafts(connection, organisation_id, plan_id, now=now)


# ---- what is wrong with a draft ----------------------------------------------------------------------------------


def plan_errors(connection: Connection, organisation_id: str, plan: PricePlan) -> list[PlanError]:
    """Everything that keeps the plan from billing: what is wrong with each card by itself; if nothing is, with all of
    them together; if nothing is, with each rule.
    """
    billing = msgspec.structs.replace(plan, status=PricePlanStatus.ACTIVE)
    unruled = msgspec.structs.replace(billing, pricing_rules=())

    def errors_of(part: PricePlan, name: str | None, *, is_rule: bool = False) -> list[PlanError]:
        try:
            check_plan(connection, organisation_id, part)
        except Invalid as error:
            message = error.message if name is None else without_place(error.message)
            return [PlanError(name=name, is_rule=is_rule, message=message, code=error.code)]
        return []

    def errors_of_rules() -> list[PlanError]:
        alone_with_cards = [msgspec.structs.replace(billing, pricing_rules=(rule,)) for rule in plan.pricing_rules]
        return [
            error for part in alone_with_cards for error in errors_of(part, part.pricing_rules[0].name, is_rule=True)
        ]

    of_items = [error for name, item in plan_items(plan).items() for error in errors_of(alone(billing, item), name)]
    return (
        errors_of(bare(billing), None)
        or of_items
        or errors_of(unruled, None)
        or errors_of_rules()
        or errors_of(billing, None)
    )


def check_faultless(errors: list[PlanError]) -> None:
    """Refuse a draft that has errors, naming the first. Raises `Invalid`."""
    if errors:
        first = errors[0]
        where = "" if first.name is None else f"{first.name}: "
        raise Invalid(
            f"the draft has {len(errors)} error{'s' * (len(errors) > 1)}, the first: {where}{first.message}",
            code=first.code,
        )


def _check_keeps_currencies(before: PricePlan, draft: PricePlan) -> None:
    """A currency may have been activated since the draft was begun."""
    changed_plan(before, PlanChanges(supported_currencies=draft.supported_currencies))


def _as_draft(plan: PricePlan, now: datetime) -> PricePlan:
    if plan.status is PricePlanStatus.DRAFT:
        return plan
    return msgspec.structs.replace(plan, version=plan.version + 1, status=PricePlanStatus.DRAFT, created_at=now)
