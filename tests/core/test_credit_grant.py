"""Credit that invoices grant: what is sold in which cycle, for how much, and until when it is."""

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from credit_samples import grant_card
from invoice_samples import draft_invoice_of
from price_plan_samples import SlabSample, cycle_in, licence_card, monthly, price_plan
from pricing_rule_samples import rule

from tallybook.core.credit_expiry import check_grant_details, day_after
from tallybook.core.credit_grant import (
    granted_credit,
    returned_grant,
    sale_in,
    sold_grant,
)
from tallybook.core.customer import Address
from tallybook.core.errors import Invalid
from tallybook.core.invoice import BilledAccount
from tallybook.core.period import FOREVER
from tallybook.core.rate_card import CreditExpiry, CreditGrantRateCard, PriceType, check_credit_grant_card
from tallybook.core.rule_variable import variables_of

JANUARY = (date(2024, 1, 1), date(2024, 2, 1))
PLAN = price_plan(cycle=monthly("1"))


def cost(card: CreditGrantRateCard, *, number: int = 0, opens: bool = True) -> str | None:
    priced = sale_in(card, cycle_in(PLAN, JANUARY, number=number, opens=opens), currency="USD")
    return None if priced is None else str(priced.amount)


def test_credit_costs_what_its_slabs_say() -> None:
    """1000 of credit: at 0.9 each 900, at a flat price of 850 that, and for nothing 0."""
    assert cost(grant_card("1000", "0.9")) == "900.0"
    assert cost(grant_card("1000", "850", price_type=PriceType.FLAT)) == "850"
    assert cost(grant_card("1000", "0")) == "0"


@pytest.mark.parametrize(
    ("card", "sold_in"),
    [
        (grant_card(), [0, 1, 2, 3, 4, 5]),
        (grant_card(interval=3), [0, 3]),
        (grant_card(interval=2, offset=1), [1, 3, 5]),
        (grant_card(one_time=True), [0]),
        (grant_card(one_time=True, offset=4), [4]),
    ],
)
def test_in_which_cycles_credit_is_sold(card: CreditGrantRateCard, sold_in: list[int]) -> None:
    """As a fee is charged (contract 3.6): every n cycles, for the first time after k of them."""
    assert [number for number in range(6) if cost(card, number=number) is not None] == sold_in


def test_a_cycle_that_is_cut_in_two_sells_credit_once() -> None:
    """In its first part; another version of the plan in the middle of the cycle sells none."""
    assert cost(grant_card(), opens=False) is None


@pytest.mark.parametrize(
    ("advance", "expiry", "duration", "days"),
    [
        (True, CreditExpiry.NO_EXPIRY, None, ("2024-01-01", None)),
        (True, CreditExpiry.PRICING_CYCLE, None, ("2024-01-01", "2024-02-01")),
        (True, CreditExpiry.CUSTOM, "P3M", ("2024-01-01", "2024-04-01")),
        (False, CreditExpiry.NO_EXPIRY, None, ("2024-02-01", None)),
        (False, CreditExpiry.PRICING_CYCLE, None, ("2024-02-01", "2024-03-01")),
        (False, CreditExpiry.CUSTOM, "P10D", ("2024-02-01", "2024-02-11")),
    ],
)
def test_for_which_days_credit_is(
    advance: bool, expiry: CreditExpiry, duration: str | None, days: tuple[str, str | None]
) -> None:
    """In advance for the days of the cycle on, in arrears for those after it, whose cycle ends in its own time."""
    card = grant_card(advance=advance, expiry=expiry, duration=duration, priority=3, only=("um.1",))
    terms = sold_grant(card, cycle_in(PLAN, JANUARY), currency="USD").terms
    until = None if terms.effective_until is None else str(terms.effective_until)
    assert (str(terms.effective_from), until) == days
    assert (terms.amount, terms.priority, terms.applicable_entity_ids) == (1000, 3, ("um.1",))
    assert (terms.purpose, terms.grantor_id) == ("Credit pack", "add_on.c")


def test_credit_of_the_last_days_there_are_has_an_end() -> None:
    """Nothing is later than the end of the calendar."""
    plan = price_plan(cycle=monthly("1"))
    cycle = cycle_in(plan, (date(9998, 12, 1), FOREVER))
    terms = sold_grant(grant_card(expiry=CreditExpiry.PRICING_CYCLE), cycle, currency="USD").terms
    assert terms.effective_until == FOREVER


@pytest.mark.parametrize(
    ("duration", "day"),
    [
        ("P1M", "2024-02-29"),
        ("P1Y", "2025-01-31"),
        ("P2W", "2024-02-14"),
        ("P1M1D", "2024-03-01"),
        ("PT24H", "2024-02-01"),
        ("PT1H", None),
        ("P7974Y11M1D", "9999-01-01"),
        ("P7975Y", "9999-01-01"),
        ("P99999999Y", None),
        ("a month", None),
    ],
)
def test_durations_of_whole_days(duration: str, day: str | None) -> None:
    """ISO 8601: 31 January and a month is 29 February; hours that are no days are no duration here."""
    found = day_after(date(2024, 1, 31), duration)
    assert (None if found is None else str(found)) == day


def test_what_comes_back_of_licences_is_for_anything() -> None:
    """Contract 3.6: a decrease returns the rest as a credit."""
    card = licence_card(SlabSample("0", "30"), display_name="Seat")
    grant = returned_grant(card, cycle_in(PLAN, JANUARY), Decimal(10))
    assert (grant.terms.purpose, grant.terms.amount) == ("Given back: Seat, 1 January 2024 to 31 January 2024", 10)
    assert (grant.terms.priority, grant.terms.effective_until, grant.terms.applicable_entity_ids) == (1, None, ())
    assert grant.sold is False


def test_the_same_grant_is_the_same_credit() -> None:
    """Its id is made of the invoice and what is granted, so issuing an invoice twice grants once."""

    def made(invoice_id: str, card: CreditGrantRateCard) -> str:
        grant = sold_grant(card, cycle_in(PLAN, JANUARY), currency="USD")
        return granted_credit(
            grant,
            invoice_id=invoice_id,
            account_id="A",
            customer_id="CUS",
            currency="USD",
            at=datetime(2024, 2, 1, tzinfo=UTC),
        ).credit_id

    first = made("inv.1", grant_card())
    assert [len(part) for part in first.split(".")] == [4, 11, 5]
    assert made("inv.1", grant_card()) == first
    assert len({first, made("inv.2", grant_card()), made("inv.1", grant_card(add_on_id="add_on.d"))}) == 3


# ---- checking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "field"),
    [
        (grant_card(add_on_id="none"), "id"),
        (grant_card(amount="0"), r"rateDetails.currencySlabRateDetails\[0\].creditAmount"),
        (grant_card(rate="1e600"), r"rateDetails.currencySlabRateDetails\[0\].slabDetails"),
        (grant_card(currencies=("EUR",)), "rateDetails.currencySlabRateDetails"),
        (grant_card(currencies=("USD", "USD")), "rateDetails.currencySlabRateDetails"),
        (grant_card(interval=0), "recurrenceConfig.interval"),
        (grant_card(one_time=True, interval=2), "recurrenceConfig.interval"),
    ],
)
def test_cards_that_could_not_be_charged_are_refused(card: CreditGrantRateCard, field: str) -> None:
    """Every refusal names the field."""
    with pytest.raises(Invalid, match=rf"^creditGrantRateCards\[0\].{field}"):
        check_credit_grant_card(card, add_on_ids=["add_on.c"], currencies=["USD"], where="creditGrantRateCards[0]")
    check_credit_grant_card(grant_card(), add_on_ids=["add_on.c"], currencies=["USD"], where="")


@pytest.mark.parametrize(
    ("card", "field"),
    [
        (grant_card(priority=-1), "priority"),
        (grant_card(priority=101), "priority"),
        (grant_card(expiry=CreditExpiry.CUSTOM), "expiryDuration"),
        (grant_card(expiry=CreditExpiry.CUSTOM, duration="P0D"), "expiryDuration"),
        (grant_card(expiry=CreditExpiry.CUSTOM, duration="-P1M"), "expiryDuration"),
        (grant_card(expiry=CreditExpiry.CUSTOM, duration="PT1H"), "expiryDuration"),
        (grant_card(duration="P1M"), "expiryDuration"),
        (grant_card(only=("um.1", "um.1")), "applicableEntityIds"),
    ],
)
def test_details_of_which_no_credit_could_be_made_are_refused(card: CreditGrantRateCard, field: str) -> None:
    with pytest.raises(Invalid, match=f"^grantDetails.{field}: "):
        check_grant_details(card.details, "grantDetails")


def test_rules_may_read_what_is_sold_and_what_it_costs() -> None:
    """Contract 3.8: `revenue|credit.cg.<id>`; a rule adds a tenth of the credit that is sold to what is charged."""
    assert variables_of([grant_card()]) == {
        "revenue.cg.add_on.c",
        "credit.cg.add_on.c",
        "revenue.rate_card_total",
        "invoice.start_date",
        "invoice.end_date",
    }
    rules = (rule({"*": [{"var": "credit.cg.add_on.c"}, 0.1]}),)
    plan = msgspec.structs.replace(price_plan(grant_card("1000", "0.9"), cycle=monthly("1")), pricing_rules=rules)
    account = BilledAccount(
        account_id="A",
        account_name="A",
        customer_id="C",
        customer_name="C",
        customer_email="",
        email="",
        address=Address(),
        currency="USD",
    )
    draft = draft_invoice_of(
        account,
        organisation_id="org",
        cycle=cycle_in(plan, JANUARY),
        usage=[],
        computed_at=datetime(2024, 1, 1, tzinfo=UTC),
    )
    assert draft.total == 1000  # 900 + 100
