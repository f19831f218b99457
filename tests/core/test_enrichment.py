"""Enriched fields: computed in order from fields and settings, refused when they cannot work, failing with a reason."""

from collections.abc import Mapping, Sequence

import pytest

from tallybook.core.enrichment import EnrichmentFailed, check_enrichments, compile_enrichments
from tallybook.core.errors import Invalid
from tallybook.core.event_schema import (
    AttributeDefinition,
    Dependency,
    DimensionDefinition,
    EnrichedField,
    Enrichments,
    EnrichmentType,
    EventSchema,
    FieldKind,
    SchemaStatus,
)
from tallybook.core.expression_dialects import EXACT_DIALECT, TOGAI_DIALECT
from tallybook.core.setting import SettingType, SettingValue

A, D = FieldKind.ATTRIBUTE, FieldKind.DIMENSION
VALUE, RULE, HELD = EnrichmentType.VALUE, EnrichmentType.JSON_LOGIC, EnrichmentType.JSON_LOGIC_FROM_DEPENDENCY

DISTANCE_IN_KM = '{"/":[{"var":["attribute.distance"]},{"var":["dependencies.meters_per_km"]}]}'
RIDE_TYPE = '{"if":[{"<=":[100,{"var":["attribute.distanceInKM"]}]},"long_distance","short_distance"]}'


def field(name: str, value: str, *, kind: FieldKind = A, how: EnrichmentType = RULE, order: int = 1) -> EnrichedField:
    return EnrichedField(name=name, kind=kind, enrichment_type=how, value=value, order=order)


def schema_of(*fields: EnrichedField, dependencies: Sequence[str] = ()) -> EventSchema:
    return EventSchema(
        name="ride_completed",
        version=1,
        status=SchemaStatus.DRAFT,
        attributes=(AttributeDefinition(name="distance"), AttributeDefinition(name="time")),
        dimensions=(DimensionDefinition(name="city"),),
        enrichments=Enrichments(
            fields=fields,
            dependencies=tuple(Dependency(key=f"setting.user.{name}", name=name) for name in dependencies),
        ),
    )


def setting(text: str, data_type: SettingType = SettingType.NUMERIC) -> SettingValue:
    return SettingValue(data_type=data_type, text=text)


RIDES = schema_of(
    field("rideType", RIDE_TYPE, kind=D, order=2),
    field("distanceInKM", DISTANCE_IN_KM, order=1),
    dependencies=["meters_per_km"],
)
"""The interface's own example, its fields written in the wrong order on purpose."""


def enriched(
    schema: EventSchema, *values: SettingValue | None, distance: str = "250000", city: str = "Oslo"
) -> tuple[dict[str, str], dict[str, str]]:
    """The fields that were added to an event."""
    sent: Mapping[str, str] = {"distance": distance, "time": "10"}
    dimensions: Mapping[str, str] = {"city": city}
    attributes, dimensions_too = compile_enrichments(schema, values)(sent, dimensions)
    assert sent == {"distance": distance, "time": "10"}, "the event as sent is left alone"
    assert attributes.items() >= sent.items()
    assert dimensions_too.items() >= dimensions.items()
    added = {name: value for name, value in attributes.items() if name not in sent}
    return added, {name: value for name, value in dimensions_too.items() if name not in dimensions}


def refusal(schema: EventSchema, values: Mapping[str, Sequence[SettingValue]] | None = None) -> str:
    with pytest.raises(Invalid) as caught:
        check_enrichments(schema, values or {})
    return caught.value.message


@pytest.mark.parametrize(
    ("distance", "kilometres", "ride_type"),
    [("250000", "250", "long_distance"), ("99999", "99.999", "short_distance"), ("100000", "100", "long_distance")],
)
def test_example_of_the_interface(distance: str, kilometres: str, ride_type: str) -> None:
    """Distance by a setting, then a dimension from the result: 250000 m are 250 km, which is a long distance."""
    check_enrichments(RIDES, {"meters_per_km": [setting("1000")]})
    assert enriched(RIDES, setting("1000"), distance=distance) == (
        {"distanceInKM": kilometres},
        {"rideType": ride_type},
    )


@pytest.mark.parametrize(
    ("distance", "kilometres", "ride_type"),
    [("250000", "250.0000", "long_distance"), ("99999", "99.9990", "short_distance")],
)
def test_example_in_the_other_dialect(distance: str, kilometres: str, ride_type: str) -> None:
    """Togai's engine divides to four places, and its digits stay as it leaves them."""
    check_enrichments(RIDES, {"meters_per_km": [setting("1000")]}, dialect=TOGAI_DIALECT)
    enrich = compile_enrichments(RIDES, [setting("1000")], dialect=TOGAI_DIALECT)
    attributes, dimensions = enrich({"distance": distance, "time": "1"}, {"city": "Oslo"})
    assert (attributes["distanceInKM"], dimensions["rideType"]) == (kilometres, ride_type)


def test_numbers_of_settings_are_what_attributes_are() -> None:
    """Text in Togai's engine, so that equality looks at the value as it does for attributes; numbers in exact."""
    schema = schema_of(field("same", '{"==":[{"var":"dependencies.rate"},1]}', kind=D), dependencies=["rate"])
    for dialect in (EXACT_DIALECT, TOGAI_DIALECT):
        enrich = compile_enrichments(schema, [setting("1.0")], dialect=dialect)
        assert enrich({"distance": "1", "time": "1"}, {"city": "Oslo"})[1]["same"] == "true"


def test_fields_are_computed_in_their_order_and_ties_as_listed() -> None:
    """A later field sees earlier ones; equal orders keep the order of the list."""
    schema = schema_of(
        field("c", '{"+":[{"var":"attributes.b"},1]}', order=5),
        field("a", "2", how=VALUE, order=-1),
        field("b", '{"*":[{"var":"attributes.a"},10]}', order=0),
        field("d", '{"+":[{"var":"attributes.c"},1]}', order=5),
    )
    check_enrichments(schema, {})
    assert enriched(schema) == ({"a": "2", "b": "20", "c": "21", "d": "22"}, {})


def test_field_of_a_higher_order_cannot_be_read() -> None:
    """It has no value yet, and one that reads itself never has."""
    schema = schema_of(field("a", '{"var":"attributes.b"}', order=1), field("b", "1", how=VALUE, order=2))
    assert refusal(schema) == (
        "enrichments.fields[0].value: 'attributes.b' is not computed before this field; look at their order"
    )
    assert "not computed before" in refusal(schema_of(field("a", '{"var":"attributes.a"}')))


def test_results_are_written_exactly() -> None:
    """Every digit is kept, without an exponent."""
    schema = schema_of(field("a", '{"*":[{"var":"attributes.distance"},1e20]}'))
    assert enriched(schema, distance="1.00000000000000000000000000001") == (
        {"a": "100000000000000000000.000000001"},
        {},
    )


def test_dimension_takes_numbers_and_booleans_as_text() -> None:
    """A dimension is text, however it was computed."""
    schema = schema_of(
        field("number", '{"+":[{"var":"attributes.distance"},0.50]}', kind=D),
        field("far", '{">":[{"var":"attributes.distance"},10]}', kind=D),
        field("place", '{"cat":[{"var":"dimensions.city"},"!"]}', kind=D),
    )
    assert enriched(schema, distance="1") == ({}, {"number": "1.5", "far": "false", "place": "Oslo!"})


def test_rule_from_a_dependency() -> None:
    """The rule is the text of the setting, with the dependency named with its prefix or without."""
    for name in ("fee", "dependencies.fee"):
        schema = schema_of(field("cost", name, how=HELD), dependencies=["fee"])
        rule = setting('{"*":[{"var":"attributes.distance"},0.05]}', SettingType.JSON_LOGIC)
        check_enrichments(schema, {"fee": [rule]})
        assert enriched(schema, rule, distance="30") == ({"cost": "1.50"}, {})


def test_dependencies_of_every_type_are_variables() -> None:
    """Texts are texts, and what is inside JSON is found by its path; a path that leads nowhere is null."""
    schema = schema_of(
        field("label", '{"cat":[{"var":"dependencies.text"},{"var":"dependencies.json.names.1"}]}', kind=D),
        field("rate", '{"*":[{"var":"dependency.json.rate"},2]}'),
        field("gone", '{"if":[{"var":"dependencies.json.nothing"},1,0]}'),
        dependencies=["text", "json"],
    )
    values = [
        setting("x", SettingType.STRING),
        setting('{"names":["a","b"],"rate":0.1000000000000000055}', SettingType.JSON),
    ]
    check_enrichments(schema, dict(zip(("text", "json"), [[value] for value in values], strict=True)))
    assert enriched(schema, *values) == ({"rate": "0.2000000000000000110", "gone": "0"}, {"label": "xb"})


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (
            schema_of(field("a", '{"/":[{"var":"attributes.distance"},{"-":[{"var":"attributes.time"},10]}]}')),
            "enriched field 'a': /: division by zero",
        ),
        (
            schema_of(field("a", '{"var":"dimensions.city"}')),
            "enriched field 'a': var: needs a number, not the text 'Oslo'",
        ),
        (
            schema_of(field("d", '{"merge":[1,2]}', kind=D)),
            "enriched field 'd': merge: needs text, a number or a boolean, not an array",
        ),
        (
            schema_of(field("d", '{"substr":[{"var":"dimensions.city"},9]}', kind=D)),
            "enriched field 'd': substr: a dimension has 1 to 200 characters, not 0",
        ),
    ],
)
def test_failure_names_field_and_place(schema: EventSchema, reason: str) -> None:
    """What an event cannot give is a failure of that event, and says where."""
    check_enrichments(schema, {})
    with pytest.raises(EnrichmentFailed) as caught:
        enriched(schema)
    assert caught.value.message == reason


def test_missing_setting_fails_every_event() -> None:
    """There is no default for a setting that nobody made; a rule that another setting makes unworkable fails too."""
    with pytest.raises(EnrichmentFailed, match="dependency 'meters_per_km': there is no setting"):
        enriched(RIDES, None)
    schema = schema_of(field("cost", "fee", how=HELD), dependencies=["fee"])
    with pytest.raises(EnrichmentFailed, match="unknown operator"):
        enriched(schema, setting('{"fly":[1]}', SettingType.JSON_LOGIC))


@pytest.mark.parametrize(
    ("schema", "start"),
    [
        (schema_of(field("a", '{"fly":[1]}')), "enrichments.fields[0].value: the rule: unknown operator 'fly'"),
        (schema_of(field("a", "not json")), "enrichments.fields[0].value: not a rule"),
        (schema_of(field("a", '{"var":"attributes.height"}')), "enrichments.fields[0].value: var: unknown variable"),
        (schema_of(field("a", '{"var":"dependencies.x"}')), "enrichments.fields[0].value: var: unknown variable"),
        (schema_of(field("a", '{"var":[{"cat":["a"]}]}')), "enrichments.fields[0].value: var: a variable's name must"),
        (schema_of(field("a", '{">":[1,2]}')), "enrichments.fields[0].value: yields true or false"),
        (schema_of(field("a", '"text"')), "enrichments.fields[0].value: yields no number"),
        (schema_of(field("a", "1e3", how=VALUE)), "enrichments.fields[0].value: 'a' is an attribute"),
        (schema_of(field("d", "x" * 201, kind=D, how=VALUE)), "enrichments.fields[0].value: a dimension has"),
        (schema_of(field("distance", "1", how=VALUE)), "enrichments.fields[0].name: the schema has 'distance'"),
        (schema_of(field("a", "1", how=VALUE), field("a", "1", how=VALUE)), "enrichments.fields[0].name: the schema"),
        (schema_of(field("a.b", "1", how=VALUE)), "enrichments.fields[0].name: only letters"),
        (schema_of(field("a", "fee", how=HELD)), "enrichments.fields[0].value: no dependency 'fee'"),
        (schema_of(dependencies=["x", "x"]), "enrichments.dependencies[1]: 'x' is there twice"),
        (schema_of(*[field(f"a{n}", "1", how=VALUE) for n in range(51)]), "enrichments.fields: at most 50, found 51"),
        (
            schema_of(*[field(f"a{n}", " " * 9_999 + "1") for n in range(6)]),
            "enrichments.fields: at most 50000 characters in all, found 60000",
        ),
        (schema_of(dependencies=[f"x{n}" for n in range(51)]), "enrichments.dependencies: at most 50, found 51"),
    ],
)
def test_what_cannot_work_is_refused_when_saved(schema: EventSchema, start: str) -> None:
    """The author of a rule hears of it, not the sender of an event."""
    assert refusal(schema).startswith(start)


def test_attribute_and_dimension_may_share_a_name() -> None:
    """They are told apart by their full names."""
    check_enrichments(schema_of(field("city", "1", how=VALUE), field("distance", "x", kind=D, how=VALUE)), {})


def test_every_rule_that_a_dependency_may_hold_is_checked() -> None:
    """Settings of the same id may hang on several accounts, each with a rule of its own."""
    schema = schema_of(field("cost", "fee", how=HELD), dependencies=["fee"])
    good, bad = (setting(rule, SettingType.JSON_LOGIC) for rule in ("1", '{"fly":1}'))
    check_enrichments(schema, {"fee": [good]})
    assert "unknown operator 'fly'" in refusal(schema, {"fee": [good, bad]})
    assert refusal(schema, {"fee": [setting("5")]}).endswith("the setting setting.user.fee is NUMERIC, not JSON_LOGIC")


@pytest.mark.parametrize("key", ["user.x", "setting.user", "setting.user.x.y", "setting.nobody.x", "setting.user.a b"])
def test_key_of_a_dependency_names_a_setting(key: str) -> None:
    """Anything but `setting.<NAMESPACE>.<id>`, or a whole place, is refused."""
    enrichments = Enrichments(dependencies=(Dependency(key=key, name="x"),))
    with pytest.raises(Invalid):
        check_enrichments(
            EventSchema(
                name="s", version=1, status=SchemaStatus.DRAFT, attributes=(), dimensions=(), enrichments=enrichments
            ),
            {},
        )
