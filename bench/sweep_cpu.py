"""What a sweep of blobs costs the client: CPU and wall time per record, on a Blob service that answers at once.

Ours is the product as it is wired, journals, holds, keys, progress and all on the stub, audit on; only the queues are
in memory, as Service Bus is another server's bench. Its competitor is the vendor's SDK at its best: `list_blobs` and
`delete_blobs` in batches of 256, unconditionally, nothing written down; and the same with `list_blob_names`. Besides:
what listing alone and the conditional deletes alone cost ours, so that journal and audit stand apart; what planning
costs before; and a loop of single deletes.

CPU is this process's alone: the stub runs in another.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from bench.measure import BenchError
from bench.on_stub import CATEGORY, prepare, stubbed
from bench.pipeline import AT_ONCE, Measured
from bench.raw_blobs import ACCEPTED, BATCH, plain_boundary
from bench.result import Result
from bench.scenario import main
from bench.stub_process import StubProcess, stub
from shared.config import Config
from shared.stores.blob import retry_policy
from shared.stores.concurrency import bounded
from shared.stores.interface import RecordStore, Slice
from shared.wiring import Product

A_HOUR = 1_000
"""Records of one hour: 50 homes, 20 of each. A unit of 1,000 records needs a home's key once."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one run took, in seconds, for so many records, with so many requests."""

    cpu: float
    wall: float
    records: int
    requests: int


async def _measured(server: StubProcess, work: Callable[[], Awaitable[int]]) -> Spent:
    server.forget()
    cpu, wall = time.process_time(), time.perf_counter()
    records = await work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    counts = server.counts()
    requests = sum(number for kind, number in counts.items() if kind != "deletes in batches")
    refused = {kind for kind in counts if kind.startswith("refused NotModelled")}
    if refused:
        raise BenchError(f"the stub does not model all of this: {counts}")
    return Spent(cpu=cpu, wall=wall, records=records, requests=requests)


# ---------------------------------------------------------------- ours


async def sweep(server: StubProcess, expired: int, *, at_once: int = 1) -> tuple[Spent, Spent]:
    """One run of the category: what planning took, and what its workers took, so many slices at once."""
    async with Measured(Config(values=stubbed(server))) as product:

        async def plan() -> int:
            await product.plan(CATEGORY)
            return await _found(product)

        async def work() -> int:
            return (await product.sweep(at_once))["erased"]

        planned = await _measured(server, plan)
        swept = await _measured(server, work)
        await product.planner.tick(only=[CATEGORY])  # the run ends
        if planned.records != expired or swept.records != expired:
            raise BenchError(f"{swept.records} of {expired} erased")
        return planned, swept


async def _found(product: Product) -> int:
    held = await product.runs.current(CATEGORY)
    return held.value.found if held else 0


async def list_only(server: StubProcess, *, delete: bool) -> Spent:
    """Our listing by the layout; with `delete`, each page deleted on condition of its ETags, by nobody's leave."""
    async with Measured(Config(values=stubbed(server))) as product:
        store: RecordStore = product.stores["blob/data"]
        category = product.policy.category(CATEGORY)
        [rule] = category.rules
        now = await store.now(category)

        async def work() -> int:
            found = 0
            division = await store.divide(category, rule, now=now, most=16)
            for part in division.parts:
                bounds = Slice(bounds=part.bounds)
                async for page in store.expired(category, rule, bounds, now=now, cursor="", size=1000):
                    found += len(page.records)
                    if delete:
                        await store.delete(page.records)
            return found

        return await _measured(server, work)


# ---------------------------------------------------------------- the SDK


async def raw(server: StubProcess, expired: int, *, concurrency: int, names_only: bool) -> Spent:
    """The SDK at its best: a page of the listing, then its batches, several at once."""
    account = stubbed(server)["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(account, retry_policy=retry_policy()) as service:
        client = service.get_container_client(CATEGORY)

        async def work() -> int:
            pages = (client.list_blob_names() if names_only else client.list_blobs()).by_page()
            done = 0
            async for page in pages:
                listed: Sequence[str] = [each if isinstance(each, str) else each.name async for each in page]
                parts = [listed[n : n + BATCH] for n in range(0, min(len(listed), expired - done), BATCH)]
                done += sum(await bounded([_batch(client, part) for part in parts], concurrency))
            return done

        return await _measured(server, work)


async def _batch(client: ContainerClient, names: Sequence[str]) -> int:
    answers = await client.delete_blobs(*names, raise_on_any_failure=False, raw_request_hook=plain_boundary)
    return sum([answer.status_code == ACCEPTED async for answer in answers])


async def single(server: StubProcess, expired: int) -> Spent:
    """A loop of single deletes by the SDK, as a first script would have it."""
    account = stubbed(server)["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(account) as service:
        client = service.get_container_client(CATEGORY)

        async def work() -> int:
            done = 0
            async for blob in client.list_blobs():
                if done == expired:
                    break
                await client.delete_blob(blob.name)
                done += 1
            return done

        return await _measured(server, work)


# ---------------------------------------------------------------- the figures


def run(*, quick: bool) -> list[Result]:
    """Every figure; `quick` with fewer records and one repetition."""
    expired, times = (5_000, 1) if quick else (10_000, 3)
    with stub() as server:
        prepare(server)
        return asyncio.run(_run(server, expired, times, quick=quick))


async def _run(server: StubProcess, expired: int, times: int, *, quick: bool) -> list[Result]:
    found: dict[str, list[Spent]] = {}
    works: dict[str, Callable[[], Awaitable[Spent]]] = {
        "ours/list": partial(list_only, server, delete=False),
        "ours/list and delete": partial(list_only, server, delete=True),
        "raw/4 at once": partial(raw, server, expired, concurrency=4, names_only=False),
        "raw/16 at once": partial(raw, server, expired, concurrency=16, names_only=False),
        "raw names/8 at once": partial(raw, server, expired, concurrency=8, names_only=True),
    }
    server.fill(expired=A_HOUR, kept=0)
    await sweep(server, A_HOUR)  # makes each home's key, once for all that follow
    for _ in range(times):  # one of each in turn: what else the machine does falls on all
        server.fill(expired=expired, kept=0)
        planned, swept = await sweep(server, expired)
        found.setdefault("ours/plan", []).append(planned)
        found.setdefault("ours/sweep", []).append(swept)
        for name, work in works.items():
            server.fill(expired=expired, kept=0)
            found.setdefault(name, []).append(await work())
    few = 200 if quick else 1_000
    server.fill(expired=few, kept=0)
    found["single/0 ms"] = [await single(server, few)]
    server.wait(20)
    server.fill(expired=few // 5, kept=0)
    found["single/20 ms"] = [await single(server, few // 5)]
    server.fill(expired=expired, kept=0, an_hour=2)  # days enough for the slices
    _, swept = await sweep(server, expired, at_once=AT_ONCE)
    found["ours/sweep at 20 ms"] = [swept]
    server.wait(0)
    for _ in range(2):  # the first one makes the keys
        server.fill(expired=A_HOUR, kept=0, homes=A_HOUR // 2, an_hour=1)
        _, swept = await sweep(server, A_HOUR)
    found["ours/sweep, two records a home"] = [swept]
    return [result for name, each in found.items() for result in _results(name, each)] + _ratios(found)


def _results(name: str, runs: Sequence[Spent]) -> list[Result]:
    def figure(what: str, unit: str, value: Callable[[Spent], float]) -> Result:
        return Result(name=f"sweep-cpu/{name}/{what}", unit=unit, samples=tuple(value(each) for each in runs))

    return [
        figure("client CPU", "us/record", lambda s: s.cpu / s.records * 1e6),
        figure("wall", "us/record", lambda s: s.wall / s.records * 1e6),
        figure("rate of a core", "records/s", lambda s: s.records / s.cpu),
        figure("requests", "requests/record", lambda s: s.requests / s.records),
    ]


def _ratios(found: dict[str, list[Spent]]) -> list[Result]:
    def cpu(name: str) -> float:
        return statistics.median(each.cpu / each.records for each in found[name])

    def wall(name: str) -> float:
        return statistics.median(each.wall / each.records for each in found[name])

    ours, best = cpu("ours/sweep"), min(cpu(name) for name in found if name.startswith("raw/"))
    ratios = {
        "client CPU, ours over the raw SDK's": ours / best,
        "client CPU, ours over the raw SDK's by names": ours / cpu("raw names/8 at once"),
        "client CPU, journal and audit": (ours - cpu("ours/list and delete")) / ours,
        "speed, ours over single deletes at 20 ms": wall("single/20 ms") / wall("ours/sweep at 20 ms"),
        "speed, ours over single deletes at 0 ms": wall("single/0 ms") / wall("ours/sweep"),
    }
    return [Result(name=f"sweep-cpu/{name}", unit="ratio", samples=(value,)) for name, value in ratios.items()]


if __name__ == "__main__":
    main(run)
