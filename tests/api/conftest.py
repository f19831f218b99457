"""A served application over a real database on a temporary folder, and two organisations that share it."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from api_caller import Caller
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
def client(database: Database, authenticator: Authenticator) -> Iterator[Caller]:
    """A client of the organisation `acme` with a key that may do everything."""
    dependencies = Dependencies(
        settings=Settings(), database=database, authenticator=authenticator, events=cast("Events", None)
    )
    with TestClient(create_application(dependencies), raise_server_exceptions=False) as test_client:
        yield Caller(test_client, authenticator, "acme", Scope.ADMIN)


@pytest.fixture
def stranger(client: Caller) -> Caller:
    """A client of another organisation on the same server."""
    return client.of("umbrella")
