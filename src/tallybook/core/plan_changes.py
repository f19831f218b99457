"""Changes to a price plan: as a new version of it, or for one account alone. What they leave out stays."""

import msgspec

from tallybook.core.errors import Invalid
from tallybook.core.period import PricingCycle
from tallybook.core.price_plan import MinimumCommitment, PricePlan
from tallybook.core.rate_card import FixedFeeRateCard, LicenceRateCard, UsageRateCard


class PlanChanges(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is different; None leaves it as the plan has it. Cards of a kind are replaced all together."""

    cycle: PricingCycle | None = None
    supported_currencies: tuple[str, ...] | None = None
    usage_cards: tuple[UsageRateCard, ...] | None = None
    fee_cards: tuple[FixedFeeRateCard, ...] | None = None
    licence_cards: tuple[LicenceRateCard, ...] | None = None
    minimum_commitment: MinimumCommitment | None = None


NO_CHANGES = PlanChanges()


def changed_plan(plan: PricePlan, changes: PlanChanges) -> PricePlan:
    """The plan with the changes, not yet checked. Raises `Invalid` when an open currency would be gone."""
    currencies = plan.supported_currencies if changes.supported_currencies is None else changes.supported_currencies
    for currency in plan.active_currencies:
        if currency not in currencies:
            raise Invalid(f"supportedCurrencies: {currency} is active and cannot be removed")
    return msgspec.structs.replace(
        plan,
        cycle=changes.cycle or plan.cycle,
        supported_currencies=currencies,
        rate_cards=(
            *(plan.usage_cards if changes.usage_cards is None else changes.usage_cards),
            *(plan.fee_cards if changes.fee_cards is None else changes.fee_cards),
            *(plan.licence_cards if changes.licence_cards is None else changes.licence_cards),
        ),
        minimum_commitment=changes.minimum_commitment or plan.minimum_commitment,
    )
