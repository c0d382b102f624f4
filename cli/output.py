"""What every command says, and with which exit code it ends: results on stdout, all else on stderr.

With --json a command prints exactly one JSON document, and none when it could not do what was asked (codes 2 and 3;
`policy check` prints one also with the findings for which it ends with 2).
Text from a store or a file is shown with its control characters escaped: a log in a folder is a stranger's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.model import utc_text

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_WIDE = 200
"""Columns where stdout is no terminal: each row stays on one line."""


class Code(IntEnum):
    """The exit codes of all commands; `retention --help` lists them."""

    FINE = 0
    ATTENTION = 1
    USE = 2
    NO_ANSWER = 3
    UNKNOWN = 4


def document(value: Any) -> None:
    """Print a JSON document; times become RFC 3339 text in UTC."""
    # ASCII, so that it arrives whatever the terminal's encoding is, and whatever a file's name holds.
    typer.echo(json.dumps(value, indent=2, default=_plain))


def say(text: str = "") -> None:
    """Print a line of the result, or text of our own that has several."""
    typer.echo(printable(text))


def line(text: str) -> None:
    """Print one line of the result, whatever a stranger's text in it holds."""
    typer.echo(printable(text).replace("\n", "\\n"))


def note(text: str) -> None:
    """Print progress or a warning, on stderr."""
    typer.echo(printable(text), err=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `right` hold numbers."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    # Rich fills each row up to the table's width: nobody who pipes the result wants that.
    with console.capture() as captured:
        console.print(shown)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def printable(text: str) -> str:
    """The text with every character that a terminal would obey, or could not show, written as an escape."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def busy(text: str) -> Iterator[Callable[[str], None]]:
    """Show on stderr what goes on, while it does; the function yielded changes the text. Silent but on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(Text(text)) as status:
        yield lambda more: status.update(Text(more))


# ---------------------------------------------------------------- values as text


def number(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}"


def many(value: int, noun: str) -> str:
    """A count and its noun: 1 entry, 2 entries."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number(value)} {noun if value == 1 else plural}"


def when(moment: datetime | None) -> str:
    """A time in UTC, to the second; a dash for none."""
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def age(span: timedelta) -> str:
    """A span of time in its largest unit that fits."""
    seconds = max(0, int(span.total_seconds()))
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def counts(values: Mapping[str, int]) -> str:
    """Counts by name, such as "12 erased, 3 held"; a dash for none."""
    return ", ".join(f"{number(count)} {name}" for name, count in sorted(values.items()) if count) or "-"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return utc_text(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
