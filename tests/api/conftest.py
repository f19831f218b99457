"""A served application over a real database on a temporary folder, and two organisations that share it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from litestar.testing import TestClient

from tallybook.api.application import create_application
from tallybook.api.handling import Dependencies
from tallybook.config import Settings
from tallybook.core.credential import Scope
from tallybook.flows.authenticate import Authenticator
from tallybook.flows.query import Events
from tallybook.storage.database import Database, migrate, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def authenticator(database: Database) -> Authenticator:
    return Authenticator(database)


@pytest.fixture
def client(database: Database, authenticator: Authenticator) -> Iterator["Caller"]:
    """A client of the organisation `acme` with a key that may do everything."""
    dependencies = Dependencies(
        settings=Settings(), database=database, authenticator=authenticator, events=cast("Events", None)
    )
    with TestClient(create_application(dependencies), raise_server_exceptions=False) as test_client:
        yield Caller(test_client, authenticator, "acme", Scope.ADMIN)


@pytest.fixture
def stranger(client: "Caller") -> "Caller":
    """A client of another organisation on the same server."""
    return client.of("umbrella")


class Caller:
    """Sends requests with one key."""

    def __init__(self, client: Any, authenticator: Authenticator, organisation_id: str, *scopes: Scope) -> None:
        self.client = client
        self.authenticator = authenticator
        self.key = authenticator.create_key(organisation_id, "test", scopes)

    def of(self, organisation_id: str, *scopes: Scope) -> "Caller":
        """A caller of that organisation with those scopes; with all of them if none are named."""
        return Caller(self.client, self.authenticator, organisation_id, *(scopes or (Scope.ADMIN,)))

    def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        return self.send("GET", path, status, params=parameters)

    def post(self, path: str, body: Any = None, status: int | None = None, **parameters: Any) -> Any:
        return self.send("POST", path, status, json=body, params=parameters)

    def send(self, method: str, path: str, status: int | None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        answer = self.client.request(method, path, headers=headers, **options)
        if status is None:
            assert answer.status_code in (200, 201), answer.text
        else:
            assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        body = answer.json()
        if answer.status_code >= 400:
            assert 1 <= len(body["message"]) <= 500
            assert body["code"].isupper()
        return body
