"""Every route but the two hot ones, as one Litestar application with its OpenAPI document."""

from collections.abc import Sequence

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler

from tallybook import __version__
from tallybook.api import (
    accounts,
    add_ons,
    aliases,
    api_keys,
    authentication,
    bill_runs,
    corrections,
    credits,
    custom_invoices,
    customers,
    event_schemas,
    events,
    files,
    invoice_changes,
    invoice_groups,
    invoices,
    jobs,
    licences,
    metrics,
    miscellaneous_charges,
    operations,
    payments,
    price_plan_currencies,
    price_plan_migrations,
    price_plans,
    price_plans_v2,
    pricing_rules,
    pricing_schedules,
    proofs,
    reconciliation,
    revenue_calculator,
    schedules_v2,
    settings,
    simulations,
    usage_meters,
    wallet,
)
from tallybook.api.described_types import DecimalsAreNumbers, StructsSayMore
from tallybook.api.documentation import Documentation, Unserved
from tallybook.api.errors import answer_error
from tallybook.api.exact_json import ExactBody, ExactResponse
from tallybook.api.file_links import provide_file_links
from tallybook.api.generation_2023_05 import GENERATION_2023_05
from tallybook.api.handling import BODY_BYTES_MAX, Dependencies, provide_dependencies, provide_identity
from tallybook.core.setting import Profile

ROUTES: Sequence[ControllerRouterHandler] = (
    *authentication.ROUTES,
    *api_keys.ROUTES,
    *customers.ROUTES,
    *accounts.ROUTES,
    *aliases.ROUTES,
    *add_ons.ROUTES,
    *event_schemas.ROUTES,
    *usage_meters.ROUTES,
    *settings.ROUTES,
    *price_plans.ROUTES,
    *price_plan_currencies.ROUTES,
    *price_plan_migrations.ROUTES,
    *price_plans_v2.ROUTES,
    *pricing_rules.ROUTES,
    *pricing_schedules.ROUTES,
    *schedules_v2.ROUTES,
    *events.ROUTES,
    *corrections.ROUTES,
    *jobs.ROUTES,
    *metrics.ROUTES,
    *reconciliation.ROUTES,
    *revenue_calculator.ROUTES,
    *simulations.ROUTES,
    *invoice_groups.ROUTES,
    *bill_runs.ROUTES,
    *invoices.ROUTES,
    *invoice_changes.ROUTES,
    *payments.ROUTES,
    *credits.ROUTES,
    *wallet.ROUTES,
    *custom_invoices.ROUTES,
    *miscellaneous_charges.ROUTES,
    *files.ROUTES,
    *proofs.ROUTES,
    *licences.ROUTES,
    *operations.ROUTES,
)


def create_application(dependencies: Dependencies, *, more_routes: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """The application over these dependencies; `more_routes` need not follow the pattern of `handling`."""
    return Litestar(
        # One router registers all methods of a path at once. One by one, the framework would wrap a path's earlier
        # handlers in a thread again with each method that comes after, and the third layer is never awaited.
        route_handlers=[Documentation, Router("/", route_handlers=[*ROUTES, *more_routes])],
        state=State({"dependencies": dependencies, "generations": {Profile.TOGAI_2023_05: GENERATION_2023_05}}),
        dependencies={
            "dependencies": Provide(provide_dependencies, sync_to_thread=False),
            "identity": Provide(provide_identity, sync_to_thread=False),
            "file_links": Provide(provide_file_links, sync_to_thread=False),
        },
        dto=ExactBody,
        return_dto=None,
        response_class=ExactResponse,
        exception_handlers={Exception: answer_error},
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=_openapi(),
        plugins=[DecimalsAreNumbers(), StructsSayMore()],
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
