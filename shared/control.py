"""Control of the sweeps by people: approving a run that found more than its cap, pausing and resuming.

Each order is written with its event into the document that it changes, and posted from there, so that a crash loses
neither. An order that is delivered again changes nothing, whatever has been ordered since: each is remembered for 30
days, also one that said what was so already. Who ordered it and why is free text: it stays in our documents, and never
enters an event or a log.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import audit, messages
from shared.deletion import Gate
from shared.outbox import outgoing, post
from shared.plan import swept_rules
from shared.policy import Policy
from shared.runs import ERASURES, Pause, Runs

log = logging.getLogger("retention.control")

REDELIVERED_WITHIN = timedelta(days=30)
"""So long an order's id is remembered: far longer than the broker takes to deliver a message again."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """What controlling needs."""

    policy: Policy
    runs: Runs
    gate: Gate

    async def paused(self, name: str) -> bool:
        """Whether a category, or ERASURES, is paused now. Raises TransientError."""
        return await self.runs.paused(name)

    async def approve(self, message: messages.Approve, now: datetime) -> None:
        """Let the run go on that waits for approval, exactly as it was planned; the planner posts the event.

        Raises MessageError for a run that does not wait, ChangedError when the planner was faster (redelivered).
        """
        order = str(message.id)
        category = message.run.rsplit("-", 2)[0]  # a run's id begins with its category's
        held = await self.runs.current(category) if category in self._names() else None
        if held is not None and order in held.value.orders:
            return
        if held is None or held.value.run != message.run or held.value.approval is None:
            raise messages.MessageError("retention.run: no such run waits for approval; `retention status` shows which")
        waiting = held.value.approval == "waiting"
        if not waiting and held.value.finished is not None:
            raise messages.MessageError("retention.run: the run was approved, and is finished; nothing is to do")
        update: dict[str, Any] = {"orders": _and(held.value.orders, order, now)}
        if waiting:
            data = {"category": category, "run": message.run, "more_than": held.value.cap}
            event = outgoing(self.gate, audit.EventType.RUN_APPROVED, now, data)
            update |= {"approval": "given", "approved_at": now, "approved_by": message.by}
            update |= {"outbox": (*held.value.outbox, event)}
        await self.runs.set_current(category, held.value.model_copy(update=update), held.etag)
        if waiting:
            log.warning("run %s is approved", message.run)

    async def pause(self, message: messages.Pause, now: datetime) -> None:
        """Let nothing more of the category be started, queued, or given to the gate.

        The unit at the gate is finished, at once or, where its worker died, by the watch: an intent is never given up.

        Raises MessageError for what is not swept, ChangedError or ExistsError when somebody was faster (redelivered).
        """
        update = {
            "paused": True,
            "since": now,
            "by": message.by,
            "reason": message.reason,
            "resumed_at": None,
            "resumed_by": "",
        }
        await self._change(message, update, audit.EventType.CATEGORY_PAUSED, now)

    async def resume(self, message: messages.Resume, now: datetime) -> None:
        """Let the category go on: slices that were left are sent again, and the next run covers what expired meanwhile.

        Raises as `pause` does.
        """
        update = {"paused": False, "resumed_at": now, "resumed_by": message.by}
        await self._change(message, update, audit.EventType.CATEGORY_RESUMED, now)

    async def _change(
        self, message: messages.Pause | messages.Resume, update: Mapping[str, Any], kind: audit.EventType, now: datetime
    ) -> None:
        name, order = message.category, str(message.id)
        if name not in self._names():
            raise messages.MessageError(
                "retention.category: give the id of a category that is swept by itself, or erasures; "
                "`retention status` lists them"
            )
        held = await self.runs.pause(name)
        pause = held.value if held else Pause(paused=False, since=now, by="", reason="")
        etag = held.etag if held else None
        if order not in pause.orders:
            change: dict[str, Any] = {"orders": _and(pause.orders, order, now)}
            if pause.paused != update["paused"]:
                event = outgoing(self.gate, kind, now, {"category": name})
                change |= {**update, "outbox": (*pause.outbox, event)}
            pause = pause.model_copy(update=change)
            etag = await self.runs.set_pause(name, pause, etag)
            log.warning("%s: %s", name, "paused" if pause.paused else "resumed")
        if pause.outbox:  # of this order, or of one that was interrupted here
            await post(self.gate, pause.outbox)
            await self.runs.set_pause(name, pause.model_copy(update={"outbox": ()}), etag)

    def _names(self) -> set[str]:
        return {category.id for category in self.policy.enforced() if swept_rules(category)} | {ERASURES}


def _and(orders: Mapping[str, datetime], order: str, now: datetime) -> dict[str, datetime]:
    return {each: at for each, at in orders.items() if now - at < REDELIVERED_WITHIN} | {order: now}
