"""Add-ons on the wire (generation 2024-12) and their routes."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.handling import (
    Caller,
    Connected,
    NextToken,
    PageSize,
    Search,
    Sort,
    Success,
    changing,
    reading,
    removing,
    writing,
)
from tallybook.api.paging import PageContext, table_listing
from tallybook.api.texts import AddOnName
from tallybook.core.add_on import AddOn, AddOnChanges, AddOnStatus, AddOnType
from tallybook.flows import define_add_ons
from tallybook.flows.authenticate import now_utc
from tallybook.flows.new_ids import new_id
from tallybook.storage import add_ons
from tallybook.storage.definition_rows import Stored

TAG = "AddOns"
LISTING = table_listing("add_ons", add_ons.LISTED)


class CreateAddOnRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new add-on; `type` says on what kind of rate card it may stand."""

    name: AddOnName
    type: AddOnType
    billable_name: AddOnName | None = None


class UpdateAddOnRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What to change of an add-on; what is left out stays, and an empty billable name takes it away."""

    name: AddOnName | None = None
    billable_name: AddOnName | None = None


class AddOnShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An add-on, as read; `displayName` is what invoices call it."""

    id: str
    name: str
    type: AddOnType
    billable_name: str | None = None
    display_name: str
    status: AddOnStatus
    created_at: datetime


class AddOnPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of add-ons, by name."""

    data: list[AddOnShape]
    next_token: str | None = None
    context: PageContext | None = None


@writing("/addons", status=HTTPStatus.OK, operation_id="createAddOn", summary="Create an add-on", tag=TAG)
def create_add_on(data: JSONBody[CreateAddOnRequest], identity: Caller, dependencies: Connected) -> AddOnShape:
    add_on = AddOn(add_on_id=new_id("addon"), name=data.name, type=data.type, billable_name=data.billable_name or None)
    return _to_shape(
        define_add_ons.create_add_on(dependencies.database, identity.organisation_id, add_on, now=now_utc())
    )


@reading("/addons/{addon_id:str}", operation_id="getAddOn", summary="Read an add-on", tag=TAG)
def get_add_on(addon_id: FromPath[str], identity: Caller, dependencies: Connected) -> AddOnShape:
    with dependencies.database.read() as connection:
        return _to_shape(define_add_ons.found_add_on(connection, identity.organisation_id, addon_id))


@changing("/addons/{addon_id:str}", operation_id="updateAddOn", summary="Rename an add-on", tag=TAG)
def update_add_on(
    addon_id: FromPath[str], data: JSONBody[UpdateAddOnRequest], identity: Caller, dependencies: Connected
) -> AddOnShape:
    changes = AddOnChanges(name=data.name, billable_name=data.billable_name)
    return _to_shape(
        define_add_ons.update_add_on(dependencies.database, identity.organisation_id, addon_id, changes, now=now_utc())
    )


@removing("/addons/{addon_id:str}", operation_id="deleteAddOn", summary="Archive an add-on, for good", tag=TAG)
def delete_add_on(addon_id: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    define_add_ons.archive_add_on(dependencies.database, identity.organisation_id, addon_id, now=now_utc())
    return Success()


@reading("/addons", operation_id="getAddOns", summary="List add-ons", tag=TAG)
def list_add_ons(
    identity: Caller,
    dependencies: Connected,
    status: Annotated[AddOnStatus | None, QueryParameter(name="status")] = None,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> AddOnPage:
    page = LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={"status": status and status.value},
        search=search,
        sort=sort,
    )
    with dependencies.database.read() as connection:
        found = add_ons.list_add_ons(connection, identity.organisation_id, page)
    return AddOnPage(
        data=[_to_shape(stored) for stored in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
        context=PageContext.of(page),
    )


def _to_shape(stored: Stored[AddOn]) -> AddOnShape:
    add_on = stored.definition
    return AddOnShape(
        id=add_on.add_on_id,
        name=add_on.name,
        type=add_on.type,
        billable_name=add_on.billable_name or None,
        display_name=add_on.display_name,
        status=add_on.status,
        created_at=stored.created_at,
    )


ROUTES = (create_add_on, get_add_on, update_add_on, delete_add_on, list_add_ons)
