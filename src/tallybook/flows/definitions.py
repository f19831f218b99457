"""The definitions in force, as metering needs them: compiled, cached, and never older than the catalogue says.

The catalogue numbers its changes. `refresh` reads the changes since the last look and forgets just what they touch, so a
thousand new accounts do not make the cache load everything again.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta
from decimal import Decimal

from tallybook.core.account import Account, AccountStatus
from tallybook.core.event_schema import EventSchema
from tallybook.core.instant import EPOCH, instant_at, microseconds_since_1970
from tallybook.core.period import cycle_containing, grace_deadline
from tallybook.core.price_plan import PricingSchedule
from tallybook.core.usage_meter import UsageMeter, compile_meters
from tallybook.storage.catalog import Catalog

MICROSECONDS_PER_DAY = 86_400_000_000
ENTRIES_MAX = 500_000  # about 500 MB of accounts at the worst; then the cache starts again from empty


class SchemaProgram:
    """An event schema in force with its active meters, compiled."""

    def __init__(self, schema: EventSchema, meters: tuple[UsageMeter, ...]) -> None:
        self.schema = schema
        self.meters = meters
        self.meter_ids = [meter.meter_id for meter in meters]
        self.meter_versions = [meter.version for meter in meters]
        self.no_units: tuple[Decimal | None, ...] = (None,) * len(meters)
        self.attribute_names = frozenset(attribute.name for attribute in schema.attributes)
        self.dimension_names = frozenset(dimension.name for dimension in schema.dimensions)
        self.units_of: Callable[[Mapping[str, str], Mapping[str, str]], tuple[Decimal | None, ...]] = compile_meters(
            schema, meters
        )


class AccountEntry:
    """An account with the questions that metering asks of it, each answered once for a day of event time."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.account_id = account.account_id
        self._deadlines: dict[int, int | None] = {}

    def deadline(self, event_time: int) -> int | None:
        """The last instant of receipt for an event of that time; None without a plan. Microseconds since 1970."""
        day = event_time // MICROSECONDS_PER_DAY
        if day not in self._deadlines:
            self._deadlines[day] = self._deadline(day)
        return self._deadlines[day]

    def _deadline(self, day: int) -> int | None:
        event_date = (EPOCH + timedelta(days=day)).date()
        for schedule in self.account.schedules:
            if schedule.start_date <= event_date < schedule.end_date:
                return _cycle_deadline(schedule, event_date)
        return None


class Definitions:
    """Schemas and accounts by organisation and name, read when first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = 0
        self._schemas: dict[tuple[str, str], SchemaProgram | None] = {}
        self._accounts: dict[tuple[str, str], tuple[AccountEntry, ...]] = {}

    def refresh(self) -> int:
        """Forget what has changed since the last call; return the version everything read from now on has at least."""
        accounts: set[tuple[str, str]] = set()
        organisations: set[str] = set()
        for change in self._catalog.changes_since(self._version):
            self._version = change.version
            match change.kind:
                case "event_schema" | "usage_meter":
                    self._schemas.pop((change.organisation_id, change.name), None)
                case "account":
                    accounts.add((change.organisation_id, change.name))
                case "price_plan":
                    organisations.add(change.organisation_id)
        if accounts or organisations:
            self._accounts = {
                (organisation_id, reference): entries
                for (organisation_id, reference), entries in self._accounts.items()
                if entries  # an unknown reference may be one of the new accounts
                and organisation_id not in organisations
                and (organisation_id, reference) not in accounts
                and all((organisation_id, entry.account_id) not in accounts for entry in entries)
            }
        return self._version

    def load(self, organisation_id: str, *, schema_names: Collection[str], references: Collection[str]) -> None:
        """Read the schemas by these names and the accounts behind these ids and aliases, those not known yet."""
        for entries in (self._schemas, self._accounts):
            if len(entries) >= ENTRIES_MAX:
                entries.clear()
        for name in schema_names:
            if (organisation_id, name) not in self._schemas:
                found = self._catalog.schema_in_force(organisation_id, name)
                self._schemas[organisation_id, name] = SchemaProgram(*found) if found else None
        unknown = [reference for reference in references if (organisation_id, reference) not in self._accounts]
        if unknown:
            self._load_accounts(organisation_id, unknown)

    def schema(self, organisation_id: str, name: str) -> SchemaProgram | None:
        """The schema in force by that name with its active meters, or None; loaded before."""
        return self._schemas[organisation_id, name]

    def account(self, organisation_id: str, reference: str, event_time: int) -> AccountEntry | None:
        """The account with that id, else the one that has the alias at that time (microseconds since 1970); loaded before."""
        entries = self._accounts[organisation_id, reference]
        for entry in entries:
            if entry.account_id == reference:
                return entry
        for entry in entries:
            if _has_alias(entry.account, reference, event_time):
                return entry
        return None

    def _load_accounts(self, organisation_id: str, references: Collection[str]) -> None:
        found = self._catalog.accounts_by_reference(organisation_id, references)
        for reference in references:
            self._accounts[organisation_id, reference] = tuple(
                AccountEntry(account)
                for account in found.get(reference, ())
                if account.status is not AccountStatus.ARCHIVED
            )


def _has_alias(account: Account, reference: str, event_time: int) -> bool:
    at = instant_at(event_time)
    return any(
        window.alias == reference and window.effective_from <= at < window.effective_until for window in account.aliases
    )


def _cycle_deadline(schedule: PricingSchedule, event_date: date) -> int:
    _, end = cycle_containing(schedule.cycle, event_date, within=(schedule.start_date, schedule.end_date))
    return microseconds_since_1970(grace_deadline(end, schedule.cycle.grace_days))
