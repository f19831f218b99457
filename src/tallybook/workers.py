"""The loops of the long-running processes: API, metering, archive and billing.

Each runs until it is told to stop (SIGTERM or SIGINT), finishes what it holds, and returns.
"""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

from tallybook import assembly, telemetry
from tallybook.config import Settings
from tallybook.core.errors import Busy
from tallybook.flows.archive import Archive, KeyUpkeep
from tallybook.flows.bill import Billing
from tallybook.flows.meter import MeteredThrough
from tallybook.flows.reprocess import Reprocessing
from tallybook.flows.run_jobs import JobRunner
from tallybook.interpreter import collect_garbage_rarely
from tallybook.judge_process import JudgeProcess

THREAD_SWITCH_INTERVAL_S = 0.0005  # the thread that commits must not wait 5 ms for its turn after every statement
LOOK_INTERVAL_S = 1.0
POLL_INTERVAL_S = 0.005  # how long a lone event waits to be noticed; looking costs some microseconds


def run_api(settings: Settings) -> None:
    """Serve HTTP until told to stop; then finish the requests under way."""
    sys.setswitchinterval(THREAD_SWITCH_INTERVAL_S)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    edge = assembly.edge(settings)
    collect_garbage_rarely()
    server = Server(
        edge,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        log_enabled=False,
        websockets=False,
        backlog=1024,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve()
    await asyncio.to_thread(edge.close)


def run_meter(settings: Settings) -> None:
    """Meter what arrives until told to stop; then meter what is waiting, and return."""
    log = assembly.event_log(settings)
    ahead = JudgeProcess(settings) if settings.judge_ahead else None
    metering = assembly.metering(settings, ahead=ahead)
    collect_garbage_rarely()
    stop = _stop_signal()
    seen, looked_at = -1, 0.0
    while True:
        stopping = stop.is_set()
        noticed = log.changes_seen()
        # Once a second in any case: a worker that was overtaken and then outlived the other finds what that one left.
        if noticed != seen or stopping or time.monotonic() - looked_at > LOOK_INTERVAL_S:
            seen, looked_at = noticed, time.monotonic()
            while _meter_once(metering.meter_waiting):
                pass
        if stopping:
            break
        stop.wait(POLL_INTERVAL_S)
    if ahead is not None:
        ahead.close()


def _meter_once(meter_waiting: Callable[[], int]) -> int:
    started = time.monotonic()
    try:
        count = meter_waiting()
    except Busy as error:
        telemetry.log.warning("metering waits: %s", error.message)
        time.sleep(error.retry_after_s)
        return 1  # try again
    if count:
        telemetry.events_metered.inc(count)
        telemetry.meter_seconds.observe(time.monotonic() - started)
    return count


def run_archive(settings: Settings) -> None:
    """Move metered rows to the lake, in large pieces, and keep event ids in order, until told to stop."""
    archive = assembly.archive(settings)
    keys = assembly.key_upkeep(settings)
    stop = _stop_signal()
    last = time.monotonic()
    while not stop.is_set():
        due = time.monotonic() - last >= settings.archive_interval_s
        if due or archive.waiting_rows() >= settings.archive_rows:
            _archive_once(archive, keys)
            last = time.monotonic()
        if not _merge_keys_once(keys):
            stop.wait(min(1.0, settings.archive_interval_s))


def _archive_once(archive: Archive, keys: KeyUpkeep) -> None:
    started = time.monotonic()
    try:
        while count := archive.archive_waiting():
            telemetry.events_archived.inc(count)
            telemetry.archive_seconds.observe(time.monotonic() - started)
            started = time.monotonic()
        archive.compact()
        keys.forget_some()
    except Busy as error:
        telemetry.log.warning("archiving waits: %s", error.message)


def _merge_keys_once(keys: KeyUpkeep) -> bool:
    """Do one step; False when there is nothing to do, or it has to wait."""
    try:
        return keys.merge_some()
    except Busy as error:
        telemetry.log.warning("merging event ids waits: %s", error.message)
        return False


def run_billing(settings: Settings) -> None:
    """Issue the invoices of billing cycles as they become due, and run jobs in between, until told to stop."""
    billing = assembly.billing(settings)
    metered = assembly.metered_through(settings)
    reprocessing = assembly.reprocessing(settings)
    jobs = assembly.job_runner(settings)
    collect_garbage_rarely()
    stop = _stop_signal()
    billed_at: float | None = None
    while not stop.is_set():
        # Jobs come first: an event that waited for its account belongs on the invoice, if it still can be.
        goes_on = _run_jobs_once(reprocessing, jobs)
        if billed_at is None or time.monotonic() - billed_at >= settings.bill_interval_s:
            billed_at = time.monotonic()
            _bill_once(billing, metered)
        if not goes_on:
            stop.wait(min(LOOK_INTERVAL_S, settings.bill_interval_s))


def _bill_once(billing: Billing, metered: MeteredThrough) -> None:
    try:
        through = metered.instant()
        report = billing.close_due_cycles(as_of=through, metered_through=through)
        telemetry.invoices_issued.inc(report.finalised)
    except Busy as error:
        telemetry.log.warning("billing waits: %s", error.message)


def _run_jobs_once(reprocessing: Reprocessing, jobs: JobRunner) -> bool:
    """Do one piece of a job; False when there is nothing to do, or it has to wait."""
    try:
        reprocessing.look()
        return jobs.run_piece()
    except Busy as error:
        telemetry.log.warning("jobs wait: %s", error.message)
        return False


def _stop_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
