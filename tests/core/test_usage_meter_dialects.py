"""Usage meters in both dialects: the same meter on the same event, and what is refused when one is saved."""

from decimal import Decimal

import pytest

from tallybook.core.aggregation import Aggregation
from tallybook.core.errors import Invalid
from tallybook.core.event_schema import AttributeDefinition, DimensionDefinition, EventSchema, SchemaStatus
from tallybook.core.expression_dialects import DIALECTS
from tallybook.core.usage_meter import (
    Computation,
    MeterFilter,
    MeterStatus,
    UnitsInvalid,
    UsageMeter,
    check_usage_meter,
    compile_meters,
)

RIDES = EventSchema(
    name="rides",
    version=1,
    status=SchemaStatus.ACTIVE,
    attributes=(AttributeDefinition(name="distance"),),
    dimensions=(DimensionDefinition(name="city"),),
)
DISTANCE = '{"var":"attributes.distance"}'
FILTERED_OUT = "filtered out"


def total(computation: str, matcher: str | None = None, filters: tuple[MeterFilter, ...] = ()) -> UsageMeter:
    return UsageMeter(
        meter_id="meter.1",
        version=1,
        name="rides usage",
        status=MeterStatus.ACTIVE,
        aggregation=Aggregation.SUM,
        schema_name="rides",
        filters=filters,
        computations=(Computation(matcher=matcher, computation=computation),),
    )


def units(meter: UsageMeter, dialect: str, *, distance: str = "10", city: str = "Pune") -> object:
    check_usage_meter(meter, RIDES, dialect=DIALECTS[dialect])
    function = compile_meters(RIDES, [meter], dialect=DIALECTS[dialect])
    try:
        (made,) = function({"distance": distance}, {"city": city})
    except UnitsInvalid:
        return "invalid"
    return FILTERED_OUT if made is None else made


@pytest.mark.parametrize(
    ("computation", "matcher", "togai", "exact"),
    [
        (DISTANCE, None, Decimal(10), Decimal(10)),
        (f'{{"*":[{DISTANCE},0.4]}}', None, Decimal(4), Decimal(4)),
        (f'{{"/":[{DISTANCE},43200]}}', None, Decimal("0.0002"), Decimal("0.0002314814814814814814814814814814815")),
        (f'{{"-":[{DISTANCE}]}}', None, Decimal(10), Decimal(-10)),
        ("1", f'{{"===":[{DISTANCE},10]}}', FILTERED_OUT, Decimal(1)),
        ("1", f'{{"===":[{DISTANCE},"10"]}}', Decimal(1), FILTERED_OUT),
        ("1", f'{{"==":[{DISTANCE},10.0]}}', Decimal(1), Decimal(1)),
        ("1", f'{{"in":[{DISTANCE},[10]]}}', FILTERED_OUT, Decimal(1)),
        ("1", f'{{">":[{DISTANCE},9]}}', Decimal(1), Decimal(1)),
        ("1", '{"missing":["attributes.distance"]}', FILTERED_OUT, FILTERED_OUT),
        (f'{{"+":[{DISTANCE},{{"var":"dimensions.city"}}]}}', None, "invalid", "invalid"),
        (f'{{"max":[{DISTANCE},12]}}', DISTANCE, Decimal(12), Decimal(12)),
    ],
)
def test_attributes_are_text_in_togai_and_numbers_in_exact(
    computation: str, matcher: str | None, togai: object, exact: object
):
    """The engine gets attributes as text: a sign change leaves them alone, and `===` with a number is false."""
    assert units(total(computation, matcher), "togai") == togai
    assert units(total(computation, matcher), "exact") == exact


def test_zero_is_true_as_text_in_togai():
    """A matcher that is the attribute itself: "0" is text that is there."""
    assert units(total("1", DISTANCE), "togai", distance="0") == 1
    assert units(total("1", DISTANCE), "exact", distance="0") == FILTERED_OUT


@pytest.mark.parametrize("dialect", DIALECTS)
def test_filter_of_an_attribute_compares_numbers_in_every_dialect(dialect: str):
    """A filter is no rule: 10 is 10.00."""
    filtered = total(DISTANCE, filters=(MeterFilter(field="distance", value="10.00"),))
    assert units(filtered, dialect) == 10
    assert units(filtered, dialect, distance="11") == FILTERED_OUT


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("computation", "matcher", "message"),
    [
        ('{"/":[1,0]}', None, "computations[0].computation: /: division by zero"),
        (DISTANCE, '{"and":[{"/":[1,0]},1]}', "computations[0].matcher: and[0]./: division by zero"),
        ('{"if":[]}', None, "computations[0].computation: yields no quantity"),
        ('{"cat":["a","b"]}', None, "computations[0].computation: yields no quantity"),
        ('{"today":[]}', None, "computations[0].computation: the rule: unknown operator 'today'"),
        ('{"var":"attributes.speed"}', None, "computations[0].computation: var: unknown variable 'attributes.speed'"),
        ('{"var":{"cat":["attributes.","distance"]}}', None, "computations[0].computation: var: a variable's name"),
        ('{"<":[1,2,3,4]}', None, "computations[0].computation: <: '<' takes 2 to 3 operands, found 4"),
    ],
)
def test_meter_that_can_never_work_is_refused(computation: str, matcher: str | None, message: str, dialect: str):
    """By place in the meter, operator and place in the rule."""
    with pytest.raises(Invalid) as caught:
        check_usage_meter(total(computation, matcher), RIDES, dialect=DIALECTS[dialect])
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("computation", [f'{{"+":[{DISTANCE},null]}}', f'{{"/":[{DISTANCE}]}}', '{"+":[1,null]}'])
def test_sum_of_what_is_always_null_is_refused_in_togai(computation: str):
    """Null is no failure of the rule there, but it is no quantity either."""
    with pytest.raises(Invalid, match="yields no quantity, whatever the event"):
        check_usage_meter(total(computation), RIDES, dialect=DIALECTS["togai"])
