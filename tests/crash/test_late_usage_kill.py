"""A bill run killed inside the transaction that posts what came late: all of it is there, or nothing."""

import multiprocessing
import os
import signal
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from billing_samples import add_catalogue, use
from sqlalchemy import Engine, select
from sqlalchemy import event as listening

from tallybook.flows.bill import Billing
from tallybook.storage import late_usage, tables
from tallybook.storage.database import Database, migrate, open_database
from tallybook.storage.late_usage import LateDay

FEBRUARY_10, MARCH_10 = datetime(2024, 2, 10, tzinfo=UTC), datetime(2024, 3, 10, tzinfo=UTC)


def bill_until_killed(path: Path, statement: str) -> None:
    """Close what is due in March, and `kill -9` this process right after the first statement that begins so."""

    def kill_after(_: Any, __: Any, text: str, *___: Any) -> None:
        if text.startswith(statement):
            os.kill(os.getpid(), signal.SIGKILL)

    listening.listen(Engine, "after_cursor_execute", kill_after)
    close(open_database(path), MARCH_10)


def close(database: Database, as_of: datetime) -> None:
    Billing(database).close_due_cycles(as_of=as_of, metered_through=as_of)


@pytest.mark.parametrize("statement", ["INSERT INTO invoice", "INSERT INTO late_posting", "DELETE FROM late_note"])
def test_what_came_late_is_posted_once_after_a_kill(tmp_path: Path, statement: str) -> None:
    """January is invoiced without usage; 5 units come late, 2 each: February is over 10, once."""
    path = tmp_path / "tallybook.sqlite"
    migrate(path)
    database = open_database(path)
    with database.write() as connection:
        add_catalogue(connection)
    close(database, FEBRUARY_10)
    use(database, "A", "2024-01-20", "5")
    with database.write() as connection:
        late_usage.note_late_usage(connection, [LateDay("org", "A", date(2024, 1, 20))])
    run = multiprocessing.get_context("spawn").Process(target=bill_until_killed, args=(path, statement))
    run.start()
    run.join(60)
    assert run.exitcode == -signal.SIGKILL
    assert standing(database) == ([Decimal(0)], [], 1)
    close(database, MARCH_10)
    assert standing(database) == ([Decimal(0), Decimal(10)], [Decimal(10)], 0)
    database.close()


def standing(database: Database) -> tuple[list[Decimal], list[Decimal], int]:
    """Totals of the invoices by their days, what is posted, and how many invoices are noted."""
    invoice, posting, note = tables.invoice.c, tables.late_posting.c, tables.late_note.c
    with database.read() as connection:
        return (
            list(connection.scalars(select(invoice.total).order_by(invoice.start_date))),
            list(connection.scalars(select(posting.amount))),
            len(connection.scalars(select(note.invoice_id)).all()),
        )
