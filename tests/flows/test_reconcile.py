"""What became of everything accepted: it balances, whatever is metered, archived, reverted or still on its way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from catalogue_samples import account, active_meter, customer
from embedded import ORGANISATION, Embedded, event
from litestar.testing import TestClient

from tallybook.assembly import PARTITION
from tallybook.core.correction import CorrectionAction
from tallybook.core.errors import Busy, Invalid
from tallybook.core.instant import MICROSECONDS_PER_HOUR, hour_at
from tallybook.flows import reconcile
from tallybook.flows.correct import CorrectionRequest, Corrections
from tallybook.flows.query import Events
from tallybook.flows.reconcile import Balance, Detail, Inquiry, Reconciliation, Reconciling
from tallybook.flows.targets import TargetFilter
from tallybook.storage.blocks import BlockStore
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database
from tallybook.storage.lake import DeltaLake

HOUR = 473_000  # of receipt, in hours since 1970: in 2023
METERED = "INGESTION_COMPLETED_EVENT_METERED"
NO_METERS = "INGESTION_COMPLETED_NO_MATCHING_METERS"
NOT_DEFINED = "INGESTION_FAILED_SCHEMA_NOT_DEFINED"
NO_ACCOUNT = "INGESTION_FAILED_ACCOUNT_NOT_FOUND"
DUPLICATE = "INGESTION_FAILED_DUPLICATE_EVENT"
IN_PROGRESS = "INGESTION_IN_PROGRESS"


class Client:
    """The helper methods that samples of definitions want of a client."""

    def __init__(self, client: TestClient[Any]) -> None:
        self._client = client

    def post(self, path: str, body: Any = None) -> Any:
        answer = self._client.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    """An account and a meter, and a clock of receipt that stands in the middle of an hour."""
    opened = Embedded(tmp_path)
    with opened.caller() as test_client:
        client = Client(test_client)
        client.post("/customers", customer())
        client.post("/accounts", account())
        active_meter(client)
    opened.clock.now = HOUR * MICROSECONDS_PER_HOUR + MICROSECONDS_PER_HOUR // 2
    yield opened
    opened.close()


def next_hour(embedded: Embedded) -> None:
    embedded.clock.now += MICROSECONDS_PER_HOUR


def answer(embedded: Embedded, organisation_id: str = ORGANISATION, **more: Any) -> Reconciliation:
    inquiry = Inquiry(**{"start_hour": HOUR, "end_hour": HOUR + 24, **more})
    return reconciling_of(embedded).answer(organisation_id, inquiry)


def reconciling_of(embedded: Embedded) -> Reconciling:
    return Reconciling(embedded.database, events_of(embedded))


def events_of(embedded: Embedded) -> Events:
    """Over the log that goes by the test's clock."""
    database = embedded.database
    lake = DeltaLake(embedded.settings.lake_path)
    return Events(embedded.log, BlockStore(database), lake, embedded.store, Catalog(database), partition=PARTITION)


def correct(embedded: Embedded, action: CorrectionAction, event_id: str) -> None:
    """Correct an event of account `a1`, by the test's clock."""

    def meter(_position: int) -> bool:
        embedded.meter()
        return True

    request = CorrectionRequest(action=action, wanted=TargetFilter(account_id="a1", event_id=event_id), event=None)
    corrections = Corrections(events_of(embedded), embedded.database, wait_until_metered=meter)
    [done] = corrections.correct(ORGANISATION, request, correction_id=f"correction of {event_id}")
    assert done.result.startswith("REVERTED")


def by_hour(found: Reconciliation) -> dict[int, tuple[int, dict[str, int]]]:
    return {place.received_hour - HOUR: (line.accepted, dict(line.by_status)) for place, line in found.lines}


def send_all_kinds(embedded: Embedded) -> None:
    """First two that are metered, a duplicate, an unknown account, an unknown schema; an hour later one metered."""
    embedded.send(event("e1"), event("e2", timestamp="2024-02-01T00:00:00Z"), event("e1"))
    embedded.send(event("e3", accountId="nobody"), event("e4", schemaName="taxi"))
    next_hour(embedded)
    embedded.send(event("e5"))


FIRST_HOUR = {METERED: 2, DUPLICATE: 1, NO_ACCOUNT: 1, NOT_DEFINED: 1}


def test_every_event_is_in_progress_until_it_has_a_verdict(embedded: Embedded) -> None:
    """Six accepted events wait; metered, each is counted under its verdict in the hour of its receipt."""
    send_all_kinds(embedded)
    assert by_hour(answer(embedded)) == {0: (5, {IN_PROGRESS: 5}), 1: (1, {IN_PROGRESS: 1})}
    embedded.meter()
    assert by_hour(answer(embedded)) == {0: (5, FIRST_HOUR), 1: (1, {METERED: 1})}
    embedded.archive_everything()
    found = answer(embedded)
    assert by_hour(found) == {0: (5, FIRST_HOUR), 1: (1, {METERED: 1})}
    total = found.total
    assert (total.accepted, total.metered, total.failed, total.not_metered) == (6, 3, 3, 0)
    assert (total.reverted, total.in_progress, total.unexplained) == (0, 0, 0)


def test_hours_outside_are_left_out(embedded: Embedded) -> None:
    """The window is half-open, in hours of receipt and not of event time."""
    send_all_kinds(embedded)
    assert by_hour(answer(embedded, end_hour=HOUR + 1, schema_name="rides")) == {0: (4, {IN_PROGRESS: 4})}
    embedded.meter()
    embedded.send(event("e6"))
    for more in ({}, {"schema_name": "rides"}):
        first = FIRST_HOUR if not more else {METERED: 2, DUPLICATE: 1, NO_ACCOUNT: 1}
        assert by_hour(answer(embedded, end_hour=HOUR + 1, **more)) == {0: (sum(first.values()), first)}
        assert by_hour(answer(embedded, start_hour=HOUR + 1, **more)) == {1: (2, {METERED: 1, IN_PROGRESS: 1})}


def test_detail_by_account_and_schema(embedded: Embedded) -> None:
    """Each line balances; events whose account is unknown stand under the account as it was sent."""
    send_all_kinds(embedded)
    embedded.meter()
    embedded.send(event("e6"), event("e7", schemaName="taxi"))
    found = answer(embedded, detail=Detail.ACCOUNT_AND_SCHEMA)
    lines = {
        (place.received_hour - HOUR, place.account_id, place.schema_name): dict(line.by_status)
        for place, line in found.lines
    }
    assert lines == {
        (0, "a1", "rides"): {METERED: 2, DUPLICATE: 1},
        (0, "a1", "taxi"): {NOT_DEFINED: 1},
        (0, "nobody", "rides"): {NO_ACCOUNT: 1},
        (1, "a1", "rides"): {METERED: 1, IN_PROGRESS: 1},
        (1, "a1", "taxi"): {IN_PROGRESS: 1},
    }
    assert found.total == Balance(accepted=8, by_status=found.total.by_status)
    assert found.total.unexplained == 0
    by_schema = answer(embedded, detail=Detail.SCHEMA)
    assert {place.schema_name: line.accepted for place, line in by_schema.lines if place.received_hour == HOUR + 1} == {
        "rides": 2,
        "taxi": 1,
    }


def test_one_account_or_schema(embedded: Embedded) -> None:
    """With a filter, hours count what it lets through, in progress included."""
    send_all_kinds(embedded)
    embedded.meter()
    embedded.send(event("e6"), event("e7", accountId="nobody"))
    assert by_hour(answer(embedded, account_id="nobody")) == {0: (1, {NO_ACCOUNT: 1}), 1: (1, {IN_PROGRESS: 1})}
    assert by_hour(answer(embedded, schema_name="taxi")) == {0: (1, {NOT_DEFINED: 1})}


def test_settled_is_what_nothing_can_join(embedded: Embedded) -> None:
    """While an event of the first hour waits, only what was before is settled; afterwards, all before this hour."""
    embedded.send(event("e1"))
    next_hour(embedded)
    assert answer(embedded).settled_before == hour_at(HOUR)
    embedded.meter()
    assert answer(embedded).settled_before == hour_at(HOUR + 1)


def test_corrections_move_events_and_keep_the_balance(embedded: Embedded) -> None:
    """Undone, an event is reverted in the hour of its receipt; ingested again, it was accepted once more, now."""
    embedded.send(event("e1"), event("e2"), event("e3"))
    embedded.meter()
    next_hour(embedded)
    correct(embedded, CorrectionAction.UNDO, "e1")
    correct(embedded, CorrectionAction.REDO, "e2")
    found = answer(embedded)
    assert by_hour(found) == {0: (3, {METERED: 1, "REVERTED": 2}), 1: (1, {METERED: 1})}
    assert (found.total.metered, found.total.reverted, found.total.unexplained) == (2, 2, 0)
    assert sums(embedded.database, "verdict_count") == sums(embedded.database, "event_count")
    assert by_hour(answer(embedded, detail=Detail.ACCOUNT)) == by_hour(found)


def test_damage_is_shown_as_unexplained(embedded: Embedded) -> None:
    """Where a verdict is lost, accepted and verdicts differ, and the answer says by how much."""
    send_all_kinds(embedded)
    embedded.meter()
    with embedded.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM verdict_count WHERE status = ?", (DUPLICATE,))
    found = answer(embedded)
    assert found.total.unexplained == 1
    assert [line.unexplained for _, line in found.lines] == [1, 0]


def test_other_organisations_are_left_out(embedded: Embedded) -> None:
    """Another organisation's events are in its own answer only, waiting or not."""
    send_all_kinds(embedded)
    embedded.send(event("x1"), organisation_id="other")
    for _ in range(2):
        assert answer(embedded).total.accepted == 6
        for detail in Detail:
            found = answer(embedded, "other", detail=detail)
            assert (found.total.accepted, found.total.unexplained) == (1, 0)
        assert answer(embedded, "third").lines == []
        embedded.meter()


def test_too_much_is_refused(embedded: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    """More hours than a month has, an empty window, too many lines; and too many waiting events to be looked at."""
    send_all_kinds(embedded)
    with pytest.raises(Invalid, match="endTime"):
        answer(embedded, end_hour=HOUR + 31 * 24 + 1)
    with pytest.raises(Invalid, match="endTime"):
        answer(embedded, end_hour=HOUR)
    monkeypatch.setattr(reconcile, "WAITING_EVENTS_MAX", 5)
    with pytest.raises(Busy, match="6 events wait"):
        answer(embedded, detail=Detail.ACCOUNT)
    assert answer(embedded).total.in_progress == 6
    embedded.meter()
    monkeypatch.setattr(reconcile, "LINES_MAX", 4)
    with pytest.raises(Invalid, match="more than 4 lines"):
        answer(embedded, detail=Detail.ACCOUNT)


def test_it_balances_while_events_are_metered_and_archived(embedded: Embedded) -> None:
    """Asked again and again while events arrive, are metered and leave the log, accepted is always accounted for."""
    ended = []

    def work() -> None:
        for number in range(60):
            embedded.send(*(event(f"e{number}-{index}") for index in range(5)))
            if number % 3 == 0:
                embedded.meter()
            if number % 6 == 0:
                embedded.archive_everything()
        ended.append(True)

    reconciling = reconciling_of(embedded)
    with ThreadPoolExecutor(1) as threads:
        worker = threads.submit(work)
        while not ended and not worker.done():
            for detail in (Detail.HOUR, Detail.ACCOUNT):
                inquiry = Inquiry(start_hour=HOUR, end_hour=HOUR + 1, detail=detail)
                assert reconciling.answer(ORGANISATION, inquiry).total.unexplained == 0
        worker.result()
    embedded.meter()
    assert answer(embedded).total.accepted == 300


def test_hours_add_up_to_the_counts_by_account(embedded: Embedded) -> None:
    """The counts by hour of receipt, kept apart for this, are the sums of those by account."""
    send_all_kinds(embedded)
    embedded.meter()
    assert sums(embedded.database, "verdict_count") == sums(embedded.database, "event_count")


def sums(database: Database, table: str) -> list[Any]:
    with database.read() as connection:
        statement = f"SELECT organisation_id, received_hour, status, sum(event_count) FROM {table} GROUP BY 1, 2, 3"
        return [tuple(row) for row in connection.exec_driver_sql(statement)]
