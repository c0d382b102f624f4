"""`retention parking`: the messages that can never succeed, and what failed until it was a dead letter.

A message's body may hold personal data: only `show --body` prints it. Nothing here changes anything: `dismiss` sends a
message, and the functions do the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output, settings
from cli.sending import By, OnlyPrint, order
from shared.documents import read
from shared.parking import ParkedEntry, ParkedMessage, entries, find

if TYPE_CHECKING:
    from shared.wiring import Product

app = typer.Typer(help="Messages that can never succeed: look at them, dismiss them.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The parked message's id, as `list` shows it.")]


@app.command("list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="The dismissed ones too.")] = False,
    as_json: output.Json = False,
) -> None:
    """List the parked messages that wait, the oldest first. Exit codes: 0 done, 3 a store did not answer."""
    found = settings.with_product(_entries)
    chosen = sorted((each for each in found if everything or not each[0].dismissed), key=lambda each: each[0].at)
    if as_json:
        output.document({"parked": [_value(entry, message) for entry, message in chosen]})
        return
    columns = ("id", "queue", "parked", "request", "dismissed", "reason")
    output.table(columns, [_cells(entry, message) for entry, message in chosen])


@app.command()
def show(
    parked: Id,
    *,
    body: Annotated[bool, typer.Option("--body", help="Print the message too: it may hold personal data.")] = False,
    as_json: output.Json = False,
) -> None:
    """Show a parked message: where it came from, and why it is here. Once it is dismissed, its content is gone.

    Exit codes: 0 done, 3 a store did not answer, 4 no parked message has this id.
    """
    found = settings.with_product(lambda app: _one(app, parked))
    if found is None:
        output.note("no parked message has this id: `retention parking list --all` shows them")
        raise typer.Exit(output.Code.UNKNOWN)
    entry, message = found
    value = _value(entry, message) | {"message_id": message.message_id}
    value |= {"dismissed_by": message.dismissed_by, "dismissed_because": message.dismissed_because}
    if body and message.body is None:
        output.note("its content is gone: it was dismissed, or its request has closed")
    elif body:
        value["body"] = message.content.decode(errors="backslashreplace")
    if as_json:
        output.document(value)
        return
    for name, each in value.items():
        if each not in (None, ""):
            output.say(f"{name.replace('_', ' '):<18} {output.when(each) if name.endswith('_at') else each}")


@app.command()
def dismiss(
    parked: Id,
    *,
    by: By,
    reason: Annotated[str, typer.Option(help="Why it is settled, 1 to 200 characters: kept with it, in no event.")],
    only_print: OnlyPrint = False,
    as_json: output.Json = False,
) -> None:
    """Close a parked message that is settled otherwise: sends a message to queue `requests`.

    Exit codes: 0 queued (or printed), 2 wrong arguments, 3 a store or Service Bus did not answer, 4 no parked message
    has this id.
    """
    if not only_print and settings.with_product(lambda app: _one(app, parked)) is None:
        output.note("no parked message has this id: `retention parking list --all` shows them")
        raise typer.Exit(output.Code.UNKNOWN)
    then = "`retention parking list` shows it no more once the functions have taken it up"
    order("dismiss", only_print=only_print, as_json=as_json, then=then, by=by, parked=parked, reason=reason)


async def _entries(app: Product) -> list[tuple[ParkedEntry, ParkedMessage]]:
    objects = app.own("parking")
    found = []
    async for entry in entries(objects):
        held = await read(objects, entry.name, ParkedMessage)
        found += [(entry, held.value)] if held else []
    return found


async def _one(app: Product, parked: str) -> tuple[ParkedEntry, ParkedMessage] | None:
    objects = app.own("parking")
    entry = await find(objects, parked)
    held = await read(objects, entry.name, ParkedMessage) if entry else None
    return (entry, held.value) if entry and held else None


def _value(entry: ParkedEntry, message: ParkedMessage) -> dict[str, Any]:
    return {
        "id": entry.id,
        "queue": message.queue,
        "arrival": message.arrival,
        "parked_at": message.parked_at,
        "request": message.request,
        "about": entry.about or None,
        "reason": message.reason,
        "dismissed_at": message.dismissed_at,
    }


def _cells(entry: ParkedEntry, message: ParkedMessage) -> tuple[str, ...]:
    dismissed = output.when(message.dismissed_at) if message.dismissed_at else ""
    return entry.id, message.queue, output.when(message.parked_at), message.request or "", dismissed, message.reason
