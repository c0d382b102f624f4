"""A container of Azurite's, or of the local Cosmos server's, for one test: what is in it, and the time it is there."""

import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from azure.cosmos import PartitionKey
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from local import servers
from local.processes import Process
from shared.policy import Category
from shared.stores.blob import retry_policy
from shared.stores.blob_records import BlobRecords
from shared.stores.cosmos_records import CosmosRecords


@dataclass(frozen=True, kw_only=True)
class BlobsAt(BlobRecords):
    """The account as it will be, or was, at another time."""

    at: datetime

    async def now(self, category: Category) -> datetime:
        return self.at


@asynccontextmanager
async def blob_container(process: Process) -> AsyncIterator[tuple[BlobServiceClient, ContainerClient]]:
    connection = servers.settings(servers.Ports(blob=process.program.port))["BLOB_DATA"]
    async with BlobServiceClient.from_connection_string(connection, retry_policy=retry_policy()) as service:
        client = await service.create_container(f"oracle-{uuid4()}")
        yield service, client
        await client.delete_container()


async def all_blobs(client: ContainerClient) -> dict[str, tuple[str, datetime, bytes]]:
    """Version, creation time and digest of the content, by name."""
    return {b.name: (b.etag, b.creation_time, bytes(b.content_settings.content_md5)) async for b in client.list_blobs()}


@asynccontextmanager
async def item_container(process: Process) -> AsyncIterator[tuple[CosmosRecords, ContainerProxy, str]]:
    url = f"http://127.0.0.1:{process.program.port}/"
    async with CosmosClient(url, credential=servers.COSMOS_KEY, enable_endpoint_discovery=False) as client:
        database = await client.create_database_if_not_exists("oracle")
        container = await database.create_container(f"rows-{uuid4()}", PartitionKey("/homeId"))
        try:
            yield CosmosRecords(database=database, account="main"), container, url
        finally:
            set_clock(url, None)


def set_clock(url: str, to: datetime | None) -> None:
    """Move the server's clock to a time; None puts it back."""
    offset = 0.0 if to is None else (to - datetime.now(UTC)).total_seconds() + 0.5  # in the middle of the second
    order = urllib.request.Request(f"{url}_local/clock", json.dumps({"offset_seconds": offset}).encode(), method="POST")
    urllib.request.urlopen(order, timeout=10).close()


async def all_items(container: ContainerProxy) -> dict[tuple[Any, str], dict[str, Any]]:
    return {(each.get("homeId"), each["id"]): each async for each in container.read_all_items()}
