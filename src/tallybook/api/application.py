"""Every route but the two hot ones, as one Litestar application with its OpenAPI document."""

from collections.abc import Sequence

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler

from tallybook import __version__
from tallybook.api import (
    accounts,
    authentication,
    customers,
    event_schemas,
    events,
    invoices,
    operations,
    price_plans,
    usage_meters,
)
from tallybook.api.documentation import Documentation, Unserved
from tallybook.api.errors import answer_error
from tallybook.api.exact_json import ExactBody, ExactResponse
from tallybook.api.handling import BODY_BYTES_MAX, Dependencies, provide_dependencies, provide_identity

ROUTES: Sequence[ControllerRouterHandler] = (
    *authentication.ROUTES,
    *customers.ROUTES,
    *accounts.ROUTES,
    *event_schemas.ROUTES,
    *usage_meters.ROUTES,
    *price_plans.ROUTES,
    *events.ROUTES,
    *invoices.ROUTES,
    *operations.ROUTES,
)


def create_application(dependencies: Dependencies, *, more_routes: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """The application over these dependencies; `more_routes` need not follow the pattern of `handling`."""
    return Litestar(
        route_handlers=[Documentation, *ROUTES, *more_routes],
        state=State({"dependencies": dependencies}),
        dependencies={
            "dependencies": Provide(provide_dependencies, sync_to_thread=False),
            "identity": Provide(provide_identity, sync_to_thread=False),
        },
        dto=ExactBody,
        return_dto=None,
        response_class=ExactResponse,
        exception_handlers={Exception: answer_error},
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=_openapi(),
        logging_config=None,
        debug=False,
    )


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Tallybook",
        version=__version__,
        description="Usage metering and billing: events in, invoices out, exact and exactly once.",
        openapi_router=Unserved("/unserved", route_handlers=[]),
        components=Components(
            security_schemes={
                "bearerAuth": SecurityScheme(type="http", scheme="bearer", description="An API key, or a token."),
                "apiKeyAuth": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
            }
        ),
        security=[{"bearerAuth": []}, {"apiKeyAuth": []}],
    )
