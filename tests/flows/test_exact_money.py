"""Money and quantities never become binary fractions: not while they are computed, and not where they rest."""

import builtins
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, FloatOperation, getcontext
from typing import Any

import msgspec
import pytest
from api_caller import Caller
from correction_samples import accept, add_plan
from embedded import ORGANISATION, Embedded, distance, event
from sqlalchemy import select, text

from tallybook.core.decimals import EXACT, plain_text
from tallybook.core.proof import check_proof, proof_file
from tallybook.flows.bill import Billing
from tallybook.flows.prove_invoice import prove
from tallybook.storage import ledger, tables
from tallybook.storage.tables import ExactDecimal

LATE = datetime(2024, 4, 10, tzinfo=UTC)
THIRTY_DIGITS = "123456789012345678901234567890.123456789012345678901234567890"


class Poison(float):
    """What takes the place of `float`: making one fails."""

    def __new__(cls, *values: object) -> "Poison":
        raise AssertionError(f"a binary fraction was made of {values}")


@pytest.fixture
def no_binary_fractions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing can be turned into a binary fraction, and none can meet a decimal."""
    monkeypatch.setattr(builtins, "float", Poison)
    contexts = [EXACT, getcontext()]
    for context in contexts:
        context.traps[FloatOperation] = True
    yield
    for context in contexts:
        context.traps[FloatOperation] = False


def a_year_of_money(embedded: Embedded, catalogue: Caller) -> None:
    """Usage of many digits, credit, a charge, tax and a wallet, billed for three months."""
    accept(
        embedded,
        event("r1", attributes=distance(THIRTY_DIGITS)),
        event("r2", timestamp="2024-02-15T07:30:00Z", attributes=distance("0.1")),
        event("r3", timestamp="2024-02-15T07:40:00Z", attributes=distance("0.2")),
    )
    add_plan(catalogue)
    credit = {"accountId": "a1", "purpose": "Welcome", "creditAmount": 10.01, "priority": 1}
    window = {"effectiveFrom": "2024-01-01"}
    catalogue.post("/credits", {"creditRequests": [{**credit, **window}]})
    charge = {"items": [{"name": "Delivery", "value": "0.3"}]}
    catalogue.send("PUT", "/accounts/a1/miscellaneous_charges", 200, json=charge)
    tax = {"id": "tax_rate", "value": "8.25", "namespace": "TOGAI", "name": "Tax", "dataType": "STRING"}
    catalogue.post("/settings", {**tax, "entityType": "ORGANIZATION", "entityId": ORGANISATION})
    catalogue.post("/accounts/a1/wallet_topup", {"topupAmount": 7.77})


def test_billing_makes_no_binary_fraction(
    embedded: Embedded, catalogue: Caller, request: pytest.FixtureRequest
) -> None:
    """With `float` poisoned, three months are billed, proved and read; 0.1 + 0.2 km come to 0.3 km."""
    a_year_of_money(embedded, catalogue)
    request.getfixturevalue("no_binary_fractions")
    assert Billing(embedded.database).close_due_cycles(as_of=LATE, metered_through=LATE).finalised == 3
    with embedded.database.read() as connection:
        found = [ledger.invoice(connection, ORGANISATION, each) for each in invoice_ids(embedded)]
    for invoice in found:
        assert invoice is not None
        assert_no_binary_fraction(invoice)
        assert check_proof(
            proof_file(prove(embedded.database, embedded.events, ORGANISATION, invoice.invoice_id))
        ).agrees
    assert sorted(line.units for invoice in found if invoice for line in invoice.usage) == [
        Decimal(0),
        Decimal("0.3"),
        Decimal(THIRTY_DIGITS),
    ]


def test_every_stored_amount_is_text_with_the_same_digits(embedded: Embedded, catalogue: Caller) -> None:
    """In each column of amounts and quantities of the database, after a bit of everything was written."""
    a_year_of_money(embedded, catalogue)
    Billing(embedded.database).close_due_cycles(as_of=LATE, metered_through=LATE)
    catalogue.post("/accounts/a1/wallet_topup", {"topupAmount": 0.1})  # which pays what is due
    filled = set()
    with embedded.database.read() as connection:
        for table in tables.metadata.sorted_tables:
            for column in (each for each in table.columns if isinstance(each.type, ExactDecimal)):
                kinds = connection.execute(
                    text(f"SELECT DISTINCT typeof({column.name}) FROM {table.name} WHERE {column.name} IS NOT NULL")
                ).scalars()
                assert set(kinds) <= {"text"}, f"{table.name}.{column.name}"
                for value in connection.execute(select(column).where(column.is_not(None))).scalars():
                    filled.add(f"{table.name}.{column.name}")
                    assert isinstance(value, Decimal)
                    assert value.is_finite()
                stored = connection.execute(text(f"SELECT {column.name} FROM {table.name}")).scalars()
                assert all(each is None or plain_text(Decimal(each)) == each for each in stored)
    assert {"usage.units", "invoice.total", "credit.consumed", "wallet.balance", "settlement.amount"} <= filled


def invoice_ids(embedded: Embedded) -> list[str]:
    with embedded.database.read() as connection:
        query = select(tables.invoice.c.invoice_id).order_by(tables.invoice.c.start_date)
        return list(connection.execute(query).scalars())


def assert_no_binary_fraction(value: Any) -> None:
    assert type(value).__name__ != "float"
    match value:
        case msgspec.Struct():
            for field in msgspec.structs.fields(value):
                assert_no_binary_fraction(getattr(value, field.name))
        case tuple() | list():
            for each in value:
                assert_no_binary_fraction(each)
        case dict():
            for each in value.values():
                assert_no_binary_fraction(each)
        case _:
            pass
