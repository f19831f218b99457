"""What every route shares: who calls, what it may do, strict parameters, the documented errors.

A handler is a plain function that runs in a thread; it gets `identity` and `dependencies` by asking for them:

    @reading("/customers/{customer_id:str}", operation_id="getCustomer", summary="…", tag="Customers")
    def get_customer(customer_id: str, identity: Caller, dependencies: Connected) -> CustomerShape: ...
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from anyio.to_thread import run_sync
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler, delete, get, patch, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from tallybook.api.errors import ErrorResponse
from tallybook.api.generations import choose_generation
from tallybook.api.parameters import refuse_strange_parameters
from tallybook.api.permissions import require_permission
from tallybook.config import Settings
from tallybook.core.credential import Identity, Scope
from tallybook.flows.ask_tax import tax_function
from tallybook.flows.authenticate import Authenticator
from tallybook.flows.print_invoice import Press
from tallybook.flows.query import Events
from tallybook.storage.database import Database

BODY_BYTES_MAX = 1024 * 1024  # a plan with 50 cards of 10 slabs, the largest definition, has a third in five currencies

PAGE_SIZE_MAX = 100
PAGE_SIZE_DEFAULT = 20
SEARCH_CHARACTERS_MAX = 50  # a name has that many, and a token has room for little more
SORT_CHARACTERS_MAX = 100  # three fields, each with its direction

NextToken = Annotated[str | None, QueryParameter(name="nextToken", description="Where the page before ended; opaque.")]
PageSize = Annotated[
    int | None, QueryParameter(name="pageSize", description="Items on a page, normally 20.", ge=1, le=PAGE_SIZE_MAX)
]
Search = Annotated[
    str | None,
    QueryParameter(
        name="_search",
        description="Only items whose name, or id if it is the caller's, contains this, in upper or lower case.",
        max_length=SEARCH_CHARACTERS_MAX,
    ),
]
Sort = Annotated[
    str | None,
    QueryParameter(
        name="_sort",
        description="Up to three fields to sort by, such as `name` or `updated_at:desc,name`.",
        max_length=SORT_CHARACTERS_MAX,
    ),
]

Route = Callable[[Callable[..., Any]], HTTPRouteHandler]
Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]

ERRORS: Mapping[int, ResponseSpec] = {
    status.value: ResponseSpec(data_container=ErrorResponse, description=description, generate_examples=False)
    for status, description in (
        (HTTPStatus.BAD_REQUEST, "Fix the request, then resend."),
        (HTTPStatus.UNAUTHORIZED, "Send a valid credential."),
        (HTTPStatus.FORBIDDEN, "Use a credential that has the scope."),
        (HTTPStatus.NOT_FOUND, "No such thing in this organisation."),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "Something is too large."),
        (HTTPStatus.TOO_MANY_REQUESTS, "Wait as Retry-After says, then resend."),
        (HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong in the server."),
        (HTTPStatus.SERVICE_UNAVAILABLE, "Wait as Retry-After says, then resend."),
    )
}


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """It is done, and there is nothing to show."""

    success: bool = True


class Dependencies:
    """What the handlers work with."""

    def __init__(self, *, settings: Settings, database: Database, authenticator: Authenticator, events: Events) -> None:
        self.settings = settings
        self.database = database
        self.authenticator = authenticator
        self.events = events
        self.press = Press()
        self.tax_function = tax_function(settings.tax_function)


Caller = NamedDependency[Identity]
Connected = NamedDependency[Dependencies]


def reading(
    path: str,
    *,
    operation_id: str,
    summary: str,
    tag: str,
    status: HTTPStatus = HTTPStatus.OK,
    also: Mapping[int, ResponseSpec] | None = None,
) -> Route:
    """A GET route for keys with the scope `read`; `also` are other answers than JSON with `status` and the errors."""
    common = _common(Scope.READ, operation_id, summary, tag)
    return get(path, status_code=status, **{**common, "responses": {**ERRORS, **(also or {})}})


def asking(path: str, *, operation_id: str, summary: str, tag: str) -> Route:
    """A POST route that changes nothing, for keys with the scope `read`; answers 200."""
    return post(path, status_code=HTTPStatus.OK, **_common(Scope.READ, operation_id, summary, tag))


def writing(
    path: str,
    *,
    status: HTTPStatus,
    operation_id: str,
    summary: str,
    tag: str,
    also: Mapping[int, ResponseSpec] | None = None,
) -> Route:
    """A POST route for keys with the scope `write`; `also` are other answers than `status` and the errors."""
    common = _common(Scope.WRITE, operation_id, summary, tag)
    return post(path, status_code=status, **{**common, "responses": {**ERRORS, **(also or {})}})


def changing(path: str, *, operation_id: str, summary: str, tag: str, status: HTTPStatus = HTTPStatus.OK) -> Route:
    """A PATCH route for keys with the scope `write`."""
    return patch(path, status_code=status, **_common(Scope.WRITE, operation_id, summary, tag))


def replacing(path: str, *, operation_id: str, summary: str, tag: str) -> Route:
    """A PUT route for keys with the scope `write`; answers 200."""
    return put(path, status_code=HTTPStatus.OK, **_common(Scope.WRITE, operation_id, summary, tag))


def removing(path: str, *, operation_id: str, summary: str, tag: str) -> Route:
    """A DELETE route for keys with the scope `write`; answers 200 with `Success`."""
    return delete(path, status_code=HTTPStatus.OK, **_common(Scope.WRITE, operation_id, summary, tag))


def administering(path: str, *, status: HTTPStatus, operation_id: str, summary: str, tag: str) -> Route:
    """A POST route for keys with the scope `admin`."""
    return post(path, status_code=status, **_common(Scope.ADMIN, operation_id, summary, tag))


def overseeing(path: str, *, operation_id: str, summary: str, tag: str) -> Route:
    """A GET route for keys with the scope `admin`."""
    return get(path, **_common(Scope.ADMIN, operation_id, summary, tag))


def for_any_credential(path: str, *, operation_id: str, summary: str, tag: str) -> Route:
    """A POST route for every valid key, whatever its scopes; answers 200."""
    return post(path, status_code=HTTPStatus.OK, **_common(None, operation_id, summary, tag))


def _common(scope: Scope | None, operation_id: str, summary: str, tag: str) -> dict[str, Any]:
    return {
        "guards": [_admitting(scope), choose_generation, refuse_strange_parameters],
        "operation_id": operation_id,
        "summary": summary,
        "tags": [tag],
        "responses": ERRORS,
        "security": credentials_for(scope),
        "sync_to_thread": True,
    }


def credentials_for(scope: Scope | None) -> list[dict[str, list[str]]]:
    """How the OpenAPI document says who may call: either credential, with the scope if one is needed."""
    scopes = [] if scope is None else [scope.value]
    return [{"bearerAuth": scopes}, {"apiKeyAuth": scopes}]


# ---- before the body is read -------------------------------------------------------------------------------------


def _admitting(scope: Scope | None) -> Guard:
    """A guard that finds out who calls, keeps that for the handler, and refuses a key without the scope."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        headers = dict(connection.scope["headers"])
        authorization, api_key = headers.get(b"authorization"), headers.get(b"x-api-key")
        authenticator: Authenticator = connection.app.state.dependencies.authenticator
        identity = authenticator.cached(authorization, api_key)
        if identity is None:
            identity = await run_sync(authenticator.identify, authorization, api_key)
        if scope is not None:
            require_permission(identity, scope, handler)
        connection.scope["user"] = identity

    return guard


# ---- what handlers may ask for -----------------------------------------------------------------------------------


def provide_identity(request: Request[Any, Any, Any]) -> Identity:
    """Who calls, as the guard found out."""
    identity: Identity = request.scope["user"]
    return identity


def provide_dependencies(request: Request[Any, Any, Any]) -> Dependencies:
    """What `create_application` was given."""
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies
