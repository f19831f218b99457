"""Laws of usage that changes after its cycle was invoiced, whatever it does and however often."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from invoice_samples import named, plans_of
from price_plan_samples import NOW, SlabSample, cycle_in, fixed_fee, price_plan, usage_card
from pricing_rule_samples import rule

from tallybook.core.aggregation import Aggregation
from tallybook.core.card_lines import metered_line
from tallybook.core.customer import Address
from tallybook.core.invoice import BilledAccount, Invoice, InvoiceLine, LineType
from tallybook.core.invoice_inputs import Adjustments, BilledMeter, HourOfUsage, InvoiceInputs, LateCycle
from tallybook.core.invoice_lines import invoice_of
from tallybook.core.late_usage import SaidLine, late_line, late_postings, said_lines
from tallybook.core.money import Money, cut_to_minor_unit, total
from tallybook.core.period import Window

MARCH = Window(date(2024, 3, 1), date(2024, 4, 1))
CURRENCIES = ("USD", "JPY", "KWD")
CARDS = (
    usage_card(SlabSample("0", "0.0123"), SlabSample("100", "0.007"), meter_id="um.1", currencies=CURRENCIES),
    usage_card(SlabSample("0", "2.5", package="7"), meter_id="um.2", currencies=CURRENCIES),
)
COMMITMENT = Decimal("40.505")

usages = st.tuples(st.decimals(0, 5_000, places=3), st.decimals(0, 100, places=1))
histories = st.lists(usages, min_size=1, max_size=6)
currencies = st.sampled_from(CURRENCIES)


def priced(usage: tuple[Decimal, Decimal], currency: str) -> tuple[SaidLine, ...]:
    """Two cards and what is missing to the commitment."""
    lines = [metered_line(card, units, card.meter_id, currency) for card, units in zip(CARDS, usage, strict=True)]
    missing = COMMITMENT - total((line.amount for line in lines), currency=currency).amount
    if missing > 0:
        amount = Money(amount=missing, currency=currency)
        lines.append(InvoiceLine(line_id="up", line_type=LineType.TRUE_UP_AMOUNT, description="", amount=amount))
    return tuple(each for line in lines for each in said_lines(line))


def shown(lines: Sequence[SaidLine], currency: str) -> Decimal:
    amount = sum((line.amount for line in lines), Decimal(0))
    return cut_to_minor_unit(Money(amount=amount, currency=currency))


def posted_over(history: Sequence[tuple[Decimal, Decimal]], currency: str) -> list[InvoiceLine]:
    """What later invoices post while the usage goes from the first state, which is invoiced, to the last."""
    invoiced = priced(history[0], currency)
    lines: list[InvoiceLine] = []
    for usage in history[1:]:
        posted = [said for line in lines for posting in late_postings(line) for said in posting.lines]
        line = late_line(
            priced(usage, currency),
            invoiced=invoiced,
            posted=posted,
            invoice_id="inv.1",
            window=MARCH,
            currency=currency,
        )
        lines += [] if line is None else [line]
    return lines


@given(history=histories, currency=currencies)
def test_all_invoices_together_say_what_one_would_have_said(
    history: list[tuple[Decimal, Decimal]], currency: str
) -> None:
    """What the first invoice shows and what later ones post come to what one invoice of the last state would show."""
    posted = sum((line.amount.amount for line in posted_over(history, currency)), Decimal(0))
    assert shown(priced(history[0], currency), currency) + posted == shown(priced(history[-1], currency), currency)


@given(history=histories, currency=currencies)
def test_each_posting_is_the_exact_sum_of_its_lines(history: list[tuple[Decimal, Decimal]], currency: str) -> None:
    """And nothing in it has to be cut; each line stands in it once."""
    for line in posted_over(history, currency):
        assert len({part.line_id for part in line.lines}) == len(line.lines)
        assert line.amount == total((part.amount for part in line.lines), currency=currency)
        assert cut_to_minor_unit(line.amount) == line.amount.amount


@given(history=histories, currency=currencies)
def test_what_goes_back_to_where_it_was_costs_what_it_did(
    history: list[tuple[Decimal, Decimal]], currency: str
) -> None:
    """Whatever happened in between, line by line."""
    lines = posted_over([*history, history[0]], currency)
    assert sum((line.amount.amount for line in lines), Decimal(0)) == 0


# ---- over whole invoices -----------------------------------------------------------------------------------------

PLAN = msgspec.structs.replace(
    price_plan(
        usage_card(SlabSample("0", "0.0123"), SlabSample("100", "0.007"), tag="network"),
        usage_card(SlabSample("0", "2.5", package="7"), meter_id="um.2", tag="network"),
        fixed_fee("10.333", prorated=True),
        commitment="40.505",
    ),
    pricing_rules=(
        rule(
            {"*": [{"var": "revenue.urc.um.1"}, -0.1]},
            condition={">": [{"var": "usage.urc.um.1"}, 1000]},
            name="A tenth off the calls from 1,000 on",
        ),
    ),
)


def invoice_with(usage: tuple[Decimal, Decimal], late: LateCycle | None = None) -> tuple[Invoice, InvoiceInputs]:
    """March's invoice with that usage."""
    cycle = cycle_in(PLAN, MARCH)
    inputs = InvoiceInputs(
        organisation_id="org",
        account=BilledAccount(
            account_id="A",
            account_name="A",
            customer_id="C",
            customer_name="C",
            customer_email="c@example.com",
            email="c@example.com",
            address=Address(),
            currency="USD",
        ),
        cycle=named(cycle),
        meters=tuple(
            BilledMeter(meter_id=card.meter_id, version=1, name=card.meter_id, aggregation=Aggregation.SUM)
            for card in PLAN.usage_cards
        ),
        usage={card.meter_id: (HourOfUsage(0, units, 1),) for card, units in zip(PLAN.usage_cards, usage, strict=True)},
        adjustments=Adjustments(late=() if late is None else (late,)),
    )
    invoice = invoice_of(inputs, plans_of(cycle), computed_at=NOW)
    assert invoice is not None
    return invoice, inputs


@given(then=usages, now=usages, own=usages)
def test_the_next_invoice_adds_exactly_what_the_first_lacks(
    then: tuple[Decimal, Decimal], now: tuple[Decimal, Decimal], own: tuple[Decimal, Decimal]
) -> None:
    """With tags, a fee, a rule that sets in, and a commitment: first and late together are the whole, line by line."""
    first, _ = invoice_with(then)
    whole, inputs = invoice_with(now)
    late = LateCycle(invoice_id=first.invoice_id, inputs=inputs, invoiced=said_lines(first.gross))
    without, _ = invoice_with(own)
    following, _ = invoice_with(own, late)
    assert first.total + (following.gross.amount - without.gross.amount).amount == whole.total
    said: dict[str, Decimal] = {}
    for line in (
        *said_lines(first.gross),
        *(each for posting in late_postings(following.gross) for each in posting.lines),
    ):
        said[line.line_id] = said.get(line.line_id, Decimal(0)) + line.amount
    if following.gross != without.gross:
        said.pop("cut", None)
        assert {key: amount for key, amount in said.items() if amount} == {
            line.line_id: line.amount for line in said_lines(whole.gross) if line.amount
        }
