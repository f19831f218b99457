"""Events that came before their account are ingested again by themselves, when it appears in time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, event

from tallybook.core.credential import Scope
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import microseconds_since_1970
from tallybook.flows.reprocess import Reprocessing

S = IngestionStatus
HOUR = 3_600_000_000
WINDOW = {"effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}


@pytest.fixture
def catalogue(embedded: Embedded) -> Iterator[Caller]:
    """Schema `rides` with an active meter, a customer and a plan; no account yet."""
    with embedded.caller() as client:
        caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        define(caller)
        yield caller


def define(caller: Caller) -> str:
    samples.active_meter(caller)
    caller.post("/customers", samples.customer(account={"id": "own", "name": "Own account"}))
    return samples.active_plan(caller)


def choose(caller: Caller, hours: str) -> None:
    caller.post(
        "/settings",
        {
            "id": "reprocess_within",
            "value": hours,
            "entityType": "ORGANIZATION",
            "entityId": ORGANISATION,
            "namespace": "TOGAI",
            "name": "Time that events wait for their account",
            "dataType": "STRING",
        },
    )


def add_account(caller: Caller, account_id: str = "a1", **changes: Any) -> None:
    caller.post("/accounts", samples.account(account_id, **changes))


def add_plan(caller: Caller, account_id: str = "a1") -> None:
    plan_id = caller.get("/price_plans")["data"][0]["id"]
    caller.post(f"/accounts/{account_id}/price_plans", {"mode": "ASSOCIATE", "pricePlanId": plan_id, **WINDOW})


def accept(embedded: Embedded, *events: dict[str, Any], hours_ago: float = 0) -> None:
    """Events that were received so long ago; the log's receipts only grow, so the oldest are sent first."""
    embedded.clock.now = microseconds_since_1970(datetime.now(UTC) - timedelta(hours=hours_ago))
    embedded.send(*events)
    embedded.meter()


def recent(event_id: str, **changes: Any) -> dict[str, Any]:
    """An event of now, whose cycle is not over."""
    return event(event_id, timestamp=datetime.now(UTC).isoformat(), **changes)


def statuses(embedded: Embedded, event_id: str) -> list[str]:
    return [row.status for row in embedded.events.find(ORGANISATION, event_id)]


def test_events_wait_for_the_account_and_its_plan(embedded: Embedded, catalogue: Caller) -> None:
    """The account alone is not enough; with the plan they are metered, once, however often one looks."""
    accept(embedded, recent("e1"), recent("e2"), recent("other", accountId="a2"))
    add_account(catalogue)
    embedded.run_jobs()
    assert statuses(embedded, "e1") == [S.ACCOUNT_NOT_FOUND]
    assert catalogue.get("/jobs")["data"] == []
    add_plan(catalogue)
    for _ in range(2):
        embedded.run_jobs()
        assert [statuses(embedded, each) for each in ("e1", "e2")] == [[S.METERED, S.REVERTED]] * 2
    assert statuses(embedded, "other") == [S.ACCOUNT_NOT_FOUND]
    assert list(embedded.usage().values()) == [("25", 2)]
    [job] = catalogue.get("/jobs")["data"]
    assert (job["type"], job["status"]) == ("EVENT_CORRECTIONS", "COMPLETED")
    assert embedded.verified().differences == []


def test_events_that_waited_too_long_stay_as_they_are(embedded: Embedded, catalogue: Caller) -> None:
    """24 hours, counted from the first receipt to the appearance of account and plan."""
    accept(embedded, recent("too early"), hours_ago=24.1)
    accept(embedded, recent("early"), hours_ago=23.9)
    add_account(catalogue)
    add_plan(catalogue)
    embedded.run_jobs()
    assert statuses(embedded, "too early") == [S.ACCOUNT_NOT_FOUND]
    assert statuses(embedded, "early") == [S.METERED, S.REVERTED]


@pytest.mark.parametrize(("hours", "metered"), [("0", []), ("2", ["1 h"]), ("ever", ["1 h", "100 h"])])
def test_the_time_is_the_organisations_choice(
    embedded: Embedded, catalogue: Caller, hours: str, metered: list[str]
) -> None:
    """0 is never, and `ever` has no end."""
    choose(catalogue, hours)
    for ago in (100, 1):
        accept(embedded, recent(f"{ago} h"), hours_ago=ago)
    add_account(catalogue)
    add_plan(catalogue)
    embedded.run_jobs()
    assert sorted(each for each in ("1 h", "100 h") if statuses(embedded, each)[0] == S.METERED) == metered


def test_events_by_alias_and_those_that_its_window_does_not_cover(embedded: Embedded, catalogue: Caller) -> None:
    """An alias that was not in force at the time of the event does not bring it back again and again."""
    accept(embedded, recent("covered", accountId="one"), event("before", accountId="one"))
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    add_account(catalogue)
    add_plan(catalogue)
    window = {"value": "one", "effectiveFrom": since}
    catalogue.post("/accounts/a1/add_aliases", {"accountAliases": [window]})
    embedded.run_jobs()
    assert statuses(embedded, "covered") == [S.METERED, S.REVERTED]
    assert statuses(embedded, "before") == [S.ACCOUNT_NOT_FOUND]


def test_an_account_of_another_organisation_brings_nothing_back(embedded: Embedded, catalogue: Caller) -> None:
    """Whatever its name."""
    accept(embedded, recent("e1"))
    stranger = catalogue.of("umbrella")
    define(stranger)
    add_account(stranger)
    add_plan(stranger)
    embedded.run_jobs()
    assert statuses(embedded, "e1") == [S.ACCOUNT_NOT_FOUND]


def test_each_change_starts_its_jobs_once(embedded: Embedded, catalogue: Caller) -> None:
    """Two that look at the same list start what there is to start once, and nothing without events."""
    accept(embedded, recent("e1"))
    add_account(catalogue)
    add_plan(catalogue)
    add_account(catalogue, "empty")
    add_plan(catalogue, "empty")
    first, second = (Reprocessing(embedded.database, embedded.log) for _ in range(2))
    assert [first.look(), second.look(), first.look()] == [1, 0, 0]
