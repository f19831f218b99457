"""Usage meters: what is refused when they are saved, and the units they give."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from tallybook.core.aggregation import Aggregation
from tallybook.core.errors import Conflict, Invalid, TooLarge
from tallybook.core.event import LoggedAttribute, LoggedEvent
from tallybook.core.event_schema import AttributeDefinition, DimensionDefinition, EventSchema, SchemaStatus
from tallybook.core.usage_meter import (
    Computation,
    MeterFilter,
    MeterStatus,
    UnitsInvalid,
    UsageMeter,
    check_meter_transition,
    check_usage_meter,
    compile_meters,
    compile_meters_for_many,
)

RIDES = EventSchema(
    name="rides",
    version=1,
    status=SchemaStatus.ACTIVE,
    attributes=(AttributeDefinition(name="distance"), AttributeDefinition(name="tip")),
    dimensions=(DimensionDefinition(name="city"), DimensionDefinition(name="tip"), DimensionDefinition(name="my kind")),
)
DISTANCE = '{"var":"attributes.distance"}'
CITY = '{"var":"dimensions.city"}'


def meter(aggregation: Aggregation, *computations: tuple[str | None, str], **changes: object) -> UsageMeter:
    plain = UsageMeter(
        meter_id="meter.1",
        version=1,
        name="rides usage",
        status=MeterStatus.ACTIVE,
        aggregation=aggregation,
        schema_name="rides",
        computations=tuple(
            Computation(matcher=matcher, computation=computation, order=index)
            for index, (matcher, computation) in enumerate(computations)
        ),
    )
    return replace(plain, **changes)


def total(computation: str, matcher: str | None = None, **changes: object) -> UsageMeter:
    return meter(Aggregation.SUM, (matcher, computation), **changes)


def count(matcher: str | None = None, **changes: object) -> UsageMeter:
    return meter(Aggregation.COUNT, (matcher, "1"), **changes)


def units(*meters: UsageMeter, distance: str = "10", tip: str = "0", city: str = "Pune") -> list[Decimal | None]:
    for each in meters:
        check_usage_meter(each, RIDES)
    function = compile_meters(RIDES, meters)
    return list(function({"distance": distance, "tip": tip}, {"city": city, "tip": "none", "my kind": "x"}))


# ---- the contract's examples -----------------------------------------------------------------------------------


def test_distances_10_and_25_at_0_4_are_14_units():
    """The contract's worked example: distance × 0.4."""
    rides = total(f'{{"*":[{DISTANCE},0.4]}}')
    first, second = units(rides, distance="10")[0], units(rides, distance="25")[0]
    assert (first, second) == (Decimal(4), Decimal(10))


def test_86400_gigabyte_minutes_are_2_gigabyte_months():
    """The contract's worked example: ÷ 43200, exactly, and nothing is lost on a single minute."""
    months = total(f'{{"/":[{DISTANCE},43200]}}')
    assert units(months, distance="86400") == [Decimal(2)]
    assert units(months, distance="1") == [Decimal("0.000023" + "148" * 10 + "15")]


def test_charges_100_50_20_are_170_and_3():
    """The contract's worked example: a SUM and a COUNT over the same events."""
    meters = total(DISTANCE), meter(Aggregation.COUNT)
    rows = [units(*meters, distance=amount) for amount in ("100", "50", "20")]
    assert [sum(column) for column in zip(*rows, strict=True)] == [Decimal(170), Decimal(3)]


# ---- matching --------------------------------------------------------------------------------------------------


def test_matcher_decides_what_counts():
    """An event whose matcher is not truthy is filtered out, which is not the same as zero units."""
    in_pune = total(DISTANCE, f'{{"==":[{CITY},"Pune"]}}')
    assert units(in_pune, city="Pune") == [Decimal(10)]
    assert units(in_pune, city="Goa") == [None]
    assert units(total('{"*":[0,1]}')) == [Decimal(0)]


@pytest.mark.parametrize(
    ("matcher", "matches"),
    [
        (f'{{"and":[{{"in":[{CITY},["Chennai","Pune"]]}},{{"<":[5,{DISTANCE},20]}}]}}', True),
        (f'{{"in":[{CITY},["Chennai","Goa"]]}}', False),
        (f'{{"in":["un",{CITY}]}}', True),
        (f'{{"in":[{DISTANCE},[1,10.0]]}}', True),
        (f'{{">":[{DISTANCE},"9"]}}', True),
        (f'{{"==":[{DISTANCE},"10.00"]}}', True),
        (f'{{"===":[{DISTANCE},"10"]}}', False),
        (f'{{"==":[{CITY},10]}}', False),
        (f'{{"!":[{{">=":[{DISTANCE},10]}}]}}', False),
        (f'{{"or":[{{"var":"attributes.tip"}},{CITY}]}}', True),
        ('{"var":"attributes.tip"}', False),
        (f'{{"if":[{{"<":[{DISTANCE},10]}},true,{{"!=":[{CITY},"Pune"]}},true]}}', False),
        ('{"missing":["dimensions.city","attribute.distance"]}', False),
        ('{"some":[[5,10,15],{">":[{"var":""},12]}]}', True),
        (f'{{"==":[{{"substr":[{CITY},0,2]}},"Pu"]}}', True),
        ('{"==":[{"reduce":[[1,2,3],{"+":[{"var":"current"},{"var":"accumulator"}]},0]},6]}', True),
        ("true", True),
        ("null", False),
        ("0", False),
        ('"0"', True),
        ("[]", False),
    ],
)
def test_matchers_read_attributes_as_numbers_and_dimensions_as_text(matcher: str, matches: bool):
    """An event of distance 10, tip 0 and city Pune matches as JSON Logic says."""
    assert units(count(matcher)) == [Decimal(1) if matches else None]


def test_every_filter_must_hold():
    """Dimensions compare as text, attributes by value."""
    both = (MeterFilter(field="city", value="Pune"), MeterFilter(field="distance", value="10.0"))
    for counted in (count(filters=both), meter(Aggregation.COUNT, filters=both), total(DISTANCE, filters=both)):
        assert units(counted)[0] is not None
        assert units(counted, distance="11") == [None]
        assert units(counted, city="pune") == [None]


def test_singular_and_plural_prefixes_mean_the_same():
    """`attribute.x` is `attributes.x`, `dimension.x` is `dimensions.x`."""
    singular = total('{"var":"attribute.distance"}', '{"==":[{"var":"dimension.my kind"},"x"]}')
    assert units(singular) == [Decimal(10)]


def test_one_name_may_be_an_attribute_and_a_dimension():
    """The prefix says which is meant."""
    assert units(total('{"var":"attributes.tip"}', '{"==":[{"var":"dimensions.tip"},"none"]}'), tip="3") == [Decimal(3)]


# ---- adding up -------------------------------------------------------------------------------------------------


def test_all_matching_computations_add_up():
    """SUM adds the numbers of those that match, COUNT 1 for each; none at all is filtered out."""
    far, near = f'{{">":[{DISTANCE},5]}}', f'{{"<":[{DISTANCE},20]}}'
    summed = meter(Aggregation.SUM, (far, DISTANCE), (near, "0.5"))
    counted = meter(Aggregation.COUNT, (far, "1"), (near, '"1"'))
    assert units(summed, counted, distance="10") == [Decimal("10.5"), Decimal(2)]
    assert units(summed, counted, distance="30") == [Decimal(30), Decimal(1)]
    none = meter(Aggregation.SUM, (f'{{">":[{DISTANCE},99]}}', "1"), (f'{{"<":[{DISTANCE},0]}}', "2"))
    assert units(none) == [None]


def test_many_meters_answer_in_their_order():
    """Each meter of a schema has its own entry."""
    assert units(count("false"), total(DISTANCE), meter(Aggregation.COUNT), total(f'{{"-":[{DISTANCE}]}}')) == [
        None,
        Decimal(10),
        Decimal(1),
        Decimal(-10),
    ]
    assert units() == []


def test_every_digit_of_an_attribute_reaches_the_units():
    """512 digits on either side of the point survive a sum."""
    value = "9" * 512 + "." + "1" * 512
    assert units(total(DISTANCE), distance=value) == [Decimal(value)]
    assert units(total(f'{{"+":[{DISTANCE},0]}}'), distance=value) == [Decimal(value)]


def test_text_that_spells_a_number_is_a_quantity():
    """A dimension may hold the quantity."""
    assert units(total(CITY), city="12.50") == [Decimal("12.5")]


# ---- units that are no quantity --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("computation", "event", "reason"),
    [
        (f'{{"/":[1,{DISTANCE}]}}', {"distance": "0"}, "/: division by zero"),
        (CITY, {}, "var: needs a number, not the text 'Pune'"),
        (f'{{"if":[{{">":[{DISTANCE},99]}},1]}}', {}, "if: needs a number, not null"),
        (f'{{"or":[{CITY},{DISTANCE}]}}', {}, "or: needs a number, not the text 'Pune'"),
        (f'{{"+":[1,{{"*":[{CITY},2]}}]}}', {}, "+[1].*: needs a number"),
        (f'{{"*":[{DISTANCE},{DISTANCE}]}}', {"distance": "1" + "0" * 300}, "*: the result is too large"),
        (
            f'{{"*":[{DISTANCE},{DISTANCE}]}}',
            {"distance": "0." + "0" * 300 + "1"},
            "*: the result is too large, or has",
        ),
        (f'{{"cat":[{DISTANCE},"x"]}}', {}, "cat: needs a number, not the text '10x'"),
    ],
)
def test_units_that_are_no_quantity_name_meter_and_reason(computation: str, event: dict[str, str], reason: str):
    """The failing meter is named although all meters run in one function."""
    failing = total(computation, name="the failing one", meter_id="meter.2")
    with pytest.raises(UnitsInvalid) as caught:
        units(count(), failing, total(DISTANCE), **event)
    assert caught.value.meter_id == "meter.2"
    assert caught.value.reason.startswith(reason)
    assert caught.value.message.startswith("usage meter 'the failing one': ")
    assert len(caught.value.message) <= 250


def test_sum_of_computations_out_of_bounds_is_invalid():
    """Two quantities within bounds may add up to one that is not."""
    with pytest.raises(UnitsInvalid, match="the sum of computations"):
        units(meter(Aggregation.SUM, (None, DISTANCE), (None, DISTANCE)), distance="9" * 512)


def test_computation_of_a_meter_that_does_not_match_cannot_fail():
    """Division by zero in a filtered-out meter harms nobody."""
    failing = f'{{"/":[1,{{"-":[{DISTANCE},{DISTANCE}]}}]}}'
    assert units(total(failing, "false"), total(DISTANCE)) == [None, Decimal(10)]


def test_failed_event_does_not_harm_the_next():
    """The same function goes on after a failure."""
    function = compile_meters(RIDES, [total(f'{{"/":[10,{DISTANCE}]}}')])
    dimensions = {"city": "Pune", "tip": "", "my kind": ""}
    for _ in range(2):
        with pytest.raises(UnitsInvalid):
            function({"distance": "0", "tip": "0"}, dimensions)
        assert function({"distance": "4", "tip": "0"}, dimensions) == (Decimal("2.5"),)


# ---- meters that are refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (count(name="no/slash"), "name: only letters"),
        (count(billable_name="b" * 256), "billableName: at most 255"),
        (count(description="d" * 256), "description: at most 255"),
        (meter(Aggregation.SUM), "computations: SUM needs one"),
        (meter(Aggregation.COUNT, (None, "5")), "computations[0].computation: COUNT adds 1 per match"),
        (meter(Aggregation.COUNT, (None, DISTANCE)), "computations[0].computation: COUNT adds 1 per match"),
        (meter(Aggregation.COUNT, (None, "0")), "computations[0].computation: COUNT adds 1 per match"),
        (total("null"), "computations[0].computation: yields no quantity"),
        (total('"ten"'), "computations[0].computation: yields no quantity"),
        (total("true"), "computations[0].computation: yields no quantity"),
        (total(f'{{">":[{DISTANCE},1]}}'), "computations[0].computation: yields true or false"),
        (total('{"var":["attributes.tip",{"var":"x"}]}'), "computations[0].computation: var[1].var: unknown variable"),
        (total('{"var":"distance"}'), "computations[0].computation: var: unknown variable 'distance'"),
        (total('{"var":"attributes.city"}'), "computations[0].computation: var: unknown variable 'attributes.city'"),
        (total('{"var":""}'), "computations[0].computation: var: unknown variable ''"),
        (total('{"var":{"cat":["attributes.","distance"]}}'), "computations[0].computation: var: a variable's name"),
        (total("1", '{"and":[1,{"var":"dimensions.x"}]}'), "computations[0].matcher: and[1].var: unknown variable"),
        (total("1", '{"missing":["dimensions.x"]}'), "computations[0].matcher: missing: unknown variable"),
        (total("1", '{"missing":{"merge":["a"]}}'), "computations[0].matcher: missing: a variable's name"),
        (total("1", '{"some":[[1],{"var":"attributes.distance"}]}'), "computations[0].matcher: some[1].var: unknown"),
        (total("1", '{"reduce":[[1],{"var":"x"},0]}'), "computations[0].matcher: reduce[1].var: unknown"),
        (total("1", '{"or":'), "computations[0].matcher: not a rule"),
        (total("1", '{"today":"2024"}'), "computations[0].matcher: the rule: unknown operator 'today'"),
        (total("1", '"' + "x" * 1499 + '"'), "computations[0].matcher: at most 1500 characters, found 1501"),
        (total("1" + " " * 500), "computations[0].computation: at most 500 characters, found 501"),
        (total("[" * 40 + "]" * 40), "computations[0].computation: a rule nests at most 32 deep"),
        (count(filters=(MeterFilter(field="country", value="x"),)), "filters[0].field: the schema has no field"),
        (count(filters=(MeterFilter(field="tip", value="x"),)), "filters[0].field: 'tip' is an attribute and a dim"),
        (count(filters=(MeterFilter(field="distance", value="x"),)), "filters[0].value: 'distance' is an attribute"),
        (count(filters=(MeterFilter(field="city", value="x" * 201),)), "filters[0].value: at most 200"),
    ],
)
def test_refused_meter_says_what_and_where(refused: UsageMeter, message: str):
    """Whatever cannot work is refused when the meter is saved."""
    with pytest.raises(Invalid) as caught:
        check_usage_meter(refused, RIDES)
    assert caught.value.message.startswith(message)


def test_too_many_computations_or_filters_are_refused():
    """Both lists have a limit."""
    with pytest.raises(TooLarge, match="computations: at most 50"):
        check_usage_meter(meter(Aggregation.SUM, *([(None, "1")] * 51)), RIDES)
    with pytest.raises(TooLarge, match="filters: at most 50"):
        check_usage_meter(count(filters=(MeterFilter(field="city", value="x"),) * 51), RIDES)


def test_filter_fields_of_the_schema_restrict_filters():
    """Where a schema lists filter fields, the other fields cannot be filtered by."""
    restricted = replace(RIDES, filter_fields=("city",))
    check_usage_meter(count(filters=(MeterFilter(field="dimensions.city", value="x"),)), restricted)
    with pytest.raises(Invalid, match="not among the schema's filterFields"):
        check_usage_meter(count(filters=(MeterFilter(field="distance", value="1"),)), restricted)


def test_meter_without_schema_reads_no_events():
    """It takes booked usage only, so it can have neither filters nor computations."""
    check_usage_meter(meter(Aggregation.SUM, schema_name=None), None)
    with pytest.raises(Invalid, match="need an event schema"):
        check_usage_meter(total("1", schema_name=None), None)


def test_text_in_meters_never_becomes_code():
    """Names and values that look like Python are compared as text."""
    hostile = "'); raise SystemExit(1) #"
    matched = count(f'{{"==":[{CITY},"{hostile}"]}}')
    filtered = count(filters=(MeterFilter(field="city", value=hostile),))
    assert units(matched, filtered, city=hostile) == [Decimal(1), Decimal(1)]


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
    """An active meter is deactivated before it is archived, and archived is final."""
    for wanted in MeterStatus:
        if wanted in allowed:
            check_meter_transition(MeterStatus(current), wanted)
        else:
            with pytest.raises(Conflict):
                check_meter_transition(MeterStatus(current), wanted)


def test_distinct_count_takes_texts_and_numbers() -> None:
    """It makes the text by which events are told apart: a dimension as it is, a number in its plain form."""
    by_city = meter(Aggregation.DISTINCT_COUNT, (None, '{"var":"dimensions.city"}'))
    by_distance = meter(Aggregation.DISTINCT_COUNT, (f'{{">":[{DISTANCE},1]}}', DISTANCE))
    assert units(by_city, by_distance, distance="2.50") == ["Pune", "2.5"]
    assert units(by_city, by_distance, distance="1") == ["Pune", None]


@pytest.mark.parametrize(
    ("computations", "message"),
    [
        ([], "computations: DISTINCT_COUNT needs one"),
        ([(None, DISTANCE), (None, DISTANCE)], "computations: DISTINCT_COUNT takes one"),
        ([(None, f'{{">":[{DISTANCE},1]}}')], "computations[0].computation: yields true or false"),
    ],
)
def test_a_distinct_count_that_can_never_work_is_refused(
    computations: list[tuple[str | None, str]], message: str
) -> None:
    """When it is saved, not when events arrive."""
    with pytest.raises(Invalid, match=re.escape(message)):
        check_usage_meter(meter(Aggregation.DISTINCT_COUNT, *computations), RIDES)


def test_what_cannot_be_told_apart_fails_the_event() -> None:
    """Neither text nor a number, or a text that is longer than any dimension."""
    city = '{"var":"dimensions.city"}'
    for computation, reason in (
        (f'{{"if":[{{"==":[{city},"Pune"]}},null,1]}}', "needs a number, not null"),
        (f'{{"cat":["{"x" * 200}",{city}]}}', "a text of more than 200 characters"),
    ):
        with pytest.raises(UnitsInvalid, match=reason):
            units(meter(Aggregation.DISTINCT_COUNT, (None, computation)))


@pytest.mark.parametrize("aggregation", ["MAX", "MIN", "AVERAGE", "LATEST"])
def test_the_other_aggregations_take_a_quantity_of_each_event(aggregation: str) -> None:
    """Computed as for SUM: several computations of one event add up."""
    kind = Aggregation(aggregation)
    assert units(meter(kind, (None, DISTANCE), (None, "0.5")), distance="2") == [Decimal("2.5")]
    with pytest.raises(Invalid, match=f"computations: {aggregation} needs one"):
        check_usage_meter(meter(kind), RIDES)


# ---- many events at once -----------------------------------------------------------------------------------------


def ride(distance: str, *, city: str = "Pune", **changes: object) -> LoggedEvent:
    """A sound event, unless `changes` make it another."""
    plain = LoggedEvent(
        schema_name="rides",
        timestamp=datetime(2024, 1, 1, tzinfo=UTC),
        account_id="a1",
        attributes=[LoggedAttribute("tip", "2"), LoggedAttribute("distance", distance)],
        dimensions={"city": city, "tip": "none", "my kind": "x"},
    )
    return replace(plain, **changes)


def test_many_events_are_put_to_the_meters_at_once():
    """Each event's units stand where the event stood, whatever the order of its attributes; None where filtered out."""
    meters = [count(), total(f'{{"*":[{DISTANCE},0.4]}}', f'{{"==":[{CITY},"Oslo"]}}')]
    made = compile_meters_for_many(RIDES, meters)([ride("10", city="Oslo"), ride("20"), ride("25", city="Oslo")])
    assert made == [(Decimal(1), Decimal(4)), (Decimal(1), None), (Decimal(1), Decimal(10))]


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": [LoggedAttribute("distance", "1")]},  # no rule reads `tip`, but the schema has it
        {"attributes": [LoggedAttribute("tip", "1")]},
        {"dimensions": {"city": "Oslo", "tip": "none"}},
        {"attributes": [LoggedAttribute("tip", "1"), LoggedAttribute("distance", "0")]},  # 100 / 0
    ],
)
def test_an_event_that_lacks_a_field_or_fails_a_meter_is_left_to_be_looked_at_alone(changes: dict[str, object]):
    """Nothing is made of the others either, for this does not say which it was."""
    function = compile_meters_for_many(RIDES, [total(f'{{"/":[100,{DISTANCE}]}}')])
    assert function([ride("4"), ride("50")]) == [(Decimal(25),), (Decimal(2),)]
    assert function([ride("4"), ride("50", **changes)]) is None
