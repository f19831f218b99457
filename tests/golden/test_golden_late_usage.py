"""Invoices that say what came late, as text beside this file. The sums stand here, done by hand."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from invoice_samples import named, plans_of
from price_plan_samples import SlabSample, cycle_in, fixed_fee, monthly, price_plan, usage_card
from test_golden_invoices import COMPUTED_AT, HERE, account, days, issued

from tallybook.core.aggregation import Aggregation
from tallybook.core.invoice import Invoice, InvoiceType
from tallybook.core.invoice_inputs import Adjustments, BilledMeter, HourOfUsage, InvoiceInputs, LateCycle
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.invoice_paper import RowKind, invoice_paper
from tallybook.core.invoice_text import invoice_text
from tallybook.core.late_usage import said_lines
from tallybook.core.letterhead import Letterhead
from tallybook.core.price_plan import PricePlan

MARCH, APRIL = days(("2024-03-01", "2024-04-01")), days(("2024-04-01", "2024-05-01"))


def inputs_of(plan: PricePlan, window: tuple[date, date], calls: str) -> InvoiceInputs:
    return InvoiceInputs(
        organisation_id="org",
        account=account(),
        cycle=named(cycle_in(plan, window)),
        meters=(BilledMeter(meter_id="um.1", version=1, name="calls", aggregation=Aggregation.SUM),),
        usage={"um.1": (HourOfUsage(0, Decimal(calls), 1),)},
    )


def computed(inputs: InvoiceInputs, plan: PricePlan) -> Invoice:
    invoice = invoice_of(inputs, plans_of(cycle_in(plan, MARCH)), computed_at=COMPUTED_AT)
    assert invoice is not None
    return invoice


def late_march(plan: PricePlan, *, then: str, now: str) -> Adjustments:
    """March was invoiced with so many calls, and has so many now."""
    invoiced = computed(inputs_of(plan, MARCH, then), plan)
    late = LateCycle(
        invoice_id=invoiced.invoice_id, inputs=inputs_of(plan, MARCH, now), invoiced=said_lines(invoiced.gross)
    )
    return Adjustments(late=(late,))


def late_usage_that_meets_the_commitment() -> Invoice:
    """March was invoiced with 1,200 calls: 1,000 × 0.05 + 200 × 0.04 = 58; support 20; true-up 72; 150.
    It has 3,600 now: 50 + 104 = 154, and 20: 174 without true-up. So 96 for 2,400 calls, less 72: 24.
    April: 500 calls, 25, and 20: true-up 105; 150, and 24 for March: 174.
    """
    plan = price_plan(
        usage_card(SlabSample("0", "0.05"), SlabSample("1000", "0.04"), display_name="API calls"),
        fixed_fee("20", display_name="Support"),
        commitment="150",
        cycle=monthly("1", grace_days=2),
        name="Growth",
    )
    april = inputs_of(plan, APRIL, "500")
    april = msgspec.structs.replace(april, adjustments=late_march(plan, then="1200", now="3600"))
    return issued(computed(april, plan))


def correction_after_the_plan_ended() -> Invoice:
    """March was invoiced with 1,007 calls at 0.0033: 3.3231, shown as 3.32. 1,000 are left: 3.30.
    So -0.02 is owed: -0.0231, and 0.0031 that March had cut off.
    """
    plan = price_plan(usage_card(SlabSample("0", "0.0033"), display_name="API calls"), name="Growth")
    inputs = InvoiceInputs(
        organisation_id="org",
        invoice_type=InvoiceType.AD_HOC,
        account=account(),
        first_day=date(2024, 5, 20),
        adjustments=late_march(plan, then="1007", now="1000"),
    )
    return issued(computed(inputs, plan))


@pytest.mark.parametrize(
    ("make", "total"),
    [(late_usage_that_meets_the_commitment, "174.00"), (correction_after_the_plan_ended, "-0.02")],
)
def test_invoice_with_late_usage_reads_as_it_always_did(make: Callable[[], Invoice], total: str) -> None:
    """As text; a change of it is a change of what customers read."""
    invoice = make()
    assert str(invoice.total) == total
    assert invoice_text(invoice) == (HERE / f"{make.__name__}.txt").read_text(encoding="utf-8")


def test_late_usage_is_a_section_on_paper() -> None:
    """With the days of its cycle at its head, also where nothing else is on the page."""
    letterhead = Letterhead(lines=("Sample Ltd",))
    for make, sections in (
        (late_usage_that_meets_the_commitment, 2),
        (correction_after_the_plan_ended, 1),
    ):
        rows = invoice_paper(make(), letterhead, working=False).rows
        heads = [row.description for row in rows if row.kind is RowKind.SECTION]
        assert len(heads) == sections
        assert heads[-1] == "Late usage and corrections, 1 March 2024 to 31 March 2024"
        assert rows[-1].kind is RowKind.ITEM
