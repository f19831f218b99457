"""The official Python client, unchanged, against a real server: drafts of plans and of schedules, and migrations."""

import time
from typing import Any

import catalogue_samples as samples
import pytest
import togai_client
from plan_item_samples import commitment, create, fee_card
from togai_client.api.accounts_api import AccountsApi
from togai_client.api.add_ons_api import AddOnsApi
from togai_client.api.customers_api import CustomersApi
from togai_client.api.jobs_api import JobsApi
from togai_client.api.price_plan_v2_api import PricePlanV2Api
from togai_client.api.price_plans_api import PricePlansApi
from togai_client.api.schedules_api import SchedulesApi

CYCLE = {"interval": "MONTHLY", "startOffset": {"dayOffset": "1", "monthOffset": "NIL"}, "gracePeriod": 3}
SHELL = {"type": "BILLING", "pricingCycleConfig": CYCLE, "supportedCurrencies": ["USD"]}
FOREVER = {"effectiveFrom": "2024-01-01", "effectiveUntil": "9999-01-01"}
JOB_TIMEOUT_S = 30


def asked(model: str, **content: Any) -> Any:
    """A request as the client's own type."""
    return getattr(togai_client, model).from_dict(content)


@pytest.fixture
def support_id(official: togai_client.ApiClient) -> str:
    """An add-on, the same for all of these tests."""
    api = AddOnsApi(official)
    known = {each.name: each.id for each in api.get_add_ons(page_size=100).data}
    if "drafted support" in known:
        return str(known["drafted support"])
    request = asked("CreateAddOnRequest", name="drafted support", type="FIXED_FEE")
    return str(api.create_add_on(request).id)


def an_active_plan(official: togai_client.ApiClient, support_id: str, name: str) -> str:
    """A plan with a fee, made through the second door; returns its id."""
    api = PricePlanV2Api(official)
    plan = api.create_price_plan_v2(asked("CreatePricePlanV2Request", name=name, **SHELL))
    operations = [create("support", fee_card(support_id))]
    api.bulk_price_plan_rate_card_operations(plan.id, asked("BulkRateCardOperationsRequest", operations=operations))
    assert api.finalize_price_plan(plan.id, asked("FinalizePricePlanRequest")).success is True
    return str(plan.id)


def an_account(official: togai_client.ApiClient, account_id: str) -> None:
    customer = samples.customer(f"customer-of-{account_id}", account={"id": account_id, "name": account_id})
    CustomersApi(official).create_customer(asked("CreateCustomerRequest", **customer))


def test_a_plan_is_drafted_and_finalized(official: togai_client.ApiClient, support_id: str) -> None:
    """Shell, cards, errors, finalize; then a draft of the next version, with rules, and without it again."""
    api = PricePlanV2Api(official)
    plan_id = an_active_plan(official, support_id, "official drafted")
    request = asked("BulkRateCardOperationsRequest", operations=[create("floor", commitment(500))])
    made = api.bulk_price_plan_rate_card_operations(plan_id, request).rate_cards
    assert [(card.name, card.type, card.price_plan_id) for card in made] == [("floor", "MINIMUM_COMMITMENT", plan_id)]
    assert [card.name for card in api.list_price_plan_rate_cards(plan_id).data] == ["floor", "support"]
    rule = {
        "name": "Discount",
        "order": 1,
        "computation": f'{{"*":[-0.1,{{"var":"revenue.ff.{support_id}"}}]}}',
        "action": {"type": "ADD", "id": "discount"},
    }
    rules = asked("UpdatePricingRulesRequest", pricingRules=[rule])
    assert [each.name for each in api.update_price_plan_pricing_rules(plan_id, rules).data] == ["Discount"]
    assert [each.order for each in api.list_price_plan_pricing_rules(plan_id, version="LATEST").data] == [1]
    assert api.list_price_plan_errors(plan_id).data == []
    changed = api.update_price_plan_v2(plan_id, asked("UpdatePricePlanV2Request", pricingCycleConfig=CYCLE))
    assert (changed.version, changed.status) == (2, "DRAFT")
    assert api.get_price_plan_v2(plan_id, version="ACTIVE").version == 1
    assert [each.version for each in api.list_price_plan_versions(plan_id).data] == [2, 1]
    assert plan_id in [each.id for each in api.list_price_plans_v2(page_size=100).data]
    assert api.discard_price_plan(plan_id).success is True
    assert api.get_price_plan_v2(plan_id).version == 1


def test_schedules_are_drafted_and_finalized(official: togai_client.ApiClient, support_id: str) -> None:
    """Edited, read, given a card of their own, made final; then dropped again before they are."""
    an_account(official, "official-d1")
    plan_id = an_active_plan(official, support_id, "official scheduled")
    api = SchedulesApi(official)
    edit = {"mode": "ASSOCIATE", **FOREVER, "associationConfig": {"pricePlanId": plan_id}}
    answer = api.bulk_edit_schedules("official-d1", asked("EditAccountScheduleRequest", edits=[edit]))
    assert [each.price_plan_id for each in answer.pricing_schedules] == [plan_id]
    [drafted] = api.listaccount_schedules("official-d1", "DRAFT").data
    operations = [create("floor", commitment(500))]
    request = asked("BulkRateCardOperationsRequest", operations=operations)
    [card] = api.bulk_rate_card_operations_on_schedule(drafted.id, request).rate_cards
    assert (card.account_id, card.reference_id) == ("official-d1", drafted.id)
    assert api.list_schedule_errors(drafted.id).data == []
    final = api.finalize_account_schedules("official-d1", asked("FinalizeAccountSchedules", mergeSchedules=False)).data
    assert [(each.id, each.is_overridden) for each in final] == [(drafted.id, True)]
    assert [each.name for each in api.list_schedule_rate_cards(drafted.id, "ACTIVE").data] == ["floor", "support"]
    rules = asked("UpdatePricingRulesRequest", pricingRules=[])
    assert api.update_pricing_rules(drafted.id, rules).data == []
    assert api.list_pricing_rules(drafted.id, "DRAFT").data == []
    assert api.discard_account_schedules("official-d1").success is True
    assert api.listaccount_schedules("official-d1", "DRAFT").data == []


def test_accounts_are_migrated_by_a_job(official: togai_client.ApiClient, support_id: str) -> None:
    """Through both doors: there and back; a job is found in the list of jobs, and says what became of the account."""
    an_account(official, "official-d2")
    first = an_active_plan(official, support_id, "official source")
    second = an_active_plan(official, support_id, "official target")
    request = asked("UpdatePricingScheduleRequestWithActions", mode="ASSOCIATE", pricePlanId=first, **FOREVER)
    AccountsApi(official).update_pricing_schedule("official-d2", request)
    there = asked(
        "CreatePricePlanMigrationRequest",
        sourceId=first,
        sourceVersion=1,
        targetId=second,
        targetVersion=1,
        migrationMode="IMMEDIATE",
    )
    assert PricePlansApi(official).price_plan_migration(there).success is True
    assert settled_job(official) == "official-d2"
    listed = AccountsApi(official).get_pricing_schedules("official-d2").data
    assert [each.price_plan_id for each in listed] == [first, second]
    back = asked(
        "CreatePricePlanMigrationRequest",
        sourceId=second,
        sourceVersion=1,
        migrationMode="NEXT_CYCLE",
        isPricePlanV2Migration=True,
    )
    assert PricePlanV2Api(official).price_plan_migration_v2(back).success is True
    assert settled_job(official) == "official-d2"
    listed = AccountsApi(official).get_pricing_schedules("official-d2").data
    assert [each.price_plan_id for each in listed] == [first]


def settled_job(official: togai_client.ApiClient) -> str:
    """Wait for the latest migration; the one account that it moved."""
    api = JobsApi(official)
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while time.monotonic() < deadline:
        newest = next(job for job in api.get_jobs().data if job.type == "PRICE_PLAN")
        if newest.status == "COMPLETED":
            [entry] = api.get_job_entries(newest.id).data
            assert entry.status == "COMPLETED"
            return str(entry.entity_id)
        time.sleep(0.2)
    raise AssertionError("the job did not come to its end")
