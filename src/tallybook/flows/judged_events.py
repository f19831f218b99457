"""The events of a few log records with their verdicts, column by column, and what they add.

Building an object for every event would cost as much as judging it. What the events add to usage, counts and rows is
computed from the columns once it is known which ids were seen before.
"""

import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import chain, islice, repeat
from typing import cast

from arro3.core import Table

from tallybook.core.aggregation import Made, units_of
from tallybook.core.correction import Correction, EventPlace
from tallybook.core.enrichment import EnrichmentFailed
from tallybook.core.errors import TallybookError
from tallybook.core.event import LoggedEvent
from tallybook.core.event_schema import BOOKED_USAGE
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import MICROSECONDS_PER_HOUR, microseconds_since_1970
from tallybook.core.internal_schema import BOOKED_METER
from tallybook.flows.definitions import (
    MICROSECONDS_PER_DAY,
    AccountCandidates,
    Definitions,
    MeterUnavailable,
    SchemaProgram,
)
from tallybook.flows.revert import day_of
from tallybook.flows.verdict import (
    DESCRIPTION_CHARACTERS_MAX,
    DUPLICATE,
    METERED,
    NO_MATCHING_METERS,
    NOT_METERED,
    Verdict,
    built_id,
    decoded,
    event_keys,
    failed,
    missing_field,
)
from tallybook.storage.event_key_runs import pack_entries
from tallybook.storage.event_keys import EventKey
from tallybook.storage.event_rows import EventColumns
from tallybook.storage.interfaces import LoggedRecord
from tallybook.storage.late_usage import LateDay
from tallybook.storage.reversals import Day
from tallybook.storage.usage import UsagePlace

_LATE = "received after the grace period of its billing cycle; what it adds is billed with the account's next invoice"
_NO_EVENT_ID = "the event has no id, and its schema has no template that makes one"

Units = tuple[Decimal | None, ...]

Receipt = tuple[str, int]
"""Organisation, and hour of receipt."""

Group = tuple[str, int, str, SchemaProgram | None, str]
"""Account (as sent where unknown), hour of event, schema name, schema, status."""


class TakenIds:
    """The ids of a micro-batch's events: which event was the first with each, and which ones came again."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.contents: dict[bytes, int] = {}  # of the first event by key, in their order, as are the next two
        self.positions: list[int] = []
        self.received_hours: list[int] = []
        self.repeats: list[EventKey] = []

    def packed(self) -> bytes:
        """The entries of the first events, as the commit takes them."""
        return pack_entries(
            list(self.contents),
            list(self.contents.values()),
            partition=self.partition,
            positions=self.positions,
            received_hours=self.received_hours,
        )


class JudgedEvents:
    """Events of a few log records, column by column; few enough that they stay in the processor's cache."""

    def __init__(
        self,
        records: Sequence[LoggedRecord],
        definitions: Definitions,
        correction: Correction | None,
        *,
        plan_required: bool,
    ) -> None:
        self._correction = correction
        self._plan_required = plan_required
        self._definitions = definitions
        self._columns = EventColumns()
        self._receipts: list[tuple[Receipt, int]] = []  # with the number of events, record by record
        self._schemas: list[SchemaProgram | None] = []
        self._made: list[tuple[Made | None, ...]] = []
        self._values: dict[int, list[str | None]] = {}
        self._enrichments: dict[int, str] = {}
        self._contents: list[int] = []
        self._keys: list[bytes | None] = []
        self._late: list[int] = []
        for record in records:
            self._judge(record)

    def take_places(self, correction: Correction, refused: Mapping[EventPlace, str]) -> None:
        """Note which event each one is ingested in place of; without a place it is a repeat of the one that stays."""
        columns = self._columns
        for number, target in enumerate(correction.targets[: len(correction.replacements)]):
            columns.reverts_position.append(target.place.position)
            columns.reverts_index.append(target.place.event_index)
            columns.first_received_at.append(target.grace_received_at)
            if target.place in refused:
                columns.status[number] = DUPLICATE
                reason = f"not ingested again, for {target.place.reference_id} stays: {refused[target.place]}"
                columns.status_description[number] = reason[:DESCRIPTION_CHARACTERS_MAX]
                self._made[number] = ()
                self._keys[number] = None

    @property
    def event_keys(self) -> dict[int, bytes]:
        """The keys of the events that have an id, by their number."""
        return {number: key for number, key in enumerate(self._keys) if key is not None}

    def metered_days(self) -> dict[int, Day]:
        """Whose usage each metered event adds to, and on which day, by its number."""
        columns = self._columns
        return {
            number: day_of(account_id, event_time)
            for number, (status, account_id, event_time) in enumerate(
                zip(columns.status, columns.account_id, columns.event_time, strict=True)
            )
            if status == METERED and account_id is not None
        }

    def late_days(self) -> set[LateDay]:
        """Whose usage the metered events that came after their grace add to, and on which days."""
        if not self._late:
            return set()
        days = self.metered_days()
        return {
            LateDay(self._columns.organisation_id[number], *days[number]) for number in self._late if number in days
        }

    def take_ids(self, taken: "TakenIds", seen_before: Mapping[bytes, int]) -> None:
        """Take the ids of the events.

        Events whose id was seen before, in this batch or an earlier one, get the verdict "duplicate".
        """
        positions = self._columns.position
        hours = list(chain.from_iterable(repeat(hour, count) for (_, hour), count in self._receipts))
        by_key = cast("dict[bytes, int]", dict(zip(self._keys, self._contents, strict=True)))
        are_distinct = len(by_key) == len(self._keys) and None not in by_key
        if are_distinct and taken.contents.keys().isdisjoint(by_key) and by_key.keys().isdisjoint(seen_before):
            taken.contents |= by_key
            taken.positions += positions
            taken.received_hours += hours
            return
        for number, (key, content) in enumerate(zip(self._keys, self._contents, strict=True)):
            if key is None:
                continue
            if key in taken.contents:
                self._mark_duplicate(number, taken.contents[key])
                taken.repeats.append(EventKey(key, content, taken.partition, positions[number], hours[number]))
                continue
            taken.contents[key] = seen_before.get(key, content)
            taken.positions.append(positions[number])
            taken.received_hours.append(hours[number])
            if key in seen_before:
                self._mark_duplicate(number, seen_before[key])

    def take_values(self, values: dict[tuple[UsagePlace, str], int]) -> None:
        """Add what metered events leave for aggregations that need more than units; it is 1 for each event and meter.

        From then on what meters made are units alone.
        """
        if not any(schema is not None and schema.keeps_values for schema in set(self._schemas)):
            return
        columns = self._columns
        for number, (schema, made) in enumerate(zip(self._schemas, self._made, strict=True)):
            key, account_id, event_time = self._keys[number], columns.account_id[number], columns.event_time[number]
            if schema is None or not schema.keeps_values or not made or key is None or account_id is None:
                continue
            left = schema.values_of(made, event_time=event_time, event_key=key)
            self._values[number] = left
            self._made[number] = tuple(None if each is None else units_of(each) for each in made)
            if columns.status[number] == METERED:
                hour = event_time // MICROSECONDS_PER_HOUR
                for meter_id, value in zip(schema.meter_ids, left, strict=True):
                    if value is not None:
                        at = (columns.organisation_id[number], account_id, meter_id, hour), value
                        values[at] = values.get(at, 0) + 1

    @property
    def _units(self) -> list[Units]:
        """What meters made, once `take_values` has left nothing else."""
        return cast("list[Units]", self._made)

    def group(self, groups: dict[Receipt, dict[Group, list[Units]]]) -> None:
        """Add the units of the events to those with which they share the rows of usage and counts."""
        columns = self._columns
        keys = zip(
            [known or sent for known, sent in zip(columns.account_id, columns.account_reference, strict=True)],
            [event_time // MICROSECONDS_PER_HOUR for event_time in columns.event_time],
            columns.schema_name,
            self._schemas,
            columns.status,
            strict=True,
        )
        events = zip(keys, self._units, strict=True)
        for receipt, count in self._receipts:
            of_receipt = groups[receipt]
            for key, units in islice(events, count):
                of_receipt[key].append(units)

    def table(self, partition: int, metered_at: int) -> Table:
        """The rows of the events."""
        columns = self._columns
        [*schemas] = set(self._schemas)
        if len(schemas) == 1 and schemas[0] is not None and all(self._made):
            columns.repeat_meters(schemas[0].meter_ids, schemas[0].meter_versions)
            flat = list(chain.from_iterable(self._units))
        else:
            flat = self._flat_units()
        columns.schema_version = [schema.schema.version if schema else None for schema in self._schemas]
        columns.units = _texts(flat)
        if self._values:
            columns.value_offset = [0]
            for number in range(len(self._schemas)):
                columns.meter_value += self._values.get(number, ())
                columns.value_offset.append(len(columns.meter_value))
        if self._enrichments:
            columns.enrichment = [self._enrichments.get(number) for number in range(len(self._schemas))]
        return columns.table(partition=partition, metered_at=metered_at)

    def _judge(self, record: LoggedRecord) -> None:
        parts, texts, events = decoded(record)
        if not events:  # a correction that only takes events back
            return
        organisation_id, count = record.organisation_id, len(events)
        columns = self._columns
        columns.position += [record.position] * count
        columns.index += range(count)
        columns.organisation_id += [organisation_id] * count
        columns.received_at += [record.received_at] * count
        columns.schema_name += [event.schema_name for event in events]
        columns.account_reference += [event.account_id for event in events]
        columns.event_time += [microseconds_since_1970(event.timestamp) for event in events]
        columns.event += texts
        self._receipts.append(((organisation_id, record.received_at // MICROSECONDS_PER_HOUR), count))
        self._contents += map(zlib.crc32, parts)
        schemas = self._definitions.schemas(organisation_id, set(columns.schema_name[-count:]))
        accounts = self._definitions.accounts(organisation_id, set(columns.account_reference[-count:]))
        made = self._made_alike(events, record.received_at, schemas, accounts)
        if made is not None:
            self._take_alike(organisation_id, events, made, schemas)
        else:
            self._judge_each(record, events, schemas, accounts)

    def _made_alike(
        self,
        events: Sequence[LoggedEvent],
        received_at: int,
        schemas: Mapping[str, SchemaProgram | None],
        accounts: Mapping[str, AccountCandidates],
    ) -> list[tuple[Made | None, ...]] | None:
        """What the meters make of a request's events, if nothing speaks against any of them and all are of one schema.

        Most requests are so. Of the others, None: their events are judged one by one, which finds what speaks against.
        """
        [*programs] = schemas.values()
        if self._correction is not None or BOOKED_USAGE in schemas:
            return None
        if len(programs) > 1 or programs[0] is None or programs[0].units_of_all is None:
            return None
        columns = self._columns
        days = [event_time // MICROSECONDS_PER_DAY for event_time in columns.event_time[-len(events) :]]
        for reference, day in set(zip(columns.account_reference[-len(events) :], days, strict=True)):
            account = accounts[reference].with_id
            if account is None:
                return None
            deadline = account.deadlines[day]
            if self._plan_required if deadline is None else received_at > deadline:
                return None
        if None in [event.id for event in events]:
            return None
        return programs[0].units_of_all(events)

    def _take_alike(
        self,
        organisation_id: str,
        events: Sequence[LoggedEvent],
        made: list[tuple[Made | None, ...]],
        schemas: Mapping[str, SchemaProgram | None],
    ) -> None:
        """Take events against which nothing speaks, with what the meters made of them."""
        columns, count = self._columns, len(events)
        event_ids = [event.id for event in events]
        self._keys += event_keys(organisation_id, event_ids)
        columns.event_id += event_ids
        columns.status_description += [None] * count
        columns.account_id += columns.account_reference[-count:]
        [program] = schemas.values()
        assert program is not None, "without a schema nothing is made of an event"
        nothing = (None,) * len(program.meter_ids)
        if nothing in made:
            columns.status += [NO_MATCHING_METERS if each == nothing else METERED for each in made]
        else:
            columns.status += [METERED] * count
        self._schemas += [program] * count
        self._made += made

    def _judge_each(
        self,
        record: LoggedRecord,
        events: Sequence[LoggedEvent],
        schemas: Mapping[str, SchemaProgram | None],
        accounts: Mapping[str, AccountCandidates],
    ) -> None:
        """Give each event of a record its verdict."""
        organisation_id, count, columns = record.organisation_id, len(events), self._columns
        booked = self._booked(organisation_id, events) if BOOKED_USAGE in schemas else {}
        receipts = repeat(record.received_at, count) if self._correction is None else self._first_receipts(count)
        event_ids: list[str | None] = []
        verdicts: list[Verdict] = []
        numbered = enumerate(zip(events, columns.event_time[-count:], receipts, strict=True), start=len(self._made))
        for number, (event, event_time, received_at) in numbered:
            schema = schemas[event.schema_name]
            if booked and event.schema_name == BOOKED_USAGE:
                schema = booked[event.dimensions.get(BOOKED_METER, "")]
            quantities = {attribute.name: attribute.value for attribute in event.attributes}
            event_id = event.id or built_id(schema, event, quantities)
            event_ids.append(event_id)
            if event_id is None:
                verdicts.append(failed(IngestionStatus.NO_EVENT_ID, _NO_EVENT_ID))
            else:
                account = accounts[event.account_id]
                verdicts.append(self._verdict(number, event, event_time, quantities, schema, account, received_at))
        self._keys += event_keys(organisation_id, event_ids)
        columns.event_id += event_ids
        statuses, descriptions, account_ids, programs, made = zip(*verdicts, strict=True)
        columns.status += statuses
        columns.status_description += descriptions
        columns.account_id += account_ids
        self._schemas += programs
        self._made += made

    def _flat_units(self) -> list[Decimal | None]:
        """The units of all events in one list, with what the rows need to find each event's own."""
        columns = self._columns
        units_of_events: list[Units] = []
        for schema, units in zip(self._schemas, self._units, strict=True):
            if units and schema is not None:
                columns.meter_id += schema.meter_ids
                columns.meter_version += schema.meter_versions
                units_of_events.append(units)
            columns.meter_offset.append(len(columns.meter_id))
        return list(chain.from_iterable(units_of_events))

    def _booked(self, organisation_id: str, events: Sequence[LoggedEvent]) -> dict[str, SchemaProgram]:
        """What books the events of the internal schema, by the meter that they name."""
        meter_ids = {each.dimensions.get(BOOKED_METER, "") for each in events if each.schema_name == BOOKED_USAGE}
        return self._definitions.booked(organisation_id, meter_ids)

    def _first_receipts(self, count: int) -> Sequence[int]:
        """The receipts that the grace of events that are ingested again is judged by: those of the first time."""
        assert self._correction is not None, "events are ingested again by a correction"
        return [target.grace_received_at for target in self._correction.targets[:count]]

    def _verdict(
        self,
        number: int,
        event: LoggedEvent,
        event_time: int,
        quantities: Mapping[str, str],
        schema: SchemaProgram | None,
        candidates: AccountCandidates,
        received_at: int,
    ) -> Verdict:
        """Judge one event that has an id; the order of the checks is part of the interface."""
        if schema is None:
            return failed(IngestionStatus.SCHEMA_NOT_DEFINED, f"no active event schema is named {event.schema_name!r}")
        try:
            schema.required_attributes(quantities)
            schema.required_dimensions(event.dimensions)
        except KeyError:
            return failed(IngestionStatus.FAILED, missing_field(schema, event, quantities), schema=schema)
        account = candidates.with_id or candidates.at(event_time)
        if account is None:
            description = f"no account has the id or alias {event.account_id!r} at the time of the event"
            return failed(IngestionStatus.ACCOUNT_NOT_FOUND, description, schema=schema)
        account_id = account.account_id
        dimensions: Mapping[str, str] = event.dimensions
        if schema.enrichment is not None:
            try:
                quantities, dimensions, trace = schema.enrichment.enriched(account.account, quantities, dimensions)
            except EnrichmentFailed as error:
                return failed(IngestionStatus.ENRICHMENT_FAILED, error.message, account_id, schema)
            self._enrichments[number] = trace
        deadline = account.deadlines[event_time // MICROSECONDS_PER_DAY]
        lateness = None
        if deadline is not None and received_at > deadline:
            # The organisation of the record that is judged is the last one in the column.
            if received_at > deadline + self._definitions.late_usage(self._columns.organisation_id[-1]):
                description = "received after the grace period of the billing cycle it belongs to"
                return failed(IngestionStatus.PAST_GRACE_PERIOD, description, account_id, schema)
            lateness = _LATE
            self._late.append(number)
        try:
            made = schema.units_of(quantities, dimensions)
        except MeterUnavailable as error:
            return failed(IngestionStatus.FAILED, error.message, account_id, schema)
        except TallybookError as error:
            return failed(IngestionStatus.UNITS_INVALID, error.message, account_id, schema)
        for each in made:
            if each is not None:
                break
        else:
            return NO_MATCHING_METERS, None, account_id, schema, made
        if deadline is None and self._plan_required:
            description = "the account has no price plan on the day of the event, and one is required"
            return NOT_METERED, description, account_id, schema, made
        return METERED, lateness, account_id, schema, made

    def _mark_duplicate(self, number: int, first_content: int) -> None:
        same = "the same text" if self._contents[number] == first_content else "different text"
        self._columns.status[number] = DUPLICATE
        self._columns.status_description[number] = (
            f"an event with this id was accepted before, with {same}; only the first one counts"
        )
        self._made[number] = ()


def _texts(units: Sequence[Decimal | None]) -> list[str | None]:
    """Decimal text without exponents; every digit is kept."""
    texts = [None if each is None else str(each) for each in units]
    if "E" in "".join(filter(None, texts)):
        return [None if each is None else format(each, "f") for each in units]
    return texts
