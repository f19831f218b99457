from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from price_plan_samples import SlabSample, fixed_fee, monthly, price_plan, usage_card

from tallybook.core.errors import Invalid
from tallybook.core.period import FOREVER
from tallybook.core.plan_changes import PlanChanges, changed_plan
from tallybook.core.plan_migration import MigrationMode, Move, migrated
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, associate, changed_days, disassociate, new_schedule

PLAN = price_plan(usage_card(SlabSample("0", "2")), cycle=monthly("1", grace_days=2))
SECOND = msgspec.structs.replace(PLAN, version=2)
OTHER = price_plan(usage_card(SlabSample("0", "3")), plan_id="pp.other", name="Other")
OVERRIDE = PlanChanges(cycle=monthly("5", grace_days=2))
TODAY = date(2024, 3, 10)


def day(text: str) -> date:
    return date.fromisoformat(text)


def schedule(
    start: str, end: date = FOREVER, *, plan: PricePlan = PLAN, override: PlanChanges | None = None
) -> PricingSchedule:
    return new_schedule(plan, schedule_id="sch.1", start_date=day(start), end_date=end, override=override)


def moved(
    schedules: Sequence[PricingSchedule], target: PricePlan | None, versions: list[int], mode: MigrationMode
) -> tuple[PricingSchedule, ...]:
    """Moved from those versions of the plan."""
    return migrated(schedules, Move(source_id=PLAN.plan_id, versions=versions, target=target, mode=mode), today=TODAY)


def shown(schedules: tuple[PricingSchedule, ...]) -> list[tuple[str, int, str]]:
    return [(str(each.start_date), each.plan_version, each.plan_id) for each in schedules]


@pytest.mark.parametrize(
    ("mode", "first_day"),
    [
        (MigrationMode.IMMEDIATE, "2024-03-11"),
        (MigrationMode.IMMEDIATE_IGNORE_OVERRIDE, "2024-03-11"),
        (MigrationMode.NEXT_CYCLE, "2024-04-01"),
        (MigrationMode.NEXT_CYCLE_IGNORE_OVERRIDE, "2024-04-01"),
        (MigrationMode.START_OF_CURRENT_CYCLE, "2024-03-01"),
    ],
)
def test_a_mode_says_from_when_the_new_version_bills(mode: MigrationMode, first_day: str) -> None:
    """Contract 3.6: the next day, the next cycle, or the current one; the association and its id go on."""
    before, after = moved([schedule("2024-01-15")], SECOND, [1], mode)
    assert shown((before, after)) == [("2024-01-15", 1, "pp.1"), (first_day, 2, "pp.1")]
    assert after.association_date == day("2024-01-15")
    assert (before.end_date, after.end_date) == (day(first_day), FOREVER)


def test_accounts_stay_without_a_mode() -> None:
    whole = (schedule("2024-01-15"),)
    assert moved(whole, SECOND, [1], MigrationMode.NONE) == whole


@pytest.mark.parametrize(
    ("mode", "kept", "first_day"),
    [
        (MigrationMode.IMMEDIATE, True, "2024-03-11"),
        (MigrationMode.IMMEDIATE_IGNORE_OVERRIDE, False, "2024-03-11"),
        (MigrationMode.NEXT_CYCLE, True, "2024-04-05"),
        (MigrationMode.NEXT_CYCLE_IGNORE_OVERRIDE, False, "2024-04-05"),
        (MigrationMode.START_OF_CURRENT_CYCLE, True, "2024-03-05"),
    ],
)
def test_a_mode_says_whether_overrides_stay(mode: MigrationMode, kept: bool, first_day: str) -> None:
    """Contract 3.6; the days of a cycle are those of the override until then."""
    _, after = moved([schedule("2024-01-15", override=OVERRIDE)], SECOND, [1], mode)
    assert str(after.start_date) == first_day
    assert after.override == (OVERRIDE if kept else None)
    assert after.cycle.day_offset == ("5" if kept else "1")


def test_other_plans_other_versions_and_the_past_stay() -> None:
    schedules = (
        schedule("2024-01-01", day("2024-02-01")),
        schedule("2024-02-01", day("2024-05-01"), plan=SECOND),
        schedule("2024-05-01", day("2024-06-01"), plan=OTHER),
        schedule("2024-06-01"),
    )
    third = msgspec.structs.replace(PLAN, version=3)
    latest = moved(schedules, third, [2], MigrationMode.NEXT_CYCLE)
    assert [version for _, version, _ in shown(latest)] == [1, 2, 3, 1, 1]
    every = moved(schedules, third, [1, 2], MigrationMode.NEXT_CYCLE)
    assert shown(every)[2:] == [("2024-04-01", 3, "pp.1"), ("2024-05-01", 1, "pp.other"), ("2024-06-01", 3, "pp.1")]


def test_a_schedule_that_begins_today_has_begun() -> None:
    """It is moved tomorrow, or with its next cycle; one that is to begin is moved as a whole."""
    for mode, first_day in ((MigrationMode.IMMEDIATE, "2024-03-11"), (MigrationMode.NEXT_CYCLE, "2024-04-01")):
        assert shown(moved([schedule("2024-03-10")], SECOND, [1], mode))[-1] == (first_day, 2, "pp.1")
        assert shown(moved([schedule("2024-03-11")], SECOND, [1], mode)) == [("2024-03-11", 2, "pp.1")]


def test_moving_again_on_the_same_day_leaves_no_trace_of_the_first() -> None:
    once = moved([schedule("2024-01-15")], SECOND, [1], MigrationMode.IMMEDIATE)
    third = msgspec.structs.replace(PLAN, version=3)
    twice = moved(once, third, [2], MigrationMode.IMMEDIATE)
    assert shown(twice) == [("2024-01-15", 1, "pp.1"), ("2024-03-11", 3, "pp.1")]


# ---- changes -----------------------------------------------------------------------------------------------------


def test_changes_replace_what_they_name_and_leave_the_rest() -> None:
    plan = price_plan(usage_card(SlabSample("0", "2")), fixed_fee("90"), commitment="500")
    changed = changed_plan(plan, PlanChanges(fee_cards=(fixed_fee("100"),), cycle=monthly("5")))
    assert changed.usage_cards == plan.usage_cards
    assert [card.rates[0].rate for card in changed.fee_cards] == [Decimal(100)]
    assert (changed.cycle.day_offset, changed.minimum_commitment) == ("5", plan.minimum_commitment)


def test_an_active_currency_stays() -> None:
    """Contract 3.6: a draft currency may be removed, an active one may not."""
    plan = msgspec.structs.replace(price_plan(currencies=("USD", "EUR")), active_currencies=("USD",))
    assert changed_plan(plan, PlanChanges(supported_currencies=("USD",))).supported_currencies == ("USD",)
    with pytest.raises(Invalid, match="supportedCurrencies: USD is active and cannot be removed"):
        changed_plan(plan, PlanChanges(supported_currencies=("EUR",)))


# ---- days that change --------------------------------------------------------------------------------------------


def test_an_association_over_another_changes_its_days_alone() -> None:
    """Contract 3.7: A from 2022 for ever, B from 4 July to 4 October: A, B, A."""
    first = new_schedule(PLAN, schedule_id="sch.a", start_date=day("2022-01-01"))
    second = new_schedule(OTHER, schedule_id="sch.b", start_date=day("2022-07-04"), end_date=day("2022-10-04"))
    both = associate([first], second)
    assert [(each.schedule_id, str(each.start_date), str(each.end_date)) for each in both] == [
        ("sch.a", "2022-01-01", "2022-07-04"),
        ("sch.b", "2022-07-04", "2022-10-04"),
        ("sch.a", "2022-10-04", "9999-01-01"),
    ]
    assert changed_days([first], both) == (day("2022-07-04"), day("2022-10-04"))
    assert changed_days(both, both) is None


def test_a_hole_changes_the_days_in_it() -> None:
    whole = (schedule("2024-01-15"),)
    cut = disassociate(whole, start_date=day("2024-02-01"), end_date=day("2024-02-20"))
    assert changed_days(whole, cut) == (day("2024-02-01"), day("2024-02-20"))
    assert changed_days((), whole) == (day("2024-01-15"), FOREVER)
