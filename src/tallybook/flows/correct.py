"""Correcting events: refuse what may not be corrected, log the correction, wait for it to be metered, say what became
of each.

A correction is carried out by metering, in the transaction that moves the log's position past it, so it counts once,
whatever crashes. Two corrections of one event cannot both count: whoever is metered second is refused.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from tallybook.core.correction import (
    BODY_CORRECTION,
    SYNCHRONOUS_TARGETS_MAX,
    TARGETS_MAX,
    Correction,
    CorrectionAction,
    CorrectionResult,
    EventPlace,
    MeterEntry,
    Target,
    encode_correction,
    refusal,
    result_of,
)
from tallybook.core.errors import Busy, Invalid, NotFound
from tallybook.core.event import decode_event
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.flows.query import Events
from tallybook.flows.revert import day_of
from tallybook.flows.targets import TargetFilter, Targets
from tallybook.storage.database import Database
from tallybook.storage.event_rows import EventRow
from tallybook.storage.interfaces import Record
from tallybook.storage.late_usage import LateDay, billed_by
from tallybook.storage.reversals import Reverted
from tallybook.storage.usage import UsageStore

METERING_TIMEOUT_S = 10  # a correction is metered within milliseconds, unless a backlog is in front of it
LOOK_INTERVAL_S = 0.01


class CorrectionRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done to which events. `event` is the text of the one to ingest instead, for REDO_EVENT."""

    action: CorrectionAction
    wanted: TargetFilter
    event: str | None = None


class Corrected(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was to be corrected, as it is now, and what became of that."""

    row: EventRow
    result: CorrectionResult
    reason: str


class Corrections:
    """The corrections of one partition's events."""

    def __init__(
        self, events: Events, database: Database, *, wait_until_metered: Callable[[int], bool] | None = None
    ) -> None:
        """`wait_until_metered` waits for a position of the log, for a while, and says whether it was reached."""
        self._events = events
        self._database = database
        self._targets = Targets(events)
        self._wait_until_metered = wait_until_metered or _waiting(events.usage_store, events.partition)

    def correct(self, organisation_id: str, request: CorrectionRequest, *, correction_id: str) -> list[Corrected]:
        """Correct the first events that match, and wait for it.

        Raises `NotFound` when nothing matches, and `Busy` when the correction is logged but not metered in time.
        """
        through = self._events.log.last_position()
        named = request.wanted.names_events
        # First what is in progress: an event that is metered meanwhile is then found at rest, and not in neither.
        waiting = self._targets.in_progress(organisation_id, request.wanted) if named else []
        rows, _ = self._targets.page(
            organisation_id, request.wanted, after=None, through=through, limit=SYNCHRONOUS_TARGETS_MAX
        )
        rows = _newest_state([*waiting, *rows])
        if not rows:
            raise NotFound("no event matches; see GET /events for those that there are")
        return self.carry_out(organisation_id, request, rows[:SYNCHRONOUS_TARGETS_MAX], correction_id=correction_id)

    def carry_out(
        self, organisation_id: str, request: CorrectionRequest, rows: Sequence[EventRow], *, correction_id: str
    ) -> list[Corrected]:
        """Correct these events, in the order given; those that this correction has corrected before are done already.

        Safe to repeat with the same id once everything logged is metered. Raises `Invalid` when several events are to
        be replaced by one, and `Busy` as `correct` does.
        """
        places = [_place(row) for row in rows]
        before = self._events.usage_store.reverted(places)
        done = {place for place, each in before.items() if each.correction_id == correction_id}
        refused = _refusals(request.action, [row for row in rows if _place(row) not in done])
        wanted = [row for row in rows if _place(row) not in done and _place(row) not in refused]
        if request.action is CorrectionAction.REDO_EVENT and len(wanted) > 1:
            raise Invalid(
                f"{len(wanted)} events match, and one event cannot take the place of several; add id to name one"
            )
        self._log(organisation_id, request, wanted, correction_id)
        after = self._events.usage_store.reverted(places)
        invoiced = self._invoiced(organisation_id, rows)
        return [self._corrected(row, after.get(_place(row)), request, correction_id, refused, invoiced) for row in rows]

    def caught_up(self) -> bool:
        """Wait for a while until everything logged so far is metered; say whether it is."""
        return self._wait_until_metered(self._events.log.last_position())

    def _log(
        self, organisation_id: str, request: CorrectionRequest, rows: Sequence[EventRow], correction_id: str
    ) -> None:
        position = 0
        for some in _apart(rows):
            correction = Correction(
                correction_id=correction_id,
                action=request.action,
                targets=[_target(row) for row in some],
                replacements=_replacements(request, some),
            )
            record = Record(
                organisation_id=organisation_id,
                event_count=len(correction.replacements),
                format=BODY_CORRECTION,
                body=encode_correction(correction),
            )
            position = self._events.log.append([record])
        if position and not self._wait_until_metered(position):
            raise Busy("the correction is accepted, but not carried out yet; look at the events in a moment")

    def _invoiced(self, organisation_id: str, rows: Sequence[EventRow]) -> dict[EventPlace, str]:
        """The invoices that billed these events, by the places of those that were billed."""
        metered = [row for row in rows if row.status == IngestionStatus.METERED and row.account_id is not None]
        with self._database.read() as connection:
            found = {
                _place(row): billed_by(
                    connection, LateDay(organisation_id, *day_of(row.account_id or "", row.event_time))
                )
                for row in metered
            }
        return {place: invoice_id for place, invoice_id in found.items() if invoice_id is not None}

    def _corrected(
        self,
        row: EventRow,
        taken_back: Reverted | None,
        request: CorrectionRequest,
        correction_id: str,
        refused: Mapping[EventPlace, str],
        invoiced: Mapping[EventPlace, str],
    ) -> Corrected:
        [now] = self._events.marked([row])
        if taken_back is None or taken_back.correction_id != correction_id:
            reason = refused.get(_place(row)) or _refused_late(taken_back)
            return Corrected(row=now, result=CorrectionResult.FAILED, reason=reason)
        reason = "the event is reverted"
        if taken_back.replaced_by is not None:
            reason += f", and ingested again as {taken_back.replaced_by.reference_id}"
        if _place(row) in invoiced:
            reason += (
                f"; invoice {invoiced[_place(row)]} billed it, so the account's next invoice settles the difference"
            )
        return Corrected(row=now, result=result_of(request.action), reason=reason)


def _refusals(action: CorrectionAction, rows: Sequence[EventRow]) -> dict[EventPlace, str]:
    reasons = {_place(row): refusal(action, IngestionStatus(row.status)) for row in rows}
    return {place: reason for place, reason in reasons.items() if reason is not None}


def _refused_late(taken_back: Reverted | None) -> str:
    """Why the commit refused what was in order when it was asked for."""
    assert taken_back is not None, "nothing else is refused by the commit"
    return f"it was reverted before, by {taken_back.correction_id}"


def _apart(rows: Sequence[EventRow]) -> Iterator[list[EventRow]]:
    """Cut into pieces in which no event id comes twice: of two in one record, the second would be a repeat."""
    piece: list[EventRow] = []
    ids: set[str] = set()
    for row in rows:
        if len(piece) == TARGETS_MAX or row.event_id in ids:
            yield piece
            piece, ids = [], set()
        piece.append(row)
        if row.event_id is not None:
            ids.add(row.event_id)
    if piece:
        yield piece


def _target(row: EventRow) -> Target:
    return Target(
        place=_place(row),
        event_id=row.event_id,
        schema_name=row.schema_name,
        schema_version=row.schema_version,
        account_reference=row.account_reference,
        account_id=row.account_id,
        event_time=row.event_time,
        received_at=row.received_at,
        first_received_at=row.first_received_at,
        status=row.status,
        event=row.event,
        meters=[MeterEntry(each.meter_id, each.meter_version, each.units, each.value) for each in row.meters],
    )


def _replacements(request: CorrectionRequest, rows: Sequence[EventRow]) -> list[str]:
    match request.action:
        case CorrectionAction.UNDO:
            return []
        case CorrectionAction.REDO:
            return [row.event for row in rows]
        case CorrectionAction.REDO_EVENT:
            assert request.event is not None, "checked where the request came in"
            return [_with_id_of(row, request.event) for row in rows]


def _with_id_of(row: EventRow, text: str) -> str:
    """The event to ingest instead; without an id of its own it has that of the event whose place it takes."""
    replacement = decode_event(text.encode())
    if replacement.id is not None:
        return text
    replacement.id = decode_event(row.event.encode()).id
    return msgspec.json.encode(replacement).decode()


def _newest_state(rows: Sequence[EventRow]) -> list[EventRow]:
    """Each event once: one may have been metered between the two looks."""
    return list({_place(row): row for row in rows}.values())


def _place(row: EventRow) -> EventPlace:
    return EventPlace(row.partition, row.position, row.index)


def _waiting(usage_store: UsageStore, partition: int) -> Callable[[int], bool]:
    def wait(position: int) -> bool:
        deadline = time.monotonic() + METERING_TIMEOUT_S
        while usage_store.position(partition) < position:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_INTERVAL_S)
        return True

    return wait
