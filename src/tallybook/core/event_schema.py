"""An event schema: the attributes and dimensions that events of one name must carry.

Also here: which states may follow each other, and event ids made from a template. What may be changed is in
`schema_change`, how enriched fields are computed in `enrichment`. Usage meters, which read the fields, are in
`usage_meter`; the shape of an event itself is in `event`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from tallybook.core.errors import Conflict, Invalid

NAME_CHARACTERS_MAX = 50  # schemas, attributes, dimensions and meters alike; the interface's limit
DESCRIPTION_CHARACTERS_MAX = 255  # the interface's limit
UNIT_CHARACTERS_MAX = 10  # the interface's limit
ATTRIBUTES_MAX = 50  # the interface's limit; an event may carry as many
DIMENSIONS_MAX = 50  # the interface's limit
FILTER_FIELDS_MAX = 200  # all fields there can be, sent and enriched
FULL_NAME_CHARACTERS_MAX = NAME_CHARACTERS_MAX + 11  # with the longest prefix, `dimensions.`
TEMPLATE_CHARACTERS_MAX = 512  # an id made from it may have no more
EVENT_ID_CHARACTERS_MAX = 512  # the interface's limit for ids that clients send
TEMPLATES_REMEMBERED = 1_024  # parsed templates kept; a schema in use has one
BOOKED_USAGE = "togai-usage"  # the interface's schema for usage that is booked on a meter, past its computations
NAMED_LICENCES = "togai-named-license"  # the interface's schema for licences that are given and taken back
RESERVED_NAMES = frozenset({BOOKED_USAGE, NAMED_LICENCES})

_NAME = re.compile(r"[\sa-zA-Z0-9_-]+", re.ASCII)
_TEMPLATE_PART = re.compile(r"\{([^{}]*)\}|([^{}]+)")


class SchemaStatus(StrEnum):
    """Only an ACTIVE schema meters events; ARCHIVED is an older version, or a schema given up."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    ARCHIVED = "ARCHIVED"


SCHEMA_TRANSITIONS: Mapping[SchemaStatus, frozenset[SchemaStatus]] = {
    SchemaStatus.DRAFT: frozenset({SchemaStatus.ACTIVE, SchemaStatus.ARCHIVED}),
    SchemaStatus.ACTIVE: frozenset({SchemaStatus.INACTIVE}),
    SchemaStatus.INACTIVE: frozenset({SchemaStatus.ACTIVE, SchemaStatus.ARCHIVED}),
    SchemaStatus.ARCHIVED: frozenset(),
}
"""What a person may do. A version superseded by a newer one becomes ARCHIVED without anybody's asking."""


class FieldKind(StrEnum):
    """Attributes are quantities, dimensions are text."""

    ATTRIBUTE = "attributes"
    DIMENSION = "dimensions"


_PREFIXES: Mapping[FieldKind, tuple[str, str]] = {kind: (kind.value, kind.value[:-1]) for kind in FieldKind}
"""Plural and singular: in full names they mean the same."""


class AttributeDefinition(Struct, frozen=True, kw_only=True):
    """A quantity every event carries, and the unit meant when the event names none."""

    name: str
    default_unit: str | None = None


class DimensionDefinition(Struct, frozen=True, kw_only=True):
    """A text every event carries."""

    name: str


class EnrichmentType(StrEnum):
    """Where an enriched field comes from: a literal, a rule, or a rule that a dependency holds."""

    VALUE = "VALUE"
    JSON_LOGIC = "JSON_LOGIC"
    JSON_LOGIC_FROM_DEPENDENCY = "JSON_LOGIC_FROM_DEPENDENCY"


class Dependency(Struct, frozen=True, kw_only=True):
    """A setting that rules read as `dependencies.NAME`; `key` says which, as `enrichment.setting_key` reads it."""

    key: str
    name: str


class EnrichedField(Struct, frozen=True, kw_only=True):
    """A field that is not sent but computed. `value` is the literal, the rule, or the name of a dependency."""

    name: str
    kind: FieldKind
    enrichment_type: EnrichmentType
    value: str
    order: int


class Enrichments(Struct, frozen=True, kw_only=True):
    """What is added to each event before meters read it."""

    fields: tuple[EnrichedField, ...] = ()
    dependencies: tuple[Dependency, ...] = ()


class EventSchema(Struct, frozen=True, kw_only=True):
    """One version of a schema. `filter_fields`, where given, are the only fields that meters may filter by."""

    name: str
    version: int
    status: SchemaStatus
    description: str | None = None
    attributes: tuple[AttributeDefinition, ...]
    dimensions: tuple[DimensionDefinition, ...]
    enrichments: Enrichments = Enrichments()
    filter_fields: tuple[str, ...] = ()
    event_id_template: str | None = None


class Field(Struct, frozen=True):
    """A field of a schema, sent or enriched."""

    kind: FieldKind
    name: str


class TemplatePart(Struct, frozen=True, kw_only=True):
    """A piece of an event id: literal text, or what the placeholder between braces stands for."""

    literal: str = ""
    placeholder: str | None = None


# ---- saving and changing ---------------------------------------------------------------------------------------


def check_event_schema(schema: EventSchema) -> None:
    """Raise `Invalid`, naming the first thing that is wrong, unless the schema may be saved."""
    check_name(schema.name, "name")
    if schema.name in RESERVED_NAMES:
        raise Invalid(f"name: {schema.name!r} is reserved")
    check_length(schema.description, DESCRIPTION_CHARACTERS_MAX, "description")
    _check_count(schema.attributes, ATTRIBUTES_MAX, "attributes")
    _check_count(schema.dimensions, DIMENSIONS_MAX, "dimensions")
    for index, attribute in enumerate(schema.attributes):
        check_name(attribute.name, f"attributes[{index}].name")
        check_length(attribute.default_unit, UNIT_CHARACTERS_MAX, f"attributes[{index}].defaultUnit")
    for index, dimension in enumerate(schema.dimensions):
        check_name(dimension.name, f"dimensions[{index}].name")
    check_distinct([attribute.name for attribute in schema.attributes], "attributes")
    check_distinct([dimension.name for dimension in schema.dimensions], "dimensions")
    _check_count(schema.filter_fields, FILTER_FIELDS_MAX, "filterFields")
    check_distinct(schema.filter_fields, "filterFields")
    for index, name in enumerate(schema.filter_fields):
        if not fields_named(schema, name):
            raise Invalid(f"filterFields[{index}]: the schema has no field {name[:60]!r}")
    if schema.event_id_template is not None:
        _check_template(schema, schema.event_id_template)


def check_schema_transition(current: SchemaStatus, wanted: SchemaStatus) -> None:
    """Raise `Conflict` unless `SCHEMA_TRANSITIONS` has a way from `current` to `wanted`."""
    if wanted not in SCHEMA_TRANSITIONS[current]:
        raise Conflict(f"an event schema that is {current} cannot become {wanted}")


def check_name(name: str, place: str) -> None:
    """Raise `Invalid` unless `name` is one the interface allows: letters, digits, space, `_` and `-`, not blank."""
    if len(name) > NAME_CHARACTERS_MAX:
        raise Invalid(f"{place}: at most {NAME_CHARACTERS_MAX} characters, found {len(name)}")
    if not _NAME.fullmatch(name) or not name.strip():
        raise Invalid(f"{place}: only letters, digits, spaces, '_' and '-', and not blank; found {name!r}")


def check_length(text: str | None, maximum: int, place: str) -> None:
    """Raise `Invalid` if there is a text and it is longer than `maximum` characters."""
    if text is not None and len(text) > maximum:
        raise Invalid(f"{place}: at most {maximum} characters, found {len(text)}")


def _check_count(items: Sequence[object], maximum: int, place: str) -> None:
    if len(items) > maximum:
        raise Invalid(f"{place}: at most {maximum}, found {len(items)}")


def check_distinct(names: Sequence[str], place: str) -> None:
    """Raise `Invalid` if a name stands there twice."""
    for index, name in enumerate(names):
        if name in names[:index]:
            raise Invalid(f"{place}[{index}]: {name!r} is there twice")


# ---- naming fields ---------------------------------------------------------------------------------------------


def fields_named(schema: EventSchema, name: str) -> list[Field]:
    """The fields a plain name (`city`) or a full one (`dimensions.city`) may mean: none, one, or one of each kind."""
    full = field_with_full_name(schema, name)
    if full is not None:
        return [full]
    found = [field_with_full_name(schema, f"{kind}.{name}") for kind in FieldKind]
    return [field for field in found if field is not None]


def field_with_full_name(schema: EventSchema, full_name: str) -> Field | None:
    """The field, sent or enriched, that `attributes.NAME` or `dimensions.NAME` means; the singular is a synonym."""
    field = sent_field_with_full_name(schema, full_name)
    if field is not None:
        return field
    prefix, _, name = full_name.partition(".")
    enriched = {Field(each.kind, each.name) for each in schema.enrichments.fields}
    found = [Field(kind, name) for kind in FieldKind if prefix in _PREFIXES[kind] and Field(kind, name) in enriched]
    return found[0] if found else None


def sent_field_with_full_name(schema: EventSchema, full_name: str) -> Field | None:
    """The same, of the fields that events carry."""
    prefix, _, name = full_name.partition(".")
    if prefix in _PREFIXES[FieldKind.ATTRIBUTE] and any(attribute.name == name for attribute in schema.attributes):
        return Field(FieldKind.ATTRIBUTE, name)
    if prefix in _PREFIXES[FieldKind.DIMENSION] and any(dimension.name == name for dimension in schema.dimensions):
        return Field(FieldKind.DIMENSION, name)
    return None


# ---- ids from a template ---------------------------------------------------------------------------------------


def event_id_for(
    schema: EventSchema,
    *,
    timestamp: datetime,
    account_id: str,
    attributes: Mapping[str, str],
    dimensions: Mapping[str, str],
) -> str:
    """Make the id of an event that came without one, from the schema's `event_id_template`.

    A template is text with placeholders: `{timestamp}`, `{accountId}`, `{attributes.NAME}`, `{dimensions.NAME}`, as in
    `{accountId}/{timestamp}/{dimensions.city}`. The timestamp is written in UTC (`2024-05-01T10:00:00Z`, microseconds
    only if there are any; without an offset it is UTC), everything else as the event has it. Choose separators
    that the values do not contain: two events with one id count as one.
    Raises `Invalid` when there is no template, a field is missing, or the id gets too long.
    """
    if schema.event_id_template is None:
        raise Invalid("the event has no id, and its schema has no eventIdTemplate")
    pieces = []
    for part in parse_event_id_template(schema.event_id_template):
        match part.placeholder:
            case None:
                pieces.append(part.literal)
            case "timestamp":
                pieces.append(_utc_text(timestamp))
            case "accountId":
                pieces.append(account_id)
            case name:
                pieces.append(_field_text(name, attributes, dimensions))
    event_id = "".join(pieces)
    check_length(event_id, EVENT_ID_CHARACTERS_MAX, "the id that eventIdTemplate makes")
    return event_id


@lru_cache(maxsize=TEMPLATES_REMEMBERED)
def parse_event_id_template(template: str) -> tuple[TemplatePart, ...]:
    """Take a template apart. Raises `Invalid` for lone braces, and for placeholders with nothing between them."""
    if not template or len(template) > TEMPLATE_CHARACTERS_MAX:
        raise Invalid(f"eventIdTemplate: between 1 and {TEMPLATE_CHARACTERS_MAX} characters, found {len(template)}")
    parts: list[TemplatePart] = []
    end = 0
    for match in _TEMPLATE_PART.finditer(template):
        if match.start() != end:
            break
        placeholder, literal = match.groups()
        if placeholder is not None and parts and parts[-1].placeholder is not None:
            raise Invalid(
                f"eventIdTemplate: put a separator before {{{placeholder[:60]}}}, or different events share ids"
            )
        parts.append(TemplatePart(literal=literal or "", placeholder=placeholder))
        end = match.end()
    if end != len(template):
        raise Invalid(f"eventIdTemplate: a brace without its partner at character {end + 1}")
    return tuple(parts)


def _check_template(schema: EventSchema, template: str) -> None:
    placeholders = [part.placeholder for part in parse_event_id_template(template) if part.placeholder is not None]
    for placeholder in placeholders:
        if placeholder not in ("timestamp", "accountId") and sent_field_with_full_name(schema, placeholder) is None:
            raise Invalid(
                f"eventIdTemplate: {{{placeholder[:60]}}} is neither timestamp, accountId, nor a field that events "
                "carry (attributes.NAME, dimensions.NAME)"
            )
    if not placeholders:
        raise Invalid("eventIdTemplate: without a placeholder, every event would get the same id")


def _field_text(full_name: str, attributes: Mapping[str, str], dimensions: Mapping[str, str]) -> str:
    prefix, _, name = full_name.partition(".")
    values = attributes if prefix in _PREFIXES[FieldKind.ATTRIBUTE] else dimensions
    if name not in values:
        raise Invalid(f"eventIdTemplate: the event has no {full_name}")
    return values[name]


def _utc_text(timestamp: datetime) -> str:
    if timestamp.tzinfo is not None:
        timestamp = timestamp.astimezone(UTC).replace(tzinfo=None)
    return timestamp.isoformat() + "Z"
