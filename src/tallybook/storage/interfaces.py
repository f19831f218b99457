"""What the flows may rely on, whichever backend is behind it.

Each promise says what holds on a normal return, and what a normal return does not promise.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
from arro3.core import RecordBatch


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted request body on its way into the log."""

    organisation_id: str
    event_count: int
    format: int
    body: bytes


class LoggedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record as the log keeps it: with its position and the instant of receipt (microseconds since 1970)."""

    position: int
    organisation_id: str
    received_at: int
    event_count: int
    format: int
    body: bytes


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Events accepted up to a position, by organisation and hour of receipt (hours since 1970)."""

    last_position: int
    by_receipt: Mapping[tuple[str, int], int]


class Receipts(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one organisation by hour of receipt: all accepted ones, and those of them that wait to be metered."""

    accepted: Mapping[int, int]
    waiting: Mapping[int, int]


class EventLog(Protocol):
    """The durable, ordered log of accepted request bodies; one partition of it."""

    def append(self, records: Sequence[Record]) -> int:
        """Append in order, all or none; return the position of the last record.

        On return the records survive power loss. An error leaves the outcome unknown: send the same event ids
        again. Positions only grow and are never reused; instants of receipt never go back from one position to
        the next. It does not promise that positions are without gaps.
        Raises `Busy` when the log cannot take the write now.
        """

    def append_at_once(self, records: Sequence[Record]) -> int | None:
        """The same without waiting for another writer: None when there is one, and then nothing is appended."""

    def read(self, *, after: int, records_max: int, bytes_max: int) -> Sequence[LoggedRecord]:
        """The records behind position `after`, in order, until a bound is reached; at least one if there is one."""

    def read_back(self, *, before: int | None, after: int, records_max: int) -> Sequence[LoggedRecord]:
        """The newest records between `after` and `before` (both exclusive; None is the end), newest first."""

    def last_position(self) -> int:
        """The greatest position ever given out; 0 before the first."""

    def received_through(self, position: int) -> int:
        """The instant T for which every record received before T has a position up to `position`.

        Now, when nothing is behind `position`; else the receipt of the first record behind it.
        """

    def trim(self, *, through: int) -> int:
        """Forget some of the oldest records up to `through`; return how many. Call again until it returns 0.

        The caller must know that they rest elsewhere for good. Positions and counts stay.
        """

    def used_bytes(self) -> int:
        """How much room the records take that are not trimmed yet."""

    def accepted(self) -> Accepted:
        """Events ever accepted, trimmed ones included, as of one moment."""

    def receipts(self, organisation_id: str, *, start_hour: int, end_hour: int, behind: int) -> Receipts:
        """What the organisation sent in the hours of receipt `[start_hour, end_hour)`, as of one moment.

        Waiting is what lies behind the position `behind` and is not trimmed.
        """


class Lake(Protocol):
    """Every event with its verdict and units, for ever, beyond the blocks that the database holds for a while."""

    def position(self, partition: int) -> int:
        """The log position through which the lake holds every row of `partition`; 0 before the first."""

    def append(self, blocks: Iterable[bytes], *, partition: int, through: int) -> None:
        """Append the rows of Arrow blocks in order, all or none, and move the partition's position to `through`.

        Blocks are taken one by one, from any thread; when taking one fails, nothing is appended.
        On return the rows survive power loss. The caller asks for `position` first: appending twice is its fault.
        """

    def compact(self) -> None:
        """Join small files; no row changes, readers are not disturbed."""

    def snapshot(self, partition: int) -> "LakeSnapshot":
        """The rows as they are now, with the position of the partition that they are true for."""


class LakeSnapshot(Protocol):
    """The rows of the lake at one moment."""

    position: int

    def query(self, statement: str) -> Iterator[RecordBatch]:
        """Run SQL over the rows, which are named `event`, with the columns of `event_rows.SCHEMA`."""
