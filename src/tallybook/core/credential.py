"""API keys: what one looks like, what it may do, and whether it still may.

A key is `tb_`, 43 characters of secret (256 random bits in base 62) and 6 of checksum. The prefix lets scanners find
leaked keys; the checksum lets a mistyped one be refused without a look into the database. Only its hash is stored.
"""

import hashlib
import re
import zlib
from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

import msgspec

from tallybook.core.errors import Conflict, Forbidden, Invalid
from tallybook.core.role import READABLE, WRITABLE, Area, Role

SECRET_BYTES = 32  # 256 bits: nobody guesses it, however many keys there are
KEY_PREFIX = "tb_"
KEY_NAME_CHARACTERS_MAX = 255
_SECRET_CHARACTERS = 43  # 62**43 > 2**256
_CHECKSUM_CHARACTERS = 6  # 62**6 > 2**32
_KEY = re.compile(rf"{KEY_PREFIX}[0-9A-Za-z]{{{_SECRET_CHARACTERS + _CHECKSUM_CHARACTERS}}}", re.ASCII)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Scope(StrEnum):
    """What a key may be used for: `write` includes `read`, `admin` includes everything."""

    INGEST = "ingest"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_INCLUDED: dict[Scope, frozenset[Scope]] = {
    Scope.INGEST: frozenset({Scope.INGEST}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.WRITE, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls: the organisation whose data it is, and what the key may do there."""

    organisation_id: str
    scopes: frozenset[Scope]  # with the included ones
    key_id: str
    role: Role | None = None

    def require(self, scope: str) -> None:
        """Raise `Forbidden` unless the key has that scope."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs a credential with the scope {str(scope)!r}; this one has {self._spelled()}")

    def require_in(self, area: Area, scope: Scope) -> None:
        """Raise `Forbidden` unless the scope, or the role in that area, allows to read or to write."""
        if scope not in self.scopes and not self._role_allows(area, scope):
            raise Forbidden(
                f"this needs a credential with the scope {scope.value!r}, or with a role that may {scope.value} "
                f"{area.value}; this one has {self._spelled()}"
            )

    def _role_allows(self, area: Area, scope: Scope) -> bool:
        if self.role is None:
            return False
        if scope is Scope.READ:
            return area in READABLE[self.role]
        return scope is Scope.WRITE and area in WRITABLE[self.role]

    def _spelled(self) -> str:
        scopes = ", ".join(repr(scope.value) for scope in sorted(self.scopes)) or "none"
        return scopes if self.role is None else f"{scopes}, and the role {self.role.value}"


class KeyState(StrEnum):
    """What a key is. OFF can be switched on again; the others but ACTIVE are final."""

    ACTIVE = "ACTIVE"
    OFF = "OFF"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as stored, without its secret."""

    key_id: str
    organisation_id: str
    name: str
    secret_hash: bytes
    scopes: frozenset[Scope]
    role: Role | None = None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    switched_off_at: datetime | None = None

    def state(self, now: datetime) -> KeyState:
        """What it is at that instant. Only an active key opens anything."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        return KeyState.ACTIVE if self.switched_off_at is None else KeyState.OFF


def check_api_key(key: ApiKey) -> None:
    """Refuse a key that may do nothing, or with a name that is empty or too long. Raises `Invalid`."""
    if not key.scopes and key.role is None:
        raise Invalid(f"scopes: name at least one of {', '.join(Scope)}, or a role, one of {', '.join(Role)}")
    if not 1 <= len(key.name) <= KEY_NAME_CHARACTERS_MAX:
        raise Invalid(f"name: must be 1 to {KEY_NAME_CHARACTERS_MAX} characters")
    if key.expires_at is not None and key.expires_at <= key.created_at:
        raise Invalid("expires: must be in the future")


def switched(key: ApiKey, *, off_at: datetime | None, by_key_id: str | None = None) -> ApiKey:
    """The key switched off at that instant, or on for None; what is so already stays so.

    `by_key_id` is the key that asks for it: no key may lock itself out. Raises `Conflict`.
    """
    if key.revoked_at is not None:
        raise Conflict(f"API key {key.key_id} is revoked, and that is for good; make another")
    if off_at is not None and key.key_id == by_key_id:
        raise Conflict("a key cannot switch itself off; use another one")
    if (off_at is None) == (key.switched_off_at is None):
        return key
    return msgspec.structs.replace(key, switched_off_at=off_at)


def identity_of(key: ApiKey) -> Identity:
    """Whom the key stands for. An administrator may do everything, and everything includes every scope."""
    scopes = key.scopes | {Scope.ADMIN} if key.role is Role.ADMINISTRATOR else key.scopes
    return Identity(organisation_id=key.organisation_id, scopes=with_included(scopes), key_id=key.key_id, role=key.role)


def with_included(scopes: Collection[Scope]) -> frozenset[Scope]:
    """The scopes with those that they include."""
    return frozenset().union(*(_INCLUDED[scope] for scope in scopes))


def key_text(secret: bytes) -> str:
    """The key made of `SECRET_BYTES` random bytes."""
    assert len(secret) == SECRET_BYTES, f"a key has {SECRET_BYTES} random bytes"
    body = _base62(int.from_bytes(secret, "big"), _SECRET_CHARACTERS)
    return f"{KEY_PREFIX}{body}{_checksum(body)}"


def looks_like_key(text: str) -> bool:
    """Say whether the text has the form of a key and its checksum is right."""
    if not _KEY.fullmatch(text):
        return False
    body = text[len(KEY_PREFIX) : -_CHECKSUM_CHARACTERS]
    return text.endswith(_checksum(body))


def secret_hash(key: str) -> bytes:
    """What is stored of a key. The secret is random, so no salt and no slow hash is needed."""
    return hashlib.sha256(key.encode()).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_CHARACTERS)


def _base62(number: int, characters: int) -> str:
    digits = []
    for _ in range(characters):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    assert number == 0, f"the number does not fit into {characters} characters"
    return "".join(reversed(digits))
