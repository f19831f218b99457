from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import pytest
from price_plan_samples import SlabSample, fixed_fee, licence_card, usage_card
from pricing_rule_samples import amounts, applied, rule, var

from tallybook.core.invoice import LineType
from tallybook.core.ruled_cards import RuleLog, RuleOutcome, added_total

TRUE, FALSE = RuleOutcome.CONDITION_TRUE, RuleOutcome.CONDITION_FALSE
MAY = (date(2024, 5, 1), date(2024, 6, 1))
DIALECTS = ["exact", "togai"]

VOLUME_DISCOUNT = rule(
    {"*": [var("revenue.rate_card_total"), -0.1]},
    condition={">": [var("usage.urc.um.volume"), 1_000_000]},
    name="Ten percent off above a million",
)
PAYMENTS = (
    usage_card(SlabSample("0", "0.025"), meter_id="um.volume"),
    fixed_fee("1000"),
)

FREE_MINUTES = rule(
    {"*": [-1, {"min": [{"*": [var("usage.lic.addon.seats"), 1000, 0.1]}, var("revenue.urc.um.minutes")]}]},
    name="1,000 minutes free for each seat",
)
CALLS = (
    licence_card(SlabSample("0", "20"), add_on_id="addon.seats"),
    usage_card(SlabSample("0", "0.1"), meter_id="um.minutes"),
)

MONTH_DAYS = {
    "duration.as": [{"duration.between": [var("invoice.start_date"), var("invoice.end_date")]}, "DAYS"],
}
FREE_PHOTOS = rule(
    {"max": [{"-": [var("usage.urc.um.photos"), {"*": [MONTH_DAYS, 75]}]}, 0]},
    target="usage.urc.um.photos",
    name="75 photos a day are free",
)
PHOTOS = usage_card(SlabSample("0", "0.5"), meter_id="um.photos", display_name="Photos")


# ---- the contract's examples, §3.5 and §3.8 -----------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_ten_percent_off_above_a_million(dialect: str) -> None:
    """§3.8 [S], [D]: a fee of 31,000 in all, with a volume of 1.2 million, has 3,100 taken off."""
    ruled = applied([VOLUME_DISCOUNT], *PAYMENTS, used={"um.volume": "1200000"}, dialect=dialect)
    assert amounts(ruled) == ["30000.000", "1000", "-3100"]
    assert ruled.logs[0].outcome is TRUE
    assert ruled.logs[0].values == {"usage.urc.um.volume": 1_200_000, "revenue.rate_card_total": 31_000}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_off_at_a_million(dialect: str) -> None:
    """§3.8 [S] says over a million; exactly a million costs the full fee, 25,000 + 1,000."""
    ruled = applied([VOLUME_DISCOUNT], *PAYMENTS, used={"um.volume": "1000000"}, dialect=dialect)
    assert amounts(ruled) == ["25000.000", "1000"]
    assert ruled.logs[0].outcome is FALSE


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("minutes", "revenue", "discount", "net"), [("7200", "720", "-500", "220"), ("3000", "300", "-300", "0")]
)
def test_a_thousand_free_minutes_for_each_seat(
    minutes: str, revenue: str, discount: str, net: str, dialect: str
) -> None:
    """§3.8 [S], [D]: 5 seats; 7,200 minutes at 0.1 are 720 less 500; 3,000 are 300 less 300."""
    ruled = applied([FREE_MINUTES], *CALLS, used={"um.minutes": minutes}, held={"addon.seats": "5"}, dialect=dialect)
    calls, added = ruled.cards[1].line.amount.amount, ruled.added[0].amount.amount
    assert (calls, added, calls + added) == (Decimal(revenue), Decimal(discount), Decimal(net))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("photos", "billed"), [("3000", "675"), ("2000", "0")])
def test_seventy_five_free_photos_a_day(photos: str, billed: str, dialect: str) -> None:
    """§3.5 [D]: May has 31 days, so 2,325 photos are free: of 3,000, 675 are billed, of 2,000 none."""
    ruled = applied([FREE_PHOTOS], PHOTOS, used={"um.photos": photos}, window=MAY, dialect=dialect)
    assert ruled.cards[0].line.quantity == Decimal(billed)
    assert ruled.cards[0].line.amount.amount == Decimal(billed) / 2
    assert ruled.logs[0].values["invoice.end_date"] == "2024-06-01T00:00:00Z"


def test_the_documented_form_of_free_photos_is_no_number_in_the_engine() -> None:
    """§3.5: the documentation multiplies a duration's text by 75, which is null in Togai's engine: nothing changes."""
    between = {"duration.between": [var("invoice.start_date"), var("invoice.end_date")]}
    as_documented = rule({"*": [between, 75]}, target="usage.urc.um.photos")
    ruled = applied([as_documented], PHOTOS, used={"um.photos": "3000"}, window=MAY, dialect="togai")
    assert amounts(ruled) == ["1500.0"]
    assert ruled.logs[0].outcome is RuleOutcome.COMPUTATION_ERROR


# ---- what a rule reads --------------------------------------------------------------------------------------------

EVERYTHING = (
    usage_card(SlabSample("0", "2"), meter_id="um.a", tag="Compute"),
    usage_card(SlabSample("0", "3"), meter_id="um.b", tag="Compute"),
    fixed_fee("50", add_on_id="addon.fee", tag="Compute"),
    licence_card(SlabSample("0", "10"), add_on_id="addon.seat"),
    fixed_fee("7", add_on_id="addon.later", offset=3),
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("usage.urc.um.a", "4"),
        ("revenue.urc.um.a", "8"),
        ("revenue.urc.um.b", "15"),
        ("revenue.ff.addon.fee", "50"),
        ("usage.lic.addon.seat", "6"),
        ("revenue.lic.addon.seat", "60"),
        ("usage.tag.Compute", "9"),  # 4 + 5; a fee has no usage
        ("revenue.tag.Compute", "73"),  # 8 + 15 + 50
        ("revenue.rate_card_total", "133"),  # 73 + 60
        ("revenue.ff.addon.later", "0"),  # not charged in this cycle
    ],
)
def test_variables_say_what_cards_come_to(name: str, value: str) -> None:
    """§3.8 lists the variables; two meters at 4 × 2 and 5 × 3, a fee of 50, six seats at 10."""
    ruled = applied([rule(var(name))], *EVERYTHING, used={"um.a": "4", "um.b": "5"}, held={"addon.seat": "6"})
    assert ruled.added[0].amount.amount == Decimal(value)
    assert ruled.logs[0].values == {name: Decimal(value)}


def test_the_days_of_the_cycle_are_texts() -> None:
    condition = {"==": [var("invoice.start_date"), "2024-03-01T00:00:00Z"]}
    ruled = applied([rule(1, condition=condition)], PHOTOS)
    assert ruled.logs[0].outcome is TRUE


# ---- what a rule does ---------------------------------------------------------------------------------------------


def test_another_usage_prices_the_card_again() -> None:
    """150 units in slabs of 100 at 2 and 1 are 250; 90 of them are 180, and the line says 60 less."""
    card = usage_card(SlabSample("0", "2"), SlabSample("100", "1"))
    line = applied([rule(90, target="usage.urc.um.1")], card, used={"um.1": "150"}).cards[0].line
    assert (line.amount.amount, line.quantity) == (180, 90)
    assert [(each.line_type, each.quantity, each.amount.amount) for each in line.lines] == [
        (LineType.USAGE_RATE_CARD_SLAB_AMOUNT, 90, 180),
        (LineType.PRICING_RULE_USAGE_UPDATE_AMOUNT, -60, 0),
    ]


def test_another_revenue_keeps_the_working() -> None:
    """250 by its slabs becomes 200: the slabs stay, and a line takes 50 off."""
    card = usage_card(SlabSample("0", "2"), SlabSample("100", "1"))
    line = applied([rule(200, target="revenue.urc.um.1")], card, used={"um.1": "150"}).cards[0].line
    assert (line.amount.amount, line.quantity) == (200, 150)
    assert [(each.line_type, each.amount.amount) for each in line.lines] == [
        (LineType.USAGE_RATE_CARD_SLAB_AMOUNT, 200),
        (LineType.USAGE_RATE_CARD_SLAB_AMOUNT, 50),
        (LineType.PRICING_RULE_REVENUE_UPDATE_AMOUNT, -50),
    ]


def test_another_revenue_of_a_fee_shows_both() -> None:
    ruled = applied([rule({"*": [var("revenue.ff.add_on.1"), 2]}, target="revenue.ff.add_on.1")], fixed_fee("40"))
    line = ruled.cards[0].line
    assert line.amount.amount == 80
    assert [(each.description, each.amount.amount) for each in line.lines] == [("As priced", 40), ("A rule", 40)]


def test_licences_are_priced_again_by_days() -> None:
    """3 of 30 seats a day at 31 in March: 3 × 31 whole, priced by the days of the cycle all the same."""
    card = licence_card(SlabSample("0", "31"), prorated=True)
    ruled = applied([rule(3, target="usage.lic.add_on.1")], card, held={"add_on.1": "30"})
    assert (ruled.cards[0].line.quantity, ruled.cards[0].line.amount.amount) == (3, 93)


def test_a_revenue_for_a_card_that_came_to_nothing() -> None:
    line = applied([rule(5, target="revenue.urc.um.1")], usage_card(SlabSample("0", "2"))).cards[0].line
    assert [each.amount.amount for each in line.lines] == [5]


def test_rules_see_what_those_before_them_left() -> None:
    """10 × 2 = 20; the usage becomes 15, 30; the revenue 33; the line that is added is a third of all, 11."""
    rules = [
        rule(15, target="usage.urc.um.1"),
        rule({"+": [var("revenue.urc.um.1"), 3]}, target="revenue.urc.um.1", rule_id="pp_rule.2"),
        rule({"/": [var("revenue.rate_card_total"), 3]}, rule_id="pp_rule.3"),
    ]
    ruled = applied(rules, usage_card(SlabSample("0", "2")), used={"um.1": "10"})
    assert [(log.old_revenue, log.new_revenue, log.old_usage, log.new_usage) for log in ruled.logs] == [
        (20, 30, 10, 15),
        (30, 33, 15, 15),
        (0, 11, None, None),
    ]
    assert [each.line_type.value for each in ruled.cards[0].line.lines] == [
        "USAGE_RATE_CARD_SLAB_AMOUNT",
        "PRICING_RULE_USAGE_UPDATE_AMOUNT",
        "PRICING_RULE_REVENUE_UPDATE_AMOUNT",
    ]


def test_what_rules_add_is_no_rate_card() -> None:
    """Two rules that take a tenth of 100 off take 10 each."""
    tenth = {"*": [var("revenue.rate_card_total"), -0.1]}
    ruled = applied([rule(tenth), rule(tenth, rule_id="pp_rule.2")], fixed_fee("100"))
    assert amounts(ruled) == ["100", "-10", "-10"]


def test_added_lines_stand_under_one() -> None:
    ruled = applied([rule(-3), rule(10, rule_id="pp_rule.2", item_id="bonus")], fixed_fee("100"))
    (total,) = added_total(ruled.added, "USD")
    assert total.line_type is LineType.TOTAL_PRICING_RULE_ADDITION_AMOUNT
    assert total.amount.amount == 7
    assert [line.line_id for line in total.lines] == [
        "PRICING_RULE_ADDITION_AMOUNT.pp_rule.1",
        "PRICING_RULE_ADDITION_AMOUNT.bonus",
    ]
    assert added_total((), "USD") == []


# ---- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "outcome", "reason"),
    [
        ({"condition": {">": [{"/": [1, var("usage.urc.um.1")]}, 0]}}, RuleOutcome.CONDITION_ERROR, ">[0]./"),
        ({"computation": {"/": [1, var("usage.urc.um.1")]}}, RuleOutcome.COMPUTATION_ERROR, "/"),
        ({"computation": var("revenue.ff.addon.gone")}, RuleOutcome.COMPUTATION_ERROR, "the plan has nothing called"),
        ({"condition": {">": [var("usage.tag.gone"), 1]}}, RuleOutcome.CONDITION_ERROR, "the plan has nothing called"),
        ({"computation": {"unheard": [1]}}, RuleOutcome.COMPUTATION_ERROR, "the rule: unknown operator"),
        ({"computation": {"*": [10**400, 10**400]}}, RuleOutcome.COMPUTATION_ERROR, "*: "),
        ({"computation": var("invoice.start_date")}, RuleOutcome.COMPUTATION_ERROR, "var: needs a number"),
    ],
)
def test_a_rule_that_fails_changes_nothing(made: Mapping[str, object], outcome: RuleOutcome, reason: str) -> None:
    """No unit was used, so there is nothing to divide by; a card is gone with another version; the log says why."""
    given = {"computation": 1, **made}
    failing = rule(given["computation"], condition=given.get("condition"))
    ruled = applied([failing, rule(2, rule_id="pp_rule.2")], usage_card(SlabSample("0", "2")))
    log: RuleLog = ruled.logs[0]
    assert log.outcome is outcome
    assert (log.old_revenue, log.new_revenue) == (0, 0)
    assert log.reason is not None
    assert log.reason.startswith(reason)
    assert set(log.values) <= {"usage.urc.um.1", "invoice.start_date"}
    assert [line.line_id for line in ruled.added] == ["PRICING_RULE_ADDITION_AMOUNT.pp_rule.2"]


def test_a_target_that_is_not_charged_stays_so() -> None:
    """A fee that is charged after three cycles is not charged in the first, whatever a rule makes of it."""
    ruled = applied([rule(5, target="revenue.ff.addon.later")], fixed_fee("7", add_on_id="addon.later", offset=3))
    assert ruled.cards == ()
    assert ruled.logs[0].reason == "the target is not charged in this cycle"


def test_rules_compute_in_the_organisations_dialect() -> None:
    """A third has 34 digits in `exact` and four in `togai`."""
    third = rule({"/": [1, 3]})
    assert amounts(applied([third], dialect="exact")) == ["0.3333333333333333333333333333333333"]
    assert amounts(applied([third], dialect="togai")) == ["0.3333"]
