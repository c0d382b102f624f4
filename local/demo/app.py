"""The running app, as the story sees it: messages in, timers fired, documents read while the functions work.

Messages are plain JSON sent with the vendor's SDK, as anybody in operations could. Timers are fired at the runner's
admin door, so that nobody waits for the minute. Reading uses the product's own readers; it decides nothing.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from shared.connections import TOPIC
from shared.requests.documents import OPEN, RequestDocument
from shared.runs import Current
from shared.wiring import Product

STALLED_SECONDS = 180.0
_POLL_SECONDS = 0.3

T = TypeVar("T")


class DemoError(Exception):
    """The demo cannot go on: the text says what did not come. The servers' logs say why."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """How far a category's sweep is. `swept`: every slice is done; `finished`: the run is closed, too."""

    found: int = 0
    forwarded: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    strange: Mapping[str, int] = field(default_factory=dict)
    swept: bool = False
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Requests:
    """All requests there are, and how many messages are parked."""

    documents: Mapping[str, RequestDocument]
    parked: int

    @property
    def finished(self) -> int:
        """How many need nothing more from the app, their events included."""
        return sum(d.state not in OPEN and not d.outbox for d in self.documents.values())


class App:
    """The app on the settings' servers; `admin` is the address of the runner's admin door."""

    def __init__(self, product: Product, settings: Mapping[str, str], admin: str) -> None:
        self._product = product
        self._settings = settings
        self._admin = admin

    def bus(self) -> ServiceBusClient:
        """A client of the vendor's SDK."""
        return ServiceBusClient.from_connection_string(self._settings["ServiceBus"])

    async def send(self, bodies: Mapping[str, Mapping[str, Any]]) -> None:
        """Send messages to queue `requests`, all at the same moment; `bodies` by message id."""
        messages = [
            ServiceBusMessage(json.dumps(body), message_id=message_id, content_type="application/json")
            for message_id, body in bodies.items()
        ]
        async with self.bus() as client, client.get_queue_sender("requests") as sender:
            await sender.send_messages(messages)

    async def fire(self, timer: str) -> None:
        """Fire a timer function now, and wait until it has ended. Raises DemoError when it failed."""
        async with aiohttp.ClientSession() as session, session.post(f"{self._admin}admin/functions/{timer}") as answer:
            if not answer.ok:
                message = f"the timer function {timer} failed"
                raise DemoError(message)

    async def sweeps(self, done: Mapping[str, Sweep]) -> dict[str, Sweep]:
        """Look at every category's first run; those that are finished in `done` are not looked at again."""
        found: dict[str, Sweep] = {}
        for category in self._product.policy.enforced():
            if category.id in done and done[category.id].finished:
                found[category.id] = done[category.id]
            elif held := await self._product.runs.current(category.id):
                found[category.id] = await self._sweep(category.id, held.value)
        # Closing a run is the planner's business; it comes every minute, and now.
        if any(each.swept and not each.finished for each in found.values()):
            await self.fire("planner")
        return found

    async def _sweep(self, category: str, current: Current) -> Sweep:
        runs = self._product.runs
        if current.finished is not None and current.totals is not None and not current.outbox:
            parts = [current.totals]
        else:
            parts = [(await runs.progress(category, current.run, n)).value for n in range(current.slices)]
        return Sweep(
            found=sum(part.expired for part in parts),
            forwarded=sum(part.forwarded for part in parts),
            outcomes=_sum(part.outcomes for part in parts),
            strange=_sum(part.strange for part in parts),
            swept=all(part.done for part in parts),
            finished=current.finished is not None and not current.outbox,
        )

    async def requests(self) -> Requests:
        """Read every request document and count the parked messages."""
        documents = {}
        async for entry in self._product.own("requests").list():
            held = await self._product.requests.load(entry.name.removesuffix(".json"))
            if held is not None:
                documents[held.value.id] = held.value
        parked = len([entry.name async for entry in self._product.own("parking").list()])
        return Requests(documents=documents, parked=parked)

    async def journals(self) -> int:
        """How many journals there are: deletions under way, or events that the log does not hold yet."""
        return len([entry.name async for entry in self._product.own("journals").list()])

    async def received(self, expected: int, advance: Callable[[int], None]) -> list[int]:
        """Receive what subscription `siem` of topic `audit` got, until `expected` events came; return their indexes."""
        indexes: list[int] = []
        async with self.bus() as client, client.get_subscription_receiver(TOPIC, "siem") as receiver:
            while len(set(indexes)) < expected:
                batch = await receiver.receive_messages(max_message_count=10, max_wait_time=10)
                if not batch:
                    break
                for message in batch:
                    events = json.loads(b"".join(message.body))
                    indexes += [event["logindex"] for event in events]
                    await receiver.complete_message(message)
                    advance(len(events))
        return indexes


def _sum(counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, number in each.items():
            total[name] = total.get(name, 0) + number
    return total


async def wait_for(
    look: Callable[[], Awaitable[T]],
    done: Callable[[T], bool],
    *,
    what: str,
    show: Callable[[T], None] = lambda _: None,
    stalled: float = STALLED_SECONDS,
) -> T:
    """Look again and again until `done` says so, and return what was seen last.

    Raises:
        DemoError: nothing has changed for `stalled` seconds; the text names `what` was waited for.
    """
    seen: T | None = None
    since = time.monotonic()
    while True:
        latest = await look()
        show(latest)
        if done(latest):
            return latest
        if latest != seen:
            seen, since = latest, time.monotonic()
        elif time.monotonic() - since > stalled:
            message = f"{what}: nothing has changed for {stalled:.0f} seconds"
            raise DemoError(message)
        await asyncio.sleep(_POLL_SECONDS)
