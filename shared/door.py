"""The door of queue `requests`: what each message that people send sets going.

What can never succeed is refused with PermanentError, which the function records, parks and alarms. An order whose
second try would find its work done is the same order: every step behind this door is safe to repeat.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared import messages
from shared.control import Control
from shared.holding import Holding
from shared.parking import Parking
from shared.planner import Planner
from shared.requests.decide import Decisions
from shared.requests.intake import Intake
from shared.requests.replay import Replays


@dataclass(frozen=True, kw_only=True)
class Door:
    """The use cases behind the queue."""

    intake: Intake
    decisions: Decisions
    replays: Replays
    planner: Planner
    holding: Holding
    control: Control
    parking: Parking
    clock: Callable[[], datetime]

    async def receive(self, body: bytes) -> None:
        """Take one message in. Raises TransientError (redelivered), PermanentError (the caller parks the message)."""
        now = self.clock()
        message = messages.parse(body, now=now)
        steps: Mapping[type[object], Callable[[Any], Awaitable[object]]] = {
            messages.Erase: self.intake.take,
            messages.Restrict: self.intake.take,
            messages.Retry: self.decisions.retry,
            messages.Resolve: self.decisions.resolve,
            messages.Replay: self.replays.start,
            messages.Hold: self.holding.add,
            messages.Release: self.holding.release,
            messages.Run: self.planner.run_now,
            messages.Approve: lambda order: self.control.approve(order, now),
            messages.Pause: lambda order: self.control.pause(order, now),
            messages.Resume: lambda order: self.control.resume(order, now),
            messages.Dismiss: lambda order: self.parking.dismiss(order, now),
        }
        step = steps.get(type(message))
        if step is None:
            raise messages.MessageError("retention.type: this queue takes no such message")
        await step(message)
