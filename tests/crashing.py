"""Dying between two statements of the database: what was not committed is gone, as after `kill -9`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event as listening

from tallybook.storage.database import Database

_POINTS = ("before_cursor_execute", "commit")


class Crash(BaseException):
    """The process dies here."""


@contextmanager
def crashing_at(database: Database, statement: int) -> Iterator[None]:
    """Crash before the statement of that number; a commit counts as one, too."""
    seen = 0

    def count(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            raise Crash

    for name in _POINTS:
        listening.listen(database.engine, name, count)
    try:
        yield
    finally:
        for name in _POINTS:
            listening.remove(database.engine, name, count)


def crashes_at(database: Database, statement: int, act: Callable[[], object]) -> bool:
    """Crash before the statement of that number; say whether it came to that."""
    try:
        with crashing_at(database, statement):
            act()
    except Crash:
        return True
    return False
