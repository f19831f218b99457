"""What became of everything that was accepted: hour by hour of receipt, for whoever checks that nothing is missing.

Accepted is what the log counted when it took the events, and the verdicts are what metering counted: two hands that
know nothing of each other. Only what is in progress is looked up in both, so that the sums are of one moment.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from tallybook.core.errors import Busy, Invalid
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import HOUR, MICROSECONDS_PER_HOUR, hour_at, hours_since_1970
from tallybook.flows.meter import MeteredThrough
from tallybook.flows.query import Events
from tallybook.storage.database import Database
from tallybook.storage.usage import read_position
from tallybook.storage.verdict_counts import ReceivedRow, counts_by_receipt, verdicts_by_receipt

HOURS_MAX = 31 * 24  # the longest month
LINES_MAX = 5_000  # a few MB of answer
WAITING_EVENTS_MAX = 100_000  # some seconds of decoding; by the hour alone they need not be decoded
LOOKS_MAX = 3  # an event may be archived between two reads of one look, once in a long while

_NOT_METERED = frozenset({IngestionStatus.NOT_METERED, IngestionStatus.NO_MATCHING_METERS})


class Detail(StrEnum):
    """What an hour is divided by."""

    HOUR = "HOUR"
    ACCOUNT = "ACCOUNT"
    SCHEMA = "SCHEMA"
    ACCOUNT_AND_SCHEMA = "ACCOUNT_AND_SCHEMA"


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """Events received in the hours `[start_hour, end_hour)` since 1970; of one account or schema, if one is named."""

    start_hour: int
    end_hour: int
    detail: Detail = Detail.HOUR
    account_id: str | None = None
    schema_name: str | None = None

    @property
    def is_by_hour(self) -> bool:
        """Whether the log's own count can be compared with every line."""
        return self.detail is Detail.HOUR and self.account_id is None and self.schema_name is None


class Place(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An hour of receipt, and the account (as resolved; as sent where it could not be) and schema if asked for."""

    received_hour: int
    account_id: str = ""
    schema_name: str = ""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted events, and what became of them by status; in progress is one of the statuses."""

    accepted: int
    by_status: Mapping[str, int]

    @property
    def metered(self) -> int:
        return self.by_status.get(IngestionStatus.METERED, 0)

    @property
    def not_metered(self) -> int:
        """Events that were in order and added to no usage."""
        return sum(self.by_status.get(status, 0) for status in _NOT_METERED)

    @property
    def reverted(self) -> int:
        return self.by_status.get(IngestionStatus.REVERTED, 0)

    @property
    def in_progress(self) -> int:
        return self.by_status.get(IngestionStatus.IN_PROGRESS, 0)

    @property
    def failed(self) -> int:
        """Events with any other verdict."""
        return sum(self.by_status.values()) - self.metered - self.not_metered - self.reverted - self.in_progress

    @property
    def unexplained(self) -> int:
        """Accepted events without any status; not 0 means that stored data is damaged."""
        return self.accepted - sum(self.by_status.values())


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The balances by place, in order, and their sum.

    Everything received before `settled_before` has its verdict. After that only a correction moves an event from one
    status to another, and no sum changes any more.
    """

    settled_before: datetime
    total: Balance
    lines: list[tuple[Place, Balance]]


class Reconciling:
    """Balances what was accepted against what became of it, for every organisation."""

    def __init__(self, database: Database, events: Events) -> None:
        self._database = database
        self._events = events
        self._metered_through = MeteredThrough(events.log, events.usage_store, partition=events.partition)

    def answer(self, organisation_id: str, inquiry: Inquiry) -> Reconciliation:
        """The balances that are asked for. Raises `Invalid` when there are too many, `Busy` when too much waits."""
        _check(inquiry)
        settled_before = hour_at(hours_since_1970(self._metered_through.instant()))
        for _ in range(LOOKS_MAX):
            accepted, statuses = self._look(organisation_id, inquiry)
            total = Balance(accepted=sum(accepted.values()), by_status=_added_up(statuses.values()))
            if not total.unexplained:
                break
        return Reconciliation(
            settled_before=settled_before,
            total=total,
            lines=[
                (place, Balance(accepted=accepted.get(place, 0), by_status=statuses.get(place, {})))
                for place in sorted(accepted.keys() | statuses.keys())
            ],
        )

    def _look(self, organisation_id: str, inquiry: Inquiry) -> tuple[dict[Place, int], dict[Place, dict[str, int]]]:
        """Accepted events, and events by status, of each place."""
        if inquiry.is_by_hour:
            return self._look_by_hour(organisation_id, inquiry)
        return self._look_closely(organisation_id, inquiry)

    def _look_by_hour(
        self, organisation_id: str, inquiry: Inquiry
    ) -> tuple[dict[Place, int], dict[Place, dict[str, int]]]:
        hours = {"start_hour": inquiry.start_hour, "end_hour": inquiry.end_hour}
        with self._database.read() as connection:
            position = read_position(connection, self._events.partition)
            verdicts = verdicts_by_receipt(connection, organisation_id, **hours)
        receipts = self._events.log.receipts(organisation_id, **hours, behind=position)
        statuses = {Place(received_hour=hour): by_status for hour, by_status in verdicts.items()}
        for hour, count in receipts.waiting.items():
            statuses.setdefault(Place(received_hour=hour), {})[IngestionStatus.IN_PROGRESS] = count
        return {Place(received_hour=hour): count for hour, count in receipts.accepted.items()}, statuses

    def _look_closely(
        self, organisation_id: str, inquiry: Inquiry
    ) -> tuple[dict[Place, int], dict[Place, dict[str, int]]]:
        """By account or schema: the log counts neither, so accepted is what has a verdict and what is in progress."""
        hours = {"start_hour": inquiry.start_hour, "end_hour": inquiry.end_hour}
        with self._database.read() as connection:
            position = read_position(connection, self._events.partition)
            rows = counts_by_receipt(
                connection,
                organisation_id,
                **hours,
                account_id=inquiry.account_id,
                schema_name=inquiry.schema_name,
                limit=LINES_MAX + 1,
            )
        if len(rows) > LINES_MAX:
            raise Invalid(f"more than {LINES_MAX} lines; ask for fewer hours, or for one account_id or schema_name")
        waiting = sum(self._events.log.receipts(organisation_id, **hours, behind=position).waiting.values())
        if waiting > WAITING_EVENTS_MAX:
            raise Busy(f"{waiting} events wait to be metered; ask without groupBy and filters, or later")
        if waiting:
            rows += self._in_progress(organisation_id, inquiry, position)
        statuses: dict[Place, dict[str, int]] = {}
        for row in rows:
            by_status = statuses.setdefault(_place(row, inquiry.detail), {})
            by_status[row.status] = by_status.get(row.status, 0) + row.event_count
        return {place: sum(by_status.values()) for place, by_status in statuses.items()}, statuses

    def _in_progress(self, organisation_id: str, inquiry: Inquiry, position: int) -> Iterable[ReceivedRow]:
        for row in self._events.in_progress(organisation_id, behind=position):
            counted = ReceivedRow(
                received_hour=row.received_at // MICROSECONDS_PER_HOUR,
                account_id=row.account_reference,
                schema_name=row.schema_name,
                status=row.status,
                event_count=1,
            )
            if (
                inquiry.start_hour <= counted.received_hour < inquiry.end_hour
                and inquiry.account_id in (None, counted.account_id)
                and inquiry.schema_name in (None, counted.schema_name)
            ):
                yield counted


def _check(inquiry: Inquiry) -> None:
    if inquiry.start_hour >= inquiry.end_hour:
        raise Invalid("endTime: must be later than startTime")
    if inquiry.end_hour - inquiry.start_hour > HOURS_MAX:
        raise Invalid(f"endTime: at most {HOURS_MAX * HOUR} behind startTime")


def _place(row: ReceivedRow, detail: Detail) -> Place:
    return Place(
        received_hour=row.received_hour,
        account_id=row.account_id if detail in (Detail.ACCOUNT, Detail.ACCOUNT_AND_SCHEMA) else "",
        schema_name=row.schema_name if detail in (Detail.SCHEMA, Detail.ACCOUNT_AND_SCHEMA) else "",
    )


def _added_up(statuses: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for by_status in statuses:
        for status, count in by_status.items():
            total[status] = total.get(status, 0) + count
    return total
