"""Blocks of metered rows that wait in the database for the lake."""

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, func, select

from tallybook.storage.database import Database
from tallybook.storage.tables import event_block


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one micro-batch, compressed: positions `first_position` to `last_position` of its partition."""

    first_position: int
    last_position: int
    row_count: int
    rows: bytes


_COLUMNS = (event_block.c.first_position, event_block.c.last_position, event_block.c.row_count, event_block.c.rows)


class BlockStore:
    """The blocks of every partition; `UsageStore.commit_batch` writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def row_count(self, partition: int) -> int:
        """Rows in all blocks of the partition."""
        query = select(func.sum(event_block.c.row_count)).where(event_block.c.partition == partition)
        with self._database.read() as connection:
            return connection.execute(query).scalar() or 0

    def oldest(self, partition: int, *, rows_max: int) -> tuple[int, int]:
        """How many rows the oldest blocks have, and the last position of the newest of them; 0 and 0 without blocks.

        They are as many as have `rows_max` rows together at most, or one.
        """
        block = event_block.c
        query = select(block.row_count, block.last_position).where(block.partition == partition)
        count = through = 0
        with self._database.read() as connection:
            for row_count, last_position in connection.execute(query.order_by(block.last_position)):
                if through and count + row_count > rows_max:
                    break
                count, through = count + row_count, last_position
        return count, through

    def rows(self, partition: int, *, through: int) -> Iterator[bytes]:
        """The rows of each block up to a position, in order, read as they are asked for."""
        block = event_block.c
        query = select(block.last_position, block.rows).where(block.partition == partition).limit(1)
        position = 0
        while position < through:
            behind = query.where(block.last_position > position).order_by(block.last_position)
            with self._database.read() as connection:
                position, rows = connection.execute(behind).one()
            yield rows

    def all(self, partition: int) -> list[Block]:
        """Every block of the partition, in order, as of one moment."""
        with self._database.read() as connection:
            return all_blocks(connection, partition)

    def delete(self, partition: int, *, through: int) -> None:
        """Delete the blocks up to a position, which the lake holds."""
        with self._database.write() as connection:
            connection.execute(
                event_block.delete().where(event_block.c.partition == partition, event_block.c.last_position <= through)
            )


def all_blocks(connection: Connection, partition: int) -> list[Block]:
    """The same as `BlockStore.all`, inside a transaction of the caller's."""
    query = select(*_COLUMNS).where(event_block.c.partition == partition).order_by(event_block.c.last_position)
    return [Block(**row._mapping) for row in connection.execute(query)]
