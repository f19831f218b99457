"""Changing how many licences an account holds, each change in one transaction."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import check_not_archived
from tallybook.core.add_on import AddOnType
from tallybook.core.errors import Conflict, Invalid, NotFound
from tallybook.core.licence import (
    UPDATES_MAX,
    LicenceUpdate,
    check_licence_metadata,
    check_licence_update,
    quantities_after,
)
from tallybook.flows.define import check_room
from tallybook.storage import accounts, add_ons, licences
from tallybook.storage.database import Database
from tallybook.storage.licences import LicenceEntry, updates_in


def update_licence(database: Database, organisation_id: str, update: LicenceUpdate) -> LicenceEntry:
    """Add the update; sent again with its idempotency key, it changes nothing. Raises `Invalid` or `Conflict`.

    It may take effect in the past, but on no day that a finalised invoice covers. An archived account takes none.
    """
    with database.write() as connection:
        return put_update(connection, organisation_id, update)


def put_update(connection: Connection, organisation_id: str, update: LicenceUpdate) -> LicenceEntry:
    """The same, in a transaction of the caller's."""
    check_licence_update(update)
    _check_known(connection, organisation_id, update)
    repeated = _repeated(connection, organisation_id, update)
    if repeated is not None:
        return repeated
    _check_not_invoiced(connection, organisation_id, update)
    count = licences.count_updates(connection, organisation_id, update.account_id, update.add_on_id)
    check_room(count, UPDATES_MAX, f"updates of licence {update.add_on_id!r} of account {update.account_id!r}")
    return _added(connection, organisation_id, update)


def edit_metadata(
    database: Database,
    organisation_id: str,
    account_id: str,
    add_on_id: str,
    effective_from: datetime,
    metadata: Mapping[str, str],
) -> LicenceEntry:
    """Replace the metadata of the account's latest update that takes effect then. Raises `NotFound` or `Invalid`."""
    check_licence_metadata(metadata)
    with database.write() as connection:
        entries = licences.updates_of(connection, organisation_id, account_id, add_on_id, until=effective_from)
        if not entries or entries[-1].update.effective_from != effective_from:
            raise NotFound(f"no update of licence {add_on_id!r} of account {account_id!r} at {effective_from}")
        return licences.set_metadata(connection, entries[-1], metadata)


def _check_known(connection: Connection, organisation_id: str, update: LicenceUpdate) -> None:
    account = accounts.account(connection, organisation_id, update.account_id)
    if account is None:
        raise Invalid(f"accountId: no account {update.account_id!r}", code="UNKNOWN_ACCOUNT")
    check_not_archived(account)
    add_on = add_ons.find_add_on(connection, organisation_id, update.add_on_id)
    if add_on is None or add_on.definition.type is not AddOnType.LICENSE:
        raise Invalid(f"licenseId: no add-on {update.add_on_id!r} of type LICENSE", code="UNKNOWN_ADD_ON")


def _repeated(connection: Connection, organisation_id: str, update: LicenceUpdate) -> LicenceEntry | None:
    if update.idempotency_key is None:
        return None
    before = licences.update_with_key(connection, organisation_id, update.idempotency_key)
    if before is None:
        return None
    # Without an instant of its own, a repetition takes that of the first.
    at = before.update.effective_from if update.effective_from == update.created_at else update.effective_from
    same = msgspec.structs.replace(update, created_at=before.update.created_at, effective_from=at)
    if same != before.update:
        raise Conflict(
            f"idempotencyKey: {update.idempotency_key!r} was sent with another update", code="ALREADY_EXISTS"
        )
    return before


def _check_not_invoiced(connection: Connection, organisation_id: str, update: LicenceUpdate) -> None:
    day = update.effective_from.date()
    until = accounts.invoiced_until(
        connection, organisation_id, update.account_id, start=day, end=day + timedelta(days=1)
    )
    if until is not None:
        raise Conflict(
            f"effectiveFrom: account {update.account_id!r} has an invoice for the days before {until};"
            " let the update take effect from then on",
            code="ALREADY_INVOICED",
        )


def _added(connection: Connection, organisation_id: str, update: LicenceUpdate) -> LicenceEntry:
    """Put the update in its place, and note anew what is held after those that take effect later."""
    entries = licences.updates_of(connection, organisation_id, update.account_id, update.add_on_id)
    place = sum(entry.update.effective_from <= update.effective_from for entry in entries)
    updates = updates_in(entries)
    held = quantities_after([*updates[:place], update, *updates[place:]])
    for entry, quantity in zip(entries[place:], held[place + 1 :], strict=True):
        licences.set_held(connection, entry.update_id, quantity)
    update_id = licences.add_update(connection, organisation_id, update, held=held[place])
    return LicenceEntry(update_id=update_id, update=update, held=held[place])
