"""What a plan charges, card by card, as the operations under `/v2` have it, and the way from and to `core.plan_draft`.

Here every card has one shape around it, whatever its kind; name, display name, tag and timing may stand outside, inside
or in both places, if they agree.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, TypeVar

import msgspec

from tallybook.api.credit_grant_shapes import (
    CreditGrantRateCardShape,
    credit_grant_card_from,
    credit_grant_card_to,
)
from tallybook.api.price_plan_shapes import MinimumCommitmentShape, commitment_from, commitment_to
from tallybook.api.rate_card_shapes import (
    FixedFeeRateCardShape,
    InvoiceTimingShape,
    LicenceRateCardShape,
    UsageRateCardShape,
    fixed_fee_card_from,
    fixed_fee_card_to,
    licence_card_from,
    licence_card_to,
    usage_card_from,
    usage_card_to,
)
from tallybook.core.errors import Invalid
from tallybook.core.plan_draft import ItemAction, ItemOperation, PlanItem
from tallybook.core.price_plan import RATE_CARDS_MAX, MinimumCommitment
from tallybook.core.rate_card import CreditGrantRateCard, FixedFeeRateCard, LicenceRateCard, UsageRateCard

OPERATIONS_MAX = 2 * RATE_CARDS_MAX  # every card of a plan removed, and as many added
_UNSUPPORTED = msgspec.Meta(description="Not supported.")

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


class ItemTypeShape(Enum):
    """The kinds of cards; those of entitlements are not supported."""

    MINIMUM_COMMITMENT = "MINIMUM_COMMITMENT"
    BILLING_ENTITLEMENT = "BILLING_ENTITLEMENT"
    CREDIT_GRANT = "CREDIT_GRANT"
    ENTITLEMENT_OVERAGE = "ENTITLEMENT_OVERAGE"
    FIXED_FEE = "FIXED_FEE"
    LICENSE = "LICENSE"
    USAGE = "USAGE"


class ItemDetailsShape(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """The card itself, in the field of its kind; the others are left out."""

    fixed_fee_rate_card: FixedFeeRateCardShape | None = None
    credit_grant_rate_card: CreditGrantRateCardShape | None = None
    usage_rate_card: UsageRateCardShape | None = None
    license_rate_card: LicenceRateCardShape | None = None
    minimum_commitment_rate_card: MinimumCommitmentShape | None = None


class CreateItemDetailsShape(
    ItemDetailsShape, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """The card itself, in the field of its kind; those of entitlements are known to the interface and not supported."""

    billing_entitlement_rate_card: Annotated[Any, _UNSUPPORTED] = None
    entitlement_overage_rate_card: Annotated[Any, _UNSUPPORTED] = None


class ItemShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A card to be; `billableId` is that of its meter or add-on, and for a minimum commitment anything."""

    billable_id: Annotated[str, msgspec.Meta(max_length=50)]
    type: ItemTypeShape
    display_name: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    invoice_timing: InvoiceTimingShape
    rate_card_details: CreateItemDetailsShape
    tag: Annotated[str, msgspec.Meta(max_length=50)] | None = None


class ItemOperationShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to do with the card of that name; CREATE without one gives it a name."""

    action_type: ItemAction
    rate_card_name: Annotated[str, msgspec.Meta(max_length=50)] | None = None
    rate_card: ItemShape | None = None


class BulkOperationsRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Operations that are done in their order, all or none."""

    operations: Annotated[tuple[ItemOperationShape, ...], msgspec.Meta(min_length=1, max_length=OPERATIONS_MAX)]


class ReferenceShape(Enum):
    """What a card belongs to: a price plan, or an account's own schedule."""

    PRICE_PLAN = "PRICE_PLAN"
    SCHEDULE = "SCHEDULE"


class NamedItemShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A card, as read; `referenceId` is the id of the schedule that it is in."""

    name: str
    reference_id: str
    reference_type: ReferenceShape
    display_name: str
    currencies: tuple[str, ...]
    price_plan_id: str
    account_id: str | None = None
    billable_id: str
    type: ItemTypeShape
    invoice_timing: InvoiceTimingShape
    rate_card_details: ItemDetailsShape
    tag: str | None = None


class NamedItemPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of cards, by name."""

    data: list[NamedItemShape]
    next_token: str | None = None


class BulkOperationsResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The cards that the operations added or replaced and that are there after the last of them."""

    rate_cards: list[NamedItemShape]


class ItemPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where cards are: in a plan, or in the schedule of an account."""

    reference_id: str
    price_plan_id: str
    account_id: str | None = None


# ---- from the wire -----------------------------------------------------------------------------------------------


def operations_from(request: BulkOperationsRequest) -> list[ItemOperation]:
    """What is asked for, in its order, not yet checked. Raises `Invalid`, naming the field."""
    return [_operation_from(shape, f"operations[{index}]") for index, shape in enumerate(request.operations)]


def _operation_from(shape: ItemOperationShape, where: str) -> ItemOperation:
    if shape.action_type is ItemAction.DELETE:
        if shape.rate_card is not None:
            raise Invalid(f"{where}.rateCard: DELETE takes none; leave it out")
        return ItemOperation(action=shape.action_type, name=_required_name(shape, where))
    if shape.rate_card is None:
        raise Invalid(f"{where}.rateCard: {shape.action_type.value} needs it")
    name = shape.rate_card_name or None
    if shape.action_type is ItemAction.UPDATE:
        name = _required_name(shape, where)
    item = _item_from(shape.rate_card, name, f"{where}.rateCard")
    return ItemOperation(action=shape.action_type, name=item.name, item=item)


def _required_name(shape: ItemOperationShape, where: str) -> str:
    if not shape.rate_card_name:
        raise Invalid(f"{where}.rateCardName: {shape.action_type.value} needs it")
    return shape.rate_card_name


def _item_from(shape: ItemShape, name: str | None, where: str) -> PlanItem:
    inner = f"{where}.rateCardDetails"
    _check_kind(shape, inner)
    match shape.type, shape.rate_card_details:
        case ItemTypeShape.USAGE, ItemDetailsShape(usage_rate_card=UsageRateCardShape() as usage):
            _check_in_arrears(shape, where)
            _check_billable(shape, usage.usage_meter_id, where)
            return usage_card_from(_agreed(usage, shape, name, inner), inner)
        case ItemTypeShape.FIXED_FEE, ItemDetailsShape(fixed_fee_rate_card=FixedFeeRateCardShape() as fee):
            _check_billable(shape, fee.id, where)
            return fixed_fee_card_from(_agreed(fee, shape, name, inner), inner)
        case ItemTypeShape.LICENSE, ItemDetailsShape(license_rate_card=LicenceRateCardShape() as licence):
            _check_billable(shape, licence.id, where)
            return licence_card_from(_agreed(licence, shape, name, inner), inner)
        case ItemTypeShape.CREDIT_GRANT, ItemDetailsShape(credit_grant_rate_card=CreditGrantRateCardShape() as grant):
            _check_billable(shape, grant.id, where)
            return credit_grant_card_from(_agreed(grant, shape, name, inner), inner)
        case _:
            return _commitment_from(shape, name, where)


def _commitment_from(shape: ItemShape, name: str | None, where: str) -> MinimumCommitment:
    _check_in_arrears(shape, where)
    if shape.tag:
        raise Invalid(f"{where}.tag: a minimum commitment has none; leave it out")
    commitment = commitment_from(shape.rate_card_details.minimum_commitment_rate_card)
    assert commitment is not None, "the field of the kind is there"
    if shape.display_name not in (None, commitment.display_name):
        raise Invalid(f"{where}.displayName: another one stands in rateCardDetails; give one of them")
    return msgspec.structs.replace(commitment, name=name or commitment.name)


def _check_kind(shape: ItemShape, where: str) -> None:
    """Refuse kinds that are not supported, and details of another kind than the card is of. Raises `Invalid`."""
    field = _FIELDS.get(shape.type)
    if field is None:
        raise Invalid(f"{where}: cards of type {shape.type.value} are not supported", code="UNSUPPORTED")
    fields = msgspec.structs.fields(CreateItemDetailsShape)
    given = [each.encode_name for each in fields if getattr(shape.rate_card_details, each.name) is not None]
    if given != [field]:
        raise Invalid(f"{where}: a card of type {shape.type.value} has {field}, and nothing else")


_FIELDS: Mapping[ItemTypeShape, str] = {
    ItemTypeShape.MINIMUM_COMMITMENT: "minimumCommitmentRateCard",
    ItemTypeShape.FIXED_FEE: "fixedFeeRateCard",
    ItemTypeShape.LICENSE: "licenseRateCard",
    ItemTypeShape.CREDIT_GRANT: "creditGrantRateCard",
    ItemTypeShape.USAGE: "usageRateCard",
}


def _check_in_arrears(shape: ItemShape, where: str) -> None:
    if shape.invoice_timing is not InvoiceTimingShape.IN_ARREARS:
        raise Invalid(f"{where}.invoiceTiming: a card of type {shape.type.value} is always charged IN_ARREARS")


def _check_billable(shape: ItemShape, item_id: str, where: str) -> None:
    if shape.billable_id != item_id:
        raise Invalid(f"{where}.billableId: the card in rateCardDetails is for {item_id[:50]!r}")


def _agreed(inner: S, outer: ItemShape, name: str | None, where: str) -> S:
    """The card with what stands around it. Raises `Invalid` where the two differ."""
    around = {
        "name": name,
        "display_name": outer.display_name,
        "tag": outer.tag,
        "invoice_timing": outer.invoice_timing,
    }
    wire_names = {field.name: field.encode_name for field in msgspec.structs.fields(inner)}
    given = {field: value for field, value in around.items() if field in wire_names and value is not None}
    for field, value in given.items():
        if getattr(inner, field) not in (None, value):
            raise Invalid(f"{where}: {wire_names[field]} differs from the one around it; give one of them")
    return msgspec.structs.replace(inner, **given)


# ---- to the wire -------------------------------------------------------------------------------------------------


def item_to(item: PlanItem, place: ItemPlace) -> NamedItemShape:
    """The card, as the interface shows it."""
    match item:
        case UsageRateCard():
            kind, billable_id, tag, timing = ItemTypeShape.USAGE, item.meter_id, item.tag, InvoiceTimingShape.IN_ARREARS
            details = ItemDetailsShape(usage_rate_card=usage_card_to(item))
            currencies = [value.currency for value in item.rate_values]
        case FixedFeeRateCard():
            kind, billable_id, tag = ItemTypeShape.FIXED_FEE, item.add_on_id, item.tag
            timing = InvoiceTimingShape(item.timing.value)
            details = ItemDetailsShape(fixed_fee_rate_card=fixed_fee_card_to(item))
            currencies = [rate.currency for rate in item.rates]
        case LicenceRateCard():
            kind, billable_id, tag = ItemTypeShape.LICENSE, item.add_on_id, item.tag
            timing = InvoiceTimingShape(item.timing.value)
            details = ItemDetailsShape(license_rate_card=licence_card_to(item))
            currencies = [value.currency for value in item.rate_values]
        case CreditGrantRateCard():
            kind, billable_id, tag = ItemTypeShape.CREDIT_GRANT, item.add_on_id, item.tag
            timing = InvoiceTimingShape(item.timing.value)
            details = ItemDetailsShape(credit_grant_rate_card=credit_grant_card_to(item))
            currencies = [price.rate_value.currency for price in item.prices]
        case MinimumCommitment():
            kind, billable_id, tag = ItemTypeShape.MINIMUM_COMMITMENT, place.price_plan_id, None
            timing = InvoiceTimingShape.IN_ARREARS
            details = ItemDetailsShape(minimum_commitment_rate_card=commitment_to(item))
            currencies = [rate.currency for rate in item.rates]
    return NamedItemShape(
        name=item.name,
        reference_id=place.reference_id,
        reference_type=ReferenceShape.PRICE_PLAN if place.account_id is None else ReferenceShape.SCHEDULE,
        display_name=item.display_name or item.name,
        currencies=tuple(currencies),
        price_plan_id=place.price_plan_id,
        account_id=place.account_id,
        billable_id=billable_id,
        type=kind,
        invoice_timing=timing,
        rate_card_details=details,
        tag=tag,
    )


def items_page(
    items: Mapping[str, PlanItem], place: ItemPlace, *, after: str | None, size: int
) -> tuple[list[NamedItemShape], str | None]:
    """The cards behind that name, in the order of names, and the last name of the page if another follows."""
    names = sorted(name for name in items if after is None or name > after)
    shown = [item_to(items[name], place) for name in names[:size]]
    return shown, names[size - 1] if len(names) > size else None


def touched(operations: list[ItemOperation], items: Mapping[str, PlanItem], place: ItemPlace) -> BulkOperationsResponse:
    """The answer to operations: the cards that they added or replaced, of those that are there now."""
    names = dict.fromkeys(operation.name for operation in operations if operation.item is not None)
    return BulkOperationsResponse(rate_cards=[item_to(items[name], place) for name in names if name in items])
