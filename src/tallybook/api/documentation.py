"""The OpenAPI document at `/openapi.json`, and the same for people at `/docs`, without a script from anywhere."""

from collections.abc import Iterable
from html import escape
from typing import Any

from litestar import Controller, Litestar, MediaType, Request, Router, get
from litestar.handlers import HTTPRouteHandler

from tallybook.api.generations import PROFILE_HEADER, described, profile_from
from tallybook.api.ingest_document import with_ingest_routes
from tallybook.core.setting import Profile

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
code, pre {{ font-family: ui-monospace, monospace; font-size: .9em; }}
td, th {{ text-align: left; vertical-align: top; padding: .1rem .8rem .1rem 0; }}
h3 {{ margin: 2rem 0 .2rem; }} .method {{ display: inline-block; min-width: 3.5rem; }}
</style></head><body>
<h1>{title} {version}</h1>
<p>{description} The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>
{body}
</body></html>
"""


class Documentation(Controller):
    """The pages that describe the others."""

    path = "/"
    include_in_schema = False
    dto = None

    @get("/openapi.json", media_type=MediaType.JSON, sync_to_thread=False)
    def openapi_document(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        named = request.headers.get(PROFILE_HEADER)
        return document_of(request.app, None if named is None else profile_from(named))

    @get("/docs", media_type=MediaType.HTML, sync_to_thread=False)
    def readable_page(self, request: Request[Any, Any, Any]) -> str:
        return readable_page(document_of(request.app))


class Unserved(Router):
    """Where the framework would put pages of its own, which answer errors in HTML and load scripts from elsewhere."""

    def register(self, value: object) -> list[Any]:
        return []


def document_of(application: Litestar, profile: Profile | None = None) -> dict[str, Any]:
    """The OpenAPI document of everything that is served, in the shapes of that profile; normally in the handlers'."""
    document = with_ingest_routes(application.openapi_schema.to_schema())
    generation = application.state.generations.get(profile)
    return document if generation is None else described(document, generation, _handlers(application))


def _handlers(application: Litestar) -> dict[str, HTTPRouteHandler]:
    handlers = (handler for route in application.routes for handler in getattr(route, "route_handlers", ()))
    return {handler.operation_id: handler for handler in handlers if isinstance(handler.operation_id, str)}


def readable_page(document: dict[str, Any]) -> str:
    """An OpenAPI document as a page: every operation, then every shape."""
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    shapes = [_shape(name, shape) for name, shape in sorted(document["components"]["schemas"].items())]
    return _PAGE.format(
        title=escape(document["info"]["title"]),
        version=escape(document["info"]["version"]),
        description=escape(document["info"]["description"]),
        body="\n".join(["<h2>Operations</h2>", *operations, "<h2>Shapes</h2>", *shapes]),
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        *_parameter_rows(operation.get("parameters", ())),
        *_content_rows("body", operation.get("requestBody", {})),
        *(row for status, response in operation["responses"].items() for row in _content_rows(status, response)),
    ]
    return (
        f'<h3><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h3>'
        f"<p>{escape(operation.get('summary', ''))}</p><table>{''.join(rows)}</table>"
    )


def _parameter_rows(parameters: Iterable[dict[str, Any]]) -> list[str]:
    return [
        _row(f"{parameter['name']} ({parameter['in']})", parameter["schema"], parameter.get("description", ""))
        for parameter in parameters
    ]


def _content_rows(name: str, holder: dict[str, Any]) -> list[str]:
    contents = holder.get("content", {}).values()
    return [_row(name, content["schema"], holder.get("description", "")) for content in contents]


def _shape(name: str, shape: dict[str, Any]) -> str:
    rows = [
        _row(
            field + ("" if field in shape.get("required", ()) else " (optional)"),
            content,
            content.get("description", ""),
        )
        for field, content in shape.get("properties", {}).items()
    ]
    values = f"<p>{escape(', '.join(map(str, shape['enum'])))}</p>" if "enum" in shape else ""
    heading = f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
    return f"{heading}<p>{escape(shape.get('description', ''))}</p>{values}<table>{''.join(rows)}</table>"


def _row(name: str, schema: dict[str, Any], remark: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{_type(schema)}</td><td>{escape(remark)}</td></tr>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if "oneOf" in schema:
        return " or ".join(_type(choice) for choice in schema["oneOf"])
    return escape(str(schema.get("type", "anything")))
