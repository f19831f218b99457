"""From the credential of a request to the organisation it may act for; and making, switching and revoking API keys.

A credential is an API key, or a session token (JWT) that a key was exchanged for. A token names its key and lives no
longer than the key does.
"""

import secrets
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import msgspec
from sqlalchemy import Connection

from tallybook.core.credential import (
    SECRET_BYTES,
    ApiKey,
    Identity,
    KeyState,
    Scope,
    check_api_key,
    identity_of,
    key_text,
    looks_like_key,
    secret_hash,
    switched,
)
from tallybook.core.customer import check_id
from tallybook.core.errors import Conflict, NotFound, Unauthenticated
from tallybook.core.role import Role
from tallybook.flows.new_ids import new_id
from tallybook.storage.accounts import Organisation, add_organisation
from tallybook.storage.credentials import (
    add_api_key,
    add_signing_secret,
    api_key_with_hash,
    api_key_with_id,
    api_keys_of,
    count_api_keys,
    revoke_api_key,
    signing_secret,
    switch_api_key,
)
from tallybook.storage.database import Database

TOKEN_LIFETIME = timedelta(hours=24)  # the interface's promise
CACHE_LIFETIME_S = 2.0  # how long a revoked key may still work; short enough that nobody needs to be told
CACHE_ENTRIES_MAX = 10_000  # valid credentials in use within two seconds; a few MB
API_KEYS_MAX = 10_000  # of one organisation, without revoked ones; they are listed, and read at every request
CREDENTIAL_BYTES_MAX = 4096  # tokens have some 250 bytes
BASE_CURRENCY_DEFAULT = "USD"
TOKEN_PURPOSE = "token"  # noqa: S105  # the name of the signing secret, not the secret
_ALGORITHM = "HS256"

Header = bytes | None


def now_utc() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was just made, with the secret that is shown this once."""

    key: ApiKey
    secret: str


class Authenticator:
    """Knows keys and tokens. Safe to share between threads."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], datetime] = now_utc,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._timer = timer
        self._cache: dict[tuple[Header, Header], tuple[float, Identity]] = {}
        self._cache_lock = threading.Lock()
        self._token_secret: bytes | None = None

    def cached(self, authorization: Header, api_key: Header) -> Identity | None:
        """What `identify` said about these headers within the last `CACHE_LIFETIME_S`; touches no database."""
        entry = self._cache.get((authorization, api_key))
        if entry is None or entry[0] <= self._timer():
            return None
        return entry[1]

    def identify(self, authorization: Header, api_key: Header) -> Identity:
        """Who sends a request with these values of the headers `Authorization` and `X-API-Key`.

        Raises `Unauthenticated`.
        """
        credential = credential_in(authorization, api_key)
        key = self._key_of(credential)
        if key is None or key.state(self._clock()) is not KeyState.ACTIVE:
            raise Unauthenticated("the credential is unknown, revoked, switched off or expired; send a valid API key")
        identity = identity_of(key)
        self._remember((authorization, api_key), identity)
        return identity

    def exchange(self, authorization: Header, api_key: Header) -> str:
        """A session token for an API key; for a token, the same token. Raises `Unauthenticated`."""
        identity = self.identify(authorization, api_key)
        credential = credential_in(authorization, api_key)
        return self._new_token(identity) if looks_like_key(credential) else credential

    def create_key(
        self,
        organisation_id: str,
        name: str,
        scopes: Collection[Scope],
        expires: datetime | None = None,
        role: Role | None = None,
    ) -> str:
        """Make a key and return its secret alone; see `new_key`."""
        return self.new_key(organisation_id, name, scopes, expires, role).secret

    def new_key(
        self,
        organisation_id: str,
        name: str,
        scopes: Collection[Scope],
        expires: datetime | None = None,
        role: Role | None = None,
    ) -> NewKey:
        """Make a key and return it; this is the only time anybody sees its secret. The organisation is made if need be.

        Raises `Invalid`, and `Conflict` when there are too many.
        """
        check_id(organisation_id, "organisation")
        now = self._clock()
        text = key_text(secrets.token_bytes(SECRET_BYTES))
        key = ApiKey(
            key_id=new_id("key"),
            organisation_id=organisation_id,
            name=name,
            secret_hash=secret_hash(text),
            scopes=frozenset(scopes),
            role=role,
            created_at=now,
            expires_at=expires,
        )
        check_api_key(key)
        organisation = Organisation(
            organisation_id=organisation_id, name=organisation_id, base_currency=BASE_CURRENCY_DEFAULT
        )
        with self._database.write() as connection:
            if count_api_keys(connection, organisation_id) >= API_KEYS_MAX:
                raise Conflict(f"there are {API_KEYS_MAX} API keys; revoke some first", code="LIMIT_REACHED")
            add_organisation(connection, organisation, now=now)
            add_api_key(connection, key)
        return NewKey(key=key, secret=text)

    def keys(self, organisation_id: str) -> list[ApiKey]:
        """All keys of the organisation, the oldest first, revoked ones too."""
        with self._database.read() as connection:
            return api_keys_of(connection, organisation_id)

    def key(self, organisation_id: str, key_id: str) -> ApiKey:
        """The key of the organisation with that id. Raises `NotFound`."""
        with self._database.read() as connection:
            return _key_of(connection, organisation_id, key_id)

    def switch_key(self, organisation_id: str, key_id: str, *, on: bool, by_key_id: str | None = None) -> ApiKey:
        """Switch a key off or on again, with every token made with it; noticed within `CACHE_LIFETIME_S`.

        `by_key_id` is the key that asks for it. Raises `NotFound`, and `Conflict` for a revoked key or its own.
        """
        with self._database.write() as connection:
            key = _key_of(connection, organisation_id, key_id)
            key = switched(key, off_at=None if on else self._clock(), by_key_id=by_key_id)
            switch_api_key(connection, key)
        self._forget()
        return key

    def revoke_key(self, key_id: str) -> None:
        """Revoke a key and every token made with it; other processes notice within `CACHE_LIFETIME_S`.

        Raises `NotFound`.
        """
        with self._database.write() as connection:
            if not revoke_api_key(connection, key_id, now=self._clock()):
                raise NotFound(f"no API key {key_id!r}")
        self._forget()

    def signing_secret(self) -> bytes:
        """The secret of this installation, made the first time it is asked for, and the same for every process."""
        # In a variable until it is known: a thread that looked too early must not undo what another has found.
        secret = self._token_secret
        if secret is None:
            with self._database.read() as connection:
                secret = signing_secret(connection, TOKEN_PURPOSE)
        if secret is None:
            with self._database.write() as connection:  # the write lock lets one process at a time look and make
                secret = _secret_made_once(connection, self._clock())
        self._token_secret = secret
        return secret

    def _key_of(self, credential: str) -> ApiKey | None:
        if looks_like_key(credential):
            with self._database.read() as connection:
                return api_key_with_hash(connection, secret_hash(credential))
        claims = self._claims(credential)
        if claims is None or claims["exp"] <= self._clock().timestamp():
            return None
        with self._database.read() as connection:
            return api_key_with_id(connection, claims["key"])

    def _new_token(self, identity: Identity) -> str:
        now = self._clock()
        claims = {
            "key": identity.key_id,
            "sub": identity.organisation_id,
            "iat": int(now.timestamp()),
            "exp": int((now + TOKEN_LIFETIME).timestamp()),
        }
        return jwt.encode(claims, self.signing_secret(), algorithm=_ALGORITHM)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that we signed, expired or not."""
        if token.count(".") != 2:
            return None
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.signing_secret(),
                algorithms=[_ALGORITHM],
                options={"require": ["key", "exp"], "verify_exp": False, "verify_iat": False},  # our clock does
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            return None
        return claims

    def _forget(self) -> None:
        with self._cache_lock:
            self._cache.clear()

    def _remember(self, headers: tuple[Header, Header], identity: Identity) -> None:
        now = self._timer()
        with self._cache_lock:
            if len(self._cache) >= CACHE_ENTRIES_MAX:
                self._cache = {key: entry for key, entry in self._cache.items() if entry[0] > now}
            if len(self._cache) >= CACHE_ENTRIES_MAX:
                self._cache.clear()
            self._cache[headers] = (now + CACHE_LIFETIME_S, identity)


def credential_in(authorization: Header, api_key: Header) -> str:
    """The credential in the values of `Authorization` (after `Bearer`) and `X-API-Key`; the first counts.

    Raises `Unauthenticated`.
    """
    if authorization is not None:
        scheme, _, presented = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise Unauthenticated("Authorization: expected Bearer followed by an API key or a token")
    else:
        presented = api_key or b""
    presented = presented.strip()
    if not presented:
        raise Unauthenticated("no credential; send Authorization: Bearer KEY, or X-API-Key: KEY")
    if len(presented) > CREDENTIAL_BYTES_MAX or not presented.isascii():
        raise Unauthenticated("the credential is neither an API key nor a token")
    return presented.decode("ascii")


def _key_of(connection: Connection, organisation_id: str, key_id: str) -> ApiKey:
    key = api_key_with_id(connection, key_id)
    if key is None or key.organisation_id != organisation_id:
        raise NotFound(f"no API key {key_id[:100]!r}")
    return key


def _secret_made_once(connection: Connection, now: datetime) -> bytes:
    found = signing_secret(connection, TOKEN_PURPOSE)
    if found is not None:
        return found
    made = secrets.token_bytes(SECRET_BYTES)
    add_signing_secret(connection, TOKEN_PURPOSE, made, now=now)
    return made
