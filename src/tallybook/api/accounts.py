"""The routes of accounts."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody, QueryParameter

from tallybook.api.account_shapes import (
    AccountAliasPage,
    AccountShape,
    AddAliasesRequest,
    CreateAccountRequest,
    RemoveAliasesRequest,
    UpdateAccountRequest,
    account_alias_to,
    account_changes_from,
    account_from,
    account_to,
    windows_from,
)
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
from tallybook.api.settings import settings_of_entity
from tallybook.api.texts import Currency, Id
from tallybook.core.account import Account, AccountStatus
from tallybook.core.errors import Invalid
from tallybook.core.event import utc
from tallybook.core.setting import EntityType
from tallybook.flows import define_accounts
from tallybook.flows.authenticate import now_utc
from tallybook.flows.define_accounts import AliasEnd
from tallybook.flows.new_ids import new_id
from tallybook.storage import accounts, aliases, customers

TAG = "Accounts"
LISTING = table_listing(
    "accounts",
    accounts.ACCOUNTS_LISTED,
    combinations=(("account_id",), ("customer_id",), ("status",), ("invoice_currency",), ("customer_id", "status")),
)

ALIASES = table_listing("account_aliases", aliases.WINDOWS_LISTED)


class AccountPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of accounts, those changed last first."""

    data: list[AccountShape]
    next_token: str | None = None
    context: PageContext | None = None


# ---- accounts ----------------------------------------------------------------------------------------------------


@writing("/accounts", status=HTTPStatus.CREATED, operation_id="createAccount", summary="Create an account", tag=TAG)
def create_account(data: JSONBody[CreateAccountRequest], identity: Caller, dependencies: Connected) -> AccountShape:
    now = now_utc()
    account = account_from(
        data,
        customer_id=data.customer_id,
        generated_id=new_id("account"),
        base_currency=define_accounts.base_currency(dependencies.database, identity.organisation_id),
    )
    account = define_accounts.create_account(
        dependencies.database,
        identity.organisation_id,
        account,
        account_settings=settings_of_entity(data.settings or (), EntityType.ACCOUNT, data.id),
        now=now,
    )
    return _shapes(identity, dependencies, [account], on=now)[0]


@reading("/accounts/{account_id:str}", operation_id="getAccount", summary="Read an account", tag=TAG)
def get_account(
    account_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    effective_on: Annotated[
        datetime | None, QueryParameter(name="effectiveOn", description="Show the aliases of this instant.")
    ] = None,
    include_group_details: Annotated[
        bool | None, QueryParameter(name="includeGroupDetails", description="Changes nothing: there are no groups.")
    ] = None,
) -> AccountShape:
    with dependencies.database.read() as connection:
        account = define_accounts.found_account(connection, identity.organisation_id, account_id)
    on = now_utc() if effective_on is None else utc(effective_on)
    return _shapes(identity, dependencies, [account], on=on)[0]


@changing("/accounts/{account_id:str}", operation_id="updateAccount", summary="Change an account", tag=TAG)
def update_account(
    account_id: FromPath[str], data: JSONBody[UpdateAccountRequest], identity: Caller, dependencies: Connected
) -> AccountShape:
    now = now_utc()
    account = define_accounts.update_account(
        dependencies.database, identity.organisation_id, account_id, account_changes_from(data), now=now
    )
    return _shapes(identity, dependencies, [account], on=now)[0]


@removing("/accounts/{account_id:str}", operation_id="deleteAccount", summary="Archive an account, for good", tag=TAG)
def delete_account(account_id: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    define_accounts.archive_account(dependencies.database, identity.organisation_id, account_id, now=now_utc())
    return Success()


@reading("/accounts", operation_id="getAccounts", summary="List accounts", tag=TAG)
def list_accounts(
    identity: Caller,
    dependencies: Connected,
    account_id: Annotated[Id | None, QueryParameter(name="account_id")] = None,
    customer_id: Annotated[Id | None, QueryParameter(name="customer_id")] = None,
    status: Annotated[AccountStatus | None, QueryParameter(name="status")] = None,
    invoice_currency: Annotated[Currency | None, QueryParameter(name="invoice_currency")] = None,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> AccountPage:
    page = LISTING.asked(
        dependencies,
        identity,
        next_token=next_token,
        page_size=page_size,
        filters={
            "account_id": account_id,
            "customer_id": customer_id,
            "status": status and status.value,
            "invoice_currency": invoice_currency,
        },
        search=search,
        sort=sort,
    )
    with dependencies.database.read() as connection:
        found = accounts.list_accounts(connection, identity.organisation_id, page)
    return AccountPage(
        data=_shapes(identity, dependencies, found.items, on=now_utc()),
        next_token=LISTING.token(dependencies, identity, page, found.next),
        context=PageContext.of(page),
    )


def _shapes(identity: Caller, dependencies: Connected, found: list[Account], *, on: datetime) -> list[AccountShape]:
    with dependencies.database.read() as connection:
        generated_ids = customers.generated_ids_of_customers(
            connection, identity.organisation_id, [account.customer_id for account in found]
        )
    return [account_to(account, togai_customer_id=generated_ids[account.customer_id], on=on) for account in found]


# ---- aliases -----------------------------------------------------------------------------------------------------


@writing(
    "/accounts/{account_id:str}/add_aliases",
    status=HTTPStatus.OK,
    operation_id="addAliases",
    summary="Let aliases name an account",
    tag=TAG,
)
def add_aliases(
    account_id: FromPath[str], data: JSONBody[AddAliasesRequest], identity: Caller, dependencies: Connected
) -> AccountShape:
    now = now_utc()
    windows = windows_from(data.aliases, data.account_aliases)
    if not windows:
        raise Invalid("aliases: name at least one, here or in accountAliases")
    account = define_accounts.add_aliases(dependencies.database, identity.organisation_id, account_id, windows, now=now)
    return _shapes(identity, dependencies, [account], on=now)[0]


@writing(
    "/accounts/{account_id:str}/remove_aliases",
    status=HTTPStatus.OK,
    operation_id="removeAliases",
    summary="Let aliases name an account no more",
    tag=TAG,
)
def remove_aliases(
    account_id: FromPath[str], data: JSONBody[RemoveAliasesRequest], identity: Caller, dependencies: Connected
) -> AccountShape:
    now = now_utc()
    ends = [
        AliasEnd(alias_id=each.id, at=None if each.at is None else utc(each.at)) for each in data.account_aliases or ()
    ]
    if not ends and not data.aliases:
        raise Invalid("aliases: name at least one, here or in accountAliases")
    account = define_accounts.remove_aliases(
        dependencies.database, identity.organisation_id, account_id, data.aliases or (), ends, now=now
    )
    return _shapes(identity, dependencies, [account], on=now)[0]


@reading(
    "/accounts/{account_id:str}/account_aliases",
    operation_id="listAccountAliases",
    summary="List the aliases of an account with their times",
    tag=TAG,
)
def list_account_aliases(
    account_id: FromPath[str],
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
) -> AccountAliasPage:
    page = ALIASES.asked(dependencies, identity, next_token=next_token, page_size=page_size, within=account_id)
    with dependencies.database.read() as connection:
        define_accounts.found_account(connection, identity.organisation_id, account_id)
        found = aliases.list_windows_of_account(connection, identity.organisation_id, account_id, page)
    return AccountAliasPage(
        data=[account_alias_to(each) for each in found.items],
        next_token=ALIASES.token(dependencies, identity, page, found.next),
    )


ROUTES = (
    create_account,
    get_account,
    update_account,
    delete_account,
    list_accounts,
    add_aliases,
    remove_aliases,
    list_account_aliases,
)
