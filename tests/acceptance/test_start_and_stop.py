"""`tallybook serve` as its operator sees it: what it says, what it refuses, how it leaves, what it restarts."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rides import define_rides, ride
from running_server import RunningServer, kill, running_server, wait_until

STOP_SECONDS_MAX = 10
EVENTS = 20_000
ROLES = ("api", "meter", "archive", "billing")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[RunningServer]:
    """A server on a folder that was not there before."""
    with running_server(tmp_path) as running:
        yield running


def test_first_start_says_how_to_make_a_key_and_where_it_listens(fresh: RunningServer) -> None:
    """One line with the address and the folder; before it, while there is no key, how to make one that works."""
    wait_until(lambda: "listens" in fresh.said, timeout_s=10, what=lambda: "the announcement")
    hint, listening = fresh.said.splitlines()
    assert re.search(r"tallybook keys create NAME --data-dir \S+", hint)
    assert listening == f"Tallybook listens on {fresh.url}, data in {fresh.data_dir.resolve()}"
    made = fresh.command("keys", "create", "first")
    assert made.returncode == 0
    secret = made.stdout.removesuffix("\n")
    assert re.fullmatch(r"\S+", secret), "the secret stands alone on standard output"
    assert fresh.client(secret).get("/customers").status_code == httpx.codes.OK
    fresh.stop()
    fresh.start()
    assert fresh.said.count("keys create") == 1, "the hint is for a server without a key"


def test_second_server_on_the_folder_refuses_and_says_why(server: RunningServer) -> None:
    """Exit status 1, one line on standard error that names the folder and the process, and the first goes on."""
    refused = server.command("serve", "--port", "1")
    assert refused.returncode == 1
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    assert str(server.data_dir) in line
    assert str(server.pid) in line
    assert httpx.get(f"{server.url}/readyz").status_code == httpx.codes.OK


def test_sigterm_leaves_in_time_with_everything_accepted_metered(fresh: RunningServer) -> None:
    """Exit status 0 within ten seconds, though thousands of acknowledged events wait for their verdict."""
    client = fresh.client(fresh.create_key())
    define_rides(client)
    meter = fresh.wait_for_worker("meter")
    os.kill(meter, signal.SIGSTOP)  # so that a backlog is certain
    for first in range(0, EVENTS, 1000):
        answer = client.post("/ingestBatch", json={"events": list(map(ride, range(first, first + 1000)))})
        assert answer.status_code == httpx.codes.ACCEPTED
    started = time.monotonic()
    os.kill(fresh.pid, signal.SIGTERM)
    wait_until(lambda: not fresh.workers("api"), timeout_s=STOP_SECONDS_MAX, what=lambda: "the end of the API")
    time.sleep(0.2)  # the supervisor has come to the metering process by then
    os.kill(meter, signal.SIGCONT)
    assert fresh.stop() == 0
    assert time.monotonic() - started < STOP_SECONDS_MAX
    found = fresh.command("verify", "usage")
    assert found.returncode == 0, found.stdout
    assert f"accepted {EVENTS} = with a verdict {EVENTS} + in progress 0" in found.stdout


def test_killed_workers_are_started_again_and_counted(fresh: RunningServer) -> None:
    """Another process takes the place of each, and `GET /metrics` says so."""
    for role in ROLES:
        before = fresh.wait_for_worker(role)
        kill(before)
        wait_until(
            lambda role=role, before=before: set(fresh.workers(role)) - {before}, timeout_s=20, what=lambda: "it"
        )
    fresh.wait_until_ready()
    restarts = {name: count for name, count in fresh.figures().items() if "worker_restarts_total" in name}
    workers = ("api-0", *ROLES[1:])
    assert restarts == {f'tallybook_worker_restarts_total{{worker="{worker}"}}': 1.0 for worker in workers}


def test_workers_do_not_outlive_their_supervisor(fresh: RunningServer) -> None:
    """None is left writing alone, and the folder is free for another server at once."""
    fresh.kill_supervisor()  # waits for the end of the workers
    fresh.start()
    assert fresh.stop() == 0
