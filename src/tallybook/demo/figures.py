"""All figures of the demo by name, as the server gives them, and their comparison with the independent calculation.

The names are those of `independent.py`. A figure is decimal text, compared as a number.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from tallybook.core.ingestion_status import IngestionStatus
from tallybook.demo import DemoFailed
from tallybook.demo.caller import Caller

CALCULATION = Path(__file__).with_name("independent.py")
WINDOW = {"startTime": "2013-01-01T00:00:00Z", "endTime": "2014-02-01T00:00:00Z"}
YEAR = "2013"
MONTHS = (*(f"{YEAR}-{month:02}" for month in range(1, 13)), "2014-01")

Figures = dict[str, Decimal]


def served_figures(
    caller: Caller, meter_names: Mapping[str, str], carriers: Iterable[str], invoices: Iterable[Mapping[str, Any]]
) -> Figures:
    """Everything the server says, read through its interface: events and usage by month, invoices with their lines."""
    figures: Figures = {}
    for name, status in (("metered", IngestionStatus.METERED), ("failed", IngestionStatus.FAILED)):
        query = {"name": "EVENTS", "filters": [_filter("EVENT_STATUS", status)]}
        monthly = _by_month(caller, query, carriers)
        figures[f"events {name}"] = sum(monthly.values(), Decimal(0))
        figures |= {f"events {name} of {carrier} in {month}": value for (carrier, month), value in monthly.items()}
    for meter_id, meter in meter_names.items():
        monthly = _by_month(caller, {"name": "USAGE", "filters": [_filter("USAGE_METER_ID", meter_id)]}, carriers)
        figures |= {f"usage of {meter} by {carrier} in {month}": value for (carrier, month), value in monthly.items()}
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    for invoice in invoices:
        figures.update(_invoice_figures(invoice, meter_names))
        totals[invoice["ownerId"]] += invoice["totalAmount"]
    return figures | {f"invoices to {carrier} for {YEAR}": total for carrier, total in totals.items()}


def issued_invoices(caller: Caller) -> list[dict[str, Any]]:
    """Every invoice with its lines."""
    return [caller.get(f"/invoices/{summary['id']}") for summary in caller.items("/invoices", "data")]


def counts_by_status(caller: Caller) -> dict[str, int]:
    """How many events have which verdict."""
    (series,) = _query(caller, {"name": "EVENTS", "groupBy": "RAW_EVENT_STATUS"})
    return {each["groupedBy"]["fieldValue"]: int(sum(each["metricValues"])) for each in series}


def calculated_figures(calculation: Path, flights: Path, rows: int | None) -> Figures:
    """Run the independent calculation in a process without installed packages, where Tallybook cannot be found."""
    asked = [] if rows is None else ["--rows", str(rows)]
    finished = subprocess.run(
        [sys.executable, "-I", "-S", str(calculation), "--json", "--file", str(flights), *asked],
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise DemoFailed(f"the independent calculation failed: {finished.stderr[-400:]}")
    return {name: Decimal(value) for name, value in json.loads(finished.stdout).items()}


def differences(served: Mapping[str, Decimal], calculated: Mapping[str, Decimal]) -> list[str]:
    """Each figure that the two do not agree on, or that one of them does not have, in words."""
    return [
        f"{name}: Tallybook says {_words(served.get(name))}, the calculation {_words(calculated.get(name))}"
        for name in sorted(served.keys() | calculated.keys())
        if name not in served or name not in calculated or Fraction(served[name]) != Fraction(calculated[name])
    ]


def _words(value: Decimal | None) -> str:
    return "nothing" if value is None else format(value, "f")


# ---- figures over time -------------------------------------------------------------------------------------------


def _filter(field: str, value: str) -> dict[str, Any]:
    return {"fieldName": field, "fieldValues": [value]}


def _query(caller: Caller, query: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    asked = {"id": "demo", "aggregationPeriod": "MONTH", **query}
    answer = caller.post("/metrics", {**WINDOW, "metricQueries": [asked]})
    return [result["data"] for result in answer["results"]]


def _by_month(caller: Caller, query: Mapping[str, Any], carriers: Iterable[str]) -> dict[tuple[str, str], Decimal]:
    """The figure of each account and month; a series that is not there is zeros, as is one without values."""
    (series,) = _query(caller, {**query, "groupBy": "ACCOUNT_ID"})
    monthly = {(carrier, month): Decimal(0) for carrier in carriers for month in MONTHS}
    for each in series:
        for instant, value in zip(each["timestamps"], each["metricValues"], strict=True):
            monthly[each["groupedBy"]["fieldValue"], instant[:7]] = Decimal(value)
    return monthly


# ---- invoices ----------------------------------------------------------------------------------------------------


def _invoice_figures(invoice: Mapping[str, Any], meter_names: Mapping[str, str]) -> Iterator[tuple[str, Decimal]]:
    carrier, month = invoice["ownerId"], invoice["startDate"][:7]
    yield f"invoice to {carrier} for {month}", Decimal(invoice["totalAmount"])
    true_up = Decimal(0)
    for line in lines_of(invoice["revenueInfo"]):
        if line["type"] == "TRUE_UP_AMOUNT":
            true_up = Decimal(line["value"])
        if line["type"] == "USAGE_RATE_CARD_AMOUNT":
            meter = meter_names[line["id"].partition(".")[2]]
            yield f"{meter} on the invoice to {carrier} for {month}", Decimal(line["quantity"])
            yield f"charge for {meter} to {carrier} for {month}", Decimal(line["value"])
    yield f"true-up of {carrier} for {month}", true_up


def lines_of(line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The line and all lines below it."""
    yield line
    for below in line["lineItems"]:
        yield from lines_of(below)
