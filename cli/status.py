"""`retention status`: everything on one screen, with an exit code for monitoring. Reads only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from cli import output, settings
from shared.runs import Runs
from shared.status import CategoryStatus, Gathering, Status, Waiting

if TYPE_CHECKING:
    from shared.wiring import Product


def status(*, as_json: output.Json = False) -> None:
    """Say how everything stands: runs, journals, requests, parked messages, the log.

    Exit codes: 0 fine; 1 something needs attention: a parked message, a request that needs a person, a journal older
    than RETENTION_RECOVER_AFTER, a log that cannot be read; 2 settings or policy are wrong; 3 a store did not answer.
    """
    with output.busy("reading"):
        found = settings.with_product(_gather)
    if as_json:
        output.document(dataclasses.asdict(found))
    else:
        _show(found)
    if found.attention:
        raise typer.Exit(output.Code.ATTENTION)


async def _gather(app: Product) -> Status:
    gathering = Gathering(
        policy=app.policy,
        runs=Runs(objects=app.own("runs")),
        journals=app.own("journals"),
        requests=app.own("requests"),
        parking=app.own("parking"),
        ledger=app.ledger,
        after=timedelta(seconds=app.config.number("RETENTION_RECOVER_AFTER")),
    )
    return await gathering.gather()


def _show(found: Status) -> None:
    columns = ("category", "last run", "expired", "what became of them", "strange", "unfinished")
    output.table(columns, [_cells(found, each) for each in found.categories], right=("expired",))
    if found.planned:
        output.say(f"planned, not carried out yet: {len(found.planned)} (`retention plan` lists them)")
    output.say()
    for name, text in _lines(found):
        output.say(f"{name:<9} {text}")
    output.say()
    if not found.attention:
        output.say("fine: nothing needs attention")
    for each in found.attention:
        output.say(f"ATTENTION {each}")


def _cells(found: Status, each: CategoryStatus) -> tuple[str, ...]:
    if each.run is None:
        text = f"none: goes with {', '.join(each.follows)}" if each.follows else "none yet"
        return each.category, text, "", "", "", ""
    besides = {"forwarded as requests": each.forwarded, "units known to the log alone": each.uncounted}
    became = output.counts({**each.outcomes, **besides})
    ago = f"{output.age(found.at - each.started)} ago" if each.started else ""
    unfinished = "" if each.finished else f"{each.open_slices} of {each.slices} slices"
    return each.category, ago, output.number(each.expired), became, output.counts(each.strange), unfinished


def _lines(found: Status) -> Iterator[tuple[str, str]]:
    journals = (
        f"{_waiting(found, found.open)} open, {_waiting(found, found.settled)} settled and waiting for the ledger"
    )
    yield "journals", journals
    yield "requests", output.counts({state.replace("_", " "): count for state, count in found.requests.items()})
    yield "parked", output.many(found.parked, "message")
    for log in found.logs:
        sealed = f"{output.number(log.sealed)} sealed, {output.number(log.published)} published"
        yield f"log {log.year}", log.wrong or f"{output.many(log.size, 'entry')}, {sealed}"
    if not found.logs:
        yield "log", "none yet"


def _waiting(found: Status, waiting: Waiting) -> str:
    since = f" (oldest {output.age(found.at - waiting.since)})" if waiting.since else ""
    return f"{waiting.count}{since}"
