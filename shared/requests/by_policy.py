"""An erasure that the policy asks for: the same message, and so the same path, as a person's own request."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from uuid import UUID

from shared import messages
from shared.keys import ScopeKeys
from shared.model import Scope, ScopeKind
from shared.policy_terms import Rule
from shared.stores.interface import Queue


async def start_erasure(scope: Scope, rule: Rule, started: datetime, *, keys: ScopeKeys, queue: Queue) -> None:
    """Send the request that erases the person or home a due record is about; `started` is when its run began.

    The request's id is made with the scope's key: the same all day, so that a repeat is the same request, and not to
    be guessed from the scope. Raises TransientError.
    """
    key = await keys.of(scope)
    text = f"request\0{rule.id}\0{scope.kind}\0{scope.id}\0{started:%Y-%m-%d}"
    request = UUID(bytes=hmac.digest(key, text.encode(), hashlib.sha256)[:16], version=4)
    body = messages.erase(
        request=request,
        subject={"user_id" if scope.kind is ScopeKind.PERSON else "home_id": scope.id},
        requested_by="the retention policy",
        identity_verified_by=f"rule {rule.id}",
        received_at=started.replace(hour=0, minute=0, second=0, microsecond=0),
    )
    await queue.send(body, message_id=str(request))
