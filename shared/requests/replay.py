"""After a restore: what was erased since the backup began is erased again, by the register.

Meant for the time before the restored data is used: everything of an erased person or home that is found goes. Each
erased person or home becomes a request of its own, with its own document, events and result.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dateutil.relativedelta import relativedelta
from pydantic import AwareDatetime

from shared import audit, messages
from shared.documents import Form, read, write
from shared.each import each
from shared.errors import ExistsError, TransientError
from shared.model import Scope, ScopeKind, utc_text
from shared.requests.documents import RequestDocument, Requests, State
from shared.requests.intake import Intake
from shared.requests.register import Register
from shared.stores.interface import ObjectStore

A_SECOND = timedelta(seconds=1)  # stores tell whole seconds only

log = logging.getLogger("retention.requests")


class Asked(Form):
    """When a replay was asked for."""

    at: AwareDatetime


@dataclass(frozen=True, kw_only=True)
class Replays:
    """What replaying needs. `marks` is the container of runs: there it says when a replay was asked for first."""

    register: Register
    marks: ObjectStore
    requests: Requests
    intake: Intake
    log_size: Callable[[str], Awaitable[int]]

    async def start(self, message: messages.Replay) -> int:
        """Start the erasures again that were finished after the backup began. Returns how many.

        The ids are made of the message's with the scopes' keys: the same message again makes none anew. Nor does it
        reach what was erased after it had come first: nobody restored that. One that fails does not stop the others;
        raises the first error when all have had their turn.
        """
        if message.backup_began > await self.requests.objects.now() + A_SECOND:
            raise messages.MessageError("retention.backup_began: it lies in the future; say when the backup began")
        asked_at = await self._asked_at(message)
        found: dict[Scope, set[tuple[ScopeKind, str]]] = {}
        async for entry in self.register.entries():
            if message.backup_began <= entry.erased_at + A_SECOND and entry.erased_at <= asked_at:
                scope = Scope(kind=entry.scope[0], id=entry.scope[1])
                found.setdefault(scope, set()).update(entry.scopes)
        log.warning("replay %s: %d erased since the backup began", message.id, len(found))

        async def again(scope: Scope) -> None:
            await self._again(message, scope, found[scope])

        await each(found, again, log=log, say=lambda scope: f"the replay of the erasure of a {scope.kind}")
        return len(found)

    async def _asked_at(self, message: messages.Replay) -> datetime:
        """When the message came first, by the store's clock."""
        name = f"requests/replay/{message.id}"
        held = await read(self.marks, name, Asked)
        if held is None:
            now = await self.marks.now()
            with suppress(ExistsError):  # the same message at the same moment
                await write(self.marks, name, Asked(at=now), None, metadata={"ended_at": utc_text(now)})
            held = await read(self.marks, name, Asked)
        if held is None:
            raise TransientError("the mark of a replay is not there although its name is taken")
        return held.value.at

    async def _again(self, message: messages.Replay, scope: Scope, scopes: set[tuple[ScopeKind, str]]) -> None:
        key = await self.requests.gate.keys.of(scope)  # without it nobody can make the id from a name
        digest = hmac.digest(key, f"replay\0{message.id}".encode(), hashlib.sha256)
        request = str(UUID(bytes=digest[:16], version=4))
        held = await self.requests.load(request)
        if held is None:
            try:
                held = await self.requests.save(await self._new(request, message, scope, scopes), None)
            except ExistsError:  # the same message at the same moment: its document is this one
                held = await self.requests.load(request)
        if held is not None:
            await self.intake.go_on(held)

    async def _new(
        self, request: str, message: messages.Replay, scope: Scope, scopes: set[tuple[ScopeKind, str]]
    ) -> RequestDocument:
        now = self.intake.clock()
        mine = (scope.kind, scope.id)
        document = RequestDocument(
            id=request,
            type="erase",
            state=State.ACCEPTED,
            digest=request,  # no message has this id
            received_at=now,
            accepted_at=now,
            due_at=now + relativedelta(months=1),
            requested_by=f"the replay {message.id} after a restore",
            identity_verified_by="the register of erased scopes",
            log_from=await self.log_size(str(now.year)),
            scope=mine,
            besides=tuple(sorted(scopes - {mine})),
        )
        data = {"received_at": utc_text(now), "due_at": utc_text(document.due_at), "replay": str(message.id)}
        event = await self.requests.event(audit.EventType.REQUEST_RECEIVED, document, now, data)
        return document.model_copy(update={"outbox": (event,)})
