"""Custom invoices as they were written, drafts above all; issued ones are in the ledger, and stay here by their keys.

Every function works in a transaction of the caller's.
"""

import hashlib
from collections.abc import Collection, Iterable
from datetime import date, datetime
from enum import Enum

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update

from tallybook.core.custom_invoice import CustomInvoice
from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.storage.definition_rows import definition_text, in_pieces, read_definition, written_at
from tallybook.storage.tables import custom_invoice

_TABLE = custom_invoice


class CustomInvoiceState(Enum):
    """A draft can become either of the others, which stay as they are."""

    DRAFT = "DRAFT"
    ISSUED = "ISSUED"
    DELETED = "DELETED"


class StoredCustomInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """A custom invoice, where it stands, and the hash of the request that made it."""

    custom: CustomInvoice
    state: CustomInvoiceState
    request_hash: bytes
    updated_at: datetime


def add_custom_invoice(
    connection: Connection,
    organisation_id: str,
    custom: CustomInvoice,
    *,
    idempotency_key: str | None,
    request_hash: bytes,
    now: datetime,
) -> None:
    """Add a draft. Its key must not have been used: see `custom_invoice_with_key`."""
    connection.execute(
        insert(_TABLE).values(
            organisation_id=organisation_id,
            invoice_id=custom.invoice_id,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            **_columns(custom, CustomInvoiceState.DRAFT),
            **written_at(now),
        )
    )


def put_custom_invoice(
    connection: Connection, organisation_id: str, custom: CustomInvoice, state: CustomInvoiceState, *, now: datetime
) -> None:
    """Write over what the draft says, or note that it is none any more. It must be a draft."""
    written = connection.execute(
        update(_TABLE)
        .where(
            _TABLE.c.organisation_id == organisation_id,
            _TABLE.c.invoice_id == custom.invoice_id,
            _TABLE.c.state == CustomInvoiceState.DRAFT.value,
        )
        .values(updated_at=microseconds_since_1970(now), **_columns(custom, state))
    )
    assert written.rowcount == 1, "only drafts are written over"


def find_custom_invoice(connection: Connection, organisation_id: str, invoice_id: str) -> StoredCustomInvoice | None:
    """The custom invoice of that id, whatever has become of it."""
    query = select(_TABLE).where(_TABLE.c.organisation_id == organisation_id, _TABLE.c.invoice_id == invoice_id)
    row = connection.execute(query).mappings().first()
    return _stored(row) if row else None


def custom_invoice_with_key(
    connection: Connection, organisation_id: str, idempotency_key: str
) -> StoredCustomInvoice | None:
    """The custom invoice that was made with that key, whatever has become of it."""
    query = select(_TABLE).where(
        _TABLE.c.organisation_id == organisation_id, _TABLE.c.idempotency_key == idempotency_key
    )
    row = connection.execute(query).mappings().first()
    return _stored(row) if row else None


def custom_drafts(
    connection: Connection, organisation_id: str, owner_ids: Collection[str]
) -> dict[str, tuple[CustomInvoice, ...]]:
    """The drafts for these accounts or groups, by owner, in the order of their ids; owners without any are left out."""
    found: dict[str, list[CustomInvoice]] = {}
    for some in in_pieces(sorted(owner_ids)):
        query = select(_TABLE).where(
            _TABLE.c.organisation_id == organisation_id,
            _TABLE.c.owner_id.in_(some),
            _TABLE.c.state == CustomInvoiceState.DRAFT.value,
        )
        for row in connection.execute(query.order_by(_TABLE.c.invoice_id)).mappings():
            found.setdefault(row["owner_id"], []).append(_stored(row).custom)
    return {owner_id: tuple(drafts) for owner_id, drafts in found.items()}


def owners_of_drafts(connection: Connection, organisation_id: str, *, first: str) -> list[str]:
    """Every account and group for which there is a draft, by id, from `first` on."""
    query = select(_TABLE.c.owner_id).where(
        _TABLE.c.organisation_id == organisation_id,
        _TABLE.c.owner_id >= first,
        _TABLE.c.state == CustomInvoiceState.DRAFT.value,
    )
    return list(connection.execute(query.distinct().order_by(_TABLE.c.owner_id)).scalars())


def drafts_to_issue(
    connection: Connection, organisation_id: str, *, on: date, after: str, limit: int
) -> list[CustomInvoice]:
    """Drafts that go on by themselves and whose days are over then, in the order of their ids, behind that id."""
    query = select(_TABLE).where(
        _TABLE.c.organisation_id == organisation_id,
        _TABLE.c.state == CustomInvoiceState.DRAFT.value,
        _TABLE.c.advance_on <= on.isoformat(),
        _TABLE.c.invoice_id > after,
    )
    rows = connection.execute(query.order_by(_TABLE.c.invoice_id).limit(limit)).mappings()
    return [_stored(row).custom for row in rows]


def request_hash(request: Iterable[object]) -> bytes:
    """SHA-256 of what a request asks for, to know it when it is sent again."""
    return hashlib.sha256(msgspec.json.encode(list(request), order="deterministic")).digest()


def _columns(custom: CustomInvoice, state: CustomInvoiceState) -> dict[str, object]:
    goes_on = custom.auto_advance and state is CustomInvoiceState.DRAFT
    return {
        "owner_id": custom.owner_id,
        "state": state.value,
        "advance_on": custom.end_date.isoformat() if goes_on else None,
        "definition": definition_text(custom),
    }


def _stored(row: RowMapping) -> StoredCustomInvoice:
    return StoredCustomInvoice(
        custom=read_definition(row["definition"], CustomInvoice),
        state=CustomInvoiceState(row["state"]),
        request_hash=row["request_hash"],
        updated_at=instant_at(row["updated_at"]),
    )
