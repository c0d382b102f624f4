"""The erasure of one person, or of one home without users: a state machine that resumes anywhere.

Everything is found again until nothing is left, so a record that appears meanwhile goes too. A shared home is left
under its ETag; whoever leaves it empty erases it, the home's own record first: that is the moment after which nobody
can join. The user record goes last.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared import audit, messages
from shared.deletion import Gate, count, new_intent_id
from shared.documents import Version, write
from shared.errors import ExistsError, PermanentError, TransientError
from shared.model import Blocked, Held, Locator, Outcome, Record, RequestCause, Retained, Scope, ScopeKind, utc_text
from shared.policy import Category, Policy
from shared.requests.documents import OPEN, RequestDocument, Requests, State, Unit
from shared.requests.scopes import HAS_USERS, backups_until, not_reached, shared_category
from shared.stores.interface import ObjectStore, Queue, RecordStore
from shared.sweep import record_store

log = logging.getLogger("retention.requests")
ROUNDS = 10  # of finding a category's records again; more means that somebody keeps writing them


class RegisterEntry(BaseModel):
    """One erased scope in the register: what a replay after a restore erases again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: int = 1
    request: str
    kind: ScopeKind
    scope: str
    erased_at: AwareDatetime


class OutOfTimeError(Exception):
    """The worker's time budget is over: the work goes on in a continuation."""


@dataclass(frozen=True, kw_only=True)
class Eraser:
    """What erasing needs. `register` keeps erased scopes, in the ledger's account."""

    policy: Policy
    stores: Mapping[str, RecordStore]
    gate: Gate
    requests: Requests
    work: Queue
    register: ObjectStore
    clock: Callable[[], datetime]
    unit: int

    async def carry_out(self, order: messages.Work, *, hurry: Callable[[], bool]) -> None:
        """Work on a request until it is finished, or until `hurry` says to queue a continuation.

        1. Finish what an earlier attempt left open, by recovery.
        2. Leave the shared homes, and erase each that is left empty.
        3. Erase the person's own records, category by category, the user record last.
        4. Write the register entry.
        5. Close: `done, in backups until`, or needs attention when something had to stay.

        Raises TransientError (redelivered), PermanentError for an unknown request.
        """
        request = str(order.request)
        held = await self.requests.load(request)
        if held is None:
            raise PermanentError("the message names a request that nobody made")
        scope = held.value.scope_value()
        if held.value.state not in OPEN or scope is None:  # one without a scope is intake's still
            await self.requests.flush(held)
            return
        attempt = _Attempt(eraser=self, held=held, scope=scope, hurry=hurry)
        try:
            await attempt.run()
        except OutOfTimeError:
            body = messages.work(request=request, hop=order.hop + 1)
            message_id = f"{request}-{order.hop + 1}-{secrets.token_hex(4)}"  # never taken for an earlier one
            session = await self.requests.session(scope)
            await self.work.send(body, message_id=message_id, session_id=session)


@dataclass(kw_only=True)
class _Attempt:
    """One worker's go at a request: the document as last written, which every step writes again before it acts."""

    eraser: Eraser
    held: Version[RequestDocument]
    scope: Scope
    hurry: Callable[[], bool]
    shared: Category = field(init=False)
    strange: dict[tuple[str, Scope], Counter[str]] = field(default_factory=dict)  # as each last listing met it
    stay: dict[Locator, Outcome] = field(default_factory=dict)  # this attempt looks at every record that is left

    def __post_init__(self) -> None:
        self.shared = shared_category(self.eraser.policy)

    @property
    def document(self) -> RequestDocument:
        return self.held.value

    async def run(self) -> None:
        """The steps of `carry_out`, from wherever the document stands."""
        await self._update(state=State.WORKING)
        await self._finish_earlier()
        if self.document.homes is None:
            await self._update(homes=tuple(home.id for home in await self._homes()))
        if self.scope.kind is ScopeKind.PERSON:
            await self._erase(self.shared, self.scope)
        homes = [Scope(kind=ScopeKind.HOME, id=home) for home in self.document.homes or ()]
        erased = [await self._erase_if_empty(home) for home in homes]
        if self.scope.kind is ScopeKind.PERSON:
            for category in self._personal():
                await self._erase(category, self.scope)
        elif not all(erased):  # somebody joined since intake: nothing was erased, and the register must not say so
            await self._close(HAS_USERS)
            return
        await self._register()
        await self._close()

    async def _finish_earlier(self) -> None:
        """Recover every unit whose outcome is not known. One that is settled already is counted by the log alone."""
        for unit in self.document.work:
            if unit.outcomes is None:
                await self._account(unit.intent, await self.eraser.gate.recover(unit.intent))

    async def _homes(self) -> list[Scope]:
        """The homes a request is about: the one that was named, or all that the person is a member of."""
        if self.scope.kind is ScopeKind.HOME:
            return [self.scope]
        store = record_store(self.eraser.stores, self.shared)
        pages = store.of_scope(self.shared, self.scope, size=self.eraser.unit)
        return [record.scope async for page in pages for record in page.records if record.scope is not None]

    async def _erase_if_empty(self, home: Scope) -> bool:
        """The home's own record first, on condition that it is still the empty one; then all that belongs to it.

        Its record gone is the moment after which nobody can join. A crash after it is resumed from the document,
        which lists the home; one that was never listed is found by the sweep of homes without users. False when it
        has members. A record that has to stay keeps the rest with it: somebody may join.
        """
        store = record_store(self.eraser.stores, self.shared)
        for _ in range(ROUNDS):
            pages = store.of_scope(self.shared, home, size=self.eraser.unit)
            records = [record async for page in pages for record in page.records]
            if not records:
                break
            # Asked after the listing: whoever joins from here on makes it another version, which is not deleted.
            if not await store.empty(self.shared, home):
                return False
            await self._gate(self.shared, records)
            if any(record.locator in self.stay for record in records):
                return True
        else:
            raise TransientError(f"a home changes as fast as it is erased: request {self.document.id}")
        for category in self.eraser.policy.enforced():
            if category.id != self.shared.id and home.kind in category.find:
                await self._erase(category, home)
        return True

    def _personal(self) -> list[Category]:
        """The categories with records of a person's own; the one that identifies people comes last."""
        enforced = self.eraser.policy.enforced()
        found = [c for c in enforced if ScopeKind.PERSON in c.find and c.id != self.shared.id]
        return sorted(found, key=lambda category: category.identifies is not None)

    async def _register(self) -> None:
        """Note the erased scope, so that a restored backup can be replayed. A request's first entry stands."""
        name = f"{self.scope.kind.value}/{self.document.id}.json"
        entry = RegisterEntry(
            request=self.document.id,
            kind=self.scope.kind,
            scope=self.scope.id,
            erased_at=self.eraser.clock(),
        )
        with suppress(ExistsError):
            await write(self.eraser.register, name, entry, None)

    async def _close(self, reason: str = "") -> None:
        """Done; or needs attention: for the reason given, or because records had to stay."""
        now = self.eraser.clock()
        stayed = ", ".join(f"{number} {name}" for name, number in sorted(count([*self.stay.values()]).items()))
        until = backups_until(self.eraser.policy, now)
        kinds = {self.scope.kind} | ({ScopeKind.HOME} if self.document.homes else set())
        missed = not_reached(self.eraser.policy, kinds)
        strange = sum(self.strange.values(), Counter[str]())
        data: dict[str, Any] = {
            "outcomes": self.document.outcomes(),
            "not_reached": list(missed),
            "strange": dict(strange),
        }
        if until is not None:  # with backups that are only planned to go, no time is true
            data["in_backups_until"] = utc_text(until)
        kind, state = audit.EventType.REQUEST_COMPLETED, State.DONE
        reason = reason or (f"some records had to stay: {stayed}" if stayed else "")
        if reason:
            kind, state = audit.EventType.REQUEST_NEEDS_ATTENTION, State.NEEDS_ATTENTION
            data["reason"] = reason
            log.error("ALARM request %s needs attention: %s", self.document.id, reason)
        event = await self.eraser.requests.event(kind, self.document, now, data)
        await self._update(
            state=state,
            reason=reason,
            finished_at=now,
            in_backups_until=until,
            not_reached=missed,
            strange=strange,
            outbox=(event,),
        )

    # ------------------------------------------------------------ parts of steps

    async def _erase(self, category: Category, scope: Scope) -> None:
        """Find the scope's records and give them to the gate, again and again until only those are left that stay."""
        store = record_store(self.eraser.stores, category)
        for _ in range(ROUNDS):
            found = False
            self.strange[category.id, scope] = Counter()
            async for page in store.of_scope(category, scope, size=self.eraser.unit):
                self.strange[category.id, scope] += Counter(page.strange)
                records = [record for record in page.records if record.locator not in self.stay]
                await self._gate(category, records)
                found = found or bool(records)
            if not found:
                return
        raise TransientError(f"records of {category.id} appear as fast as they are erased: request {self.document.id}")

    async def _gate(self, category: Category, records: Sequence[Record]) -> None:
        """One unit through the gate; the document names its intent before and its outcomes after."""
        if not records:
            return
        intent = new_intent_id()
        await self._update(work=(*self.document.work, Unit(intent=intent, category=category.id)))
        cause = RequestCause(request=self.document.id, scope=self.scope)
        outcomes = await self.eraser.gate.delete(records, cause, intent_id=intent)
        await self._account(intent, outcomes)
        if not outcomes:  # another worker accounted for them: what is left is found again
            return
        stay = {
            record.locator: outcome
            for record, outcome in zip(records, outcomes, strict=True)
            if isinstance(outcome, Held | Blocked | Retained)
        }
        self.stay |= stay
        if self.hurry() and len(stay) < len(records):  # a continuation meets again what stays: it alone is no progress
            raise OutOfTimeError

    async def _account(self, intent: str, outcomes: Sequence[Outcome]) -> None:
        counts = count(outcomes)
        work = [w.model_copy(update={"outcomes": counts}) if w.intent == intent else w for w in self.document.work]
        await self._update(work=tuple(work))

    async def _update(self, **change: Any) -> None:
        """Write the document. Raises ChangedError when another worker has the request: the message is redelivered."""
        self.held = await self.eraser.requests.save(self.document.model_copy(update=change), self.held.etag)
