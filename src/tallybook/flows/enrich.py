"""The enrichments of an event schema in force: compiled for each account's settings, with a trace of what they did.

What an account's settings are is asked for once. Accounts with the same settings share one compiled function.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tallybook.core.account import Account
from tallybook.core.enrichment import Enrich, compile_enrichments
from tallybook.core.event_schema import EventSchema, FieldKind
from tallybook.core.expression_tree import Dialect
from tallybook.core.setting import SettingKey, SettingValue, setting_key

FUNCTIONS_MAX = 1_000  # compiled functions of one schema; then the cache starts again from empty
ACCOUNTS_MAX = 100_000  # accounts whose settings are remembered for one schema; the same

FindSettings = Callable[[Sequence[SettingKey], Account], tuple[SettingValue | None, ...]]
"""What each key means for an account, in the order of the keys; None where no setting is there."""


class UsedDependency(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as it was when an event was enriched."""

    key: str
    name: str
    value: str


class EnrichmentTrace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event was given, by field name, and the settings that rules could read."""

    attributes: dict[str, str] = {}
    dimensions: dict[str, str] = {}
    dependencies: list[UsedDependency] = []


class _ForSettings:
    """The enrichments of a schema for one combination of settings."""

    def __init__(self, schema: EventSchema, values: Sequence[SettingValue | None], dialect: Dialect) -> None:
        self.enrich: Enrich = compile_enrichments(schema, values, dialect=dialect)
        self.dependencies = [
            UsedDependency(key=dependency.key, name=dependency.name, value=value.text)
            for dependency, value in zip(schema.enrichments.dependencies, values, strict=True)
            if value is not None
        ]


class SchemaEnrichment:
    """The enrichments of one schema, which has some."""

    def __init__(self, schema: EventSchema, dialect: Dialect, find_settings: FindSettings) -> None:
        self._schema = schema
        self._dialect = dialect
        self._find_settings = find_settings
        self._keys = [
            setting_key(dependency.key, "enrichments.dependencies") for dependency in schema.enrichments.dependencies
        ]
        self._attribute_names = _names(schema, FieldKind.ATTRIBUTE)
        self._dimension_names = _names(schema, FieldKind.DIMENSION)
        self._by_values: dict[tuple[SettingValue | None, ...], _ForSettings] = {}
        self._by_account: dict[str, _ForSettings] = {}

    def enriched(
        self, account: Account, attributes: Mapping[str, str], dimensions: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Mapping[str, str], str]:
        """Attributes and dimensions with those computed, and the trace as JSON. Raises `EnrichmentFailed`."""
        program = self._by_account.get(account.account_id) or self._for(account)
        attributes, dimensions = program.enrich(attributes, dimensions)
        trace = EnrichmentTrace(
            attributes={name: attributes[name] for name in self._attribute_names},
            dimensions={name: dimensions[name] for name in self._dimension_names},
            dependencies=program.dependencies,
        )
        return attributes, dimensions, _encode(trace).decode()

    def _for(self, account: Account) -> _ForSettings:
        values = self._find_settings(self._keys, account) if self._keys else ()
        if len(self._by_values) >= FUNCTIONS_MAX or len(self._by_account) >= ACCOUNTS_MAX:
            self._by_values.clear()
            self._by_account.clear()
        if values not in self._by_values:
            self._by_values[values] = _ForSettings(self._schema, values, self._dialect)
        self._by_account[account.account_id] = self._by_values[values]
        return self._by_values[values]


def read_trace(text: str) -> EnrichmentTrace:
    """The trace that a row of an event keeps."""
    return _decoder.decode(text)


def _names(schema: EventSchema, kind: FieldKind) -> list[str]:
    return [field.name for field in schema.enrichments.fields if field.kind is kind]


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(EnrichmentTrace)
