"""Stores that answer 429 or 503 to three calls in ten: all is done, each wait is kept, and there is no storm.

Over real sockets: proxies before Azurite and the local Cosmos server refuse in their place (`busy_stores`).
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from busy_stores import SECONDS, SHARE, Throttle, throttle
from by_hand import ByHand
from wired_stage import ids, kinds, left, logged, put

from local import servers
from local.prepare import prepare
from local.processes import Process
from local.servers import Ports
from shared import messages
from shared.config import Config
from shared.ledger.ahead import AT_ONCE
from shared.model import Scope, ScopeKind, utc_text
from shared.requests.documents import State

NOW = datetime.now(UTC).replace(microsecond=0)
PICTURES, ROWS, ALONE = 120, 90, 20
UNIT = 60
CONCURRENCY = 4
MORE = 2.5
"""So many times the requests of an undisturbed run at most: at 30 %, each call is made 1.43 times on average."""


@dataclass(frozen=True, kw_only=True)
class Busy:
    """The product behind the proxies."""

    config: Config
    blob: Throttle
    cosmos: Throttle

    def anew(self, share: float) -> None:
        for each in (self.blob, self.cosmos):
            each.anew(share)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    root = tmp_path_factory.mktemp("busy")
    with ExitStack() as stack:
        ports = Ports.free()
        processes = [
            Process(servers.azurite(root, ports.blob), root),
            Process(servers.cosmos(root, ports.cosmos), root),
        ]
        servers.start_all(tuple(processes))
        for process in processes:
            stack.callback(process.stop)
        blob = stack.enter_context(throttle(ports.blob, 1, SECONDS))
        cosmos = stack.enter_context(throttle(ports.cosmos, 2))
        values = servers.settings(Ports(blob=blob.port, cosmos=cosmos.port))
        values |= {"RETENTION_UNIT": str(UNIT), "RETENTION_CONCURRENCY": str(CONCURRENCY)}
        made = Busy(config=Config(values=values), blob=blob, cosmos=cosmos)
        asyncio.run(prepare(made.config))
        yield made


async def seed(product: ByHand) -> None:
    """Pictures and rows of which all but a few are due; and Ingrid, who lives alone."""
    client = product.blobs("BLOB_DATA").get_container_client("camera-snapshots")

    async def upload(number: int) -> None:
        at = NOW - timedelta(days=8 if number < PICTURES else 1, seconds=number)
        await client.upload_blob(f"{at:%Y-%m-%d}/{at:%H}/home-9/hall/{at:%H%M%S}-{number}.jpg", b"x", overwrite=True)

    for start in range(0, PICTURES + 3, 40):
        await asyncio.gather(*(upload(number) for number in range(start, min(start + 40, PICTURES + 3))))
    rows = [{"id": f"r{n}", "homeId": f"h{n % 3}", "at": utc_text(NOW - timedelta(days=40))} for n in range(ROWS)]
    rows += [{"id": f"a{n}", "homeId": f"alone{n}", "at": utc_text(NOW - timedelta(days=40))} for n in range(ALONE)]
    rows += [{"id": "young", "homeId": "h1", "at": utc_text(NOW - timedelta(days=1))}]
    rows += [{"id": f"i{n}", "homeId": "home-1", "userId": "ingrid", "at": utc_text(NOW)} for n in range(5)]
    await put(product, "operation-log", *rows)
    who = {"id": "ingrid", "userId": "ingrid", "email": "ingrid@example.test", "lastActiveAt": utc_text(NOW)}
    await put(product, "users", who)
    await put(product, "homes", {"id": "home-1", "homeId": "home-1", "members": ["ingrid"]})
    await put(product, "devices", {"id": "gw", "homeId": "home-1"})


async def work(product: ByHand) -> str:
    """A run of two categories, and an erasure, from their messages to the signed log."""
    request = uuid4()
    erase = messages.erase(
        request=request,
        subject={"email": "ingrid@example.test"},
        requested_by="the customer",
        identity_verified_by="the office",
        received_at=NOW,
    )
    only = ("camera-snapshots", "operation-log")
    await product.queue("requests").send(messages.run(request=uuid4(), categories=only), message_id=str(uuid4()))
    await product.queue("requests").send(erase, message_id=str(uuid4()))
    await product.drain()
    await product.again(product.planner.tick, only=only)
    await product.sealed()
    return str(request)


def gone(told: dict) -> Counter[str]:
    """How many records of each category are said to be gone: what recovery found missing is said to be so only."""
    found: Counter[str] = Counter()
    for (kind, category), number in told.items():
        if kind in (f"retention.record.{each}" for each in ("erased", "left", "already_gone")):
            found[category] += number
    return found


async def done(busy: Busy, share: float) -> tuple[dict, dict]:
    """Seed, work with such a share refused, and say how many requests that took, and what the log says."""
    async with ByHand(busy.config) as product:
        busy.anew(0.0)
        before = kinds(await logged(product))
        await seed(product)
        busy.anew(share)
        request = await work(product)
        took = {"blob": busy.blob.requests, "cosmos": busy.cosmos.requests}
        busy.blob.share = busy.cosmos.share = 0.0
        assert len(await left(product, "BLOB_DATA", "camera-snapshots")) == 3
        assert await ids(product, "operation-log") == {"young"}
        assert await ids(product, "users") == await ids(product, "homes") == await ids(product, "devices") == set()
        held = await product.requests.load(request)
        assert held is not None
        assert held.value.state is State.DONE
        assert not [each async for each in product.own("journals").list()]
        return took, kinds(await logged(product)) - before


@pytest.mark.timeout(240)
async def test_what_is_throttled_is_done_with_each_wait_kept_and_without_a_storm(busy: Busy) -> None:
    took, told = await done(busy, 0.0)
    assert told["retention.record.erased", "camera-snapshots"] == PICTURES
    assert told["retention.record.erased", "operation-log"] == ROWS + ALONE + 5
    slower, said = await done(busy, SHARE)
    assert gone(said) == gone(told)
    for proxy in (busy.blob, busy.cosmos):
        assert not proxy.early, "asked again before its time"
        assert sum(proxy.refused.values()) > 10
    assert busy.cosmos.most <= CONCURRENCY
    assert busy.blob.most <= max(CONCURRENCY, AT_ONCE)
    assert slower["blob"] <= MORE * took["blob"]
    assert slower["cosmos"] <= MORE * took["cosmos"]


async def test_items_that_are_gone_are_accounted_for_with_one_look_for_each_partition(busy: Busy) -> None:
    """As recovery finds them after a crash: a batch for each would come to no end while the service is busy."""
    async with ByHand(busy.config) as product:
        busy.anew(0.0)
        at = utc_text(NOW - timedelta(days=40))
        await put(product, "operation-log", *({"id": f"g{n}", "homeId": "gone", "at": at} for n in range(60)))
        category = product.policy.category("operation-log")
        store = product.stores["cosmos/main"]
        pages = store.of_scope(category, Scope(kind=ScopeKind.HOME, id="gone"), size=100)
        records = [record async for page in pages for record in page.records]
        assert await store.delete(records[:59]) == ["deleted"] * 59
        busy.anew(0.0)
        assert await store.delete(records) == [*["missing"] * 59, "deleted"]
        assert busy.cosmos.requests <= 3
