"""The verdict on every accepted event: decode logged bodies, run the checks in order, compute the units of each meter.

The unit of work is a micro-batch, held column by column: building an object for every event would cost as much as judging
it. What a batch adds to usage, counts and rows is computed from the columns once it is known which ids were seen before.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext

import msgspec

from tallybook.core.decimals import EXACT, ZERO, plain_text
from tallybook.core.errors import Corrupt, TallybookError
from tallybook.core.event import Event, decode_event, logged_parts
from tallybook.core.event_schema import event_id_for
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import MICROSECONDS_PER_HOUR, microseconds_since_1970
from tallybook.flows.definitions import Definitions, SchemaProgram
from tallybook.storage.event_rows import EventColumns, encode_block
from tallybook.storage.interfaces import LoggedRecord
from tallybook.storage.usage import BatchContents, CountDelta, EventKey, UsageDelta

DESCRIPTION_CHARACTERS_MAX = 250  # the interface's `statusDescription` allows no more

# Plain text, not members of the enum: they are hashed for every event, and an enum's hash is slow.
METERED = IngestionStatus.METERED.value
NOT_METERED = IngestionStatus.NOT_METERED.value
NO_MATCHING_METERS = IngestionStatus.NO_MATCHING_METERS.value
DUPLICATE = IngestionStatus.DUPLICATE.value

Units = tuple[Decimal | None, ...]
Verdict = tuple[str, str | None, str | None, SchemaProgram | None, Units]
"""Status, its description, the account's id, the schema, and units per meter of the schema."""

GroupKey = tuple[str, str, int, int, str, SchemaProgram | None, str]
"""Organisation, account (as sent where unknown), hour of event, hour of receipt, schema name, schema, status."""


class JudgedBatch:
    """The events of some log records of one partition with their verdicts; a `MeteredBatch`."""

    def __init__(
        self, records: Sequence[LoggedRecord], definitions: Definitions, *, partition: int, plan_required: bool
    ) -> None:
        """Raises `Corrupt` when a record does not hold what was accepted."""
        self.partition = partition
        self.through = records[-1].position
        self.event_total = 0
        self._plan_required = plan_required
        self._definitions = definitions
        self._columns = EventColumns()
        self._received_hours: list[int] = []
        self._schemas: list[SchemaProgram | None] = []
        self._units: list[Units] = []
        self._contents: list[int] = []
        self._event_keys: list[bytes | None] = []
        for record in records:
            self._judge(record)
        self.keys, self.repeats, self._duplicates = self._keys()

    def contents(self, duplicates: Mapping[bytes, int], *, metered_at: int) -> BatchContents:
        """What the batch adds, given the keys that were there before, each with its first event's content checksum."""
        self._mark_duplicates(duplicates)
        columns = self._columns
        groups = self._grouped()
        self._lay_out_meters()
        return BatchContents(
            usage=_usage(groups),
            counts=_counts(groups),
            rows=encode_block(columns.table(partition=self.partition, metered_at=metered_at)),
            row_count=self.event_total,
        )

    # ---- judging -------------------------------------------------------------------------------------------------

    def _judge(self, record: LoggedRecord) -> None:
        parts, events = _decoded(record)
        count = len(events)
        columns = self._columns
        columns.position += [record.position] * count
        columns.index += range(count)
        columns.organisation_id += [record.organisation_id] * count
        columns.received_at += [record.received_at] * count
        columns.schema_name += [event.schema_name for event in events]
        columns.account_reference += [event.account_id for event in events]
        columns.event += [str(part, "utf-8") for part in parts]
        self._received_hours += [record.received_at // MICROSECONDS_PER_HOUR] * count
        self._contents += [zlib.crc32(part) for part in parts]
        self._definitions.load(
            record.organisation_id,
            schema_names={event.schema_name for event in events},
            references={event.account_id for event in events},
        )
        key_source = _key_source(record.organisation_id)
        for event in events:
            self._judge_event(event, record, key_source)
        self.event_total += count

    def _judge_event(self, event: Event, record: LoggedRecord, key_source: "hashlib.blake2b") -> None:
        schema = self._definitions.schema(record.organisation_id, event.schema_name)
        quantities = {attribute.name: attribute.value for attribute in event.attributes}
        event_time = microseconds_since_1970(event.timestamp)
        event_id = event.id or _built_id(schema, event, quantities)
        if event_id is None:
            key, verdict = None, _no_id()
        else:
            key = _event_key(key_source, event_id)
            verdict = self._verdict(event, event_time, quantities, schema, record)
        status, description, account_id, schema, units = verdict
        columns = self._columns
        columns.event_id.append(event_id)
        columns.event_time.append(event_time)
        columns.status.append(status)
        columns.status_description.append(description)
        columns.account_id.append(account_id)
        self._event_keys.append(key)
        self._schemas.append(schema)
        self._units.append(units)

    def _verdict(
        self,
        event: Event,
        event_time: int,
        quantities: Mapping[str, str],
        schema: SchemaProgram | None,
        record: LoggedRecord,
    ) -> Verdict:
        """Judge one event that has an id; the order of the checks is part of the interface."""
        if schema is None:
            return _failed(IngestionStatus.SCHEMA_NOT_DEFINED, f"no active event schema is named {event.schema_name!r}")
        if not (schema.attribute_names <= quantities.keys() and schema.dimension_names <= event.dimensions.keys()):
            return _failed(IngestionStatus.FAILED, _missing_field(schema, event, quantities), schema=schema)
        account = self._definitions.account(record.organisation_id, event.account_id, event_time)
        if account is None:
            description = f"no account has the id or alias {event.account_id!r} at the time of the event"
            return _failed(IngestionStatus.ACCOUNT_NOT_FOUND, description, schema=schema)
        account_id = account.account_id
        deadline = account.deadline(event_time)
        if deadline is not None and record.received_at > deadline:
            description = "received after the grace period of the billing cycle it belongs to"
            return _failed(IngestionStatus.PAST_GRACE_PERIOD, description, account_id, schema)
        try:
            units = schema.units_of(quantities, event.dimensions)
        except TallybookError as error:
            return _failed(IngestionStatus.UNITS_INVALID, error.message, account_id, schema)
        if units == schema.no_units:
            return NO_MATCHING_METERS, None, account_id, schema, units
        if deadline is None and self._plan_required:
            description = "the account has no price plan on the day of the event, and one is required"
            return NOT_METERED, description, account_id, schema, units
        return METERED, None, account_id, schema, units

    # ---- ids seen before -----------------------------------------------------------------------------------------

    def _keys(self) -> tuple[list[EventKey], list[EventKey], dict[int, int]]:
        """One key for each id; the keys of ids that came again in the batch; and, by place, the first one's content."""
        columns = self._columns
        rows = zip(self._event_keys, self._contents, columns.position, self._received_hours, strict=True)
        first_place: dict[bytes, int] = {}
        repeats: list[EventKey] = []
        again: dict[int, int] = {}
        keys: list[EventKey] = []
        for place, (key, content, position, hour) in enumerate(rows):
            if key is None:
                continue
            first = first_place.setdefault(key, place)
            if first == place:
                keys.append(EventKey(key, content, self.partition, position, hour))
            else:
                again[place] = self._contents[first]
                repeats.append(EventKey(key, content, self.partition, position, hour))
        return keys, repeats, again

    def _mark_duplicates(self, seen_before: Mapping[bytes, int]) -> None:
        """Give the verdict "duplicate" to all but the first event of an id."""
        for place, key in enumerate(self._event_keys) if seen_before else ():
            if key is not None and key in seen_before:
                self._duplicates[place] = seen_before[key]
        columns = self._columns
        for place, first_content in self._duplicates.items():
            same = "the same content" if self._contents[place] == first_content else "different content"
            columns.status[place] = DUPLICATE
            columns.status_description[place] = (
                f"an event with this id was accepted before, with {same}; only the first one counts"
            )
            self._units[place] = ()

    # ---- what the batch adds -------------------------------------------------------------------------------------

    def _grouped(self) -> dict[GroupKey, list[Units]]:
        """The units of the events, by everything that rows of usage and counts tell apart."""
        columns = self._columns
        groups: dict[GroupKey, list[Units]] = {}
        keys = zip(
            columns.organisation_id,
            [known or sent for known, sent in zip(columns.account_id, columns.account_reference, strict=True)],
            [event_time // MICROSECONDS_PER_HOUR for event_time in columns.event_time],
            self._received_hours,
            columns.schema_name,
            self._schemas,
            columns.status,
            strict=True,
        )
        for key, units in zip(keys, self._units, strict=True):
            if key in groups:
                groups[key].append(units)
            else:
                groups[key] = [units]
        return groups

    def _lay_out_meters(self) -> None:
        """Fill the columns of schema versions and of units per meter."""
        columns = self._columns
        columns.schema_version = [schema.schema.version if schema else None for schema in self._schemas]
        columns.meter_id, columns.meter_version, columns.meter_offset = [], [], [0]
        offset = 0
        flat: list[Decimal | None] = []
        for schema, units in zip(self._schemas, self._units, strict=True):
            if units and schema is not None:
                columns.meter_id += schema.meter_ids
                columns.meter_version += schema.meter_versions
                flat += units
                offset += len(units)
            columns.meter_offset.append(offset)
        columns.units = _texts(flat)


def event_key_of(organisation_id: str, event_id: str) -> bytes:
    """The 128-bit key under which an organisation's event id is remembered."""
    return _event_key(_key_source(organisation_id), event_id)


def _key_source(organisation_id: str) -> "hashlib.blake2b":
    """A hash that has taken in the organisation; U+0000, which no id holds, keeps the two parts apart."""
    return hashlib.blake2b(organisation_id.encode() + b"\x00", digest_size=16)


def _event_key(source: "hashlib.blake2b", event_id: str) -> bytes:
    state = source.copy()
    state.update(event_id.encode())
    return state.digest()


def _decoded(record: LoggedRecord) -> tuple[list[msgspec.Raw], list[Event]]:
    try:
        parts = logged_parts(record.body, record.format)
        events = [decode_event(part) for part in parts]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"the log record at position {record.position} cannot be read: {error}") from error
    if len(events) != record.event_count:
        raise Corrupt(f"the log record at position {record.position} does not hold {record.event_count} events")
    return parts, events


def _built_id(schema: SchemaProgram | None, event: Event, quantities: Mapping[str, str]) -> str | None:
    if schema is None or schema.schema.event_id_template is None:
        return None
    try:
        return event_id_for(
            schema.schema,
            timestamp=event.timestamp,
            account_id=event.account_id,
            attributes=quantities,
            dimensions=event.dimensions,
        )
    except TallybookError:
        return None


def _no_id() -> Verdict:
    description = "the event has no id, and its schema has no template that makes one"
    return _failed(IngestionStatus.NO_EVENT_ID, description)


def _failed(
    status: IngestionStatus, description: str, account_id: str | None = None, schema: SchemaProgram | None = None
) -> Verdict:
    if len(description) > DESCRIPTION_CHARACTERS_MAX:
        description = description[: DESCRIPTION_CHARACTERS_MAX - 1] + "…"
    return status.value, description, account_id, schema, ()


def _missing_field(schema: SchemaProgram, event: Event, quantities: Mapping[str, str]) -> str:
    missing = [f"attribute {name!r}" for name in sorted(schema.attribute_names - quantities.keys())]
    missing += [f"dimension {name!r}" for name in sorted(schema.dimension_names - event.dimensions.keys())]
    return f"the event lacks what its schema requires: {', '.join(missing)}"


def _usage(groups: Mapping[GroupKey, Sequence[Units]]) -> list[UsageDelta]:
    """Add the units up by account, meter and hour of event time."""
    totals: dict[tuple[str, str, str, int], tuple[Decimal, int]] = {}
    with localcontext(EXACT):  # for `sum`, which takes no context; it raises where a digit would be lost
        for (organisation_id, account_id, event_hour, _, _, schema, status), rows in groups.items():
            if status != METERED:
                continue
            assert schema is not None, "a metered event has a schema"
            for meter_id, column in zip(schema.meter_ids, zip(*rows, strict=True), strict=True):
                matched = [units for units in column if units is not None]
                if matched:
                    place = (organisation_id, account_id, meter_id, event_hour)
                    total, count = totals.get(place, (ZERO, 0))
                    totals[place] = (sum(matched, total), count + len(matched))
    return [UsageDelta(*place, plain_text(total), count) for place, (total, count) in totals.items()]


def _counts(groups: Mapping[GroupKey, Sequence[Units]]) -> list[CountDelta]:
    """Count the events by account, hours, schema and status."""
    counts: dict[tuple[str, str, int, int, str, str], int] = {}
    for (organisation_id, account_id, event_hour, received_hour, schema_name, _, status), rows in groups.items():
        place = (organisation_id, account_id, event_hour, received_hour, schema_name, status)
        counts[place] = counts.get(place, 0) + len(rows)
    return [CountDelta(*place, count) for place, count in counts.items()]


def _texts(units: Sequence[Decimal | None]) -> list[str | None]:
    """Decimal text without exponents; every digit is kept."""
    texts = [None if each is None else str(each) for each in units]
    if "E" in "".join(filter(None, texts)):
        return [None if each is None else format(each, "f") for each in units]
    return texts
