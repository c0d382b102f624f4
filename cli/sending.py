"""Sending a message to queue `requests`: what every command does that asks for something. The functions do the rest."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID, uuid4

import typer

from cli import output, settings
from shared import messages
from shared.errors import TransientError

if TYPE_CHECKING:
    from shared.wiring import Product

SEND_SECONDS = 60  # some failures of the Service Bus SDK wait for ever

OnlyPrint = Annotated[
    bool, typer.Option("--print", help="Print the message to paste into queue `requests`; send nothing.")
]
By = Annotated[str, typer.Option(help="Who orders it, 1 to 200 characters: kept in our records, in no event.")]


def order(
    kind: str, *, only_print: bool, as_json: bool, then: str, message_id: UUID | None = None, **fields: Any
) -> None:
    """Check a message of any type, print or send it, and print its id; `then` says on stderr what to do next.

    `{id}` in `then` becomes the id; fields that are None are left out. Raises MessageError for what intake would park,
    TransientError when Service Bus does not answer: stderr names the id, with which the very same can be sent again.
    """
    number = message_id or uuid4()
    body = messages.compose(kind, id=str(number), **fields)
    if only_print:
        typer.echo(body.decode())
        return
    output.note(f"message {number}")
    send(body, str(number))
    if as_json:
        output.document({"id": str(number), "type": kind, "queue": "requests"})
    else:
        output.say(str(number))
    output.note(f"queued; {then.replace('{id}', str(number))}")


def send(body: bytes, message_id: str) -> None:
    """Send a message to queue `requests`. Raises TransientError, also when no answer comes in SEND_SECONDS."""

    async def work(app: Product) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                # with the body in it: the broker drops a repeated id in silence, and another order is no repetition
                digest = hashlib.sha256(body).hexdigest()[:16]
                await app.queue("requests").send(body, message_id=f"{message_id}-{digest}")
        except TimeoutError:
            raise TransientError(f"Service Bus: no answer in {SEND_SECONDS} s") from None

    with output.busy("sending to queue requests"):
        settings.with_product(work)
