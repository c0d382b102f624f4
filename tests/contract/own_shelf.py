"""The product's own containers behind the moves of the RecordStore contract suite: in memory and on Azurite.

An object's fields are its metadata; without one it is closed since January 2026.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from azure.storage.blob.aio import BlobServiceClient
from record_stores import a_category

from local import servers
from shared.errors import ExistsError
from shared.policy import Category
from shared.stores.blob import BlobObjects, retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.interface import ObjectStore
from shared.stores.memory import MemoryObjects
from shared.stores.memory_own import MemoryOwn
from shared.stores.own_records import Container, OwnRecords

CLOSED = {"closed_at": "2026-01-01T00:00:00Z"}
BY_CLOSING = {"start": {"from": "field", "field": "closed_at"}, "period": "P30D"}


def own_category(container: str, *rules: Mapping[str, Any], **more: Any) -> Category:
    return a_category({"kind": "own", "container": container}, *(rules or (BY_CLOSING,)), **more)


@dataclass(kw_only=True)
class OwnShelf:
    """`metadata` by name is what `put` writes with an object; an object that is there is written over."""

    records: OwnRecords
    objects: ObjectStore
    container: str
    name: str

    async def put(self, category: Category, records: Iterable[str | tuple[str, Mapping[str, str]]]) -> None:
        await asyncio.gather(*(self._put(r, CLOSED) if isinstance(r, str) else self._put(*r) for r in records))

    async def _put(self, name: str, metadata: Mapping[str, str]) -> None:
        try:
            await self.objects.create(name, b"{}", metadata=metadata)
        except ExistsError:
            held = await self.objects.read(name)
            assert held is not None
            await self.objects.replace(name, b"{}", etag=held.etag, metadata=metadata)

    async def remove(self, category: Category, key: str, partition: str = "") -> None:
        await self.objects.delete(key)

    async def keys(self, category: Category) -> list[str]:
        return [entry.name async for entry in self.objects.list()]


def memory_own(objects: MemoryObjects | None = None) -> OwnShelf:
    objects = objects or MemoryObjects()
    account = MemoryOwn(containers={"own": objects})
    records = OwnRecords(containers={"own": Container(objects=objects, account=account)})
    return OwnShelf(records=records, objects=objects, container="own", name="memory own")


async def azurite_own(stack: AsyncExitStack, port: int) -> OwnShelf:
    connection = servers.settings(servers.Ports(blob=port))["BLOB_STATE"]
    service = BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy())
    await stack.enter_async_context(service)
    client = await service.create_container(f"own-{uuid4()}")
    stack.push_async_callback(client.delete_container)
    objects = BlobObjects(client)
    account = BlobRecords(service=service, account="")
    records = OwnRecords(containers={client.container_name: Container(objects=objects, account=account)})
    return OwnShelf(records=records, objects=objects, container=client.container_name, name="azurite own")
