"""What may be changed in an event schema: everything in a draft, additions once events were metered by it."""

from collections.abc import Callable, Sequence
from typing import TypeVar, assert_never

import msgspec
from msgspec import Struct

from tallybook.core.errors import Conflict
from tallybook.core.event_schema import (
    AttributeDefinition,
    DimensionDefinition,
    Enrichments,
    EventSchema,
    SchemaStatus,
)

T = TypeVar("T")


class SchemaChanges(Struct, frozen=True, kw_only=True):
    """What a schema is to be from now on; None leaves a thing as it is, and an empty text takes it away."""

    description: str | None = None
    attributes: tuple[AttributeDefinition, ...] | None = None
    dimensions: tuple[DimensionDefinition, ...] | None = None
    enrichments: Enrichments | None = None
    filter_fields: tuple[str, ...] | None = None
    event_id_template: str | None = None


def changed_schema(current: EventSchema, changes: SchemaChanges) -> EventSchema:
    """The schema with the changes: the same version of a draft, else the next; `current` itself if nothing changes.

    In a draft, what is given replaces what is there. Later it is added, and may repeat what is there. Raises
    `Conflict`; whether the result may be saved is for `check_event_schema` to say.
    """
    match current.status:
        case SchemaStatus.DRAFT:
            return _replaced(current, changes)
        case SchemaStatus.ACTIVE | SchemaStatus.INACTIVE:
            extended = _extended(current, changes)
            return current if extended == current else msgspec.structs.replace(extended, version=current.version + 1)
        case SchemaStatus.ARCHIVED:
            raise Conflict("an archived event schema cannot be changed", code="EVENT_SCHEMA_ARCHIVED")
        case _:
            assert_never(current.status)


def _replaced(current: EventSchema, changes: SchemaChanges) -> EventSchema:
    given = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not None}
    cleared = {name: None for name in ("description", "event_id_template") if given.get(name) == ""}
    return msgspec.structs.replace(current, **{**given, **cleared})


def _extended(current: EventSchema, changes: SchemaChanges) -> EventSchema:
    template = changes.event_id_template
    if template is not None and (template or None) != current.event_id_template:
        raise Conflict("eventIdTemplate: stays as it is once a schema was active, or ids would change their meaning")
    given = changes.enrichments or Enrichments()
    return msgspec.structs.replace(
        current,
        description=current.description if changes.description is None else changes.description or None,
        attributes=_attributes(current.attributes, changes.attributes or ()),
        dimensions=_joined(current.dimensions, changes.dimensions or (), lambda each: each.name, "dimensions"),
        enrichments=Enrichments(
            fields=_joined(
                current.enrichments.fields, given.fields, lambda each: (each.kind, each.name), "enrichments.fields"
            ),
            dependencies=_joined(
                current.enrichments.dependencies,
                given.dependencies,
                lambda each: each.name,
                "enrichments.dependencies",
            ),
        ),
        filter_fields=_joined(current.filter_fields, changes.filter_fields or (), lambda name: name, "filterFields"),
    )


def _attributes(
    current: Sequence[AttributeDefinition], given: Sequence[AttributeDefinition]
) -> tuple[AttributeDefinition, ...]:
    """Attributes that are repeated without their unit keep it."""
    units = {attribute.name: attribute.default_unit for attribute in current}
    with_units = [
        attribute
        if attribute.default_unit is not None
        else AttributeDefinition(name=attribute.name, default_unit=units.get(attribute.name))
        for attribute in given
    ]
    return _joined(current, with_units, lambda each: each.name, "attributes")


def _joined(current: Sequence[T], given: Sequence[T], key: Callable[[T], object], place: str) -> tuple[T, ...]:
    """What is there, then what is new among the given. Raises `Conflict` for what is there already but different."""
    there = {key(each): each for each in current}
    for index, each in enumerate(given):
        if key(each) in there and there[key(each)] != each:
            raise Conflict(f"{place}[{index}]: is there already and stays as it is; an active schema takes only more")
    return (*current, *(each for each in given if key(each) not in there))
