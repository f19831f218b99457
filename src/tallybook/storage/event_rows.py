"""The rows of metered events: one Arrow layout for the database's blocks and for the lake.

A row is an accepted event as it was sent, with its verdict and what it added to each meter; or, with an index below 0,
the reversal of one. Usage is the fold of the rows, reversals with their signs turned.
"""

import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema, Table, list_array, struct_array
from arro3.io import read_ipc_stream, write_ipc_stream

COLUMNS_REMEMBERED = 50  # columns without values; most batches have the same few lengths

_TEXT = DataType.string()
_LONG = DataType.int64()
_INTEGER = DataType.int32()
_INSTANT = DataType.timestamp("us", tz="UTC")
_METER_FIELDS = [
    Field("meter_id", _TEXT, nullable=False),
    Field("meter_version", _INTEGER, nullable=False),
    Field("units", _TEXT),  # decimal text; null where the meter filtered the event out
]
_INSTANTS = ("event_time", "received_at", "metered_at", "first_received_at")
_VALUES = DataType.list(Field("item", _TEXT))
_METERS = DataType.list(Field("item", DataType.struct(_METER_FIELDS), nullable=False))

SCHEMA = Schema(
    [
        Field("partition", _INTEGER, nullable=False),
        Field("position", _LONG, nullable=False),
        Field("index", _INTEGER, nullable=False),
        Field("organisation_id", _TEXT, nullable=False),
        Field("event_id", _TEXT),
        Field("schema_name", _TEXT, nullable=False),
        Field("schema_version", _INTEGER),
        Field("account_reference", _TEXT, nullable=False),
        Field("account_id", _TEXT),
        Field("event_time", _INSTANT, nullable=False),
        Field("received_at", _INSTANT, nullable=False),
        Field("metered_at", _INSTANT, nullable=False),
        Field("status", _TEXT, nullable=False),
        Field("status_description", _TEXT),
        Field("event", _TEXT, nullable=False),
        Field("meters", _METERS, nullable=False),
        # What was added later stands at the end, and is null or empty in the rows that were there before.
        Field("meter_values", _VALUES),  # one for each of `meters`, or none at all
        Field("enrichment", _TEXT),  # JSON of `core.enrichment`
        Field("reverts_position", _LONG),  # with `reverts_index`: the event that this row takes back, or the place of
        Field("reverts_index", _INTEGER),
        Field("first_received_at", _INSTANT),  # of an event ingested again: the receipt that its grace is judged by
    ]
)


class MeterUnits(msgspec.Struct, frozen=True):
    """What one meter made of one event: decimal text, or None where it filtered the event out.

    `value` is what it left for the meter's aggregation (see `core.aggregation`), where that needs more than units.
    """

    meter_id: str
    meter_version: int
    units: str | None
    value: str | None = None


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted event with its verdict, as read back. Instants are microseconds since 1970 UTC.

    A row with an index below 0 is no event: it takes back the one at `reverts_position`, whose columns it repeats.
    """

    partition: int
    position: int
    index: int
    organisation_id: str
    event_id: str | None
    schema_name: str
    schema_version: int | None
    account_reference: str
    account_id: str | None
    event_time: int
    received_at: int
    metered_at: int
    status: str
    status_description: str | None
    event: str
    meters: list[MeterUnits]
    enrichment: str | None = None
    reverts_position: int | None = None
    reverts_index: int | None = None
    first_received_at: int | None = None
    status_before_reverting: str | None = None  # no column: whether the event was taken back is not in its row


class EventColumns:
    """Rows in the making, column by column: a list append costs a tenth of building a row object."""

    def __init__(self) -> None:
        self.position: list[int] = []
        self.index: list[int] = []
        self.organisation_id: list[str] = []
        self.event_id: list[str | None] = []
        self.schema_name: list[str] = []
        self.schema_version: list[int | None] = []
        self.account_reference: list[str] = []
        self.account_id: list[str | None] = []
        self.event_time: list[int] = []
        self.received_at: list[int] = []
        self.status: list[str] = []
        self.status_description: list[str | None] = []
        self.event: list[str] = []
        self.meter_id: list[str] = []
        self.meter_version: list[int] = []
        self.units: list[str | None] = []
        self.meter_offset: list[int] = [0]
        self._meters_of_each = 0  # not 0: `meter_id` and `meter_version` hold the meters of every row, once
        self.meter_value: list[str | None] = []
        self.value_offset: list[int] = []  # empty: no event of the piece left a value
        self.enrichment: list[str | None] = []  # empty: no event of the piece was enriched
        # Empty outside corrections.
        self.reverts_position: list[int] = []
        self.reverts_index: list[int] = []
        self.first_received_at: list[int] = []

    def repeat_meters(self, meter_ids: Sequence[str], meter_versions: Sequence[int]) -> None:
        """Say that every row has these meters; only `units` then has an entry for each row and meter."""
        self.meter_id, self.meter_version = list(meter_ids), list(meter_versions)
        self._meters_of_each = len(meter_ids)

    def table(self, *, partition: int, metered_at: int) -> Table:
        """The rows as an Arrow table of `SCHEMA`."""
        count = len(self.position)
        columns = [
            _repeated(partition, _INTEGER, count),
            Array(self.position, _LONG),
            Array(self.index, _INTEGER),
            _column(self.organisation_id, _TEXT),
            Array(self.event_id, _TEXT),
            _column(self.schema_name, _TEXT),
            _column(self.schema_version, _INTEGER),
            Array(self.account_reference, _TEXT),
            Array(self.account_id, _TEXT),
            Array(self.event_time, _LONG).cast(_INSTANT),
            Array(self.received_at, _LONG).cast(_INSTANT),
            Array([metered_at], _LONG).cast(_INSTANT).take(_same_place(count)),
            _column(self.status, _TEXT),
            _column(self.status_description, _TEXT),
            Array(self.event, _TEXT),
            self._meters(count),
            list_array(Array(self.value_offset, _INTEGER), Array(self.meter_value, _TEXT), type=_VALUES)
            if self.value_offset
            else _nothing(_VALUES, count),
            Array(self.enrichment, _TEXT) if self.enrichment else _nothing(_TEXT, count),
            Array(self.reverts_position, _LONG) if self.reverts_position else _nothing(_LONG, count),
            Array(self.reverts_index, _INTEGER) if self.reverts_index else _nothing(_INTEGER, count),
            Array(self.first_received_at, _LONG).cast(_INSTANT)
            if self.first_received_at
            else _nothing(_INSTANT, count),
        ]
        return Table.from_batches([RecordBatch.from_arrays(columns, schema=SCHEMA)])

    def _meters(self, count: int) -> Array:
        ids, versions = Array(self.meter_id, _TEXT), Array(self.meter_version, _INTEGER)
        offsets = Array(self.meter_offset, _INTEGER)
        if self._meters_of_each:
            places, offsets = _in_turn(self._meters_of_each, count)
            ids, versions = ids.take(places), versions.take(places)
        meters = struct_array([ids, versions, Array(self.units, _TEXT)], fields=_METER_FIELDS)
        return list_array(offsets, meters, type=_METERS)


def encode_block(tables: Sequence[Table]) -> bytes:
    """Compress rows into one block: an Arrow IPC stream, zstd."""
    stream = io.BytesIO()
    batches = [batch for table in tables for batch in table.to_batches()]
    write_ipc_stream(Table.from_batches(batches, schema=SCHEMA), stream, compression="ZSTD")
    return stream.getvalue()


def decode_blocks(blocks: Iterable[bytes]) -> Table:
    """Join blocks, in order, into one Arrow table of `SCHEMA`; columns that older blocks lack are null."""
    return stream_blocks(blocks).read_all()


def stream_blocks(blocks: Iterable[bytes]) -> RecordBatchReader:
    """The same rows, decoded as they are read, so that they are never in memory all at once."""
    batches = (batch for block in blocks for batch in read_ipc_stream(io.BytesIO(block)).read_all().to_batches())
    return RecordBatchReader.from_batches(SCHEMA, map(_with_every_column, batches))


def _with_every_column(batch: RecordBatch) -> RecordBatch:
    for field in map(SCHEMA.field, SCHEMA.names[batch.num_columns :]):
        batch = batch.append_column(field, _nothing(field.type, batch.num_rows))
    return batch


def _column(values: Sequence[str | int | None], kind: DataType) -> Array:
    """A column that often says the same in all rows, which is then made at once."""
    if values and values.count(values[0]) == len(values):
        return _repeated(values[0], kind, len(values))
    return Array(values, kind)


@lru_cache(maxsize=COLUMNS_REMEMBERED)
def _repeated(value: str | int | None, kind: DataType, count: int) -> Array:
    return Array([value], kind).take(_same_place(count))


@lru_cache(maxsize=COLUMNS_REMEMBERED)
def _same_place(count: int) -> Array:
    """Where to take each of `count` rows from, when all are the first of a column."""
    return Array([0] * count, _INTEGER)


@lru_cache(maxsize=COLUMNS_REMEMBERED)
def _in_turn(length: int, count: int) -> tuple[Array, Array]:
    """Where to take `length` items for each of `count` rows from alike; and where each row begins."""
    return Array([*range(length)] * count, _INTEGER), Array(range(0, (count + 1) * length, length), _INTEGER)


@lru_cache(maxsize=COLUMNS_REMEMBERED)
def _nothing(kind: DataType, count: int) -> Array:
    """A column for rows that have nothing to say in it: empty lists, or nulls."""
    if kind == _VALUES:
        return list_array(Array([0] * (count + 1), _INTEGER), Array([], _TEXT), type=_VALUES)
    if kind == _INSTANT:
        return Array([None] * count, _LONG).cast(_INSTANT)
    return Array([None] * count, kind)


def rows_of(table: Table) -> list[EventRow]:
    """The rows of a table of `SCHEMA`, in order."""
    columns = {name: _values(table, name) for name in EventRow.__struct_fields__ if name in SCHEMA.names}
    left = _values(table, "meter_values")
    columns["meters"] = [
        [MeterUnits(**each, value=value) for each, value in zip(meters, values or [None] * len(meters), strict=True)]
        for meters, values in zip(columns["meters"], left, strict=True)
    ]
    return [EventRow(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def _values(table: Table, name: str) -> list[Any]:
    column = table.column(name)
    if name in _INSTANTS:
        column = column.cast(_LONG)
    return [value for chunk in column.chunks for value in chunk.to_pylist()]


def sql_literal(text: str) -> str:
    """Text as an SQL literal; the dialect knows no escapes but the doubled quote."""
    return "'" + text.replace("'", "''") + "'"
