"""Event schemas: names, limits, states, and ids made from a template."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from tallybook.core.errors import Conflict, Invalid
from tallybook.core.event_schema import (
    AttributeDefinition,
    DimensionDefinition,
    EnrichedField,
    Enrichments,
    EnrichmentType,
    EventSchema,
    Field,
    FieldKind,
    SchemaStatus,
    check_event_schema,
    check_schema_transition,
    event_id_for,
    field_with_full_name,
    fields_named,
)

RIDES = EventSchema(
    name="rides",
    version=1,
    status=SchemaStatus.DRAFT,
    attributes=(AttributeDefinition(name="distance", default_unit="km"), AttributeDefinition(name="tip")),
    dimensions=(DimensionDefinition(name="city"), DimensionDefinition(name="tip")),
    filter_fields=("city",),
)


def id_from(template: str, **changes: object) -> str:
    given = {
        "timestamp": datetime(2024, 5, 1, 10, tzinfo=UTC),
        "account_id": "acme",
        "attributes": {"distance": "10.50", "tip": "0"},
        "dimensions": {"city": "Pune", "tip": "none"},
    }
    return event_id_for(replace(RIDES, event_id_template=template), **{**given, **changes})


def test_sound_schema_is_accepted():
    """A schema as people write them raises nothing."""
    check_event_schema(RIDES)
    check_event_schema(replace(RIDES, name="My rides_2-b", event_id_template="{accountId}/{timestamp}"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name: only letters"),
        ({"name": " \t"}, "name: only letters"),
        ({"name": "rides!"}, "name: only letters"),
        ({"name": "rides\u00e9"}, "name: only letters"),
        ({"name": "r\u00a0s"}, "name: only letters"),
        ({"name": "r" * 51}, "name: at most 50 characters, found 51"),
        ({"name": "togai-usage"}, "name: 'togai-usage' is reserved"),
        ({"description": "d" * 256}, "description: at most 255"),
        ({"attributes": (AttributeDefinition(name="a.b"),)}, "attributes[0].name"),
        ({"attributes": (AttributeDefinition(name="a", default_unit="u" * 11),)}, "attributes[0].defaultUnit"),
        ({"attributes": tuple(AttributeDefinition(name=f"a{i}") for i in range(51))}, "attributes: at most 50"),
        ({"dimensions": tuple(DimensionDefinition(name=f"d{i}") for i in range(51))}, "dimensions: at most 50"),
        ({"dimensions": (DimensionDefinition(name="x"), DimensionDefinition(name="x"))}, "dimensions[1]: 'x' is there"),
        ({"filter_fields": ("country",)}, "filterFields[0]: the schema has no field 'country'"),
        ({"filter_fields": ("city", "city")}, "filterFields[1]: 'city' is there twice"),
        ({"event_id_template": "{attributes.weight}"}, "eventIdTemplate: {attributes.weight} is neither"),
        ({"event_id_template": "{dimensions.distance}"}, "eventIdTemplate: {dimensions.distance} is neither"),
        ({"event_id_template": "fixed"}, "eventIdTemplate: without a placeholder"),
        ({"event_id_template": ""}, "eventIdTemplate: between 1 and 512"),
        ({"event_id_template": "{accountId}{timestamp}"}, "eventIdTemplate: put a separator"),
        ({"event_id_template": "{accountId"}, "eventIdTemplate: a brace without its partner"),
        ({"event_id_template": "a}-{accountId}"}, "eventIdTemplate: a brace without its partner"),
        ({"event_id_template": "{{accountId}}"}, "eventIdTemplate: a brace without its partner"),
    ],
)
def test_refused_schema_says_what_and_where(changes: dict[str, object], message: str):
    """Each limit and each reference is checked when the schema is saved."""
    with pytest.raises(Invalid) as caught:
        check_event_schema(replace(RIDES, **changes))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("current", "allowed"),
    [
        ("DRAFT", {"ACTIVE", "ARCHIVED"}),
        ("ACTIVE", {"INACTIVE"}),
        ("INACTIVE", {"ACTIVE", "ARCHIVED"}),
        ("ARCHIVED", set()),
    ],
)
def test_status_changes_are_those_of_the_contract(current: str, allowed: set[str]):
    """Active and inactive alternate; only what is not active can be archived, and that is final."""
    for wanted in SchemaStatus:
        if wanted in allowed:
            check_schema_transition(SchemaStatus(current), wanted)
        else:
            with pytest.raises(Conflict):
                check_schema_transition(SchemaStatus(current), wanted)


def test_field_names_may_be_plain_or_full():
    """A full name says which kind is meant, in singular or plural; a plain one may mean both."""
    attribute, dimension = Field(FieldKind.ATTRIBUTE, "tip"), Field(FieldKind.DIMENSION, "tip")
    assert fields_named(RIDES, "tip") == [attribute, dimension]
    assert fields_named(RIDES, "dimension.tip") == [dimension]
    assert field_with_full_name(RIDES, "attribute.tip") == field_with_full_name(RIDES, "attributes.tip") == attribute
    assert field_with_full_name(RIDES, "tip") is None
    assert fields_named(RIDES, "country") == []


def test_enriched_fields_are_fields_but_no_part_of_an_id():
    """Meters may read them; an id is made before they are."""
    enrichments = Enrichments(
        fields=(
            EnrichedField(
                name="km", kind=FieldKind.ATTRIBUTE, enrichment_type=EnrichmentType.VALUE, value="1", order=1
            ),
        )
    )
    schema = replace(RIDES, enrichments=enrichments, filter_fields=("km",))
    check_event_schema(schema)
    assert fields_named(schema, "km") == [Field(FieldKind.ATTRIBUTE, "km")]
    assert field_with_full_name(schema, "attribute.km") == Field(FieldKind.ATTRIBUTE, "km")
    assert field_with_full_name(schema, "dimension.km") is None
    with pytest.raises(Invalid, match="nor a field that events carry"):
        check_event_schema(replace(schema, event_id_template="{attributes.km}"))


def test_id_joins_the_fields_of_the_template():
    """Every placeholder gives the value as the event has it."""
    template = "{timestamp}-{accountId}-{attributes.distance}-{dimensions.city}"
    assert id_from(template) == "2024-05-01T10:00:00Z-acme-10.50-Pune"
    assert id_from("x:{attribute.tip}:{dimension.tip}") == "x:0:none"


def test_one_instant_makes_one_id():
    """The offset in which an instant is written does not matter, and without an offset it is UTC."""
    india = timezone(timedelta(hours=5, minutes=30))
    expected = "acme/2024-05-01T10:00:00Z"
    assert id_from("{accountId}/{timestamp}", timestamp=datetime(2024, 5, 1, 15, 30, tzinfo=india)) == expected
    assert id_from("{accountId}/{timestamp}", timestamp=datetime(2024, 5, 1, 10)) == expected  # noqa: DTZ001


def test_value_with_braces_is_only_text():
    """A value is not read as a template again."""
    assert id_from("{dimensions.city}", dimensions={"city": "{accountId}"}) == "{accountId}"


def test_id_that_cannot_be_made_is_refused():
    """No template, a missing field and an id over 512 characters are told apart."""
    with pytest.raises(Invalid, match="no eventIdTemplate"):
        event_id_for(RIDES, timestamp=datetime(2024, 5, 1, tzinfo=UTC), account_id="a", attributes={}, dimensions={})
    with pytest.raises(Invalid, match=r"the event has no dimensions\.city"):
        id_from("{dimensions.city}", dimensions={})
    with pytest.raises(Invalid, match="at most 512 characters, found 513"):
        id_from("{accountId}", account_id="a" * 513)
