"""The outbox of a document: what a change of state has to tell the log, written together with the state.

A crash between the two loses nothing, and posting it again is byte-identical.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from shared import audit
from shared.deletion import Gate, new_intent_id
from shared.documents import Outgoing

__all__ = ["Outgoing", "outgoing", "post"]


def outgoing(
    gate: Gate,
    kind: audit.EventType,
    time: datetime,
    data: Mapping[str, Any],
    *,
    subject: str | None = None,
    intent: str | None = None,
    policy: str | None = None,
) -> Outgoing:
    """An event about anything but a record. `subject` is a pseudonym; `intent` is its id, else a random one.

    `policy` is the digest of the policy that it happened under, else today's.
    """
    intent = intent or new_intent_id()
    event = audit.plain_event(
        kind,
        event_id=f"{intent}/0",
        source=gate.source,
        time=time,
        policy_digest=policy or gate.policy.digest,
        subject=subject,
        data=data,
    )
    return Outgoing(intent=intent, log=str(time.year), event=event.decode())


async def post(gate: Gate, outbox: Iterable[Outgoing]) -> None:
    """Hand the events to the ledger. Safe to repeat; the caller clears its outbox afterwards."""
    for each in outbox:
        await gate.journals.post(each.intent, [each.event.encode()], log=each.log)
        await gate.ring(each.intent)
