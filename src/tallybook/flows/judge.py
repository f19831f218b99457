"""The verdict on every accepted event: decode logged bodies, run the checks in order, compute the units of each meter.

The unit of work is a micro-batch, held column by column: building an object for every event would cost as much as
judging it. What a batch adds to usage, counts and rows is computed from the columns once it is known which ids were
seen before.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple, Protocol

import msgspec
from arro3.core import Table

from tallybook.core.decimals import EXACT, ZERO, plain_text
from tallybook.core.errors import Corrupt, TallybookError
from tallybook.core.event import Event, decode_event, logged_parts
from tallybook.core.event_schema import event_id_for
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import MICROSECONDS_PER_HOUR, microseconds_since_1970
from tallybook.flows.definitions import AccountCandidates, Definitions, SchemaProgram
from tallybook.storage.event_rows import EventColumns, encode_block
from tallybook.storage.interfaces import EventLog, LoggedRecord
from tallybook.storage.usage import BatchContents, CountDelta, EventKey, MeteredBatch, UsageDelta, UsagePlace

DESCRIPTION_CHARACTERS_MAX = 250  # the interface's `statusDescription` allows no more

# Plain text, not members of the enum: they are hashed for every event, and an enum's hash is slow.
METERED = IngestionStatus.METERED.value
NOT_METERED = IngestionStatus.NOT_METERED.value
NO_MATCHING_METERS = IngestionStatus.NO_MATCHING_METERS.value
DUPLICATE = IngestionStatus.DUPLICATE.value

PIECE_EVENTS = 4000  # at 40,000 the same work took half as long again
_NO_EVENT_ID = "the event has no id, and its schema has no template that makes one"

CountPlace = tuple[str, str, int, int, str, str]
Units = tuple[Decimal | None, ...]
Verdict = tuple[str, str | None, str | None, SchemaProgram | None, Units]
"""Status, its description, the account's id, the schema, and units per meter of the schema."""

GroupKey = tuple[str, str, int, int, str, SchemaProgram | None, str]
"""Organisation, account (as sent where unknown), hour of event, hour of receipt, schema name, schema, status."""


class Judging(Protocol):
    """Judges the next micro-batch, perhaps while the caller commits the one before."""

    def start(self, after: int) -> None:
        """Begin with the records behind a position. What was begun before and not asked for is dropped."""

    def result(self) -> MeteredBatch | None:
        """What was begun last, once; None when nothing was behind the position. Raises `Corrupt`, `Busy`."""


class Judge:
    """Judges micro-batches of one partition of the log; a `Judging` that works when it is asked for the result."""

    def __init__(
        self,
        log: EventLog,
        definitions: Definitions,
        *,
        partition: int,
        batch_records_max: int,
        batch_bytes_max: int,
        plan_required: bool,
        clock: Callable[[], int],
    ) -> None:
        self._log = log
        self._definitions = definitions
        self.partition = partition
        self._batch_records_max = batch_records_max
        self._batch_bytes_max = batch_bytes_max
        self._plan_required = plan_required
        self._clock = clock
        self._after = 0

    def start(self, after: int) -> None:
        self._after = after

    def result(self) -> MeteredBatch | None:
        records = self._records(self._after)
        if not records:
            return None
        version = self._definitions.refresh()
        metered_at = self._clock()
        judged = self._judged(records, {}, metered_at)
        return MeteredBatch(
            partition=self.partition,
            after=self._after,
            through=records[-1].position,
            definitions_version=version,
            metered_at=metered_at,
            keys=judged.keys,
            repeats=judged.repeats,
            contents=judged.contents,
        )

    def judge_again(self, batch: MeteredBatch, seen_before: Mapping[bytes, int]) -> BatchContents:
        """What the batch adds, given the keys that were there before, each with its first event's content checksum.

        Only while no definition can change, that is, inside the transaction that commits the batch.
        """
        version = self._definitions.refresh()
        assert version == batch.definitions_version, "the commit has compared the versions"
        records = [record for record in self._records(batch.after) if record.position <= batch.through]
        return self._judged(records, seen_before, batch.metered_at).contents

    def _records(self, after: int) -> Sequence[LoggedRecord]:
        return self._log.read(after=after, records_max=self._batch_records_max, bytes_max=self._batch_bytes_max)

    def _judged(self, records: Sequence[LoggedRecord], seen_before: Mapping[bytes, int], metered_at: int) -> "_Judged":
        keys: list[EventKey] = []
        repeats: list[EventKey] = []
        first_contents: dict[bytes, int] = {}
        usage: dict[UsagePlace, tuple[Decimal, int]] = {}
        counts: dict[CountPlace, int] = {}
        tables = []
        for some in _pieces(records):
            piece = _Piece(some, self._definitions, plan_required=self._plan_required)
            for is_first, key in piece.take_keys(self.partition, first_contents, seen_before):
                (keys if is_first else repeats).append(key)
            groups = piece.grouped()
            _add_usage(usage, groups)
            _add_counts(counts, groups)
            tables.append(piece.table(self.partition, metered_at))
        contents = BatchContents(
            usage=[UsageDelta(*place, plain_text(total), count) for place, (total, count) in usage.items()],
            counts=[CountDelta(*place, count) for place, count in counts.items()],
            rows=encode_block(tables),
            row_count=sum(table.num_rows for table in tables),
        )
        return _Judged(keys, repeats, contents)


class _Judged(NamedTuple):
    keys: list[EventKey]
    repeats: list[EventKey]
    contents: BatchContents


class _Piece:
    """Events of a few log records, column by column; few enough that they stay in the processor's cache."""

    def __init__(self, records: Sequence[LoggedRecord], definitions: Definitions, *, plan_required: bool) -> None:
        self._plan_required = plan_required
        self._definitions = definitions
        self._columns = EventColumns()
        self._received_hours: list[int] = []
        self._schemas: list[SchemaProgram | None] = []
        self._units: list[Units] = []
        self._contents: list[int] = []
        self._keys: list[bytes | None] = []
        for record in records:
            self._judge(record)

    def take_keys(
        self, partition: int, first_contents: dict[bytes, int], seen_before: Mapping[bytes, int]
    ) -> Iterator[tuple[bool, EventKey]]:
        """The key of each event that has an id, and whether it is the batch's first with that id.

        Events whose id was seen before, in this batch or an earlier one, get the verdict "duplicate".
        """
        rows = zip(self._keys, self._contents, self._columns.position, self._received_hours, strict=True)
        for place, (key, content, position, hour) in enumerate(rows):
            if key is None:
                continue
            is_first = key not in first_contents
            if not is_first:
                self._mark_duplicate(place, first_contents[key])
            else:
                first_contents[key] = seen_before.get(key, content)
                if key in seen_before:
                    self._mark_duplicate(place, seen_before[key])
            yield is_first, EventKey(key, content, partition, position, hour)

    def grouped(self) -> dict[GroupKey, list[Units]]:
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

    def table(self, partition: int, metered_at: int) -> Table:
        """The rows of the events."""
        columns = self._columns
        columns.schema_version = [schema.schema.version if schema else None for schema in self._schemas]
        flat: list[Decimal | None] = []
        for schema, units in zip(self._schemas, self._units, strict=True):
            if units and schema is not None:
                columns.meter_id += schema.meter_ids
                columns.meter_version += schema.meter_versions
                flat += units
            columns.meter_offset.append(len(flat))
        columns.units = _texts(flat)
        return columns.table(partition=partition, metered_at=metered_at)

    def _judge(self, record: LoggedRecord) -> None:
        parts, events = _decoded(record)
        organisation_id, count = record.organisation_id, len(events)
        columns = self._columns
        columns.position += [record.position] * count
        columns.index += range(count)
        columns.organisation_id += [organisation_id] * count
        columns.received_at += [record.received_at] * count
        columns.schema_name += [event.schema_name for event in events]
        columns.account_reference += [event.account_id for event in events]
        columns.event_time += [microseconds_since_1970(event.timestamp) for event in events]
        columns.event += [str(part, "utf-8") for part in parts]
        self._received_hours += [record.received_at // MICROSECONDS_PER_HOUR] * count
        self._contents += [zlib.crc32(part) for part in parts]
        schemas = self._definitions.schemas(organisation_id, {event.schema_name for event in events})
        accounts = self._definitions.accounts(organisation_id, {event.account_id for event in events})
        key_source = _key_source(organisation_id)
        for event, event_time in zip(events, columns.event_time[-count:], strict=True):
            schema = schemas[event.schema_name]
            quantities = {attribute.name: attribute.value for attribute in event.attributes}
            event_id = event.id or _built_id(schema, event, quantities)
            if event_id is None:
                self._keys.append(None)
                verdict = _failed(IngestionStatus.NO_EVENT_ID, _NO_EVENT_ID)
            else:
                self._keys.append(_event_key(key_source, event_id))
                account = accounts[event.account_id]
                verdict = self._verdict(event, event_time, quantities, schema, account, record.received_at)
            status, description, account_id, schema, units = verdict
            columns.event_id.append(event_id)
            columns.status.append(status)
            columns.status_description.append(description)
            columns.account_id.append(account_id)
            self._schemas.append(schema)
            self._units.append(units)

    def _verdict(
        self,
        event: Event,
        event_time: int,
        quantities: Mapping[str, str],
        schema: SchemaProgram | None,
        candidates: AccountCandidates,
        received_at: int,
    ) -> Verdict:
        """Judge one event that has an id; the order of the checks is part of the interface."""
        if schema is None:
            return _failed(IngestionStatus.SCHEMA_NOT_DEFINED, f"no active event schema is named {event.schema_name!r}")
        if not (schema.attribute_names <= quantities.keys() and schema.dimension_names <= event.dimensions.keys()):
            return _failed(IngestionStatus.FAILED, _missing_field(schema, event, quantities), schema=schema)
        account = candidates.at(event_time)
        if account is None:
            description = f"no account has the id or alias {event.account_id!r} at the time of the event"
            return _failed(IngestionStatus.ACCOUNT_NOT_FOUND, description, schema=schema)
        account_id = account.account_id
        deadline = account.deadline(event_time)
        if deadline is not None and received_at > deadline:
            description = "received after the grace period of the billing cycle it belongs to"
            return _failed(IngestionStatus.PAST_GRACE_PERIOD, description, account_id, schema)
        try:
            units = schema.units_of(quantities, event.dimensions)
        except TallybookError as error:
            return _failed(IngestionStatus.UNITS_INVALID, error.message, account_id, schema)
        for each in units:
            if each is not None:
                break
        else:
            return NO_MATCHING_METERS, None, account_id, schema, units
        if deadline is None and self._plan_required:
            description = "the account has no price plan on the day of the event, and one is required"
            return NOT_METERED, description, account_id, schema, units
        return METERED, None, account_id, schema, units

    def _mark_duplicate(self, place: int, first_content: int) -> None:
        same = "the same text" if self._contents[place] == first_content else "different text"
        self._columns.status[place] = DUPLICATE
        self._columns.status_description[place] = (
            f"an event with this id was accepted before, with {same}; only the first one counts"
        )
        self._units[place] = ()


def _pieces(records: Sequence[LoggedRecord]) -> Iterator[list[LoggedRecord]]:
    piece: list[LoggedRecord] = []
    size = 0
    for record in records:
        piece.append(record)
        size += record.event_count
        if size >= PIECE_EVENTS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


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


def _add_usage(usage: dict[UsagePlace, tuple[Decimal, int]], groups: Mapping[GroupKey, Sequence[Units]]) -> None:
    """Add units by organisation, account, meter and hour of event time."""
    with localcontext(EXACT):  # for `sum`, which takes no context; it raises where a digit would be lost
        for (organisation_id, account_id, event_hour, _, _, schema, status), rows in groups.items():
            if status != METERED:
                continue
            assert schema is not None, "a metered event has a schema"
            for meter_id, column in zip(schema.meter_ids, zip(*rows, strict=True), strict=True):
                matched = [units for units in column if units is not None]
                if matched:
                    place = (organisation_id, account_id, meter_id, event_hour)
                    total, count = usage.get(place, (ZERO, 0))
                    usage[place] = (sum(matched, total), count + len(matched))


def _add_counts(counts: dict[CountPlace, int], groups: Mapping[GroupKey, Sequence[Units]]) -> None:
    """Count events by organisation, account, hour of event time, hour of receipt, schema and status."""
    for (organisation_id, account_id, event_hour, received_hour, schema_name, _, status), rows in groups.items():
        place = (organisation_id, account_id, event_hour, received_hour, schema_name, status)
        counts[place] = counts.get(place, 0) + len(rows)


def _texts(units: Sequence[Decimal | None]) -> list[str | None]:
    """Decimal text without exponents; every digit is kept."""
    texts = [None if each is None else str(each) for each in units]
    if "E" in "".join(filter(None, texts)):
        return [None if each is None else format(each, "f") for each in units]
    return texts
