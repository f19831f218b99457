"""The archive process killed between the lake's commit and the deletion of the blocks."""

import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path

import catalogue_samples as samples
from api_caller import Caller
from embedded import ORGANISATION, Embedded, distance, event

from tallybook import assembly
from tallybook.config import Settings
from tallybook.core.credential import Scope
from tallybook.flows.archive import Archive
from tallybook.storage.blocks import BlockStore
from tallybook.storage.lake import DeltaLake


def archive_until_killed(settings: Settings) -> None:
    """Archive, and `kill -9` this process where the lake has the rows and the database still has the blocks."""
    Archive(
        BlockStore(assembly.database(settings)),
        DeltaLake(settings.lake_path),
        assembly.event_log(settings),
        partition=assembly.PARTITION,
        crash_point=lambda: os.kill(os.getpid(), signal.SIGKILL),
    ).archive_waiting()


def killed_archive(settings: Settings) -> None:
    process = multiprocessing.get_context("spawn").Process(target=archive_until_killed, args=(settings,))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL


def lake_rows(embedded: Embedded) -> Counter[str]:
    rows: Counter[str] = Counter()
    for batch in (
        DeltaLake(embedded.settings.lake_path).snapshot(assembly.PARTITION).query("SELECT event_id FROM event")
    ):
        rows.update(batch.column(0).to_pylist())
    return rows


def test_archive_killed_between_append_and_deletion_leaves_every_row_once(tmp_path: Path) -> None:
    """The lake's position says that it holds the blocks: they are deleted and not appended again, crash after crash."""
    embedded = Embedded(tmp_path)
    with embedded.caller() as client:
        samples.active_meter(Caller(client, embedded.authenticator, ORGANISATION, Scope.ADMIN))
    blocks = BlockStore(embedded.database)
    sent = 0
    for _ in range(3):
        for _ in range(3):
            embedded.send(*(event(f"e{number}", attributes=distance(number)) for number in range(sent, sent + 5)))
            embedded.meter()
            sent += 5
        once = Counter({f"e{number}": 1 for number in range(sent)})
        killed_archive(embedded.settings)
        assert lake_rows(embedded) == once, "the rows reached the lake before the kill"
        assert blocks.row_count(assembly.PARTITION) == 15, "and they are in the database still"
        assert Counter(row.event_id for row in embedded.rows()) == once, "a reader sees each of them once"
        assert embedded.verified().differences == []
        assert embedded.archive.archive_waiting() == 0, "nothing is left to append"
        assert blocks.row_count(assembly.PARTITION) == 0
        assert lake_rows(embedded) == once
    assert embedded.verified().differences == []
