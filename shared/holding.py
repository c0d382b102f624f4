"""Holding: adds and releases holds, and says from when on a hold keeps all that it covers.

A unit of work that began before the hold may have read the holds too early, and delete what it covers: so the open
journals are looked at once the hold is durable, and until each of them is settled the hold is `pending`. A unit that
begins later reads the hold. Only when nothing of it can go any more is it `in_force: yes`, with the number of records
for which it came too late. Nothing here deletes governed data, or stops the gate: docs/adr/0001-gate-protocol.md.
A day after its end a hold forgets whom it was about, and what somebody wrote about them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import audit, messages
from shared.deletion import Gate
from shared.documents import Outgoing, Version, read, write
from shared.each import each
from shared.errors import ChangedError, ExistsError, TransientError
from shared.hold_notes import HoldNotes
from shared.hold_targets import Target, target_of, target_of_scope
from shared.holds import ENDS, LATE, NOTE, Hold, HoldKind, InForce
from shared.keys import name_of, name_of_category
from shared.messages import MessageError
from shared.model import Scope, parse_utc, utc_text
from shared.outbox import outgoing, post
from shared.stores.interface import Entry, ObjectStore

POLL = 1.0  # seconds between two looks at the journals that are open
RESTRICTION = "GDPR Art. 18"
FORGET_AFTER = timedelta(days=1)  # of a hold's end: its message may come again until then, and is known by its target
FORGOTTEN = "forgotten"

log = logging.getLogger("retention.holds")


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What holding needs. `patience` is how many seconds a message waits for open journals; then the watch goes on.

    `sleep` waits that many seconds before they are looked at again.
    """

    gate: Gate
    patience: float = 30.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def add(self, message: messages.Hold) -> None:
        """Add a hold: its id is the message's. The same message again is the same hold.

        1. Write the hold, once, with its event: what the gate begins from now on sees it.
        2. Look at the open journals, and note in each what the hold covers.
        3. Wait until they are settled, for `patience` at most; the watch goes on with `settle`.

        Raises MessageError (see `target_of`; also for an end that is past, and an id that another hold has) and
        TransientError.
        """
        target = target_of(message, self.gate.policy)
        hold = Hold(
            id=str(message.id),
            kind=target.kind,
            target=target.text,
            category=target.category,
            owner=message.owner,
            reason=message.reason,
            by=message.by,
            until=message.until,
        )
        if await self._load(hold.id) is None and hold.over(await self._objects.now()):
            raise MessageError("retention.until: give a time in the future")
        await self._place(hold, target)

    async def restrict(self, request: str, scope: Scope, until: datetime | None) -> None:
        """Hold a person's, home's, address's or session's records for a request; the hold has the request's id.

        Repeats and waits as `add` does. An `until` that is past makes a hold that is over. Raises MessageError for a
        visit, TransientError.
        """
        target = target_of_scope(scope)
        hold = Hold(
            id=request,
            kind=target.kind,
            target=target.text,
            owner=RESTRICTION,
            reason=_reason(request),
            by="the request",
            until=until,
        )
        await self._place(hold, target)

    async def release(self, message: messages.Release) -> None:
        """End a hold. One that has ended stays as it is. Raises MessageError for a hold that nobody made."""
        held = await self._load(message.hold)
        if held is None:
            raise MessageError("retention.hold: there is no such hold; `retention hold list` shows them")
        now = await self._objects.now()
        if not held.value.over(now):
            released = outgoing(self.gate, audit.EventType.HOLD_RELEASED, self.gate.clock(), {"hold": held.value.id})
            settled = held.value.in_force is not InForce.PENDING
            await self._save(
                held,
                ended_at=now,
                ended_by=message.by,
                ended_because=message.reason,
                in_force=held.value.in_force if settled else InForce.UNKNOWN,
                outbox=(*held.value.outbox, released),
            )
        await self._flush(message.hold)

    async def settle(self, hold_id: str) -> Hold:
        """Take a hold's next steps, as far as they go now; return it. Safe to repeat, and to race.

        1. Post the events that wait.
        2. Look at the open journals, if nobody has: those alone can have missed the hold.
        3. When each of them is settled, look which of the records that they named are there as they were listed: what
           an attempt sent has reached its store by then, so what is there stays.

        Raises TransientError, ConfigError for a store without a connection.
        """
        try:
            held = await self._flush(hold_id)
            return await self._settle(held) if held.value.in_force is InForce.PENDING else held.value
        except ChangedError:
            log.info("another worker was faster with hold %s", hold_id)
            return (await self._there(hold_id)).value

    async def watch(self) -> int:
        """Settle every hold that is pending or has events waiting. Returns how many.

        Of the others the notes are dropped, those that came late are counted, and those that ended are forgotten. One
        that fails does not stop the others: its error is raised when all have had their turn.
        """
        entries = [entry async for entry in self._objects.list()]
        holds = [entry for entry in entries if NOTE not in entry.metadata]
        waiting = [entry.name.removesuffix(".json") for entry in holds if _waits(entry)]
        await each(waiting, self.settle, log=log, say=lambda hold: f"the settling of hold {hold}")
        notes = [entry for entry in entries if NOTE in entry.metadata]
        await each(notes, self._see_to, log=log, say=lambda note: f"the note {note.name}")
        now = await self._objects.now()
        ended = [entry for entry in holds if FORGOTTEN not in entry.metadata and _ended(entry, now - FORGET_AFTER)]
        await each(ended, self._forget, log=log, say=lambda hold: f"the forgetting of hold {hold.name}")
        return len(waiting)

    # ------------------------------------------------------------ placing

    async def _place(self, hold: Hold, target: Target) -> None:
        held = await self._load(hold.id)
        if held is None:
            since = await self._objects.now()
            event = await self._added(hold, target)
            document = hold.model_copy(update={"since": since, "in_force": InForce.PENDING, "outbox": (event,)})
            with suppress(ExistsError):  # the same message at the same moment
                await write(self._objects, _name(hold.id), document, None, metadata=_metadata(document))
            held = await self._load(hold.id)  # a crash from here on leaves a hold that the gate sees
        if held is None or not _same(held.value, hold):
            raise MessageError("retention.id: another hold has this id; give a new UUID")
        await self._wait(hold.id)

    async def _added(self, hold: Hold, target: Target) -> Outgoing:
        """The event: the target by its category, or by a pseudonym; nothing that somebody wrote by hand."""
        now = self.gate.clock()
        data: dict[str, Any] = {"hold": hold.id, "kind": hold.kind.value}
        data["until"] = utc_text(hold.until) if hold.until else None
        subject = None
        if hold.kind is HoldKind.RECORD:
            name = name_of(target.scope) if target.scope else name_of_category(target.category, now.year)
            key = (await self.gate.keys.get([name]))[name]
            data["record"] = audit.pseudonym(key, "record", target.text)
        elif target.scope is not None:
            subject = audit.subject_pseudonym(await self.gate.keys.of(target.scope), target.scope)
        if target.category:
            data["category"] = target.category
        return outgoing(self.gate, audit.EventType.HOLD_ADDED, now, data, subject=subject)

    async def _wait(self, hold_id: str) -> None:
        waited = 0.0
        while (await self.settle(hold_id)).in_force is InForce.PENDING:
            if waited >= self.patience:
                log.warning("hold %s is not in force for all yet: units of work are open; the watch goes on", hold_id)
                return
            await self.sleep(POLL)
            waited += POLL

    # ------------------------------------------------------------ settling

    async def _settle(self, held: Version[Hold]) -> Hold:
        if held.value.over(await self._objects.now()):  # what is gone by now may have gone after its end
            return (await self._save(held, in_force=InForce.UNKNOWN)).value
        if held.value.journals is None:
            # a crash after this leaves notes, which the next look writes again
            held = await self._save(held, journals=await self._notes.take(held.value))
        gone = await self._notes.gone(held.value)
        if gone is None:
            return held.value
        await self._in_force(held, gone)
        return (await self._flush(held.value.id)).value

    async def _in_force(self, held: Version[Hold], more: set[str]) -> None:
        """Say that nothing more can go, and for how many records that is too late: those known, and `more`."""
        late = {*held.value.late, *more}
        data = {"hold": held.value.id, "journals": len(held.value.journals or ()), "too_late": len(late)}
        event = outgoing(self.gate, audit.EventType.HOLD_IN_FORCE, self.gate.clock(), data)
        if late:
            log.error("ALARM hold %s came too late for %d records", held.value.id, len(late))
        outbox = (*held.value.outbox, event)
        await self._save(held, in_force=InForce.YES, late=tuple(sorted(late)), too_late=len(late), outbox=outbox)

    # ------------------------------------------------------------ afterwards

    async def _see_to(self, note: Entry) -> None:
        """Count what a note says came late; drop it, unless the hold that it lies beside is still pending."""
        hold_id = note.name.partition("/")[0]
        held = await self._load(hold_id)
        if held is not None and held.value.in_force is InForce.PENDING:
            return
        if held is not None and note.metadata[NOTE] == LATE and held.value.in_force is InForce.YES:
            more = await self._notes.late(note.name) - {*held.value.late}
            if more:
                await self._in_force(held, more)
                await self._flush(hold_id)
        await self._objects.delete(note.name)

    async def _forget(self, entry: Entry) -> None:
        """Take out of a hold that ended a day ago whom it was about, and the words that may name them."""
        held = await self._load(entry.name.removesuffix(".json"))
        if held is None or held.value.in_force is InForce.PENDING or held.value.outbox:
            return
        hold = held.value
        await self._save(
            held,
            target=hold.target if hold.kind is HoldKind.CATEGORY else "",
            reason=hold.reason if hold.reason == _reason(hold.id) else "",
            ended_because="",
            forgotten=True,
        )

    # ------------------------------------------------------------ the document

    @property
    def _notes(self) -> HoldNotes:
        return HoldNotes(gate=self.gate)

    @property
    def _objects(self) -> ObjectStore:
        return self.gate.holds.objects

    async def _load(self, hold_id: str) -> Version[Hold] | None:
        return await read(self._objects, _name(hold_id), Hold)

    async def _there(self, hold_id: str) -> Version[Hold]:
        held = await self._load(hold_id)
        if held is None:
            raise TransientError("the hold's document is not there although its name is known")
        return held

    async def _save(self, held: Version[Hold], **change: object) -> Version[Hold]:
        """Write over the version read. Raises ChangedError."""
        value = held.value.model_copy(update=change)
        etag = await write(self._objects, _name(value.id), value, held.etag, metadata=_metadata(value))
        return Version(value=value, etag=etag)

    async def _flush(self, hold_id: str) -> Version[Hold]:
        """Read the hold; post what waits in its outbox, then clear it. Repeats are byte-identical."""
        held = await self._there(hold_id)
        if not held.value.outbox:
            return held
        await post(self.gate, held.value.outbox)
        return await self._save(held, outbox=())


def _name(hold_id: str) -> str:
    return f"{hold_id}.json"


def _metadata(hold: Hold) -> dict[str, str]:
    """What is known of a hold without reading it."""
    found = {"in_force": hold.in_force.value}
    found |= {ENDS: utc_text(hold.ends)} if hold.ends else {}
    found |= {FORGOTTEN: "yes"} if hold.forgotten else {}
    return found | ({"outbox": "waiting"} if hold.outbox else {})


def _waits(entry: Entry) -> bool:
    """Whether a hold has a next step to take."""
    return entry.metadata.get("in_force") == InForce.PENDING or "outbox" in entry.metadata


def _ended(entry: Entry, at: datetime) -> bool:
    """Whether a hold ended then or before. An end that is no time stops the gate, and `status` says so."""
    try:
        return ENDS in entry.metadata and parse_utc(entry.metadata[ENDS]) <= at
    except ValueError:
        return False


def _same(held: Hold, asked: Hold) -> bool:
    """Whether a hold is the one that is asked for: who ordered it may be told otherwise.

    One that is forgotten is that of its request still; to a message it is another.
    """
    if held.forgotten:
        return held.reason == asked.reason == _reason(held.id)
    return _said(held) == _said(asked)


def _said(hold: Hold) -> tuple[object, ...]:
    return hold.kind, hold.target, hold.owner, hold.reason, hold.until


def _reason(request: str) -> str:
    """Why a request's own hold is there: it names nobody."""
    return f"{RESTRICTION}, request {request}"
