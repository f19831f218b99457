"""Which cycles an account has: begun, due, touching a range of time. Nothing is read or written here."""

from collections.abc import Collection
from datetime import date, datetime
from typing import NamedTuple

from tallybook.core.account import Account
from tallybook.core.invoice import InvoiceType
from tallybook.core.period import (
    Window,
    cycle_containing,
    cycles_ending_by,
    cycles_from,
    cycles_started_by,
    grace_deadline,
    midnight,
)
from tallybook.core.pricing_schedule import PricingSchedule


class Cycle(NamedTuple):
    """One cycle of an account, the schedule that bills it, and which of its invoices is meant."""

    schedule: PricingSchedule
    window: Window
    invoice_type: InvoiceType = InvoiceType.STANDARD

    @property
    def deadline(self) -> datetime:
        """The instant from which it may be closed; what is charged in advance need not wait for the cycle."""
        if self.invoice_type is not InvoiceType.STANDARD:
            return midnight(self.window.start)
        return grace_deadline(self.window.end, self.schedule.cycle.grace_days)

    @property
    def issue_order(self) -> tuple[datetime, bool, date]:
        """Sorts as the invoices of an account are issued, if none of them waits for anything else."""
        return self.deadline, self.invoice_type is InvoiceType.STANDARD, self.window.start


def due_cycles(account: Account, as_of: datetime, invoiced: Collection[date]) -> list[Cycle]:
    """The cycles whose grace is over and that have no invoice, oldest first; `invoiced` are first days."""
    return [
        Cycle(schedule, window)
        for schedule in account.schedules
        for window in cycles_ending_by(schedule.cycle, as_of, within=schedule.window)
        if window.start not in invoiced
    ]


def begun_cycles(account: Account, now: datetime) -> list[Cycle]:
    """The cycles that have begun, oldest first."""
    return [
        Cycle(schedule, window)
        for schedule in account.schedules
        for window in cycles_started_by(schedule.cycle, now, within=schedule.window)
    ]


def open_cycles(account: Account, now: datetime, invoiced: Collection[date]) -> list[Cycle]:
    """What has begun and has no invoice, in the order in which it is issued; `invoiced` are first days."""
    begun = [cycle for cycle in begun_cycles(account, now) if cycle.window.start not in invoiced]
    return sorted([*openings(account, now, invoiced), *begun], key=lambda cycle: cycle.issue_order)


def has_open_cycle(account: Account, invoiced: Collection[date]) -> bool:
    """Whether a cycle that has begun, or is to begin, has no invoice; `invoiced` are first days."""
    return any(
        window.start not in invoiced
        for schedule in account.schedules
        for window in cycles_from(schedule.cycle, within=schedule.window)
    )


def cycles_touching(account: Account, start: datetime, end: datetime) -> list[Cycle]:
    """The cycles that have a day in `[start, end)`, oldest first."""
    return [
        cycle
        for cycle in begun_cycles(account, end)
        if midnight(cycle.window.start) < end and midnight(cycle.window.end) > start
    ]


def openings(account: Account, now: datetime, invoiced: Collection[date]) -> list[Cycle]:
    """The begun first cycles of unbroken series: no earlier invoice could have charged them in advance.

    Those that have their own invoice already are left out; it settles what was not charged.
    """
    return [
        Cycle(schedule, first_window(schedule), InvoiceType.STANDARD_ADVANCED)
        for schedule in account.schedules
        if opens_series(account, schedule)
        and midnight(schedule.start_date) <= now
        and schedule.start_date not in invoiced
    ]


def additions(account: Account, now: datetime, invoiced: Collection[date]) -> list[Cycle]:
    """The cycle that `now` is in, if what was held at its beginning is charged: the cycle before has its invoice."""
    begun = begun_cycles(account, now)
    if not begun:
        return []
    *earlier, last = begun
    if now >= midnight(last.window.end) or last.window.start in invoiced:
        return []
    if any(before.window.end == last.window.start and before.window.start not in invoiced for before in earlier[-1:]):
        return []
    return [Cycle(last.schedule, last.window, InvoiceType.ADHOC_ADVANCED)]


def opens_series(account: Account, schedule: PricingSchedule) -> bool:
    """Whether no plan bills the day before the schedule."""
    return all(other.end_date != schedule.start_date for other in account.schedules)


def first_window(schedule: PricingSchedule) -> Window:
    """The schedule's first cycle."""
    return cycle_containing(schedule.cycle, schedule.start_date, within=schedule.window)
