"""The parking of messages: what can never succeed, and what failed until it was a dead letter, waits here for a person.

A parked message is kept whole in a private container, for it may hold personal data; nothing of its body enters logs or
events. Somebody looks, settles the matter otherwise, and dismisses it by message: then it is emptied, needs nobody's
attention any more, and goes when its period is over; until then it stays. State and event change in one write, as in
`shared.outbox`.

The same message may come again after that. It is parked in the same place, as the next arrival, with an id of its own:
so an order to dismiss the one before, delivered once more, cannot dismiss it unseen.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime

from shared import audit, messages
from shared.deletion import Gate
from shared.documents import Form, Version, read, write
from shared.errors import ChangedError, ExistsError, TransientError
from shared.model import parse_utc, utc_text
from shared.outbox import Outgoing, outgoing, post
from shared.stores.interface import Entry, ObjectStore

log = logging.getLogger("retention.parking")

ID_DIGITS = 16
OURSELVES = "the pipeline"
"""Who dismisses what is settled by itself."""

_UNKNOWN = "retention.parked: no parked message has this id; `retention parking list` shows them"


class ParkedMessage(Form):
    """A parked message, whole (`body` in base64), why it is here, and the id of the event that says so.

    `request` is the request id that it names, if any, `about` the slice or request whose work failed; `arrival` counts
    how often it came. Once it is dismissed, or its request has closed, it is emptied: `body` is None, and `message_id`,
    `request` and `about` are gone. Who dismissed it and why stand here and in no event.
    """

    queue: str
    message_id: str
    arrival: int = 1
    parked_at: AwareDatetime
    reason: str
    request: str | None
    body: str | None
    told_as: str
    about: str = ""
    dismissed_at: AwareDatetime | None = None
    dismissed_by: str = ""
    dismissed_because: str = ""
    outbox: tuple[Outgoing, ...] = ()

    @property
    def content(self) -> bytes:
        """The message's body, nothing once it is emptied: it may hold personal data."""
        return base64.b64decode(self.body or "")

    def emptied(self, **more: Any) -> ParkedMessage:
        """The message without what it held and whom it may be about; `more` are further changes."""
        return self.model_copy(update={"body": None, "message_id": "", "request": None, "about": "", **more})


@dataclass(frozen=True, kw_only=True)
class ParkedEntry:
    """A parked message as the container's listing has it: nothing of it is read.

    `id` is made of the message, and so of what it may hold: it is for our own screens and messages, and in no event.
    `about` is what it is about, where that is a slice or a request that failed; `waiting` whether its event does.
    """

    name: str
    arrival: int
    queue: str
    at: datetime
    request: str | None
    about: str
    dismissed: bool
    waiting: bool

    @property
    def id(self) -> str:
        """The short id of this arrival."""
        return id_of(self.name, self.arrival)

    def has_had(self, parked: str) -> bool:
        """Whether this is the id of an arrival before this one."""
        return parked in (id_of(self.name, arrival) for arrival in range(1, self.arrival))


@dataclass(frozen=True, kw_only=True)
class Parking:
    """The container of parked messages."""

    objects: ObjectStore
    gate: Gate

    async def park(
        self,
        body: bytes,
        *,
        queue: str,
        message_id: str,
        reason: str,
        request: str | None,
        now: datetime,
        about: str = "",
    ) -> str:
        """Keep the message, once, post its event, and return its id. A repeat is safe: the first event counts.

        The same message is one with this id and body, or one `about` the same. What was dismissed and comes again waits
        again, under an id of its own.

        A crash before the write leaves nothing; one after it leaves the event in the outbox: a repeat, or the watch,
        posts it.

        `reason` names fields and remedies, never a value of the message; `about` is no personal data either.
        """
        same = about or f"{message_id}/{hashlib.sha256(body).hexdigest()}"
        name = f"{queue}/{hashlib.sha256(same.encode()).hexdigest()}.json"
        data = {"queue": queue, "request": request, "reason": reason[:1000]}
        event = outgoing(self.gate, audit.EventType.MESSAGE_PARKED, now, data)
        parked = ParkedMessage(
            queue=queue,
            message_id=message_id,
            parked_at=now,
            reason=reason,
            request=request,
            body=base64.b64encode(body).decode(),
            about=about,
            told_as=f"{event.intent}/0",
            outbox=(event,),
        )
        try:
            held = await self._write(name, parked, None)
        except ExistsError:
            earlier = await read(self.objects, name, ParkedMessage)
            if earlier is None:  # its period was over just now
                raise TransientError("a parked message is not there although its name is taken") from None
            held = earlier
            if earlier.value.dismissed_at is not None:  # it came again since then: somebody must look again
                changes = {"arrival": earlier.value.arrival + 1, "outbox": (*earlier.value.outbox, event)}
                held = await self._write(name, parked.model_copy(update=changes), earlier.etag)
        await self._flush(name, held)
        return id_of(name, held.value.arrival)

    async def dismiss(self, message: messages.Dismiss, now: datetime) -> None:
        """Close a parked message as somebody ordered. Safe to repeat: the first dismissal counts.

        An order about an earlier arrival has been carried out, and changes nothing. Raises MessageError where no parked
        message has the id, TransientError, and ChangedError when somebody else was faster.
        """
        async for entry in entries(self.objects):
            if entry.id == message.parked:
                await self.close(entry, by=message.by, because=message.reason, now=now)
                return
            if entry.has_had(message.parked):
                log.info("a parked message was dismissed before, and has come again since: it stays")
                return
        raise messages.MessageError(_UNKNOWN)

    async def close(self, entry: ParkedEntry, *, by: str, because: str, now: datetime) -> None:
        """Close a parked message and empty it: `by` and `because` are kept with it and told nobody.

        What has come again since the entry was listed stays. A crash before the write leaves it as it was; one after it
        leaves the event in the outbox, for a repeat to post.
        """
        held = await read(self.objects, entry.name, ParkedMessage)
        if held is None:  # its period was over just now
            return
        parked = held.value
        if parked.dismissed_at is None and parked.arrival == entry.arrival:
            data = {"parked": parked.told_as, "queue": parked.queue, "request": parked.request}
            event = outgoing(self.gate, audit.EventType.MESSAGE_DISMISSED, now, data)
            closed = parked.emptied(
                dismissed_at=now, dismissed_by=by, dismissed_because=because, outbox=(*parked.outbox, event)
            )
            held = await self._write(entry.name, closed, held.etag)
        await self._flush(entry.name, held)

    async def forget(self, request: str) -> None:
        """Empty what is parked under a request's id, when the request closes. Safe to repeat.

        A dead letter of its work is dismissed with that. Any other message still waits to be dismissed, with the reason
        why it is here: nobody has looked yet, and it may have meant somebody else. Raises TransientError, and
        ChangedError when somebody else was faster.
        """
        found = [entry async for entry in entries(self.objects) if entry.request == request]
        for entry in found:
            if entry.about:
                now = await self.objects.now()
                await self.close(entry, by=OURSELVES, because="its request has closed", now=now)
                continue
            held = await read(self.objects, entry.name, ParkedMessage)
            if held is not None and held.value.request == request:
                held = await self._write(entry.name, held.value.emptied(), held.etag)
                await self._flush(entry.name, held)

    async def flush(self, entry: ParkedEntry) -> None:
        """Post the events of a parked message that wait since somebody was interrupted here. Safe to repeat."""
        held = await read(self.objects, entry.name, ParkedMessage)
        if held is not None:
            await self._flush(entry.name, held)

    async def _flush(self, name: str, held: Version[ParkedMessage]) -> None:
        if held.value.outbox:
            await post(self.gate, held.value.outbox)
            with suppress(ChangedError):  # somebody else posts them too, or clears them with the next change
                await self._write(name, held.value.model_copy(update={"outbox": ()}), held.etag)

    async def _write(self, name: str, parked: ParkedMessage, etag: str | None) -> Version[ParkedMessage]:
        return Version(value=parked, etag=await write(self.objects, name, parked, etag, metadata=_metadata(parked)))


def id_of(name: str, arrival: int = 1) -> str:
    """The short id of a parked message's arrival, by its object's name: `<queue>/<hash>.json`."""
    short = name.rpartition("/")[2][:ID_DIGITS]
    return short if arrival == 1 else f"{short}-{arrival}"


async def entries(objects: ObjectStore) -> AsyncIterator[ParkedEntry]:
    """Yield what is parked, as the listing tells it."""
    async for entry in objects.list():
        yield _entry(entry)


async def find(objects: ObjectStore, parked: str) -> ParkedEntry | None:
    """The parked message of this id, or None."""
    async for entry in entries(objects):
        if entry.id == parked:
            return entry
    return None


def _entry(entry: Entry) -> ParkedEntry:
    said = entry.metadata
    return ParkedEntry(
        name=entry.name,
        arrival=int(said.get("arrival", "1")),
        queue=entry.name.partition("/")[0],
        at=parse_utc(said["parked_at"]) if "parked_at" in said else entry.modified,
        request=said.get("request"),
        about=said.get("about", ""),
        dismissed="dismissed_at" in said,
        waiting="outbox" in said,
    )


def _metadata(parked: ParkedMessage) -> Mapping[str, str]:
    """What a listing tells: blob metadata is ASCII, and none of this is anything else."""
    found = {
        "parked_at": utc_text(parked.parked_at),
        "request": parked.request or "",
        "about": parked.about,
        "arrival": str(parked.arrival) if parked.arrival > 1 else "",
        "dismissed_at": utc_text(parked.dismissed_at) if parked.dismissed_at else "",
        "outbox": "waiting" if parked.outbox else "",
    }
    return {name: value for name, value in found.items() if value}
