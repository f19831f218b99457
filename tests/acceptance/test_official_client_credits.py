"""The official Python client, unchanged, against a real server: credits."""

from datetime import date
from typing import Any

import catalogue_samples as samples
import togai_client
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.add_ons_api import AddOnsApi
from togai_client.api.credits_api import CreditsApi
from togai_client.api.customers_api import CustomersApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.api.usage_meters_api import UsageMetersApi


def asked(model: str, **content: Any) -> Any:
    """A request as the client's own type."""
    return getattr(togai_client, model).from_dict(content)


def an_account(official: togai_client.ApiClient, account_id: str) -> None:
    customer = samples.customer(f"customer-of-{account_id}", account={"id": account_id, "name": account_id})
    CustomersApi(official).create_customer(asked("CreateCustomerRequest", **customer))


def granted(official: togai_client.ApiClient, account_id: str, **changes: Any) -> Any:
    request = {
        "accountId": account_id,
        "purpose": "Prepaid Credit",
        "effectiveFrom": "2024-02-04",
        "effectiveUntil": "9999-01-01",
        "creditAmount": 1000,
        "priority": 1,
        **changes,
    }
    [credit] = CreditsApi(official).create_credit(asked("CreateCreditRequest", creditRequests=[request])).credits
    return credit


def test_a_credit_from_beginning_to_end(official: togai_client.ApiClient) -> None:
    """Granted, listed, read with its entries, in the balance, voided."""
    an_account(official, "official-credits-1")
    api = CreditsApi(official)
    credit = granted(official, "official-credits-1", applicableEntityIds=["ALL_USAGE_METER_RATE_CARDS"])
    assert (credit.status, credit.credit_amount, credit.credit_unit) == ("ACTIVE", 1000, "USD")
    assert credit.effective_from == date(2024, 2, 4)
    assert [each.id for each in api.list_credits(account_id="official-credits-1", status="ACTIVE").data] == [credit.id]
    read = api.get_credit_details(credit.id)
    assert [(each.transaction_type, each.amount) for each in read.transactions] == [("CREDITED", 1000)]
    balance = api.credit_balance_for_account("official-credits-1")
    assert (balance.active_credits, balance.running_balance, balance.unit) == (1000, 1000, "USD")
    assert api.void_credit(credit.id).status == "VOIDED"
    assert api.credit_balance_for_account("official-credits-1").active_credits == 0


def test_credits_are_read_page_by_page(official: togai_client.ApiClient) -> None:
    """The newest first."""
    an_account(official, "official-credits-2")
    ids = [granted(official, "official-credits-2", priority=priority).id for priority in (1, 2, 3)]
    api = CreditsApi(official)
    first = api.list_credits(account_id="official-credits-2", page_size=2)
    rest = api.list_credits(next_token=first.next_token)
    assert [each.id for each in (*first.data, *rest.data)] == ids[::-1]


def test_a_plan_sells_credits(official: togai_client.ApiClient) -> None:
    """A card that sells credit is created and read; the account that the plan bills has a draft that charges it."""
    an_account(official, "official-credits-3")
    pack = AddOnsApi(official).create_add_on(asked("CreateAddOnRequest", name="official pack", type="CREDIT_GRANT"))
    meters = UsageMetersApi(official).get_usage_meters_for_event_schema(page_size=100).data
    meter_id = next(meter.id for meter in meters if meter.status == "ACTIVE")
    card = {
        "id": pack.id,
        "grantDetails": {"priority": 1, "expiryType": "CUSTOM", "expiryDuration": "P1Y"},
        "rateDetails": {
            "pricingModel": "TIERED",
            "currencySlabRateDetails": [
                {
                    "currency": currency,
                    "creditAmount": 1000,
                    "slabDetails": [{"startAfter": 0, "priceType": "PER_UNIT", "rate": 0.9}],
                }
                for currency in ("USD", "EUR")
            ],
        },
        "invoiceTiming": "IN_ADVANCE",
        "type": "ONE_TIME",
    }
    body = samples.plan(meter_id, "official credits", details={"creditGrantRateCards": [card]})
    plans = PricePlansApi(official)
    plan_id = plans.create_price_plan(create_price_plan_request=asked("CreatePricePlanRequest", **body)).id
    plans.activate_price_plan(plan_id, asked("ActivatePricePlanRequest", currencies=["USD"]))
    [read] = plans.get_price_plan(plan_id).pricing_schedule[0].price_plan_details.credit_grant_rate_cards
    assert (read.display_name, read.grant_details.expiry_duration) == ("official pack", "P1Y")
    assert read.rate_details.currency_slab_rate_details[0].slab_details[0].rate == 0.9
    days = {"effectiveFrom": "2024-01-01", "effectiveUntil": "2024-07-01"}
    request = asked("UpdatePricingScheduleRequestWithActions", mode="ASSOCIATE", pricePlanId=plan_id, **days)
    AccountsApi(official).update_pricing_schedule("official-credits-3", request)
    drafts = InvoicesApi(official).list_invoices(owner_id="official-credits-3", page_size=50).data
    assert "STANDARD_ADVANCED" in [draft.invoice_type for draft in drafts]
    assert [draft.total_amount for draft in drafts if draft.invoice_type == "STANDARD_ADVANCED"] == [900]
