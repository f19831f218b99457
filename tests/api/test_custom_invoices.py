"""Custom invoices over HTTP: written, edited, issued, paid, deleted; each once, by their own organisation (§3.9)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

LINE = {"description": "Payout IMPS", "valuePerQuantity": 0.001, "quantity": 32109}


@pytest.fixture(autouse=True)
def account(client: Caller) -> None:
    """The customer `c1` with the account `a1`, which pays within 10 days."""
    client.post("/customers", samples.customer(), status=201)
    client.post("/accounts", samples.account(netTermDays=10), status=201)


def custom(**changes: Any) -> dict[str, Any]:
    return {
        "accountId": "a1",
        "startDate": "2020-06-04T00:00:00Z",
        "endDate": "2020-07-04T00:00:00Z",
        "status": "DRAFT",
        "lineItems": [LINE],
        **changes,
    }


def write(client: Caller, **changes: Any) -> Any:
    return client.post("/invoices", custom(**changes), status=201)


def edit(client: Caller, invoice_id: str, expected: int = 200, **body: Any) -> Any:
    return client.send("PATCH", f"/invoices/{invoice_id}", expected, json=body)


def delete(client: Caller, invoice_id: str, status: int = 200) -> Any:
    return client.send("DELETE", f"/invoices/{invoice_id}", status)


def lines(invoice: Any, line_type: str) -> list[Any]:
    """The lines of that type, wherever they stand."""

    def walk(line: Any) -> list[Any]:
        return [line, *(each for child in line["lineItems"] for each in walk(child))]

    return [line for line in walk(invoice["revenueInfo"]) if line["type"] == line_type]


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT00:00:00Z")


def test_a_draft_reads_back(client: Caller) -> None:
    """0.001 × 32109 is 32.109, shown as 32.10; it is nobody's invoice yet, so it has no number."""
    draft = write(client)
    assert draft["id"].startswith("inv.")
    assert (draft["invoiceType"], draft["status"], draft["invoiceClass"]) == ("CUSTOM", "DRAFT", "INVOICE")
    assert (draft["ownerId"], draft["customerId"], draft["totalAmount"]) == ("a1", "c1", 32.10)
    assert (draft["startDate"], draft["endDate"]) == ("2020-06-04T00:00:00Z", "2020-07-04T00:00:00Z")
    assert draft["autoAdvance"] is False
    assert "sequenceId" not in draft
    [line] = lines(draft, "CUSTOM_AMOUNT")
    assert (line["description"], line["value"]) == ("Payout IMPS", 32.10)
    assert (line["valuePerQuantity"], line["quantity"]) == (0.001, 32109)
    again = client.get(f"/invoices/{draft['id']}")
    assert {**again, "updatedAt": draft["updatedAt"]} == draft
    assert draft["id"] in [each["id"] for each in client.get("/invoices", owner_id="a1")["data"]]


def test_every_field_of_a_draft_can_be_edited(client: Caller) -> None:
    """Days, lines as a whole, autoAdvance; what is not sent stays."""
    invoice_id = write(client)["id"]
    edited = edit(
        client,
        invoice_id,
        startDate="2020-05-01T00:00:00Z",
        endDate="2020-06-01T00:00:00Z",
        lineItems=[{"description": "Workshop", "value": 100}],
        autoAdvance=True,
    )
    assert (edited["startDate"], edited["endDate"]) == ("2020-05-01T00:00:00Z", "2020-06-01T00:00:00Z")
    assert (edited["totalAmount"], edited["autoAdvance"], edited["status"]) == (100, True, "DRAFT")
    assert edit(client, invoice_id, endDate="2020-06-02T00:00:00Z")["totalAmount"] == 100


def test_issued_it_has_a_number_and_a_day_by_which_it_is_due(client: Caller) -> None:
    """§3.9: due date = invoice date + netTermDays, which are 10; the numbers of an organisation begin at 1."""
    invoice_id = write(client)["id"]
    issued = edit(client, invoice_id, status="DUE")
    assert (issued["status"], issued["sequenceId"], issued["finalizingStatus"]) == ("DUE", "1", "FINALIZED")
    assert issued["invoiceDate"] == today()
    due = datetime.fromisoformat(issued["dueDate"]) - datetime.fromisoformat(issued["invoiceDate"])
    assert due == timedelta(days=10)
    assert write(client, status="DUE")["sequenceId"] == "2"
    assert client.get(f"/invoices/{invoice_id}")["sequenceId"] == "1"


def test_a_number_has_the_prefix_of_its_day(client: Caller) -> None:
    """What is issued before the prefix is chosen stays without it."""
    first = write(client, status="DUE")
    setting = {"id": "invoice_number_prefix", "value": "2024-07-", "namespace": "TOGAI", "name": "Prefix"}
    client.post(
        "/settings",
        {**setting, "dataType": "STRING", "entityType": "ORGANIZATION", "entityId": "acme"},
        status=201,
    )
    assert write(client, status="DUE")["sequenceId"] == "2024-07-2"
    assert client.get(f"/invoices/{first['id']}")["sequenceId"] == "1"


def test_written_as_paid_it_has_a_payment(client: Caller) -> None:
    """§3.9: marking PAID records a payment."""
    paid = write(client, status="PAID")
    assert (paid["status"], paid["paidAmount"]) == ("PAID", 32.10)


@pytest.mark.parametrize(("value", "status"), [(0, "PAID"), (-5, "REFUND_COMPLETED"), (0.009, "PAID")])
def test_nothing_and_less_are_settled_at_once(client: Caller, value: Any, status: str) -> None:
    """§3.9: zero total → PAID at once; negative total → REFUND_COMPLETED."""
    assert write(client, status="DUE", lineItems=[{"description": "a", "value": value}])["status"] == status


@pytest.mark.parametrize("status", ["DUE", "PAID"])
def test_days_to_come_are_for_drafts(client: Caller, status: str) -> None:
    """§3.9: DUE and PAID not for a future date."""
    refused = client.post("/invoices", custom(status=status, endDate="2999-01-01T00:00:00Z"), status=400)
    assert refused["code"] == "FUTURE_INVOICE"
    invoice_id = write(client, endDate="2999-01-01T00:00:00Z")["id"]
    assert edit(client, invoice_id, 400, status="DUE")["code"] == "FUTURE_INVOICE"
    assert client.get(f"/invoices/{invoice_id}")["status"] == "DRAFT"


def test_what_is_issued_is_not_edited(client: Caller) -> None:
    """Its status alone can change, and it cannot be deleted."""
    invoice_id = write(client, status="DUE")["id"]
    assert edit(client, invoice_id, 400, lineItems=[LINE])["code"] == "FINALISED"
    assert edit(client, invoice_id, 400, autoAdvance=True, status="PAID")["code"] == "FINALISED"
    assert delete(client, invoice_id, 400)["code"] == "FINALISED"
    assert edit(client, invoice_id, status="UN_COLLECTIBLE")["status"] == "UN_COLLECTIBLE"


def test_a_draft_is_deleted_once_and_for_good(client: Caller) -> None:
    """Deleting it again changes nothing; nothing reads, edits or lists it, and its key is not used again."""
    invoice_id = write(client, idempotencyKey="k")["id"]
    assert delete(client, invoice_id) == {"success": True}
    assert delete(client, invoice_id) == {"success": True}
    client.get(f"/invoices/{invoice_id}", status=404)
    edit(client, invoice_id, 404, status="DUE")
    assert client.get("/invoices", owner_id="a1")["data"] == []
    assert client.post("/invoices", custom(idempotencyKey="k"), status=400)["code"] == "DELETED"
    delete(client, "inv.00000000000.00000", 404)


def test_a_key_makes_one_invoice(client: Caller) -> None:
    """Sent again, it is the same invoice; with another body it is refused."""
    first = write(client, idempotencyKey="1234567890", status="DUE")
    again = write(client, idempotencyKey="1234567890", status="DUE")
    assert (again["id"], again["sequenceId"]) == (first["id"], "1")
    changed = custom(idempotencyKey="1234567890", status="DUE", lineItems=[{**LINE, "quantity": 1}])
    assert client.post("/invoices", changed, status=400)["code"] == "ALREADY_EXISTS"
    assert len(client.get("/invoices", owner_id="a1")["data"]) == 1


def test_a_key_makes_one_invoice_in_parallel(client: Caller) -> None:
    """Six requests at once, one invoice, one number."""
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: write(client, idempotencyKey="k", status="DUE"), range(6)))
    assert {(each["id"], each["sequenceId"]) for each in made} == {(made[0]["id"], "1")}


def test_a_draft_is_issued_once_in_parallel(client: Caller) -> None:
    """Six requests to issue it: one number is used, and the next invoice has the next."""
    invoice_id = write(client)["id"]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: edit(client, invoice_id, status="DUE"), range(6)))
    assert {each["sequenceId"] for each in made} == {"1"}
    assert write(client, status="DUE")["sequenceId"] == "2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accountId": "nobody"}, "accountId: no account 'nobody'"),
        ({"accountId": "g1", "ownerType": "INVOICE_GROUP"}, "accountId: no invoice group 'g1'"),
        ({"lineItems": []}, "lineItems"),
        ({"lineItems": [LINE] * 51}, "lineItems"),
        ({"lineItems": [{"value": 1}]}, "lineItems[0].description"),
        ({"lineItems": [{"description": "a"}]}, "lineItems[0]: send value, or valuePerQuantity and quantity"),
        ({"lineItems": [{**LINE, "colour": "red"}]}, "lineItems[0]"),
        ({"status": "VOID"}, "status"),
        ({"startDate": "2020-07-04T00:00:00Z"}, "startDate"),
        ({"endDate": "yesterday"}, "endDate"),
        ({"idempotencyKey": ""}, "idempotencyKey"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_no_invoice_is_refused(client: Caller, changes: dict[str, Any], message: str) -> None:
    """The message begins with the place, and nothing is written."""
    assert message in client.post("/invoices", custom(**changes), status=400)["message"]
    assert client.get("/invoices", owner_id="a1")["data"] == []


def test_organisations_do_not_see_each_others(client: Caller, stranger: Caller) -> None:
    """Neither to read, nor to edit, nor to delete; the same key and number are free for them."""
    mine = write(client, idempotencyKey="k")["id"]
    stranger.get(f"/invoices/{mine}", status=404)
    edit(stranger, mine, 404, status="DUE")
    assert edit(stranger, mine, 400, autoAdvance=True)["code"] == "FINALISED"
    delete(stranger, mine, 404)
    stranger.post("/invoices", custom(), status=400)
    stranger.post("/customers", samples.customer(), status=201)
    stranger.post("/accounts", samples.account(), status=201)
    theirs = write(stranger, idempotencyKey="k", status="DUE")
    assert theirs["sequenceId"] == "1"
    assert client.get(f"/invoices/{mine}")["status"] == "DRAFT"


def test_generation_2023_05_reads_it_too(client: Caller) -> None:
    """Without what that generation does not know; of no plan, because it has none."""
    invoice_id = write(client, status="DUE")["id"]
    old = client.send("GET", f"/invoices/{invoice_id}", 200, headers={"X-Tallybook-Profile": "togai-2023-05"})
    assert (old["accountId"], old["pricePlanId"], old["status"]) == ("a1", "", "GENERATED")
    assert "sequenceId" not in old


# ---- whose money it is -------------------------------------------------------------------------------------------


def grant(client: Caller, amount: int, **changes: Any) -> None:
    credit = {"accountId": "a1", "purpose": "Welcome", "creditAmount": amount, "effectiveFrom": "2020-01-01"}
    client.post("/credits", {"creditRequests": [{**credit, "priority": 1, **changes}]}, status=200)


def test_credits_pay_unless_the_invoice_says_not_to(client: Caller) -> None:
    """§3.9: applyCredits is true by default. 100 less 30 is 70; what is used is used up."""
    grant(client, 30)
    lines_of_100 = [{"description": "Workshop", "value": 100}]
    assert write(client, lineItems=lines_of_100, status="DUE", applyCredits=False)["totalAmount"] == 100
    used = write(client, lineItems=lines_of_100, status="DUE")
    assert used["totalAmount"] == 70
    assert [line["value"] for line in lines(used, "SUB_CREDITS")] == [-30]
    assert write(client, lineItems=lines_of_100, status="DUE")["totalAmount"] == 100


def test_a_credit_finds_its_line(client: Caller) -> None:
    """A credit for a meter pays at most what the line for that meter comes to."""
    meter_id = samples.active_meter(client)
    grant(client, 30, applicableEntityIds=[meter_id])
    items = [{"description": "a", "value": 20, "billableId": meter_id}, {"description": "b", "value": 80}]
    assert write(client, lineItems=items, status="DUE")["totalAmount"] == 80


def test_the_wallet_pays_unless_the_invoice_says_not_to(client: Caller) -> None:
    """§3.9: applyWalletBalance is true by default. Of 120 in the wallet, 100 pay one invoice and 20 the next."""
    client.post("/accounts/a1/wallet_topup", {"topupAmount": 120}, status=200)
    lines_of_100 = [{"description": "Workshop", "value": 100}]
    assert write(client, lineItems=lines_of_100, status="DUE", applyWalletBalance=False)["paidAmount"] == 0
    paid = [write(client, lineItems=lines_of_100, status="DUE") for _ in range(2)]
    assert [(each["status"], each["paidAmount"]) for each in paid] == [("PAID", 100), ("PARTIALLY_PAID", 20)]


def test_a_draft_can_be_made_void(client: Caller) -> None:
    """It keeps a number, so that nobody asks where it is, and the credit that it used comes back."""
    grant(client, 30)
    invoice_id = write(client, lineItems=[{"description": "Workshop", "value": 100}])["id"]
    void = edit(client, invoice_id, status="VOID")
    assert (void["status"], void["sequenceId"]) == ("VOID", "1")
    again = write(client, lineItems=[{"description": "Workshop", "value": 100}], status="DUE")
    assert again["totalAmount"] == 70


@pytest.mark.parametrize("status", ["UN_COLLECTIBLE", "REFUND_INITIATED", "REFUND_COMPLETED"])
def test_a_draft_goes_no_other_way(client: Caller, status: str) -> None:
    """§3.9: from DRAFT to DUE, VOID and PAID; nothing else is changed by the attempt either."""
    invoice_id = write(client)["id"]
    assert edit(client, invoice_id, 400, status=status, autoAdvance=True)["code"] == "STATUS_TRANSITION"
    assert client.get(f"/invoices/{invoice_id}")["autoAdvance"] is False


def test_a_group_gets_a_custom_invoice(client: Caller) -> None:
    """§3.9: owner ACCOUNT or INVOICE_GROUP; it goes to the group's address, on the group's terms."""
    group = client.post(
        "/invoice_groups",
        {
            "name": "Group One",
            "email": "bills@group.example",
            "dailyInvoiceConsolidation": True,
            "netTermDays": 45,
            "address": samples.ADDRESS,
            "accountIds": ["a1"],
        },
        status=200,
    )
    draft = write(client, accountId=group["id"], ownerType="INVOICE_GROUP")
    assert (draft["ownerId"], draft["customerId"], draft["netTermDays"]) == (group["id"], "c1", 45)
    client.send(
        "PUT",
        f"/invoices/{draft['id']}/miscellaneous_charges",
        200,
        json={"items": [{"name": "Courier", "value": "10"}]},
    )
    assert draft["id"] in [each["id"] for each in client.get("/invoices", owner_id=group["id"])["data"]]
    issued = edit(client, draft["id"], status="DUE")
    assert (issued["status"], issued["totalAmount"], issued["sequenceId"]) == ("DUE", 42.10, "1")
    assert edit(client, draft["id"], status="PAID")["paidAmount"] == 42.10
