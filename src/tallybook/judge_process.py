"""Judging in a process of its own, so that the next micro-batch is judged while the last one is committed.

The process reads the log and the definitions itself; positions go to it and judged batches come back.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import msgspec

from tallybook import assembly, telemetry
from tallybook.config import Settings
from tallybook.core.errors import Busy, Corrupt, TallybookError
from tallybook.interpreter import collect_garbage_rarely
from tallybook.kernel import die_with
from tallybook.storage.usage import MeteredBatch


class _Answer(msgspec.Struct, frozen=True):
    """A judged batch, nothing, or why it failed."""

    batch: MeteredBatch | None = None
    busy: str | None = None
    corrupt: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Answer)


class JudgeProcess:
    """A `Judging` in another process."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, settings, os.getpid())
        self._process = context.Process(target=_judge, args=arguments, name="judge", daemon=True)
        self._process.start()
        theirs.close()
        self._is_begun = False

    def start(self, after: int) -> None:
        if self._is_begun:
            self._connection.recv_bytes()
        self._connection.send(after)
        self._is_begun = True

    def result(self) -> MeteredBatch | None:
        self._is_begun = False
        answer = _decoder.decode(self._connection.recv_bytes())
        if answer.busy is not None:
            raise Busy(answer.busy)
        if answer.corrupt is not None:
            raise Corrupt(answer.corrupt)
        return answer.batch

    def close(self) -> None:
        self._connection.close()
        self._process.join()


def _judge(connection: Connection, settings: Settings, parent: int) -> None:
    die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends when its connection does
    telemetry.log_to_stderr("judge")
    judge = assembly.judge(settings)
    collect_garbage_rarely()
    with suppress(EOFError, BrokenPipeError):  # the metering process has gone, and so does this one
        while True:
            judge.start(connection.recv())
            connection.send_bytes(_encoder.encode(_answer(judge.result)))


def _answer(judge: Callable[[], MeteredBatch | None]) -> _Answer:
    try:
        return _Answer(batch=judge())
    except Busy as error:
        return _Answer(busy=error.message)
    except TallybookError as error:
        return _Answer(corrupt=error.message)
