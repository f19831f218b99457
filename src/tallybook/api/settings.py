"""Settings on the wire (generation 2024-12) and their routes."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import Caller, Connected, NextToken, PageSize, Search, Sort, changing, reading, writing
from tallybook.api.paging import table_listing
from tallybook.api.texts import EntityId, SettingId, SettingName, SettingText
from tallybook.core.setting import (
    EntityType,
    Setting,
    SettingPlace,
    SettingType,
    SettingValue,
    namespace_from_text,
    place_from_text,
)
from tallybook.flows import define_settings
from tallybook.flows.authenticate import now_utc
from tallybook.storage import settings

TAG = "Settings"
SETTINGS_PER_REQUEST_MAX = 10  # with the entity that they hang on
LISTING = table_listing("settings", settings.LISTED)

NamespaceText = Annotated[str, msgspec.Meta(max_length=5, description="USER for your own, TOGAI for Tallybook's.")]


class SettingShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A setting, to create and as read."""

    id: SettingId
    value: SettingText
    entity_type: EntityType
    entity_id: EntityId
    namespace: NamespaceText
    name: SettingName
    data_type: SettingType


class EntitySettingShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A setting of the entity that is created with it."""

    id: SettingId
    value: SettingText
    namespace: NamespaceText
    name: SettingName
    data_type: SettingType


EntitySettings = Annotated[list[EntitySettingShape], msgspec.Meta(max_length=SETTINGS_PER_REQUEST_MAX)]


class UpdateSettingRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a setting is to be; what is left out stays."""

    name: SettingName | None = None
    value: SettingText | None = None
    data_type: SettingType | None = None


class SettingPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of settings, by namespace, id and what they hang on."""

    data: list[SettingShape]
    next_token: str | None = None


@writing("/settings", status=HTTPStatus.CREATED, operation_id="insertSetting", summary="Create a setting", tag=TAG)
def insert_setting(data: JSONBody[SettingShape], identity: Caller, dependencies: Connected) -> SettingShape:
    setting = Setting(
        place=SettingPlace(
            namespace=namespace_from_text(data.namespace),
            setting_id=data.id,
            entity_type=data.entity_type,
            entity_id=data.entity_id,
        ),
        name=data.name,
        value=SettingValue(data_type=data.data_type, text=data.value),
    )
    define_settings.create_setting(dependencies.database, identity.organisation_id, setting, now=now_utc())
    return setting_to(setting)


@changing(
    "/settings/{setting_id_str:str}",
    status=HTTPStatus.CREATED,
    operation_id="updateSetting",
    summary="Change a setting's value, type or name",
    tag=TAG,
)
def update_setting(
    setting_id_str: FromPath[str], data: JSONBody[UpdateSettingRequest], identity: Caller, dependencies: Connected
) -> SettingShape:
    changed = define_settings.update_setting(
        dependencies.database,
        identity.organisation_id,
        place_from_text(setting_id_str),
        name=data.name,
        data_type=data.data_type,
        text=data.value,
        now=now_utc(),
    )
    return setting_to(changed)


@reading("/settings/{setting_id_str:str}", operation_id="getSetting", summary="Read a setting", tag=TAG)
def get_setting(setting_id_str: FromPath[str], identity: Caller, dependencies: Connected) -> SettingShape:
    place = place_from_text(setting_id_str)
    with dependencies.database.read() as connection:
        return setting_to(define_settings.found_setting(connection, identity.organisation_id, place))


@reading("/settings", operation_id="listSetting", summary="List settings", tag=TAG)
def list_settings(
    identity: Caller,
    dependencies: Connected,
    entity_type: Annotated[EntityType | None, QueryParameter(name="entity_type")] = None,
    entity_id: Annotated[EntityId | None, QueryParameter(name="entity_id")] = None,
    setting_id: Annotated[SettingId | None, QueryParameter(name="setting_id")] = None,
    namespace: Annotated[NamespaceText | None, QueryParameter(name="namespace")] = None,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> SettingPage:
    filters = {
        "entity_type": entity_type and entity_type.value,
        "entity_id": entity_id,
        "setting_id": setting_id,
        "namespace": namespace and namespace_from_text(namespace).value,
    }
    page = LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters=filters,
        search=search,
        sort=sort,
    )
    with dependencies.database.read() as connection:
        found = settings.list_settings(connection, identity.organisation_id, page)
    return SettingPage(
        data=[setting_to(setting) for setting in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


def setting_to(setting: Setting) -> SettingShape:
    """The setting as the interface shows it."""
    return SettingShape(
        id=setting.place.setting_id,
        value=setting.value.text,
        entity_type=setting.place.entity_type,
        entity_id=setting.place.entity_id,
        namespace=setting.place.namespace.value,
        name=setting.name,
        data_type=setting.value.data_type,
    )


def settings_of_entity(
    shapes: Sequence[EntitySettingShape], entity_type: EntityType, entity_id: str
) -> tuple[Setting, ...]:
    """The settings that an entity is created with. Raises `Invalid`."""
    return tuple(
        Setting(
            place=SettingPlace(
                namespace=namespace_from_text(shape.namespace),
                setting_id=shape.id,
                entity_type=entity_type,
                entity_id=entity_id,
            ),
            name=shape.name,
            value=SettingValue(data_type=shape.data_type, text=shape.value),
        )
        for shape in shapes
    )


ROUTES = (insert_setting, update_setting, get_setting, list_settings)
