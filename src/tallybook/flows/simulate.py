"""What-if over history: any plan, stored or not, against the metered usage of accounts. Nothing is written.

Accounts are taken some at a time, and their usage comes added up from the database, so that thousands of accounts take
seconds and little memory.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from tallybook.core.account import Account
from tallybook.core.aggregation import KEEPS_VALUES, Aggregation, Usage, quantity_of
from tallybook.core.billed_cycle import BilledCycle, billed_cycle
from tallybook.core.errors import Conflict, NotFound
from tallybook.core.instant import hours_since_1970
from tallybook.core.licence import LicenceUpdate, held_runs
from tallybook.core.money import Money, cut_to_minor_unit
from tallybook.core.period import Window, midnight
from tallybook.core.price_plan import PricePlan
from tallybook.core.pricing import sum_exactly
from tallybook.core.pricing_schedule import PricingSchedule, plan_as_billed
from tallybook.core.simulation import (
    SimulatedAccount,
    check_period,
    cycle_amount,
    cycles_within,
    simulated_schedules,
)
from tallybook.flows.define_price_plans import check_plan, found_plan
from tallybook.flows.define_schemas import dialect_of
from tallybook.storage import accounts, licences, schemas
from tallybook.storage.database import Database
from tallybook.storage.usage_sums import SummedUsage, usage_sums

UsageBySpan = Mapping[str, Mapping[int, Usage]]
"""An account's usage by meter id and number of the span between two edges."""

_UNUSED: Mapping[int, Usage] = {}
ACCOUNTS_MAX = 10_000  # in one answer, which has a line for each
ACCOUNTS_PER_READ = 500  # whose usage is held in memory at once
PRICES_MAX = (
    1_000_000  # cards priced for one answer, some ten seconds of a processor; a longer one ends before its page
)
_PRICES_PER_RULED_CARD = 10  # a plan with rules is priced with all lines of its invoices


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a plan, draft or not; the latest if none is named."""

    plan_id: str
    version: int | None = None


class SimulationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which plan against which accounts' usage: those named, or all that have or had a plan, by id.

    Of these at most `limit`, those behind the id `after`.
    """

    plan: PricePlan | StoredPlan
    account_ids: Sequence[str] | None = None
    period: Window
    after: str | None = None
    limit: int = ACCOUNTS_MAX


class RefusedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that cannot be priced by one of the plans, and why."""

    account_id: str
    message: str


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts of a page with both amounts, by id; `last` is the id behind which the next page begins, if any."""

    plan: PricePlan
    accounts: tuple[SimulatedAccount, ...]
    refused: tuple[RefusedAccount, ...] = ()
    last: str | None = None


def simulate(database: Database, organisation_id: str, request: SimulationRequest) -> Simulation:
    """Both amounts for each account of the page, from one snapshot. Raises `Invalid` and `NotFound`.

    The page ends early, with its last account, when pricing it would take too long.
    """
    check_period(request.period)
    found: list[SimulatedAccount] = []
    refused: list[RefusedAccount] = []
    last = None
    with database.read() as connection:
        plan = _plan(connection, organisation_id, request.plan)
        pricing = _Pricing(connection, organisation_id, plan, request.period)
        for page in _pages(connection, organisation_id, request):
            priced, unpriced = pricing.priced(page)
            found += priced
            refused += unpriced
            last = page[-1].account_id
            if pricing.prices >= PRICES_MAX:
                break
    is_full = len(found) + len(refused) == request.limit or pricing.prices >= PRICES_MAX
    return Simulation(plan=plan, accounts=tuple(found), refused=tuple(refused), last=last if is_full else None)


def _plan(connection: Connection, organisation_id: str, asked: PricePlan | StoredPlan) -> PricePlan:
    if isinstance(asked, StoredPlan):
        return found_plan(connection, organisation_id, asked.plan_id, asked.version)
    return check_plan(connection, organisation_id, asked)


# ---- accounts ----------------------------------------------------------------------------------------------------


def _pages(connection: Connection, organisation_id: str, request: SimulationRequest) -> Iterator[list[Account]]:
    """The accounts of the page, some at a time, by id."""
    if request.account_ids is not None:
        yield from _named(connection, organisation_id, request.account_ids, request)
        return
    after, left = request.after, request.limit
    while left:
        size = min(left, ACCOUNTS_PER_READ)
        page = accounts.accounts_with_schedules(connection, organisation_id, after=after, limit=size)
        if page:
            yield page
        if len(page) < size:
            return
        after, left = page[-1].account_id, left - size


def _named(
    connection: Connection, organisation_id: str, account_ids: Sequence[str], request: SimulationRequest
) -> Iterator[list[Account]]:
    """The named accounts; one that is not there is an error. Raises `NotFound`."""
    wanted = sorted(each for each in set(account_ids) if request.after is None or each > request.after)
    for start in range(0, min(len(wanted), request.limit), ACCOUNTS_PER_READ):
        some = wanted[start : min(start + ACCOUNTS_PER_READ, request.limit)]
        found = accounts.accounts_with_ids(connection, organisation_id, some)
        missing = [account_id for account_id in some if account_id not in found]
        if missing:
            raise NotFound(f"accountIds: no account {missing[0][:100]!r}")
        yield [found[account_id] for account_id in some]


# ---- pricing -----------------------------------------------------------------------------------------------------


class _Spanned(NamedTuple):
    """A cycle, the meters of its plan, and which of the spans between the edges it has, until before the last."""

    cycle: BilledCycle
    meter_ids: tuple[str, ...]
    first: int
    last: int


class _Course(NamedTuple):
    """How accounts with the same schedules are billed in the period: by their own plans, and by the simulated one.

    Edges are the hours at which cycles begin or end, ascending; `prices` says how long it takes to price.
    """

    old: tuple[_Spanned, ...]
    new: tuple[_Spanned, ...]
    edges: tuple[int, ...]
    prices: int


class _Pricing:
    """Prices accounts by a plan and by their own, within one snapshot; remembers the definitions that it met."""

    def __init__(self, connection: Connection, organisation_id: str, plan: PricePlan, period: Window) -> None:
        self._connection = connection
        self._organisation_id = organisation_id
        self._plan = plan
        self._period = period
        self._plans: dict[tuple[str, int], PricePlan] = {}
        self._courses: dict[tuple[PricingSchedule, ...], _Course] = {}
        self._aggregations: dict[str, Aggregation] = {}
        self._licences: dict[tuple[str, str], list[LicenceUpdate]] = {}
        self._dialect = dialect_of(connection, organisation_id).name
        self.prices = 0  # of cards, so far

    def priced(self, page: Sequence[Account]) -> tuple[list[SimulatedAccount], list[RefusedAccount]]:
        """What the accounts come to, and those that cannot be priced."""
        alike: dict[tuple[int, ...], list[tuple[Account, _Course]]] = {}
        refused: list[RefusedAccount] = []
        for account in page:
            try:
                course = self._course(account)
            except (Conflict, NotFound) as error:
                refused.append(RefusedAccount(account_id=account.account_id, message=error.message))
            else:
                alike.setdefault(course.edges, []).append((account, course))
        account_ids = [account.account_id for account in page]
        self._licences = licences.updates_of_accounts(self._connection, self._organisation_id, account_ids)
        found = [each for edges, some in alike.items() for each in self._priced_alike(some, edges)]
        return sorted(found, key=lambda each: each.account_id), refused

    # ---- cycles --------------------------------------------------------------------------------------------------

    def _course(self, account: Account) -> _Course:
        """Raises `Conflict` when a plan has no rates in the account's currency."""
        if any(schedule.override is not None for schedule in account.schedules):
            course = self._course_of(account.schedules)
        else:
            same = tuple(msgspec.structs.replace(schedule, schedule_id="") for schedule in account.schedules)
            course = self._courses.get(same) or self._courses.setdefault(same, self._course_of(same))
        for plan in {id(each.cycle.plan): each.cycle.plan for each in (*course.old, *course.new)}.values():
            if account.currency not in plan.supported_currencies:
                raise Conflict(f"price plan {plan.plan_id} has no rates in {account.currency}, the account's currency")
        return course

    def _course_of(self, schedules: Sequence[PricingSchedule]) -> _Course:
        old = self._cycles(schedules, self._own_plan)
        new = self._cycles(simulated_schedules(schedules, self._plan, self._period), lambda _: self._plan)
        edges = tuple(sorted({_hour(day) for cycle in (*old, *new) for day in cycle.window}))
        prices = sum(_prices_of(cycle.plan) for cycle in (*old, *new))
        return _Course(old=_spanned(old, edges), new=_spanned(new, edges), edges=edges, prices=prices)

    def _cycles(
        self, schedules: Sequence[PricingSchedule], plan_of: Callable[[PricingSchedule], PricePlan]
    ) -> list[BilledCycle]:
        return [
            billed_cycle(plan_of(schedule), schedule, window, schedules=schedules)
            for schedule, window in cycles_within(schedules, self._period)
        ]

    def _own_plan(self, schedule: PricingSchedule) -> PricePlan:
        named = schedule.plan_id, schedule.plan_version
        if named not in self._plans:
            self._plans[named] = found_plan(self._connection, self._organisation_id, *named)
        return plan_as_billed(self._plans[named], schedule)

    # ---- usage ---------------------------------------------------------------------------------------------------

    def _priced_alike(
        self, alike: Sequence[tuple[Account, _Course]], edges: Sequence[int]
    ) -> Iterator[SimulatedAccount]:
        """The amounts of accounts whose cycles begin and end at the same hours."""
        usage = self._usage(alike, edges)
        for account, course in alike:
            self.prices += course.prices
            used = _Used(usage.get(account.account_id, {}), self._aggregations)
            yield SimulatedAccount(
                account_id=account.account_id,
                currency=account.currency,
                old_amount=self._amount(account, course.old, used),
                new_amount=self._amount(account, course.new, used),
                old_cycles=len(course.old),
                new_cycles=len(course.new),
            )

    def _usage(self, alike: Sequence[tuple[Account, _Course]], edges: Sequence[int]) -> SummedUsage:
        courses = {id(course): course for _, course in alike}.values()
        meter_ids = {
            meter_id for course in courses for each in (*course.old, *course.new) for meter_id in each.meter_ids
        }
        self._learn(meter_ids)
        return usage_sums(
            self._connection,
            self._organisation_id,
            account_ids=[account.account_id for account, _ in alike],
            meter_ids=meter_ids,
            valued_meter_ids=[meter_id for meter_id in meter_ids if self._aggregations[meter_id] in KEEPS_VALUES],
            edges=edges,
        )

    def _learn(self, meter_ids: Collection[str]) -> None:
        unknown = [meter_id for meter_id in meter_ids if meter_id not in self._aggregations]
        found = schemas.meters_with_ids(self._connection, self._organisation_id, unknown)
        self._aggregations.update({meter_id: meter.aggregation for meter_id, meter in found.items()})

    # ---- one account ---------------------------------------------------------------------------------------------

    def _amount(self, account: Account, cycles: Iterable[_Spanned], used: "_Used") -> Decimal:
        """What the cycles come to, each cut by itself as its invoice would be."""
        amounts = [
            cycle_amount(
                self._with_licences(cycle, account),
                used.quantities(meter_ids, first, last),
                account.currency,
                dialect=self._dialect,
            )
            for cycle, meter_ids, first, last in cycles
        ]
        return sum_exactly([cut_to_minor_unit(Money(amount=amount, currency=account.currency)) for amount in amounts])

    def _with_licences(self, cycle: BilledCycle, account: Account) -> BilledCycle:
        if not cycle.plan.licence_cards:
            return cycle
        held = {
            card.add_on_id: held_runs(self._licences.get((account.account_id, card.add_on_id), ()), cycle.window)
            for card in cycle.plan.licence_cards
        }
        return msgspec.structs.replace(cycle, held=held)


class _Used:
    """What an account used, span by span; both sides mostly ask for the same spans."""

    def __init__(self, usage: UsageBySpan, aggregations: Mapping[str, Aggregation]) -> None:
        self._usage = usage
        self._aggregations = aggregations
        self._known: dict[tuple[str, int, int], Decimal] = {}

    def quantities(self, meter_ids: Iterable[str], first: int, last: int) -> dict[str, Decimal]:
        """What the meters come to in the spans from the first until before the last, by meter id."""
        return {meter_id: self._quantity(meter_id, first, last) for meter_id in meter_ids}

    def _quantity(self, meter_id: str, first: int, last: int) -> Decimal:
        place = meter_id, first, last
        if place not in self._known:
            of_meter = self._usage.get(meter_id, _UNUSED)
            parts = [of_meter[span] for span in range(first, last) if span in of_meter]
            self._known[place] = quantity_of(self._aggregations[meter_id], parts)
        return self._known[place]


def _spanned(cycles: Iterable[BilledCycle], edges: Sequence[int]) -> tuple[_Spanned, ...]:
    return tuple(
        _Spanned(
            cycle,
            tuple(card.meter_id for card in cycle.plan.usage_cards),
            *(bisect_left(edges, _hour(day)) for day in cycle.window),
        )
        for cycle in cycles
    )


def _prices_of(plan: PricePlan) -> int:
    """How long a cycle of the plan takes, in prices of cards."""
    if not plan.pricing_rules:
        return len(plan.rate_cards)
    return _PRICES_PER_RULED_CARD * (len(plan.rate_cards) + len(plan.pricing_rules))


def _hour(day: date) -> int:
    return hours_since_1970(midnight(day))
