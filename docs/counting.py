"""`python -m docs.counting`: count what the pipeline asks of the services, by letting it work on the local servers.

Every request that the vendors' clients send is counted as it leaves, by what its price goes by, and every message that
is sent. The work is the product's own, over real sockets: nothing here is estimated. It prints the counts and writes
docs/counts.json, which docs/cost.py reckons with. What local servers cannot tell (request units, seconds on Azure,
bytes of the platform's own telemetry) is not in it. It takes some eight minutes, and leaves nothing running.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from azure.cosmos.aio import CosmosClient

from local.prepare import prepare
from local.servers import Ports, Stack
from shared import connections, messages
from shared.clock import utc_now
from shared.config import Config
from shared.ledger.wiring import LedgerProduct
from shared.liveness import TIMERS
from shared.model import utc_text
from shared.plan import swept_rules
from shared.policy import Policy
from shared.wiring import Product

COUNTS = Path(__file__).parent / "counts.json"
FEW, MANY = 2_000, 6_000
"""Records deleted in two runs, so that what a run costs and what its records cost can be told apart."""

TIMES = 2
"""Each of the two is counted so often, and the smaller number taken: a busy local server has requests repeated."""

A_UNIT = 1_000
HOMES = 50
"""Homes among the records of each unit: each costs one read of its key."""

QUEUES = ("sweeps", "requests", "requests-work", "ledger", "audit")
KINDS = ("write", "list", "read", "other", "delete", "batch", "query", "items", "metadata", *QUEUES, "line")
"""Requests to storage by the type of their price; to Cosmos DB: queries, transactional batches, requests about no item.

Then messages by queue, and the lines that the product itself logs.
"""

_REQUEST = re.compile(r"Request URL: '(?P<url>.*)'\nRequest method: '(?P<method>[A-Z]+)'")
_CONTAINER = 2  # parts of a container's path on the local server: account, container
_CLIENTS = ("azure.core.pipeline.policies.http_logging_policy", "azure.cosmos._cosmos_http_logging_policy")


class Seen(logging.Handler):
    """Counts the requests that the clients log, and the lines that the product logs itself."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        super().__init__(logging.INFO)
        self.counts: Counter[str] = Counter()
        self.sent: list[bytes] = []
        self.published = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take one log record; the clients' answers are passed over."""
        text = record.getMessage()
        if record.name.startswith("retention."):
            self.counts["line"] += 1
        elif found := _REQUEST.search(text):
            kind = _item_request(found["method"], text) if "cosmos" in record.name else charged_as(**found.groupdict())
            self.counts[kind] += 1


def charged_as(method: str, url: str) -> str:
    """The type by which Azure charges a storage request (its page "Map each REST operation to a price").

    The client hides the values of a query, and so of `comp`: what a GET with `comp` asks of a container is a listing.
    """
    parts = urlsplit(url)
    depth = len(parts.path.strip("/").split("/"))
    match method, "comp" in parse_qs(parts.query):
        case "GET", True if depth == _CONTAINER:
            return "list"
        case "GET", False if depth > _CONTAINER:
            return "read"
        case "PUT", _ if depth > _CONTAINER:
            return "write"
        case "DELETE", _:
            return "delete"
        case "POST", True:
            return "batch"
        case _:
            return "other"


def _item_request(method: str, text: str) -> str:
    if "x-ms-cosmos-is-batch-request" in text:
        return "items"
    return "query" if method == "POST" else "metadata"


class CountedQueue:
    """A queue, or the topic, that counts its messages, and keeps the orders to sweep, to be carried out."""

    def __init__(self, inner: Any, name: str, seen: Seen) -> None:
        """Count what goes to `inner`."""
        self._inner, self._name, self._seen = inner, name, seen

    async def send(self, body: bytes, *, message_id: str, session_id: str | None = None) -> None:
        """Count it, and send it."""
        self._seen.counts[self._name] += 1
        if self._name == "sweeps":
            self._seen.sent.append(body)
        if self._name == "audit":
            self._seen.published += len(body)
        await self._inner.send(body, message_id=message_id, session_id=session_id)


class Counted(Product):
    """The product, of which everything is counted that leaves it."""

    def __init__(self, config: Config) -> None:
        """Count from the beginning."""
        super().__init__(config)
        self.seen = Seen()

    def queue(self, name: str) -> Any:
        """A queue that counts."""
        return CountedQueue(super().queue(name), name, self.seen)

    def topic(self) -> Any:
        """The topic, which counts."""
        return CountedQueue(super().topic(), "audit", self.seen)

    def _cosmos_client(self) -> CosmosClient:
        where = self.config.text("COSMOS_MAIN")
        return CosmosClient.from_connection_string(
            where, enable_endpoint_discovery=False, enable_diagnostics_logging=True
        )


@contextmanager
def listening(seen: Seen) -> Iterator[None]:
    """Let the clients and the product log to `seen`, and nowhere else."""
    loggers = [logging.getLogger(name) for name in (*_CLIENTS, "retention")]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(seen)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(seen)


class Counting:
    """The measurements, on an app of which everything is counted."""

    def __init__(self, app: Counted, functions: Mapping[str | None, Callable[..., Awaitable[None]]]) -> None:
        """`functions` are the app's own triggers, by name."""
        self._app, self._functions = app, functions

    async def of(self, work: Callable[[], Awaitable[object]]) -> Counter[str]:
        """What some work asks of the services."""
        self._app.seen.counts.clear()
        await work()
        return Counter(self._app.seen.counts)

    async def timer(self, name: str) -> Counter[str]:
        """One firing of a timer that finds nothing to do."""
        for _ in range(2):  # the first makes its heartbeat, or finishes what was left
            await self._functions[name](None)
        found = await self.of(lambda: self._functions[name](None))
        if name == "watch_metrics":  # it gathers only where there is monitoring, and here is none
            found += await self.of(self._app.gathering.gather)
        return found

    async def empty_run(self, category: str) -> Counter[str]:
        """One run that finds nothing, from its start to its end."""
        run = await self.of(lambda: self._app.planner.tick(only=[category], forced=True))
        run.subtract(await self.of(lambda: self._app.planner.tick(only=[category])))
        return run

    async def work(self, category: str) -> Counter[str]:
        """One run that finds something, from its start until its events are published, in one minute."""
        return await self.of(lambda: self._run(category))

    async def _run(self, category: str) -> None:
        app = self._app
        await app.planner.tick(only=[category], forced=True)
        while app.seen.sent:
            order = messages.parse(app.seen.sent.pop(0), now=utc_now())
            if isinstance(order, messages.SliceOrder):
                await app.sweeps.sweep(order, hurry=app.hurry(3_600))
        await app.planner.tick(only=[category])
        await self._functions["ledger_append"]([])
        await self._functions["ledger_seal"](None)
        await self._functions["ledger_publish"](None)


async def count(settings: Mapping[str, str]) -> dict[str, Any]:
    """Every measurement, on the servers that the settings name."""
    import function_app  # noqa: PLC0415 - reads the role from the environment, which `main` sets

    config = Config(values=settings)
    await prepare(config)
    functions = {each.get_function_name(): each.get_user_function() for each in function_app.app.get_functions()}
    async with Counted(config) as app:
        loop = asyncio.get_running_loop()
        ready = loop.create_task(_ready(app))
        connections._open[loop] = dict.fromkeys((Product, LedgerProduct), ready)  # noqa: SLF001 - the triggers take it
        with listening(app.seen):
            counting = Counting(app, functions)
            blobs = await _deletions(counting, app, "camera-snapshots", _put_pictures)
            items = await _deletions(counting, app, "operation-log", _put_rows)
            return {
                "unit": A_UNIT,
                "homes": HOMES,
                "blobs": blobs,
                "items": items,
                "timers": {name: _plain(await counting.timer(name)) for name in TIMERS},
                "empty runs": {name: _plain(await counting.empty_run(name)) for name in _swept(app.policy)},
            }


async def _ready(app: Counted) -> Product:
    return app


def _swept(policy: Policy) -> list[str]:
    return [category.id for category in policy.enforced() if swept_rules(category)]


async def _deletions(
    counting: Counting, app: Counted, category: str, put: Callable[[Counted, int], Awaitable[None]]
) -> dict[str, Any]:
    """What each unit costs, what the run and the minute cost beside, and the bytes of each deletion in the log."""
    await put(app, A_UNIT)
    await counting.work(category)  # makes the homes' keys, and the log
    found: dict[int, Counter[str]] = {}
    for number in (FEW, MANY):
        for _ in range(TIMES):
            await put(app, number)
            before, app.seen.published = await _stored(app), 0
            counted = await counting.work(category)
            found[number] = found.get(number, counted) & counted
            stored, published = await _stored(app) - before, app.seen.published
    units = (MANY - FEW) // A_UNIT
    each = Counter({kind: (found[MANY][kind] - found[FEW][kind]) / units for kind in KINDS})
    beside = Counter({kind: found[FEW][kind] - each[kind] * FEW / A_UNIT for kind in KINDS})
    return {
        "each unit": _plain(each),
        "each run": _plain(beside),
        "bytes in the log": round(stored / MANY),
        "bytes published": round(published / MANY),
    }


async def _stored(app: Counted) -> int:
    """Bytes in the container of the log."""
    container = app.blobs("BLOB_LEDGER").get_container_client("audit-log")
    return sum([blob.size async for blob in container.list_blobs()])


async def _put_pictures(app: Counted, number: int) -> None:
    """Pictures of eight days ago: a unit's worth in each hour, of HOMES homes."""
    day = utc_now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=8)
    container = app.blobs("BLOB_DATA").get_container_client("camera-snapshots")

    async def one(n: int) -> None:
        at = day + timedelta(hours=n // A_UNIT, seconds=n % A_UNIT)
        name = f"{at:%Y-%m-%d/%H}/home-{n % HOMES:04d}/hall/{at:%H%M%S}-{n}.jpg"
        await container.upload_blob(name, b"picture")

    await _several([one(n) for n in range(number)])


async def _put_rows(app: Counted, number: int) -> None:
    """Rows of the operation log of 31 days ago, of HOMES homes in turn for each of the local server's feed ranges.

    In Cosmos DB a home is a partition, and a unit is of one feed range.
    """
    start: datetime = utc_now().replace(microsecond=0) - timedelta(days=31)
    settings = app.config
    where, database = settings.text("COSMOS_MAIN"), settings.text("COSMOS_MAIN_DATABASE")
    async with CosmosClient.from_connection_string(where, enable_endpoint_discovery=False) as client:
        container = client.get_database_client(database).get_container_client("operation-log")

        async def one(n: int) -> None:
            at = utc_text(start + timedelta(seconds=n // (2 * HOMES)))
            row = {"id": f"row-{n}", "homeId": f"home-{n % (2 * HOMES):04d}", "at": at, "text": "front door unlocked"}
            await container.create_item(row)

        await _several([one(n) for n in range(number)])


async def _several(jobs: list[Any]) -> None:
    for first in range(0, len(jobs), 32):
        await asyncio.gather(*jobs[first : first + 32])


def _plain(counts: Mapping[str, float]) -> dict[str, float]:
    return {kind: round(counts[kind], 2) for kind in KINDS if counts.get(kind)}


def main() -> None:
    """Start the servers, count, stop them, and write what was counted."""
    os.environ["APP_ROLE"] = "all"
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder), Ports.free())
        stack.start()
        try:
            found = asyncio.run(count(stack.settings))
        finally:
            stack.stop()
    text = json.dumps(found, indent=2) + "\n"
    COUNTS.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
