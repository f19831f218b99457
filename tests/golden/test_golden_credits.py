"""Invoices with credits that a person can read, each beside this file as text. The sums stand here, done by hand."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from credit_samples import grant_card, usable
from invoice_samples import draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, fixed_fee, licence_card, monthly, price_plan, usage_card
from test_golden_invoices import COMPUTED_AT, HERE, account, days, held_in, issued, used

from tallybook.core.credit import ALL_FIXED_FEES
from tallybook.core.invoice import Invoice
from tallybook.core.invoice_inputs import Adjustments
from tallybook.core.invoice_paper import invoice_paper
from tallybook.core.invoice_text import invoice_text
from tallybook.core.letterhead import Letterhead
from tallybook.core.licence import HeldRun
from tallybook.core.rate_card import CreditExpiry

MARCH, APRIL = days(("2024-03-01", "2024-04-01")), days(("2024-04-01", "2024-05-01"))


def credits_by_priority() -> Invoice:
    """Calls 800 × 0.1 = 80, storage 20 × 2 = 40, support 100: 220.
    Launch (1, calls only, 50): 50 of the calls. Prepaid (2, all, 100): 30 of the calls, 40 of the storage, 30 of the
    support. Loyalty (3, fixed fees, 30): 30 of the 70 of the support that are left. 220 − 180 = 40.
    """
    plan = price_plan(
        usage_card(SlabSample("0", "0.1"), display_name="Calls"),
        usage_card(SlabSample("0", "2"), meter_id="um.2", display_name="Storage, GB"),
        fixed_fee("100", display_name="Support"),
        name="Team",
    )
    credits = (
        usable("c.3", "30", priority=3, only=ALL_FIXED_FEES, purpose="Loyalty"),
        usable("c.2", "100", priority=2, purpose="Prepaid"),
        usable("c.1", "50", priority=1, only="um.1", purpose="Launch"),
    )
    return issued(
        draft_invoice_of(
            account(),
            organisation_id="org",
            cycle=cycle_in(plan, MARCH),
            usage=[used("calls", "800"), used("storage", "20", meter_id="um.2")],
            computed_at=COMPUTED_AT,
            adjustments=Adjustments(credits=credits),
        )
    )


def credit_that_is_sold_and_given_back() -> Invoice:
    """Ten seats at 30 and five from the 17th on: 300 × 16/31 + 150 × 15/31 = 154.83… + 72.58… = 227.41…; 300 were
    charged, so 72.58… come back as a credit, and the line is 0. April's five seats are 150, April's welcome of 20 is 0.
    Calls 800 × 0.1 = 80. The pack of 1,000 is sold at 0.95: 950. A credit of 500 pays for seats and calls, 230, not for
    the pack. 150 + 80 + 950 − 230 = 950.
    """
    pack = grant_card("1000", "0.95", display_name="Pack of 1,000")
    seats = licence_card(SlabSample("0", "30"), advance=True, prorated=True, display_name="Seats")
    welcome = grant_card(
        "20", "0", advance=True, add_on_id="add_on.w", display_name="Welcome", expiry=CreditExpiry.PRICING_CYCLE
    )
    plan = price_plan(usage_card(SlabSample("0", "0.1"), display_name="Calls"), seats, welcome, pack, cycle=monthly())
    held = {
        "add_on.1": (
            HeldRun(date(2024, 3, 1), date(2024, 3, 17), Decimal(10)),
            HeldRun(date(2024, 3, 17), date(2024, 5, 1), Decimal(5)),
        )
    }
    return issued(
        draft_invoice_of(
            account(),
            organisation_id="org",
            cycle=cycle_in(plan, MARCH, held=held_in(held, MARCH)),
            usage=[used("calls", "800")],
            computed_at=COMPUTED_AT,
            charged={"add_on.1": Decimal(300), "add_on.w": Decimal(0)},
            following=cycle_in(plan, APRIL, number=1, held=held_in(held, APRIL)),
            adjustments=Adjustments(credits=(usable("c.1", "500", purpose="Prepaid"),)),
        )
    )


@pytest.mark.parametrize("sample", [credits_by_priority, credit_that_is_sold_and_given_back])
def test_golden_invoice(sample: Callable[[], Invoice]) -> None:
    """The invoice reads as the file of its name."""
    assert invoice_text(sample()) == (HERE / f"{sample.__name__}.txt").read_text()


def test_credit_that_is_sold_has_its_working_only_where_it_is_asked_for() -> None:
    """On paper the pack is one row with quantity and rate; its slab is a row of its own with the working."""

    def rows(*, working: bool) -> list[tuple[str, str, str]]:
        paper = invoice_paper(credit_that_is_sold_and_given_back(), Letterhead(lines=()), working=working)
        texts = [(row.kind.value, row.description, row.rate) for row in paper.rows]
        return texts[[text[1] for text in texts].index("Pack of 1,000") :]

    assert rows(working=False) == [("item", "Pack of 1,000", "0.95")]
    assert rows(working=True) == [("item", "Pack of 1,000", ""), ("working", "All", "0.95")]
