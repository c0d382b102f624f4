"""The watch: what makes a crash or a lost message anywhere come right without anybody.

An open journal older than `after` is recovered by the gate's own steps; where a settled one waits, the doorbell is rung
again; a request that has not moved is taken on by intake's own steps, and its waiting events are posted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from shared.deletion import Gate
from shared.each import each
from shared.journal import FORESTALLED
from shared.requests.documents import OPEN
from shared.requests.intake import Intake
from shared.stores.interface import Entry

log = logging.getLogger("retention.watch")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What watching needs. `after` is how old an open journal, or an idle request, must be."""

    gate: Gate
    intake: Intake
    after: timedelta

    async def journals(self) -> tuple[int, int]:
        """Recover old open journals, and ring for settled ones. Returns how many of each.

        One that fails, for whatever reason, stays as it is and is tried again next time; the others still have their
        turn. Raises the first error when all have had it.
        """
        old = await self.gate.journals.objects.now() - self.after
        left_open: list[str] = []
        forestalled: list[Entry] = []
        settled: list[str] = []
        async for intent, state, entry in self.gate.journals.entries():
            if state == "settled":
                settled.append(intent)
            elif entry.modified <= old and state == FORESTALLED:
                forestalled.append(entry)
            elif entry.modified <= old:
                left_open.append(intent)
        try:
            try:
                await each(
                    left_open, self.gate.recover, log=log, say=lambda intent: f"the recovery of journal {intent}"
                )
            finally:
                let_go = self.gate.journals.let_go
                await each(forestalled, let_go, log=log, say=lambda entry: f"the end of journal {entry.name}")
        finally:
            if settled:
                await self.gate.ring(settled[-1])
        return len(left_open), len(settled)

    async def idle_requests(self) -> int:
        """Let requests that have not moved for `after` go on from where they stand. Returns how many are at work.

        What is due to be answered first goes first, because an hour lets only so many begin. An event that waits in the
        outbox of a request is posted first, whatever the request's state. As with journals, one that fails does not
        stop the others.
        """
        requests = self.intake.requests
        old = await requests.objects.now() - self.after
        idle = [
            (entry.metadata.get("due_at", ""), entry.name.removesuffix(".json"))
            async for entry in requests.objects.list()
            if entry.modified <= old and (entry.metadata.get("state") in OPEN or entry.metadata.get("outbox"))
        ]
        order = [request for _, request in sorted(idle)]
        woken = 0

        async def wake(request: str) -> None:
            nonlocal woken
            held = await requests.load(request)
            if held is not None:
                woken += await self.intake.go_on(held)

        await each(order, wake, log=log, say=lambda request: f"the waking of request {request}")
        return woken
