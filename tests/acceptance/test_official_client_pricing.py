"""The official Python client, unchanged, against a real server: plans, schedules, licences and what becomes of them."""

import re
from datetime import UTC, datetime
from typing import Any

import catalogue_samples as samples
import pydantic
import pytest
import togai_client
from running_server import RunningServer
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.add_ons_api import AddOnsApi
from togai_client.api.customers_api import CustomersApi
from togai_client.api.event_schemas_api import EventSchemasApi
from togai_client.api.file_storage_api import FileStorageApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.licenses_api import LicensesApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.api.pricing_rules_api import PricingRulesApi
from togai_client.api.usage_meters_api import UsageMetersApi

JANUARY = {"effectiveFrom": "2024-01-01", "effectiveUntil": "2024-07-01"}


def asked(model: str, **content: Any) -> Any:
    """A request as the client's own type."""
    return getattr(togai_client, model).from_dict(content)


@pytest.fixture
def meter_id(official: togai_client.ApiClient) -> str:
    """An active meter, the same for all of these tests."""
    known = {meter.name: meter.id for meter in UsageMetersApi(official).get_usage_meters_for_event_schema().data}
    if "official priced" in known:
        return str(known["official priced"])
    EventSchemasApi(official).create_event_schema(
        asked("CreateEventSchemaRequest", **samples.schema("official priced"))
    )
    EventSchemasApi(official).activate_event_schema("official priced")
    meter = samples.meter("official priced", eventSchemaName="official priced")
    made = UsageMetersApi(official).create_usage_meter(asked("CreateUsageMeterRequest", **meter))
    return str(UsageMetersApi(official).activate_usage_meter(made.id).id)


def a_plan(official: togai_client.ApiClient, meter_id: str, name: str, **details: Any) -> str:
    """An active plan in USD; returns its id."""
    api = PricePlansApi(official)
    plan = api.create_price_plan(
        create_price_plan_request=asked("CreatePricePlanRequest", **samples.plan(meter_id, name, details=details))
    )
    api.activate_price_plan(plan.id, asked("ActivatePricePlanRequest", currencies=["USD"]))
    return str(plan.id)


def an_account(official: togai_client.ApiClient, account_id: str) -> None:
    customer = samples.customer(f"customer-of-{account_id}", account={"id": account_id, "name": account_id})
    CustomersApi(official).create_customer(asked("CreateCustomerRequest", **customer))


def test_a_price_plan_from_beginning_to_end(official: togai_client.ApiClient, meter_id: str) -> None:
    """Created, activated, read, listed, given another version, archived."""
    api = PricePlansApi(official)
    request = asked("CreatePricePlanRequest", **samples.plan(meter_id, "official plan"))
    created = api.create_price_plan(create_price_plan_request=request)
    assert created.status == "DRAFT"
    assert api.activate_price_plan(created.id, asked("ActivatePricePlanRequest", currencies=["USD"])).status == "ACTIVE"
    card = api.get_price_plan(created.id).pricing_schedule[0].price_plan_details.usage_rate_cards[0]
    assert (card.usage_meter_id, card.rate_values[0].slab_rates[0].rate) == (meter_id, 0.1)
    assert created.id in [plan.id for plan in api.get_price_plans(page_size=100).data]
    changed = api.update_price_plan(created.id, asked("UpdatePricePlanRequest", description="With another text"))
    assert changed.description == "With another text"
    assert api.archive_price_plan(created.id).success is True


def test_plans_are_attached_and_detached(official: togai_client.ApiClient, meter_id: str) -> None:
    """One by one and several at once, and listed with their days."""
    an_account(official, "official-p1")
    plan_id = a_plan(official, meter_id, "official attached")
    api = AccountsApi(official)
    request = asked("UpdatePricingScheduleRequestWithActions", mode="ASSOCIATE", pricePlanId=plan_id, **JANUARY)
    answer = api.update_pricing_schedule("official-p1", request)
    assert [each.price_plan_id for each in answer.pricing_schedules] == [plan_id]
    april = {"effectiveFrom": "2024-04-01", "effectiveUntil": "2024-07-01"}
    edits = [{"mode": "DISASSOCIATE", "pricePlanId": plan_id, **april}]
    edited = api.update_pricing_schedule_batch("official-p1", asked("EditPricingScheduleRequest", edits=edits))
    assert [each.end_date.date().isoformat() for each in edited.pricing_schedules] == ["2024-04-01"]
    [listed] = api.get_pricing_schedules("official-p1", include_price_plan_info=True).data
    assert (listed.price_plan_id, listed.price_plan_info.name) == (plan_id, "official attached")


def test_licences_are_given_and_told(official: togai_client.ApiClient) -> None:
    """An account is given licences, the update is listed, and its remark changed."""
    an_account(official, "official-p2")
    seat = AddOnsApi(official).create_add_on(asked("CreateAddOnRequest", name="official seat", type="LICENSE"))
    api = LicensesApi(official)
    start = datetime(2024, 1, 10, tzinfo=UTC)
    place = {"licenseId": seat.id, "accountId": "official-p2", "effectiveFrom": start.isoformat()}
    update = asked("LicenseUpdateRequest", **place, updateType="ABSOLUTE", quantity=12)
    assert api.add_license_update_entry(update).quantity == 12
    [listed] = api.get_license_updates(account_id="official-p2", license_id=seat.id).data
    assert (listed.quantity, listed.effective_from) == (12, start)
    details = {"accountId": "official-p2", "effectiveFrom": start.isoformat(), "metadata": {"order": "7"}}
    changed = api.update_license_entry_details(
        license_id=seat.id, license_entry_details_update_request=asked("LicenseEntryDetailsUpdateRequest", **details)
    )
    assert changed.metadata == {"order": "7"}


def test_invoices_are_listed_and_their_lines_are_beyond_the_client(
    official: togai_client.ApiClient, meter_id: str
) -> None:
    """The list is read; an invoice with its lines is not, for the client's model wants a line below every line."""
    an_account(official, "official-p3")
    plan_id = a_plan(official, meter_id, "official billed")
    request = asked("UpdatePricingScheduleRequestWithActions", mode="ASSOCIATE", pricePlanId=plan_id, **JANUARY)
    AccountsApi(official).update_pricing_schedule("official-p3", request)
    api = InvoicesApi(official)
    listed = api.list_invoices(owner_id="official-p3", page_size=50).data
    assert {invoice.owner_id for invoice in listed} == {"official-p3"}
    with pytest.raises(pydantic.ValidationError, match="lineItems"):
        api.get_invoice(listed[0].id)
    raw = api.get_invoice_without_preload_content(listed[0].id)
    assert (raw.status, listed[0].id in raw.data.decode()) == (200, True)


def test_the_file_of_an_invoice_has_a_link(
    official: togai_client.ApiClient, meter_id: str, server: RunningServer
) -> None:
    """A finalised invoice names its PDF; the client gets a link, and follows the redirect to the file itself.

    It declares no answer with a file, so it hands out the bytes as they came.
    """
    an_account(official, "official-p4")
    plan_id = a_plan(official, meter_id, "official filed")
    request = asked("UpdatePricingScheduleRequestWithActions", mode="ASSOCIATE", pricePlanId=plan_id, **JANUARY)
    AccountsApi(official).update_pricing_schedule("official-p4", request)
    assert server.command("bill").returncode == 0
    listed = InvoicesApi(official).list_invoices(owner_id="official-p4", page_size=50).data
    pdf_url = next(invoice.pdf_url for invoice in listed if invoice.pdf_url)
    file_id = re.search(r"/files/([^/?]+)", pdf_url)
    assert file_id
    api = FileStorageApi(official)
    assert file_id[1] in api.get_download_url(file_id[1]).download_url
    raw = api.get_file_without_preload_content(file_id[1])
    assert (raw.status, raw.data[:5]) == (200, b"%PDF-")


def test_pricing_rules_and_what_they_did(official: togai_client.ApiClient, meter_id: str) -> None:
    """A plan's rules are read back, an account has others in their place, and the log of its draft is told."""
    an_account(official, "official-p5")
    api = PricePlansApi(official)
    discount = {
        "name": "A tenth off",
        "order": 1,
        "computation": '{"*":[{"var":"revenue.rate_card_total"},-0.1]}',
        "action": {"type": "ADD", "description": "Discount"},
    }
    request = asked("CreatePricePlanRequest", **samples.plan(meter_id, "official ruled", pricingRules=[discount]))
    plan = api.create_price_plan(create_price_plan_request=request)
    api.activate_price_plan(plan.id, asked("ActivatePricePlanRequest", currencies=["USD"]))
    schedule = api.get_price_plan(plan.id).pricing_schedule[0]
    [read] = PricingRulesApi(official).list_pricing_rules_by_schedule_id(plan.id, schedule.id).data
    assert (read.name, read.order, read.action.type, read.version) == ("A tenth off", 1, "ADD", 1)
    own = {**discount, "name": "Handling", "computation": "2.5"}
    attach = asked("UpdatePricingScheduleRequestWithActions", mode="ASSOCIATE", pricePlanId=plan.id, **JANUARY)
    attach = attach.from_dict({**attach.to_dict(), "pricingRulesOverride": [own]})
    [attached] = AccountsApi(official).update_pricing_schedule("official-p5", attach).pricing_schedules
    assert [rule.name for rule in attached.pricing_rules_override] == ["Handling"]
    invoices = InvoicesApi(official)
    draft = invoices.list_invoices(owner_id="official-p5", page_size=50).data[0]
    [log] = invoices.list_pricing_rule_logs(draft.id).data
    assert (log.type, log.rule.name, log.changes.new_revenue) == ("CONDITION_TRUE", "Handling", 2.5)
