"""Keys and tokens: who is let in, for how long, and what is remembered."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from tallybook.core.credential import Scope, key_text
from tallybook.core.errors import Conflict, Invalid, NotFound, Unauthenticated
from tallybook.flows import authenticate
from tallybook.flows.authenticate import CACHE_LIFETIME_S, Authenticator
from tallybook.storage import accounts
from tallybook.storage.database import Database, migrate, open_database

START = datetime(2024, 5, 1, tzinfo=UTC)


class Clock:
    """A clock and a timer that stand still until told to move."""

    def __init__(self) -> None:
        self.now = START
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return self.now

    def timer(self) -> float:
        return self.seconds

    def move(self, elapsed: timedelta) -> None:
        self.now += elapsed
        self.seconds += elapsed.total_seconds()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def authenticator(database: Database, clock: Clock) -> Authenticator:
    return Authenticator(database, clock=clock, timer=clock.timer)


def bearer(credential: str) -> bytes:
    return b"Bearer " + credential.encode()


def test_key_stands_for_its_organisation_and_scopes(authenticator: Authenticator, database: Database) -> None:
    """The organisation comes from the key, and is made with the first one."""
    key = authenticator.create_key("acme", "producer", [Scope.INGEST])
    identity = authenticator.identify(bearer(key), None)
    assert identity.organisation_id == "acme"
    assert identity.scopes == {Scope.INGEST}
    assert authenticator.identify(None, key.encode()) == identity
    authenticator.create_key("acme", "reader", [Scope.READ])
    with database.read() as connection:
        [organisation] = accounts.organisations(connection)
    assert (organisation.organisation_id, organisation.base_currency) == ("acme", "USD")


def test_secret_is_nowhere_in_the_database(authenticator: Authenticator, tmp_path: Path) -> None:
    """Only a hash is stored: neither the key nor its random part can be read back."""
    key = authenticator.create_key("acme", "producer", [Scope.INGEST])
    with sqlite3.connect(tmp_path / "tallybook.sqlite") as connection:
        dump = "\n".join(connection.iterdump())
    assert key[3:46] not in dump


def test_unknown_key_is_refused(authenticator: Authenticator) -> None:
    """A well-formed key that was never made opens nothing."""
    with pytest.raises(Unauthenticated):
        authenticator.identify(bearer(key_text(b"\1" * 32)), None)


def test_key_expires(authenticator: Authenticator, clock: Clock) -> None:
    """From the instant of expiry on, the key and its tokens are refused."""
    key = authenticator.create_key("acme", "n", [Scope.READ], START + timedelta(hours=1))
    token = authenticator.exchange(bearer(key), None)
    clock.move(timedelta(minutes=59))
    authenticator.identify(bearer(key), None)
    authenticator.identify(bearer(token), None)
    clock.move(timedelta(minutes=1))
    for credential in (key, token):
        with pytest.raises(Unauthenticated):
            authenticator.identify(bearer(credential), None)


def test_revoked_key_takes_its_tokens_along(authenticator: Authenticator) -> None:
    """A token names its key and dies with it."""
    key = authenticator.create_key("acme", "n", [Scope.READ])
    token = authenticator.exchange(bearer(key), None)
    authenticator.revoke_key(authenticator.identify(bearer(token), None).key_id)
    for credential in (key, token):
        assert authenticator.cached(bearer(credential), None) is None
        with pytest.raises(Unauthenticated):
            authenticator.identify(bearer(credential), None)


def test_revoking_twice_is_fine_and_an_unknown_key_is_not_found(authenticator: Authenticator) -> None:
    """Revoking is idempotent."""
    key_id = authenticator.identify(bearer(authenticator.create_key("acme", "n", [Scope.READ])), None).key_id
    authenticator.revoke_key(key_id)
    authenticator.revoke_key(key_id)
    with pytest.raises(NotFound):
        authenticator.revoke_key("key.unknown")


def test_token_lives_for_a_day(authenticator: Authenticator, clock: Clock) -> None:
    """24 hours, as the interface says; the key can make another."""
    key = authenticator.create_key("acme", "n", [Scope.READ])
    token = authenticator.exchange(bearer(key), None)
    clock.move(timedelta(hours=24) - timedelta(seconds=1))
    assert authenticator.identify(bearer(token), None) == authenticator.identify(bearer(key), None)
    assert authenticator.exchange(bearer(token), None) == token
    clock.move(timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        authenticator.identify(bearer(token), None)
    authenticator.identify(bearer(authenticator.exchange(bearer(key), None)), None)


def test_forged_tokens_are_refused(authenticator: Authenticator) -> None:
    """No other secret, no other algorithm, none at all, and no missing claim."""
    key = authenticator.create_key("acme", "n", [Scope.READ])
    token = authenticator.exchange(bearer(key), None)
    claims = jwt.decode(token, options={"verify_signature": False})
    secret = authenticator.signing_secret()
    forged = [
        jwt.encode(claims, b"x" * 32, algorithm="HS256"),
        jwt.encode(claims, secret + secret, algorithm="HS512"),
        jwt.encode(claims, None, algorithm="none"),
        jwt.encode({"key": claims["key"]}, secret, algorithm="HS256"),
        jwt.encode({"exp": claims["exp"]}, secret, algorithm="HS256"),
        token[:-4] + "AAAA",
        "..",
        "a.b.c",
    ]
    for each in forged:
        with pytest.raises(Unauthenticated):
            authenticator.identify(bearer(each), None)


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (None, None),
        (b"", None),
        (b"Bearer", None),
        (b"Bearer   ", None),
        (b"Basic x", None),
        (None, b""),
        (b"Bearer \xff", None),
        (None, b"x" * 10_000),
    ],
)
def test_malformed_credentials_are_refused(
    authenticator: Authenticator, authorization: bytes | None, api_key: bytes | None
) -> None:
    """Whatever the headers hold, the answer is the same kind of refusal."""
    with pytest.raises(Unauthenticated):
        authenticator.identify(authorization, api_key)


def test_identity_is_remembered_for_two_seconds(authenticator: Authenticator, clock: Clock) -> None:
    """The hot path asks the memory; a key revoked elsewhere works no longer than that."""
    header = bearer(authenticator.create_key("acme", "n", [Scope.INGEST]))
    assert authenticator.cached(header, None) is None
    identity = authenticator.identify(header, None)
    clock.move(timedelta(seconds=CACHE_LIFETIME_S) - timedelta(milliseconds=1))
    assert authenticator.cached(header, None) == identity
    clock.move(timedelta(milliseconds=1))
    assert authenticator.cached(header, None) is None
    assert CACHE_LIFETIME_S <= 2


def test_memory_is_bounded_and_refusals_are_not_remembered(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random keys leave nothing behind, and many valid ones no more than the bound."""
    monkeypatch.setattr(authenticate, "CACHE_ENTRIES_MAX", 5)
    for number in range(20):
        with pytest.raises(Unauthenticated):
            authenticator.identify(bearer(key_text(bytes([number]) * 32)), None)
    assert len(authenticator._cache) == 0
    headers = [bearer(authenticator.create_key("acme", str(number), [Scope.READ])) for number in range(12)]
    for header in headers:
        authenticator.identify(header, None)
        assert len(authenticator._cache) <= 5
    assert authenticator.cached(headers[-1], None) is not None


def test_first_use_makes_one_signing_secret(database: Database) -> None:
    """Processes that start at the same time agree on one secret."""
    starting = [Authenticator(database) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(Authenticator.signing_secret, starting))
    assert len(secrets) == 1
    assert len(secrets.pop()) == 32


@pytest.mark.parametrize(
    ("organisation_id", "name", "scopes", "expires"),
    [
        ("", "n", [Scope.READ], None),
        ("x" * 51, "n", [Scope.READ], None),
        ("acme", "", [Scope.READ], None),
        ("acme", "n", [], None),
        ("acme", "n", [Scope.READ], START),
    ],
)
def test_useless_keys_are_not_made(
    authenticator: Authenticator, organisation_id: str, name: str, scopes: list[Scope], expires: datetime | None
) -> None:
    """A key needs an organisation, a name, a scope and time to live."""
    with pytest.raises(Invalid):
        authenticator.create_key(organisation_id, name, scopes, expires)


def test_switched_off_key_is_noticed_by_other_processes(
    authenticator: Authenticator, database: Database, clock: Clock
) -> None:
    """Another process that has just seen the key lets it in for two seconds at most; switched on, it works again."""
    made = authenticator.new_key("acme", "producer", [Scope.INGEST])
    other = Authenticator(database, clock=clock, timer=clock.timer)
    other.identify(bearer(made.secret), None)
    authenticator.switch_key("acme", made.key.key_id, on=False)
    assert authenticator.cached(bearer(made.secret), None) is None
    with pytest.raises(Unauthenticated):
        authenticator.identify(bearer(made.secret), None)
    clock.move(timedelta(seconds=CACHE_LIFETIME_S))
    assert other.cached(bearer(made.secret), None) is None
    authenticator.switch_key("acme", made.key.key_id, on=True)
    assert other.identify(bearer(made.secret), None).key_id == made.key.key_id


def test_there_are_not_too_many_keys(authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit a new one is refused, until one is revoked; other organisations are not concerned."""
    monkeypatch.setattr(authenticate, "API_KEYS_MAX", 2)
    first = authenticator.new_key("acme", "first", [Scope.READ])
    authenticator.create_key("acme", "second", [Scope.READ])
    with pytest.raises(Conflict, match="2 API keys"):
        authenticator.create_key("acme", "third", [Scope.READ])
    authenticator.create_key("umbrella", "first", [Scope.READ])
    authenticator.revoke_key(first.key.key_id)
    authenticator.create_key("acme", "third", [Scope.READ])
