"""What people see: acts, steps with their times, a live table, findings; in colour on a terminal, plain in a pipe.

It decides how things look and nothing else. On a terminal the table of runs is redrawn in place; in a pipe each change
is a line, so that a log reads as a story.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.progress import Progress as RichProgress
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tests.cluster.progress import Progress
from tests.demo.watch import Run

__all__ = ["Board", "Show"]

PIPE_COLUMNS = 130
"""How wide tables may be where no terminal says so."""
PATIENCE_SECONDS = 5
"""A step in a pipe that takes longer is announced while it lasts: a log must show life."""

_COLOURS = {
    "Pending": "dim",
    "Running": "cyan",
    "Suspended": "magenta",
    "Completed": "green",
    "Failed": "red",
    "Cancelled": "yellow",
    "True": "green",
    "False": "red",
    "Unknown": "dim",
}
_NO_COLOURS: Mapping[str, str] = {}
_HEADINGS = ("NAME", "PHASE", "STEP", "PROGRESS", "READY", "MESSAGE")


class Show(Progress):
    """The one who talks to the audience; also the progress that `tests.cluster` reports to."""

    def __init__(self, console: Console | None = None) -> None:
        """Speak on the console, standard output when none is given."""
        self.console = console or Console(highlight=False)
        if not self.console.is_terminal:
            self.console.width = PIPE_COLUMNS
        super().__init__(sys.stdout)
        self.began = time.monotonic()
        self._act = 0

    @property
    def elapsed(self) -> str:
        """The time since the curtain rose."""
        return f"{time.monotonic() - self.began:.1f} s"

    def title(self, line: str) -> None:
        """Open."""
        self.console.print(Text(line, style="bold"))

    def act(self, name: str) -> None:
        """Begin the next act."""
        self._act += 1
        self.console.print()
        self.console.print(Text(f"{self._act}  {name}", style="bold cyan"))

    def say(self, line: str) -> None:
        """Say a line in passing."""
        self.console.print(Text(f"   {line}", style="dim"), soft_wrap=True)

    def event(self, line: str) -> None:
        """Say what changes everything."""
        self.console.print(Text(f"   {line}", style="bold yellow"), soft_wrap=True)

    def command(self, line: str) -> None:
        """Show what a person would have typed."""
        self.console.print(Text.assemble("   ", ("$ ", "dim"), line), soft_wrap=True)

    def found(self, truth: str, complaints: Sequence[str] = ()) -> None:
        """Show that something is true, or what speaks against it."""
        mark, style = ("✗", "bold red") if complaints else ("✓", "green")
        self.console.print(Text.assemble("   ", (mark, style), f" {truth}"), soft_wrap=True)
        for complaint in complaints:
            self.console.print(Text(f"       {complaint}", style="red"), soft_wrap=True)

    def failure(self, line: str) -> None:
        """Say what went wrong."""
        self.console.print(Text(line, style="bold red"), soft_wrap=True)

    def success(self, line: str) -> None:
        """Close."""
        self.console.print(Text(line, style="bold green"), soft_wrap=True)

    def table(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, colours: Mapping[str, str] = _NO_COLOURS
    ) -> None:
        """Show a table without lines; `colours` are for the cells that begin with a text."""
        coloured = [[_coloured(cell, colours) for cell in row] for row in rows]
        with self.console.capture() as capture:
            self.console.print(_table(headings, coloured))
        lines = (line if self.console.is_terminal else line.rstrip() for line in capture.get().splitlines())
        self.console.file.write("\n".join(lines) + "\n")

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show that something is under way until the block ends, then how long it took."""
        began = time.monotonic()
        with self._under_way(title):
            yield
        took = f"{time.monotonic() - began:.1f} s"
        self.console.print(Text.assemble("   ", ("✓", "green"), f" {title}  ", (took, "dim")), soft_wrap=True)

    @contextlib.contextmanager
    def _under_way(self, title: str) -> Iterator[None]:
        if self.console.is_terminal:
            columns = (TextColumn("  "), SpinnerColumn(), TextColumn(title, markup=False), TimeElapsedColumn())
            with RichProgress(*columns, console=self.console, transient=True) as progress:
                progress.add_task(title, total=None)
                yield
            return
        announcement = threading.Timer(PATIENCE_SECONDS, self.say, [f"{title} ..."])
        announcement.daemon = True
        announcement.start()
        try:
            yield
        finally:
            announcement.cancel()

    @contextlib.contextmanager
    def board(self) -> Iterator[Board]:
        """Give the table of runs, which shows itself until the block ends."""
        board = Board(self)
        if not self.console.is_terminal:
            yield board
            return
        with Live(board, console=self.console, refresh_per_second=8):
            yield board


class Board:
    """The table of runs, always at its newest."""

    def __init__(self, show: Show) -> None:
        """Show nothing yet."""
        self._show = show
        self._runs: dict[str, Run] = {}

    def update(self, run: Run) -> None:
        """Take in how a run is now; in a pipe, say so when that is news."""
        before = self._runs.get(run.name)
        self._runs[run.name] = run
        if not self._show.console.is_terminal and (before is None or before.columns != run.columns):
            phase, step, progress, ready, message = run.columns
            line = f"{self._show.elapsed:>7}  {run.name:<11}{phase:<11}{step:<19}{progress:<7}{ready:<9}{message}"
            self._show.console.print(Text(f"   {line}".rstrip()), soft_wrap=True)

    def __rich__(self) -> Table:
        rows = [
            [Text(run.name, style="bold"), *(_coloured(cell, _COLOURS) for cell in run.columns)]
            for run in self._runs.values()
        ]
        return _table(_HEADINGS, rows)


def _coloured(cell: str, colours: Mapping[str, str]) -> Text:
    return Text(cell, style=next((style for start, style in colours.items() if cell.startswith(start)), ""))


def _table(headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("  ")
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row("", *row)
    return table
