"""An embedded Tallybook with two accounts, for tests that correct events, and what they ask of it."""

from collections.abc import Callable
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded


def define(caller: Caller) -> str:
    meter_id = samples.active_meter(caller)
    caller.post("/customers", samples.customer())
    caller.post("/accounts", samples.account(aliases=["one"]))
    caller.post("/accounts", samples.account("a2"))
    return meter_id


def add_plan(caller: Caller) -> None:
    """A monthly plan with three days of grace for account `a1`."""
    window = {"effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}
    caller.post("/accounts/a1/price_plans", {"mode": "ASSOCIATE", "pricePlanId": samples.active_plan(caller), **window})


def accept(embedded: Embedded, *events: dict[str, Any]) -> None:
    embedded.send(*events)
    embedded.meter()


def statuses(embedded: Embedded, event_id: str) -> list[str]:
    """Of all events with that id, the newest first."""
    return [row.status for row in embedded.events.find(ORGANISATION, event_id)]


def usage(embedded: Embedded) -> dict[tuple[str, int], tuple[str, int]]:
    """Units and events by account and hour."""
    return {(place[1], place[3]): total for place, total in embedded.usage().items()}


def assert_sound(embedded: Embedded) -> None:
    """Everything adds up, in the blocks and in the lake."""
    assert embedded.verified().differences == []
    embedded.archive_everything()
    assert embedded.verified().differences == []


REST: dict[str, Callable[[Embedded], None]] = {
    "in a block": lambda _: None,
    "in the lake": Embedded.archive_everything,
}
resting = pytest.mark.parametrize("rest", REST.values(), ids=REST.keys())
