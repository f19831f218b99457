"""What the demo shows: steps with the time they took, tables, invoices. Without a terminal it is plain text."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

WIDTH = 92  # of lines that nobody's terminal bounds
_NAME_WIDTH = 9


class Step:
    """One step under way; `done` is what its line says in the end, `notes` stand below it."""

    def __init__(self) -> None:
        self.done = ""
        self.notes: list[str] = []


class Screen:
    """Where the demo tells its story."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        console = Console(stderr=to_stderr, highlight=False)
        if not console.is_terminal:
            console = Console(stderr=to_stderr, highlight=False, color_system=None, width=WIDTH)
        self._console = console
        self.seconds: dict[str, float] = {}

    def title(self, text: str) -> None:
        self._console.print(f"\n[bold]{escape(text)}[/]\n")

    def heading(self, text: str) -> None:
        self._console.print(f"\n[bold]{escape(text)}[/]")

    def say(self, text: str) -> None:
        self._console.print(escape(text))

    def verdict(self, text: str, *, good: bool) -> None:
        self._console.print(f"\n[bold {'green' if good else 'red'}]{escape(text)}[/]", soft_wrap=True)

    def verbatim(self, text: str) -> None:
        """Text that is laid out already."""
        self._console.print(Text(text.rstrip("\n")), soft_wrap=True)
        self._console.print()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, total: Sequence[str] = ()) -> None:
        """A table whose first column is words and whose others are figures; words may be indented."""
        table = Table(box=SIMPLE, show_footer=bool(total), pad_edge=False, header_style="bold", footer_style="bold")
        for number, column in enumerate(columns):
            table.add_column(
                column, footer=total[number] if total else "", justify="right" if number else "left", overflow="fold"
            )
        for row in rows:
            table.add_row(*map(_cell, row))
        self._console.print(table)

    def words_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table of words."""
        table = Table(*columns, box=SIMPLE, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*map(escape, row))
        self._console.print(table)

    @contextmanager
    def step(self, name: str, doing: str, *, quiet: bool = False) -> Iterator[Step]:
        """Show what is being done, and when it is done its line; `quiet` leaves the showing to the caller."""
        step, started = Step(), time.monotonic()
        if quiet or not self._console.is_terminal:
            yield step
        else:
            with self._console.status(f"{name:{_NAME_WIDTH}} {escape(doing)}"):
                yield step
        self.seconds[name] = round(time.monotonic() - started, 2)
        self._print_step(name, step)

    @contextmanager
    def bars(self, total: int, *names: str) -> Iterator["Bars"]:
        """A progress bar for each name, as long as the block runs."""
        progress = Progress(
            TextColumn("  {task.description:<9}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        with progress:
            yield Bars(progress, total, names)

    def _print_step(self, name: str, step: Step) -> None:
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(width=2)
        line.add_column(width=_NAME_WIDTH)
        line.add_column(ratio=1, overflow="fold")
        line.add_column(justify="right", no_wrap=True)
        line.add_row(" [green]✓[/]", f"[bold]{name}[/]", escape(step.done), f"[dim]{self.seconds[name]:.1f} s[/]")
        for note in step.notes:
            line.add_row("", "", f"[dim]{escape(note)}[/]", "")
        self._console.print(line)


def _cell(text: str) -> RenderableType:
    """The text; where it is indented, its further lines are too."""
    words = text.lstrip()
    return Padding(escape(words), (0, 0, 0, len(text) - len(words)))


class Bars:
    """Progress bars that are told where they stand."""

    def __init__(self, progress: Progress, total: int, names: Iterable[str]) -> None:
        self._progress = progress
        self._tasks = {name: progress.add_task(name, total=total) for name in names}

    def move(self, name: str, completed: int) -> None:
        self._progress.update(self._tasks[name], completed=completed)
