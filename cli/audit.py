"""`retention audit`: check the audit log, copy it into a folder, list its events.

A folder is checked without any store or setting: all that an auditor needs is the folder and the log's public key, had
from somewhere else. Refused: to trust a key without saying so that lies beside the log it is to prove.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from cli import output, settings
from cli.trusted import trusted
from shared.config import Config
from shared.errors import ConfigError
from shared.ledger.checkpoint import CheckpointError, Verifier, read_checkpoint
from shared.ledger.log import logs, newest_signed
from shared.ledger.reader import Live, download, entries, latest
from shared.ledger.source import CHECKPOINT, Folder, Source
from shared.ledger.verify import Report, verify
from shared.model import parse_utc

if TYPE_CHECKING:
    from shared.wiring import Product

T = TypeVar("T")

app = typer.Typer(help="Check the audit log, copy it, list its events.", no_args_is_help=True)

Directory = Annotated[Path | None, typer.Argument(metavar="DIR", help="A copy of the log; without it, the live one.")]
Key = Annotated[
    str | None, typer.Option("--key", metavar="VKEY|FILE", help="The log's public key, or a file that holds it.")
]
Year = Annotated[str | None, typer.Option("--year", metavar="YYYY", help="Which live log; else the latest.")]


@app.command(name="verify")
def verify_(folder: Directory = None, *, key: Key = None, year: Year = None, as_json: output.Json = False) -> None:
    """Check a log, in a folder or live, from its first entry to its checkpoint's signature.

    The key is --key, else the setting LEDGER_VERIFIER_KEY; else, with a warning, what lies beside the log itself: the
    folder's verifier.key, or live the setting LEDGER_SIGNING_SEED. Exit codes: 0 sound, 1 findings, 2 wrong use, or the
    log or key cannot be read, 3 a store did not answer.
    """

    async def check(log: _Log) -> tuple[Sequence[Verifier], Report]:
        verifiers = _trusted(log, key)
        with output.busy("checking") as tell:
            return verifiers, await verify(_Counted(log.source, tell), *verifiers)

    verifiers, report = _on(folder, year, check)
    if as_json:
        output.document(_checked(verifiers, report))
    else:
        _show_report(verifiers, report)
    if not report.sound:
        raise typer.Exit(output.Code.ATTENTION)


@app.command(name="download")
def download_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty, or not there yet.")],
    *,
    key: Key = None,
    year: Year = None,
    as_json: output.Json = False,
) -> None:
    """Copy the live log into a folder in the C2SP layout, with its public key. Checks nothing: see verify.

    Exit codes: 0 copied, 1 copied, and the log lacks files that its checkpoint covers, 2 wrong use, or no log yet,
    3 a store did not answer.
    """

    async def copy(log: _Log) -> dict[str, Any]:
        verifiers = _trusted(log, key)
        with output.busy("copying") as tell:
            done = await download(_Counted(log.source, tell), folder, verifiers=verifiers)
        return {
            "folder": str(folder),
            "log": done.checkpoint.origin,
            "size": done.checkpoint.size,
            "files": done.files,
            "missing": list(done.missing),
        }

    try:
        done = _on(None, year, copy)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror})") from None
    if as_json:
        output.document(done)
    else:
        size, files = output.many(done["size"], "entry"), output.many(done["files"], "file")
        output.say(f"{folder}: {done['log']}, {size} in {files}")
        for path in done["missing"]:
            output.say(f"{path}: is missing in the live log")
    output.note(f"nothing was checked: `retention audit verify {folder} --key VKEY` does")
    if done["missing"]:
        raise typer.Exit(output.Code.ATTENTION)


@app.command()
def show(
    folder: Directory = None,
    *,
    request: Annotated[UUID | None, typer.Option(help="Only events of this request.")] = None,
    category: Annotated[str | None, typer.Option(help="Only events of this category.")] = None,
    tail: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the latest.")] = 50,
    year: Year = None,
    as_json: output.Json = False,
) -> None:
    """List events of a log, in a folder or live, as they are sealed. Checks nothing: see verify.

    Exit codes: 0 listed (also when there are none), 1 the log cannot be read as one, 2 wrong use, or no log yet, 3 a
    store did not answer.
    """

    async def collect(log: _Log) -> tuple[str, int, list[tuple[int, dict[str, Any]]]]:
        checkpoint = await latest(log.source)
        if checkpoint is None:
            raise ConfigError(f"{log.name}: no {CHECKPOINT}: nothing is sealed there")
        chosen = request is not None or category is not None
        held = deque[tuple[int, dict[str, Any]]](maxlen=tail)
        with output.busy("reading") as tell:
            start = 0 if chosen else max(0, checkpoint.size - tail)
            async for index, event in entries(_Counted(log.source, tell), start=start):
                if _is_of(event, request, category):
                    held.append((index, event))
        return checkpoint.origin, checkpoint.size, list(held)

    origin, size, found = _on(folder, year, collect)
    if as_json:
        events = [{"index": index, "event": event} for index, event in found]
        output.document({"log": origin, "size": size, "events": events})
        return
    columns = ("index", "time", "event", "category", "outcome", "cause")
    output.table(columns, [_cells(index, event) for index, event in found], right=("index",))
    output.note(f"{len(found)} of {output.many(size, 'entry')} of {origin}; --tail N shows more, --json all of each")


# ---------------------------------------------------------------- which log, which key


@dataclass(frozen=True, kw_only=True)
class _Log:
    """A log to read: `name` for messages, `origin` is what it says it is, "" where it says nothing."""

    source: Source
    name: str
    origin: str
    config: Config
    folder: Path | None


def _on(folder: Path | None, year: str | None, work: Callable[[_Log], Awaitable[T]]) -> T:
    """Do `work` on the log in the folder, or on the live one of the year. Raises ConfigError where there is none."""
    if folder is None:
        return settings.with_product(lambda product: _live(product, year, work))
    if year is not None:
        raise typer.BadParameter("chooses among the live logs; a folder holds one", param_hint="--year")
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder")
    if not (folder / CHECKPOINT).exists() and not (folder / "tile").exists():
        raise ConfigError(
            f"{folder}: holds no log, neither {CHECKPOINT} nor tile/; `retention audit download` makes one"
        )
    log = _Log(source=Folder(folder), name=str(folder), origin=_stated(folder), config=settings.config(), folder=folder)

    async def run() -> T:
        return await work(log)

    try:
        return asyncio.run(run())
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be read ({error.strerror})") from None


def _stated(folder: Path) -> str:
    """The origin that the folder's checkpoint states: it chooses among the keys we trust, and is not trusted itself."""
    try:
        return read_checkpoint((folder / CHECKPOINT).read_bytes()).origin
    except (OSError, CheckpointError):
        return ""


async def _live(product: Product, year: str | None, work: Callable[[_Log], Awaitable[T]]) -> T:
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
    done = await work(_Log(source=source, name=origin, origin=origin, config=product.config, folder=None))
    if year not in await logs(product.ledger):  # then what was found missing was deleted, and is no finding
        raise ConfigError(f"the log of {year} was dropped meanwhile: its period is over")
    return done


async def check_live(product: Product, year: str | None) -> Report:
    """Check the live log of a year, or the latest, as `verify` does. Raises ConfigError where there is none."""

    async def check(log: _Log) -> Report:
        return await verify(log.source, *_trusted(log, None))

    return await _live(product, year, check)


def _trusted(log: _Log, given: str | None) -> Sequence[Verifier]:
    return trusted(given, origin=log.origin, folder=log.folder, config=log.config)


class _Counted:
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


# ---------------------------------------------------------------- what is said


def _checked(verifiers: Sequence[Verifier], report: Report) -> dict[str, Any]:
    return {
        "log": report.origin,
        "keys": [verifier.vkey for verifier in verifiers],
        "sound": report.sound,
        "size": report.size,
        "root": report.root.hex() if report.root else None,
        "leaves": report.leaves,
        "events": report.events,
        "stopped": report.stopped,
        "findings": [
            {"path": each.path, "leaf": each.leaf, "event": each.event, "what": each.what} for each in report.findings
        ],
    }


def _show_report(verifiers: Sequence[Verifier], report: Report) -> None:
    output.say(f"log      {report.origin}")
    for verifier in verifiers:
        output.say(f"key      {verifier.vkey}")
    output.say(f"entries  {output.number(report.leaves)} read of {output.number(report.size)}")
    output.say(f"events   {output.number(report.events)} distinct and sound")
    output.say(f"root     {report.root.hex() if report.root else 'cannot be computed'}")
    for each in report.findings:
        output.say(f"WRONG    {each}")
    if report.stopped:
        output.say("         and more: the rest was not read")
    verdict = (
        f"NOT SOUND: {output.many(len(report.findings), 'finding')}"
        if report.findings
        else "sound: from the first entry to the signature"
    )
    output.say(verdict)


def _is_of(event: Mapping[str, Any], request: UUID | None, category: str | None) -> bool:
    data = event["data"]
    return (request is None or _request(data) == str(request)) and (
        category is None or data.get("category") == category
    )


def _request(data: Mapping[str, Any]) -> object:
    cause = data.get("cause")
    return cause.get("request") if isinstance(cause, dict) and "request" in cause else data.get("request")


def _cells(index: int, event: Mapping[str, Any]) -> tuple[str, ...]:
    data = event["data"]
    outcome, cause = data.get("outcome"), data.get("cause")
    name = str(outcome.get("name", "")) if isinstance(outcome, dict) else ""
    run = cause.get("run") if isinstance(cause, dict) else data.get("run")
    about = _request(data) or run
    return (
        str(index),
        output.when(parse_utc(event["time"])),
        str(event["type"]).removeprefix("retention."),
        str(data.get("category", "-")),
        name or "-",
        str(about or "-"),
    )
