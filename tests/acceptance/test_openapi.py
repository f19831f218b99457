"""The served OpenAPI document against the server that serves it, a server of its own: these requests archive things."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rides import define_rides
from running_server import RunningServer, running_server

from tallybook.core.credential import Scope

SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "60"))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def busy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with definitions and accounts that requests may come upon."""
    with running_server(
        tmp_path_factory.mktemp("openapi"), environment={"TALLYBOOK_BODY_READ_TIMEOUT_S": "2"}
    ) as running:
        with running.client(running.create_key(Scope.ADMIN)) as client:
            define_rides(client)
        yield running


def test_no_request_gets_a_500_or_an_undocumented_answer(busy_server: RunningServer, tmp_path: Path) -> None:
    """Valid and broken requests to every operation: each answer is one that the document describes."""
    check(busy_server, sent(busy_server, tmp_path, SECONDS * 2 // 5, "--phases", "examples,coverage,fuzzing"))


def test_no_chain_of_requests_gets_one(busy_server: RunningServer, tmp_path: Path) -> None:
    """What one operation made is read, changed and taken away by others."""
    check(busy_server, sent(busy_server, tmp_path, SECONDS * 2 // 5, "--phases", "stateful"))


def test_the_older_generation_is_answered_as_its_document_says(busy_server: RunningServer, tmp_path: Path) -> None:
    """The same with the header that chooses generation 2023-05, whose document is another."""
    older = ("--header", "X-Tallybook-Profile: togai-2023-05")
    check(busy_server, sent(busy_server, tmp_path, SECONDS // 5, "--phases", "fuzzing,stateful", *older))


def check(server: RunningServer, found: subprocess.CompletedProcess[str]) -> None:
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
    assert server.figures()["tallybook_internal_errors_total"] == 0


def sent(server: RunningServer, folder: Path, seconds: int, *options: str) -> subprocess.CompletedProcess[str]:
    """What schemathesis finds in that time. Its key may do everything, except take keys away from itself."""
    key = server.create_key(Scope.ADMIN)
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {key}"),
            *("--exclude-operation-id", "deactivateApiKey"),
            *("--checks", CHECKS),
            *("--max-time", str(seconds), "--max-examples", "20"),
            *("--generation-database", "none", "--no-color"),
            *("--warnings", "off"),
            *options,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60 + seconds * 5,
        check=False,
    )
