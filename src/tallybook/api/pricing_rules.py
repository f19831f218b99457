"""The routes of pricing rules: those of a schedule, and what they did to an invoice. Plans carry them too."""

from typing import Annotated

from litestar.params import FromPath, QueryParameter
from sqlalchemy import Connection

from tallybook.api.handling import Caller, Connected, reading
from tallybook.api.price_plan_shapes import own_schedule_id
from tallybook.api.pricing_rule_shapes import PricingRulePage, RuleLogPage, logs_to, rules_to
from tallybook.core.errors import NotFound
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, plan_as_billed
from tallybook.core.rate_card import InvoiceTiming
from tallybook.flows.authenticate import now_utc
from tallybook.flows.define_price_plans import found_plan
from tallybook.flows.explain_rules import explain_rules
from tallybook.storage import accounts

TAG = "Pricing Rules"


@reading(
    "/price_plans/{price_plan_id:str}/pricing_schedules/{pricing_schedule_id:str}/pricing_rules",
    operation_id="listPricingRulesByScheduleId",
    summary="List the pricing rules of a price plan's schedule, or of an account's",
    tag=TAG,
)
def list_pricing_rules(
    price_plan_id: FromPath[str],
    pricing_schedule_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    invoice_timing: Annotated[
        InvoiceTiming | None, QueryParameter(name="invoice_timing", description="Only rules of that timing.")
    ] = None,
) -> PricingRulePage:
    with dependencies.database.read() as connection:
        plan = _plan_of_schedule(connection, identity.organisation_id, price_plan_id, pricing_schedule_id)
    rules = [rule for rule in plan.pricing_rules if invoice_timing in (None, rule.timing)]
    return PricingRulePage(data=rules_to(rules, version=plan.version))


def _plan_of_schedule(connection: Connection, organisation_id: str, plan_id: str, schedule_id: str) -> PricePlan:
    """The plan as its own schedule has it, or an account's schedule. Raises `NotFound`."""
    plan = found_plan(connection, organisation_id, plan_id)
    if schedule_id == own_schedule_id(plan):
        return plan
    schedule = _account_schedule(connection, organisation_id, schedule_id)
    if schedule is None or schedule.plan_id != plan_id:
        raise NotFound(f"no pricing schedule {schedule_id!r} of price plan {plan_id}")
    return plan_as_billed(found_plan(connection, organisation_id, plan_id, schedule.plan_version), schedule)


def _account_schedule(connection: Connection, organisation_id: str, schedule_id: str) -> PricingSchedule | None:
    account = accounts.account_of_schedule(connection, organisation_id, schedule_id)
    schedules = () if account is None else account.schedules
    return next((schedule for schedule in schedules if schedule.schedule_id == schedule_id), None)


@reading(
    "/invoice/{invoice_id:str}/pricing_rules_logs",
    operation_id="listPricingRuleLogs",
    summary="Say what each pricing rule did to an invoice",
    tag="Invoices",
)
def list_pricing_rule_logs(invoice_id: FromPath[str], identity: Caller, dependencies: Connected) -> RuleLogPage:
    logs = explain_rules(dependencies.database, identity.organisation_id, invoice_id, now=now_utc())
    return RuleLogPage(data=logs_to(logs, invoice_id))


ROUTES = (list_pricing_rules, list_pricing_rule_logs)
