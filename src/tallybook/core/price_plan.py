"""What a customer is charged: price plans with their rate cards.

A plan's version never changes once it is active, so plan id and version name one price for ever. The cards are in
`rate_card`, the arithmetic is in `pricing`, the wire shapes are in `api`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import Enum

import msgspec

from tallybook.core.credit_expiry import check_grant_details
from tallybook.core.errors import Conflict, Invalid
from tallybook.core.expression_dialects import EXACT_DIALECT
from tallybook.core.expression_tree import Dialect
from tallybook.core.money import minor_unit_digits
from tallybook.core.period import PricingCycle, check_cycle
from tallybook.core.pricing_rule import PricingRule, check_pricing_rules
from tallybook.core.rate_card import (
    CreditGrantRateCard,
    CurrencyRate,
    FixedFeeRateCard,
    InvoiceTiming,
    LicenceRateCard,
    RateCard,
    UsageRateCard,
    check_credit_grant_card,
    check_currency_rates,
    check_distinct,
    check_fixed_fee_card,
    check_licence_card,
    check_usage_card,
)

RATE_CARDS_MAX = 50  # the interface allows an invoice line 50 lines below it
NAME_CHARACTERS_MAX = 50
DESCRIPTION_CHARACTERS_MAX = 255
COMMITMENT_NAME = "minimumCommitment"
CARD_TEXT_CHARACTERS_MAX = 255  # of a card's name, tag and what invoices call it; they stand on every invoice


AddOnCard = FixedFeeRateCard | LicenceRateCard | CreditGrantRateCard


class PricePlanStatus(Enum):
    """DRAFT may be edited, ACTIVE may be associated and gets a new version when edited, ARCHIVED may do neither."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


class MinimumCommitment(msgspec.Struct, frozen=True, kw_only=True):
    """What a cycle comes to at least; a true-up line makes up the difference. `name` is unique among the cards'."""

    name: str = COMMITMENT_NAME
    display_name: str
    rates: tuple[CurrencyRate, ...]


class PricePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a price plan. `supported_currencies` have rates, `active_currencies` may be billed in.

    With `deferred_revenue` nothing is charged before its cycle, and revenue shows in figures when it is invoiced. Such
    plans, and those with `ongoing_cycle_updates`, may change from today on, others from tomorrow.
    """

    plan_id: str
    version: int
    name: str
    description: str | None = None
    status: PricePlanStatus
    supported_currencies: tuple[str, ...]
    active_currencies: tuple[str, ...] = ()
    cycle: PricingCycle
    rate_cards: tuple[RateCard, ...] = ()
    minimum_commitment: MinimumCommitment | None = None
    pricing_rules: tuple[PricingRule, ...] = ()
    deferred_revenue: bool = False
    ongoing_cycle_updates: bool = False
    created_at: datetime
    updated_at: datetime

    @property
    def changes_today(self) -> bool:
        """Whether an account may be moved to it from today on."""
        return self.deferred_revenue or self.ongoing_cycle_updates

    @property
    def usage_cards(self) -> tuple[UsageRateCard, ...]:
        """The cards that price usage, in the plan's order."""
        return tuple(card for card in self.rate_cards if isinstance(card, UsageRateCard))

    @property
    def fee_cards(self) -> tuple[FixedFeeRateCard, ...]:
        """The cards of fixed fees, in the plan's order."""
        return tuple(card for card in self.rate_cards if isinstance(card, FixedFeeRateCard))

    @property
    def licence_cards(self) -> tuple[LicenceRateCard, ...]:
        """The cards of licences, in the plan's order."""
        return tuple(card for card in self.rate_cards if isinstance(card, LicenceRateCard))

    @property
    def grant_cards(self) -> tuple[CreditGrantRateCard, ...]:
        """The cards that sell credit, in the plan's order."""
        return tuple(card for card in self.rate_cards if isinstance(card, CreditGrantRateCard))

    @property
    def add_on_cards(self) -> tuple[AddOnCard, ...]:
        """The cards of add-ons, in the plan's order."""
        return tuple(card for card in self.rate_cards if not isinstance(card, UsageRateCard))

    @property
    def advance_cards(self) -> tuple[AddOnCard, ...]:
        """The cards that are charged before their cycle."""
        return tuple(card for card in self.add_on_cards if card.timing is InvoiceTiming.IN_ADVANCE)


# ---- checking a plan ---------------------------------------------------------------------------------------------


class PricedItems(msgspec.Struct, frozen=True, kw_only=True):
    """What of the organisation's may stand on rate cards: meters, and add-ons by their types."""

    meter_ids: Collection[str] = ()
    fixed_fee_ids: Collection[str] = ()
    licence_ids: Collection[str] = ()
    credit_grant_ids: Collection[str] = ()


def check_price_plan(plan: PricePlan, *, items: PricedItems, dialect: Dialect = EXACT_DIALECT) -> None:
    """Refuse a plan that could not price some usage or some account. Raises `Invalid`, naming the field."""
    _check_texts(plan)
    check_cycle(plan.cycle)
    _check_currencies(plan)
    if len(plan.rate_cards) > RATE_CARDS_MAX:
        raise Invalid(f"pricePlanDetails: at most {RATE_CARDS_MAX} rate cards in one plan, got {len(plan.rate_cards)}")
    _check_deferred_revenue(plan)
    check_distinct(_names(plan), "rate cards: the name", "is used twice")
    check_distinct([card.meter_id for card in plan.usage_cards], "usageRateCards: the meter", "has two cards")
    check_distinct([card.add_on_id for card in plan.fee_cards], "fixedFeeRateCards: the add-on", "has two cards")
    check_distinct([card.add_on_id for card in plan.licence_cards], "licenseRateCards: the add-on", "has two cards")
    check_distinct([card.add_on_id for card in plan.grant_cards], "creditGrantRateCards: the add-on", "has two cards")
    for index, usage in enumerate(plan.usage_cards):
        where = f"usageRateCards[{index}]"
        check_usage_card(usage, meter_ids=items.meter_ids, currencies=plan.supported_currencies, where=where)
    for index, fee in enumerate(plan.fee_cards):
        where = f"fixedFeeRateCards[{index}]"
        check_fixed_fee_card(fee, add_on_ids=items.fixed_fee_ids, currencies=plan.supported_currencies, where=where)
    for index, licence in enumerate(plan.licence_cards):
        check_licence_card(
            licence,
            add_on_ids=items.licence_ids,
            currencies=plan.supported_currencies,
            interval=plan.cycle.interval,
            where=f"licenseRateCards[{index}]",
        )
    for index, grant in enumerate(plan.grant_cards):
        where, currencies = f"creditGrantRateCards[{index}]", plan.supported_currencies
        check_credit_grant_card(grant, add_on_ids=items.credit_grant_ids, currencies=currencies, where=where)
        check_grant_details(grant.details, f"{where}.grantDetails")
    _check_commitment(plan)
    check_pricing_rules(plan.pricing_rules, cards=plan.rate_cards, dialect=dialect)


def named_after_add_ons(plan: PricePlan, names: Mapping[str, str]) -> PricePlan:
    """The plan with the add-on's name on each fee and licence that has none to show; `names` are by add-on id."""
    cards = tuple(
        card
        if isinstance(card, UsageRateCard) or card.display_name
        else msgspec.structs.replace(card, display_name=names.get(card.add_on_id))
        for card in plan.rate_cards
    )
    return msgspec.structs.replace(plan, rate_cards=cards)


def activated(plan: PricePlan, *, currencies: Sequence[str], now: datetime) -> PricePlan:
    """The plan with those currencies open for billing, besides those that are. Raises `Invalid` or `Conflict`."""
    if plan.status is PricePlanStatus.ARCHIVED:
        raise Conflict(f"price plan {plan.plan_id} is archived")
    if not currencies:
        raise Invalid("currencies: name at least one to activate")
    for currency in currencies:
        if currency not in plan.supported_currencies:
            raise Invalid(f"currencies: {currency} is not among the plan's supported currencies")
    active = set(plan.active_currencies).union(currencies)
    return msgspec.structs.replace(
        plan,
        status=PricePlanStatus.ACTIVE,
        active_currencies=tuple(currency for currency in plan.supported_currencies if currency in active),
        updated_at=now,
    )


def check_associable(plan: PricePlan, *, currency: str) -> None:
    """Refuse to bill an account of that currency by a plan that is not ready for it. Raises `Invalid`."""
    if plan.status is not PricePlanStatus.ACTIVE:
        raise Invalid(f"pricePlanId: {plan.plan_id} is {plan.status.value}; activate it first")
    if currency not in plan.active_currencies:
        raise Invalid(f"pricePlanId: {plan.plan_id} is not active in {currency}, the account's currency")


def _check_texts(plan: PricePlan) -> None:
    if not 1 <= len(plan.name) <= NAME_CHARACTERS_MAX:
        raise Invalid(f"name: must be 1 to {NAME_CHARACTERS_MAX} characters")
    if plan.description is not None and len(plan.description) > DESCRIPTION_CHARACTERS_MAX:
        raise Invalid(f"description: at most {DESCRIPTION_CHARACTERS_MAX} characters")
    shown = [text for card in plan.rate_cards for text in (card.name, card.tag, card.display_name)]
    if plan.minimum_commitment is not None:
        shown.append(plan.minimum_commitment.display_name)
    if any(len(text or "") > CARD_TEXT_CHARACTERS_MAX for text in shown):
        raise Invalid(f"pricePlanDetails: names and tags have at most {CARD_TEXT_CHARACTERS_MAX} characters")


def _check_currencies(plan: PricePlan) -> None:
    if not plan.supported_currencies:
        raise Invalid("supportedCurrencies: name at least one")
    check_distinct(plan.supported_currencies, "supportedCurrencies:", "is listed twice")
    for currency in plan.supported_currencies:
        minor_unit_digits(currency)


def _names(plan: PricePlan) -> list[str]:
    commitment = [] if plan.minimum_commitment is None else [plan.minimum_commitment.name]
    return [*(card.name for card in plan.rate_cards), *commitment]


def _check_deferred_revenue(plan: PricePlan) -> None:
    unusable = (*plan.advance_cards, *plan.grant_cards) if plan.deferred_revenue else ()
    for card in unusable:
        what = "grants credit" if isinstance(card, CreditGrantRateCard) else "is charged IN_ADVANCE"
        raise Invalid(
            f"deferredRevenue: the rate card {card.name!r} {what}, which a plan with deferred revenue cannot have"
        )


def _check_commitment(plan: PricePlan) -> None:
    if plan.minimum_commitment is None:
        return
    rates = plan.minimum_commitment.rates
    check_currency_rates(rates, plan.supported_currencies, "minimumCommitment.rateValues")
    for index, rate in enumerate(rates):
        if rate.rate < 0:
            raise Invalid(f"minimumCommitment.rateValues[{index}].rate: must not be negative")
