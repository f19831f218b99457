"""A client with a key of its own, for tests of routes."""

from typing import Any

from tallybook.core.credential import Scope
from tallybook.flows.authenticate import Authenticator


class Caller:
    """Sends requests with one key."""

    def __init__(self, client: Any, authenticator: Authenticator, organisation_id: str, *scopes: Scope) -> None:
        self.client = client
        self.authenticator = authenticator
        self.key = authenticator.create_key(organisation_id, "test", scopes)

    def of(self, organisation_id: str, *scopes: Scope) -> "Caller":
        """A caller of that organisation with those scopes; with all of them if none are named."""
        return Caller(self.client, self.authenticator, organisation_id, *(scopes or (Scope.ADMIN,)))

    def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        return self.send("GET", path, status, params=parameters)

    def post(self, path: str, body: Any = None, status: int | None = None, **parameters: Any) -> Any:
        return self.send("POST", path, status, json=body, params=parameters)

    def send(self, method: str, path: str, status: int | None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        answer = self.client.request(method, path, headers=headers, **options)
        if status is None:
            assert answer.status_code in (200, 201), answer.text
        else:
            assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        body = answer.json()
        if answer.status_code >= 400:
            assert 1 <= len(body["message"]) <= 500
            assert body["code"].isupper()
        return body
