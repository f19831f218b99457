"""`tallybook demo` with real processes, on the first flights of the file."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tallybook.core.errors import Invalid
from tallybook.demo import figures, story
from tallybook.demo.screen import Screen

DEMO = (sys.executable, "-m", "tallybook", "demo")
ROWS = 5000
AIRLINES = 16
END_TIMEOUT_S = 60


class Run(NamedTuple):
    """A demo that has ended."""

    status: int
    summary: dict[str, Any]
    told: str


def environment(folder: Path) -> dict[str, str]:
    """Temporary folders are made in `folder`; settings of another server must not matter."""
    return {**os.environ, "TMPDIR": str(folder), "TALLYBOOK_DATA_DIR": str(folder / "not-mine"), "TALLYBOOK_PORT": "1"}


def processes_of(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    finished = subprocess.run(
        [*DEMO, "--rows", str(ROWS), "--json"], env=environment(folder), capture_output=True, text=True, check=False
    )
    assert finished.stdout, finished.stderr
    return Run(finished.returncode, json.loads(finished.stdout), finished.stderr)


def test_it_ends_with_equal(run: Run) -> None:
    """The last line, the exit status and the summary say the same."""
    assert run.told.splitlines()[-1] == story.EQUAL, run.told
    assert run.status == 0
    assert (run.summary["equal"], run.summary["differences"]) == (True, [])


def test_every_event_is_in_the_balance(run: Run) -> None:
    """Accepted = metered + failed, and each failure has a reason."""
    by_status = run.summary["events_by_status"]
    assert by_status.keys() == {"INGESTION_COMPLETED_EVENT_METERED", "INGESTION_FAILED"}
    assert run.summary["events_sent"] == run.summary["events_verified"] == sum(by_status.values()) == ROWS
    assert by_status["INGESTION_FAILED"] == sum(run.summary["failed_because"].values()) > 0
    assert any("air_time" in reason for reason in run.summary["failed_because"])


def test_every_airline_is_billed_for_every_month(run: Run) -> None:
    assert run.summary["invoices_issued"] == AIRLINES * 12
    assert len(run.summary["invoiced"]) == AIRLINES
    assert all(Decimal(amount.replace(",", "")) > 0 for amount in run.summary["invoiced"].values())


def test_usage_and_money_of_every_airline_and_month_are_compared(run: Run) -> None:
    """Events (2) and usage (4) of 13 months; 12 invoices with 4 quantities, 4 charges, a true-up and a total; sums."""
    assert run.summary["figures_compared"] == AIRLINES * (13 * (2 + 4) + 12 * (4 + 4 + 1 + 1) + 1) + 2


def test_the_story_is_plain_text_without_a_terminal(run: Run) -> None:
    assert "\x1b" not in run.told
    assert "\r" not in run.told
    assert "True-up: Minimum of a month" in run.told
    assert "Hawaiian Airlines Inc." in run.told


def test_nothing_is_left_behind(run: Run, folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []


def test_an_interruption_cleans_up(tmp_path: Path) -> None:
    """Ctrl-C reaches every process of the terminal, while events are sent."""
    with subprocess.Popen(
        DEMO,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as demo:
        deadline = time.monotonic() + END_TIMEOUT_S
        while not list(tmp_path.glob("*/log/*.sqlite")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert processes_of(tmp_path)
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(END_TIMEOUT_S) != 0
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_one_wrong_rate_is_found(tmp_path: Path) -> None:
    """A calculation that charges 0.0126 a mile is not agreed with; a kept folder stays."""
    tampered = tmp_path / "tampered.py"
    right = figures.CALCULATION.read_text(encoding="utf-8")
    assert right.count("Fraction(125, 10_000)") == 1
    tampered.write_text(right.replace("Fraction(125, 10_000)", "Fraction(126, 10_000)"), encoding="utf-8")
    screen = Screen(to_stderr=True)
    summary = story.run_demo(screen, rows=300, keep=tmp_path / "kept", calculation=tampered)
    assert story.conclude(screen, summary) == 1
    assert not summary.equal
    assert any(each.startswith("charge for miles to UA for 2013-01: ") for each in summary.differences)
    assert not any(each.startswith(("usage", "events", "charge for departures")) for each in summary.differences)
    assert (tmp_path / "kept" / "tallybook.sqlite").exists()
    assert processes_of(tmp_path) == []
    shutil.rmtree(tmp_path / "kept")


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    """It could be somebody's data."""
    (tmp_path / "tallybook.sqlite").touch()
    with pytest.raises(Invalid, match="not an empty folder"):
        story.run_demo(Screen(to_stderr=True), keep=tmp_path)
