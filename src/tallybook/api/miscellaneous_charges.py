"""Miscellaneous charges on the wire: the list of a draft, and of an account's next invoice."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody

from tallybook.api.handling import Caller, Connected, replacing
from tallybook.api.rate_card_shapes import json_number
from tallybook.core.miscellaneous_charge import (
    CHARGE_NAME_CHARACTERS_MAX,
    CHARGE_VALUE_CHARACTERS_MAX,
    CHARGES_MAX,
    MiscellaneousCharge,
)
from tallybook.flows.authenticate import now_utc
from tallybook.flows.put_charges import put_on_invoice, put_on_next_invoice

TAG = "Invoices"


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A charge: `value`, which is a number in text or a rule in JSON Logic, or `rate` for each of `quantity`."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=CHARGE_NAME_CHARACTERS_MAX)]
    value: Annotated[str, msgspec.Meta(max_length=CHARGE_VALUE_CHARACTERS_MAX)] | None = None
    rate: Decimal | None = None
    quantity: Decimal | None = None
    consider_for_revenue: bool | None = None


class ManageMiscellaneousChargesRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """All charges of the invoice; they take the place of those that it had."""

    items: Annotated[list[ChargeRequest], msgspec.Meta(max_length=CHARGES_MAX)]


class ChargeShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A charge; with `rate` and `quantity`, `value` is what they come to."""

    name: str
    value: str
    rate: Decimal | None = None
    quantity: Decimal | None = None
    consider_for_revenue: bool


class MiscellaneousChargesResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The charges of an invoice."""

    data: list[ChargeShape]


@replacing(
    "/invoices/{invoice_id:str}/miscellaneous_charges",
    operation_id="manageMiscellaneousChargesInInvoice",
    summary="Replace the charges on a draft",
    tag=TAG,
)
def put_charges_on_invoice(
    invoice_id: FromPath[str],
    data: JSONBody[ManageMiscellaneousChargesRequest],
    identity: Caller,
    dependencies: Connected,
) -> MiscellaneousChargesResponse:
    charges = _charges(data.items)
    put_on_invoice(dependencies.database, identity.organisation_id, invoice_id, charges, now=now_utc())
    return _response(charges)


@replacing(
    "/accounts/{account_id:str}/miscellaneous_charges",
    operation_id="manageMiscellaneousChargesInAccount",
    summary="Replace the charges on an account's next invoice",
    tag=TAG,
)
def put_charges_on_account(
    account_id: FromPath[str],
    data: JSONBody[ManageMiscellaneousChargesRequest],
    identity: Caller,
    dependencies: Connected,
) -> MiscellaneousChargesResponse:
    charges = _charges(data.items)
    put_on_next_invoice(dependencies.database, identity.organisation_id, account_id, charges, now=now_utc())
    return _response(charges)


ROUTES = (put_charges_on_invoice, put_charges_on_account)


def _charges(items: Sequence[ChargeRequest]) -> tuple[MiscellaneousCharge, ...]:
    return tuple(
        MiscellaneousCharge(
            name=item.name,
            value=item.value,
            rate=item.rate,
            quantity=item.quantity,
            considered_for_revenue=bool(item.consider_for_revenue),
        )
        for item in items
    )


def _response(charges: Sequence[MiscellaneousCharge]) -> MiscellaneousChargesResponse:
    return MiscellaneousChargesResponse(
        data=[
            ChargeShape(
                name=charge.name,
                value=charge.shown_value,
                rate=None if charge.rate is None else json_number(charge.rate),
                quantity=None if charge.quantity is None else json_number(charge.quantity),
                consider_for_revenue=charge.considered_for_revenue,
            )
            for charge in charges
        ]
    )
