"""Enrichment: fields of an event that are computed from the others, and from settings, before meters read them.

Fields are computed in their order, and a later one sees those before it. Each is one generated function, so that what
fails can be named. What a schema's enrichments are is in `event_schema`, what a setting is in `setting`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import assert_never

from msgspec import Struct

from tallybook.core import expression_functions as functions
from tallybook.core.decimals import DECIMAL_TEXT
from tallybook.core.errors import Invalid, TallybookError, TooLarge
from tallybook.core.event_schema import (
    Dependency,
    EnrichedField,
    EnrichmentType,
    EventSchema,
    Field,
    FieldKind,
    check_distinct,
    check_name,
    field_with_full_name,
)
from tallybook.core.event_variables import EventVariables
from tallybook.core.expression import Rule, parse_rule
from tallybook.core.expression_check import rule_to_save
from tallybook.core.expression_compiler import SourceWriter, uses_data, write_rule
from tallybook.core.expression_dialects import EXACT_DIALECT
from tallybook.core.expression_functions import ExpressionError, Place
from tallybook.core.expression_lookup import find
from tallybook.core.expression_tree import Constant, Dialect, Kind, Operand, kind_of
from tallybook.core.setting import SettingType, SettingValue, json_value, setting_key

ENRICHED_FIELDS_MAX = 50  # the interface names none; as many as it allows to be sent, of each kind
DEPENDENCIES_MAX = 50  # the interface names none
DIMENSION_CHARACTERS_MAX = 200  # the interface's limit for a dimension that is sent
REASON_CHARACTERS_MAX = 250  # the interface's limit for an event's status description
RULES_CHARACTERS_MAX = 50_000  # of all rules of one schema; each compiles them all, for each combination of settings
CHARACTERS_CHECKED_MAX = 500_000  # compiled when a schema is saved: about a second
ORDER_MAX = 2**31 - 1  # the interface's int32

Enrich = Callable[[Mapping[str, str], Mapping[str, str]], tuple[Mapping[str, str], Mapping[str, str]]]
"""From an event's attributes (decimal text) and dimensions (text), by name, to the same with the enriched ones added.

Raises `EnrichmentFailed`, and changes neither mapping."""

_DEPENDENCY_PREFIXES = ("dependencies", "dependency")
_FAILURES = (ExpressionError, ArithmeticError)


class EnrichmentFailed(TallybookError):
    """A field cannot be computed for an event; `message` says which field and why."""

    code = "ENRICHMENT_FAILED"

    def __init__(self, reason: str) -> None:
        super().__init__(reason[:REASON_CHARACTERS_MAX])


# ---- saving and changing ---------------------------------------------------------------------------------------


def check_enrichments(
    schema: EventSchema,
    values: Mapping[str, Sequence[SettingValue]],
    *,
    dialect: Dialect = EXACT_DIALECT,
) -> None:
    """Raise `Invalid`, naming the first thing that is wrong, unless the schema's enrichments may be saved.

    `values` are the different values that the settings behind each dependency have, by the dependency's name. One
    without any is not known yet: what is made of it is not checked, and a rule that it holds cannot be. Of very many
    rules in settings only the first are compiled here; events that meet a later one that cannot work say so.
    """
    enrichments = schema.enrichments
    if len(enrichments.fields) > ENRICHED_FIELDS_MAX:
        raise TooLarge(f"enrichments.fields: at most {ENRICHED_FIELDS_MAX}, found {len(enrichments.fields)}")
    if len(enrichments.dependencies) > DEPENDENCIES_MAX:
        raise TooLarge(f"enrichments.dependencies: at most {DEPENDENCIES_MAX}, found {len(enrichments.dependencies)}")
    for index, dependency in enumerate(enrichments.dependencies):
        check_name(dependency.name, f"enrichments.dependencies[{index}].name")
        setting_key(dependency.key, f"enrichments.dependencies[{index}].key")
    check_distinct([dependency.name for dependency in enrichments.dependencies], "enrichments.dependencies")
    characters = sum(len(field.value) for field in enrichments.fields)
    if characters > RULES_CHARACTERS_MAX:
        raise TooLarge(f"enrichments.fields: at most {RULES_CHARACTERS_MAX} characters in all, found {characters}")
    for index, field in enumerate(enrichments.fields):
        check_name(field.name, f"enrichments.fields[{index}].name")
        _check_is_new(schema, field, f"enrichments.fields[{index}].name")
        if field.enrichment_type is EnrichmentType.JSON_LOGIC:
            rule_to_save(field.value, dialect=dialect, place=f"enrichments.fields[{index}].value")
    checked = 0
    for combination in _combinations([values.get(dependency.name, ()) for dependency in enrichments.dependencies]):
        if checked > CHARACTERS_CHECKED_MAX:
            return
        checked += characters + len(enrichments.fields) * max(
            (len(each.text) for each in combination if each), default=0
        )
        for inline in (True, False):
            _steps(schema, combination, dialect, inline=inline)


def _check_is_new(schema: EventSchema, field: EnrichedField, place: str) -> None:
    sent = schema.attributes if field.kind is FieldKind.ATTRIBUTE else schema.dimensions
    same = [each for each in schema.enrichments.fields if each.kind is field.kind and each.name == field.name]
    if len(same) > 1 or any(each.name == field.name for each in sent):
        raise Invalid(f"{place}: the schema has {field.name!r} among its {field.kind} already")


def _combinations(values: Sequence[Sequence[SettingValue]]) -> Iterator[list[SettingValue | None]]:
    """Values to compile with, such that each that matters occurs: of numbers and texts one, of the others all."""
    columns = [_telling(each) or [None] for each in values]
    rows = max((len(column) for column in columns), default=1)
    for row in range(rows):
        yield [column[row % len(column)] for column in columns]


def _telling(values: Sequence[SettingValue]) -> Sequence[SettingValue | None]:
    alike = {value.data_type: value for value in values if value.data_type in (SettingType.NUMERIC, SettingType.STRING)}
    others = [value for value in values if value.data_type not in alike]
    return [*alike.values(), *others]


# ---- enriching -------------------------------------------------------------------------------------------------


def compile_enrichments(
    schema: EventSchema, values: Sequence[SettingValue | None], *, dialect: Dialect = EXACT_DIALECT
) -> Enrich:
    """Make the function that enriches events of the schema for accounts whose dependencies have these values.

    `values` are in the order of `schema.enrichments.dependencies`. Where one is missing, or a rule cannot work with
    what it says, the function fails for every event.
    """
    for dependency, value in zip(schema.enrichments.dependencies, values, strict=True):
        if value is None:
            return _failing(f"dependency {dependency.name!r}: there is no setting {dependency.key}")
    try:
        fast = _steps(schema, values, dialect, inline=True)
    except Invalid as error:
        return _failing(error.message)
    return _Enricher(fast, lambda: _steps(schema, values, dialect, inline=False))


class _Step(Struct, frozen=True, kw_only=True):
    """How one field is computed from what is there before it."""

    field: EnrichedField
    compute: Callable[[Mapping[str, str], Mapping[str, str]], str]


class _Enricher:
    """Computes the fields in their order; one that fails is computed again by code that says where."""

    def __init__(self, fast: Sequence[_Step], explaining: Callable[[], Sequence[_Step]]) -> None:
        self._fast = fast
        self._explaining = explaining
        self._slow: Sequence[_Step] = ()

    def __call__(
        self, attributes: Mapping[str, str], dimensions: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        try:
            return self._enriched(self._fast, attributes, dimensions)
        except _FAILURES:
            self._slow = self._slow or self._explaining()  # most schemas never need them
            return self._enriched_or_failed(attributes, dimensions)

    def _enriched(
        self, steps: Sequence[_Step], attributes: Mapping[str, str], dimensions: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        attributes, dimensions = dict(attributes), dict(dimensions)
        for step in steps:
            target = attributes if step.field.kind is FieldKind.ATTRIBUTE else dimensions
            target[step.field.name] = step.compute(attributes, dimensions)
        return attributes, dimensions

    def _enriched_or_failed(
        self, attributes: Mapping[str, str], dimensions: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        for step in self._slow:
            try:
                attributes, dimensions = self._enriched([step], attributes, dimensions)
            except ExpressionError as error:
                raise EnrichmentFailed(f"enriched field {step.field.name!r}: {error.message}") from None
            except ArithmeticError:
                raise EnrichmentFailed(f"enriched field {step.field.name!r}: has too many digits") from None
        return attributes, dimensions


def _failing(reason: str) -> Enrich:
    def fail(
        _attributes: Mapping[str, str], _dimensions: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        raise EnrichmentFailed(reason)

    return fail


# ---- from fields to functions ----------------------------------------------------------------------------------


def _steps(
    schema: EventSchema, values: Sequence[SettingValue | None], dialect: Dialect, *, inline: bool
) -> list[_Step]:
    """A step for each field, in order; fields whose rule a missing value would hold are left out."""
    dependencies = {
        dependency.name: (dependency, value)
        for dependency, value in zip(schema.enrichments.dependencies, values, strict=True)
    }
    steps: list[_Step] = []
    computed: set[Field] = set()
    for index, field in sorted(enumerate(schema.enrichments.fields), key=lambda pair: pair[1].order):
        writer = _StepWriter(schema, computed, dependencies, dialect, inline=inline)
        compute = writer.step(field, f"enrichments.fields[{index}].value")
        if compute is not None:
            steps.append(_Step(field=field, compute=compute))
        computed.add(Field(field.kind, field.name))
    return steps


class _StepWriter:
    """Writes the function of one field; `computed` are the enriched fields that come before it."""

    def __init__(
        self,
        schema: EventSchema,
        computed: set[Field],
        dependencies: Mapping[str, tuple[Dependency, SettingValue | None]],
        dialect: Dialect,
        *,
        inline: bool,
    ) -> None:
        self._schema = schema
        self._dependencies = dependencies
        self._dialect = dialect
        self._writer = SourceWriter(inline=inline)
        self._variables = EventVariables(schema, self._writer, dialect=dialect)
        self._later = {Field(each.kind, each.name) for each in schema.enrichments.fields} - computed

    def step(self, field: EnrichedField, place: str) -> Callable[[Mapping[str, str], Mapping[str, str]], str] | None:
        """The field's function; None when its rule is in a setting that is not there. Raises `Invalid`."""
        match field.enrichment_type:
            case EnrichmentType.VALUE:
                _check_literal(field, place)
                return lambda _attributes, _dimensions: field.value
            case EnrichmentType.JSON_LOGIC:
                return self._computed_by(self._parsed(field.value, place), field, place)
            case EnrichmentType.JSON_LOGIC_FROM_DEPENDENCY:
                text = self._rule_held(field.value, place)
                return None if text is None else self._computed_by(self._parsed(text, place), field, place)
            case _:
                assert_never(field.enrichment_type)

    def _parsed(self, text: str, place: str) -> Rule:
        try:
            return parse_rule(text, dialect=self._dialect)
        except Invalid as error:
            raise type(error)(f"{place}: {error.message}") from None

    def _rule_held(self, name: str, place: str) -> str | None:
        prefix, _, rest = name.partition(".")
        name = rest if prefix in _DEPENDENCY_PREFIXES else name
        if name not in self._dependencies:
            raise Invalid(f"{place}: no dependency {name[:60]!r}; write the name of one that holds the rule")
        dependency, value = self._dependencies[name]
        if value is not None and value.data_type is not SettingType.JSON_LOGIC:
            raise Invalid(f"{place}: the setting {dependency.key} is {value.data_type}, not JSON_LOGIC")
        return None if value is None else value.text

    def _computed_by(
        self, rule: Rule, field: EnrichedField, place: str
    ) -> Callable[[Mapping[str, str], Mapping[str, str]], str]:
        try:
            written = write_rule(rule, self._writer, data="data", find_variable=self._find)
        except Invalid as error:
            raise type(error)(f"{place}: {error.message}") from None
        _check_may_be(field, rule, written.value, place)
        dimension_text = partial(_dimension_text, self._dialect.text_of)
        finish = self._writer.constant(_attribute_text if field.kind is FieldKind.ATTRIBUTE else dimension_text)
        root = self._writer.constant(rule.root.place)
        data = self._data() if uses_data(rule.root) else []
        return self._writer.function(
            parameters=["attributes", "dimensions"],
            body=[
                *self._variables.loads,
                *data,
                *written.before,
                f"return {finish}({root}, {written.value.source})",
            ],
        )

    def _find(self, full_name: str) -> Operand | None:
        prefix, _, rest = full_name.partition(".")
        if prefix in _DEPENDENCY_PREFIXES:
            return self._dependency(rest)
        field = field_with_full_name(self._schema, full_name)
        if field is not None and field in self._later:
            raise Invalid(f"{full_name!r} is not computed before this field; look at their order")
        return self._variables.find(full_name)

    def _dependency(self, name: str) -> Operand | None:
        """The value of a dependency, or what a path leads to in one that is JSON."""
        name, *path = name.split(".")
        if name not in self._dependencies:
            return None
        value = find(_value_of(self._dependencies[name][1], self._dialect), tuple(path), None)
        if isinstance(value, bool | Decimal | str):
            return Operand(self._writer.constant(value), kind_of(Constant(value, Place("var", name))))
        return Operand(self._writer.constant(value), Kind.ANY)

    def _data(self) -> list[str]:
        values = {name: _value_of(value, self._dialect) for name, (_, value) in self._dependencies.items()}
        held = self._writer.constant(values)
        names = [self._writer.constant(prefix) for prefix in _DEPENDENCY_PREFIXES]
        return [self._variables.data(), *(f"data[{name}] = {held}" for name in names)]


def _value_of(value: SettingValue | None, dialect: Dialect) -> object:
    if value is None:
        return None
    match value.data_type:
        case SettingType.NUMERIC:
            return value.text if dialect.attributes_are_text else Decimal(value.text)
        case SettingType.JSON:
            return json_value(value.text)
        case SettingType.STRING | SettingType.JSON_LOGIC:
            return value.text
        case _:
            assert_never(value.data_type)


def _check_literal(field: EnrichedField, place: str) -> None:
    if field.kind is FieldKind.ATTRIBUTE and not DECIMAL_TEXT.fullmatch(field.value):
        raise Invalid(f"{place}: {field.name!r} is an attribute, and {field.value[:60]!r} is not a number")
    if field.kind is FieldKind.DIMENSION and not 1 <= len(field.value) <= DIMENSION_CHARACTERS_MAX:
        raise Invalid(f"{place}: a dimension has 1 to {DIMENSION_CHARACTERS_MAX} characters, found {len(field.value)}")


def _check_may_be(field: EnrichedField, rule: Rule, value: Operand, place: str) -> None:
    if field.kind is not FieldKind.ATTRIBUTE:
        return
    if value.kind is Kind.BOOLEAN:
        raise Invalid(f"{place}: yields true or false, and {field.name!r} is an attribute; make it a dimension")
    if isinstance(rule.root, Constant) and functions.number_or_none(rule.root.value) is None:
        raise Invalid(f"{place}: yields no number, and {field.name!r} is an attribute")


def _attribute_text(place: Place, value: object) -> str:
    return format(functions.bounded(place, functions.number(place, value)), "f")


def _dimension_text(text_of: Callable[[Place, object], str], place: Place, value: object) -> str:
    text = text_of(place, value)
    if not 1 <= len(text) <= DIMENSION_CHARACTERS_MAX:
        raise ExpressionError(place, f"a dimension has 1 to {DIMENSION_CHARACTERS_MAX} characters, not {len(text)}")
    return text
