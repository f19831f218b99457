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

from tallybook.core.errors import Forbidden, Invalid

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

    def require(self, scope: str) -> None:
        """Raise `Forbidden` unless the key has that scope."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs a credential with the scope {str(scope)!r}; this one has {self._spelled()}")

    def _spelled(self) -> str:
        return ", ".join(repr(scope.value) for scope in sorted(self.scopes)) or "none"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as stored, without its secret."""

    key_id: str
    organisation_id: str
    name: str
    secret_hash: bytes
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """`active`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def check_api_key(key: ApiKey) -> None:
    """Refuse a key without a scope, or with a name that is empty or too long. Raises `Invalid`."""
    if not key.scopes:
        raise Invalid(f"scopes: name at least one of {', '.join(Scope)}")
    if not 1 <= len(key.name) <= KEY_NAME_CHARACTERS_MAX:
        raise Invalid(f"name: must be 1 to {KEY_NAME_CHARACTERS_MAX} characters")
    if key.expires_at is not None and key.expires_at <= key.created_at:
        raise Invalid("expires: must be in the future")


def is_usable(key: ApiKey, now: datetime) -> bool:
    """Say whether the key is neither revoked nor expired."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


def identity_of(key: ApiKey) -> Identity:
    """Whom the key stands for."""
    return Identity(organisation_id=key.organisation_id, scopes=with_included(key.scopes), key_id=key.key_id)


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
