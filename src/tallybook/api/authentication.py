"""`POST /authenticate`: a session token for an API key."""

from typing import Any

import msgspec
from litestar import Request

from tallybook.api.handling import Connected, for_any_credential


class TokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A session token; send it as `Authorization: Bearer`."""

    token: str


@for_any_credential(
    "/authenticate",
    operation_id="authenticate",
    summary="Exchange an API key for a token that is valid for 24 hours; a token for itself",
    tag="Authentication",
)
def authenticate(request: Request[Any, Any, Any], dependencies: Connected) -> TokenResponse:
    headers = request.headers
    token = dependencies.authenticator.exchange(_raw(headers.get("authorization")), _raw(headers.get("x-api-key")))
    return TokenResponse(token=token)


def _raw(value: str | None) -> bytes | None:
    return None if value is None else value.encode("latin-1")


ROUTES = (authenticate,)
