"""The verdict on one event: what it consists of, what it says, and what an event is known by."""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from tallybook.core.aggregation import Made
from tallybook.core.errors import Corrupt, TallybookError
from tallybook.core.event import LoggedEvent, logged_events, logged_parts
from tallybook.core.event_schema import event_id_for
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.flows.definitions import SchemaProgram
from tallybook.storage.interfaces import LoggedRecord

DESCRIPTION_CHARACTERS_MAX = 250  # the interface's `statusDescription` allows no more

# Plain text, not members of the enum: they are hashed for every event, and an enum's hash is slow.
METERED = IngestionStatus.METERED.value
NOT_METERED = IngestionStatus.NOT_METERED.value
NO_MATCHING_METERS = IngestionStatus.NO_MATCHING_METERS.value
DUPLICATE = IngestionStatus.DUPLICATE.value

Verdict = tuple[str, str | None, str | None, SchemaProgram | None, tuple[Made | None, ...]]
"""Status, its description, the account's id, the schema, and what each meter of the schema made of the event."""


def event_key_of(organisation_id: str, event_id: str) -> bytes:
    """The 128-bit key under which an organisation's event id is remembered."""
    state = _key_source(organisation_id)
    state.update(event_id.encode())
    return state.digest()


def event_keys(organisation_id: str, event_ids: Iterable[str | None]) -> list[bytes | None]:
    """The keys of many ids; None where there is no id."""
    copy = _key_source(organisation_id).copy
    keys: list[bytes | None] = []
    for event_id in event_ids:
        if event_id is None:
            keys.append(None)
            continue
        state = copy()
        state.update(event_id.encode())
        keys.append(state.digest())
    return keys


def _key_source(organisation_id: str) -> "hashlib.blake2b":
    """A hash that has taken in the organisation; U+0000, which no id holds, keeps the two parts apart."""
    return hashlib.blake2b(organisation_id.encode() + b"\x00", digest_size=16)


def decoded(record: LoggedRecord) -> tuple[list[msgspec.Raw], list[str], list[LoggedEvent]]:
    """The events of a log record: the bytes of each, its text, and what it says. Raises `Corrupt`."""
    try:
        parts = logged_parts(record.body, record.format)
        texts = [str(part, "utf-8") for part in parts]
        events = logged_events(record.body, record.format)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Corrupt(f"the log record at position {record.position} cannot be read: {error}") from error
    if len(events) != record.event_count:
        raise Corrupt(f"the log record at position {record.position} does not hold {record.event_count} events")
    return parts, texts, events


def built_id(schema: SchemaProgram | None, event: LoggedEvent, quantities: Mapping[str, str]) -> str | None:
    """The id that the schema's template makes; None without a template, or when it cannot."""
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


def failed(
    status: IngestionStatus, description: str, account_id: str | None = None, schema: SchemaProgram | None = None
) -> Verdict:
    """The verdict on an event that cannot be metered."""
    if len(description) > DESCRIPTION_CHARACTERS_MAX:
        description = description[: DESCRIPTION_CHARACTERS_MAX - 1] + "…"
    return status.value, description, account_id, schema, ()


def missing_field(schema: SchemaProgram, event: LoggedEvent, quantities: Mapping[str, str]) -> str:
    """What to say of an event that lacks fields."""
    missing = [f"attribute {name!r}" for name in sorted(schema.attribute_names - quantities.keys())]
    missing += [f"dimension {name!r}" for name in sorted(schema.dimension_names - event.dimensions.keys())]
    return f"the event lacks what its schema requires: {', '.join(missing)}"
