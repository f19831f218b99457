"""Corrections: what is taken back is exactly what was added, once, wherever the event rests and whoever asks."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import catalogue_samples as samples
import pytest
from api_caller import Caller
from correction_samples import accept, add_plan, assert_sound, resting, statuses, usage
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.correction import CorrectionAction, CorrectionResult, EventPlace
from tallybook.core.errors import Busy, Invalid, NotFound
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import microseconds_since_1970
from tallybook.flows.correct import CorrectionRequest, Corrections
from tallybook.flows.targets import TargetFilter

S = IngestionStatus
UNDO, REDO, REDO_EVENT = CorrectionAction
REVERTED, REINGESTED, FAILED = CorrectionResult
JANUARY = datetime(2024, 1, 20, tzinfo=UTC)


# ---- what the actions do ----------------------------------------------------------------------------------------


@resting
def test_undo_subtracts_what_was_added_and_frees_the_id(
    embedded: Embedded, catalogue: Caller, rest: Callable[[Embedded], None]
) -> None:
    """The other event's usage stays, the count moves to REVERTED, and the id is new again."""
    accept(embedded, event("e1"), event("e2", attributes=distance("0.1")))
    rest(embedded)
    [done] = embedded.correct(UNDO, account_id="a1", event_id="e1")
    assert (done.result, done.row.status, done.row.event_id) == (REVERTED, S.REVERTED, "e1")
    assert list(usage(embedded).values()) == [("0.1", 1)]
    assert embedded.verified().by_status == {S.METERED: 1, S.REVERTED: 1}
    assert statuses(embedded, "e1") == [S.REVERTED]
    accept(embedded, event("e1", attributes=distance(7)))
    assert statuses(embedded, "e1") == [S.METERED, S.REVERTED]
    assert list(usage(embedded).values()) == [("7.1", 2)]
    accept(embedded, event("e1"))
    assert statuses(embedded, "e1") == [S.DUPLICATE, S.METERED, S.REVERTED]
    assert_sound(embedded)
    assert statuses(embedded, "e1") == [S.DUPLICATE, S.METERED, S.REVERTED]


def test_an_account_with_everything_undone_has_no_usage(embedded: Embedded, catalogue: Caller) -> None:
    """Not zero units in some hours, but none, as if nothing had come."""
    accept(embedded, event("e1"), event("e2", timestamp="2024-01-16T00:00:00"))
    assert [each.result for each in embedded.correct(UNDO, account_id="a1")] == [REVERTED, REVERTED]
    assert embedded.usage() == {}
    assert_sound(embedded)


@resting
def test_redo_ingests_the_same_event_by_the_definitions_of_now(
    embedded: Embedded, catalogue: Caller, rest: Callable[[Embedded], None]
) -> None:
    """A meter that came later sees it; what the old one had added is not added twice."""
    accept(embedded, event("e1"))
    rule = [{"order": 1, "computation": '{"*":[2,{"var":"attributes.distance"}]}'}]
    meter_id = catalogue.post("/usage_meters", samples.meter("twice", computations=rule))["id"]
    catalogue.post(f"/usage_meters/{meter_id}/activate")
    rest(embedded)
    [done] = embedded.correct(REDO, account_id="a1", event_id="e1")
    assert done.result == REINGESTED
    assert sorted(embedded.usage().values()) == [("12.5", 1), ("25", 1)]
    assert statuses(embedded, "e1") == [S.METERED, S.REVERTED]
    accept(embedded, event("e1"))
    assert statuses(embedded, "e1") == [S.DUPLICATE, S.METERED, S.REVERTED], "its id is taken again"
    assert_sound(embedded)


@resting
def test_redo_event_ingests_another_in_its_place(
    embedded: Embedded, catalogue: Caller, rest: Callable[[Embedded], None]
) -> None:
    """Another account, hour and quantity; without an id it has that of the event whose place it takes."""
    accept(embedded, event("e1"))
    rest(embedded)
    other = event(None, accountId="a2", timestamp="2024-01-15T09:00:00", attributes=distance(3))
    [done] = embedded.correct(REDO_EVENT, account_id="a1", event_id="e1", event=other)
    assert done.result == REINGESTED
    assert list(usage(embedded).items()) == [(("a2", 473_697), ("3", 1))]  # 2024-01-15 is day 19,737 since 1970
    [now, before] = embedded.events.find(ORGANISATION, "e1")
    assert (now.status, now.account_id, before.status) == (S.METERED, "a2", S.REVERTED)
    assert_sound(embedded)


def test_redo_event_with_an_id_that_another_event_has_is_a_repeat(embedded: Embedded, catalogue: Caller) -> None:
    """The event is taken back, and the one in its place counts for nothing, as any repeat."""
    accept(embedded, event("e1"), event("e2", attributes=distance(2)))
    [done] = embedded.correct(REDO_EVENT, account_id="a1", event_id="e1", event=event("e2", attributes=distance(9)))
    assert done.result == REINGESTED
    assert statuses(embedded, "e2") == [S.DUPLICATE, S.METERED]
    assert list(usage(embedded).values()) == [("2", 1)]
    assert_sound(embedded)


def test_one_event_does_not_take_the_place_of_several(embedded: Embedded, catalogue: Caller) -> None:
    """Refused before anything is done."""
    accept(embedded, event("e1"), event("e2"))
    with pytest.raises(Invalid):
        embedded.correct(REDO_EVENT, account_id="a1", event=event("e3"))
    assert list(usage(embedded).values()) == [("25", 2)]


def test_a_redone_event_can_be_corrected_again_and_again(embedded: Embedded, catalogue: Caller) -> None:
    """Each time it is the newest that counts, and the older ones are refused as reverted."""
    accept(embedded, event("e1"))
    for times in range(1, 4):
        results = sorted(each.result for each in embedded.correct(REDO, account_id="a1", event_id="e1"))
        assert results == [*[FAILED] * (times - 1), REINGESTED]
        assert list(usage(embedded).values()) == [("12.5", 1)]
        embedded.archive_everything()
    assert statuses(embedded, "e1") == [S.METERED, *[S.REVERTED] * 3]
    assert sorted(each.result for each in embedded.correct(UNDO, account_id="a1", event_id="e1")) == [
        *[FAILED] * 3,
        REVERTED,
    ]
    assert embedded.usage() == {}
    assert_sound(embedded)


def test_failed_events_can_be_corrected_too(embedded: Embedded, catalogue: Caller) -> None:
    """One REDO by filter, once account, schema or meter are there."""
    accept(
        embedded,
        event("no account", accountId="a9"),
        event("no schema", schemaName="trips"),
        event("no meter", schemaName="quiet"),
        event(None),
    )
    catalogue.post("/accounts", samples.account("a9"))
    for name in ("trips", "quiet"):
        catalogue.post("/event_schema", samples.schema(name))
        catalogue.post(f"/event_schema/{name}/activate")
        meter_id = catalogue.post("/usage_meters", samples.meter(name, eventSchemaName=name))["id"]
        catalogue.post(f"/usage_meters/{meter_id}/activate")
    assert [each.result for each in embedded.correct(REDO, account_id="a9")] == [REINGESTED]
    for name in ("trips", "quiet"):
        assert [each.result for each in embedded.correct(REDO, schema_name=name)] == [REINGESTED]
    assert embedded.statuses() == [
        ("no account", S.REVERTED),
        ("no schema", S.REVERTED),
        ("no meter", S.REVERTED),
        (None, S.NO_EVENT_ID),
        ("no account", S.METERED),
        ("no schema", S.METERED),
        ("no meter", S.METERED),
    ]
    [done] = embedded.correct(UNDO, status=S.NO_EVENT_ID)
    assert (done.result, done.row.status) == (REVERTED, S.REVERTED)
    assert_sound(embedded)


# ---- what is refused --------------------------------------------------------------------------------------------


def test_refusals_by_status(embedded: Embedded, catalogue: Caller) -> None:
    """In progress, duplicate and reverted never; invalid units and past grace not again; no account not replaced."""
    rule = [{"order": 1, "computation": '{"/":[100,{"var":"attributes.distance"}]}'}]
    meter_id = catalogue.post("/usage_meters", samples.meter("per kilometre", computations=rule))["id"]
    catalogue.post(f"/usage_meters/{meter_id}/activate")
    invalid, nobody = event("invalid", attributes=distance(0)), event("nobody", accountId="ghost")
    accept(embedded, invalid, nobody, event("twice"), event("undone"))
    accept(embedded, event("twice"))
    embedded.correct(UNDO, account_id="a1", event_id="undone")
    add_plan(catalogue)
    accept(embedded, event("late"))
    embedded.send(event("waiting"))

    def refused(action: CorrectionAction, event_id: str) -> list[str]:
        request = CorrectionRequest(action=action, wanted=TargetFilter(event_id=event_id), event='{"id":"x"}')
        corrections = Corrections(embedded.events, embedded.database, wait_until_metered=never_asked)
        results = corrections.correct(ORGANISATION, request, correction_id="refused")
        assert [each.result for each in results] == [FAILED] * len(results)
        return [each.row.status for each in results]

    def never_asked(_: int) -> bool:
        raise AssertionError("nothing is logged")

    for action in CorrectionAction:
        assert refused(action, "waiting") == [S.IN_PROGRESS]
        assert refused(action, "undone") == [S.REVERTED]
    for action in (REDO, REDO_EVENT):
        assert refused(action, "invalid") == [S.UNITS_INVALID]
        assert refused(action, "late") == [S.PAST_GRACE_PERIOD]
    assert refused(REDO_EVENT, "nobody") == [S.ACCOUNT_NOT_FOUND]
    [repeat] = [row for row in embedded.events.find(ORGANISATION, "twice") if row.status == S.DUPLICATE]
    place = EventPlace(0, repeat.position, repeat.index)
    assert [each.result for each in embedded.correct(UNDO, place=place)] == [FAILED]
    for event_id in ("invalid", "late", "nobody"):
        assert [each.result for each in embedded.correct(UNDO, event_id=event_id)] == [REVERTED]
    assert_sound(embedded)


def test_what_matches_nothing_is_not_found(embedded: Embedded, catalogue: Caller) -> None:
    """Also what belongs to another organisation."""
    accept(embedded, event("e1"))
    for wanted in (
        {"event_id": "e2"},
        {"account_id": "a2"},
        {"place": EventPlace(0, 1, 5)},
        {"place": EventPlace(1, 1, 0)},
    ):
        with pytest.raises(NotFound):
            embedded.correct(UNDO, **wanted)
    for wanted in ({"event_id": "e1"}, {"account_id": "a1"}, {"place": EventPlace(0, 1, 0)}):
        with pytest.raises(NotFound):
            embedded.correct(UNDO, organisation_id="umbrella", **wanted)
    assert list(usage(embedded).values()) == [("12.5", 1)]


def test_grace_is_judged_by_the_first_receipt(embedded: Embedded, catalogue: Caller) -> None:
    """However late it is ingested again, and however often: in time is in time."""
    embedded.clock.now = microseconds_since_1970(JANUARY)
    accept(embedded, event("e1", accountId="one", schemaName="later"))
    catalogue.post("/event_schema", samples.schema("later"))
    catalogue.post("/event_schema/later/activate")
    meter_id = catalogue.post("/usage_meters", samples.meter("later", eventSchemaName="later"))["id"]
    catalogue.post(f"/usage_meters/{meter_id}/activate")
    add_plan(catalogue)
    for _ in range(2):
        embedded.correct(REDO, event_id="e1")
        assert statuses(embedded, "e1")[0] == S.METERED
        embedded.archive_everything()
    accept(embedded, event("e2", schemaName="later"))
    assert statuses(embedded, "e2") == [S.PAST_GRACE_PERIOD], "which was not there in time"
    assert_sound(embedded)


# ---- twice, in parallel, and after the id is forgotten ----------------------------------------------------------


def test_the_second_of_two_corrections_under_way_is_refused(embedded: Embedded, catalogue: Caller) -> None:
    """Both were in order when they were asked for; one of each pair counts, whatever the two are."""
    for first in (UNDO, REDO):
        for second in (UNDO, REDO):
            event_id = f"{first} {second}"
            accept(embedded, event(event_id))
            units = list(usage(embedded).values())
            request = CorrectionRequest(action=first, wanted=TargetFilter(event_id=event_id))

            def be_overtaken(position: int, request: CorrectionRequest = request) -> bool:
                embedded.corrections.correct(ORGANISATION, request, correction_id="first")
                return True

            later = Corrections(embedded.events, embedded.database, wait_until_metered=be_overtaken)
            # The later one is logged first, so it is the one that counts.
            asked = CorrectionRequest(action=second, wanted=TargetFilter(event_id=event_id))
            [done] = later.correct(ORGANISATION, asked, correction_id="second")
            assert done.result == (REVERTED if second is UNDO else REINGESTED)
            counted = [status for status in statuses(embedded, event_id) if status == S.METERED]
            assert len(counted) == (0 if second is UNDO else 1)
            assert (list(usage(embedded).values()) == units) == (second is REDO)
            embedded.correct(UNDO, event_id=event_id)
    assert embedded.usage() == {}
    assert_sound(embedded)


def test_many_corrections_at_once_count_once(embedded: Embedded, catalogue: Caller) -> None:
    """Eight threads redo and undo the same events; each event counts once or not at all, as the answers say."""
    accept(embedded, *(event(f"e{number}") for number in range(4)))
    meter = threading.Lock()
    answers: list[tuple[CorrectionAction, list[CorrectionResult]]] = []

    def metered(position: int) -> bool:
        with meter:
            embedded.meter()
        return True

    def correct(number: int) -> None:
        action = (UNDO, REDO)[number % 2]
        corrections = Corrections(embedded.events, embedded.database, wait_until_metered=metered)
        request = CorrectionRequest(action=action, wanted=TargetFilter(account_id="a1"))
        try:
            done = corrections.correct(ORGANISATION, request, correction_id=f"c{number}")
        except NotFound:  # all of them are undone already
            return
        answers.append((action, [each.result for each in done]))

    threads = [threading.Thread(target=correct, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    undone = sum(results.count(REVERTED) for _, results in answers)
    counted = sum(count for _, count in embedded.usage().values())
    assert undone + counted == 4
    assert_sound(embedded)


@pytest.mark.parametrize("forgotten_again", [False, True])
def test_a_correction_of_an_event_whose_id_is_forgotten(
    embedded: Embedded, catalogue: Caller, forgotten_again: bool
) -> None:
    """Of two that counted with one id, each can be corrected, and neither is taken for a repeat of the other."""

    def forget() -> None:
        embedded.store.forget_keys(received_before_hour=10**9, after=b"", limit=1000)

    accept(embedded, event("e1"))
    forget()
    accept(embedded, event("e1", attributes=distance(100), timestamp="2024-01-17T00:00:00"))
    if forgotten_again:
        forget()
    assert [status for _, status in embedded.statuses()] == [S.METERED] * 2
    old, new = (EventPlace(0, row.position, row.index) for row in embedded.rows())
    for place in (old, new):
        assert [each.result for each in embedded.correct(REDO, place=place)] == [REINGESTED]
        assert sorted(embedded.usage().values()) == [("100", 1), ("12.5", 1)]
    everything = embedded.correct(REDO, account_id="a1")
    assert [each.result for each in everything] == [REINGESTED] * 2
    assert sorted(embedded.usage().values()) == [("100", 1), ("12.5", 1)]
    assert [each.result for each in embedded.correct(UNDO, account_id="a1")] == [REVERTED] * 2
    assert embedded.usage() == {}
    assert_sound(embedded)


def test_a_failed_event_whose_id_was_used_again_is_a_repeat_when_it_is_redone(
    embedded: Embedded, catalogue: Caller
) -> None:
    """It never counted, so the one that did keeps the id."""
    accept(embedded, event("e1", accountId="a3"))
    catalogue.post("/accounts", samples.account("a3"))
    embedded.store.forget_keys(received_before_hour=10**9, after=b"", limit=1000)
    accept(embedded, event("e1", accountId="a3"))
    first = embedded.rows()[0]
    embedded.correct(REDO, place=EventPlace(0, first.position, 0))
    assert [status for _, status in embedded.statuses()] == [S.REVERTED, S.METERED, S.DUPLICATE]
    assert list(usage(embedded).values()) == [("12.5", 1)]
    assert_sound(embedded)


def test_an_id_used_again_after_undo_is_not_touched_by_the_old_events_fate(
    embedded: Embedded, catalogue: Caller
) -> None:
    """Repeats of the new event are repeats; undoing the new one does not bring back the old one."""
    accept(embedded, event("e1"))
    embedded.correct(UNDO, event_id="e1")
    embedded.archive_everything()
    accept(embedded, event("e1", attributes=distance(5)))
    accept(embedded, event("e1"))
    results = sorted(each.result for each in embedded.correct(UNDO, event_id="e1"))
    assert results == [FAILED, FAILED, REVERTED], "the repeat, the old one, and the one that counted"
    assert embedded.usage() == {}
    accept(embedded, event("e1", attributes=distance(6)))
    assert list(usage(embedded).values()) == [("6", 1)]
    assert statuses(embedded, "e1") == [S.METERED, S.DUPLICATE, S.REVERTED, S.REVERTED]
    assert_sound(embedded)


def test_not_metered_in_time_is_said_and_done_later(embedded: Embedded, catalogue: Caller) -> None:
    """Whoever asks is told to look again; the correction is in the log and is carried out all the same."""
    accept(embedded, event("e1"))
    slow = Corrections(embedded.events, embedded.database, wait_until_metered=lambda _: False)
    with pytest.raises(Busy):
        slow.correct(
            ORGANISATION, CorrectionRequest(action=UNDO, wanted=TargetFilter(event_id="e1")), correction_id="slow"
        )
    assert list(usage(embedded).values()) == [("12.5", 1)]
    [again] = embedded.correct(UNDO, event_id="e1", correction_id="again")
    assert again.result == FAILED
    assert "slow" in again.reason
    assert embedded.usage() == {}
    assert_sound(embedded)
