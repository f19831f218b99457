"""Roles: what a person or program of a certain kind may do, as areas of the interface.

The roles and their areas are those of the interface. A role adds to what the scopes of a key allow; which routes an
area has is up to `api.permissions`.
"""

from enum import StrEnum


class Area(StrEnum):
    """A part of the interface that is permitted or not as a whole."""

    CUSTOMERS = "customers"
    ACCOUNTS = "accounts"
    EVENT_SCHEMAS = "event schemas"
    USAGE_METERS = "usage meters"
    SETTINGS = "settings"
    PRICE_PLANS = "price plans"
    PRICING_SCHEDULES = "pricing schedules"
    INVOICES = "invoices"
    CREDITS = "credits"
    ENTITLEMENTS = "entitlements"
    EVENTS = "events"
    METRICS = "metrics"
    JOBS = "jobs"
    API_KEYS = "API keys"


class Role(StrEnum):
    """Who somebody is in the organisation."""

    ADMINISTRATOR = "ADMINISTRATOR"
    ANALYST = "ANALYST"
    DEVELOPER = "DEVELOPER"
    PRODUCT_MANAGER = "PRODUCT_MANAGER"


_EVERYTHING = frozenset(Area)
_DEFINITIONS = frozenset(
    {Area.CUSTOMERS, Area.ACCOUNTS, Area.EVENT_SCHEMAS, Area.USAGE_METERS, Area.SETTINGS},
)
_PRICING = frozenset({Area.PRICE_PLANS, Area.PRICING_SCHEDULES, Area.INVOICES, Area.CREDITS})

READABLE: dict[Role, frozenset[Area]] = {
    Role.ADMINISTRATOR: _EVERYTHING,
    Role.ANALYST: _EVERYTHING - {Area.API_KEYS},
    Role.DEVELOPER: _DEFINITIONS,
    Role.PRODUCT_MANAGER: _EVERYTHING - {Area.API_KEYS},
}
"""What each role may read."""

WRITABLE: dict[Role, frozenset[Area]] = {
    Role.ADMINISTRATOR: _EVERYTHING,
    Role.ANALYST: frozenset(),
    Role.DEVELOPER: _DEFINITIONS,
    Role.PRODUCT_MANAGER: _PRICING,
}
"""What each role may change."""
