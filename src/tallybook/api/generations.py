"""Generations of the interface besides the one that handlers speak: the same values, written and read in other shapes.

A handler takes and gives the shapes of generation 2024-12. A request is meant in another generation when its header
says so, or else when its organisation has chosen it (setting `profile`); then what it sends is turned into the
handler's shape before, and what the handler gives into that generation's shape after.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from anyio.to_thread import run_sync
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from tallybook.core.credential import Identity
from tallybook.core.errors import Invalid
from tallybook.core.setting import Profile
from tallybook.storage import settings

PROFILE_HEADER = "X-Tallybook-Profile"
_STATE = "generation"


class Answer(msgspec.Struct, frozen=True):
    """The shape that another generation has for one of ours, and how ours is turned into it."""

    shape: Any
    written: Callable[[Any], Any]


class Question(msgspec.Struct, frozen=True):
    """The shape that another generation has for a request of ours, and how it is turned into ours, or refused."""

    shape: Any
    meant: Callable[[Any], Any]


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What another generation writes and reads differently, by our types."""

    answers: Mapping[Any, Answer]
    questions: Mapping[Any, Question]

    def changes(self, handler: BaseRouteHandler) -> bool:
        """Whether it has another shape for what the handler takes or gives."""
        return taken(handler) in self.questions or given(handler) in self.answers


Generations = Mapping[Profile, Generation]


def given(handler: BaseRouteHandler) -> Any:
    """The type that a handler gives."""
    return handler.parsed_fn_signature.return_type.annotation


def taken(handler: BaseRouteHandler) -> Any:
    """The type of the body that a handler takes; None when it takes none."""
    body = handler.parsed_fn_signature.parameters.get("data")
    return None if body is None else body.annotation


# ---- the generation of a request ---------------------------------------------------------------------------------


async def choose_generation(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard, after the one that finds out who calls, that notes which generation is spoken. Raises `Invalid`."""
    named = connection.headers.get(PROFILE_HEADER)
    asked = None if named is None else profile_from(named)
    generations: Generations = connection.app.state.generations
    if not any(generation.changes(handler) for generation in generations.values()):
        return
    if asked is None:
        asked = await run_sync(_chosen, connection.app.state.dependencies.database, connection.scope["user"])
    connection.scope.setdefault("state", {})[_STATE] = generations.get(asked)


def profile_from(name: str) -> Profile:
    """The profile that the header names. Raises `Invalid`."""
    if name not in set(Profile):
        raise Invalid(f"{PROFILE_HEADER}: {name[:60]!r} is none; choose one of {', '.join(Profile)}")
    return Profile(name)


def spoken(connection: ASGIConnection[Any, Any, Any, Any]) -> Generation | None:
    """The generation that a request is meant in; None for that of the handlers."""
    generation: Generation | None = (connection.scope.get("state") or {}).get(_STATE)
    return generation


def _chosen(database: Any, identity: Identity) -> Profile:
    with database.read() as connection:
        return settings.choices_of(connection, identity.organisation_id).profile


# ---- in and out --------------------------------------------------------------------------------------------------


def as_spoken(request: Request[Any, Any, Any], content: Any) -> Any:
    """What a handler gave, in the shape of the request's generation."""
    generation = spoken(request)
    answer = None if generation is None else generation.answers.get(type(content))
    return content if answer is None else answer.written(content)


def question_of(connection: ASGIConnection[Any, Any, Any, Any], kind: Any) -> Question | None:
    """How the request's generation sends a handler's `kind`, if otherwise than we do."""
    generation = spoken(connection)
    return None if generation is None else generation.questions.get(kind)


# ---- the OpenAPI document ----------------------------------------------------------------------------------------


def described(document: Mapping[str, Any], generation: Generation, handlers: Mapping[str, HTTPRouteHandler]) -> Any:
    """The OpenAPI document in the shapes of another generation; `handlers` are by operation id."""
    shapes = _Shapes(generation)
    paths = {
        path: {
            method: shapes.operation(operation, handlers[operation["operationId"]])
            if operation.get("operationId") in handlers
            else operation
            for method, operation in methods.items()
        }
        for path, methods in document["paths"].items()
    }
    components = document["components"]
    return {
        **document,
        "paths": paths,
        "components": {**components, "schemas": {**components["schemas"], **shapes.components}},
    }


class _Shapes:
    """The other generation's shapes as schemas."""

    def __init__(self, generation: Generation) -> None:
        shapes = {kind: answer.shape for kind, answer in generation.answers.items()}
        shapes |= {kind: question.shape for kind, question in generation.questions.items()}
        schemas, components = msgspec.json.schema_components(
            list(shapes.values()), ref_template="#/components/schemas/2023_{name}"
        )
        self._of = dict(zip(shapes, schemas, strict=True))
        self.components = {f"2023_{name}": _with_numbers(schema) for name, schema in components.items()}

    def operation(self, operation: Mapping[str, Any], handler: HTTPRouteHandler) -> dict[str, Any]:
        """An operation with what it takes and gives in the other shapes."""
        changed = dict(operation)
        if given(handler) in self._of:
            changed["responses"] = {
                status: {**answer, "content": _content(self._of[given(handler)])} if status.startswith("2") else answer
                for status, answer in operation["responses"].items()
            }
        if taken(handler) in self._of:
            changed["requestBody"] = {**operation["requestBody"], "content": _content(self._of[taken(handler)])}
        return changed


def _content(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _with_numbers(schema: Any) -> Any:
    """A schema in which decimals are numbers, as they are on the wire."""
    if isinstance(schema, list):
        return [_with_numbers(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        return {**{key: value for key, value in schema.items() if key != "format"}, "type": "number"}
    return {key: _with_numbers(value) for key, value in schema.items()}
