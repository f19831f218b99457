"""The repository tests itself: what its pages say is in the code, and what is in the code is on its pages."""

import ast
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import cast

import msgspec
import prometheus_client
import pytest
import typer
from sqlalchemy import create_engine

from tallybook import telemetry
from tallybook.api.application import create_application
from tallybook.api.handling import Dependencies
from tallybook.api.ingest_document import with_ingest_routes
from tallybook.cli import app
from tallybook.config import PREFIX, Settings
from tallybook.storage.database import migrate
from tallybook.storage.tables import metadata

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tallybook"
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
LINES_MAX = 600
LONG_FILES: dict[str, str] = {}
"""Files of more than `LINES_MAX` lines, each with the reason why it is one idea all the same."""

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:tests|src|docs|bench|examples)/[\w./-]+\w)(?:::(\w+))?`")
_COMMAND = re.compile(r"(?:^|[`\s(])(?:\.venv/bin/)?tallybook ((?:[a-z]+|--?[a-z-]+|[A-Z]+|[\w./:-]+)(?: [^`\n)|]*)?)")
_ERROR_CODE = re.compile(r"[A-Z]{2,}(?:_[A-Z]+)*")
_LEFTOVER = re.compile(r"\b(?:TODO|FIXME|XXX|HACK|NotImplementedError|for now)\b")
_REGISTRY = re.compile(
    r"(?:pypi|pythonhosted|npmjs|crates|golang|anaconda)\.(?:org|io)|index-[u]rl|(?:docker|ghcr|quay)\.io"
)
_MACHINE_PATH = re.compile(r"(?<![\w.$}*])/(?:work|home|root|tmp|Users)/\w")


# ---- settings ----------------------------------------------------------------------------------------------------


def settings_table() -> str:
    """The table of `docs/settings.md`, from the settings themselves; running this file prints it."""
    rows = ["| setting | variable | default | limits | meaning |", "|---|---|---|---|---|"]
    for field in msgspec.structs.fields(Settings):
        meta = field.type.__metadata__[0]
        limits = "text" if meta.ge is None else f"{meta.ge} to {meta.le}"
        rows.append(
            f"| `{field.name}` | `{PREFIX}{field.name.upper()}` | `{field.default}` | {limits} | {meta.description} |"
        )
    return "\n".join(rows) + "\n"


def test_settings_page_is_the_settings() -> None:
    """Name, variable, default, limits and meaning of every setting stand in the docs as they are in the code."""
    assert settings_table() in (DOCS / "settings.md").read_text()


# ---- commands ----------------------------------------------------------------------------------------------------


def commands() -> dict[str, set[str]]:
    """The options, shown ones only, of every command by its full name."""
    return dict(_commands_of(typer.main.get_command(app), ""))


def _commands_of(command: object, name: str) -> Iterator[tuple[str, set[str]]]:
    inner: dict[str, object] = getattr(command, "commands", {})
    for word, each in inner.items():
        yield from _commands_of(each, f"{name} {word}".strip())
    if not inner:
        parameters = [each for each in command.params if each.param_type_name == "option" and not each.hidden]  # type: ignore[attr-defined]
        yield name, {option for each in parameters for option in each.opts}


def commands_on_pages() -> Iterator[tuple[str, str, set[str]]]:
    """Every use of `tallybook` on a page: where, which command, with which options."""
    known = commands()
    for page in PAGES:
        for found in _COMMAND.finditer(_code_of(page.read_text())):
            words = found[1].split()
            name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in known), " ".join(words[:2]))
            yield page.name, name, {word.partition("=")[0] for word in words if word.startswith("--")}


def _code_of(text: str) -> str:
    """The code spans and blocks of a page, a line each."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return "\n".join([*blocks, *spans])


def test_commands_on_pages_exist() -> None:
    """A command or option that a page shows is one that the program has."""
    known = commands()
    for page, name, options in commands_on_pages():
        if name in ("", "--help") or any(command.startswith(f"{name} ") for command in known):
            continue
        assert name in known, f"{page}: tallybook {name}"
        assert options <= known[name] | {"--help"}, f"{page}: tallybook {name}"


def test_commands_and_options_are_documented() -> None:
    """Every command has its row in docs/operations.md, and the row names every option."""
    page = (DOCS / "operations.md").read_text()
    for name, options in commands().items():
        row = re.search(rf"^\| `tallybook {name}\b.*$", page, re.MULTILINE)
        assert row, f"tallybook {name}"
        assert set(re.findall(r"--[a-z-]+", row[0])) == options - {"--help"}, f"tallybook {name}"


# ---- error codes -------------------------------------------------------------------------------------------------


def error_codes() -> set[str]:
    """Every error code that stands in the source as one: `code=…`, `code = …`, `…_CODE = …`, `{"code": …}`."""
    found: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            found.update(*map(_codes_in, _code_values(node)))
    return found


def _code_values(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.keyword(arg="code", value=value):
            yield value
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == "code" or name.endswith("_CODE"):
            yield value
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    yield value


def _codes_in(value: ast.AST) -> set[str]:
    constants = [node.value for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return {text for text in constants if isinstance(text, str) and _ERROR_CODE.fullmatch(text)}


def test_error_codes_are_documented() -> None:
    """docs/errors.md has a row for every error code in the source, and for none besides."""
    documented = re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert len(set(documented)) == len(documented)
    assert set(documented) == error_codes()


# ---- figures -----------------------------------------------------------------------------------------------------


def figures() -> set[str]:
    """The names under which Prometheus finds our figures."""
    declared = [
        figure._name + ("_total" if isinstance(figure, prometheus_client.Counter) else "")
        for figure in vars(telemetry).values()
        if isinstance(figure, prometheus_client.Counter | prometheus_client.Histogram)
    ]
    source = (SOURCE / "api" / "operations.py").read_text()
    collected = re.findall(r"(Counter|Gauge)MetricFamily\(\s*\"(\w+)\"", source)
    return {*declared, *(name + ("_total" if kind == "Counter" else "") for kind, name in collected)}


def test_figures_are_documented() -> None:
    """docs/operations.md has a row for every figure of `GET /metrics`, and for none besides."""
    documented = re.findall(r"^\| `(tallybook_\w+)", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert set(documented) == figures()


# ---- the interface -----------------------------------------------------------------------------------------------


def test_compatibility_page_lists_what_is_served() -> None:
    """docs/compatibility.md has a row for every operation of the OpenAPI document that is not an operator's."""
    document = with_ingest_routes(create_application(cast("Dependencies", None)).openapi_schema.to_schema())
    served = {
        (f"{method.upper()} {path}", operation["operationId"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["tags"] != ["Operations"]
    }
    page = (DOCS / "compatibility.md").read_text()
    listed = re.findall(r"^\| `([A-Z]+ /\S+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert set(listed) == served
    assert f"The {len(served)} below are there" in page


# ---- pages -------------------------------------------------------------------------------------------------------


def headings(page: Path) -> set[str]:
    """What links may name in a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file or a heading of ours resolves."""
    for link in _LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_tests_that_pages_name_exist(page: Path) -> None:
    """A page names no file, and no test in it, that is not there."""
    for path, test in _PATH.findall(page.read_text()):
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"


def test_every_law_stands_among_the_guarantees() -> None:
    """docs/guarantees.md names each file of property tests."""
    page = (DOCS / "guarantees.md").read_text()
    for law in (ROOT / "tests" / "laws").glob("test_*.py"):
        assert f"`tests/laws/{law.name}`" in page


# ---- the source --------------------------------------------------------------------------------------------------


@cache
def tracked_files() -> list[Path]:
    """The files that are in the repository, or would be: everything that is not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    """Where the pattern is found, as `file:line`."""
    return [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for file in files
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_files_are_one_sitting() -> None:
    """A longer file has a reason, and a reason has a longer file."""
    long = {
        str(file.relative_to(ROOT)) for file in SOURCE.rglob("*.py") if len(file.read_text().splitlines()) > LINES_MAX
    }
    assert long == LONG_FILES.keys()


def test_core_names_no_binary_numbers() -> None:
    """The word `float` does not occur in the core, so no quantity can become one there."""
    assert lines_with(re.compile(r"\bfloat\b"), sorted((SOURCE / "core").glob("*.py"))) == []


def test_nothing_is_left_over() -> None:
    """The source has no notes to oneself and nothing that is to be written later."""
    assert lines_with(_LEFTOVER, sorted(SOURCE.rglob("*.py"))) == []


def test_no_registry_and_no_path_of_a_machine_is_tracked() -> None:
    """Where packages come from, and where somebody keeps a checkout, is nobody else's business."""
    assert lines_with(_REGISTRY, tracked_files()) == []
    assert lines_with(_MACHINE_PATH, tracked_files()) == []


def test_migrations_make_the_tables(tmp_path: Path) -> None:
    """A migrated database has the tables and indexes of `storage/tables`, column by column, and no others."""
    migrate(tmp_path / "migrated.sqlite")
    engine = create_engine(f"sqlite:///{tmp_path / 'created.sqlite'}")
    metadata.create_all(engine)
    engine.dispose()
    assert layout(tmp_path / "migrated.sqlite") == layout(tmp_path / "created.sqlite")


def layout(path: Path) -> dict[tuple[str, str], str]:
    """What a database consists of: the statement that makes each table and index, in one line."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    connection.close()
    return {(kind, name): " ".join((sql or "").split()) for kind, name, sql in rows if "alembic_version" not in name}


if __name__ == "__main__":
    print(settings_table(), end="")
