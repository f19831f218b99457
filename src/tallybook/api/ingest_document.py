"""The ingest routes in the OpenAPI document; the framework does not know them, for they are served in front of it."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import msgspec

from tallybook.api.handling import ERRORS, credentials_for
from tallybook.core import event
from tallybook.core.credential import Scope
from tallybook.core.decimals import DECIMAL_TEXT
from tallybook.core.errors import MESSAGE_CHARACTERS_MAX

_Message = Annotated[str, msgspec.Meta(max_length=MESSAGE_CHARACTERS_MAX)]
_DecimalText = Annotated[str, msgspec.Meta(pattern=f"^{DECIMAL_TEXT.pattern}$")]
_Timestamp = Annotated[
    datetime, msgspec.Meta(description="ISO 8601; without an offset: UTC.", extra_json_schema={"format": "date-time"})
]


class IngestAttribute(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A named quantity; a name stands once in an event."""

    name: event.FieldName
    value: _DecimalText | float  # this says what a JSON number is called; nothing here ever decodes one
    unit: event.UnitName | None = None


class IngestEvent(msgspec.Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """One usage event. Without an id the schema's template makes one."""

    schema_name: event.SchemaName
    timestamp: _Timestamp
    account_id: event.AccountReference
    attributes: Annotated[list[IngestAttribute], msgspec.Meta(max_length=event.ATTRIBUTES_MAX)]
    dimensions: Annotated[dict[event.FieldName, event.DimensionValue], msgspec.Meta(max_length=event.DIMENSIONS_MAX)]
    id: event.EventId | None = None
    created_at: Annotated[str | None, msgspec.Meta(description="Tolerated, and ignored.")] = None


class IngestEventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One event."""

    event: IngestEvent


class IngestBatchEventRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Up to a thousand events, each accepted or refused by itself."""

    events: Annotated[list[IngestEvent], msgspec.Meta(min_length=1, max_length=event.EVENTS_MAX)]


class RefusedEvent(msgspec.Struct):
    """Why one event was not accepted; `index` counts from 0 in the request."""

    index: int
    id: str | None
    code: str
    message: str


class RefusalDetails(msgspec.Struct):
    """Every event that was not accepted."""

    errors: list[RefusedEvent]


class IngestEventResponse(msgspec.Struct, rename="camel", omit_defaults=True):
    """What became of a request with events; when all were accepted, `success` alone."""

    success: bool
    status_code: int | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    message: _Message | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    details: RefusalDetails | msgspec.UnsetType = msgspec.UNSET


def with_ingest_routes(document: Mapping[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with the ingest routes added."""
    types = (IngestEventRequest, IngestBatchEventRequest, IngestEventResponse)
    (single, batch, response), shapes = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    components = document["components"]
    return {
        **document,
        "paths": {
            "/ingest": {"post": _operation("ingest", "Send one event", single, response, several=False)},
            "/ingestBatch": {
                "post": _operation("ingestBatch", "Send up to 1000 events", batch, response, several=True)
            },
            **document["paths"],
        },
        "components": {**components, "schemas": {**components["schemas"], **shapes}},
    }


def _operation(
    operation_id: str, summary: str, body: dict[str, Any], response: dict[str, Any], *, several: bool
) -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/ErrorResponse"}
    responses = {"202": _content("Accepted, and durable.", response)}
    if several:
        responses["207"] = _content("Some events were refused; the others are accepted, and durable.", response)
    for status, specification in ERRORS.items():
        if status != HTTPStatus.NOT_FOUND:
            refused = status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
            shape = {"anyOf": [response, error]} if refused else error
            responses[str(status)] = _content(specification.description, shape)
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["Event Ingestion"],
        "requestBody": {**_content("", body), "required": True},
        "responses": responses,
        "security": credentials_for(Scope.INGEST),
    }


def _content(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
