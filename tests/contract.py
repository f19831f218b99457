"""The interface's own OpenAPI documents, and what an OpenAPI document says of an operation, in a form to compare.

A schema is brought to one form whatever the way it was written: references are followed, parts of one whole are
joined, alternatives are laid over each other. The documents are no part of the repository; where they are missing, what
needs them is skipped.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

DOCUMENTS = Path(__file__).parents[2] / "shared" / "contract"
GENERATIONS = ("2024-12", "2023-05")
METHODS = ("get", "post", "put", "patch", "delete")

Document = Mapping[str, Any]
OperationName = tuple[str, str]
"""Method, and path with its parameters unnamed."""


class Operation(msgspec.Struct, frozen=True):
    """One operation of a document, with what it takes and gives."""

    name: str
    document: Document
    operation_id: str | None
    parameters: Mapping[str, Mapping[str, Any]]
    body: Mapping[str, Any] | None
    body_required: bool
    answers: Mapping[str, Mapping[str, Any] | None]
    statuses: frozenset[str]
    scopes: Sequence[str]
    tag: str


class Schema(msgspec.Struct, frozen=True):
    """What a value may be. No types at all means: any."""

    name: str | None
    types: frozenset[str]
    values: frozenset[str]
    fields: Mapping[str, Mapping[str, Any]]
    required: frozenset[str]
    closed: bool
    items: Mapping[str, Any] | None
    rest: Mapping[str, Any] | None
    limits: Mapping[str, Any]
    description: str


def generation(name: str) -> Document | None:
    """The interface's document of that generation, if it is there."""
    path = DOCUMENTS / f"togai-{name}.openapi.yaml"
    return _loaded(path) if path.exists() else None


@cache
def _loaded(path: Path) -> Document:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with path.open() as file:
        document: Document = yaml.load(file, Loader=loader)  # both loaders are safe ones
    return document


def operations(document: Document) -> dict[OperationName, Operation]:
    """Every operation of a document."""
    return {
        (method, _unnamed(path)): _operation(document, method, path, holder)
        for path, holder in document["paths"].items()
        for method in METHODS
        if method in holder
    }


def _operation(document: Document, method: str, path: str, holder: Mapping[str, Any]) -> Operation:
    described = holder[method]
    parameters = [follow(document, each) for each in (*holder.get("parameters", ()), *described.get("parameters", ()))]
    body = follow(document, described.get("requestBody", {}))
    return Operation(
        name=f"{method.upper()} {path}",
        document=document,
        operation_id=described.get("operationId"),
        parameters={each["name"]: each for each in parameters if each["in"] == "query"},
        body=_content(body),
        body_required=bool(body.get("required")),
        answers={
            status: _content(follow(document, answer))
            for status, answer in described["responses"].items()
            if status[0] in "23"
        },
        statuses=frozenset(described["responses"]),
        scopes=[scope for each in described.get("security", ())[:1] for held in each.values() for scope in held],
        tag=", ".join(described.get("tags", ())),
    )


def _unnamed(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _content(holder: Mapping[str, Any]) -> Mapping[str, Any] | None:
    content = holder.get("content", {})
    schema: Mapping[str, Any] | None = (
        content["application/json"].get("schema") if "application/json" in content else None
    )
    return schema


def follow(document: Document, holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference refers to."""
    while "$ref" in holder:
        found: Any = document
        for step in holder["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        holder = found
    return holder


_LIMITS = ("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum")


def schema(document: Document, written: Mapping[str, Any]) -> Schema:
    """A schema in the one form."""
    name = written["$ref"].rsplit("/", 1)[-1] if "$ref" in written else None
    found = follow(document, written)
    joined = [schema(document, each) for each in found.get("allOf", ())]
    choices = [schema(document, each) for each in (*found.get("oneOf", ()), *found.get("anyOf", ()))]
    choices = [each for each in choices if each.types != {"null"}]
    if name is None and len(choices) == 1 and not joined:
        name = choices[0].name
    if name is None and len(joined) == 1 and "properties" not in found:
        name = joined[0].name
    own = _plain(found, name)
    for each in joined:
        own = _both(own, each)
    return _both(own, _either(choices)) if choices else own


def _plain(found: Mapping[str, Any], name: str | None) -> Schema:
    types = found.get("type", ())
    types = {types} if isinstance(types, str) else set(types)
    if "properties" in found:
        types.add("object")
    additional = found.get("additionalProperties")
    if not types and ("enum" in found or "const" in found):
        types.add("string")
    values = found.get("enum", [found["const"]] if "const" in found else ())
    return Schema(
        name=name,
        types=frozenset(types - ({"null"} if len(types) > 1 else set())),
        values=frozenset(str(each) for each in values if each is not None),
        fields=found.get("properties", {}),
        required=frozenset(found.get("required", ())),
        closed=additional is False,
        items=found.get("items"),
        rest=additional if isinstance(additional, dict) else None,
        limits={key: found[key] for key in _LIMITS if key in found},
        description=str(found.get("description", "")),
    )


def _both(one: Schema, other: Schema) -> Schema:
    return Schema(
        name=one.name or other.name,
        types=one.types | other.types,
        values=one.values | other.values,
        fields={**one.fields, **other.fields},
        required=one.required | other.required,
        closed=one.closed or other.closed,
        items=one.items or other.items,
        rest=one.rest or other.rest,
        limits={**other.limits, **one.limits},
        description=one.description or other.description,
    )


def _either(choices: Sequence[Schema]) -> Schema:
    """Every field of every choice; required is what all of them require."""
    first, *others = choices
    joined = first
    for each in others:
        joined = _both(joined, each)
    alike = frozenset.intersection(*(each.required for each in choices))
    return msgspec.structs.replace(
        joined,
        name=first.name if not others else None,
        required=alike,
        limits=first.limits if not others else {},
        values=joined.values if all(each.values for each in choices) else frozenset(),
    )
