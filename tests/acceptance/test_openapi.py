"""The served OpenAPI document against the server that serves it."""

import os
import subprocess
import sys
from pathlib import Path

from running_server import RunningServer

SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "30"))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_no_request_gets_a_500_or_an_undocumented_answer(server: RunningServer, key: str, tmp_path: Path) -> None:
    """Valid and broken requests to every operation, made from the document: each answer is one it describes."""
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {key}"),
            *("--checks", CHECKS),
            *("--phases", "examples,coverage,fuzzing"),
            *("--max-time", str(SECONDS), "--max-examples", "20"),
            *("--generation-database", "none", "--no-color"),
            *("--warnings", "off"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS * 5,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
    assert server.figures()["tallybook_internal_errors_total"] == 0
