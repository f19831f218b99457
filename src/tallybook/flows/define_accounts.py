"""Customers and accounts: creating, changing and archiving them, and giving accounts other names.

Each is one transaction. What a customer or an account must be like by itself is checked in the core; here is what
depends on the others.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import (
    Account,
    AccountAlias,
    AccountChanges,
    AccountStatus,
    AliasWindow,
    changed_account,
    check_account,
    check_account_transition,
    check_aliases,
    check_not_archived,
    cut_alias,
    since_free,
)
from tallybook.core.customer import (
    CONTACTS_MAX,
    Contact,
    Customer,
    CustomerChanges,
    CustomerStatus,
    changed_customer,
    check_contact,
    check_customer,
    check_path_id,
)
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.period import FOREVER, cycles_started_by
from tallybook.core.setting import Setting
from tallybook.flows.define import check_room
from tallybook.flows.define_invoice_groups import leave_group
from tallybook.flows.define_settings import add_setting
from tallybook.storage import accounts, aliases, customers, ledger
from tallybook.storage.aliases import Alias
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import Stored


class AliasEnd(msgspec.Struct, frozen=True, kw_only=True):
    """From `at` on, the window of that id names the account no more; None is now."""

    alias_id: str
    at: datetime | None = None


def base_currency(database: Database, organisation_id: str) -> str:
    """The currency of accounts that name none."""
    with database.read() as connection:
        organisation = accounts.organisation_of(connection, organisation_id)
    assert organisation is not None, "whoever has a key of an organisation made it exist"
    return organisation.base_currency


# ---- customers ---------------------------------------------------------------------------------------------------


def create_customer(
    database: Database,
    organisation_id: str,
    customer: Customer,
    account: Account,
    *,
    customer_settings: Sequence[Setting] = (),
    account_settings: Sequence[Setting] = (),
    now: datetime,
) -> Account:
    """Add a customer with its first account, and return that. Raises `Invalid` or `Conflict`."""
    check_customer(customer)
    with _located("account."):
        check_account(account)
    assert account.customer_id == customer.customer_id, "the first account belongs to its customer"
    with database.write() as connection:
        customers.add_customer(connection, organisation_id, customer, now=now)
        _add_settings(connection, organisation_id, customer_settings, now)
        with _located("account."):
            return _added(connection, organisation_id, account, account_settings, now)


def update_customer(
    database: Database, organisation_id: str, customer_id: str, changes: CustomerChanges, *, now: datetime
) -> Stored[Customer]:
    """Change what the customer is called and where it is. Raises `NotFound`, `Invalid` or `Conflict`."""
    with database.write() as connection:
        stored = found_customer(connection, organisation_id, customer_id)
        _check_active(stored.definition)
        changed = changed_customer(stored.definition, changes)
        customers.replace_customer(connection, organisation_id, changed, now=now)
        return Stored(definition=changed, created_at=stored.created_at, updated_at=now)


def archive_customer(database: Database, organisation_id: str, customer_id: str, *, now: datetime) -> None:
    """Archive the customer with all its accounts; does nothing when it is. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        customer = found_customer(connection, organisation_id, customer_id).definition
        if customer.status is CustomerStatus.ARCHIVED:
            return
        for account in accounts.accounts_of_customer(connection, organisation_id, customer_id):
            if account.status is not AccountStatus.ARCHIVED:
                _archive(connection, organisation_id, account, now)
        archived = msgspec.structs.replace(customer, status=CustomerStatus.ARCHIVED)
        customers.replace_customer(connection, organisation_id, archived, now=now)


def add_contact(database: Database, organisation_id: str, contact: Contact) -> None:
    """Add somebody at a customer. Raises `NotFound`, `Invalid` or `Conflict`."""
    check_contact(contact)
    with database.write() as connection:
        _check_active(found_customer(connection, organisation_id, contact.customer_id).definition)
        count = customers.count_contacts(connection, organisation_id, contact.customer_id)
        check_room(count, CONTACTS_MAX, f"contacts of customer {contact.customer_id!r}")
        customers.add_contact(connection, organisation_id, contact)


def found_customer(connection: Connection, organisation_id: str, customer_id: str) -> Stored[Customer]:
    """The customer with that id. Raises `NotFound`."""
    stored = customers.find_customer(connection, organisation_id, customer_id)
    if stored is None:
        raise NotFound(f"no customer {customer_id!r}")
    return stored


def _check_active(customer: Customer) -> None:
    if customer.status is CustomerStatus.ARCHIVED:
        raise Conflict(f"customer {customer.customer_id!r} is archived, which is for good", code="CUSTOMER_ARCHIVED")


# ---- accounts ----------------------------------------------------------------------------------------------------


def create_account(
    database: Database,
    organisation_id: str,
    account: Account,
    *,
    account_settings: Sequence[Setting] = (),
    now: datetime,
) -> Account:
    """Add an account to a customer that is there. Raises `Invalid` or `Conflict`."""
    check_account(account)
    with database.write() as connection:
        customer = customers.find_customer(connection, organisation_id, account.customer_id)
        if customer is None:
            raise Invalid(f"customerId: no customer {account.customer_id!r}; create it first", code="UNKNOWN_CUSTOMER")
        _check_active(customer.definition)
        return _added(connection, organisation_id, account, account_settings, now)


def update_account(
    database: Database, organisation_id: str, account_id: str, changes: AccountChanges, *, now: datetime
) -> Account:
    """Change an account that is not archived. Raises `NotFound`, `Invalid` or `Conflict`."""
    with database.write() as connection:
        changed = changed_account(found_account(connection, organisation_id, account_id), changes)
        accounts.replace_account(connection, organisation_id, changed, now=now)
        return changed


def archive_account(database: Database, organisation_id: str, account_id: str, *, now: datetime) -> None:
    """Archive the account; does nothing when it is. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        account = found_account(connection, organisation_id, account_id)
        if account.status is not AccountStatus.ARCHIVED:
            _archive(connection, organisation_id, account, now)


def found_account(connection: Connection, organisation_id: str, account_id: str) -> Account:
    """The account with that id. Raises `NotFound`."""
    account = accounts.account(connection, organisation_id, account_id)
    if account is None:
        raise NotFound(f"no account {account_id!r}")
    return account


def _added(
    connection: Connection, organisation_id: str, account: Account, account_settings: Sequence[Setting], now: datetime
) -> Account:
    granted = msgspec.structs.replace(account, aliases=_granted(connection, organisation_id, account.aliases, now))
    accounts.add_account(connection, organisation_id, granted, now=now)
    _add_settings(connection, organisation_id, account_settings, now)
    return granted


def _add_settings(connection: Connection, organisation_id: str, settings: Sequence[Setting], now: datetime) -> None:
    for index, setting in enumerate(settings):
        with _located(f"settings[{index}]."):
            add_setting(connection, organisation_id, setting, now=now)


@contextmanager
def _located(place: str) -> Iterator[None]:
    """Put the place in front of the message of what is refused."""
    try:
        yield
    except (Invalid, Conflict) as error:
        raise type(error)(place + error.message, code=error.code) from None


def _archive(connection: Connection, organisation_id: str, account: Account, now: datetime) -> None:
    """Archive the account and give its aliases free. Raises `Conflict` while something is or will be billed."""
    check_account_transition(account, AccountStatus.ARCHIVED)
    _check_no_plan(account, now)
    _check_all_invoiced(connection, organisation_id, account, now)
    kept = aliases.windows_of_account(connection, organisation_id, account.account_id)
    ends = [AliasEnd(alias_id=each.alias_id) for each in kept]
    _end_windows(connection, organisation_id, account.account_id, ends, now)
    leave_group(connection, organisation_id, account.account_id, now=now)
    archived = msgspec.structs.replace(account, status=AccountStatus.ARCHIVED)
    accounts.replace_account(connection, organisation_id, archived, now=now)


def _check_no_plan(account: Account, now: datetime) -> None:
    for schedule in account.schedules:
        if schedule.end_date > now.date():
            until = "" if schedule.end_date == FOREVER else f" until {schedule.end_date}"
            raise Conflict(
                f"price plan {schedule.plan_id} is attached to account {account.account_id!r}{until}; detach it first",
                code="PRICE_PLAN_ATTACHED",
            )


def _check_all_invoiced(connection: Connection, organisation_id: str, account: Account, now: datetime) -> None:
    invoiced = ledger.invoiced_starts(connection, organisation_id, [account.account_id]).get(account.account_id, set())
    for schedule in account.schedules:
        for window in cycles_started_by(schedule.cycle, now, within=schedule.window):
            if window.start not in invoiced:
                raise Conflict(
                    f"account {account.account_id!r} has an ongoing invoice for the days from {window.start}; "
                    "archive it when that is issued",
                    code="ONGOING_INVOICE",
                )


# ---- aliases -----------------------------------------------------------------------------------------------------


def create_aliases(database: Database, organisation_id: str, values: Sequence[str], *, now: datetime) -> list[Alias]:
    """Make these names known, all of them or none. Raises `Invalid` or `Conflict`."""
    added = []
    with database.write() as connection:
        for index, value in enumerate(values):
            check_path_id(value, f"aliases[{index}].value")
            with _located(f"aliases[{index}].value: "):
                added.append(aliases.add_alias(connection, organisation_id, value, now=now))
    return added


def delete_alias(database: Database, organisation_id: str, value: str, *, now: datetime) -> None:
    """Forget a name that names no account any more. Raises `NotFound` or `Conflict`."""
    with database.write() as connection:
        found_alias(connection, organisation_id, value)
        for each in aliases.windows_of_alias(connection, organisation_id, value):
            if each.window.effective_until > now:
                raise Conflict(
                    f"alias {value!r} names account {each.account_id!r}; remove it from there first",
                    code="ALIAS_IN_USE",
                )
        aliases.delete_alias(connection, organisation_id, value)


def found_alias(connection: Connection, organisation_id: str, value: str) -> Alias:
    """The alias. Raises `NotFound`."""
    alias = aliases.find_alias(connection, organisation_id, value)
    if alias is None:
        raise NotFound(f"no alias {value!r}")
    return alias


def add_aliases(
    database: Database, organisation_id: str, account_id: str, windows: Sequence[AliasWindow], *, now: datetime
) -> Account:
    """Let these names mean the account in these windows, all of them or none.

    A window without a start begins where the alias is free of the accounts that it named before. Raises `NotFound`,
    `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        account = found_account(connection, organisation_id, account_id)
        check_not_archived(account)
        granted = _granted(connection, organisation_id, windows, now)
        check_aliases([*account.aliases, *granted])
        for window in granted:
            aliases.add_window(connection, organisation_id, account_id, window, now=now)
        names = aliases.names_of(granted)
        accounts.note_changed_aliases(connection, organisation_id, account_id, names, now=now)
        return found_account(connection, organisation_id, account_id)


def remove_aliases(
    database: Database,
    organisation_id: str,
    account_id: str,
    values: Collection[str],
    ends: Collection[AliasEnd],
    *,
    now: datetime,
) -> Account:
    """Let the account have these names no more: those of `values` from now on, those of `ends` as each says.

    All or none. What a name meant before stays. Raises `NotFound`, `Invalid` or `Conflict`.
    """
    with database.write() as connection:
        check_not_archived(found_account(connection, organisation_id, account_id))
        kept = aliases.windows_of_account(connection, organisation_id, account_id)
        named = [end for value in values for end in _ends_of(value, kept, account_id, now)]
        _end_windows(connection, organisation_id, account_id, [*named, *ends], now)
        return found_account(connection, organisation_id, account_id)


def _granted(
    connection: Connection, organisation_id: str, windows: Sequence[AliasWindow], now: datetime
) -> tuple[AliasWindow, ...]:
    """The windows with the starts that they get where they name none."""
    held = {
        name: [each.window for each in aliases.windows_of_alias(connection, organisation_id, name)]
        for name in aliases.names_of(windows)
    }
    return tuple(since_free(window, held[window.alias], now=now) for window in windows)


def _ends_of(value: str, kept: Sequence[AccountAlias], account_id: str, now: datetime) -> list[AliasEnd]:
    """How the alias ends now: every window of it that is not over yet."""
    ends = [
        AliasEnd(alias_id=each.alias_id)
        for each in kept
        if each.window.alias == value and each.window.effective_until > now
    ]
    if not ends:
        raise Invalid(f"aliases: {value!r} does not name account {account_id!r}", code="UNKNOWN_ALIAS")
    return ends


def _end_windows(
    connection: Connection, organisation_id: str, account_id: str, ends: Collection[AliasEnd], now: datetime
) -> None:
    """End these windows of the account's, those that are over at that time already being left as they are."""
    kept = {each.alias_id: each for each in aliases.windows_of_account(connection, organisation_id, account_id)}
    changed = []
    for end in {each.alias_id: each for each in ends}.values():
        if end.alias_id not in kept:
            raise Invalid(
                f"accountAliases: account {account_id!r} has no alias of id {end.alias_id!r}", code="UNKNOWN_ALIAS"
            )
        window = kept[end.alias_id].window
        rest = cut_alias(window, now if end.at is None else end.at)
        if rest != window:
            aliases.replace_window(connection, organisation_id, end.alias_id, rest, now=now)
            changed.append(window)
    names = aliases.names_of(changed)
    accounts.note_changed_aliases(connection, organisation_id, account_id, names, now=now)
