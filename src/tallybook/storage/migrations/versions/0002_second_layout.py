"""The second layout: what the first one lacked."""

import sqlalchemy as sa
from alembic import op

from tallybook.core.invoice import account_mark

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
    _schedule_drafts()
    _late_usage()
    _payments_and_wallets()
    _credits()
    _invoice_groups()
    _added_to_invoices()


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
    op.add_column("account", sa.Column("mark", sa.Text(), nullable=False, server_default=""))
    op.create_index("account_by_mark", "account", ["organisation_id", "mark"], unique=False)
    _mark_accounts(op.get_bind())


def _mark_accounts(connection: sa.Connection) -> None:
    """Invoices have had their ids since the first layout; now the account is found by one."""
    accounts = connection.execute(sa.text("SELECT organisation_id, account_id FROM account")).all()
    marks = [
        {"mark": account_mark(organisation_id, account_id), "organisation": organisation_id, "account": account_id}
        for organisation_id, account_id in accounts
    ]
    if marks:
        statement = "UPDATE account SET mark = :mark WHERE organisation_id = :organisation AND account_id = :account"
        connection.execute(sa.text(statement), marks)


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
        sa.Column("sequence_number", sa.BigInteger()),
        sa.Column("paid_amount", sa.Text(), nullable=False, server_default="0"),
        sa.Column("group_id", sa.Text()),
        sa.Column("merged_into", sa.Text()),
        sa.Column("invoice_date", sa.Text(), nullable=False, server_default=""),
        sa.Column("plan_id", sa.Text(), nullable=False, server_default=""),
        sa.Column("updated_at", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("organisation_id", "invoice_id"),
    )
    op.execute(
        "INSERT INTO invoice SELECT *, 'STANDARD', NULL, '0', NULL, NULL,"
        " date(end_date, '+' || json_extract(document, '$.grace_days') || ' days'),"
        " json_extract(document, '$.plan_id'), issued_at FROM invoice_before"
    )
    op.drop_table("invoice_before")
    by_nobody = sa.text("invoice_type <> 'CUSTOM'")
    op.create_index(
        "invoice_account_cycle",
        "invoice",
        ["organisation_id", "account_id", "start_date", "invoice_type"],
        unique=True,
        sqlite_where=by_nobody,
        postgresql_where=by_nobody,
    )
    last_first = sa.text("issued_at DESC")
    for name, columns in (
        ("invoice_by_issue", ["organisation_id"]),
        ("invoice_by_owner", ["organisation_id", "account_id"]),
        ("invoice_by_customer", ["organisation_id", "customer_id"]),
    ):
        op.create_index(name, "invoice", [*columns, last_first, "invoice_id"], unique=False)
    op.create_index("invoice_by_status", "invoice", ["organisation_id", "status", "group_id"], unique=False)
    part_of_a_composite = sa.text("merged_into IS NOT NULL")
    op.create_index(
        "invoice_by_composite",
        "invoice",
        ["organisation_id", "merged_into"],
        unique=False,
        sqlite_where=part_of_a_composite,
        postgresql_where=part_of_a_composite,
    )
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


def _credits() -> None:
    """What accounts may set against what they are charged, and what has become of it."""
    op.create_table(
        "credit",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("credit_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("consumed", sa.Text(), nullable=False),
        sa.Column("effective_until", sa.Text()),
        sa.Column("voided_at", sa.BigInteger()),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "credit_id"),
        sa.UniqueConstraint("organisation_id", "idempotency_key", name="credit_key"),
    )
    op.create_index("credit_by_account", "credit", ["organisation_id", "account_id"], unique=False)
    op.create_table(
        "credit_entry",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("credit_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entry_type", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "credit_id", "number"),
        sa.UniqueConstraint("organisation_id", "credit_id", "entry_type", "invoice_id", name="credit_entry_once"),
    )
    op.create_index("credit_entry_by_invoice", "credit_entry", ["organisation_id", "invoice_id"], unique=False)


def _payments_and_wallets() -> None:
    """What is paid, what that is for, and what is kept for invoices to come."""
    op.create_table(
        "payment",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("transaction_number", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "payment_id"),
        sa.UniqueConstraint(
            "organisation_id",
            "account_id",
            "source_type",
            "source_name",
            "transaction_number",
            name="payment_external_reference",
        ),
    )
    op.create_index("payment_by_time", "payment", ["organisation_id", "created_at"], unique=False)
    op.create_table(
        "settlement",
        sa.Column("settlement_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("settlement_id"),
    )
    op.create_index("settlement_by_invoice", "settlement", ["organisation_id", "invoice_id"], unique=False)
    op.create_table(
        "wallet",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("balance", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "account_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "wallet_entry",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.Text(), nullable=False),
        sa.Column("entry_type", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text()),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("closing_balance", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "account_id", "number"),
        sa.UniqueConstraint("organisation_id", "account_id", "idempotency_key", name="wallet_entry_key"),
        sqlite_with_rowid=False,
    )


def _late_usage() -> None:
    """Which invoices' usage has changed since they were issued, and what later ones say of that."""
    op.create_table(
        "late_note",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("start_date", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "account_id", "start_date"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "late_posting",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("posted_by", sa.Text(), nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "invoice_id", "posted_by"),
        sqlite_with_rowid=False,
    )


def _invoice_groups() -> None:
    """Accounts whose invoices are merged."""
    op.create_table(
        "invoice_group",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "group_id"),
    )
    op.create_table(
        "invoice_group_account",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "account_id"),
    )
    op.create_index(
        "invoice_group_account_by_group", "invoice_group_account", ["organisation_id", "group_id"], unique=False
    )


def _added_to_invoices() -> None:
    """What people put on invoices by hand, and the numbers of those that are issued."""
    op.create_table(
        "invoice_number",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "miscellaneous_charges",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "account_id", "invoice_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "custom_invoice",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("advance_on", sa.Text()),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "invoice_id"),
        sa.UniqueConstraint("organisation_id", "idempotency_key", name="custom_invoice_key"),
    )
    op.create_index("custom_invoice_by_owner", "custom_invoice", ["organisation_id", "owner_id", "state"], unique=False)
    op.create_index("custom_invoice_by_day", "custom_invoice", ["organisation_id", "state", "advance_on"], unique=False)


def _schedule_drafts() -> None:
    """Schedules may be drafted before they bill, and are found by their ids."""
    op.create_index("pricing_schedule_by_id", "pricing_schedule", ["organisation_id", "schedule_id"], unique=False)
    op.create_table(
        "schedule_draft",
        sa.Column("organisation_id", sa.Text(), nullable=False),
        sa.Column("schedule_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "schedule_id"),
    )
    op.create_index(
        "schedule_draft_by_account", "schedule_draft", ["organisation_id", "account_id", "number"], unique=False
    )
