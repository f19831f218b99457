"""The demo from beginning to end: the steps in the order in which they happen, and what each of them shows."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from tallybook import assembly
from tallybook.config import read_settings
from tallybook.core.errors import Invalid
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.invoice_text import invoice_text
from tallybook.demo import catalogue, figures, flights
from tallybook.demo.caller import Caller
from tallybook.demo.screen import Screen
from tallybook.demo.sending import Sending
from tallybook.demo.server import Server, interrupted_by_signals, running_server, uninterrupted

ORGANISATION = "default"  # whose key `tallybook keys create` makes
AS_OF = "2014-02-01"
MONTH, MONTH_IN_WORDS = "2013-01", "January 2013"
IN_FULL = ("HA", "YV")  # one with something on every card, one below the minimum
WATCH_INTERVAL_S = 0.1
DIFFERENCES_SHOWN = 20
EQUAL = "equal to the independent calculation"


class Summary(msgspec.Struct, kw_only=True):
    """What the demo found, for scripts. `equal` says that there are no `differences`."""

    events_sent: int = 0
    batches_sent_again: int = 0
    events_by_status: dict[str, int] = {}
    failed_because: dict[str, int] = {}
    invoices_issued: int = 0
    invoiced: dict[str, str] = {}
    events_verified: int = 0
    invoices_proved: int = 0
    figures_compared: int = 0
    differences: list[str] = []
    equal: bool = False
    seconds: dict[str, float] = {}


def run_demo(
    screen: Screen,
    *,
    rows: int | None = None,
    keep: Path | None = None,
    paper: Path | None = None,
    calculation: Path = figures.CALCULATION,
) -> Summary:
    """Tell the whole story on a server of its own; whatever happens, its processes end and its folder goes.

    `rows` takes only the first flights of the file, `keep` names an empty folder that stays, `paper` one for the
    invoices as PDF, `calculation` is the program whose figures the server's must equal.
    """
    airlines = flights.airlines()
    screen.title("Every departure from New York's airports in 2013: metered, priced and billed by Tallybook")
    with interrupted_by_signals(), _folder(keep) as folder, running_server(folder) as server:
        with screen.step("server", "starting") as step:
            server.wait_until_ready()
            step.done = f"tallybook serve, on {server.url}"
            again = f"stays: tallybook serve --data-dir {folder}" if keep else "goes in the end"
            step.notes.append(f"data in {folder}, which {again}")
        with screen.step("key", "making one") as step:
            key = server.command("keys", "create", "demo").strip()
            step.done = "tallybook keys create demo"
        with closing(Caller(server.url, key)) as caller:
            return _Story(screen, server, caller, airlines, rows).tell(calculation, paper)


def conclude(screen: Screen, summary: Summary) -> int:
    """Say the verdict and return the exit status: 0 only if every figure is equal and everything adds up."""
    if summary.equal:
        screen.verdict(EQUAL, good=True)
        return 0
    count = len(summary.differences)
    screen.verdict(f"not {EQUAL}; {count:,} differences:", good=False)
    for difference in summary.differences[:DIFFERENCES_SHOWN]:
        screen.say(f"  {difference}")
    if count > DIFFERENCES_SHOWN:
        screen.say(f"  and {count - DIFFERENCES_SHOWN:,} more")
    return 1


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """An empty folder for all data: a temporary one that goes on the way out, or `keep`."""
    if keep is not None:
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise Invalid(f"--keep: {keep} is not an empty folder; the demo fills a new one")
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    temporary = tempfile.TemporaryDirectory(prefix="tallybook-demo-")
    try:
        yield Path(temporary.name)
    finally:
        with uninterrupted():
            temporary.cleanup()


class _Story:
    """The steps between a server that runs with a key, and the verdict."""

    def __init__(
        self, screen: Screen, server: Server, caller: Caller, airlines: Mapping[str, str], rows: int | None
    ) -> None:
        self._screen = screen
        self._server = server
        self._caller = caller
        self._airlines = airlines
        self._rows = rows
        self._summary = Summary()

    def tell(self, calculation: Path, paper: Path | None) -> Summary:
        meter_names, plan_id = self._define()
        self._show_prices()
        self._send()
        self._attach(plan_id)
        self._bill()
        invoices, served = self._read(meter_names)
        self._show_month(invoices, served)
        if paper is not None:
            self._print(invoices, paper)
        self._show_year(served)
        self._show_balance()
        self._verify()
        self._prove(invoices, paper)
        self._compare(served, calculation)
        self._summary.seconds = self._screen.seconds
        return self._summary

    # ---- in ------------------------------------------------------------------------------------------------------

    def _define(self) -> tuple[dict[str, str], str]:
        with self._screen.step("defined", "schema, meters, customers and prices") as step:
            meter_names = catalogue.define_schema_and_meters(self._caller)
            catalogue.define_airlines(self._caller, self._airlines)
            plan_id = catalogue.define_plan(self._caller, meter_names)
            catalogue.choose_letterhead(self._caller, ORGANISATION)
            step.done = (
                f"{len(self._airlines)} airlines, an event schema, {len(meter_names)} meters, a monthly price plan"
            )
        return meter_names, plan_id

    def _show_prices(self) -> None:
        rows = [(meter.billable_name, meter.rule, meter.price) for meter in catalogue.METERS]
        minimum = ("Minimum of a month", "", f"{catalogue.MINIMUM_COMMITMENT:,}.00")
        self._screen.words_table(
            ("usage of a month", "how it is metered", f"price in {catalogue.CURRENCY}"), [*rows, minimum]
        )

    def _send(self) -> None:
        total = self._rows or flights.FLIGHTS_IN_FILE
        screen, summary = self._screen, self._summary
        with screen.bars(total, "sent", "metered") as bars:
            with screen.step("sent", "", quiet=True) as step:
                with Sending(self._caller, flights.events(self._rows)) as sending:
                    while not sending.is_done():
                        bars.move("sent", sending.accepted)
                        bars.move("metered", self._metered())
                bars.move("sent", sending.accepted)
                step.done = f"{sending.accepted:,} events in {sending.batches} batches, each answered with 202"
                if sending.resent:
                    step.notes.append(f"{sending.resent} batches were sent again with the same ids")
            with screen.step("metered", "", quiet=True) as step:
                while self._caller.figure("tallybook_waiting_records"):
                    bars.move("metered", self._metered())
                step.done = "every event has its verdict"
        summary.events_sent, summary.batches_sent_again = sending.accepted, sending.resent

    def _metered(self) -> int:
        time.sleep(WATCH_INTERVAL_S)
        self._server.check_alive()
        return self._caller.figure("tallybook_events_judged_total")

    # ---- out -----------------------------------------------------------------------------------------------------

    def _attach(self, plan_id: str) -> None:
        with self._screen.step("attached", "the price plan to each account") as step:
            catalogue.attach_plan(self._caller, plan_id, self._airlines)
            step.done = f"the plan, to each account, from {catalogue.PLAN_FROM} until {catalogue.PLAN_UNTIL}"
            step.notes.append(
                "only now: a plan prices the usage that is there, but with one in force, events of 2013 that arrive "
                "today would be refused as past its grace period"
            )

    def _bill(self) -> None:
        with self._screen.step("billed", f"as of {AS_OF}") as step:
            report = json.loads(self._server.command("bill", "--as-of", AS_OF, "--json"))
            self._summary.invoices_issued = report["finalised"]
            step.done = f"tallybook bill --as-of {AS_OF}: {report['finalised']} invoices issued"

    def _read(self, meter_names: Mapping[str, str]) -> tuple[list[dict[str, Any]], figures.Figures]:
        summary = self._summary
        with self._screen.step("read", "events, usage and invoices") as step:
            invoices = figures.issued_invoices(self._caller)
            served = figures.served_figures(self._caller, meter_names, self._airlines, invoices)
            summary.events_by_status = figures.counts_by_status(self._caller)
            step.done = (
                f"{len(served):,} figures through HTTP: events, usage, {len(invoices)} invoices with their lines"
            )
        self._ask_why()
        summary.invoiced = {carrier: _money(_invoiced(served, carrier)) for carrier in self._airlines}
        return invoices, served

    def _ask_why(self) -> None:
        """List every failed event, to count the reasons."""
        failed = self._summary.events_by_status.get(IngestionStatus.FAILED, 0)
        reasons: Counter[str] = Counter()
        with self._screen.bars(failed, "asked") as bars, self._screen.step("asked", "", quiet=True) as step:
            for event in self._caller.items("/events", "events", status=IngestionStatus.FAILED.value):
                reasons[event["ingestionStatus"]["statusDescription"]] += 1
                bars.move("asked", reasons.total())
            step.done = f"why {reasons.total():,} events failed, page by page"
        self._summary.failed_because = dict(reasons.most_common())

    def _show_month(self, invoices: list[dict[str, Any]], served: figures.Figures) -> None:
        self._screen.heading(f"Invoices of {MONTH_IN_WORDS}")
        billing = assembly.billing(read_settings({}, data_dir=str(self._server.folder)))
        for summary in invoices:
            if summary["startDate"].startswith(MONTH) and summary["ownerId"] in IN_FULL:
                invoice = billing.invoice(ORGANISATION, summary["id"], now=datetime.now(UTC))
                self._screen.verbatim(invoice_text(invoice))
        lines = [meter.name for meter in catalogue.METERS]
        self._screen.table(
            (f"{catalogue.CURRENCY}", *lines, "true-up", "invoice"),
            [
                (
                    carrier,
                    *(_money(served.get(f"charge for {line} to {carrier} for {MONTH}")) for line in lines),
                    _money(served.get(f"true-up of {carrier} for {MONTH}")),
                    _money(served.get(f"invoice to {carrier} for {MONTH}")),
                )
                for carrier in self._airlines
            ],
        )

    def _print(self, invoices: list[dict[str, Any]], paper: Path) -> None:
        with self._screen.step("printed", "the invoices as PDF, with their working") as step:
            paper.mkdir(parents=True, exist_ok=True)
            for invoice in invoices:
                pdf = self._caller.content(f"/invoices/{invoice['id']}/pdf", working="true")
                (paper / f"{invoice['startDate'][:7]} {invoice['ownerId']}.pdf").write_bytes(pdf)
            step.done = f"{len(invoices)} invoices as PDF, with their working"
            step.notes.append(f"in {paper.resolve()}")

    def _show_year(self, served: figures.Figures) -> None:
        self._screen.heading("The year 2013, and the airlines by what they owe")
        carriers = sorted(self._airlines, key=lambda carrier: -_invoiced(served, carrier))
        rows = [
            (
                f"{carrier} {self._airlines[carrier]}",
                *(f"{_of_year(served, f'events {what} of {carrier}'):,}" for what in ("metered", "failed")),
                f"{_of_year(served, f'usage of miles by {carrier}'):,}",
                _money(_invoiced(served, carrier)),
            )
            for carrier in carriers
        ]
        total = _money(sum((_invoiced(served, carrier) for carrier in carriers), Decimal(0)))
        counts = [f"{served[f'events {what}']:,}" for what in ("metered", "failed")]
        self._screen.table(
            ("", "flights metered", "failed", "miles", f"invoices, {catalogue.CURRENCY}"),
            rows,
            total=("", *counts, "", total),
        )
        after = sum(
            (served[f"events metered of {carrier} in {figures.MONTHS[-1]}"] for carrier in carriers), Decimal(0)
        )
        if after:
            self._screen.say(
                f"{after:,} flights of the last evening in New York left in January 2014, UTC: metered, and on no "
                "invoice, for they are after the plan's end."
            )

    def _show_balance(self) -> None:
        self._screen.heading("What became of every event")
        summary = self._summary
        rows = []
        for status, count in sorted(summary.events_by_status.items()):
            rows.append((status, f"{count:,}"))
            if status == IngestionStatus.FAILED:
                rows += [(f"  {reason}", f"{times:,}") for reason, times in summary.failed_because.items()]
        self._screen.table(("verdict", "events"), rows, total=("accepted", f"{_judged(summary):,}"))

    # ---- checked -------------------------------------------------------------------------------------------------

    def _verify(self) -> None:
        with self._screen.step("verified", "adding up the rows of all events again") as step:
            found = json.loads(self._server.command("verify", "usage", "--json", may_fail=True))
            self._summary.events_verified = sum(found["by_status"].values())
            self._summary.differences += found["differences"]
            step.done = f"tallybook verify usage: {len(found['differences'])} differences"
            step.notes.append(
                f"{self._summary.events_verified:,} event rows, added up again to {found['usage_rows']:,} rows of usage"
            )

    def _prove(self, invoices: list[dict[str, Any]], paper: Path | None) -> None:
        """One invoice computed again from its proof, by a command that knows nothing but the file."""
        with self._screen.step("proved", "computing an invoice again from one file") as step:
            [invoice] = [each for each in invoices if (each["ownerId"], each["startDate"][:7]) == (IN_FULL[0], MONTH)]
            file = (self._server.folder if paper is None else paper) / f"{MONTH} {IN_FULL[0]}.proof.json"
            file.write_bytes(self._caller.content(f"/invoices/{invoice['id']}/proof"))
            found = json.loads(self._server.command_offline("verify", "invoice", str(file), "--json", may_fail=True))
            if found["first_difference"] is not None:
                self._summary.differences.append(f"proof of {invoice['id']}: {found['first_difference']}")
            self._summary.invoices_proved = 1
            step.done = f"tallybook verify invoice: {found['lines']} lines of {IN_FULL[0]}'s invoice computed again"
            step.notes.append(f"from {found['usage_rows']:,} rows of usage, to which {found['events']:,} events add up")

    def _compare(self, served: figures.Figures, calculation: Path) -> None:
        summary = self._summary
        with self._screen.step("compared", "with the independent calculation") as step:
            calculated = figures.calculated_figures(calculation, flights.flights_file(), self._rows)
            summary.figures_compared = len(calculated)
            summary.differences += figures.differences(served, calculated)
            summary.differences += _imbalances(summary)
            summary.equal = not summary.differences
            step.done = f"{len(calculated):,} figures with a calculation from the CSV file that shares no code"
            step.notes.append(f"on its own: python {calculation}")


def _imbalances(summary: Summary) -> Iterator[str]:
    """Accepted must equal what has a verdict, and failed what has a reason. What was sent again may be there twice."""
    duplicates = summary.events_by_status.get(IngestionStatus.DUPLICATE, 0)
    if _judged(summary) - duplicates != summary.events_sent or (duplicates and not summary.batches_sent_again):
        yield f"sent {summary.events_sent:,} events, with a verdict {_judged(summary):,}, duplicates {duplicates:,}"
    failed = summary.events_by_status.get(IngestionStatus.FAILED, 0)
    if sum(summary.failed_because.values()) != failed:
        yield f"failed {failed:,} events, with a reason {sum(summary.failed_because.values()):,}"


def _judged(summary: Summary) -> int:
    return sum(summary.events_by_status.values())


def _invoiced(served: figures.Figures, carrier: str) -> Decimal:
    return served.get(f"invoices to {carrier} for {figures.YEAR}", Decimal(0))


def _of_year(served: figures.Figures, name: str) -> Decimal:
    return sum((served[f"{name} in {month}"] for month in figures.MONTHS), Decimal(0))


def _money(amount: Decimal | None) -> str:
    return "-" if amount is None else f"{amount:,.2f}"
