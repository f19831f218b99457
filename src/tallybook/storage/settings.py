"""Settings, as stored: added, changed, found by place or by what an account may see."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Column, ColumnElement, Connection, RowMapping, and_, func, insert, or_, select, update

from tallybook.core.errors import Conflict
from tallybook.core.instant import microseconds_since_1970
from tallybook.core.letterhead import Letterhead
from tallybook.core.setting import (
    CHOICES,
    LETTERHEAD,
    TAX_SETTING,
    EntityType,
    Namespace,
    OrganisationChoices,
    Setting,
    SettingKey,
    SettingPlace,
    SettingType,
    SettingValue,
    letterhead,
    organisation_choices,
)
from tallybook.core.tax import TaxRate, tax_rates
from tallybook.storage import tables
from tallybook.storage.definition_rows import in_pieces, note_change, written_at
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, equals

_TABLE = tables.setting
_PLACE_COLUMNS = (_TABLE.c.namespace, _TABLE.c.setting_id, _TABLE.c.entity_type, _TABLE.c.entity_id)

_ENTITIES: Mapping[EntityType, Column[str]] = {
    EntityType.CUSTOMER: tables.customer.c.customer_id,
    EntityType.ACCOUNT: tables.account.c.account_id,
    EntityType.INVOICE_GROUP: tables.invoice_group.c.group_id,
    EntityType.EVENT_SCHEMA: tables.event_schema.c.name,
    EntityType.USAGE_METER: tables.usage_meter.c.meter_id,
    EntityType.ADD_ON: tables.add_on.c.add_on_id,
    EntityType.PRICE_PLAN: tables.price_plan.c.plan_id,
    EntityType.INVOICE: tables.invoice.c.invoice_id,
}
"""Where the ids of entities are. What is not listed does not exist here."""

LISTED = ListedTable(
    sorts={str(column.name): column for column in (*_PLACE_COLUMNS, _TABLE.c.created_at, _TABLE.c.updated_at)},
    order=[SortKey(str(column.name)) for column in _PLACE_COLUMNS],
    filters={str(column.name): equals(column) for column in _PLACE_COLUMNS},
    searched=(_TABLE.c.setting_id, _TABLE.c.name),
)


def add_setting(connection: Connection, organisation_id: str, setting: Setting, *, now: datetime) -> None:
    """Add a setting. Raises `Conflict` when its place has one."""
    if setting_at(connection, organisation_id, setting.place):
        raise Conflict(f"id: a setting {setting.place} exists already; change it with PATCH", code="ALREADY_EXISTS")
    connection.execute(
        insert(_TABLE).values(
            organisation_id=organisation_id,
            namespace=setting.place.namespace.value,
            setting_id=setting.place.setting_id,
            entity_type=setting.place.entity_type.value,
            entity_id=setting.place.entity_id,
            name=setting.name,
            data_type=setting.value.data_type.value,
            value=setting.value.text,
            **written_at(now),
        )
    )
    _note_setting(connection, organisation_id, setting.place, now)


def replace_setting(connection: Connection, organisation_id: str, setting: Setting, *, now: datetime) -> None:
    """Write over the setting at its place, which must be there."""
    written = connection.execute(
        update(_TABLE)
        .where(_TABLE.c.organisation_id == organisation_id, _at(setting.place))
        .values(
            name=setting.name,
            data_type=setting.value.data_type.value,
            value=setting.value.text,
            updated_at=microseconds_since_1970(now),
        )
    )
    assert written.rowcount == 1, "the setting to write over is not there"
    _note_setting(connection, organisation_id, setting.place, now)


def setting_at(connection: Connection, organisation_id: str, place: SettingPlace) -> Setting | None:
    """The setting at that place."""
    query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _at(place))
    row = connection.execute(query).mappings().first()
    return _setting(row) if row else None


def settings_at(connection: Connection, organisation_id: str, places: Sequence[SettingPlace]) -> list[Setting]:
    """The settings at those places, a few; places that have none are left out."""
    if not places:
        return []
    query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, or_(*map(_at, places)))
    return [_setting(row) for row in connection.execute(query).mappings()]


def values_for_account(
    connection: Connection,
    organisation_id: str,
    keys: Sequence[SettingKey],
    *,
    account_id: str,
    customer_id: str,
) -> tuple[SettingValue | None, ...]:
    """What each key means for the account, in the order of the keys; None where no setting is there."""
    entities = {"organisation_id": organisation_id, "customer_id": customer_id, "account_id": account_id}
    places = [key.places(**entities) for key in keys]
    asked = sorted({place for some in places for place in some})
    found = {setting.place: setting.value for setting in settings_at(connection, organisation_id, asked)}
    return tuple(next((found[place] for place in some if place in found), None) for some in places)


def values_of(connection: Connection, organisation_id: str, key: SettingKey) -> list[SettingValue]:
    """The different values that the key may mean, whatever their settings hang on."""
    if key.place is not None:
        setting = setting_at(connection, organisation_id, key.place)
        return [] if setting is None else [setting.value]
    query = (
        select(_TABLE.c.data_type, _TABLE.c.value)
        .where(
            _TABLE.c.organisation_id == organisation_id,
            _TABLE.c.namespace == key.namespace.value,
            _TABLE.c.setting_id == key.setting_id,
        )
        .distinct()
    )
    return [SettingValue(data_type=SettingType(row[0]), text=row[1]) for row in connection.execute(query)]


def count_settings_of(connection: Connection, organisation_id: str, entity_type: EntityType, entity_id: str) -> int:
    """How many settings hang on that entity."""
    query = (
        select(func.count())
        .select_from(_TABLE)
        .where(
            _TABLE.c.organisation_id == organisation_id,
            _TABLE.c.entity_type == entity_type.value,
            _TABLE.c.entity_id == entity_id,
        )
    )
    return connection.scalar(query) or 0


def has_entity(connection: Connection, organisation_id: str, entity_type: EntityType, entity_id: str) -> bool:
    """Say whether the organisation has such a thing for a setting to hang on."""
    if entity_type is EntityType.ORGANIZATION:
        return entity_id == organisation_id
    column = _ENTITIES.get(entity_type)
    if column is None:
        return False
    query = select(column).where(column.table.c.organisation_id == organisation_id, column == entity_id)
    return connection.execute(query.limit(1)).first() is not None


def list_settings(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[Setting]:
    """A page of the settings, by namespace, id and what they hang on."""
    query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id)
    found = LISTED.page(connection, query, page)
    return Page(items=[_setting(row) for row in found.items], next=found.next)


def choices_of(connection: Connection, organisation_id: str) -> OrganisationChoices:
    """What the organisation has chosen, with the defaults for what it has not."""
    return organisation_choices(_own_settings(connection, organisation_id, CHOICES))


def letterhead_of(connection: Connection, organisation_id: str, *, name: str) -> Letterhead:
    """What the organisation prints at the head and the foot of its invoices; its `name` if it has chosen nothing."""
    return letterhead(_own_settings(connection, organisation_id, LETTERHEAD), name=name)


def tax_rates_of(
    connection: Connection, organisation_id: str, customers: Mapping[str, str]
) -> dict[str, tuple[TaxRate, ...]]:
    """The rates of tax for these accounts, whose customers are given by account id.

    An account's own come before its customer's, and these before the organisation's; where none are set, there is none.
    """
    # One query for each kind of entity: the database would look through the settings of all for a mixture of kinds.
    entities = {
        EntityType.ORGANIZATION: [organisation_id],
        EntityType.CUSTOMER: sorted(set(customers.values())),
        EntityType.ACCOUNT: sorted(customers),
    }
    rates = {
        (entity_type, entity_id): tax_rates(text)
        for entity_type, entity_ids in entities.items()
        for some in in_pieces(entity_ids)
        for entity_id, text in _rates_at(connection, organisation_id, entity_type, some)
    }
    found = {}
    for account_id, customer_id in customers.items():
        places = (
            (EntityType.ACCOUNT, account_id),
            (EntityType.CUSTOMER, customer_id),
            (EntityType.ORGANIZATION, organisation_id),
        )
        found[account_id] = next((rates[place] for place in places if place in rates), ())
    return found


def _rates_at(
    connection: Connection, organisation_id: str, entity_type: EntityType, entity_ids: Sequence[str]
) -> list[tuple[str, str]]:
    """The texts of the rates that hang on these entities, with their ids."""
    query = select(_TABLE.c.entity_id, _TABLE.c.value).where(
        _TABLE.c.organisation_id == organisation_id,
        _TABLE.c.namespace == Namespace.TOGAI.value,
        _TABLE.c.setting_id == TAX_SETTING,
        _TABLE.c.entity_type == entity_type.value,
        _TABLE.c.entity_id.in_(entity_ids),
    )
    return [(entity_id, text) for entity_id, text in connection.execute(query)]


def _own_settings(connection: Connection, organisation_id: str, setting_ids: Iterable[str]) -> list[Setting]:
    places = [
        SettingPlace(
            namespace=Namespace.TOGAI,
            setting_id=setting_id,
            entity_type=EntityType.ORGANIZATION,
            entity_id=organisation_id,
        )
        for setting_id in setting_ids
    ]
    return settings_at(connection, organisation_id, places)


def _at(place: SettingPlace) -> ColumnElement[bool]:
    return and_(
        _TABLE.c.namespace == place.namespace.value,
        _TABLE.c.setting_id == place.setting_id,
        _TABLE.c.entity_type == place.entity_type.value,
        _TABLE.c.entity_id == place.entity_id,
    )


def _setting(row: RowMapping) -> Setting:
    return Setting(
        place=SettingPlace(
            namespace=Namespace(row["namespace"]),
            setting_id=row["setting_id"],
            entity_type=EntityType(row["entity_type"]),
            entity_id=row["entity_id"],
        ),
        name=row["name"],
        value=SettingValue(data_type=SettingType(row["data_type"]), text=row["value"]),
    )


def _note_setting(connection: Connection, organisation_id: str, place: SettingPlace, now: datetime) -> None:
    note_change(connection, organisation_id, "setting", str(place), now)
