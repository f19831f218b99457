"""Every setting: what it is, its unit, its default and its limits.

A setting comes from a command's option or from the environment variable `TALLYBOOK_` + its name in capitals.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from tallybook.core.errors import Invalid

PREFIX = "TALLYBOOK_"
MEBIBYTE = 1024 * 1024


def _whole(low: int, high: int, description: str) -> msgspec.Meta:
    return msgspec.Meta(ge=low, le=high, description=description)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a Tallybook process is told from outside; see `docs/settings.md` for the same as a table."""

    data_dir: Annotated[str, msgspec.Meta(description="Folder that holds everything: log, database, lake.")] = (
        "tallybook-data"
    )
    host: Annotated[str, msgspec.Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, _whole(1, 65_535, "Port to listen on.")] = 8080
    workers: Annotated[int, _whole(1, 64, "API processes.")] = 1
    public_url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$",
            description="Address of the API as customers reach it, such as `https://billing.example.com`, for links to "
            "files; empty takes the one that a request names.",
        ),
    ] = ""
    body_bytes_max: Annotated[
        int, _whole(1024, 256 * MEBIBYTE, "Largest request body of events, in bytes, as sent and after expanding gzip.")
    ] = 16 * MEBIBYTE
    body_read_timeout_s: Annotated[int, _whole(1, 3600, "Seconds a client may take to send a request body.")] = 60
    ingest_requests_per_s: Annotated[
        int, _whole(0, 1_000_000, "Requests with events per second and organisation, per API process; 0 is no limit.")
    ] = 0
    backlog_bytes_max: Annotated[
        int, _whole(MEBIBYTE, 2**50, "Bytes of accepted events that may wait in the log before new ones get 503.")
    ] = 8192 * MEBIBYTE
    meter_batch_bytes_max: Annotated[
        int,
        _whole(
            1024,
            256 * MEBIBYTE,
            "Bytes of logged bodies metered in one transaction; more is faster and takes more memory.",
        ),
    ] = 12 * MEBIBYTE
    meter_batch_records_max: Annotated[int, _whole(1, 1_000_000, "Logged bodies metered in one transaction.")] = 20_000
    judge_ahead: Annotated[
        int, _whole(0, 1, "1: the next micro-batch is judged in a process of its own while the last one is committed.")
    ] = 1
    database_cache_mib: Annotated[
        int, _whole(1, 65_536, "Memory of the metering process for database pages, in MiB.")
    ] = 32
    event_key_days: Annotated[
        int, _whole(0, 36_500, "Days that an event id is remembered, counted from receipt; 0 is for ever.")
    ] = 45
    plan_required: Annotated[
        int, _whole(0, 1, "1: an event of an account without a price plan on that day is accepted but not metered.")
    ] = 0
    archive_interval_s: Annotated[
        int, _whole(1, 3600, "Seconds that metered events wait at most before they move to the lake.")
    ] = 10
    archive_rows: Annotated[
        int, _whole(1, 10_000_000, "Metered events that are moved to the lake at once without waiting.")
    ] = 1_000_000
    bill_interval_s: Annotated[int, _whole(1, 86_400, "Seconds between two looks for billing cycles that are due.")] = (
        60
    )
    tax_function: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$",
            description="Python function, as `module:function`, that is asked for the tax of each invoice when it is "
            "finalised; empty asks nobody.",
        ),
    ] = ""
    stop_timeout_s: Annotated[int, _whole(1, 600, "Seconds that processes may take to finish when told to stop.")] = 8

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir)

    @property
    def log_path(self) -> Path:
        return self.data_path / "log" / "0.sqlite"

    @property
    def database_path(self) -> Path:
        return self.data_path / "tallybook.sqlite"

    @property
    def lake_path(self) -> Path:
        return self.data_path / "lake" / "events"


def read_settings(environment: Mapping[str, str], **options: object) -> Settings:
    """Settings from the environment, each overridden by an option that is not None. Raises `Invalid`, naming it."""
    known = {field.name for field in msgspec.structs.fields(Settings)}
    given: dict[str, object] = {
        name: environment[PREFIX + name.upper()] for name in known if environment.get(PREFIX + name.upper())
    }
    given.update({name: value for name, value in options.items() if value is not None})
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`")
        raise Invalid(f"{PREFIX}{name.upper()}: {problem} (got {given.get(name)!r})") from None


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that give another process the same settings."""
    return {PREFIX + name.upper(): str(value) for name, value in msgspec.structs.asdict(settings).items()}
