"""Invoice groups over HTTP."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

GROUP = {
    "name": "Group One",
    "email": "bills@group.example",
    "dailyInvoiceConsolidation": True,
    "netTermDays": 45,
    "address": samples.ADDRESS,
}


def add_accounts(client: Caller, *account_ids: str, **changes: Any) -> None:
    """Accounts of one customer, which is made if it is not there."""
    if not client.get("/customers")["data"]:
        client.post("/customers", samples.customer(account={"id": "first", "name": "First"}))
    for account_id in account_ids:
        client.post("/accounts", samples.account(account_id, **changes))


def made(client: Caller, *account_ids: str, **changes: Any) -> Any:
    return client.post("/invoice_groups", {**GROUP, "accountIds": list(account_ids), **changes}, status=200)


def members(client: Caller, group: Any) -> list[str]:
    accounts: list[str] = client.get(f"/invoice_groups/{group['id']}")["accounts"]
    return accounts


def test_group_is_read_as_it_was_made(client: Caller) -> None:
    """With its accounts, in their currency; `address` comes back as `billingAddress` (§2 InvoiceGroups)."""
    add_accounts(client, "b", "a", invoiceCurrency="EUR")
    group = made(client, "b", "a")
    assert group["id"].startswith("inv_group.")
    assert {**group, "id": "", "createdAt": "", "updatedAt": ""} == {
        "id": "",
        "name": "Group One",
        "email": "bills@group.example",
        "dailyInvoiceConsolidation": True,
        "netTermDays": 45,
        "invoiceCurrency": "EUR",
        "billingAddress": samples.ADDRESS,
        "accountsCount": 2,
        "createdAt": "",
        "updatedAt": "",
    }
    assert client.get(f"/invoice_groups/{group['id']}") == {**group, "accounts": ["a", "b"]}


def test_accounts_join_and_leave(client: Caller) -> None:
    """Joining twice and leaving twice changes nothing; the group goes with the last account (§3.9)."""
    add_accounts(client, "a", "b", "c")
    group = made(client, "a")
    path = f"/invoice_groups/{group['id']}"
    for _ in range(2):
        assert client.post(f"{path}/add_accounts", {"accountIds": ["b", "c"]}, status=200)["accountsCount"] == 3
    for _ in range(2):
        assert client.post(f"{path}/remove_accounts", {"accountIds": ["b"]}, status=200) == {"success": True}
    assert members(client, group) == ["a", "c"]
    assert client.post(f"{path}/remove_accounts", {"accountIds": ["a", "c"]}, status=200) == {"success": True}
    client.get(path, status=404)
    assert client.get("/invoice_groups")["data"] == []
    assert made(client, "a", "b")["accountsCount"] == 2


def test_account_is_in_one_group(client: Caller) -> None:
    """Neither a second group nor the same request again takes it from the first."""
    add_accounts(client, "a", "b", "c")
    group = made(client, "a", "b")
    again = client.post("/invoice_groups", {**GROUP, "accountIds": ["a", "b"]}, status=400)
    assert (again["code"], group["id"] in again["message"]) == ("ACCOUNT_IN_GROUP", True)
    other = made(client, "c")
    refused = client.post(f"/invoice_groups/{other['id']}/add_accounts", {"accountIds": ["b"]}, status=400)
    assert refused["code"] == "ACCOUNT_IN_GROUP"
    assert (members(client, group), members(client, other)) == (["a", "b"], ["c"])


def test_group_has_one_currency(client: Caller) -> None:
    """An account in another currency joins neither at first nor later (§3.9)."""
    add_accounts(client, "a")
    add_accounts(client, "e", invoiceCurrency="EUR")
    assert client.post("/invoice_groups", {**GROUP, "accountIds": ["a", "e"]}, status=400)["code"] == "GROUP_CURRENCY"
    group = made(client, "a")
    refused = client.post(f"/invoice_groups/{group['id']}/add_accounts", {"accountIds": ["e"]}, status=400)
    assert (refused["code"], members(client, group)) == ("GROUP_CURRENCY", ["a"])


def test_draft_and_archived_accounts_do_not_join(client: Caller) -> None:
    """A draft's currency may still change, an archived account is not invoiced any more."""
    add_accounts(client, "d", status="DRAFT")
    add_accounts(client, "x")
    client.send("DELETE", "/accounts/x", 200)
    codes = [client.post("/invoice_groups", {**GROUP, "accountIds": [each]}, status=400)["code"] for each in "dx"]
    assert codes == ["ACCOUNT_NOT_ACTIVE", "ACCOUNT_ARCHIVED"]


def test_archived_account_leaves_its_group(client: Caller) -> None:
    """And takes the group with it if it was alone."""
    add_accounts(client, "a", "b")
    group = made(client, "a", "b")
    client.send("DELETE", "/accounts/a", 200)
    assert members(client, group) == ["b"]
    client.send("DELETE", "/accounts/b", 200)
    client.get(f"/invoice_groups/{group['id']}", status=404)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "name: must be 1 to 255 characters"),
        ({"name": "x" * 256}, "name: "),
        ({"email": "x" * 321}, "email: "),
        ({"netTermDays": -1}, "netTermDays: "),
        ({"netTermDays": 3651}, "netTermDays: "),
        ({"accountIds": []}, "accountIds: "),
        ({"accountIds": ["a", "a"]}, "accountIds: the same account stands twice"),
        ({"accountIds": ["nobody"]}, "accountIds: no account 'nobody'"),
        ({"accountIds": [f"a{number}" for number in range(101)]}, "accountIds: "),
        ({"address": {"country": "ABC"}}, "address"),
        ({"address": {"line1": "x" * 256}}, "address"),
        ({"dailyInvoiceConsolidation": None}, "dailyInvoiceConsolidation"),
        ({"gracePeriod": 3}, "unknown field `gracePeriod`"),
    ],
)
def test_bad_group_is_refused(client: Caller, changes: dict[str, Any], message: str) -> None:
    """The refusal names the field, and nothing is made."""
    add_accounts(client, "a")
    refused = client.post("/invoice_groups", {**GROUP, "accountIds": ["a"], **changes}, status=400)
    assert message in refused["message"]
    assert client.get("/invoice_groups")["data"] == []


def test_group_has_at_most_a_hundred_accounts(client: Caller) -> None:
    """§4: 1 to 100 accounts, however they joined."""
    ids = [f"a{number:03}" for number in range(101)]
    add_accounts(client, *ids)
    group = made(client, *ids[:100])
    refused = client.post(f"/invoice_groups/{group['id']}/add_accounts", {"accountIds": ids[100:]}, status=400)
    assert refused["code"] == "LIMIT_REACHED"
    assert len(members(client, group)) == 100


def test_groups_are_listed(client: Caller) -> None:
    """Those changed last first, page by page, and searched by name."""
    add_accounts(client, "a", "b", "c", "d")
    groups = {name: made(client, name[0].lower(), name=name) for name in ("Aa", "Bb", "Cc")}
    client.post(f"/invoice_groups/{groups['Aa']['id']}/add_accounts", {"accountIds": ["d"]}, status=200)
    page = client.get("/invoice_groups", pageSize=2)
    assert [(each["name"], each["accountsCount"]) for each in page["data"]] == [("Aa", 2), ("Cc", 1)]
    rest = client.get("/invoice_groups", nextToken=page["nextToken"])
    assert ([each["name"] for each in rest["data"]], "nextToken" in rest) == (["Bb"], False)
    assert [each["name"] for each in client.get("/invoice_groups", _search="b")["data"]] == ["Bb"]


def test_organisations_have_their_own_groups(client: Caller, stranger: Caller) -> None:
    """Nothing of the other's is found or changed, whether by the group's id or by an account's."""
    add_accounts(client, "a", "b")
    add_accounts(stranger, "a", "z")
    group = made(client, "a")
    path = f"/invoice_groups/{group['id']}"
    stranger.get(path, status=404)
    stranger.post(f"{path}/add_accounts", {"accountIds": ["z"]}, status=404)
    stranger.post(f"{path}/remove_accounts", {"accountIds": ["a"]}, status=404)
    assert stranger.get("/invoice_groups")["data"] == []
    assert client.post(f"{path}/add_accounts", {"accountIds": ["z"]}, status=400)["code"] == "UNKNOWN_ACCOUNT"
    assert made(stranger, "a")["id"] != group["id"]
    assert members(client, group) == ["a"]


def test_settings_hang_on_groups(client: Caller) -> None:
    """On those of the organisation, that is."""
    add_accounts(client, "a")
    group = made(client, "a")
    setting = {**samples.SETTING, "entityType": "INVOICE_GROUP", "entityId": group["id"]}
    client.post("/settings", setting, status=201)
    assert client.post("/settings", {**setting, "entityId": "g"}, status=400)["code"] == "UNKNOWN_ENTITY"


def test_group_with_a_draft_written_by_hand_stays(client: Caller) -> None:
    """It cannot go with its last account before somebody has issued or deleted that invoice."""
    add_accounts(client, "a")
    group = made(client, "a")
    draft = {
        "accountId": group["id"],
        "ownerType": "INVOICE_GROUP",
        "startDate": "2024-01-01T00:00:00Z",
        "endDate": "2024-02-01T00:00:00Z",
        "status": "DRAFT",
        "lineItems": [{"description": "Setup", "value": 10}],
    }
    invoice = client.post("/invoices", draft, status=201)
    listed = client.send("GET", "/invoices", 200, params={"owner_id": group["id"], "status": "DRAFT"})["data"]
    assert [(each["id"], each["totalAmount"]) for each in listed] == [(invoice["id"], 10)]
    path = f"/invoice_groups/{group['id']}/remove_accounts"
    assert client.post(path, {"accountIds": ["a"]}, status=400)["code"] == "ONGOING_INVOICE"
    assert members(client, group) == ["a"]
    client.send("DELETE", f"/invoices/{invoice['id']}", 200)
    assert client.post(path, {"accountIds": ["a"]}, status=200) == {"success": True}
