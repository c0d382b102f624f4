"""`retention audit verify | download | show`: check the audit log, copy it into a folder, list its events.

A folder is checked without any store or setting: all that an auditor needs is the folder and the log's public key, had
from somewhere else. Refused: to trust a key without saying so that lies beside the log it is to prove.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from cli import output
from cli.logs import Counted, Directory, Key, Log, Year, on
from shared.audit import EventError
from shared.errors import ConfigError, IntegrityError
from shared.ledger.checkpoint import Verifier
from shared.ledger.reader import download, entries, latest
from shared.ledger.source import CHECKPOINT
from shared.ledger.verify import Report, verify
from shared.model import parse_utc

app = typer.Typer(help="Check the audit log, copy it, list its events, prove a receipt.", no_args_is_help=True)


@app.command(name="verify")
def verify_(folder: Directory = None, *, key: Key = None, year: Year = None, as_json: output.Json = False) -> None:
    """Check a log, in a folder or live, from its first entry to its checkpoint's signature.

    The key is --key, else the setting LEDGER_VERIFIER_KEY; else, with a warning, what lies beside the log itself: the
    folder's verifier.key, or live the setting LEDGER_SIGNING_SEED. Exit codes: 0 sound, 1 findings, 2 wrong use, or the
    log or key cannot be read, 3 a store did not answer.
    """

    async def check(log: Log) -> tuple[Sequence[Verifier], Report]:
        verifiers = log.keys(key)
        with output.busy("checking") as tell:
            return verifiers, await verify(Counted(log.source, tell), *verifiers)

    verifiers, report = on(folder, year, check)
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

    async def copy(log: Log) -> dict[str, Any]:
        verifiers = log.keys(key)
        with output.busy("copying") as tell:
            done = await download(Counted(log.source, tell), folder, verifiers=verifiers)
        return {
            "folder": str(folder),
            "log": done.checkpoint.origin,
            "size": done.checkpoint.size,
            "files": done.files,
            "missing": list(done.missing),
        }

    try:
        done = on(None, year, copy)
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

    async def collect(log: Log) -> tuple[str, int, list[tuple[int, dict[str, Any]]]]:
        checkpoint = await latest(log.source)
        if checkpoint is None:
            raise ConfigError(f"{log.name}: no {CHECKPOINT}: nothing is sealed there")
        chosen = request is not None or category is not None
        held = deque[tuple[int, dict[str, Any]]](maxlen=tail)
        with output.busy("reading") as tell:
            start = 0 if chosen else max(0, checkpoint.size - tail)
            try:
                async for index, event in entries(Counted(log.source, tell), start=start):
                    if _is_of(event, request, category):
                        held.append((index, event))
            except EventError as error:
                raise IntegrityError(f"{log.name}: an entry is no event ({error}); `audit verify` says which") from None
        return checkpoint.origin, checkpoint.size, list(held)

    origin, size, found = on(folder, year, collect)
    if as_json:
        events = [{"index": index, "event": event} for index, event in found]
        output.document({"log": origin, "size": size, "events": events})
        return
    columns = ("index", "time", "event", "category", "outcome", "cause")
    output.table(columns, [_cells(index, event) for index, event in found], right=("index",))
    output.note(f"{len(found)} of {output.many(size, 'entry')} of {origin}; --tail N shows more, --json all of each")


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
    output.line(f"log      {report.origin}")
    for verifier in verifiers:
        output.line(f"key      {verifier.vkey}")
    output.line(f"entries  {output.number(report.leaves)} read of {output.number(report.size)}")
    output.line(f"events   {output.number(report.events)} distinct and sound")
    output.line(f"root     {b64encode(report.root).decode() if report.root else 'cannot be computed'}")
    for each in report.findings:
        output.line(f"WRONG    {each}")
    if report.stopped:
        output.line("         and more: the rest was not read")
    verdict = (
        f"NOT SOUND: {output.many(len(report.findings), 'finding')}"
        if report.findings
        else "sound: from the first entry to the signature"
    )
    output.line(verdict)


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
