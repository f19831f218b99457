"""A real server for tests: `tallybook serve` in its own processes, on a folder of the test's and a free port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tallybook import assembly
from tallybook.config import Settings, read_settings
from tallybook.core.credential import Scope

START_TIMEOUT_S = 60
DEATH_TIMEOUT_S = 10


class RunningServer:
    """A server that can be started, killed in parts or as a whole, and started again on the same folder."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data_dir = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TALLYBOOK_")},
            **(environment or {}),
        }
        self._said = folder / "stdout.txt"
        self._complained = folder / "stderr.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        return read_settings(self._environment, data_dir=str(self.data_dir), port=self.port)

    @property
    def said(self) -> str:
        """What it has printed on standard output since the first start."""
        return self._said.read_text()

    @property
    def complained(self) -> str:
        """What it has printed on standard error since the first start."""
        return self._complained.read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was started"
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, return when it is ready for events."""
        with self._said.open("ab") as said, self._complained.open("ab") as complained:
            self._process = self._popen("serve", "--port", str(self.port), stdout=said, stderr=complained)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        wait_until(self._is_ready, timeout_s=START_TIMEOUT_S, what=lambda: f"a server that is ready; {self.complained}")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `tallybook` command on the data folder and wait for its end."""
        return subprocess.run(
            [sys.executable, "-m", "tallybook", *arguments, "--data-dir", str(self.data_dir)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def another(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one more `tallybook` process on the data folder, beside the server."""
        with self._complained.open("ab") as complained:
            return self._popen(*arguments, stdout=subprocess.DEVNULL, stderr=complained)

    def stop(self) -> int:
        """Tell it to leave and wait; return its exit status."""
        assert self._process is not None, "the server was started"
        self._process.terminate()
        return self._process.wait(timeout=30)

    def workers(self, role: str) -> list[int]:
        """The processes of that role that live now."""
        return [pid for pid in _descendants(self.pid) if _role(pid) == role]

    def wait_for_worker(self, role: str) -> int:
        """The process of that role, as soon as there is one."""
        found: list[int] = []

        def is_there() -> bool:
            found[:] = self.workers(role)
            return bool(found)

        wait_until(is_there, timeout_s=START_TIMEOUT_S, what=lambda: f"a {role} worker")
        return found[0]

    def kill_supervisor(self) -> None:
        """`kill -9` the supervisor alone; the kernel ends its workers."""
        self._kill([self.pid])

    def kill_everything(self) -> None:
        """`kill -9` the supervisor and every worker."""
        self._kill([self.pid, *_descendants(self.pid)])

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def create_key(self, *scopes: Scope) -> str:
        """Make an API key and return its secret."""
        assembly.prepare(self.settings)
        authenticator = assembly.authenticator(self.settings)
        return authenticator.create_key("default", "test", scopes or (Scope.INGEST, Scope.READ, Scope.WRITE))

    def client(self, key: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def figures(self) -> dict[str, float]:
        """What `GET /metrics` says, by name and labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=30).raise_for_status().text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def wait_until_metered(self, *, timeout_s: float = 60) -> None:
        """Return when everything accepted so far has its verdict."""
        wait_until(
            lambda: self.figures()["tallybook_waiting_records"] == 0,
            timeout_s=timeout_s,
            what=lambda: f"metering to catch up; {self.complained[-2000:]}",
        )

    def _kill(self, pids: list[int]) -> None:
        assert self._process is not None, "the server was started"
        workers = _descendants(self.pid)
        for pid in pids:
            kill(pid)
        self._process.wait()
        try:
            wait_until(
                lambda: not any(map(_lives, workers)), timeout_s=DEATH_TIMEOUT_S, what=lambda: "the workers' end"
            )
        finally:
            for pid in workers:
                kill(pid)

    def _is_ready(self) -> bool:
        assert self.is_running(), f"the server ended: {self.complained}"
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _popen(self, *arguments: str, stdout: object, stderr: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tallybook", *arguments, "--data-dir", str(self.data_dir)],
            env=self._environment,
            stdout=stdout,  # type: ignore[arg-type]  # a file or one of subprocess's constants
            stderr=stderr,  # type: ignore[arg-type]
        )


@contextmanager
def running_server(folder: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """A server that is ready, and is gone with everything it started at the end."""
    server = RunningServer(folder, environment=environment)
    try:
        server.start()
        yield server
    finally:
        if server.is_running():
            server.kill_everything()


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    holds: Callable[[], object], *, timeout_s: float, what: Callable[[], str], interval_s: float = 0.02
) -> None:
    """Return when it holds; fail, saying what was waited for, when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what()}"
        time.sleep(interval_s)


def kill(pid: int) -> None:
    """`kill -9`; a process that is gone already is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, tasks.read_text().split())
        except OSError:
            continue  # the thread has ended meanwhile
    return children


def _descendants(pid: int) -> list[int]:
    children = _children(pid)
    return children + [each for child in children for each in _descendants(child)]


def _role(pid: int) -> str:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    if b"--multiprocessing-fork" in arguments:
        return "judge"  # the one process that a worker starts
    return arguments[3].decode() if len(arguments) > 3 else ""  # python -m tallybook ROLE


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
