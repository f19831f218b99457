"""Every verdict there is, and that each event gets exactly one whatever two workers and an operator do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook.core.credential import Scope
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import microseconds_since_1970
from tallybook.storage.event_rows import EventRow
from tallybook.storage.usage import Outcome, UsageStore

S = IngestionStatus
MONTH_END = datetime(2024, 2, 1, tzinfo=UTC)  # of the event time in `embedded.event`
GRACE = timedelta(days=3)


@pytest.fixture
def catalogue(embedded: Embedded) -> Iterator[Caller]:
    """Schema `rides` with an active meter, and account `a1`, which has the alias `one`."""
    with embedded.caller() as client:
        caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        define(caller)
        yield caller


def define(caller: Caller) -> str:
    meter_id = samples.active_meter(caller)
    caller.post("/customers", samples.customer())
    caller.post("/accounts", samples.account(aliases=["one"]))
    return meter_id


def add_meter(caller: Caller, name: str, **changes: Any) -> str:
    meter_id: str = caller.post("/usage_meters", samples.meter(name, **changes))["id"]
    caller.post(f"/usage_meters/{meter_id}/activate")
    return meter_id


def add_plan(caller: Caller) -> None:
    """A monthly plan with three days of grace for account `a1`."""
    window = {"effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}
    body = {"mode": "ASSOCIATE", "pricePlanId": samples.active_plan(caller), **window}
    caller.post("/accounts/a1/price_plans", body)


def judged(embedded: Embedded, *events: dict[str, Any]) -> list[EventRow]:
    """Accept, meter and read back these events."""
    position = embedded.send(*events)
    embedded.meter()
    return [row for row in embedded.rows() if row.position == position]


def verdicts(embedded: Embedded, *events: dict[str, Any]) -> list[str]:
    return [row.status for row in judged(embedded, *events)]


# ---- every status ------------------------------------------------------------------------------------------------


def test_metered(embedded: Embedded, catalogue: Caller) -> None:
    """With its account, schema version, and the units and version of each meter."""
    [row] = judged(embedded, event())
    assert (row.status, row.status_description, row.account_id, row.schema_version) == (S.METERED, None, "a1", 1)
    [meter] = row.meters
    assert (meter.units, meter.meter_version) == ("12.5", 1)
    assert list(embedded.usage().values()) == [("12.5", 1)]


def test_repeat_with_the_same_and_with_different_content(embedded: Embedded, catalogue: Caller) -> None:
    """A duplicate either way; the description says which. Only the first counts."""
    [first] = judged(embedded, event())
    [same] = judged(embedded, event())
    [different] = judged(embedded, event(attributes=distance(99)))
    assert (first.status, same.status, different.status) == (S.METERED, S.DUPLICATE, S.DUPLICATE)
    assert same.status_description is not None
    assert different.status_description is not None
    assert "the same" in same.status_description
    assert "different" in different.status_description
    assert list(embedded.usage().values()) == [("12.5", 1)]


def test_repeat_within_one_batch(embedded: Embedded, catalogue: Caller) -> None:
    """The first one in the batch is the one that counts; of a batch with an id seen before, all repeats are."""
    rows = judged(embedded, event(), event(attributes=distance(7)), event("e2"), event())
    assert [row.status for row in rows] == [S.METERED, S.DUPLICATE, S.METERED, S.DUPLICATE]
    assert "different" in str(rows[1].status_description)
    assert "the same" in str(rows[3].status_description)
    assert verdicts(embedded, event("e3"), event(), event("e3"), event()) == [S.METERED, *[S.DUPLICATE] * 3]
    assert list(embedded.usage().values()) == [("37.5", 3)]


def test_ids_of_two_organisations_have_nothing_to_do_with_each_other(embedded: Embedded, catalogue: Caller) -> None:
    """The same id is new in each."""
    define(catalogue.of("umbrella"))
    embedded.send(event())
    embedded.send(event(), organisation_id="umbrella")
    embedded.meter()
    for organisation_id in (ORGANISATION, "umbrella"):
        assert [row.status for row in embedded.rows(organisation_id=organisation_id)] == [S.METERED]


def test_no_id_and_no_template(embedded: Embedded, catalogue: Caller) -> None:
    """Each of them, however alike they are; also when there is no such schema."""
    rows = judged(embedded, event(None), event(None), event(None, schemaName="nothing"))
    assert [(row.status, row.event_id) for row in rows] == [(S.NO_EVENT_ID, None)] * 3
    assert embedded.usage() == {}


def test_no_id_with_a_template(embedded: Embedded, catalogue: Caller) -> None:
    """The id is built from the event, and then it is an id as any other; where it cannot be built there is none."""
    template = "{accountId}-{dimensions.city}"
    made = catalogue.post("/event_schema", samples.schema("trips", eventIdTemplate=template), status=None)
    assert made["eventIdTemplate"] == template
    catalogue.post("/event_schema/trips/activate")
    add_meter(catalogue, "trips", eventSchemaName="trips")
    rows = judged(
        embedded,
        event(None, schemaName="trips"),
        event(None, schemaName="trips"),
        event(None, schemaName="trips", dimensions={"city": "Bergen"}),
        event("a1-Oslo", schemaName="trips"),
        event(None, schemaName="trips", dimensions={}),
    )
    assert [(row.event_id, row.status) for row in rows] == [
        ("a1-Oslo", S.METERED),
        ("a1-Oslo", S.DUPLICATE),
        ("a1-Bergen", S.METERED),
        ("a1-Oslo", S.DUPLICATE),
        (None, S.NO_EVENT_ID),
    ]


def test_schema_not_defined(embedded: Embedded, catalogue: Caller) -> None:
    """None of that name, or one that is not active."""
    catalogue.post("/event_schema", samples.schema("draft"))
    rows = judged(embedded, event("e1", schemaName="nothing"), event("e2", schemaName="draft"))
    assert [row.status for row in rows] == [S.SCHEMA_NOT_DEFINED] * 2
    assert "'nothing'" in str(rows[0].status_description)


def test_missing_field(embedded: Embedded, catalogue: Caller) -> None:
    """An attribute or a dimension of the schema is not in the event; the description names it. More than it is fine."""
    rows = judged(
        embedded,
        event("e1", attributes=[]),
        event("e2", dimensions={"town": "Oslo"}),
        event("e3", attributes=[*distance(1), {"name": "extra", "value": "1"}], dimensions={"city": "x", "more": "y"}),
    )
    assert [row.status for row in rows] == [S.FAILED, S.FAILED, S.METERED]
    assert "attribute 'distance'" in str(rows[0].status_description)
    assert "dimension 'city'" in str(rows[1].status_description)


def test_account_not_found(embedded: Embedded, catalogue: Caller) -> None:
    """Neither an id nor an alias; a later account does not change the verdict."""
    [row] = judged(embedded, event(accountId="ghost"))
    assert (row.status, row.account_id, row.account_reference) == (S.ACCOUNT_NOT_FOUND, None, "ghost")
    assert "'ghost'" in str(row.status_description)
    catalogue.post("/accounts", samples.account("ghost"))
    assert verdicts(embedded, event("e2", accountId="ghost")) == [S.METERED]
    assert verdicts(embedded, event(accountId="ghost")) == [S.DUPLICATE]


def test_alias(embedded: Embedded, catalogue: Caller) -> None:
    """The account behind it is used; the event keeps what was sent."""
    [row] = judged(embedded, event(accountId="one"))
    assert (row.status, row.account_id, row.account_reference) == (S.METERED, "a1", "one")
    [place] = embedded.usage()
    assert place[1] == "a1"


def test_units_invalid_names_the_meter(embedded: Embedded, catalogue: Caller) -> None:
    """One meter that cannot compute its units fails the whole event: half a result is none."""
    rule = '{"/":[100,{"var":"attributes.distance"}]}'
    add_meter(catalogue, "per kilometre", computations=[{"computation": rule, "order": 1}])
    rows = judged(embedded, event("e1", attributes=distance(0)), event("e2", attributes=distance(4)))
    assert [row.status for row in rows] == [S.UNITS_INVALID, S.METERED]
    assert "per kilometre" in str(rows[0].status_description)
    assert len(str(rows[0].status_description)) <= 250
    assert sorted(units for units, _ in embedded.usage().values()) == ["25", "4"]


def test_one_bad_event_changes_nothing_for_those_that_came_with_it(embedded: Embedded, catalogue: Caller) -> None:
    """Alone together they are judged in one go, beside it one by one: the rows say the same, and all of them count."""
    matcher = '{">":[{"var":"attributes.distance"},2]}'
    rule = {"matcher": matcher, "computation": '{"*":[{"var":"attributes.distance"},2.5]}', "order": 1}
    add_meter(catalogue, "far", computations=[rule])
    sent = [{"attributes": distance(number)} for number in range(1, 5)] + [
        {"accountId": "one", "attributes": distance(2)}
    ]
    at_once = judged(embedded, *(event(f"a{number}", **changes) for number, changes in enumerate(sent[:4])))
    one_by_one = judged(
        embedded,
        *(event(f"b{number}", **changes) for number, changes in enumerate(sent)),
        event("bad", accountId="ghost"),
    )
    assert [row.status for row in one_by_one] == [S.METERED] * 5 + [S.ACCOUNT_NOT_FOUND]
    for alike, other in zip(at_once, one_by_one, strict=False):
        names = ("account_id", "status", "status_description", "schema_version", "event_time", "meters")
        assert [getattr(alike, name) for name in names] == [getattr(other, name) for name in names]
    assert sorted(units for units, _ in embedded.usage().values()) == ["22", "35"], (
        "1+2+3+4 twice and 2; 2.5·(3+4) twice"
    )


def test_no_matching_meter(embedded: Embedded, catalogue: Caller) -> None:
    """No active meter on the schema, or none whose matcher and filters let the event through."""
    catalogue.post("/event_schema", samples.schema("quiet"))
    catalogue.post("/event_schema/quiet/activate")
    assert verdicts(embedded, event("e1", schemaName="quiet")) == [S.NO_MATCHING_METERS]
    matcher = '{"==":[{"var":"dimensions.city"},"Bergen"]}'
    rule = {"matcher": matcher, "computation": '{"var":"attributes.distance"}', "order": 1}
    add_meter(catalogue, "quiet", eventSchemaName="quiet", computations=[rule])
    oslo, bergen = event("e2", schemaName="quiet"), event("e3", schemaName="quiet", dimensions={"city": "Bergen"})
    [filtered, metered] = judged(embedded, oslo, bergen)
    assert (filtered.status, metered.status) == (S.NO_MATCHING_METERS, S.METERED)
    assert [meter.units for meter in filtered.meters] == [None]


def test_not_metered_where_a_plan_is_required(tmp_path: Path) -> None:
    """Only with that setting, and only while the account has none on the day of the event."""
    embedded = Embedded(tmp_path, plan_required=1)
    embedded.clock.now = microseconds_since_1970(datetime(2024, 1, 20, tzinfo=UTC))  # in time for January
    with embedded.caller() as client:
        caller = Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
        define(caller)
        assert verdicts(embedded, event("e1")) == [S.NOT_METERED]
        add_plan(caller)
        before_the_plan = event("e3", timestamp="2023-12-31T23:59:59")
        now = verdicts(embedded, event("e2"), before_the_plan)
    assert now == [S.METERED, S.NOT_METERED]
    assert embedded.verified().differences == []
    embedded.close()


def test_grace_ends_at_its_exact_instant(embedded: Embedded, catalogue: Caller) -> None:
    """Received at the end of the cycle and its grace is in time; a microsecond later is not."""
    embedded.clock.now = 0  # the log's receipts only grow, so it starts in the past
    add_plan(catalogue)
    deadline = microseconds_since_1970(MONTH_END + GRACE)
    for instant, expected in ((deadline - 1, S.METERED), (deadline, S.METERED), (deadline + 1, S.PAST_GRACE_PERIOD)):
        embedded.clock.now = instant
        assert verdicts(embedded, event(f"at {instant}")) == [expected]
    assert verdicts(embedded, event("February", timestamp="2024-02-01T00:00:00")) == [S.METERED]
    assert verdicts(embedded, event("January", timestamp="2024-01-31T23:59:59.999999")) == [S.PAST_GRACE_PERIOD]


def test_order_of_checks(embedded: Embedded, catalogue: Caller) -> None:
    """Where several things are wrong, the first in the interface's order is said."""
    rule = '{"/":[100,{"var":"attributes.distance"}]}'
    add_meter(catalogue, "per kilometre", computations=[{"computation": rule, "order": 1}])
    add_plan(catalogue)
    wrong: dict[str, Any] = {
        "schemaName": "nothing",
        "accountId": "ghost",
        "dimensions": {},
        "attributes": distance(0),
        "timestamp": "2024-01-15T00:00:00",
    }
    right = [("schemaName", "rides"), ("dimensions", {"city": "x"}), ("accountId", "a1"), ("timestamp", None)]
    today = datetime.now(UTC).isoformat()
    expected = [S.SCHEMA_NOT_DEFINED, S.FAILED, S.ACCOUNT_NOT_FOUND, S.PAST_GRACE_PERIOD, S.UNITS_INVALID]
    assert verdicts(embedded, event(None, **wrong)) == [S.NO_EVENT_ID]
    found = verdicts(embedded, event("e0", **wrong))
    for number, (name, value) in enumerate(right, start=1):
        wrong[name] = today if name == "timestamp" else value
        found += verdicts(embedded, event(f"e{number}", **wrong))
    assert found == expected
    wrong["attributes"] = distance(5)
    assert verdicts(embedded, event("e9", **wrong)) == [S.METERED]
    assert verdicts(embedded, event("e0", **wrong)) == [S.DUPLICATE], "though its first event was not metered"


def test_every_verdict_is_counted_and_adds_up(embedded: Embedded, catalogue: Caller) -> None:
    """Accepted = the sum of all statuses, and the rows say the same."""
    judged(embedded, event(), event(), event(None), event("e2", schemaName="x"), event("e3", accountId="ghost"))
    found = embedded.verified()
    assert (found.accepted, found.in_progress, found.differences) == (5, 0, [])
    assert found.by_status == {
        S.METERED: 1,
        S.DUPLICATE: 1,
        S.NO_EVENT_ID: 1,
        S.SCHEMA_NOT_DEFINED: 1,
        S.ACCOUNT_NOT_FOUND: 1,
    }


# ---- two workers, and definitions that change -------------------------------------------------------------------


class InterruptedStore(UsageStore):
    """The store, with something happening between the judging and the commit."""

    def __init__(self, embedded: Embedded, meanwhile: Callable[[], object]) -> None:
        super().__init__(embedded.database, event_key_hours=embedded.settings.event_key_days * 24)
        self.outcomes: list[Outcome] = []
        self._meanwhile = meanwhile

    def commit_batch(self, *batch: Any, **more: Any) -> Outcome:
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        self.outcomes.append(super().commit_batch(*batch, **more))
        return self.outcomes[-1]


def test_worker_that_was_overtaken_changes_nothing(embedded: Embedded, catalogue: Caller) -> None:
    """It judged the batch; another committed it first. Its own commit says so, and it goes on behind the other."""
    embedded.send(event("e1"), event("e2"))
    store = InterruptedStore(embedded, meanwhile=embedded.meter)
    sleeper = embedded.new_metering(store)
    assert sleeper.meter_waiting() == 0
    assert store.outcomes == [Outcome.OVERTAKEN]
    once = embedded.usage()
    assert list(once.values()) == [("25", 2)]
    embedded.send(event("e3"))
    assert sleeper.meter_waiting() == 1
    assert list(embedded.usage().values()) == [("37.5", 3)]
    assert embedded.verified().differences == []


def test_worker_that_was_overtaken_by_part_of_its_batch_changes_nothing(tmp_path: Path) -> None:
    """The other one took smaller batches: the position is not where the sleeper's batch starts."""
    embedded = Embedded(tmp_path)
    with embedded.caller() as client:
        define(Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN))
    embedded.send(event("e1"))
    quick = embedded.new_metering()
    later = [event(f"e{number}") for number in range(2, 6)]

    def overtake() -> None:
        assert quick.meter_waiting() == 2

    embedded.send(event("e2"))
    store = InterruptedStore(embedded, meanwhile=overtake)
    sleeper = embedded.new_metering(store)
    assert sleeper.meter_waiting() == 0
    for each in later:
        embedded.send(each)
    while sleeper.meter_waiting():
        pass
    embedded.meter()
    assert list(embedded.usage().values()) == [("62.5", 5)]
    assert embedded.verified().differences == []
    embedded.close()


def test_definition_that_changes_before_the_commit_is_taken_into_account(embedded: Embedded, catalogue: Caller) -> None:
    """The commit refuses what was judged under the older definitions, and the events are judged again."""
    embedded.send(event("e1", accountId="new"))

    def create_account() -> None:
        catalogue.post("/accounts", samples.account("new"))

    store = InterruptedStore(embedded, meanwhile=create_account)
    assert embedded.new_metering(store).meter_waiting() == 1
    assert store.outcomes == [Outcome.STALE, Outcome.COMMITTED]
    assert embedded.statuses() == [("e1", S.METERED)]


def test_a_new_worker_goes_on_where_the_last_one_was(embedded: Embedded, catalogue: Caller) -> None:
    """Nothing but the database says where that is."""
    for number in range(5):
        embedded.send(event(f"e{number}"))
        embedded.metering = embedded.new_metering()
        embedded.meter()
        assert embedded.metering.meter_waiting() == 0
    assert list(embedded.usage().values()) == [("62.5", 5)]
