"""Intake: from a message on queue `requests` to a durable request, resolved to a person or a home, and forwarded.

The request is written down before anybody is looked for: a store that is away delays it and cannot lose it. What can
never succeed is refused with PermanentError, and parked; what a person must decide becomes a request that needs
attention. Both are recorded, audited and alarmed, and the message is completed: nothing is retried blindly.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dateutil.relativedelta import relativedelta

from shared import audit, messages
from shared.documents import Version
from shared.errors import ExistsError, PermanentError, TransientError
from shared.model import Scope, ScopeKind, utc_text
from shared.policy import Category, Policy
from shared.requests.by_policy import is_by_policy
from shared.requests.documents import OPEN, RequestDocument, Requests, State
from shared.requests.scopes import HAS_USERS, finding, identifying, shared_category, spellings, subject_of, visit_of
from shared.runs import ERASURES
from shared.stores.interface import Queue, RecordStore, record_store

USED = "retention.id: another request has this id, or one that is closed; give a new UUID"
log = logging.getLogger("retention.requests")


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What intake needs.

    `log_size` tells how many entries the log of a year has, at least. `restrict` makes the hold of a restriction until
    a time, `paused` says whether work of a kind is paused, `admit` whether one more request may begin in this hour.
    """

    policy: Policy
    stores: Mapping[str, RecordStore]
    requests: Requests
    work: Queue
    log_size: Callable[[str], Awaitable[int]]
    restrict: Callable[[str, Scope, datetime | None], Awaitable[None]]
    paused: Callable[[str], Awaitable[bool]]
    admit: Callable[[str, datetime], Awaitable[bool]]
    clock: Callable[[], datetime]

    async def take(self, message: messages.Erase | messages.Restrict) -> None:
        """Take one request in.

        1. Write the request document with its event, once: the same id again is the same request.
        2. Go on from where the document stands: see `go_on`.

        A crash anywhere repeats from the message; each step finds what the one before left. Raises TransientError
        (redelivered), and PermanentError for a message that can never succeed: the caller parks it.
        """
        request = str(message.id)
        told = {"version", "id", "requested_by", "identity_verified_by", "received_at"}  # may be told again otherwise
        digest = hashlib.sha256(message.model_dump_json(exclude=told).encode()).hexdigest()
        held = await self.requests.load(request)
        if held is None:
            try:
                held = await self.requests.save(await self._new(message, digest), None)
            except ExistsError:  # the same message at the same moment: its document is this one
                held = await self.requests.load(request)
        if held is None:
            raise TransientError("the request's document is not there although its name is taken")
        if held.value.closed_at is not None and is_by_policy(message):
            return  # a sweep's order, the same day again: what it asks for is done, or will be asked for tomorrow
        if held.value.digest != digest:  # also of a closed request, which has forgotten whom it was about
            raise messages.MessageError(USED)
        await self.go_on(held)

    async def go_on(self, held: Version[RequestDocument]) -> bool:
        """Take a request on from wherever its document stands; whether it is at work now. Safe to repeat and to race.

        1. Post the events that wait.
        2. Resolve the person or home, and write down who it is, or why a person must decide.
        3. A restriction becomes a hold, and is done.
        4. Forward an erasure to the session of its scope, again where that was done: the message may be lost. While
           erasures are paused, or the hour has begun as many as it may, it waits where it stands, and the watch
           comes back to it.

        Raises TransientError, and ChangedError when somebody else was faster.
        """
        held = await self.requests.flush(held)
        if held.value.state is State.RECEIVED:
            held = await self.requests.save(await self._resolved(held.value), held.etag)
        scope = held.value.scope_value()
        if scope is None or held.value.state not in OPEN:
            return False
        request = held.value.id
        if held.value.type == "restrict":
            await self.requests.save(await self._restricted(held.value, scope), held.etag)
            return True
        if await self.paused(ERASURES):
            log.warning("request %s waits: erasures are paused", request)
            return False
        if held.value.state is not State.WORKING and not await self.admit(request, self.clock()):
            log.warning("request %s waits for the next hour: as many as may have begun in this one", request)
            return False
        message_id = f"{request}-{secrets.token_hex(4)}"  # the broker drops a repeated id; who forwards again means it
        session = await self.requests.session(scope)
        await self.work.send(messages.work(request=request, hop=0), message_id=message_id, session_id=session)
        return True

    async def _restricted(self, document: RequestDocument, scope: Scope) -> RequestDocument:
        """The restriction, done: the hold of the same id says what it holds. One that cannot be needs attention."""
        try:
            await self.restrict(document.id, scope, document.until)
        except PermanentError as error:  # its id is another hold's, or it is about a visit
            unresolved = document.model_copy(update={"scope": None, "subject": subject_of(scope)})
            return await self._needing_attention(unresolved, str(error))
        now = self.clock()
        event = await self.requests.event(audit.EventType.REQUEST_COMPLETED, document, now, {"hold": document.id})
        forget_at = now + timedelta(days=1)  # until then the same message again is known to be the same
        change = {"state": State.DONE, "finished_at": now, "in_backups_until": forget_at, "outbox": (event,)}
        return document.model_copy(update=change)

    async def _new(self, message: messages.Erase | messages.Restrict, digest: str) -> RequestDocument:
        now = self.clock()
        received = message.received_at or now
        until = message.until if isinstance(message, messages.Restrict) else None
        if until is not None and until <= await self.requests.objects.now():  # as holds end: by the store's clock
            raise messages.MessageError("retention.until: it is past already; give a later time, or leave it out")
        visit = message.visit if isinstance(message, messages.Erase) else None
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
            log_from=await self.log_size(str(now.year)),
            subject=message.subject.model_dump(mode="json", exclude_none=True),
            visit=visit.model_dump(mode="json") if visit else None,
            decision_on_members=message.decision_on_members if isinstance(message, messages.Erase) else None,
            until=until,
        )
        data = {"received_at": utc_text(received), "due_at": utc_text(document.due_at)}
        event = await self.requests.event(audit.EventType.REQUEST_RECEIVED, document, now, data)
        return document.model_copy(update={"outbox": (event,)})

    async def _resolved(self, document: RequestDocument) -> RequestDocument:
        """The document with the scope that is meant in place of the subject, or as one that needs attention."""
        subject = messages.Subject.model_validate_json(json.dumps(document.subject))
        scope: Scope | None = None
        try:
            scope, reason = await self._resolve(subject, document)
        except PermanentError as error:  # the policy has no place to look: the request is there, and must not be lost
            reason = str(error)
        if scope is not None:
            return document.model_copy(
                update={"state": State.ACCEPTED, "scope": (scope.kind, scope.id), "subject": None}
            )
        return await self._needing_attention(document, reason)

    async def _needing_attention(self, document: RequestDocument, reason: str) -> RequestDocument:
        log.error("ALARM request %s needs attention: %s", document.id, reason)
        kind = audit.EventType.REQUEST_NEEDS_ATTENTION
        event = await self.requests.event(kind, document, self.clock(), {"reason": reason})
        return document.model_copy(update={"state": State.NEEDS_ATTENTION, "reason": reason, "outbox": (event,)})

    async def _resolve(self, subject: messages.Subject, document: RequestDocument) -> tuple[Scope | None, str]:
        """The scope that is meant; or None and why a person must decide."""
        if subject.email is not None:
            return await self._by_email(subject.email)
        if subject.visit is not None:
            return visit_of(subject.visit), ""
        if subject.session_id is not None:  # mostly gone by now, as the policy says: not finding one is no question
            return Scope(kind=ScopeKind.SESSION, id=subject.session_id), ""
        met = is_by_policy(document)  # gone or lived in by now, it is no question for anybody: the work looks again
        if subject.user_id is not None:
            scope = Scope(kind=ScopeKind.PERSON, id=subject.user_id)
            return (scope, "") if met or await self._is_known(scope) else (None, "no such user")
        scope = Scope(kind=ScopeKind.HOME, id=subject.home_id or "")
        if met:
            return scope, ""
        shared = shared_category(self.policy)
        if shared is None or not await self._exists(shared, scope):
            return None, "no such home"
        members_may_stay = document.type != "erase" or document.decision_on_members is not None
        if not members_may_stay and not await record_store(self.stores, shared).empty(shared, scope):
            return None, HAS_USERS
        return scope, ""

    async def _by_email(self, email: str) -> tuple[Scope | None, str]:
        """The user who has the address, however spelled; where there is none, the address if any record names it."""
        people = identifying(self.policy)
        found: set[Scope] = set()
        if people is not None and people.identifies is not None:
            store, field = record_store(self.stores, people), people.identifies.email
            for spelling in spellings(email):
                found |= {r.scope for r in await store.find(people, field, spelling.id) if r.scope}
        if len(found) == 1:
            return found.pop(), ""
        if found:
            return None, "the e-mail address matches several people"
        for spelling in spellings(email):
            for category in finding(self.policy, ScopeKind.ADDRESS):
                if await self._exists(category, spelling):
                    return spellings(email)[0], ""
        return None, "the e-mail address matches nobody"

    async def _is_known(self, scope: Scope) -> bool:
        """Whether there is such a person: by any record, for the one that identifies them may be gone already."""
        shared = shared_category(self.policy)
        for category in [*reversed(finding(self.policy, scope.kind)), *([shared] if shared else [])]:
            if await self._exists(category, scope):
                return True
        return False

    async def _exists(self, category: Category, scope: Scope) -> bool:
        async for page in record_store(self.stores, category).of_scope(category, scope, size=1):
            if page.records:
                return True
        return False
