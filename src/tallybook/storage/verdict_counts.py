"""How many events have which verdict: by account, schema and hour of event time, and by hour of receipt.

The metering transaction in `usage` writes what is read here. A function that returns a position says what the counts
are true for: every event up to it is counted, and none behind it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select

from tallybook.core.instant import hours_since_1970
from tallybook.storage.definition_rows import in_pieces
from tallybook.storage.tables import event_count, verdict_count


class CountRow(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one account, schema and status in one hour (hours since 1970, UTC) of event time."""

    account_id: str
    event_hour: int
    schema_name: str
    status: str
    event_count: int


def counts_by_hour(
    connection: Connection,
    organisation_id: str,
    *,
    account_ids: Sequence[str] | None,
    schema_names: Sequence[str],
    start: datetime,
    end: datetime,
) -> list[CountRow]:
    """Events over `[start, end)` by hour of event time, account, schema and status.

    Only of these accounts (None: all) and of these schemas (none: all).
    """
    counted = event_count.c
    query = (
        select(
            counted.account_id,
            counted.event_hour,
            counted.schema_name,
            counted.status,
            func.sum(counted.event_count).label("event_count"),
        )
        .where(
            counted.organisation_id == organisation_id,
            counted.event_hour >= hours_since_1970(start),
            counted.event_hour < hours_since_1970(end),
        )
        .group_by(counted.account_id, counted.event_hour, counted.schema_name, counted.status)
    )
    if schema_names:
        query = query.where(counted.schema_name.in_(schema_names))
    pieces: Iterable[Sequence[str] | None] = [None] if account_ids is None else in_pieces(account_ids)
    return [
        CountRow(**row._mapping)
        for some in pieces
        for row in connection.execute(query if some is None else query.where(counted.account_id.in_(some)))
    ]


def verdicts_by_receipt(
    connection: Connection, organisation_id: str, *, start_hour: int, end_hour: int
) -> dict[int, dict[str, int]]:
    """Events with a verdict received in the hours `[start_hour, end_hour)`: by hour of receipt, then by status."""
    counted = verdict_count.c
    query = select(counted.received_hour, counted.status, counted.event_count).where(
        counted.organisation_id == organisation_id,
        counted.received_hour >= start_hour,
        counted.received_hour < end_hour,
    )
    found: dict[int, dict[str, int]] = {}
    for hour, status, count in connection.execute(query):
        found.setdefault(hour, {})[status] = count
    return found


def every_verdict_count(connection: Connection) -> dict[tuple[str, int, str], int]:
    """All of them, by organisation, hour of receipt and status. For checking."""
    counted = verdict_count.c
    places = (counted.organisation_id, counted.received_hour, counted.status)
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(select(*places, counted.event_count))}


class ReceivedRow(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one account, schema and status that were received in one hour (hours since 1970, UTC)."""

    received_hour: int
    account_id: str
    schema_name: str
    status: str
    event_count: int


def counts_by_receipt(
    connection: Connection,
    organisation_id: str,
    *,
    start_hour: int,
    end_hour: int,
    account_id: str | None,
    schema_name: str | None,
    limit: int,
) -> list[ReceivedRow]:
    """Events with a verdict by hour of receipt, account, schema and status, at most `limit` rows of them.

    Without an account it goes through all counts of the organisation: they are kept by account.
    """
    counted = event_count.c
    places = (counted.received_hour, counted.account_id, counted.schema_name, counted.status)
    query = (
        select(*places, func.sum(counted.event_count).label("event_count"))
        .where(
            counted.organisation_id == organisation_id,
            counted.received_hour >= start_hour,
            counted.received_hour < end_hour,
        )
        .group_by(*places)
        .limit(limit)
    )
    if account_id is not None:
        query = query.where(counted.account_id == account_id)
    if schema_name is not None:
        query = query.where(counted.schema_name == schema_name)
    return [ReceivedRow(**row._mapping) for row in connection.execute(query)]
