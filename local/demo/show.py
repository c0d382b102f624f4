"""How the story is printed: results on standard output, progress bars on standard error."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from local.demo.app import Sweep

_NARROW = 80  # columns where standard output is no terminal


class Show:
    """Standard output for results, standard error for progress."""

    def __init__(self) -> None:
        out = Console(highlight=False)
        self._out = out if out.is_terminal else Console(highlight=False, width=_NARROW)
        self._error = Console(stderr=True, highlight=False)
        self._stage = 0
        self.held = True

    def title(self, text: str) -> None:
        """The first line."""
        self._out.print(Text(text, style="bold"), soft_wrap=True)

    def stage(self, name: str, says: str) -> None:
        """Begin a stage: one line that says what it shows."""
        self._stage += 1
        self._out.print()
        self._out.print(Text.assemble((f"{self._stage}. {name}", "bold cyan"), ": ", says), soft_wrap=True)

    def line(self, text: str) -> None:
        """A fact."""
        self._out.print(Text(f"     {text}"), soft_wrap=True)

    def expect(self, text: str, *, held: bool) -> None:
        """A result that must hold: marked when it does, and when it does not; `held` remembers the latter."""
        mark = ("✓ ", "bold green") if held else ("✗ ", "bold red")
        self._out.print(Text.assemble("   ", mark, text, "" if held else "   <-- did not hold"), soft_wrap=True)
        self.held = self.held and held

    def message(self, body: Mapping[str, Any]) -> None:
        """A message as it is sent."""
        for line in json.dumps(body, indent=2, ensure_ascii=False).splitlines():
            self._out.print(Text(f"     {line}", style="dim"))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: bool = False) -> None:
        """A table; of `numbers` all columns but the first are right-aligned and close together."""
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1 if numbers else 2, 0, 0))
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if numbers and number else "left", no_wrap=numbers)
        for row in rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
        self._out.print(Padding(table, (0, 0, 0, 3 if numbers else 5)))

    def progress(self) -> Progress:
        """Bars that disappear when their stage is over; nothing where standard error is no terminal."""
        return Progress(
            TextColumn("     {task.description:<18}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._error,
            transient=True,
            disable=not self._error.is_terminal,
        )

    def failed(self, text: str) -> None:
        """What went wrong, on standard error."""
        self._error.print(Text(text, style="bold red"), soft_wrap=True)


class SweepBars:
    """A bar for each category's sweep; `due` says how many records each is going to find."""

    def __init__(self, progress: Progress, due: Mapping[str, int]) -> None:
        self._progress = progress
        self._due = due
        self._tasks: dict[str, TaskID] = {}

    def show(self, sweeps: Mapping[str, Sweep]) -> None:
        """Move the bars."""
        for category, sweep in sweeps.items():
            if category not in self._tasks:
                self._tasks[category] = self._progress.add_task(category, total=self._due.get(category))
            total = sweep.found if sweep.swept else self._due.get(category)
            self._progress.update(self._tasks[category], completed=sweep.found, total=total)


def counts(numbers: Mapping[str, int]) -> str:
    """`1,072 erased, 1 blocked`."""
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number) or "none"


def shorten(path: Path) -> str:
    """A path as people at this terminal would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
