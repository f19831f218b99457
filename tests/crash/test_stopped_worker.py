"""A metering worker that sleeps while another takes over, and then goes on as if nothing had happened."""

import os
import secrets
import signal
import sqlite3
import time
from pathlib import Path
from random import Random

from crash.harness import ENVIRONMENT
from crash.load import REVERTED, RideClient
from rides import DUPLICATE, define_rides, status_of
from running_server import RunningServer, running_server, wait_until

ROUNDS = 6
TAKEOVER_TIMEOUT_S = 3


def metered_position(server: RunningServer) -> int:
    with sqlite3.connect(server.settings.database_path, timeout=30) as connection:
        row = connection.execute("SELECT position FROM metering_position").fetchone()
    return row[0] if row else 0


def took_over(server: RunningServer, before: int) -> bool:
    """Whether another worker moves the position; not while the sleeping one holds the database's write lock."""
    deadline = time.monotonic() + TAKEOVER_TIMEOUT_S
    while time.monotonic() < deadline:
        if metered_position(server) > before:
            return True
        time.sleep(0.02)
    return False


def test_metering_worker_stopped_past_its_successors_start_changes_nothing(tmp_path: Path) -> None:
    """Stopped at random moments while a second worker meters on, then continued: every event still counts once."""
    seed = int(os.environ.get("CRASH_SEED") or secrets.randbelow(2**32))
    print(f"CRASH_SEED={seed}")
    random = Random(seed)
    with running_server(tmp_path, environment=ENVIRONMENT) as server:
        key = server.create_key()
        client = server.client(key)
        define_rides(client)
        load = RideClient(server.port, key, first=0, step=1, seed=seed, pause_s=0.01)
        load.start()
        second = server.another("meter")
        takeovers = 0
        try:
            for _ in range(ROUNDS):
                sleeper = random.choice([server.wait_for_worker("meter"), second.pid])
                wait_until(lambda: load.acknowledged_count > 0, timeout_s=30, what=lambda: "events")
                time.sleep(0.3 * random.random())
                os.kill(sleeper, signal.SIGSTOP)
                try:
                    takeovers += took_over(server, metered_position(server))
                finally:
                    os.kill(sleeper, signal.SIGCONT)
            load.settle()
            server.wait_until_metered()
        finally:
            load.end()
            second.kill()
            second.wait()
        assert takeovers > 0, "the second worker never metered while the first one slept"
        found = server.command("verify", "usage", "--json")
        assert found.returncode == 0, found.stdout + found.stderr
        for number in sorted(load.acknowledged)[:: max(1, len(load.acknowledged) // 100)]:
            answer = client.get(f"/events/ride-{number}").raise_for_status().json()
            statuses = [each["ingestionStatus"]["status"] for each in answer["events"]]
            expected = [] if number in load.undone else [status_of(number)]
            assert [status for status in statuses if status not in (DUPLICATE, REVERTED)] == expected
