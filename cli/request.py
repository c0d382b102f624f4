"""`retention request`: send an erasure request, and ask how one stands. Nothing here deletes: the functions do.

What is said of a request names nobody: neither the person, nor who asked, nor who verified it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import typer

from cli import output, settings
from cli.sweeps import send
from shared import messages
from shared.model import parse_utc, utc_text
from shared.requests.documents import State
from shared.status import RequestStatus, request_status

if TYPE_CHECKING:
    from shared.wiring import Product

POLL_SECONDS = 1.0

app = typer.Typer(help="Send an erasure request, and ask how one stands.", no_args_is_help=True)


@app.command()
def erase(
    *,
    user_id: Annotated[str | None, typer.Option(help="The person's internal id.")] = None,
    email: Annotated[str | None, typer.Option(help="The person's e-mail address; it must match one user.")] = None,
    home_id: Annotated[str | None, typer.Option(help="A home that has no users.")] = None,
    requested_by: Annotated[str, typer.Option(help="Who asked, such as: the person, by letter.")],
    identity_verified_by: Annotated[str, typer.Option(help="Who verified the person's identity, and how.")],
    request: Annotated[UUID | None, typer.Option("--id", help="The request's id, a UUID; else a new one.")] = None,
    received_at: Annotated[
        str | None, typer.Option(help="When it was received, RFC 3339 with an offset; the month runs from then.")
    ] = None,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the message to paste into queue `requests`; send nothing.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Ask for the erasure of a person, or of a home without users: sends a message to queue `requests`.

    Prints the request's id. Exit codes: 0 queued (or printed), 2 wrong arguments, 3 Service Bus did not answer: send
    the very same again, with the --id and --received-at that stderr names.
    """
    given = {"user_id": user_id, "email": email, "home_id": home_id}
    subject = {name: value for name, value in given.items() if value is not None}
    if len(subject) != 1:
        raise typer.BadParameter("give exactly one", param_hint="--user-id, --email, --home-id")
    request, received = request or uuid4(), _received(received_at)
    body = messages.erase(
        request=request,
        subject=subject,
        requested_by=requested_by,
        identity_verified_by=identity_verified_by,
        received_at=received,
    )
    messages.parse(body, now=datetime.now(UTC))  # what intake would park is refused here
    if only_print:
        typer.echo(body.decode())
        return
    output.note(f"request {request}, received at {utc_text(received)}")
    send(body, str(request))
    if as_json:
        output.document({"request": str(request), "queue": "requests"})
    else:
        output.say(str(request))
    output.note(f"queued; `retention request status {request} --follow` shows how it stands")


@app.command()
def status(
    request: Annotated[UUID, typer.Argument(metavar="ID", help="The request's id.")],
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait until it is finished or needs a person; Ctrl-C ends it.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Say how a request stands. Names nobody.

    Exit codes: 0 received, accepted, working or done; 1 rejected, parked, or it needs a person; 4 nobody knows this id:
    it may still be in the queue (a request to run leaves no record: see `retention status`); 3 a store did not answer.
    """
    found = settings.with_product(lambda product: _watched(product, str(request), follow=follow))
    if as_json:
        output.document(_value(found))
    else:
        _show(found)
    if found.state == "unknown":
        raise typer.Exit(output.Code.UNKNOWN)
    if found.needs_a_person:
        raise typer.Exit(output.Code.ATTENTION)


def _received(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        return parse_utc(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "give RFC 3339 with an offset, such as 2026-01-31T09:30:00Z", param_hint="--received-at"
        ) from None


async def _watched(product: Product, request: str, *, follow: bool) -> RequestStatus:
    """How the request stands; with `follow`, how it stood when there was nothing more to wait for."""
    said = ""
    while True:
        found = await request_status(request, requests=product.own("requests"), parking=product.own("parking"))
        if not follow or found.settled:
            return found
        now = f"{found.state}: {_erased(found)}" if found.document else found.state
        if now != said:
            output.note(now)
            said = now
        await asyncio.sleep(POLL_SECONDS)


def _erased(found: RequestStatus) -> str:
    total: dict[str, int] = {}
    for outcomes in found.document.outcomes().values() if found.document else ():
        for name, number in outcomes.items():
            total[name] = total.get(name, 0) + number
    return output.counts(total)


def _value(found: RequestStatus) -> dict[str, Any]:
    value: dict[str, Any] = {"request": found.request, "state": found.state}
    document = found.document
    if document is not None:
        value |= {
            "type": document.type,
            "reason": document.reason or None,
            "received_at": document.received_at,
            "accepted_at": document.accepted_at,
            "due_at": document.due_at,
            "finished_at": document.finished_at,
            "in_backups_until": document.in_backups_until,
            "outcomes": document.outcomes(),
            "not_reached": list(document.not_reached),
            "strange": dict(document.strange),
        }
    value["parked"] = [
        {"queue": each.queue, "parked_at": each.parked_at, "reason": each.reason} for each in found.parked
    ]
    return value


def _show(found: RequestStatus) -> None:
    document = found.document
    rows = [("request", found.request), ("state", found.state.replace("_", " "))]
    if found.state == "unknown":
        rows.append(("", "no request has this id; if it was sent just now, its message may still be in the queue"))
    if document is not None:
        if document.state is State.DONE and document.in_backups_until is not None:
            rows[-1] = ("state", f"done, in backups until {output.when(document.in_backups_until)}")
        rows += [("reason", document.reason)] if document.reason else []
        rows += [
            ("type", document.type),
            ("received", output.when(document.received_at)),
            ("due", output.when(document.due_at)),
            ("finished", output.when(document.finished_at)),
        ]
        rows += [(f"  {name}", output.counts(counts)) for name, counts in document.outcomes().items()]
        rows += [("not judged", output.counts(document.strange))] if document.strange else []
        rows += [("not reached", ", ".join(document.not_reached))] if document.not_reached else []
    for each in found.parked:
        rows += [("parked", f"{output.when(each.parked_at)}, from queue {each.queue}"), ("  because", each.reason)]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        output.say(f"{name:<{width}}  {text}")
