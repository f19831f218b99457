"""What may be corrected how, and what the log keeps of a correction."""

import pytest

from tallybook.core.correction import (
    BODY_CORRECTION,
    Correction,
    CorrectionAction,
    EventPlace,
    MeterEntry,
    Target,
    decode_correction,
    encode_correction,
    place_of,
    refusal,
)
from tallybook.core.event import logged_parts
from tallybook.core.ingestion_status import EventStatusGroup, IngestionStatus, group_of

S = IngestionStatus
NEVER = {S.IN_PROGRESS, S.DUPLICATE, S.REVERTED}
AGAIN = {S.UNITS_INVALID, S.PAST_GRACE_PERIOD}


@pytest.mark.parametrize(
    ("action", "refused"),
    [
        (CorrectionAction.UNDO, NEVER),
        (CorrectionAction.REDO, NEVER | AGAIN),
        (CorrectionAction.REDO_EVENT, NEVER | AGAIN | {S.ACCOUNT_NOT_FOUND}),
    ],
)
def test_refusals_are_those_of_the_interface(action: CorrectionAction, refused: set[IngestionStatus]) -> None:
    """Every status, for every action; each refusal says what to do instead or why not."""
    assert {status for status in S if refusal(action, status)} == refused


def test_a_reference_id_is_read_back_and_nothing_else_is() -> None:
    """Partition, position and index; no signs, no other digits, no row that takes back."""
    assert place_of(EventPlace(0, 12, 3).reference_id) == EventPlace(0, 12, 3)
    for text in ("event.0.12", "event.0.12.-1", "event.0.12.3.4", "Event.0.12.3", "event.0.１２.3", "event.0.12.3 "):
        assert place_of(text) is None
    assert place_of(f"event.0.{'9' * 19}.0") is None, "no position is that great"


def test_a_correction_comes_back_as_it_was_logged() -> None:
    """Also its decimal text, and the events to ingest again, character for character."""
    text = '{"schemaName":"rides","id":"e\\u00e9 1"}'
    target = Target(
        place=EventPlace(0, 12, 3),
        event_id="e 1",
        schema_name="rides",
        schema_version=2,
        account_reference="one",
        account_id="a1",
        event_time=1,
        received_at=7,
        first_received_at=None,
        status=S.METERED,
        event=text,
        meters=[MeterEntry("um.1", 1, "-0.10"), MeterEntry("um.2", 3, None), MeterEntry("um.3", 1, "1", "~x")],
    )
    logged = Correction(correction_id="c", action=CorrectionAction.REDO, targets=[target], replacements=[text])
    assert decode_correction(encode_correction(logged)) == logged
    [part] = logged_parts(encode_correction(logged), BODY_CORRECTION)
    assert str(part, "utf-8") == text


@pytest.mark.parametrize(("first", "expected"), [(None, 7), (3, 3)])
def test_grace_goes_by_the_first_receipt(first: int | None, expected: int) -> None:
    """The event's own receipt, unless it was ingested again before."""
    target = Target(
        place=EventPlace(0, 1, 0),
        event_id=None,
        schema_name="rides",
        schema_version=None,
        account_reference="a1",
        account_id=None,
        event_time=1,
        received_at=7,
        first_received_at=first,
        status=S.NO_EVENT_ID,
        event="{}",
        meters=[],
    )
    assert target.grace_received_at == expected


def test_reverted_is_a_group_of_its_own() -> None:
    """Neither processed nor unprocessed."""
    assert group_of(S.REVERTED) is EventStatusGroup.REVERTED
