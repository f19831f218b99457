"""Whatever is drafted, merged or migrated, no day changes that was not named, and no day is billed twice."""

from collections.abc import Sequence
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from price_plan_samples import SlabSample, monthly, price_plan, usage_card

from tallybook.core.plan_changes import PlanChanges
from tallybook.core.plan_migration import MigrationMode, Move, migrated
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, associate, new_schedule, schedule_on
from tallybook.core.schedule_draft import (
    DraftAmendment,
    DraftAssociation,
    DraftRemoval,
    DraftStep,
    merged_with_steps,
    with_steps,
)

FIRST = date(2024, 1, 1)
DAYS = 200
PLANS = [
    price_plan(usage_card(SlabSample("0", "2")), plan_id=f"pp.{number}", name=f"Plan {number}", cycle=monthly("5"))
    for number in range(3)
]
OVERRIDE = PlanChanges(usage_cards=(usage_card(SlabSample("0", "7")),))

windows = st.tuples(st.integers(0, DAYS - 1), st.integers(1, 80)).map(
    lambda place: (FIRST + timedelta(days=place[0]), FIRST + timedelta(days=min(place[0] + place[1], DAYS)))
)
todays = st.integers(0, DAYS - 1).map(lambda number: FIRST + timedelta(days=number))
numbers = st.integers(0, 999_999).map(lambda number: f"sch.{number}")


@st.composite
def associations(draw: st.DrawFn) -> PricingSchedule:
    start, end = draw(windows)
    plan = draw(st.sampled_from(PLANS))
    override = draw(st.sampled_from([None, OVERRIDE]))
    return new_schedule(plan, schedule_id=draw(numbers), start_date=start, end_date=end, override=override)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[PricingSchedule, ...]:
    """What bills an account after some associations."""
    present: tuple[PricingSchedule, ...] = ()
    for new in draw(st.lists(associations(), max_size=5)):
        present = associate(present, new)
    return present


@st.composite
def removals(draw: st.DrawFn) -> DraftRemoval:
    start, end = draw(windows)
    plan_id = draw(st.sampled_from([None, "pp.0", "pp.1"]))
    return DraftRemoval(step_id=draw(numbers), plan_id=plan_id, start_date=start, end_date=end)


steps_alone = st.lists(
    st.one_of(st.builds(DraftAssociation, schedule=associations(), merge=st.booleans()), removals()), max_size=5
)

Billed = tuple[str, int, PlanChanges | None]


def billed(present: Sequence[PricingSchedule]) -> list[Billed | None]:
    """By what each day is billed; fails when a day is billed twice."""
    days = [FIRST + timedelta(days=number) for number in range(DAYS)]
    for day in days:
        assert sum(each.start_date <= day < each.end_date for each in present) <= 1, f"{day} is billed twice"
    found = [schedule_on(present, day) for day in days]
    return [each and (each.plan_id, each.plan_version, each.override) for each in found]


def named(steps: Sequence[DraftStep]) -> set[int]:
    """The days that the steps name, counted from the first."""
    days: set[int] = set()
    for step in steps:
        if isinstance(step, DraftAssociation):
            start, end = step.schedule.window
        else:
            assert isinstance(step, DraftRemoval)
            start, end = step.start_date, step.end_date
        days.update(range((start - FIRST).days, (end - FIRST).days))
    return days


@given(present=schedules(), steps=steps_alone, today=todays)
def test_a_draft_changes_the_days_that_it_names_alone(
    present: tuple[PricingSchedule, ...], steps: list[DraftStep], today: date
) -> None:
    """Every other day is billed as before."""
    before, after = billed(present), billed(with_steps(present, steps, today=today))
    touched = named(steps)
    for number, (left, right) in enumerate(zip(before, after, strict=True)):
        assert number in touched or left == right


@given(present=schedules(), steps=steps_alone, today=todays, merge=st.booleans())
def test_merging_changes_by_what_no_day_is_billed(
    present: tuple[PricingSchedule, ...], steps: list[DraftStep], today: date, merge: bool
) -> None:
    """It only says that an association goes on."""
    merged = merged_with_steps(present, steps, merge=merge, today=today)
    assert billed(merged) == billed(with_steps(present, steps, today=today))
    assert len(merged) <= len(with_steps(present, steps, today=today))


@given(present=schedules(), today=todays, at_once=st.booleans(), data=st.data())
def test_an_amendment_changes_one_schedule_from_the_present_cycle_on(
    present: tuple[PricingSchedule, ...], today: date, at_once: bool, data: st.DataObject
) -> None:
    """Neither other schedules, nor days before the cycle of today, nor which days are billed."""
    if not present:
        return
    step_id = data.draw(st.sampled_from([each.schedule_id for each in present]))
    wanted = PlanChanges(without_commitment=True)
    step = DraftAmendment(step_id=step_id, override=wanted, at_once=at_once)
    before, after = billed(present), billed(with_steps(present, [step], today=today))
    for number, (left, right) in enumerate(zip(before, after, strict=True)):
        day = FIRST + timedelta(days=number)
        schedule = schedule_on(present, day)
        if schedule is None or schedule.schedule_id != step_id or day < today - timedelta(days=31):
            assert left == right
        elif day > today:
            assert right == (schedule.plan_id, schedule.plan_version, wanted)


@given(
    present=schedules(),
    today=todays,
    mode=st.sampled_from(MigrationMode),
    target=st.sampled_from([None, *PLANS[1:]]),
    retain=st.booleans(),
)
def test_a_migration_moves_the_source_alone_and_no_day_before_the_present_cycle(
    present: tuple[PricingSchedule, ...], today: date, mode: MigrationMode, target: PricePlan | None, retain: bool
) -> None:
    """And with a target every day that was billed is billed, and no other."""
    move = Move(
        source_id="pp.0",
        versions=[1],
        target=target,
        mode=mode,
        retain_offsets=retain and target is not None,
        schedule_id="sch.new",
    )
    before, after = billed(present), billed(migrated(present, move, today=today))
    for number, (left, right) in enumerate(zip(before, after, strict=True)):
        day = FIRST + timedelta(days=number)
        if left is None or left[0] != "pp.0" or day < today - timedelta(days=31) or mode is MigrationMode.NONE:
            assert left == right
        else:
            moved = None if target is None else target.plan_id
            assert left == right or (right and right[0]) == moved
    assert migrated(migrated(present, move, today=today), move, today=today) == migrated(present, move, today=today)
