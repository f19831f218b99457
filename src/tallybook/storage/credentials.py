"""API keys, and the secrets this installation signs with, as stored."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, func, insert, select, update

from tallybook.core.credential import ApiKey, Scope
from tallybook.core.instant import instant_at, microseconds_since_1970
from tallybook.core.role import Role
from tallybook.storage.pages import ListedTable, Page, PageRequest, Place, SortKey, sorted_text
from tallybook.storage.tables import api_key, signing_key

LISTED = ListedTable(
    sorts={"created_at": api_key.c.created_at, "name": sorted_text(api_key.c.name), "id": api_key.c.key_id},
    order=(SortKey("created_at"), SortKey("id")),
    searched=(api_key.c.name,),
)


def add_api_key(connection: Connection, key: ApiKey) -> None:
    """Add the key."""
    connection.execute(
        insert(api_key).values(
            key_id=key.key_id,
            organisation_id=key.organisation_id,
            name=key.name,
            secret_hash=key.secret_hash,
            scopes=" ".join(sorted(key.scopes)),
            role=None if key.role is None else key.role.value,
            created_at=microseconds_since_1970(key.created_at),
            expires_at=None if key.expires_at is None else microseconds_since_1970(key.expires_at),
        )
    )


def api_key_with_id(connection: Connection, key_id: str) -> ApiKey | None:
    """The key with that id, also when it is revoked or expired."""
    return _find(connection, api_key.c.key_id, key_id)


def api_key_with_hash(connection: Connection, secret_hash: bytes) -> ApiKey | None:
    """The key whose secret has that hash, also when it is revoked or expired."""
    return _find(connection, api_key.c.secret_hash, secret_hash)


def revoke_api_key(connection: Connection, key_id: str, *, now: datetime) -> bool:
    """Revoke the key for good; say whether it was there. A second time changes nothing."""
    if api_key_with_id(connection, key_id) is None:
        return False
    not_yet = (api_key.c.key_id == key_id, api_key.c.revoked_at.is_(None))
    connection.execute(update(api_key).where(*not_yet).values(revoked_at=microseconds_since_1970(now)))
    return True


def switch_api_key(connection: Connection, key: ApiKey) -> None:
    """Store whether the key is switched off."""
    off_at = None if key.switched_off_at is None else microseconds_since_1970(key.switched_off_at)
    connection.execute(update(api_key).where(api_key.c.key_id == key.key_id).values(switched_off_at=off_at))


def has_api_keys(connection: Connection) -> bool:
    """Say whether any key was ever made."""
    return connection.execute(select(api_key.c.key_id).limit(1)).first() is not None


def signing_secret(connection: Connection, purpose: str) -> bytes | None:
    """The secret that this installation signs with for that purpose, if it was made."""
    return connection.scalar(select(signing_key.c.secret).where(signing_key.c.purpose == purpose))


def add_signing_secret(connection: Connection, purpose: str, secret: bytes, *, now: datetime) -> None:
    """Keep a secret for a purpose that has none yet."""
    connection.execute(
        insert(signing_key).values(purpose=purpose, secret=secret, created_at=microseconds_since_1970(now))
    )


def api_keys_of(connection: Connection, organisation_id: str) -> list[ApiKey]:
    """All keys of the organisation, the oldest first, revoked ones too."""
    query = select(api_key).where(api_key.c.organisation_id == organisation_id)
    return [_key(row) for row in connection.execute(query.order_by(api_key.c.created_at, api_key.c.key_id)).mappings()]


def list_api_keys(connection: Connection, organisation_id: str, page: PageRequest[Place]) -> Page[ApiKey]:
    """A page of the keys of the organisation, normally the oldest first."""
    query = select(api_key).where(api_key.c.organisation_id == organisation_id)
    found = LISTED.page(connection, query, page)
    return Page(items=[_key(row) for row in found.items], next=found.next)


def count_api_keys(connection: Connection, organisation_id: str) -> int:
    """How many keys the organisation has that are not revoked."""
    column = api_key.c
    query = select(func.count()).where(column.organisation_id == organisation_id, column.revoked_at.is_(None))
    return connection.scalar(query) or 0


def _find(connection: Connection, column: Column[Any], value: object) -> ApiKey | None:
    row = connection.execute(select(api_key).where(column == value)).mappings().first()
    return None if row is None else _key(row)


def _key(row: RowMapping) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        organisation_id=row["organisation_id"],
        name=row["name"],
        secret_hash=row["secret_hash"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"].split()),
        role=None if row["role"] is None else Role(row["role"]),
        created_at=instant_at(row["created_at"]),
        expires_at=None if row["expires_at"] is None else instant_at(row["expires_at"]),
        revoked_at=None if row["revoked_at"] is None else instant_at(row["revoked_at"]),
        switched_off_at=None if row["switched_off_at"] is None else instant_at(row["switched_off_at"]),
    )
