"""The second layout: what the first one lacked."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Nothing is taken away, so data of the first layout stays as it is."""
    _roles_and_switches_of_keys()
    _settings()
    _names_of_customers_and_accounts()
    _aliases_and_contacts()
    _add_ons()
    _corrections_and_jobs()
    _values_of_meters()
    _verdicts_by_receipt()
    _charges_in_advance()


def _roles_and_switches_of_keys() -> None:
    """A key may have a role besides its scopes, and may be switched off and on again."""
    op.add_column("api_key", sa.Column("role", sa.Text(), nullable=True))
    op.add_column("api_key", sa.Column("switched_off_at", sa.BigInteger(), nullable=True))


def _names_of_customers_and_accounts() -> None:
    """What lists are filtered, searched and sorted by has columns of its own."""
    op.add_column("customer", sa.Column("name", sa.Text(), nullable=False, server_default=""))
    op.add_column("account", sa.Column("name", sa.Text(), nullable=False, server_default=""))
    op.add_column("account", sa.Column("currency", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE customer SET name = json_extract(definition, '$.name')")
    op.execute("UPDATE account SET name = json_extract(definition, '$.name')")
    op.execute("UPDATE account SET currency = json_extract(definition, '$.currency')")


def _aliases_and_contacts() -> None:
    """Aliases have an id and a life of their own, and customers have people."""
    op.add_column("account_alias", sa.Column("alias_id", sa.Text(), nullable=False, server_default=""))
    op.add_column("account_alias", sa.Column("created_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("account_alias", sa.Column("updated_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE account_alias SET alias_id = lower(hex(randomblob(16))), (created_at, updated_at) ="
        " (SELECT account.created_at, account.created_at FROM account"
        " WHERE account.organisation_id = account_alias.organisation_id"
        " AND account.account_id = account_alias.account_id)"
    )
    op.create_table(
        "alias",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "value"),
    )
    op.execute(
        "INSERT INTO alias (organisation_id, value, created_at)"
        " SELECT organisation_id, alias, min(created_at) FROM account_alias GROUP BY organisation_id, alias"
    )
    op.create_table(
        "customer_contact",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("preferred_username", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "username"),
        sa.UniqueConstraint("organisation_id", "preferred_username", name="customer_contact_preferred_username"),
    )
    op.create_index(
        "customer_contact_by_customer", "customer_contact", ["organisation_id", "customer_id"], unique=False
    )


def _add_ons() -> None:
    """What is sold besides usage."""
    op.create_table(
        "add_on",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("add_on_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "add_on_id"),
    )


def _values_of_meters() -> None:
    """What meters that do more than add up have to remember."""
    op.create_table(
        "usage_value",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("meter_id", sa.Text(), nullable=False),
        sa.Column("event_hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "account_id", "meter_id", "event_hour", "value"),
        sqlite_with_rowid=False,
    )


def _verdicts_by_receipt() -> None:
    """What the counts of events come to by hour of receipt, so that accepted events can be balanced at any time."""
    op.create_table(
        "verdict_count",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("received_hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "received_hour", "status"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO verdict_count SELECT organisation_id, received_hour, status, sum(event_count) FROM event_count "
        "GROUP BY organisation_id, received_hour, status"
    )


def _settings() -> None:
    """Values that hang on the organisation or on one of its entities."""
    op.create_table(
        "setting",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("setting_id", sa.Text(), nullable=False),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data_type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "namespace", "setting_id", "entity_type", "entity_id"),
    )
    op.create_index("setting_by_entity", "setting", ["organisation_id", "entity_type", "entity_id"], unique=False)


def _corrections_and_jobs() -> None:
    """What was reverted, and what is done for somebody who does not wait for it."""
    op.create_table(
        "reversal",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("correction_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reverted_by", sa.BigInteger(), nullable=False),
        sa.Column("replaced_by", sa.Integer(), nullable=True),
        sa.Column("reverted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", "event_index"),
        sqlite_with_rowid=False,
    )
    op.create_index("reversal_by_place", "reversal", ["organisation_id", "position", "event_index"], unique=False)
    op.create_table(
        "job",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "job_id"),
    )
    op.create_index("job_by_status", "job", ["status", "created_at"], unique=False)
    op.create_table(
        "job_entry",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "job_id", "number"),
        sqlite_with_rowid=False,
    )
    op.create_index("job_entry_by_status", "job_entry", ["organisation_id", "job_id", "status", "number"], unique=False)
    op.create_table(
        "change_reader",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    # What happened before is not acted upon.
    op.execute(
        "INSERT INTO change_reader (name, version) SELECT 'reprocess', coalesce(max(version), 0) FROM definition_change"
    )


def _charges_in_advance() -> None:
    """A cycle may have an invoice for what it is charged in advance, beside the one for what it came to."""
    # SQLite cannot drop a constraint, so the table is made anew.
    op.drop_index("invoice_by_start", "invoice")
    op.rename_table("invoice", "invoice_before")
    op.create_table(
        "invoice",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("start_date", sa.Text(), nullable=False),
        sa.Column("end_date", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("total", sa.Text(), nullable=False),
        sa.Column("format", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("inputs_hash", sa.LargeBinary(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("invoice_type", sa.Text(), nullable=False, server_default="STANDARD"),
        sa.PrimaryKeyConstraint("organisation_id", "invoice_id"),
        sa.UniqueConstraint(
            "organisation_id", "account_id", "start_date", "invoice_type", name="invoice_account_cycle"
        ),
    )
    op.execute("INSERT INTO invoice SELECT *, 'STANDARD' FROM invoice_before")
    op.drop_table("invoice_before")
    op.create_index("invoice_by_start", "invoice", ["organisation_id", "start_date"], unique=False)
    op.add_column("pricing_schedule", sa.Column("override", sa.Text()))
    op.create_index("pricing_schedule_by_plan", "pricing_schedule", ["organisation_id", "plan_id"], unique=False)
    op.create_table(
        "licence_update",
        sa.Column("update_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("add_on_id", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("held", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("update_id"),
        sa.UniqueConstraint("organisation_id", "idempotency_key", name="licence_update_key"),
    )
    op.create_index(
        "licence_update_by_account",
        "licence_update",
        ["organisation_id", "account_id", "add_on_id", "effective_from"],
        unique=False,
    )
    op.create_table(
        "advance_charge",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("start_date", sa.Text(), nullable=False),
        sa.Column("add_on_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "account_id", "start_date", "add_on_id", "invoice_id"),
        sqlite_with_rowid=False,
    )
