"""API keys over HTTP: make one (its secret is shown once), list them, switch one off and on again.

For administrators only. Revoking a key for good is a command of the operator.
"""

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
    administering,
    overseeing,
)
from tallybook.api.paging import table_listing
from tallybook.api.parameters import utc_instant
from tallybook.core.credential import KEY_NAME_CHARACTERS_MAX, ApiKey, KeyState, Scope
from tallybook.core.role import Role
from tallybook.flows.authenticate import now_utc
from tallybook.storage import credentials

TAG = "API keys"
LISTING = table_listing("api_keys", credentials.LISTED)


class CreateApiKeyRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new key: what it is for, and what it may do, by scopes, by a role or by both."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_NAME_CHARACTERS_MAX)]
    scopes: Annotated[list[Scope], msgspec.Meta(max_length=len(Scope))] = []
    role: Role | None = None
    expires_at: datetime | None = None


class ApiKeyShape(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A key, as read. The secret is not stored, so it cannot be shown."""

    id: str
    name: str
    status: KeyState
    scopes: list[Scope]
    role: Role | None = None
    created_at: datetime
    expires_at: datetime | None = None


class NewApiKeyShape(ApiKeyShape, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A key that was just made, with its secret: this is the only time it is shown."""

    secret: str


class ApiKeyPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A page of keys, revoked ones too, normally the oldest first."""

    data: list[ApiKeyShape]
    next_token: str | None = None


@administering(
    "/api_keys",
    status=HTTPStatus.CREATED,
    operation_id="createApiKey",
    summary="Make an API key; its secret is shown this once",
    tag=TAG,
)
def create_api_key(data: JSONBody[CreateApiKeyRequest], identity: Caller, dependencies: Connected) -> NewApiKeyShape:
    expires = None if data.expires_at is None else utc_instant(data.expires_at, "expiresAt")
    made = dependencies.authenticator.new_key(identity.organisation_id, data.name, data.scopes, expires, data.role)
    return NewApiKeyShape(secret=made.secret, **msgspec.structs.asdict(_shape(made.key, now_utc())))


@overseeing("/api_keys", operation_id="listApiKeys", summary="List API keys", tag=TAG)
def list_api_keys(
    identity: Caller,
    dependencies: Connected,
    next_token: NextToken = None,
    page_size: PageSize = None,
    search: Search = None,
    sort: Sort = None,
) -> ApiKeyPage:
    page = LISTING.asked(dependencies, identity, next_token=next_token, page_size=page_size, search=search, sort=sort)
    with dependencies.database.read() as connection:
        found = credentials.list_api_keys(connection, identity.organisation_id, page)
    now = now_utc()
    return ApiKeyPage(
        data=[_shape(key, now) for key in found.items],
        next_token=LISTING.token(dependencies, identity, page, found.next),
    )


@overseeing("/api_keys/{key_id:str}", operation_id="getApiKey", summary="Read an API key", tag=TAG)
def get_api_key(key_id: FromPath[str], identity: Caller, dependencies: Connected) -> ApiKeyShape:
    return _shape(dependencies.authenticator.key(identity.organisation_id, key_id), now_utc())


@administering(
    "/api_keys/{key_id:str}/deactivate",
    status=HTTPStatus.OK,
    operation_id="deactivateApiKey",
    summary="Switch an API key off, with every token made with it",
    tag=TAG,
)
def deactivate_api_key(key_id: FromPath[str], identity: Caller, dependencies: Connected) -> ApiKeyShape:
    key = dependencies.authenticator.switch_key(identity.organisation_id, key_id, on=False, by_key_id=identity.key_id)
    return _shape(key, now_utc())


@administering(
    "/api_keys/{key_id:str}/activate",
    status=HTTPStatus.OK,
    operation_id="activateApiKey",
    summary="Switch an API key on again",
    tag=TAG,
)
def activate_api_key(key_id: FromPath[str], identity: Caller, dependencies: Connected) -> ApiKeyShape:
    key = dependencies.authenticator.switch_key(identity.organisation_id, key_id, on=True, by_key_id=identity.key_id)
    return _shape(key, now_utc())


def _shape(key: ApiKey, now: datetime) -> ApiKeyShape:
    return ApiKeyShape(
        id=key.key_id,
        name=key.name,
        status=key.state(now),
        scopes=sorted(key.scopes),
        role=key.role,
        created_at=key.created_at,
        expires_at=key.expires_at,
    )


ROUTES = (create_api_key, list_api_keys, get_api_key, deactivate_api_key, activate_api_key)
