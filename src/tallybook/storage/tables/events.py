"""What metering leaves behind, and the jobs that work on it."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from tallybook.storage.tables.columns import ExactDecimal, metadata, organisation_key

# ---- events and usage ------------------------------------------------------------------------------------------

metering_position = Table(
    "metering_position",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),  # the last log position whose events are in the tables below
)

event_key_run = Table(
    "event_key_run",
    metadata,
    Column("run", Integer, primary_key=True),  # never given twice
    Column("state", Text, nullable=False),  # GROWING | LIVE | DEAD
    Column("entry_count", BigInteger, nullable=False),
    Column("oldest_hour", Integer, nullable=False),  # of receipt, in hours since 1970
    Column("newest_hour", Integer, nullable=False),
    Column("merged_into", Integer),  # the growing run that takes its entries in
    sqlite_autoincrement=True,
)

event_key_page = Table(
    "event_key_page",
    metadata,
    Column("page", Integer, primary_key=True),
    Column("run", Integer, nullable=False),
    Column("first_key", LargeBinary, nullable=False),
    Column("entries", LargeBinary, nullable=False),  # `event_keys.ENTRY_FORMAT`, one after the other, in key order
    Index("event_key_page_by_key", "run", "first_key"),
)

event_key_filter = Table(
    "event_key_filter",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("piece", Integer, primary_key=True, autoincrement=False),
    Column("words", LargeBinary, nullable=False),  # pairs of 64-bit words, as in `event_key_runs`
)

event_repeat = Table(
    "event_repeat",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("received_hour", Integer, nullable=False),
    Column("is_given_up", Integer, nullable=False, server_default="0"),  # 1: the event here held the id, and no longer
    sqlite_with_rowid=False,
)

usage = Table(
    "usage",
    metadata,
    organisation_key(),
    Column("account_id", Text, primary_key=True),
    Column("meter_id", Text, primary_key=True),
    Column("event_hour", Integer, primary_key=True, autoincrement=False),  # hours since 1970, of event time
    Column("units", ExactDecimal, nullable=False),
    Column("event_count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

usage_value = Table(
    "usage_value",
    metadata,
    organisation_key(),
    Column("account_id", Text, primary_key=True),
    Column("meter_id", Text, primary_key=True),
    Column("event_hour", Integer, primary_key=True, autoincrement=False),
    Column("value", Text, primary_key=True),  # as `core.aggregation` writes it, compared byte by byte
    Column("event_count", BigInteger, nullable=False),  # events that left this value; a row of none is deleted
    sqlite_with_rowid=False,
)

event_count = Table(
    "event_count",
    metadata,
    organisation_key(),
    Column("account_id", Text, primary_key=True),  # as resolved; as sent where it could not be
    Column("event_hour", Integer, primary_key=True, autoincrement=False),
    Column("received_hour", Integer, primary_key=True, autoincrement=False),
    Column("schema_name", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("event_count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

verdict_count = Table(
    "verdict_count",
    metadata,
    organisation_key(),
    Column("received_hour", Integer, primary_key=True, autoincrement=False),
    Column("status", Text, primary_key=True),
    Column("event_count", BigInteger, nullable=False),  # the sum of `event_count` over accounts, schemas, event hours
    sqlite_with_rowid=False,
)

event_block = Table(
    "event_block",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("last_position", BigInteger, primary_key=True, autoincrement=False),
    Column("first_position", BigInteger, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("format", Integer, nullable=False),
    Column("metered_at", BigInteger, nullable=False),
    Column("rows", LargeBinary, nullable=False),  # Arrow IPC stream, zstd
)

reversal = Table(
    "reversal",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),  # of the event that is reverted
    Column("event_index", Integer, primary_key=True, autoincrement=False),
    Column("organisation_id", Text, nullable=False),
    Column("correction_id", Text, nullable=False),
    Column("action", Text, nullable=False),  # UNDO | REDO | REDO_EVENT
    Column("reverted_by", BigInteger, nullable=False),  # the position of the correction
    Column("replaced_by", Integer),  # the index, at that position, of the event ingested in its place
    Column("reverted_at", BigInteger, nullable=False),
    Index("reversal_by_place", "organisation_id", "position", "event_index"),
    sqlite_with_rowid=False,
)

# ---- jobs ------------------------------------------------------------------------------------------------------

job = Table(
    "job",
    metadata,
    organisation_key(),
    Column("job_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("request", Text, nullable=False),  # what is to be done, as JSON
    Column("progress", Text),  # where the search for its entries goes on, as JSON
    Column("reason", Text),  # why it failed
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),
    Index("job_by_status", "status", "created_at"),
)

job_entry = Table(
    "job_entry",
    metadata,
    organisation_key(),
    Column("job_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("entity_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("created_at", BigInteger, nullable=False),
    Index("job_entry_by_status", "organisation_id", "job_id", "status", "number"),
    sqlite_with_rowid=False,
)

change_reader = Table(
    "change_reader",
    metadata,
    Column("name", Text, primary_key=True),  # who follows the list of definition changes
    Column("version", Integer, nullable=False),  # the last change that it has dealt with
)
