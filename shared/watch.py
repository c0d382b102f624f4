"""The watch: what makes a crash or a lost message anywhere come right without anybody.

An open journal older than `after` is recovered by the gate's own steps; where a settled one waits, the doorbell is rung
again; a request that has not moved is sent to its session again, and its waiting events are posted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import messages
from shared.deletion import Gate
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

        One that fails, for whatever reason, stays as it is and is tried again next time; the others still have their
        turn. Raises the first error when all have had it.
        """
        old = await self.gate.journals.objects.now() - self.after
        recovered = 0
        failed: list[Exception] = []
        settled = ""
        waiting = 0
        async for intent, state, entry in self.gate.journals.entries():
            if state == "settled":
                settled, waiting = intent, waiting + 1
            elif entry.modified <= old:
                try:
                    await self.gate.recover(intent)
                    recovered += 1
                except Exception as error:  # noqa: BLE001 - raised below, after the other journals
                    failed.append(error)
                    log.warning("journal %s is still open: %s", intent, type(error).__name__)
        if settled:
            await self.gate.ring(settled)
        if failed:
            raise failed[0]
        return recovered, waiting

    async def idle_requests(self) -> int:
        """Send requests that have not moved for `after` to their sessions again. Returns how many.

        An event that waits in the outbox of a request is posted first, whatever the request's state. As with journals,
        one that fails does not stop the others.
        """
        now = await self.requests.objects.now()
        sent = 0
        failed: list[Exception] = []
        async for entry in self.requests.objects.list():
            if entry.modified > now - self.after:
                continue
            if entry.metadata.get("state") not in OPEN and not entry.metadata.get("outbox"):
                continue
            try:
                sent += await self._wake(entry.name.removesuffix(".json"), now)
            except Exception as error:  # noqa: BLE001 - raised below, after the other requests
                failed.append(error)
                log.warning("request %s could not be woken: %s", entry.name, type(error).__name__)
        if failed:
            raise failed[0]
        return sent

    async def _wake(self, request: str, now: datetime) -> bool:
        """Post what waits; send the request to its session if it is not finished, and say whether it was sent."""
        held = await self.requests.load(request)
        if held is None:
            return False
        held = await self.requests.flush(held)
        scope = held.value.scope_value()
        if scope is None or held.value.state not in OPEN:
            return False
        body = messages.work(request=request, hop=0)
        await self.work.send(body, message_id=f"{request}-{now:%H%M%S}", session_id=session_of(scope))
        return True
