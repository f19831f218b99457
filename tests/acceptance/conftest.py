"""One real server for all acceptance tests that leave it as it is."""

from collections.abc import Iterator

import httpx
import pytest
import togai_client
from official_client import api_client
from rides import define_rides
from running_server import RunningServer, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(
        tmp_path_factory.mktemp("server"), environment={"TALLYBOOK_BODY_READ_TIMEOUT_S": "2"}
    ) as running:
        yield running


@pytest.fixture(scope="session")
def key(server: RunningServer) -> str:
    return server.create_key()


@pytest.fixture(scope="session")
def rides(server: RunningServer, key: str) -> httpx.Client:
    """A client of a server on which the rides are defined."""
    client = server.client(key)
    define_rides(client)
    return client


@pytest.fixture
def official(server: RunningServer, key: str, rides: httpx.Client) -> Iterator[togai_client.ApiClient]:
    """The official client of a server on which the rides are defined."""
    with api_client(server, key) as client:
        yield client
