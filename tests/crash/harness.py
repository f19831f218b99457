"""Kill parts of a server at random under load, and say afterwards whether anything was lost, doubled or unbalanced.

The seed gives the sequence of choices: which process, after how many acknowledged events, after how long a moment. What
the processes are doing at that moment is up to the machine.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from random import Random

import msgspec
from crash.load import REVERTED, RideClient
from deltalake import DeltaTable, QueryBuilder
from rides import DUPLICATE, Place, define_rides, status_of, usage_of
from running_server import RunningServer, kill, wait_until

VICTIMS = ("api", "meter", "judge", "archive", "supervisor", "everything")
VICTIM_WEIGHTS = (5, 5, 2, 5, 1, 2)
LOG, DATABASE, LAKE = "log/0.sqlite-wal", "tallybook.sqlite-wal", "lake/events/_delta_log"
WRITTEN_BY = {"api": LOG, "meter": DATABASE, "judge": DATABASE, "archive": LAKE}
WRITE_TIMEOUT_S = 2.0
AFTER_WRITE_S = (0.0, 0.0005, 0.004)  # the last is about as long as a transaction takes to be durable
CLIENTS = 3
CLIENT_PAUSE_S = 0.04  # leaves the processes some of the two processors
SETTLE_TIMEOUT_S = 120
SAMPLE = 50
ENVIRONMENT = {"TALLYBOOK_ARCHIVE_INTERVAL_S": "1", "TALLYBOOK_BILL_INTERVAL_S": "1"}


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """One choice: wait for so many more acknowledged events, then so long; then, perhaps, for a write; then kill."""

    victim: str
    acknowledged_events: int
    delay_s: float
    written: str | None
    after_write_s: float


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What the accounts say after a round; no problems is how it must be."""

    acknowledged: int
    accepted: int
    duplicates: int
    unknown_outcomes: int
    undone: int
    redone: int
    problems: list[str]


def kills(seed: int) -> Iterator[Kill]:
    """The endless sequence of choices of a seed."""
    random = Random(seed)
    while True:
        under_load = random.random() < 0.7  # else: in the middle of whatever the kill before has caused
        writing = random.random() < 0.6  # else: whatever it is doing, which mostly is waiting
        victim = random.choices(VICTIMS, VICTIM_WEIGHTS)[0]
        yield Kill(
            victim=victim,
            acknowledged_events=random.randint(1, 400) if under_load else 0,
            delay_s=random.choice((0.001, 0.01, 0.1, 1.0)) * random.random(),
            written=WRITTEN_BY.get(victim, random.choice((LOG, DATABASE, LAKE))) if writing else None,
            after_write_s=random.choice(AFTER_WRITE_S) * random.random(),
        )


class CrashTest:
    """A server under load that is killed again and again on the same folder."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._server = RunningServer(folder, environment=ENVIRONMENT)
        self._choices = kills(seed)
        key = self._server.create_key()
        self._client = self._server.client(key)
        self._load = [
            RideClient(self._server.port, key, first=number, step=CLIENTS, seed=seed, pause_s=CLIENT_PAUSE_S)
            for number in range(CLIENTS)
        ]

    def __enter__(self) -> "CrashTest":
        self._server.start()
        try:
            self._meter_names = define_rides(self._client)
        except BaseException:
            self._server.kill_everything()
            raise
        for client in self._load:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._load:
            client.end()
        self._client.close()
        if self._server.is_running():
            self._server.kill_everything()

    def round(self, count: int, *, on_kill: Callable[[Kill], None] = lambda _: None) -> Findings:
        """Kill so often, then let everything come to rest and check all that was ever accepted."""
        for client in self._load:
            client.resume()
        for _ in range(count):
            choice = next(self._choices)
            self._kill(choice)
            on_kill(choice)
        return self._checked()

    def _kill(self, choice: Kill) -> None:
        self._wait_for_acknowledged(choice.acknowledged_events)
        time.sleep(choice.delay_s)
        victims = [] if choice.victim in ("everything", "supervisor") else [self._server.wait_for_worker(choice.victim)]
        if choice.written is not None:
            _wait_for_write(self._server.data_dir / choice.written)
            time.sleep(choice.after_write_s)
        if choice.victim == "everything":
            self._server.kill_everything()
            self._server.start(wait=False)
        elif choice.victim == "supervisor":
            self._server.kill_supervisor()
            self._server.start(wait=False)
        for pid in victims:
            kill(pid)

    def _wait_for_acknowledged(self, more: int) -> None:
        enough = self._acknowledged_count() + more
        wait_until(
            lambda: self._acknowledged_count() >= enough,
            timeout_s=SETTLE_TIMEOUT_S,
            what=lambda: f"acknowledged events; {self._server.complained[-3000:]}",
        )

    def _acknowledged_count(self) -> int:
        return sum(client.acknowledged_count for client in self._load)

    def _checked(self) -> Findings:
        for client in self._load:
            client.settle()
        self._server.wait_until_ready()
        self._server.wait_until_metered(timeout_s=SETTLE_TIMEOUT_S)
        problems = [problem for client in self._load for problem in client.unexpected]
        acknowledged = set[int]().union(*(client.acknowledged for client in self._load))
        undone = set[int]().union(*(client.undone for client in self._load))
        problems += self._misread(sorted(acknowledged)[:: max(1, len(acknowledged) // SAMPLE)], undone)
        wait_until(
            lambda: self._scalar("SELECT count(*) FROM event_block") == 0,
            timeout_s=SETTLE_TIMEOUT_S,
            what=lambda: f"archiving to catch up; {self._server.complained[-3000:]}",
        )
        rows, taken_back = self._lake_rows("index >= 0"), self._lake_rows("index < 0")
        left = {event: count - taken_back.get(event, 0) for event, count in rows.items()}
        problems += _wrong_rows({event: count for event, count in left.items() if count}, acknowledged - undone)
        problems += self._repeated_places()
        problems += _wrong_usage(self._usage(), usage_of(acknowledged - undone))
        accepted = self._verified(problems)
        if sum(rows.values()) != accepted:
            problems.append(f"accepted {accepted} events, but the lake holds {sum(rows.values())} rows")
        return Findings(
            acknowledged=len(acknowledged),
            accepted=accepted,
            duplicates=sum(count for (_, status), count in rows.items() if status == DUPLICATE),
            unknown_outcomes=sum(client.unknown_outcomes for client in self._load),
            undone=len(undone),
            redone=sum(len(client.redone) for client in self._load),
            problems=problems,
        )

    def _misread(self, numbers: list[int], undone: set[int]) -> Iterator[str]:
        """Ask for some events over HTTP: each must have one verdict of its own, and repeats and reverted ones besides.

        An event that was undone has none.
        """
        for number in numbers:
            answer = self._client.get(f"/events/ride-{number}").json()
            statuses = [event["ingestionStatus"]["status"] for event in answer.get("events", ())]
            expected = [] if number in undone else [status_of(number)]
            if [status for status in statuses if status not in (DUPLICATE, REVERTED)] != expected:
                yield f"GET /events/ride-{number} says {statuses}"

    def _lake_rows(self, condition: str) -> dict[tuple[str, str], int]:
        statement = f"SELECT event_id, status, count(*) FROM event WHERE {condition} GROUP BY event_id, status"
        return {(event_id, status): count for event_id, status, count in self._lake(statement)}

    def _repeated_places(self) -> Iterator[str]:
        grouped = "SELECT position, index, count(*) AS copies FROM event GROUP BY position, index"
        for position, index, copies in self._lake(f"SELECT * FROM ({grouped}) WHERE copies > 1 LIMIT 5"):
            yield f"the lake holds event {index} of log position {position} {copies} times"

    def _lake(self, statement: str) -> Iterator[tuple[object, ...]]:
        table = DeltaTable(str(self._server.settings.lake_path))
        for batch in QueryBuilder().register("event", table).execute(statement):
            columns = [batch.column(number).to_pylist() for number in range(batch.num_columns)]
            yield from zip(*columns, strict=True)

    def _usage(self) -> dict[Place, tuple[Fraction, int]]:
        with sqlite3.connect(self._server.settings.database_path) as connection:
            rows = connection.execute("SELECT account_id, meter_id, event_hour, units, event_count FROM usage")
            return {
                (account, self._meter_names[meter], hour): (Fraction(units), count)
                for account, meter, hour, units, count in rows
            }

    def _scalar(self, query: str) -> object:
        with sqlite3.connect(self._server.settings.database_path, timeout=30) as connection:
            return connection.execute(query).fetchone()[0]

    def _verified(self, problems: list[str]) -> int:
        """Let the program verify itself; return how many events it says it has accepted."""
        run = self._server.command("verify", "usage", "--json")
        if run.returncode != 0:
            problems.append(f"tallybook verify usage: {run.stdout} {run.stderr}")
            return -1
        found = msgspec.json.decode(run.stdout)
        if found["in_progress"] != 0 or sum(found["by_status"].values()) != found["accepted"]:
            problems.append(f"accepted and verdicts do not balance: {found}")
        accepted: int = found["accepted"]
        return accepted


def _wait_for_write(path: Path) -> None:
    """Return at the next change of a file, or of a folder's entries; look without a pause, for the moment is short."""

    def seen() -> tuple[int, int] | None:
        try:
            status = path.stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    before = seen()
    deadline = time.monotonic() + WRITE_TIMEOUT_S
    while seen() == before and time.monotonic() < deadline:
        pass


def _wrong_rows(rows: dict[tuple[str, str], int], acknowledged: set[int]) -> Iterator[str]:
    """Each acknowledged id that was not undone has its one verdict, once, and nothing else has any."""
    verdicts = {event: count for event, count in rows.items() if event[1] != DUPLICATE}
    expected = {(f"ride-{number}", status_of(number)): 1 for number in acknowledged}
    yield from _first_differences("verdict", verdicts, expected)
    strangers = {event_id for event_id, _ in verdicts} - {event_id for event_id, _ in expected}
    if strangers:
        yield f"events nobody was told were accepted: {sorted(strangers)[:5]}"


def _wrong_usage(
    stored: dict[Place, tuple[Fraction, int]], expected: dict[Place, tuple[Fraction, int]]
) -> Iterator[str]:
    yield from _first_differences("usage", stored, expected)


def _first_differences(what: str, found: dict, expected: dict) -> Iterator[str]:  # type: ignore[type-arg]
    different = [place for place in found.keys() | expected.keys() if found.get(place) != expected.get(place)]
    for place in sorted(different)[:5]:
        yield f"{what} {place}: {found.get(place)}, expected {expected.get(place)}"
    if len(different) > 5:
        kinds = Counter("missing" if place not in found else "wrong" for place in different)
        yield f"{what}: {len(different)} differences in all, {dict(kinds)}"
