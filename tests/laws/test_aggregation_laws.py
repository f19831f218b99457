"""Every aggregation equals a plain recomputation over the events as they rest, whatever happened on the way."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import catalogue_samples as samples
import msgspec
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallybook.core.aggregation import Aggregation, quantity_of
from tallybook.core.correction import CorrectionAction
from tallybook.core.credential import Scope
from tallybook.core.errors import Invalid, NotFound
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import EPOCH, HOUR
from tallybook.storage.event_rows import EventRow
from tallybook.storage.usage import rows_by_meter

CITIES = ("Bergen", "Oslo", "oslo", "Tromsø")
QUANTITIES = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40, places=20
) | st.integers(-3, 3)
FIRST_HOUR = EPOCH.replace(year=2024, month=1, day=15)
HOURS = st.sampled_from((0, 0, 23, 24))
ACCOUNTS = ("a1", "a2")
MICROSECOND = timedelta(microseconds=1)
LAW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

Ride = tuple[Fraction, str, int]
"""Quantity, city, and event time in microseconds since 1970."""


@st.composite
def rides(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some events with ids of their own, no two at the same instant."""
    some = draw(
        st.lists(
            st.tuples(QUANTITIES, st.sampled_from(CITIES), st.sampled_from((*ACCOUNTS, "ghost")), HOURS),
            min_size=1,
            max_size=10,
        )
    )
    return [ride(number, quantity, city, account, hour) for number, (quantity, city, account, hour) in enumerate(some)]


def ride(number: int, quantity: Decimal | int, city: str, account: str, hour: int) -> dict[str, Any]:
    return event(
        f"e{number}",
        attributes=distance(format(quantity, "f")),
        dimensions={"city": city},
        accountId=account,
        timestamp=f"2024-01-{15 + hour // 24}T{hour % 24:02}:59:59.{number:06}",
    )


Step = Callable[[Embedded], object]


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Events in any order, some repeatedly, in batches, with crashes, archiving and corrections between them."""
    events = draw(rides())
    order = draw(st.permutations([*events, *draw(st.lists(st.sampled_from(events), max_size=6))]))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(order) - 1)), max_size=5)))
    steps: list[Step] = []
    for start, end in pairwise([0, *cuts, len(order)]):
        if start < end:
            steps.append(sending(order[start:end]))
        steps += draw(st.lists(other_steps(events), max_size=2))
    return steps


@st.composite
def other_steps(draw: st.DrawFn, events: Sequence[dict[str, Any]]) -> Step:
    kind = draw(st.sampled_from(("meter", "crash", "archive", "correct", "correct")))
    if kind == "correct":
        wanted = draw(st.sampled_from(events))
        action = draw(st.sampled_from(CorrectionAction))
        other = {**wanted, "attributes": distance(format(draw(QUANTITIES), "f"))}
        return correcting(wanted, action, other if action is CorrectionAction.REDO_EVENT else None)
    return {"meter": Embedded.meter, "crash": crash, "archive": archive}[kind]


def sending(batch: Sequence[dict[str, Any]]) -> Step:
    return lambda embedded: embedded.send(*batch)


def correcting(wanted: dict[str, Any], action: CorrectionAction, other: dict[str, Any] | None) -> Step:
    def correct(embedded: Embedded) -> None:
        with suppress(NotFound, Invalid):  # it was not sent yet; one cannot take the place of several
            embedded.correct(action, event=other, account_id=wanted["accountId"], event_id=wanted["id"])

    return correct


def crash(embedded: Embedded) -> None:
    embedded.metering = embedded.new_metering()


def archive(embedded: Embedded) -> None:
    embedded.meter()
    embedded.archive_everything()


class Template:
    """A folder with a meter of every aggregation, to be copied for every example."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.meters: dict[str, Aggregation] = {}
        embedded = Embedded(folder)
        with embedded.caller() as client:
            caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
            caller.post("/event_schema", samples.schema())
            caller.post("/event_schema/rides/activate")
            for aggregation in Aggregation:
                self.meters[add_meter(caller, aggregation)] = aggregation
            caller.post("/customers", samples.customer())
            for account_id in ACCOUNTS:
                caller.post("/accounts", samples.account(account_id))
        embedded.close()

    @contextmanager
    def copy(self) -> Iterator[Embedded]:
        with TemporaryDirectory() as folder:
            shutil.copytree(self._folder, folder, dirs_exist_ok=True)
            embedded = Embedded(Path(folder))
            yield embedded
            embedded.close()


def add_meter(caller: Caller, aggregation: Aggregation) -> str:
    computations = {
        Aggregation.COUNT: [],
        Aggregation.DISTINCT_COUNT: [{"computation": '{"var":"dimensions.city"}', "order": 1}],
    }
    changes = {"computations": computations[aggregation]} if aggregation in computations else {}
    body = samples.meter(aggregation.value, aggregation=aggregation.value, **changes)
    meter_id: str = caller.post("/usage_meters", body)["id"]
    caller.post(f"/usage_meters/{meter_id}/activate")
    return meter_id


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("definitions"))


def recomputed(aggregation: Aggregation, some: Sequence[Ride]) -> Fraction:
    """The figure in fractions, without the package."""
    quantities = [quantity for quantity, _, _ in some]
    if not some:
        return Fraction(0)
    return {
        Aggregation.COUNT: Fraction(len(some)),
        Aggregation.SUM: sum(quantities, Fraction(0)),
        Aggregation.MAX: max(quantities),
        Aggregation.MIN: min(quantities),
        Aggregation.AVERAGE: sum(quantities, Fraction(0)) / len(some),
        Aggregation.LATEST: max(some, key=lambda one: one[2])[0],
        Aggregation.DISTINCT_COUNT: Fraction(len({city for _, city, _ in some})),
    }[aggregation]


def ride_in(row: EventRow) -> Ride:
    sent = msgspec.json.decode(row.event)
    return Fraction(sent["attributes"][0]["value"]), sent["dimensions"]["city"], row.event_time


@LAW
@given(history=histories(), hours=st.lists(st.sampled_from((0, 1, 23, 24, 25)), min_size=2, max_size=2, unique=True))
def test_aggregations_equal_a_recomputation_over_the_lake(
    template: Template, history: list[Step], hours: list[int]
) -> None:
    """For each account and any hours: repeats, late events, reverted ones and other orders leave no trace in it."""
    start, end = (FIRST_HOUR + hour * HOUR for hour in sorted(hours))
    with template.copy() as embedded:
        for step in history:
            step(embedded)
        archive(embedded)
        counted = [row for row in embedded.rows() if row.status == IngestionStatus.METERED]
        for account_id in ACCOUNTS:
            here = [ride_in(row) for row in counted if row.account_id == account_id]
            for (first, last), wanted in (
                ((EPOCH, FIRST_HOUR + 48 * HOUR), here),
                ((start, end), [each for each in here if start <= EPOCH + each[2] * MICROSECOND < end]),
            ):
                rows = rows_by_meter(embedded.store.rows(ORGANISATION, account_id, start=first, end=last))
                for meter_id, aggregation in template.meters.items():
                    found = Fraction(quantity_of(aggregation, rows.get(meter_id, ())))
                    expected = recomputed(aggregation, wanted)
                    tolerated = abs(expected) / 10**33 if aggregation is Aggregation.AVERAGE else 0
                    assert abs(found - expected) <= tolerated, aggregation
        assert embedded.verified().differences == []
