"""Writes the generated part of `docs/compatibility.md`: run it whenever a route is added or its shapes change."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from compatibility import Difference, Generation, Pair, Verdict
from contract import GENERATIONS, Document, Operation, operations
from contract import generation as document_of_generation

from tallybook.api.application import create_application
from tallybook.api.documentation import document_of
from tallybook.api.handling import Dependencies
from tallybook.core.setting import Profile

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
SOURCE = ROOT / "src" / "tallybook"
BEGINNING = "<!-- generated: from here on by `tests/compatibility_page.py` -->\n"
END = "<!-- generated: until here -->\n"
OPERATORS_TAG = "Operations"
"""What is there for those who run a server, not for those who call the interface."""


def served_document(generation: str = GENERATIONS[0]) -> Document:
    """What `/openapi.json` says to those who ask for that generation."""
    return document_of(create_application(cast("Dependencies", None)), Profile(f"togai-{generation}"))


def written(page: str, generated: str) -> str:
    """The page with another generated part."""
    before, _, rest = page.partition(BEGINNING)
    _, _, after = rest.partition(END)
    return before + BEGINNING + generated + END + after


def generated_part(newer: Document, older: Document) -> str:
    """Everything between the marks."""
    in_newer = Generation(served_document("2024-12"), newer)
    in_older = Generation(served_document("2023-05"), older)
    ours = operations(served_document())
    listed = {name: operation for name, operation in ours.items() if operation.tag != OPERATORS_TAG}
    operators = [operation for operation in ours.values() if operation.tag == OPERATORS_TAG]
    lines = [
        f"Generation 2024-12 has {in_newer.size} operations, generation 2023-05 has {in_older.size}.",
        f"The {len(listed)} below are there; `/openapi.json` of a running server describes them exactly.",
        "",
        "| method and path | operation | scope | 2024-12 | 2023-05 |",
        "|---|---|---|---|---|",
        *(
            f"| `{operation.name}` | `{operation.operation_id}` | {_scopes(operation)} "
            f"| {_verdict(in_newer.verdict(name))} | {_verdict(in_older.verdict(name))} |"
            for name, operation in listed.items()
        ),
        "",
        '"Same" is the same as far as the two documents say; "wider" takes or sends something more.',
        '"Sends less" understands every request, and leaves out something optional in its answer.',
        '"Narrower" refuses something, or leaves out what is required there.',
        "A dash says that the generation does not have the operation; one with two dashes is Tallybook's own.",
        "What exactly stands under [what differs](#what-differs-from-generation-2024-12).",
        "",
        "For operators there are " + ", ".join(f"`{operation.name}`" for operation in operators) + ".",
        "",
        "## What is not there yet",
        "",
        *_missing(in_newer, in_older),
        "## What is refused by name",
        "",
        "What is marked below as refused unless empty, and what gets one of these messages, is `UNSUPPORTED`.",
        "",
        *(f"* `{message}`" for message in refusals()),
        "",
        "## What differs from generation 2024-12",
        "",
        *_differences(in_newer),
        "## What differs from generation 2023-05",
        "",
        *_differences(in_older),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def refusals() -> list[str]:
    """The messages of the source that go with the code UNSUPPORTED, what is put into them shown as `…`."""
    calls = [
        node
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and any(map(_says_unsupported, node.keywords))
    ]
    messages = {_text(call.args[0]) for call in calls}
    return sorted(message for message in messages if not message.startswith("…: "))  # that is any field's, marked so


def _says_unsupported(keyword: ast.keyword) -> bool:
    return keyword.arg == "code" and ast.unparse(keyword.value) in ("'UNSUPPORTED'", "UNSUPPORTED_CODE")


def _text(message: ast.expr) -> str:
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def _scopes(operation: Operation) -> str:
    return ", ".join(f"`{scope}`" for scope in operation.scopes) or "any"


def _verdict(verdict: Verdict | None) -> str:
    return "—" if verdict is None else verdict.word


def _missing(newer: Generation, older: Generation) -> Iterator[str]:
    known = {operation.operation_id for operation in newer.missing}
    gone = [operation for operation in older.missing if operation.operation_id not in known]
    by_tag: dict[str, list[str]] = {}
    for operation in newer.missing:
        by_tag.setdefault(operation.tag, []).append(f"`{operation.name}`")
    for operation in gone:
        by_tag.setdefault(operation.tag, []).append(f"`{operation.name}` (only in 2023-05)")
    yield "| part | operations |"
    yield "|---|---|"
    for tag, names in by_tag.items():
        yield f"| {tag} | {', '.join(names)} |"
    yield ""


def _differences(found: Generation) -> Iterator[str]:
    yield "| operation | where | what |"
    yield "|---|---|---|"
    for comparison in found.compared.values():
        yield from _rows(f"`{comparison.ours.operation_id}`", comparison.differences)
    yield ""
    yield "| shape, and what it is called there | where | what |"
    yield "|---|---|---|"
    for pair, differences in sorted(found.shapes.items(), key=lambda item: _title(item[0])):
        yield from _rows(_title(pair), differences)
    yield ""


def _title(pair: Pair) -> str:
    ours = pair.ours.removeprefix("2023_")
    return f"`{ours}`" if ours == pair.theirs else f"`{ours}` ({pair.theirs})"


def _rows(title: str, differences: Iterable[Difference]) -> Iterator[str]:
    by_text: dict[str, list[str]] = {}
    for each in differences:
        by_text.setdefault(each.text, []).append(each.place)
    for text, places in by_text.items():
        named = ", ".join(f"`{place}`" for place in places if place)
        yield f"| {title} | {named} | {text} |"


def current_part() -> str | None:
    """What the generated part must be now; None where the interface's documents are missing."""
    newer, older = document_of_generation("2024-12"), document_of_generation("2023-05")
    if newer is None or older is None:
        return None
    return generated_part(newer, older)


if __name__ == "__main__":
    part = current_part()
    if part is None:
        raise SystemExit("the interface's documents are not there")
    PAGE.write_text(written(PAGE.read_text(), part))
