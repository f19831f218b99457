"""`tallybook serve`: all processes of one machine under one supervisor.

It holds the lock of the data folder, starts the workers, starts again those that die, and stops them in the order in
which events travel, so that what was accepted is metered before it leaves.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tallybook import assembly, telemetry
from tallybook.config import Settings, as_environment
from tallybook.core.errors import Conflict

LOCK_WAIT_S = 3  # workers of a killed supervisor hold the lock until the kernel has ended them
LOOK_INTERVAL_S = 0.05
RESTART_PAUSE_S = (0.05, 5.0)  # doubles from the first to the second while a worker dies young
YOUNG_S = 10.0
START_TIMEOUT_S = 60


class Worker:
    """One process of the server, started again whenever it dies."""

    def __init__(self, role: str, name: str, environment: dict[str, str], lock: int) -> None:
        self.name = name
        self._role = role
        self._environment = environment
        self._lock = lock
        self._pause = RESTART_PAUSE_S[0]
        self._not_before = 0.0
        self._start()

    def look(self) -> None:
        """Start the process again if it has died."""
        if self.process.poll() is None:
            return
        if self._not_before == 0.0:
            lived = time.monotonic() - self._started
            self._pause = RESTART_PAUSE_S[0] if lived > YOUNG_S else min(self._pause * 2, RESTART_PAUSE_S[1])
            self._not_before = time.monotonic() + self._pause
            telemetry.worker_restarts.labels(self.name).inc()
            telemetry.log.error("%s ended with code %s; starting it again", self.name, self.process.returncode)
        if time.monotonic() >= self._not_before:
            self._start()

    def stop(self, deadline: float) -> None:
        """Tell the process to finish; end it when the deadline has passed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            telemetry.log.warning("%s did not finish in time and was killed; it goes on at the next start", self.name)
            self.process.kill()
            self.process.wait()

    def _start(self) -> None:
        self._started = time.monotonic()
        self._not_before = 0.0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tallybook", self._role, "--supervised-by", str(os.getpid())],
            env=self._environment,
            pass_fds=[self._lock],
        )


def serve(settings: Settings, *, announce: bool = True) -> None:
    """Run everything until SIGTERM or SIGINT. Raises `Conflict` when another server has the data folder."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with _locked(settings.data_path) as lock:
        assembly.prepare(settings)
        if announce and not assembly.has_api_keys(settings):
            print(
                f"There is no API key yet. Make one: tallybook keys create NAME --data-dir {settings.data_dir}",
                flush=True,
            )
        _share_figures(settings)
        environment = {**os.environ, **as_environment(settings)}
        # The order is that of the way of an event, and the order of stopping.
        workers = [Worker("api", f"api-{number}", environment, lock) for number in range(settings.workers)]
        workers += [Worker(role, role, environment, lock) for role in ("meter", "archive", "billing")]
        if announce:
            threading.Thread(target=_announce, args=(settings, stop), daemon=True).start()
        while not stop.wait(LOOK_INTERVAL_S):
            for worker in workers:
                worker.look()
        _stop(workers, settings)


def _stop(workers: list[Worker], settings: Settings) -> None:
    deadline = time.monotonic() + settings.stop_timeout_s
    for worker in workers:
        worker.stop(deadline)


def _share_figures(settings: Settings) -> None:
    folder = settings.data_path / "figures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    telemetry.share_figures(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace") or "unknown"
                raise Conflict(
                    f"the data folder {folder} is in use by another Tallybook (process {holder}); "
                    "stop that one first, or choose another folder with --data-dir"
                ) from None
            time.sleep(LOOK_INTERVAL_S)
        else:
            return


def _announce(settings: Settings, stop: threading.Event) -> None:
    """Say in one line where the server listens and where the data is, once it answers."""
    address = f"http://{settings.host}:{settings.port}"
    deadline = time.monotonic() + START_TIMEOUT_S
    while not stop.is_set() and time.monotonic() < deadline:
        try:
            with urlopen(f"{address}/healthz", timeout=1):  # noqa: S310  # our own address
                print(f"Tallybook listens on {address}, data in {settings.data_path.resolve()}", flush=True)
                return
        except (URLError, OSError):
            time.sleep(LOOK_INTERVAL_S)
