"""Changing and archiving customers and accounts, contacts, and names that accounts give up and take, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller


@pytest.fixture
def acme(client: Caller) -> Caller:
    """Customer `c1` with its account `c1`."""
    client.post("/customers", samples.customer(), status=201)
    return client


def _aliases(account: Any) -> list[str]:
    return [each["alias"] for each in account["aliases"]]


# ---- changing ----------------------------------------------------------------------------------------------------


def test_customer_keeps_what_is_not_named(acme: Caller) -> None:
    """Only what is sent changes; an address is replaced as a whole, and the time of the change is shown."""
    before = acme.get("/customers/c1")
    changed = acme.send("PATCH", "/customers/c1", 200, json={"name": "New Name", "address": {"city": "Oslo"}})
    assert changed == {
        **before,
        "name": "New Name",
        "address": {"city": "Oslo"},
        "billingAddress": "Oslo",
        "updatedAt": changed["updatedAt"],
    }
    assert changed["updatedAt"] > before["updatedAt"]
    assert acme.get("/customers/c1") == changed
    assert [each["name"] for each in acme.get("/customers", _search="new")["data"]] == ["New Name"]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/customers/c1", {"name": "ab"}, "name: "),
        ("/customers/c1", {"id": "c2"}, "unknown field `id`"),
        ("/customers/c1", {"address": {"country": "xx1"}}, "address.country"),
        ("/accounts/c1", {"name": "x"}, "name: "),
        ("/accounts/c1", {"status": "ARCHIVED"}, "status: "),
        ("/accounts/c1", {"status": "DRAFT"}, "status: account 'c1' is ACTIVE and cannot become DRAFT"),
        ("/accounts/c1", {"invoiceCurrency": "EUR"}, "invoiceCurrency: the currency of an account never changes"),
        ("/accounts/c1", {"netTermDays": -1}, "netTermDays: must be 0 to 3650"),
        ("/accounts/c1", {"tags": ["a", "A"]}, "tags: the same tag stands twice"),
        ("/accounts/c1", {"customerId": "c2"}, "unknown field `customerId`"),
    ],
)
def test_bad_changes_are_refused_and_nothing_changes(
    acme: Caller, path: str, body: dict[str, Any], message: str
) -> None:
    """The refusal names the field; ids never change, and neither does a currency."""
    before = acme.get(path)
    assert message in acme.send("PATCH", path, 400, json=body)["message"]
    assert acme.get(path) == before


def test_account_keeps_what_is_not_named(acme: Caller) -> None:
    """Metadata and tags are replaced when they are sent, taken away by an empty one, and else stay."""
    sent = {
        "name": "Another",
        "netTermDays": 45,
        "primaryEmail": "x@y.example",
        "billingInformation": {"emailRecipients": ["z@y.example"], "additionalEmailRecipients": []},
        "address": {"city": "Oslo"},
        "metadata": {"GSTN": "1"},
        "tags": ["Gold"],
    }
    changed = acme.send("PATCH", "/accounts/c1", 200, json=sent)
    assert {key: changed[key] for key in sent} == {**sent, "tags": ["gold"]}
    assert acme.send("PATCH", "/accounts/c1", 200, json={}) == changed
    assert acme.send("PATCH", "/accounts/c1", 200, json={"metadata": {}})["metadata"] == {}
    read = acme.get("/accounts/c1")
    assert read["tags"] == ["gold"]
    assert read["name"] == "Another"


def test_same_currency_may_be_sent_again(acme: Caller) -> None:
    """Some clients send the whole account."""
    acme.send("PATCH", "/accounts/c1", 200, json={"invoiceCurrency": "USD", "status": "ACTIVE"})


def test_draft_account_may_change_its_currency_until_it_is_active(acme: Caller) -> None:
    """A draft gets no price plan, so nothing is priced in its currency yet."""
    assert acme.post("/accounts", samples.account("a1", status="DRAFT"), status=201)["status"] == "DRAFT"
    assert acme.send("PATCH", "/accounts/a1", 200, json={"invoiceCurrency": "EUR"})["invoiceCurrency"] == "EUR"
    samples.active_meter(acme)
    attach = {"pricePlanId": samples.active_plan(acme), "effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}
    assert acme.post("/accounts/a1/price_plans", attach, status=400)["code"] == "ACCOUNT_NOT_ACTIVE"
    active = acme.send("PATCH", "/accounts/a1", 200, json={"status": "ACTIVE", "invoiceCurrency": "USD"})
    assert (active["status"], active["invoiceCurrency"]) == ("ACTIVE", "USD")
    acme.post("/accounts/a1/price_plans", attach)


# ---- archiving ---------------------------------------------------------------------------------------------------


def test_archived_account_is_kept_and_changes_no_more(acme: Caller) -> None:
    """It can be read and is listed as archived; its id stays taken, and archiving it again does nothing."""
    assert acme.send("DELETE", "/accounts/c1", 200) == {"success": True}
    assert acme.get("/accounts/c1")["status"] == "ARCHIVED"
    assert [each["id"] for each in acme.send("GET", "/accounts?status=ARCHIVED", 200)["data"]] == ["c1"]
    assert acme.send("PATCH", "/accounts/c1", 400, json={"name": "New"})["code"] == "ACCOUNT_ARCHIVED"
    assert acme.post("/accounts/c1/add_aliases", {"aliases": ["new-one"]}, status=400)["code"] == "ACCOUNT_ARCHIVED"
    assert acme.post("/accounts", samples.account("c1"), status=400)["code"] == "ALREADY_EXISTS"
    assert acme.send("DELETE", "/accounts/c1", 200) == {"success": True}


def test_archived_customer_takes_its_accounts_with_it(acme: Caller) -> None:
    """All accounts are archived; neither they nor the customer take anything new."""
    acme.post("/accounts", samples.account("a1"), status=201)
    assert acme.send("DELETE", "/customers/c1", 200) == {"success": True}
    assert acme.get("/customers/c1")["status"] == "ARCHIVED"
    assert {each["status"] for each in acme.get("/accounts")["data"]} == {"ARCHIVED"}
    for refused in (
        acme.send("PATCH", "/customers/c1", 400, json={"name": "New"}),
        acme.post("/accounts", samples.account("a2"), status=400),
        acme.post("/customers/c1/contacts", {"name": "Ann", "email": "a@b.example"}, status=400),
    ):
        assert refused["code"] == "CUSTOMER_ARCHIVED"


def test_account_with_a_price_plan_is_not_archived(acme: Caller) -> None:
    """Nor is its customer, nor any other account of the customer on the way."""
    acme.post("/accounts", samples.account("a1"), status=201)
    samples.active_meter(acme)
    attach = {"pricePlanId": samples.active_plan(acme), "effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}
    acme.post("/accounts/c1/price_plans", attach)
    for path in ("/accounts/c1", "/customers/c1"):
        refused = acme.send("DELETE", path, 400)
        assert refused["code"] == "PRICE_PLAN_ATTACHED"
        assert "detach it first" in refused["message"]
    assert {each["status"] for each in acme.get("/accounts")["data"]} == {"ACTIVE"}


def test_account_with_an_ongoing_invoice_is_not_archived(acme: Caller) -> None:
    """A plan that ended leaves a cycle that nobody was billed for yet."""
    samples.active_meter(acme)
    ended = (datetime.now(UTC) - timedelta(days=2)).date().isoformat()
    attach = {"pricePlanId": samples.active_plan(acme), "effectiveFrom": "2024-01-01", "effectiveUntil": ended}
    acme.post("/accounts/c1/price_plans", attach)
    refused = acme.send("DELETE", "/accounts/c1", 400)
    assert refused["code"] == "ONGOING_INVOICE"
    assert "2024-01-01" in refused["message"]


def test_archived_account_gives_its_aliases_free(acme: Caller) -> None:
    """Another account may have them from then on."""
    acme.post("/accounts/c1/add_aliases", {"aliases": ["shared"]})
    acme.send("DELETE", "/accounts/c1", 200)
    created = acme.post("/accounts", samples.account("a1", aliases=["shared"]), status=201)
    assert _aliases(created) == ["shared"]


# ---- aliases -----------------------------------------------------------------------------------------------------


def test_aliases_are_added_and_shown_with_their_times(acme: Caller) -> None:
    """Without dates an alias is for ever, which reads as the years 1 to 9999."""
    window = {"value": "x", "effectiveFrom": "2024-01-01T00:00:00Z", "effectiveUntil": "2030-01-01T05:30:00+05:30"}
    added = acme.post("/accounts/c1/add_aliases", {"aliases": ["for-ever"], "accountAliases": [window]}, status=200)
    assert _aliases(added) == ["for-ever", "x"]
    first, second = acme.get("/accounts/c1/account_aliases")["data"]
    assert (first["value"], first["effectiveFrom"][:4], first["effectiveUntil"][:4]) == ("for-ever", "0001", "9999")
    assert (second["value"], second["effectiveFrom"], second["effectiveUntil"]) == (
        "x",
        "2024-01-01T00:00:00Z",
        "2030-01-01T00:00:00Z",
    )
    assert len({first["id"], second["id"]}) == 2


def test_removed_alias_names_the_account_up_to_now_alone(acme: Caller) -> None:
    """What it meant stays, and the next account has it from there on without anybody's naming a date."""
    acme.post("/accounts", samples.account("a1"), status=201)
    acme.post("/accounts/c1/add_aliases", {"aliases": ["moving"]})
    assert acme.post("/accounts/a1/add_aliases", {"aliases": ["moving"]}, status=400)["code"] == "ALIAS_TAKEN"
    removed = acme.post("/accounts/c1/remove_aliases", {"aliases": ["moving"]}, status=200)
    assert _aliases(removed) == []
    assert _aliases(acme.get("/accounts/c1", effectiveOn="2020-01-01T00:00:00Z")) == ["moving"]
    assert _aliases(acme.post("/accounts/a1/add_aliases", {"aliases": ["moving"]})) == ["moving"]
    [old], [new] = (acme.get(f"/accounts/{each}/account_aliases")["data"] for each in ("c1", "a1"))
    assert old["effectiveUntil"] == new["effectiveFrom"]
    assert new["effectiveUntil"].startswith("9999")


def test_alias_is_removed_by_id_from_a_time_on(acme: Caller) -> None:
    """From before its start it is as if it had never been, and then another account may have had it."""
    acme.post("/accounts", samples.account("a1"), status=201)
    acme.post("/accounts/c1/add_aliases", {"aliases": ["wrong"]})
    [window] = acme.get("/accounts/c1/account_aliases")["data"]
    at = {"id": window["id"], "from": "2024-06-01T00:00:00Z"}
    acme.post("/accounts/c1/remove_aliases", {"accountAliases": [at]}, status=200)
    [cut] = acme.get("/accounts/c1/account_aliases")["data"]
    assert (cut["id"], cut["effectiveUntil"]) == (window["id"], "2024-06-01T00:00:00Z")
    gone = {"id": window["id"], "from": "0001-01-01T00:00:00Z"}
    acme.post("/accounts/c1/remove_aliases", {"accountAliases": [gone]}, status=200)
    assert acme.get("/accounts/c1/account_aliases")["data"] == []
    acme.post("/accounts/a1/add_aliases", {"aliases": ["wrong"]})
    assert _aliases(acme.get("/accounts/a1", effectiveOn="2020-01-01T00:00:00Z")) == ["wrong"]


@pytest.mark.parametrize(
    ("action", "body", "message"),
    [
        ("add_aliases", {}, "aliases: name at least one"),
        ("add_aliases", {"aliases": []}, "aliases: name at least one"),
        ("add_aliases", {"aliases": ["ab"]}, "aliases[0]: Expected `str` of length >= 3"),
        ("add_aliases", {"aliases": ["x" * 51]}, "aliases[0]: Expected `str` of length <= 50"),
        ("add_aliases", {"aliases": [f"alias-{n}" for n in range(11)]}, "aliases: Expected `array` of length <= 10"),
        ("add_aliases", {"aliases": [" spaced"]}, "spaces at an end"),
        ("add_aliases", {"aliases": ["twice", "twice"]}, "'twice' names account 'c1' in that time already"),
        (
            "add_aliases",
            {
                "accountAliases": [
                    {
                        "value": "back",
                        "effectiveFrom": "2024-01-02T00:00:00Z",
                        "effectiveUntil": "2024-01-01T00:00:00Z",
                    }
                ]
            },
            "effectiveFrom must be before effectiveUntil",
        ),
        ("remove_aliases", {}, "aliases: name at least one"),
        ("remove_aliases", {"aliases": ["never-had"]}, "'never-had' does not name account 'c1'"),
        ("remove_aliases", {"accountAliases": [{"id": "x"}]}, "has no alias of id 'x'"),
        ("remove_aliases", {"aliases": ["one-of-ours", "never-had"]}, "'never-had' does not name account 'c1'"),
    ],
)
def test_bad_alias_requests_are_refused_as_a_whole(
    acme: Caller, action: str, body: dict[str, Any], message: str
) -> None:
    """Nothing of the request is done."""
    before = _aliases(acme.post("/accounts/c1/add_aliases", {"aliases": ["one-of-ours"]}))
    assert message in acme.post(f"/accounts/c1/{action}", body, status=400)["message"]
    assert _aliases(acme.get("/accounts/c1")) == before


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+05:30", "9999-12-31T23:59:59-05:00"])
def test_an_offset_that_leads_out_of_the_calendar_is_refused(acme: Caller, instant: str) -> None:
    """Years before 1 and after 9999 are none, whatever the clock on the wall says."""
    window = {"accountAliases": [{"value": "edge", "effectiveFrom": instant}]}
    end = {"accountAliases": [{"id": "x", "from": instant}]}
    for refused in (
        acme.post("/accounts/c1/add_aliases", window, status=400),
        acme.post("/accounts/c1/remove_aliases", end, status=400),
        acme.get("/accounts/c1", effectiveOn=instant, status=400),
    ):
        assert "beyond the years 1 to 9999 in UTC" in refused["message"]


def test_account_has_ten_aliases_at_any_instant(acme: Caller) -> None:
    """An eleventh is refused while the ten are in force, and taken when one of them is over."""
    acme.post("/accounts/c1/add_aliases", {"aliases": [f"alias-{n}" for n in range(10)]})
    assert "at most 10" in acme.post("/accounts/c1/add_aliases", {"aliases": ["eleventh"]}, status=400)["message"]
    acme.post("/accounts/c1/remove_aliases", {"aliases": ["alias-0"]})
    late = {"value": "eleventh", "effectiveFrom": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()}
    acme.post("/accounts/c1/add_aliases", {"accountAliases": [late]})


def test_aliases_of_an_account_are_paged(acme: Caller) -> None:
    """Each window once, by alias and time; a token of one account is none of another's."""
    acme.post("/accounts", samples.account("a1", aliases=["other"]), status=201)
    acme.post("/accounts/c1/add_aliases", {"aliases": ["ccc", "aaa", "bbb"]})
    page = acme.get("/accounts/c1/account_aliases", pageSize=2)
    rest = acme.get("/accounts/c1/account_aliases", nextToken=page["nextToken"])
    assert [each["value"] for each in page["data"] + rest["data"]] == ["aaa", "bbb", "ccc"]
    acme.get("/accounts/a1/account_aliases", nextToken=page["nextToken"], status=400)
    acme.get("/accounts/nobody/account_aliases", status=404)


def test_aliases_may_be_known_before_they_name_anybody(acme: Caller) -> None:
    """Those made here and those that accounts got are listed together, the newest first."""
    made = acme.post("/aliases", {"aliases": [{"value": "free-1"}, {"value": "free-2"}]}, status=201)
    assert [each["value"] for each in made["data"]] == ["free-1", "free-2"]
    acme.post("/accounts/c1/add_aliases", {"aliases": ["taken", "free-1"]})
    assert [each["value"] for each in acme.get("/aliases")["data"]] == ["taken", "free-1", "free-2"]
    assert [each["value"] for each in acme.get("/aliases", _search="FREE", _sort="value:desc")["data"]] == [
        "free-2",
        "free-1",
    ]
    assert acme.get("/aliases/free-2") == made["data"][1]
    acme.get("/aliases/never-made", status=404)


def test_known_aliases_are_made_all_or_none(acme: Caller) -> None:
    """One that exists, or stands twice, spoils the request, and the refusal says which."""
    acme.post("/aliases", {"aliases": [{"value": "first"}]}, status=201)
    for values, place in ((["second", "first"], "aliases[1].value"), (["third", "third"], "aliases[1].value")):
        refused = acme.post("/aliases", {"aliases": [{"value": value} for value in values]}, status=400)
        assert refused["code"] == "ALREADY_EXISTS"
        assert refused["message"].startswith(place)
    assert [each["value"] for each in acme.get("/aliases")["data"]] == ["first"]
    for bad in ([], [{"value": ""}], [{"value": "a/b"}], [{"value": "x" * 51}], [{"value": "x"}] * 101):
        acme.post("/aliases", {"aliases": bad}, status=400)


def test_alias_in_use_is_not_deleted(acme: Caller) -> None:
    """Once no account has it any more, it can be deleted, and made again."""
    acme.post("/accounts/c1/add_aliases", {"aliases": ["busy"]})
    assert acme.send("DELETE", "/aliases/busy", 400)["code"] == "ALIAS_IN_USE"
    acme.post("/accounts/c1/remove_aliases", {"aliases": ["busy"]})
    assert acme.send("DELETE", "/aliases/busy", 200) == {"success": True}
    acme.get("/aliases/busy", status=404)
    acme.send("DELETE", "/aliases/busy", 404)
    assert _aliases(acme.get("/accounts/c1", effectiveOn="2020-01-01T00:00:00Z")) == ["busy"]
    acme.post("/aliases", {"aliases": [{"value": "busy"}]}, status=201)


# ---- contacts ----------------------------------------------------------------------------------------------------


def test_contact_is_shown_as_it_was_made(acme: Caller) -> None:
    """With a username of ours, and nobody may log in."""
    sent = {"name": "Ann", "email": "ann@b.example", "phone": "+1 555 0100", "preferredUsername": "ann1"}
    made = acme.post("/customers/c1/contacts", sent, status=201)
    assert {key: made[key] for key in sent} == sent
    assert (made["loginAccess"], made["verified"]) == (False, False)
    assert made["username"].startswith("contact.")
    acme.post("/customers/c1/contacts", {"name": "Bob", "email": "bob@b.example"}, status=201)
    assert [each["name"] for each in acme.get("/customers/c1/contacts")["data"]] == ["Bob", "Ann"]
    assert acme.get("/customers/c1/contacts", _search="ann")["data"] == [made]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"email": "nobody"}, "email: "),
        ({"email": "a b@c.example"}, "email: "),
        ({"name": ""}, "name: "),
        ({"name": "\n"}, "name: must be 1 to 50 characters, and not blank"),
        ({"name": "x" * 51}, "name: "),
        ({"phone": "1" * 31}, "phone: "),
        ({"preferredUsername": "a"}, "preferredUsername: "),
        ({"preferredUsername": "taken"}, "preferredUsername: a contact 'taken' exists already"),
        ({"password": "secret"}, "password: not supported"),
        ({"loginAccess": True}, "loginAccess: not supported"),
    ],
)
def test_bad_contact_is_refused(acme: Caller, changes: dict[str, Any], message: str) -> None:
    """Texts have bounds, and there is no portal that one could log in to."""
    acme.post("/customers/c1/contacts", {"name": "T", "email": "t@b.example", "preferredUsername": "taken"}, status=201)
    sent = {"name": "Ann", "email": "ann@b.example", **changes}
    assert message in acme.post("/customers/c1/contacts", sent, status=400)["message"]
    acme.post("/customers/nobody/contacts", {"name": "Ann", "email": "ann@b.example"}, status=404)


# ---- between organisations ---------------------------------------------------------------------------------------


def test_organisations_do_not_touch_each_others_things(acme: Caller, stranger: Caller) -> None:
    """What one may change, another does not even find; the same names are free there."""
    acme.post("/accounts/c1/add_aliases", {"aliases": ["shared"]})
    acme.post("/customers/c1/contacts", {"name": "T", "email": "t@b.example", "preferredUsername": "same"}, status=201)
    stranger.send("PATCH", "/customers/c1", 404, json={"name": "Theirs"})
    stranger.send("PATCH", "/accounts/c1", 404, json={"name": "Theirs"})
    stranger.send("DELETE", "/customers/c1", 404)
    stranger.send("DELETE", "/accounts/c1", 404)
    stranger.post("/accounts/c1/add_aliases", {"aliases": ["other"]}, status=404)
    stranger.post("/accounts/c1/remove_aliases", {"aliases": ["shared"]}, status=404)
    stranger.get("/accounts/c1/account_aliases", status=404)
    stranger.get("/customers/c1/contacts", status=404)
    stranger.get("/aliases/shared", status=404)
    stranger.send("DELETE", "/aliases/shared", 404)
    assert stranger.get("/aliases")["data"] == []
    acme.post("/accounts", samples.account("a1", aliases=["another"]), status=201)
    stranger.post("/customers", samples.customer(account={"id": "a1", "name": "Mine", "aliases": ["shared"]}))
    stranger.post("/customers/c1/contacts", {"name": "T", "email": "t@b.example", "preferredUsername": "same"})
    mine = [acme.get(path) for path in ("/customers/c1", "/accounts/c1", "/accounts/c1/account_aliases")]
    stranger.send("PATCH", "/customers/c1", 200, json={"name": "Theirs"})
    stranger.send("PATCH", "/accounts/a1", 200, json={"name": "Theirs"})
    stranger.post("/accounts/a1/remove_aliases", {"aliases": ["shared"]})
    stranger.send("DELETE", "/aliases/shared", 200)
    stranger.send("DELETE", "/customers/c1", 200)
    assert [acme.get(path) for path in ("/customers/c1", "/accounts/c1", "/accounts/c1/account_aliases")] == mine
    assert acme.get("/aliases/shared")["value"] == "shared"
