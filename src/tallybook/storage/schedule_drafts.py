"""Drafts of accounts' pricing schedules, as stored: one row a step, in the order in which they were drafted."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from tallybook.core.instant import microseconds_since_1970
from tallybook.core.schedule_draft import DraftStep
from tallybook.storage.definition_rows import definition_text
from tallybook.storage.tables import schedule_draft as table

_step = msgspec.json.Decoder(DraftStep)


def steps_of(connection: Connection, organisation_id: str, account_id: str) -> list[DraftStep]:
    """The steps that are drafted for the account, in their order."""
    query = select(table.c.definition).where(
        table.c.organisation_id == organisation_id, table.c.account_id == account_id
    )
    return [_step.decode(text) for text in connection.scalars(query.order_by(table.c.number))]


def find_step(connection: Connection, organisation_id: str, step_id: str) -> tuple[str, DraftStep] | None:
    """The step of that id, and the id of its account before it."""
    query = select(table.c.account_id, table.c.definition).where(
        table.c.organisation_id == organisation_id, table.c.schedule_id == step_id
    )
    row = connection.execute(query).first()
    return None if row is None else (row.account_id, _step.decode(row.definition))


def add_steps(
    connection: Connection, organisation_id: str, account_id: str, steps: Sequence[DraftStep], *, now: datetime
) -> None:
    """Add steps behind those of the account that are there."""
    query = select(func.coalesce(func.max(table.c.number), 0)).where(
        table.c.organisation_id == organisation_id, table.c.account_id == account_id
    )
    last = connection.scalar(query) or 0
    for number, step in enumerate(steps, start=last + 1):
        connection.execute(
            insert(table).values(
                organisation_id=organisation_id,
                schedule_id=step.step_id,
                account_id=account_id,
                number=number,
                definition=definition_text(step),
                created_at=microseconds_since_1970(now),
            )
        )


def replace_step(connection: Connection, organisation_id: str, step: DraftStep) -> None:
    """Write over the step, which must be there."""
    written = connection.execute(
        update(table)
        .where(table.c.organisation_id == organisation_id, table.c.schedule_id == step.step_id)
        .values(definition=definition_text(step))
    )
    assert written.rowcount == 1, "the step to write over is not there"


def drop_steps(connection: Connection, organisation_id: str, account_id: str) -> None:
    """Remove all steps of the account."""
    connection.execute(
        table.delete().where(table.c.organisation_id == organisation_id, table.c.account_id == account_id)
    )
