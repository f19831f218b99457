"""Invoices from a cycle and its usage: the inputs around them, for tests that are not about those."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from tallybook.core.aggregation import Aggregation
from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.invoice import AdvanceCharge, BilledAccount, Invoice, InvoiceType, UsageLine
from tallybook.core.invoice_inputs import (
    NO_ADJUSTMENTS,
    Adjustments,
    BilledMeter,
    CycleInputs,
    HourOfUsage,
    InvoiceInputs,
    cycle_inputs,
)
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.price_plan import PricePlan

_FIRST_HOUR = 0
Charged = Mapping[str, Decimal]


def draft_invoice_of(
    account: BilledAccount,
    *,
    organisation_id: str,
    cycle: BilledCycle,
    usage: Sequence[UsageLine],
    computed_at: datetime,
    charged: Charged | None = None,
    following: BilledCycle | None = None,
    charged_for_following: Charged | None = None,
    adjustments: Adjustments = NO_ADJUSTMENTS,
) -> Invoice:
    """The draft of a cycle, whose meters add up, with so much usage."""
    charges = charges_of(cycle, charged)
    if following is not None:
        charges += charges_of(following, charged_for_following)
    inputs = InvoiceInputs(
        organisation_id=organisation_id,
        account=account,
        cycle=named(cycle),
        following=None if following is None else named(following),
        meters=tuple(
            BilledMeter(meter_id=line.meter_id, version=line.meter_version, name=line.name, aggregation=Aggregation.SUM)
            for line in usage
        ),
        usage={line.meter_id: (HourOfUsage(_FIRST_HOUR, line.units, line.event_count),) for line in usage},
        charged=tuple(charges),
        adjustments=adjustments,
    )
    draft = invoice_of(inputs, plans_of(cycle, following), computed_at=computed_at)
    assert draft is not None
    return draft


def draft_advance_invoice_of(
    account: BilledAccount, *, organisation_id: str, cycle: BilledCycle, charged: Charged, computed_at: datetime
) -> Invoice | None:
    """The invoice of what a first cycle is charged in advance."""
    inputs = InvoiceInputs(
        organisation_id=organisation_id,
        invoice_type=InvoiceType.STANDARD_ADVANCED,
        account=account,
        cycle=named(cycle),
        charged=tuple(charges_of(cycle, charged)),
    )
    return invoice_of(inputs, plans_of(cycle), computed_at=computed_at)


def draft_increase_invoice_of(
    account: BilledAccount, *, organisation_id: str, cycle: BilledCycle, charged: Charged, computed_at: datetime
) -> Invoice | None:
    """The invoice of licences that were added."""
    inputs = InvoiceInputs(
        organisation_id=organisation_id,
        invoice_type=InvoiceType.ADHOC_ADVANCED,
        account=account,
        cycle=named(cycle),
        first_day=computed_at.date(),
        charged=tuple(charges_of(cycle, charged)),
    )
    return invoice_of(inputs, plans_of(cycle), computed_at=computed_at)


def named(cycle: BilledCycle) -> CycleInputs:
    return cycle_inputs(cycle, None)


def plans_of(*cycles: BilledCycle | None) -> dict[tuple[str, int], PricePlan]:
    return {(cycle.plan.plan_id, cycle.plan.version): cycle.plan for cycle in cycles if cycle is not None}


def charges_of(cycle: BilledCycle, charged: Charged | None) -> list[AdvanceCharge]:
    return [
        AdvanceCharge(start_date=cycle.window.start, add_on_id=add_on_id, amount=amount)
        for add_on_id, amount in (charged or {}).items()
    ]
