"""The durable record of a request, and of a message that cannot become one.

A request document holds who asked and about whom, so its container is private; nothing of it enters logs or events but
the request's id. State and events change in one write: events wait in the document's outbox until they are posted.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime

from shared import audit
from shared.accounts import subject_pseudonym
from shared.deletion import Gate
from shared.documents import Form, Version, read, write
from shared.errors import ExistsError
from shared.model import Scope, ScopeKind
from shared.outbox import Outgoing, outgoing, post
from shared.stores.interface import ObjectStore


class State(StrEnum):
    """Where a request stands. `needs_attention` waits for a person; `done` and `rejected` are final.

    `received` is written down, and nobody is resolved yet.
    """

    RECEIVED = "received"
    ACCEPTED = "accepted"
    WORKING = "working"
    NEEDS_ATTENTION = "needs_attention"
    REJECTED = "rejected"
    DONE = "done"


OPEN = (State.RECEIVED, State.ACCEPTED, State.WORKING)
"""The states of a request that goes on by itself."""


class Unit(Form):
    """One unit given to the gate. `outcomes` is None until the gate answered; {} when only the log knows."""

    intent: str
    category: str
    outcomes: Mapping[str, int] | None = None


class ParkedMessage(Form):
    """A message that can never succeed, whole (`body` in base64), why, and the event that says so."""

    queue: str
    message_id: str
    parked_at: AwareDatetime
    reason: str
    request: str | None
    body: str
    event: Outgoing


class RequestDocument(Form):
    """A request. `digest` is of what is asked about whom: the same id with another digest is refused.

    `accepted_at` is when intake wrote it down. `subject` is kept as given only while nobody is resolved; `scope` is
    (kind, internal id) once somebody is. `not_reached` names planned categories that may hold records of the scope,
    `strange` counts by reason what could not be judged. `homes` are the person's homes at the time of asking. Times are
    UTC.
    """

    id: str
    type: str
    state: State
    reason: str = ""
    digest: str
    received_at: AwareDatetime
    accepted_at: AwareDatetime
    due_at: AwareDatetime
    requested_by: str
    identity_verified_by: str
    subject: Mapping[str, str] | None = None
    scope: tuple[ScopeKind, str] | None = None
    homes: tuple[str, ...] | None = None
    work: tuple[Unit, ...] = ()
    not_reached: tuple[str, ...] = ()
    strange: Mapping[str, int] = {}
    finished_at: AwareDatetime | None = None
    in_backups_until: AwareDatetime | None = None
    outbox: tuple[Outgoing, ...] = ()

    def scope_value(self) -> Scope | None:
        """The scope as a value."""
        return Scope(kind=self.scope[0], id=self.scope[1]) if self.scope else None

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Counts of outcomes by category, as the worker saw them; the log is the record."""
        counts: dict[str, dict[str, int]] = {}
        for unit in self.work:
            mine = counts.setdefault(unit.category, {})
            for name, number in (unit.outcomes or {}).items():
                mine[name] = mine.get(name, 0) + number
        return counts


@dataclass(frozen=True, kw_only=True)
class Requests:
    """The container of request documents, and the way of their events into the log."""

    objects: ObjectStore
    gate: Gate

    async def load(self, request: str) -> Version[RequestDocument] | None:
        """The document, or None."""
        return await read(self.objects, f"{request}.json", RequestDocument)

    async def save(self, document: RequestDocument, etag: str | None) -> Version[RequestDocument]:
        """Write over the version read, then post what waits in the outbox. Raises ChangedError, ExistsError.

        A crash before the write leaves nothing; one after it leaves the events in the outbox: `flush` posts them.
        """
        new = await self._write(document, etag)
        return await self.flush(Version(value=document, etag=new))

    async def flush(self, held: Version[RequestDocument]) -> Version[RequestDocument]:
        """Post the outbox, then clear it. Repeats are byte-identical: the log's readers collapse them."""
        if not held.value.outbox:
            return held
        await post(self.gate, held.value.outbox)
        cleared = held.value.model_copy(update={"outbox": ()})
        etag = await self._write(cleared, held.etag)
        return Version(value=cleared, etag=etag)

    async def _write(self, document: RequestDocument, etag: str | None) -> str:
        metadata = {"state": document.state.value} | ({"outbox": "waiting"} if document.outbox else {})
        return await write(self.objects, f"{document.id}.json", document, etag, metadata=metadata)

    async def session(self, scope: Scope) -> str:
        """The session that serialises the work on a person or home: a pseudonym, because the platform logs it."""
        return subject_pseudonym(await self.gate.keys.of(scope), scope)

    async def event(
        self, kind: audit.EventType, document: RequestDocument, time: datetime, data: Mapping[str, Any]
    ) -> Outgoing:
        """Make an event about the request; its subject is the person's or home's pseudonym once there is one."""
        scope = document.scope_value()
        subject = await self.session(scope) if scope else None
        return outgoing(self.gate, kind, time, {"request": document.id, "type": document.type, **data}, subject=subject)


@dataclass(frozen=True, kw_only=True)
class Parking:
    """Messages that can never succeed: kept whole in a private container, audited by their digest, and alarmed."""

    objects: ObjectStore
    gate: Gate

    async def park(
        self, body: bytes, *, queue: str, message_id: str, reason: str, request: str | None, now: datetime
    ) -> None:
        """Keep the message, once, and post its event. Safe to repeat: the stored event is the one that counts.

        `reason` names fields and remedies, never a value of the message.
        """
        digest = hashlib.sha256(body).hexdigest()
        name = f"{queue}/{hashlib.sha256(message_id.encode() + b'/' + digest.encode()).hexdigest()}.json"
        data = {"queue": queue, "request": request, "reason": reason[:1000]}
        entry = ParkedMessage(
            queue=queue,
            message_id=message_id,
            parked_at=now,
            reason=reason,
            request=request,
            body=base64.b64encode(body).decode(),
            event=outgoing(self.gate, audit.EventType.MESSAGE_PARKED, now, data),
        )
        try:
            metadata = {"request": request} if request else {}
            await self.objects.create(name, entry.model_dump_json().encode(), metadata=metadata)
        except ExistsError:
            earlier = await read(self.objects, name, ParkedMessage)
            entry = earlier.value if earlier else entry
        await post(self.gate, [entry.event])
