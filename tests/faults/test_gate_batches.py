"""Deletes that fail part way, over real sockets: each record has one event, and it is true.

One batch of several is refused, or carried out and its answer lost, or carried out in part.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from blob_stand_in import served
from cosmos_faults import BATCHES, fault, heal
from promises import assert_whole
from world import World, home_of, outcomes

from local.azure.account import Account, RefusedError
from local.azure.account import Settings as AccountSettings
from local.azure.blob_server import Answer, BlobServer
from local.processes import Process
from local.servers import COSMOS_KEY
from shared.errors import TransientError
from shared.model import Record, RequestCause
from shared.stores.blob import retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords

HOME = home_of("birkeveien")
CAUSE = RequestCause(request="7b0ecf63-3a62-4c7d-9d65-6f9e8f0f1c11", scope=HOME)
PICTURES, ROWS = "camera-snapshots", "operation-log"
BATCH = 256  # the service's limit
MOST = BATCH + 9  # blobs: a full batch, and another


class Faulty(BlobServer):
    """Fails a batch that holds a chosen blob, `times` times: refused, carried out (`applied`), or half of it."""

    chosen = b""
    how = ""
    times = 1_000

    def left(self) -> int:
        """How many blobs are there."""
        return sum(blob.base is not None for each in self.account.containers.values() for blob in each.blobs.values())

    def _batch(self, within: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if not (self.how and self.times) or self.chosen not in body:
            return super()._batch(within, headers, body)
        self.times -= 1
        if self.how != "unapplied":
            super()._batch(within, headers, self._half(headers, body) if self.how == "in part" else body)
        raise RefusedError(403, "AuthorizationFailure", "refused for the test, or the answer is lost")

    @staticmethod
    def _half(headers: Mapping[str, str], body: bytes) -> bytes:
        mark = b"--" + re.fullmatch(r"multipart/mixed; boundary=(\S+)", headers["content-type"])[1].encode()
        _, *parts, end = body.split(mark)
        return mark.join([b"", *parts[: len(parts) // 2], end])


@asynccontextmanager
async def pictures(server: Faulty) -> AsyncIterator[tuple[World, list[Record]]]:
    """A world whose pictures are in the server's account, and what was found of them."""
    account = server.account
    async with served(server, retry_policy=retry_policy()) as service:
        await service.create_container(PICTURES)
        for number in range(MOST):
            account.put(PICTURES, f"2026-02-28/10/birkeveien/hall/10{number // 60:02}{number % 60:02}-a.jpg", b"")
        world = World(sweeping=False)
        store = BlobRecords(service=service, account="data")
        pages = store.of_scope(world.policy.category(PICTURES), HOME, size=MOST)
        todo = [record async for page in pages for record in page.records]
        assert len(todo) == MOST
        world.gate.stores["blob/data"] = store
        yield world, todo


async def accounted(world: World, todo: list[Record]) -> Counter[str]:
    """What the log says, once it says one thing of each record."""

    async def each_once(world: World, events: list[dict[str, Any]]) -> None:
        said = Counter(each["data"]["record"] for each in events if each["type"].startswith("retention.record."))
        assert sorted(said.values()) == [1] * len(todo)

    await world.rest()
    return outcomes(await assert_whole(world, accounted=each_once))


TAKEN = {"unapplied": 0, "applied": BATCH, "in part": BATCH // 2}


@pytest.mark.parametrize("how", TAKEN)
async def test_a_batch_of_blobs_fails_beside_another_and_each_record_has_one_event_that_is_true(how: str) -> None:
    server = Faulty(Account(settings=AccountSettings()))
    async with pictures(server) as (world, todo):
        server.chosen, server.how, server.times = todo[1].locator.key.encode(), how, 1
        await world.gate.delete(todo, CAUSE)
        assert len(world.slept) == 1, "it was asked for again"
        said = await accounted(world, todo)
        assert not server.left()
    assert said == Counter({"erased": MOST - TAKEN[how]}) + Counter({"already_gone": TAKEN[how]})


async def test_a_batch_of_blobs_that_fails_in_every_attempt_is_recovered_and_nothing_is_claimed_of_what_went() -> None:
    server = Faulty(Account(settings=AccountSettings()))
    async with pictures(server) as (world, todo):
        server.chosen, server.how = todo[1].locator.key.encode(), "in part"
        with pytest.raises(TransientError, match=f"{BATCH} records had no final answer"):
            await world.gate.delete(todo, CAUSE)
        assert server.left() == BATCH // 2
        server.how = ""
        said = await accounted(world, todo)
        assert not server.left()
    assert said == {"erased": BATCH // 2, "already_gone": MOST - BATCH // 2}


ITEMS = 250  # of one partition: three transactional batches


@asynccontextmanager
async def rows(url: str) -> AsyncIterator[tuple[World, list[Record]]]:
    """A world whose log rows are on the server, and what was found of them."""
    async with CosmosClient(url, credential=COSMOS_KEY, enable_endpoint_discovery=False) as client:
        database = await client.create_database(f"batches-{uuid4()}")
        container = await database.create_container(ROWS, PartitionKey("/homeId"))
        items = [{"id": f"{n:03}", "homeId": HOME.id, "at": "2026-02-28T00:00:00Z"} for n in range(ITEMS)]
        for start in range(0, ITEMS, 100):
            batch = [("upsert", (item,)) for item in items[start : start + 100]]
            await container.execute_item_batch(batch, partition_key=HOME.id)
        world = World(sweeping=False)
        store = CosmosRecords(database=database, account="main")
        pages = store.of_scope(world.policy.category(ROWS), HOME, size=ITEMS)
        todo = [record async for page in pages for record in page.records]
        assert len(todo) == ITEMS
        world.gate.stores["cosmos/main"] = store
        yield world, todo
        await client.delete_database(database.id)


@pytest.mark.parametrize("applied", [False, True], ids=["unapplied", "applied"])
async def test_one_batch_of_items_of_several_fails_and_each_record_has_one_event_that_is_true(
    cosmos: Process, applied: bool
) -> None:
    async with rows(cosmos.url) as (world, todo):
        fault(cosmos.url, status=403, skip=1, applied=applied, **BATCHES)
        try:
            await world.gate.delete(todo, CAUSE)
        finally:
            heal(cosmos.url)
        assert len(world.slept) == 1, "it was asked for again"
        said = await accounted(world, todo)
        assert await world.gate.stores["cosmos/main"].there(todo[:1]) == ["missing"]
    assert said["already_gone"] in ((50, 100) if applied else (0,)), "of the one batch without an answer"
    assert said["erased"] == ITEMS - said["already_gone"]
