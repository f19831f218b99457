"""What of an invoice credits may be used for, by the ids with which credits name it, and the lines they become."""

from datetime import UTC, date, datetime
from decimal import Decimal

from credit_samples import JANUARY, grant_card, usable
from invoice_samples import draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, fixed_fee, licence_card, price_plan, usage_card

from tallybook.core.credit import ALL_FIXED_FEES, ALL_USAGE
from tallybook.core.credit_lines import charged_entities, credits_total
from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, Invoice, InvoiceLine, LineType, UsageLine
from tallybook.core.invoice_inputs import Adjustments
from tallybook.core.licence import HeldRun
from tallybook.core.money import Money
from tallybook.core.price_plan import PricePlan

ACCOUNT = BilledAccount(
    account_id="A",
    account_name="A",
    customer_id="C",
    customer_name="C",
    customer_email="",
    email="",
    address=Address(),
    currency="USD",
)


def invoice(plan: PricePlan, *, units: str = "10", adjustments: Adjustments | None = None) -> Invoice:
    held = {"add_on.l": (HeldRun(date(2024, 1, 1), date(2024, 2, 1), Decimal(2)),)}
    return draft_invoice_of(
        ACCOUNT,
        organisation_id="org",
        cycle=cycle_in(plan, JANUARY, held=held),
        usage=[UsageLine(meter_id="um.1", meter_version=1, name="m", units=Decimal(units), event_count=1)],
        computed_at=datetime(2024, 1, 1, tzinfo=UTC),
        adjustments=adjustments or Adjustments(),
    )


def charged(line: InvoiceLine) -> dict[tuple[str, ...], tuple[str, bool]]:
    return {each.entity_ids: (str(each.amount), each.creditable) for each in charged_entities(line)}


def test_every_kind_of_card_has_its_ids() -> None:
    """Usage 20, fees 5 and (in advance) 7, licences 60, sold credit 9, and what is missing to 100 in arrears: 6."""
    plan = price_plan(
        usage_card(SlabSample("0", "2"), tag="grouped"),
        fixed_fee("5", add_on_id="add_on.f", tag="grouped"),
        fixed_fee("7", add_on_id="add_on.a", advance=True),
        licence_card(SlabSample("0", "30"), add_on_id="add_on.l"),
        grant_card("10", "0.9"),
        commitment="100",
    )
    assert charged(invoice(plan).gross) == {
        ("um.1", ALL_USAGE): ("20", True),
        ("add_on.f", ALL_FIXED_FEES): ("5", True),
        ("add_on.a", ALL_FIXED_FEES): ("7", True),
        ("add_on.l",): ("60", True),
        ("add_on.c",): ("9.0", False),
        (): ("6.0", True),
    }


def test_what_came_late_is_named_like_what_came_in_time() -> None:
    """A credit for a meter pays for its late usage too; cut fractions belong to nothing."""

    def part(line_type: LineType, amount: str, *, entity_id: str | None = None) -> InvoiceLine:
        money = Money(amount=Decimal(amount), currency="USD")
        return InvoiceLine(line_id=amount, line_type=line_type, description="", amount=money, entity_id=entity_id)

    parts = (
        part(LineType.USAGE_RATE_CARD_AMOUNT, "12", entity_id="um.1"),
        part(LineType.LATE_USAGE_AMOUNT, "0.01"),
    )
    late = InvoiceLine(
        line_id="late",
        line_type=LineType.LATE_USAGE_AMOUNT,
        description="",
        amount=Money(amount=Decimal("12.01"), currency="USD"),
        lines=parts,
    )
    assert charged(late) == {("um.1", ALL_USAGE): ("12", True), (): ("0.01", True)}


def test_credits_stand_below_what_is_charged() -> None:
    """20 less 15 and 5 is 0: each credit is a line below zero, and the net amount is their exact sum."""
    plan = price_plan(usage_card(SlabSample("0", "2")))
    there = (usable("c.1", "15", purpose="First"), usable("c.2", "100", priority=2, purpose="Second"))
    found = invoice(plan, adjustments=Adjustments(credits=there))
    net = found.revenue.lines[0].lines[0]
    assert net.line_type is LineType.NET_AMOUNT
    gross, total = net.lines
    assert (total.line_type, total.amount.amount) == (LineType.TOTAL_CREDITS, -20)
    assert [(line.description, line.amount.amount) for line in total.lines] == [("First", -15), ("Second", -5)]
    assert (gross.amount.amount, net.amount.amount, found.total) == (20, 0, 0)
    assert credits_total((), "USD") == []
