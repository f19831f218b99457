"""Usage is a function of the accepted events: not of batches, order, retries, crashes, or of what was refused."""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

from tallybook.core.credential import Scope
from tallybook.core.event import check_batch
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.storage.interfaces import Record

CITIES = ("Bergen", "Oslo")
QUANTITIES = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40, places=20
) | st.integers(-3, 3)
ACCOUNTS = st.sampled_from(("a1", "a1", "a1", "a2", "ghost"))  # few, so that many events meet in one row of usage
HOURS = st.sampled_from((0, 0, 23, 24))
LAW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

Sums = dict[tuple[str, str, int], tuple[Fraction, int]]
"""Units and events by account, meter name, and hour of event time."""


@st.composite
def rides(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some events with ids of their own."""
    some = draw(
        st.lists(
            st.tuples(QUANTITIES, st.sampled_from(CITIES), ACCOUNTS, HOURS),
            max_size=12,
        )
    )
    return [
        event(
            f"e{number}",
            attributes=distance(format(quantity, "f")),
            dimensions={"city": city},
            accountId=account,
            timestamp=f"2024-01-{15 + hour // 24}T{hour % 24:02}:59:59.999999",
        )
        for number, (quantity, city, account, hour) in enumerate(some)
    ]


@st.composite
def arrivals(draw: st.DrawFn, events: Sequence[Any]) -> list[tuple[list[Any], str]]:
    """The events in some order, some of them several times, cut into batches; and what happens after each batch."""
    order = draw(st.permutations([*events, *draw(st.lists(st.sampled_from(events), max_size=6))])) if events else []
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(order) - 1)), max_size=5)))
    batches = [order[start:end] for start, end in pairwise([0, *cuts, len(order)])]
    steps = st.sampled_from(("meter", "meter", "nothing", "crash", "archive"))
    return [(batch, draw(steps)) for batch in batches if batch]


class Template:
    """A folder with the definitions, to be copied for every example."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        embedded = Embedded(folder)
        with embedded.caller() as client:
            caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
            self.meters = {samples.active_meter(caller): "distance"}
            for name, rule in (("twice and a third", TWICE), ("Oslo", OSLO)):
                computed = [{"order": 1, **rule}]
                meter_id = caller.post("/usage_meters", samples.meter(name, computations=computed))["id"]
                caller.post(f"/usage_meters/{meter_id}/activate")
                self.meters[meter_id] = name
            caller.post("/customers", samples.customer())
            for account_id in ("a1", "a2"):
                caller.post("/accounts", samples.account(account_id))
        embedded.close()

    @contextmanager
    def copy(self) -> Iterator[Embedded]:
        with TemporaryDirectory() as folder:
            shutil.copytree(self._folder, folder, dirs_exist_ok=True)
            embedded = Embedded(Path(folder))
            yield embedded
            embedded.close()

    def sums(self, embedded: Embedded) -> Sums:
        return {
            (account, self.meters[meter], hour): (Fraction(units), count)
            for (_, account, meter, hour), (units, count) in embedded.usage().items()
        }


TWICE = {"computation": '{"+":[{"*":[2,{"var":"attributes.distance"}]},0.333]}'}
OSLO = {"computation": '{"var":"attributes.distance"}', "matcher": '{"==":[{"var":"dimensions.city"},"Oslo"]}'}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("definitions"))


def expected(events: Sequence[dict[str, Any]]) -> Sums:
    """What each event, counted once, adds up to: in fractions, without the package."""
    units: defaultdict[tuple[str, str, int], Fraction] = defaultdict(Fraction)
    counts: defaultdict[tuple[str, str, int], int] = defaultdict(int)
    for each in events:
        if each["accountId"] == "ghost":
            continue
        quantity = Fraction(each["attributes"][0]["value"])
        computed = {"distance": quantity, "twice and a third": 2 * quantity + Fraction(333, 1000)}
        if each["dimensions"]["city"] == "Oslo":
            computed["Oslo"] = quantity
        day, hour = int(each["timestamp"][8:10]), int(each["timestamp"][11:13])
        for meter, value in computed.items():
            place = (each["accountId"], meter, (19_722 + day) * 24 + hour)  # 2023-12-31 is day 19,722 since 1970
            units[place] += value
            counts[place] += 1
    return {place: (units[place], counts[place]) for place in units}


@LAW
@given(data=st.data(), events=rides())
def test_batches_order_retries_and_crashes_never_change_usage(
    template: Template, data: st.DataObject, events: list[dict[str, Any]]
) -> None:
    """Usage is the exact sum over the accepted ids, however they came and whatever a worker had in memory."""
    with template.copy() as embedded:
        for batch, step in data.draw(arrivals(events)):
            embedded.send(*batch)
            if step == "crash":
                embedded.metering = embedded.new_metering()
            elif step != "nothing":
                embedded.meter()
            if step == "archive":
                embedded.archive_everything()
        embedded.meter()
        assert template.sums(embedded) == expected(events)
        verdicts = [status for _, status in embedded.statuses() if status != IngestionStatus.DUPLICATE]
        assert len(verdicts) == len(events)
        assert embedded.verified().differences == []


@LAW
@given(data=st.data(), events=rides())
def test_replaying_the_stored_rows_gives_the_same_digits(
    template: Template, data: st.DataObject, events: list[dict[str, Any]]
) -> None:
    """The events as they are stored, duplicates and failures too, are all that usage and verdicts depend on."""
    with template.copy() as embedded, template.copy() as again:
        for batch, _ in data.draw(arrivals(events)):
            embedded.send(*batch)
        embedded.meter()
        embedded.archive_everything()
        for row in embedded.rows():
            again.send(msgspec.json.decode(row.event))
        again.meter()
        assert again.usage() == embedded.usage()
        assert again.statuses() == embedded.statuses()


BROKEN = st.sampled_from(
    (
        7,
        {},
        {"id": "e0"},
        event("e0", timestamp="never"),
        event("e1", attributes=[{"name": "distance", "value": "1e3"}]),
        event("e2", attributes=[{"name": "distance", "value": "1"}] * 2),
        event("e3", surprise=1),
        event("e4", accountId="x" * 513),
    )
)


@LAW
@given(data=st.data(), events=rides())
def test_what_is_refused_costs_nothing(template: Template, data: st.DataObject, events: list[dict[str, Any]]) -> None:
    """Broken events between the good ones, also with ids of good ones, change neither usage nor verdicts."""
    with template.copy() as embedded:
        for batch, _ in data.draw(arrivals(events)):
            mixed = data.draw(st.permutations([*batch, *data.draw(st.lists(BROKEN, max_size=3))]))
            checked = check_batch(msgspec.json.encode({"events": mixed}))
            assert checked.event_count == len(batch)
            embedded.log.append(
                [
                    Record(
                        organisation_id=ORGANISATION,
                        event_count=checked.event_count,
                        format=checked.format,
                        body=checked.body,
                    )
                ]
            )
        embedded.meter()
        assert template.sums(embedded) == expected(events)
        assert embedded.verified().differences == []
