"""The definitions of every organisation, for whoever needs one call at a time.

A flow that reads and writes several things in one transaction uses the functions of `accounts`, `schemas` and `plans`
on a connection instead.
"""

from collections.abc import Collection, Sequence

from tallybook.core.account import Account
from tallybook.core.customer import Customer
from tallybook.core.event_schema import EventSchema
from tallybook.core.price_plan import PricePlan
from tallybook.core.setting import OrganisationChoices, SettingKey, SettingValue
from tallybook.core.usage_meter import UsageMeter
from tallybook.storage import accounts, customers, definition_rows, plans, schemas, settings
from tallybook.storage.accounts import Organisation
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import Change


class Catalog:
    """The definitions of every organisation, each call in a transaction of its own. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def version(self) -> int:
        """The number of the latest change; 0 before the first."""
        with self.database.read() as connection:
            return definition_rows.version(connection)

    def changes_since(self, known: int) -> list[Change]:
        """The changes after version `known`, in order."""
        with self.database.read() as connection:
            return definition_rows.changes_since(connection, known)

    def organisations(self) -> list[Organisation]:
        """Every organisation, by id."""
        with self.database.read() as connection:
            return accounts.organisations(connection)

    def base_currency(self, organisation_id: str) -> str | None:
        """The currency the organisation reports in."""
        with self.database.read() as connection:
            found = accounts.organisation_of(connection, organisation_id)
        return found.base_currency if found else None

    def customer(self, organisation_id: str, customer_id: str) -> Customer | None:
        """The customer with that id."""
        with self.database.read() as connection:
            found = customers.find_customer(connection, organisation_id, customer_id)
        return found.definition if found else None

    def customers_by_account(self, organisation_id: str) -> dict[str, str]:
        """The customer id of each account id of the organisation."""
        with self.database.read() as connection:
            return accounts.customers_by_account(connection, organisation_id)

    def account(self, organisation_id: str, account_id: str) -> Account | None:
        """The account with that id, with its aliases and schedules."""
        with self.database.read() as connection:
            return accounts.account(connection, organisation_id, account_id)

    def accounts_by_reference(self, organisation_id: str, references: Collection[str]) -> dict[str, list[Account]]:
        """The accounts each reference may mean: the one with that id, and those that have or had it as an alias.

        A reference that names nothing is left out. Which of several it means depends on the time of the event.
        """
        with self.database.read() as connection:
            return accounts.accounts_by_reference(connection, organisation_id, references)

    def accounts_with_schedules(self, organisation_id: str, *, after: str | None, limit: int) -> list[Account]:
        """Up to `limit` accounts that have or had a price plan, by id, those behind the id `after`."""
        with self.database.read() as connection:
            return accounts.accounts_with_schedules(connection, organisation_id, after=after, limit=limit)

    def event_schema(self, organisation_id: str, name: str, version: int | None = None) -> EventSchema | None:
        """That version of the event schema, or its latest."""
        with self.database.read() as connection:
            found = schemas.event_schema(connection, organisation_id, name, version)
        return found.definition if found else None

    def schema_in_force(self, organisation_id: str, name: str) -> tuple[EventSchema, tuple[UsageMeter, ...]] | None:
        """The active version of the schema with its active meters, by meter id; None if no version is active."""
        with self.database.read() as connection:
            return schemas.schema_in_force(connection, organisation_id, name)

    def usage_meter(self, organisation_id: str, meter_id: str) -> UsageMeter | None:
        """The latest version of the meter."""
        with self.database.read() as connection:
            found = schemas.usage_meter(connection, organisation_id, meter_id)
        return found.definition if found else None

    def choices(self, organisation_id: str) -> OrganisationChoices:
        """What the organisation has chosen, with the defaults for what it has not."""
        with self.database.read() as connection:
            return settings.choices_of(connection, organisation_id)

    def setting_values(
        self, organisation_id: str, keys: Sequence[SettingKey], *, account_id: str, customer_id: str
    ) -> tuple[SettingValue | None, ...]:
        """What each key means for the account, in the order of the keys; None where no setting is there."""
        with self.database.read() as connection:
            return settings.values_for_account(
                connection, organisation_id, keys, account_id=account_id, customer_id=customer_id
            )

    def price_plan(self, organisation_id: str, plan_id: str, version: int | None = None) -> PricePlan | None:
        """That version of the price plan, or its latest."""
        with self.database.read() as connection:
            return plans.price_plan(connection, organisation_id, plan_id, version)
