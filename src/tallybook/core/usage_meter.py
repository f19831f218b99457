"""A usage meter: which events count, and how many units each is worth.

Meters are checked when they are saved. For metering, all meters of an event schema become one generated Python
function, so that what they share is done once per event. Rules themselves are in `expression`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from msgspec import Struct

from tallybook.core import expression_functions as functions
from tallybook.core.aggregation import DISTINCT_CHARACTERS_MAX, Aggregation, Made
from tallybook.core.decimals import DECIMAL_TEXT, QUANTITY_DIGITS_MAX, plain_text
from tallybook.core.errors import Conflict, Invalid, TallybookError, TooLarge
from tallybook.core.event import LoggedEvent
from tallybook.core.event_schema import (
    DESCRIPTION_CHARACTERS_MAX,
    EventSchema,
    Field,
    FieldKind,
    check_length,
    check_name,
    fields_named,
)
from tallybook.core.event_variables import EventVariables
from tallybook.core.expression import Rule, parse_rule
from tallybook.core.expression_check import always_yields, rule_to_save
from tallybook.core.expression_compiler import SourceWriter, uses_data, write_condition, write_rule
from tallybook.core.expression_dialects import EXACT_DIALECT
from tallybook.core.expression_functions import ExpressionError, Place
from tallybook.core.expression_tree import Constant, Dialect, Kind, Operand, Operation

BILLABLE_NAME_CHARACTERS_MAX = 255  # the interface's limit
MATCHER_CHARACTERS_MAX = 1_500  # the interface's limit
COMPUTATION_CHARACTERS_MAX = 500  # the interface's limit
COMPUTATION_ID_CHARACTERS_MAX = 50  # the interface's limit
COMPUTATIONS_MAX = 50  # the interface names none; bounds the code generated for one meter
FILTERS_MAX = 50  # the interface names none; a schema has at most 100 fields
FILTER_VALUE_CHARACTERS_MAX = 200  # no dimension's value is longer
REASON_CHARACTERS_MAX = 250  # the interface's limit for an event's status description

UnitsFunction = Callable[[Mapping[str, str], Mapping[str, str]], tuple[Made | None, ...]]
"""From an event's attributes (decimal text) and dimensions (text), by name, to what each meter makes of it.

None: the meter filtered it out.
"""

UnitsOfAllFunction = Callable[[Sequence[LoggedEvent]], list[tuple[Made | None, ...]] | None]
"""The same for many events of one schema at once. None: one of them at least has to be looked at by itself."""

_ONE = Decimal(1)
_FAILURES = (ExpressionError, ArithmeticError)


class MeterStatus(StrEnum):
    """Only an ACTIVE meter counts."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    ARCHIVED = "ARCHIVED"


METER_TRANSITIONS: Mapping[MeterStatus, frozenset[MeterStatus]] = {
    MeterStatus.DRAFT: frozenset({MeterStatus.ACTIVE, MeterStatus.ARCHIVED}),
    MeterStatus.ACTIVE: frozenset({MeterStatus.INACTIVE}),
    MeterStatus.INACTIVE: frozenset({MeterStatus.ACTIVE, MeterStatus.ARCHIVED}),
    MeterStatus.ARCHIVED: frozenset(),
}


class MeterFilter(Struct, frozen=True, kw_only=True):
    """The event's field must equal `value`: as text for a dimension, as a number for an attribute."""

    field: str
    value: str


class Computation(Struct, frozen=True, kw_only=True):
    """Units of an event for which `matcher` is truthy (absent: for every event). Both are rules as JSON text."""

    id: str | None = None
    matcher: str | None = None
    computation: str
    order: int = 0


class UsageMeter(Struct, frozen=True, kw_only=True):
    """One version of a meter. Every filter must hold; all computations that match then add up."""

    meter_id: str
    version: int
    name: str
    billable_name: str | None = None
    description: str | None = None
    status: MeterStatus
    aggregation: Aggregation
    schema_name: str | None = None
    filters: tuple[MeterFilter, ...] = ()
    computations: tuple[Computation, ...] = ()
    last_activated_at: datetime | None = None


class UnitsInvalid(TallybookError):
    """A meter that matches the event yields no quantity; `message` says which meter and why."""

    code = "UNITS_INVALID"

    def __init__(self, meter: UsageMeter, reason: str) -> None:
        super().__init__(f"usage meter {meter.name!r}: {reason}"[:REASON_CHARACTERS_MAX])
        self.meter_id = meter.meter_id
        self.reason = reason


# ---- saving and changing ---------------------------------------------------------------------------------------


def check_usage_meter(meter: UsageMeter, schema: EventSchema | None, *, dialect: Dialect = EXACT_DIALECT) -> None:
    """Raise `Invalid`, naming the first thing that is wrong, unless the meter may be saved.

    `schema` is the one the meter names. A meter without one takes usage that is booked on it, and reads no events.
    """
    check_name(meter.name, "name")
    check_length(meter.billable_name, BILLABLE_NAME_CHARACTERS_MAX, "billableName")
    check_length(meter.description, DESCRIPTION_CHARACTERS_MAX, "description")
    if schema is None:
        if meter.filters or meter.computations:
            raise Invalid("eventSchemaName: filters and computations need an event schema to read from")
        return
    assert schema.name == meter.schema_name, "a meter is checked against the schema it names"
    if len(meter.filters) > FILTERS_MAX:
        raise TooLarge(f"filters: at most {FILTERS_MAX}, found {len(meter.filters)}")
    if len(meter.computations) > COMPUTATIONS_MAX:
        raise TooLarge(f"computations: at most {COMPUTATIONS_MAX}, found {len(meter.computations)}")
    if meter.aggregation is Aggregation.DISTINCT_COUNT and len(meter.computations) > 1:
        raise Invalid("computations: DISTINCT_COUNT takes one, for texts do not add up")
    for index, computation in enumerate(meter.computations):
        place = f"computations[{index}]"
        check_length(computation.id, COMPUTATION_ID_CHARACTERS_MAX, f"{place}.id")
        check_length(computation.matcher, MATCHER_CHARACTERS_MAX, f"{place}.matcher")
        check_length(computation.computation, COMPUTATION_CHARACTERS_MAX, f"{place}.computation")
    for inline in (True, False):
        _compiled(schema, [meter], dialect, inline=inline)
    for index, computation in enumerate(meter.computations):
        _check_can_work(meter, computation, f"computations[{index}]", dialect)


def _check_can_work(meter: UsageMeter, computation: Computation, place: str, dialect: Dialect) -> None:
    if computation.matcher is not None:
        rule_to_save(computation.matcher, dialect=dialect, place=f"{place}.matcher")
    rule = rule_to_save(computation.computation, dialect=dialect, place=f"{place}.computation")
    if meter.aggregation is Aggregation.COUNT:
        return
    for value in always_yields(rule):
        if value is None or (
            meter.aggregation is not Aggregation.DISTINCT_COUNT and functions.number_or_none(value) is None
        ):
            raise Invalid(f"{place}.computation: yields no quantity, whatever the event")


def check_meter_transition(current: MeterStatus, wanted: MeterStatus) -> None:
    """Raise `Conflict` unless `METER_TRANSITIONS` has a way from `current` to `wanted`."""
    if wanted not in METER_TRANSITIONS[current]:
        raise Conflict(f"a usage meter that is {current} cannot become {wanted}")


# ---- metering --------------------------------------------------------------------------------------------------


def compile_meters(
    schema: EventSchema, meters: Sequence[UsageMeter], *, dialect: Dialect = EXACT_DIALECT
) -> UnitsFunction:
    """Make one function for all meters of a schema; its results are in the order of `meters`.

    It takes events that carry every field of the schema, with attribute values that are decimal text. It raises
    `UnitsInvalid` for the first meter that matches an event but yields no quantity within bounds.
    """
    generated = _compiled(schema, meters, dialect, inline=True)
    one_by_one = _OneByOne(schema, meters, dialect)

    def units_of(attributes: Mapping[str, str], dimensions: Mapping[str, str]) -> tuple[Made | None, ...]:
        try:
            return generated(attributes, dimensions)
        except _FAILURES:  # it does not say which meter
            return one_by_one(attributes, dimensions)

    return units_of


def compile_meters_for_many(
    schema: EventSchema, meters: Sequence[UsageMeter], *, dialect: Dialect = EXACT_DIALECT
) -> UnitsOfAllFunction:
    """Make one function that puts all events of a request to the meters, in less time than one by one.

    Its results are those of `compile_meters`. It gives none when an event lacks a field of the schema or a meter fails:
    which one, and why, is then found by taking them one by one.
    """
    generated = _MetersWriter(schema, SourceWriter(inline=True), dialect).function_of_all(meters)

    def units_of_all(events: Sequence[LoggedEvent]) -> list[tuple[Made | None, ...]] | None:
        try:
            return generated(events)
        except (KeyError, *_FAILURES):
            return None

    return units_of_all


class _OneByOne:
    """The meters of a schema, each with a function of its own that names the place where it fails."""

    def __init__(self, schema: EventSchema, meters: Sequence[UsageMeter], dialect: Dialect) -> None:
        self._schema = schema
        self._meters = meters
        self._dialect = dialect
        self._functions: list[UnitsFunction] = []

    def __call__(self, attributes: Mapping[str, str], dimensions: Mapping[str, str]) -> tuple[Made | None, ...]:
        if not self._functions:  # most schemas never need them
            self._functions = [_compiled(self._schema, [meter], self._dialect, inline=False) for meter in self._meters]
        units: list[Made | None] = []
        for meter, function in zip(self._meters, self._functions, strict=True):
            try:
                units.extend(function(attributes, dimensions))
            except ExpressionError as error:
                raise UnitsInvalid(meter, error.message) from None
            except ArithmeticError:
                raise UnitsInvalid(meter, "the sum of its computations has too many digits") from None
        return tuple(units)


def _compiled(schema: EventSchema, meters: Sequence[UsageMeter], dialect: Dialect, *, inline: bool) -> UnitsFunction:
    return _MetersWriter(schema, SourceWriter(inline=inline), dialect).function(meters)


class _MetersWriter:
    """Writes the meters of a schema as one function."""

    def __init__(self, schema: EventSchema, writer: SourceWriter, dialect: Dialect) -> None:
        self._schema = schema
        self._writer = writer
        self._dialect = dialect
        self._variables = EventVariables(schema, writer, dialect=dialect)
        self._units = writer.constant(_units)
        self._bounded = writer.constant(functions.bounded)
        self._text = writer.constant(str)
        self._length = writer.constant(len)
        self._needs_data = False

    def function(self, meters: Sequence[UsageMeter]) -> UnitsFunction:
        lines, units = self._lines(meters)
        return self._writer.function(parameters=["attributes", "dimensions"], body=[*lines, f"return {units}"])

    def function_of_all(self, meters: Sequence[UsageMeter]) -> Callable[[Sequence[LoggedEvent]], list[Any]]:
        """Raises `KeyError` for an event that lacks a field of the schema."""
        lines, units = self._lines(meters)
        of_each = [*self._variables.requirements(), *lines, f"made.append({units})"]
        return self._writer.function(
            parameters=["events"],
            body=[
                "made = []",
                "for event in events:",
                "    dimensions = event.dimensions",
                "    attributes = {each.name: each.value for each in event.attributes}",
                *(f"    {line}" for line in of_each),
                "return made",
            ],
        )

    def _lines(self, meters: Sequence[UsageMeter]) -> tuple[list[str], str]:
        """What works out the units of one event, from the names `attributes` and `dimensions`; and those units."""
        results = [self._writer.new_name("u") for _ in meters]
        lines = [line for meter, result in zip(meters, results, strict=True) for line in self._meter(meter, result)]
        data = [self._variables.data()] if self._needs_data else []
        return [*self._variables.loads, *data, *lines], f"({''.join(f'{result}, ' for result in results)})"

    def _meter(self, meter: UsageMeter, result: str) -> list[str]:
        if not meter.computations:
            return self._plain_count(meter, result)
        lines = [f"{result} = None"]
        indent = ""
        if meter.filters:
            lines.append(f"if {self._filters(meter.filters)}:")
            indent = "    "
        several = len(meter.computations) > 1
        for index, computation in sorted(enumerate(meter.computations), key=lambda pair: pair[1].order):
            written = self._computation(meter, computation, f"computations[{index}]", result, several=several)
            lines.extend(f"{indent}{line}" for line in written)
        if several and meter.aggregation is not Aggregation.COUNT:
            check = self._check(result, Place("+", "the sum of computations"))
            lines += [f"if {result} is not None:", *(f"    {line}" for line in check)]
        return lines

    def _plain_count(self, meter: UsageMeter, result: str) -> list[str]:
        if meter.aggregation is not Aggregation.COUNT:
            raise Invalid(f"computations: {meter.aggregation} needs one that says what of an event it takes")
        one = self._writer.constant(_ONE)
        return [f"{result} = {f'{one} if {self._filters(meter.filters)} else None' if meter.filters else one}"]

    def _computation(
        self, meter: UsageMeter, computation: Computation, place: str, result: str, *, several: bool
    ) -> list[str]:
        before, condition = self._matcher(computation, f"{place}.matcher")
        units = self._writer.new_name("n") if several else result
        lines = self._units_lines(meter, computation, f"{place}.computation", units)
        if several:
            lines.append(f"{result} = {units} if {result} is None else exact_add({result}, {units})")
        if condition is None:
            return lines
        return [*before, f"if {condition}:", *(f"    {line}" for line in lines)]

    def _matcher(self, computation: Computation, place: str) -> tuple[tuple[str, ...], str | None]:
        if computation.matcher is None:
            return (), None
        rule = self._parsed(computation.matcher, place)
        before, value = self._rule(rule, place)
        return before, write_condition(value)

    def _units_lines(self, meter: UsageMeter, computation: Computation, place: str, units: str) -> list[str]:
        rule = self._parsed(computation.computation, place)
        if meter.aggregation is Aggregation.COUNT:
            _check_counts_one(rule, place)
            return [f"{units} = {self._writer.constant(_ONE)}"]
        if meter.aggregation is Aggregation.DISTINCT_COUNT:
            return self._distinct_lines(rule, place, units)
        _check_may_be_quantity(rule, place)
        before, value = self._rule(rule, place)
        if value.kind is Kind.BOOLEAN:
            raise Invalid(f"{place}: yields true or false, not a quantity; use it as the matcher")
        if value.kind is not Kind.NUMBER:
            root = self._writer.constant(rule.root.place)
            return [*before, f"{units} = {self._units}({root}, {value.source})"]
        lines = [*before, f"{units} = {value.source}"]
        if isinstance(rule.root, Constant) or (isinstance(rule.root, Operation) and rule.root.operator == "var"):
            return lines  # within bounds since it was read
        return [*lines, *self._check(units, rule.root.place)]

    def _distinct_lines(self, rule: Rule, place: str, units: str) -> list[str]:
        before, value = self._rule(rule, place)
        if value.kind is Kind.BOOLEAN:
            raise Invalid(f"{place}: yields true or false, neither text nor a number; use it as the matcher")
        distinct, root = self._writer.constant(_distinct), self._writer.constant(rule.root.place)
        return [*before, f"{units} = {distinct}({root}, {value.source})"]

    def _check(self, units: str, place: Place) -> list[str]:
        """A cheap test that most quantities pass: few digits, near the point. The rest take the full one."""
        most = QUANTITY_DIGITS_MAX // 2
        few = f"-{most} < {units}.adjusted() < {most} and {self._length}({self._text}({units})) < {most}"
        return [f"if not ({few}):", f"    {self._bounded}({self._writer.constant(place)}, {units})"]

    def _parsed(self, text: str, place: str) -> Rule:
        try:
            return parse_rule(text, dialect=self._dialect)
        except Invalid as error:
            raise type(error)(f"{place}: {error.message}") from None

    def _rule(self, rule: Rule, place: str) -> tuple[tuple[str, ...], Operand]:
        self._needs_data = self._needs_data or uses_data(rule.root)
        try:
            written = write_rule(rule, self._writer, data="data", find_variable=self._variables.find)
        except Invalid as error:
            raise type(error)(f"{place}: {error.message}") from None
        return written.before, written.value

    def _filters(self, filters: Sequence[MeterFilter]) -> str:
        return " and ".join(self._filter(each, f"filters[{index}]") for index, each in enumerate(filters))

    def _filter(self, each: MeterFilter, place: str) -> str:
        field = _filter_field(self._schema, each.field, place)
        check_length(each.value, FILTER_VALUE_CHARACTERS_MAX, f"{place}.value")
        wanted: str | Decimal = each.value
        if field.kind is FieldKind.ATTRIBUTE:
            if not DECIMAL_TEXT.fullmatch(each.value):
                raise Invalid(f"{place}.value: {each.field!r} is an attribute, and {each.value!r} is not a number")
            wanted = Decimal(each.value)
        return f"{self._variables.load(field).source} == {self._writer.constant(wanted)}"


def _units(place: Place, value: object) -> Decimal:
    return functions.bounded(place, functions.number(place, value))


def _distinct(place: Place, value: object) -> str:
    """The text by which DISTINCT_COUNT tells events apart; numbers are told apart by value."""
    if isinstance(value, str):
        if len(value) > DISTINCT_CHARACTERS_MAX:
            raise ExpressionError(place, f"yields a text of more than {DISTINCT_CHARACTERS_MAX} characters")
        return value
    return plain_text(_units(place, value))


def _check_counts_one(rule: Rule, place: str) -> None:
    match rule.root:
        case Constant(value=value) if value is True or functions.number_or_none(value) == _ONE:
            return
        case _:
            raise Invalid(f"{place}: COUNT adds 1 per match, so its computation is 1")


def _check_may_be_quantity(rule: Rule, place: str) -> None:
    match rule.root:
        case Constant(value=value) if functions.number_or_none(value) is None:
            raise Invalid(f"{place}: yields no quantity")
        case _:
            return


def _filter_field(schema: EventSchema, name: str, place: str) -> Field:
    found = fields_named(schema, name)
    if not found:
        raise Invalid(f"{place}.field: the schema has no field {name[:60]!r}")
    if len(found) > 1:
        raise Invalid(
            f"{place}.field: {name!r} is an attribute and a dimension; write attributes.{name} or dimensions.{name}"
        )
    allowed = {field for each in schema.filter_fields for field in fields_named(schema, each)}
    if allowed and found[0] not in allowed:
        raise Invalid(f"{place}.field: {name!r} is not among the schema's filterFields")
    return found[0]
