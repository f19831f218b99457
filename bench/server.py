"""Real Tallybook processes on a temporary folder, and what they use of the machine."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import httpx

from bench.load import ACCOUNTS, SCHEMA, meters

START_TIMEOUT_S = 60
_PAGE_KIB_PER_MIB = 1024


class Server:
    """`tallybook serve`, or one API process alone, with a key and the definitions of the load."""

    def __init__(self, *, command: str = "serve") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tallybook-bench-"))
        self.port = free_port()
        self.key = self._run("keys", "create", "bench").strip()
        arguments = [sys.executable, "-m", "tallybook", command, "--port", str(self.port), "--data-dir", self.folder]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )
        self._wait_until_up()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def define(self) -> None:
        """Make the schema, five meters and the accounts of the load."""
        self._post("/event_schema", SCHEMA)
        self._post("/event_schema/ride/activate")
        for meter in meters():
            self._post(f"/usage_meters/{self._post('/usage_meters', meter)['id']}/activate")
        for number in range(ACCOUNTS):
            name = f"account-{number}"
            address = {"line1": "-", "city": "-", "country": "US", "postalCode": "-", "phoneNumber": "-"}
            account = {"id": name, "name": name, "invoiceCurrency": "USD"}
            customer = {"id": name, "name": name, "primaryEmail": "bench@example.com", "address": address}
            self._post("/customers", {**customer, "account": account})

    def processes(self) -> list[int]:
        """The server's process ids, the supervisor first."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [self.process.pid, *map(int, found.stdout.split())]

    def _post(self, path: str, body: object = None) -> dict[str, str]:
        answer = self.client.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "tallybook", *arguments, "--data-dir", self.folder]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if self.client.get("/readyz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise TimeoutError("the server did not start")


class MemoryWatch:
    """The largest sum of the processes' memory, shared pages counted once, sampled twice a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_mib = 0
        self._thread.start()

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.peak_mib

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            total_kib = sum(proportional_kib(process) for process in self._server.processes())
            self.peak_mib = max(self.peak_mib, total_kib // _PAGE_KIB_PER_MIB)


def proportional_kib(process: int) -> int:
    """Resident memory of a process, each shared page divided by the processes that share it."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def empty_server() -> Iterator[int]:
    """The same HTTP server with an application that only answers; yields its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.empty", str(port)], env=os.environ)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()
