"""The shapes of generation 2023-05: who gets them, and that they have its fields and no others."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import catalogue_samples as samples
import msgspec
import pytest
from api_caller import Caller
from contract import Document, generation, schema

from tallybook.api import events, invoices
from tallybook.api.generation_2023_05 import GENERATION_2023_05
from tallybook.core.ingestion_status import IngestionStatus
from tallybook.core.invoice import InvoiceStatus, LineType

OLDER = {"X-Tallybook-Profile": "togai-2023-05"}
NEWER = {"X-Tallybook-Profile": "togai-2024-12"}
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def demanded() -> Document:
    document = generation("2023-05")
    if document is None:
        pytest.skip("the interface's documents are not beside the repository")
    return document


def fits(document: Document, value: Any, written: Any, place: str = "$") -> None:
    """Required fields are there, none is unknown where that is refused, listed values are among those listed."""
    found = schema(document, written)
    if isinstance(value, dict) and found.fields:
        assert found.required & found.fields.keys() <= value.keys(), place  # one that is required is spelled otherwise
        assert value.keys() <= found.fields.keys() or not found.closed, place
        for name in value.keys() & found.fields.keys():
            fits(document, value[name], found.fields[name], f"{place}.{name}")
    elif isinstance(value, list) and found.items is not None:
        for each in value:
            fits(document, each, found.items, f"{place}[]")
    elif found.values:
        assert str(value) in found.values, place


def named(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def written(ours: Any) -> Any:
    """What a client of the generation gets instead of ours."""
    answer = GENERATION_2023_05.answers[type(ours)]
    return msgspec.json.decode(msgspec.json.Encoder(decimal_format="number").encode(answer.written(ours)))


# ---- who gets them -----------------------------------------------------------------------------------------------


def test_the_header_chooses_the_generation(client: Caller) -> None:
    """With the header a customer has the older fields, without it the newer ones."""
    client.post("/customers", samples.customer(), status=201)
    older = client.send("GET", "/customers/c1", 200, headers=OLDER)
    assert "togaiCustomerId" not in older
    assert older["billingAddress"] == "1 Main Road, 600001, Chennai, IN"
    assert "togaiCustomerId" in client.get("/customers/c1")


def test_the_setting_chooses_and_the_header_overrides(client: Caller, stranger: Caller) -> None:
    """The organisation's choice holds for requests that do not say otherwise, and for that organisation alone."""
    choose_older(client)
    client.post("/customers", older_customer("Quay 1"), status=201)
    assert "togaiCustomerId" not in client.get("/customers/c1")
    assert "togaiCustomerId" in client.send("GET", "/customers/c1", 200, headers=NEWER)
    stranger.post("/customers", samples.customer(), status=201)
    assert "togaiCustomerId" in stranger.get("/customers/c1")


def older_customer(billing_address: str, **changes: Any) -> dict[str, Any]:
    """A request for a customer as the generation has it."""
    newer = samples.customer(billingAddress=billing_address, **changes)
    return {key: value for key, value in newer.items() if key != "address"}


def choose_older(client: Caller) -> None:
    setting = {"id": "profile", "namespace": "TOGAI", "entityType": "ORGANIZATION", "entityId": "acme"}
    client.post("/settings", {**setting, "name": "profile", "dataType": "STRING", "value": "togai-2023-05"}, status=201)


def test_an_unknown_generation_is_refused(client: Caller) -> None:
    """Whatever the operation, a header that names no profile is an error that lists them."""
    for path in ("/customers", "/price_plans"):
        refused = client.send("GET", path, 400, headers={"X-Tallybook-Profile": "togai-2022-01"})
        assert "togai-2023-05" in refused["message"]


def test_the_document_is_served_in_either_generation(client: Caller) -> None:
    """`/openapi.json` with the header describes what is sent with the header."""
    operation = ("paths", "/customers/{customer_id}", "get", "responses", "200", "content", "application/json")
    for headers, has_it in (({}, True), (NEWER, True), (OLDER, False)):
        document = client.client.get("/openapi.json", headers=headers).json()
        content = document
        for step in operation:
            content = content[step]
        assert ("togaiCustomerId" in schema(document, content["schema"]).fields) is has_it


# ---- the shapes --------------------------------------------------------------------------------------------------


def test_customers_and_accounts_have_the_generations_fields(client: Caller, demanded: Document) -> None:
    """Created, read and listed, with an alias and a draft's status among them."""
    asked = older_customer("Quay 1, Bergen", account={"id": "a0", "name": "Zero", "aliases": ["zero"]})
    created = client.send("POST", "/customers", 201, json=asked, headers=OLDER)
    fits(demanded, created, named("CreateCustomerResponse"))
    assert created["billingAddress"] == "Quay 1, Bergen"
    assert created["account"]["aliases"] == [{"alias": "zero", "status": "ACTIVE"}]
    fits(demanded, client.send("GET", "/customers", 200, headers=OLDER), named("CustomerPaginatedResponse"))
    fits(demanded, client.send("GET", "/accounts", 200, headers=OLDER), named("AccountPaginatedResponse"))
    account = client.send("POST", "/accounts", 201, json=samples.account(), headers=OLDER)
    fits(demanded, account, named("Account"))


@pytest.mark.parametrize("length", [1, 255, 256, 400, 509])
def test_an_address_of_one_line_reads_the_same_again(client: Caller, length: int) -> None:
    """A long one is broken at a comma, and put together at the same one."""
    text = ("x" * 198 + ", " + "y" * 400)[:length] if length < 450 else "x" * 253 + ", " + "y" * 254
    client.send("POST", "/customers", 201, json=older_customer(text), headers=OLDER)
    assert client.send("GET", "/customers/c1", 200, headers=OLDER)["billingAddress"] == text


def test_an_address_that_cannot_be_kept_is_refused(client: Caller) -> None:
    """A single part longer than a line of an address is an error, not a shorter address."""
    refused = client.send("POST", "/customers", 400, json=older_customer("x" * 256), headers=OLDER)
    assert "billingAddress" in refused["message"]


def test_schemas_and_meters_have_the_generations_fields(client: Caller, demanded: Document) -> None:
    """Created, activated, read and listed."""
    samples.active_meter(client)
    meter_id = client.get("/usage_meters")["data"][0]["id"]
    for path, name in (
        ("/event_schema/rides", "EventSchema"),
        ("/event_schema/rides/versions", "EventSchemaVersionsResponse"),
        ("/event_schema", "EventSchemaListPaginatedResponse"),
        (f"/usage_meters/{meter_id}", "UsageMeter"),
        ("/usage_meters", "UsageMeterPaginatedResponse"),
    ):
        fits(demanded, client.send("GET", path, 200, headers=OLDER), named(name))


def test_add_ons_have_the_generations_fields(client: Caller, demanded: Document) -> None:
    """Made without a type, which that generation does not have: of a fixed fee."""
    made = client.send("POST", "/addons", 200, json={"name": "Support"}, headers=OLDER)
    fits(demanded, made, named("AddOn"))
    assert client.get(f"/addons/{made['id']}")["type"] == "FIXED_FEE"
    fits(demanded, client.send("GET", "/addons", 200, headers=OLDER), named("AddOnPaginatedResponse"))


def test_plans_and_schedules_have_the_generations_fields(client: Caller, demanded: Document) -> None:
    """Created, read, listed and attached; a rate card without a name to display has its own."""
    samples.active_meter(client)
    meter_id = client.get("/usage_meters")["data"][0]["id"]
    made = client.send("POST", "/price_plans", 200, json=samples.plan(meter_id), headers=OLDER)
    fits(demanded, made, named("PricePlan"))
    details = made["pricingSchedule"][0]["pricePlanDetails"]
    assert details["usageRateCards"][0]["displayName"]
    path = f"/price_plans/{made['id']}"
    fits(demanded, client.send("GET", path, 200, headers=OLDER), named("PricePlan"))
    fits(demanded, client.send("GET", "/price_plans", 200, headers=OLDER), named("PricePlanPaginatedResponse"))
    client.post(f"{path}/activate", {"currencies": ["USD"]})
    client.post("/customers", samples.customer(), status=201)
    days = {"effectiveFrom": "2024-01-01", "effectiveUntil": "2025-01-01"}
    client.post("/accounts/c1/price_plans", {"mode": "ASSOCIATE", "pricePlanId": made["id"], **days})
    schedules = client.send("GET", "/accounts/c1/pricing_schedules", 200, headers=OLDER)
    fits(demanded, schedules, named("PricingSchedulePaginatedResponse"))
    assert [each["pricePlanId"] for each in schedules["data"]] == [made["id"]]


def test_a_fee_that_says_nothing_of_days_is_charged_whole(client: Caller) -> None:
    """`enableProration` is required of newer clients, and unknown to older ones."""
    samples.active_meter(client)
    meter_id = client.get("/usage_meters")["data"][0]["id"]
    add_on_id = client.post("/addons", {"name": "Support", "type": "FIXED_FEE"})["id"]
    rates = [{"currency": currency, "rate": 10} for currency in ("USD", "EUR")]
    plan = samples.plan(meter_id, details={"fixedFeeRateCards": [{"id": add_on_id, "rateValues": rates}]})
    assert "enableProration" in client.send("POST", "/price_plans", 400, json=plan)["message"]
    made = client.send("POST", "/price_plans", 200, json=plan, headers=OLDER)
    [schedule] = client.get(f"/price_plans/{made['id']}")["pricingSchedule"]
    assert schedule["pricePlanDetails"]["fixedFeeRateCards"][0]["enableProration"] is False


def test_a_customers_address_is_changed_in_one_line(client: Caller) -> None:
    """PATCH with `billingAddress`, which the newer generation does not take; what is left out stays."""
    client.post("/customers", samples.customer(), status=201)
    asked = {"billingAddress": "Quay 2, Oslo"}
    changed = client.send("PATCH", "/customers/c1", 200, json=asked, headers=OLDER)
    assert (changed["billingAddress"], changed["name"]) == ("Quay 2, Oslo", "Customer One")
    client.send("PATCH", "/customers/c1", 400, json=asked)


def test_events_have_the_generations_fields(demanded: Document) -> None:
    """The time of receipt stands in the payload, the trace under its capital."""
    ours = events.GetEventResponse(events=[event(IngestionStatus.METERED)])
    [read] = written(ours)["events"]
    fits(demanded, read, named("EventWithStatusAndEventPipelineInfo"))
    assert read["eventPayload"]["createdAt"] == "2024-05-01T12:00:00Z"
    assert read["EventPipelineInfo"]["usageMeters"][0]["units"] == 1.5
    [listed] = written(events.GetEventsResponse(events=[event(IngestionStatus.METERED)]))["events"]
    fits(demanded, listed, named("EventWithStatus"))


@pytest.mark.parametrize(
    ("status", "shown", "described"),
    [
        (IngestionStatus.UNITS_INVALID, "INGESTION_FAILED_UNITS_INVALID", "why"),
        (IngestionStatus.ACCOUNT_NOT_FOUND, "INGESTION_FAILED", "INGESTION_FAILED_ACCOUNT_NOT_FOUND: why"),
        (IngestionStatus.DUPLICATE, "INGESTION_FAILED", "INGESTION_FAILED_DUPLICATE_EVENT: why"),
        (IngestionStatus.REVERTED, "UNKNOWN", "REVERTED: why"),
    ],
)
def test_newer_statuses_are_told_in_the_description(status: IngestionStatus, shown: str, described: str) -> None:
    """A status that the generation does not have becomes the nearest it has, and says so."""
    [read] = written(events.GetEventsResponse(events=[event(status)]))["events"]
    assert read["ingestionStatus"] == {"status": shown, "statusDescription": described}


def event(status: IngestionStatus) -> events.EventWithTrace:
    return events.EventWithTrace(
        reference_id="event.0.1.0",
        event_payload=events.EventShape(
            schema_name="rides",
            timestamp=NOW,
            account_id="a1",
            attributes=[events.AttributeShape(name="distance", value="1.5", unit="km")],
            dimensions={"city": "Bergen"},
            id="e1",
        ),
        ingestion_status=events.IngestionStatusShape(status=status, status_description="why"),
        created_at=NOW,
        customer_id="c1",
        event_pipeline_info=events.PipelineShape(
            event_schema=events.EventSchemaShape(name="rides", version=1),
            usage_meters=[
                events.MeterTraceShape(
                    id="um.1", name="km", version=1, status="PROCESSED_UNITS_COMPUTED", units=Decimal("1.5")
                )
            ],
            price_plans=[
                events.PlanTraceShape(
                    id="pp.1",
                    name="plan",
                    schedule_id="sch.1",
                    cycle_start=date(2024, 5, 1),
                    cycle_end=date(2024, 6, 1),
                    usage_meters=["um.1"],
                )
            ],
            account=events.AccountTraceShape(id="a1", name="Account", alias="alias"),
            customer=events.CustomerTraceShape(id="c1", name="Customer"),
            invoice_currency="USD",
        ),
    )


@pytest.mark.parametrize(
    ("status", "computed", "shown"),
    [
        (InvoiceStatus.DRAFT, datetime(2024, 5, 31, tzinfo=UTC), "ONGOING"),
        (InvoiceStatus.DRAFT, datetime(2024, 6, 1, tzinfo=UTC), "GRACE_PERIOD"),
        (InvoiceStatus.DUE, datetime(2024, 6, 4, tzinfo=UTC), "GENERATED"),
        (InvoiceStatus.PAID, datetime(2024, 6, 4, tzinfo=UTC), "GENERATED"),
    ],
)
def test_invoices_have_the_generations_fields(
    status: InvoiceStatus, computed: datetime, shown: str, demanded: Document
) -> None:
    """The account stands under its older name, lines under their older types, drafts under the phase of their cycle."""
    read = written(invoice(status, computed))
    fits(demanded, read, named("Invoice"))
    assert read["status"] == shown
    assert read["accountId"] == "a1"
    assert read["revenueInfo"]["type"] == "NET_REVENUE"
    [listed] = written(invoices.ListInvoicesResponse(data=[summary(status, computed)], next_token=None))["data"]
    fits(demanded, listed, named("Invoice"))
    assert listed.keys() == read.keys() - {"usageInfo", "revenueInfo"}


def invoice(status: InvoiceStatus, computed: datetime) -> invoices.InvoiceResponse:
    line = invoices.InvoiceLineItem(
        id="l", type=LineType.NET_AMOUNT, description="Net", units="USD", value=Decimal("1.50"), line_items=()
    )
    return invoices.InvoiceResponse(
        **msgspec.structs.asdict(summary(status, computed)), auto_advance=True, usage_info=(), revenue_info=line
    )


def summary(status: InvoiceStatus, computed: datetime) -> invoices.InvoiceSummary:
    return invoices.InvoiceSummary(
        id="i1",
        customer_id="c1",
        owner_id="a1",
        price_plan_id="pp.1",
        status=status,
        invoice_class=invoices.InvoiceClass.INVOICE,
        invoice_type=invoices.InvoiceType.STANDARD,
        start_date=datetime(2024, 5, 1, tzinfo=UTC),
        end_date=datetime(2024, 6, 1, tzinfo=UTC),
        end_date_inclusive=datetime(2024, 5, 31, tzinfo=UTC),
        invoice_date=datetime(2024, 6, 1, tzinfo=UTC),
        due_date=datetime(2024, 6, 11, tzinfo=UTC),
        updated_at=computed,
        total_amount=Decimal("1.50"),
        paid_amount=Decimal(0),
        net_term_days=10,
        invoice_details=invoices.InvoiceDetails(
            customer=invoices.InvoiceDetailsCustomer(name="Customer", primary_email="a@b.example"),
            account=invoices.InvoiceDetailsAccount(
                name="Account",
                invoice_currency="USD",
                address=invoices.BillingAddress(line1="Quay 1"),
                primary_email="a@b.example",
            ),
            price_plan_name="plan",
        ),
    )
