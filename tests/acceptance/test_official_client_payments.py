"""The official Python client, unchanged, against a real server: payments, wallets and the statuses of invoices."""

from typing import Any

import catalogue_samples as samples
import pytest
import togai_client
from official_client import api_client
from running_server import RunningServer
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.add_ons_api import AddOnsApi
from togai_client.api.customers_api import CustomersApi
from togai_client.api.invoices_api import InvoicesApi
from togai_client.api.payments_api import PaymentsApi
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.api.wallet_api import WalletApi

ACCOUNT = "official-payer"
THREE_MONTHS = {"effectiveFrom": "2024-01-01", "effectiveUntil": "2024-04-01"}


def asked(model: str, **content: Any) -> Any:
    """A request as the client's own type."""
    return getattr(togai_client, model).from_dict(content)


@pytest.fixture(scope="module")
def invoice_ids(server: RunningServer, key: str) -> list[str]:
    """Invoices of 50 dollars each for January, February and March."""
    with api_client(server, key) as official:
        customer = samples.customer("official-payer-customer", account={"id": ACCOUNT, "name": ACCOUNT})
        CustomersApi(official).create_customer(asked("CreateCustomerRequest", **customer))
        request = asked(
            "UpdatePricingScheduleRequestWithActions", mode="ASSOCIATE", pricePlanId=a_plan(official), **THREE_MONTHS
        )
        AccountsApi(official).update_pricing_schedule(ACCOUNT, request)
        assert server.command("bill").returncode == 0
        listed = InvoicesApi(official).list_invoices(owner_id=ACCOUNT, page_size=50).data
    assert [invoice.total_amount for invoice in listed] == [50, 50, 50]
    return [invoice.id for invoice in sorted(listed, key=lambda each: str(each.start_date))]


def a_plan(official: togai_client.ApiClient) -> str:
    """An active plan of 50 dollars a month."""
    fee = AddOnsApi(official).create_add_on(asked("CreateAddOnRequest", name="official paid fee", type="FIXED_FEE"))
    card = {"id": fee.id, "rateValues": [{"currency": "USD", "rate": 50}], "enableProration": False}
    details = {"usageRateCards": [], "fixedFeeRateCards": [card], "supportedCurrencies": ["USD"]}
    request = asked("CreatePricePlanRequest", **samples.plan("", "official paid", details=details))
    api = PricePlansApi(official)
    plan = api.create_price_plan(create_price_plan_request=request)
    api.activate_price_plan(plan.id, asked("ActivatePricePlanRequest", currencies=["USD"]))
    return str(plan.id)


def statuses(official: togai_client.ApiClient) -> dict[str, tuple[str, float]]:
    listed = InvoicesApi(official).list_invoices(owner_id=ACCOUNT, page_size=50).data
    return {each.id: (each.status, each.paid_amount) for each in listed}


def test_money_comes_in_and_pays_what_is_due(official: togai_client.ApiClient, invoice_ids: list[str]) -> None:
    """30 by card for January, 90 into the wallet: 20, 50 and 20; the last 30 by setting March to PAID."""
    january, february, march = invoice_ids
    reference = {"sourceName": "A bank", "sourceType": "CARD", "transactionNumber": "TXN1"}
    request = asked(
        "CreatePaymentRequest",
        accountId=ACCOUNT,
        currency="USD",
        totalAmount=30,
        externalPaymentReference=reference,
        lineItemRecords=[{"type": "INVOICE", "togaiId": january, "amount": 30, "order": 1}],
    )
    payments = PaymentsApi(official)
    paid = payments.create_payments(request)
    assert payments.create_payments(request).id == paid.id
    assert payments.get_payment(paid.id).line_item_records[0].togai_id == january
    assert statuses(official)[january] == ("PARTIALLY_PAID", 30)
    wallet = WalletApi(official)
    assert wallet.top_up_wallet_for_account(ACCOUNT, asked("TopupWalletRequest", topupAmount=90)).balance == 0
    assert statuses(official) == {january: ("PAID", 50), february: ("PAID", 50), march: ("PARTIALLY_PAID", 20)}
    moved = [(entry.transaction_type, entry.amount) for entry in wallet.wallet_entries_for_account(ACCOUNT).data]
    assert moved == [("DEBITED", 20), ("DEBITED", 50), ("DEBITED", 20), ("CREDITED", 90)]
    raw = InvoicesApi(official).update_invoice_without_preload_content(
        march, asked("UpdateInvoiceRequest", status="PAID")
    )
    assert raw.status == 200
    assert statuses(official)[march] == ("PAID", 50)
    assert [each.total_amount for each in payments.list_payments().data] == [30, 30]


def test_a_wallet_is_switched_off_and_on(official: togai_client.ApiClient, invoice_ids: list[str]) -> None:
    """As the client sees it."""
    wallet = WalletApi(official)
    for status in ("INACTIVE", "ACTIVE"):
        assert wallet.update_wallet_for_account(ACCOUNT, asked("UpdateWalletRequest", status=status)).status == status
        assert wallet.wallet_balance_for_account(ACCOUNT).status == status
