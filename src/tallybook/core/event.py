"""A usage event: its shape, its limits, and the checks that decide whether it is accepted.

Checking a body answers with values: what may be logged, and what is wrong with the rest. Whether an accepted
event is metered (its schema, its account, its meters) is decided later and lives elsewhere.

The whole body is decoded at once into typed structs. Only when that fails is it taken apart event by event, to name
each bad one.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from tallybook.core.correction import BODY_CORRECTION, decode_correction
from tallybook.core.decimals import DECIMAL_TEXT, QUANTITY_DIGITS_MAX
from tallybook.core.errors import MESSAGE_CHARACTERS_MAX, Invalid, TooLarge

EVENT_ID_CHARACTERS_MAX = 512
SCHEMA_NAME_CHARACTERS_MAX = 50
ACCOUNT_ID_CHARACTERS_MAX = 512
FIELD_NAME_CHARACTERS_MAX = 50
UNIT_CHARACTERS_MAX = 50
DIMENSION_VALUE_CHARACTERS_MAX = 200
ATTRIBUTES_MAX = 50  # a schema may require 50, so an event must be able to carry them
DIMENSIONS_MAX = 100
EVENTS_MAX = 1000
EVENT_TIME_YEARS = range(1970, 9999)  # so that, in UTC, every event is within what a date can say

BODY_SINGLE = 1
BODY_BATCH = 2


SchemaName = Annotated[str, msgspec.Meta(min_length=1, max_length=SCHEMA_NAME_CHARACTERS_MAX)]
AccountReference = Annotated[str, msgspec.Meta(min_length=1, max_length=ACCOUNT_ID_CHARACTERS_MAX)]
EventId = Annotated[str, msgspec.Meta(min_length=1, max_length=EVENT_ID_CHARACTERS_MAX)]
FieldName = Annotated[str, msgspec.Meta(min_length=1, max_length=FIELD_NAME_CHARACTERS_MAX)]
UnitName = Annotated[str, msgspec.Meta(min_length=1, max_length=UNIT_CHARACTERS_MAX)]
DimensionValue = Annotated[str, msgspec.Meta(min_length=1, max_length=DIMENSION_VALUE_CHARACTERS_MAX)]


class Attribute(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A named quantity; `value` is decimal text."""

    name: FieldName
    value: str
    unit: UnitName | None = None


class Event(msgspec.Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True, gc=False):
    """One usage event as a client sends it. `timestamp` without an offset is UTC."""

    schema_name: SchemaName
    timestamp: datetime
    account_id: AccountReference
    attributes: Annotated[list[Attribute], msgspec.Meta(max_length=ATTRIBUTES_MAX)]
    dimensions: Annotated[
        dict[FieldName, DimensionValue],
        msgspec.Meta(max_length=DIMENSIONS_MAX),
    ]
    id: EventId | None = None
    # One generation of clients must send it, and it means nothing here. It is decoded all the same: the text is kept as
    # it came, and bytes that nobody had looked into would stop whoever reads it later.
    created_at: str | None = None


class LoggedAttribute(msgspec.Struct, gc=False):
    """A named quantity of an accepted event."""

    name: str
    value: str


class LoggedEvent(msgspec.Struct, rename="camel", gc=False):
    """What metering reads of an accepted event; it was checked when it was accepted, so this is faster to decode."""

    schema_name: str
    timestamp: datetime
    account_id: str
    attributes: list[LoggedAttribute]
    dimensions: dict[str, str]
    id: str | None = None


class _LoggedSingle(msgspec.Struct):
    event: LoggedEvent


class _LoggedBatch(msgspec.Struct):
    events: list[LoggedEvent]


# The loose types take the same fields with fewer demands on a few of them. The checker minds that a field is not of the
# parent's type; nothing takes one for its parent, for `_sound` makes the strict types of them.
class _LooseAttribute(Attribute):
    # A JSON number is welcome too; its digits are read from the text.
    value: msgspec.Raw  # type: ignore[assignment]  # looser than the parent's, see above


class _LooseEvent(Event):
    # Whatever it is, it is left out of what is kept.
    created_at: msgspec.Raw = msgspec.Raw()  # type: ignore[assignment]  # looser than the parent's, see above
    attributes: Annotated[  # type: ignore[assignment]  # looser than the parent's, see above
        list[_LooseAttribute], msgspec.Meta(max_length=ATTRIBUTES_MAX)
    ]


class _Single(msgspec.Struct, forbid_unknown_fields=True):
    event: Event


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    events: list[Event]


class _SingleParts(msgspec.Struct, forbid_unknown_fields=True):
    event: msgspec.Raw


class _BatchParts(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why one event of a body was not accepted. `index` counts from 0 in the body as sent."""

    index: int
    id: str | None
    code: str
    message: str

    @property
    def is_size(self) -> bool:
        return self.code == TooLarge.code


class CheckedBody(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request body: the bytes to log (none when no event was accepted), and the refusals."""

    body: bytes
    format: int
    event_count: int
    rejections: tuple[Rejection, ...] = ()


_single = msgspec.json.Decoder(_Single)
_batch = msgspec.json.Decoder(_Batch)
_single_parts = msgspec.json.Decoder(_SingleParts)
_batch_parts = msgspec.json.Decoder(_BatchParts)
_event = msgspec.json.Decoder(Event)
_logged_single = msgspec.json.Decoder(_LoggedSingle)
_logged_batch = msgspec.json.Decoder(_LoggedBatch)
_logged_event = msgspec.json.Decoder(LoggedEvent)
_loose_event = msgspec.json.Decoder(_LooseEvent)
_text_value = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()

_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_DECIMAL_LINES = re.compile(rf"(?:{DECIMAL_TEXT.pattern}\n)*")
_ATTRIBUTE_VALUE = f"decimal text such as 12.50 (at most {QUANTITY_DIGITS_MAX} digits on either side of the point)"


def check_single(body: bytes) -> CheckedBody:
    """Check the body of `POST /ingest`. Raises `Invalid` when it is not `{"event": {…}}` at all."""
    try:
        if _is_sound(_single.decode(body).event) and b"\\u0000" not in body:
            return CheckedBody(body=body, format=BODY_SINGLE, event_count=1)
    except _MALFORMED:
        pass  # said in detail below
    part = _parts(_single_parts, body).event
    accepted = _check_one(part, 0, "event")
    if isinstance(accepted, Rejection):
        return CheckedBody(body=b"", format=BODY_SINGLE, event_count=0, rejections=(accepted,))
    return CheckedBody(body=_encoder.encode(_Single(accepted)), format=BODY_SINGLE, event_count=1)


def check_batch(body: bytes) -> CheckedBody:
    """Check the body of `POST /ingestBatch`. Raises `Invalid` when it is not `{"events": […]}` of 1 to 1000."""
    try:
        events = _batch.decode(body).events
        if 0 < len(events) <= EVENTS_MAX and _all_sound(events, body):
            return CheckedBody(body=body, format=BODY_BATCH, event_count=len(events))
    except _MALFORMED:
        pass  # said in detail below
    parts = _parts(_batch_parts, body).events
    if not parts:
        raise Invalid("events: the list is empty; send 1 to 1000 events")
    if len(parts) > EVENTS_MAX:
        raise TooLarge(f"events: {len(parts)} events; send at most {EVENTS_MAX} in one request")
    checked = [_check_one(part, index, f"events[{index}]") for index, part in enumerate(parts)]
    accepted = [event for event in checked if isinstance(event, Event)]
    return CheckedBody(
        body=_encoder.encode(_Batch(accepted)) if accepted else b"",
        format=BODY_BATCH,
        event_count=len(accepted),
        rejections=tuple(refusal for refusal in checked if isinstance(refusal, Rejection)),
    )


def logged_parts(body: bytes, body_format: int) -> list[msgspec.Raw]:
    """Take a logged body apart into the text of each event, in order, without decoding them.

    Of a correction these are the events to ingest again.
    """
    if body_format == BODY_SINGLE:
        return [_single_parts.decode(body).event]
    if body_format == BODY_CORRECTION:
        return [msgspec.Raw(text.encode()) for text in decode_correction(body).replacements]
    assert body_format == BODY_BATCH, f"unknown body format {body_format}"
    return _batch_parts.decode(body).events


def logged_events(body: bytes, body_format: int) -> list[LoggedEvent]:
    """The events of a logged body, in the order of `logged_parts`."""
    if body_format == BODY_BATCH:
        return _logged_batch.decode(body).events
    if body_format == BODY_SINGLE:
        return [_logged_single.decode(body).event]
    return [_logged_event.decode(part) for part in logged_parts(body, body_format)]


decode_event: Callable[[bytes | msgspec.Raw], Event] = _event.decode
"""Decode the text of one accepted event."""


def utc(instant: datetime) -> datetime:
    """Read a timestamp without an offset as UTC, and express any other in UTC. Raises `Invalid`."""
    try:
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:
        raise Invalid(f"{instant.isoformat()} is beyond the years 1 to 9999 in UTC") from None


def _is_sound(event: Event) -> bool:
    """The same as `_all_sound`, apart from U+0000, for one event: what saves time with many costs time with one."""
    attributes = event.attributes
    for attribute in attributes:
        if not DECIMAL_TEXT.fullmatch(attribute.value):
            return False
    is_distinct = len(attributes) < 2 or len({each.name for each in attributes}) == len(attributes)
    return is_distinct and event.timestamp.year in EVENT_TIME_YEARS


def _all_sound(events: Sequence[Event], body: bytes) -> bool:
    """Say whether every event of a decoded body passes the checks that its types do not make."""
    attributes = [event.attributes for event in events]
    values = [attribute.value for some in attributes for attribute in some]
    lines = "\n".join(values) + "\n" if values else ""
    if b"\\u0000" in body or not _DECIMAL_LINES.fullmatch(lines) or lines.count("\n") != len(values):
        return False  # the last: a value with a line break in it would read as two
    if any(year not in EVENT_TIME_YEARS for year in {event.timestamp.year for event in events}):
        return False
    return _have_distinct_names(attributes)


def _have_distinct_names(attributes: Sequence[Sequence[Attribute]]) -> bool:
    """Say whether no event has two attributes of one name."""
    names = [attribute.name for some in attributes for attribute in some]
    alike = names[: len(attributes[0])]
    if set(map(len, attributes)) == {len(alike)} and names == alike * len(attributes):
        return len(set(alike)) == len(alike)  # as most requests are: all events have the same names in the same order
    return all(len({each.name for each in some}) == len(some) for some in attributes)


def _parts(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid(_located(error, "")) from None
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not valid UTF-8 at byte {error.start}", code="MALFORMED_JSON") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply", code="MALFORMED_JSON") from None
    except msgspec.DecodeError as error:
        raise Invalid(f"the body is not JSON: {error}", code="MALFORMED_JSON") from None


def _check_one(part: msgspec.Raw, index: int, place: str) -> Event | Rejection:
    """Decode one event leniently and check it, or say what is wrong with it and where."""
    try:
        loose = _loose_event.decode(part)
    except msgspec.ValidationError as error:
        problem = str(error)  # "Expected `str` of length <= 50", or a name of the sender's in "unknown field `…`"
        is_size = problem.startswith("Expected ") and "of length <=" in problem
        code = TooLarge.code if is_size else Invalid.code
        message = _located(error, place)[:MESSAGE_CHARACTERS_MAX]
        return Rejection(index=index, id=_id_of(part), code=code, message=message)
    except _MALFORMED as error:
        message = f"{place}: not valid JSON text: {_first_line(error)}"
        return Rejection(index=index, id=None, code="MALFORMED_JSON", message=message)
    try:
        return _sound(loose, part, place)
    except Invalid as error:
        return Rejection(index=index, id=loose.id, code=error.code, message=error.message)


def _sound(loose: _LooseEvent, part: msgspec.Raw, place: str) -> Event:
    try:
        bytes(part).decode()  # nobody has looked into what is ignored
    except UnicodeDecodeError:
        raise Invalid(f"{place}: not valid UTF-8", code="MALFORMED_JSON") from None
    if b"\\u0000" in bytes(part):
        raise Invalid(f"{place}: the character U+0000 is not allowed in an event")
    if loose.timestamp.year not in EVENT_TIME_YEARS:
        raise Invalid(f"{place}.timestamp: the year must be {EVENT_TIME_YEARS[0]} to {EVENT_TIME_YEARS[-1]}")
    attributes = [
        Attribute(
            attribute.name, _quantity_text(attribute.value, f"{place}.attributes[{number}].value"), attribute.unit
        )
        for number, attribute in enumerate(loose.attributes)
    ]
    names: set[str] = set()
    for number, attribute in enumerate(attributes):
        if attribute.name in names:
            raise Invalid(f"{place}.attributes[{number}].name: {attribute.name!r} stands twice in one event")
        names.add(attribute.name)
    return Event(loose.schema_name, loose.timestamp, loose.account_id, attributes, loose.dimensions, loose.id)


def _quantity_text(raw: msgspec.Raw | str, place: str) -> str:
    token = bytes(raw) if isinstance(raw, msgspec.Raw) else raw.encode()
    if token[:1] == b'"':
        try:
            text = _text_value.decode(token)
        except _MALFORMED:
            raise Invalid(f"{place}: not valid JSON text") from None
    elif token[:1].isdigit() or token[:1] == b"-":
        text = token.decode("ascii", "replace")
    else:
        raise Invalid(f"{place}: expected {_ATTRIBUTE_VALUE}")
    if DECIMAL_TEXT.fullmatch(text):
        return text
    digits = re.fullmatch(r"-?([0-9]+)(?:\.([0-9]+))?", text, re.ASCII)
    if digits and max(len(digits[1]), len(digits[2] or "")) > QUANTITY_DIGITS_MAX:
        raise TooLarge(f"{place}: more than {QUANTITY_DIGITS_MAX} digits before or after the point")
    raise Invalid(f"{place}: {text[:40]!r} is not {_ATTRIBUTE_VALUE}")


def _located(error: msgspec.ValidationError, place: str) -> str:
    """Turn msgspec's `… - at `$.a[0].b`` into `place.a[0].b: …`."""
    text, _, path = str(error).partition(" - at `$")
    where = (place + path.rstrip("`")).lstrip(".")
    if "RFC3339" in text:
        text = "expected an ISO 8601 date and time such as 2022-06-15T07:30:35.123Z"
    return f"{where}: {text}" if where else text


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


class _OnlyId(msgspec.Struct):
    id: str | None = None


def _id_of(part: msgspec.Raw) -> str | None:
    """The id of a refused event, as far as it can be read, so that its sender can find it."""
    try:
        found = msgspec.json.decode(part, type=_OnlyId).id
    except _MALFORMED:
        return None
    return found[:EVENT_ID_CHARACTERS_MAX] if found else None
