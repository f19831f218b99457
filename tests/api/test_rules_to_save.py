"""Rules sent over HTTP: what can never work is a 400 that names the place, and nothing is stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogue_samples as samples
import pytest
from api_caller import Caller
from embedded import ORGANISATION, Embedded

from tallybook.core.credential import Scope

DIVIDES_BY_ZERO = '{"+":[{"var":"attributes.distance"},{"/":[1,0]}]}'


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    embedded = Embedded(tmp_path)
    with embedded.caller() as client:
        yield Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN)
    embedded.close()


def meter(computation: str, matcher: str | None = None) -> dict[str, Any]:
    return samples.meter(computations=[{"matcher": matcher, "computation": computation, "order": 1}])


@pytest.mark.parametrize(
    ("computation", "matcher", "message"),
    [
        (DIVIDES_BY_ZERO, None, "computations[0].computation: +[1]./: division by zero"),
        ("1", DIVIDES_BY_ZERO, "computations[0].matcher: +[1]./: division by zero"),
        ('{"now":[]}', None, "computations[0].computation: the rule: unknown operator 'now'"),
        ('{"var":"attributes.speed"}', None, "computations[0].computation: var: unknown variable 'attributes.speed'"),
        ('{">":[1]}', None, "computations[0].computation: >: '>' takes 2 operands, found 1"),
    ],
)
def test_meter_with_a_rule_that_can_never_work_is_refused(
    caller: Caller, computation: str, matcher: str | None, message: str
) -> None:
    """By place in the body, operator and place in the rule."""
    caller.post("/event_schema", samples.schema())
    answer = caller.post("/usage_meters", meter(computation, matcher), status=400)
    assert answer["message"].startswith(message)
    assert caller.get("/usage_meters")["data"] == []


def test_setting_that_holds_such_a_rule_is_refused(caller: Caller) -> None:
    """A rule in a setting is a rule; its variables are known only where it is used."""
    setting = {
        "id": "rule",
        "namespace": "USER",
        "name": "rule",
        "value": DIVIDES_BY_ZERO,
        "dataType": "JSON_LOGIC",
        "entityType": "ORGANIZATION",
        "entityId": ORGANISATION,
    }
    assert caller.post("/settings", setting, status=400)["message"] == "value: +[1]./: division by zero"
    caller.post("/settings", {**setting, "value": '{"+":[{"var":"attributes.anything"},1]}'}, status=201)


def test_enrichment_by_such_a_rule_is_refused(caller: Caller) -> None:
    """The answer names the field."""
    field = {"name": "km", "type": "ATTRIBUTE", "enrichmentType": "JSON_LOGIC", "value": DIVIDES_BY_ZERO, "order": 1}
    schema = {**samples.schema(), "enrichments": {"dependencies": [], "fields": [field]}}
    answer = caller.post("/event_schema", schema, status=400)
    assert answer["message"] == "enrichments.fields[0].value: +[1]./: division by zero"
