"""The official Python client, unchanged, pointed at a server of ours, and what it can call."""

import inspect
import re

import togai_client
from running_server import RunningServer


def api_client(server: RunningServer, key: str) -> togai_client.ApiClient:
    return togai_client.ApiClient(togai_client.Configuration(host=server.url, access_token=key))


def methods() -> dict[str, tuple[str, str]]:
    """Every operation that the client can call: by the method's name, the verb and the path it sends."""
    return {
        name: _sent_by(getattr(kind, f"_{name}_serialize"))
        for kind in vars(togai_client).values()
        if inspect.isclass(kind) and kind.__name__.endswith("Api")
        for name in (each.removesuffix("_with_http_info") for each in vars(kind) if each.endswith("_with_http_info"))
    }


def _sent_by(serialize: object) -> tuple[str, str]:
    source = inspect.getsource(serialize)  # type: ignore[arg-type]  # it is a function
    verb, path = re.search(r"method='(\w+)'", source), re.search(r"resource_path='([^']+)'", source)
    assert verb, "every operation has a verb"
    assert path, "every operation has a path"
    return verb[1], path[1]
