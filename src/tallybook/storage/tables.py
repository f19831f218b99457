"""Every database table, once, for SQLite and PostgreSQL alike.

Quantities and money are decimal text (`ExactDecimal`), because SQLite has no decimal type and would store
them as binary floats. Instants are integer microseconds since 1970 UTC, dates ISO text. Nested definitions are
JSON text with a format version, written and read by msgspec with the types of `tallybook.core`.
"""

from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from tallybook.core.decimals import plain_text

metadata = MetaData()


class ExactDecimal(TypeDecorator[Decimal]):
    """A `Decimal` kept as plain decimal text; it reads back to the same digits."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None:
            return None
        assert isinstance(value, Decimal), f"an exact column takes a Decimal, not {type(value).__name__}"
        return plain_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


def _organisation() -> Column[str]:
    return Column("organisation_id", Text, primary_key=True)


# ---- who may call ----------------------------------------------------------------------------------------------

organisation = Table(
    "organisation",
    metadata,
    Column("organisation_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("base_currency", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("organisation_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, unique=True),  # SHA-256; the secret itself is never stored
    Column("scopes", Text, nullable=False),  # space separated
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("role", Text),
    Column("switched_off_at", BigInteger),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("purpose", Text, primary_key=True),  # "token": the session tokens of POST /authenticate and paging tokens
    Column("secret", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# ---- definitions -----------------------------------------------------------------------------------------------

definition_change = Table(
    "definition_change",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=True),
    Column("organisation_id", Text, nullable=False),
    Column("kind", Text, nullable=False),  # event_schema | usage_meter | account | price_plan | setting
    Column("name", Text, nullable=False),  # schema name | the meter's schema name | account id | plan id | place
    Column("changed_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

customer = Table(
    "customer",
    metadata,
    _organisation(),
    Column("customer_id", Text, primary_key=True),
    Column("generated_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
)

account = Table(
    "account",
    metadata,
    _organisation(),
    Column("account_id", Text, primary_key=True),
    Column("generated_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("currency", Text, nullable=False, server_default=""),
    Index("account_by_customer", "organisation_id", "customer_id"),
)

account_alias = Table(
    "account_alias",
    metadata,
    _organisation(),
    Column("alias", Text, primary_key=True),
    Column("effective_from", BigInteger, primary_key=True),
    Column("effective_until", BigInteger, nullable=False),  # exclusive
    Column("account_id", Text, nullable=False),
    Column("alias_id", Text, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False, server_default="0"),
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    Index("account_alias_by_account", "organisation_id", "account_id"),
)

alias = Table(
    "alias",
    metadata,
    _organisation(),
    Column("value", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

customer_contact = Table(
    "customer_contact",
    metadata,
    _organisation(),
    Column("username", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("preferred_username", Text),
    Column("name", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("organisation_id", "preferred_username", name="customer_contact_preferred_username"),
    Index("customer_contact_by_customer", "organisation_id", "customer_id"),
)

add_on = Table(
    "add_on",
    metadata,
    _organisation(),
    Column("add_on_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

event_schema = Table(
    "event_schema",
    metadata,
    _organisation(),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

usage_meter = Table(
    "usage_meter",
    metadata,
    _organisation(),
    Column("meter_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("schema_name", Text),
    Column("status", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("organisation_id", "name", "version", name="usage_meter_name"),
    Index("usage_meter_by_schema", "organisation_id", "schema_name"),
)

price_plan = Table(
    "price_plan",
    metadata,
    _organisation(),
    Column("plan_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("organisation_id", "name", "version", name="price_plan_name"),
)

pricing_schedule = Table(
    "pricing_schedule",
    metadata,
    _organisation(),
    Column("account_id", Text, primary_key=True),
    Column("start_date", Text, primary_key=True),
    Column("end_date", Text, nullable=False),  # exclusive; 9999-01-01 is for ever
    Column("schedule_id", Text, nullable=False),
    Column("association_date", Text, nullable=False),  # the day an anniversary cycle is counted from
    Column("plan_id", Text, nullable=False),
    Column("plan_version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("override", Text),  # what the account has different from the plan, as JSON
    Index("pricing_schedule_by_plan", "organisation_id", "plan_id"),
)

setting = Table(
    "setting",
    metadata,
    _organisation(),
    Column("namespace", Text, primary_key=True),
    Column("setting_id", Text, primary_key=True),
    Column("entity_type", Text, primary_key=True),
    Column("entity_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("data_type", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("setting_by_entity", "organisation_id", "entity_type", "entity_id"),
)

# ---- events and usage ------------------------------------------------------------------------------------------

metering_position = Table(
    "metering_position",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),  # the last log position whose events are in the tables below
)

event_key = Table(
    "event_key",
    metadata,
    Column("key", LargeBinary, primary_key=True),  # 128-bit hash of organisation and event id
    Column("content", BigInteger, nullable=False),  # checksum of the event as sent
    Column("partition", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("received_hour", Integer, nullable=False),  # hours since 1970
    sqlite_with_rowid=False,
)

event_repeat = Table(
    "event_repeat",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("received_hour", Integer, nullable=False),
    sqlite_with_rowid=False,
)

usage = Table(
    "usage",
    metadata,
    _organisation(),
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
    _organisation(),
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
    _organisation(),
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
    _organisation(),
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
    _organisation(),
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
    _organisation(),
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

# ---- money -----------------------------------------------------------------------------------------------------

invoice = Table(
    "invoice",
    metadata,
    _organisation(),
    Column("invoice_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("start_date", Text, nullable=False),
    Column("end_date", Text, nullable=False),  # exclusive
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("total", ExactDecimal, nullable=False),
    Column("format", Integer, nullable=False),
    Column("document", Text, nullable=False),  # the invoice with its line tree, as JSON
    Column("inputs", Text, nullable=False),  # usage rows and definition versions it was computed from, as JSON
    Column("inputs_hash", LargeBinary, nullable=False),  # SHA-256 of `inputs`
    Column("issued_at", BigInteger, nullable=False),
    Column("invoice_type", Text, nullable=False, server_default="STANDARD"),
    UniqueConstraint("organisation_id", "account_id", "start_date", "invoice_type", name="invoice_account_cycle"),
    Index("invoice_by_start", "organisation_id", "start_date"),
)

licence_update = Table(
    "licence_update",
    metadata,
    Column("update_id", Integer, primary_key=True, autoincrement=True),
    Column("organisation_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("add_on_id", Text, nullable=False),
    Column("effective_from", BigInteger, nullable=False),
    Column("idempotency_key", Text),
    Column("held", ExactDecimal, nullable=False),  # what the account holds after the update
    Column("definition", Text, nullable=False),
    UniqueConstraint("organisation_id", "idempotency_key", name="licence_update_key"),
    Index("licence_update_by_account", "organisation_id", "account_id", "add_on_id", "effective_from"),
)

advance_charge = Table(
    "advance_charge",
    metadata,
    _organisation(),
    Column("account_id", Text, primary_key=True),
    Column("start_date", Text, primary_key=True),  # of the cycle that is charged in advance
    Column("add_on_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),  # the invoice that charged it
    Column("amount", ExactDecimal, nullable=False),  # exact, not cut; below zero in a correction
    sqlite_with_rowid=False,
)
