"""`python -m bench`: every figure once, in one table."""

import argparse
import json
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench import rival
from bench.bills import BillRun, bill_runs
from bench.load import EVENTS_PER_BATCH, Load, batches, singles
from bench.server import MemoryWatch, Server, empty_server
from tallybook.storage.log_sqlite import SqliteEventLog

WRK_SECONDS = 8
WRK_CONNECTIONS = 48
BATCH_CONNECTIONS = 4
LATENCY_SECONDS = 20
LATENCY_BATCH_RATE_SHARE = 0.5
ONE_BY_ONE_EVENTS_MAX = 500_000  # some 40 seconds; with more the index would be larger and the rival slower
PAGE_OF_OUTPUT = 120


class Figure(NamedTuple):
    """One line of the table: what was measured, and what it is judged by."""

    name: str
    value: str
    ratio: float
    unit: str
    target: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


class EndToEnd(NamedTuple):
    """What sending events through a whole server gave."""

    events_per_s: float
    peak_mib: int
    latencies_s: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Tallybook on this machine.")
    parser.add_argument("--events", type=int, default=2_000_000, help="events sent end to end")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    say = Console(stderr=True).print
    figures = _measure(options.events, say)
    if options.json:
        print(json.dumps([{**figure._asdict(), "met": figure.is_met} for figure in figures], indent=1))
    else:
        Console(width=PAGE_OF_OUTPUT).print(_table(figures))


def _measure(events: int, say: Callable[[str], None]) -> list[Figure]:
    say("an empty route …")
    with empty_server() as port:
        empty = _wrk(port, key="nobody looks at it")
    say("single events …")
    with Server(command="api") as server:
        single = _wrk(server.port, key=server.key)
    say("batches …")
    with Server(command="api") as server:
        accepted = _accepted_per_s(server, batch_count=max(200, events // EVENTS_PER_BATCH // 2))
    say("end to end …")
    whole = _end_to_end(events)
    say("bill runs …")
    bills = bill_runs()
    say("the rival …")
    one_by_one = rival.events_per_s(min(events, ONE_BY_ONE_EVENTS_MAX), rival.one_by_one)
    in_a_pipeline = rival.events_per_s(events, rival.in_a_pipeline)
    latencies = sorted(whole.latencies_s)
    p50, p99 = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    return [
        Figure("empty route", f"{empty:,.0f} requests/s", empty, "requests/s", 0),
        Figure("single events, durable", f"{single:,.0f} requests/s", single / empty, "of the empty route", 0.35),
        Figure("batches of 1000, durable", f"{accepted:,.0f} events/s", accepted, "events/s", 250_000),
        Figure("end to end, 5 meters", f"{whole.events_per_s:,.0f} events/s", whole.events_per_s, "events/s", 50_000),
        Figure("row per event, one by one", f"{one_by_one:,.0f} events/s", one_by_one, "events/s", 0),
        Figure("end to end ÷ one by one", "", whole.events_per_s / one_by_one, "times", 5),
        Figure("row per event, in a pipeline", f"{in_a_pipeline:,.0f} events/s", in_a_pipeline, "events/s", 0),
        Figure("end to end ÷ in a pipeline", "", whole.events_per_s / in_a_pipeline, "times", 5),
        Figure("receipt to visible, p50", f"{p50 * 1000:,.0f} ms", p50, "s", 1, at_most=True),
        Figure("receipt to visible, p99", f"{p99 * 1000:,.0f} ms", p99, "s", 1, at_most=True),
        Figure("memory of all processes", f"{whole.peak_mib:,} MiB", whole.peak_mib, "MiB", 1000, at_most=True),
        *(_bill_figure(run) for run in bills),
        Figure(
            "time per account, last ÷ first", "", _per_account(bills[-1]) / _per_account(bills[0]), "times", 1.2, True
        ),
    ]


def _bill_figure(run: BillRun) -> Figure:
    """A run, judged by what 100,000 invoices would take at its pace."""
    per_account = _per_account(run)
    value = f"{run.seconds:,.1f} s, {per_account * 1000:.2f} ms each, {run.peak_mib:,} MiB"
    return Figure(
        f"bill run, {run.accounts:,} accounts", value, per_account * 100_000, "s for 100,000", 180, at_most=True
    )


def _per_account(run: BillRun) -> float:
    return run.seconds / run.accounts


def _wrk(port: int, *, key: str) -> float:
    """Requests per second, each with one event and a new id, that the load generator gets answered with 2xx."""
    before, after = next(singles("RUN")).decode().split("RUN-00000001")
    command = ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{WRK_SECONDS}s", f"http://127.0.0.1:{port}/"]
    command += ["-s", str(Path(__file__).with_name("single.lua"))]
    command += ["--", key, f"run{time.time_ns()}", before, after]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if refused := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
        raise RuntimeError(f"{refused[1]} requests were refused")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert rate, output
    return float(rate[1])


def _accepted_per_s(server: Server, *, batch_count: int) -> float:
    load = Load(server.port, "/ingestBatch", server.key, batches("accept"), connections=BATCH_CONNECTIONS)
    load.send(20)  # the first ones create files and fill caches
    seconds = load.send(batch_count)
    assert not load.refused, f"{load.refused} batches were refused"
    return batch_count * EVENTS_PER_BATCH / seconds


def _end_to_end(events: int) -> EndToEnd:
    with Server() as server:
        server.define()
        load = Load(server.port, "/ingestBatch", server.key, batches("whole"), connections=BATCH_CONNECTIONS)
        load.send(20)
        _wait_until_metered(server)
        watch = MemoryWatch(server)
        started = time.monotonic()
        load.send(events // EVENTS_PER_BATCH)
        _wait_until_metered(server)
        rate = events / (time.monotonic() - started)
        peak_mib = watch.stop()
        assert not load.refused, f"{load.refused} batches were refused"
        return EndToEnd(rate, peak_mib, _latencies(server, events_per_s=rate * LATENCY_BATCH_RATE_SHARE))


def _wait_until_metered(server: Server) -> None:
    last = SqliteEventLog(server.folder / "log" / "0.sqlite").last_position()
    with sqlite3.connect(server.folder / "tallybook.sqlite") as database:
        while _position(database) < last:
            time.sleep(0.02)


def _latencies(server: Server, *, events_per_s: float) -> list[float]:
    """Seconds from the receipt of a batch to the commit of its usage, under a steady load."""
    load = Load(server.port, "/ingestBatch", server.key, batches("steady"), connections=BATCH_CONNECTIONS)
    per_s = max(1, round(events_per_s / EVENTS_PER_BATCH))
    sender = threading.Thread(target=load.send, args=(per_s * LATENCY_SECONDS,), kwargs={"per_s": per_s})
    found: list[float] = []
    with (
        sqlite3.connect(server.folder / "tallybook.sqlite") as database,
        sqlite3.connect(server.folder / "log" / "0.sqlite") as log,
    ):
        before = _position(database)
        sender.start()
        while sender.is_alive():
            position, seen = _position(database), time.time()
            if position > before:
                between = "SELECT received_at FROM record WHERE position > ? AND position <= ?"
                found += [seen - received / 1_000_000 for (received,) in log.execute(between, (before, position))]
                before = position
            time.sleep(0.002)
    return found


def _position(database: sqlite3.Connection) -> int:
    row = database.execute("SELECT position FROM metering_position").fetchone()
    return int(row[0]) if row else 0


def _table(figures: list[Figure]) -> Table:
    table = Table("figure", "measured", "judged by", "first target", "met")
    for figure in figures:
        judged = f"{figure.ratio:,.2f}" if figure.ratio < 100 else f"{figure.ratio:,.0f}"
        target = f"{'≤' if figure.at_most else '≥'} {figure.target:,g}" if figure.target else ""
        met = ("yes" if figure.is_met else "NO") if figure.target else ""
        table.add_row(figure.name, figure.value, f"{judged} {figure.unit}", target, met)
    return table


if __name__ == "__main__":
    main()
