"""The durable record of a request.

A request document holds who asked and about whom, so its container is private; nothing of it enters logs or events but
the request's id. State and events change in one write: events wait in the document's outbox until they are posted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime

from shared import audit
from shared.deletion import Gate
from shared.documents import Form, Version, read, write
from shared.model import Scope, ScopeKind, utc_text
from shared.outbox import Outgoing, outgoing, post
from shared.stores.interface import ObjectStore


class State(StrEnum):
    """Where a request stands. `needs_attention` waits for a person; `rejected` and `closed` are final.

    `received` is written down, and nobody is resolved yet. `done` is carried out, and closes when no backup is left
    that began before.
    """

    RECEIVED = "received"
    ACCEPTED = "accepted"
    WORKING = "working"
    NEEDS_ATTENTION = "needs_attention"
    REJECTED = "rejected"
    DONE = "done"
    CLOSED = "closed"


STAYED = tuple(kind.rpartition(".")[2] for kind in audit.STAYED)
"""The outcomes, as counts name them, that say of a record that it is still there."""

ENDED = (State.DONE, State.REJECTED)
"""The states of a request that is over, and waits to be closed."""

OPEN = (State.RECEIVED, State.ACCEPTED, State.WORKING)
"""The states of a request that goes on by itself."""


class Unit(Form):
    """One unit given to the gate. `outcomes` is None until the gate answered; {} when only the log knows."""

    intent: str
    category: str
    outcomes: Mapping[str, int] | None = None


class Decision(Form):
    """What somebody in operations decided about a request that needed attention; `order` is their message's id."""

    order: str
    at: AwareDatetime
    by: str
    reason: str = ""


class RequestDocument(Form):
    """A request. `digest` is of what is asked about whom: the same id with another digest is refused.

    `accepted_at` is when intake wrote it down, `log_from` the size of that year's log then. `subject` is kept as given
    only while nobody is resolved; `scope` is (kind, internal id) once somebody is. `also` is what else of theirs is
    searched (addresses, visits, and `besides`, what a replay knows of), `shared_addresses` those that another user has
    too, `homes` the person's homes as far as they were met, `erased_homes` those erased with them. All of these are
    gone once the request is closed, with what was written about the person in free text.

    `stayed` counts what stayed, by category and outcome; `stayed_records` names some of it, for whoever must mend it.
    `not_reached` says by name what may hold more and why it was not searched, `retained` until when a law keeps records
    of a category, `recoverable` until when a store keeps copies of what was erased (None: no end), `strange` counts by
    reason what could not be judged. Times are UTC.
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
    log_from: int = 0
    subject: Mapping[str, Any] | None = None
    visit: Mapping[str, Any] | None = None
    decision_on_members: str | None = None
    until: AwareDatetime | None = None
    scope: tuple[ScopeKind, str] | None = None
    besides: tuple[tuple[ScopeKind, str], ...] = ()
    also: tuple[tuple[ScopeKind, str], ...] | None = None
    shared_addresses: tuple[str, ...] = ()
    homes: tuple[str, ...] | None = None
    erased_homes: tuple[str, ...] = ()
    work: tuple[Unit, ...] = ()
    stayed: Mapping[str, Mapping[str, int]] = {}
    stayed_records: tuple[str, ...] = ()
    not_reached: Mapping[str, str] = {}
    retained: Mapping[str, AwareDatetime | None] = {}
    recoverable: Mapping[str, AwareDatetime | None] = {}
    strange: Mapping[str, int] = {}
    decisions: tuple[Decision, ...] = ()
    finished_at: AwareDatetime | None = None
    in_backups_until: AwareDatetime | None = None
    closed_at: AwareDatetime | None = None
    outbox: tuple[Outgoing, ...] = ()

    def scope_value(self) -> Scope | None:
        """The scope as a value."""
        return Scope(kind=self.scope[0], id=self.scope[1]) if self.scope else None

    def scopes(self) -> tuple[Scope, ...]:
        """Everything of the person that is erased: their scope, what else is theirs, the homes erased with them."""
        found = ([self.scope] if self.scope else []) + [*(self.also or ())]
        found += [(ScopeKind.HOME, home) for home in self.erased_homes]
        return tuple(Scope(kind=kind, id=scope_id) for kind, scope_id in dict.fromkeys(found))

    def forgotten(self, at: datetime) -> RequestDocument:
        """The document as it is kept once it is closed: it names nobody any more."""
        nothing: dict[str, Any] = {"requested_by": "", "identity_verified_by": "", "decision_on_members": None}
        nothing |= {
            "subject": None,
            "visit": None,
            "scope": None,
            "also": None,
            "homes": None,
            "digest": "",
        }
        nothing |= {"stayed_records": (), "besides": (), "shared_addresses": (), "erased_homes": ()}
        return self.model_copy(update={**nothing, "closed_at": at})

    def closes_at(self) -> datetime | None:
        """When it can close: no backup is left that began before, and no copy. None where that has no end."""
        ends = [self.in_backups_until, *self.recoverable.values()]
        known = [end for end in ends if end is not None]
        return max(known) if len(known) == len(ends) else None

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Counts of outcomes by category, as the workers saw them; the log is the record.

        What stayed is counted as the latest attempt met it: an earlier one may have met the same.
        """
        counts: dict[str, dict[str, int]] = {}
        for unit in self.work:
            for name, number in (unit.outcomes or {}).items():
                if name not in STAYED:
                    mine = counts.setdefault(unit.category, {})
                    mine[name] = mine.get(name, 0) + number
        for category, stayed in self.stayed.items():
            counts.setdefault(category, {}).update(stayed)
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
        metadata = {"state": document.state.value, "due_at": utc_text(document.due_at)}
        metadata |= {"outbox": "waiting"} if document.outbox else {}
        metadata |= {"closed_at": utc_text(document.closed_at)} if document.closed_at else {}
        closes_at = document.closes_at()
        if closes_at is not None and document.state in ENDED:
            metadata["closes_at"] = utc_text(closes_at)
        return await write(self.objects, f"{document.id}.json", document, etag, metadata=metadata)

    async def session(self, scope: Scope) -> str:
        """The session that serialises the work on a person or home: a pseudonym, because the platform logs it."""
        return audit.subject_pseudonym(await self.gate.keys.of(scope), scope)

    async def event(
        self,
        kind: audit.EventType,
        document: RequestDocument,
        time: datetime,
        data: Mapping[str, Any],
        *,
        nameless: bool = False,
    ) -> Outgoing:
        """Make an event about the request; its subject is the person's or home's pseudonym once there is one.

        `nameless` leaves the subject out, for the time when its key is gone.
        """
        scope = None if nameless else document.scope_value()
        subject = await self.session(scope) if scope else None
        return outgoing(self.gate, kind, time, {"request": document.id, "type": document.type, **data}, subject=subject)
