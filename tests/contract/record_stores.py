"""What the contract suite of RecordStore tests: the fake in memory, Blob storage and Cosmos DB behind the same few moves.

What a shelf writes it writes as the company would, not through the port.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.storage.blob.aio import BlobServiceClient, ContainerClient
from blob_stand_in import served
from cosmos_faults import fault, heal

from local import servers
from local.azure.account import Account, Settings
from local.azure.blob_server import BlobServer
from shared.model import Record, Scope, ScopeKind, utc_text
from shared.policy import Category
from shared.stores.blob import retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords
from shared.stores.interface import Page, RecordStore
from shared.stores.memory_records import MemoryRecords

DATABASE = "contract"
PERSON = Scope(kind=ScopeKind.PERSON, id="u1")
LATER = datetime(2026, 3, 1, tzinfo=UTC)  # when the plain records are due


def a_category(store: Mapping[str, Any], *rules: Mapping[str, Any], **more: Any) -> Category:
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

    async def write(self, category: Category, key: str, data: bytes) -> None:
        self.records.put(category, key, data=data)

    async def data(self, category: Category, key: str) -> bytes:
        return self.records.data(category, key)


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

    async def write(self, category: Category, key: str, data: bytes) -> None:
        await self.client.upload_blob(key, data, overwrite=True)

    async def data(self, category: Category, key: str) -> bytes:
        return await (await self.client.download_blob(key)).readall()


@dataclass(kw_only=True)
class VersionsShelf(BlobShelf):
    """Blobs on the stand-in for what Azurite has not; `account` is its inside."""

    account: Account


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
        fault(self.url, **order)

    def heal(self) -> None:
        heal(self.url)


Blobs: TypeAlias = MemoryShelf | BlobShelf
Items: TypeAlias = MemoryShelf | CosmosShelf


async def blob_shelf(stack: AsyncExitStack, port: int) -> BlobShelf:
    connection = servers.settings(servers.Ports(blob=port))["BLOB_DATA"]
    service = BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy())
    await stack.enter_async_context(service)
    client = await service.create_container(f"records-{uuid4()}")
    stack.push_async_callback(client.delete_container)
    records = BlobRecords(service=service, account="data")
    return BlobShelf(records=records, client=client, container=client.container_name)


async def versions_shelf(stack: AsyncExitStack, settings: Settings) -> VersionsShelf:
    """A container in an account of these settings, on the stand-in for what Azurite has not."""
    account = Account(settings=settings)
    service = await stack.enter_async_context(served(BlobServer(account), retry_policy=retry_policy()))
    client = await service.create_container(f"records-{uuid4()}")
    return VersionsShelf(
        records=BlobRecords(service=service, account="data"),
        client=client,
        container=client.container_name,
        name="versions",
        account=account,
    )


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


# ---------------------------------------------------------------- one category of plain records


def blob_category(container: str) -> Category:
    store = {"kind": "blob", "account": "data", "container": container, "layout": "{taken:%Y-%m-%d}/{name}"}
    return a_category(store, {"start": {"from": "name", "field": "taken"}, "period": "P7D"})


def log_category(shelf: Blobs, layout: str = "{hour:%Y-%m-%d}/{hour:%H}.jsonl") -> Category:
    """A log in blobs, of which a visit's lines go; an adapter is told how they are found."""
    store = {"kind": "blob", "account": "data", "container": shelf.container, "layout": layout}
    rule = {"start": {"from": "name", "field": "hour"}, "period": "P14D"}
    category = a_category(store, rule, find={"visit": {"by": "line", "ip": "ip", "at": "at"}})
    if isinstance(shelf, BlobShelf):
        shelf.records = replace(shelf.records, lines={category.id: category.find[ScopeKind.VISIT]})
    return category


def item_category(container: str) -> Category:
    store = {"kind": "cosmos", "account": "main", "container": container, "partition_key": "/homeId"}
    find = {"person": {"by": "member", "field": "members"}, "home": {"by": "partition"}}
    rule = {"start": {"from": "field", "field": "at"}, "period": "P30D"}
    return a_category(store, rule, belongs_to="home", find=find)


@dataclass(kw_only=True)
class Governed:
    """A store under test with one category; records are numbered from 0."""

    shelf: Any
    category: Category
    homes: int = 1

    @property
    def store(self) -> RecordStore:
        return self.shelf.records

    def key(self, number: int) -> str:
        return f"2026-01-01/{number:04}" if self.category.store.kind == "blob" else f"{number:04}"

    def partition(self, number: int) -> str:
        return f"h{number % self.homes}" if self.category.store.kind == "cosmos" else ""

    async def write(self, numbers: Iterable[int]) -> None:
        """Write records, or write them again: a new version each time."""
        if self.category.store.kind != "cosmos":
            await self.shelf.put(self.category, [self.key(number) for number in numbers])
            return
        rows = [{"id": self.key(n), "homeId": self.partition(n), "at": "2026-01-01T00:00:00Z"} for n in numbers]
        await self.shelf.put(self.category, rows)

    async def remove(self, number: int) -> None:
        await self.shelf.remove(self.category, self.key(number), self.partition(number))

    async def listed(self) -> list[Record]:
        """All records, in the order of their numbers."""
        found = await listed(self.shelf, self.category, now=LATER, size=1000)
        return sorted(found.records, key=lambda record: record.locator.key)

    async def left(self) -> list[str]:
        return await self.shelf.keys(self.category)


def row(number: int, at: datetime | str | None, *, home: str | None = None, **more: Any) -> dict[str, Any]:
    """An item; its time is left out when None."""
    written = utc_text(at) if isinstance(at, datetime) else at
    item = {"id": f"i{number:03}", "homeId": home or f"h{number % 8}", **more}
    return item if written is None else {**item, "at": written}


def governed_items(shelf: Shelf, *rules: Mapping[str, Any], **more: Any) -> Category:
    store = {"kind": "cosmos", "account": "main", "container": shelf.container, "partition_key": "/homeId"}
    return a_category(store, *(rules or ({"start": {"from": "field", "field": "at"}, "period": "P30D"},)), **more)


async def members(items: Items, *homes: Sequence[str]) -> tuple[Category, list[Record]]:
    """Homes h0, h1, ... with these members, and the records by which u1 leaves theirs."""
    category = item_category(items.container)
    rows = [{"id": f"h{n}", "homeId": f"h{n}", "name": "home", "members": [*each]} for n, each in enumerate(homes)]
    await items.put(category, rows)
    found = [r async for page in items.records.of_scope(category, PERSON, size=10) for r in page.records]
    return category, sorted(found, key=lambda record: record.locator.key)


def ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(item["id"] for item in rows)
