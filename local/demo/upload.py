"""Puts the seed into the stores with the vendor's SDKs, as the company's own programs would."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import aiohttp
from azure.cosmos.aio import CosmosClient, DatabaseProxy
from azure.storage.blob import BlobType, ContentSettings
from azure.storage.blob.aio import BlobServiceClient

from local.demo.pictures import draw
from local.demo.records import Blob, Item
from local.demo.seed import Seed

_AT_ONCE = 16
_BATCH = 100  # the most that Cosmos DB takes in one transactional batch
_FOREVER = -1  # a lease without an end

Advance = Callable[[int], None]


async def upload_blobs(seed: Seed, settings: Mapping[str, str], advance: Advance) -> None:
    """Upload every blob, drawing the pictures on the way; `advance` is told of each that is stored."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(service: BlobServiceClient, blob: Blob) -> None:
        async with gate:
            kind, data = await asyncio.to_thread(_content, blob)
            client = service.get_blob_client(blob.container, blob.name)
            of_type = BlobType.APPENDBLOB if blob.text else BlobType.BLOCKBLOB  # a log grows by appending
            await client.upload_blob(data, of_type, content_settings=ContentSettings(content_type=kind))
            if blob.leased:
                await client.acquire_lease(_FOREVER)
            advance(1)

    async with (
        BlobServiceClient.from_connection_string(settings["BLOB_DATA"]) as data,
        BlobServiceClient.from_connection_string(settings["BLOB_BACKUP"]) as backup,
    ):
        await asyncio.gather(*(one(backup if b.container == "backups" else data, b) for b in seed.blobs))


async def upload_items(seed: Seed, settings: Mapping[str, str], advance: Advance) -> None:
    """Store every Cosmos item, one group of the same `untouched` after the other, with the server's clock set to it."""
    groups: dict[timedelta, list[Item]] = defaultdict(list)
    for item in seed.items:
        groups[item.untouched].append(item)
    async with CosmosClient.from_connection_string(settings["COSMOS_MAIN"], enable_endpoint_discovery=False) as client:
        database = client.get_database_client(settings["COSMOS_MAIN_DATABASE"])
        for untouched, items in groups.items():
            await _set_clock(settings, -untouched)
            await _store(database, items, advance)
        await _set_clock(settings, timedelta())


async def _store(database: DatabaseProxy, items: Iterable[Item], advance: Advance) -> None:
    together: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        together[item.container, item.partition].append(item)
    for (container, partition), mine in together.items():
        proxy = database.get_container_client(container)
        for start in range(0, len(mine), _BATCH):
            batch = [("create", (dict(item.body),)) for item in mine[start : start + _BATCH]]
            await proxy.execute_item_batch(batch, partition_key=partition)
            advance(len(batch))


async def _set_clock(settings: Mapping[str, str], offset: timedelta) -> None:
    """Set the local Cosmos server's clock, from which `_ts` comes: a lever of it, see `local.cosmos.levers`."""
    endpoint = settings["COSMOS_MAIN"].partition("AccountEndpoint=")[2].partition(";")[0]
    order = {"offset_seconds": offset.total_seconds()}
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.post(f"{endpoint}_local/clock", json=order) as answer,
    ):
        await answer.read()


def _content(blob: Blob) -> tuple[str, bytes]:
    if blob.camera and blob.taken:
        return "image/jpeg", draw(blob.camera, blob.taken)
    if blob.text:
        return "application/x-ndjson", blob.text.encode()
    text = {"made_for": "the demo", "part": blob.name.rpartition("/")[2]}
    return "application/json", json.dumps(text).encode()
