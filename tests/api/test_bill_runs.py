"""Bill runs and composite invoices over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

from tallybook.core.credential import Scope
from tallybook.core.instant import instant_at
from tallybook.core.job import JobType
from tallybook.flows.bill import Billing
from tallybook.flows.bill_in_jobs import BillRunWork
from tallybook.flows.run_jobs import JobRunner
from tallybook.storage.database import Database
from tallybook.storage.log_sqlite import now_microseconds

JANUARY = {"mode": "ASSOCIATE", "effectiveFrom": "2024-01-01", "effectiveUntil": "2024-02-01"}


@pytest.fixture
def billed(client: Caller) -> Caller:
    """Accounts a1 and a2, each charged 49.5 for January 2024, of an organisation that starts its bill runs itself."""
    meter_id = samples.active_meter(client)
    client.post("/customers", samples.customer())
    add_on = client.post("/addons", {"name": "Platform", "type": "FIXED_FEE"}, status=200)
    rates = [{"currency": currency, "rate": 49.5} for currency in ("USD", "EUR")]
    fee = {"id": add_on["id"], "rateValues": rates, "enableProration": False, "invoiceTiming": "IN_ARREARS"}
    plan = client.post("/price_plans", samples.plan(meter_id, details={"fixedFeeRateCards": [fee]}), status=200)
    client.post(f"/price_plans/{plan['id']}/activate", {"currencies": ["USD"]})
    choice = {"id": "invoice_auto_advance", "value": "off", "namespace": "TOGAI", "name": "x", "dataType": "STRING"}
    client.post("/settings", {**choice, "entityType": "ORGANIZATION", "entityId": "acme"}, status=201)
    for account_id in ("a1", "a2"):
        client.post("/accounts", samples.account(account_id))
        client.post(f"/accounts/{account_id}/price_plans", {**JANUARY, "pricePlanId": plan["id"]}, status=200)
    return client


def run_jobs(database: Database) -> None:
    work = BillRunWork(
        database,
        Billing(database),
        metered_through=lambda: instant_at(now_microseconds()),
        clock=now_microseconds,
    )
    runner = JobRunner(database, {JobType.BILL_RUN: work}, clock=now_microseconds)
    while runner.run_piece():
        pass


def listed(client: Caller, path: str = "/invoices", **filters: str) -> Any:
    return client.send("GET", path, 200, params=filters)


def owners(page: Any) -> list[str]:
    return [each["ownerId"] for each in page["data"]]


def test_bill_run_from_beginning_to_end(billed: Caller, database: Database) -> None:
    """What is due is listed, the job waits and names it, and once confirmed it is issued (§2 Invoices, Jobs)."""
    due = billed.get("/invoices/bill_runs")
    assert [(each["ownerId"], each["status"], each["totalAmount"]) for each in due["data"]] == [
        ("a1", "DRAFT", 49.5),
        ("a2", "DRAFT", 49.5),
    ]
    draft = billed.get(f"/invoices/{due['data'][0]['id']}")
    assert (draft["status"], draft["autoAdvance"]) == ("DRAFT", False)
    assert billed.post("/invoices/bill_runs", status=200, require_confirmation="true") == {"success": True}
    run_jobs(database)
    [job] = billed.get("/jobs")["data"]
    assert (job["type"], job["status"]) == ("BILL_RUN", "WAITING_FOR_CONFIRMATION")
    entries = billed.get(f"/jobs/{job['id']}/entries")["data"]
    assert [entry["entityId"] for entry in entries] == [each["id"] for each in due["data"]]
    billed.post(f"/jobs/{job['id']}/confirm", status=200)
    run_jobs(database)
    assert billed.get(f"/jobs/{job['id']}")["completedJobEntries"] == 2
    assert billed.get("/invoices/bill_runs")["data"] == []
    assert owners(listed(billed, status="DUE")) in (["a1", "a2"], ["a2", "a1"])


def test_list_of_what_is_due_is_filtered_and_paged(billed: Caller, stranger: Caller) -> None:
    """By owner, customer and time; nothing but drafts is in it."""
    assert owners(billed.get("/invoices/bill_runs", owner_id="a2")) == ["a2"]
    assert owners(listed(billed, "/invoices/bill_runs", status="DRAFT", customer_id="c1")) == ["a1", "a2"]
    assert owners(billed.get("/invoices/bill_runs", customer_id="nobody")) == []
    assert owners(listed(billed, "/invoices/bill_runs", status="DUE")) == []
    assert owners(billed.get("/invoices/bill_runs", start_time=1706745600000)) == []  # 1 February 2024
    page = billed.get("/invoices/bill_runs", pageSize=1)
    assert owners(page) == ["a1"]
    rest = billed.get("/invoices/bill_runs", nextToken=page["nextToken"])
    assert (owners(rest), rest["nextToken"]) == (["a2"], None)
    assert billed.get("/invoices", status=400, nextToken=page["nextToken"])["code"] == "INVALID_TOKEN"
    assert stranger.get("/invoices/bill_runs")["data"] == []


def test_bill_run_needs_the_right_to_write(billed: Caller) -> None:
    reader = billed.of("acme", Scope.READ)
    reader.post("/invoices/bill_runs", status=403)
    assert owners(reader.get("/invoices/bill_runs")) == ["a1", "a2"]
    assert billed.post("/invoices/bill_runs", status=400, confirm="true")["code"] == "INVALID_REQUEST"


def test_organisation_bills_only_itself(billed: Caller, stranger: Caller, database: Database) -> None:
    stranger.post("/invoices/bill_runs", status=200)
    run_jobs(database)
    assert len(billed.get("/invoices/bill_runs")["data"]) == 2
    assert billed.get("/jobs")["data"] == []


def test_composite_is_read_like_any_invoice(billed: Caller, stranger: Caller, database: Database) -> None:
    """The group owns it, its lines stand by account, and its members are MERGED (§3.9): 49.5 + 49.5 = 99."""
    group = billed.post(
        "/invoice_groups",
        {
            "name": "Both",
            "email": "both@example.com",
            "dailyInvoiceConsolidation": True,
            "accountIds": ["a1", "a2"],
            "netTermDays": 10,
            "address": samples.ADDRESS,
        },
        status=200,
    )
    billed.post("/invoices/bill_runs", status=200)
    run_jobs(database)
    [summary] = billed.get("/invoices", owner_id=group["id"])["data"]
    assert (summary["invoiceType"], summary["status"], summary["totalAmount"]) == ("COMPOSITE", "DUE", 99)
    assert (summary["invoiceDate"], summary["dueDate"]) == ("2024-02-04T00:00:00Z", "2024-02-14T00:00:00Z")
    assert summary["customerId"] == "c1"
    assert "pricePlanId" not in summary
    assert summary["invoiceDetails"]["invoiceGroup"] == {
        "id": group["id"],
        "name": "Both",
        "email": "both@example.com",
        "dailyInvoiceConsolidation": True,
        "invoiceCurrency": "USD",
        "address": samples.ADDRESS,
    }
    whole = billed.get(f"/invoices/{summary['id']}")
    lines = whole["revenueInfo"]["lineItems"]
    assert [(line["type"], line["value"]) for line in lines] == [("TOTAL_AMOUNT", 49.5), ("TOTAL_AMOUNT", 49.5)]
    assert [line["description"].split(",")[0] for line in lines] == ["Account One", "Account One"]
    assert sorted(owners(listed(billed, status="MERGED"))) == ["a1", "a2"]
    older = billed.send("GET", "/invoices", 200, headers={"X-Tallybook-Profile": "togai-2023-05"})
    assert {each["accountId"] for each in older["data"]} == {group["id"], "a1", "a2"}
    stranger.get(f"/invoices/{summary['id']}", status=404)
    pdf = billed.client.get(
        f"/invoices/{summary['id']}/pdf", headers={"Authorization": f"Bearer {billed.key}"}, params={"working": "true"}
    )
    assert (pdf.status_code, pdf.content[:5]) == (200, b"%PDF-")
