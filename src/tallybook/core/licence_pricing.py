"""What a licence card comes to in a cycle: the four behaviours of timing and proration, over usage cycles."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from tallybook.core.billed_cycle import BilledCycle
from tallybook.core.decimals import ZERO
from tallybook.core.fixed_fee import FeeWorking
from tallybook.core.licence import HeldRun, never_falling, runs_within
from tallybook.core.period import PricingCycle, Window, anchored, cycles_from, full_cycle_containing
from tallybook.core.pricing import PricedCard, price_quantity, sum_exactly
from tallybook.core.proration import share_of_days
from tallybook.core.rate_card import InvoiceTiming, LicenceRateCard, RefundMode


class PricedLicences(msgspec.Struct, frozen=True, kw_only=True):
    """The price of some days. Prorated: `share` of `priced.amount` by days; else all of it, for the most held."""

    window: Window
    priced: PricedCard
    share: FeeWorking | None = None

    @property
    def amount(self) -> Decimal:
        """Exact."""
        return self.priced.amount if self.share is None else self.share.amount


def price_licences(card: LicenceRateCard, cycle: BilledCycle, *, currency: str) -> list[list[PricedLicences]]:
    """The prices that add up to what the card comes to, for each usage cycle; without one, that is the cycle.

    In arrears the days are as they were. In advance they are as known so far, and nothing is given back without a
    refund: then a day counts with the most held up to it.
    """
    held = cycle.held.get(card.add_on_id, (HeldRun(cycle.window.start, cycle.window.end, ZERO),))
    return [
        _price_usage_cycle(card, runs_within(held, window), full, currency)
        for window, full in usage_cycles(card, cycle.window, cycle.full)
    ]


def licences_amount(card: LicenceRateCard, cycle: BilledCycle, *, currency: str) -> Decimal:
    """What the card comes to in the cycle, exact."""
    priced = price_licences(card, cycle, currency=currency)
    return sum_exactly([part.amount for of_usage_cycle in priced for part in of_usage_cycle])


def usage_cycles(card: LicenceRateCard, window: Window, full: Window) -> Iterator[tuple[Window, Window]]:
    """The parts of a cycle's window that are priced by themselves, each with its full length.

    They are counted from the first day of the `full` cycle; without usage cycles the window is the one part.
    """
    if card.usage_cycle is None:
        yield window, full
        return
    counted = PricingCycle(interval=card.usage_cycle, day_offset=None, grace_days=0, anniversary=True)
    counted = anchored(counted, full.start)
    for part in cycles_from(counted, within=window):
        yield part, full_cycle_containing(counted, part.start)


def _price_usage_cycle(
    card: LicenceRateCard, runs: tuple[HeldRun, ...], full: Window, currency: str
) -> list[PricedLicences]:
    if not card.prorated:
        most = max(run.quantity for run in runs)
        priced = price_quantity(most, card.rate_plan, card.rate_values, currency=currency)
        return [PricedLicences(window=Window(runs[0].start, runs[-1].end), priced=priced)]
    if card.timing is InvoiceTiming.IN_ADVANCE and card.refund is RefundMode.NONE:
        runs = never_falling(runs)
    return [_price_run(card, run, full, currency) for run in runs]


def _price_run(card: LicenceRateCard, run: HeldRun, full: Window, currency: str) -> PricedLicences:
    priced = price_quantity(run.quantity, card.rate_plan, card.rate_values, currency=currency)
    first, last, of = (run.start - full.start).days, (run.end - full.start).days, (full.end - full.start).days
    share = share_of_days(priced.amount, first=first, last=last, of=of)
    working = FeeWorking(rate=priced.amount, days=last - first, days_in_cycle=of, amount=share)
    return PricedLicences(window=Window(run.start, run.end), priced=priced, share=working)
