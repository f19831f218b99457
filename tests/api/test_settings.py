"""Settings over HTTP: on which entities, with which values, and what the rules that read them allow."""

from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller

from tallybook.core.setting import ExpressionDialect, OrganisationChoices, Profile, setting_key
from tallybook.storage import definition_rows
from tallybook.storage.catalog import Catalog
from tallybook.storage.database import Database


def setting(setting_id: str = "threshold", **changes: Any) -> dict[str, Any]:
    return {
        "id": setting_id,
        "value": "INR",
        "entityType": "ORGANIZATION",
        "entityId": "acme",
        "namespace": "USER",
        "name": "Settings Name",
        "dataType": "STRING",
        **changes,
    }


def choice(setting_id: str, value: str) -> dict[str, Any]:
    return setting(setting_id, value=value, namespace="TOGAI")


def on_account(setting_id: str = "threshold", account_id: str = "a1", **changes: Any) -> dict[str, Any]:
    return setting(setting_id, entityType="ACCOUNT", entityId=account_id, **changes)


def with_account(client: Caller) -> None:
    """The customer `c1` with the account `a1`."""
    client.post("/customers", samples.customer(), status=201)
    client.post("/accounts", samples.account(), status=201)


def path_of(sent: dict[str, Any]) -> str:
    return f"/settings/setting.{sent['namespace']}.{sent['id']}.{sent['entityType']}.{sent['entityId']}"


def change(client: Caller, path: str, status: int = 201, **changes: Any) -> Any:
    return client.send("PATCH", path, status, json=changes)


def test_setting_reads_as_it_was_written(client: Caller) -> None:
    """POST answers 201 with the setting, and its whole id finds it."""
    sent = setting()
    assert client.post("/settings", sent, status=201) == sent
    assert client.get("/settings/setting.USER.threshold.ORGANIZATION.acme") == sent
    assert client.get("/settings/setting.user.threshold.ORGANIZATION.acme") == sent
    assert client.get("/settings")["data"] == [sent]


def test_place_is_taken_once(client: Caller) -> None:
    """The same id may hang on several things, but on each only once."""
    with_account(client)
    client.post("/settings", setting(), status=201)
    refused = client.post("/settings", setting(namespace="user"), status=400)
    assert refused["code"] == "ALREADY_EXISTS"
    assert "change it with PATCH" in refused["message"]
    client.post("/settings", on_account(), status=201)


def test_setting_changes_in_part(client: Caller) -> None:
    """PATCH answers 201 with the whole setting; what is left out stays, and a value must fit its type."""
    sent = setting()
    client.post("/settings", sent, status=201)
    assert change(client, path_of(sent), value="USD") == {**sent, "value": "USD"}
    assert change(client, path_of(sent), name="Other") == {**sent, "value": "USD", "name": "Other"}
    assert "is not a number" in change(client, path_of(sent), 400, dataType="NUMERIC")["message"]
    changed = change(client, path_of(sent), dataType="NUMERIC", value="1.50")
    assert client.get(path_of(sent)) == changed == {**sent, "value": "1.50", "name": "Other", "dataType": "NUMERIC"}
    assert "entityId" in change(client, path_of(sent), 400, entityId="a1")["message"]
    change(client, "/settings/setting.USER.none.ORGANIZATION.acme", 404, value="x")
    client.get("/settings/setting.USER.none.ORGANIZATION.acme", status=404)
    client.get("/settings/nothing", status=400)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"id": "a.b"}, "id"),
        ({"id": ""}, "id"),
        ({"namespace": "MINE"}, "namespace: one of USER, TOGAI"),
        ({"entityType": "BOX"}, "entityType"),
        ({"entityId": "umbrella"}, "entityId: this organisation has no ORGANIZATION 'umbrella'"),
        ({"entityType": "ACCOUNT", "entityId": "nobody"}, "entityId: this organisation has no ACCOUNT 'nobody'"),
        ({"entityType": "INVOICE_GROUP", "entityId": "g"}, "entityId: this organisation has no INVOICE_GROUP 'g'"),
        ({"dataType": "DATE"}, "dataType"),
        ({"dataType": "NUMERIC"}, "value: 'INR' is not a number"),
        ({"dataType": "JSON"}, "value: not JSON"),
        ({"dataType": "JSON_LOGIC", "value": '{"fly":1}'}, "value: the rule: unknown operator 'fly'"),
        ({"value": 5}, "value"),
        ({"value": "x" * 10_001}, "value"),
        ({"colour": "red"}, "unknown field `colour`"),
        ({"id": "colour", "namespace": "TOGAI"}, "id: no setting 'colour' in the namespace TOGAI"),
        ({"id": "profile", "namespace": "TOGAI"}, "value: profile is togai-2024-12 or togai-2023-05"),
    ],
)
def test_bad_setting_is_refused_with_the_place(client: Caller, changes: dict[str, Any], place: str) -> None:
    """Every refusal names the field, and nothing is stored."""
    assert place in client.post("/settings", setting(**changes), status=400)["message"]
    assert client.get("/settings")["data"] == []


def test_setting_hangs_on_what_is_there(client: Caller) -> None:
    """Customers, accounts, schemas, meters and plans, by their ids; names for schemas."""
    with_account(client)
    meter_id, plan_id = samples.active_meter(client), samples.active_plan(client)
    for entity_type, entity_id in (
        ("CUSTOMER", "c1"),
        ("ACCOUNT", "a1"),
        ("EVENT_SCHEMA", "rides"),
        ("USAGE_METER", meter_id),
        ("PRICE_PLAN", plan_id),
    ):
        sent = setting(entityType=entity_type, entityId=entity_id)
        client.post("/settings", sent, status=201)
        assert client.get(path_of(sent)) == sent


def test_list_is_filtered_and_paged(client: Caller) -> None:
    """By namespace, id and what they hang on, in that order; the token keeps the filters."""
    with_account(client)
    sent = [
        choice("profile", "togai-2024-12"),
        on_account("a"),
        setting("a"),
        setting("b"),
        setting("c"),
    ]
    for each in reversed(sent):
        client.post("/settings", each, status=201)
    assert client.get("/settings")["data"] == sent
    for filters, expected in (
        ({"namespace": "togai"}, sent[:1]),
        ({"setting_id": "a"}, sent[1:3]),
        ({"entity_type": "ACCOUNT"}, sent[1:2]),
        ({"entity_type": "ORGANIZATION", "entity_id": "acme", "namespace": "USER"}, sent[2:]),
        ({"entity_id": "nobody"}, []),
    ):
        assert client.get("/settings", **filters)["data"] == expected
    first = client.get("/settings", namespace="USER", pageSize=3)
    assert first["data"] == sent[1:4]
    last = client.get("/settings", nextToken=first["nextToken"])
    assert (last["data"], last.get("nextToken")) == (sent[4:], None)
    client.get("/settings", status=400, entity_type="BOX")
    client.get("/settings", status=400, namespace="MINE")


def test_organisations_do_not_see_each_others_settings(client: Caller, stranger: Caller) -> None:
    """Not even at a place that names the other, or on an account that only the other has."""
    with_account(client)
    assert stranger.post("/settings", on_account(), status=400)["code"] == "UNKNOWN_ENTITY"
    sent = setting()
    client.post("/settings", sent, status=201)
    stranger.get(path_of(sent), status=404)
    change(stranger, path_of(sent), 404, value="x")
    assert stranger.get("/settings")["data"] == []
    assert stranger.get("/settings", entity_id="acme")["data"] == []
    assert stranger.post("/settings", sent, status=400)["code"] == "UNKNOWN_ENTITY"
    theirs = setting(entityId="umbrella", value="EUR")
    stranger.post("/settings", theirs, status=201)
    assert client.get("/settings")["data"] == [sent]


# ---- what reads them ---------------------------------------------------------------------------------------------


def test_nearest_setting_counts_for_an_account(client: Caller, database: Database) -> None:
    """The account's own, else its customer's, else the organisation's, each key by itself."""
    with_account(client)
    keys = [setting_key(f"setting.user.{name}", "key") for name in ("a", "b", "c", "d")]
    for name, value, entity_type, entity_id in (
        ("a", "1", "ORGANIZATION", "acme"),
        ("a", "2", "CUSTOMER", "c1"),
        ("a", "3", "ACCOUNT", "a1"),
        ("b", "4", "ORGANIZATION", "acme"),
        ("b", "5", "CUSTOMER", "c1"),
        ("c", "6", "ORGANIZATION", "acme"),
    ):
        client.post("/settings", setting(name, value=value, entityType=entity_type, entityId=entity_id), status=201)
    found = Catalog(database).setting_values("acme", keys, account_id="a1", customer_id="c1")
    assert [value and value.text for value in found] == ["3", "5", "6", None]
    found = Catalog(database).setting_values("acme", keys, account_id="a2", customer_id="c2")
    assert [value and value.text for value in found] == ["1", "4", "6", None]
    assert Catalog(database).setting_values("umbrella", keys, account_id="a1", customer_id="c1") == (None,) * 4


def test_every_change_is_noted(client: Caller, database: Database) -> None:
    """Whoever caches what settings say must hear of it; a change that changes nothing is none."""
    sent = setting()
    with database.read() as connection:
        before = definition_rows.version(connection)
    client.post("/settings", sent, status=201)
    change(client, path_of(sent), value="USD")
    change(client, path_of(sent), value="USD")
    with database.read() as connection:
        changes = definition_rows.changes_since(connection, before)
    place = "setting.USER.threshold.ORGANIZATION.acme"
    assert [(each.organisation_id, each.kind, each.name) for each in changes] == [("acme", "setting", place)] * 2


def test_choices_of_the_organisation(client: Caller, database: Database) -> None:
    """Settings of the namespace TOGAI are what Tallybook acts on, for that organisation alone."""
    client.post("/settings", choice("expression_dialect", "togai"), status=201)
    client.post("/settings", choice("profile", "togai-2023-05"), status=201)
    client.post("/settings", choice("reprocess_within", "ever"), status=201)
    assert Catalog(database).choices("acme") == OrganisationChoices(
        expression_dialect=ExpressionDialect.TOGAI, profile=Profile.TOGAI_2023_05, reprocess_within_hours=None
    )
    assert Catalog(database).choices("umbrella") == OrganisationChoices()
    change(client, "/settings/setting.TOGAI.reprocess_within.ORGANIZATION.acme", 201, value="0")
    assert Catalog(database).choices("acme").reprocess_within_hours == 0


def test_dialect_is_changed_only_if_every_rule_can_work_in_it(client: Caller) -> None:
    """In exact, `-` takes two operands at the most; Togai's engine takes more and uses two."""
    path = "/settings/setting.TOGAI.expression_dialect.ORGANIZATION.acme"
    client.post("/settings", choice("expression_dialect", "togai"), status=201)
    client.post("/event_schema", samples.schema())
    three = samples.meter(computations=[{"computation": '{"-":[{"var":"attributes.distance"},3,2]}', "order": 1}])
    meter_id = client.post("/usage_meters", three, status=201)["id"]
    refused = change(client, path, 400, value="exact")
    assert refused["code"] == "EXPRESSION_DIALECT"
    assert "usage meter 'kilometres' cannot work in that dialect: computations[0].computation" in refused["message"]
    assert client.get(path)["value"] == "togai"
    client.send("DELETE", f"/usage_meters/{meter_id}", 200)
    change(client, path, 201, value="exact")
    assert "computations[0].computation" in client.post("/usage_meters", three | {"name": "x"}, status=400)["message"]


def test_entity_has_a_bounded_number_of_settings(client: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than the bound is refused, on that entity alone."""
    with_account(client)
    monkeypatch.setattr("tallybook.core.setting.SETTINGS_PER_ENTITY_MAX", 2)
    for name in ("a", "b"):
        client.post("/settings", setting(name), status=201)
    assert client.post("/settings", setting("c"), status=400)["code"] == "LIMIT_REACHED"
    client.post("/settings", on_account("c"), status=201)
