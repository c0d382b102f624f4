"""An erasure that the policy asks for: the same message, and so the same path, as a person's own request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from shared import messages
from shared.deletion import Gate
from shared.keys import ScopeKeys
from shared.model import Scope, ScopeKind, SweepCause
from shared.policy import Policy
from shared.policy_terms import Rule
from shared.requests.documents import RequestDocument
from shared.stores.interface import Queue, RecordStore, record_store

POLICY = "the retention policy"
RULE = "rule "
AS_SWEPT = SweepCause(run="", slice=0)
"""What a hold is asked about: whether it keeps a record from a sweep, of whatever run."""


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


def is_by_policy(asked: RequestDocument | messages.Erase | messages.Restrict) -> bool:
    """Whether a sweep asked for it, which met the record: whoever it is about need not be looked for, nor asked."""
    return asked.requested_by == POLICY and asked.identity_verified_by.startswith(RULE)


async def still_due(
    document: RequestDocument, scope: Scope, policy: Policy, stores: Mapping[str, RecordStore], gate: Gate
) -> bool:
    """Whether a sweep would ask for it now as well: it may have waited, and a user come back, or joined.

    By the clock of the record's store, as the sweep that asked for it: a worker's may be ahead, or behind. A record
    that is held asks for nothing. True for a person's own request, and where there is no record any more: what is left
    goes too. Raises TransientError where the holds cannot be read.
    """
    if not is_by_policy(document):
        return True
    rule_id = document.identity_verified_by.removeprefix(RULE)
    found = ((c, r) for c in policy.enforced() for r in c.rules if r.id == rule_id and r.action == "erase-subject")
    category, rule = next(found, (None, None))
    if category is None or rule is None or category.belongs_to is not scope.kind:
        return False
    store = record_store(stores, category)
    now, there = await store.now(category), False
    async for page in store.of_scope(category, scope, size=100, rule=rule):
        due = [record for record in page.records if record.due is not None and record.due <= now]
        holds = await gate.readable_holds() if due else ()
        if not all(any(hold.covers(record, AS_SWEPT) for hold in holds) for record in due):
            return True
        there = there or bool(page.records)
    return not there
