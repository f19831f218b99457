"""The definitions in force, as metering needs them: compiled, cached, and never older than the catalogue says.

The catalogue numbers its changes. `refresh` reads the changes since the last look and forgets just what they touch, so
a thousand new accounts do not make the cache load everything again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal

from tallybook.core.account import Account, AccountStatus
from tallybook.core.event_schema import EventSchema
from tallybook.core.instant import EPOCH, microseconds_since_1970
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


class AccountCandidates:
    """The accounts that one reference may mean: the one with that id, else whoever has it as an alias at the time."""

    def __init__(self, reference: str, accounts: Iterable[Account]) -> None:
        usable = [account for account in accounts if account.status is not AccountStatus.ARCHIVED]
        self.account_ids = frozenset(account.account_id for account in usable)
        self._with_id = next((AccountEntry(each) for each in usable if each.account_id == reference), None)
        self._with_alias = [
            (microseconds_since_1970(window.effective_from), microseconds_since_1970(window.effective_until), entry)
            for entry in map(AccountEntry, usable)
            for window in entry.account.aliases
            if window.alias == reference
        ]

    def at(self, event_time: int) -> AccountEntry | None:
        """The account that the reference means at that time (microseconds since 1970)."""
        if self._with_id is not None:
            return self._with_id
        return next((entry for start, end, entry in self._with_alias if start <= event_time < end), None)


class Definitions:
    """Schemas and accounts by organisation and name, read when first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = 0
        self._schemas: dict[tuple[str, str], SchemaProgram | None] = {}
        self._accounts: dict[tuple[str, str], AccountCandidates] = {}

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
                (organisation_id, reference): candidates
                for (organisation_id, reference), candidates in self._accounts.items()
                if organisation_id not in organisations
                and (organisation_id, reference) not in accounts
                and all((organisation_id, account_id) not in accounts for account_id in candidates.account_ids)
            }
        return self._version

    def schemas(self, organisation_id: str, names: Collection[str]) -> dict[str, SchemaProgram | None]:
        """The schemas in force by these names with their active meters; None where there is none."""
        self._bound()
        return {name: self._schema(organisation_id, name) for name in names}

    def accounts(self, organisation_id: str, references: Collection[str]) -> dict[str, AccountCandidates]:
        """The accounts that these ids and aliases may mean."""
        self._bound()
        unknown = [reference for reference in references if (organisation_id, reference) not in self._accounts]
        if unknown:
            found = self._catalog.accounts_by_reference(organisation_id, unknown)
            for reference in unknown:
                self._accounts[organisation_id, reference] = AccountCandidates(reference, found.get(reference, ()))
        return {reference: self._accounts[organisation_id, reference] for reference in references}

    def _schema(self, organisation_id: str, name: str) -> SchemaProgram | None:
        key = (organisation_id, name)
        if key not in self._schemas:
            found = self._catalog.schema_in_force(organisation_id, name)
            self._schemas[key] = SchemaProgram(*found) if found else None
        return self._schemas[key]

    def _bound(self) -> None:
        for entries in (self._schemas, self._accounts):
            if len(entries) >= ENTRIES_MAX:
                entries.clear()


def _cycle_deadline(schedule: PricingSchedule, event_date: date) -> int:
    _, end = cycle_containing(schedule.cycle, event_date, within=(schedule.start_date, schedule.end_date))
    return microseconds_since_1970(grace_deadline(end, schedule.cycle.grace_days))
