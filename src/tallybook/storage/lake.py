"""Every metered event, for ever: one Delta Lake table in a folder.

A commit carries the partition's log position as an application transaction, so after a crash the table itself says what
it already holds. Reading is through DataFusion, which `deltalake` brings along.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec
from arro3.core import RecordBatch
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Field,
    QueryBuilder,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import DeltaError

from tallybook.core.errors import Busy
from tallybook.storage.event_rows import SCHEMA, stream_blocks

COMMITS_PER_CHECKPOINT = 50  # a reader replays at most so many small commit files
COMMITS_UNFLUSHED_MAX = 8  # an append is one, a compaction with its clean-up some more
SMALL_FILES_MAX = 16  # more small files than that are joined into large ones
FILE_BYTES_TARGET = 32 * 1024 * 1024  # a million small events; so many are written at once when they come fast
REPLACED_FILES_KEPT_HOURS = 1  # longer than any query runs

# Every event's text and id are different: a dictionary of them saves nothing, and nobody looks for the least of them.
_ALL_DIFFERENT = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
_WRITER = WriterProperties(
    compression="ZSTD",  # a fifth and less of what the library's own choice takes, in no more time
    compression_level=1,
    max_row_group_size=131_072,  # rows; a group is in memory until it is whole
    column_properties={"event": _ALL_DIFFERENT, "event_id": _ALL_DIFFERENT},
)


class DeltaLake:
    """`Lake` over a Delta table in a local folder. One process appends; any number read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._durable_version = -1
        if not DeltaTable.is_deltatable(str(path)):
            path.mkdir(parents=True, exist_ok=True)
            DeltaTable.create(
                str(path),
                schema=SCHEMA,
                mode="ignore",
                configuration={"delta.checkpointInterval": str(COMMITS_PER_CHECKPOINT)},
            )
            self._make_durable()
        else:
            # A process that was killed may not have come to flush what it wrote last.
            self._durable_version = max(-1, self._open().version() - COMMITS_UNFLUSHED_MAX)
            self._add_new_columns()
            self._make_durable()

    def position(self, partition: int) -> int:
        return self._open().transaction_version(_application(partition)) or 0

    def append(self, blocks: Iterable[bytes], *, partition: int, through: int) -> None:
        try:
            write_deltalake(
                self._open(),
                stream_blocks(blocks),
                mode="append",
                writer_properties=_WRITER,
                commit_properties=CommitProperties(app_transactions=[Transaction(_application(partition), through)]),
            )
        except (DeltaError, OSError) as error:
            raise Busy(f"the lake does not take the events: {error}", retry_after_s=10) from error
        self._make_durable()

    def compact(self) -> None:
        table = self._open()
        sizes = [int(size) for size in table.get_add_actions(flatten=True).column("size_bytes").to_pylist()]
        if sum(size < FILE_BYTES_TARGET // 2 for size in sizes) <= SMALL_FILES_MAX:
            return
        table.optimize.compact(target_size=FILE_BYTES_TARGET, writer_properties=_WRITER)
        self._make_durable()
        # Whoever opened the table before still reads the old files; an append that crashed left files nobody names.
        table.vacuum(
            retention_hours=REPLACED_FILES_KEPT_HOURS, dry_run=False, enforce_retention_duration=False, full=True
        )

    def snapshot(self, partition: int) -> "DeltaSnapshot":
        return DeltaSnapshot(self._open(), partition)

    def _open(self) -> DeltaTable:
        try:
            return DeltaTable(str(self._path))
        except (DeltaError, OSError) as error:
            raise Busy(f"the lake cannot be opened: {error}", retry_after_s=10) from error

    def _add_new_columns(self) -> None:
        """Give a lake that an older version made the columns it lacks; its rows have null there."""
        table = self._open()
        missing = _columns_beyond(table)
        if not missing:
            return
        try:
            table.alter.add_columns(missing)
        except DeltaError as error:
            if _columns_beyond(self._open()):  # else another process was faster
                raise Busy(f"the lake cannot be given new columns: {error}", retry_after_s=1) from error

    def _make_durable(self) -> None:
        """Flush the files of the newest commits to the disk: the library leaves that to the system's cache.

        Without it, deleting the database's blocks after the append could lose rows when the power fails.
        """
        log = self._path / "_delta_log"
        newest = self._open().version()
        for version in range(self._durable_version + 1, newest + 1):
            commit = log / f"{version:020}.json"
            for added in _added_by(commit):
                _flush(self._path / unquote(added.path))
            _flush(commit)
        for checkpoint in [*log.glob("*.checkpoint*"), *log.glob("_last_checkpoint")]:
            _flush(checkpoint)
        _flush(self._path)
        _flush(log)
        self._durable_version = newest


class DeltaSnapshot:
    """`LakeSnapshot` of a Delta table."""

    def __init__(self, table: DeltaTable, partition: int) -> None:
        self._table = table
        self.position = table.transaction_version(_application(partition)) or 0

    def query(self, statement: str) -> Iterator[RecordBatch]:
        try:
            reader = QueryBuilder().register("event", self._table).execute(statement)
            yield from reader
        except (DeltaError, OSError) as error:
            raise Busy(f"the lake cannot be read: {error}", retry_after_s=1) from error


class _Added(msgspec.Struct):
    path: str


class _Action(msgspec.Struct):
    add: _Added | None = None


def _added_by(commit: Path) -> list[_Added]:
    """The files that a commit added; none when it is so old that a checkpoint has taken its place."""
    try:
        lines = commit.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    actions = [msgspec.json.decode(line, type=_Action) for line in lines]
    return [action.add for action in actions if action.add]


def _columns_beyond(table: DeltaTable) -> list[Field]:
    """The columns of `SCHEMA` that the table does not have."""
    known = {field.name for field in table.schema().fields}
    return [field for field in DeltaSchema.from_arrow(SCHEMA).fields if field.name not in known]


def _application(partition: int) -> str:
    return f"tallybook-partition-{partition}"


def _flush(path: Path) -> None:
    """Flush a file or folder to the disk; nothing is to be done when it was replaced and cleaned up meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
