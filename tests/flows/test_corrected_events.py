"""Which events a correction finds, and how they read while it is under way and after it."""

from typing import Any

import pytest
from api_caller import Caller
from correction_samples import accept, assert_sound, statuses, usage
from embedded import ORGANISATION, Embedded, event

from tallybook.core.correction import BODY_CORRECTION, CorrectionAction, CorrectionResult, EventPlace
from tallybook.core.errors import NotFound
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.flows.correct import CorrectionRequest, Corrections
from tallybook.flows.query import EventFilter
from tallybook.flows.targets import TargetFilter
from tallybook.storage.event_rows import EventRow

S = IngestionStatus
UNDO, REDO, REDO_EVENT = CorrectionAction
REVERTED, REINGESTED, FAILED = CorrectionResult


# ---- which events ----------------------------------------------------------------------------------------------


def test_filters_find_the_same_events_wherever_they_rest(embedded: Embedded, catalogue: Caller) -> None:
    """By account and alias, id, reference, event time, receipt, schema and status, and combinations of them."""
    at = "2024-01-15T07:30:00.123456"
    for prefix in ("lake", "block"):
        accept(
            embedded,
            event(f"{prefix} 1"),
            event(f"{prefix} 2", timestamp=at),
            event(f"{prefix} 3", accountId="one"),
            event(f"{prefix} 4", accountId="a2"),
            event(f"{prefix} 5", schemaName="nothing"),
        )
        if prefix == "lake":
            embedded.archive_everything()
    rows = {row.event_id: row for row in embedded.rows()}
    targets = embedded.corrections._targets

    def found(**wanted: Any) -> list[str | None]:
        page, after = targets.page(ORGANISATION, TargetFilter(**wanted), after=None, through=10**9, limit=30)
        assert after is None
        return [row.event_id for row in page]

    def both(*numbers: int) -> list[str]:
        return sorted(f"{prefix} {number}" for prefix in ("block", "lake") for number in numbers)

    assert found(account_id="a1") == ["block 2", "lake 2", *both(1, 3, 5)]
    assert found(account_id="one") == both(3)
    assert found(account_id="a2") == both(4)
    assert found(schema_name="nothing") == both(5)
    assert found(status=S.METERED, account_id="a2") == both(4)
    assert found(event_time=rows["lake 2"].event_time) == both(2)
    assert found(event_time=rows["lake 2"].event_time, event_id="lake 2") == ["lake 2"]
    assert found(received_at=rows["block 1"].received_at, event_id="block 4") == ["block 4"]
    assert found(event_id="block 3", account_id="a2") == []
    row = rows["lake 4"]
    assert found(place=EventPlace(0, row.position, row.index)) == ["lake 4"]
    assert found(event_id="it's; --") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_of_targets_have_every_event_once_latest_first(embedded: Embedded, catalogue: Caller, limit: int) -> None:
    """By event time, the latest first, then by id; whatever the size of a page, over lake and blocks."""
    for start in (0, 10):
        accept(
            embedded,
            *(
                event(f"e{number:02}", timestamp=f"2024-01-15T{number % 3:02}:00:00")
                for number in range(start, start + 10)
            ),
        )
        if start == 0:
            embedded.archive_everything()
    expected = [f"e{number:02}" for hour in (2, 1, 0) for number in range(20) if number % 3 == hour]
    found: list[str | None] = []
    after = None
    while True:
        page, after = embedded.corrections._targets.page(
            ORGANISATION, TargetFilter(account_id="a1"), after=after, through=10**9, limit=limit
        )
        found += [row.event_id for row in page]
        if after is None:
            break
    assert found == expected


def test_those_who_wait_get_the_first_thirty_and_can_ask_again(embedded: Embedded, catalogue: Caller) -> None:
    """What was corrected is passed over, so the next request reaches the next ones."""
    accept(embedded, *(event(f"e{number:02}") for number in range(70)), event("e00"))
    for expected in (range(30), range(30, 60), range(60, 70)):
        done = embedded.correct(UNDO, account_id="a1")
        assert [each.row.event_id for each in done] == [f"e{number:02}" for number in expected]
        assert {each.result for each in done} == {REVERTED}
    with pytest.raises(NotFound):
        embedded.correct(UNDO, account_id="a1")
    assert_sound(embedded)


# ---- how it reads ----------------------------------------------------------------------------------------------


def test_reverted_events_are_listed_as_such_wherever_they_rest(embedded: Embedded, catalogue: Caller) -> None:
    """With and without a filter, page by page; rows that take back are no events."""
    for prefix in "ab":
        accept(embedded, *(event(f"{prefix}{number}") for number in range(6)))
        for number in (1, 3):
            embedded.correct(UNDO, event_id=f"{prefix}{number}")
        if prefix == "a":
            embedded.archive_everything()
    everything = [f"{prefix}{number}" for prefix in "ab" for number in range(6)]
    gone = [f"{prefix}{number}" for prefix in "ab" for number in (1, 3)]

    def listed(limit: int, **wanted: Any) -> list[str | None]:
        found: list[EventRow] = []
        before = None
        while True:
            page, before = embedded.events.page(ORGANISATION, EventFilter(**wanted), before=before, limit=limit)
            assert len(page) == limit or before is None
            found += page
            if before is None:
                return [row.event_id for row in found][::-1]

    for limit in (1, 2, 3, 50):
        assert listed(limit) == everything
        assert listed(limit, status=S.REVERTED) == gone
        assert listed(limit, status=S.REVERTED, account_id="a1") == gone
        assert listed(limit, status=S.REVERTED, account_id="a2") == []
        assert listed(limit, status=S.METERED) == [each for each in everything if each not in gone]
    for status in (None, S.REVERTED):
        assert embedded.events.page("umbrella", EventFilter(status=status), before=None, limit=50) == ([], None)
    [row] = embedded.events.find(ORGANISATION, "a1")
    assert "test" in str(row.status_description)
    assert S.METERED in str(row.status_description)


def test_an_event_to_be_ingested_again_is_in_progress_until_it_is_metered(
    embedded: Embedded, catalogue: Caller
) -> None:
    """And the event that it replaces is what it was."""
    accept(embedded, event("e1"))
    found: list[list[str]] = []

    def look(position: int) -> bool:
        found.append(statuses(embedded, "e1"))
        embedded.meter()
        return True

    corrections = Corrections(embedded.events, embedded.database, wait_until_metered=look)
    corrections.correct(
        ORGANISATION, CorrectionRequest(action=REDO, wanted=TargetFilter(event_id="e1")), correction_id="c"
    )
    assert found == [[S.IN_PROGRESS, S.METERED]]
    assert statuses(embedded, "e1") == [S.METERED, S.REVERTED]


def test_corrections_between_events_are_judged_alone(embedded: Embedded, catalogue: Caller) -> None:
    """Events before and behind a correction in the log are metered as if it were not there."""
    accept(embedded, event("e1"))

    def be_surrounded(position: int) -> bool:
        embedded.send(event("e3"), event("e1"))
        embedded.meter()
        return True

    embedded.send(event("e2"))
    corrections = Corrections(embedded.events, embedded.database, wait_until_metered=be_surrounded)
    wanted = TargetFilter(event_id="e1")
    corrections.correct(ORGANISATION, CorrectionRequest(action=UNDO, wanted=wanted), correction_id="c")
    assert list(usage(embedded).values()) == [("37.5", 3)]
    assert statuses(embedded, "e1") == [S.METERED, S.REVERTED], "sent again behind the correction, the id was free"
    formats = [each.format for each in embedded.log.read(after=0, records_max=100, bytes_max=10**9)]
    assert formats.count(BODY_CORRECTION) == 1
    assert_sound(embedded)
