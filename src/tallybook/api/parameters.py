"""Path and query parameters: what every route refuses, and what they are called on the wire."""

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg, QueryParameter

from tallybook.core.errors import Invalid
from tallybook.core.event import EVENT_TIME_YEARS, utc

QUERY_BYTES_MAX = 8192  # a paging token and some filters, the longest query there is a use for, have a tenth
PATH_PARAMETER_CHARACTERS_MAX = 512  # the longest id there is, an event's


async def refuse_strange_parameters(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard that lets no unknown, repeated or unreadable parameter pass. Raises `Invalid`."""
    for name, value in connection.path_params.items():
        check_text_parameter(str(value), name)
        if len(str(value)) > PATH_PARAMETER_CHARACTERS_MAX:
            raise Invalid(f"{name}: at most {PATH_PARAMETER_CHARACTERS_MAX} characters")
    query = connection.scope["query_string"]
    if not query:
        return
    if len(query) > QUERY_BYTES_MAX:
        raise Invalid(f"the query string is longer than {QUERY_BYTES_MAX} bytes")
    known = set(query_parameters(handler).values())
    seen: set[str] = set()
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise Invalid(f"unknown query parameter {name[:60]!r}; known: {', '.join(sorted(known)) or 'none'}")
        if name in seen:
            raise Invalid(f"query parameter {name!r} stands there twice")
        seen.add(name)
        check_text_parameter(value, name)


def check_text_parameter(text: str, name: str) -> None:
    """Refuse text that no id can be: with U+0000 or half a character in it. Raises `Invalid`."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid(f"{name}: has characters that are not allowed")


def utc_instant(instant: datetime, name: str) -> datetime:
    """A time of a request in UTC; without an offset it is UTC. Raises `Invalid` beyond the years of events."""
    if instant.year not in EVENT_TIME_YEARS:
        raise Invalid(f"{name}: must be in the years {EVENT_TIME_YEARS[0]} to {EVENT_TIME_YEARS[-1]}")
    return utc(instant)


def query_parameters(handler: BaseRouteHandler) -> dict[str, str]:
    """The handler's query parameters: their names on the wire, by the names of its arguments."""
    definitions = {name: field.kwarg_definition for name, field in handler.parsed_fn_signature.parameters.items()}
    names = {name: _query_name(definition) for name, definition in definitions.items()}
    return {name: wire_name for name, wire_name in names.items() if wire_name}


def _query_name(definition: object) -> str | None:
    if isinstance(definition, QueryParameter):
        return definition.name
    return definition.query if isinstance(definition, ParameterKwarg) else None
