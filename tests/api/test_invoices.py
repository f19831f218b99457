"""Invoices over HTTP: the shapes of the interface, strict parameters, pages."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from billing_samples import add_account, add_catalogue, use
from litestar import Litestar
from litestar.testing import TestClient
from togai_client.models.list_invoices_response import ListInvoicesResponse

from tallybook.api.application import create_application
from tallybook.api.handling import Dependencies
from tallybook.config import Settings
from tallybook.core.credential import Scope
from tallybook.flows.authenticate import Authenticator
from tallybook.flows.bill import Billing
from tallybook.storage.database import Database, migrate, open_database

FEBRUARY = datetime(2024, 2, 10, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "tallybook.sqlite")
    opened = open_database(tmp_path / "tallybook.sqlite")
    with opened.write() as connection:
        add_catalogue(connection)
        add_account(connection, "B")
    use(opened, "A", "2024-01-20", "150.5")  # 100 × 2 + 50.5 × 1 = 250.5
    Billing(opened).close_due_cycles(as_of=FEBRUARY, metered_through=FEBRUARY)
    yield opened
    opened.close()


@pytest.fixture
def client(database: Database) -> Iterator[TestClient[Litestar]]:
    authenticator = Authenticator(database)
    key = authenticator.create_key("org", "test", [Scope.READ])
    dependencies = Dependencies(
        settings=Settings(),
        database=database,
        authenticator=authenticator,
        events=None,  # type: ignore[arg-type]  # no route here reads events
    )
    application = create_application(dependencies)
    with TestClient(application) as opened:
        opened.headers["Authorization"] = f"Bearer {key}"
        yield opened


def listed(client: TestClient[Litestar], **parameters: Any) -> Any:
    response = client.get("/invoices", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_finalised_invoice_has_its_lines(client: TestClient[Litestar]) -> None:
    """The tree from GRAND_TOTAL_AMOUNT to the slabs, with money as JSON numbers."""
    (summary,) = listed(client, owner_id="A", status="DUE")["data"]
    response = client.get(f"/invoices/{summary['id']}")
    invoice = response.json()
    assert '"totalAmount":250.50' in response.text
    revenue = invoice.pop("revenueInfo")
    assert invoice.pop("usageInfo") == [
        {
            "id": "USAGE_METER_USAGE.um.1",
            "type": "USAGE_METER_USAGE",
            "description": "Requests",
            "units": "USAGE_UNITS",
            "value": 150.5,
            "lineItems": [],
        }
    ]
    assert invoice == {**summary, "autoAdvance": True}
    types = []
    while revenue["type"] != "USAGE_RATE_CARD_AMOUNT":
        types.append(revenue["type"])
        assert (revenue["value"], revenue["units"]) == (250.5, "USD")
        (revenue,) = revenue["lineItems"]
    assert types == [
        "GRAND_TOTAL_AMOUNT",
        "TOTAL_AMOUNT",
        "NET_AMOUNT",
        "GROSS_AMOUNT",
        "PRICE_PLAN_AMOUNT",
        "SUB_TOTAL_AMOUNT",
    ]
    assert revenue["lineItems"][1] == {
        "id": "USAGE_RATE_CARD_AMOUNT.um.1.2",
        "type": "USAGE_RATE_CARD_SLAB_AMOUNT",
        "description": "Over 100",
        "valuePerQuantity": 1,
        "quantity": 50.5,
        "units": "USD",
        "value": 50.5,
        "metadata": {"order": 2, "startAfter": 100, "priceType": "PER_UNIT"},
        "lineItems": [],
    }


def test_the_summary_says_whose_and_when(client: TestClient[Litestar]) -> None:
    (summary,) = listed(client, owner_id="A", status="DUE")["data"]
    del summary["id"], summary["pdfUrl"]
    assert summary == {
        "customerId": "CUS",
        "ownerId": "A",
        "sequenceId": "1",
        "pricePlanId": "pp.1",
        "status": "DUE",
        "finalizingStatus": "FINALIZED",
        "invoiceClass": "INVOICE",
        "invoiceType": "STANDARD",
        "startDate": "2024-01-10T00:00:00Z",
        "endDate": "2024-02-01T00:00:00Z",
        "endDateInclusive": "2024-01-31T00:00:00Z",
        "invoiceDate": "2024-02-03T00:00:00Z",
        "dueDate": "2024-02-03T00:00:00Z",
        "generatedAt": "2024-02-10T00:00:00Z",
        "updatedAt": "2024-02-10T00:00:00Z",
        "totalAmount": 250.5,
        "paidAmount": 0,
        "netTermDays": 0,
        "invoiceDetails": {
            "customer": {"name": "First customer", "primaryEmail": "bills@example.com"},
            "account": {
                "name": "Account A",
                "invoiceCurrency": "USD",
                "address": {},
                "primaryEmail": "bills@example.com",
            },
            "pricePlanName": "Starter",
        },
    }


def test_a_draft_is_read_by_its_id(client: TestClient[Litestar]) -> None:
    draft = listed(client, owner_id="B", status="DRAFT", pageSize=1)["data"][0]
    assert "finalizingStatus" not in draft
    assert "generatedAt" not in draft
    assert client.get(f"/invoices/{draft['id']}").json()["status"] == "DRAFT"


def test_the_official_client_reads_the_list(client: TestClient[Litestar]) -> None:
    page = ListInvoicesResponse.from_json(json.dumps(listed(client, status="DUE")))
    assert page is not None
    assert [invoice.total_amount for invoice in page.data] == [250.5]


def test_pages_follow_the_token(client: TestClient[Litestar]) -> None:
    """Page by page gives what one page gives, and the token keeps filters and size."""
    everything = listed(client, end_time=1706745600000 + 86_400_000 * 60)["data"]
    assert len(everything) == 6
    page = listed(client, end_time=1706745600000 + 86_400_000 * 60, pageSize=4)
    found = page["data"]
    page = listed(client, nextToken=page["nextToken"])
    found += page["data"]
    assert [invoice["id"] for invoice in found] == [invoice["id"] for invoice in everything]
    assert page["nextToken"] is None


@pytest.mark.parametrize(
    ("start_time", "end_time", "starts"),
    [
        (1704844800000, 1704844800001, ["2024-01-10T00:00:00Z"]),  # 10 January 2024, 00:00 UTC
        (1704844800001, 1706745600000, []),
        (1704844800001, 1706745600001, ["2024-02-01T00:00:00Z"]),
    ],
)
def test_time_filters_bound_the_start_of_the_cycle(
    client: TestClient[Litestar], start_time: int, end_time: int, starts: list[str]
) -> None:
    """start_time is inclusive, end_time exclusive."""
    page = listed(client, owner_id="A", start_time=start_time, end_time=end_time)
    assert [invoice["startDate"] for invoice in page["data"]] == starts


@pytest.mark.parametrize(
    ("filters", "starts"),
    [
        ({"class": "INVOICE", "status": "DUE"}, ["2024-01-10T00:00:00Z"]),
        ({"class": "ORDER"}, []),
        ({"class": "BILLABLE"}, []),
        ({"price_plan_id": "pp.1", "invoice_date": "2024-02-03", "owner_id": "A"}, ["2024-01-10T00:00:00Z"]),
        ({"price_plan_id": "pp.2"}, []),
        ({"start_date": "2024-02-01", "owner_id": "A"}, ["2024-02-01T00:00:00Z"]),
        ({"end_date": "2024-04-01", "owner_id": "A", "customer_id": "CUS"}, ["2024-03-01T00:00:00Z"]),
    ],
)
def test_filters_may_be_given_together(
    client: TestClient[Litestar], filters: dict[str, str], starts: list[str]
) -> None:
    """Those of §2.1, in any combination; there are no orders yet."""
    assert [invoice["startDate"] for invoice in listed(client, **filters)["data"]] == starts


def test_pages_go_from_drafts_to_what_is_issued(client: TestClient[Litestar]) -> None:
    """Drafts by account, the newest cycle first, and behind the last of them the finalised invoice."""
    page = listed(client, owner_id="A", pageSize=20)
    found = page["data"]
    while page["nextToken"]:
        page = listed(client, nextToken=page["nextToken"])
        found += page["data"]
    starts = [invoice["startDate"] for invoice in found]
    assert starts == sorted(starts, reverse=True)
    assert [invoice["status"] for invoice in found] == ["DRAFT"] * (len(found) - 1) + ["DUE"]
    assert len(found) > 30


@pytest.mark.parametrize(
    "query",
    ["colour=red", "class=PURCHASE", "invoice_date=yesterday", "start_date=2024-13-01", "end_date=1",
     "pageSize=51", "pageSize=0", "pageSize=x", "status=PROCESSED", "start_time=-1", "end_time=1e99",
     "start_time=999999999999999999", "nextToken=abc", "owner_id=A&owner_id=B"],
)  # fmt: skip
def test_strange_parameters_are_refused(client: TestClient[Litestar], query: str) -> None:
    response = client.get(f"/invoices?{query}")
    assert response.status_code == 400, response.text
    named = response.json()["message"].replace("page_size", "pageSize").replace("invoice_class", "class")
    assert query.partition("=")[0] in named


def test_an_unknown_invoice_is_404(client: TestClient[Litestar]) -> None:
    response = client.get("/invoices/inv.DdWY6mPx4RQ.036EU")
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")


def test_another_organisation_reads_nothing(client: TestClient[Litestar], database: Database) -> None:
    (mine,) = listed(client, owner_id="A", status="DUE")["data"]
    headers = {"Authorization": f"Bearer {Authenticator(database).create_key('other', 'test', [Scope.READ])}"}
    assert client.get("/invoices", headers=headers).json()["data"] == []
    assert client.get(f"/invoices/{mine['id']}", headers=headers).status_code == 404


def test_a_filter_names_the_words_it_takes(client: TestClient[Litestar]):
    """Whoever filters by a status that there is not reads which there are."""
    assert client.get("/invoices?status=OPEN").json()["message"] == (
        "status: Invalid enum value 'OPEN'; known: DRAFT, DUE, PARTIALLY_PAID, PAID, VOID, UN_COLLECTIBLE, MERGED, "
        "REFUND_INITIATED, REFUND_COMPLETED"
    )
    assert client.get("/invoices?pageSize=none").json()["message"].startswith("pageSize: Expected")
