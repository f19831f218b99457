"""The command line. Options double as environment variables: `--data-dir` is `TALLYBOOK_DATA_DIR`."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from tallybook import assembly, telemetry, workers
from tallybook.config import Settings, read_settings
from tallybook.core.credential import Scope
from tallybook.core.errors import Invalid, TallybookError
from tallybook.core.proof import check_proof
from tallybook.core.role import Role
from tallybook.demo import check_installed
from tallybook.kernel import die_with
from tallybook.supervise import serve as supervise

app = typer.Typer(
    name="tallybook",
    help="Usage metering and billing: events in, invoices out, exact and exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
keys = typer.Typer(help="API keys: make, list and revoke them.", no_args_is_help=True)
verify = typer.Typer(
    help="Recompute what is stored, and say the first difference if there is one.", no_args_is_help=True
)
app.add_typer(keys, name="keys")
app.add_typer(verify, name="verify")

DataDir = Annotated[
    str | None, typer.Option("--data-dir", envvar="TALLYBOOK_DATA_DIR", help="Folder that holds everything.")
]
Host = Annotated[str | None, typer.Option("--host", envvar="TALLYBOOK_HOST", help="Address to listen on.")]
Port = Annotated[int | None, typer.Option("--port", envvar="TALLYBOOK_PORT", help="Port to listen on.")]
Workers = Annotated[int | None, typer.Option("--workers", envvar="TALLYBOOK_WORKERS", help="API processes.")]
Organisation = Annotated[
    str, typer.Option("--organisation", envvar="TALLYBOOK_ORGANISATION", help="Whose data; made when it is new.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Supervised = Annotated[int, typer.Option("--supervised-by", hidden=True)]


def main() -> None:
    """Run the command line; an error is one line on standard error and exit status 1."""
    with _errors_said():
        app()


@contextmanager
def _errors_said() -> Iterator[None]:
    try:
        yield
    except TallybookError as error:
        typer.echo(f"tallybook: {error.message}", err=True)
        sys.exit(1)


@app.command()
def serve(data_dir: DataDir = None, host: Host = None, port: Port = None, workers: Workers = None) -> None:
    """Run everything on this machine: API, metering, archive and billing, over one data folder."""
    settings = read_settings(os.environ, data_dir=data_dir, host=host, port=port, workers=workers)
    telemetry.log_to_stderr("serve")
    supervise(settings)


@app.command()
def api(data_dir: DataDir = None, host: Host = None, port: Port = None, supervised_by: Supervised = 0) -> None:
    """Run one API process."""
    settings = read_settings(os.environ, data_dir=data_dir, host=host, port=port)
    _run(workers.run_api, settings, "api", supervised_by)


@app.command()
def meter(data_dir: DataDir = None, supervised_by: Supervised = 0) -> None:
    """Run one metering process. A second one on the same data is safe: it changes nothing the first has done."""
    _run(workers.run_meter, read_settings(os.environ, data_dir=data_dir), "meter", supervised_by)


@app.command()
def archive(data_dir: DataDir = None, supervised_by: Supervised = 0) -> None:
    """Run one archive process, which moves metered events to the lake."""
    _run(workers.run_archive, read_settings(os.environ, data_dir=data_dir), "archive", supervised_by)


@app.command()
def billing(data_dir: DataDir = None, supervised_by: Supervised = 0) -> None:
    """Run one billing process, which issues invoices as billing cycles become due."""
    _run(workers.run_billing, read_settings(os.environ, data_dir=data_dir), "billing", supervised_by)


@app.command()
def bill(
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Bill as if it were this time (ISO 8601, UTC); without it: now.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Issue the invoices of every billing cycle that is due. It can be run again at any time."""
    settings = read_settings(os.environ, data_dir=data_dir)
    assembly.prepare_existing(settings)
    report = assembly.billing(settings).close_due_cycles(
        as_of=_instant(as_of), metered_through=assembly.metered_through(settings).instant()
    )
    if as_json:
        typer.echo(msgspec.json.encode(report))
    else:
        typer.echo(f"{report.finalised} invoices issued, {report.accounts} accounts looked at, as of {report.as_of}")
        for line in (report.waiting_reason, *(f"{each.account_id}: {each.message}" for each in report.refused)):
            if line:
                typer.echo(line, err=True)
    if report.refused:
        raise typer.Exit(1)


def _run(loop: Callable[[Settings], None], settings: Settings, process: str, supervised_by: int) -> None:
    telemetry.log_to_stderr(process)
    if supervised_by:
        die_with(supervised_by)
    else:
        assembly.prepare(settings)
    loop(settings)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What the key is for; shown in lists.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option("--scope", help="What it may do; may be repeated. Without it and a role: ingest, read and write."),
    ] = None,
    role: Annotated[
        Role | None, typer.Option("--role", help="What it may do besides, by the parts of the API.")
    ] = None,
    expires_in_days: Annotated[
        int | None, typer.Option("--expires-in-days", min=1, max=36_500, help="Without it, until it is revoked.")
    ] = None,
    organisation: Organisation = "default",
    data_dir: DataDir = None,
) -> None:
    """Make an API key and print its secret, alone, on standard output. It is shown this once."""
    settings = read_settings(os.environ, data_dir=data_dir)
    assembly.prepare(settings)
    scopes = scope or ([] if role else [Scope.INGEST, Scope.READ, Scope.WRITE])
    expires = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    typer.echo(assembly.authenticator(settings).create_key(organisation, name, scopes, expires, role))


@verify.command("usage")
def verify_usage(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Add up the rows of every event again and compare: with usage, with the counts, with what was accepted."""
    settings = read_settings(os.environ, data_dir=data_dir)
    assembly.prepare_existing(settings)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("event rows read", total=None)
        found = assembly.verify_usage(settings, lambda rows: progress.advance(task, rows))
    judged = sum(found.by_status.values())
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        typer.echo(f"accepted {found.accepted} = with a verdict {judged} + in progress {found.in_progress}")
        for status, count in found.by_status.items():
            typer.echo(f"  {status}: {count}")
        typer.echo(
            f"usage: {found.usage_rows} rows; " + ("everything adds up" if not found.differences else "DIFFERENCES:")
        )
        for difference in found.differences:
            typer.echo(f"  {difference}")
    if found.differences:
        raise typer.Exit(1)


@verify.command("invoice")
def verify_invoice(
    file: Annotated[
        Path, typer.Argument(help="The proof of an invoice, from GET /invoices/{id}/proof; - reads it in.")
    ],
    as_json: AsJson = False,
) -> None:
    """Compute an invoice again from its proof, offline, to the digit, and say where the file does not agree."""
    checked = check_proof(_content_of(file))
    if as_json:
        typer.echo(msgspec.json.encode(checked))
    else:
        typer.echo(checked.in_words())
    if not checked.agrees:
        raise typer.Exit(1)


def _content_of(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file}: {error.strerror}") from None


@app.command()
def demo(
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="Only so many flights of the file.")] = None,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", "--data-dir", help="An empty or new folder for the data, which stays afterwards."),
    ] = None,
    paper: Annotated[Path | None, typer.Option("--invoices", help="A folder for the invoices as PDF.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON; the story goes to standard error.")
    ] = False,
) -> None:
    """Real events in, invoices out: the flights of a year, on a server of their own, checked by other arithmetic."""
    check_installed()
    from tallybook.demo import story  # it needs the packages that have just been checked
    from tallybook.demo.screen import Screen

    screen = Screen(to_stderr=as_json)
    summary = story.run_demo(screen, rows=rows, keep=keep, paper=paper)
    status = story.conclude(screen, summary)
    if as_json:
        typer.echo(msgspec.json.encode(summary))
    raise typer.Exit(status)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id of the key, as `keys list` shows it.")], data_dir: DataDir = None
) -> None:
    """Revoke an API key and every token made with it, within two seconds."""
    settings = read_settings(os.environ, data_dir=data_dir)
    assembly.prepare_existing(settings)
    assembly.authenticator(settings).revoke_key(key_id)
    typer.echo(f"{key_id} is revoked", err=True)


@keys.command("deactivate")
def deactivate_key(
    key_id: Annotated[str, typer.Argument(help="The id of the key, as `keys list` shows it.")],
    organisation: Organisation = "default",
    data_dir: DataDir = None,
) -> None:
    """Switch an API key off, with every token made with it, within two seconds; it can be switched on again."""
    _switch_key(key_id, organisation, data_dir, on=False)


@keys.command("activate")
def activate_key(
    key_id: Annotated[str, typer.Argument(help="The id of the key, as `keys list` shows it.")],
    organisation: Organisation = "default",
    data_dir: DataDir = None,
) -> None:
    """Switch an API key on again."""
    _switch_key(key_id, organisation, data_dir, on=True)


def _switch_key(key_id: str, organisation: str, data_dir: str | None, *, on: bool) -> None:
    settings = read_settings(os.environ, data_dir=data_dir)
    assembly.prepare_existing(settings)
    key = assembly.authenticator(settings).switch_key(organisation, key_id, on=on)
    typer.echo(f"{key_id} is {key.state(datetime.now(UTC)).lower()}", err=True)


@keys.command("list")
def list_keys(organisation: Organisation = "default", data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the API keys of an organisation; secrets are not stored, so they cannot be shown."""
    settings = read_settings(os.environ, data_dir=data_dir)
    assembly.prepare_existing(settings)
    now = datetime.now(UTC)
    keys_found = assembly.authenticator(settings).keys(organisation)
    rows = [
        {
            "id": key.key_id,
            "name": key.name,
            "state": key.state(now).lower(),
            "scopes": sorted(key.scopes),
            "role": key.role or "",
            "createdAt": f"{key.created_at:%Y-%m-%d %H:%M}Z",
        }
        for key in keys_found
    ]
    if as_json:
        typer.echo(msgspec.json.encode(rows))
        return
    widest = max((len(key.key_id) for key in keys_found), default=0)
    table = Table(Column("id", min_width=widest), "name", "state", "scopes", "role", "made at", box=None)
    for row in rows:
        table.add_row(*(", ".join(value) if isinstance(value, list) else str(value) for value in row.values()))
    Console().print(table)


def _instant(text: str | None) -> datetime:
    """Parse `--as-of`: an ISO 8601 date or time; without an offset it is UTC."""
    if text is None:
        return datetime.now(UTC)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"--as-of: {text!r} is not a date or time such as 2024-02-01 or 2024-02-01T00:00:00Z") from None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
