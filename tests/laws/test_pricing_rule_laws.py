"""Pricing rules never lose or invent an amount: lines are the sums of their parts, and logs say every difference."""

from collections.abc import Iterator
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from price_plan_samples import SlabSample, fixed_fee, licence_card, usage_card
from pricing_rule_samples import applied, rule, var

from tallybook.core.decimals import EXACT
from tallybook.core.invoice import InvoiceLine
from tallybook.core.pricing import sum_exactly
from tallybook.core.pricing_rule import PricingRule, RuleActionType
from tallybook.core.ruled_cards import RuledCards, RuleOutcome

CARDS = (
    usage_card(SlabSample("0", "2"), SlabSample("100", "1"), tag="Compute"),
    usage_card(SlabSample("0", "0.3", package="7"), meter_id="um.2", tag="Compute"),
    fixed_fee("50", add_on_id="addon.fee"),
    licence_card(SlabSample("0", "31"), add_on_id="addon.seat", prorated=True),
)
NUMBERS = st.decimals(-10_000, 10_000, places=4)
READ = st.sampled_from(
    ["usage.urc.um.1", "revenue.urc.um.2", "revenue.rate_card_total", "revenue.tag.Compute", "usage.lic.addon.seat"]
)
TARGETS = st.sampled_from(
    [None, "usage.urc.um.1", "revenue.urc.um.1", "usage.urc.um.2", "revenue.ff.addon.fee", "usage.lic.addon.seat"]
)


@st.composite
def rules(draw: st.DrawFn) -> list[PricingRule]:
    """Up to five rules over the cards; some divide by what may be zero."""
    made = []
    for index in range(draw(st.integers(0, 5))):
        first, second = var(draw(READ)), var(draw(READ))
        number = str(draw(NUMBERS))
        computation = draw(
            st.sampled_from([number, {"+": [first, number]}, {"/": [first, second]}, {"*": [first, -1]}])
        )
        condition = draw(st.sampled_from([None, {">": [first, second]}, {">": [{"/": [1, second]}, 0]}]))
        made.append(rule(computation, condition=condition, target=draw(TARGETS), rule_id=f"pp_rule.{index}"))
    return made


USED = st.fixed_dictionaries({"um.1": NUMBERS.map(str), "um.2": NUMBERS.map(str)})
HELD = st.fixed_dictionaries({"addon.seat": st.integers(0, 50).map(str)})


def all_lines(line: InvoiceLine) -> Iterator[InvoiceLine]:
    yield line
    for child in line.lines:
        yield from all_lines(child)


def total_of(ruled: RuledCards) -> Decimal:
    lines = [*(rated.line for rated in ruled.cards), *ruled.added]
    return sum_exactly([line.amount.amount for line in lines])


@given(rules=rules(), used=USED, held=HELD)
def test_every_line_is_the_sum_of_those_under_it(
    rules: list[PricingRule], used: dict[str, str], held: dict[str, str]
) -> None:
    """Whatever rules did to a card, what stands under its line explains its amount, to the last digit."""
    ruled = applied(rules, *CARDS, used=used, held=held)
    for rated in ruled.cards:
        for line in all_lines(rated.line):
            assert not line.lines or line.amount.amount == sum_exactly([child.amount.amount for child in line.lines])


@given(rules=rules(), used=USED, held=HELD)
def test_logs_say_every_difference(rules: list[PricingRule], used: dict[str, str], held: dict[str, str]) -> None:
    """What the rules made of the cards is what the cards came to and the differences in the logs, one for each rule."""
    before, after = applied([], *CARDS, used=used, held=held), applied(rules, *CARDS, used=used, held=held)
    assert [log.rule for log in after.logs] == rules
    differences = [EXACT.subtract(log.new_revenue, log.old_revenue) for log in after.logs]
    assert total_of(after) == sum_exactly([total_of(before), *differences])


@given(rules=rules(), used=USED, held=HELD)
def test_rules_that_do_not_apply_change_nothing(
    rules: list[PricingRule], used: dict[str, str], held: dict[str, str]
) -> None:
    """Without those whose condition did not hold, or that failed, the cards come to the same."""
    ruled = applied(rules, *CARDS, used=used, held=held)
    applying = [log.rule for log in ruled.logs if log.outcome is RuleOutcome.CONDITION_TRUE]
    assert applied(applying, *CARDS, used=used, held=held).cards == ruled.cards
    added = [each for each in applying if each.action.action_type is RuleActionType.ADD]
    assert len(ruled.added) == len(added)
