"""What an invoice is computed from: everything, so that the same inputs give the same invoice for ever, to the digit.

Plans are named by id and version, which never change once they bill; all else stands here. `invoice_lines.invoice_of`
computes the invoice.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import msgspec

from tallybook.core.aggregation import Aggregation, quantity_of
from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.credit import UsableCredit
from tallybook.core.custom_invoice import CustomInvoice
from tallybook.core.errors import Conflict
from tallybook.core.expression_dialects import EXACT_DIALECT
from tallybook.core.invoice import AdvanceCharge, BilledAccount, InvoiceType, UsageLine
from tallybook.core.invoice_group import InvoiceGroup
from tallybook.core.late_usage import SaidLine
from tallybook.core.licence import HeldRun
from tallybook.core.miscellaneous_charge import MiscellaneousCharge
from tallybook.core.period import Window
from tallybook.core.plan_changes import PlanChanges, changed_plan
from tallybook.core.price_plan import PricePlan
from tallybook.core.tax import TaxInputs

INPUTS_FORMAT = 3  # 1 and 2 did not keep all that an invoice was computed from, and are not read

Plans = Mapping[tuple[str, int], PricePlan]
"""Price plans by id and version."""


class BilledMeter(msgspec.Struct, frozen=True, kw_only=True):
    """A meter that the plan prices: the version and name that stand on the invoice, and how its usage adds up."""

    meter_id: str
    version: int
    name: str
    aggregation: Aggregation


class HourOfUsage(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Usage of a meter in one hour, counted from 1970; `values` as in `core.aggregation`, sorted."""

    hour: int
    units: Decimal
    event_count: int
    values: tuple[str, ...] = ()


class CycleInputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A billed cycle without its plan, which is named; all else is as in `core.billed_cycle`."""

    plan_id: str
    plan_version: int
    override: PlanChanges | None = None
    window: Window
    full: Window
    number: int
    opens: bool
    held: dict[str, tuple[HeldRun, ...]] = {}


class LateCycle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cycle whose usage has changed since the invoice `invoice_id` billed it.

    `inputs` are that invoice's, with the usage as it is now; `invoiced` is what it said, `posted` what later ones did.
    """

    invoice_id: str
    inputs: "InvoiceInputs"
    invoiced: tuple[SaidLine, ...]
    posted: tuple[SaidLine, ...] = ()


class Adjustments(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an invoice takes into account besides its plan. `credits` are those that may be used."""

    late: tuple[LateCycle, ...] = ()
    credits: tuple[UsableCredit, ...] = ()
    charges: tuple[MiscellaneousCharge, ...] = ()
    tax: TaxInputs = TaxInputs()


NO_ADJUSTMENTS = Adjustments()


class InvoiceInputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that an invoice is computed from.

    `cycle` is billed, and `following`, the one behind it, charged in advance; `charged` is what invoices before this
    one charged in advance for both. `usage` is by meter id, its hours ascending. `custom` was written by hand, for
    the `group` if there is one, which stands in the place of the account then.
    `positions` are the partitions of the event log, each with the position through which the usage counts.
    `first_day` is set on an invoice that does not begin with its cycle. A composite is computed from finalised
    invoices, its `members`, and from nothing else here. `dialect` is that of rules and charges.
    """

    format: int = INPUTS_FORMAT
    organisation_id: str
    invoice_type: InvoiceType = InvoiceType.STANDARD
    account: BilledAccount
    cycle: CycleInputs | None = None
    following: CycleInputs | None = None
    first_day: date | None = None
    members: tuple[str, ...] = ()
    meters: tuple[BilledMeter, ...] = ()
    usage: dict[str, tuple[HourOfUsage, ...]] = {}
    positions: tuple[tuple[int, int], ...] = ()
    charged: tuple[AdvanceCharge, ...] = ()
    custom: CustomInvoice | None = None
    group: InvoiceGroup | None = None
    adjustments: Adjustments = NO_ADJUSTMENTS
    dialect: str = EXACT_DIALECT.name
    number_prefix: str = ""


def cycle_inputs(cycle: BilledCycle, override: PlanChanges | None) -> CycleInputs:
    """The cycle as inputs hold it; `override` is what the account has different from the plan."""
    return CycleInputs(
        plan_id=cycle.plan.plan_id,
        plan_version=cycle.plan.version,
        override=override,
        window=cycle.window,
        full=cycle.full,
        number=cycle.number,
        opens=cycle.opens,
        held=dict(cycle.held),
    )


def cycle_of(inputs: CycleInputs, plans: Plans) -> BilledCycle:
    """The cycle with its plan. Raises `Conflict` when the plan is not among `plans`."""
    plan = plans.get((inputs.plan_id, inputs.plan_version))
    if plan is None:
        raise Conflict(f"no price plan {inputs.plan_id!r} version {inputs.plan_version}, which the inputs name")
    return BilledCycle(
        plan=plan if inputs.override is None else changed_plan(plan, inputs.override),
        window=inputs.window,
        full=inputs.full,
        number=inputs.number,
        opens=inputs.opens,
        held=inputs.held,
    )


def charged_on(inputs: InvoiceInputs, start: date) -> dict[str, Decimal]:
    """What was charged in advance for the cycle that begins on that day, by add-on id."""
    return {charge.add_on_id: charge.amount for charge in inputs.charged if charge.start_date == start}


def usage_lines(inputs: InvoiceInputs) -> tuple[UsageLine, ...]:
    """What each meter comes to, in the order of the meters."""
    return tuple(
        UsageLine(
            meter_id=meter.meter_id,
            meter_version=meter.version,
            name=meter.name,
            units=quantity_of(meter.aggregation, inputs.usage.get(meter.meter_id, ())),
            event_count=sum(hour.event_count for hour in inputs.usage.get(meter.meter_id, ())),
        )
        for meter in inputs.meters
    )


def plans_named(inputs: InvoiceInputs) -> set[tuple[str, int]]:
    """Id and version of each plan that computing needs."""
    cycles = [cycle for cycle in (inputs.cycle, inputs.following) if cycle is not None]
    named = {(cycle.plan_id, cycle.plan_version) for cycle in cycles}
    return named.union(*(plans_named(late.inputs) for late in inputs.adjustments.late))
