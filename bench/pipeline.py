"""The product as it is measured: the real one, with what it queues for its own workers caught, to be carried out here.

Everything else is as deployed: its documents are on the accounts that the settings name, its doorbell on Service Bus,
or in memory where the settings name none.
`Unlogged` is the same code with its documents in memory and a bell that nobody hears: what it needs less is what the
durable journal and the log's outbox cost. Nobody runs it so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

from shared import messages
from shared.clock import utc_now
from shared.config import Config
from shared.deletion import new_intent_id
from shared.stores.memory import MemoryObjects
from shared.wiring import Product

AT_ONCE: Final = 4
"""Slices that one instance sweeps at once: `maxConcurrentCalls` of host.json."""


class Caught:
    """A queue whose messages stay here."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        """Keep it."""
        del message_id, session_id
        self.bodies.append(body)


class Measured(Product):
    """The product, whose orders to its own workers are caught."""

    def __init__(self, config: Config) -> None:
        """Nothing is connected yet."""
        super().__init__(config)
        self.caught = {name: Caught() for name in ("sweeps", "requests", "requests-work")}
        if not config.has("ServiceBus"):
            self.caught["ledger"] = Caught()

    def queue(self, name: str) -> Any:
        """A queue, caught where it is for the product's own workers."""
        return self.caught.get(name) or super().queue(name)

    async def warm(self, category: str) -> None:
        """Open the connections that a worker keeps for its life: to the bell, and to the accounts."""
        await self.gate.ring(new_intent_id())
        await self.gate.holds.read()
        await self.stores[self.policy.category(category).store.place].now(self.policy.category(category))

    async def plan(self, category: str) -> None:
        """Start a run, as the planner's timer does."""
        await self.planner.tick(only=[category], forced=True)

    async def sweep(self, at_once: int = AT_ONCE) -> Counter[str]:
        """Sweep every slice that is queued, so many at once; returns the outcomes."""
        gate, total = asyncio.Semaphore(at_once), Counter[str]()

        async def one(body: bytes) -> None:
            order = messages.parse(body, now=utc_now())
            if isinstance(order, messages.SliceOrder):
                async with gate:
                    progress = await self.sweeps.sweep(order, hurry=lambda: False)
                total.update(progress.outcomes)

        bodies, self.caught["sweeps"].bodies = self.caught["sweeps"].bodies, []
        await asyncio.gather(*(one(body) for body in bodies))
        return total


class Unlogged(Measured):
    """The same with its own documents in memory, and no bell."""

    def __init__(self, config: Config) -> None:
        """Its memory is empty."""
        super().__init__(config)
        self._memory: dict[str, MemoryObjects] = {}
        self.caught["ledger"] = Caught()

    def own(self, name: str) -> Any:
        """One of the product's own containers, in memory."""
        return self._memory.setdefault(name, MemoryObjects(clock=datetime.now(UTC)))
