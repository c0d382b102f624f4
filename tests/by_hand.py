"""The product over real stores, its messages delivered by hand, one after the other, as the broker would."""

from dataclasses import dataclass, field
from typing import Any

from functions.host import told
from shared import messages
from shared.clock import utc_now
from shared.errors import RetentionError
from shared.ledger.log import append, years
from shared.ledger.seal import seal
from shared.wiring import Product

QUEUES = ("requests", "sweeps", "requests-work", "ledger")
MOST_DELIVERIES = 10


@dataclass(kw_only=True)
class Waiting:
    """Messages that wait in a list."""

    bodies: list[bytes] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        if message_id not in self.seen:
            self.bodies.append(body)
        self.seen.add(message_id)


class ByHand(Product):
    """A Product whose queues are lists."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.waiting: dict[str, Waiting] = {}

    def queue(self, name: str) -> Any:
        return self.waiting.setdefault(name, Waiting())

    async def handle(self, queue: str, body: bytes) -> None:
        """What the function of a queue does with one message."""
        match queue:
            case "requests":
                await self.door.receive(body)
            case "requests-work":
                await self.eraser.carry_out(self._order(body, messages.Work), hurry=self.hurry())
            case "sweeps":
                await self.sweeps.sweep(self._order(body, messages.SliceOrder), hurry=self.hurry())
            case "ledger":
                for year in await years(self.ledger):
                    await append(self.ledger, year)

    @staticmethod
    def _order(body: bytes, kind: type) -> Any:
        order = messages.parse(body, now=utc_now())
        assert isinstance(order, kind)
        return order

    async def again(self, work: Any, *arguments: Any, **options: Any) -> Any:
        """Do it until it goes through, as the host does: ten times at most."""
        failed: list[RetentionError] = []
        while len(failed) < MOST_DELIVERIES:
            try:
                async with told("a function"):
                    return await work(*arguments, **options)
            except RetentionError as error:
                failed.append(error)
        raise AssertionError(f"failed in every delivery: {failed[-1]}")

    async def drain(self) -> None:
        """Deliver until nothing waits."""
        while any(self.queue(name).bodies for name in QUEUES):
            for name in QUEUES:
                waiting = self.queue(name)
                bodies, waiting.bodies = waiting.bodies, []
                for body in bodies:
                    await self.again(self.handle, name, body)

    async def sealed(self) -> None:
        """Append and sign what waits."""
        await self.again(self.handle, "ledger", b"")
        for year in await years(self.ledger):
            await self.again(seal, self.ledger, year, self.signer(year))
