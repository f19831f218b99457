"""From logged bodies to committed usage: decode, judge and meter every accepted event, exactly once.

A micro-batch is what is waiting, up to a bound. It is metered outside the database transaction with the definitions of one
version; the commit refuses it when a definition has changed meanwhile or another worker was faster, and then it is metered
again. So a crash, a second worker or a worker that slept changes nothing.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

import msgspec

from tallybook.core.decimals import EXACT, ZERO, plain_text
from tallybook.core.errors import Corrupt, TallybookError
from tallybook.core.event import Event, decode_event, logged_parts
from tallybook.core.event_schema import event_id_for
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.instant import MICROSECONDS_PER_HOUR, instant_at, microseconds_since_1970
from tallybook.flows.definitions import Definitions, SchemaProgram
from tallybook.storage.event_rows import EventColumns, encode_block
from tallybook.storage.interfaces import EventLog, LoggedRecord
from tallybook.storage.usage import BatchContents, CountDelta, EventKey, Outcome, UsageDelta, UsageStore

DESCRIPTION_CHARACTERS_MAX = 250  # the interface's `statusDescription` allows no more

METERED = IngestionStatus.METERED.value
NOT_METERED = IngestionStatus.NOT_METERED.value
NO_MATCHING_METERS = IngestionStatus.NO_MATCHING_METERS.value

Units = tuple[Decimal | None, ...]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of one event, before it is known whether its id was seen in an earlier batch.

    `status` is the plain text of an `IngestionStatus`: it is hashed for every event, and an enum's hash is slow.
    """

    status: str
    description: str | None = None
    account_id: str | None = None
    schema: SchemaProgram | None = None
    units: Units = ()


class JudgedEvent(msgspec.Struct, frozen=True, gc=False):
    """One accepted event of a micro-batch with its verdict. Instants are microseconds since 1970 UTC."""

    record: LoggedRecord
    index: int
    key: bytes | None
    content: int
    event_id: str | None
    schema_name: str
    account_reference: str
    event_time: int
    text: str
    verdict: Verdict


class MicroBatch:
    """Judged events of one partition, ready to be committed; a `MeteredBatch`."""

    def __init__(
        self, events: Sequence[JudgedEvent], *, partition: int, after: int, through: int, version: int, metered_at: int
    ) -> None:
        self.partition = partition
        self.after = after
        self.through = through
        self.definitions_version = version
        self.metered_at = metered_at
        first_of: dict[bytes, JudgedEvent] = {}
        repeats: list[EventKey] = []
        self._events: list[JudgedEvent] = []
        for event in events:
            first = event if event.key is None else first_of.setdefault(event.key, event)
            if first is not event:
                repeats.append(self._key(event))
                event = _as_duplicate(event, first.content)
            self._events.append(event)
        self.keys: Sequence[EventKey] = [self._key(event) for event in first_of.values()]
        self.repeats: Sequence[EventKey] = repeats

    def contents(self, duplicates: Mapping[bytes, int]) -> BatchContents:
        events = self._events
        if duplicates:
            events = [
                _as_duplicate(event, duplicates[event.key]) if event.key and event.key in duplicates else event
                for event in events
            ]
        groups = _grouped(events)
        return BatchContents(
            usage=_usage(groups),
            counts=_counts(groups),
            rows=encode_block(_columns(events).table(partition=self.partition, metered_at=self.metered_at)),
            row_count=len(events),
        )

    def _key(self, event: JudgedEvent) -> EventKey:
        assert event.key is not None, "only an event with an id has a key"
        return EventKey(
            event.key,
            event.content,
            self.partition,
            event.record.position,
            event.record.received_at // MICROSECONDS_PER_HOUR,
        )


class Metering:
    """The metering of one partition of the log."""

    def __init__(
        self,
        log: EventLog,
        usage_store: UsageStore,
        definitions: Definitions,
        *,
        partition: int,
        batch_records_max: int,
        batch_bytes_max: int,
        plan_required: bool,
        clock: Callable[[], int],
    ) -> None:
        self._log = log
        self._usage_store = usage_store
        self._definitions = definitions
        self._partition = partition
        self._batch_records_max = batch_records_max
        self._batch_bytes_max = batch_bytes_max
        self._plan_required = plan_required
        self._clock = clock
        self._position: int | None = None

    def meter_waiting(self) -> int:
        """Meter and commit what is waiting, up to one micro-batch; return how many events that were.

        0 means that nothing was waiting, or that another worker has just metered it.
        """
        if self._position is None:
            self._position = self._usage_store.position(self._partition)
        records = self._log.read(
            after=self._position, records_max=self._batch_records_max, bytes_max=self._batch_bytes_max
        )
        if not records:
            return 0
        after, self._position = self._position, None  # until the commit is known to have succeeded
        while True:
            batch = self._judge(records, after)
            outcome = self._usage_store.commit_batch(batch, contents=batch.contents({}))
            if outcome is not Outcome.STALE:
                break
        if outcome is Outcome.OVERTAKEN:
            return 0
        self._position = batch.through
        return sum(record.event_count for record in records)

    def _judge(self, records: Sequence[LoggedRecord], after: int) -> MicroBatch:
        version = self._definitions.refresh()
        events: list[JudgedEvent] = []
        for record in records:
            events.extend(judge_record(record, self._definitions, plan_required=self._plan_required))
        return MicroBatch(
            events,
            partition=self._partition,
            after=after,
            through=records[-1].position,
            version=version,
            metered_at=self._clock(),
        )


class MeteredThrough:
    """Says through which instant of receipt everything accepted has its verdict; billing waits for it."""

    def __init__(self, log: EventLog, usage_store: UsageStore, *, partition: int) -> None:
        self._log = log
        self._usage_store = usage_store
        self._partition = partition

    def instant(self) -> datetime:
        """Every event received up to this instant is metered. It may say a moment too little, never too much."""
        position = self._usage_store.position(self._partition)
        return instant_at(self._log.received_through(position) - 1)


def judge_record(record: LoggedRecord, definitions: Definitions, *, plan_required: bool) -> list[JudgedEvent]:
    """Decode one logged body and judge each of its events. Raises `Corrupt` when it is not what was accepted."""
    try:
        parts = logged_parts(record.body, record.format)
        decoded = [decode_event(part) for part in parts]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"the log record at position {record.position} cannot be read: {error}") from error
    if len(parts) != record.event_count:
        raise Corrupt(f"the log record at position {record.position} does not hold {record.event_count} events")
    organisation_id = record.organisation_id
    keys = _key_source(organisation_id)
    definitions.load_accounts(organisation_id, {event.account_id for event in decoded})
    judged = []
    for index, event in enumerate(decoded):
        schema = definitions.schema(organisation_id, event.schema_name)
        quantities = {attribute.name: attribute.value for attribute in event.attributes}
        event_id = event.id or _built_id(schema, event, quantities)
        event_time = microseconds_since_1970(event.timestamp)
        verdict = _verdict(event, event_id, event_time, quantities, schema, record, definitions, plan_required)
        judged.append(
            JudgedEvent(
                record,
                index,
                None if event_id is None else event_key(keys, event_id),
                zlib.crc32(parts[index]),
                event_id,
                event.schema_name,
                event.account_id,
                event_time,
                str(parts[index], "utf-8"),
                verdict,
            )
        )
    return judged


def event_key_of(organisation_id: str, event_id: str) -> bytes:
    """The 128-bit key under which an organisation's event id is remembered."""
    return event_key(_key_source(organisation_id), event_id)


def event_key(source: "hashlib.blake2b", event_id: str) -> bytes:
    """The key of an event id, from a hash that has taken in the organisation already."""
    state = source.copy()
    state.update(event_id.encode())
    return state.digest()


def _key_source(organisation_id: str) -> "hashlib.blake2b":
    return hashlib.blake2b(organisation_id.encode() + b"\x00", digest_size=16)


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


def _verdict(
    event: Event,
    event_id: str | None,
    event_time: int,
    quantities: Mapping[str, str],
    schema: SchemaProgram | None,
    record: LoggedRecord,
    definitions: Definitions,
    plan_required: bool,
) -> Verdict:
    """Judge one event; the order of the checks is part of the interface."""
    if event_id is None:
        description = "the event has no id, and its schema has no template that makes one"
        return Verdict(IngestionStatus.NO_EVENT_ID.value, description)
    if schema is None:
        description = f"no active event schema is named {event.schema_name!r}"
        return Verdict(IngestionStatus.SCHEMA_NOT_DEFINED.value, description)
    if not (schema.attribute_names <= quantities.keys() and schema.dimension_names <= event.dimensions.keys()):
        return Verdict(IngestionStatus.FAILED.value, _missing_field(schema, event, quantities), schema=schema)
    account = definitions.account(record.organisation_id, event.account_id, event_time)
    if account is None:
        description = _bounded(f"no account has the id or alias {event.account_id!r} at the time of the event")
        return Verdict(IngestionStatus.ACCOUNT_NOT_FOUND.value, description, schema=schema)
    deadline = account.deadline(event_time)
    if deadline is not None and record.received_at > deadline:
        description = "received after the grace period of the billing cycle it belongs to"
        return Verdict(IngestionStatus.PAST_GRACE_PERIOD.value, description, account.account_id, schema)
    try:
        units = schema.units_of(quantities, event.dimensions)
    except TallybookError as error:
        return Verdict(IngestionStatus.UNITS_INVALID.value, _bounded(error.message), account.account_id, schema)
    if not any([each is not None for each in units]):
        return Verdict(NO_MATCHING_METERS, None, account.account_id, schema, units)
    if plan_required and deadline is None:
        description = "the account has no price plan on the day of the event, and one is required"
        return Verdict(NOT_METERED, description, account.account_id, schema, units)
    return Verdict(METERED, None, account.account_id, schema, units)


def _missing_field(schema: SchemaProgram, event: Event, quantities: Mapping[str, str]) -> str:
    missing = [f"attribute {name!r}" for name in sorted(schema.attribute_names - quantities.keys())]
    missing += [f"dimension {name!r}" for name in sorted(schema.dimension_names - event.dimensions.keys())]
    return _bounded(f"the schema's {', '.join(missing)} missing in the event")


def _as_duplicate(event: JudgedEvent, first_content: int) -> JudgedEvent:
    same = "the same content" if event.content == first_content else "different content"
    description = f"an event with this id was accepted before, with {same}; only the first one counts"
    verdict = Verdict(
        IngestionStatus.DUPLICATE.value, description, account_id=event.verdict.account_id, schema=event.verdict.schema
    )
    return msgspec.structs.replace(event, verdict=verdict)


def _bounded(description: str) -> str:
    if len(description) <= DESCRIPTION_CHARACTERS_MAX:
        return description
    return description[: DESCRIPTION_CHARACTERS_MAX - 1] + "…"


class _Group(NamedTuple):
    """What events have in common that are counted, and metered, into the same rows."""

    organisation_id: str
    account_id: str
    event_hour: int
    received_hour: int
    schema_name: str
    schema: SchemaProgram | None
    status: str


def _grouped(events: Sequence[JudgedEvent]) -> dict[tuple[object, ...], list[Units]]:
    """The units of the events by `_Group`."""
    groups: dict[tuple[object, ...], list[Units]] = {}
    for event in events:
        verdict = event.verdict
        record = event.record
        # A plain tuple: naming it costs more than everything else here, and there is one for every event.
        key = (
            record.organisation_id,
            verdict.account_id or event.account_reference,
            event.event_time // MICROSECONDS_PER_HOUR,
            record.received_at // MICROSECONDS_PER_HOUR,
            event.schema_name,
            verdict.schema,
            verdict.status,
        )
        group = groups.get(key)
        if group is None:
            groups[key] = [verdict.units]
        else:
            group.append(verdict.units)
    return groups


def _usage(groups: Mapping[tuple[object, ...], Sequence[Units]]) -> list[UsageDelta]:
    """Add the units up by account, meter and hour of event time."""
    totals: dict[tuple[str, str, str, int], tuple[Decimal, int]] = {}
    with localcontext(EXACT):  # for `sum`, which takes no context; it raises where a digit would be lost
        for key, rows in groups.items():
            group = _Group(*key)  # type: ignore[arg-type]  # made by `_grouped`
            if group.status != METERED:
                continue
            assert group.schema is not None, "a metered event has a schema"
            for meter_id, column in zip(group.schema.meter_ids, zip(*rows, strict=True), strict=True):
                matched = [units for units in column if units is not None]
                if matched:
                    place = (group.organisation_id, group.account_id, meter_id, group.event_hour)
                    total, count = totals.get(place, (ZERO, 0))
                    totals[place] = (sum(matched, total), count + len(matched))
    return [UsageDelta(*place, plain_text(total), count) for place, (total, count) in totals.items()]


def _counts(groups: Mapping[tuple[object, ...], Sequence[Units]]) -> list[CountDelta]:
    """Count the events by account, hours, schema and status."""
    counts: dict[tuple[str, str, int, int, str, str], int] = {}
    for key, rows in groups.items():
        group = _Group(*key)  # type: ignore[arg-type]  # made by `_grouped`
        place = (*group[:5], group.status)
        counts[place] = counts.get(place, 0) + len(rows)
    return [CountDelta(*place, count) for place, count in counts.items()]


def _columns(events: Sequence[JudgedEvent]) -> EventColumns:
    verdicts = [event.verdict for event in events]
    columns = EventColumns()
    columns.position = [event.record.position for event in events]
    columns.index = [event.index for event in events]
    columns.organisation_id = [event.record.organisation_id for event in events]
    columns.event_id = [event.event_id for event in events]
    columns.schema_name = [event.schema_name for event in events]
    columns.schema_version = [verdict.schema.schema.version if verdict.schema else None for verdict in verdicts]
    columns.account_reference = [event.account_reference for event in events]
    columns.account_id = [verdict.account_id for verdict in verdicts]
    columns.event_time = [event.event_time for event in events]
    columns.received_at = [event.record.received_at for event in events]
    columns.status = [verdict.status for verdict in verdicts]
    columns.status_description = [verdict.description for verdict in verdicts]
    columns.event = [event.text for event in events]
    offset = 0
    units: list[Decimal | None] = []
    for verdict in verdicts:
        if verdict.units and verdict.schema is not None:
            offset += len(verdict.units)
            columns.meter_id += verdict.schema.meter_ids
            columns.meter_version += verdict.schema.meter_versions
            units += verdict.units
        columns.meter_offset.append(offset)
    columns.units = _texts(units)
    return columns


def _texts(units: Sequence[Decimal | None]) -> list[str | None]:
    """Decimal text without exponents; every digit is kept."""
    texts = [None if each is None else str(each) for each in units]
    if "E" in "".join(filter(None, texts)):
        return [None if each is None else format(each, "f") for each in units]
    return texts
