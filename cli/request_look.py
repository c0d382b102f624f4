"""`retention request list | show | status | receipt`: how requests stand. Reads only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli import output, settings
from shared.documents import read
from shared.errors import ConfigError
from shared.receipt import NAME
from shared.requests.documents import RequestDocument, State
from shared.requests.status import RequestStatus, request_status

if TYPE_CHECKING:
    from shared.wiring import Product

POLL_SECONDS = 1.0
CARRIED_OUT = (State.DONE, State.CLOSED)
ENDED = (State.CLOSED, State.REJECTED)

RequestId = Annotated[UUID, typer.Argument(metavar="ID", help="The request's id.")]


def list_requests(
    *,
    state: Annotated[State | None, typer.Option(help="Only those that stand so.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are closed or rejected too.")] = False,
    as_json: output.Json = False,
) -> None:
    """List requests, the oldest due date first. Names nobody.

    Exit codes: 0 done, 3 a store did not answer.
    """
    found = settings.with_product(lambda app: _documents(app, state, everything=everything))
    if as_json:
        output.document({"requests": [_value(document) for document in found]})
        return
    columns = ("request", "type", "state", "received", "due", "done", "in backups until")
    output.table(columns, [_cells(document) for document in found])
    if not found:
        output.note("no requests; --all lists closed and rejected ones too" if not everything else "no requests")


def show(
    request: RequestId,
    *,
    names: Annotated[
        bool, typer.Option("--names", help="Show whom it is about, who asked and who decided: personal data.")
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Show all that is known of a request: what the person is answered. Names nobody, unless asked for --names.

    Exit codes: 0 it goes on by itself, is done or closed; 1 rejected, parked, or it needs a person; 4 nobody knows this
    id; 3 a store did not answer.
    """
    _answer(settings.with_product(lambda app: _watched(app, str(request), follow=False)), names=names, as_json=as_json)


def status(
    request: RequestId,
    *,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Wait until it is known, and carried out or needs a person; Ctrl-C ends it."),
    ] = False,
    as_json: output.Json = False,
) -> None:
    """Say how a request stands. Names nobody.

    Exit codes: 0 received, accepted, working, done or closed; 1 rejected, parked, or it needs a person; 4 nobody knows
    this id: it may still be in the queue (an order leaves no request: see `retention status`); 3 a store did not
    answer.
    """
    found = settings.with_product(lambda app: _watched(app, str(request), follow=follow))
    _answer(found, names=False, as_json=as_json)


def receipt(
    request: RequestId,
    *,
    to: Annotated[Path | None, typer.Option(help="The file to write; else stdout.")] = None,
    as_json: output.Json = False,
) -> None:
    """Fetch the receipt of a closed request, for the person: it holds the key to their names in the log.

    It is kept for 30 days after the request closed. Exit codes: 0 done, 2 the file is there already, 3 a store did not
    answer, 4 there is no receipt: the request is not closed yet, or the receipt is gone.
    """
    if to is not None and to.exists():
        raise ConfigError(f"{to}: is there already; name a new file")
    stored = settings.with_product(lambda app: app.own("receipts").read(NAME.format(request=request)))
    if stored is None:
        output.note(f"no receipt of this id; `retention request show {request}` says how the request stands")
        raise typer.Exit(output.Code.UNKNOWN)
    if to is None:  # JSON in any case
        output.say(stored.data.decode())
        return
    try:
        to.touch(mode=0o600, exist_ok=False)
        to.write_bytes(stored.data)
    except OSError as error:
        raise ConfigError(f"{to}: cannot be written: {error.strerror}") from None
    output.note(f"written to {to}: personal data, for the person alone")
    if as_json:
        output.document({"request": str(request), "file": str(to)})


# ---------------------------------------------------------------- reading


async def _documents(app: Product, state: State | None, *, everything: bool) -> list[RequestDocument]:
    store = app.own("requests")
    wanted = [
        entry.name
        async for entry in store.list()
        if (entry.metadata.get("state") == state if state else everything or entry.metadata.get("state") not in ENDED)
    ]
    held = [await read(store, name, RequestDocument) for name in wanted]
    return sorted([each.value for each in held if each], key=lambda document: document.due_at)


async def _watched(app: Product, request: str, *, follow: bool) -> RequestStatus:
    """How the request stands; with `follow`, how it stood when there was nothing more to wait for."""
    said = ""
    while True:
        found = await request_status(request, requests=app.own("requests"), parking=app.own("parking"))
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


# ---------------------------------------------------------------- saying


def _answer(found: RequestStatus, *, names: bool, as_json: bool) -> None:
    if as_json:
        value = {"request": found.request, "state": found.state}
        value |= _value(found.document, names=names) if found.document else {}
        parked = [{"queue": each.queue, "parked_at": each.parked_at, "reason": each.reason} for each in found.parked]
        output.document({**value, "parked": parked})
    else:
        rows = _rows(found, names=names)
        width = max(len(name) for name, _ in rows)
        for name, text in rows:
            output.say(f"{name:<{width}}  {text}")
    if found.state == "unknown":
        raise typer.Exit(output.Code.UNKNOWN)
    if found.needs_a_person:
        raise typer.Exit(output.Code.ATTENTION)


def _value(document: RequestDocument, *, names: bool = False) -> dict[str, Any]:
    value: dict[str, Any] = {
        "request": document.id,
        "state": document.state.value,
        "type": document.type,
        "reason": document.reason or None if names or document.state is not State.REJECTED else None,
        "received_at": document.received_at,
        "accepted_at": document.accepted_at,
        "due_at": document.due_at,
        "finished_at": document.finished_at,
        "in_backups_until": document.in_backups_until,
        "closed_at": document.closed_at,
        "outcomes": document.outcomes(),
        "retained": dict(document.retained),
        "not_reached": dict(document.not_reached),
        "strange": dict(document.strange),
        "decisions": [
            {"at": each.at} | ({"by": each.by, "reason": each.reason} if names else {}) for each in document.decisions
        ],
    }
    if names:
        value |= {
            "requested_by": document.requested_by,
            "identity_verified_by": document.identity_verified_by,
            "subject": document.subject,
            "scopes": [{"kind": scope.kind.value, "id": scope.id} for scope in document.scopes()],
            "homes": list(document.homes or ()),
            "stayed_records": list(document.stayed_records),
        }
    return value


def _cells(document: RequestDocument) -> tuple[str, ...]:
    return (
        document.id,
        document.type,
        document.state.value.replace("_", " "),
        output.when(document.received_at),
        output.when(document.due_at),
        output.when(document.finished_at if document.state in CARRIED_OUT else None),
        output.when(document.in_backups_until if document.state in CARRIED_OUT else None),
    )


def _rows(found: RequestStatus, *, names: bool) -> list[tuple[str, str]]:
    document = found.document
    rows = [("request", found.request), ("state", found.state.replace("_", " "))]
    if found.state == "unknown":
        rows.append(("", "no request has this id; if it was sent just now, its message may still be in the queue"))
    if document is not None:
        rows += _document_rows(document, names=names)
        if document.state is State.DONE and document.in_backups_until is not None:
            rows[1] = ("state", f"done, in backups until {output.when(document.in_backups_until)}")
    for each in found.parked:
        rows += [("parked", f"{output.when(each.parked_at)}, from queue {each.queue}"), ("  because", each.reason)]
    return rows


def _document_rows(document: RequestDocument, *, names: bool) -> list[tuple[str, str]]:
    value = _value(document, names=names)
    rows = [("reason", document.reason)] if value["reason"] else []
    rows += [
        ("type", document.type),
        ("received", output.when(document.received_at)),
        ("due", output.when(document.due_at)),
        ("finished", output.when(document.finished_at)),
    ]
    rows += [("closed", output.when(document.closed_at))] if document.closed_at else []
    rows += [(f"  {name}", output.counts(counts)) for name, counts in document.outcomes().items()]
    if document.state in CARRIED_OUT and document.type == "erase" and not document.outcomes():
        rows.append(("found", "nothing"))
    rows += [
        ("kept by law", f"{name} until {output.when(until)}" if until else f"{name}, until an unknown time")
        for name, until in document.retained.items()
    ]
    rows += [("not judged", output.counts(document.strange))] if document.strange else []
    rows += [("not reached", f"{name}: {why}") for name, why in document.not_reached.items()]
    for each in document.decisions:
        why = f": {each.reason}" if each.reason else ""
        rows.append(("decided", output.when(each.at) + (f", by {each.by}{why}" if names else "")))
    if names:
        rows += [("asked by", document.requested_by), ("verified by", document.identity_verified_by)]
        rows += [(field.replace("_", " "), str(text)) for field, text in (document.subject or {}).items()]
        rows += [(scope.kind.value, scope.id) for scope in document.scopes()]
        rows += [("had to stay", text) for text in document.stayed_records]
    return rows
