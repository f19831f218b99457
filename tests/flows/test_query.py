"""Log, blocks and lake read as one, while events move from one to the next."""

from collections.abc import Callable, Iterator
from pathlib import Path

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import EVERYTHING, ORGANISATION, Embedded, event

from tallybook.core.credential import Scope
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.flows.query import EventFilter, Place
from tallybook.storage.event_rows import EventRow

OTHER = "umbrella"


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    made = Embedded(tmp_path)
    with made.caller() as client:
        caller = Caller(client, made.authenticator, ORGANISATION, Scope.ADMIN)
        for each in (caller, caller.of(OTHER)):
            samples.active_meter(each)
            each.post("/customers", samples.customer())
            each.post("/accounts", samples.account())
            each.post("/accounts", samples.account("a2"))
    yield made
    made.close()


def send(embedded: Embedded, first: int, last: int, **changes: str) -> None:
    """Accept events `e<first>` to `e<last>`, two in a request."""
    for number in range(first, last + 1, 2):
        embedded.send(*(event(f"e{each}", **changes) for each in (number, number + 1) if each <= last))


def spread(embedded: Embedded) -> list[str]:
    """Events in the lake, in blocks, and in progress; their ids, oldest first."""
    send(embedded, 1, 7)
    embedded.meter()
    embedded.archive_everything()
    send(embedded, 8, 12)
    embedded.meter()
    send(embedded, 13, 17)
    return [f"e{number}" for number in range(1, 18)]


def newest_first(
    embedded: Embedded, *, limit: int, wanted: EventFilter = EVERYTHING, between: Callable[[], object] = lambda: None
) -> list[str | None]:
    """The ids of all pages, with something happening between one page and the next."""
    found: list[str | None] = []
    before: Place | None = None
    while True:
        rows, before = embedded.events.page(ORGANISATION, wanted, before=before, limit=limit)
        assert len(rows) == limit or before is None
        found += [row.event_id for row in rows]
        if before is None:
            return found
        between()


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 16, 17, 50])
def test_pages_cover_log_blocks_and_lake_once(embedded: Embedded, limit: int) -> None:
    """Whatever the size of a page: newest received first, none twice, none left out; the last page says it is."""
    expected = spread(embedded)[::-1]
    assert newest_first(embedded, limit=limit) == expected


@pytest.mark.parametrize("limit", [1, 3, 4])
def test_events_that_move_on_between_pages_are_seen_once(embedded: Embedded, limit: int) -> None:
    """Metered and archived while somebody pages through them."""
    expected = spread(embedded)[::-1]
    steps = iter([embedded.meter, embedded.archive_everything, embedded.archive.compact])
    assert newest_first(embedded, limit=limit, between=lambda: next(steps, lambda: None)()) == expected


def test_paging_is_stable_while_events_arrive(embedded: Embedded) -> None:
    """New ones stand before the first page; those behind it stay where they are."""
    expected = spread(embedded)[::-1]
    numbers = iter(range(100, 1000, 2))

    def arrive() -> None:
        first = next(numbers)
        send(embedded, first, first + 1)
        if first % 4 == 0:
            embedded.meter()
        if first % 3 == 0:
            embedded.archive_everything()

    assert newest_first(embedded, limit=2, between=arrive) == expected


def test_an_event_is_found_wherever_it_rests(embedded: Embedded) -> None:
    """By its id: in the log, in a block, in the lake, and with its repeats in all of them, newest first."""

    def found(event_id: str) -> list[str]:
        return [row.status for row in embedded.events.find(ORGANISATION, event_id)]

    embedded.send(event("e1"))
    assert found("e1") == [IngestionStatus.IN_PROGRESS]
    embedded.meter()
    assert found("e1") == [IngestionStatus.METERED]
    embedded.archive_everything()
    assert found("e1") == [IngestionStatus.METERED]
    embedded.send(event("e1"), event("e1"))
    embedded.meter()
    duplicates = [IngestionStatus.DUPLICATE] * 2
    assert found("e1") == [*duplicates, IngestionStatus.METERED]
    embedded.send(event("e1"))
    assert found("e1") == [IngestionStatus.IN_PROGRESS, *duplicates, IngestionStatus.METERED]
    assert found("e2") == []


def test_an_event_whose_id_is_forgotten_is_found(embedded: Embedded) -> None:
    """Without its key it takes a look through everything."""
    embedded.send(event("e1"), event("e2"))
    embedded.meter()
    embedded.archive_everything()
    embedded.send(event("e3"))
    embedded.meter()
    assert embedded.store.forget_keys(received_before_hour=10**9, after=b"", limit=1000) is None
    assert [row.event_id for row in embedded.events.find(ORGANISATION, "e1")] == ["e1"]


def test_filters_hold_in_every_place(embedded: Embedded) -> None:
    """Status, account (by id and as sent) and schema, alone and together."""
    sent: list[tuple[str, dict[str, str]]] = [
        ("metered", {}),
        ("other account", {"accountId": "a2"}),
        ("no account", {"accountId": "ghost"}),
        ("no schema", {"schemaName": "nothing"}),
    ]
    for step in (embedded.archive_everything, lambda: None):
        for name, changes in sent:
            embedded.send(event(f"{name} {step}", **changes))
        embedded.meter()
        step()

    def names(**wanted: object) -> list[str]:
        rows = embedded.rows(EventFilter(**wanted))  # type: ignore[arg-type]
        return [str(row.event_id).split(" <")[0] for row in rows]

    assert names(status=IngestionStatus.METERED) == ["metered", "other account"] * 2
    assert names(account_id="a2") == ["other account"] * 2
    assert names(account_id="ghost") == ["no account"] * 2
    assert names(schema_name="nothing") == ["no schema"] * 2
    assert names(status=IngestionStatus.METERED, account_id="a1", schema_name="rides") == ["metered"] * 2
    assert names(status=IngestionStatus.IN_PROGRESS) == []
    assert names(account_id="it's; --") == []
    embedded.send(event("waiting"))
    assert names(status=IngestionStatus.IN_PROGRESS) == ["waiting"]
    assert names(account_id="a1")[-1] == "waiting"


def test_organisations_never_see_each_other(embedded: Embedded) -> None:
    """Not in the log, in blocks or in the lake, though ids and names are the same."""
    for step in (embedded.archive_everything, lambda: None, None):
        embedded.send(event(f"ours {step}"), event("shared"))
        embedded.send(event(f"theirs {step}"), event("shared"), organisation_id=OTHER)
        if step is not None:
            embedded.meter()
            step()

    def both(rows: list[EventRow]) -> set[str]:
        return {row.organisation_id for row in rows}

    for organisation_id, stranger in ((ORGANISATION, "theirs"), (OTHER, "ours")):
        rows = embedded.rows(organisation_id=organisation_id)
        assert both(rows) == {organisation_id}
        assert len(rows) == 6
        assert both(embedded.events.find(organisation_id, "shared")) == {organisation_id}
        assert not any(str(row.event_id).startswith(stranger) for row in rows)
    assert embedded.events.find(OTHER, f"ours {embedded.archive_everything}") == []


def test_event_comes_back_as_it_was_sent(embedded: Embedded) -> None:
    """The text, the times, and the account and meters behind it."""
    embedded.send(event("e1", timestamp="2024-01-15T07:30:00.123456+01:00", dimensions={"city": "Tromsø 🚲"}))
    in_progress = embedded.events.find(ORGANISATION, "e1")
    embedded.meter()
    in_block = embedded.events.find(ORGANISATION, "e1")
    embedded.archive_everything()
    in_lake = embedded.events.find(ORGANISATION, "e1")
    assert in_block == in_lake
    [first], [last] = in_progress, in_lake
    same = ("event_id", "position", "index", "event", "event_time", "received_at", "schema_name", "account_reference")
    assert [getattr(first, name) for name in same] == [getattr(last, name) for name in same]
    assert "Tromsø 🚲" in last.event
    trace = embedded.events.trace(last)
    assert trace.account is not None
    assert (trace.account.account_id, list(trace.meter_names.values())) == ("a1", ["kilometres"])
