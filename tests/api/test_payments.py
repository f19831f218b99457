"""Payments, wallets and the statuses of invoices over HTTP: the interface's shapes, and what is refused."""

from datetime import date
from typing import Any

import pytest
from api_caller import Caller
from billing_samples import add_account, add_catalogue
from price_plan_samples import NOW
from settling_samples import billed, standing
from togai_client.models.list_payment_response import ListPaymentResponse
from togai_client.models.payment import Payment
from togai_client.models.wallet_balance_response import WalletBalanceResponse
from togai_client.models.wallet_entries_paginated_response import WalletEntriesPaginatedResponse

from tallybook.core.account import Account, AccountStatus
from tallybook.core.credential import Scope
from tallybook.core.invoice import InvoiceStatus
from tallybook.storage import accounts
from tallybook.storage.database import Database

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
REFERENCE = {"sourceName": "XYZ Company", "sourceType": "CARD", "transactionNumber": "TXN123"}


@pytest.fixture
def org(client: Caller, database: Database) -> Caller:
    """A client of the organisation whose account P is billed from January 2024 on."""
    with database.write() as connection:
        add_catalogue(connection)
        add_account(connection, "P", start=JANUARY)
    return client.of("org")


@pytest.fixture
def invoice_id(org: Caller, database: Database) -> str:
    """An invoice of 120 dollars."""
    return billed(database, JANUARY, total=120)


def payment(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "accountId": "P",
        "currency": "USD",
        "totalAmount": 200,
        "externalPaymentReference": {**REFERENCE, **changes.pop("reference", {})},
        "lineItemRecords": list(lines) or [{"type": "WALLET_CREDIT", "order": 1}],
        **changes,
    }


def for_invoice(invoice_id: str, **changes: Any) -> dict[str, Any]:
    return {"type": "INVOICE", "togaiId": invoice_id, "order": 1, **changes}


# ---- payments ----------------------------------------------------------------------------------------------------


def test_a_payment_is_recorded_and_read(org: Caller, database: Database, invoice_id: str) -> None:
    """200 for an invoice of 120: as recorded, 80 are in the wallet; read and listed, it is the same."""
    request = payment(
        for_invoice(invoice_id, amount=150.00),
        description="Payment for services",
        notes="Invoice payment",
        reference={"description": "Card payment", "metadata": {"desk": "7"}},
    )
    created = org.post("/payments", request, status=201)
    wallet_id = org.get("/accounts/P/wallet")["id"]
    created_at = created["createdAt"]
    assert created == {
        "id": created["id"],
        "description": "Payment for services",
        "notes": "Invoice payment",
        "accountId": "P",
        "currency": "USD",
        "externalPaymentReferences": {**REFERENCE, "description": "Card payment", "metadata": {"desk": "7"}},
        "lineItemRecords": [
            {"type": "INVOICE", "togaiId": invoice_id, "amount": 120, "order": 1},
            {"type": "WALLET_CREDIT", "togaiId": wallet_id, "amount": 80, "order": 2},
        ],
        "totalAmount": 200,
        "version": 1,
        "createdBy": created["createdBy"],
        "createdAt": created_at,
    }
    assert created["id"].startswith("payment.")
    assert Payment.from_dict(created) is not None
    assert org.get(f"/payments/{created['id']}") == created == org.get(f"/payments/{created['id']}", version=1)
    assert org.get("/payments") == {"data": [created]}
    assert ListPaymentResponse.from_dict(org.get("/payments")) is not None
    assert org.post("/payments", request, status=201) == created
    assert standing(database, invoice_id) == (InvoiceStatus.PAID, 120)


def test_payments_are_listed_page_by_page_the_newest_first(org: Caller) -> None:
    """Five payments, two a page; the last page says that it is the last."""
    ids = [
        org.post("/payments", payment(reference={"transactionNumber": str(number)}), status=201)["id"]
        for number in range(5)
    ]
    page, seen = org.get("/payments", pageSize=2), []
    while True:
        seen += [each["id"] for each in page["data"]]
        if "nextToken" not in page:
            break
        page = org.get("/payments", nextToken=page["nextToken"])
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"colour": "red"}, "INVALID_REQUEST", "unknown field `colour`"),
        ({"totalAmount": 0}, "INVALID_REQUEST", "totalAmount: must be a number above 0"),
        ({"totalAmount": -1}, "INVALID_REQUEST", "totalAmount: must be a number above 0"),
        ({"totalAmount": "1e3"}, "INVALID_REQUEST", "totalAmount"),
        ({"totalAmount": 0.015}, "INVALID_REQUEST", "not a whole number of USD's smallest unit"),
        ({"currency": "EUR"}, "INVALID_REQUEST", "account 'P' pays in USD"),
        ({"currency": "dollars"}, "INVALID_REQUEST", "currency"),
        ({"accountId": "nobody"}, "UNKNOWN_ACCOUNT", "no account 'nobody'"),
        ({"lineItemRecords": []}, "INVALID_REQUEST", "lineItemRecords"),
        ({"lineItemRecords": [for_invoice("inv.x")] * 101}, "INVALID_REQUEST", "lineItemRecords"),
        ({"lineItemRecords": [for_invoice("inv.x")]}, "UNKNOWN_INVOICE", "has no finalised invoice 'inv.x'"),
        ({"lineItemRecords": [for_invoice("inv.x", order=-1)]}, "INVALID_REQUEST", "lineItemRecords[0].order"),
        ({"lineItemRecords": [{"type": "GIFT", "order": 1}]}, "INVALID_REQUEST", "lineItemRecords[0].type"),
        ({"description": "x" * 513}, "INVALID_REQUEST", "description"),
        ({"reference": {"sourceType": "CASH_ON_DELIVERY"}}, "INVALID_REQUEST", "sourceType"),
        ({"reference": {"transactionNumber": ""}}, "INVALID_REQUEST", "transactionNumber"),
        ({"reference": {"metadata": {"a": {"b": 1}}}}, "INVALID_REQUEST", "metadata"),
    ],
)
def test_payments_that_cannot_be_are_refused(org: Caller, changes: dict[str, Any], code: str, message: str) -> None:
    """Each refusal says where, and nothing is recorded."""
    refused = org.post("/payments", payment(**changes), status=400)
    assert refused["code"] == code
    assert message in refused["message"]
    assert org.get("/payments")["data"] == []


def test_a_reference_names_one_payment(org: Caller) -> None:
    """Other contents under the same reference are refused; another number is another payment."""
    org.post("/payments", payment(), status=201)
    assert org.post("/payments", payment(totalAmount=201), status=400)["code"] == "ALREADY_EXISTS"
    org.post("/payments", payment(reference={"transactionNumber": "TXN124"}), status=201)
    assert org.get("/accounts/P/wallet")["balance"] == 400


def test_nobody_sees_the_payments_of_another_organisation(org: Caller, stranger: Caller, invoice_id: str) -> None:
    """Nor pays or moves its invoices, nor looks into its wallets."""
    created = org.post("/payments", payment(for_invoice(invoice_id)), status=201)
    assert stranger.get("/payments")["data"] == []
    stranger.get(f"/payments/{created['id']}", status=404)
    stranger.post("/payments", payment(for_invoice(invoice_id)), status=400)
    stranger.send("PATCH", f"/invoices/{invoice_id}", 404, json={"status": "VOID"})
    for path in ("/accounts/P/wallet", "/accounts/P/wallet/entries"):
        stranger.get(path, status=404)
    stranger.post("/accounts/P/wallet_topup", {"topupAmount": 1}, status=404)
    stranger.send("PATCH", "/accounts/P/wallet", 404, json={"status": "INACTIVE"})


def test_a_key_that_only_reads_moves_no_money(org: Caller, invoice_id: str) -> None:
    """It reads payments and wallets, and is refused everything else."""
    reader = org.of("org", Scope.READ)
    assert reader.get("/payments")["data"] == []
    assert reader.get("/accounts/P/wallet")["balance"] == 0
    reader.post("/payments", payment(), status=403)
    reader.post("/accounts/P/wallet_topup", {"topupAmount": 1}, status=403)
    reader.send("PATCH", "/accounts/P/wallet", 403, json={"status": "INACTIVE"})
    reader.send("PATCH", f"/invoices/{invoice_id}", 403, json={"status": "PAID"})


def test_a_payment_has_version_1_alone(org: Caller) -> None:
    """Another version is not there, nor another payment."""
    created = org.post("/payments", payment(), status=201)
    assert "in version 2" in org.get(f"/payments/{created['id']}", status=404, version=2)["message"]
    org.get("/payments/payment.none", status=404)


# ---- the wallet --------------------------------------------------------------------------------------------------


def test_every_account_has_a_wallet(org: Caller) -> None:
    """Empty and active before anything was put into it."""
    wallet = org.get("/accounts/P/wallet")
    assert wallet == {
        "id": wallet["id"],
        "accountId": "P",
        "customerId": "CUS",
        "balance": 0,
        "creditUnit": "USD",
        "status": "ACTIVE",
        "holdAmount": 0,
        "effectiveFrom": "2024-01-01T00:00:00Z",
        "createdAt": "2024-01-01T00:00:00Z",
        "updatedAt": "2024-01-01T00:00:00Z",
    }
    assert WalletBalanceResponse.from_dict(wallet) is not None
    assert org.get("/accounts/P/wallet/entries") == {"data": []}
    org.get("/accounts/nobody/wallet", status=404)
    org.get("/accounts/nobody/wallet/entries", status=404)


def test_a_top_up_pays_what_is_due(org: Caller, invoice_id: str) -> None:
    """500.50 for 120: 380.50 stay, and the entries say why; the key keeps a second one out."""
    for _ in range(2):
        answer = org.post("/accounts/P/wallet_topup", {"topupAmount": 500.50, "idempotencyKey": "k"}, status=200)
        assert (answer["balance"], answer["creditUnit"]) == (380.5, "USD")
    listed = org.get("/accounts/P/wallet/entries")
    debit, credit = listed["data"]
    assert debit == {
        "id": debit["id"],
        "description": "Paid an invoice",
        "walletId": answer["id"],
        "transactionType": "DEBITED",
        "status": "COMPLETED",
        "entityId": invoice_id,
        "amount": 120,
        "createdAt": debit["createdAt"],
        "closingBalance": 380.5,
    }
    assert (credit["transactionType"], credit["amount"], credit["closingBalance"]) == ("CREDITED", 500.5, 500.5)
    assert WalletEntriesPaginatedResponse.from_dict(listed) is not None
    first = org.get("/accounts/P/wallet/entries", pageSize=1)
    assert org.get("/accounts/P/wallet/entries", nextToken=first["nextToken"])["data"] == [credit]


def test_a_page_of_one_wallet_is_none_of_another(org: Caller, database: Database) -> None:
    """A token belongs to the account that it was made for."""
    with database.write() as connection:
        add_account(connection, "Q", start=JANUARY)
    for amount in (1, 2):
        org.post("/accounts/P/wallet_topup", {"topupAmount": amount})
    token = org.get("/accounts/P/wallet/entries", pageSize=1)["nextToken"]
    assert org.get("/accounts/Q/wallet/entries", status=400, nextToken=token)["code"] == "INVALID_TOKEN"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"topupAmount": 0},
        {"topupAmount": -5},
        {"topupAmount": 0.001},
        {"topupAmount": 1, "idempotencyKey": ""},
        {"topupAmount": 1, "idempotencyKey": "k" * 256},
        {"topupAmount": 1, "currency": "USD"},
        {"topupAmount": True},
        {"topupAmount": "1_0"},
    ],
)
def test_top_ups_that_cannot_be_are_refused(org: Caller, body: dict[str, Any]) -> None:
    """And the wallet stays empty."""
    org.post("/accounts/P/wallet_topup", body, status=400)
    assert org.get("/accounts/P/wallet")["balance"] == 0


def test_an_amount_with_an_endless_exponent_is_refused_at_once(org: Caller) -> None:
    """It would be a hundred million digits."""
    answer = org.send(
        "POST",
        "/accounts/P/wallet_topup",
        400,
        content=b'{"topupAmount":1e99999999}',
        headers={"Content-Type": "application/json"},
    )
    assert "topupAmount" in answer["message"]


def test_a_wallet_is_switched_off_and_on(org: Caller, invoice_id: str) -> None:
    """Off, it takes no top-up; on again, it pays from the day on that it is given."""
    off = org.send("PATCH", "/accounts/P/wallet", 200, json={"status": "INACTIVE"})
    assert off["status"] == "INACTIVE"
    assert org.post("/accounts/P/wallet_topup", {"topupAmount": 1}, status=400)["code"] == "WALLET_INACTIVE"
    later = {"status": "ACTIVE", "effectiveFrom": "2999-01-01T00:00:00+02:00"}
    assert org.send("PATCH", "/accounts/P/wallet", 200, json=later)["effectiveFrom"] == "2998-12-31T22:00:00Z"
    assert org.post("/accounts/P/wallet_topup", {"topupAmount": 50})["balance"] == 50
    now = org.send("PATCH", "/accounts/P/wallet", 200, json={"effectiveFrom": "2024-01-01T00:00:00Z"})
    assert (now["status"], now["balance"]) == ("ACTIVE", 0)
    assert org.send("PATCH", "/accounts/P/wallet", 400, json={"status": "GONE"})["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("status", "code"),
    [(AccountStatus.DRAFT, "ACCOUNT_NOT_ACTIVE"), (AccountStatus.ARCHIVED, "ACCOUNT_ARCHIVED")],
)
def test_accounts_that_are_not_in_use_are_not_topped_up(
    org: Caller, database: Database, status: AccountStatus, code: str
) -> None:
    """A draft may still change its currency, and an archived one needs no money."""
    account = Account(
        account_id="X", generated_id="account.X", customer_id="CUS", name="X", currency="USD", status=status
    )
    with database.write() as connection:
        accounts.add_account(connection, "org", account, now=NOW)
    assert org.post("/accounts/X/wallet_topup", {"topupAmount": 1}, status=400)["code"] == code
    assert org.get("/accounts/X/wallet")["balance"] == 0


# ---- statuses ----------------------------------------------------------------------------------------------------


def test_an_invoice_shows_what_is_paid(org: Caller, invoice_id: str) -> None:
    """50 of 120, then all of it, on the invoice and in the list."""
    org.post("/payments", payment(for_invoice(invoice_id), totalAmount=50), status=201)
    read = org.get(f"/invoices/{invoice_id}")
    assert (read["status"], read["totalAmount"], read["paidAmount"]) == ("PARTIALLY_PAID", 120, 50)
    changed = org.send("PATCH", f"/invoices/{invoice_id}", 200, json={"status": "PAID"})
    assert (changed["status"], changed["paidAmount"]) == ("PAID", 120)
    [listed] = [each for each in org.get("/invoices", owner_id="P")["data"] if each["id"] == invoice_id]
    assert (listed["status"], listed["paidAmount"]) == ("PAID", 120)
    assert [each["totalAmount"] for each in org.get("/payments")["data"]] == [70, 50]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "INVALID_REQUEST"),
        ({"status": "MERGED"}, "INVALID_REQUEST"),
        ({"status": "PARTIALLY_PAID"}, "INVALID_REQUEST"),
        ({"status": "REFUND_INITIATED"}, "STATUS_TRANSITION"),
        ({"status": "REFUND_COMPLETED"}, "STATUS_TRANSITION"),
    ],
)
def test_changes_that_cannot_be_are_refused(org: Caller, invoice_id: str, body: dict[str, Any], code: str) -> None:
    """A status that nobody sets, or to which there is no way."""
    assert org.send("PATCH", f"/invoices/{invoice_id}", 400, json=body)["code"] == code


def test_an_invoice_goes_the_way_of_a_refund(org: Caller, invoice_id: str) -> None:
    """PAID, REFUND_INITIATED, REFUND_COMPLETED; in the end nothing is paid."""
    for status, paid in (("PAID", 120), ("REFUND_INITIATED", 120), ("REFUND_COMPLETED", 0)):
        answer = org.send("PATCH", f"/invoices/{invoice_id}", 200, json={"status": status})
        assert (answer["status"], answer["paidAmount"]) == (status, paid)


def test_a_payment_says_why_an_invoice_takes_none(org: Caller, invoice_id: str) -> None:
    """A void invoice is not to be paid."""
    org.send("PATCH", f"/invoices/{invoice_id}", 200, json={"status": "VOID"})
    refused = org.post("/payments", payment(for_invoice(invoice_id)), status=400)
    assert (refused["code"], "is VOID" in refused["message"]) == ("INVOICE_NOT_PAYABLE", True)
