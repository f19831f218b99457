"""Who may call, and what organisations define: customers, accounts, schemas, meters, plans, settings."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint

from tallybook.storage.tables.columns import metadata, organisation_key

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
    organisation_key(),
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
    organisation_key(),
    Column("account_id", Text, primary_key=True),
    Column("generated_id", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("currency", Text, nullable=False, server_default=""),
    Column("mark", Text, nullable=False, server_default=""),  # what the ids of its invoices share
    Index("account_by_customer", "organisation_id", "customer_id"),
    Index("account_by_mark", "organisation_id", "mark"),
)

account_alias = Table(
    "account_alias",
    metadata,
    organisation_key(),
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
    organisation_key(),
    Column("value", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

customer_contact = Table(
    "customer_contact",
    metadata,
    organisation_key(),
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
    organisation_key(),
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
    organisation_key(),
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
    organisation_key(),
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
    organisation_key(),
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
    organisation_key(),
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
    Index("pricing_schedule_by_id", "organisation_id", "schedule_id"),
)

schedule_draft = Table(
    "schedule_draft",
    metadata,
    organisation_key(),
    Column("schedule_id", Text, primary_key=True),  # or that of a step which takes a plan away
    Column("account_id", Text, nullable=False),
    Column("number", Integer, nullable=False),  # in the order in which the account's steps were drafted
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("schedule_draft_by_account", "organisation_id", "account_id", "number"),
)

setting = Table(
    "setting",
    metadata,
    organisation_key(),
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
