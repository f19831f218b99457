"""A real `tallybook serve` on a folder and a free port, and the other commands, each in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from tallybook.config import PREFIX
from tallybook.demo import DemoFailed
from tallybook.kernel import die_with

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
LOOK_INTERVAL_S = 0.05
_OUTPUT_SHOWN_CHARACTERS = 400
_SETTINGS = {
    PREFIX + "HOST": "127.0.0.1",
    PREFIX + "BILL_INTERVAL_S": "86400",  # so that it is the command `bill` that issues the invoices
}
_HOST = _SETTINGS[PREFIX + "HOST"]


class Server:
    """A running server; `command` runs `tallybook` on its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.url = f"http://{_HOST}:{self.port}"
        self._output = folder / "serve.log"
        me = os.getpid()
        with self._output.open("wb") as output:
            # A session of its own: Ctrl-C reaches this process alone, which then stops the server in good order.
            # Should this process be killed, the kernel ends the server. No thread has been started yet.
            self._process = subprocess.Popen(
                [*_TALLYBOOK, "serve", "--data-dir", str(folder), "--port", str(self.port)],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: die_with(me),
            )

    def wait_until_ready(self) -> None:
        """Return once it says that it takes events. Raises `DemoFailed`."""
        opener = build_opener(ProxyHandler({}))
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with opener.open(f"{self.url}/readyz", timeout=1):
                    return
            except (URLError, OSError):
                time.sleep(LOOK_INTERVAL_S)
        raise DemoFailed(f"the server did not start: {self._last_output()}")

    def check_alive(self) -> None:
        """Raises `DemoFailed` when the server has ended."""
        if self._process.poll() is not None:
            raise DemoFailed(f"the server ended with code {self._process.returncode}: {self._last_output()}")

    def command(self, *arguments: str, may_fail: bool = False) -> str:
        """What `tallybook ARGUMENTS` on the server's data prints. Raises `DemoFailed` when it fails, unless it may."""
        return self.command_offline(*arguments, "--data-dir", str(self.folder), may_fail=may_fail)

    def command_offline(self, *arguments: str, may_fail: bool = False) -> str:
        """The same without any data but what the arguments name."""
        finished = subprocess.run(
            [*_TALLYBOOK, *arguments],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode and not (may_fail and finished.stdout):
            raise DemoFailed(f"tallybook {' '.join(arguments)}: {_end_of(finished.stderr or finished.stdout)}")
        return finished.stdout

    def stop(self) -> None:
        """Stop it in good order, and end it when it takes too long."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its workers end with it
            self._process.wait()

    def _last_output(self) -> str:
        return _end_of(self._output.read_text(errors="replace"))


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """A server on `folder` that is stopped on the way out, whatever happens; an interruption waits for that."""
    server = Server(folder)
    try:
        yield server
    finally:
        with uninterrupted():
            server.stop()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep a second Ctrl-C from leaving something behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Turn SIGTERM and the closing of the terminal into what Ctrl-C is, so that they clean up too."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in _INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TALLYBOOK = (sys.executable, "-m", "tallybook")


def _environment() -> dict[str, str]:
    """This process's environment without Tallybook's settings: what is set for another server is not for this one."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | _SETTINGS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _end_of(output: str) -> str:
    return output.strip()[-_OUTPUT_SHOWN_CHARACTERS:] or "it said nothing"
