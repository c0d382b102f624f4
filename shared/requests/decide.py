"""What operations decide about a request that needs attention: take it up again, say whom it means, close it.

The order is written into the request's document, so that the same message again is the same decision. Who decided and
why stands there too, and not in the events: it is free text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared import audit, messages
from shared.model import ScopeKind
from shared.requests.documents import Decision, RequestDocument, Requests, State
from shared.requests.intake import Intake
from shared.requests.scopes import spellings

UNKNOWN = "retention.request: nobody made a request with this id"
NOT_WAITING = "retention.request: the request needs no attention: `retention request show ID` says how it stands"
KNOWN = "retention.subject: the request knows whom it means; leave subject out to close it, or retry it"


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What deciding needs."""

    requests: Requests
    intake: Intake
    clock: Callable[[], datetime]

    async def retry(self, message: messages.Retry) -> None:
        """Take the request up again from where it stands: what made it stop may have changed.

        Raises MessageError for a request that does not wait for it, TransientError.
        """
        await self._decide(str(message.request), _decision(message, self.clock()), {})

    async def resolve(self, message: messages.Resolve) -> None:
        """Go on with the subject given in place of the first one; without a subject, close the request as rejected.

        Where another user has the same e-mail address the order decides about that: with the address as its subject the
        records that name only the address are erased too, without a subject they are left, and the request goes on.

        Raises MessageError for a request that does not wait for it, or whose person is known; TransientError.
        """
        decision = _decision(message, self.clock(), message.reason)
        if message.subject is not None:
            change: dict[str, Any] = {"subject": message.subject.model_dump(mode="json", exclude_none=True)}
        else:
            change = {"state": State.REJECTED, "finished_at": decision.at}
        await self._decide(str(message.request), decision, change)

    async def _decide(self, request: str, decision: Decision, change: dict[str, Any]) -> None:
        held = await self.requests.load(request)
        if held is None:
            raise messages.MessageError(UNKNOWN)
        if decision.order not in [each.order for each in held.value.decisions]:
            held = await self.requests.save(await self._decided(held.value, decision, change), held.etag)
        await self.intake.go_on(held)

    async def _decided(self, document: RequestDocument, decision: Decision, change: dict[str, Any]) -> RequestDocument:
        if document.state is not State.NEEDS_ATTENTION:
            raise messages.MessageError(NOT_WAITING)
        if document.shared_addresses and change:
            change = _about_address(document, change.get("subject"))
        elif "subject" in change and document.scope is not None:
            raise messages.MessageError(KNOWN)
        rejected = change.get("state") is State.REJECTED
        kind = audit.EventType.REQUEST_REJECTED if rejected else audit.EventType.REQUEST_TAKEN_UP
        goes_on = State.RECEIVED if document.scope is None else State.ACCEPTED
        change = {
            "state": goes_on,
            "reason": decision.reason if rejected else "",
            "finished_at": None,
            "decisions": (*document.decisions, decision),
            **change,
        }
        event = await self.requests.event(kind, document, decision.at, {})
        decided = document.model_copy(update={**change, "outbox": (event,)})
        # where nothing was done for anybody there is nothing to wait for
        return decided.forgotten(decision.at) if rejected and document.scope is None else decided


def _decision(message: messages.Retry | messages.Resolve, at: datetime, reason: str = "") -> Decision:
    return Decision(order=str(message.id), at=at, by=message.by, reason=reason)


def _about_address(document: RequestDocument, subject: dict[str, Any] | None) -> dict[str, Any]:
    """What a decision about a shared address changes: with it as the subject it is searched as the person's own."""
    theirs = {each.id for each in spellings(subject["email"])} if subject and "email" in subject else set()
    if subject is not None and not theirs & set(document.shared_addresses):
        raise messages.MessageError(KNOWN)
    mine = tuple((ScopeKind.ADDRESS, each) for each in document.shared_addresses if subject is not None)
    return {"also": (*(document.also or ()), *mine), "shared_addresses": ()}
