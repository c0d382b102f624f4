"""Erase a person by the SDKs alone: what the request deletes, without its documents. Nothing of the product."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from azure.cosmos.aio import CosmosClient, DatabaseProxy
from azure.storage.blob.aio import BlobPrefix, BlobServiceClient, ContainerClient

from bench.measure import Meter, compete
from bench.raw_blobs import raw_deletes

MOST = 8
BATCH = 100


async def raw(job: Mapping[str, Any], meter: Meter) -> int:
    """Pictures, then items; returns how many are gone."""
    values = job["settings"]
    async with (
        BlobServiceClient.from_connection_string(values["BLOB_DATA"]) as service,
        CosmosClient.from_connection_string(values["COSMOS_MAIN"], enable_endpoint_discovery=False) as client,
    ):
        container = service.get_container_client(job["container"])
        database = client.get_database_client(values["COSMOS_MAIN_DATABASE"])
        await container.get_container_properties()
        with meter.running():
            days = await asyncio.gather(*(_below(container, day) for day in await _below(container, "")))
            hours = [f"{hour}{job['home']}/" for day in days for hour in day]
            gone = await raw_deletes(container, hours, MOST)
            for name, key in job["keys"].items():
                gone += await _items(database, name, job["person"] if key == "userId" else job["home"])
    return gone


async def _below(container: ContainerClient, prefix: str) -> list[str]:
    found = container.walk_blobs(name_starts_with=prefix, delimiter="/")
    return [each.name async for each in found if isinstance(each, BlobPrefix)]


async def _items(database: DatabaseProxy, name: str, key: str) -> int:
    container = database.get_container_client(name)
    ids = [item["id"] async for item in container.query_items("SELECT c.id FROM c", partition_key=key)]
    for start in range(0, len(ids), BATCH):
        part = [("delete", (each,)) for each in ids[start : start + BATCH]]
        await container.execute_item_batch(part, partition_key=key)
    return len(ids)


if __name__ == "__main__":
    asyncio.run(compete({"raw": raw}))
