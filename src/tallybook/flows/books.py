"""What is stored about some accounts, read at once: a bill run opens one for each page of accounts, a draft for one.

Everything is read when it is first asked for, for all accounts of the page together, so the number of queries does not
grow with them. Books are true for the transaction that they are read in, until it writes.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.credit import UsableCredit
from tallybook.core.customer import Customer
from tallybook.core.errors import NotFound
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.core.licence import LicenceUpdate
from tallybook.core.period import Window, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.setting import OrganisationChoices
from tallybook.core.tax import TaxRate
from tallybook.core.usage_meter import UsageMeter
from tallybook.storage import (
    credits,
    customers,
    invoice_groups,
    late_usage,
    ledger,
    licences,
    miscellaneous_charges,
    plans,
    schemas,
    settings,
    wallets,
)
from tallybook.storage.miscellaneous_charges import NO_CHARGES, PendingCharges
from tallybook.storage.usage import UsageRow, read_positions, usage_of_accounts

ChargedByDay = Mapping[date, Mapping[str, Decimal]]
"""What was charged in advance: by the first day of the cycle, then by add-on id."""


class Books:
    """Lookups by account id; an account for which nothing is stored has the empty answer."""

    def __init__(self, connection: Connection, organisation_id: str, accounts: Sequence[Account]) -> None:
        self.connection = connection
        self.organisation_id = organisation_id
        self._accounts = {account.account_id: account for account in accounts}
        self._plans: dict[tuple[str, int], PricePlan] = {}
        self._meters: dict[str, UsageMeter] = {}
        self._usage: dict[Window, Mapping[str, list[UsageRow]]] = {}
        self._charged: dict[Window, Mapping[str, ChargedByDay]] = {}

    def again(self, account: Account) -> "Books":
        """Books of one account, read again because billing has written; definitions it does not write are kept."""
        books = Books(self.connection, self.organisation_id, [account])
        books._plans, books._meters = self._plans, self._meters
        books.choices = self.choices
        return books

    # ---- definitions ---------------------------------------------------------------------------------------------

    def plan(self, plan_id: str, version: int) -> PricePlan:
        """That version of the plan. Raises `NotFound`."""
        if (plan_id, version) not in self._plans:
            found = plans.price_plan(self.connection, self.organisation_id, plan_id, version)
            if found is None:
                raise NotFound(f"no price plan {plan_id!r} version {version}, which a schedule names")
            self._plans[plan_id, version] = found
        return self._plans[plan_id, version]

    @property
    def plans(self) -> Mapping[tuple[str, int], PricePlan]:
        """The plans that were asked for, by id and version."""
        return self._plans

    def meters(self, meter_ids: Sequence[str]) -> list[UsageMeter]:
        """The meters of those ids in their order. Raises `NotFound`."""
        unknown = [meter_id for meter_id in meter_ids if meter_id not in self._meters]
        if unknown:
            self._meters.update(schemas.meters_with_ids(self.connection, self.organisation_id, unknown))
        for meter_id in meter_ids:
            if meter_id not in self._meters:
                raise NotFound(f"no usage meter {meter_id!r}, which a price plan names")
        return [self._meters[meter_id] for meter_id in meter_ids]

    @cached_property
    def choices(self) -> OrganisationChoices:
        """What the organisation has chosen."""
        return settings.choices_of(self.connection, self.organisation_id)

    @cached_property
    def positions(self) -> tuple[tuple[int, int], ...]:
        """The partitions of the event log, each with the position through which usage counts."""
        return read_positions(self.connection)

    # ---- accounts ------------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that these books are about."""
        return tuple(self._accounts.values())

    def account(self, account_id: str) -> Account:
        """One of them."""
        return self._accounts[account_id]

    def customer(self, account: Account) -> Customer:
        """Whose account it is. Raises `NotFound`."""
        found = self._customers.get(account.customer_id)
        if found is None:
            raise NotFound(f"no customer {account.customer_id!r}, whose account {account.account_id!r} is")
        return found

    def usage(self, account_id: str, window: Window) -> list[UsageRow]:
        """The account's usage on the days of the window, by meter and hour."""
        if window not in self._usage:
            start, end = midnight(window.start), midnight(window.end)
            self._usage[window] = usage_of_accounts(
                self.connection, self.organisation_id, self._accounts, start=start, end=end
            )
        return self._usage[window].get(account_id, [])

    def charged_in_advance(self, account_id: str, window: Window) -> ChargedByDay:
        """What invoices charged in advance for cycles that begin in the window or on the day it ends."""
        if window not in self._charged:
            self._charged[window] = ledger.charged_in_advance(
                self.connection, self.organisation_id, self._accounts, window
            )
        return self._charged[window].get(account_id, {})

    def invoiced_starts(self, account_id: str) -> set[date]:
        """The first days of the account's cycles that have their invoice."""
        return self._invoiced_starts.get(account_id, set())

    def licence_updates(self, account_id: str, add_on_id: str, *, until: datetime) -> list[LicenceUpdate]:
        """The account's updates of a licence that have taken effect by then, in the order of their effect."""
        updates = self._licence_updates.get((account_id, add_on_id), [])
        return [update for update in updates if update.effective_from <= until]

    def has_licences(self, account_id: str) -> bool:
        """Whether the account ever held a licence."""
        return any(holder == account_id for holder, _ in self._licence_updates)

    def credits(self, account_id: str) -> tuple[UsableCredit, ...]:
        """The account's credits with something left."""
        return self._credits.get(account_id, ())

    def pending_charges(self, account_id: str) -> PendingCharges:
        """The miscellaneous charges that wait for the account's invoices."""
        return self._pending_charges.get(account_id, NO_CHARGES)

    def tax_rates(self, account_id: str) -> tuple[TaxRate, ...]:
        """The account's rates of tax."""
        return self._tax_rates.get(account_id, ())

    def late_invoices(self, account_id: str) -> tuple[str, ...]:
        """The ids of the account's invoices whose usage has changed since."""
        return self._late_invoices.get(account_id, ())

    def has_money(self, account_id: str) -> bool:
        """Whether there is something in the account's wallet."""
        return account_id in self._funded

    def group(self, account_id: str) -> InvoiceGroup | None:
        """The invoice group that the account is in."""
        return self._groups.get(account_id)

    # ---- read once for the page ----------------------------------------------------------------------------------

    @cached_property
    def _customers(self) -> Mapping[str, Customer]:
        ids = {account.customer_id for account in self._accounts.values()}
        return customers.customers_with_ids(self.connection, self.organisation_id, ids)

    @cached_property
    def _invoiced_starts(self) -> Mapping[str, set[date]]:
        return ledger.invoiced_starts(self.connection, self.organisation_id, self._accounts)

    @cached_property
    def _licence_updates(self) -> Mapping[tuple[str, str], list[LicenceUpdate]]:
        return licences.updates_of_accounts(self.connection, self.organisation_id, self._accounts)

    @cached_property
    def _credits(self) -> Mapping[str, tuple[UsableCredit, ...]]:
        return credits.unspent_credits(self.connection, self.organisation_id, self._accounts)

    @cached_property
    def _pending_charges(self) -> Mapping[str, PendingCharges]:
        return miscellaneous_charges.pending_charges(self.connection, self.organisation_id, self._accounts)

    @cached_property
    def _tax_rates(self) -> Mapping[str, tuple[TaxRate, ...]]:
        whose = {account.account_id: account.customer_id for account in self._accounts.values()}
        return settings.tax_rates_of(self.connection, self.organisation_id, whose)

    @cached_property
    def _late_invoices(self) -> Mapping[str, tuple[str, ...]]:
        return late_usage.noted_invoices(self.connection, self.organisation_id, self._accounts)

    @cached_property
    def _funded(self) -> Collection[str]:
        return wallets.funded_accounts(self.connection, self.organisation_id, self._accounts)

    @cached_property
    def _groups(self) -> Mapping[str, InvoiceGroup]:
        return invoice_groups.groups_by_account(self.connection, self.organisation_id, self._accounts)
