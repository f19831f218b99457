"""The third layout: event keys in sorted runs."""

import sqlalchemy as sa
from alembic import op

from tallybook.storage.event_key_runs import add_piece, insert_run, keys_between, shape_of, unpacked
from tallybook.storage.event_keys import EventKey, RunState, packed

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """The keys there are become one run; where repeats lie stays as it is."""
    op.create_table(
        "event_key_run",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("entry_count", sa.BigInteger(), nullable=False),
        sa.Column("oldest_hour", sa.Integer(), nullable=False),
        sa.Column("newest_hour", sa.Integer(), nullable=False),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("run"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "event_key_page",
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("first_key", sa.LargeBinary(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("page"),
    )
    op.create_index("event_key_page_by_key", "event_key_page", ["run", "first_key"], unique=False)
    op.create_table(
        "event_key_filter",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("piece", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run", "piece"),
    )
    op.add_column("event_repeat", sa.Column("is_given_up", sa.Integer(), nullable=False, server_default="0"))
    _move_keys(op.get_bind())
    op.drop_table("event_key")


def _move_keys(connection: sa.Connection) -> None:
    query = sa.text("SELECT count(*), min(received_hour), max(received_hour) FROM event_key")
    count, oldest, newest = connection.execute(query).one()
    if not count:
        return
    run = insert_run(connection, RunState.LIVE, entry_count=count, oldest_hour=oldest, newest_hour=newest)
    shape = shape_of(count)
    for piece in range(shape.piece_count):
        first, last = keys_between(shape, piece)
        rows = connection.execute(_KEYS_BETWEEN, {"first": first, "last": last})
        add_piece(connection, run, piece, unpacked(packed(EventKey(*row) for row in rows)), shape)


_KEYS_BETWEEN = sa.text(
    "SELECT key, content, partition, position, received_hour FROM event_key WHERE key BETWEEN :first AND :last"
)
