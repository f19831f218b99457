"""The served OpenAPI document against the interface's own, operation by operation, and the page that tells of it."""

from typing import Any

import compatibility_page
import pytest
from compatibility import Generation, Verdict
from contract import GENERATIONS, Document, generation

ABSENT: dict[tuple[str, str, str], str] = {}
"""What the interface requires in an answer and we may leave out: by generation, shape and field, with the reason."""

OTHERWISE: dict[tuple[str, str], str] = {
    ("POST /settings", "never answers 204"): "a setting that is there already is a conflict",
    ("PATCH /settings/{setting_id_str}", "never answers 204"): "the setting is shown as it has become",
}
"""What operations do not do although the interface names it, with the reason."""


def demanded(name: str) -> Document:
    document = generation(name)
    if document is None:
        pytest.skip("the interface's documents are not beside the repository")
    return document


def document(
    *,
    body: Any = None,
    answer: Any = None,
    parameters: tuple[Any, ...] = (),
    statuses: tuple[str, ...] = ("200", "400"),
    operation_id: str = "read",
) -> Document:
    """A document with one operation."""
    described: dict[str, Any] = {
        "operationId": operation_id,
        "parameters": [{"in": "query", **each} for each in parameters],
        "responses": {status: {"description": ""} for status in statuses},
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if answer is not None:
        described["responses"]["200"]["content"] = {"application/json": {"schema": answer}}
    return {"paths": {"/things": {"post": described}}}


def differences(ours: Document, theirs: Document) -> list[tuple[Verdict, str, str]]:
    compared = Generation(ours, theirs).compared["post", "/things"]
    return [(each.verdict, each.place, each.text) for each in compared.differences]


def fields(*names: str, required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**{name: {"type": "string"} for name in names}, **more},
        "required": list(required),
    }


# ---- the comparison itself ---------------------------------------------------------------------------------------


def test_fields_of_a_request_are_compared() -> None:
    """A field that we refuse or demand is narrower, one that we take or spare is wider."""
    ours = document(body=fields("a", "b", "new", required=("a",)))
    theirs = document(body=fields("a", "b", "old", required=("b",)))
    assert differences(ours, theirs) == [
        (Verdict.NARROWER, "body.old", "is refused"),
        (Verdict.WIDER, "body.new", "is taken as well"),
        (Verdict.NARROWER, "body.a", "must be given"),
        (Verdict.WIDER, "body.b", "may be left out"),
    ]


def test_fields_of_an_answer_are_compared() -> None:
    """A required field that is not promised is narrower, an optional one that never comes is less."""
    ours = document(answer=fields("a", "new"))
    theirs = document(answer=fields("a", "old", "must", required=("a", "must")))
    assert differences(ours, theirs) == [
        (Verdict.NARROWER, "answer.must", "is never sent, but required there"),
        (Verdict.LESS, "answer.old", "is never sent"),
        (Verdict.WIDER, "answer.new", "is sent as well"),
        (Verdict.NARROWER, "answer.a", "may be absent, but is required there"),
    ]


def test_types_values_and_limits_are_compared() -> None:
    """In a request: fewer types, values or characters are narrower, more are wider."""
    ours = {"n": {"type": "string"}, "e": {"enum": ["A", "B"]}, "s": {"type": "string", "maxLength": 9}}
    theirs = {"n": {"type": "number"}, "e": {"enum": ["B", "C"]}, "s": {"type": "string", "maxLength": 5}}
    found = differences(document(body=fields(**ours)), document(body=fields(**theirs)))
    assert found == [
        (Verdict.NARROWER, "body.e", "refuses `C`"),
        (Verdict.WIDER, "body.e", "takes `A` as well"),
        (Verdict.NARROWER, "body.n", "is string, not number"),
        (Verdict.WIDER, "body.s", "`maxLength` is 9, there 5"),
    ]


def test_what_is_marked_as_not_supported_counts_as_refused() -> None:
    """The document says so in the field's description."""
    ours = fields(x={"oneOf": [{"type": "string"}, {"type": "null"}], "description": "Not supported."})
    assert differences(document(body=ours), document(body=fields("x"))) == [
        (Verdict.NARROWER, "body.x", "is refused, unless empty")
    ]


def test_parameters_statuses_and_names_are_compared() -> None:
    """A parameter or status that is missing is narrower; so is another operation id, which is a client's method."""
    ours = document(parameters=({"name": "mine", "schema": {"type": "string"}},), statuses=("200",))
    theirs = document(parameters=({"name": "theirs", "schema": {}},), statuses=("200", "409"), operation_id="get")
    assert differences(ours, theirs) == [
        (Verdict.NARROWER, "", "is called `get` there"),
        (Verdict.NARROWER, "", "never answers 409"),
        (Verdict.NARROWER, "?theirs", "is refused"),
        (Verdict.WIDER, "?mine", "is taken as well"),
    ]


def test_references_and_compositions_make_no_difference() -> None:
    """A shape that is put together of parts, or may be null, is compared by what it comes to."""
    whole = fields("a", "b", required=("a",))
    parts = {"allOf": [fields("a", required=("a",)), {"oneOf": [fields("b"), {"type": "null"}]}]}
    assert differences(document(body=whole), document(body=parts)) == []


# ---- what is served ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATIONS)
def test_operations_have_the_interfaces_names_and_statuses(name: str) -> None:
    """Every served operation has the operation id of the interface, and documents every status it names."""
    found = Generation(compatibility_page.served_document(name), demanded(name))
    wrong = {
        (comparison.ours.name, each.text)
        for comparison in found.compared.values()
        for each in comparison.differences
        if not each.place and each.verdict is Verdict.NARROWER
    }
    assert wrong == OTHERWISE.keys()


@pytest.mark.parametrize("name", GENERATIONS)
def test_answers_have_what_the_interface_requires(name: str) -> None:
    """Every field that the interface requires in an answer is promised by ours, in every operation."""
    found = Generation(compatibility_page.served_document(name), demanded(name))
    absent = {
        (name, pair.ours, each.place)
        for pair, differences in found.shapes.items()
        for each in differences
        if not pair.sent_to_us and each.verdict is Verdict.NARROWER
    }
    assert absent == set(ABSENT)


def test_answers_of_the_older_generation_have_no_field_that_it_refuses() -> None:
    """Its published clients fail on a field that they do not know, where the interface closes a shape to others."""
    document = demanded("2023-05")
    found = Generation(compatibility_page.served_document("2023-05"), document)
    unknown = {
        (pair.theirs, each.place)
        for pair, differences in found.shapes.items()
        for each in differences
        if not pair.sent_to_us and each.text == "is sent as well" and is_closed(document, pair.theirs)
    }
    assert unknown == set()


def is_closed(document: Document, name: str) -> bool:
    """Whether a shape of the interface may have no other fields than those it lists."""
    return document["components"]["schemas"].get(name, {}).get("additionalProperties") is False


def test_compatibility_page_is_true() -> None:
    """The generated part of docs/compatibility.md is what the comparison says now."""
    for name in GENERATIONS:
        demanded(name)
    page = compatibility_page.PAGE.read_text()
    assert page == compatibility_page.written(page, compatibility_page.current_part() or "")
