"""Licences: how many an account holds over time, and the days on which it holds as many.

An account's holding changes by updates, each from an instant on. A day counts with the most that was held during it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import msgspec

from tallybook.core.decimals import EXACT, ZERO, within_quantity_bounds
from tallybook.core.errors import Invalid
from tallybook.core.period import FOREVER, Window, midnight
from tallybook.core.pricing_schedule import SCHEDULE_START_MIN

UPDATES_MAX = 1_000  # of one licence of one account; all of them are added up whenever it is billed
IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
METADATA_ENTRIES_MAX = 50
METADATA_CHARACTERS_MAX = 500


class LicenceUpdateType(Enum):
    """ABSOLUTE sets the quantity, RELATIVE adds to it."""

    RELATIVE = "RELATIVE"
    ABSOLUTE = "ABSOLUTE"


class LicenceUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """From `effective_from` on, the account holds `quantity`, or that much more or less."""

    add_on_id: str
    account_id: str
    update_type: LicenceUpdateType
    quantity: Decimal
    effective_from: datetime
    idempotency_key: str | None = None
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    created_at: datetime


class HeldRun(NamedTuple):
    """The same quantity on the days from `start` until before `end`."""

    start: date
    end: date
    quantity: Decimal


def check_licence_update(update: LicenceUpdate) -> None:
    """Refuse an update that means nothing by itself. Raises `Invalid`, naming the field."""
    if not within_quantity_bounds(update.quantity):
        raise Invalid("quantity: must be a number of at most 512 digits on either side of the point")
    if update.update_type is LicenceUpdateType.ABSOLUTE and update.quantity < 0:
        raise Invalid("quantity: an account cannot hold less than 0")
    if not midnight(SCHEDULE_START_MIN) <= update.effective_from < midnight(FOREVER):
        raise Invalid(f"effectiveFrom: must be from {SCHEDULE_START_MIN} on and before {FOREVER}")
    if update.idempotency_key is not None and not 1 <= len(update.idempotency_key) <= IDEMPOTENCY_KEY_CHARACTERS_MAX:
        raise Invalid(f"idempotencyKey: must be 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} characters")
    check_licence_metadata(update.metadata)


def check_licence_metadata(metadata: Mapping[str, str]) -> None:
    """Refuse metadata that are too many or too long. Raises `Invalid`."""
    if len(metadata) > METADATA_ENTRIES_MAX:
        raise Invalid(f"metadata: at most {METADATA_ENTRIES_MAX} entries, got {len(metadata)}")
    if any(max(len(key), len(value)) > METADATA_CHARACTERS_MAX for key, value in metadata.items()):
        raise Invalid(f"metadata: keys and values have at most {METADATA_CHARACTERS_MAX} characters")


def quantities_after(updates: Sequence[LicenceUpdate]) -> list[Decimal]:
    """What is held after each of the updates, which are in the order of their effect. Raises `Invalid` below zero."""
    held, quantities = ZERO, []
    for update in updates:
        held = update.quantity if update.update_type is LicenceUpdateType.ABSOLUTE else EXACT.add(held, update.quantity)
        if held < 0:
            raise Invalid(
                f"quantity: the account would hold less than 0 from {update.effective_from:%Y-%m-%d %H:%M} on"
            )
        quantities.append(held)
    return quantities


def held_runs(updates: Sequence[LicenceUpdate], window: Window) -> tuple[HeldRun, ...]:
    """What is held on the days of the window, in runs of days with the same quantity, without gaps.

    `updates` are in the order of their effect. A day counts with the most that was held at any time of it.
    """
    changes = list(zip((update.effective_from for update in updates), quantities_after(updates), strict=True))
    edges = {window.start, window.end}
    for instant, _ in changes:
        # A change in the middle of a day counts on the day itself, if more is held, and on the next, if less is.
        edges.update(day for day in (instant.date(), instant.date() + timedelta(days=1)) if _within(day, window))
    days = sorted(edges)
    runs = [
        HeldRun(start, end, _most_held(changes, midnight(start), midnight(start) + timedelta(days=1)))
        for start, end in pairwise(days)
    ]
    return joined_runs(runs)


def joined_runs(runs: Iterable[HeldRun]) -> tuple[HeldRun, ...]:
    """The same days with the same quantities, neighbours of equal quantity as one run."""
    joined: list[HeldRun] = []
    for run in runs:
        if joined and joined[-1].quantity == run.quantity and joined[-1].end == run.start:
            joined[-1] = joined[-1]._replace(end=run.end)
        else:
            joined.append(run)
    return tuple(joined)


def runs_within(runs: Iterable[HeldRun], window: Window) -> tuple[HeldRun, ...]:
    """The runs, cut to the window."""
    cut = (HeldRun(max(run.start, window.start), min(run.end, window.end), run.quantity) for run in runs)
    return tuple(run for run in cut if run.start < run.end)


def never_falling(runs: Iterable[HeldRun]) -> tuple[HeldRun, ...]:
    """The runs with the most held so far in place of what is held."""
    most, raised = ZERO, []
    for run in runs:
        most = max(most, run.quantity)
        raised.append(run._replace(quantity=most))
    return joined_runs(raised)


def _within(day: date, window: Window) -> bool:
    return window.start < day < window.end


def _most_held(changes: Sequence[tuple[datetime, Decimal]], start: datetime, end: datetime) -> Decimal:
    """The most that is held at any time of `[start, end)`; what is replaced at the same instant was never held."""
    at_start, later = ZERO, []
    for index, (instant, quantity) in enumerate(changes):
        if instant <= start:
            at_start = quantity
        elif instant < end and (index + 1 == len(changes) or changes[index + 1][0] > instant):
            later.append(quantity)
    return max([at_start, *later])
