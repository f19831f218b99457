"""The routes of aliases: names that accounts may have, whether one has it now or not."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar.params import FromPath, JSONBody

from tallybook.api.handling import (
    Caller,
    Connected,
    NextToken,
    PageSize,
    Search,
    Sort,
    Success,
    reading,
    removing,
    writing,
)
from tallybook.api.paging import table_listing
from tallybook.api.texts import Alias
from tallybook.flows import define_accounts
from tallybook.flows.authenticate import now_utc
from tallybook.storage import aliases

TAG = "Aliases"
LISTING = table_listing("aliases", aliases.LISTED)
ALIASES_PER_REQUEST_MAX = 100


class CreateAliasRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new alias."""

    value: Alias


class CreateAliasesRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """New aliases, all or none of which are made."""

    aliases: Annotated[list[CreateAliasRequest], msgspec.Meta(min_length=1, max_length=ALIASES_PER_REQUEST_MAX)]


class KnownAliasShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An alias, as read; which accounts it names and when is said by these."""

    value: str
    created_at: datetime


class AliasPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of aliases, the newest first."""

    data: list[KnownAliasShape]
    next_token: str | None = None


@writing("/aliases", status=HTTPStatus.CREATED, operation_id="createAlias", summary="Create aliases", tag=TAG)
def create_aliases(data: JSONBody[CreateAliasesRequest], identity: Caller, dependencies: Connected) -> AliasPage:
    values = [each.value for each in data.aliases]
    made = define_accounts.create_aliases(dependencies.database, identity.organisation_id, values, now=now_utc())
    return AliasPage(data=[_to_shape(alias) for alias in made])


@reading("/aliases/{alias:str}", operation_id="getAlias", summary="Read an alias", tag=TAG)
def get_alias(alias: FromPath[str], identity: Caller, dependencies: Connected) -> KnownAliasShape:
    with dependencies.database.read() as connection:
        return _to_shape(define_accounts.found_alias(connection, identity.organisation_id, alias))


@removing("/aliases/{alias:str}", operation_id="deleteAlias", summary="Forget an alias that names no account", tag=TAG)
def delete_alias(alias: FromPath[str], identity: Caller, dependencies: Connected) -> Success:
    define_accounts.delete_alias(dependencies.database, identity.organisation_id, alias, now=now_utc())
    return Success()


@reading("/aliases", operation_id="listAliases", summary="List aliases", tag=TAG)
def list_aliases(
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> AliasPage:
    page = LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size, search=search, sort=sort)
    with dependencies.database.read() as connection:
        found = aliases.list_aliases(connection, identity.organisation_id, page)
    return AliasPage(
        data=[_to_shape(alias) for alias in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


def _to_shape(alias: aliases.Alias) -> KnownAliasShape:
    return KnownAliasShape(value=alias.value, created_at=alias.created_at)


ROUTES = (create_aliases, get_alias, delete_alias, list_aliases)
