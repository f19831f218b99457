"""The correction of accepted events: what may be corrected how, and what the event log keeps of a correction.

A correction is a record of the log like a body of events. It names the events that it takes back, with everything that
was made of them, so that nothing has to be looked up when it is metered; and it holds the events to ingest again.
"""

import re
from enum import StrEnum
from typing import NamedTuple

import msgspec

from tallybook.core.ingestion_status import IngestionStatus

BODY_CORRECTION = 3  # the format of such a record in the log; 1 and 2 are bodies with events

TARGETS_MAX = 50  # in one correction, which is a transaction of its own; the interface's longest answer
SYNCHRONOUS_TARGETS_MAX = 30  # the interface's limit for those who wait

_REFERENCE = re.compile(r"event\.([0-9]{1,9})\.([0-9]{1,18})\.([0-9]{1,9})", re.ASCII)


class CorrectionAction(StrEnum):
    """What is done to an event: taken back; and ingested again; or another ingested in its place."""

    UNDO = "UNDO"
    REDO = "REDO"
    REDO_EVENT = "REDO_EVENT"


class CorrectionResult(StrEnum):
    """What became of an event that was to be corrected."""

    REVERTED = "REVERTED"
    REVERTED_AND_REINGESTED = "REVERTED_AND_REINGESTED"
    FAILED = "FAILED"


class EventPlace(NamedTuple):
    """Where an accepted event lies in the log: partition, position, and index in the record at that position."""

    partition: int
    position: int
    event_index: int

    @property
    def reference_id(self) -> str:
        """The id that Tallybook gives an event, which no other event has."""
        return f"event.{self.partition}.{self.position}.{self.event_index}"


class MeterEntry(msgspec.Struct, frozen=True):
    """What one meter made of an event, as its row says: `units` is decimal text, None where it was filtered out.

    `value` is what it left for an aggregation that needs more than units.
    """

    meter_id: str
    meter_version: int
    units: str | None
    value: str | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event to be reverted, as its row says. Instants are microseconds since 1970 UTC.

    `first_received_at` decides whether it came within its grace, when it was ingested again before.
    """

    place: EventPlace
    event_id: str | None
    schema_name: str
    schema_version: int | None
    account_reference: str
    account_id: str | None
    event_time: int
    received_at: int
    first_received_at: int | None
    status: str
    event: str
    meters: list[MeterEntry]

    @property
    def grace_received_at(self) -> int:
        """The receipt that its grace is judged by, however often it is ingested again."""
        return self.received_at if self.first_received_at is None else self.first_received_at


class Correction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record of the log: these events are reverted, and those of `replacements` ingested, one for each or none."""

    correction_id: str
    action: CorrectionAction
    targets: list[Target]
    replacements: list[str]


_S = IngestionStatus
_NEVER = {
    _S.IN_PROGRESS: "the event is in progress; correct it when it has its verdict",
    _S.DUPLICATE: "the event is a duplicate and counts for nothing; correct the first event with its id",
    _S.REVERTED: "the event was reverted before",
}
_NOT_AGAIN = {
    _S.UNITS_INVALID: "the event's units were invalid, and the same event would have the same verdict; UNDO it",
    _S.PAST_GRACE_PERIOD: "the event came after its grace, and so would it again; UNDO it",
}
_NOT_REPLACED = {
    _S.ACCOUNT_NOT_FOUND: "the event has no account whose events could be replaced; UNDO it, and send the other one",
}
_REFUSALS = {
    CorrectionAction.UNDO: _NEVER,
    CorrectionAction.REDO: {**_NEVER, **_NOT_AGAIN},
    CorrectionAction.REDO_EVENT: {**_NEVER, **_NOT_AGAIN, **_NOT_REPLACED},
}


def refusal(action: CorrectionAction, status: IngestionStatus) -> str | None:
    """Why an event with that status may not be corrected so; None when it may be. The interface lists the pairs."""
    return _REFUSALS[action].get(status)


def result_of(action: CorrectionAction) -> CorrectionResult:
    """What a correction that was carried out is called."""
    if action is CorrectionAction.UNDO:
        return CorrectionResult.REVERTED
    return CorrectionResult.REVERTED_AND_REINGESTED


def place_of(reference_id: str) -> EventPlace | None:
    """The place that a reference id names; None when it is not one."""
    found = _REFERENCE.fullmatch(reference_id)
    return EventPlace(*map(int, found.groups())) if found else None


_decoder = msgspec.json.Decoder(Correction)
decode_correction = _decoder.decode
encode_correction = msgspec.json.Encoder().encode
