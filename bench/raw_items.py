"""How expired items go from Cosmos DB without us: a query with a loop, and the SDK at its best. Nothing of the product.

- `loop`: query, delete one after the other.
- `raw`: transactional batches of 100 of one partition key, many at once, while the query goes on; a key with one item
  has no batch, so that one is deleted by itself. No condition, no evidence.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from azure.cosmos import CosmosClient as SyncClient
from azure.cosmos.aio import CosmosClient

from bench.measure import Meter, compete

BATCH = 100


async def loop(job: Mapping[str, Any], meter: Meter) -> int:
    """Query, and delete each."""
    deleted = 0
    values = job["settings"]
    with SyncClient.from_connection_string(values["COSMOS_MAIN"], enable_endpoint_discovery=False) as client:
        container = client.get_database_client(values["COSMOS_MAIN_DATABASE"]).get_container_client(job["container"])
        container.read()
        with meter.running():
            for item in container.query_items(job["query"], enable_cross_partition_query=True):
                container.delete_item(item["id"], partition_key=item["key"])
                deleted += 1
    return deleted


async def raw(job: Mapping[str, Any], meter: Meter) -> int:
    """Batches, as many at once as the job says."""
    values = job["settings"]
    async with CosmosClient.from_connection_string(values["COSMOS_MAIN"], enable_endpoint_discovery=False) as client:
        container = client.get_database_client(values["COSMOS_MAIN_DATABASE"]).get_container_client(job["container"])
        await container.read()
        gate, deleted = asyncio.Semaphore(job["concurrency"]), 0
        waiting: list[asyncio.Task[None]] = []

        async def batch(key: str, ids: list[str]) -> None:
            nonlocal deleted
            async with gate:
                if len(ids) == 1:
                    await container.delete_item(ids[0], partition_key=key)
                else:
                    await container.execute_item_batch([("delete", (each,)) for each in ids], partition_key=key)
            deleted += len(ids)

        with meter.running():
            groups: dict[str, list[str]] = defaultdict(list)
            async for item in container.query_items(job["query"], max_item_count=1000):
                groups[item["key"]].append(item["id"])
                if len(groups[item["key"]]) == BATCH:
                    waiting.append(asyncio.create_task(batch(item["key"], groups.pop(item["key"]))))
            waiting += [asyncio.create_task(batch(key, ids)) for key, ids in groups.items()]
            await asyncio.gather(*waiting)
        return deleted


if __name__ == "__main__":
    asyncio.run(compete({"loop": loop, "raw": raw}))
