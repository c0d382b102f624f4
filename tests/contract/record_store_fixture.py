"""Fixtures of the RecordStore contract suite: the same few moves on the fake in memory and on a real adapter.

`blobs` is a store with one empty container of blobs, `items` one with a container of items (two partition key ranges).
Each test has containers of its own; what it writes it writes as the company would, not through the port.
"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from local import servers
from shared.model import Record, Scope
from shared.policy import Category
from shared.stores.blob import retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords
from shared.stores.interface import Page, RecordStore
from shared.stores.memory_records import MemoryRecords

DATABASE = "contract"


def category(store: Mapping[str, Any], *rules: Mapping[str, Any], **more: Any) -> Category:
    """A category with these rules; what a policy asks besides is filled in."""
    rest = {
        "id": "governed",
        "row": 1,
        "clause": "1",
        "says": "Records go.",
        "role": "controller",
        "legal_basis": "consent",
        "status": "enforced",
        "cadence": "PT1M",
        "on_request": "erase",
    }
    named = tuple({"id": f"rule-{number}", **rule} for number, rule in enumerate(rules))
    return Category.model_validate({**rest, "store": dict(store), "rules": named, **more})


class Shelf(Protocol):
    """A store under test, and what others than the product do to it."""

    name: str
    records: RecordStore
    container: str

    async def put(self, category: Category, records: Iterable[Any]) -> None: ...

    async def remove(self, category: Category, key: str, partition: str = "") -> None: ...

    async def keys(self, category: Category) -> list[str]: ...


@dataclass(kw_only=True)
class MemoryShelf:
    records: MemoryRecords
    container: str
    name: str = "memory"

    async def put(self, category: Category, records: Iterable[Any]) -> None:
        for record in records:
            self.records.put(category, record)

    async def remove(self, category: Category, key: str, partition: str = "") -> None:
        self.records.remove(category, key, partition=partition)

    async def keys(self, category: Category) -> list[str]:
        return self.records.keys(category)

    async def lease(self, category: Category, key: str) -> None:
        self.records.block(category, key, "lease")

    async def item(self, category: Category, key: str, partition: str) -> Mapping[str, Any] | None:
        return self.records.item(category, key, partition=partition)


@dataclass(kw_only=True)
class BlobShelf:
    records: BlobRecords
    client: ContainerClient
    container: str
    name: str = "azurite"

    async def put(self, category: Category, records: Iterable[str]) -> None:
        names = iter(records)

        async def upload() -> None:
            for name in names:
                await self.client.upload_blob(name, name.encode(), overwrite=True)

        await asyncio.gather(*(upload() for _ in range(8)))

    async def remove(self, category: Category, key: str, partition: str = "") -> None:
        await self.client.delete_blob(key)

    async def keys(self, category: Category) -> list[str]:
        return sorted([name async for name in self.client.list_blob_names()])

    async def lease(self, category: Category, key: str) -> None:
        await self.client.get_blob_client(key).acquire_lease()


@dataclass(kw_only=True)
class CosmosShelf:
    records: CosmosRecords
    client: ContainerProxy
    url: str
    container: str
    name: str = "cosmos"

    async def put(self, category: Category, records: Iterable[Mapping[str, Any]]) -> None:
        field = category.store.partition_field
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for item in records:
            groups.setdefault(item[field], []).append(item)
        for key, items in groups.items():
            for start in range(0, len(items), 100):
                batch = [("upsert", (dict(item),)) for item in items[start : start + 100]]
                await self.client.execute_item_batch(batch, partition_key=key)

    async def remove(self, category: Category, key: str, partition: str = "") -> None:
        await self.client.delete_item(key, partition_key=partition)

    async def keys(self, category: Category) -> list[str]:
        return sorted([item["id"] async for item in self.client.read_all_items()])

    async def item(self, category: Category, key: str, partition: str) -> Mapping[str, Any] | None:
        found = self.client.query_items(
            "SELECT * FROM c WHERE c.id = @id", parameters=[{"name": "@id", "value": key}], partition_key=partition
        )
        items = [{k: v for k, v in item.items() if not k.startswith("_")} async for item in found]
        return items[0] if items else None

    def fault(self, **order: Any) -> None:
        """Have the server answer badly: see local/cosmos/levers.py."""
        request = urllib.request.Request(f"{self.url}_local/faults", json.dumps(order).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def heal(self) -> int:
        """Forget the faults."""
        request = urllib.request.Request(f"{self.url}_local/faults", method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()


async def blob_shelf(stack: AsyncExitStack, port: int) -> BlobShelf:
    connection = servers.settings(servers.Ports(blob=port))["BLOB_DATA"]
    service = BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy())
    await stack.enter_async_context(service)
    client = await service.create_container(f"records-{uuid4()}")
    stack.push_async_callback(client.delete_container)
    records = BlobRecords(service=service, account="data")
    return BlobShelf(records=records, client=client, container=client.container_name)


async def cosmos_shelf(stack: AsyncExitStack, port: int, partition_key: str) -> CosmosShelf:
    url = f"http://127.0.0.1:{port}/"
    client = CosmosClient(url, credential=servers.COSMOS_KEY, enable_endpoint_discovery=False)
    await stack.enter_async_context(client)
    database = await client.create_database_if_not_exists(DATABASE)
    container = await database.create_container(f"records-{uuid4()}", PartitionKey(partition_key))
    shelf = CosmosShelf(
        records=CosmosRecords(database=database, account="main"), client=container, url=url, container=container.id
    )
    stack.callback(shelf.heal)
    return shelf


@pytest.fixture(params=["memory", "azurite"])
async def blobs(request: pytest.FixtureRequest) -> AsyncIterator[MemoryShelf | BlobShelf]:
    if request.param == "memory":
        yield MemoryShelf(records=MemoryRecords(), container=f"records-{uuid4()}")
        return
    server = request.getfixturevalue("azurite")
    async with AsyncExitStack() as stack:
        yield await blob_shelf(stack, server.program.port)


@pytest.fixture
async def azurite_blobs(azurite: Any) -> AsyncIterator[BlobShelf]:
    async with AsyncExitStack() as stack:
        yield await blob_shelf(stack, azurite.program.port)


@pytest.fixture(params=["memory", "cosmos"])
async def items(request: pytest.FixtureRequest) -> AsyncIterator[MemoryShelf | CosmosShelf]:
    if request.param == "memory":
        yield MemoryShelf(records=MemoryRecords(), container=f"records-{uuid4()}")
        return
    server = request.getfixturevalue("cosmos")
    async with AsyncExitStack() as stack:
        yield await cosmos_shelf(stack, server.program.port, "/homeId")


@pytest.fixture
async def cosmos_items(cosmos: Any) -> AsyncIterator[CosmosShelf]:
    async with AsyncExitStack() as stack:
        yield await cosmos_shelf(stack, cosmos.program.port, "/homeId")


# ---------------------------------------------------------------- listing to the end


@dataclass(kw_only=True)
class Listing:
    """All that a division and its parts gave."""

    records: list[Record]
    pages: list[Page]
    parts: int
    strange: dict[str, int]

    @property
    def keys(self) -> list[str]:
        return sorted(record.locator.key for record in self.records)


async def listed(
    shelf: Shelf, category: Category, *, now: Any, rule: int = 0, most: int = 3, size: int = 5, between: Any = None
) -> Listing:
    """Divide and list everything, each page by a listing of its own that resumes where the one before ended.

    `between`, an async function, is given each page's records before the next page is asked for.
    """
    chosen = category.rules[rule]
    division = await shelf.records.divide(category, chosen, now=now, most=most)
    found = Listing(records=[], pages=[], parts=len(division.parts), strange=dict(division.strange))
    for part in division.parts:
        cursor, more = "", True
        while more:
            pages = shelf.records.expired(category, chosen, part, now=now, cursor=cursor, size=size)
            page = await anext(pages)
            await pages.aclose()
            found.pages.append(page)
            found.records += page.records
            for reason, number in page.strange.items():
                found.strange[reason] = found.strange.get(reason, 0) + number
            if between is not None:
                await between(page.records)
            cursor, more = page.cursor, bool(page.cursor)
    return found


async def all_of(shelf: Shelf, category: Category, scope: Scope) -> list[Record]:
    """Every record of a scope, by pages of two."""
    found: list[Record] = []
    async for page in shelf.records.of_scope(category, scope, size=2):
        found += page.records
    return found
