"""Intake: from a message on queue `requests` to a durable request, resolved to a person or a home, and forwarded.

The request is written down before anybody is looked for: a store that is away delays it and cannot lose it. What can
never succeed is refused with PermanentError, and parked; what a person must decide becomes a request that needs
attention. Both are recorded, audited and alarmed, and the message is completed: nothing is retried blindly.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dateutil.relativedelta import relativedelta

from shared import audit, messages
from shared.documents import Version
from shared.errors import ExistsError, PermanentError, TransientError
from shared.model import Scope, ScopeKind, utc_text
from shared.plan import Finish, Post, Start
from shared.policy import Category, Policy
from shared.requests.documents import OPEN, RequestDocument, Requests, State
from shared.requests.scopes import HAS_USERS, shared_category
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
        2. Write the request document with its event, once: the same id again is the same request.
        3. Go on from where the document stands: see `go_on`.

        A crash anywhere repeats from the message; each step finds what the one before left. Raises TransientError
        (redelivered), and PermanentError for a message that can never succeed: the caller parks it.
        """
        now = self.clock()
        match messages.parse(body, now=now):
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
            try:
                held = await self.requests.save(await self._new(message, digest, now), None)
            except ExistsError:  # the same message at the same moment: its document is this one
                held = await self.requests.load(request)
        if held is None:
            raise TransientError("the request's document is not there although its name is taken")
        if held.value.digest != digest:
            raise messages.MessageError(
                "retention.id: another request, about somebody else, has this id; give a new UUID"
            )
        await self.go_on(held)

    async def go_on(self, held: Version[RequestDocument]) -> bool:
        """Take a request on from wherever its document stands; whether it is at work now. Safe to repeat and to race.

        1. Post the events that wait.
        2. Resolve the person or home, and write down who it is, or why a person must decide.
        3. Forward the request to the session of its scope, again where that was done: the message may be lost.

        Raises TransientError, and ChangedError when somebody else was faster.
        """
        held = await self.requests.flush(held)
        if held.value.state is State.RECEIVED:
            held = await self.requests.save(await self._resolved(held.value), held.etag)
        scope = held.value.scope_value()
        if scope is None or held.value.state not in OPEN:
            return False
        request = held.value.id
        # with the time in it: the broker drops a repeated id, and who forwards a request again means it
        message_id = f"{request}-{self.clock():%H%M%S}"
        session = await self.requests.session(scope)
        await self.work.send(messages.work(request=request, hop=0), message_id=message_id, session_id=session)
        return True

    async def _new(self, message: messages.Erase, digest: str, now: datetime) -> RequestDocument:
        received = message.received_at or now
        document = RequestDocument(
            id=str(message.id),
            type=message.type,
            state=State.RECEIVED,
            digest=digest,
            received_at=received,
            accepted_at=now,
            due_at=received + relativedelta(months=1),  # GDPR Art. 12(3)
            requested_by=message.requested_by,
            identity_verified_by=message.identity_verified_by,
            subject=message.subject.model_dump(exclude_none=True),
        )
        data = {"received_at": utc_text(received), "due_at": utc_text(document.due_at)}
        event = await self.requests.event(audit.EventType.REQUEST_RECEIVED, document, now, data)
        return document.model_copy(update={"outbox": (event,)})

    async def _resolved(self, document: RequestDocument) -> RequestDocument:
        """The document with the scope that is meant in place of the subject, or as one that needs attention."""
        try:
            scope, reason = await self._resolve(messages.Subject.model_validate(document.subject))
        except PermanentError as error:  # the policy has no place to look: the request is there, and must not be lost
            scope, reason = None, str(error)
        if scope is not None:
            return document.model_copy(
                update={"state": State.ACCEPTED, "scope": (scope.kind, scope.id), "subject": None}
            )
        log.error("ALARM request %s needs attention: %s", document.id, reason)
        kind = audit.EventType.REQUEST_NEEDS_ATTENTION
        event = await self.requests.event(kind, document, self.clock(), {"reason": reason})
        return document.model_copy(update={"state": State.NEEDS_ATTENTION, "reason": reason, "outbox": (event,)})

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
