"""The metering worker killed before each statement of its transaction, and before and after the commit."""

import multiprocessing
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import catalogue_samples as samples
from api_caller import Caller
from embedded import ORGANISATION, Embedded, event
from sqlalchemy import Engine
from sqlalchemy import event as listening

from tallybook import assembly
from tallybook.config import Settings
from tallybook.core.credential import Scope

STATEMENTS_MAX = 60
KEPT_GOING = 0


def meter_until_killed(folder: Path, statement: int) -> None:
    """Meter, and `kill -9` this process before the statement of that number; a commit counts as one, too."""
    metering = assembly.metering(Settings(data_dir=str(folder)))
    seen = 0

    def count(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    listening.listen(Engine, "before_cursor_execute", count)
    listening.listen(Engine, "commit", count)
    while metering.meter_waiting():
        pass
    os._exit(KEPT_GOING)


def test_worker_killed_at_any_statement_counts_each_event_once(tmp_path: Path) -> None:
    """All of the transaction or nothing of it: whoever comes next meters the rest, exactly."""
    embedded = Embedded(tmp_path)
    with embedded.caller() as client:
        caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        samples.active_meter(caller)
        caller.post("/customers", samples.customer())
        caller.post("/accounts", samples.account())
    killed = 0
    for statement in range(1, STATEMENTS_MAX):
        embedded.send(event(f"e{statement}"), event(f"f{statement}"), event(f"e{max(1, statement - 1)}"))
        process = multiprocessing.get_context("fork").Process(target=meter_until_killed, args=(tmp_path, statement))
        process.start()
        process.join(timeout=60)
        assert process.exitcode in (-signal.SIGKILL, KEPT_GOING)
        embedded.send(event(f"g{statement}"))  # so that the next worker's batch is another
        embedded.metering = embedded.new_metering()
        embedded.meter()
        [(units, count)] = embedded.usage().values()
        assert (Decimal(units), count) == (Decimal("12.5") * 3 * statement, 3 * statement)
        assert embedded.verified().differences == []
        if process.exitcode == KEPT_GOING:
            break
        killed += 1
    assert killed >= 10, "the transaction has more statements than that"
    assert process.exitcode == KEPT_GOING, "in the end a worker came through"
