"""Miscellaneous charges over HTTP: on a draft, and on the next invoice of an account (§3.9)."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from test_custom_invoices import lines, write

ITEMS = [
    {"name": "charge 1", "value": "100"},
    {"name": "qty & rate charge", "rate": 20, "quantity": 10},
    {"name": "json logic charge", "value": '{"*": [{"var": "CUSTOM_AMOUNT.1"}, 0.1]}'},
]


@pytest.fixture(autouse=True)
def account(client: Caller) -> None:
    """The customer `c1` with the account `a1`."""
    client.post("/customers", samples.customer(), status=201)
    client.post("/accounts", samples.account(), status=201)


def put(client: Caller, path: str, items: Any, status: int = 200, **headers: str) -> Any:
    return client.send("PUT", f"{path}/miscellaneous_charges", status, json={"items": items}, headers=headers)


def draft(client: Caller) -> str:
    invoice_id: str = write(client, lineItems=[{"description": "Workshop", "value": 980}])["id"]
    return invoice_id


def test_charges_are_on_the_draft(client: Caller) -> None:
    """[S] rate 20 × quantity 10 → 200; [D] line 980 → 98; 980 + 100 + 200 + 98 = 1378 (§3.9)."""
    invoice_id = draft(client)
    answer = put(client, f"/invoices/{invoice_id}", ITEMS)
    assert answer["data"] == [
        {"name": "charge 1", "value": "100", "considerForRevenue": False},
        {"name": "qty & rate charge", "rate": 20, "quantity": 10, "value": "200", "considerForRevenue": False},
        {"name": "json logic charge", "value": ITEMS[2]["value"], "considerForRevenue": False},
    ]
    invoice = client.get(f"/invoices/{invoice_id}")
    assert invoice["totalAmount"] == 1378
    assert [line["value"] for line in lines(invoice, "MISCELLANEOUS_CHARGE")] == [100, 200, 98]
    [total] = lines(invoice, "TOTAL_MISCELLANEOUS_CHARGES")
    assert total["value"] == 398


def test_a_list_takes_the_place_of_the_one_before(client: Caller) -> None:
    """§3.9: PUT replaces the list, and an empty one is none; the same list twice is the same invoice."""
    invoice_id = draft(client)
    put(client, f"/invoices/{invoice_id}", ITEMS)
    put(client, f"/invoices/{invoice_id}", ITEMS[:1])
    put(client, f"/invoices/{invoice_id}", ITEMS[:1])
    assert client.get(f"/invoices/{invoice_id}")["totalAmount"] == 1080
    assert put(client, f"/invoices/{invoice_id}", []) == {"data": []}
    assert client.get(f"/invoices/{invoice_id}")["totalAmount"] == 980


def test_an_invoice_keeps_its_charges_when_it_is_issued(client: Caller) -> None:
    """And takes no others from then on."""
    invoice_id = draft(client)
    put(client, f"/invoices/{invoice_id}", ITEMS)
    issued = client.send("PATCH", f"/invoices/{invoice_id}", 200, json={"status": "DUE"})
    assert (issued["status"], issued["totalAmount"]) == ("DUE", 1378)
    assert put(client, f"/invoices/{invoice_id}", [], 400)["code"] == "FINALISED"
    assert client.get(f"/invoices/{invoice_id}")["totalAmount"] == 1378


def test_tax_is_on_the_charges_too(client: Caller) -> None:
    """19 % of 980 + 100 are 205.2; together 1285.2."""
    setting = {"id": "tax_rate", "value": "VAT: 19", "namespace": "TOGAI", "name": "Tax", "dataType": "STRING"}
    client.post("/settings", {**setting, "entityType": "ACCOUNT", "entityId": "a1"}, status=201)
    invoice_id = draft(client)
    put(client, f"/invoices/{invoice_id}", ITEMS[:1])
    invoice = client.get(f"/invoices/{invoice_id}")
    [tax] = lines(invoice, "TAX_AMOUNT")
    assert (tax["description"], tax["value"], invoice["totalAmount"]) == ("VAT 19 %", 205.2, 1285.2)
    assert lines(invoice, "NET_AMOUNT")[0]["value"] == 980


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"name": "a"}, "items[0]: send value, or rate and quantity"),
        ({"name": "a", "value": "1", "rate": 1}, "items[0]: send value, or rate and quantity, not both"),
        ({"name": "", "value": "1"}, "items[0].name"),
        ({"value": "1"}, "name"),
        ({"name": "a", "value": 100}, "items[0].value"),
        ({"name": "a", "value": "ten"}, "items[0].value: neither a number such as 12.50 nor a rule"),
        ({"name": "a", "value": "10 USD"}, "items[0].value: neither a number such as 12.50 nor a rule"),
        ({"name": "a", "value": '{"+": [1'}, "items[0].value: not a rule"),
        ({"name": "a", "value": '{"var": "um.linitem.id"}'}, "unknown variable 'um.linitem.id'"),
        ({"name": "a", "value": '{"var": "GRAND_TOTAL_AMOUNT"}'}, "unknown variable 'GRAND_TOTAL_AMOUNT'"),
        ({"name": "a", "value": "1", "colour": "red"}, "items[0]"),
    ],
)
def test_charges_that_could_never_be_computed_are_refused(client: Caller, item: dict[str, Any], message: str) -> None:
    """With the place; the list that was there stays."""
    invoice_id = draft(client)
    put(client, f"/invoices/{invoice_id}", ITEMS[:1])
    assert message in put(client, f"/invoices/{invoice_id}", [item], 400)["message"]
    assert client.get(f"/invoices/{invoice_id}")["totalAmount"] == 1080


def test_too_many_charges_are_refused(client: Caller) -> None:
    """At most 50."""
    put(client, "/accounts/a1", ITEMS[:1] * 50)
    put(client, "/accounts/a1", ITEMS[:1] * 51, 400)


def test_on_an_invoice_to_come_any_line_may_be_meant(client: Caller) -> None:
    """Its lines are not known yet; the charges wait, and custom invoices leave them alone."""
    items = [{"name": "a", "value": '{"var": "um.linitem.id"}'}]
    assert put(client, "/accounts/a1", items)["data"][0]["value"] == items[0]["value"]
    assert client.get(f"/invoices/{draft(client)}")["totalAmount"] == 980


def test_who_is_not_there_has_no_charges(client: Caller, stranger: Caller) -> None:
    """Nor has another organisation's account or draft."""
    invoice_id = draft(client)
    put(client, "/accounts/nobody", [], 404)
    put(client, "/invoices/inv.00000000000.00000", [], 404)
    put(stranger, "/accounts/a1", ITEMS, 404)
    put(stranger, f"/invoices/{invoice_id}", [], 404)


def test_generation_2023_05_has_names_and_values(client: Caller) -> None:
    """Its clients refuse other fields; a product is shown as its value."""
    answer = put(client, "/accounts/a1", ITEMS[:2], **{"X-Tallybook-Profile": "togai-2023-05"})
    assert answer == {"data": [{"name": "charge 1", "value": "100"}, {"name": "qty & rate charge", "value": "200"}]}
