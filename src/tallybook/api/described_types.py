"""How types are described in the OpenAPI document where the framework's own description is not what happens."""

from decimal import Decimal
from typing import Any

import msgspec
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition


class DecimalsAreNumbers(OpenAPISchemaPlugin):
    """A decimal is a JSON number of any length; the framework would say text."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return value is Decimal

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return field_definition.annotation is Decimal

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        return Schema(type=OpenAPIType.NUMBER)


class StructsSayMore(OpenAPISchemaPlugin):
    """A struct that refuses unknown fields says so, and one that is only sent, and whole, requires every field."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, msgspec.Struct)

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and self.is_plugin_supported_type(field_definition.annotation)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        described = self._next(field_definition, schema_creator).to_openapi_schema(field_definition, schema_creator)
        registered = schema_creator.schema_registry.get_schema_for_field_definition(field_definition)
        struct = field_definition.annotation
        if struct.__struct_config__.forbid_unknown_fields:
            registered.additional_properties = False
        elif not struct.__struct_config__.omit_defaults:
            registered.required = sorted(struct.__struct_encode_fields__)
        return described

    def _next(self, field_definition: FieldDefinition, schema_creator: Any) -> OpenAPISchemaPlugin:
        """The framework's own plugin for structs."""
        plugins: list[OpenAPISchemaPlugin] = schema_creator.plugins
        return next(each for each in plugins if each is not self and each.is_plugin_supported_field(field_definition))
