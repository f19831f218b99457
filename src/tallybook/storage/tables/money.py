"""Invoices, what they are made of, and how they are paid."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text

from tallybook.storage.tables.columns import ExactDecimal, metadata, organisation_key

# ---- money -----------------------------------------------------------------------------------------------------

_WRITTEN_BY_NOBODY = text("invoice_type <> 'CUSTOM'")
_ISSUED_LAST_FIRST = text("issued_at DESC")
_PART_OF_A_COMPOSITE = text("merged_into IS NOT NULL")

invoice = Table(
    "invoice",
    metadata,
    organisation_key(),
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
    Column("sequence_number", BigInteger),  # 1, 2, 3 … in the organisation
    Column("paid_amount", ExactDecimal, nullable=False, server_default="0"),  # it sums up the settlements
    Column("group_id", Text),  # the group that merges it with others
    Column("merged_into", Text),  # the composite that it is part of
    Column("invoice_date", Text, nullable=False, server_default=""),
    Column("plan_id", Text, nullable=False, server_default=""),  # "" where no plan bills
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    # One invoice for each account, cycle and type; of those that are written by hand there may be more.
    Index(
        "invoice_account_cycle",
        "organisation_id",
        "account_id",
        "start_date",
        "invoice_type",
        unique=True,
        sqlite_where=_WRITTEN_BY_NOBODY,
        postgresql_where=_WRITTEN_BY_NOBODY,
    ),
    Index("invoice_by_start", "organisation_id", "start_date"),
    # As lists are sorted: a bill run issues many at one instant, and sorting these would read them all.
    Index("invoice_by_issue", "organisation_id", _ISSUED_LAST_FIRST, "invoice_id"),
    Index("invoice_by_owner", "organisation_id", "account_id", _ISSUED_LAST_FIRST, "invoice_id"),
    Index("invoice_by_customer", "organisation_id", "customer_id", _ISSUED_LAST_FIRST, "invoice_id"),
    Index("invoice_by_status", "organisation_id", "status", "group_id"),
    Index(
        "invoice_by_composite",
        "organisation_id",
        "merged_into",
        sqlite_where=_PART_OF_A_COMPOSITE,
        postgresql_where=_PART_OF_A_COMPOSITE,
    ),
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
    organisation_key(),
    Column("account_id", Text, primary_key=True),
    Column("start_date", Text, primary_key=True),  # of the cycle that is charged in advance
    Column("add_on_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),  # the invoice that charged it
    Column("amount", ExactDecimal, nullable=False),  # exact, not cut; below zero in a correction
    sqlite_with_rowid=False,
)

credit = Table(
    "credit",
    metadata,
    organisation_key(),
    Column("credit_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("amount", ExactDecimal, nullable=False),  # as granted
    Column("consumed", ExactDecimal, nullable=False),  # what finalised invoices used; it sums up the entries
    Column("effective_until", Text),  # exclusive
    Column("voided_at", BigInteger),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("organisation_id", "idempotency_key", name="credit_key"),
    Index("credit_by_account", "organisation_id", "account_id"),
)

credit_entry = Table(
    "credit_entry",
    metadata,
    organisation_key(),
    Column("credit_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1 is the grant
    Column("entry_type", Text, nullable=False),  # CREDITED | DEBITED | VOIDED; EXPIRED is worked out
    Column("invoice_id", Text, nullable=False),  # "" when no invoice is the reason
    Column("amount", ExactDecimal, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("organisation_id", "credit_id", "entry_type", "invoice_id", name="credit_entry_once"),
    Index("credit_entry_by_invoice", "organisation_id", "invoice_id"),
)

# ---- payments and wallets --------------------------------------------------------------------------------------

payment = Table(
    "payment",
    metadata,
    organisation_key(),
    Column("payment_id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("source_type", Text, nullable=False),
    Column("source_name", Text, nullable=False),
    Column("transaction_number", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint(
        "organisation_id",
        "account_id",
        "source_type",
        "source_name",
        "transaction_number",
        name="payment_external_reference",
    ),
    Index("payment_by_time", "organisation_id", "created_at"),
)

settlement = Table(
    "settlement",
    metadata,
    Column("settlement_id", Integer, primary_key=True, autoincrement=True),
    Column("organisation_id", Text, nullable=False),
    Column("invoice_id", Text, nullable=False),
    Column("account_id", Text, nullable=False),  # whose money it is
    Column("source", Text, nullable=False),  # PAYMENT | WALLET | REFUND
    Column("entity_id", Text, nullable=False),  # the payment, the wallet, or the invoice that is refunded
    Column("amount", ExactDecimal, nullable=False),  # below zero when money leaves the invoice
    Column("created_at", BigInteger, nullable=False),
    Index("settlement_by_invoice", "organisation_id", "invoice_id"),
)

wallet = Table(
    "wallet",
    metadata,
    organisation_key(),
    Column("account_id", Text, primary_key=True),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("balance", ExactDecimal, nullable=False),  # credited less debited, and the last closing balance
    Column("effective_from", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

wallet_entry = Table(
    "wallet_entry",
    metadata,
    organisation_key(),
    Column("account_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # 1, 2, 3 … of the wallet
    Column("entry_id", Text, nullable=False),
    Column("entry_type", Text, nullable=False),
    Column("amount", ExactDecimal, nullable=False),
    Column("entity_id", Text),  # the payment or the invoice; a top-up has none
    Column("description", Text, nullable=False),
    Column("closing_balance", ExactDecimal, nullable=False),
    Column("idempotency_key", Text),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("organisation_id", "account_id", "idempotency_key", name="wallet_entry_key"),
    sqlite_with_rowid=False,
)

late_note = Table(
    "late_note",
    metadata,
    organisation_key(),
    Column("account_id", Text, primary_key=True),
    Column("start_date", Text, primary_key=True),  # of the cycle whose usage has changed since it was invoiced
    Column("invoice_id", Text, nullable=False),
    sqlite_with_rowid=False,
)

late_posting = Table(
    "late_posting",
    metadata,
    organisation_key(),
    Column("invoice_id", Text, primary_key=True),  # the invoice whose usage has changed
    Column("posted_by", Text, primary_key=True),  # the later invoice that posts the difference
    Column("amount", ExactDecimal, nullable=False),
    Column("lines", Text, nullable=False),  # what it is made of, as JSON
    sqlite_with_rowid=False,
)

invoice_group = Table(
    "invoice_group",
    metadata,
    organisation_key(),
    Column("group_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

invoice_group_account = Table(
    "invoice_group_account",
    metadata,
    organisation_key(),
    Column("account_id", Text, primary_key=True),  # an account is in one group at most
    Column("group_id", Text, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Index("invoice_group_account_by_group", "organisation_id", "group_id"),
)

# ---- what is added to invoices ---------------------------------------------------------------------------------

invoice_number = Table(
    "invoice_number",
    metadata,
    organisation_key(),
    Column("last_number", BigInteger, nullable=False),  # of the invoice that was issued last
    sqlite_with_rowid=False,
)

miscellaneous_charges = Table(
    "miscellaneous_charges",
    metadata,
    organisation_key(),
    Column("account_id", Text, primary_key=True),
    Column("invoice_id", Text, primary_key=True),  # a draft; "" is whichever comes next
    Column("definition", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

custom_invoice = Table(
    "custom_invoice",
    metadata,
    organisation_key(),
    Column("invoice_id", Text, primary_key=True),
    Column("owner_id", Text, nullable=False),  # an account or an invoice group
    Column("state", Text, nullable=False),  # DRAFT | ISSUED | DELETED
    Column("advance_on", Text),  # the day from which a bill run issues the draft
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary, nullable=False),  # of the request that made it, to know it when it is repeated
    Column("definition", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("organisation_id", "idempotency_key", name="custom_invoice_key"),
    Index("custom_invoice_by_owner", "organisation_id", "owner_id", "state"),
    Index("custom_invoice_by_day", "organisation_id", "state", "advance_on"),
)
