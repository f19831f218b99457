"""The official Python client, unchanged, against a real server: everything that is defined before events arrive."""

from datetime import UTC, datetime, timedelta
from typing import Any

import catalogue_samples as samples
import pytest
import togai_client
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.add_ons_api import AddOnsApi
from togai_client.api.aliases_api import AliasesApi
from togai_client.api.authentication_api import AuthenticationApi
from togai_client.api.customers_api import CustomersApi
from togai_client.api.event_schemas_api import EventSchemasApi
from togai_client.api.settings_api import SettingsApi
from togai_client.api.usage_meters_api import UsageMetersApi
from togai_client.exceptions import ApiException, BadRequestException, NotFoundException


def asked(model: str, **content: Any) -> Any:
    """A request as the client's own type."""
    return getattr(togai_client, model).from_dict(content)


def a_customer(official: togai_client.ApiClient, customer_id: str) -> Any:
    return CustomersApi(official).create_customer(asked("CreateCustomerRequest", **samples.customer(customer_id)))


def test_a_customer_from_beginning_to_end(official: togai_client.ApiClient) -> None:
    """Created with its account, read, listed, changed, given a contact, archived for good."""
    api = CustomersApi(official)
    created = a_customer(official, "official-c1")
    assert (created.id, created.account.id) == ("official-c1", "official-c1")
    assert api.get_customer("official-c1").address.city == "Chennai"
    assert "official-c1" in [customer.id for customer in api.get_customers(page_size=100).data]
    changed = api.update_customer("official-c1", asked("UpdateCustomerRequest", name="Another name"))
    assert (changed.name, changed.primary_email) == ("Another name", "a@b.example")
    request = asked("CreateCustomerContactRequest", name="Ada", email="ada@b.example")
    contact = api.create_customer_contact("official-c1", request)
    assert (contact.name, contact.email) == ("Ada", "ada@b.example")
    assert api.delete_customer("official-c1").success is True
    assert api.get_customer("official-c1").status == "ARCHIVED"


def test_an_account_from_beginning_to_end(official: togai_client.ApiClient) -> None:
    """Created, read, listed, changed, archived for good."""
    a_customer(official, "official-c2")
    api = AccountsApi(official)
    request = asked("CreateAccountRequest", **samples.account("official-a2", customerId="official-c2", netTermDays=15))
    assert api.create_account(request).net_term_days == 15
    assert api.get_account("official-a2").customer_id == "official-c2"
    assert "official-a2" in [account.id for account in api.get_accounts(page_size=100).data]
    changes = asked("UpdateAccountRequest", name="Another name", tags=["gold"], metadata={"segment": "retail"})
    changed = api.update_account("official-a2", changes)
    assert (changed.name, changed.tags, changed.metadata) == ("Another name", ["gold"], {"segment": "retail"})
    assert api.delete_account("official-a2").success is True
    assert api.get_account("official-a2").status == "ARCHIVED"


def test_aliases_and_their_windows(official: togai_client.ApiClient) -> None:
    """An alias names an account from a day on; taken away, it names it no more, and still did before."""
    a_customer(official, "official-c3")
    api = AccountsApi(official)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    window = {"value": "official-alias", "effectiveFrom": start}
    added = api.add_aliases("official-c3", asked("AddAccountAliasesRequest", accountAliases=[window]))
    assert [each.alias for each in added.aliases] == ["official-alias"]
    [shown] = api.list_account_aliases("official-c3").data
    assert (shown.value, shown.effective_from) == ("official-alias", start)
    request = asked("RemoveAccountAliasesRequest", accountAliases=[{"id": shown.id}])
    assert api.remove_aliases("official-c3", request).aliases == []
    before = api.get_account("official-c3", effective_on=start + timedelta(days=1))
    assert [each.alias for each in before.aliases] == ["official-alias"]


def test_aliases_without_an_account(official: togai_client.ApiClient) -> None:
    """Made in bulk, read, listed, forgotten."""
    api = AliasesApi(official)
    values = ["official-free-1", "official-free-2"]
    made = api.create_alias(asked("CreateBulkAliasRequest", aliases=[{"value": value} for value in values]))
    assert sorted(each.value for each in made.data) == values
    assert api.get_alias("official-free-1").value == "official-free-1"
    assert set(values) <= {each.value for each in api.list_aliases(page_size=100).data}
    assert api.delete_alias("official-free-1").success is True
    with pytest.raises(ApiException) as raised:
        api.get_alias("official-free-1")
    assert raised.value.status == 404


def test_an_event_schema_from_beginning_to_end(official: togai_client.ApiClient) -> None:
    """Created as a draft, changed, activated, given a version more, deactivated, archived."""
    api = EventSchemasApi(official)
    name = "official schema"
    created = api.create_event_schema(asked("CreateEventSchemaRequest", **samples.schema(name)))
    assert (created.status, created.version) == ("DRAFT", 1)
    described = asked("UpdateEventSchemaRequest", description="What was driven")
    assert api.event_schema_event_schema_name_patch(name, described).description == "What was driven"
    assert api.activate_event_schema(name).status == "ACTIVE"
    enrichments = {
        "dependencies": [],
        "fields": [
            {"name": "region", "type": "DIMENSION", "enrichmentType": "VALUE", "value": "south", "order": 1},
        ],
    }
    more = asked("UpdateEventSchemaRequest", attributes=[{"name": "weight"}], enrichments=enrichments)
    changed = api.event_schema_event_schema_name_patch(name, more)
    assert (changed.version, changed.enrichments.fields[0].name) == (2, "region")
    assert {each.name for each in changed.attributes} == {"distance", "weight"}
    assert api.get_event_schema(name, version=1).version == 1
    assert [each.version for each in api.list_event_schema_versions(name).data] == [2, 1]
    assert name in [each.name for each in api.list_event_schemas(page_size=100).data]
    assert api.deactivate_event_schema(name).status == "INACTIVE"
    assert api.delete_event_schema(name).success is True


def test_a_usage_meter_from_beginning_to_end(official: togai_client.ApiClient) -> None:
    """Created as a draft, changed, activated, read with its schema, deactivated, archived."""
    schemas, api = EventSchemasApi(official), UsageMetersApi(official)
    schemas.create_event_schema(asked("CreateEventSchemaRequest", **samples.schema("official metered")))
    schemas.activate_event_schema("official metered")
    meter = samples.meter("official meter", eventSchemaName="official metered")
    created = api.create_usage_meter(asked("CreateUsageMeterRequest", **meter))
    assert (created.status, created.display_name) == ("DRAFT", "official meter")
    renamed = api.update_usage_meter(created.id, asked("UpdateUsageMeterRequest", billableName="Kilometres"))
    assert renamed.display_name == "Kilometres"
    assert api.activate_usage_meter(created.id).status == "ACTIVE"
    read = api.get_usage_meter(created.id, include_schema=True)
    assert read.event_schema.name == "official metered"
    assert created.id in [each.id for each in api.get_usage_meters_for_event_schema(page_size=100).data]
    assert api.deactivate_usage_meter(created.id).status == "INACTIVE"
    assert api.delete_usage_meter(created.id).success is True


def test_an_add_on_from_beginning_to_end(official: togai_client.ApiClient) -> None:
    """Created, read, listed, renamed, archived."""
    api = AddOnsApi(official)
    created = api.create_add_on(asked("CreateAddOnRequest", name="official support", type="FIXED_FEE"))
    assert (created.type, created.status) == ("FIXED_FEE", "ACTIVE")
    assert api.get_add_on(created.id).name == "official support"
    assert created.id in [each.id for each in api.get_add_ons(page_size=100).data]
    renamed = api.update_add_on(created.id, asked("UpdateAddOnRequest", billableName="Support"))
    assert renamed.display_name == "Support"
    assert api.delete_add_on(created.id).success is True


def test_a_setting_from_beginning_to_end(official: togai_client.ApiClient) -> None:
    """Created on an account, read by its place, listed, changed."""
    a_customer(official, "official-c4")
    api = SettingsApi(official)
    place = {"id": "threshold", "namespace": "USER", "entityType": "ACCOUNT", "entityId": "official-c4"}
    api.insert_setting(asked("Setting", **place, name="Threshold", dataType="NUMERIC", value="10"))
    assert api.get_setting("setting.USER.threshold.ACCOUNT.official-c4").value == "10"
    [listed] = api.list_setting(entity_type="ACCOUNT", entity_id="official-c4").data
    assert listed.name == "Threshold"
    changed = api.update_setting(
        "setting.USER.threshold.ACCOUNT.official-c4", asked("UpdateSettingRequest", value="12.5")
    )
    assert changed.value == "12.5"


def test_a_token_for_a_key(official: togai_client.ApiClient) -> None:
    """A session token, which is three parts with dots between."""
    assert AuthenticationApi(official).authenticate().token.count(".") == 2


def test_refusals_are_the_clients_exceptions(official: togai_client.ApiClient) -> None:
    """400 with a message that says what to do, 404 for what is not there."""
    customer = asked("CreateCustomerRequest", **samples.customer("official-c5"))
    CustomersApi(official).create_customer(customer)
    with pytest.raises(BadRequestException) as raised:
        CustomersApi(official).create_customer(customer)
    assert "official-c5" in raised.value.data.message
    with pytest.raises(NotFoundException):
        AccountsApi(official).get_account("official-none")
