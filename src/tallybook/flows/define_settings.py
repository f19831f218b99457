"""Settings: adding and changing them, each in one transaction.

What a setting must be like by itself is checked in the core; here is what depends on it: the rules that read it.
"""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.errors import Busy, Conflict, Invalid, NotFound
from tallybook.core.event_schema import EventSchema
from tallybook.core.expression_check import rule_to_save
from tallybook.core.expression_dialects import DIALECTS
from tallybook.core.expression_tree import Dialect
from tallybook.core.plan_changes import changed_plan
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_rule import check_pricing_rules
from tallybook.core.setting import (
    Namespace,
    Setting,
    SettingPlace,
    SettingType,
    SettingValue,
    check_room_for_setting,
    check_setting,
)
from tallybook.core.usage_meter import MeterStatus, UsageMeter, check_usage_meter
from tallybook.flows.define_schemas import check_schema_in_organisation, dependencies_on, dialect_of
from tallybook.storage import accounts, definition_rows, plans, schemas, settings
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import Change

DIALECT_SETTING = "expression_dialect"


def create_setting(database: Database, organisation_id: str, setting: Setting, *, now: datetime) -> None:
    """Add a setting to an entity that is there. Raises `Invalid`, `Conflict` or `Busy`."""
    with database.read() as connection:
        known = _checked(connection, organisation_id, setting)
    with database.write() as connection:
        _check_nothing_came_between(connection, organisation_id, setting, known)
        _add(connection, organisation_id, setting, now)


def add_setting(connection: Connection, organisation_id: str, setting: Setting, *, now: datetime) -> None:
    """Add a setting within a transaction that may have added its entity too. Raises `Invalid` or `Conflict`."""
    _checked(connection, organisation_id, setting)
    _add(connection, organisation_id, setting, now)


def _add(connection: Connection, organisation_id: str, setting: Setting, now: datetime) -> None:
    place = setting.place
    if not settings.has_entity(connection, organisation_id, place.entity_type, place.entity_id):
        raise Invalid(
            f"entityId: this organisation has no {place.entity_type} {place.entity_id!r}", code="UNKNOWN_ENTITY"
        )
    check_room_for_setting(settings.count_settings_of(connection, organisation_id, place.entity_type, place.entity_id))
    settings.add_setting(connection, organisation_id, setting, now=now)


def update_setting(
    database: Database,
    organisation_id: str,
    place: SettingPlace,
    *,
    name: str | None,
    data_type: SettingType | None,
    text: str | None,
    now: datetime,
) -> Setting:
    """Change a setting; None leaves a thing as it is. Raises `NotFound`, `Invalid`, `Conflict` or `Busy`."""
    with database.read() as connection:
        current = found_setting(connection, organisation_id, place)
        changed = _changed(current, name, data_type, text)
        if changed == current:
            return current
        known = _checked(connection, organisation_id, changed)
    with database.write() as connection:
        _check_nothing_came_between(connection, organisation_id, changed, known)
        settings.replace_setting(connection, organisation_id, changed, now=now)
        return changed


def found_setting(connection: Connection, organisation_id: str, place: SettingPlace) -> Setting:
    """The setting at that place. Raises `NotFound`."""
    setting = settings.setting_at(connection, organisation_id, place)
    if setting is None:
        raise NotFound(f"no setting {place}")
    return setting


def _changed(current: Setting, name: str | None, data_type: SettingType | None, text: str | None) -> Setting:
    value = SettingValue(
        data_type=current.value.data_type if data_type is None else data_type,
        text=current.value.text if text is None else text,
    )
    return msgspec.structs.replace(current, name=current.name if name is None else name, value=value)


# ---- the rules that a setting matters to -------------------------------------------------------------------------


def _checked(connection: Connection, organisation_id: str, setting: Setting) -> int:
    """Check the setting and every rule that it matters to; return the version of definitions that were read.

    There may be thousands of rules, so no lock needs to be held: whoever writes then must look whether anything came
    between. Raises `Invalid` or `Conflict`.
    """
    check_setting(setting)
    known = definition_rows.version(connection)
    if setting.value.data_type is SettingType.JSON_LOGIC:
        rule_to_save(setting.value.text, dialect=dialect_of(connection, organisation_id), place="value")
    if _chooses_dialect(setting):
        _check_every_rule(connection, organisation_id, DIALECTS[setting.value.text])
    for schema in schemas.schemas_in_use(connection, organisation_id):
        if dependencies_on(schema, setting.place):
            _check_reader(connection, organisation_id, schema, setting)
    return known


def _check_nothing_came_between(connection: Connection, organisation_id: str, setting: Setting, known: int) -> None:
    """Raise `Busy` if something was defined since `known` that the check of the setting should have seen."""
    for change in definition_rows.changes_since(connection, known):
        if change.organisation_id == organisation_id and _matters(change, setting):
            raise Busy("rules or settings changed while they were checked; send this again")


def _matters(change: Change, setting: Setting) -> bool:
    match change.kind:
        case "event_schema":
            return True
        case "usage_meter" | "price_plan" | "account":
            return _chooses_dialect(setting)
        case "setting":
            return _chooses_dialect(setting) or change.name == str(setting.place) or DIALECT_SETTING in change.name
        case _:
            return False


def _chooses_dialect(setting: Setting) -> bool:
    return (setting.place.namespace, setting.place.setting_id) == (Namespace.TOGAI, DIALECT_SETTING)


def _check_reader(connection: Connection, organisation_id: str, schema: EventSchema, setting: Setting) -> None:
    try:
        check_schema_in_organisation(connection, organisation_id, schema, setting=setting)
    except Invalid as error:
        raise Conflict(
            f"event schema {schema.name!r} could not work with this any more: {error.message}", code="SETTING_IN_USE"
        ) from None


def _check_every_rule(connection: Connection, organisation_id: str, dialect: Dialect) -> None:
    for schema in schemas.schemas_in_use(connection, organisation_id):
        try:
            check_schema_in_organisation(connection, organisation_id, schema, dialect=dialect)
        except Invalid as error:
            raise _unworkable(f"event schema {schema.name!r}", error) from None
        for meter in schemas.meters_of_schema(connection, organisation_id, schema.name):
            if meter.status is not MeterStatus.ARCHIVED:
                _check_meter_in(dialect, meter, schema)
    for plan in plans.plans_with_rules(connection, organisation_id):
        _check_pricing_rules_in(dialect, plan, f"price plan {plan.name!r}")
    for account_id, changes, plan in accounts.overrides_with_rules(connection, organisation_id):
        _check_pricing_rules_in(dialect, changed_plan(plan, changes), f"a schedule of account {account_id!r}")


def _check_pricing_rules_in(dialect: Dialect, plan: PricePlan, what: str) -> None:
    try:
        check_pricing_rules(plan.pricing_rules, cards=plan.rate_cards, dialect=dialect)
    except Invalid as error:
        raise _unworkable(what, error) from None


def _check_meter_in(dialect: Dialect, meter: UsageMeter, schema: EventSchema) -> None:
    try:
        check_usage_meter(meter, schema, dialect=dialect)
    except Invalid as error:
        raise _unworkable(f"usage meter {meter.name!r}", error) from None


def _unworkable(what: str, error: Invalid) -> Conflict:
    return Conflict(f"{what} cannot work in that dialect: {error.message}", code="EXPRESSION_DIALECT")
