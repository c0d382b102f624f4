"""The watch: what makes a crash or a lost message anywhere come right without anybody.

An open journal older than `after` is recovered by the gate's own steps; where a settled one waits, the doorbell is rung
again; a request that has not moved is sent to its session again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import messages
from shared.deletion import Gate
from shared.errors import TransientError
from shared.requests.documents import Requests, State
from shared.requests.scopes import session_of
from shared.stores.interface import Queue

OPEN = (State.ACCEPTED, State.WORKING)

log = logging.getLogger("retention.watch")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What watching needs. `after` is how old an open journal, or an idle request, must be."""

    gate: Gate
    requests: Requests
    work: Queue
    clock: Callable[[], datetime]
    after: timedelta

    async def journals(self) -> tuple[int, int]:
        """Recover old open journals, and ring for settled ones. Returns how many of each.

        A journal whose recovery fails stays open and is tried again next time; the others still have their turn.
        Raises TransientError at the end if any failed.
        """
        old = await self.gate.journals.objects.now() - self.after
        recovered = failed = 0
        settled = ""
        waiting = 0
        async for intent, state, entry in self.gate.journals.entries():
            if state == "settled":
                settled, waiting = intent, waiting + 1
            elif entry.modified <= old:
                try:
                    await self.gate.recover(intent)
                    recovered += 1
                except TransientError as error:
                    failed += 1
                    log.warning("journal %s is still open: %s", intent, error)
        if settled:
            await self.gate.ring(settled)
        if failed:
            raise TransientError(f"{failed} journals could not be recovered")
        return recovered, waiting

    async def idle_requests(self) -> int:
        """Send requests that have not moved for `after` to their sessions again. Returns how many."""
        now = await self.requests.objects.now()
        sent = 0
        async for entry in self.requests.objects.list():
            if entry.modified > now - self.after or entry.metadata.get("state") not in OPEN:
                continue
            held = await self.requests.load(entry.name.removesuffix(".json"))
            scope = held.value.scope_value() if held else None
            if held is None or scope is None:
                continue
            held = await self.requests.flush(held)
            body = messages.work(request=held.value.id, hop=0)
            await self.work.send(body, message_id=f"{held.value.id}-{now:%H%M%S}", session_id=session_of(scope))
            sent += 1
        return sent
