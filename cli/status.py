"""`retention status`: everything on one screen, with an exit code for monitoring. Reads only."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output, settings
from shared.overdue import Overdue
from shared.standing import CategoryStatus, DeadLetters, HoldStatus, Status, Waiting

if TYPE_CHECKING:
    from shared.wiring import Product

QUEUES = ("requests", "sweeps", "requests-work", "ledger")

Look = Annotated[
    bool,
    typer.Option("--look", help="Look at what is overdue now, in place of telling the last look; count dead letters."),
]


def status(*, look: Look = False, as_json: output.Json = False) -> None:
    """Say how everything stands: runs, overdue data, timers, holds, journals, requests, parked messages, the log.

    Each line that begins with ATTENTION says what to do, and in brackets the heading of docs/operate.md to read.

    Exit codes: 0 fine; 1 something needs attention; 2 settings or policy are wrong; 3 a store did not answer.
    """
    with output.busy("looking" if look else "reading"):
        found = settings.with_product(lambda app: _gather(app, look=look), governed=look)
    if as_json:
        output.document(_value(found))
    else:
        _show(found)
    if found.attention:
        raise typer.Exit(output.Code.ATTENTION)


async def _gather(app: Product, *, look: bool) -> Status:
    if not look:
        return await app.gathering.gather()
    taken = await app.overseer.look(datetime.now(UTC))
    counts = await asyncio.gather(*(app.dead_letters_of(queue) for queue in QUEUES))
    return await app.gathering.gather(look=taken, dead=dict(zip(QUEUES, counts, strict=True)))


# ---------------------------------------------------------------- as JSON


def _value(found: Status) -> dict[str, Any]:
    value = {each.name: getattr(found, each.name) for each in dataclasses.fields(found)}
    for name in ("look", "posture"):
        value[name] = value[name].model_dump() if value[name] else None
    for name in ("timers", "runs"):
        value[name] = [
            {
                "name": beat.name,
                "last": beat.last,
                "interval_seconds": beat.interval.total_seconds(),
                "age_seconds": beat.age.total_seconds(),
                "late": beat.late,
            }
            for beat in value[name]
        ]
    return {name: _plain(each) for name, each in value.items()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


# ---------------------------------------------------------------- the screen


def _show(found: Status) -> None:
    overdue = {each.category: each for each in found.look.categories} if found.look else {}
    fine = _own_and_fine(found)
    rows = [_cells(found, each, overdue) for each in found.categories if each not in fine]
    output.table(("category", "last run", "expired", "overdue", "what became of them"), rows, right=("expired",))
    if found.planned:
        output.say(f"planned, not carried out yet: {len(found.planned)} (`retention plan` lists them)")
    output.say()
    for name, text in (*_own(fine), *_lines(found)):
        output.say(f"{name:<12} {text}")
    output.say()
    if not found.attention:
        output.say("fine: nothing needs attention")
    for each in found.attention:
        output.say(f"ATTENTION {each.text} (#{each.see})")


def _own_and_fine(found: Status) -> list[CategoryStatus]:
    """The pipeline's own containers of which there is nothing to say: one line tells of them all."""
    troubled = {each.category for each in found.attention}
    return [each for each in found.categories if each.own and not each.strange and each.category not in troubled]


def _own(fine: Sequence[CategoryStatus]) -> Iterator[tuple[str, str]]:
    if fine:
        became: Counter[str] = Counter()
        for each in fine:
            became.update(each.outcomes)
        told = f"; their last runs: {output.counts(became)}" if became else ""
        yield "our own", f"{output.many(len(fine), 'container')} of the pipeline's own, fine{told}"


def _cells(found: Status, each: CategoryStatus, overdue: Mapping[str, Overdue]) -> tuple[str, ...]:
    late = _overdue(found, overdue.get(each.category))
    if each.run is None:
        elsewhere = f"goes with {', '.join(each.follows)}" if each.follows else "role ledger deletes there"
        has_runs = not each.follows and not each.by_ledger
        return each.category, "none yet" if has_runs else "-", "", late, _paused(each) if has_runs else elsewhere
    besides = {"forwarded as requests": each.forwarded, "units known to the log alone": each.uncounted}
    became = {**each.outcomes, **besides}
    told = [_paused(each), _unfinished(each), output.counts(became) if any(became.values()) else ""]
    told += [f"strange: {output.counts(each.strange)}"] if each.strange else []
    ago = f"{output.age(found.at - each.started)} ago" if each.started else ""
    return each.category, ago, output.number(each.expired), late, "; ".join(text for text in told if text)


def _overdue(found: Status, each: Overdue | None) -> str:
    if each is None:
        return ""
    if each.all_held:
        return "held"
    told = f"{each.number}, {output.age(found.at - each.oldest)}" if each.oldest else "-"
    return f"{told} ?" if each.error else told


def _paused(each: CategoryStatus) -> str:
    return f"PAUSED since {output.when(each.pause.since)}" if each.pause else ""


def _unfinished(each: CategoryStatus) -> str:
    if each.finished is not None:
        return ""
    if each.approval == "waiting":
        return f"WAITS FOR APPROVAL: more than {output.number(each.cap or 0)}"
    return f"{each.open_slices} of {each.slices} slices left"


def _lines(found: Status) -> Iterator[tuple[str, str]]:
    yield "looked", _looked(found)
    yield "posture", _posture(found)
    late = [beat.name for beat in found.timers if beat.late]
    on_time = f"{len(found.timers) - len(late)} on time" if found.timers else "none has run yet"
    yield "timers", f"{on_time}, {len(late)} late: {', '.join(late)}" if late else on_time
    yield "holds", _holds(found.holds)
    journals = (
        f"{_waiting(found, found.open)} open, {_waiting(found, found.settled)} settled and waiting for the ledger"
    )
    yield "journals", journals
    requests = output.counts({state.replace("_", " "): count for state, count in found.requests.states.items()})
    oldest = (
        f"; the oldest unfinished is due on {found.requests.unfinished[0].due_at:%Y-%m-%d}"
        if found.requests.unfinished
        else ""
    )
    yield "requests", f"{'PAUSED; ' if found.requests.pause else ''}{requests}{oldest}"
    yield "parked", output.many(found.parked, "message") + (f", {found.dismissed} dismissed" if found.dismissed else "")
    if found.dead is not None:
        yield "dead letters", _dead(found.dead)
    for log in found.logs:
        sealed = f"{output.number(log.sealed)} sealed, {output.number(log.published)} published"
        yield f"log {log.year}", log.wrong or f"{output.many(log.size, 'entry')}, {sealed}"


def _holds(holds: HoldStatus) -> str:
    return output.counts(
        {
            "in place": holds.standing,
            "not in force yet": len(holds.pending),
            "not known to be in force": holds.unknown,
            "too late for some records": holds.too_late,
            "on an unknown category": len(holds.astray),
            "ended": holds.ended,
            "unreadable": holds.unreadable,
        }
    )


def _looked(found: Status) -> str:
    if found.look is None:
        return "never: `retention status --look` does it now"
    late = [each.category for each in found.look.categories if each.count]
    unknown = [each.category for each in found.look.categories if each.error]
    told = f"{output.age(found.at - found.look.at)} ago: {len(late)} of {len(found.look.categories)} categories overdue"
    return told + (f", {len(unknown)} not known" if unknown else "")


def _posture(found: Status) -> str:
    if found.posture is None:
        return "never looked at by the timer: `retention posture` does it now"
    broken, unknown = len(found.posture.broken), found.posture.unknown
    told = [f"{output.many(broken, 'promise')} broken"] if broken else []
    told += [f"{output.many(unknown, 'finding')} of unknown settings"] if unknown else []
    return f"{output.age(found.at - found.posture.at)} ago: {', '.join(told) or 'every promise is kept'}"


def _dead(dead: Mapping[str, DeadLetters]) -> str:
    if any(isinstance(count, str) for count in dead.values()):
        return "not looked at: no right to receive; the platform's alert watches them"
    counts = {queue: count for queue, count in dead.items() if isinstance(count, int) and count}
    return output.counts(counts) if counts else "none"


def _waiting(found: Status, each: Waiting) -> str:
    since = f" (the oldest for {output.age(found.at - each.since)})" if each.since else ""
    return f"{output.number(each.count)}{since}"
