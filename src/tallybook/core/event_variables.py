"""What rules read of an event: its fields, as local variables of the generated function."""

from decimal import Decimal

from tallybook.core.event_schema import EventSchema, Field, FieldKind, field_with_full_name
from tallybook.core.expression_compiler import SourceWriter
from tallybook.core.expression_tree import Dialect, Kind, Operand


class EventVariables:
    """Loads each field that is asked for once, from the mappings `attributes` and `dimensions` of the function.

    `loads` are the lines that must stand before everything that uses an operand from here.
    """

    def __init__(self, schema: EventSchema, writer: SourceWriter, *, dialect: Dialect) -> None:
        self.loads: list[str] = []
        self._schema = schema
        self._writer = writer
        self._dialect = dialect
        self._locals: dict[tuple[Field, Kind], Operand] = {}
        self._decimal = writer.constant(Decimal)

    def find(self, full_name: str) -> Operand | None:
        """What a rule reads of the field with that full name; None if the schema has none."""
        field = field_with_full_name(self._schema, full_name)
        if field is None:
            return None
        return self._loaded(field, Kind.TEXT) if self._dialect.attributes_are_text else self.load(field)

    def load(self, field: Field) -> Operand:
        """The field's value: a number for an attribute, whatever the dialect, and text for a dimension."""
        return self._loaded(field, Kind.NUMBER if field.kind is FieldKind.ATTRIBUTE else Kind.TEXT)

    def _loaded(self, field: Field, kind: Kind) -> Operand:
        if (field, kind) not in self._locals:
            local = self._writer.new_name("v")
            value = f"{field.kind}[{self._writer.constant(field.name)}]"
            self.loads.append(f"{local} = {f'{self._decimal}({value})' if kind is Kind.NUMBER else value}")
            self._locals[field, kind] = Operand(local, kind)
        return self._locals[field, kind]

    def requirements(self) -> list[str]:
        """Lines that raise `KeyError` for an event that lacks a field of the schema which `loads` do not load."""
        fields = [
            *(Field(FieldKind.ATTRIBUTE, attribute.name) for attribute in self._schema.attributes),
            *(Field(FieldKind.DIMENSION, dimension.name) for dimension in self._schema.dimensions),
        ]
        loaded = {field for field, _ in self._locals}
        return [f"{field.kind}[{self._writer.constant(field.name)}]" for field in fields if field not in loaded]

    def data(self) -> str:
        """What `missing` looks into: the event by the full names of its fields, singular and plural."""
        members = [
            f"{self._writer.constant(prefix)}: {kind}" for kind in FieldKind for prefix in (kind.value, kind.value[:-1])
        ]
        return f"data = {{{', '.join(members)}}}"
