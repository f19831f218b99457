"""Creating invoice groups, and letting accounts join and leave them, each in one transaction."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.invoice_group import (
    InvoiceGroup,
    check_account_ids,
    check_group,
    check_may_join,
    check_room_in_group,
)
from tallybook.flows.define import check_room
from tallybook.storage import accounts, custom_invoices, invoice_groups
from tallybook.storage.database import Database
from tallybook.storage.definition_rows import Stored
from tallybook.storage.invoice_groups import CountedGroup

GROUPS_MAX = 100_000  # groups are made of accounts, which are as many


def create_group(
    database: Database, organisation_id: str, group: InvoiceGroup, account_ids: Sequence[str], *, now: datetime
) -> CountedGroup:
    """Add a group with its first accounts, in their currency: `group.currency` is replaced.

    Sent again, it finds the accounts in the group that it made. Raises `Invalid` or `Conflict`.
    """
    check_group(group)
    check_account_ids(account_ids)
    with database.write() as connection:
        check_room(invoice_groups.count_groups(connection, organisation_id), GROUPS_MAX, "invoice groups")
        joining = [_named_account(connection, organisation_id, account_id) for account_id in account_ids]
        group = msgspec.structs.replace(group, currency=joining[0].currency)
        _check_may_join(connection, organisation_id, group, joining)
        invoice_groups.add_group(connection, organisation_id, group, now=now)
        invoice_groups.add_accounts(connection, organisation_id, group.group_id, account_ids, now=now)
    return CountedGroup(group=Stored(definition=group, created_at=now, updated_at=now), accounts_count=len(account_ids))


def add_accounts(
    database: Database, organisation_id: str, group_id: str, account_ids: Sequence[str], *, now: datetime
) -> CountedGroup:
    """Let accounts join a group; those that are in it already stay. Raises `NotFound`, `Invalid` or `Conflict`."""
    check_account_ids(account_ids)
    with database.write() as connection:
        group = found_group(connection, organisation_id, group_id)
        members = set(invoice_groups.accounts_in(connection, organisation_id, group_id))
        joining = [each for each in account_ids if each not in members]
        check_room_in_group(len(members) + len(joining))
        named = [_named_account(connection, organisation_id, account_id) for account_id in joining]
        _check_may_join(connection, organisation_id, group.definition, named)
        invoice_groups.add_accounts(connection, organisation_id, group_id, joining, now=now)
        changed = found_group(connection, organisation_id, group_id)
        return CountedGroup(group=changed, accounts_count=len(members) + len(joining))


def remove_accounts(
    database: Database, organisation_id: str, group_id: str, account_ids: Sequence[str], *, now: datetime
) -> None:
    """Let accounts leave a group, which goes with the last of them; those that are not in it are passed over.

    Raises `NotFound`, `Invalid` or `Conflict`.
    """
    check_account_ids(account_ids)
    with database.write() as connection:
        found_group(connection, organisation_id, group_id)
        for account_id in account_ids:
            _named_account(connection, organisation_id, account_id)
        _leave(connection, organisation_id, group_id, account_ids, now)


def leave_group(connection: Connection, organisation_id: str, account_id: str, *, now: datetime) -> None:
    """Take an account that is archived out of its group, if it is in one."""
    group = invoice_groups.groups_by_account(connection, organisation_id, [account_id]).get(account_id)
    if group is not None:
        _leave(connection, organisation_id, group.group_id, [account_id], now)


def found_group(connection: Connection, organisation_id: str, group_id: str) -> Stored[InvoiceGroup]:
    """The group with that id. Raises `NotFound`."""
    found = invoice_groups.find_group(connection, organisation_id, group_id)
    if found is None:
        raise NotFound(f"no invoice group {group_id[:100]!r}")
    return found


def _leave(
    connection: Connection, organisation_id: str, group_id: str, account_ids: Sequence[str], now: datetime
) -> None:
    invoice_groups.remove_accounts(connection, organisation_id, group_id, account_ids, now=now)
    if not invoice_groups.accounts_in(connection, organisation_id, group_id):
        _check_no_drafts(connection, organisation_id, group_id)
        invoice_groups.delete_group(connection, organisation_id, group_id)


def _check_no_drafts(connection: Connection, organisation_id: str, group_id: str) -> None:
    """Refuse to delete a group for which an invoice is being written by hand: nobody would be billed for it."""
    drafts = custom_invoices.custom_drafts(connection, organisation_id, [group_id]).get(group_id, ())
    for draft in drafts:
        raise Conflict(
            f"the group would go with its last account, and invoice {draft.invoice_id} is a draft for it; issue or "
            "delete that first",
            code="ONGOING_INVOICE",
        )


def _named_account(connection: Connection, organisation_id: str, account_id: str) -> Account:
    account = accounts.account(connection, organisation_id, account_id)
    if account is None:
        raise Invalid(f"accountIds: no account {account_id[:100]!r}; create it first", code="UNKNOWN_ACCOUNT")
    return account


def _check_may_join(
    connection: Connection, organisation_id: str, group: InvoiceGroup, joining: Sequence[Account]
) -> None:
    ids = [account.account_id for account in joining]
    for account_id, other in invoice_groups.groups_by_account(connection, organisation_id, ids).items():
        raise Conflict(
            f"account {account_id!r} is in group {other.name[:100]!r}, {other.group_id}; an account is in one group at "
            "most",
            code="ACCOUNT_IN_GROUP",
        )
    for account in joining:
        check_may_join(account, group.currency)
