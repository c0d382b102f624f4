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


def request_id(key: bytes, scope: Scope, rule: str, started: datetime) -> UUID:
    """The id of such a request: the same all day, so that a repeat is the same request.

    It is made with the scope's key, and so not to be guessed from the scope.
    """
    text = f"request\0{rule}\0{scope.kind}\0{scope.id}\0{started:%Y-%m-%d}"
    return UUID(bytes=hmac.digest(key, text.encode(), hashlib.sha256)[:16], version=4)


async def start_erasure(scope: Scope, rule: Rule, started: datetime, *, keys: ScopeKeys, queue: Queue) -> None:
    """Send the request that erases the person or home a due record is about; `started` is when its run began.

    Raises TransientError.
    """
    request = request_id(await keys.of(scope), scope, rule.id, started)
    body = messages.erase(
        request=request,
        subject={"user_id" if scope.kind is ScopeKind.PERSON else "home_id": scope.id},
        requested_by=POLICY,
        identity_verified_by=f"{RULE}{rule.id}",
        received_at=started.replace(hour=0, minute=0, second=0, microsecond=0),
    )
    await queue.send(body, message_id=str(request))


def is_by_policy(document: RequestDocument) -> bool:
    """Whether a sweep asked for it, which met the record: whoever it is about need not be looked for, nor asked."""
    return document.requested_by == POLICY


async def still_due(document: RequestDocument, scope: Scope, policy: Policy, stores: Mapping[str, RecordStore]) -> bool:
    """Whether what an erasure by policy goes by is still so: it may have waited, and a user come back, or joined.

    By the clock of the record's store, as the sweep that asked for it: a worker's may be ahead, or behind.
    True for a person's own request, and where the record is gone, or does not say: what is left goes too. False where
    the policy has the rule no more.
    """
    if not is_by_policy(document):
        return True
    rule_id = document.identity_verified_by.removeprefix(RULE)
    found = ((c, r) for c in policy.enforced() for r in c.rules if r.id == rule_id)
    category, rule = next(found, (None, None))
    if category is None or rule is None:
        return False
    store = record_store(stores, category)
    if not isinstance(rule.start, Field):  # `policy_checks` lets no other start erase: it is that nobody is there
        return await store.empty(category, scope)
    texts = await store.values(category, scope, rule.start.field)
    starts = []
    for text in texts:
        with suppress(ValueError):
            starts.append(parse_utc(text))
    now = await store.now(category)
    return not starts or any(rule.period.after(start) <= now for start in starts)
