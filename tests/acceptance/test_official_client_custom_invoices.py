"""The official Python client, unchanged, against a real server: custom invoices and miscellaneous charges.

The client's model wants a line below every line, so answers with lines are taken as they came.
"""

import json
from datetime import UTC, datetime
from typing import Any

import catalogue_samples as samples
import pytest
import togai_client
from togai_client.api.customers_api import CustomersApi
from togai_client.api.invoices_api import InvoicesApi


def asked(model: str, **content: Any) -> Any:
    """A request as the client's own type."""
    return getattr(togai_client, model).from_dict(content)


@pytest.fixture
def account_id(official: togai_client.ApiClient, request: pytest.FixtureRequest) -> str:
    """An account of the test's own."""
    name = f"official-{request.node.name}"[:50]
    customer = samples.customer(f"c-{name}"[:50], account={"id": name, "name": name})
    CustomersApi(official).create_customer(asked("CreateCustomerRequest", **customer))
    return name


def custom(account_id: str, **changes: Any) -> Any:
    content = {
        "accountId": account_id,
        "startDate": datetime(2020, 6, 4, tzinfo=UTC),
        "endDate": datetime(2020, 7, 4, tzinfo=UTC),
        "status": "DRAFT",
        "lineItems": [{"description": "Payout IMPS", "valuePerQuantity": 0.001, "quantity": 32109}],
        **changes,
    }
    return asked("CreateCustomInvoiceRequest", **content)


def written(official: togai_client.ApiClient, request: Any) -> Any:
    raw = InvoicesApi(official).create_custom_invoice_without_preload_content(request)
    assert raw.status == 201, raw.data
    return json.loads(raw.data)


def test_a_custom_invoice_is_written_edited_and_issued(official: togai_client.ApiClient, account_id: str) -> None:
    """The interface's sample: 0.001 × 32109 is 32.109; with another line, issued, and listed."""
    api = InvoicesApi(official)
    draft = written(official, custom(account_id, idempotencyKey=f"{account_id}-1"))
    assert (draft["status"], draft["totalAmount"]) == ("DRAFT", 32.10)
    update = asked("UpdateInvoiceRequest", status="DUE", lineItems=[{"description": "Workshop", "value": 100}])
    raw = api.update_invoice_without_preload_content(draft["id"], update)
    assert (raw.status, json.loads(raw.data)["totalAmount"]) == (200, 100)
    [listed] = api.list_invoices(owner_id=account_id).data
    assert (listed.id, listed.status, listed.invoice_type) == (draft["id"], "DUE", "CUSTOM")
    assert listed.sequence_id


def test_a_custom_draft_is_deleted(official: togai_client.ApiClient, account_id: str) -> None:
    """And is in no list any more."""
    api = InvoicesApi(official)
    draft = written(official, custom(account_id))
    assert api.delete_custom_invoice(draft["id"]).success is True
    assert api.list_invoices(owner_id=account_id).data == []


def test_charges_are_put_on_drafts_and_accounts(official: togai_client.ApiClient, account_id: str) -> None:
    """The interface's samples: a number, and 20 × 10, which is shown as 200."""
    api = InvoicesApi(official)
    items = [{"name": "charge 1", "value": "100"}, {"name": "charge 2", "rate": 20, "quantity": 10}]
    request = asked("ManageMiscellaneousChargesRequest", items=items)
    draft = written(official, custom(account_id))
    on_invoice = api.manage_miscellaneous_charges_in_invoice(draft["id"], request)
    on_account = api.manage_miscellaneous_charges_in_account(account_id, request)
    for answer in (on_invoice, on_account):
        assert [(charge.name, charge.value) for charge in answer.data] == [("charge 1", "100"), ("charge 2", "200")]
    raw = api.get_invoice_without_preload_content(draft["id"])
    assert json.loads(raw.data)["totalAmount"] == 332.10
