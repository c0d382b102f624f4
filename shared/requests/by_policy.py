"""An erasure that the policy asks for: the same message, and so the same path, as a person's own request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from shared import messages
from shared.keys import ScopeKeys
from shared.model import Scope, ScopeKind, parse_utc
from shared.policy import Policy
from shared.policy_terms import Field, Rule
from shared.requests.documents import RequestDocument
from shared.stores.interface import Queue, RecordStore, record_store

POLICY = "the retention policy"
RULE = "rule "


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
        requested_by=POLICY,
        identity_verified_by=f"{RULE}{rule.id}",
        received_at=started.replace(hour=0, minute=0, second=0, microsecond=0),
    )
    await queue.send(body, message_id=str(request))


async def still_due(document: RequestDocument, scope: Scope, policy: Policy, stores: Mapping[str, RecordStore]) -> bool:
    """Whether the period that an erasure by policy goes by is still over: it may have waited, and a user come back.

    By the clock of the record's store, as the sweep that asked for it: a worker's may be ahead, or behind.
    True for a person's own request, and where the starting point is no field of the record, or cannot be read.
    """
    rule_id = document.identity_verified_by.removeprefix(RULE)
    found = ((c, r) for c in policy.enforced() for r in c.rules if r.id == rule_id)
    category, rule = next(found, (None, None)) if document.requested_by == POLICY else (None, None)
    if category is None or rule is None or not isinstance(rule.start, Field):
        return True
    store = record_store(stores, category)
    texts = await store.values(category, scope, rule.start.field)
    starts = []
    for text in texts:
        with suppress(ValueError):
            starts.append(parse_utc(text))
    now = await store.now(category)
    return not starts or any(rule.period.after(start) <= now for start in starts)
