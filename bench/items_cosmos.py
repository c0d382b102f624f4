"""Items on the local Cosmos DB server: ours with audit on, against a query with a loop, and raw transactional batches.

Two shapes of data. `shared`: rows of the operation log, many of a home, and so of a partition key: they go in batches
of 100. `apart`: carts of guests, a session and so a partition key each: there a transactional batch cannot hold more
than one, for anybody. Our own documents are on Azurite, the doorbell on the local broker.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from azure.cosmos.aio import ContainerProxy, CosmosClient

from bench.contest import fastest, rotate
from bench.measure import BenchError, Cost, contestant, results
from bench.result import Result
from bench.scenario import main
from bench.servers import servers
from shared.model import utc_text

CONTESTANTS = ("ours", "ours-unlogged", "raw", "loop")
HOMES = 4
BATCH = 100
A_WHILE = 120
"""Seconds that the server's clock is moved ahead, after which a guest's cart is due."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is deleted: by ours the category, by others the container's items that the query finds."""

    name: str
    category: str
    container: str
    query: str
    many: int
    few: int


@dataclass(frozen=True, kw_only=True)
class Size:
    """Repetitions; what raw may try; and the share of a shape's items that is made."""

    times: int
    times_delayed: int
    concurrency: tuple[int, ...]
    share: float


FULL = Size(times=5, times_delayed=3, concurrency=(4, 8, 16), share=1.0)
QUICK = Size(times=1, times_delayed=1, concurrency=(8,), share=0.1)


def shapes(share: float) -> list[Shape]:
    """The two shapes, as of now."""
    cutoff = utc_text(datetime.now(UTC).replace(microsecond=0) - timedelta(days=30))
    return [
        Shape(
            name="shared",
            category="operation-log",
            container="operation-log",
            query=f"SELECT c.id, c.homeId AS key FROM c WHERE c.at <= '{cutoff}'",  # noqa: S608 - a time of our own
            many=int(6_000 * share),
            few=int(1_000 * share),
        ),
        Shape(
            name="apart",
            category="cart-guest",
            container="cart-sessions",
            query="SELECT c.id, c.sessionId AS key FROM c WHERE NOT IS_DEFINED(c.userId)",
            many=int(1_000 * share),
            few=int(500 * share),
        ),
    ]


async def seed(settings: Mapping[str, str], shape: Shape, number: int) -> None:
    """Put so many items into the container, which must be empty."""
    async with CosmosClient.from_connection_string(settings["COSMOS_MAIN"], enable_endpoint_discovery=False) as client:
        database = client.get_database_client(settings["COSMOS_MAIN_DATABASE"])
        container = database.get_container_client(shape.container)
        if [item async for item in container.query_items("SELECT c.id FROM c")]:
            raise BenchError("a contestant left items behind")
        if shape.name == "shared":
            await _rows(container, number)
        else:
            carts = [{"id": f"cart-{n}", "sessionId": f"session-{n}", "goods": ["lock"]} for n in range(number)]
            for start in range(0, number, 16):
                await asyncio.gather(*(container.create_item(cart) for cart in carts[start : start + 16]))


async def _rows(container: ContainerProxy, number: int) -> None:
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(days=31)
    rows: dict[str, list[dict[str, Any]]] = {f"home-{n:04d}": [] for n in range(HOMES)}
    for n in range(number):
        home, at = f"home-{n % HOMES:04d}", utc_text(first + timedelta(seconds=n))
        rows[home].append({"id": f"row-{n}", "homeId": home, "at": at, "text": "front door unlocked"})
    for home, theirs in rows.items():
        for start in range(0, len(theirs), BATCH):
            made = [("create", (row,)) for row in theirs[start : start + BATCH]]
            await container.execute_item_batch(made, partition_key=home)


def set_clock(settings: Mapping[str, str], seconds: float) -> None:
    """Move the local server's clock so far ahead of the machine's."""
    where = settings["COSMOS_MAIN"].partition("AccountEndpoint=")[2].partition(";")[0]
    body = json.dumps({"offset_seconds": seconds}).encode()
    order = urllib.request.Request(f"{where}_local/clock", body, method="POST")  # noqa: S310 - the loopback address
    urllib.request.urlopen(order, timeout=10).close()  # noqa: S310 - as above


class Contest:
    """The contestants at one shape."""

    def __init__(self, near: Mapping[str, str], far: Mapping[str, str], shape: Shape, size: Size) -> None:
        self._near, self._far, self._shape, self._size = near, far, shape, size
        self._concurrency = size.concurrency[0]

    def once(self, name: str, *, far: bool = False, count: bool = False, concurrency: int = 0) -> Cost:
        """Seed, and let one contestant delete all of it."""
        shape = self._shape
        number = shape.few if name == "loop" else shape.many
        asyncio.run(seed(self._near, shape, number))
        job = {"name": name, "settings": dict(self._far if far else self._near), "count": count}
        job |= {"category": shape.category, "container": shape.container, "query": shape.query}
        job["concurrency"] = concurrency or self._concurrency
        set_clock(self._near, A_WHILE)
        try:
            cost = contestant("bench.ours" if name.startswith("ours") else "bench.raw_items", job)
        finally:
            set_clock(self._near, 0)
        if cost.deleted != number:
            raise BenchError(f"{name} deleted {cost.deleted} of {number}")
        return cost

    def choose(self, *, far: bool) -> int:
        """Find the concurrency at which the raw SDK is fastest here: it is the raw SDK's from now on."""
        self._concurrency = fastest(self._size.concurrency, lambda n: self.once("raw", far=far, concurrency=n))
        return self._concurrency


def run(*, quick: bool) -> list[Result]:
    """All figures."""
    size = QUICK if quick else FULL
    found: list[Result] = []
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as (near, far_settings):
        for shape in shapes(size.share):
            contest = Contest(near, far_settings, shape, size)
            contest.once("ours")  # makes the homes' keys
            for latency, far, times in (("0ms", False, size.times), ("20ms", True, size.times_delayed)):
                prefix = f"items/{shape.name}/{latency}"
                best = contest.choose(far=far)
                found.append(Result(name=f"{prefix}/raw/concurrency", unit="calls at once", samples=(best,)))
                once = partial(contest.once, far=far)
                found += results(prefix, rotate(f"{shape.name}, {latency}", CONTESTANTS, times, once))
            for name in ("ours", "raw"):
                cost = contest.once(name, count=True)
                each = cost.requests / cost.deleted
                name_of = f"items/{shape.name}/{name}/requests"
                found.append(Result(name=name_of, unit="requests/record", samples=(each,)))
    return found


if __name__ == "__main__":
    main(run)
