"""The real input as events."""

import pytest

import tallybook.demo
from tallybook.core.errors import Invalid
from tallybook.demo.flights import FLIGHTS_IN_FILE, airlines, event_of, events

FLIGHT = {
    "year": "2013", "month": "1", "day": "1", "carrier": "UA", "flight": "1545", "origin": "EWR", "dest": "IAH",
    "tailnum": "N14228", "air_time": "227", "distance": "1400", "dep_delay": "2", "minute": "5",
    "time_hour": "2013-01-01T10:00:00Z",
}  # fmt: skip


def test_a_flight_becomes_an_event() -> None:
    assert event_of(FLIGHT) == {
        "schemaName": "flight",
        "id": "UA1545-EWR-2013-01-01",
        "timestamp": "2013-01-01T10:05:00Z",
        "accountId": "UA",
        "attributes": [
            {"name": "distance", "value": "1400", "unit": "miles"},
            {"name": "air_time", "value": "227", "unit": "minutes"},
            {"name": "dep_delay", "value": "2", "unit": "minutes"},
        ],
        "dimensions": {"origin": "EWR", "dest": "IAH", "tailnum": "N14228"},
    }


def test_a_cancelled_flight_lacks_fields() -> None:
    """It is sent as it is, so that it shows up in the balance."""
    event = event_of({**FLIGHT, "air_time": "NA", "dep_delay": "NA", "tailnum": "NA"})
    assert [attribute["name"] for attribute in event["attributes"]] == ["distance"]
    assert event["dimensions"] == {"origin": "EWR", "dest": "IAH"}


def test_every_flight_of_the_file_has_its_own_id_and_a_known_airline() -> None:
    found = [(event["id"], event["accountId"]) for event in events()]
    assert len(found) == len({event_id for event_id, _ in found}) == FLIGHTS_IN_FILE
    assert {carrier for _, carrier in found} == set(airlines())


def test_missing_packages_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallybook.demo, "NEEDED", ("httpx", "package_that_is_not_there"))
    with pytest.raises(Invalid, match=r"needs package_that_is_not_there; .*pip install 'tallybook\[demo\]'"):
        tallybook.demo.check_installed()
