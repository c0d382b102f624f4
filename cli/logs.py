"""Which log a command reads: a copy in a folder, or a live one; and the options that say so.

A folder is read without any store or setting. Refused: a folder that holds no log, and a year that has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli import output, settings
from cli.trusted import trusted
from shared.config import Config
from shared.errors import ConfigError
from shared.ledger.checkpoint import CheckpointError, Verifier, read_checkpoint
from shared.ledger.log import logs, newest_signed
from shared.ledger.reader import Live
from shared.ledger.source import CHECKPOINT, Folder, Source
from shared.ledger.verify import Report, verify

if TYPE_CHECKING:
    from shared.wiring import Product

T = TypeVar("T")

Directory = Annotated[Path | None, typer.Argument(metavar="DIR", help="A copy of the log; without it, the live one.")]
Key = Annotated[
    str | None, typer.Option("--key", metavar="VKEY|FILE", help="The log's public key, or a file that holds it.")
]
Year = Annotated[str | None, typer.Option("--year", metavar="YYYY", help="Which live log; else the latest.")]


@dataclass(frozen=True, kw_only=True)
class Log:
    """A log to read: `name` for messages, `origin` is what it says it is, "" where it says nothing."""

    source: Source
    name: str
    origin: str
    config: Config
    folder: Path | None

    def keys(self, given: str | None) -> Sequence[Verifier]:
        """The keys to check it with: see cli.trusted. Raises ConfigError."""
        return trusted(given, origin=self.origin, folder=self.folder, config=self.config)


def on(folder: Path | None, year: str | None, work: Callable[[Log], Awaitable[T]]) -> T:
    """Do `work` on the log in the folder, or on the live one of the year. Raises ConfigError where there is none."""
    if folder is None:
        return settings.with_product(lambda product: live(product, year, work))
    if year is not None:
        raise typer.BadParameter("chooses among the live logs; a folder holds one", param_hint="--year")
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder")
    if not (folder / CHECKPOINT).exists() and not (folder / "tile").exists():
        raise ConfigError(
            f"{folder}: holds no log, neither {CHECKPOINT} nor tile/; `retention audit download` makes one"
        )
    log = Log(source=Folder(folder), name=str(folder), origin=_stated(folder), config=settings.config(), folder=folder)

    async def run() -> T:
        return await work(log)

    try:
        return asyncio.run(run())
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be read ({error.strerror})") from None


def _stated(folder: Path) -> str:
    """The origin that the folder's checkpoint states: it chooses among the keys we trust, and is not trusted itself."""
    try:
        return read_checkpoint(asyncio.run(Folder(folder).read(CHECKPOINT)) or b"").origin
    except (OSError, CheckpointError):
        return ""


async def live(product: Product, year: str | None, work: Callable[[Log], Awaitable[T]]) -> T:
    """Do `work` on the live log of a year, or of the latest. Raises ConfigError where there is none."""
    years = await logs(product.ledger)
    if year is None and years:
        year = years[-1]
        if years[:-1]:
            output.note(f"the log of {year}; --year chooses another: {', '.join(years[:-1])}")
    if year is None or year not in years:
        raise ConfigError(
            f"there is no log of {year}; there is: {', '.join(years)}" if years else "there is no log yet"
        )
    if not await newest_signed(product.ledger, year):
        raise ConfigError(
            f"the log of {year} is not sealed yet: role ledger does it within a minute of the first event"
        )
    source = Live(ledger=product.ledger, year=year)
    origin = product.ledger.origin_of(year)
    done = await work(Log(source=source, name=origin, origin=origin, config=product.config, folder=None))
    if year not in await logs(product.ledger):  # then what was found missing was deleted, and is no finding
        raise ConfigError(f"the log of {year} was dropped meanwhile: its period is over")
    return done


async def check_live(product: Product, year: str | None) -> Report:
    """Check the live log of a year, or the latest, as `verify` does. Raises ConfigError where there is none."""

    async def check(log: Log) -> Report:
        return await verify(log.source, *log.keys(None))

    return await live(product, year, check)


class Counted:
    """A source that tells how many files were read so far."""

    def __init__(self, source: Source, tell: Callable[[str], None]) -> None:
        self._source = source
        self._tell = tell
        self._files = 0

    async def read(self, path: str) -> bytes | None:
        """See Source."""
        self._files += 1
        self._tell(f"{output.number(self._files)} files read")
        return await self._source.read(path)

    def numbered(self) -> AsyncIterator[str]:
        """See Source."""
        return self._source.numbered()
