"""Data of the first layout, brought to the present one."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from alembic import command
from alembic.config import Config
from invoice_samples import draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, price_plan, usage_card
from sqlalchemy import create_engine

from tallybook.core.account import EVER_FROM
from tallybook.core.customer import Address
from tallybook.core.errors import Conflict
from tallybook.core.invoice import BilledAccount, Invoice, UsageLine, finalised
from tallybook.storage import accounts, aliases, customers, ledger, migrations
from tallybook.storage.database import migrate, open_database
from tallybook.storage.event_key_runs import KnownRuns, unpacked
from tallybook.storage.event_keys import EventKey, entries_of, packed
from tallybook.storage.pages import PageRequest, Place

CREATED_AT = 1_700_000_000_000_000  # 2023-11-14
YEAR_1 = -62_135_596_800_000_000
CUSTOMER = (
    '{"customer_id":"c1","generated_id":"g","name":"Customer","primary_email":"e","address":{},"status":"ACTIVE"}'
)
ACCOUNT = (
    '{"account_id":"a1","generated_id":"g","customer_id":"c1","name":"Account","currency":"INR","status":"ACTIVE"}'
)
NEW_SINCE_THE_FIRST = (
    "invoice_type",
    "advance",
    "group",
    "members",
    "credits_used",
    "number_prefix",
    "sequence_number",
    "paid_amount",
    "merged_into",
)
ISSUED = finalised(
    draft_invoice_of(
        BilledAccount(
            account_id="a1",
            account_name="Account",
            customer_id="c1",
            customer_name="Customer",
            customer_email="e",
            email="e",
            address=Address(),
            currency="INR",
        ),
        organisation_id="acme",
        cycle=cycle_in(
            price_plan(usage_card(SlabSample("0", "2.5"), currencies=("INR",)), currencies=("INR",)),
            (date(2024, 1, 1), date(2024, 2, 1)),
        ),
        usage=[UsageLine(meter_id="um.1", meter_version=1, name="m", units=Decimal(5), event_count=1)],
        computed_at=datetime(2024, 2, 1, tzinfo=UTC),
    ),
    issued_at=datetime(2024, 2, 1, tzinfo=UTC),
)
INPUTS = (
    '{"format":1,"organisation_id":"acme","account_id":"a1","currency":"INR","start_date":"2024-01-01",'
    '"end_date":"2024-02-01","plan_id":"pp.1","plan_version":1,"meter_versions":{"um.1":1},'
    '"usage":[["um.1",473352,"5",1]]}'
)


@pytest.fixture
def first_layout(tmp_path: Path) -> Path:
    """A database as the first version made it, with an account that has an alias."""
    path = tmp_path / "tallybook.sqlite"
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "0001")
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        written = (CREATED_AT, CREATED_AT)
        customer = ("acme", "c1", "g", "ACTIVE", CUSTOMER, *written)
        connection.execute("INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?, ?)", customer)
        account = ("acme", "a1", "g", "c1", "ACTIVE", ACCOUNT, *written)
        connection.execute("INSERT INTO account VALUES (?, ?, ?, ?, ?, ?, ?, ?)", account)
        window = ("acme", "alias", YEAR_1, CREATED_AT, "a1")
        connection.execute("INSERT INTO account_alias VALUES (?, ?, ?, ?, ?)", window)
    return path


def test_customers_and_accounts_can_be_found_by_what_is_new(first_layout: Path) -> None:
    """Names and currencies got columns, which are filled from what was stored."""
    migrate(first_layout)
    database = open_database(first_layout)
    by_name = PageRequest[Place](size=1, filters={}, search="customer", after=None)
    by_currency = PageRequest[Place](size=1, filters={"invoice_currency": "INR"}, search="accou", after=None)
    with database.read() as connection:
        [customer] = customers.list_customers(connection, "acme", by_name).items
        [account] = accounts.list_accounts(connection, "acme", by_currency).items
    database.close()
    assert (customer.definition.customer_id, account.account_id) == ("c1", "a1")


def test_accounts_are_found_by_the_ids_of_their_invoices(first_layout: Path) -> None:
    """Ids of invoices are as old as the accounts; the mark in them got a column, which is filled."""
    migrate(first_layout)
    database = open_database(first_layout)
    _, mark, _ = ISSUED.invoice_id.split(".")
    with database.read() as connection:
        found = accounts.account_by_mark(connection, "acme", mark)
        elsewhere = accounts.account_by_mark(connection, "umbrella", mark)
    database.close()
    assert found is not None
    assert (found.account_id, elsewhere) == ("a1", None)


def test_aliases_keep_their_windows_and_get_ids(first_layout: Path) -> None:
    """An alias is as old as its account, can be named by id, and is known among all aliases."""
    migrate(first_layout)
    database = open_database(first_layout)
    with database.read() as connection:
        [window] = aliases.windows_of_account(connection, "acme", "a1")
        known = aliases.find_alias(connection, "acme", "alias")
    database.close()
    assert UUID(window.alias_id)
    assert window.window.effective_from == EVER_FROM
    assert window.created_at == window.window.effective_until
    assert known is not None
    assert known.created_at == window.created_at


def test_issued_invoices_stay_what_they_were(first_layout: Path) -> None:
    """They get the type of all of the first layout and read as before; what they were computed from does not."""
    document, inputs = _as_first_written(ISSUED), INPUTS
    row = ("acme", "inv.1", "a1", "c1", "2024-01-01", "2024-02-01", "INR", "DUE", "12.5", 1, document, inputs)
    with closing(sqlite3.connect(first_layout)) as connection, connection:
        values = (*row, ledger.inputs_hash(inputs), CREATED_AT)
        connection.execute(f"INSERT INTO invoice VALUES ({', '.join('?' * len(values))})", values)
    migrate(first_layout)
    database = open_database(first_layout)
    with database.read() as connection:
        assert ledger.invoice(connection, "acme", "inv.1") == ISSUED
        with pytest.raises(Conflict, match="did not keep all"):
            ledger.inputs(connection, "acme", "inv.1")
        assert ledger.invoiced_starts(connection, "acme", ["a1"]) == {"a1": {date(2024, 1, 1)}}
    database.close()


def test_ids_stay_taken(first_layout: Path) -> None:
    """The keys of events were rows of a table and became a run; each is found at its place, and known."""
    with closing(sqlite3.connect(first_layout)) as connection, connection:
        rows = [(number.to_bytes(4, "big") * 4, number, 0, number + 7, 473_000) for number in range(70_000)]
        connection.executemany("INSERT INTO event_key VALUES (?, ?, ?, ?, ?)", rows)
    migrate(first_layout)
    database = open_database(first_layout)
    old, new = (number.to_bytes(4, "big") * 4 for number in (69_999, 70_000))
    with database.write() as connection:
        assert [entry.position for entry in entries_of(connection, old)] == [70_006]
        again = unpacked(packed([EventKey(key, 1, 0, 80_000, 473_001) for key in (old, new)]))
        known, _ = KnownRuns().take_ids(connection, again, hours_kept=0, left_out=())
        assert known == {old: 69_999}
    database.close()


def _as_first_written(value: Invoice) -> str:
    """The JSON that the first version wrote: without what it did not know."""
    written = json.loads(msgspec.json.encode(value))
    for name in NEW_SINCE_THE_FIRST:
        written.pop(name, None)
    return json.dumps(written)
