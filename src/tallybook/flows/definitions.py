"""The definitions in force, as metering needs them: compiled, cached, and never older than the catalogue says.

The catalogue numbers its changes. `refresh` reads the changes since the last look and forgets just what they touch, so
a thousand new accounts do not make the cache load everything again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import TypeVar

from tallybook.core.account import Account, AccountStatus
from tallybook.core.aggregation import KEEPS_VALUES, Aggregation, Made, value_of
from tallybook.core.decimals import plain_text
from tallybook.core.errors import Invalid, TallybookError
from tallybook.core.event_schema import BOOKED_USAGE, EventSchema
from tallybook.core.expression_dialects import DIALECTS
from tallybook.core.instant import EPOCH, microseconds_since_1970
from tallybook.core.internal_schema import BOOKED_UNITS, BOOKED_USAGE_SCHEMA
from tallybook.core.period import cycle_containing, grace_deadline
from tallybook.core.pricing_schedule import PricingSchedule
from tallybook.core.setting import SettingKey, SettingValue
from tallybook.core.usage_meter import (
    MeterStatus,
    UnitsFunction,
    UnitsOfAllFunction,
    UsageMeter,
    compile_meters,
    compile_meters_for_many,
)
from tallybook.flows.enrich import SchemaEnrichment
from tallybook.storage.catalog import Catalog

MICROSECONDS_PER_DAY = 86_400_000_000
ENTRIES_MAX = 500_000  # about 500 MB of accounts at the worst; then the cache starts again from empty

Entry = TypeVar("Entry")


class MeterUnavailable(TallybookError):
    """The meters of a sound event cannot be asked for units; once they can, it may be ingested again."""

    code = "METER_UNAVAILABLE"


class SchemaProgram:
    """An event schema in force with the meters that read its events, and what makes units of them."""

    def __init__(
        self,
        schema: EventSchema,
        meters: Sequence[UsageMeter],
        units_of: UnitsFunction,
        *,
        units_of_all: UnitsOfAllFunction | None = None,
        enrichment: SchemaEnrichment | None = None,
    ) -> None:
        """`units_of_all` takes events as they were sent; None where each has to be looked at by itself."""
        self.schema = schema
        self.units_of = units_of
        self.units_of_all = units_of_all
        self.enrichment = enrichment
        self.meter_ids = [meter.meter_id for meter in meters]
        self.meter_versions = [meter.version for meter in meters]
        self.attribute_names = frozenset(attribute.name for attribute in schema.attributes)
        self.dimension_names = frozenset(dimension.name for dimension in schema.dimensions)
        self.required_attributes = _getter(self.attribute_names)
        self.required_dimensions = _getter(self.dimension_names)
        self._aggregations = [meter.aggregation for meter in meters]
        self.keeps_values = not KEEPS_VALUES.isdisjoint(self._aggregations)

    def values_of(self, made: Sequence[Made | None], *, event_time: int, event_key: bytes) -> list[str | None]:
        """What an event leaves for the aggregation of each meter; None where units are enough."""
        return [
            None if each is None else value_of(aggregation, each, event_time=event_time, event_key=event_key)
            for aggregation, each in zip(self._aggregations, made, strict=True)
        ]


class AccountEntry:
    """An account, with what metering asks of it for every event."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.account_id = account.account_id
        self.deadlines = Deadlines(account)


class Deadlines(dict[int, int | None]):
    """The last instant of receipt for events of a day (since 1970); None without a plan. In microseconds since 1970.

    Worked out when first asked for.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    def __missing__(self, day: int) -> int | None:
        self[day] = deadline = self._deadline((EPOCH + timedelta(days=day)).date())
        return deadline

    def _deadline(self, event_date: date) -> int | None:
        for schedule in self._account.schedules:
            if schedule.start_date <= event_date < schedule.end_date:
                return _cycle_deadline(schedule, event_date)
        return None


class AccountCandidates:
    """The accounts that one reference may mean: the one with that id, else whoever has it as an alias at the time."""

    def __init__(self, reference: str, accounts: Iterable[Account]) -> None:
        usable = [account for account in accounts if account.status is not AccountStatus.ARCHIVED]
        self.account_ids = frozenset(account.account_id for account in usable)
        self.with_id = next((AccountEntry(each) for each in usable if each.account_id == reference), None)
        self._with_alias = [
            (microseconds_since_1970(window.effective_from), microseconds_since_1970(window.effective_until), entry)
            for entry in map(AccountEntry, usable)
            for window in entry.account.aliases
            if window.alias == reference
        ]

    def at(self, event_time: int) -> AccountEntry | None:
        """The account that the reference means at that time (microseconds since 1970)."""
        if self.with_id is not None:
            return self.with_id
        return next((entry for start, end, entry in self._with_alias if start <= event_time < end), None)


class Definitions:
    """Schemas and accounts by organisation and name, read when first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = 0
        self._schemas: dict[tuple[str, str], SchemaProgram | None] = {}
        self._accounts: dict[tuple[str, str], AccountCandidates] = {}
        self._booked: dict[tuple[str, str], SchemaProgram] = {}
        self._late_usage: dict[str, int] = {}

    def refresh(self) -> int:
        """Forget what has changed since the last call; return the version everything read from now on has at least."""
        accounts: set[tuple[str, str]] = set()
        with_plans: set[str] = set()
        with_settings: set[str] = set()
        with_meters: set[str] = set()
        for change in self._catalog.changes_since(self._version):
            self._version = change.version
            match change.kind:
                case "event_schema":
                    self._schemas.pop((change.organisation_id, change.name), None)
                case "usage_meter":
                    self._schemas.pop((change.organisation_id, change.name), None)
                    if change.name == BOOKED_USAGE:
                        with_meters.add(change.organisation_id)
                case "setting":
                    with_settings.add(change.organisation_id)
                case "account":
                    accounts.add((change.organisation_id, change.name))
                case "price_plan":
                    with_plans.add(change.organisation_id)
        if accounts or with_plans:
            self._accounts = {
                (organisation_id, reference): candidates
                for (organisation_id, reference), candidates in self._accounts.items()
                if organisation_id not in with_plans
                and (organisation_id, reference) not in accounts
                and all((organisation_id, account_id) not in accounts for account_id in candidates.account_ids)
            }
        self._schemas = _of_others(self._schemas, with_settings)  # a setting may choose the dialect, or hold a rule
        self._booked = _of_others(self._booked, with_meters)
        for organisation_id in with_settings:
            self._late_usage.pop(organisation_id, None)
        return self._version

    def schemas(self, organisation_id: str, names: Collection[str]) -> dict[str, SchemaProgram | None]:
        """The schemas in force by these names with their active meters; None where there is none."""
        self._bound()
        return {name: self._schema(organisation_id, name) for name in names}

    def booked(self, organisation_id: str, meter_ids: Collection[str]) -> dict[str, SchemaProgram]:
        """For each of these ids a program that books what an event says on the meter, past its computations."""
        self._bound()
        for meter_id in meter_ids:
            if (organisation_id, meter_id) not in self._booked:
                meter = self._catalog.usage_meter(organisation_id, meter_id)
                self._booked[organisation_id, meter_id] = _booking(meter_id, meter)
        return {meter_id: self._booked[organisation_id, meter_id] for meter_id in meter_ids}

    def accounts(self, organisation_id: str, references: Collection[str]) -> dict[str, AccountCandidates]:
        """The accounts that these ids and aliases may mean."""
        self._bound()
        unknown = [reference for reference in references if (organisation_id, reference) not in self._accounts]
        if unknown:
            found = self._catalog.accounts_by_reference(organisation_id, unknown)
            for reference in unknown:
                self._accounts[organisation_id, reference] = AccountCandidates(reference, found.get(reference, ()))
        return {reference: self._accounts[organisation_id, reference] for reference in references}

    def late_usage(self, organisation_id: str) -> int:
        """How long after the grace of its cycle an event of the organisation is still metered, in microseconds."""
        if organisation_id not in self._late_usage:
            days = self._catalog.choices(organisation_id).late_usage_days
            self._late_usage[organisation_id] = days * MICROSECONDS_PER_DAY
        return self._late_usage[organisation_id]

    def _schema(self, organisation_id: str, name: str) -> SchemaProgram | None:
        key = (organisation_id, name)
        if key not in self._schemas:
            found = self._catalog.schema_in_force(organisation_id, name)
            self._schemas[key] = self._compiled(organisation_id, *found) if found else None
        return self._schemas[key]

    def _compiled(self, organisation_id: str, schema: EventSchema, meters: Sequence[UsageMeter]) -> SchemaProgram:
        dialect = DIALECTS[self._catalog.choices(organisation_id).expression_dialect]
        enrichment = None
        if schema.enrichments.fields:
            enrichment = SchemaEnrichment(schema, dialect, partial(self._settings, organisation_id))
        try:
            units_of = compile_meters(schema, meters, dialect=dialect)
        except Invalid as error:  # the dialect was chosen after they were saved
            units_of = partial(_unavailable, f"in the dialect {dialect.name}, a meter cannot work: {error.message}")
            return SchemaProgram(schema, meters, units_of, enrichment=enrichment)
        units_of_all = None if enrichment else compile_meters_for_many(schema, meters, dialect=dialect)
        return SchemaProgram(schema, meters, units_of, units_of_all=units_of_all, enrichment=enrichment)

    def _settings(
        self, organisation_id: str, keys: Sequence[SettingKey], account: Account
    ) -> tuple[SettingValue | None, ...]:
        return self._catalog.setting_values(
            organisation_id, keys, account_id=account.account_id, customer_id=account.customer_id
        )

    def _bound(self) -> None:
        if len(self._schemas) + len(self._accounts) + len(self._booked) >= ENTRIES_MAX:
            self._schemas.clear()
            self._accounts.clear()
            self._booked.clear()


def _getter(names: Collection[str]) -> Callable[[Mapping[str, str]], object]:
    """What raises `KeyError` for a mapping that lacks one of the names."""
    return itemgetter(*names) if names else lambda _: None


def _cycle_deadline(schedule: PricingSchedule, event_date: date) -> int:
    _, end = cycle_containing(schedule.cycle, event_date, within=(schedule.start_date, schedule.end_date))
    return microseconds_since_1970(grace_deadline(end, schedule.cycle.grace_days))


def _of_others(
    entries: dict[tuple[str, str], Entry], organisation_ids: Collection[str]
) -> dict[tuple[str, str], Entry]:
    """The entries of all organisations but these."""
    if not organisation_ids:
        return entries
    return {key: entry for key, entry in entries.items() if key[0] not in organisation_ids}


def _booking(meter_id: str, meter: UsageMeter | None) -> SchemaProgram:
    if meter is None or meter.status is not MeterStatus.ACTIVE:
        reason = f"no active usage meter has the id {meter_id[:100]!r}"
        return SchemaProgram(BOOKED_USAGE_SCHEMA, (), partial(_unavailable, reason))
    return SchemaProgram(BOOKED_USAGE_SCHEMA, (meter,), partial(_booked_units, meter.aggregation))


def _booked_units(
    aggregation: Aggregation, attributes: Mapping[str, str], _: Mapping[str, str]
) -> tuple[Made | None, ...]:
    units = Decimal(attributes[BOOKED_UNITS])
    return (plain_text(units) if aggregation is Aggregation.DISTINCT_COUNT else units,)


def _unavailable(reason: str, _: Mapping[str, str], __: Mapping[str, str]) -> tuple[Made | None, ...]:
    raise MeterUnavailable(reason)
