"""No room left: for the log, for the database, and on the whole disk.

The first two give a process a limit on the size of files, which needs no privilege and can be lifted while it runs; the
last fills a small file system of its own, where the machine lets us make one.
"""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from rides import DUPLICATE, define_rides, ride, status_of
from running_server import RunningServer, running_server, wait_until

BATCH = 200
DISK_MEBIBYTES = 40
BALLAST_MEBIBYTES = 24  # freed later: more than the log can hold by then, as `docs/operations.md` asks for


def send(client: httpx.Client, first: int, count: int = BATCH) -> httpx.Response:
    return client.post("/ingestBatch", json={"events": [ride(number) for number in range(first, first + count)]})


def send_until_refused(client: httpx.Client, acknowledged: set[int], *, batches_max: int = 2000) -> httpx.Response:
    """Send new batches until one is not taken, and return that answer; what was taken is added to `acknowledged`."""
    for _ in range(batches_max):
        first = max(acknowledged, default=-1) + 1
        answer = send(client, first)
        if answer.status_code != httpx.codes.ACCEPTED:
            return answer
        acknowledged.update(range(first, first + BATCH))
    raise AssertionError(f"{batches_max} batches were taken, and the disk is still not full")


def send_until_taken(client: httpx.Client, acknowledged: set[int]) -> None:
    """Resend the batch that was refused until it is taken."""
    first = max(acknowledged, default=-1) + 1
    wait_until(
        lambda: send(client, first).status_code == httpx.codes.ACCEPTED, timeout_s=30, what=lambda: "an acceptance"
    )
    acknowledged.update(range(first, first + BATCH))


@contextmanager
def limited_files(pid: int, size: int) -> Iterator[None]:
    """No file that this process writes may become larger, for a while."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def assert_asked_to_wait(answer: httpx.Response) -> None:
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert 1 <= len(answer.json()["message"]) <= 500
    assert answer.json()["code"]


def assert_everything_counted_once(server: RunningServer, client: httpx.Client, acknowledged: set[int]) -> None:
    server.wait_until_metered()
    found = server.command("verify", "usage", "--json")
    assert found.returncode == 0, found.stdout + found.stderr
    for number in sorted(acknowledged)[:: max(1, len(acknowledged) // 50)]:
        events = client.get(f"/events/ride-{number}").raise_for_status().json()["events"]
        verdicts = [each["ingestionStatus"]["status"] for each in events]
        assert [status for status in verdicts if status != DUPLICATE] == [status_of(number)]


class Sending(NamedTuple):
    """A server, a client of it, and the rides that it was told were accepted."""

    server: RunningServer
    client: httpx.Client
    acknowledged: set[int]


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sending]:
    folder = tmp_path_factory.mktemp("full")
    with running_server(folder, environment={"TALLYBOOK_ARCHIVE_INTERVAL_S": "1"}) as server:
        client = server.client(server.create_key())
        define_rides(client)
        yield Sending(server, client, set())


def test_full_log_asks_to_wait_and_goes_on_when_there_is_room(sending: Sending) -> None:
    """503 with Retry-After; nothing acknowledged before is lost, and the same events are taken afterwards."""
    server, client, acknowledged = sending
    send_until_taken(client, acknowledged)
    api = server.wait_for_worker("api")
    with limited_files(api, 2 * 1024 * 1024):
        assert_asked_to_wait(send_until_refused(client, acknowledged))
        assert_asked_to_wait(send(client, max(acknowledged) + 1))
        assert client.get("/healthz").status_code == httpx.codes.OK
    send_until_taken(client, acknowledged)
    assert server.workers("api") == [api], "it recovered; it was not started again"
    assert_everything_counted_once(server, client, acknowledged)


def test_full_database_delays_metering_and_loses_nothing(sending: Sending) -> None:
    """Events are accepted while metering waits for room; afterwards each of them is counted once."""
    server, client, acknowledged = sending
    send_until_taken(client, acknowledged)
    server.wait_until_metered()
    meter = server.wait_for_worker("meter")
    with limited_files(meter, 512 * 1024):
        for _ in range(30):
            send_until_taken(client, acknowledged)
        wait_until(lambda: "metering waits" in server.complained, timeout_s=30, what=lambda: "metering to be held up")
        assert server.figures()["tallybook_waiting_records"] > 0
        send_until_taken(client, acknowledged)
    assert_everything_counted_once(server, client, acknowledged)
    assert server.workers("meter") == [meter], "it recovered; it was not started again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few mebibytes, in memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEBIBYTES}m", "tallybook-test", folder],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a file system; the tests above limit the size of files instead")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_full_disk_loses_nothing_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    """The whole folder is on the full disk: log, database and lake. Freed room is enough to go on, unattended."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_MEBIBYTES * 1024 * 1024))
    with running_server(small_disk, environment={"TALLYBOOK_ARCHIVE_INTERVAL_S": "1"}) as server:
        client = server.client(server.create_key())
        define_rides(client)
        acknowledged: set[int] = set()
        assert_asked_to_wait(send_until_refused(client, acknowledged))
        assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize < 1024 * 1024
        ballast.unlink()
        send_until_taken(client, acknowledged)
        assert_everything_counted_once(server, client, acknowledged)
