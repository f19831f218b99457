"""Invoice groups on the wire (generation 2024-12) and their routes."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody

from tallybook.api.account_shapes import AddressShape, address_from, address_to
from tallybook.api.handling import (
    Caller,
    Connected,
    NextToken,
    PageSize,
    Search,
    Sort,
    Success,
    reading,
    writing,
)
from tallybook.api.paging import table_listing
from tallybook.api.texts import Email, GroupName, Id
from tallybook.core.account import NET_TERM_DAYS_MAX
from tallybook.core.invoice_group import ACCOUNTS_MAX, InvoiceGroup
from tallybook.flows import define_invoice_groups
from tallybook.flows.authenticate import now_utc
from tallybook.flows.new_ids import new_id
from tallybook.storage import invoice_groups
from tallybook.storage.definition_rows import Stored
from tallybook.storage.invoice_groups import CountedGroup

TAG = "InvoiceGroups"
LISTING = table_listing("invoice_groups", invoice_groups.LISTED)

_AccountIds = Annotated[list[Id], msgspec.Meta(min_length=1, max_length=ACCOUNTS_MAX)]
_NetTermDays = Annotated[int, msgspec.Meta(ge=0, le=NET_TERM_DAYS_MAX)]


class CreateInvoiceGroupRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new group; its currency is that of its accounts."""

    name: GroupName
    email: Email
    daily_invoice_consolidation: bool
    account_ids: _AccountIds
    net_term_days: _NetTermDays | None = None
    address: AddressShape


class UpdateInvoiceGroupAccounts(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Accounts that join or leave a group."""

    account_ids: _AccountIds


class InvoiceGroupShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A group, as read."""

    id: str
    name: str
    email: str
    daily_invoice_consolidation: bool
    net_term_days: int | None = None
    invoice_currency: str
    billing_address: AddressShape
    accounts_count: int
    created_at: datetime
    updated_at: datetime


class InvoiceGroupWithAccounts(InvoiceGroupShape, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A group with the ids of all its accounts."""

    accounts: list[str]


class InvoiceGroupPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of groups, those changed last first."""

    data: list[InvoiceGroupShape]
    next_token: str | None = None


@writing(
    "/invoice_groups",
    status=HTTPStatus.OK,
    operation_id="createInvoiceGroup",
    summary="Create a group of accounts whose invoices are merged",
    tag=TAG,
)
def create_invoice_group(
    data: JSONBody[CreateInvoiceGroupRequest], identity: Caller, dependencies: Connected
) -> InvoiceGroupShape:
    group = InvoiceGroup(
        group_id=new_id("inv_group"),
        name=data.name,
        email=data.email,
        address=address_from(data.address),
        currency="",  # that of the accounts
        daily_consolidation=data.daily_invoice_consolidation,
        net_term_days=data.net_term_days,
    )
    created = define_invoice_groups.create_group(
        dependencies.database, identity.organisation_id, group, data.account_ids, now=now_utc()
    )
    return _to_shape(created)


@reading("/invoice_groups", operation_id="listInvoiceGroups", summary="List invoice groups", tag=TAG)
def list_invoice_groups(
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> InvoiceGroupPage:
    page = LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size, search=search, sort=sort)
    with dependencies.database.read() as connection:
        found = invoice_groups.list_groups(connection, identity.organisation_id, page)
    return InvoiceGroupPage(
        data=[_to_shape(each) for each in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


@reading(
    "/invoice_groups/{invoice_group_id:str}",
    operation_id="getInvoiceGroup",
    summary="Read an invoice group with its accounts",
    tag=TAG,
)
def get_invoice_group(
    invoice_group_id: FromPath[str], identity: Caller, dependencies: Connected
) -> InvoiceGroupWithAccounts:
    with dependencies.database.read() as connection:
        group = define_invoice_groups.found_group(connection, identity.organisation_id, invoice_group_id)
        account_ids = invoice_groups.accounts_in(connection, identity.organisation_id, invoice_group_id)
    shape = _to_shape(CountedGroup(group=group, accounts_count=len(account_ids)))
    return InvoiceGroupWithAccounts(**msgspec.structs.asdict(shape), accounts=account_ids)


@writing(
    "/invoice_groups/{invoice_group_id:str}/add_accounts",
    status=HTTPStatus.OK,
    operation_id="AddInvoiceGroupAccounts",
    summary="Let accounts join an invoice group",
    tag=TAG,
)
def add_invoice_group_accounts(
    invoice_group_id: FromPath[str],
    data: JSONBody[UpdateInvoiceGroupAccounts],
    identity: Caller,
    dependencies: Connected,
) -> InvoiceGroupShape:
    changed = define_invoice_groups.add_accounts(
        dependencies.database, identity.organisation_id, invoice_group_id, data.account_ids, now=now_utc()
    )
    return _to_shape(changed)


@writing(
    "/invoice_groups/{invoice_group_id:str}/remove_accounts",
    status=HTTPStatus.OK,
    operation_id="RemoveInvoiceGroupAccounts",
    summary="Let accounts leave an invoice group, which goes with the last of them",
    tag=TAG,
)
def remove_invoice_group_accounts(
    invoice_group_id: FromPath[str],
    data: JSONBody[UpdateInvoiceGroupAccounts],
    identity: Caller,
    dependencies: Connected,
) -> Success:
    define_invoice_groups.remove_accounts(
        dependencies.database, identity.organisation_id, invoice_group_id, data.account_ids, now=now_utc()
    )
    return Success()


def _to_shape(counted: CountedGroup) -> InvoiceGroupShape:
    stored: Stored[InvoiceGroup] = counted.group
    group = stored.definition
    return InvoiceGroupShape(
        id=group.group_id,
        name=group.name,
        email=group.email,
        daily_invoice_consolidation=group.daily_consolidation,
        net_term_days=group.net_term_days,
        invoice_currency=group.currency,
        billing_address=address_to(group.address),
        accounts_count=counted.accounts_count,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


ROUTES = (
    create_invoice_group,
    list_invoice_groups,
    get_invoice_group,
    add_invoice_group_accounts,
    remove_invoice_group_accounts,
)
