"""Rides: definitions and events whose usage can be calculated without the package.

Event `n` is a function of `n` alone, so a client remembers numbers, and the usage of any set of numbers is a sum of
fractions. One in twenty events is one that cannot be metered.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import httpx
import msgspec

ACCOUNTS = 7
HOURS = 60
FIRST_HOUR = datetime(2024, 3, 30, tzinfo=UTC)
CITIES = ("Bergen", "Oslo", "Tromsø")

METERED = "INGESTION_COMPLETED_EVENT_METERED"
FAILED = "INGESTION_FAILED"
SCHEMA_NOT_DEFINED = "INGESTION_FAILED_SCHEMA_NOT_DEFINED"
ACCOUNT_NOT_FOUND = "INGESTION_FAILED_ACCOUNT_NOT_FOUND"
DUPLICATE = "INGESTION_FAILED_DUPLICATE_EVENT"

Place = tuple[str, str, int]
"""Account, meter name, and hour of event time since 1970."""


def ride(number: int) -> dict[str, Any]:
    """The event of that number, ready to be sent."""
    status = status_of(number)
    dimensions = {"city": CITIES[number % len(CITIES)], "driver": f"d{number % 1000}"}
    if status == FAILED:
        del dimensions["city"]
    return {
        "schemaName": "taxi" if status == SCHEMA_NOT_DEFINED else "ride",
        "id": f"ride-{number}",
        "timestamp": (FIRST_HOUR + timedelta(hours=number % HOURS, seconds=number % 3600)).isoformat(),
        "accountId": "nobody" if status == ACCOUNT_NOT_FOUND else _account(number),
        "attributes": [{"name": "distance", "value": _distance(number), "unit": "Kilometers"}],
        "dimensions": dimensions,
    }


def status_of(number: int) -> str:
    """What must become of the event of that number when it is accepted for the first time."""
    return {17: ACCOUNT_NOT_FOUND, 37: SCHEMA_NOT_DEFINED, 57: FAILED}.get(number % 60, METERED)


def usage_of(numbers: Iterable[int]) -> dict[Place, tuple[Fraction, int]]:
    """What these events, each counted once, must have added up to: units and events by place."""
    units: defaultdict[Place, Fraction] = defaultdict(Fraction)
    counts: defaultdict[Place, int] = defaultdict(int)
    for number in numbers:
        if status_of(number) != METERED:
            continue
        distance = Fraction(_distance(number))
        computed = {"rides": Fraction(1), "paid": distance * Fraction("0.35") + 2}
        if number % len(CITIES) == 1:
            computed["distance in Oslo"] = distance
        for meter, value in computed.items():
            place = (_account(number), meter, _hour(number))
            units[place] += value
            counts[place] += 1
    return {place: (units[place], counts[place]) for place in units}


def define_rides(client: httpx.Client) -> dict[str, str]:
    """Define the schema, three meters and the accounts over HTTP; return the meters' names by id."""
    _post(
        client,
        "/event_schema",
        name="ride",
        attributes=[{"name": "distance"}],
        dimensions=[{"name": "city"}, {"name": "driver"}],
    )
    _post(client, "/event_schema/ride/activate")
    meters = {
        _add_meter(client, "rides", "COUNT", "1"): "rides",
        _add_meter(
            client,
            "distance in Oslo",
            "SUM",
            {"var": "attributes.distance"},
            matcher={"==": [{"var": "dimensions.city"}, "Oslo"]},
        ): "distance in Oslo",
        _add_meter(
            client, "paid", "SUM", {"+": [2, {"*": [{"var": "attributes.distance"}, msgspec.Raw(b"0.35")]}]}
        ): "paid",
    }
    for number in range(ACCOUNTS):
        add_customer(client, _account(number))
    return meters


def add_customer(client: httpx.Client, account_id: str) -> None:
    """A customer with one account of that id."""
    address = {"line1": "Quay 1", "city": "Bergen", "country": "NO", "postalCode": "5003", "phoneNumber": "1"}
    _post(
        client,
        "/customers",
        id=f"customer-of-{account_id}",
        name=f"Customer of {account_id}",
        primaryEmail="owner@example.com",
        address=address,
        account={"id": account_id, "name": account_id, "invoiceCurrency": "USD"},
    )


def _add_meter(
    client: httpx.Client, name: str, aggregation: str, computation: object, matcher: object | None = None
) -> str:
    rule = {"computation": _rule(computation), "order": 1} | ({"matcher": _rule(matcher)} if matcher else {})
    answer = _post(
        client,
        "/usage_meters",
        name=name,
        type="COUNTER",
        aggregation=aggregation,
        eventSchemaName="ride",
        computations=[rule],
    )
    meter_id: str = answer["id"]
    _post(client, f"/usage_meters/{meter_id}/activate")
    return meter_id


def _rule(rule: object) -> str:
    return rule if isinstance(rule, str) else msgspec.json.encode(rule).decode()


def _post(client: httpx.Client, path: str, **body: object) -> Any:
    answer = client.post(path, json=body or None)
    assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


def _account(number: int) -> str:
    return f"account-{number % ACCOUNTS}"


def _hour(number: int) -> int:
    return int(FIRST_HOUR.timestamp()) // 3600 + number % HOURS


def _distance(number: int) -> str:
    """Decimal text of up to 27 digits, negative now and then; binary fractions would not keep it."""
    digits = number * 7_919_000_003 % 999_999_999_989
    sign = "-" if number % 11 == 0 else ""
    return f"{sign}{digits // 1000}.{digits % 1000:03}{digits:015}"
