"""`python -m bench.ledger_through`: the ledger end to end: broker, function, log code, Azurite, as `local` runs them.

Azurite, the Service Bus stand-in and the runner with role ledger are started. Settled journals of 1,000 events are put
into Azurite; then the doorbell is rung for each of them through the broker, and the clock runs from the first ring
until the log's head has them all, its tiles are written and its journals are gone. The timers are not run: a seal
costs the same however much was appended, and is measured in `bench.log_code`.

Each repetition goes on with the log of the one before.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob.aio import BlobServiceClient

from bench.journals import UNIT, journals, post
from bench.measure import BenchError
from bench.result import Result
from bench.scenario import main
from bench.servers import own_containers
from local.processes import Process
from local.servers import Ports, azurite, runner, servicebus, settings, start_all
from shared.clock import utc_now
from shared.ledger.head import decode_head
from shared.ledger.log import head_name
from shared.messages import doorbell
from shared.stores.blob import BlobObjects
from shared.stores.servicebus import BusSender

JOURNALS = 100
REPETITIONS = 3
LATEST = 300.0
_LOOK_SECONDS = 0.05
_NOT_OF_THE_LEDGER = ("BLOB_DATA", "BLOB_BACKUP", "COSMOS_MAIN", "COSMOS_MAIN_DATABASE")


@contextmanager
def ledger(root: Path) -> Iterator[dict[str, str]]:
    """The servers and the app in role ledger; its settings, which are those that it has on Azure."""
    ports = Ports.free()
    values = {name: value for name, value in settings(ports, role="ledger").items() if name not in _NOT_OF_THE_LEDGER}
    stores = (Process(azurite(root, ports.blob), root), Process(servicebus(root, ports.bus), root))
    app = Process(runner(root, ports.admin, values, role="ledger", manual_timers=True), root)
    with ExitStack() as undo:
        for process in (*stores, app):
            undo.callback(process.stop)
        start_all(stores)
        asyncio.run(own_containers(values))
        start_all((app,))
        yield values


@dataclass(frozen=True, kw_only=True)
class _Log:
    """The log from outside: where its journals go, its doorbell, its head."""

    journals: BlobObjects
    state: BlobObjects
    doorbell: BusSender
    origin: str
    year: str

    async def has(self) -> tuple[int, bool]:
        """Its size, and whether tiles are to be written or journals to be cleared."""
        stored = await self.state.read(head_name(self.year))
        if stored is None:
            return 0, False
        head = decode_head(stored.data, f"{self.origin}/{self.year}")
        return head.size, head.unfinished

    async def append(self, start: int, count: int) -> float:
        """Post journals, ring; seconds from the first ring until all is in the log."""
        made = list(journals(count, start=start))
        for each in made:
            await post(self.journals, each, log=self.year)
        size = (start + count) * UNIT
        began = time.perf_counter()
        rings = asyncio.create_task(self._ring([each.intent for each in made]))
        while await self.has() != (size, False):
            if time.perf_counter() - began > LATEST:
                raise BenchError(f"after {LATEST:.0f} s the log has {await self.has()} of {size} entries")
            await asyncio.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - began
        await rings
        return seconds

    async def _ring(self, intents: list[str]) -> None:
        for intent in intents:
            await self.doorbell.send(doorbell(intent), message_id=intent)


async def _measure(values: dict[str, str], count: int, repetitions: int) -> list[float]:
    """Events per second of each repetition."""
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(BlobServiceClient.from_connection_string(values["BLOB_STATE"]))
        logs = await stack.enter_async_context(BlobServiceClient.from_connection_string(values["BLOB_LEDGER"]))
        bus = await stack.enter_async_context(ServiceBusClient.from_connection_string(values["ServiceBus"]))
        log = _Log(
            journals=BlobObjects(state.get_container_client("journals")),
            state=BlobObjects(logs.get_container_client("audit-state")),
            doorbell=BusSender(bus, queue="ledger"),
            origin=values["LEDGER_ORIGIN"],
            year=f"{utc_now():%Y}",
        )
        stack.push_async_callback(log.doorbell.close)
        await log.append(0, 1)  # connects everything, ourselves included
        rates = list[float]()
        for number in range(repetitions):
            seconds = await log.append(1 + number * count, count)
            rates.append(count * UNIT / seconds)
        return rates


def run(*, quick: bool) -> list[Result]:
    """Measure; some ten seconds where `quick`."""
    count, repetitions = (3, 1) if quick else (JOURNALS, REPETITIONS)
    with tempfile.TemporaryDirectory(prefix="retention-bench-") as scratch, ledger(Path(scratch)) as values:
        rates = asyncio.run(_measure(values, count, repetitions))
    return [Result(name="ledger-through/append", unit="events/s", samples=tuple(rates))]


if __name__ == "__main__":
    main(run)
