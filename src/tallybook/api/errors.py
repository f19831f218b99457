"""What an error looks like over HTTP: one table from exception to status, one body for all.

The body is the interface's `ErrorResponse` (`message`, at most 500 characters) with a stable `code` beside it, which
every client generation lets pass.
"""

from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Annotated, Any, get_args

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler

from tallybook import telemetry
from tallybook.api.parameters import query_parameters
from tallybook.core.errors import (
    MESSAGE_CHARACTERS_MAX,
    Busy,
    Conflict,
    Corrupt,
    Forbidden,
    Invalid,
    NotFound,
    TallybookError,
    Throttled,
    TooLarge,
    Unauthenticated,
)

STATUS_OF: dict[type[TallybookError], HTTPStatus] = {
    Invalid: HTTPStatus.BAD_REQUEST,
    TooLarge: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    Conflict: HTTPStatus.BAD_REQUEST,  # no operation so far declares 409
    NotFound: HTTPStatus.NOT_FOUND,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    Throttled: HTTPStatus.TOO_MANY_REQUESTS,
    Corrupt: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of an exception is that of its nearest class in this table."""

_FRAMEWORK_STATUS = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: HTTPStatus.UNPROCESSABLE_ENTITY}  # the interface's choice
_FRAMEWORK_MESSAGE = {
    HTTPStatus.NOT_FOUND: "no such route; see /openapi.json for those there are",
    HTTPStatus.METHOD_NOT_ALLOWED: "this route does not take that method; see /openapi.json for those it takes",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request body is too large",
}
_FRAMEWORK_CODE = {
    HTTPStatus.NOT_FOUND: "UNKNOWN_ROUTE",
    HTTPStatus.METHOD_NOT_ALLOWED: "METHOD_NOT_ALLOWED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "BODY_TOO_LARGE",
}
_INTERNAL_MESSAGE = "something went wrong here; the server's log says what, and it was not your request's fault"


class ErrorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Every answer that is not 2xx: what to do next for people, and a stable code for programs."""

    message: Annotated[str, msgspec.Meta(max_length=MESSAGE_CHARACTERS_MAX)]
    code: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error on its way out."""

    status: int
    body: ErrorResponse
    headers: Mapping[str, str] = {}


def failure_of(error: Exception | None) -> Failure:
    """How to answer for an error; None and anything unknown is a 500 that tells nothing of the inside."""
    match error:
        case TallybookError():
            return Failure(
                status=_status_of(error),
                body=ErrorResponse(message=error.message, code=error.code),
                headers=_headers_of(error),
            )
        case HTTPException() if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            return _framework_failure(error)
        case _:
            return Failure(
                status=HTTPStatus.INTERNAL_SERVER_ERROR,
                body=ErrorResponse(message=_INTERNAL_MESSAGE, code="INTERNAL_ERROR"),
            )


def error_reply(error: Exception | None) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers of the answer for an error, for code that speaks plain ASGI."""
    failure = failure_of(error)
    headers = [(b"content-type", b"application/json")]
    headers += [(name.lower().encode(), value.encode()) for name, value in failure.headers.items()]
    return failure.status, msgspec.json.encode(failure.body), headers


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorResponse]:
    """The framework's way here, for every exception of a route and of routing itself."""
    failure = failure_of(_with_wire_names(error, request))
    if failure.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        telemetry.log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        telemetry.internal_errors.inc()
    return Response(failure.body, status_code=failure.status, headers=dict(failure.headers))


def _status_of(error: TallybookError) -> HTTPStatus:
    return next(
        (STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), HTTPStatus.INTERNAL_SERVER_ERROR
    )


def _headers_of(error: TallybookError) -> dict[str, str]:
    match error:
        case Busy():
            return {"Retry-After": str(error.retry_after_s)}
        case Unauthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case _:
            return {}


def _framework_failure(error: HTTPException) -> Failure:
    status = HTTPStatus(error.status_code)
    message = _FRAMEWORK_MESSAGE.get(status, error.detail)
    return Failure(
        status=_FRAMEWORK_STATUS.get(status, status),
        body=ErrorResponse(message=message[:MESSAGE_CHARACTERS_MAX], code=_FRAMEWORK_CODE.get(status, Invalid.code)),
        headers={name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"},
    )


def _with_wire_names(error: Exception, request: Request[Any, Any, Any]) -> Exception:
    """Turn the framework's list of what is wrong with the parameters into `pageSize: Expected …`."""
    if not isinstance(error, ValidationException) or not isinstance(error.extra, list):
        return error
    wire_names = query_parameters(request.route_handler)
    for problem in error.extra:
        if isinstance(problem, dict) and "message" in problem:
            name = str(problem.get("key", "the request"))
            message = f"{wire_names.get(name, name)}: {problem['message']}"
            return Invalid(message + _choices(request.route_handler, name))
    return error


def _choices(handler: BaseRouteHandler, name: str) -> str:
    """What a parameter that takes one of some words may be; follows the message about another word."""
    field = handler.parsed_fn_signature.parameters.get(name)
    kinds = () if field is None else get_args(field.annotation) or (field.annotation,)
    enums = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)]
    words = [str(each.value) for kind in enums for each in kind]
    return f"; known: {', '.join(words)}" if words else ""
