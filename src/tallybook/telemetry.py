"""What the program says about itself: every message, counter and timing, once.

Counters are shared by all processes of one server through files in the data folder, so that whichever API process
answers `GET /metrics` gives the whole server's figures.
"""

import json
import logging
import multiprocessing
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess, values
from prometheus_client.registry import Collector

_BATCH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

requests = Counter("tallybook_ingest_requests", "Requests with events, by route and status", ["route", "status"])
events_accepted = Counter("tallybook_events_accepted", "Events made durable")
events_refused = Counter("tallybook_events_refused", "Events refused with a reason in the response")
events_metered = Counter("tallybook_events_judged", "Events given their verdict and committed")
meter_seconds = Histogram(
    "tallybook_meter_seconds", "Time for one micro-batch, commit included", buckets=_BATCH_SECONDS
)
events_archived = Counter("tallybook_events_archived", "Events moved to the lake")
archive_seconds = Histogram("tallybook_archive_seconds", "Time to move one piece to the lake", buckets=_BATCH_SECONDS)
invoices_issued = Counter("tallybook_invoices_issued", "Invoices finalised")
invoices_lacking_letters = Counter(
    "tallybook_invoices_lacking_letters", "Invoices printed with letters that no font on this machine has"
)
worker_restarts = Counter("tallybook_worker_restarts", "Processes that died and were started again", ["worker"])
internal_errors = Counter("tallybook_internal_errors", "Requests answered with 500")

log = logging.getLogger("tallybook")


class _Lines(logging.Formatter):
    """One JSON object a line: what a log collector reads, and a person can."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at,
            "level": record.levelname.lower(),
            "process": record.processName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr(process: str) -> None:
    """Send messages to standard error under the name of this process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    multiprocessing.current_process().name = process


def share_figures(folder: Path) -> None:
    """Keep the labelled figures of this process, and all of those that it starts, in files in that folder."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # else decided at import


def exposition(*more: Collector) -> bytes:
    """All figures in Prometheus text, those of `more` read at this moment."""
    registry = CollectorRegistry()
    if values.ValueClass.__name__ == "MmapedValue":  # several processes share their figures through files
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's types end here
    else:
        for collector in (
            requests,
            events_accepted,
            events_refused,
            events_metered,
            meter_seconds,
            events_archived,
            archive_seconds,
            invoices_issued,
            invoices_lacking_letters,
            worker_restarts,
            internal_errors,
        ):
            registry.register(collector)
    for gauge in more:
        registry.register(gauge)
    return generate_latest(registry)
