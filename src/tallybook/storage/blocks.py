"""Blocks of metered rows that wait in the database for the lake."""

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

    def oldest(self, partition: int, *, bytes_max: int) -> list[Block]:
        """The oldest blocks, in order, until their size reaches the bound; at least one if there is one."""
        query = select(*_COLUMNS).where(event_block.c.partition == partition).order_by(event_block.c.last_position)
        blocks: list[Block] = []
        size = 0
        with self._database.read() as connection:
            for row in connection.execute(query.execution_options(yield_per=1)):
                blocks.append(Block(**row._mapping))
                size += len(blocks[-1].rows)
                if size >= bytes_max:
                    break
        return blocks

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
