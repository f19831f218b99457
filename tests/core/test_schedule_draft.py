from datetime import date

import msgspec
from price_plan_samples import SlabSample, monthly, price_plan, usage_card

from tallybook.core.period import FOREVER
from tallybook.core.plan_changes import PlanChanges
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing_schedule import PricingSchedule, new_schedule
from tallybook.core.schedule_draft import (
    DraftAmendment,
    DraftAssociation,
    DraftRemoval,
    DraftStep,
    drafted_parts,
    merged_with_steps,
    part_in_force,
    with_steps,
)

PLAN = price_plan(usage_card(SlabSample("0", "2")), cycle=monthly("5"))
OTHER = price_plan(usage_card(SlabSample("0", "3")), plan_id="pp.other", name="Other")
OVERRIDE = PlanChanges(usage_cards=(usage_card(SlabSample("0", "7")),))
TODAY = date(2024, 3, 10)


def day(text: str) -> date:
    return date.fromisoformat(text)


def schedule(schedule_id: str, start: str, end: str | None = None, *, plan: PricePlan = PLAN) -> PricingSchedule:
    last = FOREVER if end is None else day(end)
    return new_schedule(plan, schedule_id=schedule_id, start_date=day(start), end_date=last)


def shown(schedules: tuple[PricingSchedule, ...] | list[PricingSchedule]) -> list[tuple[str, str, str]]:
    return [(each.schedule_id, str(each.start_date), str(each.end_date)) for each in schedules]


def test_steps_are_laid_over_what_bills_in_their_order() -> None:
    """Contract 3.7: A from 2022 for ever, then B from 4 July to 4 October gives A, B, A; then a hole."""
    steps: list[DraftStep] = [
        DraftAssociation(schedule=schedule("sch.b", "2022-07-04", "2022-10-04", plan=OTHER)),
        DraftRemoval(step_id="sch.x", plan_id=None, start_date=day("2023-01-01"), end_date=day("2023-02-01")),
    ]
    active = [schedule("sch.a", "2022-01-01")]
    assert shown(with_steps(active, steps, today=TODAY)) == [
        ("sch.a", "2022-01-01", "2022-07-04"),
        ("sch.b", "2022-07-04", "2022-10-04"),
        ("sch.a", "2022-10-04", "2023-01-01"),
        ("sch.a", "2023-02-01", "9999-01-01"),
    ]
    assert shown(drafted_parts(active, steps, today=TODAY)) == [("sch.b", "2022-07-04", "2022-10-04")]


def test_an_amendment_begins_tomorrow_or_with_the_cycle() -> None:
    """Contract 3.7: from tomorrow on; where the plan allows it, from the start of the current cycle."""
    active = [schedule("sch.a", "2024-01-15")]
    for at_once, first_day in ((False, "2024-03-11"), (True, "2024-03-05")):
        step = DraftAmendment(step_id="sch.a", override=OVERRIDE, at_once=at_once)
        before, after = with_steps(active, [step], today=TODAY)
        assert shown([before, after]) == [
            ("sch.a", "2024-01-15", first_day),
            ("sch.a", first_day, "9999-01-01"),
        ]
        assert (before.override, after.override) == (None, OVERRIDE)
        assert after.association_date == day("2024-01-15")
        assert drafted_parts(active, [step], today=TODAY) == [after]


def test_an_amendment_changes_every_part_that_is_to_come() -> None:
    """What is over stays as it was billed."""
    active = [
        schedule("sch.a", "2024-01-15", "2024-02-01"),
        schedule("sch.b", "2024-02-01", "2024-05-01", plan=OTHER),
        schedule("sch.a", "2024-05-01"),
    ]
    step = DraftAmendment(step_id="sch.a", override=OVERRIDE)
    after = with_steps(active, [step], today=TODAY)
    assert [each.override for each in after] == [None, None, OVERRIDE]
    assert shown(after) == shown(active)


def test_an_amendment_of_what_ends_today_changes_nothing() -> None:
    active = [schedule("sch.a", "2024-01-15", "2024-03-11")]
    step = DraftAmendment(step_id="sch.a", override=OVERRIDE)
    assert with_steps(active, [step], today=TODAY) == tuple(active)
    assert drafted_parts(active, [step], today=TODAY) == []


def test_a_merged_schedule_goes_on_with_a_neighbour_that_bills_alike() -> None:
    """The association goes on, so its one-time fees are not charged again; else one begins anew."""
    active = [schedule("sch.a", "2024-01-15", "2024-06-01")]
    new = schedule("sch.b", "2024-06-01")
    [merged] = merged_with_steps(active, [DraftAssociation(schedule=new)], merge=True, today=TODAY)
    assert shown([merged]) == [("sch.a", "2024-01-15", "9999-01-01")]
    apart = merged_with_steps(active, [DraftAssociation(schedule=new)], merge=False, today=TODAY)
    assert shown(apart) == [("sch.a", "2024-01-15", "2024-06-01"), ("sch.b", "2024-06-01", "9999-01-01")]
    asked = merged_with_steps(active, [DraftAssociation(schedule=new, merge=True)], merge=False, today=TODAY)
    assert asked == (merged,)


def test_what_bills_otherwise_is_not_merged() -> None:
    """Another plan, version, override or cycle, or days between."""
    active = [schedule("sch.a", "2024-01-15", "2024-06-01")]
    new = schedule("sch.b", "2024-06-01")
    for other in (
        schedule("sch.b", "2024-06-01", plan=OTHER),
        msgspec.structs.replace(new, plan_version=2),
        msgspec.structs.replace(new, override=OVERRIDE),
        msgspec.structs.replace(new, cycle=monthly("6")),
        schedule("sch.b", "2024-06-02"),
    ):
        both = merged_with_steps(active, [DraftAssociation(schedule=other)], merge=True, today=TODAY)
        assert [each.schedule_id for each in both] == ["sch.a", "sch.b"]


def test_anniversaries_are_merged_into_the_earlier_one() -> None:
    plan = price_plan(cycle=monthly(None, anniversary=True))
    active = [schedule("sch.a", "2024-01-15", "2024-06-01", plan=plan)]
    new = schedule("sch.b", "2024-06-01", plan=plan)
    [merged] = merged_with_steps(active, [DraftAssociation(schedule=new)], merge=True, today=TODAY)
    assert merged.cycle.day_offset == "15"


def test_the_part_in_force_is_that_of_today_or_the_next() -> None:
    parts = [schedule("sch.a", "2024-01-15", "2024-02-01"), schedule("sch.a", "2024-05-01", "2024-06-01")]
    assert part_in_force(parts, TODAY) is parts[1]
    assert part_in_force(parts, day("2024-01-20")) is parts[0]
    assert part_in_force(parts, day("2025-01-01")) is parts[1]
