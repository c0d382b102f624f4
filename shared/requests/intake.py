"""Intake: from a message on queue `requests` to a durable request, resolved to a person or a home, and forwarded.

What can never succeed is refused with PermanentError, and parked; what a person must decide becomes a request that
needs attention. Both are recorded, audited and alarmed, and the message is completed: nothing is retried blindly and
nothing is lost.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dateutil.relativedelta import relativedelta

from shared import audit, messages
from shared.errors import ExistsError, TransientError
from shared.model import Scope, ScopeKind, utc_text
from shared.plan import Finish, Post, Start
from shared.policy import Category, Policy
from shared.requests.documents import RequestDocument, Requests, State
from shared.requests.scopes import HAS_USERS, session_of, shared_category
from shared.stores.interface import Queue, RecordStore
from shared.sweep import Sweeps, record_store

log = logging.getLogger("retention.requests")


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What intake needs."""

    policy: Policy
    stores: Mapping[str, RecordStore]
    requests: Requests
    work: Queue
    sweeps: Sweeps
    clock: Callable[[], datetime]

    async def receive(self, body: bytes) -> None:
        """Take one message in.

        1. Parse it.
        2. The same id again is the same request: go on where it stands.
        3. Resolve the person or home.
        4. Write the request document with its event, once.
        5. Forward it to the session of its scope.

        A crash anywhere repeats from the message; each step finds what the one before left. Raises TransientError
        (redelivered), and PermanentError for a message that can never succeed: the caller parks it.
        """
        now = self.clock()
        match messages.parse(body):
            case messages.Run() as message:
                steps = await self.sweeps.tick(only=message.categories, forced=True)
                if not any(isinstance(step, Start | Finish | Post) for step in steps.values()):
                    log.warning("run message %s started nothing: earlier runs are unfinished", message.id)
            case messages.Erase() as message:
                await self._erase(message, now)
            case _:
                raise messages.MessageError("retention.type: write erase or run")

    async def _erase(self, message: messages.Erase, now: datetime) -> None:
        request = str(message.id)
        about = f"{message.type}\0{message.subject.model_dump_json()}"  # when and by whom may be told again otherwise
        digest = hashlib.sha256(about.encode()).hexdigest()
        held = await self.requests.load(request)
        if held is None:
            document = await self._new(message, digest, now)
            try:
                held = await self.requests.save(document, None)
            except ExistsError:  # the same message at the same moment: its document is this one
                held = await self.requests.load(request)
        if held is None:
            raise TransientError("the request's document is not there although its name is taken")
        if held.value.digest != digest:
            raise messages.MessageError(
                "retention.id: another request, about somebody else, has this id; give a new UUID"
            )
        held = await self.requests.flush(held)
        if held.value.state in (State.ACCEPTED, State.WORKING):
            scope = held.value.scope_value()
            if scope is not None:
                body = messages.work(request=request, hop=0)
                await self.work.send(body, message_id=f"{request}-0", session_id=session_of(scope))

    async def _new(self, message: messages.Erase, digest: str, now: datetime) -> RequestDocument:
        scope, reason = await self._resolve(message.subject)
        received = message.received_at or now
        document = RequestDocument(
            id=str(message.id),
            type=message.type,
            state=State.NEEDS_ATTENTION if scope is None else State.ACCEPTED,
            reason=reason,
            digest=digest,
            received_at=received,
            accepted_at=now,
            due_at=received + relativedelta(months=1),  # GDPR Art. 12(3)
            requested_by=message.requested_by,
            identity_verified_by=message.identity_verified_by,
            subject=message.subject.model_dump(exclude_none=True) if scope is None else None,
            scope=(scope.kind, scope.id) if scope else None,
        )
        kind = audit.EventType.REQUEST_RECEIVED
        data = {"received_at": utc_text(received), "due_at": utc_text(document.due_at)}
        if scope is None:
            log.error("ALARM request %s needs attention: %s", document.id, reason)
            kind, data = audit.EventType.REQUEST_NEEDS_ATTENTION, {**data, "reason": reason}
        event = await self.requests.event(kind, document, now, data)
        return document.model_copy(update={"outbox": (event,)})

    async def _resolve(self, subject: messages.Subject) -> tuple[Scope | None, str]:
        """The scope that is meant; or None and why a person must decide."""
        people = next(c for c in self.policy.enforced() if c.identifies is not None)
        if subject.email is not None and people.identifies is not None:
            store = record_store(self.stores, people)
            found = {r.scope for r in await store.find(people, people.identifies.email, subject.email) if r.scope}
            if len(found) == 1:
                return found.pop(), ""
            return None, "the e-mail address matches several people" if found else "the e-mail address matches nobody"
        if subject.user_id is not None:
            scope = Scope(kind=ScopeKind.PERSON, id=subject.user_id)
            return (scope, "") if await self._exists(people, scope) else (None, "no such user")
        scope = Scope(kind=ScopeKind.HOME, id=subject.home_id or "")
        shared = shared_category(self.policy)
        if not await self._exists(shared, scope):
            return None, "no such home"
        if not await record_store(self.stores, shared).empty(shared, scope):
            return None, HAS_USERS
        return scope, ""

    async def _exists(self, category: Category, scope: Scope) -> bool:
        async for page in record_store(self.stores, category).of_scope(category, scope, size=1):
            if page.records:
                return True
        return False
