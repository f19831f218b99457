"""Which area of the interface a route is in, and whether a caller may use it there: the one table for roles."""

from litestar.handlers import BaseRouteHandler

from tallybook.core.credential import Identity, Scope
from tallybook.core.role import Area

_AREA_OF_SEGMENT: dict[str, Area] = {
    "customers": Area.CUSTOMERS,
    "accounts": Area.ACCOUNTS,
    "aliases": Area.ACCOUNTS,
    "invoice_groups": Area.ACCOUNTS,
    "event_schema": Area.EVENT_SCHEMAS,
    "usage_meters": Area.USAGE_METERS,
    "settings": Area.SETTINGS,
    "addons": Area.PRICE_PLANS,
    "features": Area.PRICE_PLANS,
    "price_plans": Area.PRICE_PLANS,
    "revenue_calculator": Area.PRICE_PLANS,
    "simulations": Area.PRICE_PLANS,
    "license_updates": Area.PRICING_SCHEDULES,
    "named_license_updates": Area.PRICING_SCHEDULES,
    "purchases": Area.PRICING_SCHEDULES,
    "purchase_proposals": Area.PRICING_SCHEDULES,
    "schedules": Area.PRICING_SCHEDULES,
    "invoice": Area.INVOICES,
    "invoices": Area.INVOICES,
    "payments": Area.INVOICES,
    "credits": Area.CREDITS,
    "entitled": Area.ENTITLEMENTS,
    "events": Area.EVENTS,
    "reconciliation": Area.EVENTS,
    "metrics": Area.METRICS,
    "jobs": Area.JOBS,
    "files": Area.JOBS,
    "api_keys": Area.API_KEYS,
}
"""By the first segment of a path, or the second behind a version such as `v2`."""

_AREA_OF_ACCOUNTS_SEGMENT: dict[str, Area] = {
    "price_plans": Area.PRICING_SCHEDULES,
    "pricing_schedules": Area.PRICING_SCHEDULES,
    "edit_schedules": Area.PRICING_SCHEDULES,
    "schedules": Area.PRICING_SCHEDULES,
    "discard_schedules": Area.PRICING_SCHEDULES,
    "finalize_schedules": Area.PRICING_SCHEDULES,
    "purchases": Area.PRICING_SCHEDULES,
    "purchase_proposals": Area.PRICING_SCHEDULES,
    "miscellaneous_charges": Area.INVOICES,
    "credit_balance": Area.CREDITS,
    "wallet": Area.CREDITS,
    "wallet_topup": Area.CREDITS,
    "features": Area.ENTITLEMENTS,
    "entitlements": Area.ENTITLEMENTS,
}
"""What an account has beside itself, by the segment behind its id."""


def require_permission(identity: Identity, scope: Scope, handler: BaseRouteHandler) -> None:
    """Raise `Forbidden` unless the caller's scopes, or its role in the route's area, allow this."""
    area = area_of(min(handler.paths))
    if area is None or scope is Scope.ADMIN:
        identity.require(scope)
    else:
        identity.require_in(area, scope)


def area_of(path: str) -> Area | None:
    """The area of a route by its path; None is a route that no role opens."""
    segments = path.strip("/").split("/")
    if segments[0].startswith("v") and segments[0][1:].isdigit():
        segments = segments[1:]
    if segments[0] == "accounts" and len(segments) > 2:
        return _AREA_OF_ACCOUNTS_SEGMENT.get(segments[2], Area.ACCOUNTS)
    return _AREA_OF_SEGMENT.get(segments[0])
